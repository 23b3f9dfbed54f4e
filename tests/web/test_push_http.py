"""Pushing over HTTP: every answer the contract promises, through the real door."""

import asyncio
import gzip
import json
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from gateway.election.report import canonical, decode_stored
from gateway.election.report import digest_of as digest_of_bytes
from gateway.election.validation import ValidReport
from gateway.journal.connection import open_pool
from gateway.journal.postgres import PostgresJournal
from gateway.rehearsal.generator import GeneratedElection
from tests.journal.makers import append
from tests.running import Gateway, Sender
from tests.web.doors import (
    COUNTRY,
    FOREIGN_UNIT,
    HERE,
    OTHER_UNIT,
    THERE,
    TIMEOUT_S,
    UNIT,
    Answer,
    a_registry,
    a_report,
    ask,
    digest_of,
    disconnect,
    head_locked,
    moment,
    ndjson,
    open_connection,
    push,
    push_lines,
    pushed,
    revoked_at_of,
    units_of,
    until,
    waiting_for_lock,
)
from tests.wire.eml_documents import eml, selection, unit_votes

MIB = 1 << 20
NDJSON = {"Content-Type": "application/x-ndjson"}
GZIP = {"Content-Encoding": "gzip"}


@pytest.fixture
async def local(gateway: Gateway, election: str) -> Sender:
    """A sender that may report for one municipality only."""
    return await gateway.issue(election, [HERE])


# EML.


async def test_the_units_of_an_eml_document_are_reports(http: aiohttp.ClientSession, sender: Sender) -> None:
    """With receipts for what the same JSON would be; sent again, they are duplicates, and packed too."""
    votes = selection("FL", 10, "election_day")
    document = eml(unit_votes(UNIT, votes), unit_votes(OTHER_UNIT, votes), issued="2024-09-09T22:36:55+02:00")
    headers = {"Content-Type": "application/xml"}
    first = await push(http, sender, None, data=document, headers=headers)
    assert first.status == 200
    assert [(each["unit"], each["outcome"]) for each in first.results] == [
        (UNIT, "accepted"),
        (OTHER_UNIT, "accepted"),
    ]
    revision = first.results[0]["revision"]
    counts = {"ballots": 10, "blank": 0, "rejected": 0, "votes": {"FL": 10}}
    report = a_report(UNIT, revision, counts={"election_day": counts})
    assert first.results[0]["digest"] == digest_of(report)
    assert (await push(http, sender, report)).document["outcome"] == "duplicate"
    packed = {"Content-Type": "text/xml; charset=utf-8", **GZIP}
    again = await push(http, sender, None, data=gzip.compress(document), headers=packed)
    assert [each["outcome"] for each in again.results] == ["duplicate", "duplicate"]


async def test_what_is_wrong_with_eml_has_its_place(http: aiohttp.ClientSession, local: Sender) -> None:
    """In a document as a whole, and in a report; the others of the document are accepted."""
    headers = {"Content-Type": "application/xml"}
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>'
    problem = (await push(http, local, None, data=bomb, headers=headers)).problem(400, "malformed")
    assert problem["detail"].startswith("line 1, column ")
    good, wrong = selection("FL", 10, "election_day"), selection("FL", -1, "election_day")
    units = (unit_votes(UNIT, good), unit_votes(OTHER_UNIT, wrong), unit_votes(FOREIGN_UNIT, good))
    document = eml(*units, issued="2024-09-09T22:36:55+02:00")
    answer = await push(http, local, None, data=document, headers=headers)
    assert [each.get("code") for each in answer.results] == [None, "invalid_report", "unit_forbidden"]
    assert [each.get("line") for each in answer.results] == [None, 6, 9]
    [violation] = answer.results[1]["violations"]
    assert (violation["code"], violation["path"]) == ("not_a_count", "$.counts.election_day.votes.FL")
    assert "(line 7, column " in violation["detail"]


# One report.


