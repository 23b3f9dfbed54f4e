"""Push over HTTP: one request, whose body is read, and its reports checked, submitted and answered.

One of the transports of `journal.intake`. Work that takes long is written as steps (`push_body.Steps`), which `turns`
runs in the sender's turn. The usual request, a single valid report that has arrived whole, needs no step, no wait and
so no task: it is taken directly, and answered when its commit returns.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from random import Random

import structlog
from aiohttp import web

from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock
from gateway.election.outcome import Outcome, Refusal, refusal_of
from gateway.election.report import Report
from gateway.election.validation import NOT_EXPLAINED, ExplanationBudget, Invalid, ValidReport
from gateway.errors import GatewayError, MalformedDocument, Overloaded
from gateway.journal.elections import ElectionVersion, Token
from gateway.journal.intake import OpenElection
from gateway.journal.writer import PendingReport
from gateway.telemetry import tracing
from gateway.telemetry.metrics import PushMetrics
from gateway.web.aiohttp_connection import DirectRequest, deliver
from gateway.web.answers import Head, Problem
from gateway.web.concurrency_limit import ConcurrencyLimit
from gateway.web.push_answers import (
    RECEIPT_SIZE,
    AnswerDeadlines,
    RequestOutcomes,
    answer_failed,
    answer_single,
    respond,
    respond_single,
    size_of,
    undecided,
)
from gateway.web.push_body import REPORTS_MAX, Body, Steps, is_array
from gateway.web.push_receiving import MEMORY_FACTOR, REPORT_COST, receive, split
from gateway.web.shares import ByteBudget, ByteReservation
from gateway.web.turns import Turns, Work
from gateway.wire.outcomes import outcome_document

log = structlog.get_logger()

BODIES_MAX = 256 << 20
"""Bytes of bodies that a process keeps at once, of all senders."""
ANSWERS_MAX = 64 << 20
"""Bytes of answers to push requests that a process keeps until they are sent, of all senders."""
BODY_RESERVE, ANSWER_RESERVE = 256 << 10, 64 << 10
"""Bytes of bodies, and of answers, that every sender may have besides: there is always memory for a small request."""
CHECK_S = 100e-9
"""About how long reading and checking take for each byte of a body, in seconds."""
ANSWER_RESULT_S = 5e-6
"""About how long encoding one result of an answer takes, in seconds."""
SMALL_BODY = 32 << 10
"""Bytes up to which a body is assumed to have a single report until it is read."""
_PREPARED_STEP = 50
"""Reports prepared in one step, in a few microseconds each."""


class PushRequests:
    """Answers push requests. Invariants:

    * A request is submitted whole or not at all, and its reports in the order sent.
    * What one sender may occupy at once is bounded, from the head of a request until its answer is sent: requests,
      bytes of bodies, bytes of answers. Its requests are computed in its turn.
    """

    def __init__(
        self,
        requests_per_sender: int,
        metrics: PushMetrics,
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._chance = chance
        self._requests_per_sender = requests_per_sender
        self._requests_of = ConcurrencyLimit(requests_per_sender)
        self.bodies = ByteBudget(BODIES_MAX, BODY_RESERVE)
        self._answers = ByteBudget(ANSWERS_MAX, ANSWER_RESERVE)
        self._invalid_of: set[int] = set()
        """Senders whose last single report was not valid. The next one is not checked directly, but only once, where an
        explanation has its turn."""
        self.turns = Turns(clock=clock)
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

    def take(self, request: DirectRequest, election: OpenElection, token: Token) -> bool:
        """Submit a single report that has arrived whole, and answer it once it is decided, without a task.

        Return False for a request that `answer` has to answer: its report is not a single or not a valid one, or the
        one before was not valid, or there is no room or no turn for it at once. Nothing has been submitted then.
        """
        if (
            not self.turns.free_for_short
            or token.key in self._invalid_of
            or self._requests_of.full(token.key)
            or is_array(request.content)
        ):
            return False
        began_s = self._clock.monotonic()
        try:
            return self._submitted(request, election, token)
        except GatewayError:
            return False
        finally:
            self.turns.worked(self._clock.monotonic() - began_s)

    def _submitted(self, request: DirectRequest, election: OpenElection, token: Token) -> bool:
        """Check and submit the report of a request; return False if it is not valid. Raises GatewayError."""
        election.check_room(token, 1)
        received_at = self._clock.now()
        try:
            checked = election.current.check(request.content, token, NOT_EXPLAINED)
        except MalformedDocument:
            checked = None
        if not isinstance(checked, ValidReport):
            self._invalid_of.add(token.key)
            return False
        memory = MEMORY_FACTOR * len(request.content) + REPORT_COST
        if not self.bodies.fits(token.key, memory) or not self._answers.fits(token.key, RECEIPT_SIZE):
            return False
        direct = DirectPush(self._answer_directly, request, election, token, checked.report, memory)
        election.submit_request(token, [PendingReport(token.key, checked, received_at, direct, 0)])
        self._requests_of.enter(token.key)
        self.bodies.add(token.key, memory)
        self._answers.add(token.key, RECEIPT_SIZE)
        self._deadlines.enter(direct)
        return True

    def _answer_directly(self, direct: "DirectPush") -> None:
        """Answer a request that was taken, once it is decided, or undecided at its deadline.

        The writer calls this for one request after the other, so an error must remain with its own.
        """
        try:
            direct.request.answer(*self._answer_of(direct))
        except Exception:
            log.exception("request failed")
            direct.request.connection.abort()
        finally:
            key = direct.token.key
            self._deadlines.leave(direct)
            self.bodies.add(key, -direct.memory)
            self._answers.add(key, -RECEIPT_SIZE)
            self._requests_of.leave(key)

    def _answer_of(self, direct: "DirectPush") -> tuple[Head, bytes]:
        """Count the outcome of a request that was taken, and return its answer; an internal error if that fails."""
        outcome = direct.outcome or undecided(direct.report, self._chance)
        try:
            self._note(direct.election, direct.token, outcome)
            rehearsal = direct.election.current.registry.rehearsal
            return answer_single(outcome, rehearsal=rehearsal, chance=self._chance)
        except Exception:
            log.exception("request failed")
            self._metrics.problems.note("internal_error")
            return answer_failed(chance=self._chance)

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
        self._metrics.bodies.set(self.bodies.total)
        self._metrics.unread.set(self._answers.total)
        self._metrics.turns.set(len(self.turns))

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
        with ByteReservation(self.bodies, token.key, "request bodies") as memory:
            received = await receive(request, memory)
            received_at = self._clock.now()
            async with self.turns.work(token.key, CHECK_S * len(received.content)) as work:
                body = await work.run(split(received, memory, election.current.registry))
                del received  # it is not needed any more, and large
                outcomes, reports = await check_until_current(election, token, body, received_at, work)
                unread.grow(
                    outcomes.answer_size()
                )  # before anything is submitted, so that no receipt is lost
                if reports:
                    election.submit_request(token, reports)
                    self._invalid_of.discard(token.key)
            decided = await outcomes.wait(self._deadlines, chance=self._chance)
        rehearsal = election.current.registry.rehearsal
        if body.single:
            self._note(election, token, decided[0])
            return respond_single(decided[0], rehearsal=rehearsal, chance=self._chance)
        note = partial(self._note, election, token)
        steps = respond(decided, note, rehearsal=rehearsal, chance=self._chance)
        async with self.turns.work(token.key, ANSWER_RESULT_S * len(decided)) as work:
            return await work.run(steps)

    def _note(self, election: OpenElection, token: Token, outcome: Outcome) -> None:
        """Count one outcome, and, for the board, a refusal."""
        self._metrics.answered([outcome])
        if isinstance(outcome, Refusal):
            election.note_refusal(token, outcome.code)


class DirectPush:
    """A request that was taken directly, from its submission until it is answered: what it occupies, and its outcome.

    Invariant: `finish` is called once, when the report is decided or at the deadline.
    """

    __slots__ = ("_finish", "election", "memory", "outcome", "report", "request", "token")

    def __init__(
        self,
        finish: Callable[["DirectPush"], None],
        request: DirectRequest,
        election: OpenElection,
        token: Token,
        report: Report,
        memory: int,
    ) -> None:
        self._finish: Callable[[DirectPush], None] | None = finish
        self.request = request
        self.election = election
        self.token = token
        self.report = report
        self.memory = memory
        """Bytes of its body that count against the budget."""
        self.outcome: Outcome | None = None
        """None until it is decided."""

    def resolve(self, _: int, outcome: Outcome) -> None:
        """Take the outcome of the report."""
        self.outcome = outcome

    def flush(self) -> None:
        """Answer: the only report is decided."""
        self.end()

    def end(self) -> None:
        """Answer, unless it was answered at its deadline."""
        finish, self._finish = self._finish, None
        if finish is not None:
            finish(self)


class Counted:
    """What a sender has in progress, counted while entered. Raises Overloaded if it is as much as is allowed."""

    __slots__ = ("_key", "_limit")  # a class and not a generator: every request passes through it

    def __init__(
        self, limit: ConcurrencyLimit, token: Token, detail: str, retry_after_s: float = 1.0
    ) -> None:
        self._limit = limit
        self._key = token.key
        if limit.full(self._key):
            raise Overloaded(detail, retry_after_s, share=True)

    def __enter__(self) -> None:
        self._limit.enter(self._key)

    def __exit__(self, *_: object) -> None:
        self._limit.leave(self._key)


async def check_until_current(
    election: OpenElection, token: Token, body: Body, received_at: datetime, work: Work
) -> tuple[RequestOutcomes, list[PendingReport]]:
    """Check every report by the current version of the election, and again if it changes meanwhile.

    Returns the valid ones ready to be submitted, which must follow without another wait.

    A body may have taken a minute to arrive, so its token is looked up again. Raises TokenInvalid and Problem.
    """
    while True:
        version = election.current
        if body.eml is not None and not body.eml.fits(version.registry):
            raise Overloaded("the registry was replaced while this request was read", 1.0)
        outcomes = await work.run(check_all(version, election.current_token(token), body))
        reports = await work.run(prepare(token, outcomes, received_at))
        if election.current is version:
            return outcomes, reports


def check_all(version: ElectionVersion, token: Token, body: Body) -> Steps[RequestOutcomes]:
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
        checked = version.check(raw, token, budget)
        return checked if body.eml is None else body.eml.reports[place].judged(checked, budget)
    except MalformedDocument as error:
        refusal = refusal_of(Invalid.malformed(str(error)))
        if body.lines is None:
            members = outcome_document(refusal, rehearsal=version.registry.rehearsal)
            raise Problem.of(error, members=members) from None
        return Refusal(refusal.code, None, None, violations=refusal.violations, line=body.lines[place])


def prepare(token: Token, outcomes: RequestOutcomes, received_at: datetime) -> Steps[list[PendingReport]]:
    """Return the valid reports of a request, in the order sent, ready to be submitted."""
    reports: list[PendingReport] = []
    for place, valid in outcomes.valid.items():
        reports.append(PendingReport(token.key, valid, received_at, outcomes, place))
        if not len(reports) % _PREPARED_STEP:
            yield
    return reports
