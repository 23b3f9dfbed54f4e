"""The answer to a push request: the outcomes of its reports, the wait for them, and the response made of them."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import takewhile
from random import Random
from typing import Protocol

from aiohttp import web

from gateway.backoff import jittered_s
from gateway.clock import SYSTEM_CHANCE
from gateway.election.outcome import Outcome, Receipt, Refusal, Retry
from gateway.election.report import Report
from gateway.election.validation import ValidReport
from gateway.errors import JournalUnavailable
from gateway.web.answers import JSON, Head, Problem, internal_error, json_response
from gateway.web.push_body import Steps
from gateway.wire.json import to_json
from gateway.wire.outcomes import outcome_document

ANSWER_S = 30.0
"""How long a request waits for its outcomes, in seconds; reports that are undecided then are answered `retry`."""
RECEIPT_SIZE, REFUSAL_SIZE = 400, 150
"""Bytes of one result in an answer: of a receipt at most, of a refusal without its unit and its violations."""
RESULTS_STEP = 50
"""Results encoded in one step; a result takes a few microseconds."""


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

    async def wait(self, deadlines: "AnswerDeadlines", *, chance: Random = SYSTEM_CHANCE) -> list[Outcome]:
        """Wait for the outcomes and return all; reports that are undecided at the deadline get `retry`."""
        if self._undecided:
            self._complete = asyncio.get_running_loop().create_future()
            deadlines.enter(self)
            try:
                await self._complete
            finally:
                deadlines.leave(self)
        return [
            outcome if outcome is not None else undecided(self.valid[place].report, chance)
            for place, outcome in enumerate(self._outcomes)
        ]


def undecided(report: Report, chance: Random) -> Retry:
    """Return the outcome of a report that is not decided at its deadline."""
    return Retry(JournalUnavailable.code, jittered_s(1.0, chance=chance), report.unit, report.revision)


class Waiting(Protocol):
    """A request that waits for its outcomes."""

    def end(self) -> None:
        """End the wait."""


class AnswerDeadlines:
    """The deadlines of requests that wait for outcomes: ANSWER_S by a separate clock, which `pass_time` advances.

    One object for all, in the order in which the waits began; a timer for each would cost 3 µs per request. Time in
    which the event loop was stalled does not count: outcomes that arrived meanwhile are still to be processed.
    """

    def __init__(self) -> None:
        self._until: dict[Waiting, float] = {}
        self._now = 0.0

    def __len__(self) -> int:
        return len(self._until)

    def enter(self, request: Waiting) -> None:
        """Add a request that begins to wait."""
        self._until[request] = self._now + ANSWER_S

    def leave(self, request: Waiting) -> None:
        """Remove it."""
        del self._until[request]

    def pass_time(self, seconds: float) -> None:
        """Advance the clock, and end the waits that have reached their deadline."""
        self._now += seconds
        for request, _ in list(takewhile(lambda each: each[1] <= self._now, self._until.items())):
            request.end()


def respond(
    outcomes: Sequence[Outcome],
    note: Callable[[Outcome], None],
    *,
    rehearsal: bool,
    chance: Random = SYSTEM_CHANCE,
) -> Steps[web.Response]:
    """Return the answer to a request of several reports: results in the order sent. `note` is called with each."""
    parts: list[bytes] = []
    for start in range(0, len(outcomes), RESULTS_STEP):
        part = outcomes[start : start + RESULTS_STEP]
        for outcome in part:
            note(outcome)
        parts.append(to_json([outcome_document(each, rehearsal=rehearsal) for each in part])[1:-1])
        yield
    if outcomes and all(isinstance(outcome, Retry) for outcome in outcomes):
        return _undecided(outcomes[0], chance)
    return web.Response(body=b'{"results":[' + b",".join(parts) + b"]}", content_type=JSON)


def respond_single(outcome: Outcome, *, rehearsal: bool, chance: Random = SYSTEM_CHANCE) -> web.Response:
    """Return the answer to a request of one report: its status shows the outcome."""
    match outcome:
        case Receipt():
            return json_response(outcome_document(outcome, rehearsal=rehearsal), _status(outcome))
        case Retry():
            return _undecided(outcome, chance)
        case Refusal():
            members = outcome_document(outcome, rehearsal=rehearsal)
            return Problem.of_refusal(outcome.code, _detail(outcome), members).response(chance=chance)


_HEADS = {status: Head(status, {"Content-Type": JSON}) for status in (200, 201)}


def answer_single(outcome: Outcome, *, rehearsal: bool, chance: Random) -> tuple[Head, bytes]:
    """Return the same answer as `respond_single`, for a request that no application answers."""
    if isinstance(outcome, Receipt):
        return _HEADS[_status(outcome)], to_json(outcome_document(outcome, rehearsal=rehearsal))
    return _whole(respond_single(outcome, rehearsal=rehearsal, chance=chance))


def answer_failed(*, chance: Random) -> tuple[Head, bytes]:
    """Return the answer to such a request if there is an error in making its own; that error is to be logged."""
    return _whole(internal_error().response(chance=chance))


def _whole(answer: web.Response) -> tuple[Head, bytes]:
    assert isinstance(answer.body, bytes)
    return Head(answer.status, answer.headers), answer.body


def _status(receipt: Receipt) -> int:
    return 200 if receipt.duplicate else 201


def _detail(refusal: Refusal) -> str:
    if refusal.violations:
        return "; ".join(f"{each.path}: {each.detail}" for each in refusal.violations[:3])
    if refusal.code == "election_closed":
        return "the election is closed and accepts no more reports"
    if refusal.current_revision is not None:
        return f"the unit is at revision {refusal.current_revision}"
    return refusal.code.replace("_", " ")


def _undecided(outcome: Outcome, chance: Random) -> web.Response:
    assert isinstance(outcome, Retry)
    detail = "the report may or may not be durable; send it again"
    if outcome.reason is not None:
        detail = f"{outcome.reason}; {detail}"
    problem = Problem.of_code(outcome.code, detail, retry_after_s=outcome.retry_after_s)
    return problem.response(chance=chance)


def size_of(answer: web.Response) -> int:
    """Return the bytes of an answer's body."""
    return len(answer.body) if isinstance(answer.body, bytes) else 0
