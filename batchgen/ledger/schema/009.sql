-- Claims by model: one that waits never holds another of the same provider, however many jobs come before it.

DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (route, model, position)
    WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NULL;
