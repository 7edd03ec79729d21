-- Thirteenth version: an order may also ask for what is free again, and what that opens is never sent anew
-- (`attempts.asked_again` is 2 then).

DROP INDEX orders_open;
ALTER TABLE orders RENAME TO earlier_orders;
CREATE TABLE orders (
    id       INTEGER PRIMARY KEY,
    at       REAL NOT NULL,
    what     TEXT NOT NULL CHECK (what IN ('pause', 'resume', 'retry', 'fetch', 'cancel')),
    states   TEXT,                             -- JSON list: which jobs; NULL: all that the order can mean
    id_glob  TEXT,
    taken_at REAL                              -- when the run began to obey
);
INSERT INTO orders SELECT id, at, what, states, id_glob, taken_at FROM earlier_orders;
DROP TABLE earlier_orders;
CREATE INDEX orders_open ON orders (id) WHERE taken_at IS NULL;
