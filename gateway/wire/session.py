"""PushSession: the protocol of one push WebSocket. Takes bytes, returns values, and never waits.

server  {"type":"hello","credit":64,"server_time":"…"}
client  {"type":"report","id":7,"report":{…}}
server  {"type":"results","credit":64,"results":[{"id":7,"outcome":"accepted",…}]}
server  {"type":"credit","credit":0}
server  {"type":"goodbye","retry_after_s":2.4}          then close 1001
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec

from gateway.election.outcome import Outcome, Receipt, Retry
from gateway.wire.json import to_json
from gateway.wire.outcomes import ReceiptResult, outcome_document

SUBPROTOCOL = "valgnatt.push.v1"
FRAME_MAX = 64 << 10
"""Bytes of a text frame."""
ID_MAX = 64
"""Characters of an `id` that is a string."""
_NUMERIC_ID_MIN, _NUMERIC_ID_MAX = -(1 << 63), (1 << 63) - 1
"""The range of an `id` that is a number: 64 bits."""

OUT_OF_ORDER = "out_of_order"
"""Code of a `retry` for a report whose unit has an earlier revision that was answered `retry`."""

Identifier = int | str | None


class _Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame from a client. Unknown members are ignored, as the contract requires of readers."""

    type: str
    id: (
        Annotated[int, msgspec.Meta(ge=_NUMERIC_ID_MIN, le=_NUMERIC_ID_MAX)]
        | Annotated[str, msgspec.Meta(max_length=ID_MAX)]
        | None
    ) = None
    report: msgspec.Raw = msgspec.Raw(b"")


class Sent(msgspec.Struct, frozen=True, gc=False):
    """A report within the credit of the client, the `number`-th of its connection."""

    id: Identifier
    raw: bytes
    number: int


class Unreadable(msgspec.Struct, frozen=True):
    """A frame that is not a valid message; it is answered as a refused result."""

    id: Identifier
    code: str
    detail: str


class CreditExceeded(Exception):
    """The client has more unanswered reports than the largest credit ever announced, which violates the protocol."""


_decoder = msgspec.json.Decoder(_Frame)


class RetryFence:
    """Holds back later revisions of a unit while the client may not have read a `retry` for an earlier one.

    Otherwise a later revision that was in flight would be accepted first, and the earlier one, sent again, would be
    stale. Answers are numbered in the order sent. Invariants:

    * No report passes while a lower revision of its unit has a `retry` that the client may not have read.
    * Only answers that may be unread are kept: at most the largest credit, if the client observes its credit.
    """

    def __init__(self) -> None:
        self.answers: deque[tuple[int, str, int]] = deque()
        """The number of the answer, the unit and the revision of each `retry` that may be unread."""
        self._of_unit: dict[str, dict[int, int]] = {}
        """Unit → revision → number of the newest answer `retry`."""

    def retried(self, answer: int, unit: str, revision: int) -> None:
        """Record that answer number `answer` is a `retry`."""
        self.answers.append((answer, unit, revision))
        self._of_unit.setdefault(unit, {})[revision] = answer

    def read_up_to(self, answer: int) -> None:
        """Record that the client has read this answer, and therefore all before it."""
        while self.answers and self.answers[0][0] <= answer:
            number, unit, revision = self.answers.popleft()
            revisions = self._of_unit[unit]
            if revisions[revision] == number:
                del revisions[revision]
                if not revisions:
                    del self._of_unit[unit]

    def passes(self, unit: str, revision: int) -> bool:
        """Whether a report may be decided. A report that is sent again shows that its `retry` was read."""
        revisions = self._of_unit.get(unit)
        if revisions is None:
            return True
        if (answer := revisions.get(revision)) is not None:
            self.read_up_to(answer)
            revisions = self._of_unit.get(unit, {})
        return all(other >= revision for other in revisions)


