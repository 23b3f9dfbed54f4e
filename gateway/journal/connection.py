"""Connections to Postgres: how they are opened, bounded and given up, and what their errors mean.

asyncpg's errors stop at this package: `answering` turns them into the gateway's own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from gateway.errors import ElectionUnknown, GatewayError, JournalUnavailable

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

FEED_ROLE = "valgnatt_feed"
CHANNEL = "valgnatt"

STATEMENT_S = 5.0
"""What a statement may take on the server; the longest append takes some hundredths."""
ANSWER_S = 8.0
"""How long an answer is waited for; longer than STATEMENT_S, so that the server's own word comes first."""
CONNECT_S = 5.0

_SESSION = {
    "application_name": "valgnatt",
    "search_path": "valgnatt",
    "timezone": "UTC",
    "default_transaction_isolation": "read committed",  # each statement of an append sees all before its lock
    "jit": "off",  # compiling costs more than any statement here
    "statement_timeout": f"{STATEMENT_S * 1000:.0f}",
    "lock_timeout": f"{STATEMENT_S * 1000:.0f}",
    "idle_in_transaction_session_timeout": "5000",  # a cut network must not hold the head lock
    "client_connection_check_interval": "2000",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "8000",
}

_REPORTS_AT_FAULT = ("22", "23", "54")
"""SQLSTATE classes that blame what was sent: data exception, integrity constraint, program limit."""


class VersionChanged(GatewayError):
    """The election is no longer as it was when these reports were checked; check them again."""

    code = "version_changed"
    retryable = True


class Unstorable(GatewayError):
    """Postgres will not take these data, however often they are sent."""

    code = "unstorable"


@contextmanager
def answering() -> Iterator[None]:
    """Turn what a database call raises into VersionChanged, ElectionUnknown, Unstorable or JournalUnavailable."""
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state == "VG001":
            raise VersionChanged(str(error)) from error
        if state == "VG002":
            raise ElectionUnknown(str(error)) from error
        if state[:2] in _REPORTS_AT_FAULT:
            raise Unstorable(f"{type(error).__name__} ({state})") from error
        raise JournalUnavailable(f"{type(error).__name__} ({state}): {error}") from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        raise JournalUnavailable(f"{type(error).__name__}: {error}") from error


async def _prepare_writer(connection: Connection) -> None:
    """Hold every commit to its promise: flushed, here and on the synchronous standby where there is one.

    It is set in each session, so that no later change of the server's settings takes it back.
    """
    await connection.execute(
        "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
        " WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)"
    )


async def _prepare_reader(connection: Connection) -> None:
    """Give up every right but those of the feed's role, whoever logged in."""
    await connection.execute(f"SET ROLE {FEED_ROLE}")


async def _keep(_: Connection) -> None:
    """Leave a returned connection as it is; the statements here leave nothing behind to reset."""


def _session(*, writable: bool) -> dict[str, Any]:
    return {
        "server_settings": _SESSION,
        "timeout": CONNECT_S,
        "command_timeout": ANSWER_S,
        "target_session_attrs": "read-write" if writable else "any",
    }


@asynccontextmanager
async def open_pool(url: str, *, feed: bool = False, most: int = 8) -> AsyncIterator[Pool]:
    """Open a pool of at most `most` connections: to the writable host of `url`, or, for a feed, to any.

    It opens even while Postgres is away: connections are made when they are asked for.
    """
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=most,
        max_inactive_connection_lifetime=60.0,
        init=_prepare_reader if feed else _prepare_writer,
        reset=_keep,
        **_session(writable=not feed),
    )
    await pool
    try:
        yield pool
    finally:
        pool.terminate()


async def connect(url: str, *, feed: bool = False, patience_s: float = STATEMENT_S) -> Connection:
    """Open one connection for a purpose of its own (listening, migrating, administration).

    `patience_s` bounds its statements. Raises JournalUnavailable.
    """
    options = _session(writable=not feed)
    options["command_timeout"] = patience_s + ANSWER_S - STATEMENT_S
    options["server_settings"] = {**_SESSION, "statement_timeout": f"{patience_s * 1000:.0f}"}
    with answering():
        connection: Connection = await asyncpg.connect(url, **options)
        try:
            await (_prepare_reader if feed else _prepare_writer)(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection


async def notifications(url: str, wake: Callable[[], None], *, feed: bool = False) -> None:
    """Call `wake` upon each NOTIFY, and once after each connect, until cancelled.

    A hint only: whoever uses it also looks by itself now and then. So a lost connection is opened again at leisure,
    and on a standby, where LISTEN does not work, nothing is ever heard.
    """
    while True:
        try:
            connection = await connect(url, feed=feed)
        except JournalUnavailable:
            await asyncio.sleep(1.0)
            continue
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _, ended=ended: ended.set())
        try:
            with answering():
                await connection.add_listener(CHANNEL, lambda *_: wake())
            wake()
            await ended.wait()
        except JournalUnavailable:
            await asyncio.sleep(5.0)
        finally:
            connection.terminate()
