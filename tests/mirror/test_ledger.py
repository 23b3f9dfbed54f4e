"""Ledger: whatever happens to mirror and readers, the files that `live.json` names lead to its state."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.election.registry import Registry
from gateway.mirror.ledger import ANCHOR_S, KEPT_S, SNAPSHOT_LEAST_S, SNAPSHOT_MOST_S, Ledger
from gateway.mirror.profiles import profiles_of
from gateway.mirror.state import MirrorState
from gateway.wire.mirror import (
    AREA_PROFILES_MAX,
    AREA_PROFILES_WITH_STEPS_MAX,
    LIVE_MAX,
    STEPS_MAX,
    Live,
    Position,
    decode_live,
    encode_live,
    live_path,
)
from tests.counts import examples
from tests.mirror.model import FileReader, RecordModel, a_registry

HISTORY = "20250908T190000Z-5f3a9c21"
REGISTRY = a_registry()
UNITS = sorted(REGISTRY.units)
PROFILES = profiles_of(REGISTRY)
WRITTEN_AT = datetime(2025, 9, 8, 20, tzinfo=UTC)


class Night:
    """A ledger with a record to show, and the files that were written, without any I/O."""

    def __init__(self, registry: Registry = REGISTRY) -> None:
        self.registry = registry
        self.record = RecordModel(registry)
        self.history = HISTORY
        self.now_s = 1000.0
        self.files: dict[str, bytes] = {}
        self.lives: list[tuple[float, Live]] = []
        """Every `live.json`, and when it was replaced by the next one."""
        self.begin(None)

    def begin(self, continued: Live | None) -> None:
        """Start the process of the mirror."""
        self.state = MirrorState(tuple(self.registry.by_id))
        self.state.apply(self.record.block())
        self.ledger = Ledger(
            "no-test", self.history, 2, profiles_of(self.registry), continued=continued, now_s=self.now_s
        )

    @property
    def live(self) -> Live:
        """The newest `live.json`."""
        return decode_live(self.files[live_path("no-test")])

    def receive(self) -> None:
        """Apply what the stream sends next."""
        self.state.apply(self.record.block(self.state.view().sequence))

    def step(self, *, stored: int | None = None, live: bool = True, commit: bool = True) -> bool:
        """Write a step if one is due, or only as many files of it as `stored`."""
        view = self.state.view()
        if not self.ledger.is_due(view):
            return False
        step = self.ledger.prepare(view, self.now_s)
        for file in step.files[:stored]:
            assert self.files.get(file.path, file.body) == file.body, "an immutable file changes"
            self.files[file.path] = file.body
        if stored is not None or not live:
            return True
        document = self.ledger.live(view, step, written_at=WRITTEN_AT, documents=0, ranges=0)
        if live_path("no-test") in self.files:
            self.lives.append((self.now_s, self.live))
        self.files[live_path("no-test")] = encode_live(document)
        if commit:
            self.ledger.commit(step, self.now_s)
        return True

    def publish_and_step(self, unit: str, after_s: float = 2.0) -> None:
        """Publish a report and write the step."""
        self.now_s += after_s
        self.record.publish(unit)
        self.receive()
        assert self.step()

    def reader(self, profile: str, **members: Any) -> FileReader:
        """Return a reader of the files."""
        return FileReader("no-test", profile, self.files.get, **members)

    def shown(self, profile: str, sequence: int) -> dict[str, bytes]:
        """Return the areas of a profile after a publication."""
        documents = self.record.documents_at(sequence)
        return {name: documents[name] for name in profiles_of(self.registry)[profile]}


class MirrorMachine(RuleBasedStateMachine):
    """A mirror that is killed at any point, and readers that see any `live.json` of the last KEPT_S seconds."""

    @initialize()
    def begin(self) -> None:
        self.night = Night()
        self.night.step()
        self.readers = [self.night.reader(profile) for profile in PROFILES]
        self.reached = [-1] * len(self.readers)

    @rule(unit=st.sampled_from(UNITS), reports=st.integers(1, 4))
    def publish(self, unit: str, reports: int) -> None:
        for number in range(reports):
            self.night.record.publish(unit, number + 1)

    @rule()
    def receive(self) -> None:
        self.night.receive()

    @rule()
    def step(self) -> None:
        self.night.step()

    @rule(unit=st.sampled_from(UNITS), after_s=st.sampled_from([1.0, 5.0, 40.0]))
    def publish_and_step(self, unit: str, after_s: float) -> None:
        self.night.publish_and_step(unit, after_s)

    @rule(stored=st.integers(0, 5))
    def fail_to_write(self, stored: int) -> None:
        self.night.step(stored=stored)

    @rule(commit=st.booleans())
    def be_killed(self, commit: bool) -> None:
        """At any point of a step, and begin again."""
        self.night.step(live=commit, commit=False)
        self.night.begin(self.night.live)
        kept = self.night.ledger.named()
        paths = [path for path in self.night.files if path not in kept and not path.endswith("live.json")]
        self.night.ledger.retire(paths, self.night.now_s)

    @rule(seconds=st.sampled_from([0.5, 2.0, 30.0, ANCHOR_S, KEPT_S + 1]))
    def wait(self, seconds: float) -> None:
        self.night.now_s += seconds

    @rule()
    def remove(self) -> None:
        for path in self.night.ledger.take_removable(self.night.now_s):
            self.night.files.pop(path, None)

    @rule(data=st.data(), place=st.integers(0, len(PROFILES) - 1))
    def read(self, data: st.DataObject, place: int) -> None:
        """Follow a profile by a `live.json` that is the newest, or was within KEPT_S."""
        night = self.night
        recent = [each for replaced_s, each in night.lives if replaced_s > night.now_s - KEPT_S + 1]
        live = data.draw(st.sampled_from([*recent[-6:], night.live]), label="live.json")
        reader = self.readers[place]
        if reader.follow(live):
            assert reader.copy == night.shown(reader.profile, live.sequence)
            assert live.sequence >= self.reached[place]
            self.reached[place] = live.sequence
            assert reader.requests <= 3

    @rule(place=st.integers(0, len(PROFILES) - 1))
    def read_the_stream(self, place: int) -> None:
        """Have a reader follow the stream for one block; the mirror may know its cursor or not."""
        reader, record = self.readers[place], self.night.record
        reader.copy = self.night.shown(reader.profile, record.sequence)
        reader.position = Position(record.sequence, record.cursor)
        self.reached[place] = record.sequence

    @precondition(lambda self: hasattr(self, "night"))
    @invariant()
    def named_files_exist(self) -> None:
        night = self.night
        for profile in PROFILES:
            reader = night.reader(profile)
            assert reader.follow(night.live)
            assert reader.copy == night.shown(profile, night.live.sequence)
        assert len(night.files[live_path("no-test")]) < LIVE_MAX


MirrorMachine.TestCase.settings = settings(max_examples=examples(300), stateful_step_count=40, deadline=None)
TestFilesLeadToTheNewestState = MirrorMachine.TestCase


def test_a_reader_that_was_away_for_an_hour_needs_three_requests() -> None:
    """However many steps were written meanwhile."""
    night = Night()
    night.step()
    readers = [night.reader(profile) for profile in PROFILES]
    for reader in readers:
        reader.follow(night.live)
    for number in range(400):
        night.publish_and_step(UNITS[number % len(UNITS)], 9.0)
    for reader in readers:
        assert reader.follow(night.live)
        assert reader.copy == night.shown(reader.profile, 400)
        assert reader.requests <= 3


def test_a_reader_away_for_a_minute_needs_one_delta() -> None:
    """The second delta of each profile leads from at least ANCHOR_S ago."""
    night = Night()
    night.step()
    for number in range(60):
        night.publish_and_step(UNITS[number % len(UNITS)])
    reader = night.reader("default")
    reader.follow(night.live)
    for number in range(int(ANCHOR_S / 2)):
        night.publish_and_step(UNITS[number % len(UNITS)])
    assert reader.follow(night.live)
    assert reader.requests == 2


def test_a_reader_that_was_away_while_little_happened_needs_one_delta() -> None:
    """All steps are older than ANCHOR_S; it does not need each of them."""
    night = Night(a_registry([(1,)] * 12))
    night.step()
    for number in range(STEPS_MAX):
        night.publish_and_step(f"{1 + number:02}01-0001", 1.1 * ANCHOR_S)
        if not number:
            reader = night.reader("country")
            reader.follow(night.live)
    assert reader.follow(night.live)
    assert reader.requests == 2


def test_a_profile_without_changes_has_no_new_files() -> None:
    night = Night()
    night.step()
    night.publish_and_step(UNITS[0])
    before = night.live.profiles
    written = len(night.files)
    night.publish_and_step(UNITS[0])
    assert UNITS[0].startswith("01")
    for profile in ("area-02", "area-03"):
        assert night.live.profiles[profile] == before[profile]
        assert night.live.profiles[profile].at == 0
    assert all("area-02" not in path for path in [*night.files][written:])


def test_a_snapshot_is_made_when_its_delta_is_large() -> None:
    """But not more often than each SNAPSHOT_LEAST_S seconds."""
    night = Night()
    night.step()
    while night.now_s < 1000 + SNAPSHOT_LEAST_S - 2:
        for unit in UNITS:
            night.record.publish(unit)
        night.publish_and_step(UNITS[0])
    assert night.live.profiles["default"].snapshot == 0
    night.publish_and_step(UNITS[0])
    assert night.live.profiles["default"].snapshot == night.record.sequence


def test_a_snapshot_is_made_when_the_newest_one_is_old() -> None:
    night = Night(a_registry([(1,)] * 12))
    night.step()
    night.publish_and_step("0101-0001", SNAPSHOT_MOST_S - 1)
    assert night.live.profiles["country"].snapshot == 0
    night.publish_and_step("0101-0001", 1)
    assert night.live.profiles["country"].snapshot == 2


def test_a_step_that_failed_is_the_same_bytes_when_it_is_repeated() -> None:
    """Although the stream has sent a block without changes in between."""
    night = Night()
    night.step()
    night.record.publish(UNITS[0])
    night.receive()
    first = night.ledger.prepare(night.state.view(), night.now_s)
    night.receive()
    night.now_s += 60
    assert night.ledger.prepare(night.state.view(), night.now_s).files == first.files


def test_files_that_are_not_named_are_removed_ten_minutes_later() -> None:
    night = Night()
    night.step()
    for number in range(STEPS_MAX + 5):
        night.publish_and_step(UNITS[number % len(UNITS)])
    assert night.ledger.take_removable(night.now_s) == []
    night.now_s += KEPT_S
    removed = night.ledger.take_removable(night.now_s)
    assert removed
    assert not set(removed) & night.ledger.named()
    assert set(night.files) - set(removed) == night.ledger.named() | {live_path("no-test")}
    assert night.ledger.take_removable(night.now_s) == []


def test_an_election_with_many_areas_has_fewer_files_and_a_small_live_json() -> None:
    """Above one number of areas below the root, those have no steps; above another, no profiles."""
    for areas, steps in ((AREA_PROFILES_WITH_STEPS_MAX, True), (AREA_PROFILES_MAX, False)):
        registry = a_registry([(1,)] * areas)
        night = Night(registry)
        night.step()
        for number in range(STEPS_MAX + 2):
            for unit in sorted(registry.units):
                night.record.publish(unit, 1 + number)
            night.publish_and_step(min(registry.units))
        assert len(night.live.profiles) == 2 + areas
        assert bool(night.live.profiles["area-01"].steps) is steps
        assert len(night.files[live_path("no-test")]) < LIVE_MAX
    assert set(profiles_of(a_registry([(1,)] * (AREA_PROFILES_MAX + 1)))) == {"country", "default"}
