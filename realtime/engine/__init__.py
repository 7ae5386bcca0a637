"""The engine: per process, async; fan-out, sending, group commit, lease and pulse."""
