"""After a commit, record how far the synchronous standby has the journal, and notify the feeds.

Neither is part of the append. A commit is confirmed only once it has returned, and a NOTIFY inside it would make it
fail while the notification queue is full. If this process ends in between, nothing is lost: feeds poll, and any push
process makes an empty append for an election with an unconfirmed one, which confirms all before it.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from gateway.errors import JournalUnavailable
from gateway.telemetry.logs import Outage

POLL_S = 1.0
"""Seconds between two checks for unconfirmed appends."""
RETRY_S = 0.2
"""Seconds between a failure and the next attempt."""
PAUSE_S = 0.005
"""Least seconds between two announcements. A process that commits a thousand times per second would otherwise spend as
much on notifying feeds as on appending, and feeds read what was published meanwhile in one pass anyway."""


class Confirmations(Protocol):
    """Where confirmations are written and feeds are notified. Every method raises JournalUnavailable."""

    async def confirm(self, election: int, append: int, accepted: int) -> None:
        """Note that an append, and all before it, is on the standby; `accepted` reports are placed up to it."""

    async def notify(self) -> None:
        """Wake the feeds."""

    async def unconfirmed(self) -> dict[str, int]:
        """Return the last confirmed append of each election that has later ones."""


class _Confirmed(NamedTuple):
    """A confirmed append, and the number of reports accepted up to it."""

    append: int
    accepted: int


class Announcer:
    """Confirms appends and notifies feeds. Invariants:

    * A confirmation is written only for an append whose commit returned with its wait for the standby complete.
    * At most one confirmation per election is pending: the latest one covers all before it.
    * What is committed within PAUSE_S of an announcement shares the next one.
    """

    def __init__(self, confirmations: Confirmations) -> None:
        self._confirmations = confirmations
        self._confirmed: dict[int, _Confirmed] = {}
        self._notification_due = False
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def committed(self, election: int, *, append: int | None, accepted: int, released: bool) -> None:
        """Register that the commit of an append has returned; `append` is None if it waited for no standby."""
        if append is not None:
            before = self._confirmed.get(election)
            if before is None or before.append < append:
                self._confirmed[election] = _Confirmed(append, accepted)
        self._notification_due |= released
        if append is not None or released:
            self._idle.clear()
            self._wanted.set()

    async def wait_announced(self) -> None:
        """Wait until everything committed so far is announced."""
        await self._idle.wait()

    async def run(self, request_append: Callable[[str], None]) -> None:
        """Announce until cancelled; `request_append` requests an append for an election, given by its identifier."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._announce(), name="announcements")
            parts.create_task(self._request_unconfirmed(request_append), name="unconfirmed appends")

    async def _announce(self) -> None:
        outage = Outage("confirmations")
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._confirm()
                await self._notify()
            except JournalUnavailable as error:
                outage.failed(error)
                await asyncio.sleep(RETRY_S)
                self._wanted.set()
            else:
                outage.succeeded()
                if not self._wanted.is_set():
                    self._idle.set()
                await asyncio.sleep(PAUSE_S)

    async def _confirm(self) -> None:
        """Write the pending confirmations. Raises JournalUnavailable; they are then written with the next ones."""
        while self._confirmed:
            election, confirmed = next(iter(self._confirmed.items()))
            await self._confirmations.confirm(election, confirmed.append, confirmed.accepted)
            if self._confirmed[election] == confirmed:
                del self._confirmed[election]

    async def _notify(self) -> None:
        """Wake the feeds if something was published. Raises JournalUnavailable; feeds also poll."""
        if self._notification_due:
            self._notification_due = False
            await self._confirmations.notify()

    async def _request_unconfirmed(self, request_append: Callable[[str], None]) -> None:
        """Request an append where none was confirmed between two polls: a process ended, or a wait was cut short."""
        outage = Outage("unconfirmed appends")
        before: dict[str, int] = {}
        while True:
            await asyncio.sleep(POLL_S)
            try:
                found = await self._confirmations.unconfirmed()
            except JournalUnavailable as error:
                outage.failed(error)
                continue
            outage.succeeded()
            for election, confirmed in found.items():
                if before.get(election) == confirmed:
                    request_append(election)
            before = found
