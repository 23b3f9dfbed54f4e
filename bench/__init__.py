"""Measurements, each beside the ceiling of its kind in the same run: `python -m bench`, or one by its name."""
