"""Held reports at the push door: who sees which, decisions about them, and changes of the rules."""

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.rehearsal.generator import GeneratedElection
from tests.fork_server import Ended, run_command
from tests.running import Gateway, Sender
from tests.web.described import undescribed
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
    feed_url,
    ndjson,
    pushed,
    shown,
)

BASE = "/v1/elections/{election}"
RULES = {
    "duplicate_elsewhere": {"do": "hold"},
    "fell": {"do": "hold", "ballots": 100, "permille": 0},
    "most_open": 20,
}


class Operator:
    """Asks the push door with a token, and compares every answer with its description."""

    def __init__(self, http: aiohttp.ClientSession, token: Sender) -> None:
        self.http = http
        self.token = token

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        headers = {**self.token.headers, **options.pop("headers", {})}
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}
            options["data"] = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await ask(self.http, method, self.token.url(path), headers=headers, **options)
        assert not undescribed(BASE + path.partition("?")[0], method, answer), answer
        return answer

    async def holds(self, state: str = "open") -> dict[str, Any]:
        answer = await self.ask("GET", f"/holds?state={state}")
        assert answer.status == 200, answer.body
        document: dict[str, Any] = answer.document
        return document

    async def decide(self, decide: str, reason: str, *reports: Mapping[str, Any], **members: Any) -> Answer:
        named = [
            {"unit": each["unit"], "revision": each["revision"], "digest": digest_of(each)}
            for each in reports
        ]
        return await self.ask(
            "POST", "/decisions", {"decide": decide, "holds": named, "reason": reason, **members}
        )


@pytest.fixture
async def judged(gateway: Gateway, small: GeneratedElection) -> str:
    """An open election whose rules hold copies and falls."""
    return await gateway.load(a_registry(small, rules=RULES))


@pytest.fixture
async def own(gateway: Gateway, judged: str) -> Sender:
    """A sender for the whole country."""
    return await gateway.issue(judged, [COUNTRY])


@pytest.fixture
async def operator(gateway: Gateway, http: aiohttp.ClientSession, judged: str) -> Operator:
    """An operator for the whole country."""
    return Operator(http, await gateway.issue(judged, [COUNTRY], role="operator"))


COPY = a_report(UNIT, votes=400)
FALLEN = a_report(OTHER_UNIT, 2, votes=100)


async def hold_two(http: aiohttp.ClientSession, own: Sender) -> None:
    """Push two reports that are held, and those that explain why."""
    await pushed(http, own, a_report(FOREIGN_UNIT, votes=400), a_report(OTHER_UNIT, votes=300))
    receipts = await pushed(http, own, COPY, FALLEN)
    assert [each["state"] for each in receipts] == ["held", "held"]


async def test_an_operator_sees_held_reports_with_evidence(
    gateway: Gateway, http: aiohttp.ClientSession, judged: str, own: Sender, operator: Operator
) -> None:
    """Of the operator's own areas, and evidence about others only as far as these reach; a sender sees none."""
    await hold_two(http, own)
    document = await operator.holds()
    copy, fallen = document["holds"]
    assert (document["open"], document["most_open"], document["omitted"]) == (2, 20, 0)
    assert (document["closed"], document["embargo"]) == (False, {"hidden_until": None})
    assert (copy["unit"], copy["municipality"], copy["revision"]) == (UNIT, HERE, 1)
    assert copy["digest"] == digest_of(COPY)
    assert (copy["report"], copy["stands"], copy["ballots"]) == (COPY, None, 401)
    assert (fallen["report"], fallen["stands"]) == (FALLEN, a_report(OTHER_UNIT, votes=300))
    assert copy["sender"] == {"token": own.key, "note": ""}
    assert copy["rules"][0] == {
        "code": "duplicate_elsewhere",
        "do": "hold",
        "evidence": {
            "category": "election_day",
            "ballots": 401,
            "whole": False,
            "other": FOREIGN_UNIT,
            "other_category": "election_day",
            "other_ballots": 401,
            "difference": 0,
        },
    }
    assert copy["now"] == ["duplicate_elsewhere"]
    assert fallen["now"] == ["fell"]
    assert {UNIT, OTHER_UNIT, FOREIGN_UNIT, HERE} <= document["areas"].keys()
    assert document["areas"][UNIT]["municipality"] == HERE

    local = Operator(http, await gateway.issue(judged, [HERE], role="operator"))
    copy, fallen = (await local.holds())["holds"]
    assert copy["rules"][0]["evidence"] == {
        "category": "election_day",
        "ballots": 401,
        "whole": False,
    }
    unit = Operator(http, await gateway.issue(judged, [OTHER_UNIT], role="operator"))
    (fallen,) = (await unit.holds())["holds"]
    assert fallen["rules"][0]["evidence"] == {"before": 301, "after": 101}
    nobody = Operator(http, await gateway.issue(judged, [FOREIGN_UNIT], role="operator"))
    found = await nobody.holds("all")
    assert (found["holds"], found["open"], found["areas"]) == ([], 0, {})

    (await operator.ask("GET", "/holds?state=ended")).problem(400, "bad_query")
    (await operator.ask("GET", "/holds?after=1")).problem(400, "bad_query")
    (await ask(http, "GET", feed_url(gateway, judged, "/holds?state=open"))).problem(400, "bad_query")
    sender = Operator(http, own)
    (await sender.ask("GET", "/holds")).problem(403, "role_forbidden")
    (await sender.ask("GET", "/rules")).problem(403, "role_forbidden")
    (await sender.ask("PUT", "/rules", {"rules": "recommended"})).problem(403, "role_forbidden")
    (await sender.decide("release", "confirmed", COPY)).problem(403, "role_forbidden")
    await gateway.revoke(operator.token)
    (await operator.ask("GET", "/holds")).problem(401, "token_invalid")
    (await operator.decide("release", "confirmed", COPY)).problem(401, "token_invalid")


