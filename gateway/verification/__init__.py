"""Verification of a signed record by others than its operator, from what `docs/contract.md` guarantees alone."""