class PushSession:
    """The server's side of the protocol on one connection. Invariants:

    * At most `ceiling` reports are unanswered; `ceiling` is the largest credit ever announced.
    * Reports are handed on in the order received, and no more than the current credit are in progress. Reports that
      were sent under a larger credit wait until answers are sent.
    * After a `retry`, no later revision of the unit is decided before the client can have sent the earlier one again.
    """

    def __init__(self, credit: int, *, rehearsal: bool) -> None:
        self.credit = credit
        self.ceiling = credit
        self.unanswered = 0
        """Reports that are received and not answered: those in progress and those that wait."""
        self.waiting_bytes = 0
        """Bytes of the waiting reports."""
        self._waiting: deque[Sent] = deque()
        self._received = 0
        self._decided = 0
        self._fence = RetryFence()
        self._rehearsal = rehearsal

    @property
    def waiting(self) -> int:
        """The number of reports that wait to be handed on."""
        return len(self._waiting)

    @property
    def handed_on(self) -> int:
        """The number of reports that are handed on and not answered."""
        return self.unanswered - len(self._waiting)

    @property
    def fenced(self) -> int:
        """The number of answers `retry` that the client may not have read."""
        return len(self._fence.answers)

    def hello(self, server_time: datetime) -> bytes:
        """Return the first frame, which announces the credit."""
        return to_json({"type": "hello", "credit": self.credit, "server_time": server_time})

    def receive(self, frame: str | bytes | bytearray) -> Unreadable | None:
        """Read a text frame. A report is queued; anything else is returned, to be answered as refused.

        Raises CreditExceeded.
        """
        try:
            read = _decoder.decode(frame)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return Unreadable(None, "malformed", str(error))
        identifier, raw = read.id, bytes(read.report)
        if read.type != "report":
            return Unreadable(identifier, "unknown_message", f"unknown message type {read.type[:40]!r}")
        if identifier is None:
            return Unreadable(None, "malformed", "a report needs an id: a number or a string")
        if not raw:
            return Unreadable(identifier, "malformed", "the message has no report")
        if self.unanswered >= self.ceiling:
            raise CreditExceeded(f"more than {self.ceiling} unanswered reports")
        self._received += 1
        self.unanswered += 1
        self._waiting.append(Sent(identifier, raw, self._received))
        self.waiting_bytes += len(raw)
        return None

    def next(self, most: int) -> Sent | None:
        """Hand on the first waiting report; return None if none waits or `most` are in progress."""
        if not self._waiting or self.unanswered - len(self._waiting) >= most:
            return None
        sent = self._waiting.popleft()
        self.waiting_bytes -= len(sent.raw)
        return sent

    def drop_waiting(self) -> None:
        """Drop the waiting reports: the connection ends without answers to them."""
        self.unanswered -= len(self._waiting)
        self.waiting_bytes = 0
        self._waiting.clear()

    def may_be_decided(self, sent: Sent, unit: str, revision: int) -> bool:
        """Whether the client had read every `retry` for an earlier revision of this unit when it sent this one.

        It has read an answer if it sends that report again, or if it has since sent as many reports as its largest
        credit allows.
        """
        if not self._fence.answers:
            return True
        self._fence.read_up_to(sent.number - self.ceiling)
        return self._fence.passes(unit, revision)

    def decided(self, outcome: Outcome | Unreadable) -> None:
        """Record the outcome of a report that was handed on. Called in the order in which the answers are sent."""
        self._decided += 1
        if isinstance(outcome, Retry) and outcome.unit is not None and outcome.revision is not None:
            self._fence.retried(self._decided, outcome.unit, outcome.revision)

    def grant(self, credit: int) -> bytes:
        """Return the frame that announces a credit."""
        self._set(credit)
        return to_json({"type": "credit", "credit": credit})

    def results(self, outcomes: Iterable[tuple[Identifier, Outcome | Unreadable]], credit: int) -> bytes:
        """Return the frame with the answers to some reports, which also announces a credit."""
        self._set(credit)
        results = [self._result(identifier, outcome) for identifier, outcome in outcomes]
        return msgspec.json.encode({"type": "results", "credit": credit, "results": results})

    def answered(self, count: int) -> None:
        """Record that the answers to `count` reports in progress were sent."""
        self.unanswered -= count
        assert self.unanswered >= 0

    def goodbye(self, retry_after_s: float) -> bytes:
        """Return the last frame, sent before the server closes the connection."""
        return to_json({"type": "goodbye", "retry_after_s": round(retry_after_s, 1)})

    def _set(self, credit: int) -> None:
        self.credit = credit
        self.ceiling = max(self.ceiling, credit)

    def _result(
        self, identifier: Identifier, outcome: Outcome | Unreadable
    ) -> ReceiptResult | dict[str, Any]:
        if isinstance(outcome, Receipt):
            return ReceiptResult.of(identifier, outcome, rehearsal=self._rehearsal)
        if isinstance(outcome, Unreadable):
            violation = {"code": outcome.code, "path": "$", "detail": outcome.detail}
            return {"id": identifier, "outcome": "refused", "code": outcome.code, "violations": [violation]}
        return outcome_document(outcome, rehearsal=self._rehearsal, id=identifier)
