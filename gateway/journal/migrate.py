"""Apply numbered SQL migrations, each once and in order, and withdraw default privileges.

A migration never changes once it is released. Concurrent runs are serialised by a lock on the table of migrations,
which only its owner can take; any login could take an advisory lock.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from importlib import resources

import asyncpg

from gateway.errors import Refused
from gateway.journal.connection import connect
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.feed_login import TEMPORARY_FILES
from gateway.journal.lock_waits import LockWait, gave_up, lock_waits_reported
from gateway.journal.session import FEED_ROLE, SIGNER_ROLE, Connection

LOCK_S = 120.0
"""Seconds to wait for another process that migrates."""
BLOCKED_S = 10.0
"""Seconds that a migration waits for a lock on a table. Appends queue behind it meanwhile."""
ATTEMPTS = 5
"""Attempts to create the table of migrations, or to revoke privileges, while several processes do so at once."""


_OPEN_DATABASES = """
SELECT quote_ident(datname) FROM pg_database
WHERE datallowconn AND has_database_privilege('public', oid, 'CONNECT') ORDER BY 1
"""
"""The databases to which PUBLIC may connect; in each, the statistics of all databases can be read."""
_UNLIMITED_LOGINS = """
SELECT quote_ident(r.rolname) FROM pg_roles r
WHERE r.rolcanlogin AND NOT r.rolsuper
AND EXISTS (SELECT FROM unnest($1::text[]) AS n WHERE pg_has_role(r.oid, n, 'MEMBER'))
AND r.oid <> (SELECT nspowner FROM pg_namespace WHERE nspname = 'valgnatt')
AND NOT EXISTS (SELECT FROM pg_db_role_setting s, unnest(s.setconfig) AS c
                WHERE s.setrole = r.oid AND c LIKE 'temp\\_file\\_limit=%')
ORDER BY 1
"""
"""The logins of feeds and signers without a limit on temporary files, which could fill the disk."""


def migrations() -> list[tuple[int, str, str]]:
    """Return number, name and SQL of each migration, in order."""
    entries = resources.files("gateway.journal").joinpath("migrations").iterdir()
    found = [
        (int(entry.name[:4]), entry.name, entry.read_text("utf-8"))
        for entry in entries
        if entry.name.endswith(".sql")
    ]
    return sorted(found)


_SIGNER_WITHOUT_PRIVILEGES = """
SELECT NOT has_schema_privilege(r.oid, n.oid, 'USAGE') FROM pg_roles r, pg_namespace n
WHERE r.rolname = $1 AND n.nspname = 'valgnatt_signing'
"""


def _statements(name: str) -> str:
    return resources.files("gateway.journal").joinpath(name).read_text("utf-8")


def _no_report(_: str) -> None:
    pass


async def migrate(
    url: str, *, dedicated: bool = False, on_wait: Callable[[str], None] = _no_report
) -> list[str]:
    """Apply the missing migrations and return their names; `on_wait` is called with a text while it waits for a lock.

    Safe to run concurrently. `dedicated`: the server is used by the gateway alone, so the default privileges of PUBLIC
    in this database are revoked (`privileges.sql`), as is CONNECT on all others, and the temporary files of the logins
    of feeds and signers are limited. This requires a superuser.

    Raises Refused if an applied migration differs from the one in this program, the database is newer than the program,
    a privilege is missing, or another session blocks the migration; JournalUnavailable.
    """
    connection = await connect(url, statement_s=600.0)
    try:
        _require_supported(connection)
        with translate_db_errors():
            async with lock_waits_reported(connection, partial(connect, url), on_wait) as wait:
                try:
                    done = await _apply_all(connection, wait)
                    await _restrict_concurrently(connection, dedicated=dedicated)
                    return done
                except asyncpg.InsufficientPrivilegeError as error:
                    raise Refused(f"{error.args[0]}{f' ({error.hint})' if error.hint else ''}") from error
                except asyncpg.LockNotAvailableError as error:
                    raise Refused(gave_up(wait)) from error
    finally:
        connection.terminate()


def _waited_for(wait: LockWait) -> str:
    return wait.text or "a lock of another session (see pg_locks and pg_stat_activity)"


def _require_supported(connection: Connection) -> None:
    if connection.get_server_version().major < 15:
        raise Refused(
            f"Postgres {connection.get_server_version().major} is too old; version 15 or later is required"
        )


async def _apply_all(connection: Connection, wait: LockWait) -> list[str]:
    """Apply the missing migrations in one transaction under the lock: all of them or none."""
    known = migrations()
    if not await _missing(connection, known):
        return []  # without taking the lock
    await _make_table(connection)
    async with connection.transaction():
        await _lock(connection, wait)
        missing = await _missing(connection, known)
        for number, name, sql in missing:
            await _apply(connection, number, name, sql, wait)
    return [name for _, name, _ in missing]


async def _missing(connection: Connection, known: list[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
    """Return the migrations that are not applied. Raises Refused if the applied ones do not match this program."""
    if await connection.fetchval("SELECT to_regclass('valgnatt.migration')") is None:
        return known
    rows = await connection.fetch("SELECT number, digest FROM valgnatt.migration")
    applied = {row["number"]: row["digest"] for row in rows}
    if newer := sorted(set(applied) - {number for number, _, _ in known}):
        raise Refused(
            f"the database is newer than this program: it has migration {newer[-1]}; use a program at least as new"
        )
    for number, name, sql in known:
        if applied.get(number, _digest(sql)) != _digest(sql):
            raise Refused(f"migration {name} was applied to this database with different content")
    return [each for each in known if each[0] not in applied]


async def _make_table(connection: Connection) -> None:
    """Create the table of migrations; IF NOT EXISTS does not prevent a conflict between concurrent sessions."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await connection.execute("CREATE SCHEMA IF NOT EXISTS valgnatt")
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS valgnatt.migration (number integer PRIMARY KEY, name text NOT NULL,"
                " digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
            )
            return
        except (
            asyncpg.UniqueViolationError,
            asyncpg.DuplicateObjectError,
            asyncpg.DuplicateSchemaError,
            asyncpg.DuplicateTableError,
        ):
            if attempt == ATTEMPTS:
                raise


