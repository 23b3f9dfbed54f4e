"""What follows a commit: Postgres notes how far the synchronous standby has the record, and feeds are notified.

Neither is part of the append. A confirmation is only known once the commit has returned, and a NOTIFY inside it would
make the commit fail when the queue of notifications is full. If this process ends in between, nothing is lost: feeds
look by themselves, and any push process makes an append where one has stayed unconfirmed, which confirms all before it.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from gateway.errors import JournalUnavailable
from gateway.journal.connection import CHANNEL, Pool, acquired, translate_db_errors
from gateway.telemetry.logs import Outage

LOOK_S = 1.0
"""How often unconfirmed appends are looked for, in seconds."""
AGAIN_S = 0.2
"""How long after a failure the next attempt follows, in seconds."""

_UNCONFIRMED = """
SELECT e.id, greatest(h.confirmed_append, c.append) AS confirmed FROM election e
JOIN head h ON h.election = e.key JOIN confirmation c ON c.election = e.key
WHERE greatest(h.confirmed_append, c.append) < h.appends
"""


class _Reached(NamedTuple):
    """An append that is confirmed, and the reports accepted by then."""

    append: int
    accepted: int


class Announcer:
    """Confirms appends and notifies feeds, over a connection of its own. Invariants:

    * A confirmation is written only for an append whose commit returned with its wait for the standby complete.
    * At most one confirmation per election waits: the latest one covers all before it.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._confirmed: dict[int, _Reached] = {}
        self._news = False
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def committed(self, election: int, *, append: int | None, accepted: int, released: bool) -> None:
        """Note that the commit of an append has returned; `append` is None where it waited for no standby."""
        if append is not None:
            before = self._confirmed.get(election)
            if before is None or before.append < append:
                self._confirmed[election] = _Reached(append, accepted)
        self._news |= released
        if append is not None or released:
            self._idle.clear()
            self._wanted.set()

    async def wait_announced(self) -> None:
        """Wait until everything committed so far is announced."""
        await self._idle.wait()

    async def run(self, request_append: Callable[[str], None]) -> None:
        """Announce until cancelled; `request_append` has an append made for an election, given by its identifier."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._announce(), name="announcements")
            parts.create_task(self._look_for_unconfirmed(request_append), name="unconfirmed appends")

    async def _announce(self) -> None:
        confirmations = Outage("confirmations")
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._confirm()
                await self._notify()
            except JournalUnavailable as error:
                confirmations.away(error)
                await asyncio.sleep(AGAIN_S)
                self._wanted.set()
            else:
                confirmations.back()
                if not self._wanted.is_set():
                    self._idle.set()

    async def _confirm(self) -> None:
        """Write what is confirmed. Raises JournalUnavailable, and then it is written with what comes next."""
        while self._confirmed:
            election, reached = next(iter(self._confirmed.items()))
            with translate_db_errors():
                async with acquired(self._pool) as connection:
                    await connection.execute(
                        "SELECT confirm_v1($1, $2, $3)", election, reached.append, reached.accepted
                    )
            if self._confirmed[election] == reached:
                del self._confirmed[election]

    async def _notify(self) -> None:
        """Wake the feeds, if there is news. Raises JournalUnavailable; feeds look by themselves then."""
        if self._news:
            self._news = False
            with translate_db_errors():
                async with acquired(self._pool) as connection:
                    await connection.execute(f"NOTIFY {CHANNEL}")

    async def _look_for_unconfirmed(self, request_append: Callable[[str], None]) -> None:
        """Have an append made where none was confirmed between two looks: a process ended, or a wait was cut short."""
        looks = Outage("unconfirmed appends")
        before: dict[str, int] = {}
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                with translate_db_errors():
                    async with acquired(self._pool) as connection:
                        rows = await connection.fetch(_UNCONFIRMED)
            except JournalUnavailable as error:
                looks.away(error)
                continue
            looks.back()
            found = {row["id"]: row["confirmed"] for row in rows}
            for election, confirmed in found.items():
                if before.get(election) == confirmed:
                    request_append(election)
            before = found
