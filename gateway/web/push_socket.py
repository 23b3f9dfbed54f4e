"""One push WebSocket: frames to the session, answers back, several to a frame."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from aiohttp import WSCloseCode, WSMsgType, web

from gateway.election.outcome import Outcome, Retry, refusal_of
from gateway.election.validation import ValidReport
from gateway.errors import Draining, JournalUnavailable, MalformedDocument, Overloaded
from gateway.journal.admission import CreditBank
from gateway.journal.elections import Standing, Token
from gateway.journal.writer import BatchWriter, Waiting
from gateway.metrics import PushMetrics
from gateway.web.answers import jittered_s
from gateway.wire.session import (
    FRAME_MAX,
    SUBPROTOCOL,
    AboveCredit,
    CreditExceeded,
    Identifier,
    PushSession,
    Sent,
    Unreadable,
    text_frame,
)

PING_S = 20.0
"""How often a quiet peer is asked whether it lives."""
SEND_S = 30.0
"""How long a peer may leave its answers unread before the connection is given up."""
CLOSE_S = 2.0
"""How long a peer may take to answer a close; until then what was sent before can still reach it."""
RESULTS_MAX = 200
"""Results in a frame."""
IMMEDIATE_MAX = 256
"""Answers that need no commit, unsent; then nothing more is read until the peer takes them."""


class PushSocket:
    """An open push WebSocket. Invariants:

    * Whatever the session hands on is answered, once, or the connection is closed.
    * Its unsent answers are at most its ceiling of credit plus IMMEDIATE_MAX.
    """

    def __init__(
        self,
        standing: Callable[[], Standing],
        token: Token,
        writer: BatchWriter,
        bank: CreditBank,
        metrics: PushMetrics,
    ) -> None:
        self.token = token
        self._standing = standing
        self._writer = writer
        self._bank = bank
        self._metrics = metrics
        self._socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            max_msg_size=FRAME_MAX + 1,  # aiohttp refuses what has this size, not what exceeds it
            heartbeat=PING_S,
            compress=False,
            timeout=CLOSE_S,
        )
        self._session = PushSession(0, rehearsal=standing().registry.rehearsal)
        self._names: dict[int, Identifier] = {}
        self._next_key = 0
        self._settled: list[tuple[Identifier, Outcome | Unreadable, bool]] = []
        self._wanted = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ending: tuple[int, bytes] | None = None
        self._farewell: float | None = None
        self._sending_since: float | None = None
        self._transport: asyncio.Transport | None = None
        self._greeted = False

    # What the writer calls.

    def settle(self, key: int, outcome: Outcome) -> None:
        """Take the outcome of a report that was handed on, perhaps after the client has left."""
        self._bank.answered(self)
        self._settled.append((self._names.pop(key), outcome, True))

    def flush(self) -> None:
        """Have what was settled sent: now, where the client has taken all before; else when it does.

        Now costs no turn of a task.
        """
        transport = self._transport
        if transport is not None and self._takes_all(transport):
            for frame in self._result_frames():
                transport.write(text_frame(frame))
        if self._settled or self._ending is not None or self._farewell is not None:
            self._wanted.set()

    def _takes_all(self, transport: asyncio.Transport) -> bool:
        """Whether what is written now leaves at once, and nothing may come before it."""
        closed = self._socket.closed or transport.is_closing()
        return self._greeted and not closed and not transport.get_write_buffer_size()

    # What the door calls.

    def announce(self) -> None:
        """Have the present credit told."""
        self._wanted.set()

    def end(self, code: int, reason: str) -> None:
        """Close for a reason once all handed on is answered; nothing more is taken. The first reason stands."""
        self._ending = self._ending or (code, reason.encode())
        self._wanted.set()

    def say_goodbye(self, retry_after_s: float) -> None:
        """Close once everything handed on is answered."""
        self._farewell = retry_after_s
        self._wanted.set()

    def cut_if_stuck(self, now: float) -> None:
        """Give up a client that has not taken its answers in time, by the loop's clock."""
        if (
            self._sending_since is not None
            and now - self._sending_since > SEND_S
            and self._transport is not None
        ):
            self._transport.abort()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Speak with one client until either side ends it."""
        self._transport = request.transport
        await self._socket.prepare(request)
        credit = self._bank.settle(self)
        try:
            self._session = PushSession(credit, rehearsal=self._standing().registry.rehearsal)
            async with asyncio.timeout(SEND_S):
                await self._send(self._session.hello(datetime.now(UTC)))
            self._greeted = True
            async with asyncio.TaskGroup() as parts:
                reading = parts.create_task(self._read(), name="reports")
                answering = parts.create_task(self._answer(), name="answers")
                await asyncio.wait({reading, answering}, return_when=asyncio.FIRST_COMPLETED)
                reading.cancel()
                answering.cancel()
            if not answering.cancelled():
                await self._close(*answering.result())
        except* (ConnectionError, TimeoutError):
            pass  # the client is gone; it will send again what has no result
        finally:
            if not self._socket.closed and request.transport is not None:
                request.transport.abort()
        return self._socket

    async def _read(self) -> None:
        while True:
            await self._room.wait()
            message = await self._socket.receive()
            if self._ending is not None and message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                continue  # read and thrown away, so that the close is not lost in a reset
            if message.type is WSMsgType.TEXT:
                try:
                    self._take(message.data)
                except CreditExceeded as error:
                    self.end(WSCloseCode.POLICY_VIOLATION, str(error))
            elif message.type is WSMsgType.BINARY:
                self.end(WSCloseCode.UNSUPPORTED_DATA, "text frames only")
            else:
                return

    def _take(self, frame: str) -> None:
        match self._session.receive(frame):
            case Sent(id=identifier, raw=raw):
                self._judge(identifier, raw)
            case AboveCredit(id=identifier):
                retry = Retry(Overloaded.code, jittered_s(self._writer.room.delay_s()))
                self._reply(identifier, retry, counted=False)
            case Unreadable() as unreadable:
                self._reply(unreadable.id, unreadable, counted=False)

    def _judge(self, identifier: Identifier, raw: bytes) -> None:
        try:
            valid = self._standing().validator.check(raw, self.token.scope)
        except MalformedDocument as error:
            self._reply(identifier, Unreadable(identifier, error.code, str(error)), counted=True)
            return
        if not isinstance(valid, ValidReport):
            self._reply(identifier, refusal_of(valid), counted=True)
            return
        report = valid.report
        if not self._writer.available:
            retry = Retry(JournalUnavailable.code, jittered_s(1.0), report.unit, report.revision)
            self._reply(identifier, retry, counted=True)
            return
        key = self._next_key
        self._next_key += 1
        self._names[key] = identifier
        waiting = Waiting(self.token.key, valid, datetime.now(UTC), self, key)
        try:
            self._writer.submit(waiting, credited=True)
        except (Draining, Overloaded) as error:
            del self._names[key]
            retry = Retry(error.code, jittered_s(1.0), report.unit, report.revision)
            self._reply(identifier, retry, counted=True)
        else:
            self._bank.hand_on(self)

    def _reply(self, identifier: Identifier, outcome: Outcome | Unreadable, *, counted: bool) -> None:
        self._settled.append((identifier, outcome, counted))
        self._wanted.set()
        if len(self._settled) > IMMEDIATE_MAX + self._session.ceiling:
            self._room.clear()

    async def _close(self, code: int, reason: bytes) -> None:
        """Close, and wait for the peer to do so: what was sent last is lost where the connection goes first."""
        async with asyncio.timeout(2 * CLOSE_S):
            await self._socket.close(code=code, message=reason[:120])

    async def _answer(self) -> tuple[int, bytes]:
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
            if self._farewell is not None:
                async with asyncio.timeout(SEND_S):
                    await self._send(self._session.goodbye(self._farewell))
                return WSCloseCode.GOING_AWAY, b""

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
            self._room.set()

    async def _send(self, frame: bytes) -> None:
        await self._socket.send_str(frame.decode())
