"""Mirror: one history while the gateway's record is the same, and another one for another record."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from msgspec import structs

from gateway.client.http_json import NoDocument
from gateway.mirror import history, mirror
from gateway.mirror.files import StoredFile
from gateway.mirror.history import new_history
from gateway.mirror.mirror import Mirror
from gateway.mirror.state import View
from gateway.wire.mirror import Position, decode_live, election_path, encode_live, live_path
from tests.mirror.memory import MemoryTarget
from tests.mirror.model import FileReader, RecordModel, a_registry
from tests.mirror.stub_gateway import ELECTION, StubGateway

TIMEOUT_S = 30.0
REGISTRY = a_registry(((2,), (1,)))
UNITS = sorted(REGISTRY.units)
pytestmark = pytest.mark.usefixtures("quick")


class NoDocuments:
    """Instead of the rewritten files, which need a whole gateway: nothing, or a failure."""

    documents = ranges = 0
    failing = False
    closed: datetime | None = None
    failures: Mapping[str, str | None] = MappingProxyType({})

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def closed_at(self, _: View) -> datetime | None:
        return self.closed

    async def run(self, *_: Any) -> None:
        """Do nothing, or fail."""
        if self.failing:
            raise ExceptionGroup("tasks", [KeyError("counts")])
        await asyncio.Event().wait()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the time of `live.json` more often, and try again sooner; without the rewritten files."""
    monkeypatch.setattr(history, "Documents", NoDocuments)
    monkeypatch.setattr(history, "REFRESH_S", 0.05)
    monkeypatch.setattr(history, "RETRY_FIRST_S", 0.02)
    monkeypatch.setattr(mirror, "RETRY_FIRST_S", 0.02)
    monkeypatch.setattr(mirror, "KNOWN_PAUSE_S", 0.02)


@pytest.fixture
async def gateway() -> AsyncIterator[StubGateway]:
    async with asyncio.timeout(TIMEOUT_S), StubGateway(RecordModel(REGISTRY)).serving() as serving:
        yield serving


@asynccontextmanager
async def mirroring(gateway: StubGateway, target: MemoryTarget) -> AsyncIterator[Mirror]:
    """Run a mirror until the block ends, then cancel it, at whatever point it is."""
    started = Mirror(gateway.url, ELECTION, target, every_s=1)
    running = asyncio.create_task(started.run())
    try:
        yield started
        assert not running.done(), running.result()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert target.broken == []


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    while not condition():  # noqa: ASYNC110 - the mirror has no event for it
        await asyncio.sleep(0.01)


def shown(
    target: MemoryTarget, profile: str = "area-01", reader: FileReader | None = None
) -> dict[str, bytes]:
    """Return the areas of a profile, as a reader finds them now."""
    reader = reader or FileReader(ELECTION, profile, target.files.get)
    live = reader.live()
    assert live is not None
    assert reader.follow(live)
    return reader.copy


def expected(record: RecordModel, profile: str = "area-01") -> dict[str, bytes]:
    prefix = profile.removeprefix("area-")
    return {name: raw for name, raw in record.documents().items() if name.startswith(prefix)}


async def test_each_state_is_shown_and_a_restart_continues_the_history(gateway: StubGateway) -> None:
    """Its first step is ahead of what was shown before."""
    target = MemoryTarget()
    async with mirroring(gateway, target):
        await target.wait_for(lambda live: live.sequence == 0)
        for number, unit in enumerate(UNITS, 1):
            await gateway.publish(unit)
            await target.wait_for(lambda live, number=number: live.sequence == number)
    reader = FileReader(ELECTION, "area-01", target.files.get)
    assert shown(target, reader=reader) == expected(gateway.record)
    written = len(target.lives)
    async with mirroring(gateway, target):
        await target.wait_for(lambda _: len(target.lives) > written)
        assert target.lives[-1].sequence == len(UNITS)
        await gateway.publish(UNITS[0])
        await target.wait_for(lambda live: live.sequence == len(UNITS) + 1)
    assert len({live.history for live in target.lives}) == 1
    assert shown(target, reader=reader) == expected(gateway.record)
    assert reader.position is not None
    assert not any(path.endswith(".tmp") for path in target.files)


