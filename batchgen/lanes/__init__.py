"""The lanes of a run: one that submits per provider, one that downloads for all."""
