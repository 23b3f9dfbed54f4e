"""Make a process leave a host whose record has stopped growing while the record of another host grows.

After a failover the former primary may still answer: whatever managed it was killed and left it running, or it was cut
off from the other hosts but not from the process, and is a standby of nobody. Its record is an old one for ever, and no
answer of it tells. A push process notices as soon as it commits something, because that waits for a standby; until then
it would know neither tokens nor elections that were made since. So while the record does not grow, the process compares
it with those of the other hosts of its URL. A process whose record grows compares nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn

import asyncpg
import structlog

from gateway.database_url import Host
from gateway.election.record import Head
from gateway.errors import JournalUnavailable
from gateway.journal.connection import Hosts, acquired, host_of
from gateway.journal.connection_pool import Pool
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.record import read_heads
from gateway.journal.session import Connection

log = structlog.get_logger()

COMPARE_S = 5.0
"""Seconds without growth after which a process compares, and between two comparisons."""
CATCH_UP_S = 2.0
"""How much later than another host the host of a process may show something before the process leaves it."""

Place = dict[str, tuple[int, int]]
"""How far the record of each election goes, by its identifier: two numbers that only grow."""


async def public_place(connection: Connection) -> Place:
    """Return the last publication and the last line of the list of holds that may be shown."""
    heads: list[Head] = await read_heads(connection)
    return {head.id: (head.sequence, head.hold_lines) for head in heads}


async def journal_place(connection: Connection) -> Place:
    """Return the version, which grows with every act, and the number of reports accepted. Only for a push process."""
    rows = await connection.fetch(
        "SELECT e.id, h.version, h.accepted FROM election e JOIN head h ON h.election = e.key"
    )
    return {row[0]: (row[1], row[2]) for row in rows}


class NewestHost:
    """Compares the hosts of a URL. Invariants:

    * A process leaves a host only for one that showed more CATCH_UP_S earlier, so no replica is left for its usual lag.
    * Of two hosts that each have something that the other one lacks, as after a failover that has lost publications, a
      process leaves one only if the other one has grown since it was last seen. So it does not go back and forth.
    * A host that cannot be compared changes nothing. Push processes compare only hosts that are writable.
    """

    def __init__(
        self,
        pool: Pool,
        hosts: Hosts,
        *others: Hosts,
        read_place: Callable[[Connection], Awaitable[Place]] = public_place,
        left: Callable[[], None] = lambda: None,
    ) -> None:
        """`pool` is connected to `hosts`; `others` are those of the other pools of the process, which leave as well.

        `left` is called when a host was left.
        """
        self._pool = pool
        self._hosts = hosts
        self._all_hosts = (hosts, *others)
        self._read_place = read_place
        self._left = left
        self._seen: dict[Host, Place] = {}
        """The record of each host when it was last seen."""
        self._place: Place = {}

    async def run(self) -> NoReturn:
        """Compare until cancelled; with a single host, do nothing."""
        while len(self._hosts.all) == 1:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(COMPARE_S)
            with suppress(JournalUnavailable):  # others log an outage, and then the host changes anyway
                await self.compare()

    async def compare(self) -> None:
        """Compare once, if the record has not grown since the last call. Raises JournalUnavailable."""
        host, place = await self._here()
        before, self._place = self._place, place
        self._seen[host] = place
        if exceeds(place, before):
            return
        for other in self._hosts.all:
            if other == host:
                continue
            there = await self._there(other)
            if there is None:
                continue
            seen, self._seen[other] = self._seen.get(other, there), there
            grown = exceeds(there, seen)
            if not _is_ahead(there, place, grown=grown):
                continue
            await asyncio.sleep(CATCH_UP_S)
            still, place = await self._here()
            if still == host and _is_ahead(there, place, grown=grown):
                log.warning(
                    "the record of another host is longer; using it instead",
                    left=_name(host),
                    longer=_name(other),
                )
                for hosts in self._all_hosts:
                    await hosts.leave(host)
                self._left()
            return

    async def _here(self) -> tuple[Host, Place]:
        """Return the host that the process uses, and how far its record goes."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                return host_of(connection), await self._read_place(connection)

    async def _there(self, host: Host) -> Place | None:
        """Return how far the record of another host goes: nowhere while it is not fit for the process, so that it has
        grown once it is promoted; None if it is unavailable.
        """
        with suppress(JournalUnavailable), translate_db_errors():
            try:
                connection = await self._hosts.connect_to(host)
            except asyncpg.TargetServerAttributeNotMatched:
                return {}
            try:
                return await self._read_place(connection)
            finally:
                connection.terminate()
        return None


def exceeds(place: Place, other: Place) -> bool:
    """Return whether a record goes further than another one in any election."""
    nowhere = (-1, -1)
    return any(
        has > had
        for election, found in place.items()
        for has, had in zip(found, other.get(election, nowhere), strict=True)
    )


def _is_ahead(there: Place, here: Place, *, grown: bool) -> bool:
    """Return whether to use another host instead; `grown`: whether that has grown since it was last seen."""
    return exceeds(there, here) and (grown or not exceeds(here, there))


def _name(host: Host) -> str:
    return f"{host.name}:{host.port}"
