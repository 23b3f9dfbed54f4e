"""One election as a feed process holds it: the state, what is made of it, and who reads it."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Protocol

import orjson
import structlog

from gateway.election.record import Head, Publication, Unapplied
from gateway.election.registry import Registry, read_registry
from gateway.election.state import CatchUp, Cursor, ElectionState, HistoryChanged
from gateway.errors import JournalUnavailable
from gateway.feed.archive import TAIL_MAX, Archive
from gateway.feed.areas import AreaPages
from gateway.feed.blocks import BlockMaker
from gateway.feed.channel import Channel, Reader
from gateway.feed.selection import Selection, read_selection
from gateway.feed.transfers import Backlog, Transfers
from gateway.feed.waits import Waits
from gateway.telemetry import tracing
from gateway.telemetry.metrics import FeedMetrics

log = structlog.get_logger()

PAGE = 2000
"""Publications read at once."""
SLICE = 500
"""Publications applied before other work has its turn, about 10 ms one by one; more are applied all at once."""
REST = 1.0
"""How long nothing is written after a pass over the readers, as a part of what the pass took: with thousands of them
changes gather into fewer blocks, and the process has time for those who come and for others on its machine."""
REST_MOST_S = 0.25
WIDE = 64
"""Readers of a channel that is served before smaller ones."""
PASS_S = 0.025
"""What one pass over channels of unusual selections may take, in seconds; the others come in the passes after it."""
BEHIND_S = 30.0
"""How long a replica may be behind what was applied here before its record is taken for another, in seconds; likewise a
server that does not know yet that the release is confirmed."""


class Record(Protocol):
    """What a feed needs of the public record; each method raises JournalUnavailable."""

    async def heads(self) -> Sequence[Head]:
        """Return the head of every election."""

    async def registry(self, election: int) -> bytes:
        """Return a registry document."""

    async def publications(self, election: int, after: int, most: int) -> list[Publication]:
        """Return publications in order."""

    async def unapplied(self, election: int, sequence: int) -> Sequence[Unapplied]:
        """Return, per unit, the publications after a sequence."""

    async def contacts(self, election: int) -> dict[str, datetime]:
        """Return when a token of each area was last used."""


_Key = tuple[str, bool, int]
"""Of a channel: its selection, whether under gzip, and its pace in seconds."""


_EDITIONS = count(1)


class ElectionFeed:
    """Follows one election. Invariants:

    * Readers see the state only when all up to some head is applied: a release is one block.
    * Reading it and joining a channel is one step between two awaits, so no change is missed or sent twice.
    """

    def __init__(self, record: Record, head: Head, document: bytes, metrics: FeedMetrics) -> None:
        self.id = head.id
        self.head = head
        self._record = record
        self._metrics = metrics
        self._sequence_gauge = metrics.sequence.labels(head.id)
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._settled = False
        self._settling = Waits()
        self._waiting = Waits()
        self._behind_since: float | None = None
        self._unreleased_since: float | None = None
        self.begin(document)

    def begin(self, document: bytes) -> None:
        """Start from nothing with a registry."""
        self.document = document
        self.registry: Registry = read_registry(orjson.loads(document), stored=True)
        self.select = partial(read_selection, self.registry)
        self.state = ElectionState(self.registry)
        self.maker = BlockMaker(self.state)
        self.areas = AreaPages(self.state, self.maker)
        self.edition = next(_EDITIONS)
        """Another one with each state begun anew: with a sequence it names all that is shown."""
        self.transfers = Transfers(self.registry)
        key = self.head.key
        self.archive = Archive(lambda after, most: self._record.publications(key, after, most))
        self.backlog: dict[str, Backlog] = {}
        self.contacts: dict[str, datetime] = {}
        self._channels: dict[_Key, Channel] = {}
        self._due: dict[_Key, Channel] = {}
        """Channels that have not been written to since the last change, those that wait longest first."""
        self._since = datetime.now(UTC)  # what was published before is read as history: it is not late
        self._shown = False
        self._settled = False
        self._reported_unknown: set[str] = set()

    @property
    def settled(self) -> bool:
        """Whether all up to some head is applied, so that the state may be shown."""
        return self._settled

    @property
    def channels(self) -> list[Channel]:
        """The channels that have readers."""
        return list(self._channels.values())

    async def wait_settled(self, timeout_s: float) -> bool:
        """Wait until the state may be shown; return whether it may."""
        clock = asyncio.get_running_loop().time
        until = clock() + timeout_s
        while (
            not self.settled and (left_s := until - clock()) > 0
        ):  # it may be on its way again before the last wakes
            await self._settling.wait(0, left_s)
        return self.settled

    async def wait_reached(self, sequence: int, timeout_s: float) -> bool:
        """Wait until the publications up to `sequence` are applied; return whether they are."""
        if self.state.sequence < sequence:
            await self._waiting.wait(sequence, timeout_s)
        return self.state.sequence >= sequence

    def join(
        self,
        reader: Reader,
        selection: Selection,
        cursor: Cursor | None,
        *,
        gzip: bool,
        every_s: int,
        head: bytes,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        """Let a reader in, from its cursor if that is a place in this record, else with a snapshot.

        Where that opens a channel, `closed` is called when the channel is given up.
        """
        key = (selection.key, gzip, every_s)
        channel = self._channels.get(key)
        if channel is None:
            channel = Channel(selection, gzip, every_s, self.maker, self._metrics)
            channel.on_empty = partial(self._drop, key, channel, closed)
            self._channels[key] = channel
        channel.join(reader, head, self._known(cursor), asyncio.get_running_loop().time())

    def readers(self, selection: Selection, *, gzip: bool, every_s: int) -> int:
        """Return how many read this selection in this way; 0 where it is not followed."""
        channel = self._channels.get((selection.key, gzip, every_s))
        return 0 if channel is None else len(channel)

    def shares(self, selection: Selection, cursor: Cursor | None) -> bool:
        """Whether what a reader begins with is there already."""
        return self.maker.shares(selection, self._known(cursor))

    def _known(self, cursor: Cursor | None) -> int | None:
        """Return the sequence of a cursor, None where it is no place of this record."""
        return (
            cursor.sequence
            if cursor is not None and cursor.sequence > 0 and self.state.holds(cursor)
            else None
        )

    def _drop(self, key: _Key, channel: Channel, closed: Callable[[], None]) -> None:
        channel.on_empty = lambda: None
        if self._channels.get(key) is channel:
            del self._channels[key]
            self._due.pop(key, None)
        closed()

    def look(self, head: Head) -> None:
        """Take note of a newer head."""
        if self._forgets_release(head):
            return
        moved = head.sequence != self.head.sequence or head.chain != self.head.chain
        self.head = head
        if moved or head.sequence != self.state.sequence:
            self._wanted.set()

    def _forgets_release(self, head: Head) -> bool:
        """Whether a head is without the release that was shown, and will probably come to know it.

        A release is on the synchronous standby before it is shown; that it is, may not have got there before a
        failover. Another end of the embargo, or BEHIND_S, says that the record is another one.
        """
        if (
            head.released_at is not None
            or self.head.released_at is None
            or head.publish_from != self.head.publish_from
        ):
            self._unreleased_since = None
            return False
        now = asyncio.get_running_loop().time()
        if self._unreleased_since is None:
            self._unreleased_since = now
        return now - self._unreleased_since <= BEHIND_S

    async def run(self) -> None:
        """Apply what the record gains, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                with tracing.span(
                    "apply", election=self.id, after=self.state.sequence, to=self.head.sequence
                ):
                    pass_s = await self._follow()
                await asyncio.sleep(min(REST * pass_s, REST_MOST_S))
            except HistoryChanged as error:
                log.error("the record is another one; starting over", election=self.id, reason=str(error))
                self._metrics.rebuilt.inc()
                await self._start_over_with_another_record()
            except JournalUnavailable as error:
                log.warning("record not read", election=self.id, error=str(error))
                await asyncio.sleep(0.5)
                self._wanted.set()

    def replace_registry(self, document: bytes) -> None:
        """Take another registry, which there may be as long as nothing is published."""
        log.info("registry replaced", election=self.id)
        self.document = document
        self._start_over()

    async def _start_over_with_another_record(self) -> None:
        """Begin again with the registry that is in the record now: it may be another one too."""
        self._settled = False
        while True:
            try:
                self.document = await self._record.registry(self.head.key)
                break
            except JournalUnavailable as error:
                log.warning("registry not read", election=self.id, error=str(error))
                await asyncio.sleep(0.5)
        self._start_over()

    def close(self) -> None:
        """Let everyone go: the election is not in the record any more, and what was shown of it is not either."""
        self._metrics.sequence.remove(self.id)
        channels = self.channels
        self.begin(self.document)
        self._waiting.release()
        self._close(channels)

    def _start_over(self) -> None:
        """Begin again from nothing; readers are closed and come back for a snapshot."""
        channels = self.channels
        self.begin(self.document)
        self._wanted.set()
        self._close(channels)

    def _close(self, channels: Sequence[Channel]) -> None:
        for reader in [reader for channel in channels for reader in channel.readers()]:
            reader.channel = None
            if reader.paused:
                reader.abort()  # it might never take what is unsent, and nobody would call it overdue any more
            else:
                reader.end()
        for channel in channels:
            channel.on_empty()

    async def _follow(self) -> float:
        """Apply the record up to the head as it is now; return what a pass over the readers took, in seconds."""
        head = self.head
        self._require_same_history(head)
        if head.sequence - self.state.sequence > SLICE:
            return self._publish(await self._catch_up(head))
        applied: list[Publication] = []
        while self.state.sequence < head.sequence:
            if applied:  # it was read in parts: nobody may see a state between two heads
                self._settled = False
            page = await self._page(head, self.state.sequence)
            for publication in page:
                self.state.apply(publication)
            self._note(page)
            applied += page
        return self._publish(applied)

    async def _catch_up(self, head: Head) -> Sequence[Publication]:
        """Apply many at once; return the newest. Nobody may see a state between two heads.

        The next page is read while one is applied, by the other side of the socket.
        """
        self._settled = False
        many = CatchUp(self.state)
        newest: deque[Publication] = deque(maxlen=PAGE)
        reading = asyncio.ensure_future(self._page(head, many.sequence))
        try:
            while many.sequence < head.sequence:
                page = await reading
                if page[-1].sequence < head.sequence:
                    reading = asyncio.ensure_future(self._page(head, page[-1].sequence))
                for start in range(0, len(page), SLICE):
                    await asyncio.sleep(0)
                    part = page[start : start + SLICE]
                    many.add(part)
                    self._note(part, archive=head.sequence - part[0].sequence < TAIL_MAX)
                newest.extend(page)
        finally:
            reading.cancel()
            for _ in many.finish():
                await asyncio.sleep(0)
        return newest

    async def _page(self, head: Head, after: int) -> list[Publication]:
        """Read the next publications up to a head. Raises JournalUnavailable where there is none."""
        page = await self._record.publications(head.key, after, min(PAGE, head.sequence - after))
        if not page:
            raise JournalUnavailable(f"no publications after {after}, the head is {head.sequence}")
        return page

    def _require_same_history(self, head: Head) -> None:
        """Raise HistoryChanged where the record ends before what was applied, and will not come to hold it.

        After a failover the new primary has what was applied, and may have yet to learn that it is confirmed.
        """
        mine = self.state.prefix_at(head.sequence)
        if mine is not None and mine != int.from_bytes(head.chain[:4]):
            raise HistoryChanged(f"another chain at sequence {head.sequence}")
        if max(head.sequence, head.accepted) >= self.state.sequence:
            self._behind_since = None
            return
        now = asyncio.get_running_loop().time()
        if self._behind_since is None:
            self._behind_since = now
        if now - self._behind_since > BEHIND_S or not head.standby:
            raise HistoryChanged(f"it ends at {head.sequence}, {self.state.sequence} was applied")

    def _note(self, publications: Sequence[Publication], *, archive: bool = True) -> None:
        """Note what was applied wherever that is told."""
        now = datetime.now(UTC)
        for publication in publications:
            late = publication.published_at >= self._since
            self.transfers.applied(publication, now if late else None)
            if archive:
                self.archive.append(publication)
            if late:
                self._metrics.apply_lag.observe((now - publication.published_at).total_seconds())
        self._metrics.applied.inc(len(publications))
        self._sequence_gauge.set(publications[-1].sequence)

    def _publish(self, applied: Sequence[Publication]) -> float:
        """Show the state: wake whoever waits for it, and write to the readers of every change.

        Returns what the pass over them took, in seconds.
        """
        self._settled = True
        self._settling.reached(0)
        self._shown = True
        if len(self.state.layout.unknown) != len(self._reported_unknown):
            self._report_unknown()
        if not applied and self.maker.settled:
            return self._write_due()[1]
        before = self.maker.position.sequence
        self.maker.advance()
        sequence = self.state.sequence
        self._waiting.reached(sequence)
        for key, channel in self._channels.items():
            if not channel.every_s:
                self._due.setdefault(key, channel)
        written, pass_s = self._write_due()
        written_at = datetime.now(UTC)
        late = [publication for publication in applied if publication.published_at >= self._since]
        self.transfers.written(late, written_at)
        if written:
            self._metrics.delivered.inc(sequence - before)
        for publication in late:
            self._metrics.write_lag.observe((written_at - publication.published_at).total_seconds())
            if publication.accepted_at == publication.published_at:
                self._metrics.through_lag.observe((written_at - publication.received_at).total_seconds())
        return pass_s

    def _report_unknown(self) -> None:
        """Log, once each, what this version does not know in the record: a newer one wrote it."""
        unknown = self.state.layout.unknown - self._reported_unknown
        log.warning(
            "the record has content that this version does not know",
            election=self.id,
            sequence=self.state.sequence,
            unknown=sorted(unknown),
        )
        self._reported_unknown |= unknown

    def _write_due(self) -> tuple[int, float]:
        """Write to the channels that are due; return how many readers got something, and what it took in seconds.

        Those of common selections are served at once, then wide ones and the others, at least one and as far as PASS_S
        goes; a next pass follows for the rest, when others have had their turn.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        due, self._due = self._due, {}
        common = [channel for channel in due.values() if channel.selection.common]
        written = sum(channel.write(began) for channel in common)
        others = [(key, channel) for key, channel in due.items() if not channel.selection.common]
        others.sort(key=lambda each: len(each[1]) < WIDE)
        for place, (_, channel) in enumerate(others):
            if place and clock() - began > PASS_S:
                self._due = dict(others[place:])
                self._wanted.set()
                break
            written += channel.write(began)
        return written, clock() - began

    def beat(self, now: float, tick: int, heartbeat_s: float) -> None:
        """Serve the paces whose turn it is, and whoever has heard nothing for a while. Called once a second."""
        if self.settled:
            for key, channel in self._channels.items():
                if channel.every_s and tick % channel.every_s == 0:
                    self._due.setdefault(key, channel)
            self._write_due()
        for channel in self.channels:
            if now - channel.wrote_at >= heartbeat_s - 1.5:
                channel.beat(now)

    async def watch(self) -> None:
        """Ask what the journal holds that is not applied here, and when senders were last heard of.

        Not while the record is read for the first time: all of it is still beyond, and nothing is shown of it.
        """
        if self.head.released_at is None or not self._shown:
            return
        transfers = self.transfers
        published = transfers.published()
        unapplied = await self._record.unapplied(self.head.key, self.state.sequence)
        contacts = await self._record.contacts(self.head.key)
        if self.transfers is not transfers:
            return  # it was a look at another record
        found: dict[str, Backlog] = {}
        for each in unapplied:
            if each.unit not in self.registry.units:
                continue  # of a record put in the place of this one, as the next look at its head will tell
            municipality = transfers.municipality_of(each.unit)
            held = found.get(municipality)
            found[municipality] = Backlog(
                each.accepted + (held.accepted if held else published[municipality]),
                min(each.oldest_published_at, held.oldest_published_at) if held else each.oldest_published_at,
                max(each.last_accepted_at, held.last_accepted_at) if held else each.last_accepted_at,
            )
        self.backlog, self.contacts = found, contacts
