-- Seventh version: chains. Jobs that wait for another's image are found by their provider, and those whose
-- turn has come are found before all that begin a chain.

DROP INDEX jobs_blocked;
CREATE INDEX jobs_blocked ON jobs (provider, position)
    WHERE state = 'pending' AND listed = 1 AND blocked = 1;
CREATE INDEX jobs_turns ON jobs (provider, position)
    WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NULL AND parent IS NOT NULL;
