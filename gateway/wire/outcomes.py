"""The outcome of a report as JSON members: a receipt, a refusal or a retry (contract, section 3)."""

from typing import Any

from gateway.election.outcome import Outcome, Receipt, Refusal, Retry


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
    return {
        "unit": receipt.unit,
        "revision": receipt.revision,
        "outcome": receipt.outcome,
        "state": "embargoed" if receipt.sequence is None else "published",
        "sequence": receipt.sequence,
        "digest": receipt.digest.hex(),
        "accepted_at": receipt.accepted_at,
        "published_at": receipt.published_at,
        "warnings": list(receipt.warnings),
    }


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
