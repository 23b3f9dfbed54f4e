"""The turns of a push WebSocket, without a network: what is read and decided in each, and who is charged for it."""

import json
from typing import Any
from unittest.mock import Mock

import pytest

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.election.outcome import Refusal, Retry
from gateway.journal.admission import CreditBank
from gateway.journal.elections import Token
from gateway.journal.intake import OpenElection
from gateway.journal.refusals import Refusals
from gateway.journal.writer import BatchWriter
from gateway.telemetry.metrics import PushMetrics
from gateway.web.push_socket import (
    DISCARDED_MAX,
    IMMEDIATE_MAX,
    TURN,
    UNAVAILABLE_S,
    UNSENT_TEXT_MAX,
    WAITING_MAX,
    PushSocket,
)
from gateway.web.sender_allowance import WORK_BURST_S, WORK_SHARE, SenderAllowance
from gateway.wire.frames import TEXT
from gateway.wire.session import PushSession
from tests.clocks import ManualClock
from tests.journal.makers import a_report, a_version
from tests.journal.memory import MemoryJournal
from tests.web.test_websocket import Transport, masked

CREDIT = 64
TICK_S = 1e-4
"""By how much a clock advances each time that it is read."""


class Door:
    """A push socket after its greeting, its writer, and a transport that only notes."""

    def __init__(self, credit: int = CREDIT, clock: Clock = SYSTEM_CLOCK) -> None:
        version = a_version()
        self.writer = BatchWriter(
            MemoryJournal(),
            version,
            self._renew,
            PushMetrics(),
            pending_max=1000,
            batch_max=100,
            on_availability=lambda _: None,
        )
        self.bank = CreditBank(credit, self.writer.room)
        self.allowance = SenderAllowance()
        token = Token(1, frozenset({"no"}), "sender", None, version.registry)
        self.socket = PushSocket(
            OpenElection(version, self.writer, self.bank, Refusals()),
            token,
            PushMetrics(),
            self.allowance,
            lambda: None,
            clock=clock,
        )
        self.transport = Transport()
        self.socket._socket.connection_made(self.transport)
        self.socket._session = PushSession(self.bank.enter(self.socket, 1), rehearsal=False)

    async def _renew(self) -> Any:
        raise NotImplementedError

    def send(self, *reports: bytes) -> None:
        """Have some frames of reports arrive."""
        frames = [
            b'{"type":"report","id":%d,"report":%s}' % (place, raw) for place, raw in enumerate(reports)
        ]
        self.arrive(b"".join(masked(TEXT, frame) for frame in frames))

    def arrive(self, data: bytes) -> None:
        """Have bytes arrive that are not read until the next turn, as if one were due."""
        due, self.socket._next_turn = self.socket._next_turn, Mock()
        self.socket._socket.data_received(data)
        self.socket._next_turn = due

    def turns(self) -> float | None:
        """Have turns until there is nothing to do, or a pause; return that."""
        while (pause_s := self.socket._take_turn()) == 0.0:
            pass
        return pause_s

    @property
    def answers(self) -> list[Any]:
        """The outcomes that are not sent."""
        return [outcome for _, outcome, _ in self.socket._unsent]

    def answered(self) -> None:
        """Send the outcomes."""
        self.socket._send_results()


class TickingClock(ManualClock):
    """A clock that advances a little each time that it is read."""

    def monotonic(self) -> float:
        """Advance, and return the seconds passed."""
        self.advance(TICK_S)
        return self.monotonic_s


def revisions(*numbers: int) -> list[bytes]:
    return [a_report("a-1", number).body for number in numbers]


async def test_a_turn_ends_after_some_frames_and_the_rest_waits_for_the_next() -> None:
    """However many have arrived."""
    door = Door()
    door.send(*revisions(*range(1, CREDIT + 1)))
    assert door.socket._take_turn() == 0.0
    assert len(door.writer.room) == TURN // 2
    assert door.turns() is None
    assert len(door.writer.room) == CREDIT


async def test_reports_allowed_when_sent_wait_for_credit_and_none_is_answered_retry() -> None:
    """As answers are sent, waiting reports are submitted, one for one, and in order."""
    door = Door(credit=8)
    door.send(*revisions(*range(1, 9)))
    door.socket._session.grant(2)
    assert door.turns() is None
    assert (len(door.writer.room), door.answers) == (2, [])
    for number in range(1, 9):
        (pending,) = door.writer.room.take(1)
        assert pending.valid.report.revision == number
        door.socket.resolve(pending.key, Retry("test", 1.0))
        door.answered()
        door.socket._session.grant(2)
        assert door.turns() is None
        assert len(door.writer.room) == min(2, 8 - number)


