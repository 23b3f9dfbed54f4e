"""PushSession: what one push WebSocket says and may say. Bytes in, values out; nothing here waits.

server  {"type":"hello","credit":64,"server_time":"…"}
client  {"type":"report","id":7,"report":{…}}
server  {"type":"results","credit":64,"results":[{"id":7,"outcome":"accepted",…}]}
server  {"type":"credit","credit":0}
server  {"type":"goodbye","retry_after_s":2.4}          then close 1001
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.election.outcome import Outcome, outcome_document
from gateway.wire.events import to_json

SUBPROTOCOL = "valgnatt.push.v1"
FRAME_MAX = 64 << 10
"""Bytes of a text frame."""
ID_MAX = 64
"""Characters of an `id` that is a text."""
_ID_BITS = 63
"""Of an `id` that is a number, beside its sign."""

Identifier = int | str | None


def text_frame(payload: bytes) -> bytes:
    """Return a text as one frame from a server: whole, unmasked (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 1 << 16:
        return b"\x81\x7e%b%b" % (size.to_bytes(2), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8), payload)


class _Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame from a client. Members it does not know are ignored, as the contract has it for readers."""

    type: str
    id: int | str | None = None
    report: msgspec.Raw = msgspec.Raw(b"")


class Sent(msgspec.Struct, frozen=True, gc=False):
    """A report that the client may send now."""

    id: Identifier
    raw: bytes


class Unreadable(msgspec.Struct, frozen=True):
    """A frame that is no report; answered as a refused result."""

    id: Identifier
    code: str
    detail: str


class AboveCredit(msgspec.Struct, frozen=True):
    """A report above the present credit, which the client may not have read yet; answered `retry`."""

    id: Identifier


class CreditExceeded(Exception):
    """A report above the largest credit ever announced: the client does not keep to the protocol."""


_decoder = msgspec.json.Decoder(_Frame)


class PushSession:
    """One connection's side of the protocol. Invariants:

    * At most `ceiling` reports are unanswered, the largest credit ever announced.
    * A report above the present credit is answered `retry` and never handed on.
    """

    def __init__(self, credit: int, *, rehearsal: bool) -> None:
        self.credit = credit
        self.ceiling = credit
        self.unanswered = 0
        self._rehearsal = rehearsal

    def hello(self, server_time: datetime) -> bytes:
        """Return the first frame."""
        return to_json({"type": "hello", "credit": self.credit, "server_time": server_time})

    def receive(self, frame: str | bytes) -> Sent | AboveCredit | Unreadable:
        """Read a text frame. Every value returned has to be answered.

        Raises CreditExceeded.
        """
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
        if self.unanswered >= self.credit:
            if self.unanswered >= self.ceiling:
                raise CreditExceeded(f"more than {self.ceiling} reports without an answer")
            return AboveCredit(read.id)
        self.unanswered += 1
        return Sent(read.id, raw)

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
