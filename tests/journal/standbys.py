"""Servers whose commits wait for a standby that does not exist."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from gateway.journal.session import Connection
from tests.journal.makers import until


@asynccontextmanager
async def connected_as_owner(url: str) -> AsyncIterator[Connection]:
    """Open a plain connection as the owner, as psql would."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def server_set(url: str, name: str, value: str) -> AsyncIterator[None]:
    """Set a parameter of a server, also for its existing sessions, until the block ends."""
    owner = await asyncpg.connect(url)

    async def current() -> str:
        async with connected_as_owner(url) as other:
            found: str = await other.fetchval(f"SHOW {name}")
            return found

    async def apply(statement: str, expected: str) -> None:
        await owner.execute("SET default_transaction_read_only = off")
        await owner.execute(statement)
        await owner.execute("SELECT pg_reload_conf()")

        async def in_effect() -> bool:
            return await current() == expected

        await until(in_effect)

    before = await current()
    try:
        await apply(f"ALTER SYSTEM SET {name} = '{value}'", value)
        yield
    finally:
        await apply(f"ALTER SYSTEM RESET {name}", before)
        owner.terminate()


@asynccontextmanager
async def standby_missing(url: str, owner: Connection) -> AsyncIterator[None]:
    """Make every commit wait for a standby that does not exist, until the block ends."""
    await owner.execute("CREATE TABLE IF NOT EXISTS probe (n integer)")
    async with server_set(url, "synchronous_standby_names", "nobody"), connected_as_owner(url) as other:
        await other.execute("SET synchronous_commit = on")
        while True:  # until commits wait
            trying = asyncio.create_task(other.execute("INSERT INTO valgnatt.probe VALUES (1)"))

            async def committed_or_waiting(trying: asyncio.Task[str] = trying) -> object:
                return trying.done() or await waiting_for_standby(owner)

            if await until(committed_or_waiting) is not True:
                await cancel_wait(owner)
                await trying
                break
        yield


async def waiting_for_standby(owner: Connection) -> int | None:
    """Return the pid of the backend that waits for the standby, if any."""
    found: int | None = await owner.fetchval("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    return found


async def cancel_wait(owner: Connection) -> None:
    """Cancel the wait of a commit for the standby, which commits it locally."""
    pid = await until(lambda: waiting_for_standby(owner))
    await owner.execute("SELECT pg_cancel_backend($1)", pid)

    async def no_longer_waiting() -> bool:
        return await waiting_for_standby(owner) != pid

    await until(no_longer_waiting)
