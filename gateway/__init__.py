"""Valgnatt: the gateway between those who count votes and everyone who waits for the result."""

__version__ = "0.1.0"
