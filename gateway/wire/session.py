"""PushSession: what one push WebSocket says and may say. Bytes in, values out; nothing here waits.

server  {"type":"hello","credit":64,"server_time":"…"}
client  {"type":"report","id":7,"report":{…}}
server  {"type":"results","credit":64,"results":[{"id":7,"outcome":"accepted",…}]}
server  {"type":"credit","credit":0}
server  {"type":"goodbye","retry_after_s":2.4}          then close 1001
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.election.outcome import Outcome, Retry
from gateway.wire.json import to_json
from gateway.wire.outcomes import outcome_document

SUBPROTOCOL = "valgnatt.push.v1"
FRAME_MAX = 64 << 10
"""Bytes of a text frame."""
ID_MAX = 64
"""Characters of an `id` that is a text."""
_ID_BITS = 63
"""Of an `id` that is a number, beside its sign."""

OUT_OF_ORDER = "out_of_order"
"""Code of a `retry` for a report of which an earlier revision was answered `retry`."""

Identifier = int | str | None


class _Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame from a client. Members it does not know are ignored, as the contract has it for readers."""

    type: str
    id: int | str | None = None
    report: msgspec.Raw = msgspec.Raw(b"")


class Sent(msgspec.Struct, frozen=True, gc=False):
    """A report that the client was allowed to send, the `number`-th of its connection."""

    id: Identifier
    raw: bytes
    number: int


class Unreadable(msgspec.Struct, frozen=True):
    """A frame that is no report; answered as a refused result."""

    id: Identifier
    code: str
    detail: str


class CreditExceeded(Exception):
    """A report above the largest credit ever announced: the client does not keep to the protocol."""


_decoder = msgspec.json.Decoder(_Frame)


class RetryFence:
    """Which reports must not be decided yet, because the client may not have read a `retry` that concerns their unit.

    A later revision that was in flight when an earlier one was answered `retry` would be accepted first, and the
    earlier one, sent again, would be stale. Answers are numbered in the order sent. Invariants:

    * No report passes while a lower revision of its unit has a `retry` that its sender may not have read.
    * It keeps only answers that may be unread. Of a client that keeps to its credit they are at most its largest one.
    """

    def __init__(self) -> None:
        self.answers: deque[tuple[int, str, int]] = deque()
        """Number, unit and revision of each `retry` that may be unread."""
        self._of_unit: dict[str, dict[int, int]] = {}
        """Unit → revision → number of its newest `retry`."""

    def retried(self, answer: int, unit: str, revision: int) -> None:
        """Note that the `answer`-th answer is a `retry`."""
        self.answers.append((answer, unit, revision))
        self._of_unit.setdefault(unit, {})[revision] = answer

    def read_up_to(self, answer: int) -> None:
        """Note that the client has read that answer, and so all before it."""
        while self.answers and self.answers[0][0] <= answer:
            number, unit, revision = self.answers.popleft()
            revisions = self._of_unit[unit]
            if revisions[revision] == number:
                del revisions[revision]
                if not revisions:
                    del self._of_unit[unit]

    def passes(self, unit: str, revision: int) -> bool:
        """Whether a report may be decided. One that is sent again shows that its `retry` was read."""
        revisions = self._of_unit.get(unit)
        if revisions is None:
            return True
        if (answer := revisions.get(revision)) is not None:
            self.read_up_to(answer)
            revisions = self._of_unit.get(unit, {})
        return all(other >= revision for other in revisions)


