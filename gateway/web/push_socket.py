"""One push WebSocket: frames to the session, answers back, several to a frame.

One of the transports of `journal.intake`. Reports that the client was allowed to send and that may not be decided yet
stay where they are: a few here, the rest in the socket. A socket has no task. What arrives is read, checked and
submitted in the call in which the event loop delivers it, or soon afterwards if other sockets had their turns before
(`socket_turns`). Answers are written in the call in which the writer delivers their outcomes. Its states:

    open       Reports are decided and answered.
    draining   Those that have been received are answered `retry`, and no more is read; then `goodbye`, and it closes.
    ending     Those that are submitted are answered, and all others discarded; then it closes.
    closing    The close frame is sent. What arrives is discarded until the client sends its own, or for CLOSE_S.
    closed     The connection is lost. Outcomes that still come are dropped.
"""

import asyncio
import contextvars
from collections.abc import Callable
from random import Random

import structlog
from aiohttp import web

from gateway.backoff import jittered_s
from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock
from gateway.election.outcome import Outcome, Receipt, Refusal, Retry
from gateway.election.validation import ValidReport
from gateway.errors import MalformedDocument
from gateway.journal.elections import Token
from gateway.journal.intake import OpenElection
from gateway.journal.writer import PendingReport
from gateway.telemetry import tracing
from gateway.telemetry.metrics import PushMetrics
from gateway.web.sender_allowance import CONTROL_BURST, CONTROL_RATE, SenderAllowance
from gateway.web.socket_turns import SocketTurns
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
    SUBPROTOCOL,
    CreditExceeded,
    Identifier,
    PushSession,
    Sent,
    Unreadable,
)

log = structlog.get_logger()

CLOSE_S = 2.0
"""How long a client may take to answer a close frame; until then, answers sent before can still reach it."""
RESULTS_MAX = 200
"""Results in a frame."""
IMMEDIATE_MAX = 256
"""Unsent answers that need no commit; at this number, reading stops until the client takes them."""
UNSENT_TEXT_MAX = 64 << 10
"""Bytes of explanations in unsent answers; likewise."""
WAITING_MAX = 64 << 10
"""Bytes of reports that wait here to be decided; at this size, frames are left in the socket."""
DISCARDED_MAX = 1 << 20
"""Bytes of frames that are read and discarded while a connection ends; more are discarded unread."""
TURN, TURN_S = 32, 0.001
"""Frames that are read and decided before others have their turn, and seconds of work on refused ones."""
PART_FREE = 1 << 10
"""Bytes from which a fragment of a message is not counted as a small one."""
UNAVAILABLE_S = 10.0
"""How long a report waits for Postgres to be available again, in seconds; then all that wait are answered `retry`."""


