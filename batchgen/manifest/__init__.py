"""From the user's YAML, CSV, TSV or JSONL file to jobs: reading, checking, locating every mistake."""
