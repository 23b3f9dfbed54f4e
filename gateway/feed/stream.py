"""The feed of one election: its state, the blocks encoded from it, and its readers."""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import count
from typing import NamedTuple, Protocol

import orjson
import structlog
from msgspec.structs import replace

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.election.hold_list import HoldLine
from gateway.election.local_time import local_time
from gateway.election.previous import FORMAT as PREVIOUS_FORMAT
from gateway.election.previous import Previous, read_previous
from gateway.election.record import Head, Publication, Unapplied
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.state import CatchUp, Cursor, ElectionState, HistoryChanged
from gateway.errors import JournalUnavailable
from gateway.feed.archive import TAIL_MAX, Archive
from gateway.feed.areas import AreaPages
from gateway.feed.blocks import BlockMaker
from gateway.feed.channel import Channel, Reader
from gateway.feed.holds import HoldList, HoldsFollower
from gateway.feed.log import ElectionLog
from gateway.feed.log_reading import LogReader
from gateway.feed.results import ResultTables
from gateway.feed.selection import Selection, read_selection
from gateway.feed.transfers import Backlog, Transfers
from gateway.feed.waiters import SequenceWaiters
from gateway.memory import collection_paused
from gateway.telemetry import tracing
from gateway.telemetry.metrics import FeedMetrics
from gateway.wire.events import publication_line

log = structlog.get_logger()

PAGE_MAX = 500
"""Publications per read of the record: at most 32 MiB, since a report has 64 KiB at most. Larger pages take no less CPU
time for each publication, and a new process applies the first of them later."""
DELAYS_MAX = 2000
"""Publications, the newest, whose delays are recorded after catching up. They are kept until then, without reports."""
CORRECTIONS_MAX = 20_000
"""Corrections that wait for the end of catching up, of some 0.5 kB each. With more, the state is brought up to what was
applied, without being shown, before it goes on: a sender may have corrected its figures any number of times."""
APPLY_SLICE = 500
"""Publications applied before yielding to the event loop, about 10 ms one by one. If more are pending, CatchUp applies
them together."""
PAUSE_RATIO, PAUSE_S = 2.0, 0.04
"""After a pass over the readers during which changes were published, a feed pauses for so many times as long as the
pass took, but PAUSE_S at most. With thousands of readers, changes then accumulate into fewer blocks, each reader has
time to take the last one, and there is time for new connections and for other processes."""
PAUSE_MIN_RATIO, PAUSE_MAX_S = 0.5, 0.25
"""After a long pass, the pause is at least so many times as long as the pass, but PAUSE_MAX_S at most."""
NOTICE_S = 0.001
"""Pause after a pass during which nothing was published, so that a notification of something would be noticed. Where
nothing notifies of changes, as on a replica, every pause is a whole one."""
LARGE_CHANNEL_READERS = 64
"""Number of readers from which on a channel is served before smaller ones."""
PASS_MAX_S = 0.025
"""Time limit of one pass over the channels of uncommon selections, in seconds; the rest follow in later passes."""
REPLICA_LAG_MAX_S = 30.0
"""How long, in seconds, a replica may lag behind what this process has applied, or not know yet that a release is
confirmed, before its record is treated as a different one."""


CATCH_UP_S = 5.0
"""How long, in seconds, a feed may be catching up before the publications that it lacks are counted: they may be of
every unit, and are nearly always applied before anybody asks."""
CLOSED_S = 60.0
"""Once an election is closed, seconds between two reads of what is not applied and of the contacts of senders. An
installation may serve every election that it ever had."""
QUIET_S = 60.0
"""After how many seconds without a reader and without a publication what was encoded of an election is dropped."""


class Record(Protocol):
    """The public record, as read by a feed. Every method may raise JournalUnavailable."""

    async def heads(self) -> Sequence[Head]:
        """Return the head of every election."""

    async def registry(self, election: int) -> bytes:
        """Return a registry document."""

    async def previous(self, election: int) -> bytes | None:
        """Return the document of the previous election, None if there is none."""

    async def publications(self, election: int, after: int, most: int) -> list[Publication]:
        """Return up to `most` publications after a sequence, in order."""

    async def hold_lines(self, election: int, after: int, most: int) -> list[HoldLine]:
        """Return up to `most` lines of the list of holds after a number, in order."""

    async def unapplied(self, election: int, sequence: int) -> Sequence[Unapplied]:
        """Return, per unit, the publications after a sequence."""

    async def contacts(self, election: int) -> dict[str, datetime]:
        """Return when a token of each area was last used."""


