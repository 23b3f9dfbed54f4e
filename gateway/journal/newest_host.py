"""Make a feed leave a host whose record has stopped growing while the record of another host grows.

After a failover the former primary may still answer: whatever managed it was killed and left it running, or it was cut
off from the other hosts but not from the feed, and is a standby of nobody. Its record is an old one for ever, and no
answer of it tells. So while the record does not grow, the feed compares it with those of the other hosts of its URL. A
feed whose record grows compares nothing.
"""

import asyncio
from contextlib import suppress
from typing import NoReturn

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
"""Seconds without growth after which a feed compares, and between two comparisons."""
CATCH_UP_S = 2.0
"""How much later than another host the feed's host may show a publication before the feed leaves it."""

Place = dict[str, tuple[int, int]]
"""The last publication and the last line of the list of holds of each election that may be shown, by its identifier."""


class NewestHost:
    """Compares the hosts of a feed's URL. Invariants:

    * The feed leaves a host only for one that showed more CATCH_UP_S earlier, so no replica is left for its usual lag.
    * Of two hosts that each have something that the other one lacks, as after a failover that has lost publications,
      the feed leaves one only if the other one has grown since it was last seen. So it does not go back and forth.
    * A host that cannot be compared changes nothing.
    """

    def __init__(self, pool: Pool, hosts: Hosts, *others: Hosts) -> None:
        """`pool` reads the record, from `hosts`; `others` are those of the feed's other pools, which leave as well."""
        self._pool = pool
        self._hosts = hosts
        self._all_hosts = (hosts, *others)
        self._seen: dict[Host, Place] = {}
        """The record of each host when it was last seen."""
        self._place: Place = {}

    async def run(self) -> NoReturn:
        """Compare until cancelled; with a single host, do nothing."""
        while len(self._hosts.all) == 1:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(COMPARE_S)
            with suppress(JournalUnavailable):  # the hub logs an outage, and then the host changes anyway
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
            seen, self._seen[other] = self._seen.get(other, there), there
            grown = exceeds(there, seen)
            if not _is_ahead(there, place, grown=grown):
                continue
            await asyncio.sleep(CATCH_UP_S)
            still, place = await self._here()
            if still == host and _is_ahead(there, place, grown=grown):
                log.warning(
                    "the record of another host is longer; reading from it instead",
                    left=_name(host),
                    longer=_name(other),
                )
                for hosts in self._all_hosts:
                    await hosts.leave(host)
            return

    async def _here(self) -> tuple[Host, Place]:
        """Return the host that the feed reads from, and how far its record goes."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                return host_of(connection), await _place(connection)

    async def _there(self, host: Host) -> Place:
        """Return how far the record of another host goes; nowhere if it is unavailable or not fit for a feed."""
        with suppress(JournalUnavailable), translate_db_errors():
            connection = await self._hosts.connect_to(host)
            try:
                return await _place(connection)
            finally:
                connection.terminate()
        return {}


async def _place(connection: Connection) -> Place:
    heads: list[Head] = await read_heads(connection)
    return {head.id: (head.sequence, head.hold_lines) for head in heads}


def exceeds(place: Place, other: Place) -> bool:
    """Return whether a record goes further than another one in any election."""
    nowhere = (-1, -1)
    return any(
        has > had
        for election, found in place.items()
        for has, had in zip(found, other.get(election, nowhere), strict=True)
    )


def _is_ahead(there: Place, here: Place, *, grown: bool) -> bool:
    """Return whether the feed should read from another host; `grown`: whether that has grown since it was last seen."""
    return exceeds(there, here) and (grown or not exceeds(here, there))


def _name(host: Host) -> str:
    return f"{host.name}:{host.port}"
