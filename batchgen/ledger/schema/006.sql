-- Sixth version: what the jobs were read from, so that a manifest that is still the same need not be read again
-- (with the note `reading`): the local pictures they refer to, as the file system told of them at that time.

CREATE TABLE pictures (
    path      TEXT PRIMARY KEY,
    digest    TEXT    NOT NULL,
    size      INTEGER NOT NULL,
    inode     INTEGER NOT NULL,
    modified  INTEGER NOT NULL,  -- nanoseconds
    changed   INTEGER NOT NULL,  -- nanoseconds
    looked_at REAL    NOT NULL
) WITHOUT ROWID;
