"""Report which lock a session waits for, for how long, and who has it.

A statement that waits for a lock says nothing until it times out. So another session looks, from WATCH_S after the
beginning on, and only as long as the block lasts. What a login may not see is left out. Independent of what the
statements do.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg

from gateway.errors import JournalUnavailable
from gateway.humanize import duration
from gateway.journal.session import Connection

WATCH_S = 1.0
"""Seconds after which the first look is taken, and between two looks."""
REPEAT_S = 10.0
"""Seconds between two reports of the same wait."""
HOLDERS_MAX = 5
"""Sessions named in one report; the others are counted."""

_WAIT = """
SELECT l.locktype, l.mode, l.classid, l.objid,
    CASE WHEN l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
         THEN l.relation::regclass::text END AS relation,
    extract(epoch FROM clock_timestamp() - coalesce(l.waitstart, clock_timestamp()))::float8 AS waited_s
FROM pg_locks l WHERE l.pid = $1 AND NOT l.granted
"""
_HOLDERS = """
SELECT p.pid, a.usename, a.application_name, host(a.client_addr) AS address, a.client_port, a.state,
    coalesce(a.xact_start, a.backend_start) AS since
FROM unnest(pg_blocking_pids($1)) AS p (pid) LEFT JOIN pg_stat_activity a ON a.pid = p.pid ORDER BY p.pid
"""


_LONG = """
SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted AND a.datname = current_database() AND a.usename = current_user
  AND l.waitstart < clock_timestamp() - make_interval(secs => $1)
ORDER BY l.waitstart LIMIT 3
"""
"""Sessions of this user that have waited for a lock for some seconds, the first three."""


class LockWait:
    """What a session waits for, as it was seen last; `text` is empty if it did not wait in the last two looks.

    Not in the last one only: it may be taken after the statement gave up and before its error arrives.
    """

    def __init__(self) -> None:
        self.text = ""


def gave_up(wait: LockWait) -> str:
    """Return that a statement gave up waiting for a lock, who has it as far as that was seen, and what to do."""
    return (
        f"gave up waiting for {wait.text or 'a lock of another session (see pg_locks and pg_stat_activity)'};"
        " nothing was changed. Run the command again when that session has ended its transaction; SELECT"
        " pg_terminate_backend(process) ends the session"
    )


@asynccontextmanager
async def lock_waits_reported(
    connection: Connection, log_in: Callable[[], Awaitable[Connection]], report: Callable[[str], None]
) -> AsyncIterator[LockWait]:
    """Report the lock waits of `connection` within the block; `log_in` opens another connection to the same server.

    Raises asyncpg's errors.
    """
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    wait = LockWait()
    watching = asyncio.create_task(_watch(pid, log_in, report, wait), name="lock waits")
    try:
        yield wait
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(
    pid: int, log_in: Callable[[], Awaitable[Connection]], report: Callable[[str], None], wait: LockWait
) -> None:
    """Look until cancelled. An outage is not reported here: the watched session meets it too."""
    while True:
        await asyncio.sleep(WATCH_S)
        try:
            watching = await log_in()
        except JournalUnavailable:
            continue
        try:
            await _look(pid, watching, report, wait)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            pass  # the connection broke; the next look opens another one
        finally:
            watching.terminate()


async def _look(pid: int, watching: Connection, report: Callable[[str], None], wait: LockWait) -> None:
    clock = asyncio.get_running_loop().time
    reported: tuple[str, float] = ("", 0.0)
    seen = False
    while True:
        if (found := await _wait_of(pid, watching)) is None:
            wait.text = wait.text if seen else ""
            seen = False
        else:
            seen = True
            lock, waited_s, held = found
            wait.text = f"{lock}, {held}"
            if reported[0] != wait.text or clock() - reported[1] >= REPEAT_S:
                report(f"waiting for {lock} for {duration(waited_s)}, {held}")
                reported = (wait.text, clock())
        await asyncio.sleep(WATCH_S)


async def _wait_of(pid: int, watching: Connection) -> tuple[str, float, str] | None:
    """Return which lock a session waits for, for how many seconds, and who has it; None if it does not wait.

    Raises asyncpg's errors.
    """
    row = await watching.fetchrow(_WAIT, pid)
    if row is None or not (holders := await watching.fetch(_HOLDERS, pid)):
        return None  # without holders, the wait ended between the two queries
    return lock_name(row), row["waited_s"], held_by(holders)


async def long_waits(connection: Connection) -> list[str]:
    """Return a text for each session of this user that has waited for a lock for WATCH_S. Raises asyncpg's errors."""
    waits = [await _wait_of(row["pid"], connection) for row in await connection.fetch(_LONG, WATCH_S)]
    return [f"{lock} for {duration(waited_s)}, {held}" for lock, waited_s, held in filter(None, waits)]


def lock_name(row: asyncpg.Record) -> str:
    """Return which lock a row of `pg_locks` describes."""
    if row["relation"] is not None:
        return f"the lock {row['mode']} on {row['relation']}"
    if row["locktype"] == "transactionid":
        return "a row that another transaction has changed"
    if row["locktype"] == "advisory":
        return f"the advisory lock {(row['classid'] << 32) | row['objid']}"
    return f"the lock {row['mode']} on a {row['locktype']}"


def held_by(holders: Sequence[asyncpg.Record]) -> str:
    """Return which sessions have a lock, or wait for it in front of this one."""
    named = [_holder(row) for row in holders[:HOLDERS_MAX]]
    if len(holders) > HOLDERS_MAX:
        named.append(f"{len(holders) - HOLDERS_MAX} more")
    return f"held by {'; '.join(named)}"


def _holder(row: asyncpg.Record) -> str:
    if not row["pid"]:
        return "a prepared transaction (see pg_prepared_xacts)"
    since: datetime | None = row["since"]
    told = [
        f"user {row['usename']}" if row["usename"] else "",
        f"application {row['application_name']}" if row["application_name"] else "",
        f"from {row['address']}" if row["address"] else "",
        row["state"] or "",
        f"since {since.isoformat(timespec='seconds')}" if since is not None else "",
    ]
    return f"process {row['pid']} ({', '.join(text for text in told if text) or 'nothing else is visible'})"
