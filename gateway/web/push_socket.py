"""One push WebSocket: frames to the session, answers back, several to a frame.

What the client was allowed to send and may not be decided yet stays where it is: a little here, the rest in the socket.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from time import perf_counter

from aiohttp import web

from gateway.election.outcome import Outcome, Receipt, Refusal, Retry, refusal_of
from gateway.election.validation import ValidReport
from gateway.errors import Draining, JournalUnavailable, MalformedDocument, Overloaded
from gateway.journal.admission import CreditBank
from gateway.journal.elections import Standing, Token
from gateway.journal.writer import BatchWriter, Waiting
from gateway.telemetry.metrics import PushMetrics
from gateway.web.answers import jittered_s
from gateway.web.sender_allowance import CONTROL_BURST, CONTROL_RATE, SenderAllowance
from gateway.web.token_bucket import TokenBucket
from gateway.web.websocket import WebSocket
from gateway.wire.frames import (
    CLOSE,
    GOING_AWAY,
    PART,
    PING,
    POLICY,
    PONG,
    TEXT,
    UNSUPPORTED,
    FrameError,
    close_code,
    text_frame,
)
from gateway.wire.session import (
    FRAME_MAX,
    OUT_OF_ORDER,
    SUBPROTOCOL,
    CreditExceeded,
    Identifier,
    PushSession,
    Sent,
    Unreadable,
)

SEND_S = 30.0
"""How long a peer may leave its answers unread before the connection is given up."""
CLOSE_S = 2.0
"""How long a peer may take to answer a close; until then what was sent before can still reach it."""
RESULTS_MAX = 200
"""Results in a frame."""
IMMEDIATE_MAX = 256
"""Answers that need no commit, unsent; then nothing more is read until the peer takes them."""
UNSENT_TEXT_MAX = 64 << 10
"""Bytes of explanations in answers that are unsent; likewise."""
WAITING_MAX = 64 << 10
"""Bytes of reports that wait here to be decided; then frames are left in the socket."""
DISCARDED_MAX = 1 << 20
"""Bytes of frames that are read and thrown away while a connection ends; then they are thrown away unread."""
TURN, TURN_S = 64, 0.001
"""Frames that are read or decided before others have their turn, and seconds of work on what is refused."""
PART_FREE = 1 << 10
"""Bytes from which a fragment of a message is not counted as a small one."""
AWAY_S = 10.0
"""How long a report waits for Postgres to come back; then it is answered `retry`, as everything is that waits there."""
AGAIN_S = 0.2
"""After how many seconds a report that came before its turn is best sent again."""


class PushSocket:
    """An open push WebSocket. Invariants:

    * Whatever the session hands on is answered, once, or the connection is closed.
    * Reports are decided in the order sent; nothing that was allowed when it was sent is refused for want of credit.
    * Its unsent answers are at most its ceiling of credit plus IMMEDIATE_MAX, with UNSENT_TEXT_MAX bytes of
      explanations and those of one report. Its undecided reports are at most WAITING_MAX bytes and one frame, and
      `WebSocket` bounds the rest.
    * It gives way to others after TURN frames, and what carries no report is charged to its sender.
    """

    def __init__(
        self,
        standing: Callable[[], Standing],
        token: Token,
        writer: BatchWriter,
        bank: CreditBank,
        metrics: PushMetrics,
        allowance: SenderAllowance,
    ) -> None:
        self.token = token
        self._standing = standing
        self._writer = writer
        self._bank = bank
        self._metrics = metrics
        self._allowance = allowance
        self._control = TokenBucket(CONTROL_RATE, CONTROL_BURST)
        self._go_on = asyncio.Event()
        """Whether there may be something to read or to decide."""
        self._socket = WebSocket(FRAME_MAX, self._go_on.set)
        self._session = PushSession(0, rehearsal=standing().registry.rehearsal)
        self._names: dict[int, Identifier] = {}
        self._next_key = 0
        self._settled: list[tuple[Identifier, Outcome | Unreadable, bool]] = []
        self._unsent_text = 0
        self._discarded = 0
        self._wanted = asyncio.Event()
        self._ending: tuple[int, str] | None = None
        self._farewell: float | None = None
        self._client_close: int | None = None
        self._sending_since: float | None = None
        self._away_since: float | None = None
        self._waits_in_vain = False
        self._greeted = False

    # What the writer calls.

    def settle(self, key: int, outcome: Outcome) -> None:
        """Take the outcome of a report that was handed on, perhaps after the client has left."""
        self._bank.answered(self)
        self._conclude(self._names.pop(key), outcome, counted=True)

    def flush(self) -> None:
        """Have what was settled sent: now, where the client has taken all before; else when it does.

        Now costs no turn of a task.
        """
        if self._greeted and self._socket.takes_all():
            for frame in self._result_frames():
                self._socket.write(text_frame(frame))
        if self._settled or self._ending is not None or self._farewell is not None:
            self._wanted.set()

    # What the door calls.

    def announce(self) -> None:
        """Have the present credit told, and used for what waits."""
        self._wanted.set()
        self._go_on.set()

    def end(self, code: int, reason: str) -> None:
        """Close for a reason once all handed on is answered; nothing more is taken. The first reason stands."""
        self._ending = self._ending or (code, reason)
        self._session.drop_waiting()
        self._wanted.set()
        self._go_on.set()

    def say_goodbye(self, retry_after_s: float) -> None:
        """Close once everything received is answered; the writer takes nothing more."""
        self._farewell = retry_after_s
        self._wanted.set()
        self._go_on.set()

    def look(self, now: float) -> None:
        """Give up a client that takes no answers or says nothing, and a wait for Postgres, by the loop's clock."""
        if self._sending_since is not None and now - self._sending_since > SEND_S:
            self._socket.cut()
        else:
            self._socket.look(now)
        if self._writer.available:
            self._away_since, self._waits_in_vain = None, False
        elif self._away_since is None:
            self._away_since = now
        elif now - self._away_since > AWAY_S:
            self._waits_in_vain = True
            self._go_on.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Speak with one client until either side ends it. Raises Problem for a handshake that is none."""
        answer = await self._socket.open(request, SUBPROTOCOL)
        try:
            self._session = PushSession(
                self._bank.settle(self), rehearsal=self._standing().registry.rehearsal
            )
            async with asyncio.timeout(SEND_S):
                await self._send(self._session.hello(datetime.now(UTC)))
            self._greeted = True
            async with asyncio.TaskGroup() as parts:
                reading = parts.create_task(self._read(), name="reports")
                answering = parts.create_task(self._answer(), name="answers")
                await asyncio.wait({reading, answering}, return_when=asyncio.FIRST_COMPLETED)
                if answering.done() and not reading.done() and answering.exception() is None:
                    self._socket.close(*answering.result())
                    await asyncio.wait({reading}, timeout=CLOSE_S)  # what was sent last is lost in a reset
                reading.cancel()
                answering.cancel()
        except* (ConnectionError, TimeoutError):
            pass  # the client is gone; it will send again what has no result
        finally:
            if self._client_close is None:
                self._socket.cut()
            else:
                self._socket.close(self._client_close)
                self._socket.hang_up()
        return answer

    # Reading.

    async def _read(self) -> None:
        """Read and hand on until the client has closed or is gone."""
        while True:
            self._go_on.clear()
            pause_s = self._take_turn()
            if self._socket.ended or self._client_close is not None:
                return
            if pause_s is None:
                await self._go_on.wait()
            else:
                await asyncio.sleep(pause_s)

    def _take_turn(self) -> float | None:
        """Decide and read for one turn; return after how many seconds to go on, None: when there is more to do."""
        worked_s = 0.0
        for _ in range(TURN):
            refused_s = self._decide_next() if self._session.waiting else None
            if refused_s is None:
                refused_s = self._read_next()
            if refused_s is None or self._client_close is not None:
                return None
            if refused_s:
                worked_s += refused_s
                owed_s = self._allowance.work.spend(refused_s, perf_counter())
                if owed_s or worked_s >= TURN_S:
                    return owed_s
        return 0.0

    def _decide_next(self) -> float | None:
        """Hand on the report that waits first, if one may be; return the seconds spent on one that was refused."""
        if self._writer.available and self._farewell is None:
            most = self._session.credit or 1
        elif self._waits_in_vain or self._farewell is not None:
            most = self._session.ceiling  # each is answered `retry`, in order: the writer takes nothing
        else:
            return None
        sent = self._session.next(most) if self._unsent_text < UNSENT_TEXT_MAX else None
        if sent is None:
            return None
        started = perf_counter()
        return 0.0 if self._judge(sent) else perf_counter() - started

    def _read_next(self) -> float | None:
        """Read a frame, if there is one and a place for it; return the seconds spent on what is no report."""
        session = self._session
        if (
            session.waiting_bytes >= WAITING_MAX
            or len(self._settled) > IMMEDIATE_MAX + session.ceiling
            or self._unsent_text >= UNSENT_TEXT_MAX
        ):
            return None
        try:
            taken = self._socket.next_frame()
            if taken is None:
                return None
            opcode, payload = taken
            if opcode == TEXT:
                return self._take(payload)
            self._take_other(opcode, payload)
        except FrameError as error:
            self._reject(error.code, str(error))
        return 0.0

    def _take(self, payload: bytearray) -> float:
        """Take a text frame; return the seconds spent on one that is no report."""
        if self._ending is not None:  # read and thrown away, so that the close is not lost in a reset
            self._discarded += len(payload)
            if self._discarded > DISCARDED_MAX:
                self._socket.ignore()
            return 0.0
        started = perf_counter()
        try:
            unreadable = self._session.receive(payload)
        except CreditExceeded as error:
            self.end(POLICY, str(error))
            return 0.0
        if unreadable is None:
            return 0.0
        self._reply(unreadable.id, unreadable, counted=False)
        return perf_counter() - started

    def _take_other(self, opcode: int, payload: bytearray) -> None:
        """Take a frame that is no text. Raises FrameError."""
        if opcode == CLOSE:
            self._client_close = close_code(payload)
            return
        if opcode not in (PART, PING, PONG):
            self.end(UNSUPPORTED, "text frames only")
            return
        if opcode != PART or len(payload) < PART_FREE:
            now = perf_counter()
            if self._control.spend(1.0, now) or self._allowance.control.spend(1.0, now):
                self._reject(POLICY, "too many control frames or small fragments")
                return
        if opcode == PING:
            self._socket.pong(payload)

    def _reject(self, code: int, reason: str) -> None:
        """End the connection of a client that does not keep to the protocol; nothing more of it is read."""
        self._socket.ignore()
        self.end(code, reason)

    def _judge(self, sent: Sent) -> bool:
        """Check a report and submit it, or answer it at once; return whether it was valid."""
        try:
            valid = self._standing().validator.check(sent.raw, self.token.scope)
        except MalformedDocument as error:
            self._reply(sent.id, Unreadable(sent.id, error.code, str(error)), counted=True)
            return False
        if not isinstance(valid, ValidReport):
            self._reply(sent.id, refusal_of(valid), counted=True)
            return False
        self._submit(sent, valid)
        return True

    def _submit(self, sent: Sent, valid: ValidReport) -> None:
        report = valid.report
        if not self._session.may_be_decided(sent, report.unit, report.revision):
            self._retry(sent, valid, OUT_OF_ORDER, AGAIN_S)
            return
        if not self._writer.available:
            self._retry(sent, valid, JournalUnavailable.code, 1.0)
            return
        key = self._next_key
        self._next_key += 1
        self._names[key] = sent.id
        waiting = Waiting(self.token.key, valid, datetime.now(UTC), self, key)
        try:
            self._writer.submit(waiting, credited=True)
        except (Draining, Overloaded) as error:
            del self._names[key]
            self._retry(sent, valid, error.code, 1.0)
        else:
            self._bank.hand_on(self)

    def _retry(self, sent: Sent, valid: ValidReport, code: str, after_s: float) -> None:
        retry = Retry(code, jittered_s(after_s), valid.report.unit, valid.report.revision)
        self._reply(sent.id, retry, counted=True)

    def _reply(self, identifier: Identifier, outcome: Outcome | Unreadable, *, counted: bool) -> None:
        self._conclude(identifier, outcome, counted=counted)
        self._wanted.set()

    def _conclude(self, identifier: Identifier, outcome: Outcome | Unreadable, *, counted: bool) -> None:
        """Put an answer last of those to be sent; `counted` is one to a report that took credit."""
        if counted:
            self._session.decided(outcome)
        self._settled.append((identifier, outcome, counted))
        if not isinstance(outcome, Receipt):
            self._unsent_text += _text_of(outcome)

    # Answering.

    async def _answer(self) -> tuple[int, str]:
        """Send what is settled, as soon as it is; return with which code and reason to close, when it is time."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._sending_since = (
                clock()
            )  # an asyncio.timeout here cost 4 % of the process at 20 000 reports/s
            await self._send_settled()
            self._sending_since = None
            if self._names:
                continue  # whatever was handed on is answered first; the writer sees to that within seconds
            if self._ending is not None:
                return self._ending
            if self._farewell is not None and not self._session.waiting:
                async with asyncio.timeout(SEND_S):
                    await self._send(self._session.goodbye(self._farewell))
                return GOING_AWAY, ""

    async def _send_settled(self) -> None:
        if not self._settled:
            credit = self._bank.settle(self)
            if credit != self._session.credit:
                await self._send(self._session.grant(credit))
        for frame in self._result_frames():
            await self._send(frame)

    def _result_frames(self) -> Iterator[bytes]:
        """Give the frames that answer what is settled; what a frame answers is open until the next is asked for."""
        if not self._settled:
            return
        credit = self._bank.settle(self)
        while self._settled:
            part = self._settled[:RESULTS_MAX]
            del self._settled[:RESULTS_MAX]
            yield self._session.results([(name, outcome) for name, outcome, _ in part], credit)
            self._session.answered(sum(counted for _, _, counted in part))
            for _, outcome, _ in part:
                self._metrics.answered(outcome)
            if not self._settled:
                self._unsent_text = 0
            if self._session.waiting or self._socket.kept:
                self._go_on.set()

    async def _send(self, frame: bytes) -> None:
        await self._socket.send(text_frame(frame))


def _text_of(outcome: Outcome | Unreadable) -> int:
    """Return how many characters of explanation an answer has."""
    if isinstance(outcome, Refusal):
        return sum(len(each.path) + len(each.detail) for each in outcome.violations)
    return len(outcome.detail) if isinstance(outcome, Unreadable) else 0
