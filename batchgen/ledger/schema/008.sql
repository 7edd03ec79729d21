-- Eighth version: which providers a job may still go to. Claims go by that.

ALTER TABLE jobs ADD COLUMN route TEXT NOT NULL DEFAULT '';   -- as in `apiyi > tu-zi`, the first one first
UPDATE jobs SET route = (SELECT group_concat(value, ' > ') FROM json_each(providers));
DROP INDEX jobs_ready;
DROP INDEX jobs_waiting;
DROP INDEX jobs_blocked;
DROP INDEX jobs_turns;
-- A query must repeat the WHERE terms literally, or SQLite will not use the index.
CREATE INDEX jobs_ready ON jobs (route, position)
    WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NULL;
CREATE INDEX jobs_waiting ON jobs (route, not_before)
    WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NOT NULL;
CREATE INDEX jobs_blocked ON jobs (route, position)
    WHERE state = 'pending' AND listed = 1 AND blocked = 1;
CREATE INDEX jobs_turns ON jobs (route, position)
    WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NULL AND parent IS NOT NULL;
-- Every route that a job ever had, so that nobody has to look for them among the jobs.
CREATE TABLE routes (route TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO routes SELECT DISTINCT route FROM jobs;
