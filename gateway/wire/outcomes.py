"""The outcome of a report as JSON members: a receipt, a refusal or a retry (contract, section 3)."""

from typing import Any

from gateway.election.outcome import HoldNotice, Outcome, Receipt, Refusal, Retry


def outcome_document(outcome: Outcome, *, rehearsal: bool) -> dict[str, Any]:
    """Return the members of an outcome; in a rehearsal, `rehearsal` is one of them."""
    match outcome:
        case Receipt():
            document = _receipt(outcome)
        case Refusal():
            document = _refusal(outcome)
        case Retry():
            document = {
                "unit": outcome.unit,
                "revision": outcome.revision,
                "outcome": "retry",
                "code": outcome.code,
                "retry_after_s": outcome.retry_after_s,
            }
    if rehearsal:
        document["rehearsal"] = True
    return document


def _receipt(receipt: Receipt) -> dict[str, Any]:
    document: dict[str, Any] = {
        "unit": receipt.unit,
        "revision": receipt.revision,
        "outcome": receipt.outcome,
        "state": receipt.state,
        "sequence": receipt.sequence,
        "digest": receipt.digest.hex(),
        "accepted_at": receipt.accepted_at,
        "published_at": receipt.published_at,
        "warnings": list(receipt.warnings),
    }
    if receipt.hold is not None:
        document["hold"] = _hold(receipt.hold)
    return document


def _hold(hold: HoldNotice) -> dict[str, Any]:
    """Return the codes of the rules without evidence, and the decision, if there is one."""
    document: dict[str, Any] = {"since": hold.since, "rules": list(hold.rules)}
    if hold.decided_at is not None:
        document |= {"decided_at": hold.decided_at, "reason": hold.reason}
    return document


def _refusal(refusal: Refusal) -> dict[str, Any]:
    document: dict[str, Any] = {
        "unit": refusal.unit,
        "revision": refusal.revision,
        "outcome": "refused",
        "code": refusal.code,
    }
    if refusal.current_revision is not None:
        document["current_revision"] = refusal.current_revision
    if refusal.line is not None:
        document["line"] = refusal.line
    document["violations"] = [
        {"code": each.code, "path": each.path, "detail": each.detail} for each in refusal.violations
    ]
    return document
