"""The age of a count is measured by the server's clock."""

import io
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from gateway.client.server_clock import OFFSETS_MAX, ServerClock
from gateway.client.subscriber import Block
from gateway.client.tables import Area
from gateway.client.transfers_report import clock_time
from gateway.client.watch_command import _Board
from gateway.terminal import Terminal

NOON = datetime(2025, 9, 8, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize("started_s", [0.0, 1e9, -1e9])
def test_the_clock_here_does_not_matter(started_s: float) -> None:
    """Only how long messages take: the quickest counts as instantaneous."""
    clock = ServerClock()
    for sent_s, travel_s in ((0, 0.5), (1, 0.1), (2, 3.0)):
        clock.observe(after(sent_s), started_s + sent_s + travel_s)
    assert clock.age_s(after(2), started_s + 2 + 3.0) == pytest.approx(2.9, abs=1e-5)
    assert clock.age_s(after(9), started_s + 2) == 0.0


def test_a_server_whose_clock_was_set_is_followed() -> None:
    clock = ServerClock()
    clock.observe(NOON, 0.0)
    for second in range(OFFSETS_MAX):
        clock.observe(after(second - 600), float(second))
    assert clock.age_s(after(-600), 1.0) == pytest.approx(1.0)


def an_area(identifier: str, published_at: datetime | None) -> Area:
    return {
        "area": identifier, "name": identifier, "parent": None, "units": {"total": 1, "reported": 1}, "counts": {},
        "published_at": published_at,
    }  # fmt: skip


def a_block(server_time: datetime, *, snapshot: bool, sequence: int = 1) -> Block:
    return Block(f"{sequence}-00000000", sequence, "", None, snapshot, server_time)


def test_watch_shows_a_lag_only_for_what_changed_while_it_was_connected() -> None:
    """Nothing for a snapshot, whose counts are older, and nothing for areas without a count."""
    board = _Board("no", "an election")
    board.apply(
        a_block(NOON, snapshot=True), {"a": an_area("a", after(-3600)), "b": an_area("b", None)}, 1000.0
    )
    assert board.lag_s == {}
    board.apply(a_block(after(60), snapshot=False), {"a": an_area("a", after(59.75))}, 1060.0)
    assert board.lag_s == {"a": pytest.approx(0.25)}
    board.apply(a_block(after(61), snapshot=False), {"b": an_area("b", None)}, 1061.0)
    assert board.lag_s == {"a": pytest.approx(0.25)}
    board.apply(a_block(after(62), snapshot=True), {"a": an_area("a", after(59.75))}, 1062.0)
    assert board.lag_s == {}


def test_watch_shows_hidden_figures_as_hidden_until_something_is_published() -> None:
    """The answer about the embargo may arrive after the first publication, and then means nothing."""
    board = _Board("no", "an election")
    until = datetime.now(UTC) + timedelta(minutes=5)
    board.hidden_until = until

    def shown() -> str:
        console = Terminal(file=io.StringIO(), width=120)
        with console.capture() as captured:
            console.print(board)
        return captured.get()

    board.apply(a_block(NOON, snapshot=True, sequence=0), {"no": an_area("no", None)}, monotonic())
    assert f"an election: hidden until {clock_time(until, datetime.now(UTC))}\n" in shown().replace(
        " \n", "\n"
    )
    assert "ballot" not in shown().splitlines()[0]
    assert shown().splitlines()[2].split() == ["no", "hidden", "hidden"]
    board.apply(a_block(after(1), snapshot=True), {"no": an_area("no", after(1))}, monotonic())
    assert "hidden" not in shown()
    assert "sequence 1, 0 ballots" in shown()
