-- Orders to a run that is going on.

-- name: give_order
INSERT INTO orders (at, what, states, id_glob) VALUES (:at, :what, :states, :id);

-- name: take_orders
UPDATE orders SET taken_at = :at WHERE taken_at IS NULL RETURNING id, at, what, states, id_glob;

-- name: pending_jobs
SELECT key, id FROM jobs
WHERE state = 'pending' AND listed = 1 AND (:id IS NULL OR id GLOB :id)
ORDER BY position;

-- name: choices
SELECT DISTINCT model, ifnull(served_by, provider) AS provider, ratio FROM jobs WHERE listed = 1 LIMIT 500;
