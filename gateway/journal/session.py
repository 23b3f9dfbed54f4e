"""A session of Postgres: what is required of it, and what is set in it.

A session has to belong to its connection alone. A pooler in transaction or statement mode gives it to other clients
between two transactions; then settings, roles and LISTEN take effect in somebody else's session. So that is excluded
before anything is changed in the session. Independent of hosts, pools and time limits.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg

from gateway.database_url import SessionAttrs
from gateway.deadline import Deadline
from gateway.errors import JournalUnavailable

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

FEED_ROLE = "valgnatt_feed"
SIGNER_ROLE = "valgnatt_signer"

STATEMENT_S = 5.0
"""Statement timeout on the server, in seconds; the longest append takes some hundredths of one."""
SHARED = (
    "a pooler shares sessions between its clients: set pool_mode = session for this database and user in the pooler"
    " (PgBouncer), or name Postgres itself in the URL"
)
"""Why a session in transaction or statement mode is refused, and what to do."""
ROUNDS = 4
"""How often two sessions are compared: other clients of a pooler may take its sessions in between."""
NOTIFIED_S = 2.0
"""Seconds within which a session has to receive the notification that another sends to it."""

SESSION = {
    "application_name": "valgnatt",
    "search_path": "valgnatt",
    "TimeZone": "UTC",
    "client_min_messages": "warning",  # a commit that did not wait for the standby is reported by a warning only
    "default_transaction_isolation": "read committed",  # each statement of an append sees all commits before its lock
    "row_security": "off",  # a policy added by someone else raises an error instead of hiding rows from an append
    "plan_cache_mode": "auto",  # repeated statements are not planned each time
    "jit": "off",  # compilation costs more than any statement here
    "statement_timeout": f"{STATEMENT_S * 1000:.0f}",
    "lock_timeout": f"{STATEMENT_S * 1000:.0f}",
    "idle_in_transaction_session_timeout": "5000",  # a cut network must not hold the head lock
    "idle_session_timeout": "0",  # a listener is always idle
    "client_connection_check_interval": "2000",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "8000",
}
"""Parameters of every session, in the units of `pg_settings`. They are sent at startup, and set again afterwards, as
poolers drop or refuse startup parameters. They override what is set for the role, the database or the server.
`default_transaction_read_only` is absent on purpose: if an operator or a provider has switched it on, the host must not
be written to, and is skipped like a standby."""
_UNVERIFIED = ("application_name", "jit", "plan_cache_mode")
"""Startup parameters that affect only speed; they are not verified, nor are those of TCP, which depend on the
socket."""
_REQUIRED = {"session_replication_role": "origin"}
"""Parameters that are verified but that only a superuser may set. Any other value would disable the trigger that
protects accepted reports from changes."""
_FLUSHED = ("on", "remote_apply")
"""Values of `synchronous_commit` with which a commit waits for the flush on the primary and on the synchronous
standby."""

_SYNCHRONOUS_COMMIT = (
    "CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END"
)
COMMIT_SETTINGS = (
    f"set_config('synchronous_commit', {_SYNCHRONOUS_COMMIT}, true),"
    " set_config('client_min_messages', 'warning', true)"
)
"""Columns for a SELECT within a transaction: its commit then waits for the flush and for the standby, and warns if it
did not. They apply until the commit has ended, whichever session a pooler has assigned to the transaction."""


class SessionUnfit(JournalUnavailable):
    """A new session lacks a property that a guarantee depends on; the message names it."""

    permanent = True


async def require_own_session(connection: Connection, log_in: Callable[[], Awaitable[Connection]]) -> None:
    """Require that the session belongs to this connection until it ends; `log_in` opens a second one to compare with.

    A server process reports its identifier to its client at login; behind a pooler the client gets another one. Only
    then, or where the login may not call `pg_backend_pid`, is a second connection opened. Leaves nothing behind.

    Raises SessionUnfit, and asyncpg's errors.
    """
    known = await _is_server_process(connection)
    if known:
        return
    other = await log_in()
    try:
        await _require_separate(connection, other)
        if known is not None:
            await _require_notification(connection, other)
    except asyncpg.PostgresError as error:
        if isinstance(error, _SHARING_ERRORS):
            raise SessionUnfit(SHARED) from error
        raise
    finally:
        other.terminate()


_SHARING_ERRORS = (
    asyncpg.ProtocolViolationError,
    asyncpg.FeatureNotSupportedError,
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
)
"""How poolers, and sessions that they share, answer statements that need a session of one's own."""


