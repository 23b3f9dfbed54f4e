"""PURE: the formats on the wire. No input or output, no clock."""
