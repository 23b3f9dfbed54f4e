"""What push asks the gateway before it sends, what it says meanwhile, and what it does not send at all."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from gateway.client import push_files
from gateway.client.consent import RedLines, check_red_lines
from gateway.client.failures import Failure, HttpAnswer, failure_of_answer
from gateway.client.http_json import NoDocument
from gateway.client.preparation import may_be_asked_later
from gateway.client.preview import RED_LINES_MAX
from gateway.count_files.comparison import compare
from gateway.count_files.reports import Count
from gateway.count_files.versions import Version
from gateway.errors import GatewayError
from tests.client.doors import a_door
from tests.client.test_preview import MANY
from tests.count_files.test_comparison import report

PROBLEM = "application/problem+json"


def counts(number: int) -> tuple[list[Count], list[Any]]:
    """Return reports that all cross a red line, each from a file of its own, and their comparisons."""
    documents = [report(f"u{each}", a=9_000) for each in range(number)]
    found = [
        Count(
            Version(
                f"{each['unit']}.csv, line 2", each, datetime.now(UTC), frozenset({f"{each['unit']}.csv"})
            ),
            1,
            b"",
            chosen=False,
        )
        for each in documents
    ]
    return found, compare(MANY, documents, {})


def test_red_lines_are_not_sent_unless_they_are_accepted_and_name_their_files() -> None:
    with pytest.raises(RedLines) as error:
        check_red_lines(*counts(2), accept=False)
    assert error.value.files == {"u0.csv", "u1.csv"}
    first, second, advice = error.value.mistakes
    assert first == "RED LINE: unit u0 Krets 0: 9 000 ballots, 500 eligible voters"
    assert "u1" in second
    assert "start the command again with --accept" in advice
    check_red_lines(*counts(2), accept=True)


def test_only_red_lines_that_are_all_listed_can_be_accepted() -> None:
    check_red_lines(*counts(RED_LINES_MAX), accept=True)
    with pytest.raises(
        RedLines, match="more than 50 cannot be accepted in one command; check whether this is the"
    ):
        check_red_lines(*counts(RED_LINES_MAX + 1), accept=True)


async def test_that_the_gateway_is_busy_is_shown_while_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, although each unit is asked for."""
    monkeypatch.setattr(push_files, "WAITING_S", 0.0)
    answers = [503, 503, 200, 200]
    current = {"report": report("11-1")}

    async def busy(_: web.Request) -> web.Response:
        if answers.pop(0) == 200:
            return web.json_response(current)
        problem = {"code": "journal_unavailable", "detail": "the database is away"}
        return web.Response(status=503, body=json.dumps(problem), content_type=PROBLEM)

    async with a_door(web.get("/v1/elections/e/reports/{unit}", busy)) as url:
        found = await push_files.current_reports(url, "e", "token", ["11-1", "11-2"])
    assert found.reports["11-1"].document == current["report"]
    shown = capsys.readouterr().err
    assert shown.count("the database is away (503, journal_unavailable); trying again for up to 60 s") == 1


@pytest.mark.parametrize(
    ("status", "code", "words", "is_kept"),
    [
        (401, "token_missing", "--token-file", True),
        (401, "token_invalid", "expired or been revoked: ask the operator for a new one", True),
        (401, "token_revoked", "ask the operator for a new one", True),
        (403, "role_forbidden", "a token of an operator cannot report", True),
        (403, "unit_forbidden", "check the unit, or ask the operator", True),
        (404, "unknown_election", "check the name of the election, and the URL", False),
        (404, "not_found", "this may be the other door of the gateway", False),
        (429, "overloaded", "(429, overloaded)", True),
        (503, "journal_unavailable", "(503, journal_unavailable)", True),
    ],
)
def test_each_answer_of_the_door_says_what_to_do_and_counts_are_kept_unless_the_url_is_wrong(
    status: int, code: str, words: str, is_kept: bool
) -> None:
    body = json.dumps({"code": code, "detail": "a detail"}).encode()
    failure = failure_of_answer(
        HttpAnswer("http://here", status, {"Content-Type": PROBLEM}, body), "push door"
    )
    assert words in failure.text
    assert may_be_asked_later(NoDocument(failure)) == is_kept


def test_counts_are_kept_for_certificates_that_have_to_be_renewed_and_not_for_another_scheme() -> None:
    assert may_be_asked_later(NoDocument(Failure("certificate", "expired", permanent=True)))
    assert not may_be_asked_later(NoDocument(Failure("wrong_scheme", "https", permanent=True)))
    assert not may_be_asked_later(GatewayError("not a push door of version 1"))
