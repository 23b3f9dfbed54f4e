"""Held reports in the journal: what an append and a decision do, and what nobody can change."""
