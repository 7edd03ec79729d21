-- Reading the manifest into the ledger.

-- name: open_seen
CREATE TEMP TABLE IF NOT EXISTS seen (key INTEGER PRIMARY KEY);

-- name: forget_seen
DELETE FROM temp.seen;

-- name: known_jobs
SELECT * FROM jobs WHERE id IN (SELECT value FROM json_each(:ids));

-- name: see_ids
INSERT INTO temp.seen (key) SELECT key FROM jobs WHERE id IN (SELECT value FROM json_each(:ids));

-- name: add_job
INSERT INTO jobs (id, position, provider, providers, model, ratio, prompt, request, parent, wanted, fingerprint, warnings, apart)
VALUES (:id, :position, :provider, :providers, :model, :ratio, :prompt, :request, :parent, :wanted, :fingerprint, :warnings, :apart);

-- name: add_first_rounds
INSERT INTO rounds (job, round, fingerprint, opened_at)
SELECT key, round, fingerprint, :at FROM jobs WHERE id IN (SELECT value FROM json_each(:ids));

-- name: refresh_job
UPDATE jobs SET listed = 1, position = :position, provider = :provider, providers = :providers, model = :model,
    ratio = :ratio, prompt = :prompt, request = :request, parent = :parent, wanted = :wanted, warnings = :warnings, apart = :apart
WHERE key = :key AND fingerprint = :fingerprint;

-- name: unlist_unseen
UPDATE jobs SET listed = 0 WHERE listed = 1 AND key NOT IN (SELECT key FROM temp.seen);

-- name: listed_total
SELECT sum(n) FROM tally WHERE subject = 'job';

-- name: rounds_of
SELECT round FROM rounds WHERE job = :key AND fingerprint = :fingerprint ORDER BY round DESC;

-- name: block_children
UPDATE jobs SET blocked = NOT blocked
WHERE (parent IS NOT NULL OR blocked = 1)
    AND blocked <> (parent IS NOT NULL
                    AND NOT EXISTS (SELECT 1 FROM jobs AS p WHERE p.id = jobs.parent AND p.state = 'done'));
