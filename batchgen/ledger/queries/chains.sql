-- Jobs that edit the image of another: who waits, who can't go on, what a parent left for its child.

-- name: any_child
SELECT 1 FROM jobs WHERE parent IS NOT NULL AND listed = 1 LIMIT 1;

-- name: any_waiting_child
SELECT 1 FROM jobs
WHERE state = 'pending' AND listed = 1 AND blocked = 1 AND route = :route AND (:id IS NULL OR id GLOB :id)
LIMIT 1;

-- name: count_waiting_children
SELECT count(*) FROM jobs INDEXED BY jobs_blocked WHERE state = 'pending' AND listed = 1 AND blocked = 1;

-- name: any_open_attempt
SELECT 1 FROM attempts WHERE outcome = 'open' LIMIT 1;

-- name: pending_children
SELECT key, id FROM jobs WHERE parent = :parent AND state = 'pending' AND listed = 1 ORDER BY key;

-- name: cancelled_children
SELECT c.key, c.state FROM jobs AS p JOIN jobs AS c ON c.parent = p.id
WHERE p.key = :key AND c.state = 'cancelled' AND c.error_kind = 'parent' AND c.listed = 1;

-- name: lost_parents
-- Parents that ended without an image while a child of theirs still waits.
SELECT DISTINCT p.key FROM jobs AS c INDEXED BY jobs_blocked CROSS JOIN jobs AS p ON p.id = c.parent
WHERE c.state = 'pending' AND c.listed = 1 AND c.blocked = 1
    AND p.state IN ('failed', 'refused', 'held', 'expired', 'cancelled');

-- name: hopeful_parents
-- Parents that go on, or are done, while a child of theirs is still cancelled because of them.
SELECT DISTINCT p.key FROM jobs AS c JOIN jobs AS p ON p.id = c.parent
WHERE c.state = 'cancelled' AND c.error_kind = 'parent' AND c.listed = 1
    AND p.state IN ('pending', 'running', 'generated', 'done');

-- name: job_by_id
SELECT * FROM jobs WHERE id = :id;

-- name: origin
SELECT jobs.*, o.path, s.address, a.provider AS attempt_provider, a.gen_id, a.images, r.text AS reply
FROM jobs JOIN outputs AS o ON o.job = jobs.key AND o.round = jobs.round AND o.superseded = 0
    JOIN attempts AS a ON a.id = o.attempt LEFT JOIN replies AS r ON r.attempt = a.id
    LEFT JOIN stores AS s ON s.id = o.store
WHERE jobs.id = :id AND o.position = :position AND o.state = 'saved';