async def test_a_first_report_is_answered_201_with_its_receipt(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """The receipt has the members of the contract; the digest is over the report as it was sent."""
    report = a_report(reason="recount")
    began = datetime.now(UTC)
    answer = await push(http, sender, report)
    assert answer.status == 201
    assert answer.headers["Content-Type"].startswith("application/json")
    receipt = answer.document
    assert began <= moment(receipt["accepted_at"]) <= datetime.now(UTC)
    assert receipt == {
        "unit": UNIT,
        "revision": 1,
        "outcome": "accepted",
        "state": "published",
        "sequence": 1,
        "digest": digest_of(report),
        "accepted_at": receipt["accepted_at"],
        "published_at": receipt["accepted_at"],
        "warnings": [],
    }


async def test_a_report_sent_again_is_answered_200_with_its_first_receipt(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """Even if its members are in another order, and if a newer revision was accepted since."""
    first = (await push(http, sender, a_report())).document
    again = await push(http, sender, dict(reversed(a_report().items())))
    assert again.status == 200
    assert again.document == {**first, "outcome": "duplicate"}
    await pushed(http, sender, a_report(revision=2, votes=20))
    assert (await push(http, sender, a_report())).document == {**first, "outcome": "duplicate"}


async def test_a_zero_is_different_from_an_absent_member(http: aiohttp.ClientSession, sender: Sender) -> None:
    """A party with 0 votes and an absent party mean the same, and are different reports."""
    report = a_report()
    await pushed(http, sender, report)
    report["counts"]["election_day"]["votes"]["NST"] = 0
    (await push(http, sender, report)).problem(409, "revision_conflict")


async def test_a_unit_outside_the_token_is_answered_403_whether_it_exists_or_not(
    http: aiohttp.ClientSession, local: Sender
) -> None:
    """A token reveals nothing outside its areas, nor whether the rest of the report is valid."""
    answers = []
    for unit in (FOREIGN_UNIT, "no-such-unit"):
        problem = (await push(http, local, {**a_report(unit), "revision": "x"})).problem(
            403, "unit_forbidden"
        )
        assert problem.pop("unit") == unit
        answers.append(problem)
    assert answers[0] == answers[1]


async def test_an_older_revision_is_answered_409_with_the_current_one(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """A newer complete state was accepted, so the older one is permanently refused."""
    await pushed(http, sender, a_report(revision=7))
    problem = (await push(http, sender, a_report(revision=3))).problem(409, "stale_revision")
    assert problem["current_revision"] == 7
    assert problem["unit"] == UNIT
    assert problem["revision"] == 3
    assert problem["outcome"] == "refused"


async def test_a_revision_with_other_figures_is_answered_409(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """A revision never changes its content, whether it is current or not."""
    await pushed(http, sender, a_report(votes=10), a_report(revision=2, votes=20))
    for revision in (1, 2):
        problem = (await push(http, sender, a_report(revision=revision, votes=99))).problem(
            409, "revision_conflict"
        )
        assert problem["current_revision"] == 2


async def test_a_unit_without_revisions_left_is_accepted_again_in_every_process_at_once(
    gateway: Gateway, http: aiohttp.ClientSession, sender: Sender
) -> None:
    """Once an operator has raised its ceiling. Earlier receipts stay valid, and no other unit is affected."""
    await pushed(http, sender, a_report())
    highest = a_report(revision=2_000_000_000, votes=99)
    first = (await push(http, sender, highest)).document
    assert first["outcome"] == "accepted"
    honest = a_report(revision=2_000_000_001, votes=20)
    problem = (await push(http, sender, honest)).problem(422, "invalid_report")
    (violation,) = problem["violations"]
    assert (violation["code"], violation["path"]) == ("revision_above_ceiling", "$.revision")
    assert "at most 2000000000" in violation["detail"]
    async with gateway.administration() as acts:
        await acts.raise_revisions(sender.election, UNIT)
    statuses = []
    for session in await connections(sender, 8):
        statuses.append((await push(session, sender, honest)).status)
        await session.close()
    assert statuses == [201] + [200] * 7
    assert (await push(http, sender, highest)).document == {**first, "outcome": "duplicate"}
    other = a_report(OTHER_UNIT, revision=2_000_000_001)
    (await push(http, sender, other)).problem(422, "invalid_report")


async def test_a_closed_election_accepts_no_more_but_still_knows_its_receipts(
    gateway: Gateway, http: aiohttp.ClientSession, sender: Sender
) -> None:
    """409, in every process, from the moment at which the act is committed."""
    first = (await push(http, sender, a_report())).document
    async with gateway.administration() as acts:
        await acts.close_election(sender.election)
    for _ in range(6):
        async with aiohttp.ClientSession() as fresh:
            refused = (await push(fresh, sender, a_report(revision=2))).problem(409, "election_closed")
            assert refused["detail"] == "the election is closed and accepts no more reports"
    assert (await push(http, sender, a_report())).document == {**first, "outcome": "duplicate"}


async def test_an_invalid_report_is_answered_422_with_every_violation(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """All at once, each with a code and a JSON path, so that one round of corrections is enough."""
    report = a_report(status="done", counted_at="2024-09-09T22:36:55.000", extra=1)
    report["counts"]["election_day"] |= {"ballots": 50, "rejected": -1}
    report["counts"]["election_day"]["votes"]["XX"] = 1
    problem = (await push(http, sender, report)).problem(422, "invalid_report")
    assert problem["outcome"] == "refused"
    assert {(each["code"], each["path"]) for each in problem["violations"]} >= {
        ("unknown_status", "$.status"),
        ("time_without_offset", "$.counted_at"),
        ("unknown_member", "$.extra"),
        ("count_out_of_range", "$.counts.election_day.rejected"),
        ("unknown_party", "$.counts.election_day.votes.XX"),
        ("sum_mismatch", "$.counts.election_day.ballots"),
    }
    assert all(each["detail"] for each in problem["violations"])


async def test_unusual_but_real_counts_are_accepted_with_warnings(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """More ballots than eligible voters, figures that fall, a status that goes back, an identical revision."""
    reports = [
        a_report(votes=5000, status="final"),
        a_report(revision=2, votes=50),
        a_report(revision=3, votes=50),
    ]
    receipts = await pushed(http, sender, *reports)
    assert [set(receipt["warnings"]) for receipt in receipts] == [
        {"above_eligible"},
        {"figures_fell", "status_back", "fell", "party_fell"},
        {"unchanged"},
    ]


async def test_every_receipt_of_a_rehearsal_is_marked(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """So that a rehearsal is never mistaken for an election."""
    election = await gateway.load(a_registry(small, rehearsal=True))
    sender = await gateway.issue(election, [COUNTRY])
    assert (await push(http, sender, a_report())).document["rehearsal"] is True
    assert (await push(http, sender, a_report(votes=11))).problem(409, "revision_conflict")[
        "rehearsal"
    ] is True


# Who asks, and for what.


async def test_a_missing_or_wrong_token_is_answered_401(
    gateway: Gateway, http: aiohttp.ClientSession, sender: Sender, small: GeneratedElection
) -> None:
    """Also one of another election, and with an invalid body: without a token, nothing is revealed."""
    other = await gateway.issue(await gateway.load(a_registry(small)), [COUNTRY])
    for headers, code in (
        ({}, "token_missing"),
        ({"Authorization": "Basic dTpw"}, "token_missing"),
        ({"Authorization": "Bearer "}, "token_missing"),
        ({"Authorization": "Bearer vgn_wrong"}, "token_invalid"),
        ({"Authorization": f"Bearer {sender.secret}x"}, "token_invalid"),
        ({"Authorization": "Bearer \u00e5\u00e5"}, "token_invalid"),
        (other.headers, "token_invalid"),
    ):
        for method, path in (("POST", "/reports"), ("GET", f"/reports/{UNIT}"), ("GET", "/transfers")):
            answer = await ask(
                http, method, sender.url(path), data=b"{" if method == "POST" else None, headers=headers
            )
            answer.problem(401, code)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_an_operator_may_read_but_not_push(
    gateway: Gateway, http: aiohttp.ClientSession, election: str, sender: Sender
) -> None:
    """Its token reads reports and transfers; its pushes are answered 403, over HTTP and as a WebSocket."""
    operator = await gateway.issue(election, [COUNTRY], role="operator")
    (await push(http, operator, a_report())).problem(403, "role_forbidden")
    (await ask(http, "GET", operator.url("/push"), headers=operator.headers)).problem(403, "role_forbidden")
    await pushed(http, sender, a_report())
    answer = await ask(http, "GET", operator.url(f"/reports/{UNIT}"), headers=operator.headers)
    assert answer.document["report"] == a_report()
    assert (await ask(http, "GET", operator.url("/transfers"), headers=operator.headers)).status == 200


async def test_an_unknown_election_is_answered_404(http: aiohttp.ClientSession, sender: Sender) -> None:
    """On every route of the push door."""
    sender.election = "nowhere"
    (await push(http, sender, a_report())).problem(404, "unknown_election")
    (await ask(http, "GET", sender.url("/transfers"), headers=sender.headers)).problem(
        404, "unknown_election"
    )
    (await ask(http, "GET", sender.url("/push"), headers=sender.headers)).problem(404, "unknown_election")


async def test_another_type_of_body_is_answered_415(http: aiohttp.ClientSession, sender: Sender) -> None:
    """And another coding than gzip."""
    data = json.dumps(a_report())
    for kind in ("text/plain", "application/pdf", "application/octet-stream", "nonsense", ""):
        (await push(http, sender, None, data=data, headers={"Content-Type": kind})).problem(
            415, "unsupported_type"
        )
    for coding in ("br", "deflate", "gzip, gzip"):
        (await push(http, sender, None, data=data, headers={"Content-Encoding": coding})).problem(
            415, "unsupported_encoding"
        )
    kind = "Application/JSON; charset=utf-8"
    assert (await push(http, sender, None, data=data, headers={"Content-Type": kind})).status == 201


async def test_unknown_routes_and_wrong_methods_are_problem_documents_too(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """404 and 405 are problem documents, 405 with the allowed methods."""
    (await ask(http, "GET", f"{sender.gateway.push_url}/v2")).problem(404, "not_found")
    (await ask(http, "GET", f"{sender.gateway.push_url}/metrics")).problem(404, "not_found")
    for method, path, allowed in (
        ("GET", "/preview", "POST"),
        ("PUT", "/reports", "GET,POST"),
        ("DELETE", f"/reports/{UNIT}", "GET"),
        ("HEAD", f"/reports/{UNIT}", "GET"),
        ("OPTIONS", "/transfers", "GET"),
        ("POST", "/push", "GET"),
    ):
        answer = await ask(http, method, sender.url(path), headers=sender.headers)
        assert answer.status == 405
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Allow"] == allowed


# Size.


async def test_a_body_of_8_mib_is_read_and_a_byte_more_is_answered_413(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """Whether its length is announced, or it is sent in chunks."""
    report = json.dumps(a_report()).encode()
    assert (await push(http, sender, None, data=report.ljust(8 * MIB))).status == 201
    (await push(http, sender, None, data=report.ljust(8 * MIB + 1))).problem(413, "too_large")

    async def chunks():
        for _ in range(9):
            yield bytes(MIB)

    (await push(http, sender, None, data=chunks())).problem(413, "too_large")
    assert (await push(http, sender, a_report())).status == 200


async def test_ten_thousand_reports_are_accepted_and_one_more_is_answered_413(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """As a whole or not at all: of a request with too many, none is accepted."""
    one_more = [a_report(revision=revision) for revision in range(1, 10_002)]
    (await push_lines(http, sender, one_more)).problem(413, "too_large")
    (await push(http, sender, [{}] * 10_001)).problem(413, "too_large")
    results = (await push_lines(http, sender, one_more[:-1])).results
    assert [result["sequence"] for result in results] == list(range(1, 10_001))


async def test_a_body_is_requested_only_once_it_would_be_accepted(sender: Sender) -> None:
    """With `Expect: 100-continue` a refused request never sends its body; RFC 9110, section 10.1.1."""
    report = json.dumps(a_report()).encode()
    for secret, statuses in ((sender.secret, [b"100", b"201"]), ("nobody's", [b"401"])):
        reader, writer = await open_connection(sender.gateway.push_url)
        writer.write(
            f"POST /v1/elections/{sender.election}/reports HTTP/1.1\r\nHost: door\r\nExpect: 100-continue\r\n"
            f"Authorization: Bearer {secret}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(report)}\r\n\r\n".encode()
        )
        async with asyncio.timeout(TIMEOUT_S):
            for status in statuses:
                assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == status
                writer.write(report)
        await disconnect(writer, reset=True)


# Several reports.


async def test_several_reports_are_answered_in_order_each_with_its_own_outcome(
    http: aiohttp.ClientSession, local: Sender
) -> None:
    """As an array and as lines; one invalid report never affects the others."""
    for kind in ("array", "lines"):
        unit = UNIT if kind == "array" else OTHER_UNIT
        reports = [
            a_report(unit, revision=5),
            a_report(unit, revision=5),
            a_report(unit, revision=4),
            a_report(unit, revision=5, votes=11),
            a_report(FOREIGN_UNIT),
            {**a_report(unit, revision=6), "status": "done"},
            [],
            a_report(unit, revision=6),
            a_report(unit, revision=7),
        ]
        send = push if kind == "array" else push_lines
        results = (await send(http, local, reports)).results
        assert [(result["outcome"], result.get("code")) for result in results] == [
            ("accepted", None),
            ("duplicate", None),
            ("refused", "stale_revision"),
            ("refused", "revision_conflict"),
            ("refused", "unit_forbidden"),
            ("refused", "invalid_report"),
            ("refused", "invalid_report"),
            ("accepted", None),
            ("accepted", None),
        ]
        first = results[0]["sequence"]
        assert [results[place]["sequence"] for place in (0, 1, 7, 8)] == [first, first, first + 1, first + 2]
        assert results[2]["current_revision"] == 5
        assert results[5]["violations"][0]["path"] == "$.status"


async def test_a_line_that_cannot_be_read_is_a_refused_result_with_its_number(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """Lines count from 1, including empty ones, whatever their line ends."""
    good = json.dumps(a_report()).encode()
    other = json.dumps(a_report(OTHER_UNIT)).encode()
    data = b"\n" + good + b"\r\n{\n\n \xff\n" + other + b"\n\xef\xbb\xbf" + good
    results = (await push(http, sender, None, data=data, headers=NDJSON)).results
    assert [result["outcome"] for result in results] == [
        "accepted",
        "refused",
        "refused",
        "accepted",
        "refused",
    ]
    assert [result.get("line") for result in results] == [None, 3, 5, None, 7]
    assert {result["code"] for result in results if result["outcome"] == "refused"} == {"malformed"}


async def test_an_array_that_cannot_be_read_is_answered_400_and_none_of_it_is_accepted(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """It is unknown where a report ends, so none is checked."""
    good = json.dumps(a_report())
    for data in (
        f"[{good}",
        f"[{good},]",
        f"[{good} {good}]",
        f"[{good},{{]",
        f'[{good},{{"a":NaN}}]',
        f"[{good}]x",
    ):
        (await push(http, sender, None, data=data)).problem(400, "malformed")
    assert (await push(http, sender, a_report())).status == 201


async def test_an_empty_list_is_valid(http: aiohttp.ClientSession, sender: Sender) -> None:
    """An empty array has no results; neither have lines without any."""
    assert (await push(http, sender, None, data="[]")).results == []
    assert (await push(http, sender, None, data="\n\n", headers=NDJSON)).results == []


# Packed bodies.


async def test_gzip_is_unpacked_with_one_member_or_several(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """Several members are the result of appending to a packed file."""
    first, second = (ndjson([a_report(unit)]) for unit in (UNIT, OTHER_UNIT))
    for data, count in (
        (gzip.compress(first), 1),
        (gzip.compress(first) + gzip.compress(second), 2),
        (gzip.compress(b"") + gzip.compress(first + second), 2),
    ):
        results = (await push(http, sender, None, data=data, headers=GZIP | NDJSON)).results
        assert [result["sequence"] for result in results] == list(range(1, count + 1))


async def test_a_body_that_is_not_gzip_as_declared_is_answered_400(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """Incomplete, followed by something else, or something else to begin with."""
    packed = gzip.compress(json.dumps(a_report()).encode())
    for data in (
        packed[:5],
        packed[:-9],
        packed[:-1],
        packed + b"x",
        packed + packed[:-3],
        b"{}",
        b"\x1f\x8b",
    ):
        (await push(http, sender, None, data=data, headers=GZIP)).problem(400, "malformed")
    broken = packed[:30] + bytes(8) + packed[38:]
    (await push(http, sender, None, data=broken, headers=GZIP)).problem(400, "malformed")
    assert (await push(http, sender, None, data=packed, headers={"Content-Encoding": "GZip"})).status == 201


async def test_a_body_that_unpacks_to_more_than_8_mib_is_answered_413(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """The limit applies to the unpacked body, in one member or several; at the limit it is read."""
    member = gzip.compress(bytes(MIB))
    for data in (gzip.compress(bytes(200 * MIB)), member * 9):
        (await push(http, sender, None, data=data, headers=GZIP)).problem(413, "too_large")
    packed = gzip.compress(json.dumps(a_report()).encode().ljust(8 * MIB))
    assert (await push(http, sender, None, data=packed, headers=GZIP)).status == 201


# Reading one's own back.


async def test_a_sender_reads_back_the_report_and_receipt_of_its_unit(
    http: aiohttp.ClientSession, local: Sender
) -> None:
    """The current one, as it was sent; not to be stored in any cache."""
    url = local.url(f"/reports/{UNIT}")
    (await ask(http, "GET", url, headers=local.headers)).problem(404, "no_report")
    report = a_report(revision=2, votes=5, status="counting")
    receipts = await pushed(http, local, a_report(votes=9), report)
    answer = await ask(http, "GET", url, headers=local.headers)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.document == {
        "report": report,
        "receipt": receipts[1],
        "current_revision": 2,
        "current_report": None,
    }
    assert receipts[1]["warnings"] == ["figures_fell", "status_back"]


async def test_a_report_that_a_newer_version_accepted_is_read_back_and_compared(
    gateway: Gateway, http: aiohttp.ClientSession, local: Sender
) -> None:
    """It is returned as it is stored, and the next revision has its warnings; pushed here, it is refused."""
    newer = a_report(votes=9, status="audited", source={"system": "x"})
    newer["counts"]["election_day"]["spoilt"] = 3
    newer["counts"]["postal"] = {"ballots": 4, "blank": 0, "rejected": 0, "votes": {"FL": 4}}
    body = canonical(newer)
    async with open_pool(gateway.database.url) as pool:
        journal = PostgresJournal(pool)
        row = await journal.election(local.election)
        await append(
            journal, row.key, row.version, ValidReport(decode_stored(body), body, digest_of_bytes(body))
        )
    url = local.url(f"/reports/{UNIT}")
    answer = await ask(http, "GET", url, headers=local.headers)
    assert answer.status == 200
    assert body in answer.body
    assert answer.document["receipt"]["digest"] == digest_of(newer)
    refused = (await push(http, local, newer)).problem(422, "invalid_report")
    assert {each["code"] for each in refused["violations"]} == {
        "unknown_member", "unknown_status", "unknown_category",
    }  # fmt: skip
    (receipt,) = await pushed(http, local, a_report(revision=2, votes=5))
    assert receipt["warnings"] == ["figures_fell"]
    assert (await ask(http, "GET", url, headers=local.headers)).document["receipt"] == receipt


async def test_a_sender_cannot_read_units_of_others(
    gateway: Gateway, http: aiohttp.ClientSession, local: Sender, sender: Sender
) -> None:
    """403, whether the unit exists or not; only a token for the whole country gets 404 for one that does not."""
    await pushed(http, sender, a_report(FOREIGN_UNIT))
    for unit in (FOREIGN_UNIT, "no-such-unit", THERE, COUNTRY):
        answer = await ask(http, "GET", local.url(f"/reports/{unit}"), headers=local.headers)
        answer.problem(403, "unit_forbidden")
    for unit in ("no-such-unit", THERE):
        answer = await ask(http, "GET", sender.url(f"/reports/{unit}"), headers=sender.headers)
        answer.problem(404, "unknown_unit")


async def test_under_embargo_a_sender_reads_back_its_own_reports(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """Embargoed reports are returned to the token that sent them, and are marked as embargoed."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    election = await gateway.load(a_registry(small, publish_from=tomorrow))
    local = await gateway.issue(election, [HERE])
    receipts = await pushed(http, local, a_report(), a_report(OTHER_UNIT))
    assert {(each["state"], each["sequence"], each["published_at"]) for each in receipts} == {
        ("embargoed", None, None)
    }
    answer = await ask(http, "GET", local.url(f"/reports/{OTHER_UNIT}"), headers=local.headers)
    assert answer.document == {
        "report": a_report(OTHER_UNIT),
        "receipt": receipts[1],
        "current_revision": 1,
        "current_report": None,
    }
    transfers = await ask(http, "GET", local.url("/transfers"), headers=local.headers)
    (transfer,) = transfers.document["transfers"]
    assert (transfer["accepted"], transfer["published"], transfer["embargoed"]) == (2, 0, 2)
    hidden_until = transfers.document["hidden_until"]
    assert moment(hidden_until) == datetime.fromisoformat(tomorrow)
    assert hidden_until.endswith(("+01:00", "+02:00")), "the clock of the election, in Europe/Oslo"


async def test_a_sender_reads_the_transfers_of_its_own_municipalities(
    gateway: Gateway, http: aiohttp.ClientSession, election: str, sender: Sender, small: GeneratedElection
) -> None:
    """The numbers of units, reported units and reports; none of others, and not to be stored in any cache."""
    await pushed(http, sender, a_report(), a_report(revision=2), a_report(FOREIGN_UNIT))
    both = await gateway.issue(election, [HERE, FOREIGN_UNIT])
    answer = await ask(http, "GET", both.url("/transfers"), headers=both.headers)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.document["hidden_until"] is None
    assert answer.document["areas"] == sorted([HERE, FOREIGN_UNIT])
    found = {each["municipality"]: each for each in answer.document["transfers"]}
    assert set(found) == {HERE, THERE}
    here, there = found[HERE], found[THERE]
    assert here["units"] == len(units_of(small, HERE))
    assert (here["reported"], here["accepted"], here["published"], here["embargoed"]) == (1, 2, 2, 0)
    assert (there["units"], there["accepted"]) == (1, 1)
    assert moment(here["last_accepted_at"]) <= datetime.now(UTC)
    assert moment(here["last_contact_at"]) <= datetime.now(UTC)


# Tokens that end.


async def answered_by_all(gateway: Gateway, election: str, asked: list[Answer]) -> None:
    """Assert that every push worker gave some of these answers; the kernel chooses which."""
    samples = await gateway.metrics()
    for process in ("push-0", "push-1"):
        refused = sum(
            value
            for name, value in samples.items()
            if name.startswith("valgnatt_answers_total") and f'process="{process}"' in name
        )
        assert refused, f"{process} was never asked in {len(asked)} connections"


async def connections(sender: Sender, count: int = 16) -> list[aiohttp.ClientSession]:
    """Open so many connections, each used once, over which another request will go to the same worker."""
    opened = [aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) for _ in range(count)]
    for session in opened:
        assert (await push(session, sender, a_report())).status in (200, 201)
    return opened


async def test_a_revoked_token_is_refused_at_once_by_every_worker(gateway: Gateway, sender: Sender) -> None:
    """From the moment at which the act is committed, on old and new connections, for writing and for reading."""
    sessions = await connections(sender)
    try:
        await gateway.revoke(sender)
        answers = await asyncio.gather(
            *(push(session, sender, a_report(revision=2)) for session in sessions[::2])
        )
        for session in sessions[1::2]:  # one after the other: more at once would be too much to read
            answers.append(await ask(session, "GET", sender.url("/transfers"), headers=sender.headers))
        for answer in answers:
            assert answer.status == 401, answer.body
            assert answer.document["code"] in ("token_invalid", "token_revoked")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        await answered_by_all(gateway, sender.election, answers)
    finally:
        for session in sessions:
            await session.close()
    other = await gateway.issue(sender.election, [COUNTRY])
    async with aiohttp.ClientSession() as http:
        assert (await push(http, other, a_report(revision=2))).status == 201


async def test_an_expired_token_is_refused_at_once_by_every_worker(gateway: Gateway, election: str) -> None:
    """It is valid until that time, and no longer."""
    expires_at = datetime.now(UTC) + timedelta(seconds=4)
    sender = await gateway.issue(election, [COUNTRY], expires_at=expires_at)
    sessions = await connections(sender, 8)
    try:
        await asyncio.sleep((expires_at - datetime.now(UTC)).total_seconds())
        for answer in await asyncio.gather(
            *(push(session, sender, a_report(revision=2)) for session in sessions)
        ):
            answer.problem(401, "token_invalid")
    finally:
        for session in sessions:
            await session.close()


async def test_reports_whose_token_is_revoked_while_they_arrive_are_refused(
    gateway: Gateway, http: aiohttp.ClientSession, sender: Sender
) -> None:
    """A body may take a minute to arrive; the token must be valid when its reports are decided."""
    head, tail = asyncio.Event(), asyncio.Event()

    async def slowly():
        body = json.dumps(a_report()).encode()
        yield body[:50]
        head.set()
        await tail.wait()
        yield body[50:]

    pushing = asyncio.create_task(push(http, sender, None, data=slowly()))
    await head.wait()
    await gateway.revoke(sender)

    async def known() -> bool:  # whichever worker has the body knows it
        async with aiohttp.ClientSession() as fresh:
            codes = [(await push(fresh, sender, a_report())).status for _ in range(4)]
        return codes == [401] * 4

    for _ in range(8):
        await until(known)
    tail.set()
    answer = await pushing
    assert answer.status == 401, answer.body


async def test_reports_that_wait_when_their_token_is_revoked_are_checked_again(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """Not only those of the next batch: all reports in a long queue were checked by the old version."""
    election = await tight.load(a_registry(small))
    sender = await tight.issue(election, [COUNTRY])
    async with head_locked(tight, election):
        pushing = asyncio.create_task(push(http, sender, [a_report(unit) for unit in units_of(small)]))
        await waiting_for_lock(tight)
        revoking = asyncio.create_task(tight.revoke(sender))
        await waiting_for_lock(tight, 2)
    await revoking
    results = (await pushing).results
    revoked_at = await revoked_at_of(sender)
    for result in results:
        if result["outcome"] == "accepted":
            assert moment(result["accepted_at"]) <= revoked_at
        else:
            assert result["code"] == "token_revoked"


# Room.


async def test_a_sender_above_its_share_is_answered_429_and_others_503_only_when_all_is_full(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """One sender's flood leaves room for others; refusals say when to try again."""
    election = await tight.load(a_registry(small))
    first, second, third, fourth = [await tight.issue(election, [COUNTRY]) for _ in range(4)]
    units = iter(units_of(small))

    def reports(count: int) -> list[dict[str, object]]:
        return [a_report(next(units)) for _ in range(count)]

    async def waits(count: int) -> None:
        async def so_many() -> bool:
            return (await tight.metrics()).get('valgnatt_waiting_reports{process="push-0"}') == count

        await until(so_many)

    await pushed(
        http, first, *reports(1)
    )  # or an append without reports, for the release, may wait for the lock
    async with head_locked(tight, election):
        pushes = [asyncio.create_task(push(http, first, reports(1)))]
        await waiting_for_lock(tight)
        pushes.append(asyncio.create_task(push(http, second, reports(5))))
        await waits(5)
        answer = await push(http, second, reports(1))
        answer.problem(429, "overloaded")
        assert int(answer.headers["Retry-After"]) >= 1
        pushes.append(asyncio.create_task(push(http, third, reports(3))))
        await waits(8)
        answer = await push(http, fourth, reports(1))
        answer.problem(503, "overloaded")
        assert int(answer.headers["Retry-After"]) >= 1
    for done in await asyncio.gather(*pushes):
        assert {result["outcome"] for result in done.results} == {"accepted"}


async def test_a_single_sender_has_room_for_one_full_request(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """However small the queue."""
    sender = await tight.issue(await tight.load(a_registry(small)), [COUNTRY])
    receipts = await pushed(http, sender, *(a_report(revision=revision) for revision in range(1, 41)))
    assert [receipt["sequence"] for receipt in receipts] == list(range(1, 41))
