"""PURE: what results mean. No input or output, no clock; time comes in as an argument."""
