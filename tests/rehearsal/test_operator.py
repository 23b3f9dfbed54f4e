"""When the operator of a rehearsal decides on held reports, and on which of them together."""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.client.hold_command import OperatorDoor, OperatorOptions
from gateway.rehearsal.known_errors import KnownError, ReportName
from gateway.rehearsal.operator import LOOK_S, OTHERS_S, Operator
from gateway.wire.holds import Hold, HoldSender

MOVED = KnownError(
    error="moved",
    description="ballots of B are moved to A",
    rules=("duplicate_within", "fell"),
    decide="release",
    reason="moved",
    reports=(ReportName("A", 2), ReportName("B", 2)),
)


def held(unit: str) -> Hold:
    """A report that is held."""
    now = datetime(2025, 9, 8, 22, 0, tzinfo=UTC)
    return Hold(
        unit=unit,
        municipality="0301",
        revision=2,
        state="open",
        digest="",
        accepted_at=now,
        since=now,
        ballots=100,
        rules=[],
        now=None,
        report=None,
        stands=None,
        sender=HoldSender(1, "a sender"),
    )


class FakeDoor:
    """A push door with held reports; it notes what is decided together."""

    def __init__(self, *units: str) -> None:
        self.open = list(units)
        self.decided: list[list[str]] = []

    async def holds(self, _state: str) -> tuple[Any, Any, list[Hold]]:
        """Return the holds that are open."""
        return {}, SimpleNamespace(areas={}), [held(unit) for unit in self.open]

    async def decide(self, _what: str, holds: Sequence[Hold], _reason: str, _note: str) -> None:
        """End holds."""
        self.decided.append([hold.unit for hold in holds])
        self.open = [unit for unit in self.open if unit not in self.decided[-1]]


class Night:
    """An operator who knows that ballots of B are moved to A, in a time that the test sets."""

    def __init__(self, *units: str) -> None:
        self.door = FakeDoor(*units)
        self.operator = Operator(OperatorOptions("", "", "e", "token"), [MOVED])

    async def at(self, now: float) -> list[list[str]]:
        """Let the operator look at the list; return what was decided together so far."""
        await self.operator._decide_open(cast("OperatorDoor", self.door), now)
        return self.door.decided


async def test_both_halves_of_a_move_are_decided_together_however_late_the_second_one_is() -> None:
    """The machine may be so busy that its answer takes many seconds."""
    night = Night("A")
    assert await night.at(0) == []
    assert await night.at(OTHERS_S / 2) == []
    night.operator.note_answer(("B", 2), held=True)
    assert await night.at(OTHERS_S / 2) == [], "the list was read before"
    night.door.open = ["B", "A"]
    assert await night.at(OTHERS_S / 2) == [], "it looks at B, too"
    assert await night.at(OTHERS_S / 2 + LOOK_S) == [["A", "B"]]


@pytest.mark.parametrize("known", [True, False])
async def test_a_half_is_decided_alone_once_the_other_one_is_not_held_or_has_no_answer(known: bool) -> None:
    """If it has none, after OTHERS_S."""
    night = Night("A")
    assert await night.at(0) == []
    if known:
        night.operator.note_answer(("B", 2), held=False)
    assert await night.at(LOOK_S) == ([["A"]] if known else [])
    assert await night.at(LOOK_S + OTHERS_S) == [["A"]]
