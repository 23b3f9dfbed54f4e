"""Finds the election of a request, and waits until it has what the request is for, for a bounded time."""

from aiohttp import web

from gateway.election.state import Cursor
from gateway.errors import ElectionUnknown, JournalUnavailable, Overloaded
from gateway.feed.hub import Hub
from gateway.feed.stream import ElectionFeed
from gateway.web.answers import Problem
from gateway.web.concurrency_limit import ConcurrencyLimit
from gateway.web.feed_request import SEQUENCE_MAX, read_number

AHEAD_S = 5.0
"""How long a reader that is ahead of this process waits for it, in seconds."""
SETTLE_S = 5.0
"""How long a request waits while many publications are being applied, in seconds."""
UNUSABLE_S = 10.0
"""After how many seconds a client may ask again if the database cannot be read until a setting is changed."""


class FeedLookup:
    """Invariant: an election that is returned shows a consistent state, of one moment.

    `waits_of` limits the requests of each client that wait for a publication.
    """

    def __init__(self, hub: Hub, waits_of: ConcurrencyLimit) -> None:
        self._hub = hub
        self._waits_of = waits_of

    def all(self) -> list[ElectionFeed]:
        """Return every election. Raises Problem until they are known."""
        if not self._hub.heads_read:
            raise self._loading()
        return self._hub.feeds()

    async def find(self, request: web.Request) -> ElectionFeed:
        """Return the election of a request, once its state may be shown. Raises Problem."""
        return await self.find_election(request.match_info["election"])

    async def find_election(self, election: str) -> ElectionFeed:
        """Return an election, once its state may be shown. Raises Problem."""
        feed = self.known(election)
        await self.wait_settled(feed)
        return feed

    def known(self, election: str) -> ElectionFeed:
        """Return an election, whether or not its state may be shown. Raises Problem."""
        feed = self._hub.feed(election)
        if feed is None:
            if not self._hub.heads_read:
                raise self._loading()
            raise Problem.of(ElectionUnknown())
        return feed

    async def wait_log_known(self, feed: ElectionFeed) -> None:
        """Wait until it is known what is to be shown of the log of an election. Raises Problem."""
        if not feed.log.known and not await feed.log.wait_known(SETTLE_S):
            raise self._loading()

    async def wait_for_cursor(self, feed: ElectionFeed, cursor: Cursor | None, client: str) -> None:
        """Wait for the position of a reader that another process served further; one never reached is ignored.

        There is no wait if too many requests of its address are waiting already. Raises Problem.
        """
        if cursor is None or cursor.sequence <= feed.state.sequence or self._waits_of.full(client):
            return
        await self._wait_reached(feed, cursor.sequence, client)
        await self.wait_settled(feed)

    async def wait_at_least(self, feed: ElectionFeed, text: str, client: str) -> None:
        """Wait for the publication that a query parameter requires. Raises Problem."""
        sequence = read_number("at_least", text, 0, SEQUENCE_MAX)
        if feed.state.sequence < sequence:
            if self._waits_of.full(client):
                detail = "too many requests from this address are waiting for a publication"
                raise Problem.of(Overloaded(detail, AHEAD_S, share=True))
            if not await self._wait_reached(feed, sequence, client):
                detail = f"this server has publications up to {feed.state.sequence}"
                raise Problem(503, "not_yet", detail, retry_after_s=1.0)
        await self.wait_settled(feed)

    async def wait_settled(self, feed: ElectionFeed) -> None:
        """Wait until the state of an election may be shown. Raises Problem."""
        if not feed.settled and not await feed.wait_settled(SETTLE_S):
            raise self._loading()

    async def _wait_reached(self, feed: ElectionFeed, sequence: int, client: str) -> bool:
        self._waits_of.enter(client)
        try:
            return await feed.wait_reached(sequence, AHEAD_S)
        finally:
            self._waits_of.leave(client)

    def _loading(self) -> Problem:
        if self._hub.unusable:
            detail = "this server cannot read its database until its settings are changed; see its log"
            return Problem.of(JournalUnavailable.because(detail, UNUSABLE_S))
        return Problem(503, "starting", "the record is still being loaded", retry_after_s=2.0)