class PushSocket:
    """A push WebSocket. Invariants:

    * Every report that the session hands on is answered once, or the connection is closed.
    * Reports are decided in the order sent; none that was allowed when it was sent is refused for lack of credit.
    * Its unsent answers are at most its ceiling of credit plus IMMEDIATE_MAX, with UNSENT_TEXT_MAX bytes of
      explanations and those of one report. Its undecided reports are at most WAITING_MAX bytes and one frame, and
      `WebSocket` bounds the rest.
    * It yields to others after TURN frames, and frames that carry no report are charged to its sender.
    """

    def __init__(
        self,
        election: OpenElection,
        token: Token,
        metrics: PushMetrics,
        allowance: SenderAllowance,
        turns: SocketTurns,
        gone: Callable[[], None],
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        """`turns` are those of all sockets. `gone` is called once, when the connection is lost or was not opened."""
        self.token = token
        self._now = clock.now
        self._time_s = clock.monotonic
        self._chance = chance
        self._election = election
        self._writer = election.writer
        self._bank = election.bank
        self._metrics = metrics
        self._allowance = allowance
        self._turns = turns
        self._gone = gone
        self._control = TokenBucket(CONTROL_RATE, CONTROL_BURST)
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        """The context of the request, to whose trace the reports belong."""
        self._trace = tracing.current()
        self._turn_due = False
        """Whether there is more to read or decide in another turn."""
        self._pause: asyncio.Handle | None = None
        """What ends the pause before it."""
        self._turn_at = self._now()
        """When the present turn began: its reports are received then."""
        self._socket = WebSocket(FRAME_MAX, self)
        self._session = PushSession(0, rehearsal=election.current.registry.rehearsal)
        self._valid: list[PendingReport] = []
        """Reports of the present turn that are to be submitted at its end."""
        self._submitted = self._resolved = 0
        """Reports that are submitted, and how many of these have an outcome of which the bank does not know yet."""
        self._unsent: list[tuple[Identifier, Outcome | Unreadable, bool]] = []
        self._unsent_text = 0
        self._discarded = 0
        self._ending: tuple[int, str] | None = None
        """The close code and reason once the connection ends."""
        self._reconnect_after_s: float | None = None
        """After how many seconds the client may connect again, once this process drains."""
        self._client_close: int | None = None
        """The code of the client's close frame."""
        self._closing: asyncio.Handle | None = None
        """What ends the wait for the client's close frame."""
        self._unavailable_since: float | None = None
        self._unavailable_too_long = False

    async def open(self, request: web.Request) -> None:
        """Answer the handshake and send `hello`. Raises Problem if it is invalid, and ConnectionError."""
        try:
            await self._socket.open(request, SUBPROTOCOL)
        except BaseException:
            self.lost()
            raise
        self._session = PushSession(
            self._bank.adjust(self), rehearsal=self._election.current.registry.rehearsal
        )
        self._socket.write(text_frame(self._session.hello(self._now())))
        self.received()

    # Called by the writer.

    def resolve(self, key: Identifier, outcome: Outcome) -> None:
        """Record the outcome of a submitted report, whose key is the client's id; the client may have disconnected."""
        self._resolved += 1
        self._conclude(key, outcome, counted=True)

    def flush(self) -> None:
        """Send the answers if the client has taken all before, else once it has; then close if it is time to.

        The writer calls this for one connection after the other, so an error must remain with its own.
        """
        try:
            if self._resolved:
                self._bank.answered(self, self._resolved)
                self._submitted -= self._resolved
                self._resolved = 0
            if self._unsent and self._socket.takes_all():
                self._send_results()
            if self._ending is not None or self._reconnect_after_s is not None:
                self._close_if_answered()
        except Exception:
            log.exception("push socket failed")
            self._socket.abort()

    # Called by the intake.

    def announce_credit(self) -> None:
        """Announce the current credit, and use it for waiting reports."""
        if self._unsent:
            self.flush()
        elif self._socket.takes_all():
            credit = self._bank.adjust(self)
            if credit != self._session.credit:
                self._socket.write(text_frame(self._session.grant(credit)))
        if self._session.waiting or self._socket.kept:
            self._have_turn_soon()

    def deauthorize(self, reason: str) -> None:
        """Close because the token is no longer valid."""
        self._end(POLICY, reason)
        self.flush()
        if self._socket.kept:
            self._have_turn_soon()  # to read on, and discard, up to the client's close frame

    def drain(self, retry_after_s: float) -> None:
        """Close once every report received is answered; the writer accepts no more."""
        self._reconnect_after_s = jittered_s(retry_after_s, chance=self._chance)
        self._socket.hold()
        self._have_turn_soon()

    def abort(self) -> None:
        """Close at once."""
        self._socket.abort()

    def check_timeouts(self, now: float) -> None:
        """Abort a client that takes no answers or is silent, and end a long wait for Postgres; `now` is loop time."""
        self._socket.check_timeouts(now)
        if self._writer.available:
            self._unavailable_since, self._unavailable_too_long = None, False
        elif self._unavailable_since is None:
            self._unavailable_since = now
        elif now - self._unavailable_since > UNAVAILABLE_S:
            self._unavailable_too_long = True
            self._have_turn_soon()

    # Called by the WebSocket.

    def received(self) -> None:
        """Read and decide what has arrived, unless another turn is due."""
        if self._turn_due:
            return
        if self._turns.free:
            self._turns.have(self._turn)
        else:
            self._have_turn_soon()

    def writable(self) -> None:
        """Send what could not be sent before."""
        self.announce_credit()

    def lost(self) -> None:
        """Release everything but the reports that are submitted."""
        self._turns.cancel(self._turn)
        for due in (self._pause, self._closing):
            if due is not None:
                due.cancel()
        gone, self._gone = self._gone, _nothing  # which usually refers to this socket
        gone()

    # Reading.

    def _have_turn_soon(self) -> None:
        """Have a turn once others had theirs, unless one is due."""
        if not self._turn_due and self._client_close is None and not self._socket.ended:
            self._turn_due = True
            self._turns.wait(self._turn)

    def _end_pause(self) -> None:
        self._turn_due, self._pause = False, None
        self._have_turn_soon()

    def _turn(self) -> None:
        """Have a turn in the context of the request."""
        self._context.run(self._have_turn)

    def _have_turn(self) -> None:
        """Have a turn, arrange the next one if there is more to do, and send the answers that need no commit."""
        self._turn_due = False
        try:
            pause_s = self._take_turn()
            if pause_s:
                self._turn_due = True
                self._pause = self._loop.call_later(pause_s, self._end_pause)
            elif pause_s is not None:
                self._have_turn_soon()
            self.flush()
        except Exception:
            log.exception("push socket failed")
            self._socket.abort()
            return
        if self._client_close is not None:
            self._socket.close(self._client_close)
            self._socket.close_transport()

    def _take_turn(self) -> float | None:
        """Read, decide and submit for one turn.

        Return after how many seconds to go on, None if there is no more to do.
        """
        self._turn_at = self._now()
        pause_s = self._read_and_decide()
        if self._valid:
            self._submit()
        return pause_s

    def _read_and_decide(self) -> float | None:
        """Decide and read until the turn is over; return as `_take_turn`."""
        session, worked_s = self._session, 0.0
        for _ in range(TURN):
            began_s = self._time_s()
            refused = self._decide_next() if session.waiting_bytes else None
            if refused is None:
                refused = self._read_next()
            if refused is None or self._client_close is not None:
                return None
            if refused:
                now_s = self._time_s()
                worked_s += now_s - began_s
                owed_s = self._allowance.work.spend(now_s - began_s, now_s)
                if owed_s or worked_s >= TURN_S:
                    return owed_s
        return 0.0

    def _decide_next(self) -> bool | None:
        """Decide the report that waits first; return whether it was refused, None if none may be decided."""
        if self._reconnect_after_s is None and self._writer.available:
            most = self._session.credit or 1
        elif self._unavailable_too_long or self._reconnect_after_s is not None:
            most = self._session.ceiling  # each is answered `retry`, in order: the writer accepts none
        else:
            return None
        sent = self._session.next(most) if self._unsent_text < UNSENT_TEXT_MAX else None
        return None if sent is None else not self._decide(sent)

    def _read_next(self) -> bool | None:
        """Read a frame, and decide its report if that may be; return whether it was refused, None if there is none.

        There is none either if there is no room for it.
        """
        session = self._session
        if (
            session.waiting_bytes >= WAITING_MAX
            or len(self._unsent) > IMMEDIATE_MAX + session.ceiling
            or self._unsent_text >= UNSENT_TEXT_MAX
        ):
            return None
        try:
            taken = self._socket.next_frame()
            if taken is None:
                return None
            opcode, payload = taken
            if opcode != TEXT:
                self._take_other(opcode, payload)
                return False
        except FrameError as error:
            self._reject(error.code, str(error))
            return False
        if self._ending is not None:
            self._discard(payload)
            return False
        try:
            unreadable = session.receive(payload)
        except CreditExceeded as error:
            self._end(POLICY, str(error))
            return False
        if unreadable is None:
            return self._decide_next() or False
        self._conclude(unreadable.id, unreadable, counted=False)
        return True

    def _discard(self, payload: bytearray) -> None:
        """Read a text frame of a connection that ends, so that the close frame is not lost in a reset."""
        self._discarded += len(payload)
        if self._discarded > DISCARDED_MAX:
            self._socket.ignore()

    def _take_other(self, opcode: int, payload: bytearray) -> None:
        """Take a frame that is not text. Raises FrameError."""
        if opcode == CLOSE:
            self._client_close = close_code(payload)
            self._session.drop_waiting()
            return
        if opcode not in (PART, PING, PONG):
            self._end(UNSUPPORTED, "only text frames are accepted")
            return
        if opcode != PART or len(payload) < PART_FREE:
            now = self._time_s()
            if self._control.spend(1.0, now) or self._allowance.control.spend(1.0, now):
                self._reject(POLICY, "too many control frames or small fragments")
                return
        if opcode == PING:
            self._socket.pong(payload)

    def _end(self, code: int, reason: str) -> None:
        """Accept no more reports, and close once those submitted are answered. The first reason is kept."""
        self._ending = self._ending or (code, reason)
        self._session.drop_waiting()

    def _reject(self, code: int, reason: str) -> None:
        """End the connection of a client that violates the protocol; nothing more is read from it."""
        self._socket.ignore()
        self._end(code, reason)

    def _decide(self, sent: Sent) -> bool:
        """Check a report, to be submitted at the end of the turn, or answer it; return whether it was valid."""
        token = self.token
        try:
            checked = self._election.current.check(sent.raw, token)
        except MalformedDocument as error:
            self._conclude(sent.id, Unreadable(sent.id, error.code, str(error)), counted=True)
            return False
        if not isinstance(checked, ValidReport):
            self._conclude(sent.id, checked, counted=True)
            return False
        report = checked.report
        if self._session.may_be_decided(sent, report.unit, report.revision):
            self._valid.append(PendingReport(token.key, checked, self._turn_at, self, sent.id, self._trace))
        else:
            self._conclude(sent.id, self._election.retry_out_of_order(report), counted=True)
        return True

    def _submit(self) -> None:
        """Submit the valid reports of a turn. They share one outcome if that is `retry`, so they keep their order."""
        reports, self._valid = self._valid, []
        code = self._election.submit(self, reports)
        if code is None:
            self._submitted += len(reports)
            return
        for pending in reports:
            self._conclude(pending.key, self._election.retry(pending.valid.report, code), counted=True)

    def _conclude(self, identifier: Identifier, outcome: Outcome | Unreadable, *, counted: bool) -> None:
        """Queue an answer; it is `counted` if it answers a report that used credit."""
        if counted:
            self._session.decided(outcome)
        self._unsent.append((identifier, outcome, counted))
        if not isinstance(outcome, Receipt):
            self._unsent_text += _text_of(outcome)
            if not isinstance(outcome, Retry):
                self._election.note_refusal(self.token, outcome.code)

    # Sending.

    def _send_results(self) -> None:
        """Send answers until the client does not take them at once."""
        session, socket = self._session, self._socket
        credit = self._bank.adjust(self)
        while self._unsent and socket.takes_all():
            part = self._unsent[:RESULTS_MAX]
            del self._unsent[:RESULTS_MAX]
            identifiers, outcomes, counted = zip(*part, strict=True)
            socket.write(text_frame(session.results(zip(identifiers, outcomes, strict=True), credit)))
            session.answered(sum(counted))
            self._metrics.answered(outcomes)
        if not self._unsent:
            self._unsent_text = 0
        if session.waiting or socket.kept:
            self._have_turn_soon()

    def _close_if_answered(self) -> None:
        """Close once the state allows it: see the states of a socket."""
        if self._unsent or self._submitted or self._socket.closing or self._socket.ended:
            return
        if self._ending is None:
            assert self._reconnect_after_s is not None
            if self._session.waiting or self._turn_due:
                return
            self._socket.write(text_frame(self._session.goodbye(self._reconnect_after_s)))
            self._ending = GOING_AWAY, ""
        self._socket.close(*self._ending)
        self._closing = self._loop.call_later(CLOSE_S, self._socket.abort)


def _text_of(outcome: Outcome | Unreadable) -> int:
    """Return the number of characters of explanation in an answer."""
    if isinstance(outcome, Refusal):
        return sum(len(each.path) + len(each.detail) for each in outcome.violations)
    return len(outcome.detail) if isinstance(outcome, Unreadable) else 0


def _nothing() -> None:
    pass
