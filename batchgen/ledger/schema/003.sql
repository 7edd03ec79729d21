-- Third version: which of several keys an attempt went with.

ALTER TABLE attempts ADD COLUMN key_env TEXT;   -- the name of the key's variable, never the key