async def _is_server_process(connection: Connection) -> bool | None:
    """Return whether the server at the other end is the process that executes; None if it may not be asked."""
    pid: int | None = connection.get_server_pid()
    if pid is None:  # the server, or rather a pooler, has not reported any
        return False
    try:
        return await _holds(connection, f"pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) {pid}")
    except asyncpg.InsufficientPrivilegeError:
        return None


async def _holds(connection: Connection, condition: str) -> bool:
    """Evaluate a condition without a prepared statement, which a pooler may have left in another session."""
    return await connection.execute(f"SELECT WHERE {condition}") == "SELECT 1"


async def _require_separate(connection: Connection, other: Connection) -> None:
    """Require that each of two connections keeps the statement that it prepares, and does not see that of the other.

    In one shared session both are seen; a pooler that takes its sessions in turn fails at the second of two uses in a
    row. PREPARE and EXECUTE need no privilege.
    """
    for _ in range(ROUNDS):
        mine, theirs = (f"valgnatt_{secrets.token_hex(8)}" for _ in range(2))
        try:
            await connection.execute(f"PREPARE {mine} AS SELECT 1")
            await other.execute(f"PREPARE {theirs} AS SELECT 1")
            for each, own, foreign in ((connection, mine, theirs), (other, theirs, mine)):
                found = [await _prepared(each, name) for name in (own, own, foreign)]
                if found != [True, True, False]:
                    raise SessionUnfit(SHARED)
        finally:
            for each, name in ((connection, mine), (other, theirs)):
                with suppress(asyncpg.InvalidSQLStatementNameError):
                    await each.execute(f"DEALLOCATE {name}")


async def _prepared(connection: Connection, name: str) -> bool:
    try:
        await connection.execute(f"EXECUTE {name}")
    except asyncpg.InvalidSQLStatementNameError:
        return False
    return True


async def _require_notification(connection: Connection, other: Connection) -> None:
    """Require that an idle session receives notifications; a standby, which has none, is not asked.

    A pooler that shares sessions has no client to pass a notification to while its session is idle.
    """
    if await _holds(connection, "pg_catalog.pg_is_in_recovery()"):
        return
    channel, received = f"valgnatt_{secrets.token_hex(8)}", asyncio.Event()

    def on_notification(*_: object) -> None:
        received.set()

    await connection.add_listener(channel, on_notification)
    # The commit of the notification waits for no standby.
    await other.execute(f"BEGIN; SET LOCAL synchronous_commit = local; NOTIFY {channel}; COMMIT")
    try:
        async with Deadline(NOTIFIED_S):
            await received.wait()
    except TimeoutError:
        raise SessionUnfit(SHARED) from None
    await connection.remove_listener(channel, on_notification)


async def require_attrs(connection: Connection, attrs: SessionAttrs) -> None:
    """Require a host with these `target_session_attrs`. Raises TargetServerAttributeNotMatched."""
    if attrs == "any":
        return
    reported = connection.get_settings()
    standby, read_only = (getattr(reported, name, None) for name in _REPORTED)
    if standby is None or read_only is None:  # not passed on by a pooler
        standby = "on" if await _holds(connection, "pg_catalog.pg_is_in_recovery()") else "off"
        row = await connection.fetchrow("SELECT pg_catalog.current_setting('default_transaction_read_only')")
        read_only = row[0] if row else "off"
    writable = standby == "off" and read_only == "off"
    fits = {
        "read-write": writable,
        "read-only": not writable,
        "primary": standby == "off",
        "standby": standby == "on",
    }
    if not fits[attrs]:
        raise asyncpg.TargetServerAttributeNotMatched(f"the host is not {attrs}, which is required")


