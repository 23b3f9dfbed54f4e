"""Wire: bytes of the night as it was published, to readers in the clear and under gzip.

The state, the blocks and the channels are those of a feed process; the sockets only count, and the clock is that of the
recording. So these are sizes, not times: but for the time of day that a block tells, the same on every machine.
"""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby

import orjson

from bench.figures import Result, Row, Series, Target
from bench.load.local import election
from bench.measure.options import Options
from gateway.election.record import CHAIN_START, Publication, next_chain
from gateway.election.registry import Registry, read_registry
from gateway.election.state import ElectionState
from gateway.election.validation import Scope, Validator, ValidReport
from gateway.feed.blocks import FEW, BlockMaker
from gateway.feed.channel import SHARING_MIN, Channel, Reader
from gateway.feed.compression import GZIP_START
from gateway.feed.selection import read_selection
from gateway.rehearsal.dataset import DataSet
from gateway.telemetry.metrics import FeedMetrics

PACES_S = (0, 10)
TARGETS = {0: Target(0.40, most=True), 10: Target(0.25, most=True)}
"""By `every_s`: under gzip, as a part of what it is in the clear."""
RELEASE = Target(0.20, most=True)
NIGHT = timedelta(hours=6)
"""From the end of the embargo."""
HEARTBEAT_S = 10.0
LEVELS = ("country", "country,county", None)
"""What snapshots are of; None: the default selection."""


class Counting(asyncio.Transport):
    """A socket that takes everything and counts it."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Count it."""
        self.size += len(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Count it."""
        self.size += sum(map(len, list_of_data))

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no limit."""


class Side:
    """Readers of the default selection, from before the release on: as many as share a window, and one is counted."""

    def __init__(self, maker: BlockMaker, registry: Registry, every_s: int, gzip: bool, now: float) -> None:
        self._maker = maker
        self._socket = Counting()
        self.every_s = every_s
        self.gzip = gzip
        self._channel = Channel(read_selection(registry, None, None), gzip, every_s, maker, FeedMetrics())
        for socket in (self._socket, *(Counting() for _ in range(SHARING_MIN - 1))):
            self._channel.join(Reader(socket, lambda: None), GZIP_START if gzip else b"", None, now)
        self.began = self._socket.size
        self.beats = 0
        """Bytes of heartbeats."""

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._socket.size

    def published(self, now: float) -> None:
        """Something was: it is written, where there is no pace."""
        if not self.every_s:
            self._channel.write(now)

    def tick(self, now: float) -> None:
        """A second has begun: paces and heartbeats, as a feed process serves them."""
        if self.every_s and int(now) % self.every_s == 0:
            self._channel.write(now)
        if now - self._channel.wrote_at >= HEARTBEAT_S - 1.5:
            before = self.size
            self._channel.beat(now)
            self.beats += self.size - before


class Night:
    """The readers of one night, beside the state that they follow."""

    def __init__(self, dataset: DataSet) -> None:
        self._registry = read_registry(dataset.registry)
        self._state = ElectionState(self._registry)
        self._maker = BlockMaker(self._state)
        self._publish_from = self._registry.publish_from
        self._publications = list(_publications(dataset, self._registry))
        now = self._publish_from.timestamp()
        self.sides = [
            Side(self._maker, self._registry, every_s, gzip, now)
            for every_s in PACES_S
            for gzip in (False, True)
        ]
        self.release: dict[tuple[int, bool], int] = {}

    def play(self) -> int:
        """Publish everything up to the end of the night; return how much was."""
        ends = self._publish_from + NIGHT
        clock = int(self._publish_from.timestamp())
        for moment, group in groupby(self._publications, lambda each: each.published_at):
            if moment > ends:
                break
            clock = self._until(clock, moment.timestamp())
            for publication in group:
                self._state.apply(publication)
            self._maker.advance()
            before = [side.size for side in self.sides]
            for side in self.sides:
                side.published(moment.timestamp())
            if moment == self._publish_from:
                self.release = {
                    (side.every_s, side.gzip): side.size - size
                    for side, size in zip(self.sides, before, strict=True)
                }
        self._until(clock, ends.timestamp())
        return self._state.sequence

    def _until(self, clock: int, moment: float) -> int:
        while clock + 1 <= moment:
            clock += 1
            for side in self.sides:
                side.tick(float(clock))
        return clock

    def bytes(self, every_s: int, gzip: bool) -> tuple[int, int]:
        """Return the bytes of a reader since the release began, and how many of them were heartbeats."""
        (side,) = (side for side in self.sides if (side.every_s, side.gzip) == (every_s, gzip))
        return side.size - side.began, side.beats

    def snapshot(self, levels: str | None, *, gzip: bool, few: bool = False) -> int:
        """Return the bytes of what a reader of some levels is sent who comes now, one of few or of many."""
        selection = read_selection(self._registry, levels, None)
        return len(self._maker.snapshot(selection).bytes(gzip=gzip, readers=1 if few else FEW))


def _publications(dataset: DataSet, registry: Registry) -> Iterator[Publication]:
    """Give every report at its place in the record; what was counted before the release is published by it."""
    validator, scope = Validator(registry), Scope(registry, frozenset({registry.root.id}))
    chain = CHAIN_START
    for sequence, recorded in enumerate(sorted(dataset.reports(), key=lambda each: each.counted_at), 1):
        valid = validator.check(orjson.dumps(recorded.report), scope)
        assert isinstance(valid, ValidReport), f"a report is refused: {valid}"
        chain = next_chain(chain, valid.digest)
        at: datetime = recorded.counted_at
        report = valid.report
        yield Publication(
            sequence, max(at, registry.publish_from), report.unit, report.revision, valid.digest, chain,
            valid.body, at, at,
        )  # fmt: skip


async def measure(options: Options) -> Result:
    """Play the night, and compare the bytes of those in the clear and those under gzip."""
    async with election(options.data) as dataset:
        night = Night(dataset)
    published = night.play()
    found = Result("wire")
    shown = f"{published} publications of the night, default selection, gzip"
    for every_s in PACES_S:
        (plain, plain_beats), (packed, beats) = (night.bytes(every_s, gzip) for gzip in (False, True))
        found.notes.append(
            f"every_s={every_s}: without heartbeats {(packed - beats) / (plain - plain_beats):.3f} of plain"
        )
        found.rows.append(_row(f"{shown}, every_s={every_s}", plain, packed, TARGETS[every_s]))
    found.rows.append(_row("a release, gzip", night.release[0, False], night.release[0, True], RELEASE))
    for levels in LEVELS:
        what = f"a snapshot at the end, {levels or 'default selection'}, gzip"
        plain = night.snapshot(levels, gzip=False)
        in_parts = night.snapshot(levels, gzip=True, few=True)
        found.rows.append(_row(what, plain, night.snapshot(levels, gzip=True)))
        found.rows.append(_row(f"{what}, for the first few", plain, in_parts))
    return found


def _row(what: str, plain: int, packed: int, target: Target | None = None) -> Row:
    beside = Series.single("plain", plain / 1000, "kB")
    return Row.single(
        f"bytes a reader: {what}", packed / 1000, "kB", target, beside, of_ratio=target is not None
    )
