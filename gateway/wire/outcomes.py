"""The outcome of a report as JSON members: a receipt, a refusal or a retry (contract, section 3)."""

from datetime import datetime
from typing import Any

import msgspec

from gateway.election.outcome import HoldNotice, Outcome, Receipt, Refusal, Retry


class ReceiptResult(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A receipt as a result on a WebSocket: the members of `outcome_document`, encoded in half the time."""

    id: int | str | None
    unit: str
    revision: int
    outcome: str
    state: str
    sequence: int | None
    digest: str
    accepted_at: datetime
    published_at: datetime | None
    warnings: tuple[str, ...]
    hold: dict[str, Any] | None = None
    rehearsal: bool = False

    @classmethod
    def of(cls, identifier: int | str | None, receipt: Receipt, *, rehearsal: bool) -> "ReceiptResult":
        """Return the result with a receipt for the report that the client calls `identifier`."""
        return cls(
            identifier,
            receipt.unit,
            receipt.revision,
            receipt.outcome,
            receipt.state,
            receipt.sequence,
            receipt.digest.hex(),
            receipt.accepted_at,
            receipt.published_at,
            receipt.warnings,
            _hold(receipt.hold) if receipt.hold is not None else None,
            rehearsal,
        )


def outcome_document(outcome: Outcome, *, rehearsal: bool, **document: Any) -> dict[str, Any]:
    """Return `document` with the members of an outcome; in a rehearsal, `rehearsal` is one of them."""
    match outcome:
        case Receipt():
            _add_receipt(document, outcome)
        case Refusal():
            _add_refusal(document, outcome)
        case Retry():
            document["unit"] = outcome.unit
            document["revision"] = outcome.revision
            document["outcome"] = "retry"
            document["code"] = outcome.code
            document["retry_after_s"] = outcome.retry_after_s
    if rehearsal:
        document["rehearsal"] = True
    return document


def _add_receipt(document: dict[str, Any], receipt: Receipt) -> None:
    """Add the members of a receipt, one by one: it takes half as long as merging two dictionaries."""
    document["unit"] = receipt.unit
    document["revision"] = receipt.revision
    document["outcome"] = receipt.outcome
    document["state"] = receipt.state
    document["sequence"] = receipt.sequence
    document["digest"] = receipt.digest.hex()
    document["accepted_at"] = receipt.accepted_at
    document["published_at"] = receipt.published_at
    document["warnings"] = list(receipt.warnings)
    if receipt.hold is not None:
        document["hold"] = _hold(receipt.hold)


def _hold(hold: HoldNotice) -> dict[str, Any]:
    """Return the codes of the rules without evidence, and the decision, if there is one."""
    document: dict[str, Any] = {"since": hold.since, "rules": list(hold.rules)}
    if hold.decided_at is not None:
        document |= {"decided_at": hold.decided_at, "reason": hold.reason}
    return document


def _add_refusal(document: dict[str, Any], refusal: Refusal) -> None:
    document["unit"] = refusal.unit
    document["revision"] = refusal.revision
    document["outcome"] = "refused"
    document["code"] = refusal.code
    if refusal.current_revision is not None:
        document["current_revision"] = refusal.current_revision
    if refusal.line is not None:
        document["line"] = refusal.line
    document["violations"] = [
        {"code": each.code, "path": each.path, "detail": each.detail} for each in refusal.violations
    ]