_REPORTED = ("in_hot_standby", "default_transaction_read_only")


async def prepare(connection: Connection, settings: Mapping[str, str], role: str | None) -> None:
    """Set the parameters of a new session that the guarantees depend on, and verify them.

    `role` is the role of a feed or of a signer; None: the owner. Raises SessionUnfit and asyncpg's errors.
    """
    if role is not None:
        await connection.execute(f"SET ROLE {role}")
    await connection.execute(settings_sql(settings))
    if role == FEED_ROLE:
        await _require_settings(connection, settings)
    else:
        await _prepare_commits(connection, settings, signer=role == SIGNER_ROLE)


def settings_sql(settings: Mapping[str, str]) -> str:
    """Return the statement that sets the parameters of a session; the values are the gateway's own."""
    values = ", ".join(
        f"pg_catalog.set_config('{name}', '{value}', false)" for name, value in settings.items()
    )
    return (
        f"SELECT {values}, CASE WHEN pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL"
        " THEN pg_catalog.set_config('transaction_timeout', '0', false) END"  # since Postgres 17
    )


async def _prepare_commits(connection: Connection, settings: Mapping[str, str], *, signer: bool) -> None:
    """Make every commit wait for its flush, here and on the synchronous standby, and require that warnings arrive.

    `synchronous_commit` is set in the session, so a later change of the server's settings does not override it. A test
    message takes the same way from the server to this process as the warning would. A signer, which on a dedicated
    server may not use plpgsql, has a function that sends it.
    """
    received: list[str | None] = []

    def on_message(_: object, message: asyncpg.PostgresLogMessage) -> None:
        received.append(message.message)

    connection.add_log_listener(on_message)
    if signer:
        await connection.execute(
            f"BEGIN; SELECT set_config('synchronous_commit', {_SYNCHRONOUS_COMMIT}, false);"
            " SELECT set_config('client_min_messages', 'notice', true);"
            f" SELECT valgnatt_signing.message('{_MESSAGE}'); COMMIT"
        )
    else:
        await connection.execute(
            f"DO $$ BEGIN PERFORM set_config('synchronous_commit', {_SYNCHRONOUS_COMMIT}, false);"
            f" PERFORM set_config('client_min_messages', 'notice', true); RAISE NOTICE '{_MESSAGE}'; END $$"
        )
    await _require_settings(connection, settings, synchronous_commit=_FLUSHED)
    connection.remove_log_listener(on_message)
    if _MESSAGE not in received:
        raise SessionUnfit(
            "messages of the server do not arrive, so a commit that skips the standby would go unnoticed;"
            " connect to Postgres directly, or through a pooler in session mode that forwards messages"
        )


_MESSAGE = "valgnatt: messages arrive"


async def _require_settings(
    connection: Connection, settings: Mapping[str, str], **also: tuple[str, ...]
) -> None:
    """Require that parameters have the values that `settings` asked for, or one of the values in `also`.

    Raises SessionUnfit, naming those that do not.
    """
    wanted = {name: (value,) for name, value in {**settings, **_REQUIRED}.items() if _verified(name)} | also
    rows = await connection.fetch(
        "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY ($1)", list(wanted)
    )
    found: dict[str, str] = {row["name"]: row["setting"] for row in rows}
    wrong = [
        f"{name} is {found.get(name)!r}, not {values[0]!r}"
        for name, values in wanted.items()
        if found.get(name) not in values
    ]
    if wrong:
        raise SessionUnfit(
            f"these session parameters are not in effect: {', '.join(wrong)}; a pooler may ignore startup"
            " parameters, and only a superuser can set session_replication_role for the role or database"
        )


def _verified(name: str) -> bool:
    return name not in _UNVERIFIED and not name.startswith("tcp_")
