-- Second version: what a file is named by, what was remarked when it came, what it looks like, and what a
-- retry tried once more at no cost.

ALTER TABLE jobs ADD COLUMN apart INTEGER NOT NULL DEFAULT 0;        -- 1: an earlier job has the same file name
ALTER TABLE outputs ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]';  -- JSON list: remarks on the saved image
ALTER TABLE outputs ADD COLUMN came TEXT;                            -- SHA-256 of the bytes as they came
ALTER TABLE outputs ADD COLUMN look INTEGER;                         -- difference hash, 64 bits
ALTER TABLE outputs ADD COLUMN second_chance INTEGER NOT NULL DEFAULT 0;   -- 1: it was bad, and a retry fetches it once more
ALTER TABLE attempts ADD COLUMN asked_again INTEGER NOT NULL DEFAULT 0;    -- 1: a retry opened it again to ask for its task
UPDATE outputs SET came = sha256;
CREATE INDEX outputs_came ON outputs (came) WHERE came IS NOT NULL;
-- Hashes that differ in at most three bits agree in one of their four quarters.
CREATE INDEX outputs_look_1 ON outputs (look & 65535) WHERE look IS NOT NULL;
CREATE INDEX outputs_look_2 ON outputs (look >> 16 & 65535) WHERE look IS NOT NULL;
CREATE INDEX outputs_look_3 ON outputs (look >> 32 & 65535) WHERE look IS NOT NULL;
CREATE INDEX outputs_look_4 ON outputs (look >> 48 & 65535) WHERE look IS NOT NULL;
