"""Transactions of SQLite files: of outboxes, and of what a witness has cosigned."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def write_transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Write all of the block or nothing, and leave no transaction open. Raises sqlite3.Error.

    The connection has no transactions of its own (`isolation_level=None`). No other process writes meanwhile.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # some errors, such as a full disk, end it
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise
