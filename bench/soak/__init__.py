"""Soak: the night's load repeated for --hours; what grows: memory, descriptors, tables, logs, latencies."""
