"""What a mirror of a recorded night writes and what its readers request, counted in simulated time.

The counts are exact and the same on every machine, except that files which the mirror takes from the feed door count as
if they changed at each pass.
"""

import random
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.figures import Result, Row, Series, Target
from bench.load.mirror_night import MirrorNight, Moment, Sizes, live_size
from gateway.feed.compression import deflate
from gateway.mirror.documents import PACES
from gateway.mirror.election_files import LIST_EVERY_PASSES, REGISTRY_EVERY_PASSES
from gateway.mirror.log_files import CHECKPOINTS_S
from gateway.rehearsal.dataset import DataSet
from gateway.wire.events import area_event, block_event
from gateway.wire.mirror import COUNTRY, DEFAULT, Position, route

EVERY_S = 2
HOUR_S = 3600.0
AWAY_S = 3600.0
PUTS = Target(10_000, most=True)
BYTES = Target(1.3, most=True)
REQUESTS = Target(3, most=True)
JITTER = 0.8, 1.2
"""A reader asks for `live.json` after a random part of the interval in this range."""
OF_DOOR = (
    PACES.results,
    PACES.holds,
    *(2 * [PACES.seats]),
    *(2 * [PACES.corrections]),
    PACES.elections * LIST_EVERY_PASSES,
    PACES.elections * REGISTRY_EVERY_PASSES,
    PACES.transfers,
    *(2 * [PACES.publications]),
    CHECKPOINTS_S,
    *(4 * [PACES.log]),
)
"""For each file that is rewritten, apart from those of areas: the fewest seconds between two times."""


class Heads(NamedTuple):
    """Bytes of the heads of answers, as nginx sends them."""

    unchanged: int
    """A whole answer 304."""
    changed: int
    """The head of an answer 200."""


class Paced:
    """Passes over files of one kind: one after a change, and further ones at a pace. Counts files by the hour."""

    def __init__(self, pace_s: float) -> None:
        self._pace_s = pace_s
        self._next_s = float("-inf")
        self._since = -1

    def pass_over(self, moment: Moment) -> Iterator[tuple[float, int]]:
        """Yield when there is a pass between a step and the next one, and the sequence of the pass before it."""
        at_s = max(moment.at_s, self._next_s)
        if at_s < moment.until_s and self._since < moment.view.sequence:
            yield at_s, self._since
            self._since, self._next_s = moment.view.sequence, at_s + self._pace_s


