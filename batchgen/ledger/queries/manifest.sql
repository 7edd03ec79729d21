-- Reading the manifest into the ledger.

-- name: forget_reading
DELETE FROM notes WHERE key = 'reading';

-- name: forget_pictures
DELETE FROM pictures;

-- name: note_reading
INSERT INTO notes (key, value) VALUES ('reading', :text);

-- name: note_picture
INSERT OR REPLACE INTO pictures (path, digest, size, inode, modified, changed, looked_at)
VALUES (:path, :digest, :size, :inode, :modified, :changed, :looked_at);

-- name: pictures
SELECT * FROM pictures;

-- name: open_seen
CREATE TEMP TABLE IF NOT EXISTS seen (key INTEGER PRIMARY KEY);

-- name: forget_seen
DELETE FROM temp.seen;

-- name: open_staged
CREATE TEMP TABLE IF NOT EXISTS staged (id, position, prompt, fingerprint, kind);

-- name: open_kinds
CREATE TEMP TABLE IF NOT EXISTS kinds (kind INTEGER PRIMARY KEY, provider, providers, route, model, ratio, request, parent,
    wanted, warnings, apart);

-- name: open_listed
CREATE TEMP VIEW IF NOT EXISTS listed AS
SELECT s.rowid AS number, s.id, s.position, k.provider, k.providers, k.route, k.model, k.ratio, s.prompt, k.request, k.parent,
    k.wanted, s.fingerprint, k.warnings, k.apart
FROM temp.staged AS s CROSS JOIN temp.kinds AS k ON k.kind = s.kind;

-- name: forget_staged
DELETE FROM temp.staged;

-- name: forget_kinds
DELETE FROM temp.kinds;

-- name: stage
INSERT INTO temp.staged VALUES (?, ?, ?, ?, ?);

-- name: stage_kind
INSERT INTO temp.kinds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: last_key
SELECT ifnull(max(key), 0) FROM jobs;

-- name: known_jobs
SELECT * FROM jobs WHERE id IN (SELECT value FROM json_each(:ids));

-- name: see_known
INSERT INTO temp.seen (key) SELECT j.key FROM temp.staged AS s CROSS JOIN jobs AS j ON j.id = s.id WHERE j.key <= :before;

-- name: staged_otherwise
SELECT s.*, j.key, j.fingerprint <> s.fingerprint AS redefined FROM temp.listed AS s CROSS JOIN jobs AS j ON j.id = s.id
WHERE j.key <= :before
    AND (j.listed = 0 OR j.fingerprint <> s.fingerprint OR j.position <> s.position OR j.provider <> s.provider
         OR j.providers <> s.providers OR j.model <> s.model OR j.ratio IS NOT s.ratio OR j.prompt <> s.prompt
         OR j.request <> s.request OR j.parent IS NOT s.parent OR j.wanted <> s.wanted OR j.warnings <> s.warnings
         OR j.apart <> s.apart);

-- name: forget_known
DELETE FROM temp.staged WHERE EXISTS (SELECT 1 FROM jobs WHERE jobs.id = staged.id AND jobs.key <= :before);

-- name: add_jobs
INSERT INTO jobs (id, position, provider, providers, route, model, ratio, prompt, request, parent, wanted, fingerprint, warnings, apart, blocked)
SELECT id, position, provider, providers, route, model, ratio, prompt, request, parent, wanted, fingerprint, warnings, apart,
    parent IS NOT NULL
FROM temp.listed ORDER BY number;

-- name: keep_routes
INSERT OR IGNORE INTO routes (route) SELECT DISTINCT route FROM temp.kinds;

-- name: count_added
UPDATE tally SET n = n + :added WHERE subject = 'job' AND state = 'pending';

-- name: refresh_job
UPDATE jobs SET listed = 1, position = :position, provider = :provider, providers = :providers,
    route = CASE WHEN providers = :providers THEN route ELSE :route END, model = :model,
    ratio = :ratio, prompt = :prompt, request = :request, parent = :parent, wanted = :wanted, warnings = :warnings, apart = :apart,
    blocked = blocked AND :parent IS NOT NULL
WHERE key = :key AND fingerprint = :fingerprint;

-- name: unlist_unseen
UPDATE jobs SET listed = 0 WHERE listed = 1 AND key <= :before AND key NOT IN (SELECT key FROM temp.seen);

-- name: outstanding
SELECT '' AS id, '' AS prompt, providers, model, ratio, parent, wanted, warnings, request, missing,
    count(*) AS jobs, sum(prompt_bytes) AS prompt_bytes
FROM (SELECT providers, model, ratio, CASE WHEN parent IS NOT NULL THEN '' END AS parent, wanted, warnings,
          position,
          CASE WHEN request LIKE '%"meta":%' THEN json_remove(request, '$.meta') ELSE request END AS request,
          length(CAST(prompt AS BLOB)) AS prompt_bytes,
          -- Of a request that is open nothing is asked for; it only may come back.
          CASE WHEN state = 'running' THEN 0
               WHEN wanted = 1 THEN 1
               ELSE wanted - (SELECT count(*) FROM outputs AS o WHERE o.job = jobs.key AND o.round = jobs.round AND o.superseded = 0)
          END AS missing
      FROM jobs WHERE key > :after AND key <= :after + :keys AND state IN ('pending', 'running') AND listed = 1)
GROUP BY providers, model, ratio, parent, wanted, warnings, request, missing ORDER BY min(position);

-- name: longest_chain
-- How many jobs that are to be sent stand one behind the other, at the most; NULL: none waits for another.
WITH RECURSIVE chain (id, turns) AS (
    SELECT p.id, 1 FROM jobs AS c INDEXED BY jobs_blocked CROSS JOIN jobs AS p ON p.id = c.parent
    WHERE c.state = 'pending' AND c.listed = 1 AND c.blocked = 1
        AND NOT (p.state = 'pending' AND p.blocked = 1)
    UNION
    SELECT c.id, chain.turns + 1 FROM chain JOIN jobs AS c ON c.parent = chain.id
    WHERE c.state = 'pending' AND c.listed = 1 AND c.blocked = 1)
SELECT max(turns) FROM chain;

-- name: listed_total
SELECT sum(n) FROM tally WHERE subject = 'job';

-- name: rounds_of
SELECT round FROM rounds WHERE job = :key AND fingerprint = :fingerprint ORDER BY round DESC;

-- name: block_children
UPDATE jobs SET blocked = NOT blocked
WHERE parent IS NOT NULL
    AND blocked = EXISTS (SELECT 1 FROM jobs AS p WHERE p.id = jobs.parent AND p.state = 'done');
