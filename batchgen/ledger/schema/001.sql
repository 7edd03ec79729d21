-- The ledger, first version. Times are epoch seconds (UTC), states are the words of the contract,
-- paths are relative to the workspace. Anyone may read this file while a run writes.

CREATE TABLE jobs (
    key           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    position      INTEGER NOT NULL,             -- place in the manifest
    listed        INTEGER NOT NULL DEFAULT 1,   -- 0: the manifest has it no more
    state         TEXT    NOT NULL DEFAULT 'pending' CHECK (state IN
        ('pending', 'running', 'generated', 'done', 'failed', 'refused', 'held', 'expired', 'cancelled')),
    provider      TEXT    NOT NULL,             -- the first of `providers`: claims go by it
    providers     TEXT    NOT NULL,             -- JSON list, first one first
    served_by     TEXT,                         -- provider of the last attempt of this round
    model         TEXT    NOT NULL,
    ratio         TEXT,
    prompt        TEXT    NOT NULL,
    request       TEXT    NOT NULL,             -- JSON: whatever else the job says
    parent        TEXT,                         -- id of the job named by `after`
    blocked       INTEGER NOT NULL DEFAULT 0,   -- 1 while that parent is not done
    wanted        INTEGER NOT NULL,             -- images
    fingerprint   TEXT    NOT NULL,             -- of what is sent
    round         INTEGER NOT NULL DEFAULT 1,   -- changes with the fingerprint
    tries         INTEGER NOT NULL DEFAULT 0,   -- attempts that count, since the last reset
    repeats       INTEGER NOT NULL DEFAULT 0,   -- times in a row that `last_error` came
    last_error    TEXT,                         -- kind|code|message
    not_before    REAL,
    error_kind    TEXT,
    error_code    TEXT,
    error_message TEXT,
    warnings      TEXT    NOT NULL DEFAULT '[]', -- JSON list
    cost          REAL                          -- of all its attempts
);
CREATE INDEX jobs_order ON jobs (position);
CREATE INDEX jobs_parent ON jobs (parent) WHERE parent IS NOT NULL;
-- Claims. A query must repeat the WHERE terms literally, or SQLite will not use the index.
CREATE INDEX jobs_ready ON jobs (provider, position)
    WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NULL;
CREATE INDEX jobs_waiting ON jobs (provider, not_before)
    WHERE state = 'pending' AND listed = 1 AND blocked = 0 AND not_before IS NOT NULL;
CREATE INDEX jobs_blocked ON jobs (position)
    WHERE state = 'pending' AND listed = 1 AND blocked = 1;

CREATE TABLE rounds (
    job         INTEGER NOT NULL REFERENCES jobs (key),
    round       INTEGER NOT NULL,
    fingerprint TEXT    NOT NULL,
    opened_at   REAL    NOT NULL,
    PRIMARY KEY (job, round)
) WITHOUT ROWID;

CREATE TABLE attempts (
    id              INTEGER PRIMARY KEY,
    job             INTEGER NOT NULL REFERENCES jobs (key),
    number          INTEGER NOT NULL,            -- 1.. over the life of the job
    round           INTEGER NOT NULL,
    provider        TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    counted         INTEGER NOT NULL,            -- 0: did not use up one of the job's tries
    task_id         TEXT,
    gen_id          TEXT,
    request_id      TEXT,
    http_status     INTEGER,
    outcome         TEXT    NOT NULL DEFAULT 'open' CHECK (outcome IN
        ('open', 'succeeded', 'failed', 'refused', 'unknown')),
    error_kind      TEXT,
    error_code      TEXT,
    error_message   TEXT,
    error_at        REAL,
    started_at      REAL    NOT NULL,
    finished_at     REAL,
    cost            REAL,
    images          INTEGER,
    usage           TEXT,                        -- the provider's own account, JSON
    UNIQUE (job, number)
);
CREATE INDEX attempts_open ON attempts (provider) WHERE outcome = 'open';

CREATE TABLE outputs (
    id            INTEGER PRIMARY KEY,
    job           INTEGER NOT NULL REFERENCES jobs (key),
    attempt       INTEGER NOT NULL REFERENCES attempts (id),
    round         INTEGER NOT NULL,
    position      INTEGER NOT NULL,              -- 0.. within the round
    url           TEXT,
    alternatives  TEXT    NOT NULL DEFAULT '[]', -- JSON list: other links to the same picture
    spool         TEXT,                          -- path of inline bytes, until they are saved
    expires_at    REAL,
    state         TEXT    NOT NULL DEFAULT 'remote' CHECK (state IN ('remote', 'saved', 'expired', 'bad')),
    path          TEXT,
    sha256        TEXT,
    bytes         INTEGER,
    width         INTEGER,
    height        INTEGER,
    format        TEXT,
    tries         INTEGER NOT NULL DEFAULT 0,
    not_before    REAL,
    error_kind    TEXT,
    error_code    TEXT,
    error_message TEXT,
    settled_at    REAL,                          -- when it was saved, or when its last download failed
    superseded    INTEGER NOT NULL DEFAULT 0,    -- 1: lost, and asked for anew in the same round
    counted       INTEGER NOT NULL               -- 1: of a listed job as it stands now
);
CREATE UNIQUE INDEX outputs_place ON outputs (job, round, position) WHERE superseded = 0;
CREATE INDEX outputs_job ON outputs (job);
CREATE INDEX outputs_links ON outputs (expires_at) WHERE state = 'remote';
CREATE INDEX outputs_due ON outputs (ifnull(expires_at, 1e18)) WHERE state = 'remote' AND not_before IS NULL;
CREATE INDEX outputs_waiting ON outputs (not_before) WHERE state = 'remote' AND not_before IS NOT NULL;

