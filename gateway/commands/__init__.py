"""The commands of `valgnatt`, one module per group.

Modules that are slow to import are imported inside a command, so that `--help` stays fast.
"""
