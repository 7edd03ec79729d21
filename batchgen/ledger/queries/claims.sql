-- What may be done next. Every WHERE repeats the terms of a partial index; a test asks the planner.

-- name: claimed_jobs
SELECT *, (SELECT count(*) FROM outputs AS o WHERE o.job = jobs.key AND o.round = jobs.round AND o.superseded = 0) AS have,
    -- The key of an ask that nobody answered: whoever asks again must use the same.
    (SELECT CASE WHEN a.outcome = 'unknown' OR a.error_kind = 'connection' THEN a.idempotency_key END FROM attempts AS a
     WHERE a.job = jobs.key AND a.round = jobs.round ORDER BY a.number DESC LIMIT 1) AS unanswered_key,
    (SELECT CASE WHEN a.outcome = 'unknown' THEN a.key_env END FROM attempts AS a
     WHERE a.job = jobs.key AND a.round = jobs.round ORDER BY a.number DESC LIMIT 1) AS unanswered_env
FROM jobs
WHERE key IN (SELECT value FROM json_each(:keys))
ORDER BY position;

-- name: ready_jobs
SELECT key, position FROM jobs
WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NULL
    AND route = :route AND model = :model AND (:id IS NULL OR id GLOB :id)
ORDER BY position LIMIT :limit;

-- name: ready_models
-- A step of the index for each model, however many jobs it has.
WITH RECURSIVE found (model) AS (
    SELECT (SELECT min(model) FROM jobs
            WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NULL AND route = :route)
    UNION ALL
    SELECT (SELECT min(model) FROM jobs
            WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NULL AND route = :route
                AND model > found.model)
    FROM found WHERE found.model IS NOT NULL)
SELECT model FROM found
WHERE model IS NOT NULL AND model NOT IN (SELECT value FROM json_each(:without)) LIMIT 64;

-- name: next_turns
SELECT key, position FROM jobs
WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NULL AND parent IS NOT NULL
    AND route = :route AND (:id IS NULL OR id GLOB :id)
ORDER BY position LIMIT :limit;

-- name: retried_jobs
SELECT key, position FROM jobs
WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NOT NULL
    AND route = :route AND not_before <= :now AND (:id IS NULL OR id GLOB :id)
    AND model NOT IN (SELECT value FROM json_each(:without))
ORDER BY not_before LIMIT :limit;

-- name: begun_jobs
SELECT key, position FROM jobs
WHERE key IN (SELECT value FROM json_each(:keys)) AND state = 'pending' AND listed = 1 AND blocked = 0
    AND ifnull(not_before, 0) <= :now AND route = :route
ORDER BY position LIMIT :limit;

-- name: begun_due
SELECT min(ifnull(not_before, 0.0)) FROM jobs
WHERE key IN (SELECT value FROM json_each(:keys)) AND state = 'pending' AND listed = 1 AND blocked = 0 AND route = :route;

-- name: routes
SELECT route FROM routes;

-- name: any_ready_job
SELECT 1 FROM jobs
WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NULL
    AND route = :route AND (:id IS NULL OR id GLOB :id)
LIMIT 1;

-- name: next_due_job
SELECT not_before FROM jobs
WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NOT NULL
    AND route = :route AND (:id IS NULL OR id GLOB :id)
ORDER BY not_before LIMIT 1;

-- name: open_attempts
SELECT jobs.*, a.id AS attempt_id, a.provider AS attempt_provider, a.task_id, a.started_at, a.counted, a.reserved, a.asked_again
FROM attempts AS a INDEXED BY attempts_open CROSS JOIN jobs ON jobs.key = a.job
WHERE a.outcome = 'open' ORDER BY a.id;

-- name: page_of_unpriced
-- What was paid, or may have been, before a price was known.
SELECT jobs.*, a.id AS attempt_id, a.provider AS attempt_provider, a.outcome, a.images, a.usage
FROM attempts AS a CROSS JOIN jobs ON jobs.key = a.job
WHERE a.id > :after AND ((a.outcome = 'succeeded' AND a.cost IS NULL) OR (a.unsettled = 1 AND a.reserved IS NULL))
ORDER BY a.id LIMIT :limit;

-- name: models_to_send
SELECT DISTINCT one.value AS provider, ifnull(each.value, jobs.model) AS model
FROM jobs CROSS JOIN json_each(jobs.providers) AS one
    LEFT JOIN json_each(jobs.request, '$.models') AS each ON each.key = one.value
WHERE listed = 1 AND state IN ('pending', 'running') ORDER BY 2, 1;

-- name: due_outputs
SELECT jobs.*, o.id AS output_id, o.position AS output_position, o.round AS output_round, o.url, o.alternatives, o.spool, o.expires_at,
    o.tries AS output_tries, a.id AS attempt_id, a.provider AS attempt_provider, a.task_id,
    a.gen_id, a.request_id, a.finished_at
FROM outputs AS o CROSS JOIN jobs ON jobs.key = o.job CROSS JOIN attempts AS a ON a.id = o.attempt
WHERE o.state = 'remote' AND o.not_before IS NULL
ORDER BY ifnull(o.expires_at, 1e18) LIMIT :limit;

-- name: retried_outputs
SELECT jobs.*, o.id AS output_id, o.position AS output_position, o.round AS output_round, o.url, o.alternatives, o.spool, o.expires_at,
    o.tries AS output_tries, a.id AS attempt_id, a.provider AS attempt_provider, a.task_id,
    a.gen_id, a.request_id, a.finished_at
FROM outputs AS o CROSS JOIN jobs ON jobs.key = o.job CROSS JOIN attempts AS a ON a.id = o.attempt
WHERE o.state = 'remote' AND o.not_before IS NOT NULL AND o.not_before <= :now
ORDER BY o.not_before LIMIT :limit;

-- name: ready_output_ids
SELECT id FROM outputs WHERE state = 'remote' AND not_before IS NULL LIMIT :limit;

-- name: next_due_output
SELECT not_before FROM outputs WHERE state = 'remote' AND not_before IS NOT NULL ORDER BY not_before LIMIT 1;