-- The last complete reply of an attempt, as text without its base64.
CREATE TABLE replies (
    attempt     INTEGER PRIMARY KEY REFERENCES attempts (id),
    text        TEXT NOT NULL,
    received_at REAL NOT NULL
);

CREATE TABLE runs (
    id         INTEGER PRIMARY KEY,
    started_at REAL    NOT NULL,
    pid        INTEGER NOT NULL,
    options    TEXT    NOT NULL,
    ended_at   REAL,
    exit_code  INTEGER,
    reason     TEXT
);

CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- How each provider's traffic stands, as the run last told.
CREATE TABLE traffic (
    provider      TEXT PRIMARY KEY,
    concurrency   INTEGER,
    waiting_until REAL,
    reason        TEXT
) WITHOUT ROWID;

-- Counts of what the manifest lists, kept by the triggers below, so that nobody counts rows.
CREATE TABLE tally (subject TEXT, state TEXT, n NUMERIC NOT NULL DEFAULT 0, PRIMARY KEY (subject, state)) WITHOUT ROWID;
INSERT INTO tally (subject, state) VALUES
    ('job', 'pending'), ('job', 'running'), ('job', 'generated'), ('job', 'done'), ('job', 'failed'),
    ('job', 'refused'), ('job', 'held'), ('job', 'expired'), ('job', 'cancelled'),
    ('output', 'remote'), ('output', 'saved'), ('output', 'expired'), ('output', 'bad'),
    ('attempt', ''), ('cost', '');

CREATE TRIGGER job_added AFTER INSERT ON jobs BEGIN
    UPDATE tally SET n = n + new.listed WHERE subject = 'job' AND state = new.state;
END;
CREATE TRIGGER job_moved AFTER UPDATE OF state, listed ON jobs
WHEN old.state <> new.state OR old.listed <> new.listed BEGIN
    UPDATE tally SET n = n - old.listed WHERE subject = 'job' AND state = old.state;
    UPDATE tally SET n = n + new.listed WHERE subject = 'job' AND state = new.state;
END;
CREATE TRIGGER job_charged AFTER UPDATE OF cost, listed ON jobs
WHEN old.cost IS NOT new.cost OR old.listed <> new.listed BEGIN
    UPDATE tally SET n = n - old.listed * ifnull(old.cost, 0) + new.listed * ifnull(new.cost, 0) WHERE subject = 'cost';
END;
CREATE TRIGGER job_listed AFTER UPDATE OF listed ON jobs WHEN old.listed <> new.listed BEGIN
    UPDATE tally SET n = n + (new.listed - old.listed) * (SELECT count(*) FROM attempts WHERE job = new.key)
        WHERE subject = 'attempt';
END;
CREATE TRIGGER job_redefined AFTER UPDATE OF listed, round ON jobs
WHEN old.listed <> new.listed OR old.round <> new.round BEGIN
    UPDATE outputs SET counted = (new.listed AND round = new.round AND NOT superseded) WHERE job = new.key;
END;
CREATE TRIGGER parent_done AFTER UPDATE OF state ON jobs WHEN (old.state = 'done') <> (new.state = 'done') BEGIN
    UPDATE jobs SET blocked = (new.state <> 'done') WHERE parent = new.id;
END;
CREATE TRIGGER attempt_added AFTER INSERT ON attempts BEGIN
    UPDATE tally SET n = n + (SELECT listed FROM jobs WHERE key = new.job) WHERE subject = 'attempt';
END;
CREATE TRIGGER output_added AFTER INSERT ON outputs BEGIN
    UPDATE tally SET n = n + new.counted WHERE subject = 'output' AND state = new.state;
END;
CREATE TRIGGER output_moved AFTER UPDATE OF state, counted ON outputs
WHEN old.state <> new.state OR old.counted <> new.counted BEGIN
    UPDATE tally SET n = n - old.counted WHERE subject = 'output' AND state = old.state;
    UPDATE tally SET n = n + new.counted WHERE subject = 'output' AND state = new.state;
END;
