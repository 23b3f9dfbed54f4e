"""One push request: its body read within bounds, its reports judged, their outcomes gathered and told.

What takes long is written as steps (`push_body.Steps`), which `turns` goes through in the sender's turn.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from typing import Self

import msgspec
from aiohttp import HttpVersion11, hdrs, web

from gateway.deadline import Deadline
from gateway.election.outcome import Outcome, Receipt, Refusal, Retry, outcome_document, refusal_of
from gateway.election.validation import ExplanationBudget, Invalid, ValidReport
from gateway.errors import JournalUnavailable, MalformedDocument, Overloaded
from gateway.journal.elections import Standing, Token
from gateway.journal.writer import Waiting
from gateway.web.answers import JSON, Problem, jittered_s, json_response
from gateway.web.push_body import BODY_MAX, Body, MalformedBody, Steps, TooLarge, reading, unpacking
from gateway.web.shares import SharedBytes
from gateway.wire.events import to_json

BODY_S = 60.0
"""What a sender may take over the body of a request at most."""
BODY_GRACE_S, BODY_RATE = 10.0, 8 << 10
"""What it may take over the bytes that have arrived: so many seconds, and one more for each BODY_RATE bytes. So whoever
sends a byte now and then is refused before it has kept anything for long."""
ANSWER_S = 30.0
"""How long a request waits for its outcomes; what is undecided then is answered `retry`."""
BODIES_MAX = 256 << 20
"""Bytes of bodies that a process keeps at once, of all senders."""
ANSWERS_MAX = 64 << 20
"""Bytes of answers to push requests that a process keeps until they are taken, of all senders."""
BODY_RESERVE, ANSWER_RESERVE = 256 << 10, 64 << 10
"""Bytes of bodies, and of answers, that every sender may have besides: a small request always finds room."""
MEMORY_FACTOR, REPORT_COST = 3, 1 << 10
"""What a body takes in memory once it is taken apart, about: its size so many times (as it was sent, as it will be
stored, as decoded figures), and so many bytes for each report."""
RECEIPT_SIZE, REFUSAL_SIZE = 400, 150
"""Bytes of one result in an answer: of a receipt at most, of a refusal without its unit and its violations."""
CHECK_S = 100e-9
"""Seconds that reading and checking take for each byte of a body, about."""
_RESULTS_STEP = 50
"""Results written in one step, or reports made ready: a few microseconds each."""

_STATUS = {
    "unit_forbidden": 403,
    "token_revoked": 401,
    "stale_revision": 409,
    "revision_conflict": 409,
    "election_closed": 409,
    "malformed": 400,
}


class Room:
    """The bytes of one request in a share, for as long as it is entered.

    A class and no generator: a request goes through it every 100 µs.
    """

    __slots__ = ("_bytes", "_sender", "_what", "size")

    def __init__(self, bytes_: SharedBytes, sender: Hashable, what: str) -> None:
        self._bytes = bytes_
        self._sender = sender
        self._what = what
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.settle(0)

    def grow(self, to: int) -> None:
        """Take as much room as is needed now. Raises Problem where there is none."""
        if to > self.size:
            self.check(to - self.size)
            self.settle(to)

    def check(self, more: int = 1) -> None:
        """Raise Problem where there is no room for so many bytes more."""
        if self._bytes.fits(self._sender, more):
            return
        if self._bytes.of(self._sender) > self.size:
            detail = f"{self._what} of this token take up {self._bytes.of(self._sender)} bytes already"
            raise Problem(429, Overloaded.code, detail, retry_after_s=2.0)
        detail = f"{self._what} of others take up {self._bytes.total} bytes; send fewer reports at once"
        raise Problem(503, Overloaded.code, detail, retry_after_s=2.0)

    def settle(self, size: int) -> None:
        """Note the size as it is, whether there is room or not."""
        self._bytes.add(self._sender, size - self.size)
        self.size = size


async def expect_later(request: web.Request) -> None:
    """Take an `Expect: 100-continue` to be answered by `receive`, once the request is known to be taken.

    So a body that would be refused is never sent. Raises HTTPExpectationFailed for any other expectation.
    Source: RFC 9110 section 10.1.1.
    """
    if request.version >= HttpVersion11 and not _expects_continue(request):
        raise web.HTTPExpectationFailed


def _expects_continue(request: web.Request) -> bool:
    return request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"


async def receive(request: web.Request, room: Room) -> "Packed":
    """Read the body of a request as it was sent, and note its size in `room` as it arrives. Raises Problem."""
    ndjson = _is_ndjson(request)
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Problem(415, "unsupported_encoding", "Content-Encoding is gzip or nothing")
    if request.content_length is not None and request.content_length > BODY_MAX:
        raise _too_large()
    try:
        if request.content.is_eof():  # it is here already, as it mostly is: nothing to wait for
            body = _within(request.content.read_nowait(), room)
        else:
            if request.version >= HttpVersion11 and _expects_continue(request):
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # of the answer itself, nothing was written yet
            body = await _arrived(request, room)
    except TimeoutError:
        detail = (
            f"a body has to arrive within {BODY_GRACE_S:.0f} s, and 1 s more for each {BODY_RATE} bytes of it,"
            f" at most {BODY_S:.0f} s"
        )
        raise Problem(408, "too_slow", detail) from None
    except ConnectionError:
        raise Problem(400, MalformedBody.code, "the body was cut off") from None  # and nobody to read this
    except (web.RequestPayloadError, ValueError) as error:
        raise Problem(400, MalformedBody.code, f"the body cannot be read: {error}") from None
    return Packed(body, gzip=encoding == "gzip", ndjson=ndjson)


class Packed(msgspec.Struct, frozen=True, gc=False):
    """A body as it arrived, and what its headers say of it."""

    content: bytes
    gzip: bool
    ndjson: bool


def take_apart(packed: Packed, room: Room) -> Steps[Body]:
    """Unpack a body and take it apart, noting in `room` what that takes. Raises Problem."""
    size = len(packed.content)
    try:
        content = packed.content
        if packed.gzip:
            content = yield from unpacking(iter((content,)), lambda unpacked: room.grow(size + unpacked))
            size += len(content)
        room.grow(size + len(content))  # reports are copied out of it
        body = yield from reading(content, ndjson=packed.ndjson)
    except MalformedBody as error:
        raise Problem(400, error.code, str(error)) from None
    except TooLarge as error:
        raise Problem(413, error.code, str(error)) from None
    room.settle(0)
    room.grow(MEMORY_FACTOR * len(content) + REPORT_COST * len(body.reports))
    return body


class Gathering:
    """The outcomes of one request, by the place of the report; a valid one has none until the journal decides."""

    __slots__ = ("_done", "_open", "_outcomes", "valid")

    def __init__(self, outcomes: list[Outcome | None], valid: dict[int, ValidReport]) -> None:
        self.valid = valid
        self._outcomes = outcomes
        self._open = len(valid)
        self._done: asyncio.Future[None] | None = None

    def answer_size(self) -> int:
        """Return how many bytes the answer has at most, about."""
        size = RECEIPT_SIZE * len(self.valid)
        for outcome in self._outcomes:
            if isinstance(outcome, Refusal):
                size += REFUSAL_SIZE + 4 * len(outcome.unit or "")
                size += sum(2 * len(each.path) + 2 * len(each.detail) for each in outcome.violations)
        return size

    def settle(self, key: int, outcome: Outcome) -> None:
        """Take the outcome of the report at place `key`."""
        self._outcomes[key] = outcome
        self._open -= 1

    def flush(self) -> None:
        """End the waiting if nothing is open."""
        if not self._open:
            self.end()

    def end(self) -> None:
        """End the waiting."""
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    async def decided(self, patience: "Patience") -> list[Outcome]:
        """Wait for the outcomes and return all; what is undecided when patience ends is `retry`."""
        if self._open:
            self._done = asyncio.get_running_loop().create_future()
            patience.enter(self)
            try:
                await self._done
            finally:
                patience.leave(self)
        return [self._or_retry(place, outcome) for place, outcome in enumerate(self._outcomes)]

    def _or_retry(self, place: int, outcome: Outcome | None) -> Outcome:
        if outcome is not None:
            return outcome
        report = self.valid[place].report
        return Retry(JournalUnavailable.code, jittered_s(1.0), report.unit, report.revision)


class Patience:
    """How long requests wait for their outcomes: ANSWER_S by a clock of its own, which `pass_time` moves.

    One for all, in the order in which they began; a timer for each would be 3 µs of a request. The time in which the
    loop was stalled does not count: outcomes that arrived meanwhile are still to be processed.
    """

    def __init__(self) -> None:
        self._until: dict[Gathering, float] = {}
        self._now = 0.0

    def __len__(self) -> int:
        return len(self._until)

    def enter(self, gathering: Gathering) -> None:
        """Count in a request that begins to wait."""
        self._until[gathering] = self._now + ANSWER_S

    def leave(self, gathering: Gathering) -> None:
        """Count it out."""
        del self._until[gathering]

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and end what has waited long enough."""
        self._now += seconds
        for gathering, until in self._until.items():
            if until > self._now:
                break
            gathering.end()


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


