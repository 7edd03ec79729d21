-- Several ledgers into a new one. `shard` is the attached ledger of one shard; keys and ids go on after those that
-- are there already. Every column is named: a test fails when the schema gets one that is not here.

-- name: attach_shard
ATTACH DATABASE :ledger AS shard;

-- name: detach_shard
DETACH DATABASE shard;

-- name: open_merging
CREATE TEMP TABLE skipped (key INTEGER PRIMARY KEY);

-- name: open_moved
CREATE TEMP TABLE moved (old TEXT PRIMARY KEY, new TEXT NOT NULL) WITHOUT ROWID;

-- name: open_came
CREATE TEMP TABLE came (started_at, pid, options, ended_at, exit_code, reason);

-- name: notes
SELECT key, value FROM notes;

-- name: shard_files
SELECT o.path, o.sha256, o.round = j.round AND NOT o.superseded AND j.listed AS current
FROM shard.outputs AS o JOIN shard.jobs AS j ON j.key = o.job WHERE o.path IS NOT NULL AND o.store IS NULL;

-- name: shard_spools
SELECT DISTINCT spool FROM shard.outputs WHERE spool IS NOT NULL;

-- name: shard_open_attempts
SELECT id FROM shard.attempts WHERE outcome = 'open';

-- name: note_moved
INSERT INTO temp.moved (old, new) VALUES (:old, :new);

-- name: merge_offsets
SELECT (SELECT ifnull(max(key), 0) FROM main.jobs) AS jobs, (SELECT ifnull(max(id), 0) FROM main.attempts) AS attempts,
    (SELECT ifnull(max(id), 0) FROM main.outputs) AS outputs;

-- name: any_job_twice
SELECT 1 FROM shard.jobs AS s JOIN main.jobs AS m ON m.id = s.id LIMIT 1;

-- name: skip_unsent_twice
-- Of a job that is in two shards, because `after` was changed between their runs, the one that was sent stays.
INSERT INTO temp.skipped (key)
SELECT s.key FROM shard.jobs AS s JOIN main.jobs AS m ON m.id = s.id
WHERE NOT EXISTS (SELECT 1 FROM shard.attempts AS a WHERE a.job = s.key);

-- name: unlist_unsent_twice
UPDATE main.jobs SET listed = 0
WHERE id IN (SELECT id FROM shard.jobs WHERE key NOT IN (SELECT key FROM temp.skipped))
    AND NOT EXISTS (SELECT 1 FROM main.attempts AS a WHERE a.job = key);

-- name: drop_unsent_rounds
DELETE FROM main.rounds
WHERE job IN (SELECT m.key FROM main.jobs AS m JOIN shard.jobs AS s ON s.id = m.id
              WHERE s.key NOT IN (SELECT key FROM temp.skipped)
                  AND NOT EXISTS (SELECT 1 FROM main.attempts AS a WHERE a.job = m.key));

-- name: drop_unsent_twice
DELETE FROM main.jobs
WHERE id IN (SELECT id FROM shard.jobs WHERE key NOT IN (SELECT key FROM temp.skipped))
    AND NOT EXISTS (SELECT 1 FROM main.attempts AS a WHERE a.job = key);

-- name: sent_twice
SELECT s.id, s.state, m.state AS other FROM shard.jobs AS s JOIN main.jobs AS m ON m.id = s.id
WHERE s.key NOT IN (SELECT key FROM temp.skipped) LIMIT 20;

-- name: merge_jobs
INSERT INTO main.jobs (key, id, position, listed, state, provider, providers, served_by, model, ratio, prompt, request,
    parent, blocked, wanted, fingerprint, round, tries, repeats, last_error, not_before, error_kind, error_code,
    error_message, warnings, cost, apart, route)
SELECT key + :jobs, id, position, listed, state, provider, providers, served_by, model, ratio, prompt, request,
    parent, blocked, wanted, fingerprint, round, tries, repeats, last_error, not_before, error_kind, error_code,
    error_message, warnings, cost, apart, route
FROM shard.jobs WHERE key NOT IN (SELECT key FROM temp.skipped) ORDER BY key;

-- name: merge_counts
INSERT INTO main.tally (subject, state, n)
SELECT 'job', state, count(*) FROM shard.jobs WHERE listed = 1 AND key NOT IN (SELECT key FROM temp.skipped) GROUP BY state
ON CONFLICT (subject, state) DO UPDATE SET n = n + excluded.n;

