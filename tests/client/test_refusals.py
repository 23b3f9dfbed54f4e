"""Codes of refusals, as sentences."""

import io

import pytest

from gateway.client.conclusion import conclude
from gateway.client.outbox import Item
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
