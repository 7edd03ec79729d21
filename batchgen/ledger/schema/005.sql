-- Fifth version: the most that a request may cost is in its row before it leaves, and what was paid is summed
-- by provider, for jobs that the manifest no longer lists too: that money is spent.

ALTER TABLE attempts ADD COLUMN reserved REAL;                           -- NULL: no price was known
ALTER TABLE attempts ADD COLUMN unsettled INTEGER NOT NULL DEFAULT 1;    -- 1: may be billed, and nobody knows yet, or ever
UPDATE attempts SET unsettled = (outcome IN ('open', 'unknown'));
CREATE INDEX attempts_unsettled ON attempts (reserved) WHERE unsettled = 1;

DROP TRIGGER job_charged;
DELETE FROM tally WHERE subject = 'cost';
INSERT INTO tally (subject, state, n)
SELECT 'cost', provider, round(sum(cost), 6) FROM attempts WHERE cost IS NOT NULL GROUP BY provider;
CREATE TRIGGER attempt_charged AFTER UPDATE OF cost ON attempts WHEN old.cost IS NOT new.cost BEGIN
    INSERT INTO tally (subject, state) VALUES ('cost', new.provider) ON CONFLICT DO NOTHING;
    UPDATE tally SET n = round(n + ifnull(new.cost, 0) - ifnull(old.cost, 0), 6)
        WHERE subject = 'cost' AND state = new.provider;
END;
