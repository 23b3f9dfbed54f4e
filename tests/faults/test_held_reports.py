"""Push processes are killed while reports are held, superseded, released and rejected at random."""

import asyncio
import os
import random
import signal
from typing import Any

import aiohttp
import pytest

from tests.conftest import Database
from tests.counts import count
from tests.faults.test_processes import pid_of, workers
from tests.journal.makers import UNITS, a_registry, connected
from tests.journal.push_processes import LONG_BEFORE, rules, verify
from tests.running import Gateway, Sender, running
from tests.web.doors import Answer, ask, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

KILLS = count(2, full=15)
HOLDING = rules(odd_time={"do": "hold"}, most_open=1000)
NOT_HOLDING = rules(odd_time={"do": "warn"}, most_open=1000)
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError)


class History:
    """The answers that senders and operators received."""

    def __init__(self) -> None:
        self.accepted: dict[tuple[str, int], dict[str, Any]] = {}
        """The receipt with the outcome `accepted` of each report, if it arrived."""
        self.receipts: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self.decided: dict[tuple[str, int], dict[str, Any]] = {}


async def asked(http: aiohttp.ClientSession, method: str, url: str, **options: Any) -> Answer:
    """Ask until a process answers; each may be dead, or be killed before it does."""
    while True:
        try:
            answer = await ask(http, method, url, **options)
        except _FAILURES:
            await asyncio.sleep(0.05)
            continue
        if answer.status not in (429, 503):
            return answer
        await asyncio.sleep(0.05)


async def send(
    http: aiohttp.ClientSession, sender: Sender, unit: str, chance: random.Random, seen: History
) -> None:
    """Push revisions of a unit, one after the other, again and again until each has a receipt."""
    revision = 0
    while True:
        revision += 1
        votes = chance.randint(1, 3)
        report = {
            "unit": unit,
            "revision": revision,
            "counted_at": chance.choice((LONG_BEFORE, "2025-09-08T22:36:55+02:00")),
            "status": "preliminary",
            "counts": {"election_day": {"ballots": votes, "blank": 0, "rejected": 0, "votes": {"A": votes}}},
        }
        for _ in range(chance.choice((1, 1, 2))):
            answer = await asked(http, "POST", sender.url(), json=report, headers=sender.headers)
            receipt = answer.document
            assert receipt.get("outcome") in ("accepted", "duplicate"), receipt
            seen.receipts.setdefault((unit, revision), []).append(receipt)
            if receipt["outcome"] == "accepted":
                assert (unit, revision) not in seen.accepted, "a report is accepted once"
                seen.accepted[unit, revision] = receipt
        await asyncio.sleep(chance.random() / 50)


async def operate(
    http: aiohttp.ClientSession, operator: Sender, chance: random.Random, seen: History
) -> None:
    """Decide on some open holds at a time, and repeat each decision."""
    while True:
        answer = await asked(http, "GET", operator.url("/holds"), headers=operator.headers)
        found = answer.document["holds"]
        chosen = chance.sample(found, min(len(found), chance.randint(1, 3)))
        if chosen:
            release = chance.random() < 0.5
            names = [{name: each[name] for name in ("unit", "revision", "digest")} for each in chosen]
            body = {
                "decide": "release" if release else "reject",
                "holds": names,
                "reason": "confirmed" if release else "other",
            }
            answers = [
                await asked(http, "POST", operator.url("/decisions"), json=body, headers=operator.headers)
                for _ in range(2)
            ]
            statuses = [each.status for each in answers]
            assert statuses in ([200, 200], [409, 409]), answers
            if statuses[0] == 200:
                assert answers[0].document == answers[1].document, "a repeated decision has its first answer"
                for each in answers[0].document["holds"]:
                    known = seen.decided.setdefault((each["unit"], each["revision"]), each)
                    assert known == each
        await asyncio.sleep(chance.random() / 20)


async def change_rules(http: aiohttp.ClientSession, operator: Sender, chance: random.Random) -> None:
    """Turn holding off and on."""
    while True:
        for policy in (NOT_HOLDING, HOLDING):
            await asyncio.sleep(0.2 + chance.random())
            body = {"rules": policy}
            answer = await asked(http, "PUT", operator.url("/rules"), json=body, headers=operator.headers)
            assert answer.status == 200, answer


async def kill(gateway: Gateway, chance: random.Random) -> None:
    """Kill push processes, one at a time, and wait until each is replaced."""
    for _ in range(KILLS):
        await asyncio.sleep(0.5 + chance.random())
        name = chance.choice(("push-0", "push-1"))
        os.kill(await pid_of(gateway, name), signal.SIGKILL)

        async def replaced() -> bool:
            return all(worker["state"] == "ready" for worker in (await workers(gateway)).values())

        await until(replaced)


async def test_held_reports_survive_killed_push_processes(database: Database) -> None:
    """Nothing with a receipt is lost, nothing is placed while it is held, and each decision happens once."""
    chance, seen = random.Random(14), History()
    async with running(database, push_workers=2) as gateway, aiohttp.ClientSession() as http:
        election = await gateway.load(a_registry(rules=HOLDING))
        sender = await gateway.issue(election, ["no"])
        operator = await gateway.issue(election, ["no"], role="operator")
        async with asyncio.TaskGroup() as parts:
            busy = [
                parts.create_task(send(http, sender, unit, random.Random(chance.random()), seen))
                for unit in UNITS
            ]
            busy += [
                parts.create_task(operate(http, operator, random.Random(chance.random()), seen)) for _ in "ab"
            ]
            busy.append(parts.create_task(change_rules(http, operator, random.Random(chance.random()))))
            await kill(gateway, chance)
            for task in busy:
                task.cancel()
        async with connected(database.url) as owner:
            key = await owner.fetchval("SELECT key FROM election WHERE id = $1", election)
            await verify(owner, key)
            rows = await owner.fetch(
                "SELECT unit, revision, digest, sequence, NULL AS state FROM report r WHERE election = $1"
                " AND NOT EXISTS (SELECT FROM hold h WHERE h.election = $1 AND h.unit = r.unit"
                "                 AND h.revision = r.revision)"
                " UNION ALL SELECT unit, revision, digest, sequence, state FROM hold WHERE election = $1",
                key,
            )
    stored = {(row["unit"], row["revision"]): row for row in rows}
    assert any(row["state"] == "released" for row in rows)
    assert any(row["state"] == "superseded" for row in rows)
    for name, receipts in seen.receipts.items():
        row = stored[name]
        for receipt in receipts:
            assert receipt["digest"] == row["digest"].hex()
            assert (row["state"] is not None) == ("hold" in receipt), (
                "held from its first receipt on, or never"
            )
            if receipt["state"] == "published":
                assert receipt["sequence"] == row["sequence"]
            elif receipt["state"] != "held":
                assert receipt["state"] == row["state"]
    for name, decided in seen.decided.items():
        assert (decided["state"], decided["sequence"]) == (stored[name]["state"], stored[name]["sequence"])
