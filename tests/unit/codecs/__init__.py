"""The wire codecs, as tables of what was sent or received and what it must mean."""