async def test_a_restart_knows_that_an_election_is_closed_until_something_follows(
    gateway: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, closed_at = MemoryTarget(), datetime(2025, 9, 9, tzinfo=UTC)
    await gateway.publish(UNITS[0])
    async with mirroring(gateway, target):
        await target.wait_for(lambda live: live.closed_at is None)
        monkeypatch.setattr(NoDocuments, "closed", closed_at)
        await target.wait_for(lambda live: live.closed_at == closed_at)
    monkeypatch.setattr(NoDocuments, "closed", None)
    written = len(target.lives)
    async with mirroring(gateway, target):
        await target.wait_for(lambda _: len(target.lives) > written)
        assert target.lives[-1].closed_at == closed_at
        await gateway.publish(UNITS[1])
        live = await target.wait_for(lambda live: live.sequence == 2)
        assert live.closed_at is None


async def test_the_time_never_goes_back_although_the_clock_was_set_back(gateway: StubGateway) -> None:
    """Not in the next history either. The age that the mirror reports is by its clock."""
    target = MemoryTarget()
    await gateway.publish(UNITS[0])
    ahead = datetime.now(UTC) + timedelta(hours=3)
    async with mirroring(gateway, target):
        first = await target.wait_for(lambda live: live.sequence == 1)
    target.files[live_path(ELECTION)] = encode_live(structs.replace(first, written_at=ahead))
    async with mirroring(gateway, target) as mirror:
        await target.wait_for(lambda live: live.written_at > ahead)
        assert mirror.progress.written_at is not None
        assert mirror.progress.written_at < ahead
        await gateway.replace(RecordModel(REGISTRY, "other"))
        await target.wait_for(lambda live: live.history != first.history)
    times = [live.written_at for live in target.lives]
    assert times == sorted(times)


@pytest.mark.parametrize("running", [True, False])
async def test_another_record_is_another_history(gateway: StubGateway, running: bool) -> None:
    """While the mirror runs, or when it is started again. A reader that was further begins again."""
    target = MemoryTarget()
    reader = FileReader(ELECTION, "area-01", target.files.get)
    other = RecordModel(REGISTRY, "other")
    other.publish(UNITS[0], 7)
    async with mirroring(gateway, target):
        await gateway.publish(UNITS[0])
        await gateway.publish(UNITS[1])
        first = await target.wait_for(lambda live: live.sequence == 2)
        shown(target, reader=reader)
        if running:
            await gateway.replace(other)
            await target.wait_for(lambda live: live.history != first.history)
    if not running:
        await gateway.replace(other)
        async with mirroring(gateway, target):
            await target.wait_for(lambda live: live.history != first.history)
    live = target.lives[-1]
    assert (live.sequence, live.chain) == (1, other.chain.hex())
    assert shown(target, reader=reader) == expected(other)
    of_stream = Position(1, gateway.record.cursor)
    reader = FileReader(ELECTION, "area-01", target.files.get, of_stream, expected(other))
    assert shown(target, reader=reader) == expected(other)


async def test_a_registry_that_is_replaced_before_the_first_publication_begins_a_history(
    gateway: StubGateway,
) -> None:
    """With the profiles of the new registry. An interruption of the stream alone begins none."""
    target = MemoryTarget()
    async with mirroring(gateway, target):
        first = await target.wait_for(lambda live: live.sequence == 0)
        await gateway.replace(RecordModel(REGISTRY, "another object with the same registry"))
        written = len(target.lives)
        await target.wait_for(lambda _: len(target.lives) > written + 3)
        assert target.lives[-1].history == first.history
        await gateway.replace(RecordModel(a_registry(((2,), (1,), (3,)))))
        live = await target.wait_for(lambda live: live.history != first.history)
    assert "area-03" in live.profiles
    assert shown(target, "area-03") == expected(gateway.record, "area-03")


async def test_areas_that_change_before_the_first_publication_begin_a_history(gateway: StubGateway) -> None:
    """As when the previous election is loaded later: otherwise, areas without a report would remain without it."""
    target = MemoryTarget()
    async with mirroring(gateway, target):
        first = await target.wait_for(lambda live: live.sequence == 0)
        await gateway.replace(RecordModel(REGISTRY, change={"votes": 7}))
        live = await target.wait_for(lambda live: live.history != first.history)
        assert live.sequence == 0
        assert shown(target) == expected(gateway.record)
        before = FileReader(
            ELECTION, "area-01", target.files.get, Position(0, live.cursor), expected(RecordModel(REGISTRY))
        )
        await gateway.publish(UNITS[0])
        await target.wait_for(lambda live: live.sequence == 1)
    assert shown(target, reader=before) == expected(gateway.record)


async def test_files_of_what_the_gateway_does_not_have_are_removed(gateway: StubGateway) -> None:
    """Areas and seats of a registry that was replaced."""
    target = MemoryTarget()
    directory = election_path(ELECTION)
    kept = [f"{directory}/areas/01.json", f"{directory}/areas/01.csv", f"{directory}/corrections.json"]
    gone = [f"{directory}/areas/99.json", f"{directory}/areas/99.csv", f"{directory}/seats.json"]
    target.files |= dict.fromkeys((*kept, *gone), b"{}")
    async with mirroring(gateway, target):
        await target.wait_for(lambda live: live.sequence == 0)
    assert [path for path in (*kept, *gone) if path in target.files] == kept


async def test_a_target_that_fails_delays_the_mirror_and_nothing_else(gateway: StubGateway) -> None:
    """Then the newest state is written; the states in between are skipped, and no file contradicts another."""
    target = MemoryTarget()
    async with mirroring(gateway, target) as running:
        await target.wait_for(lambda live: live.sequence == 0)
        target.failing = True
        for unit in (*UNITS, *UNITS):
            await gateway.publish(unit)
            await asyncio.sleep(0)
        await until(lambda: "steps" in running.progress.failures)
        target.failing = False
        await target.wait_for(lambda live: live.sequence == 2 * len(UNITS))
        await until(lambda: not running.progress.failures)
    assert shown(target) == expected(gateway.record)


async def test_steps_are_written_whatever_happens_to_the_rewritten_files(
    gateway: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their failures are logged, and they are tried again."""
    monkeypatch.setattr(NoDocuments, "failing", True)
    target = MemoryTarget()
    async with mirroring(gateway, target) as running:
        await until(lambda: "documents" in running.progress.failures)
        await gateway.publish(UNITS[0])
        await target.wait_for(lambda live: live.sequence == 1)
        monkeypatch.setattr(NoDocuments, "failing", False)
        monkeypatch.setattr(NoDocuments, "documents", 1)
        await until(lambda: "documents" not in running.progress.failures)


async def test_nothing_is_written_from_a_process_of_the_gateway_that_is_behind(gateway: StubGateway) -> None:
    """After a restart of the mirror, until the stream has reached what was shown."""
    target = MemoryTarget()
    async with mirroring(gateway, target):
        for unit in UNITS:
            await gateway.publish(unit)
        first = await target.wait_for(lambda live: live.sequence == 3)
    record = gateway.record
    behind = RecordModel(REGISTRY)
    behind.publish(UNITS[0])
    behind.cursors |= record.cursors  # it knows the record, and has not applied all of it yet
    await gateway.replace(behind)
    written = len(target.lives)
    streams = gateway.streams
    async with mirroring(gateway, target):
        await until(lambda: gateway.streams >= streams + 2)
        await gateway.publish(UNITS[1])
        assert len(target.lives) == written
        await gateway.publish(UNITS[2])
        live = await target.wait_for(lambda _: len(target.lives) > written)
    assert (live.sequence, live.history) == (3, first.history)


async def test_the_time_is_written_only_while_the_stream_sends_blocks(
    gateway: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a gateway that is silent shows as a mirror that is behind; and it is current again with the next block."""
    monkeypatch.setattr(history, "BLOCK_AGE_MAX_S", 0.5)
    target = MemoryTarget()
    async with mirroring(gateway, target):
        await target.wait_for(lambda _: len(target.lives) > 3)
        gateway.silent = True
        await until(lambda: datetime.now(UTC) - target.lives[-1].written_at > timedelta(seconds=1))
        written = len(target.lives)
        gateway.silent = False
        await target.wait_for(lambda _: len(target.lives) > written)


async def test_the_time_of_a_state_is_not_later_than_the_stream_showed_it(gateway: StubGateway) -> None:
    """A target that takes long to write makes the mirror late, and readers see that."""
    began, opened = asyncio.Event(), asyncio.Event()

    class SlowTarget(MemoryTarget):
        async def write(self, files: Iterable[StoredFile]) -> None:
            began.set()
            await opened.wait()
            await super().write(files)

    target = SlowTarget()
    async with mirroring(gateway, target):
        await began.wait()
        writing_at = datetime.now(UTC)
        opened.set()
        await target.wait_for(lambda _: True)
        assert target.lives[0].written_at <= writing_at


async def test_a_live_json_that_cannot_be_read_begins_a_history(gateway: StubGateway) -> None:
    target = MemoryTarget()
    async with mirroring(gateway, target):
        await gateway.publish(UNITS[0])
        await target.wait_for(lambda live: live.sequence == 1)
    target.files[live_path(ELECTION)] = b"{"
    target.lives.clear()
    async with mirroring(gateway, target):
        live = await target.wait_for(lambda live: live.sequence == 1)
    assert decode_live(encode_live(live)) == live
    assert shown(target) == expected(gateway.record)


async def test_an_election_that_does_not_exist_ends_the_mirror(gateway: StubGateway) -> None:
    """At once; what may pass is waited for."""
    with pytest.raises(NoDocument, match="no-such"):
        await Mirror(gateway.url, "no-such", MemoryTarget()).run()


def test_histories_have_names_that_differ() -> None:
    now = datetime(2025, 9, 8, 19, tzinfo=UTC)
    assert new_history(now).startswith("20250908T190000Z-")
    assert new_history(now) != new_history(now)


@pytest.mark.parametrize(
    ("after", "time"),
    [
        ("20250908T185959Z-ffffffff", "20250908T190000Z"),
        ("20250908T190000Z-ffffffff", "20250908T190001Z"),
        ("20261231T235959Z-00000000", "20270101T000000Z"),
        ("99991231T235959Z-00000000", "20250908T190000Z"),
        ("TTTTTTTTTTTTTTTT-00000000", "20250908T190000Z"),
    ],
)
def test_a_later_history_has_a_greater_name_whatever_the_clock_says(after: str, time: str) -> None:
    """Unless the name before is not a time that a mirror gives."""
    assert new_history(datetime(2025, 9, 8, 19, tzinfo=UTC), after)[:16] == time