def _is_ndjson(request: web.Request) -> bool:
    """Return whether the body is NDJSON. Raises Problem for what is neither JSON nor NDJSON."""
    if request.content_type == "application/x-ndjson":
        return True
    if request.content_type == JSON:
        return False
    raise Problem(415, "unsupported_type", "send application/json or application/x-ndjson")


async def _arrived(request: web.Request, room: Room) -> bytes:
    body = bytearray()  # parts may be single bytes, of which a list would take forty times the size
    may_extend_s = BODY_S - BODY_GRACE_S
    async with Deadline(BODY_GRACE_S) as patience:
        async for part in request.content.iter_any():
            if len(body) + len(part) > BODY_MAX:
                raise _too_large()
            room.grow(len(body) + len(part))
            body += part
            more_s = min(len(part) / BODY_RATE, may_extend_s)
            may_extend_s -= more_s
            patience.extend(more_s)
    return bytes(body)


def _within(body: bytes, room: Room) -> bytes:
    if len(body) > BODY_MAX:
        raise _too_large()
    room.grow(len(body))
    return body


def _too_large() -> Problem:
    return Problem(413, TooLarge.code, f"at most {BODY_MAX} bytes")


def judge_all(standing: Standing, token: Token, body: Body) -> Steps[Gathering]:
    """Judge every report of a body; refusals are settled, valid ones open. Raises Problem."""
    outcomes: list[Outcome | None] = []
    valid: dict[int, ValidReport] = {}
    budget = ExplanationBudget()
    for place, raw in enumerate(body.reports):
        judged = _judge(standing, token, body, place, raw, budget)
        if isinstance(judged, ValidReport):
            valid[place] = judged
            outcomes.append(None)
        else:
            outcomes.append(judged)
        yield
    return Gathering(outcomes, valid)


