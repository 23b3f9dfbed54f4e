"""The turns of a push WebSocket, without a network: what is read and decided in each, and who is charged for it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.election.outcome import Receipt, Refusal, Retry
from gateway.journal.admission import CreditBank
from gateway.journal.elections import Token
from gateway.journal.intake import OpenElection
from gateway.journal.refusals import Refusals
from gateway.journal.writer import BatchWriter, PendingReport
from gateway.telemetry.metrics import PushMetrics
from gateway.web import push_socket
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
from gateway.web.socket_turns import SocketTurns
from gateway.wire.frames import CLOSE, TEXT
from gateway.wire.session import PushSession
from tests.clocks import ManualClock
from tests.journal.makers import PASSED, a_report, a_version
from tests.journal.memory import MemoryJournal
from tests.web.test_websocket import Transport, masked

CREDIT = 64
TICK_S = 1e-4
"""By how much a clock advances each time that it is read."""


class Door:
    """A push socket after its greeting, its writer, and a transport that only notes."""

    def __init__(
        self, credit: int = CREDIT, clock: Clock = SYSTEM_CLOCK, turns: SocketTurns | None = None
    ) -> None:
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
        self.gone = 0
        """How often the socket has reported that it is gone."""
        token = Token(1, frozenset({"no"}), "sender", None, version.registry)
        self.socket = PushSocket(
            OpenElection(version, self.writer, self.bank, Refusals()),
            token,
            PushMetrics(),
            self.allowance,
            turns or SocketTurns(clock=ManualClock()),  # a slow test machine postpones no turn
            self._note_gone,
            clock=clock,
        )
        self.transport = Transport()
        self.socket._socket.connection_made(self.transport)
        self.socket._session = PushSession(self.bank.enter(self.socket, 1), rehearsal=False)

    def _note_gone(self) -> None:
        self.gone += 1

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
        due, self.socket._turn_due = self.socket._turn_due, True
        self.socket._socket.data_received(data)
        self.socket._turn_due = due

    def turns(self) -> float | None:
        """Have turns until there is nothing to do, or a pause; return that."""
        while (pause_s := self.socket._take_turn()) == 0.0:
            pass
        return pause_s

    def commit(self, most: int = 1000) -> None:
        """Have the writer answer reports that wait, with receipts of no meaning."""
        for pending in self.writer.room.take(most):
            report = pending.valid.report
            receipt = Receipt(report.unit, report.revision, False, 1, b"", PASSED, PASSED, ())
            self.socket.resolve(pending.key, receipt)
        self.socket.flush()

    @property
    def written(self) -> list[tuple[int, bytes]]:
        """Opcode and payload of each frame that was written."""
        frames = []
        data = b"".join(self.transport.written)
        while data:
            head = 2 if data[1] < 126 else 4
            size = data[1] if head == 2 else int.from_bytes(data[2:4])
            frames.append((data[0] & 0x0F, data[head : head + size]))
            data = data[head + size :]
        return frames

    @property
    def results(self) -> list[tuple[Any, str]]:
        """Revision and outcome of each result that was written."""
        documents = [json.loads(payload) for opcode, payload in self.written if opcode == TEXT]
        return [
            (result["revision"], result["outcome"])
            for document in documents
            for result in document.get("results", ())
        ]

    @property
    def answers(self) -> list[Any]:
        """The outcomes that are not sent."""
        return [outcome for _, outcome, _ in self.socket._unsent]

    def answered(self) -> None:
        """Send the outcomes."""
        self.socket.flush()


class TickingClock(ManualClock):
    """A clock that advances a little each time that it is read."""

    def monotonic(self) -> float:
        """Advance, and return the seconds passed."""
        self.advance(TICK_S)
        return self.monotonic_s


async def loop_turns_until(fact: Callable[[], bool]) -> int:
    """Return after how many turns of the event loop something is so."""
    for turns in range(1000):
        if fact():
            return turns
        await asyncio.sleep(0)
    raise AssertionError("never")


def revisions(*numbers: int) -> list[bytes]:
    return [a_report("a-1", number).body for number in numbers]


async def test_a_turn_ends_after_some_frames_and_the_rest_waits_for_the_next() -> None:
    """However many have arrived."""
    door = Door()
    door.send(*revisions(*range(1, CREDIT + 1)))
    assert door.socket._take_turn() == 0.0
    assert len(door.writer.room) == TURN
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
        ("journal_unavailable", 2),
    ]
    door.answered()
    door.writer._available = True
    door.socket.check_timeouts(UNAVAILABLE_S + 3)
    door.send(*revisions(3, 1, 2, 3))
    assert door.turns() is None
    assert [(each.code, each.revision) for each in door.answers] == [("out_of_order", 3)]
    assert [each.valid.report.revision for each in door.writer.room.take(9)] == [1, 2, 3]


async def test_the_reports_of_a_turn_are_submitted_together_or_all_answered_retry() -> None:
    """If some of them were submitted, a later revision of a unit could be accepted before an earlier one."""
    door = Door()
    full = [PendingReport(2, a_report("b-1"), PASSED, Mock(), 0)] * (door.writer.room.most - 2)
    door.writer.room.put(2, full, credited=True)
    door.send(*revisions(1, 2, 3))
    assert door.turns() is None
    assert [(each.code, each.revision) for each in door.answers] == [("overloaded", n) for n in (1, 2, 3)]
    assert len(door.writer.room) == len(full)
    door.answered()
    door.writer.room.take(3)
    door.send(*revisions(4, 1, 2, 3))
    assert door.turns() is None
    assert [(each.code, each.revision) for each in door.answers] == [("out_of_order", 4)]
    assert len(door.writer.room) == len(full)


async def test_reports_with_the_same_id_are_each_answered_under_it() -> None:
    """Ids are the client's: it may use one again while a report with it is under way."""
    door = Door()
    ids = (7, "7", 7, "", -(1 << 63), 7)
    frames = [
        b'{"type":"report","id":%s,"report":%s}' % (json.dumps(each).encode(), raw)
        for each, raw in zip(ids, revisions(*range(1, 7)), strict=True)
    ]
    door.arrive(b"".join(masked(TEXT, frame) for frame in frames))
    assert door.turns() is None
    door.commit()
    results = [result for opcode, text in door.written for result in json.loads(text)["results"]]
    assert [(result["id"], result["revision"]) for result in results] == list(
        zip(ids, range(1, 7), strict=True)
    )