async def test_reports_wait_while_postgres_is_unavailable_but_not_forever() -> None:
    """After UNAVAILABLE_S all are answered `retry`, in order, and so are later ones, until it is back."""
    door = Door()
    door.writer._available = False
    door.send(*revisions(1, 2))
    assert door.turns() is None
    for second in range(round(UNAVAILABLE_S) + 1):
        door.socket.check_timeouts(float(second))
        assert door.turns() is None
        assert door.answers == []
    door.socket.check_timeouts(UNAVAILABLE_S + 2)
    assert door.turns() is None
    assert [(each.code, each.revision) for each in door.answers] == [
        ("journal_unavailable", 1),
        ("out_of_order", 2),
    ]
    door.answered()
    door.writer._available = True
    door.socket.check_timeouts(UNAVAILABLE_S + 3)
    door.send(*revisions(3, 1, 2, 3))
    assert door.turns() is None
    assert [(each.code, each.revision) for each in door.answers] == [("out_of_order", 3)]
    assert [each.valid.report.revision for each in door.writer.room.take(9)] == [1, 2, 3]


async def test_a_connection_whose_credit_was_taken_back_has_one_report_after_the_other_decided() -> None:
    """So it does not wait for connections that keep their credit."""
    door = Door(credit=4)
    door.send(*revisions(1, 2, 3))
    door.bank.close()
    door.bank.adjust(door.socket)
    door.socket._session.grant(0)
    for number in (1, 2, 3):
        assert door.turns() is None
        (pending,) = door.writer.room.take(9)
        assert pending.valid.report.revision == number
        door.socket.resolve(pending.key, Retry("test", 1.0))
        door.answered()
        door.socket._session.grant(0)


async def test_waiting_reports_are_bounded_in_bytes_and_the_rest_stays_unread() -> None:
    """While Postgres is unavailable, large reports are left in the socket."""
    door = Door()
    door.writer._available = False
    large = json.dumps({"unit": "a-1", "padding": "x" * 30_000}).encode()
    for _ in range(20):
        if door.transport.reading:
            door.send(large)
        assert door.turns() is None
    assert not door.transport.reading
    assert door.socket._session.waiting_bytes < WAITING_MAX + len(large)
    assert door.socket._socket.kept < (64 << 10) + 2 * len(large)


@pytest.mark.parametrize("raw", [b"{}", b'{"unit":"nowhere"}', b"[", b"\x00"], ids=str)
async def test_refused_reports_are_charged_and_then_read_less_often(raw: bytes) -> None:
    """By the time that they took: a burst, and then a share of the time."""
    clock = TickingClock()
    door = Door(clock=clock)
    frames = 10_000
    for _ in range(frames):
        door.send(raw)
        clock.advance(door.turns() or 0.0)
        door.answered()
    charged_s = frames * TICK_S
    assert charged_s <= WORK_BURST_S + WORK_SHARE * clock.monotonic_s + TICK_S


async def test_valid_reports_are_not_charged() -> None:
    """However long they take."""
    clock = TickingClock()
    door = Door(clock=clock)
    for number in range(1, 2000):
        door.send(*revisions(number))
        assert door.turns() is None
        for pending in door.writer.room.take(9):
            door.socket.resolve(pending.key, Retry("test", 1.0))
        door.answered()
        door.socket._session.grant(CREDIT)
    assert door.allowance.work.full(clock.monotonic_s)


async def test_unread_explanations_are_bounded() -> None:
    """No more is read or decided until they are sent."""
    door = Door(clock=TickingClock())
    wrong = json.dumps({"unit": "a-1", **{f"member-{number}": "x" * 100 for number in range(200)}}).encode()
    for _ in range(IMMEDIATE_MAX):
        if door.transport.reading:
            door.send(wrong)
        door.turns()
    assert not door.transport.reading
    explained = sum(
        len(each.detail) + len(each.path)
        for answer in door.answers
        if isinstance(answer, Refusal)
        for each in answer.violations
    )
    assert UNSENT_TEXT_MAX <= explained < UNSENT_TEXT_MAX + (32 << 10)
    before = len(door.answers)
    door.answered()
    door.turns()
    assert 0 < len(door.answers) <= before


async def test_frames_sent_while_a_connection_ends_are_discarded_and_after_a_while_unread() -> None:
    """So a flood costs nothing while submitted reports are answered."""
    door = Door()
    door.send(*revisions(1))
    door.turns()
    door.socket._end(1008, "over")
    large = b'{"padding":"' + b"x" * 50_000 + b'"}'
    for _ in range(DISCARDED_MAX // len(large) + 2):
        door.send(large)
        door.turns()
    assert (len(door.writer.room), door.answers) == (1, [])
    door.send(*revisions(2) * 100)
    assert (door.socket._socket.kept, door.transport.reading) == (0, True)