class PushSession:
    """One connection's side of the protocol. Invariants:

    * At most `ceiling` reports are unanswered, the largest credit ever announced.
    * Reports are handed on in the order received, and never more than the present credit without an answer; what was
      sent under a larger credit waits until answers leave.
    * After a `retry`, no later revision of the unit is decided before the client can have sent the earlier one again.
    """

    def __init__(self, credit: int, *, rehearsal: bool) -> None:
        self.credit = credit
        self.ceiling = credit
        self.unanswered = 0
        """Reports received and not answered: those handed on, and those that wait."""
        self.waiting_bytes = 0
        """Bytes of the reports that wait."""
        self._waiting: deque[Sent] = deque()
        self._received = 0
        self._decided = 0
        self._fence = RetryFence()
        self._rehearsal = rehearsal

    @property
    def waiting(self) -> int:
        """Return how many reports wait to be handed on."""
        return len(self._waiting)

    @property
    def handed_on(self) -> int:
        """Return how many reports are handed on and unanswered."""
        return self.unanswered - len(self._waiting)

    @property
    def fenced(self) -> int:
        """Return how many answers `retry` are kept because the client may not have read them."""
        return len(self._fence.answers)

    def hello(self, server_time: datetime) -> bytes:
        """Return the first frame."""
        return to_json({"type": "hello", "credit": self.credit, "server_time": server_time})

    def receive(self, frame: str | bytes | bytearray) -> Unreadable | None:
        """Read a text frame: a report, which then waits, or what is none and has to be answered.

        Raises CreditExceeded.
        """
        read = self._read(frame)
        if isinstance(read, Unreadable):
            return read
        if self.unanswered >= self.ceiling:
            raise CreditExceeded(f"more than {self.ceiling} reports without an answer")
        self.unanswered += 1
        self._waiting.append(read)
        self.waiting_bytes += len(read.raw)
        return None

    def next(self, most: int) -> Sent | None:
        """Return the report that waits first, and hand it on; None where none waits or `most` are handed on."""
        if not self._waiting or self.unanswered - len(self._waiting) >= most:
            return None
        sent = self._waiting.popleft()
        self.waiting_bytes -= len(sent.raw)
        return sent

    def drop_waiting(self) -> None:
        """Forget the reports that wait: they get no answer, and the connection ends."""
        self.unanswered -= len(self._waiting)
        self.waiting_bytes = 0
        self._waiting.clear()

    def may_be_decided(self, sent: Sent, unit: str, revision: int) -> bool:
        """Whether the client can have read every `retry` for an earlier revision of this unit when it sent this one.

        It has read an answer where it sends a report again that was answered so, or has sent more than its largest
        credit allows without having read it.
        """
        if not self._fence.answers:
            return True
        self._fence.read_up_to(sent.number - self.ceiling)
        return self._fence.passes(unit, revision)

    def decided(self, outcome: Outcome | Unreadable) -> None:
        """Note what becomes of a report that was handed on; called in the order in which the answers are sent."""
        self._decided += 1
        if isinstance(outcome, Retry) and outcome.unit is not None and outcome.revision is not None:
            self._fence.retried(self._decided, outcome.unit, outcome.revision)

    def _read(self, frame: str | bytes | bytearray) -> Sent | Unreadable:
        try:
            read = _decoder.decode(frame)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return Unreadable(None, "malformed", str(error))
        if isinstance(read.id, str) and len(read.id) > ID_MAX:
            return Unreadable(None, "malformed", f"an id has at most {ID_MAX} characters")
        if isinstance(read.id, int) and not -(1 << _ID_BITS) <= read.id < 1 << _ID_BITS:
            return Unreadable(None, "malformed", "an id that is a number has at most 64 bits")
        if read.type != "report":
            return Unreadable(read.id, "unknown_message", f"no message of type {read.type[:40]!r}")
        if read.id is None:
            return Unreadable(None, "malformed", "a report needs an id, a number or a text")
        raw = bytes(read.report)
        if not raw:
            return Unreadable(read.id, "malformed", "there is no report")
        self._received += 1
        return Sent(read.id, raw, self._received)

    def grant(self, credit: int) -> bytes:
        """Announce another credit."""
        self._set(credit)
        return to_json({"type": "credit", "credit": credit})

    def results(self, outcomes: Sequence[tuple[Identifier, Outcome | Unreadable]], credit: int) -> bytes:
        """Return the frame that answers some reports, and announces a credit with it."""
        self._set(credit)
        results = [self._result(identifier, outcome) for identifier, outcome in outcomes]
        return to_json({"type": "results", "credit": credit, "results": results})

    def answered(self, count: int) -> None:
        """Note that the answers to `count` reports that were handed on have left."""
        self.unanswered -= count
        assert self.unanswered >= 0

    def goodbye(self, retry_after_s: float) -> bytes:
        """Return the last frame."""
        return to_json({"type": "goodbye", "retry_after_s": round(retry_after_s, 1)})

    def _set(self, credit: int) -> None:
        self.credit = credit
        self.ceiling = max(self.ceiling, credit)

    def _result(self, identifier: Identifier, outcome: Outcome | Unreadable) -> dict[str, Any]:
        if isinstance(outcome, Unreadable):
            violation = {"code": outcome.code, "path": "$", "detail": outcome.detail}
            return {"id": identifier, "outcome": "refused", "code": outcome.code, "violations": [violation]}
        return {"id": identifier, **outcome_document(outcome, rehearsal=self._rehearsal)}
