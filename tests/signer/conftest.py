"""Fixtures for a signer beside a journal in Postgres."""

from tests.journal.conftest import acts, journal, owner, pool, shared_database

__all__ = ["acts", "journal", "owner", "pool", "shared_database"]
