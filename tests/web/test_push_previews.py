"""`POST …/preview` and `GET …/reports`: files with counts on the push door, and what it has of a token's units."""

import asyncio
import io
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from gateway.errors import Overloaded
from gateway.rehearsal.generator import GeneratedElection
from gateway.web import count_previews
from gateway.web.answers import Problem
from gateway.web.count_previews import CountPreviews
from gateway.web.count_task import Current, Task
from tests.running import Gateway, Sender
from tests.web.doors import (
    COUNTRY,
    FOREIGN_UNIT,
    HERE,
    OTHER_UNIT,
    UNIT,
    Answer,
    a_registry,
    a_report,
    ask,
    digest_of,
    push,
    pushed,
)
from tests.wire.eml_documents import eml, selection, unit_votes

HEADER = "unit;counted_at;status;category;ballots;blank;rejected;FL"
AT = "2024-09-09T23:00:00+02:00"
CSV, XLSX = "text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def table(*rows: str) -> bytes:
    """Return a table with a row for each line."""
    return "\n".join([HEADER, *rows]).encode()


def row(unit: str = UNIT, votes: int = 10, ballots: int | None = None) -> str:
    return f"{unit};{AT};preliminary;election_day;{votes + 1 if ballots is None else ballots};1;2;{votes}"


@pytest.fixture
async def here(gateway: Gateway, election: str) -> Sender:
    """A sender for one municipality."""
    return await gateway.issue(election, [HERE])


async def preview(
    http: aiohttp.ClientSession, sender: Sender, content: bytes, kind: str = CSV, **headers: str
) -> Answer:
    url = f"{sender.gateway.push_url}/v1/elections/{sender.election}/preview"
    given = {**sender.headers, "Content-Type": kind, **headers}
    return await ask(http, "POST", url, data=io.BytesIO(content), headers=given)


async def previewed(http: aiohttp.ClientSession, sender: Sender, content: bytes) -> list[dict[str, Any]]:
    """Return the reports of a preview."""
    answer = await preview(http, sender, content)
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "private, no-store"
    reports: list[dict[str, Any]] = answer.document["reports"]
    return reports


async def test_the_reports_of_a_preview_are_sent_as_they_are(
    http: aiohttp.ClientSession, here: Sender
) -> None:
    """Each has its revision, and beside it what the gateway has; sent twice, it is a duplicate."""
    (first,) = await previewed(http, here, table(row(votes=10)))
    assert first["report"]["revision"] == 1
    assert first["chosen"]
    assert first["place"] == "line 2"
    assert first["comparison"]["effect"] == "first"
    assert (await push(http, here, first["report"])).status == 201
    assert (await push(http, here, first["report"])).status == 200

    (same,) = await previewed(http, here, table(row(votes=10)))
    assert same["report"] == first["report"]
    assert same["comparison"]["effect"] == "repeats"

    later = table(row(votes=12).replace("23:00", "23:30"))
    (second,) = await previewed(http, here, later)
    assert second["report"]["revision"] == 2
    assert second["comparison"]["total"]["before"]["ballots"] == 11
    assert second["comparison"]["total"]["after"]["ballots"] == 13


async def test_an_eml_document_is_previewed_like_any_other_file(
    http: aiohttp.ClientSession, here: Sender
) -> None:
    """With the revisions that the push door gives it; mistakes have line, column and element."""
    unit = unit_votes(UNIT, selection("FL", 10, "election_day"))
    document = eml(unit, issued="2024-09-09T22:36:55+02:00")
    (report,) = (await preview(http, here, document, "application/xml")).document["reports"]
    sent = await push(http, here, None, data=document, headers={"Content-Type": "application/xml"})
    assert sent.results[0]["digest"] == digest_of(report["report"])
    bomb = b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"
    problem = (await preview(http, here, bomb, "text/xml")).problem(422, "bad_count_file")
    (mistake,) = problem["mistakes"]
    assert (mistake["code"], mistake["line"]) == ("bad_eml", 1)
    assert mistake["parameters"]["reason"].startswith("column 13: the document: a document type decl")


