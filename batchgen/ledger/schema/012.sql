-- Twelfth version: object stores. Each output says which one holds its image.

CREATE TABLE stores (
    id      INTEGER PRIMARY KEY,
    address TEXT NOT NULL UNIQUE        -- as in s3://bucket/prefix, below which `outputs.path` is
);
ALTER TABLE outputs ADD COLUMN store INTEGER REFERENCES stores (id);   -- NULL: the workspace