async def test_a_rejected_report_is_never_public_and_a_released_one_once(
    gateway: Gateway, http: aiohttp.ClientSession, own: Sender, operator: Operator
) -> None:
    """A repeated decision has no further effect; the sender sees the reason, and only operators see the note."""
    await hold_two(http, own)
    rejected = await operator.decide("reject", "duplicate", COPY, note="Ringte Vik kl. 22:45")
    assert rejected.status == 200, rejected.body
    (first,) = rejected.document["holds"]
    assert (first["unit"], first["revision"], first["state"], first["sequence"]) == (
        UNIT,
        1,
        "rejected",
        None,
    )
    again = await operator.decide("reject", "other", COPY)
    assert again.document == rejected.document
    problem = (await operator.decide("release", "confirmed", COPY)).problem(409, "not_decided")
    (conflict,) = problem["conflicts"]
    assert (conflict["code"], conflict["state"], conflict["reason"]) == (
        "decided_otherwise",
        "rejected",
        "duplicate",
    )
    held = (await ask(http, "GET", own.url(f"/reports/{OTHER_UNIT}"), headers=own.headers)).document
    assert (held["report"]["revision"], held["current_report"]["revision"]) == (2, 1)
    released = await operator.decide("release", "confirmed", FALLEN)
    (second,) = released.document["holds"]
    assert (second["state"], second["sequence"]) == ("released", 3)
    assert (await operator.decide("release", "moved", FALLEN)).document == released.document

    await shown(gateway, own.election, 3)
    record = await ask(http, "GET", feed_url(gateway, own.election, "/publications"))
    lines = [json.loads(line) for line in record.body.splitlines()]
    assert [(each["report"]["unit"], each["report"]["revision"]) for each in lines] == [
        (FOREIGN_UNIT, 1),
        (OTHER_UNIT, 1),
        (OTHER_UNIT, 2),
    ]
    shown_to_sender = await ask(http, "GET", own.url(f"/reports/{UNIT}"), headers=own.headers)
    receipt = shown_to_sender.document["receipt"]
    assert (receipt["state"], receipt["hold"]["reason"]) == ("rejected", "duplicate")
    assert shown_to_sender.document["current_report"] is None
    assert b"Ringte" not in shown_to_sender.body
    assert (await operator.holds())["holds"] == []
    copy, fallen = (await operator.holds("all"))["holds"]
    assert (copy["state"], copy["note"], copy["now"]) == ("rejected", "Ringte Vik kl. 22:45", [])
    assert copy["decided_by"] == {"token": operator.token.key, "note": ""}
    assert (fallen["state"], fallen["reason"], fallen["sequence"]) == ("released", "confirmed", 3)