async def test_a_preview_names_the_rules_that_would_fire_by_the_tokens_own_reports(
    http: aiohttp.ClientSession, gateway: Gateway, small: GeneratedElection
) -> None:
    """With the settings of the registry; sent all the same, the report is held. Other municipalities are not seen."""
    election = await gateway.load(a_registry(small, rules={"duplicate_within": {"do": "hold"}}))
    here, elsewhere = await gateway.issue(election, [HERE]), await gateway.issue(election, [COUNTRY])
    await pushed(http, elsewhere, a_report(unit=FOREIGN_UNIT, votes=300))
    first, second = await previewed(http, here, table(row(votes=300), row(OTHER_UNIT, votes=300)))
    assert first["comparison"]["rules"] == []
    (rule,) = second["comparison"]["rules"]
    assert (rule["code"], rule["do"], rule["evidence"]["other"]) == ("duplicate_within", "hold", UNIT)
    assert {*second["comparison"]["areas"]} == {OTHER_UNIT, UNIT, HERE}
    assert (await push(http, here, first["report"])).status == 201
    receipt = (await push(http, here, second["report"])).document
    assert (receipt["state"], receipt["hold"]["rules"]) == ("held", ["duplicate_within"])
    corrected = table(row(OTHER_UNIT, votes=10).replace("23:00", "23:30"))
    (correction,) = await previewed(http, here, corrected)
    assert (correction["report"]["revision"], correction["comparison"]["rules"]) == (2, [])


async def test_a_count_is_never_replaced_by_an_earlier_one(http: aiohttp.ClientSession, here: Sender) -> None:
    """Neither in a preview, nor by a report whose preview is older than another count."""
    (stale,) = await previewed(http, here, table(row(votes=5)))
    await pushed(http, here, a_report(votes=7, counted_at="2024-09-09T23:20:00+02:00"))
    assert (await push(http, here, stale["report"])).status == 409
    problem = (await preview(http, here, table(row(votes=5)))).problem(422, "bad_count_file")
    assert problem["mistakes"][0]["line"] == 2
    assert "which was counted later" in problem["mistakes"][0]["text"]


async def test_mistakes_are_named_with_their_lines(http: aiohttp.ClientSession, here: Sender) -> None:
    """Unknown units, units of others, sums, and files that cannot be read; nothing is sent."""
    for content, kind, line, text in (
        (table(row(UNIT + "x")), CSV, 2, "unit"),
        (table(row(), row(FOREIGN_UNIT)), CSV, 3, "this token may not report for it"),
        (table(row(ballots=99)), CSV, 2, "ballots"),
        (b"unit,category\n1,2\n", CSV, 1, "no column"),
        (b'{"unit": 5', "application/json", 1, ""),
        (b"\xff\xfe\x00", CSV, None, ""),
        (b"", CSV, None, ""),
    ):
        problem = (await preview(http, here, content, kind)).problem(422, "bad_count_file")
        first = problem["mistakes"][0]
        assert first["line"] in (line, first["line"] if line is None else line), first
        assert text in first["text"]
        assert "file.csv" not in first["text"]
    wrong = table(row().replace(";11;", ";1.234;"))
    (mistake,) = (await preview(http, here, wrong)).problem(422, "bad_count_file")["mistakes"]
    assert (mistake["line"], mistake["column"]) == (2, "E")
    assert (mistake["code"], mistake["header"]) == ("not_whole", "ballots")
    assert mistake["parameters"] == {
        "shown": "1.234",
        "why": {
            "code": "not_whole_or_grouped",
            "parameters": {"joined": "1234", "whole": "1", "decimals": "234"},
        },
    }
    assert (await ask(http, "GET", here.url(), headers=here.headers)).document["units"][0]["revision"] is None


async def test_only_senders_may_preview_files_of_known_types(
    http: aiohttp.ClientSession, gateway: Gateway, here: Sender
) -> None:
    """The type is that of the content; without a token nothing of the body is read."""
    (await preview(http, here, table(row()), "text/plain")).problem(415, "unsupported_type")
    (await preview(http, here, table(row()), CSV, **{"Content-Encoding": "gzip"})).problem(
        415, "unsupported_encoding"
    )
    (await preview(http, here, table(row()), CSV, Authorization="Bearer x")).problem(401, "token_invalid")
    operator = await gateway.issue(here.election, [HERE], role="operator")
    (await preview(http, operator, table(row()))).problem(403, "role_forbidden")
    (await preview(http, here, b"x" * (8 << 20) + b"x")).problem(413, "too_large")


async def test_a_token_has_one_file_read_at_a_time(http: aiohttp.ClientSession, here: Sender) -> None:
    """The others are refused, and may be sent again."""
    answers = await asyncio.gather(*(preview(http, here, table(row())) for _ in range(4)))
    statuses = [answer.status for answer in answers]
    assert 200 in statuses
    for answer in answers:
        if answer.status != 200:
            assert int(answer.headers["Retry-After"]) > 0
            answer.problem(429, "overloaded")


