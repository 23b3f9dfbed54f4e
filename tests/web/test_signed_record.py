"""The signed record from the signer through the journal to readers of the feed door, and its embargo."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from gateway.election.report import canonical
from gateway.rehearsal.generator import GeneratedElection
from gateway.transparency.checkpoint import Checkpoint, open_checkpoint
from gateway.transparency.entries import Previous
from gateway.transparency.merkle import leaf_hash, root_of, verify_inclusion
from gateway.transparency.note import parse_note, parse_vkey
from gateway.transparency.proof_file import parse_proof
from gateway.transparency.tiles import decode_bundle
from tests.conftest import Database
from tests.counts import count
from tests.running import Gateway, running
from tests.signer.signing import Signing, signing
from tests.signer.test_signer import rewritten
from tests.web.doors import COUNTRY, a_registry, a_report, ask, feed_url, pushed, shown, units_of, until
from tests.web.test_embargo import CONNECTIONS, some_holds

LOOKS = count(2, full=CONNECTIONS)
"""Connections on each of which every path is requested."""
LOG_PATHS = (
    "checkpoint",
    "checkpoints",
    "checkpoints?after=1",
    "checkpoints?after=5&limit=1000",
    *(f"checkpoints/{size}" for size in (1, 2, 7, 71, 1001)),
    *(f"tile/{tile}" for tile in ("0/000", "0/000.p/1", "0/000.p/2", "0/000.p/71", "0/001.p/1", "1/000", "1/000.p/1")),
    *(f"tile/entries/{tile}" for tile in ("000", "000.p/1", "000.p/2", "000.p/71", "001", "003.p/233")),
    *(f"proof/{sequence}" for sequence in (0, 1, 2, 70, 71, 1000, 1001)),
    "registry",
    "history/1/checkpoint",
    "history/1/tile/0/000.p/2",
    "history/1/proof/1",
    "history/2/checkpoint",
)  # fmt: skip


async def every_log_answer(gateway: Gateway, election: str) -> list[dict[str, Any]]:
    """Return all that the feed door answers about a log, on several connections: status, all headers but Date, body.

    And the metrics of its processes about the election.
    """
    seen = []
    for _ in range(LOOKS):
        answers: dict[str, Any] = {}
        async with aiohttp.ClientSession(auto_decompress=False) as http:
            for path in LOG_PATHS:
                for method, coding in (("GET", "identity"), ("GET", "gzip"), ("HEAD", "identity")):
                    url, headers = feed_url(gateway, election, f"/log/{path}"), {"Accept-Encoding": coding}
                    answer = await ask(http, method, url, headers=headers)
                    shown_headers = sorted(item for item in answer.headers.items() if item[0] != "Date")
                    answers[f"{method} {path} {coding}"] = (answer.status, shown_headers, answer.body)
            listed = (await ask(http, "GET", f"{gateway.feed_url}/v1/elections")).document["elections"]
            answers["listed"] = [each for each in listed if each["id"] == election]
        seen.append(answers)
    measured = await gateway.metrics()
    own = {
        name: value
        for name, value in measured.items()
        if 'process="feed' in name and f'election="{election}"' in name
    }
    return [{**each, "metrics": own} for each in seen]


async def test_nothing_can_be_learned_from_a_log_before_the_release(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection, tmp_path: Path
) -> None:
    """Every answer of every worker is byte for byte the same with no and with many accepted reports.

    Whether or not the election is opened, and even if the signer has signed more.
    """
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    elections = [await gateway.load(a_registry(small, publish_from=later)) for _ in range(2)]
    opened, _ = elections
    async with gateway.administration() as acts:
        await acts.open_election(opened)
    senders = [await gateway.issue(election, [COUNTRY]) for election in elections]
    async with signing(gateway.database, tmp_path / "sign", live=elections) as signed:
        for election in elections:
            await shown(gateway, election)
        await signed.wait_covered(opened)
        await until_shown(gateway, http, opened, 1)
        before = [await every_log_answer(gateway, election) for election in elections]
        for answers in before:
            assert all(each == answers[0] for each in answers)
        assert {each["GET checkpoint identity"][0] for each in before[0]} == {200}
        statuses = {key: each[0] for key, each in before[1][0].items() if key not in ("listed", "metrics")}
        assert set(statuses.values()) == {404}
        for sender in senders:
            units = units_of(small)
            await some_holds(gateway, sender.election, *units[:2])
            for first in range(0, count(140, full=1000), len(units)):
                reports = [a_report(unit, revision=first + 9, votes=first) for unit in units]
                await pushed(http, sender, *reports)
        await insert_too_much(gateway, signed, opened)
        head = await signed.log(opened)
        assert head is not None
        await asyncio.sleep(1.2)  # two polls, of every worker
        assert [await every_log_answer(gateway, election) for election in elections] == before


async def insert_too_much(gateway: Gateway, signed: Signing, election: str) -> None:
    """Insert a checkpoint that covers embargoed reports, as a signer that misbehaves might."""
    head = await signed.log(election)
    assert head is not None
    assert head.origin is not None
    note = Checkpoint(head.origin, 71, bytes(32)).text() + "\n— x AAAAAAA=\n"
    owner = await asyncpg.connect(gateway.database.url)
    try:
        await owner.execute(
            "INSERT INTO valgnatt.checkpoint VALUES ($1, 1, 71, $2, now(), $3)", head.key, bytes(32), note
        )
        await owner.execute("UPDATE valgnatt.signer SET changes = changes + 1 WHERE election = $1", head.key)
    finally:
        await owner.close()


async def until_shown(gateway: Gateway, http: aiohttp.ClientSession, election: str, size: int) -> None:
    """Wait until every feed process shows a checkpoint of at least this size."""

    async def all_show() -> bool:
        measured = await gateway.metrics()
        sizes, processes = (of_metric(measured, name, election) for name in ("log_size", "sequence"))
        return len(sizes) == len(processes) and min(sizes, default=0) >= size

    await until(all_show)


def of_metric(measured: Mapping[str, float], name: str, election: str) -> list[float]:
    """Return the values of a metric of an election, of each process."""
    return [
        value
        for sample, value in measured.items()
        if sample.startswith(f"valgnatt_{name}{{") and f'election="{election}"' in sample
    ]


async def test_a_signed_record_can_be_verified_from_the_feed_door(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection, tmp_path: Path
) -> None:
    """Its checkpoint, its entries and its proofs agree, from the first report to the closing entry."""
    election = await gateway.load(a_registry(small))
    sender = await gateway.issue(election, [COUNTRY])
    async with signing(gateway.database, tmp_path / "sign", live=[election]) as signed:
        receipts = await pushed(http, sender, *(a_report(unit) for unit in units_of(small)))
        await until_shown(gateway, http, election, len(receipts) + 1)
        keys = await signed.vkeys(election)
        path = f"/log/proof/{len(receipts)}"
        proof = parse_proof((await ask(http, "GET", feed_url(gateway, election, path))).body)
        checkpoint, _ = open_checkpoint(proof.note, keys)
        assert proof.extra == canonical(a_report(units_of(small)[-1]))
        verify_inclusion(
            len(receipts), checkpoint.size, leaf_hash(proof.extra), proof.hashes, checkpoint.root
        )
        async with gateway.administration() as acts:
            await acts.close_election(election)
        size = len(receipts) + 2
        await until_shown(gateway, http, election, size)
        checkpoint, _ = open_checkpoint(
            parse_note((await ask(http, "GET", feed_url(gateway, election, "/log/checkpoint"))).body), keys
        )
        path = f"/log/tile/entries/000.p/{size}"
        entries = decode_bundle((await ask(http, "GET", feed_url(gateway, election, path))).body, size)
        assert (checkpoint.size, checkpoint.root) == (size, root_of(map(leaf_hash, entries)))
        assert entries[1:-1] == [canonical(a_report(unit)) for unit in units_of(small)]
        document = (await ask(http, "GET", feed_url(gateway, election, ""))).document
        assert document["log"]["vkeys"] == [str(key) for key in keys]


async def test_a_new_history_is_shown_beside_the_one_before(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection, tmp_path: Path
) -> None:
    """As soon as it is signed, by processes that go on; the checkpoints of the one before stay readable."""
    election = await gateway.load(a_registry(small))
    sender = await gateway.issue(election, [COUNTRY])
    log = feed_url(gateway, election, "/log")
    async with signing(gateway.database, tmp_path / "sign", live=[election]) as signed:
        receipts = await pushed(http, sender, *(a_report(unit) for unit in units_of(small)[:10]))
        await until_shown(gateway, http, election, 11)
        head, sign_dir = await signed.log(election), signed.directory
    assert head is not None
    assert head.origin is not None
    before = (await ask(http, "GET", f"{log}/checkpoint")).body
    lost = Previous(origin=head.origin, root=b64encode(bytes(32)).decode(), shared=len(receipts), size=99)
    async with gateway.administration() as acts:
        await acts.start_history(election, lost, "a test")
    await asyncio.sleep(1.2)  # two polls, of every worker
    assert (await ask(http, "GET", f"{log}/checkpoint")).body == before
    sign_dir.create(sign_dir.origin(election, 2, rehearsal=False))
    async with signing(gateway.database, tmp_path / "sign") as signed:

        async def all_show() -> bool:
            seen = set()
            for _ in range(CONNECTIONS):
                async with aiohttp.ClientSession() as fresh:
                    seen.add((await ask(fresh, "GET", f"{log}/checkpoint")).body.split(b"\n")[0])
            return seen == {f"{head.origin}/2".encode()}

        await until(all_show)
        assert (await ask(http, "GET", f"{log}/history/1/checkpoint")).body == before
        document = (await ask(http, "GET", feed_url(gateway, election, ""))).document
        assert (document["log"]["history"], document["log"]["origin"]) == (2, f"{head.origin}/2")
        bundles = [
            decode_bundle((await ask(http, "GET", f"{log}{history}/tile/entries/000.p/11")).body, 11)
            for history in ("/history/1", "", "/history/2")
        ]
        assert bundles[0][0] == head.opening
        assert bundles[1] == bundles[2]
        assert bundles[0][1:] == bundles[1][1:]
        old, _ = open_checkpoint(parse_note(before), [parse_vkey(key) for key in head.vkeys])
        assert old.root == root_of(map(leaf_hash, bundles[0]))
        assert max(of_metric(await gateway.metrics(), "log_disagrees", election)) == 0


async def test_a_changed_body_is_noticed_by_a_feed_that_starts_again(
    database: Database, http: aiohttp.ClientSession, small: GeneratedElection, tmp_path: Path
) -> None:
    """It shows no newer checkpoint, and raises the metric; other elections go on."""
    async with running(database) as gateway:
        elections = [await gateway.load(a_registry(small)) for _ in range(2)]
        changed, other = elections
        senders = [await gateway.issue(election, [COUNTRY]) for election in elections]
        async with signing(database, tmp_path / "sign", live=elections):
            for revision in (1, 2):
                for sender in senders:
                    units = list(islice(units_of(small), 10))
                    await pushed(http, sender, *(a_report(unit, revision, revision) for unit in units))
                for election in elections:
                    await until_shown(gateway, http, election, 10 * revision + 1)
    owner = await asyncpg.connect(database.url, server_settings={"search_path": "valgnatt"})
    try:
        key = await owner.fetchval("SELECT key FROM valgnatt.election WHERE id = $1", changed)
        await rewritten(owner, key, 15, canonical(a_report(units_of(small)[4], 2, 5000)))
    finally:
        await owner.close()
    async with (
        running(database) as gateway,
        signing(database, tmp_path / "sign", live=elections),
    ):
        senders[1].gateway = gateway
        await shown(gateway, changed, 20)
        await pushed(http, senders[1], a_report(revision=9))
        await until_shown(gateway, http, other, 22)
        measured = await gateway.metrics()
        assert of_metric(measured, "log_disagrees", changed) == [1]
        assert of_metric(measured, "log_disagrees", other) == [0]
        assert of_metric(measured, "log_size", changed)[0] <= 15
        answer = await ask(http, "GET", feed_url(gateway, changed, "/log/checkpoint"))
        assert int(answer.body.splitlines()[1]) <= 15
        (await ask(http, "GET", feed_url(gateway, changed, "/log/proof/15"))).problem(
            404, "beyond_checkpoint"
        )