async def _lock(connection: Connection, wait: LockWait) -> None:
    """Wait for other migrations to end, then limit the lock waits of the following statements; for this transaction."""
    await connection.execute(f"SET LOCAL lock_timeout = {1000 * LOCK_S:.0f}")
    try:
        await connection.execute("LOCK TABLE valgnatt.migration IN EXCLUSIVE MODE", timeout=2 * LOCK_S)
    except asyncpg.LockNotAvailableError as error:
        raise Refused(
            f"another session has been migrating this database for {LOCK_S:.0f} s: gave up waiting for"
            f" {_waited_for(wait)}; end that session, and start again"
        ) from error
    await connection.execute(f"SET LOCAL lock_timeout = {1000 * BLOCKED_S:.0f}")


async def _apply(connection: Connection, number: int, name: str, sql: str, wait: LockWait) -> None:
    try:
        await connection.execute(sql)
    except asyncpg.LockNotAvailableError as error:
        raise Refused(
            f"migration {name} waited {BLOCKED_S:.0f} s for a table locked by another session:"
            f" {_waited_for(wait)}; nothing was changed: end that session, and run the migration again"
        ) from error
    await connection.execute(
        "INSERT INTO valgnatt.migration (number, name, digest) VALUES ($1, $2, $3)",
        number,
        name,
        _digest(sql),
    )


def _digest(sql: str) -> str:
    return hashlib.sha256(sql.encode()).hexdigest()


async def _restrict_concurrently(connection: Connection, *, dedicated: bool) -> None:
    """Call `_restrict` again if another session changed the same catalog row, for which Postgres does not wait."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await _restrict(connection, dedicated=dedicated)
        except asyncpg.InternalServerError:  # XX000, "tuple concurrently updated"
            if attempt == ATTEMPTS:
                raise
        else:
            return


async def _restrict(connection: Connection, *, dedicated: bool) -> None:
    """Grant the signer's role its privileges, and revoke default ones that no login needs. Idempotent."""
    if await connection.fetchval(_SIGNER_WITHOUT_PRIVILEGES, SIGNER_ROLE):
        await connection.execute(_statements("signer.sql"))
    if dedicated:
        if await connection.fetchval(
            "SELECT has_function_privilege('public', 'pg_stat_get_wal()', 'EXECUTE')"
            " OR NOT has_function_privilege($1, 'set_config(text, text, boolean)', 'EXECUTE')",
            SIGNER_ROLE,
        ):
            await connection.execute(_statements("privileges.sql"))
        for login in await connection.fetch(_UNLIMITED_LOGINS, [FEED_ROLE, SIGNER_ROLE]):
            await connection.execute(f"ALTER ROLE {login[0]} SET temp_file_limit = '{TEMPORARY_FILES}'")
        for database in await connection.fetch(_OPEN_DATABASES):
            await connection.execute(f"REVOKE CONNECT, TEMPORARY ON DATABASE {database[0]} FROM PUBLIC")
    elif await connection.fetchval(
        "SELECT has_database_privilege('public', current_database(), 'TEMPORARY')"
        " AND pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()"
    ):
        await connection.execute(
            "DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$"
        )
