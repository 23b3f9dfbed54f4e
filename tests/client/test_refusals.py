"""Codes of refusals, as sentences."""

import io
from typing import Any

import msgspec
import pytest

from gateway.client.conclusion import conclude
from gateway.client.outbox_items import Item
from gateway.client.push_answers import Answer
from gateway.client.refusals import meaning_of
from gateway.terminal import Terminal


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("revision_conflict", "in another notation; compare them, and give a correction a higher revision"),
        ("unit_forbidden", "ask the operator for a token for it"),
        ("election_closed", "takes no more reports"),
        ("token_revoked", "ask the operator for a new one"),
        ("unstorable", "cannot store this report"),
    ],
)
def test_a_code_is_followed_by_what_it_means_and_what_to_do(code: str, words: str) -> None:
    printed = io.StringIO()
    answer = Answer("refused", code=code)
    item = Item(1, "0604-0001", 2, b"{}", None)
    assert conclude(Terminal(file=printed, soft_wrap=True), [(item, answer)]) == 1
    (line,) = [line for line in printed.getvalue().splitlines() if line.startswith("refused")]
    assert line.startswith(f"refused: unit 0604-0001, revision 2: {code}; ")
    assert words in line


def test_at_most_a_hundred_lines_about_reports_are_shown_and_those_without_a_receipt_come_first() -> None:
    printed = io.StringIO()
    noted = [
        (Item(n, f"n{n}", 1, b"{}", None), Answer("accepted", warnings=("unchanged",))) for n in range(90)
    ]
    refused = [(Item(n, f"r{n}", 1, b"{}", None), Answer("refused", code="malformed")) for n in range(20)]
    assert conclude(Terminal(file=printed, soft_wrap=True), [*noted, *refused]) == 1
    _, *lines, more = printed.getvalue().splitlines()
    assert [line.startswith("refused: ") for line in lines] == [True] * 20 + [False] * 80
    assert more == "… and 10 more; with --receipts, a table has every answer"


def test_an_unknown_code_is_shown_as_it_is() -> None:
    assert meaning_of("new_in_a_later_version") is None
    printed = io.StringIO()
    answered = [(Item(1, "u", 2, b"{}", None), Answer("refused", code="new_in_a_later_version"))]
    conclude(Terminal(file=printed, soft_wrap=True), answered)
    assert "refused: unit u, revision 2: new_in_a_later_version\n" in printed.getvalue()


@pytest.mark.parametrize(
    ("state", "hold", "words"),
    [
        (
            "held",
            {"since": "2025-09-08T20:36:55Z", "rules": ["duplicate_elsewhere"]},
            "is checked by an operator before it is published (duplicate elsewhere); if it is wrong, send a newer",
        ),
        (
            "rejected",
            {"since": "2025-09-08T20:36:55Z", "rules": ["fell"], "reason": "typing_error"},
            "rejected: unit u, revision 2: by an operator: typing error (fell); send a corrected count",
        ),
        (
            "superseded",
            {"since": "2025-09-08T20:36:55Z", "rules": ["fell"]},
            "note: unit u, revision 2: replaced by a newer revision before it was published (fell)",
        ),
        (
            "held",
            None,
            "held: unit u, revision 2: is checked by an operator before it is published; if it is wrong,",
        ),
    ],
)
def test_a_held_report_has_a_receipt_and_its_sender_sees_why(state: str, hold: Any, words: str) -> None:
    """And that an operator decides; the command has done its work."""
    document = {"outcome": "accepted", "state": state, "hold": hold}
    answer = msgspec.convert({name: value for name, value in document.items() if value is not None}, Answer)
    printed = io.StringIO()
    assert conclude(Terminal(file=printed, soft_wrap=True), [(Item(1, "u", 2, b"{}", None), answer)]) == 0
    summary, line = printed.getvalue().splitlines()
    assert ("1 of them held for a check" in summary) == (state == "held")
    assert words in line
