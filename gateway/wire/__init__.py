"""PURE: how it looks in bytes. No input or output, no clock."""
