"""Push over HTTP: the body of a request is read within bounds, its reports are checked, submitted and answered.

One of the transports of `journal.intake`. Work that takes long is written as steps (`push_body.Steps`), which `turns`
runs in the sender's turn.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
from aiohttp import HttpVersion11, hdrs, web

from gateway.backoff import jittered_s
from gateway.deadline import Deadline
from gateway.election.outcome import Outcome, Receipt, Refusal, Retry, refusal_of
from gateway.election.validation import ExplanationBudget, Invalid, ValidReport
from gateway.errors import JournalUnavailable, MalformedDocument, Overloaded
from gateway.journal.elections import ElectionVersion, Token
from gateway.journal.intake import OpenElection
from gateway.journal.writer import PendingReport
from gateway.telemetry import tracing
from gateway.telemetry.metrics import PushMetrics
from gateway.web.aiohttp_connection import deliver, send_continue
from gateway.web.answers import JSON, Problem, json_response
from gateway.web.concurrency_limit import ConcurrencyLimit
from gateway.web.push_body import (
    BODY_MAX,
    REPORTS_MAX,
    Body,
    MalformedBody,
    Steps,
    TooLarge,
    reading,
    unpacking,
)
from gateway.web.shares import ByteBudget, ByteReservation
from gateway.web.turns import Turns, Work
from gateway.wire.json import to_json
from gateway.wire.outcomes import outcome_document

BODY_S = 60.0
"""How long the body of a request may take at most, in seconds."""
BODY_GRACE_S, BODY_RATE = 10.0, 8 << 10
"""How long it may take for the bytes that have arrived: so many seconds, and one more for each BODY_RATE bytes. So a
client that sends a byte now and then is refused before it has occupied anything for long."""
ANSWER_S = 30.0
"""How long a request waits for its outcomes, in seconds; reports that are undecided then are answered `retry`."""
BODIES_MAX = 256 << 20
"""Bytes of bodies that a process keeps at once, of all senders."""
ANSWERS_MAX = 64 << 20
"""Bytes of answers to push requests that a process keeps until they are sent, of all senders."""
BODY_RESERVE, ANSWER_RESERVE = 256 << 10, 64 << 10
"""Bytes of bodies, and of answers, that every sender may have besides: there is always memory for a small request."""
MEMORY_FACTOR, REPORT_COST = 3, 1 << 10
"""About how much memory a split body takes: a multiple of its size (as it was sent, as it will be stored, as decoded
figures), and so many bytes for each report."""
RECEIPT_SIZE, REFUSAL_SIZE = 400, 150
"""Bytes of one result in an answer: of a receipt at most, of a refusal without its unit and its violations."""
CHECK_S = 100e-9
"""About how long reading and checking take for each byte of a body, in seconds."""
ANSWER_RESULT_S = 5e-6
"""About how long encoding one result of an answer takes, in seconds."""
SMALL_BODY = 32 << 10
"""Bytes up to which a body is assumed to have a single report until it is read."""
_RESULTS_STEP = 50
"""Results encoded in one step, or reports prepared: a few microseconds each."""


class PushRequests:
    """Answers push requests. Invariants:

    * A request is submitted whole or not at all, and its reports in the order sent.
    * What one sender may occupy at once is bounded, from the head of a request until its answer is sent: requests,
      bytes of bodies, bytes of answers. Its requests are computed in its turn.
    """

    def __init__(self, requests_per_sender: int, metrics: PushMetrics) -> None:
        self._metrics = metrics
        self._requests_per_sender = requests_per_sender
        self._requests_of = ConcurrencyLimit(requests_per_sender)
        self._bodies = ByteBudget(BODIES_MAX, BODY_RESERVE)
        self._answers = ByteBudget(ANSWERS_MAX, ANSWER_RESERVE)
        self._turns = Turns()
        self._deadlines = AnswerDeadlines()

    async def answer(self, request: web.Request, election: OpenElection, token: Token) -> web.StreamResponse:
        """Answer a push request of an authenticated sender. Raises Problem, and the errors of `OpenElection`."""
        with (
            self._counted(request, election, token),
            tracing.span("push", election=election.current.id),
            ByteReservation(self._answers, token.key, "unread answers") as unread,
        ):
            unread.check()
            answer = await self._decided(request, election, token, unread)
            unread.resize(size_of(answer))
            return await deliver(request, answer)

    async def deliver(self, request: web.Request, token: Token, answer: web.Response) -> web.StreamResponse:
        """Deliver another answer to a sender, counted in the same budget until it is sent. Raises Overloaded."""
        with ByteReservation(self._answers, token.key, "unread answers") as unread:
            unread.grow(size_of(answer))
            return await deliver(request, answer)

    def pass_time(self, seconds: float) -> None:
        """Advance the clock of the requests that wait for their outcomes."""
        self._deadlines.pass_time(seconds)

    def refresh_gauges(self) -> None:
        """Set the metrics that are counted only on request."""
        self._metrics.bodies.set(self._bodies.total)
        self._metrics.unread.set(self._answers.total)
        self._metrics.turns.set(len(self._turns))

    def _counted(self, request: web.Request, election: OpenElection, token: Token) -> "Counted":
        """Count a request of a sender, or refuse it before its body is read."""
        size = request.content_length
        election.check_room(token, 1 if size is not None and size <= SMALL_BODY else REPORTS_MAX)
        detail = f"{self._requests_per_sender} requests of this token are already in progress"
        return Counted(self._requests_of, token, detail, election.writer.room.delay_s())

    async def _decided(
        self, request: web.Request, election: OpenElection, token: Token, unread: ByteReservation
    ) -> web.Response:
        """Read a request, submit its reports and return the answer."""
        with ByteReservation(self._bodies, token.key, "request bodies") as memory:
            received = await receive(request, memory)
            received_at = datetime.now(UTC)
            async with self._turns.work(token.key, CHECK_S * len(received.content)) as work:
                body = await work.run(split(received, memory))
                del received  # it is not needed any more, and large
                outcomes, reports = await check_until_current(election, token, body, received_at, work)
                unread.grow(
                    outcomes.answer_size()
                )  # before anything is submitted, so that no receipt is lost
                if reports:
                    election.submit_request(token, reports)
            decided = await outcomes.wait(self._deadlines)
        rehearsal = election.current.registry.rehearsal
        if body.single:
            self._metrics.answered(decided[0])
            return respond_single(decided[0], rehearsal=rehearsal)
        steps = respond(decided, self._metrics.answered, rehearsal=rehearsal)
        async with self._turns.work(token.key, ANSWER_RESULT_S * len(decided)) as work:
            return await work.run(steps)


class Counted:
    """What a sender has in progress, counted while entered. Raises Overloaded if it is as much as is allowed."""

    __slots__ = ("_limit", "_name")  # a class and not a generator: every request passes through it

    def __init__(
        self, limit: ConcurrencyLimit, token: Token, detail: str, retry_after_s: float = 1.0
    ) -> None:
        self._limit = limit
        self._name = str(token.key)
        if limit.full(self._name):
            raise Overloaded(detail, retry_after_s, share=True)

    def __enter__(self) -> None:
        self._limit.enter(self._name)

    def __exit__(self, *_: object) -> None:
        self._limit.leave(self._name)


# Reading.


async def expect_later(request: web.Request) -> None:
    """Leave `Expect: 100-continue` to be answered by `receive`, once the request is known to be accepted.

    So a body that would be refused is never sent. Raises HTTPExpectationFailed for any other expectation.
    Source: RFC 9110 section 10.1.1.
    """
    if request.version >= HttpVersion11 and not _expects_continue(request):
        raise web.HTTPExpectationFailed


def _expects_continue(request: web.Request) -> bool:
    return request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"


class ReceivedBody(msgspec.Struct, frozen=True, gc=False):
    """A body as it arrived, and what its headers say about it."""

    content: bytes
    gzip: bool
    ndjson: bool


async def receive(request: web.Request, memory: ByteReservation) -> ReceivedBody:
    """Read the body of a request as it was sent, and reserve its size as it arrives. Raises Problem, Overloaded."""
    ndjson = _is_ndjson(request)
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Problem(415, "unsupported_encoding", "Content-Encoding must be gzip, or absent")
    if request.content_length is not None and request.content_length > BODY_MAX:
        raise _too_large()
    try:
        if request.content.is_eof():  # it has arrived already, as is usual: there is nothing to wait for
            body = _arrived(request.content.read_nowait(), memory)
        else:
            if request.version >= HttpVersion11 and _expects_continue(request):
                await send_continue(request)
            body = await _read(request, memory)
    except TimeoutError:
        detail = (
            f"a body must arrive within {BODY_GRACE_S:.0f} s, plus 1 s for each {BODY_RATE} bytes of it,"
            f" and within {BODY_S:.0f} s in any case"
        )
        raise Problem(408, "too_slow", detail) from None
    except ConnectionError:
        raise Problem.of(MalformedBody("the body is incomplete")) from None  # nobody will read this
    except (web.RequestPayloadError, ValueError) as error:
        raise Problem.of(MalformedBody(f"the body cannot be read: {error}")) from None
    return ReceivedBody(body, gzip=encoding == "gzip", ndjson=ndjson)


def _is_ndjson(request: web.Request) -> bool:
    """Return whether the body is NDJSON. Raises Problem for what is neither JSON nor NDJSON."""
    if request.content_type == "application/x-ndjson":
        return True
    if request.content_type == JSON:
        return False
    raise Problem(415, "unsupported_type", "Content-Type must be application/json or application/x-ndjson")


async def _read(request: web.Request, memory: ByteReservation) -> bytes:
    body = bytearray()  # parts may be single bytes, and a list of them would take forty times the size
    may_extend_s = BODY_S - BODY_GRACE_S
    async with Deadline(BODY_GRACE_S) as deadline:
        async for part in request.content.iter_any():
            if len(body) + len(part) > BODY_MAX:
                raise _too_large()
            memory.grow(len(body) + len(part))
            body += part
            more_s = min(len(part) / BODY_RATE, may_extend_s)
            may_extend_s -= more_s
            deadline.extend(more_s)
    return bytes(body)


def _arrived(body: bytes, memory: ByteReservation) -> bytes:
    if len(body) > BODY_MAX:
        raise _too_large()
    memory.grow(len(body))
    return body


def _too_large() -> Problem:
    return Problem.of(TooLarge(f"a body has at most {BODY_MAX} bytes"))


def split(received: ReceivedBody, memory: ByteReservation) -> Steps[Body]:
    """Unpack a body and split it into reports, reserving the memory that takes. Raises Problem, Overloaded."""
    size = len(received.content)
    try:
        content = received.content
        if received.gzip:
            content = yield from unpacking(iter((content,)), lambda unpacked: memory.grow(size + unpacked))
            size += len(content)
        memory.grow(size + len(content))  # reports are copied out of it
        body = yield from reading(content, ndjson=received.ndjson)
    except (MalformedBody, TooLarge) as error:
        raise Problem.of(error) from None
    memory.resize(0)
    memory.grow(MEMORY_FACTOR * len(content) + REPORT_COST * len(body.reports))
    return body


# Checking.


async def check_until_current(
    election: OpenElection, token: Token, body: Body, received_at: datetime, work: Work
) -> tuple["RequestOutcomes", list[PendingReport]]:
    """Check every report by the current version of the election, and again if it changes meanwhile.

    Returns the valid ones ready to be submitted, which must follow without another wait.

    A body may have taken a minute to arrive, so its token is looked up again. Raises TokenInvalid and Problem.
    """
    while True:
        version = election.current
        outcomes = await work.run(check_all(version, election.current_token(token), body))
        reports = await work.run(prepare(token, outcomes, received_at))
        if election.current is version:
            return outcomes, reports


def check_all(version: ElectionVersion, token: Token, body: Body) -> Steps["RequestOutcomes"]:
    """Check every report of a body; refused ones have their outcome, valid ones none yet. Raises Problem."""
    outcomes: list[Outcome | None] = []
    valid: dict[int, ValidReport] = {}
    budget = ExplanationBudget()
    for place, raw in enumerate(body.reports):
        checked = _check(version, token, body, place, raw, budget)
        if isinstance(checked, ValidReport):
            valid[place] = checked
            outcomes.append(None)
        else:
            outcomes.append(checked)
        yield
    return RequestOutcomes(outcomes, valid)


def _check(
    version: ElectionVersion, token: Token, body: Body, place: int, raw: bytes, budget: ExplanationBudget
) -> ValidReport | Refusal:
    try:
        return version.check(raw, token, budget)
    except MalformedDocument as error:
        refusal = refusal_of(Invalid.malformed(str(error)))
        if body.lines is None:
            members = outcome_document(refusal, rehearsal=version.registry.rehearsal)
            raise Problem.of(error, members=members) from None
        return Refusal(refusal.code, None, None, violations=refusal.violations, line=body.lines[place])


def prepare(token: Token, outcomes: "RequestOutcomes", received_at: datetime) -> Steps[list[PendingReport]]:
    """Return the valid reports of a request, in the order sent, ready to be submitted."""
    reports: list[PendingReport] = []
    for place, valid in outcomes.valid.items():
        reports.append(PendingReport(token.key, valid, received_at, outcomes, place))
        if not len(reports) % _RESULTS_STEP:
            yield
    return reports


# Outcomes.


class RequestOutcomes:
    """The outcomes of one request, by the place of the report; a valid one has none until the journal decides."""

    __slots__ = ("_complete", "_outcomes", "_undecided", "valid")

    def __init__(self, outcomes: list[Outcome | None], valid: dict[int, ValidReport]) -> None:
        self.valid = valid
        self._outcomes = outcomes
        self._undecided = len(valid)
        self._complete: asyncio.Future[None] | None = None

    def answer_size(self) -> int:
        """Return about how many bytes the answer has at most."""
        size = RECEIPT_SIZE * len(self.valid)
        for outcome in self._outcomes:
            if isinstance(outcome, Refusal):
                size += REFUSAL_SIZE + 4 * len(outcome.unit or "")
                size += sum(2 * len(each.path) + 2 * len(each.detail) for each in outcome.violations)
        return size

    def resolve(self, key: int, outcome: Outcome) -> None:
        """Take the outcome of the report at place `key`."""
        self._outcomes[key] = outcome
        self._undecided -= 1

    def flush(self) -> None:
        """End the wait if every report is decided."""
        if not self._undecided:
            self.end()

    def end(self) -> None:
        """End the wait."""
        if self._complete is not None and not self._complete.done():
            self._complete.set_result(None)

    async def wait(self, deadlines: "AnswerDeadlines") -> list[Outcome]:
        """Wait for the outcomes and return all; reports that are undecided at the deadline get `retry`."""
        if self._undecided:
            self._complete = asyncio.get_running_loop().create_future()
            deadlines.enter(self)
            try:
                await self._complete
            finally:
                deadlines.leave(self)
        return [self._or_retry(place, outcome) for place, outcome in enumerate(self._outcomes)]

    def _or_retry(self, place: int, outcome: Outcome | None) -> Outcome:
        if outcome is not None:
            return outcome
        report = self.valid[place].report
        return Retry(JournalUnavailable.code, jittered_s(1.0), report.unit, report.revision)


class AnswerDeadlines:
    """The deadlines of requests that wait for outcomes: ANSWER_S by a separate clock, which `pass_time` advances.

    One object for all, in the order in which the waits began; a timer for each would cost 3 µs per request. Time in
    which the event loop was stalled does not count: outcomes that arrived meanwhile are still to be processed.
    """

    def __init__(self) -> None:
        self._until: dict[RequestOutcomes, float] = {}
        self._now = 0.0

    def __len__(self) -> int:
        return len(self._until)

    def enter(self, outcomes: RequestOutcomes) -> None:
        """Add a request that begins to wait."""
        self._until[outcomes] = self._now + ANSWER_S

    def leave(self, outcomes: RequestOutcomes) -> None:
        """Remove it."""
        del self._until[outcomes]

    def pass_time(self, seconds: float) -> None:
        """Advance the clock, and end the waits that have reached their deadline."""
        self._now += seconds
        for outcomes, until in self._until.items():
            if until > self._now:
                break
            outcomes.end()


# Answering.


def respond(
    outcomes: Sequence[Outcome], note: Callable[[Outcome], None], *, rehearsal: bool
) -> Steps[web.Response]:
    """Return the answer to a request of several reports: results in the order sent. `note` is called with each."""
    parts: list[bytes] = []
    for start in range(0, len(outcomes), _RESULTS_STEP):
        part = outcomes[start : start + _RESULTS_STEP]
        for outcome in part:
            note(outcome)
        parts.append(to_json([outcome_document(each, rehearsal=rehearsal) for each in part])[1:-1])
        yield
    if outcomes and all(isinstance(outcome, Retry) for outcome in outcomes):
        return _undecided(outcomes[0])
    return web.Response(body=b'{"results":[' + b",".join(parts) + b"]}", content_type=JSON)


def respond_single(outcome: Outcome, *, rehearsal: bool) -> web.Response:
    """Return the answer to a request of one report: its status shows the outcome."""
    match outcome:
        case Receipt():
            document = outcome_document(outcome, rehearsal=rehearsal)
            return json_response(document, 200 if outcome.duplicate else 201)
        case Retry():
            return _undecided(outcome)
        case Refusal():
            members = outcome_document(outcome, rehearsal=rehearsal)
            return Problem.of_refusal(outcome.code, _detail(outcome), members).response()


def _detail(refusal: Refusal) -> str:
    if refusal.violations:
        return "; ".join(f"{each.path}: {each.detail}" for each in refusal.violations[:3])
    if refusal.code == "election_closed":
        return "the election is closed and accepts no more reports"
    if refusal.current_revision is not None:
        return f"the unit is at revision {refusal.current_revision}"
    return refusal.code.replace("_", " ")


def _undecided(outcome: Outcome) -> web.Response:
    assert isinstance(outcome, Retry)
    detail = "the report may or may not be durable; send it again"
    if outcome.reason is not None:
        detail = f"{outcome.reason}; {detail}"
    return Problem.of_code(outcome.code, detail, retry_after_s=outcome.retry_after_s).response()


def size_of(answer: web.Response) -> int:
    """Return the bytes of an answer's body."""
    return len(answer.body) if isinstance(answer.body, bytes) else 0
