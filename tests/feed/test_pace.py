"""How often a feed process reads the heads of the record, and how long it pauses between passes over its readers."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from gateway.election.record import Head, Unapplied
from gateway.feed import hub as hub_module
from gateway.feed.hub import BUSY_POLLS, POLL_BUSY_S, POLL_IDLE_S, Hub
from gateway.feed.stream import NOTICE_S, PAUSE_MAX_S, PAUSE_S, ElectionFeed, _pause_s
from gateway.rehearsal.generator import GeneratedElection
from gateway.telemetry.metrics import FeedMetrics
from tests.client import virtual
from tests.feed.served import AT, FakeRecord, a_night


class Poll(NamedTuple):
    """What a poll finds, and whether a notification comes before the next one."""

    moved: bool
    notified: bool


QUIET, ANNOUNCED, SILENT = Poll(False, False), Poll(True, True), Poll(True, False)


class Ended(Exception):
    """Every poll was made."""


async def intervals(monkeypatch: pytest.MonkeyPatch, polls: Sequence[Poll]) -> list[float]:
    """Return the longest time until the next poll, after each of these."""
    hub = Hub(None, FeedMetrics(), heartbeat_s=10)  # type: ignore[arg-type]
    found, waits, left = iter(polls), iter(polls), []

    async def read_heads(_: object) -> bool:
        for poll in found:
            return poll.moved
        raise Ended

    async def wait_at_most(_: object, seconds: float) -> None:
        left.append(seconds)
        if next(waits).notified:
            hub.wake()

    monkeypatch.setattr(hub, "_read_heads", read_heads)
    monkeypatch.setattr(hub_module, "wait_at_most", wait_at_most)
    with suppress(Ended):
        await hub._follow_heads(None)  # type: ignore[arg-type]
    return left


async def test_a_record_at_rest_is_read_less_often_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await intervals(monkeypatch, [QUIET] * (BUSY_POLLS + 3))
    assert found == [POLL_BUSY_S] * BUSY_POLLS + [POLL_IDLE_S] * 3


async def test_changes_without_notifications_are_looked_for_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a replica, from the first change on."""
    found = await intervals(monkeypatch, [QUIET] * (BUSY_POLLS + 1) + [SILENT] + [QUIET] * (BUSY_POLLS + 1))
    assert found[BUSY_POLLS:] == [POLL_IDLE_S] + [POLL_BUSY_S] * (BUSY_POLLS + 1) + [POLL_IDLE_S]


