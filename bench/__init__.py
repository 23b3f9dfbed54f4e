"""Rehearsals of an installation, and measurements beside their ceilings and peers: `python -m bench`."""
