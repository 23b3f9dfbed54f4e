"""Limits of the feed door: readers, waiting requests, selections, and work that is done for one address alone."""

from collections.abc import Callable

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.config import Config
from gateway.errors import Overloaded
from gateway.feed.archive import RANGE_SIZE, Archive
from gateway.feed.stream import ElectionFeed
from gateway.web.allowance import Allowance
from gateway.web.answers import Problem
from gateway.web.client_address import LOCAL_MIRROR
from gateway.web.concurrency_limit import ConcurrencyLimit
from gateway.web.feed_request import FeedRequest

FULL_S = 10.0
"""Seconds after which a reader may retry at a full door: others have to leave first."""
SHARED_MIN = 8
"""Readers of a selection, in one encoding and interval, from which work for one of them counts as shared."""
LOCAL_MIRROR_READERS = 16
"""Streams of mirrors on this machine that are admitted in any case, one for each election: when the door is full, its
readers have nothing but the mirror."""
RANGE_COST = RANGE_SIZE * 700
"""What reading a range of the record costs, as a number of bytes assembled."""


class StreamLimits:
    """Counts readers and what they use. Each `require_…` raises Problem if a limit is reached."""

    def __init__(self, config: Config, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._config = config
        self.readers = 0
        """Open streams, of the feed and of publications."""
        self._readers_of = ConcurrencyLimit(config.readers_per_address)
        self.waits_of = ConcurrencyLimit(config.readers_per_address)
        """Requests that wait for a publication; they are connections too, so their total is bounded as well."""
        self._selections = 0
        self._selections_of = ConcurrencyLimit(config.selections_per_address)
        """Channels of selections that are not common, by the address that opened them."""
        rate = config.unshared_per_address
        self.allowance = Allowance(None if rate is None else rate << 20, clock.monotonic)

    def require_reader(self, client: str) -> None:
        """Require room for another reader, in total and for its address."""
        if self._is_reserved(client):
            return
        if self.readers >= self._config.readers_max:
            raise Problem(503, "full", "the maximum number of readers is reached", retry_after_s=FULL_S)
        if self._readers_of.full(client):
            detail = f"too many open streams from this address (limit {self._config.readers_per_address})"
            raise Problem(429, "too_many_streams", detail, retry_after_s=FULL_S)

    def _is_reserved(self, client: str) -> bool:
        """Whether there is a place left of those that mirrors on this machine have in any case."""
        return client == LOCAL_MIRROR and self._readers_of.count(client) < LOCAL_MIRROR_READERS

    def add_reader(self, client: str) -> None:
        """Count a reader."""
        self.readers += 1
        self._readers_of.enter(client)

    def remove_reader(self, client: str) -> None:
        """Stop counting a reader."""
        self.readers -= 1
        self._readers_of.leave(client)

    def require_selection(self, feed: ElectionFeed, asked: FeedRequest, client: str) -> bool:
        """Require that an unusual selection may be served; common ones always are.

        Returns whether this reader would be the first of it, so that it has to be counted.
        """
        if asked.selection.common or self._is_reserved(client):
            return False
        readers = feed.reader_count(asked.selection, gzip=asked.gzip, every_s=asked.every_s)
        if readers < SHARED_MIN and not feed.has_first_block(asked.selection, asked.cursor):
            self.require_allowance(client)
        if readers:
            return False
        if self._selections_of.full(client):
            detail = f"too many selections for this address (limit {self._config.selections_per_address})"
            raise Problem(429, "too_many_selections", detail, retry_after_s=FULL_S)
        if self._selections >= self._config.selections_max:
            raise Problem(503, "full", "the maximum number of selections is reached", retry_after_s=FULL_S)
        return True

    def add_selection(self, client: str) -> Callable[[], None]:
        """Count a selection; return a function that stops counting it."""
        self._selections += 1
        self._selections_of.enter(client)

        def remove() -> None:
            self._selections -= 1
            self._selections_of.leave(client)

        return remove

    def require_allowance(self, client: str) -> None:
        """Require that work may be done for this address alone; shared work is always done.

        What others use up does not delay a mirror on this machine.
        """
        if (wait_s := self.allowance.wait_s(client)) > 0:
            detail = (
                "too much work for this address alone; selections and pages that others read are not limited"
            )
            raise Problem.of(Overloaded(detail, max(1.0, wait_s), share=True))
        if client != LOCAL_MIRROR and (wait_s := self.allowance.wait_all_s()) > 0:
            detail = "too much work for single readers; selections and pages that many read are not limited"
            raise Problem.of(Overloaded(detail, max(1.0, wait_s)))

    def charge_range(self, client: str, archive: Archive, first: int) -> None:
        """Charge a read of the record, unless the line is in memory. Raises Problem."""
        if not archive.in_memory(first):
            self.charge_read(client)

    def charge_read(self, client: str, reads: int = 1) -> None:
        """Charge reads of many lines of the record each. Raises Problem."""
        self.require_allowance(client)
        self.allowance.use(client, reads * RANGE_COST)
