"""What readers see of held reports, from the push door to the feed door: that a unit is being checked, and no more."""

import asyncio
import json
from typing import Any

import aiohttp

from gateway.rehearsal.generator import GeneratedElection
from tests.running import Gateway, Sender
from tests.web.doors import (
    COUNTRY,
    EVERYTHING,
    HERE,
    OTHER_UNIT,
    UNIT,
    Answer,
    a_registry,
    a_report,
    ask,
    digest_of,
    feed_url,
    moment,
    pushed,
    shown,
    streaming,
)

RULES = {"odd_time": {"do": "hold", "days": 14}}
NOTE = "CaNaRy: called Kari Hansen"
VOTES = 7_654_321
"""Of a held report; no other report has them."""


def odd(unit: str, revision: int, votes: int) -> dict[str, Any]:
    """A report that is held: it was counted long before the election."""
    return {**a_report(unit, revision, votes), "counted_at": "2024-01-09T22:36:55+01:00"}


async def decide(
    http: aiohttp.ClientSession, operator: Sender, report: dict[str, Any], decision: str, reason: str
) -> dict[str, Any]:
    hold = {"unit": report["unit"], "revision": report["revision"], "digest": digest_of(report)}
    answer = await ask(
        http,
        "POST",
        operator.url("/decisions"),
        json={"decide": decision, "reason": reason, "note": NOTE, "holds": [hold]},
        headers=operator.headers,
    )
    assert answer.status == 200, answer.body
    (decided,) = answer.document["holds"]
    return dict(decided)


async def listed(
    http: aiohttp.ClientSession, gateway: Gateway, election: str, count: int
) -> list[dict[str, Any]]:
    """Return the list of holds once it has so many lines."""
    lines: list[bytes] = []
    async with asyncio.timeout(20):
        while len(lines) < count:
            lines = (await ask(http, "GET", feed_url(gateway, election, "/holds"))).body.splitlines()
    return [json.loads(line) for line in lines]


async def everything(http: aiohttp.ClientSession, gateway: Gateway, election: str) -> list[Answer]:
    """Return what the feed door has about an election, of each kind."""
    paths = ("", "/publications", "/holds", "/transfers", f"/transfers/{HERE}", f"/areas/{UNIT}", f"/areas/{HERE}",
             "/areas?level=precinct", "/areas?level=precinct&format=csv", "/corrections")  # fmt: skip
    return [await ask(http, "GET", feed_url(gateway, election, path)) for path in paths]


async def test_readers_see_that_a_unit_is_being_checked_and_nothing_of_the_report(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """Its figures and its digest appear when it is released, the operator and the note never."""
    election = await gateway.load(a_registry(small, rules=RULES))
    sender = await gateway.issue(election, [COUNTRY])
    operator = await gateway.issue(election, [COUNTRY], role="operator")
    await pushed(http, sender, a_report(UNIT, 1), a_report(OTHER_UNIT, 1))
    await shown(gateway, election, 2)
    before = (await ask(http, "GET", feed_url(gateway, election, f"/areas/{HERE}"))).body

    held, rejected = odd(UNIT, 2, VOTES), odd(OTHER_UNIT, 2, VOTES)
    receipts = await pushed(http, sender, held, rejected)
    assert {receipt["state"] for receipt in receipts} == {"held"}
    beginnings = await listed(http, gateway, election, 2)
    assert [(each["unit"], each["state"], each["rules"], each["digest"]) for each in beginnings] == [
        (UNIT, "held", ["odd_time"], None),
        (OTHER_UNIT, "held", ["odd_time"], None),
    ]
    await decide(http, operator, rejected, "reject", "wrong_unit")
    await listed(http, gateway, election, 3)
    answers = await everything(http, gateway, election)
    secrets = [str(VOTES), str(VOTES + 1), digest_of(held), digest_of(rejected), NOTE, "CaNaRy", "Kari"]
    for answer in answers:
        assert answer.status == 200
        assert not [secret for secret in secrets if secret in answer.body.decode()], answer.body
    assert (await ask(http, "GET", feed_url(gateway, election, f"/areas/{HERE}"))).body == before
    async with streaming(http, feed_url(gateway, election), levels=EVERYTHING) as stream:
        block = await stream.block()
        assert block.sequence == 2
        assert str(VOTES) not in json.dumps(block.areas)
    transfer = (await ask(http, "GET", feed_url(gateway, election, f"/transfers/{HERE}"))).document
    assert (transfer["held"], transfer["accepted"], transfer["published"]) == (1, 2, 2)
    assert transfer["oldest_unpublished_s"] is None
    assert 0 < transfer["oldest_held_s"] < 60
    own = (await ask(http, "GET", sender.url("/transfers"), headers=sender.headers)).document["transfers"]
    assert {each["municipality"]: each["held"] for each in own if each["held"]} == {HERE: 1}

    decided = await decide(http, operator, held, "release", "confirmed")
    assert decided["sequence"] == 3
    await shown(gateway, election, 3)
    *_, end = await listed(http, gateway, election, 4)
    assert (end["state"], end["digest"], end["reason"]) == ("released", digest_of(held), "confirmed")
    page = await ask(http, "GET", feed_url(gateway, election, "/publications"))
    first, second, third = (json.loads(line) for line in page.body.splitlines())
    assert "held" not in first | second
    assert third["held"] == {"since": third["held"]["since"], "rules": ["odd_time"]}
    assert moment(third["held"]["since"]) == moment(receipts[0]["accepted_at"]) == moment(beginnings[0]["at"])
    assert moment(third["published_at"]) == moment(end["at"]) > moment(third["held"]["since"])
    assert third["report"] == held
    for answer in await everything(http, gateway, election):
        assert not [secret for secret in ("CaNaRy", "Kari") if secret in answer.body.decode()], answer.body
    transfer = (await ask(http, "GET", feed_url(gateway, election, f"/transfers/{HERE}"))).document
    assert (transfer["held"], transfer["oldest_held_s"]) == (0, None)