-- name: merge_rounds
INSERT INTO main.rounds (job, round, fingerprint)
SELECT job + :jobs, round, fingerprint
FROM shard.rounds WHERE job NOT IN (SELECT key FROM temp.skipped) ORDER BY job, round;

-- name: merge_attempts
INSERT INTO main.attempts (id, job, number, round, provider, idempotency_key, counted, task_id, gen_id, request_id,
    http_status, outcome, error_kind, error_code, error_message, error_at, started_at, finished_at, cost, images, usage,
    asked_again, key_env, reserved, unsettled)
SELECT id + :attempts, job + :jobs, number, round, provider, idempotency_key, counted, task_id, gen_id, request_id,
    http_status, outcome, error_kind, error_code, error_message, error_at, started_at, finished_at, cost, images, usage,
    asked_again, key_env, reserved, unsettled
FROM shard.attempts ORDER BY id;

-- name: merge_stores
INSERT OR IGNORE INTO main.stores (address) SELECT address FROM shard.stores ORDER BY id;

-- name: merge_outputs
-- What is in an object store stays there; files of the workspace may have got other names.
INSERT INTO main.outputs (id, job, attempt, round, position, url, alternatives, spool, expires_at, state, path, sha256,
    bytes, width, height, format, tries, not_before, error_kind, error_code, error_message, settled_at, superseded,
    counted, warnings, came, look, second_chance, store)
SELECT id + :outputs, job + :jobs, attempt + :attempts, round, position, url, alternatives,
    (SELECT new FROM temp.moved WHERE old = spool), expires_at, state,
    ifnull((SELECT new FROM temp.moved WHERE old = path AND store IS NULL), path), sha256,
    bytes, width, height, format, tries, not_before, error_kind, error_code, error_message, settled_at, superseded,
    counted, warnings, came, look, second_chance,
    (SELECT m.id FROM main.stores AS m JOIN shard.stores AS s ON s.address = m.address WHERE s.id = store)
FROM shard.outputs ORDER BY id;

-- name: merge_replies
INSERT INTO main.replies (attempt, text, received_at)
SELECT attempt + :attempts, text, received_at FROM shard.replies ORDER BY attempt;

-- name: merge_costs
INSERT INTO main.tally (subject, state, n) SELECT subject, state, n FROM shard.tally WHERE subject = 'cost'
ON CONFLICT (subject, state) DO UPDATE SET n = round(n + excluded.n, 6);

-- name: merge_routes
INSERT OR IGNORE INTO main.routes (route) SELECT route FROM shard.routes;

-- name: merge_paces
-- What one process was served at once, and not what all of them may have been: the next run begins with it.
INSERT INTO main.paces (provider, key_env, model, places, limited, paused_until)
SELECT provider, key_env, model, places, limited, paused_until FROM shard.paces WHERE true
ON CONFLICT (provider, key_env, model) DO UPDATE SET limited = max(limited, excluded.limited),
    places = max(ifnull(places, excluded.places), ifnull(excluded.places, places)),
    paused_until = max(paused_until, excluded.paused_until);

-- name: merge_traffic
-- A shard that has something to tell of a provider is heard before one that has not.
INSERT INTO main.traffic (provider, concurrency, waiting_until, reason)
SELECT provider, concurrency, waiting_until, reason FROM shard.traffic WHERE true
ON CONFLICT (provider) DO UPDATE SET concurrency = excluded.concurrency, waiting_until = excluded.waiting_until,
    reason = excluded.reason WHERE excluded.reason IS NOT NULL OR reason IS NULL;

-- name: note_runs
-- One that was killed has no end; its process number may be anybody's on this machine.
INSERT INTO temp.came (started_at, pid, options, ended_at, exit_code, reason)
SELECT started_at, pid, options,
    ifnull(ended_at, max(started_at, ifnull((SELECT max(a.started_at) FROM shard.attempts AS a), 0))), exit_code,
    CASE WHEN ended_at IS NULL THEN 'it was killed' ELSE reason END
FROM shard.runs;

-- name: merge_runs
INSERT INTO main.runs (started_at, pid, options, ended_at, exit_code, reason)
SELECT started_at, pid, options, ended_at, exit_code, reason FROM temp.came ORDER BY started_at;

-- name: forget_skipped
DELETE FROM temp.skipped;

-- name: forget_moved
DELETE FROM temp.moved;
