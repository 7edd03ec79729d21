-- The steps of a job, its attempts and its outputs. Each names the state that it expects.

-- name: job
SELECT key, id, state, round, wanted, parent, fingerprint, error_kind, error_code, error_message FROM jobs WHERE key = :key;

-- name: move_job
UPDATE jobs SET state = :new WHERE key = :key AND state = :old;

-- name: move_clean
UPDATE jobs SET state = :new, tries = 0, repeats = 0, last_error = NULL, not_before = NULL,
    error_kind = NULL, error_code = NULL, error_message = NULL WHERE key = :key AND state = :old;

-- name: start_job
UPDATE jobs SET state = 'running', not_before = NULL, tries = tries + :counted, served_by = :provider
WHERE key = :key AND state = 'pending';

-- name: add_attempt
INSERT INTO attempts (job, number, round, provider, key_env, idempotency_key, counted, reserved, started_at)
SELECT key, 1 + (SELECT count(*) FROM attempts WHERE job = key), round, :provider, :key_env, :idempotency_key, :counted, :reserved, :at
FROM jobs WHERE key = :key RETURNING id;

-- name: attempt
SELECT id, job, round, provider, outcome, counted FROM attempts WHERE id = :attempt;

-- name: note_task
UPDATE attempts SET task_id = :task_id WHERE id = :attempt;

-- name: note_reply
UPDATE attempts SET http_status = :status, request_id = ifnull(:request_id, request_id) WHERE id = :attempt;

-- name: keep_reply
INSERT INTO replies (attempt, text, received_at) VALUES (:attempt, :text, :at)
ON CONFLICT (attempt) DO UPDATE SET text = excluded.text, received_at = excluded.received_at;

-- name: attempt_succeeded
UPDATE attempts SET outcome = 'succeeded', finished_at = :at, http_status = ifnull(:status, http_status),
    request_id = ifnull(:request_id, request_id), gen_id = ifnull(:gen_id, gen_id), usage = :usage,
    cost = :cost, unsettled = 0, images = :images, error_at = NULL, error_kind = NULL, error_code = NULL, error_message = NULL
WHERE id = :attempt AND outcome = :expected;

-- name: attempt_ended
UPDATE attempts SET outcome = :outcome, finished_at = :at, error_at = :at, counted = :counted, unsettled = :unsettled, http_status = ifnull(http_status, :status),
    request_id = ifnull(request_id, :request_id),
    error_kind = :error_kind, error_code = :error_code, error_message = :error_message
WHERE id = :attempt AND outcome = 'open';

-- name: attempt_kept_open
UPDATE attempts SET error_at = :at, error_kind = :error_kind, error_code = :error_code, error_message = :error_message
WHERE id = :attempt AND outcome = 'open';

-- name: charge_job
UPDATE jobs SET cost = round(ifnull(cost, 0) + :cost, 6) WHERE key = :key;

-- name: price_attempt
UPDATE attempts SET cost = :cost, reserved = :reserved WHERE id = :attempt;

-- name: note_error
UPDATE jobs SET error_kind = :error_kind, error_code = :error_code, error_message = :error_message WHERE key = :key;

-- name: settle_job
-- With a new `route` the job goes to other providers, where its tries are counted anew.
UPDATE jobs SET state = :state, not_before = :not_before, route = ifnull(:route, route),
    tries = CASE WHEN :route IS NULL THEN max(0, tries + :more_tries) ELSE 0 END,
    repeats = CASE WHEN NOT :counted THEN repeats WHEN last_error IS :signature THEN repeats + 1 ELSE 1 END,
    last_error = CASE WHEN :counted THEN :signature ELSE last_error END,
    error_kind = :error_kind, error_code = :error_code, error_message = :error_message
WHERE key = :key AND state = 'running';

-- name: keep_route
INSERT OR IGNORE INTO routes (route) VALUES (:route);

-- name: end_pending
UPDATE jobs SET state = :state, not_before = NULL,
    error_kind = :error_kind, error_code = :error_code, error_message = :error_message
WHERE key = :key AND state = 'pending';

-- name: add_output
INSERT INTO outputs (job, attempt, round, position, url, alternatives, spool, expires_at, counted)
SELECT key, :attempt, :round, :position, :url, :alternatives, :spool, :expires_at, (listed AND round = :round)
FROM jobs WHERE key = :key RETURNING id;

-- name: taken_positions
SELECT position FROM outputs WHERE job = :key AND round = :round AND superseded = 0;

