-- The invariants at the end of a run; each row is one complaint.

-- name: check_running
SELECT 'job ' || id || ' is running without an open attempt' FROM jobs
WHERE state = 'running'
    AND NOT EXISTS (SELECT 1 FROM attempts AS a WHERE a.job = key AND a.outcome = 'open' AND a.round = jobs.round)
LIMIT 20;

-- name: check_open_attempts
SELECT 'job ' || j.id || ' is ' || j.state || ' with an open attempt' FROM attempts AS a JOIN jobs AS j ON j.key = a.job
WHERE a.outcome = 'open' AND a.round = j.round AND j.state <> 'running'
LIMIT 20;

-- name: check_images
SELECT 'job ' || id || ' is ' || state || ' with ' || saved || ' of ' || wanted || ' images saved and ' || remote || ' remote'
FROM (SELECT j.id, j.state, j.wanted, count(o.id) AS total, count(nullif(o.state = 'saved', 0)) AS saved,
          count(nullif(o.state = 'remote', 0)) AS remote
      FROM jobs AS j LEFT JOIN outputs AS o ON o.job = j.key AND o.round = j.round AND o.superseded = 0
      WHERE j.state IN ('done', 'generated') GROUP BY j.key)
WHERE total < wanted OR (state = 'done' AND saved < total) OR (state = 'generated' AND remote = 0)
LIMIT 20;

-- name: check_job_tally
SELECT 'the tally says ' || n || ' jobs are ' || state || ', the rows say ' || counted
FROM (SELECT state, n, (SELECT count(*) FROM jobs WHERE listed = 1 AND jobs.state = tally.state) AS counted
      FROM tally WHERE subject = 'job')
WHERE n <> counted;

-- name: check_output_tally
SELECT 'the tally says ' || n || ' outputs are ' || state || ', the rows say ' || counted
FROM (SELECT t.state, t.n, (SELECT count(*) FROM outputs AS o JOIN jobs AS j ON j.key = o.job
          WHERE o.state = t.state AND j.listed = 1 AND o.round = j.round AND o.superseded = 0) AS counted
      FROM tally AS t WHERE t.subject = 'output')
WHERE n <> counted;

-- name: check_attempt_tally
SELECT 'the tally says ' || n || ' attempts, the rows say ' || counted
FROM (SELECT n, (SELECT count(*) FROM attempts AS a JOIN jobs AS j ON j.key = a.job WHERE j.listed = 1) AS counted
      FROM tally WHERE subject = 'attempt')
WHERE n <> counted;

-- name: check_cost_tally
SELECT 'the tally says ' || state || ' cost ' || n || ', the attempts say ' || counted
FROM (SELECT state, n, (SELECT round(ifnull(sum(cost), 0), 6) FROM attempts AS a WHERE a.provider = tally.state) AS counted
      FROM tally WHERE subject = 'cost')
WHERE abs(n - counted) > 0.000001;

-- name: check_pending
SELECT 'job ' || id || ' is pending with all of its images' FROM jobs
WHERE state = 'pending'
    AND wanted <= (SELECT count(*) FROM outputs AS o WHERE o.job = key AND o.round = jobs.round AND o.superseded = 0)
LIMIT 20;