async def test_several_reports_are_decided_together_or_not_at_all(
    gateway: Gateway, http: aiohttp.ClientSession, judged: str, own: Sender, operator: Operator
) -> None:
    """In the order of the request; one that cannot be decided is named, and the others stay held."""
    await hold_two(http, own)
    other = COPY | {"status": "final"}
    problem = (await operator.decide("release", "moved", FALLEN, other)).problem(409, "not_decided")
    assert problem["conflicts"] == [
        {"unit": UNIT, "revision": 1, "code": "revision_conflict", "state": "open"}
    ]
    placed = a_report(FOREIGN_UNIT, votes=400)
    problem = (await operator.decide("release", "moved", FALLEN, placed)).problem(409, "not_decided")
    assert [(each["unit"], each["code"]) for each in problem["conflicts"]] == [(FOREIGN_UNIT, "not_held")]
    local = Operator(http, await gateway.issue(judged, [OTHER_UNIT], role="operator"))
    (await local.decide("release", "moved", FALLEN, COPY)).problem(403, "unit_forbidden")
    assert (await operator.holds())["open"] == 2
    released = await operator.decide("release", "moved", FALLEN, COPY)
    assert [(each["unit"], each["sequence"]) for each in released.document["holds"]] == [
        (OTHER_UNIT, 3),
        (UNIT, 4),
    ]


async def test_a_decision_applies_to_a_newer_revision_with_the_same_counts(
    http: aiohttp.ClientSession, own: Sender, operator: Operator
) -> None:
    """And one about other counts than those that an operator looked at is refused."""
    await hold_two(http, own)
    since = (await operator.holds())["holds"][0]["since"]
    await pushed(http, own, COPY | {"revision": 2, "status": "final"})
    (newer,) = [each for each in (await operator.holds())["holds"] if each["unit"] == UNIT]
    assert (newer["revision"], newer["since"]) == (2, since)
    await pushed(http, own, a_report(OTHER_UNIT, 3, votes=90))
    problem = (await operator.decide("release", "moved", COPY, FALLEN)).problem(409, "not_decided")
    assert problem["conflicts"] == [
        {
            "unit": OTHER_UNIT,
            "revision": 2,
            "code": "superseded",
            "state": "superseded",
            "newest_revision": 3,
        }
    ]
    (decided,) = (await operator.decide("release", "confirmed", COPY)).document["holds"]
    assert (decided["revision"], decided["state"]) == (2, "released")