-- name: count_outputs
SELECT sum(state = 'remote') AS remote, sum(state = 'saved') AS saved,
    sum(state = 'expired') AS expired, sum(state = 'bad') AS bad
FROM outputs WHERE job = :key AND round = :round AND superseded = 0;

-- name: output
SELECT id, job, round, position, superseded, state FROM outputs WHERE id = :output;

-- name: output_saved
UPDATE outputs SET state = 'saved', path = :path, sha256 = :sha256, bytes = :bytes, width = :width, height = :height,
    format = :format, store = (SELECT id FROM stores WHERE address = :store), came = :came, look = :look, warnings = :warnings, settled_at = :at, not_before = NULL, spool = NULL, second_chance = 0,
    error_kind = NULL, error_code = NULL, error_message = NULL
WHERE id = :output AND state = 'remote';

-- name: keep_store
INSERT OR IGNORE INTO stores (address) VALUES (:store);

-- name: same_bytes
SELECT j.id AS job, o.position FROM outputs AS o JOIN jobs AS j ON j.key = o.job
WHERE o.came = :came AND o.id <> :output ORDER BY o.id LIMIT 1;

-- name: like_looks
SELECT o.look, j.id AS job, o.position FROM outputs AS o JOIN jobs AS j ON j.key = o.job
WHERE o.id <> :output AND o.id IN (
    SELECT id FROM outputs WHERE look IS NOT NULL AND look & 65535 = :look & 65535
    UNION SELECT id FROM outputs WHERE look IS NOT NULL AND look >> 16 & 65535 = :look >> 16 & 65535
    UNION SELECT id FROM outputs WHERE look IS NOT NULL AND look >> 32 & 65535 = :look >> 32 & 65535
    UNION SELECT id FROM outputs WHERE look IS NOT NULL AND look >> 48 & 65535 = :look >> 48 & 65535)
ORDER BY o.id;

-- name: output_failed
UPDATE outputs SET state = :state, settled_at = :at, tries = tries + 1, not_before = :not_before,
    error_kind = :error_kind, error_code = :error_code, error_message = :error_message
WHERE id = :output AND state = 'remote';

-- name: output_lost
UPDATE outputs SET state = 'remote', path = NULL, store = NULL, sha256 = NULL, bytes = NULL, tries = 0, not_before = NULL
WHERE id = :output AND state = 'saved' AND url IS NOT NULL;

-- name: links_of_attempt
SELECT id, state FROM outputs WHERE attempt = :attempt AND job = :key AND superseded = 0 ORDER BY position;

-- name: fresh_link
UPDATE outputs SET state = 'remote', url = :url, alternatives = :alternatives, spool = :spool, expires_at = :expires_at,
    settled_at = NULL, not_before = NULL, tries = 0, error_kind = NULL, error_code = NULL, error_message = NULL
WHERE id = :output AND state IN ('remote', 'expired');

-- name: retryable_keys
SELECT key, state FROM jobs
WHERE state IN (SELECT value FROM json_each(:states)) AND listed = 1
    AND (:error IS NULL OR error_kind GLOB :error OR error_code GLOB :error)
    AND (:provider IS NULL OR ifnull(served_by, provider) GLOB :provider)
    AND (:model IS NULL OR model GLOB :model
        OR EXISTS (SELECT 1 FROM json_each(request, '$.models') AS m WHERE m.key = served_by AND m.value GLOB :model))
    AND (:id IS NULL OR id GLOB :id);

-- name: reset_job
UPDATE jobs SET state = :new, tries = :tries, repeats = 0, last_error = NULL, not_before = NULL,
    route = (SELECT group_concat(value, ' > ') FROM json_each(providers)),
    error_kind = NULL, error_code = NULL, error_message = NULL
WHERE key = :key AND state = :old;

-- name: second_chance
UPDATE outputs SET state = 'remote', tries = 0, not_before = NULL, settled_at = NULL, second_chance = 1,
    error_kind = NULL, error_code = NULL, error_message = NULL
WHERE job = :key AND round = (SELECT round FROM jobs WHERE key = :key) AND superseded = 0
    AND state = 'bad' AND second_chance = 0
    AND (spool IS NOT NULL OR (url IS NOT NULL AND (expires_at IS NULL OR expires_at > :at)));

