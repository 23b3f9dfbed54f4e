"""`valgnatt watch` says how many units are being checked, at and below each area that it can show."""

import asyncio
import io
from datetime import UTC, datetime

import pytest

from gateway.client import watch_command
from gateway.client.subscriber import Block
from gateway.client.watch_command import _Board, _follow_holds
from gateway.election.registry_reading import read_registry
from gateway.rehearsal.generator import GeneratedElection
from gateway.terminal import Terminal
from tests.feed.hold_lines import WrittenHolds
from tests.feed.served import FakeRecord, a_night, served, until
from tests.web.doors import COUNTRY, FOREIGN_UNIT, HERE, OTHER_UNIT, UNIT

AT = datetime(2025, 9, 8, 19, tzinfo=UTC)


def a_block(holds: int) -> Block:
    return Block("1-00000000", 1, "", AT, False, AT, {}, holds)


async def test_held_units_are_read_when_the_list_has_grown(
    small: GeneratedElection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From transfers, for every area from municipalities up."""
    monkeypatch.setattr(watch_command, "HELD_READS_S", (0.0,))
    written = WrittenHolds()
    for unit in (UNIT, OTHER_UNIT, FOREIGN_UNIT):
        written.write(unit, "held")
    record = FakeRecord(small.registry, a_night(small.registry, 20), shown=20)
    record.hold_list = written.lines
    async with served(record) as door:
        await until(lambda: door.feed.holds.number == 3)
        board = _Board(HERE, "An election")
        following = asyncio.create_task(_follow_holds(board, door.origin, read_registry(small.registry)))
        board.apply(a_block(0), {}, 1.0)
        assert not board.holds_changed.is_set()
        board.apply(a_block(3), {}, 2.0)
        await until(lambda: bool(board.held))
        assert (board.held[HERE], board.held[COUNTRY]) == (2, 3)
        assert UNIT not in board.held
        file = io.StringIO()
        Terminal(file=file, width=120).print(board)
        assert ", 2 units being checked" in file.getvalue()
        following.cancel()
