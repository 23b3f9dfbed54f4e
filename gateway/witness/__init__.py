"""A witness of logs: cosigns checkpoints, each of which must be consistent with the one before."""