-- name: reopen_attempt
-- The last attempt of the round, if its provider can be asked for its task. Who would send the job the next
-- time asks only once, and not for a task that the provider did not know; who only asks may do so ever again.
UPDATE attempts SET outcome = 'open', finished_at = NULL, asked_again = 1 + :only_ask, unsettled = 1
WHERE id = (SELECT a.id FROM attempts AS a JOIN jobs AS j ON j.key = a.job AND j.round = a.round
            WHERE j.key = :key ORDER BY a.number DESC LIMIT 1)
    AND outcome IN ('failed', 'unknown') AND task_id IS NOT NULL
    AND provider IN (SELECT value FROM json_each(:askable))
    AND (:only_ask OR (asked_again = 0 AND error_kind IS NOT 'task_unknown'))
    AND (error_kind IN ('unfinished', 'interrupted') OR (SELECT state FROM jobs WHERE key = :key) = 'held')
RETURNING id, counted;

-- name: unfetched_outputs
-- Of jobs as they stand: what was given up, and what waits to be tried again.
SELECT o.id, o.job FROM outputs AS o JOIN jobs AS j ON j.key = o.job AND j.round = o.round
WHERE o.superseded = 0 AND j.listed = 1 AND (:id IS NULL OR j.id GLOB :id)
    AND o.state IN ('bad', 'expired', 'remote') AND (o.state <> 'remote' OR o.tries > 0)
    AND (o.url IS NOT NULL OR o.spool IS NOT NULL);

-- name: fetch_output_again
UPDATE outputs SET second_chance = max(second_chance, state = 'bad'), state = 'remote', tries = 0, not_before = NULL, settled_at = NULL,
    error_kind = NULL, error_code = NULL, error_message = NULL
WHERE id = :output AND state <> 'saved';

-- name: askable_jobs
-- Jobs that ended while their last task perhaps went on.
SELECT j.key, j.state FROM jobs AS j
WHERE j.state IN ('held', 'failed') AND j.listed = 1 AND (:id IS NULL OR j.id GLOB :id)
ORDER BY j.position;

-- name: supersede_lost
UPDATE outputs SET superseded = 1, counted = 0
WHERE job = :key AND state IN ('expired', 'bad') AND round = (SELECT round FROM jobs WHERE key = :key);

-- name: open_run
INSERT INTO runs (started_at, pid, options) VALUES (:at, :pid, :options) RETURNING id;

-- name: close_run
UPDATE runs SET ended_at = :at, exit_code = :exit_code, reason = :reason WHERE id = :run;

-- name: put_note
INSERT INTO notes (key, value) VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: put_traffic
INSERT INTO traffic (provider, concurrency, waiting_until, reason) VALUES (:provider, :concurrency, :waiting_until, :reason)
ON CONFLICT (provider) DO UPDATE SET concurrency = excluded.concurrency, waiting_until = excluded.waiting_until,
    reason = excluded.reason;

-- name: put_pace
INSERT INTO paces (provider, key_env, model, places, limited, paused_until)
VALUES (:provider, :key_env, :model, :places, :limited, :paused_until)
ON CONFLICT (provider, key_env, model) DO UPDATE SET places = excluded.places, limited = excluded.limited,
    paused_until = excluded.paused_until;

-- name: keep_round
INSERT OR IGNORE INTO rounds (job, round, fingerprint) SELECT key, round, fingerprint FROM jobs WHERE key = :key;

-- name: add_round
INSERT INTO rounds (job, round, fingerprint)
SELECT :key, max(round) + 1, :fingerprint FROM rounds WHERE job = :key RETURNING round;

-- name: enter_round
UPDATE jobs SET round = :round, fingerprint = :fingerprint, state = :state, tries = 0, repeats = 0, last_error = NULL,
    not_before = NULL, route = (SELECT group_concat(value, ' > ') FROM json_each(providers)),
    served_by = (SELECT provider FROM attempts WHERE job = :key AND round = :round
                                    ORDER BY number DESC LIMIT 1),
    error_kind = :error_kind, error_code = :error_code, error_message = :error_message
WHERE key = :key;

-- name: last_attempt
SELECT outcome, error_kind, error_code, error_message FROM attempts
WHERE job = :key AND round = :round ORDER BY number DESC LIMIT 1;

-- name: lost_output
SELECT error_kind, error_code, error_message FROM outputs
WHERE job = :key AND round = :round AND superseded = 0 AND state IN ('expired', 'bad') ORDER BY state DESC, position LIMIT 1;