@pytest.mark.parametrize("lost", [False, True])
async def test_answers_that_come_together_free_the_credit_of_all(*, lost: bool) -> None:
    """Whether the client is still there or not; a socket that ends closes after the last of them."""
    door = Door()
    door.send(*revisions(1, 2, 3))
    assert door.turns() is None
    if lost:
        door.bank.leave(door.socket)
        door.socket._socket.connection_lost(None)
        assert door.bank.given == 3
    else:
        door.socket.deauthorize("over")
    door.commit(2)
    assert door.bank.given == (1 if lost else CREDIT)
    assert CLOSE not in [opcode for opcode, _ in door.written]
    door.commit()
    assert (door.written[-1:] == [(CLOSE, (1008).to_bytes(2) + b"over")]) is not lost
    if not lost:
        door.bank.leave(door.socket)
    assert door.bank.given == 0


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


# Without a task: what happens in the calls of the event loop and of the writer.


def as_sent(*numbers: int) -> bytes:
    """Return the bytes of the frames of some revisions of a unit."""
    frames = [
        b'{"type":"report","id":%d,"report":%s}' % (number, a_report("a-1", number).body)
        for number in numbers
    ]
    return b"".join(masked(TEXT, frame) for frame in frames)


async def test_a_report_is_submitted_and_answered_in_the_calls_that_bring_it_and_its_outcome() -> None:
    """No turn of the event loop lies between."""
    door = Door()
    door.socket._socket.data_received(as_sent(1, 2))
    assert len(door.writer.room) == 2
    door.commit()
    assert door.results == [(1, "accepted"), (2, "accepted")]


async def test_what_arrives_while_a_turn_is_due_is_read_in_that_turn() -> None:
    """However many frames one client sends, others are served after each turn."""
    door = Door()
    door.socket._socket.data_received(as_sent(*range(1, CREDIT + 1)))
    assert len(door.writer.room) == TURN
    door.socket._socket.data_received(b"")
    assert len(door.writer.room) == TURN
    await asyncio.sleep(0)
    assert len(door.writer.room) == CREDIT == 2 * TURN
    await asyncio.sleep(0)
    assert not door.socket._turn_due


async def test_sockets_whose_reports_arrive_together_do_not_delay_the_append_of_the_first_ones() -> None:
    """The event loop delivers what arrived at all of them before it does anything else."""
    turns = SocketTurns(clock=TickingClock())
    doors = [Door(turns=turns) for _ in range(200)]
    for door in doors:
        door.socket._socket.data_received(as_sent(1))
    read_at_once = [door for door in doors if door.writer.queued]
    assert 0 < len(read_at_once) < len(doors) / 2
    appending = asyncio.create_task(doors[0].writer.run())
    first_appended = await loop_turns_until(lambda: not doors[0].writer.queued)
    all_read = await loop_turns_until(lambda: all(door.writer.queued for door in doors[1:]))
    assert first_appended < 5 <= all_read
    appending.cancel()
    await asyncio.wait({appending})


async def test_what_a_lost_connection_sent_before_its_turn_is_not_decided() -> None:
    """It can get no receipt."""
    turns = SocketTurns()
    door = Door(turns=turns)
    turns.wait(lambda: None)
    door.socket._socket.data_received(as_sent(1))
    door.socket._socket.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    assert turns.free
    assert door.writer.queued == 0


async def test_answers_wait_until_the_client_has_taken_those_before() -> None:
    """Then they share a frame, which announces the credit."""
    door = Door()
    door.socket._socket.data_received(as_sent(1, 2, 3))
    door.socket._socket.pause_writing()
    door.commit(1)
    door.commit(1)
    door.socket._socket.data_received(masked(TEXT, b"{}"))
    assert door.written == []
    door.socket._socket.resume_writing()
    ((_, frame),) = door.written
    assert [result["outcome"] for result in json.loads(frame)["results"]] == [
        "accepted",
        "accepted",
        "refused",
    ]
    door.commit()
    assert len(door.written) == 2


