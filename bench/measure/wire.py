"""Wire: bytes per reader of a recorded election, with and without gzip.

State, blocks and channels are those of a feed process; the sockets only count bytes, and the clock is that of the
recording. So the sizes are the same on every machine, apart from the time of day that blocks contain.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from itertools import groupby

from bench.figures import Result, Row, Series, Target
from bench.load.local import open_data_set
from bench.load.record import publications
from bench.measure.options import Options
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.feed.blocks import PARTS_READERS_MAX, BlockMaker
from gateway.feed.channel import SHARED_WINDOW_READERS_MIN, Channel, Reader
from gateway.feed.compression import GZIP_START
from gateway.feed.selection import read_selection
from gateway.rehearsal.dataset import DataSet
from gateway.telemetry.metrics import FeedMetrics

INTERVALS_S = (0, 10)
TARGETS = {0: Target(0.40, most=True), 10: Target(0.25, most=True)}
"""By `every_s`: size under gzip, as a part of the size without."""
RELEASE = Target(0.20, most=True)
NIGHT = timedelta(hours=6)
"""Duration of the recording, from the end of the embargo."""
HEARTBEAT_S = 10.0
LEVELS = ("country", "country,county", None)
"""Levels of the snapshots; None: the default selection."""


class CountingTransport(asyncio.Transport):
    """A socket that accepts everything and counts it."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Count the bytes."""
        self.size += len(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Count the bytes."""
        self.size += sum(map(len, list_of_data))

    def get_write_buffer_size(self) -> int:
        """Return 0: nothing waits."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Ignore the limits."""


class Side:
    """Readers of the default selection from the release on: enough to share a window; the bytes of one are counted."""

    def __init__(self, maker: BlockMaker, registry: Registry, every_s: int, gzip: bool, now: float) -> None:
        self._maker = maker
        self._socket = CountingTransport()
        self.every_s = every_s
        self.gzip = gzip
        self._channel = Channel(read_selection(registry, None, None), gzip, every_s, maker, FeedMetrics())
        for socket in (self._socket, *(CountingTransport() for _ in range(SHARED_WINDOW_READERS_MIN - 1))):
            self._channel.add(Reader(socket, lambda: None), GZIP_START if gzip else b"", None, now)
        self.began = self._socket.size
        self.beats = 0
        """Bytes of heartbeats so far."""

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._socket.size

    def published(self, now: float) -> None:
        """Write what was published, unless the channel has a pace."""
        if not self.every_s:
            self._channel.write(now)

    def tick(self, now: float) -> None:
        """Write at the start of a second what paces and heartbeats require, as a feed process does."""
        if self.every_s and int(now) % self.every_s == 0:
            self._channel.write(now)
        if now - self._channel.wrote_at >= HEARTBEAT_S - 1.5:
            before = self.size
            self._channel.send_heartbeat(now)
            self.beats += self.size - before


class Recording:
    """The readers of one recorded election, and the state that they follow."""

    def __init__(self, dataset: DataSet) -> None:
        self._registry = read_registry(dataset.registry)
        self._state = ElectionState(self._registry)
        self._maker = BlockMaker(self._state)
        self._publish_from = self._registry.publish_from
        self._publications = list(publications(dataset, self._registry))
        now = self._publish_from.timestamp()
        self.sides = [
            Side(self._maker, self._registry, every_s, gzip, now)
            for every_s in INTERVALS_S
            for gzip in (False, True)
        ]
        self.release: dict[tuple[int, bool], int] = {}

    def publish_all(self) -> int:
        """Publish everything up to the end of the recording; return the number of publications."""
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
        """Return the bytes of a reader from the release on, and how many of them were heartbeats."""
        (side,) = (side for side in self.sides if (side.every_s, side.gzip) == (every_s, gzip))
        return side.size - side.began, side.beats

    def snapshot(self, levels: str | None, *, gzip: bool, few: bool = False) -> int:
        """Return the size of the snapshot that a new reader of some levels is sent, as one of few or of many."""
        selection = read_selection(self._registry, levels, None)
        return len(self._maker.snapshot(selection).bytes(gzip=gzip, readers=1 if few else PARTS_READERS_MAX))


async def measure(options: Options) -> Result:
    """Publish the recording, and compare the bytes of readers with and without gzip."""
    async with open_data_set(options.data) as dataset:
        recording = Recording(dataset)
    published = recording.publish_all()
    result = Result("wire")
    what_published = f"{published} publications, default selection, gzip"
    for every_s in INTERVALS_S:
        (plain, plain_beats), (packed, beats) = (recording.bytes(every_s, gzip) for gzip in (False, True))
        result.notes.append(
            f"every_s={every_s}: without heartbeats {(packed - beats) / (plain - plain_beats):.3f} of plain"
        )
        result.rows.append(_row(f"{what_published}, every_s={every_s}", plain, packed, TARGETS[every_s]))
    result.rows.append(
        _row("a release, gzip", recording.release[0, False], recording.release[0, True], RELEASE)
    )
    for levels in LEVELS:
        what = f"a snapshot at the end, {levels or 'default selection'}, gzip"
        plain = recording.snapshot(levels, gzip=False)
        in_parts = recording.snapshot(levels, gzip=True, few=True)
        result.rows.append(_row(what, plain, recording.snapshot(levels, gzip=True)))
        result.rows.append(_row(f"{what}, for the first few", plain, in_parts))
    return result


def _row(what: str, plain: int, packed: int, target: Target | None = None) -> Row:
    beside = Series.single("plain", plain / 1000, "kB")
    return Row.single(
        f"bytes per reader: {what}", packed / 1000, "kB", target, beside, of_ratio=target is not None
    )