async def test_a_filled_template_is_read(http: aiohttp.ClientSession, here: Sender) -> None:
    """It has the token's units alone; rows that are left empty are no reports."""
    answer = await ask(http, "GET", here.url("/template"), headers=here.headers)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    head, *rows = answer.body.decode("utf-8-sig").splitlines()
    assert {row.partition("-")[0] for row in rows} == {HERE}
    columns = head.split(",")
    filled = dict.fromkeys(columns, "") | {
        "unit": UNIT, "counted_at": AT, "status": "final", "category": "advance", "ballots": "3", "blank": "1",
        "rejected": "0", "FL": "2",
    }  # fmt: skip
    others = [each for each in rows if not each.startswith(UNIT)]
    content = "\n".join([head, ",".join(filled[column] for column in columns), *others])
    (report,) = await previewed(http, here, content.encode("utf-16"))
    assert report["report"]["counts"]["advance"]["votes"] == {"FL": 2}


async def test_own_reports_are_shown_under_embargo_too(
    http: aiohttp.ClientSession, gateway: Gateway, small: GeneratedElection
) -> None:
    """Every unit of the token, with and without a report, and none of others."""
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    here = await gateway.issue(await gateway.load(a_registry(small, publish_from=later)), [HERE])
    await pushed(http, here, a_report(votes=20))
    answer = await ask(http, "GET", here.url(), headers=here.headers)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "private, no-store"
    units = {each["id"]: each for each in answer.document["units"]}
    assert FOREIGN_UNIT not in units
    assert units[UNIT]["ballots"] == 21
    assert units[UNIT]["revision"] == 1
    assert units[UNIT]["state"] == "embargoed"
    assert units[UNIT]["name"]
    assert units[OTHER_UNIT]["revision"] is None
    (await ask(http, "GET", here.url())).problem(401, "token_missing")


async def no_reports(_: Iterable[str]) -> Current:
    return {}


def reader_that(fault: str, monkeypatch: pytest.MonkeyPatch) -> CountPreviews:
    """Return previews whose readers do this instead of reading."""
    source = f"import os, time, gateway.web.count_reader as r\ndef f(*_): {fault}\nr._read = f\nr.main()"
    monkeypatch.setattr(count_previews, "COMMAND", (sys.executable, "-c", source))
    return CountPreviews()


A_TASK = Task(".csv", b"", b"{}", frozenset(), datetime.now(UTC))


@pytest.mark.parametrize("fault", ["raise MemoryError", "time.sleep(60)", "os.kill(os.getpid(), 9)"])
async def test_a_reader_that_reaches_a_limit_ends_and_is_charged(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Memory, time, or killed by the kernel; the token's next file is refused until that is paid, others are read."""
    previews = reader_that(fault, monkeypatch)
    monkeypatch.setattr(count_previews, "CPU_BURST_S", 5.0)
    monkeypatch.setattr(count_previews, "TIMEOUT_S", 1.5)
    with pytest.raises(Problem) as raised:
        await previews.preview(1, A_TASK, no_reports)
    assert raised.value.code == "too_costly"
    with pytest.raises(Overloaded):
        previews.require(1)
    previews.require(2)


@pytest.mark.parametrize("fault", ["raise ValueError('4711 votes')", "os._exit(3)"])
async def test_a_fault_of_a_reader_is_logged_without_figures(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Lines of code and the name of the error; the answer is an internal error."""
    previews = reader_that(fault, monkeypatch)
    lines: list[str] = []
    log = SimpleNamespace(error=lambda event, **values: lines.append(f"{event} {values}"))
    monkeypatch.setattr(count_previews, "log", log)
    with pytest.raises(Problem) as raised:
        await previews.preview(1, A_TASK, no_reports)
    assert raised.value.code == "internal_error"
    (line,) = lines
    assert line.startswith("count file not read {")
    assert "4711" not in line


async def test_the_memory_of_a_reader_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file may have counts before their time; and the kernel ends it before any other process of the gateway."""
    dumpable = "__import__('ctypes').CDLL(None).prctl(3)"  # PR_GET_DUMPABLE
    score = "r.Path('/proc/self/oom_score_adj').read_text()"
    source = f"return r.Done(str([{dumpable}, int({score})]).encode(), True, 0.0)"
    document = await reader_that(source, monkeypatch).preview(1, A_TASK, no_reports)
    assert document == b"[0, 1000]"