async def test_a_draining_socket_answers_everything_received_and_then_says_goodbye() -> None:
    """More than a turn, and nothing that arrives afterwards."""
    door = Door()
    reports = as_sent(*range(1, CREDIT + 1))
    door.arrive(reports[:-1])
    door.writer.close()
    door.socket.drain(1.0)
    assert not door.transport.reading
    for _ in range(4):
        await asyncio.sleep(0)
    assert door.results == [(number, "retry") for number in range(1, CREDIT)]
    assert [opcode for opcode, _ in door.written[-2:]] == [TEXT, CLOSE]
    assert json.loads(door.written[-2][1])["type"] == "goodbye"
    assert door.written[-1] == (CLOSE, (1001).to_bytes(2))
    before = len(door.written)
    door.socket._socket.data_received(reports[-1:] + as_sent(CREDIT + 1))
    assert len(door.written) == before


async def test_a_socket_that_ends_closes_once_what_it_submitted_is_answered() -> None:
    """It waits for the client's close frame, so that the last answers are not lost in a reset."""
    door = Door()
    door.socket._socket.data_received(as_sent(1))
    door.socket.deauthorize("over")
    door.socket._socket.data_received(as_sent(2))
    assert door.written == []
    door.commit()
    assert door.results == [(1, "accepted")]
    assert door.written[-1] == (CLOSE, (1008).to_bytes(2) + b"over")
    assert not door.transport.closed
    door.socket._socket.data_received(masked(CLOSE, (1000).to_bytes(2)))
    assert door.transport.closed == "close"
    assert len(door.written) == 2


async def test_a_socket_that_ends_reads_up_to_the_close_frame_of_its_client() -> None:
    """Also what was left unread because reports waited; a reset could lose the close frame of this side."""
    door = Door()
    door.writer._available = False
    large = json.dumps({"unit": "a-1", "padding": "x" * 30_000}).encode()
    door.send(*[large] * 10)
    assert door.turns() is None
    assert not door.transport.reading
    door.socket.deauthorize("over")
    await asyncio.sleep(0)
    assert door.transport.reading
    door.socket._socket.data_received(masked(CLOSE, (1000).to_bytes(2)))
    assert door.written == [(CLOSE, (1008).to_bytes(2) + b"over")]
    assert door.transport.closed == "close"


async def test_a_client_that_does_not_close_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    """After CLOSE_S."""
    monkeypatch.setattr(push_socket, "CLOSE_S", 0.0)
    door = Door()
    door.socket.deauthorize("over")
    assert not door.transport.closed
    for _ in range(4):
        await asyncio.sleep(0)
    assert door.transport.closed == "abort"


async def test_a_client_that_closes_gets_the_answers_that_are_ready_and_its_close_frame_back() -> None:
    """Reports that it has sent before, and that are not answered, may be committed."""
    door = Door()
    door.socket._socket.data_received(
        as_sent(1) + masked(TEXT, b"{}") + masked(CLOSE, (1000).to_bytes(2)) + as_sent(2)
    )
    assert len(door.writer.room) == 1
    assert [opcode for opcode, _ in door.written] == [TEXT, CLOSE]
    assert door.written[-1] == (CLOSE, (1000).to_bytes(2))
    assert door.transport.closed == "close"
    door.socket._socket.connection_lost(None)
    door.commit()
    assert (door.gone, len(door.written)) == (1, 2)


async def test_a_socket_that_is_lost_has_no_further_turn() -> None:
    """What it has submitted stays with the writer."""
    door = Door()
    door.socket._socket.data_received(as_sent(*range(1, CREDIT + 1)))
    door.socket._socket.connection_lost(None)
    assert door.gone == 1
    door.socket.drain(1.0)
    door.socket.deauthorize("over")
    await asyncio.sleep(0)
    assert len(door.writer.room) == TURN
    door.commit()
    assert (door.gone, door.written) == (1, [])


async def test_an_error_of_a_turn_ends_its_connection_alone() -> None:
    """It is logged, and the event loop goes on."""
    door = Door()
    door.socket._session = Mock(
        receive=Mock(side_effect=ZeroDivisionError), waiting=0, waiting_bytes=0, ceiling=1
    )
    with capture_logs() as logged:
        door.socket._socket.data_received(as_sent(1))
    assert [each["event"] for each in logged] == ["push socket failed"]
    assert door.transport.closed == "abort"


async def test_an_error_in_sending_answers_ends_its_connection_alone() -> None:
    """The writer, which delivers their outcomes, goes on to those of others."""
    door, other = Door(), Door()
    for each in (door, other):
        each.socket._socket.data_received(as_sent(1))
    door.socket._session.results = Mock(side_effect=ZeroDivisionError)  # type: ignore[method-assign]
    with capture_logs() as logged:
        for each in (door, other):
            each.commit()
    assert [each["event"] for each in logged] == ["push socket failed"]
    assert door.transport.closed == "abort"
    assert other.results == [(1, "accepted")]
