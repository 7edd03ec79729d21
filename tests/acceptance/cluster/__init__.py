"""Tests of `run --engine ray` on a real cluster on this machine; skipped where the extra `ray` is not installed."""
