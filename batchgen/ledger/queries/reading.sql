-- What the views ask.

-- name: last_run
SELECT id, started_at, pid, options, ended_at, exit_code, reason FROM runs ORDER BY id DESC LIMIT 1;

-- name: get_note
SELECT value FROM notes WHERE key = :key;

-- name: tally
SELECT subject, state, n FROM tally;

-- name: typical_seconds
-- Of the latest requests that brought images.
SELECT avg(finished_at - started_at) AS seconds, count(*) AS n FROM (
    SELECT finished_at, started_at FROM attempts WHERE provider = :provider AND outcome = 'succeeded'
    ORDER BY id DESC LIMIT :limit);

-- name: unsettled
SELECT count(*) AS n, round(ifnull(sum(reserved), 0), 6) AS most FROM attempts WHERE unsettled = 1;

-- name: link_deadlines
SELECT (SELECT min(expires_at) FROM outputs WHERE state = 'remote') AS next_expiry,
    (SELECT count(*) FROM outputs WHERE state = 'remote' AND expires_at < :soon) AS soon,
    (SELECT count(*) FROM outputs WHERE state = 'remote' AND expires_at < :now) AS past;

-- name: traffic
SELECT provider, concurrency, waiting_until, reason FROM traffic;

-- name: paces
SELECT provider, key_env, model, places, limited, paused_until FROM paces;

-- name: in_flight
SELECT provider, count(*) AS n FROM attempts WHERE outcome = 'open' GROUP BY provider;

-- name: page_of_jobs
SELECT * FROM jobs
WHERE (position, key) > (:position, :key) AND listed = :listed
    AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
    AND (:error IS NULL OR error_kind GLOB :error OR error_code GLOB :error)
    AND (:provider IS NULL OR ifnull(served_by, provider) GLOB :provider)
    AND (:model IS NULL OR model GLOB :model
        OR EXISTS (SELECT 1 FROM json_each(request, '$.models') AS m WHERE m.key = served_by AND m.value GLOB :model))
    AND (:id IS NULL OR id GLOB :id)
    AND (:ratio IS NULL OR ratio = :ratio)
    AND (:words IS NULL OR prompt LIKE :words ESCAPE '\' OR id LIKE :words ESCAPE '\')
    AND (NOT :warned OR warnings <> '[]' OR EXISTS (SELECT 1 FROM outputs AS o
            WHERE o.job = key AND o.round = jobs.round AND o.superseded = 0 AND o.warnings <> '[]'))
ORDER BY position, key LIMIT :limit;

-- name: warned_total
SELECT count(*) FROM jobs WHERE listed = 1 AND (warnings <> '[]' OR key IN (
    SELECT job FROM outputs AS o WHERE o.warnings <> '[]' AND o.counted = 1));

-- name: children
SELECT * FROM jobs WHERE parent = :id AND listed = 1 ORDER BY position LIMIT :limit;

-- name: replies_of
-- Every kept reply of one job.
SELECT a.number, r.text, r.received_at FROM replies AS r JOIN attempts AS a ON a.id = r.attempt
JOIN jobs AS j ON j.key = a.job WHERE j.id = :id ORDER BY a.number;

-- name: attempts_of
SELECT * FROM attempts WHERE job IN (SELECT value FROM json_each(:keys)) ORDER BY job, number;

-- name: outputs_of
SELECT o.*, s.address FROM outputs AS o JOIN jobs AS j ON j.key = o.job LEFT JOIN stores AS s ON s.id = o.store
WHERE o.job IN (SELECT value FROM json_each(:keys)) AND (:all OR (o.round = j.round AND o.superseded = 0))
ORDER BY o.job, o.round, o.position, o.id;

-- name: current_files
SELECT o.id, o.path FROM outputs AS o JOIN jobs AS j ON j.key = o.job
WHERE o.state = 'saved' AND o.store IS NULL AND o.round = j.round AND o.superseded = 0
    AND (:id IS NULL OR j.id GLOB :id);

-- name: current_objects
SELECT o.id, o.path FROM outputs AS o JOIN jobs AS j ON j.key = o.job
WHERE o.state = 'saved' AND o.store = (SELECT id FROM stores WHERE address = :address)
    AND o.round = j.round AND o.superseded = 0;

-- name: delivered_outputs
SELECT id FROM outputs WHERE id IN (SELECT value FROM json_each(:outputs)) AND state = 'saved';

-- name: delivered_attempts
SELECT a.id FROM attempts AS a WHERE a.id IN (SELECT value FROM json_each(:attempts)) AND a.outcome = 'succeeded'
    AND NOT EXISTS (SELECT 1 FROM outputs AS o WHERE o.attempt = a.id AND o.job = a.job AND o.state <> 'saved');

-- name: stores
SELECT address FROM stores ORDER BY id;

-- name: page_of_files
SELECT o.id, o.path, o.sha256, o.bytes, j.id AS job, (o.round = j.round AND NOT o.superseded) AS current, s.address
FROM outputs AS o JOIN jobs AS j ON j.key = o.job LEFT JOIN stores AS s ON s.id = o.store
WHERE o.id > :after AND o.state = 'saved' ORDER BY o.id LIMIT :limit;

-- name: reply
SELECT a.id AS attempt_id, a.provider AS attempt_provider, a.outcome, a.http_status, a.task_id, a.reserved, r.text, r.received_at, j.*
FROM replies AS r JOIN attempts AS a ON a.id = r.attempt JOIN jobs AS j ON j.key = a.job
WHERE r.attempt = :attempt;

-- name: page_of_replies
SELECT a.id AS attempt_id, a.provider AS attempt_provider, a.outcome, a.http_status, a.task_id, a.reserved, r.text, r.received_at, j.*
FROM replies AS r JOIN attempts AS a ON a.id = r.attempt JOIN jobs AS j ON j.key = a.job
WHERE a.id > :after AND j.listed = 1 AND a.round = j.round
    AND (:states IS NULL OR j.state IN (SELECT value FROM json_each(:states)))
    AND (:error IS NULL OR j.error_kind GLOB :error OR j.error_code GLOB :error)
    AND (:provider IS NULL OR ifnull(j.served_by, j.provider) GLOB :provider)
    AND (:model IS NULL OR j.model GLOB :model
        OR EXISTS (SELECT 1 FROM json_each(j.request, '$.models') AS m WHERE m.key = j.served_by AND m.value GLOB :model))
    AND (:id IS NULL OR j.id GLOB :id)
ORDER BY a.id LIMIT :limit;