async def test_before_the_release_no_decision_shows_a_position(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """As receipts do not; and operators see the end of the embargo."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    election = await gateway.load(a_registry(small, rules=RULES, publish_from=tomorrow))
    await hold_two(http, await gateway.issue(election, [COUNTRY]))
    operator = Operator(http, await gateway.issue(election, [COUNTRY], role="operator"))
    assert (await operator.holds())["embargo"]["hidden_until"] is not None
    (decided,) = (await operator.decide("release", "confirmed", COPY)).document["holds"]
    assert (decided["state"], decided["sequence"]) == ("released", None)
    assert "sequence" not in (await operator.holds("all"))["holds"][0]


async def test_bad_decisions_and_rules_are_refused_with_what_is_wrong(operator: Operator) -> None:
    """Whatever is wrong with their bodies."""
    for path, method in (("/decisions", "POST"), ("/rules", "PUT")):
        (await operator.ask(method, path, b"{")).problem(400, "malformed")
        (await operator.ask(method, path, b" " * (65 << 10))).problem(413, "too_large")
        text = {"Content-Type": "text/plain"}
        (await operator.ask(method, path, b"{}", headers=text)).problem(415, "unsupported_type")
        packed = {"Content-Encoding": "gzip"}
        (await operator.ask(method, path, b"{}", headers=packed)).problem(415, "unsupported_encoding")
    problem = (await operator.decide("keep", "confirmed", COPY)).problem(422, "invalid_decision")
    assert [each["path"] for each in problem["violations"]] == ["$.decide"]
    rules = {"rules": {"fallen": {"do": "hold"}, "fell": {"do": "stop", "ballots": -1}}}
    problem = (await operator.ask("PUT", "/rules", rules)).problem(422, "invalid_rules")
    assert {each["path"] for each in problem["violations"]} == {
        "$.rules.fallen",
        "$.rules.fell.do",
        "$.rules.fell.ballots",
    }
    (await operator.ask("PUT", "/rules", {})).problem(422, "invalid_rules")


async def test_a_change_of_the_rules_applies_at_once_in_every_process(
    gateway: Gateway, http: aiohttp.ClientSession, judged: str, own: Sender, operator: Operator
) -> None:
    """To reports that arrive from then on; what is held stays held, with what the rules would do now."""
    before = (await operator.ask("GET", "/rules")).document
    assert (before["origin"], before["changed_at"], before["changed_by"]) == ("registry", None, None)
    assert before["rules"]["fell"] == RULES["fell"]
    assert before["rules"]["odd_time"]["do"] == "warn"
    assert before["rules"]["most_open"] == 20
    await hold_two(http, own)
    local = Operator(http, await gateway.issue(judged, [HERE], role="operator"))
    (await local.ask("PUT", "/rules", {"rules": "recommended"})).problem(403, "unit_forbidden")
    assert (await local.ask("GET", "/rules")).document == before

    rules = {"duplicate_elsewhere": {"do": "off"}, "fell": {"do": "warn"}}
    after = (await operator.ask("PUT", "/rules", {"rules": rules})).document
    assert after["origin"] == "operator"
    assert after["changed_by"] == {"token": operator.token.key, "note": ""}
    assert after["rules"]["duplicate_elsewhere"]["do"] == "off"
    receipts: list[dict[str, Any]] = []
    for _ in range(4):  # whichever of the two push processes answers
        votes = 301 + len(receipts)
        copies = [a_report(FOREIGN_UNIT, votes, votes=votes), a_report(OTHER_UNIT, votes, votes=votes)]
        async with aiohttp.ClientSession() as fresh:
            answer = await ask(
                fresh,
                "POST",
                own.url(),
                data=ndjson(copies),
                headers={**own.headers, "Content-Type": "application/x-ndjson"},
            )
        receipts += answer.results
    assert {each["state"] for each in receipts} == {"published"}
    shown_now = (await operator.holds())["holds"]
    assert [(each["unit"], each["now"]) for each in shown_now] == [(UNIT, [])]
    assert (await operator.ask("PUT", "/rules", {"rules": "recommended"})).status == 200
    assert (await operator.holds())["holds"][0]["unit"] == UNIT


async def test_decisions_at_the_same_time_happen_once(
    http: aiohttp.ClientSession, own: Sender, operator: Operator, gateway: Gateway
) -> None:
    """Of two operators over both push processes, one decides, and the other learns of it."""
    await hold_two(http, own)
    other = Operator(http, await gateway.issue(own.election, [COUNTRY], role="operator"))
    answers = await asyncio.gather(
        operator.decide("reject", "duplicate", COPY, FALLEN),
        other.decide("release", "confirmed", FALLEN, COPY),
    )
    assert sorted(each.status for each in answers) == [200, 409]
    states = {each["state"] for each in (await operator.holds("all"))["holds"]}
    assert len(states) == 1


# The commands, as an operator uses them.


@pytest.fixture
def command(operator: Operator, tmp_path: Path) -> Any:
    """Run a command of the operator to its end."""
    token = tmp_path / "token"
    token.write_text(operator.token.secret)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
    environ |= {
        "VALGNATT_PUSH_URL": operator.token.gateway.push_url,
        "VALGNATT_FEED_URL": operator.token.gateway.feed_url,
        "COLUMNS": "160",
    }
    options = ["--election", operator.token.election, "--token-file", token]

    async def run(*arguments: object) -> Ended:
        return await asyncio.to_thread(run_command, *arguments, *options, environ=environ)

    return run


async def test_an_operator_decides_with_commands(
    http: aiohttp.ClientSession, own: Sender, operator: Operator, command: Any
) -> None:
    """List, look, reject and release; each says what happens, and a report that has changed meanwhile is named."""
    empty = await command("hold", "list")
    assert (empty.status, empty.out.strip()) == (0, "No report is held.")
    await hold_two(http, own)
    listed = await command("hold", "list")
    assert listed.status == 0
    assert "2 reports are held, the oldest for " in listed.out
    assert UNIT in listed.out
    assert "duplicate_elsewhere" in listed.out
    lines = [json.loads(line) for line in (await command("hold", "list", "--json")).out.splitlines()]
    assert [each["unit"] for each in lines] == [UNIT, OTHER_UNIT]

    looked = await command("hold", "show", OTHER_UNIT)
    assert looked.status == 0
    assert "hold: " in looked.out
    assert "the ballots fall from 301 to 101 (−200) without a reason" in looked.out
    (row,) = [line for line in looked.out.splitlines() if "election-day FL" in line]
    assert row.split() == ["election-day", "FL", "300", "100", "−200"]
    assert f"valgnatt hold reject {OTHER_UNIT}:2 --reason" in looked.out
    unknown = await command("hold", "show", "0604-9999")
    assert unknown.status == 1
    assert "no report of this unit is or was held" in unknown.err

    for arguments, status, message in (
        (["hold", "reject", UNIT], 2, "--reason"),
        (["hold", "reject", UNIT, "--reason", "moved"], 2, "'moved' is not one of"),
        (["hold", "reject", UNIT, "--reason", "duplicate", "--note", "a\nb"], 2, "--note: "),
        (["hold", "reject", UNIT, "--reason", "duplicate"], 2, "there is no terminal to ask at"),
        (["hold", "reject", f"{UNIT}:7", "--reason", "duplicate", "--yes"], 1, "the held revision is 1"),
        (
            ["hold", "reject", FOREIGN_UNIT, "--reason", "duplicate", "--yes"],
            1,
            "no report of this unit is held",
        ),
        (["hold", "reject", UNIT, f"{UNIT}:1", "--reason", "duplicate", "--yes"], 2, "named twice"),
    ):
        ended = await command(*arguments)
        assert (ended.status, message in ended.err) == (status, True), ended
    assert (await operator.holds())["open"] == 2

    rejected = await command("hold", "reject", f"{UNIT}:1", "--reason", "duplicate", "--yes")
    assert rejected.status == 0, rejected
    assert "Reject 1 report for the reason duplicate:" in rejected.out
    assert "these 401 election-day ballots equal those of" in rejected.out
    assert f"{UNIT}" in rejected.out.splitlines()[-1]
    assert rejected.out.splitlines()[-1].endswith("revision 1: rejected")
    too_late = await command("hold", "release", UNIT, "--reason", "confirmed", "--yes")
    assert too_late.status == 1
    assert "no report of this unit is held; revision 1 was rejected at " in too_late.err
    released = await command(
        "hold", "release", OTHER_UNIT, "--reason", "confirmed", "--note", "By phone", "--yes"
    )
    assert released.status == 0, released
    assert released.out.splitlines()[-1].endswith("revision 2: released; sequence 3 of the record")
    assert "No report is held." in (await command("hold", "list", "--all")).out


async def test_an_operator_shows_and_sets_rules_with_commands(command: Any, tmp_path: Path) -> None:
    """The command says what has changed, and names every mistake."""
    shown_rules = await command("rules", "show")
    assert shown_rules.status == 0
    assert "The rules are those of the registry." in shown_rules.out
    (row,) = [line for line in shown_rules.out.splitlines() if line.split()[:1] == ["fell"]]
    assert row.split() == ["fell", "hold", "ballots", "100,", "permille", "0"]
    rules = tmp_path / "rules.json"
    rules.write_text('{"fell": {"do": "hold", "ballots": 200}, "fallen": {"do": "off"}}')
    ended = await command("rules", "set", rules)
    assert (ended.status, "add --yes" in ended.err) == (2, True)
    ended = await command("rules", "set", rules, "--yes")
    assert ended.status == 1
    assert "$.rules.fallen: no such rule" in ended.out + ended.err
    assert "so that they only warn from now on: duplicate_elsewhere" in ended.out
    rules.write_text('{"fell": {"do": "hold", "ballots": 200, "permille": 0}, "most_open": 20}')
    ended = await command("rules", "set", rules, "--yes")
    assert ended.status == 0, ended
    assert "fell: ballots 100 → 200" in ended.out
    again = await command("rules", "set", rules, "--yes")
    assert "nothing changed" in again.out
    document = json.loads((await command("rules", "show", "--json")).out)
    assert document["origin"] == "operator"


async def test_decisions_are_made_after_an_election_is_closed(
    gateway: Gateway, http: aiohttp.ClientSession, own: Sender, operator: Operator
) -> None:
    """No report is accepted any more; what was accepted is still decided, and the list says that it is closed."""
    await hold_two(http, own)
    async with gateway.administration() as acts:
        await acts.close_election(own.election)
    document = await operator.holds()
    assert (document["closed"], document["open"]) == (True, 2)
    assert [each["now"] for each in document["holds"]] == [None, None]
    released = await operator.decide("release", "moved", FALLEN, COPY)
    assert [each["state"] for each in released.document["holds"]] == ["released", "released"]
