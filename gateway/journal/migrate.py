"""Numbered SQL, applied once each, in order, under an advisory lock, and never changed afterwards."""

import hashlib
from importlib import resources

import asyncpg

from gateway.errors import Refused
from gateway.journal.connection import Connection, answering, connect

_LOCK = 0x56414C47  # "VALG"


def migrations() -> list[tuple[int, str, str]]:
    """Return number, name and SQL of each migration, in order."""
    entries = resources.files("gateway.journal").joinpath("migrations").iterdir()
    found = [
        (int(entry.name[:4]), entry.name, entry.read_text("utf-8"))
        for entry in entries
        if entry.name.endswith(".sql")
    ]
    return sorted(found)


async def migrate(url: str) -> list[str]:
    """Bring a database up to date and return the names of the migrations that were applied.

    Safe beside others that do the same, and beside an older process that still runs.
    Raises Refused when a migration applied earlier is not the one this program knows, the database is newer, or a right
    is missing; JournalUnavailable.
    """
    connection = await connect(url, patience_s=600.0)
    try:
        await _require_supported(connection)
        with answering():
            await connection.execute("SET lock_timeout = 0")
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK, timeout=120)
            try:
                return await _apply(connection)
            except asyncpg.InsufficientPrivilegeError as error:
                raise Refused(f"{error.args[0]}{f' ({error.hint})' if error.hint else ''}") from error
    finally:
        connection.terminate()


async def _require_supported(connection: Connection) -> None:
    if connection.get_server_version().major < 15:
        raise Refused(f"Postgres {connection.get_server_version().major} is too old; 15 or newer is needed")


async def _apply(connection: Connection) -> list[str]:
    if await connection.fetchval("SELECT to_regclass('valgnatt.migration')") is None:
        await connection.execute("CREATE SCHEMA IF NOT EXISTS valgnatt")
        await connection.execute(
            "CREATE TABLE valgnatt.migration (number integer PRIMARY KEY, name text NOT NULL,"
            " digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
    rows = await connection.fetch("SELECT number, digest FROM valgnatt.migration")
    applied = {row["number"]: row["digest"] for row in rows}
    known = migrations()
    if newer := sorted(set(applied) - {number for number, _, _ in known}):
        raise Refused(f"the database is newer than this program: it has migration {newer[-1]}")
    done = []
    for number, name, sql in known:
        digest = hashlib.sha256(sql.encode()).hexdigest()
        if number in applied:
            if applied[number] != digest:
                raise Refused(f"migration {name} was applied to this database with another content")
            continue
        async with connection.transaction():
            await connection.execute(sql)
            await connection.execute(
                "INSERT INTO valgnatt.migration (number, name, digest) VALUES ($1, $2, $3)",
                number,
                name,
                digest,
            )
        done.append(name)
    return done
