"""One push request: its body read within bounds, its reports judged, their outcomes gathered and told."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from aiohttp import hdrs, web

from gateway.election.outcome import Outcome, Receipt, Refusal, Retry, outcome_document, refusal_of
from gateway.election.validation import Invalid, ValidReport
from gateway.errors import JournalUnavailable, MalformedDocument, Overloaded
from gateway.journal.elections import Standing, Token
from gateway.web.answers import JSON, Problem, jittered_s, json_response
from gateway.web.push_body import BODY_MAX, Body, MalformedBody, TooLarge, read_body, unpack

BODY_S = 60.0
"""What a sender may take over the body of a request."""
ANSWER_S = 30.0
"""How long a request waits for its outcomes; what is undecided then is answered `retry`."""
BODIES_MAX = 256 << 20
"""Bytes of bodies that a process holds at once."""
CHECKS = 200
"""Reports checked before other requests have their turn."""

_STATUS = {
    "unit_forbidden": 403,
    "token_revoked": 401,
    "stale_revision": 409,
    "revision_conflict": 409,
    "election_closed": 409,
    "malformed": 400,
}


class Bodies:
    """The bodies that a process holds. Invariant: at most BODIES_MAX bytes, and one body more."""

    def __init__(self) -> None:
        self._held = 0

    def room(self) -> "Room":
        """Give room to one body, for as long as it is entered."""
        return Room(self)

    def grow(self, size: int, to: int) -> None:
        """Let a body grow. Raises Problem where there is no room."""
        if to > size and self._held + to - size > BODIES_MAX and self._held > size:
            detail = "too many bytes of others are being read"
            raise Problem(503, Overloaded.code, detail, retry_after_s=2.0)
        self._held += to - size


class Room:
    """The room of one body. A class and no generator: a request goes through it every 100 µs."""

    __slots__ = ("_bodies", "_size")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self(0)

    def __call__(self, to: int) -> None:
        """Be told how large the body is now. Raises Problem where there is no room."""
        self._bodies.grow(self._size, to)
        self._size = to


async def read_request(request: web.Request, room: Callable[[int], None]) -> Body:
    """Read a request's body and take it apart; `room` is told how large it is. Raises Problem."""
    ndjson = _is_ndjson(request)
    return _take_apart(await _unpacked(request, room), ndjson=ndjson)


class Gathering:
    """The outcomes of one request, by the place of the report; a valid one has none until the journal decides."""

    __slots__ = ("_done", "_open", "_outcomes", "valid")

    def __init__(self, outcomes: list[Outcome | None], valid: dict[int, ValidReport]) -> None:
        self.valid = valid
        self._outcomes = outcomes
        self._open = len(valid)
        self._done: asyncio.Future[None] | None = None

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
    """How long requests wait for their outcomes: ANSWER_S, and until `look` is called next.

    One for all, in the order in which they began; a timer for each would be 3 µs of a request.
    """

    def __init__(self) -> None:
        self._until: dict[Gathering, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def enter(self, gathering: Gathering) -> None:
        """Count in a request that begins to wait."""
        self._until[gathering] = asyncio.get_running_loop().time() + ANSWER_S

    def leave(self, gathering: Gathering) -> None:
        """Count it out."""
        del self._until[gathering]

    def look(self, now: float) -> None:
        """End what has waited long enough, by the loop's clock."""
        for gathering, until in self._until.items():
            if until > now:
                break
            gathering.end()


def response(outcomes: Sequence[Outcome], *, single: bool, rehearsal: bool) -> web.Response:
    """Return the answer to a request: to one report by its status, to several as results in the order sent."""
    if single:
        return _single(outcomes[0], rehearsal)
    if outcomes and all(isinstance(outcome, Retry) for outcome in outcomes):
        return _undecided(outcomes[0])
    return json_response({"results": [outcome_document(each, rehearsal=rehearsal) for each in outcomes]})


def _is_ndjson(request: web.Request) -> bool:
    """Return whether the body is NDJSON. Raises Problem for what is neither JSON nor NDJSON."""
    if request.content_type == "application/x-ndjson":
        return True
    if request.content_type == JSON:
        return False
    raise Problem(415, "unsupported_type", "send application/json or application/x-ndjson")


async def _unpacked(request: web.Request, room: Callable[[int], None]) -> bytes:
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Problem(415, "unsupported_encoding", "Content-Encoding is gzip or nothing")
    if request.content_length is not None and request.content_length > BODY_MAX:
        raise _too_large()
    try:
        if request.content.is_eof():  # it is here already, as it mostly is: nothing to wait for
            packed = _within(request.content.read_nowait(), room)
        else:
            async with asyncio.timeout(BODY_S):
                packed = await _packed(request, room)
    except TimeoutError:
        raise Problem(408, "too_slow", f"the body did not arrive within {BODY_S:.0f} s") from None
    except ConnectionError:
        raise Problem(400, MalformedBody.code, "the body was cut off") from None  # and nobody to read this
    except (web.RequestPayloadError, ValueError) as error:
        raise Problem(400, MalformedBody.code, f"the body cannot be read: {error}") from None
    if encoding == "identity":
        return packed
    try:
        unpacked = unpack(iter((packed,)))
    except MalformedBody as error:
        raise Problem(400, error.code, str(error)) from None
    except TooLarge as error:
        raise Problem(413, error.code, str(error)) from None
    room(len(packed) + len(unpacked))
    return unpacked


async def _packed(request: web.Request, room: Callable[[int], None]) -> bytes:
    room(request.content_length or 0)
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > BODY_MAX:
            raise _too_large()
        room(max(size, request.content_length or 0))
        parts.append(part)
    return b"".join(parts)


def _within(body: bytes, room: Callable[[int], None]) -> bytes:
    if len(body) > BODY_MAX:
        raise _too_large()
    room(len(body))
    return body


def _too_large() -> Problem:
    return Problem(413, TooLarge.code, f"at most {BODY_MAX} bytes")


def _take_apart(body: bytes, *, ndjson: bool) -> Body:
    try:
        return read_body(body, ndjson=ndjson)
    except MalformedBody as error:
        raise Problem(400, error.code, str(error)) from None
    except TooLarge as error:
        raise Problem(413, error.code, str(error)) from None


async def judge_all(standing: Standing, token: Token, body: Body) -> Gathering:
    """Judge every report of a body; refusals are settled, valid ones open. Raises Problem."""
    outcomes: list[Outcome | None] = []
    valid: dict[int, ValidReport] = {}
    for place, raw in enumerate(body.reports):
        if place % CHECKS == CHECKS - 1:
            await asyncio.sleep(0)
        judged = _judge(standing, token, body, place, raw)
        if isinstance(judged, ValidReport):
            valid[place] = judged
            outcomes.append(None)
        else:
            outcomes.append(judged)
    return Gathering(outcomes, valid)


def _judge(standing: Standing, token: Token, body: Body, place: int, raw: bytes) -> ValidReport | Outcome:
    try:
        judged = standing.validator.check(raw, token.scope)
    except MalformedDocument as error:
        refusal = refusal_of(Invalid.malformed(str(error)))
        if body.lines is None:
            members = outcome_document(refusal, rehearsal=standing.registry.rehearsal)
            raise Problem(400, error.code, str(error), members=members) from None
        return Refusal(refusal.code, None, None, violations=refusal.violations, line=body.lines[place])
    return judged if isinstance(judged, ValidReport) else refusal_of(judged)


def _single(outcome: Outcome, rehearsal: bool) -> web.Response:
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
    return Problem(503, outcome.code, detail, retry_after_s=outcome.retry_after_s).response()