class Documents(NamedTuple):
    """What is fixed before reports arrive, as JSON."""

    registry: bytes
    previous: bytes | None
    """The previous election."""


async def read_documents(record: Record, election: int) -> Documents:
    """Read the documents of an election. Raises JournalUnavailable."""
    return Documents(await record.registry(election), await record.previous(election))


_Key = tuple[str, bool, int]
"""Key of a channel: its selection, whether it uses gzip, and its interval in seconds."""


_generations = count(1)


class ElectionFeed:
    """Follows one election. Invariants:

    * Readers see the state only when everything up to some head is applied, so a release is one block.
    * Reading the state and joining a channel happen without an await in between, so no change is missed or sent twice.
    """

    def __init__(
        self,
        record: Record,
        head: Head,
        documents: Documents,
        metrics: FeedMetrics,
        logs: LogReader | None = None,
        *,
        may_have_grown: Callable[[], bool] = lambda: False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`logs` None: no election has a log.

        `may_have_grown`: whether the record may have more than `update_head` and `follow` were given.
        """
        self._clock = clock
        self._may_have_grown = may_have_grown
        self.id = head.id
        self.head = head
        self._record = record
        self._metrics = metrics
        self._sequence_gauge = metrics.sequence.labels(head.id)
        self._follow_requested = asyncio.Event()
        self._follow_requested.set()
        self.idle = asyncio.Event()
        """Set while everything up to the head is applied and written, and no pause follows: what is read is applied at
        once."""
        self._settled = False
        self._settled_waiters = SequenceWaiters()
        self._sequence_waiters = SequenceWaiters()
        self._behind_since: float | None = None
        self._unreleased_since: float | None = None
        self.holds_follower = HoldsFollower(self.id, self._count_holds)
        self.log = ElectionLog(self.id, logs, lambda: self._settled)
        self._reset(documents)

    def _reset(self, documents: Documents) -> None:
        """Start with an empty state of a registry."""
        self.documents = documents
        self.registry: Registry = read_registry(
            orjson.loads(documents.registry), stored=True, keep_areas=False
        )
        self.previous = self._previous(documents)
        self.select = partial(read_selection, self.registry)
        self.state = ElectionState(self.registry, self.previous)
        self.maker = BlockMaker(self.state, clock=self._clock)
        self.areas = AreaPages(self.state, self.maker)
        self.results = ResultTables(self.state, partial(self._shows, self.state))
        self.generation = next(_generations)
        """Changes with every new state. Generation and sequence together identify what is shown."""
        self.transfers = Transfers(self.registry)
        self.archive = Archive(partial(self._publication_lines, self.head.key))
        self.holds_follower.start(self.registry.units, partial(self._record.hold_lines, self.head.key))
        self.log.start()
        self.log.set_registry(documents.registry)
        self.backlog: dict[str, Backlog] = {}
        self.contacts: dict[str, datetime] = {}
        self._refreshed_at = -math.inf
        """When they were last read, by the clock of the event loop."""
        self._channels: dict[_Key, Channel] = {}
        self._ahead: Sequence[Publication] = ()
        """Publications that were read before it was known that there are any; see `follow`."""
        self._due: dict[_Key, Channel] = {}
        """Channels that have not been written to since the last change, the longest waiting first."""
        self._live_since = self._clock.now()
        """Publications before this time are history and do not count as late."""
        self._quiet = -1, 0.0
        """The sequence at the last call of `run_timers`, and since when it is that and there is no channel."""
        self._was_shown = False
        self._settled = False
        self._catching_up_since: float | None = None
        self._reported_unknown: set[str] = set()

    def _previous(self, documents: Documents) -> Previous | None:
        """Return the previous election, None if there is none or a newer version wrote it."""
        document = orjson.loads(documents.previous) if documents.previous is not None else None
        if document is None:
            return None
        if document.get("format") != PREVIOUS_FORMAT:
            log.warning("the format of the previous election is unknown", election=self.id)
            return None
        return read_previous(document, self.registry, stored=True)

    async def _publication_lines(self, key: int, after: int, most: int) -> list[bytes]:
        read = await self._record.publications(key, after, most)
        self.log.check(read)
        return [publication_line(each) for each in read]

    @property
    def settled(self) -> bool:
        """Whether everything up to some head is applied, so that the state may be shown."""
        return self._settled

    def _shows(self, state: ElectionState) -> bool:
        """Whether this is the present state, and may be shown."""
        return self.state is state and self._settled

    @property
    def hidden_until(self) -> datetime | None:
        """The end of the embargo, in the election's time zone, while nothing is shown; None from the release on."""
        shown = self.head.released_at is not None and (self.state.sequence > 0 or self.head.sequence == 0)
        return None if shown else local_time(self.registry, self.head.publish_from)

    @property
    def holds(self) -> HoldList:
        """The list of holds, as far as it has been read."""
        return self.holds_follower.holds

    def _count_holds(self) -> None:
        self.maker.holds = self.holds.number

    @property
    def held(self) -> Mapping[str, datetime]:
        """The units that are held, and since when; none before the release."""
        return self.holds.held if self.hidden_until is None else {}

    @property
    def channels(self) -> list[Channel]:
        """The channels that have readers."""
        return list(self._channels.values())

    async def wait_settled(self, timeout_s: float) -> bool:
        """Wait until the state may be shown; return whether it may."""
        clock = asyncio.get_running_loop().time
        until = clock() + timeout_s
        # The state may become unsettled again before the last waiter runs.
        while not self.settled and (left_s := until - clock()) > 0:
            await self._settled_waiters.wait(0, left_s)
        return self.settled

    async def wait_reached(self, sequence: int, timeout_s: float) -> bool:
        """Wait until the publications up to `sequence` are applied; return whether they are."""
        if self.state.sequence < sequence:
            await self._sequence_waiters.wait(sequence, timeout_s)
        return self.state.sequence >= sequence

    def subscribe(
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
        """Add a reader, from its cursor if that is a position in this record, otherwise with a snapshot.

        If this opens a channel, `closed` is called when the channel is closed.
        """
        key = (selection.key, gzip, every_s)
        channel = self._channels.get(key)
        if channel is None:
            channel = Channel(selection, gzip, every_s, self.maker, self._metrics)
            channel.on_empty = partial(self._drop_channel, key, channel, closed)
            self._channels[key] = channel
        channel.add(reader, head, self._sequence_of(cursor), asyncio.get_running_loop().time())

    def reader_count(self, selection: Selection, *, gzip: bool, every_s: int) -> int:
        """Return the number of readers of a selection with this encoding and interval; 0 if it has no channel."""
        channel = self._channels.get((selection.key, gzip, every_s))
        return 0 if channel is None else len(channel)

    def has_first_block(self, selection: Selection, cursor: Cursor | None) -> bool:
        """Whether the first block for a reader exists already."""
        return self.maker.has_block(selection, self._sequence_of(cursor))

    def _sequence_of(self, cursor: Cursor | None) -> int | None:
        """Return the sequence of a cursor, None if it is no position in this record."""
        return (
            cursor.sequence
            if cursor is not None and cursor.sequence > 0 and self.state.contains(cursor)
            else None
        )

    def _drop_channel(self, key: _Key, channel: Channel, closed: Callable[[], None]) -> None:
        channel.on_empty = lambda: None
        if self._channels.get(key) is channel:
            del self._channels[key]
            self._due.pop(key, None)
        closed()

    def update_head(self, head: Head) -> None:
        """Set the head of the record, and request that the feed follows it."""
        if self._lacks_release(head):
            return
        moved = head.sequence != self.head.sequence or head.chain != self.head.chain
        self.head = head
        if moved or head.sequence != self.state.sequence:
            self._follow_requested.set()
        self.holds_follower.update_head(head)

    @property
    def open(self) -> bool:
        """Whether the election is released and not closed, so that publications may follow at any time."""
        return self.head.released_at is not None and self.head.closed_at is None

    @property
    def next_after(self) -> int | None:
        """The sequence after which publications may be given to `follow`; None while the feed is not idle."""
        released = self.head.released_at is not None
        return self.state.sequence if self.idle.is_set() and self._settled and released else None

    def follow(self, publications: Sequence[Publication]) -> bool:
        """Request that the feed follows a record that has these publications after `next_after`.

        Returns False if that has changed since they were read, and if one of them ends a hold.
        """
        after, last = self.next_after, publications[-1]
        if after is None or publications[0].sequence != after + 1 or last.sequence <= self.head.sequence:
            return False
        held = self.holds.held
        if any(each.held_since is not None or each.unit in held for each in publications):
            return False  # the list of holds has grown as well
        self._ahead = publications
        accepted = max(self.head.accepted, last.sequence)
        self.head = replace(self.head, sequence=last.sequence, chain=last.chain, accepted=accepted)
        self._follow_requested.set()
        return True

    def _lacks_release(self, head: Head) -> bool:
        """Whether a head lacks a release that was shown, but its server will probably receive it.

        A release reaches the synchronous standby before it is shown, but its confirmation may not have done so before a
        failover. A different end of the embargo, or more than REPLICA_LAG_MAX_S, means a different record.
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
        return now - self._unreleased_since <= REPLICA_LAG_MAX_S

    async def run(self) -> None:
        """Apply new publications until cancelled."""
        while True:
            if not self._follow_requested.is_set():
                self.idle.set()
                await self._follow_requested.wait()
            self.idle.clear()
            self._follow_requested.clear()
            try:
                with tracing.span(
                    "apply", election=self.id, after=self.state.sequence, to=self.head.sequence
                ):
                    pass_s = await self._follow()
                await self._pause(_pause_s(pass_s))
            except HistoryChanged as error:
                log.error(
                    "the record has a different history; rebuilding", election=self.id, reason=str(error)
                )
                self._metrics.rebuilt.inc()
                await self._rebuild_from_record()
            except JournalUnavailable as error:
                log.warning("record not read", election=self.id, error=str(error))
                await asyncio.sleep(0.5)
                self._follow_requested.set()

    async def _pause(self, pause_s: float) -> None:
        """Pause after a pass over the readers, but only for NOTICE_S unless more was, or may have been, published."""
        await asyncio.sleep(min(pause_s, NOTICE_S))
        if pause_s > NOTICE_S and (self._follow_requested.is_set() or self._may_have_grown()):
            await asyncio.sleep(pause_s - NOTICE_S)

    def replace_registry(self, documents: Documents) -> None:
        """Replace the registry and the previous election, which can change as long as nothing is published."""
        log.info("registry replaced", election=self.id)
        self.documents = documents
        self._rebuild()

    async def _rebuild_from_record(self) -> None:
        """Rebuild the state with the current registry of the record, which may have changed as well."""
        self._settled = False
        while True:
            try:
                self.documents = await read_documents(self._record, self.head.key)
                break
            except JournalUnavailable as error:
                log.warning("registry not read", election=self.id, error=str(error))
                await asyncio.sleep(0.5)
        self._rebuild()

    def close(self) -> None:
        """Close all readers and clear the state: the election is no longer in the record."""
        self._metrics.sequence.remove(self.id)
        channels = self.channels
        self._reset(self.documents)
        self._sequence_waiters.wake_all()
        self._close_channels(channels)

    def _rebuild(self) -> None:
        """Start again with an empty state. Readers are closed and reconnect for a snapshot."""
        channels = self.channels
        self._reset(self.documents)
        self._follow_requested.set()
        self._close_channels(channels)

    def _close_channels(self, channels: Sequence[Channel]) -> None:
        for reader in [reader for channel in channels for reader in channel.readers()]:
            reader.channel = None
            if reader.paused:
                reader.abort()  # it might stay stalled, and no channel would close it any more
            else:
                reader.end()
        for channel in channels:
            channel.on_empty()

    async def _follow(self) -> float:
        """Apply the record up to the current head; return the time of the pass over the readers, in seconds."""
        head = self.head
        self._require_same_history(head)
        if head.sequence - self.state.sequence > APPLY_SLICE:
            state = self.state
            with collection_paused():
                newest = await self._catch_up(head)
            if self.state is not state:
                return 0.0  # the registry was replaced meanwhile, and what is new is followed next
            return self._show(newest)
        applied: list[Publication] = []
        while self.state.sequence < head.sequence:
            if applied:  # more than one page: a state between two heads must not be shown
                self._settled = False
            page = await self._page(head, self.state.sequence)
            for publication in page:
                self.state.apply(publication)
            units = self.registry.units
            self._account(page, [units[publication.unit].index for publication in page])
            applied += page
        return self._show(applied)

    async def _catch_up(self, head: Head) -> Sequence[Publication]:
        """Apply many publications at once; return the newest, without their bodies and without those of history.

        A state between two heads is not shown. Ends early if the state is replaced meanwhile. Postgres reads the next
        page while this process applies one.
        """
        self._settled = False
        if self._catching_up_since is None:
            self._catching_up_since = asyncio.get_running_loop().time()
        state = self.state
        many = CatchUp(state)
        finishing = many.finish()
        newest: deque[Publication] = deque(maxlen=DELAYS_MAX)
        reading = asyncio.ensure_future(self._page(head, many.sequence))
        try:
            while many.sequence < head.sequence:
                page = await reading
                if page[-1].sequence < head.sequence:
                    reading = asyncio.ensure_future(self._page(head, page[-1].sequence))
                for start in range(0, len(page), APPLY_SLICE):
                    await asyncio.sleep(0)
                    if self.state is not state:
                        return ()
                    part = page[start : start + APPLY_SLICE]
                    indexes = many.add(part)
                    self._account(part, indexes, archive=head.sequence - part[0].sequence < TAIL_MAX)
                    if many.corrections > CORRECTIONS_MAX:
                        for _ in finishing:
                            await asyncio.sleep(0)
                        many = CatchUp(state)
                        finishing = many.finish()
                newest.extend(
                    replace(each, body=b"") for each in page if each.published_at >= self._live_since
                )
        finally:
            reading.cancel()
            for _ in finishing:
                await asyncio.sleep(0)
        return newest

    async def _page(self, head: Head, after: int) -> list[Publication]:
        """Return the next publications up to a head, as far as they are given to `follow`, or else read them.

        Raises JournalUnavailable if there are none.
        """
        ahead, self._ahead = self._ahead, ()
        if ahead and ahead[0].sequence == after + 1 and ahead[-1].sequence <= head.sequence:
            return list(ahead)
        page = await self._record.publications(head.key, after, min(PAGE_MAX, head.sequence - after))
        if not page:
            raise JournalUnavailable(f"no publications after {after}, the head is {head.sequence}")
        return page

    def _require_same_history(self, head: Head) -> None:
        """Raise HistoryChanged if the record lacks applied publications and will not receive them.

        After a failover, the new primary has them, but may not have their confirmation yet.
        """
        mine = self.state.prefix_at(head.sequence)
        if mine is not None and mine != int.from_bytes(head.chain[:4]):
            raise HistoryChanged(f"different chain at sequence {head.sequence}")
        if max(head.sequence, head.accepted) >= self.state.sequence:
            self._behind_since = None
            return
        now = asyncio.get_running_loop().time()
        if self._behind_since is None:
            self._behind_since = now
        if now - self._behind_since > REPLICA_LAG_MAX_S or not head.standby:
            raise HistoryChanged(f"the record ends at {head.sequence}, but {self.state.sequence} is applied")

    def _account(
        self, publications: Sequence[Publication], indexes: Sequence[int], *, archive: bool = True
    ) -> None:
        """Add applied publications to the log, the archive, the transfers and the metrics.

        `indexes` are those of their units.
        """
        self.log.add(publications)
        lags_s = self._lags_s(publications)
        self.transfers.applied(publications, indexes, lags_s)
        for lag_s, times in Counter(lags_s).items():
            if lag_s is not None:
                self._metrics.apply_lag.observe(lag_s, times)
        if archive:
            for publication in publications:
                self.archive.append(publication.sequence, publication_line(publication))
        self._metrics.applied.inc(len(publications))
        self._sequence_gauge.set(publications[-1].sequence)

    def _lags_s(self, publications: Sequence[Publication]) -> Sequence[float | None]:
        """Return how long after its publication each is applied, in seconds; None if it is history."""
        now, lags_s = self._clock.now(), list[float | None]()
        published_at: datetime | None = None
        lag_s: float | None = None
        for publication in publications:
            if publication.published_at is not published_at:  # one object for all after an embargo
                published_at = publication.published_at
                late = published_at >= self._live_since
                lag_s = (now - published_at).total_seconds() if late else None
            lags_s.append(lag_s)
        return lags_s

    def _show(self, applied: Sequence[Publication]) -> float:
        """Show the state: wake those who wait for it, and write to the readers of every change.

        Returns the time of the pass over the readers, in seconds.
        """
        self._settled, self._catching_up_since = True, None
        self._settled_waiters.wake_up_to(0)
        self._was_shown = True
        self.log.advanced()
        if len(self.state.layout.unknown) != len(self._reported_unknown):
            self._report_unknown()
        if not applied and self.maker.settled:
            return self._write_due()[1]
        before = self.maker.position.sequence
        self.maker.advance()
        sequence = self.state.sequence
        self._sequence_waiters.wake_up_to(sequence)
        for key, channel in self._channels.items():
            if not channel.every_s:
                self._due.setdefault(key, channel)
        written, pass_s = self._write_due()
        written_at = self._clock.now()
        late = [publication for publication in applied if publication.published_at >= self._live_since]
        self.transfers.written(late, written_at)
        if written:
            self._metrics.delivered.inc(sequence - before)
        for publication in late:
            self._metrics.write_lag.observe((written_at - publication.published_at).total_seconds())
            if publication.accepted_at == publication.published_at and publication.held_since is None:
                self._metrics.through_lag.observe((written_at - publication.received_at).total_seconds())
        return pass_s

    def _report_unknown(self) -> None:
        """Log each unknown name in the record once: a newer version wrote it."""
        unknown = self.state.layout.unknown - self._reported_unknown
        log.warning(
            "the record has content that this version does not know",
            election=self.id,
            sequence=self.state.sequence,
            unknown=sorted(unknown),
        )
        self._reported_unknown |= unknown

    def _write_due(self) -> tuple[int, float]:
        """Write to the channels that are due; return the number of readers, and the time of the pass in seconds.

        Channels of common selections come first, then large ones, then the others: at least one, and as many as
        PASS_MAX_S allows. Another pass follows for the rest after other work had its turn.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        due, self._due = self._due, {}
        common = [channel for channel in due.values() if channel.selection.common]
        written = sum(channel.write(began) for channel in common)
        others = [(key, channel) for key, channel in due.items() if not channel.selection.common]
        others.sort(key=lambda each: len(each[1]) < LARGE_CHANNEL_READERS)
        for place, (_, channel) in enumerate(others):
            if place and clock() - began > PASS_MAX_S:
                self._due = dict(others[place:])
                self._follow_requested.set()
                break
            written += channel.write(began)
        return written, clock() - began

    def run_timers(self, now: float, tick: int, heartbeat_s: float) -> None:
        """Write to channels whose interval has passed, and send heartbeats. Called once a second."""
        if self.settled:
            for key, channel in self._channels.items():
                if channel.every_s and tick % channel.every_s == 0:
                    self._due.setdefault(key, channel)
            self._write_due()
        for channel in self.channels:
            if now - channel.wrote_at >= heartbeat_s - 1.5:
                channel.send_heartbeat(now)
        self._forget_if_quiet(now)

    def _forget_if_quiet(self, now: float) -> None:
        """Drop what was encoded or read for readers, in each QUIET_S without a channel and without a publication.

        A process serves every election that was ever loaded. Without this, it would keep the caches of each of them,
        which are limited for each election only.
        """
        if self._channels or self.state.sequence != self._quiet[0]:
            self._quiet = self.state.sequence, now
        elif now - self._quiet[1] >= QUIET_S:
            self._quiet = self.state.sequence, now
            self.maker.forget()
            self.areas.forget()
            self.results.forget()
            self.archive.forget()

    async def refresh_transfers(self) -> None:
        """Read which publications are not applied here, and when senders were last in contact.

        Does nothing while the record is read for the first time: nothing of it is shown yet. Nor does it in the first
        CATCH_UP_S of catching up, however often that fails, nor within CLOSED_S of the last time if the election is
        closed and all of it applied.
        """
        if self.head.released_at is None or not self._was_shown:
            return
        now = asyncio.get_running_loop().time()
        since = self._catching_up_since
        if since is not None and now - since < CATCH_UP_S:
            return
        complete = self.head.closed_at is not None and self.state.sequence >= self.head.accepted
        if complete and not self.backlog and now - self._refreshed_at < CLOSED_S:
            return
        transfers = self.transfers
        published = transfers.published()
        unapplied = await self._record.unapplied(self.head.key, self.state.sequence)
        contacts = await self._record.contacts(self.head.key)
        if self.transfers is not transfers:
            return  # the feed was rebuilt meanwhile
        found: dict[str, Backlog] = {}
        for each in unapplied:
            if each.unit not in self.registry.units:
                continue  # of a different record; the next head will show that
            municipality = transfers.municipality_of(each.unit)
            earlier = found.get(municipality)
            found[municipality] = Backlog(
                each.accepted + (earlier.accepted if earlier else published[municipality]),
                min(each.oldest_published_at, earlier.oldest_published_at)
                if earlier
                else each.oldest_published_at,
                max(each.last_accepted_at, earlier.last_accepted_at) if earlier else each.last_accepted_at,
            )
        self.backlog, self.contacts, self._refreshed_at = found, contacts, now


def _pause_s(pass_s: float) -> float:
    """Return how long to pause after a pass over the readers, in seconds."""
    return min(max(min(PAUSE_RATIO * pass_s, PAUSE_S), PAUSE_MIN_RATIO * pass_s), PAUSE_MAX_S)
