-- Fourth version: what the traffic of each provider taught, by key and model, for the next run.

CREATE TABLE paces (
    provider     TEXT    NOT NULL,
    key_env      TEXT    NOT NULL,   -- the name of the key's variable; empty where none is taken
    model        TEXT    NOT NULL,
    places       INTEGER,            -- requests at once; NULL: nothing is known
    limited      INTEGER NOT NULL,   -- 1: the provider refused more than that
    paused_until REAL    NOT NULL,   -- the provider told to wait until then; 0: it did not
    PRIMARY KEY (provider, key_env, model)
) WITHOUT ROWID;
