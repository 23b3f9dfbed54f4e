"""The outcomes of reports as JSON members."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gateway.election.outcome import HoldNotice, Outcome, Receipt, Refusal, Retry, refusal_of
from gateway.election.validation import Invalid
from gateway.election.violations import Violation
from gateway.wire.json import to_json
from gateway.wire.outcomes import ReceiptResult, outcome_document

AT = datetime(2025, 9, 8, 20, 36, 55, tzinfo=UTC)
RECEIPT = Receipt(
    unit="a-1-1",
    revision=2,
    duplicate=False,
    sequence=7,
    digest=bytes(range(32)),
    accepted_at=AT,
    published_at=AT,
    warnings=("figures_fell", "status_back"),
)
WRITTEN = {
    "unit": "a-1-1",
    "revision": 2,
    "outcome": "accepted",
    "state": "published",
    "sequence": 7,
    "digest": bytes(range(32)).hex(),
    "accepted_at": AT,
    "published_at": AT,
    "warnings": ["figures_fell", "status_back"],
}
VIOLATION = Violation("sum_mismatch", "$.counts.advance.ballots", "votes 3 + blank 1 = 4, not 5")
VIOLATION_DOCUMENT = {
    "code": "sum_mismatch",
    "path": "$.counts.advance.ballots",
    "detail": "votes 3 + blank 1 = 4, not 5",
}
REFUSED: dict[str, Any] = {"unit": "a-1-1", "revision": 2, "outcome": "refused", "violations": []}


@pytest.mark.parametrize(
    ("outcome", "document"),
    [
        (RECEIPT, WRITTEN),
        (msgspec.structs.replace(RECEIPT, duplicate=True), WRITTEN | {"outcome": "duplicate"}),
        (
            msgspec.structs.replace(
                RECEIPT, state="embargoed", sequence=None, published_at=None, warnings=()
            ),
            WRITTEN | {"state": "embargoed", "sequence": None, "published_at": None, "warnings": []},
        ),
        (Refusal("election_closed", "a-1-1", 2), REFUSED | {"code": "election_closed"}),
        (
            Refusal("stale_revision", "a-1-1", 2, current_revision=5),
            REFUSED | {"code": "stale_revision", "current_revision": 5},
        ),
        (
            Refusal("malformed", None, None, line=4),
            {**REFUSED, "unit": None, "revision": None, "code": "malformed", "line": 4},
        ),
        (
            refusal_of(Invalid("invalid_report", "a-1-1", 2, (VIOLATION,))),
            {**REFUSED, "code": "invalid_report", "violations": [VIOLATION_DOCUMENT]},
        ),
        (
            Retry("overloaded", 2.5, "a-1-1", 2),
            {
                "unit": "a-1-1",
                "revision": 2,
                "outcome": "retry",
                "code": "overloaded",
                "retry_after_s": 2.5,
            },
        ),
        (
            Retry("draining", 1.0),
            {
                "unit": None,
                "revision": None,
                "outcome": "retry",
                "code": "draining",
                "retry_after_s": 1.0,
            },
        ),
    ],
)
def test_an_outcome_has_the_members_of_the_contract(outcome: Outcome, document: dict[str, Any]) -> None:
    """Optional members are present only if they have a value; a rehearsal shows in every outcome."""
    assert outcome_document(outcome, rehearsal=False) == document
    assert outcome_document(outcome, rehearsal=True) == document | {"rehearsal": True}


@pytest.mark.parametrize("rehearsal", [False, True])
@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"duplicate": True, "sequence": None, "published_at": None, "state": "embargoed", "warnings": ()},
        {"state": "held", "hold": HoldNotice("open", AT, ("turnout",))},
        {"state": "rejected", "hold": HoldNotice("rejected", AT, ("turnout", "jump"), AT, "typing error")},
    ],
    ids=lambda parts: parts.get("state", "published"),
)
def test_a_receipt_on_a_websocket_is_the_document_of_its_outcome(
    parts: dict[str, Any], rehearsal: bool
) -> None:
    """Byte by byte, behind the client's id."""
    receipt = msgspec.structs.replace(RECEIPT, **parts)
    result = ReceiptResult.of(7, receipt, rehearsal=rehearsal)
    assert msgspec.json.encode(result) == to_json(outcome_document(receipt, rehearsal=rehearsal, id=7))


def test_invalid_json_is_a_violation_of_the_whole_document() -> None:
    """The sender gets the same members as for a readable report."""
    assert outcome_document(refusal_of(Invalid.malformed("line 1 column 2")), rehearsal=False) == {
        "unit": None,
        "revision": None,
        "outcome": "refused",
        "code": "malformed",
        "violations": [{"code": "malformed", "path": "$", "detail": "line 1 column 2"}],
    }