def prepare(token: Token, gathering: Gathering, received_at: datetime) -> Steps[list[Waiting]]:
    """Return the valid reports of a request, in the order sent, ready to be handed to the writer."""
    reports: list[Waiting] = []
    for place, valid in gathering.valid.items():
        reports.append(Waiting(token.key, valid, received_at, gathering, place))
        if not len(reports) % _RESULTS_STEP:
            yield
    return reports


def _judge(
    standing: Standing, token: Token, body: Body, place: int, raw: bytes, budget: ExplanationBudget
) -> ValidReport | Outcome:
    try:
        judged = standing.validator.check(raw, token.scope, budget)
    except MalformedDocument as error:
        refusal = refusal_of(Invalid.malformed(str(error)))
        if body.lines is None:
            members = outcome_document(refusal, rehearsal=standing.registry.rehearsal)
            raise Problem(400, error.code, str(error), members=members) from None
        return Refusal(refusal.code, None, None, violations=refusal.violations, line=body.lines[place])
    return judged if isinstance(judged, ValidReport) else refusal_of(judged)


def respond_single(outcome: Outcome, *, rehearsal: bool) -> web.Response:
    """Return the answer to a request of one report: its status tells the outcome."""
    match outcome:
        case Receipt():
            return json_response(
                outcome_document(outcome, rehearsal=rehearsal), 200 if outcome.duplicate else 201
            )
        case Retry():
            return _undecided(outcome)
        case Refusal():
            members = outcome_document(outcome, rehearsal=rehearsal)
            headers = {"WWW-Authenticate": "Bearer"} if outcome.code == "token_revoked" else {}
            status = _STATUS.get(outcome.code, 422)
            detail = _detail(outcome)
            return Problem(status, outcome.code, detail, headers=headers, members=members).response()


def _detail(refusal: Refusal) -> str:
    if refusal.violations:
        return "; ".join(f"{each.path}: {each.detail}" for each in refusal.violations[:3])
    if refusal.current_revision is not None:
        return f"the unit is at revision {refusal.current_revision}"
    return refusal.code.replace("_", " ")


def _undecided(outcome: Outcome) -> web.Response:
    assert isinstance(outcome, Retry)
    detail = "it may or may not be durable; send it again"
    if outcome.reason is not None:
        detail = f"{outcome.reason}; {detail}"
    return Problem(503, outcome.code, detail, retry_after_s=outcome.retry_after_s).response()