async def test_changes_that_are_announced_are_not_looked_for_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A notification may also come just after the poll that has found its change."""
    found = await intervals(
        monkeypatch,
        [QUIET] * BUSY_POLLS + [Poll(False, True)] + [ANNOUNCED] * 100 + [QUIET, ANNOUNCED, QUIET],
    )
    assert found[BUSY_POLLS:] == [POLL_IDLE_S] * 102 + [POLL_BUSY_S, POLL_IDLE_S]


async def test_nothing_is_read_while_the_only_open_election_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """While several are open, one that is busy delays no other."""
    hub = Hub(None, FeedMetrics(), heartbeat_s=10)  # type: ignore[arg-type]
    busy, also_busy, closed = (SimpleNamespace(open=each, idle=object()) for each in (True, True, False))
    nights = [[closed], [busy, closed], [busy, also_busy]]
    waits: list[object] = []

    async def read_heads(_: object) -> bool:
        waits.append("read")
        if not nights:
            raise Ended
        hub._feeds = dict(enumerate(nights.pop(0)))  # type: ignore[arg-type]
        return True

    async def wait_at_most(event: object, _: float) -> None:
        if event is not hub._wake:
            waits.append(event)

    monkeypatch.setattr(hub, "_read_heads", read_heads)
    monkeypatch.setattr(hub_module, "wait_at_most", wait_at_most)
    with suppress(Ended):
        await hub._follow_heads(None)  # type: ignore[arg-type]
    assert waits == ["read", "read", busy.idle, "read", "read"]


def test_a_pause_grows_with_the_pass_and_leaves_a_third_of_the_time() -> None:
    """Between passes of 20 and 80 ms it does not grow; a change waits for no pause longer than PAUSE_MAX_S."""
    passes_s = (0.0, 0.001, 0.02, 0.08, 0.2, 0.5, 10.0)
    assert [_pause_s(each) for each in passes_s] == [
        0.0,
        0.002,
        PAUSE_S,
        PAUSE_S,
        0.1,
        PAUSE_MAX_S,
        PAUSE_MAX_S,
    ]


PASS_S = 0.02
"""How long each pass over the readers seems to take."""


async def pause_after_a_pass(
    record: FakeRecord, during: Callable[[Hub, ElectionFeed], None], *, notifies: bool = True
) -> float:
    """Return how long a feed pauses after a pass, in seconds, if this happens during the pass.

    There is a change before that pass, so that it is known whether the record notifies of changes.
    """
    hub = Hub(record, FeedMetrics(), heartbeat_s=10)
    clock = asyncio.get_running_loop().time
    following = asyncio.create_task(hub.run())

    async def show(count: int) -> None:
        record.show(count)
        if notifies:
            hub.wake()
        await feed.wait_reached(count, 60.0)
        await feed.idle.wait()

    await hub.wait_ready()
    feed = hub.feeds()[0]
    await show(1)
    passed: list[float] = []

    def write_due() -> tuple[int, float]:
        if not passed:
            passed.append(clock())
            during(hub, feed)
        return 0, PASS_S

    feed._write_due = write_due  # type: ignore[method-assign]
    await show(2)
    paused_s = clock() - passed[0]
    following.cancel()
    return paused_s


@pytest.fixture
def record(small: GeneratedElection) -> FakeRecord:
    """A record without publications yet."""
    return FakeRecord(small.registry, a_night(small.registry, 3))


class TwoElections(FakeRecord):
    """Two open elections with the same reports, and a database that takes some milliseconds for its answers."""

    async def heads(self) -> list[Head]:
        heads = await super().heads()
        await asyncio.sleep(3 * NOTICE_S)
        return [*heads, *(replace(head, key=2, id="another") for head in heads)]


@pytest.mark.parametrize("seed", range(5))
def test_a_feed_hardly_pauses_after_a_pass_during_which_nothing_is_published(
    record: FakeRecord, seed: int
) -> None:
    """So a change that follows the delivery of the one before does not wait."""
    paused_s = virtual.run(pause_after_a_pass(record, lambda _hub, _feed: None), seed)
    assert NOTICE_S <= paused_s < PAUSE_S / 4


@pytest.mark.parametrize("seed", range(5))
def test_a_feed_pauses_after_a_pass_during_which_there_is_a_notification(
    record: FakeRecord, seed: int
) -> None:
    assert virtual.run(pause_after_a_pass(record, publish(record)), seed) >= _pause_s(PASS_S)


@pytest.mark.parametrize("seed", range(5))
def test_a_feed_pauses_too_while_the_record_is_read_after_a_notification(
    small: GeneratedElection, seed: int
) -> None:
    """While several elections are open, it is read at once."""
    record = TwoElections(small.registry, a_night(small.registry, 3))
    assert virtual.run(pause_after_a_pass(record, publish(record)), seed) >= _pause_s(PASS_S)


@pytest.mark.parametrize("seed", range(5))
def test_a_feed_pauses_after_every_pass_where_nothing_notifies_of_changes(
    record: FakeRecord, seed: int
) -> None:
    """As on a replica: what is published during a pass is found by the next poll."""
    paused_s = virtual.run(pause_after_a_pass(record, lambda _hub, _feed: None, notifies=False), seed)
    assert paused_s >= _pause_s(PASS_S)


def publish(record: FakeRecord) -> Callable[[Hub, ElectionFeed], None]:
    """Return what shows the next publication, and notifies of it."""

    def show(hub: Hub, _: ElectionFeed) -> None:
        record.show(3)
        hub.wake()

    return show


@pytest.mark.parametrize("seed", range(5))
def test_a_feed_pauses_after_a_pass_that_has_not_reached_every_reader(record: FakeRecord, seed: int) -> None:
    def leave_some(_: Hub, feed: ElectionFeed) -> None:
        feed._follow_requested.set()

    assert virtual.run(pause_after_a_pass(record, leave_some), seed) >= _pause_s(PASS_S)


@pytest.mark.parametrize(("closed", "looks"), [(False, range(250, 301)), (True, range(4, 8))])
def test_an_election_that_is_closed_and_applied_is_rarely_asked_what_is_not_applied(
    record: FakeRecord, *, closed: bool, looks: range
) -> None:
    """An installation may serve every election that it ever had."""
    record.show(2)
    record.closed_at = AT if closed else None
    looked = 0
    unapplied = record.unapplied

    async def counted(election: int, sequence: int) -> list[Unapplied]:
        nonlocal looked
        looked += 1
        return await unapplied(election, sequence)

    record.unapplied = counted  # type: ignore[method-assign]

    async def five_minutes() -> None:
        following = asyncio.create_task(Hub(record, FeedMetrics(), heartbeat_s=10).run())
        await asyncio.sleep(300.0)
        following.cancel()

    virtual.run(five_minutes())
    assert looked in looks


def test_what_a_closed_election_lacks_is_looked_for_until_nothing_is(record: FakeRecord) -> None:
    """A report that was held may be released after the closing."""
    record.show(2)
    record.closed_at = AT

    async def release_one() -> None:
        hub = Hub(record, FeedMetrics(), heartbeat_s=10)
        following = asyncio.create_task(hub.run())
        await hub.wait_ready()
        (feed,) = hub.feeds()
        await asyncio.sleep(10.0)
        record.rows, record.unconfirmed = 3, 1
        await asyncio.sleep(3.0)
        assert [each.accepted for each in feed.backlog.values()] == [feed.state.sequence + 1]
        record.show(3)
        record.unconfirmed = 0
        await asyncio.sleep(3.0)
        assert not feed.backlog
        following.cancel()

    virtual.run(release_one())
