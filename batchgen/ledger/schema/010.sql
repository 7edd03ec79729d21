-- Tenth version: what somebody who looks at the batch asks the run to do. The only table that others than the run write.

CREATE TABLE orders (
    id       INTEGER PRIMARY KEY,
    at       REAL NOT NULL,
    what     TEXT NOT NULL CHECK (what IN ('pause', 'resume', 'retry', 'cancel')),
    states   TEXT,                             -- JSON list: which jobs; NULL: all that the order can mean
    id_glob  TEXT,
    taken_at REAL                              -- when the run began to obey
);
CREATE INDEX orders_open ON orders (id) WHERE taken_at IS NULL;