class Puts:
    """Counts the files that a mirror writes, by the hour since the end of the embargo."""

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self._areas = [Paced(PACES.areas), Paced(PACES.tables)]
        self._others = [Paced(pace_s) for pace_s in OF_DOOR]
        self.immutable = Counter[int]()
        self.live = Counter[int]()
        self.rewritten = Counter[int]()

    def note(self, moment: Moment) -> None:
        """Count what is written at a step and until the next one."""
        hour = self._hour(moment.at_s)
        self.immutable[hour] += len(moment.step.files)
        for number in range(1 + moment.refreshes(EVERY_S)):
            self.live[self._hour(moment.at_s + 5 * number)] += 1
        for each in self._areas:
            for at_s, since in each.pass_over(moment):
                changed = sum(area.sequence > since for area in moment.view.areas.values())
                self.rewritten[self._hour(at_s)] += changed
        for each in self._others:
            self.rewritten.update(self._hour(at_s) for at_s, _ in each.pass_over(moment))

    def _hour(self, at_s: float) -> int:
        return int((at_s - self._began_s) // HOUR_S)

    def of(self, hour: int) -> int:
        """Return the files of an hour."""
        return self.immutable[hour] + self.live[hour] + self.rewritten[hour]

    @property
    def hours(self) -> Sequence[int]:
        """The full hours, from the first one after the end of the embargo."""
        return sorted(hour for hour in self.live if hour >= 0)


class PollingReader:
    """A reader of one profile that follows a mirror all night, beside the stream's blocks of the same areas."""

    def __init__(self, night: MirrorNight, profile: str) -> None:
        self.profile = profile
        self._night = night
        self._indexes = [night.registry.by_id[name].index for name in night.profiles[profile]]
        self._chance = random.Random(profile)
        self._position: Position | None = None
        self._next_s = night.began_s
        self._seen_version: tuple[int, int] | None = None
        self._streamed = 0
        self.files = self.file_bytes = self.blocks = self.block_bytes = 0
        self.unchanged = self.changed = self.live_bytes = 0

    def note(self, moment: Moment, sizes: Sizes, live_bytes: int) -> None:
        """Ask as often as a reader does until the next step, and add the block of the stream."""
        if self._position is None:
            self._position = _position(moment)  # it has what there is before the end of the embargo
        else:
            self._add_block(moment)
        while self._next_s < moment.until_s:
            version = moment.view.sequence, int((self._next_s - moment.at_s) // 5)
            if version == self._seen_version:
                self.unchanged += 1
            else:
                self._seen_version = version
                self.changed += 1
                self.live_bytes += live_bytes
                self._follow(moment, sizes)
            self._next_s += EVERY_S * self._chance.uniform(*JITTER)

    def _follow(self, moment: Moment, sizes: Sizes) -> None:
        found = route(moment.live, self.profile, self._position)
        assert found is not None
        self.files += len(found.files)
        self.file_bytes += sum(map(sizes.of, found.files))
        self._position = _position(moment)

    def _add_block(self, moment: Moment) -> None:
        state = self._night.state
        changed = [index for index in self._indexes if state.areas[index].sequence > self._streamed]
        self._streamed = state.sequence
        if not changed:
            return
        end = block_event(
            state.cursor(), state.chain, state.published_at, snapshot=False, areas=len(changed), rehearsal=False,
            holds=0, server_time=moment.view.server_time,
        )  # fmt: skip
        self.blocks += 1
        self.block_bytes += len(deflate(b"".join([*(area_event(state, index) for index in changed), end])))


def _position(moment: Moment) -> Position:
    return Position(moment.view.sequence, moment.view.cursor, moment.live.history)


class Returning:
    """Readers that come back after AWAY_S, at every step, in every profile. Counts the requests of the slowest."""

    def __init__(self, night: MirrorNight) -> None:
        self._profiles = night.profiles
        self._before: deque[Moment] = deque()
        self.most = 0
        self.moments = 0

    def note(self, moment: Moment) -> None:
        """Have a reader come back that has what `live.json` named AWAY_S ago, and one that has nothing usable."""
        self._before.append(moment)
        while len(self._before) > 1 and self._before[1].at_s <= moment.at_s - AWAY_S:
            self._before.popleft()
        readers: list[Position | None] = [None]
        if self._before[0].at_s <= moment.at_s - AWAY_S:
            readers.append(_position(self._before[0]))
        self.moments += 1
        for profile in self._profiles:
            for reader in readers:
                found = route(moment.live, profile, reader)
                assert found is not None
                self.most = max(self.most, 1 + len(found.files))


def largest_area_profile(night: MirrorNight) -> str:
    """Return the profile of the area below the root that has the most areas."""
    below = [name for name in night.profiles if name not in (COUNTRY, DEFAULT)]
    return max(below, key=lambda name: len(night.profiles[name]), default=COUNTRY)


def count(dataset: DataSet, heads: Heads | None, result: Result) -> None:
    """Add the rows of everything that is counted. Without `heads`, those of answers are left out."""
    night = MirrorNight(dataset, EVERY_S)
    sizes, puts, returning = Sizes(), Puts(night.began_s), Returning(night)
    readers = [PollingReader(night, name) for name in (COUNTRY, DEFAULT, largest_area_profile(night))]
    largest_live = 0
    for moment in night.moments():
        sizes.note(moment, night.ledger.take_removable(moment.at_s))
        live_bytes = live_size(moment.live)
        largest_live = max(largest_live, live_bytes)
        puts.note(moment)
        returning.note(moment)
        for reader in readers:
            reader.note(moment, sizes, live_bytes)
    _add_puts(puts, sizes, result)
    for reader in readers:
        _add_bytes(reader, night, heads, result)
    result.rows.append(
        Row.single(
            f"requests to catch up after an hour away, at each of {returning.moments} steps and in each of"
            f" {len(night.profiles)} profiles: most",
            returning.most,
            "requests",
            REQUESTS,
        )
    )
    result.notes.append(f"live.json: at most {largest_live} bytes compressed")


def _add_puts(puts: Puts, sizes: Sizes, result: Result) -> None:
    hours = puts.hours
    release, *later = hours
    busiest = max(later or hours, key=puts.of)
    for name, hour in (
        ("the hour after the embargo", release),
        ("the busiest hour after that", busiest),
    ):
        result.rows.append(
            Row.single(
                f"files written (PUTs), every {EVERY_S} s, all profiles: {name}",
                puts.of(hour),
                "files",
                PUTS,
            )
        )
        result.notes.append(
            f"PUTs of {name}: {puts.immutable[hour]} immutable files, {puts.live[hour]} × live.json,"
            f" {puts.rewritten[hour]} rewritten files"
        )
    result.rows += [
        Row.single(
            f"immutable files of the live path, {len(hours)} hours: written", sizes.written / 1e6, "MB"
        ),
        Row.single(
            f"immutable files of the live path, {len(hours)} hours: stored at most",
            sizes.most_stored / 1e6,
            "MB",
        ),
    ]


def _add_bytes(reader: PollingReader, night: MirrorNight, heads: Heads | None, result: Result) -> None:
    name = f"{reader.profile} ({len(night.profiles[reader.profile])} areas)"
    blocks = Series.single("blocks of the stream, each compressed by itself", reader.block_bytes / 1000, "kB")
    result.rows.append(
        Row.single(
            f"bytes per reader through the night, deltas and snapshots of {name}", reader.file_bytes / 1000, "kB",
            BYTES, blocks, of_ratio=True,
        )
    )  # fmt: skip
    polls = reader.unchanged + reader.changed
    sent = reader.live_bytes
    if heads is not None:
        sent += heads.unchanged * reader.unchanged + heads.changed * (reader.changed + reader.files)
    what = f"bytes per reader through the night, polling of {name}: {polls} × live.json, {reader.unchanged} of them 304"
    result.rows.append(Row.single(what, sent / 1000, "kB"))
    result.notes.append(f"{name}: {reader.files} files for {reader.blocks} blocks of the stream")
