"""The signed record at the feed door: every path, its headers and its bounds, on a record that a test signs."""

import asyncio
import gzip
import hashlib
import json
from base64 import b64encode
from itertools import product
from typing import Any

import aiohttp
import msgspec
import pytest

from gateway.election.record import Publication
from gateway.feed import archive
from gateway.rehearsal.generator import GeneratedElection
from gateway.transparency.checkpoint import open_checkpoint
from gateway.transparency.entries import Previous
from gateway.transparency.merkle import leaf_hash, verify_inclusion
from gateway.transparency.note import parse_note
from gateway.transparency.proof_file import parse_proof
from gateway.transparency.tiles import decode_bundle
from gateway.transparency.tree import Tree
from gateway.web import feed_log
from tests.feed.log_record import WITNESSES, FakeLogs, WrittenLog
from tests.feed.served import FakeRecord, Served, a_night, served, until
from tests.web.described import undescribed
from tests.web.doors import Answer, ask

COUNT = 600
IMMUTABLE = "public, max-age=31536000, immutable"


class Signed:
    """A record of one election with a log, and a client of its door."""

    def __init__(self, small: GeneratedElection, count: int = COUNT, other: int = 0) -> None:
        self.night = a_night(small.registry, count)
        self.record = FakeRecord(small.registry, self.night, count)
        self.written = WrittenLog(self.record.id, self.record.document)
        self.written.add(self.night)
        self.logs = FakeLogs(self.written)
        self.http: aiohttp.ClientSession
        self.door: Served

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await ask(self.http, method, self.door.url(f"/log{path}"), headers=sent)

    async def shown(self, size: int) -> None:
        await until(lambda: self.door.feed.log.size == size)


@pytest.fixture
def signed(small: GeneratedElection) -> Signed:
    return Signed(small)


def opened(signed: Signed, http: aiohttp.ClientSession, **options: Any):  # type: ignore[no-untyped-def]
    """Open the door of a record."""
    signed.http = http
    return served(signed.record, logs=signed.logs, **options)


def assert_fixed(answer: Answer) -> None:
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == IMMUTABLE
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_tiles_and_bundles_are_those_of_the_record(signed: Signed, http: aiohttp.ClientSession) -> None:
    """As far as the newest checkpoint covers them, whatever follows; each has one address."""
    tree = Tree()
    for entry in signed.written.entries[:530]:
        tree.append(entry)
    signed.written.sign(530)
    async with opened(signed, http) as signed.door:
        await signed.shown(530)
        for path, tile in (
            ("0/000", tree.tile(0, 0)),
            ("0/001", tree.tile(0, 1)),
            ("0/002.p/18", tree.tile(0, 2, 18)),
            ("0/002.p/5", tree.tile(0, 2, 5)),
            ("1/000.p/2", tree.tile(1, 0, 2)),
        ):
            answer = await signed.get(f"/tile/{path}")
            assert_fixed(answer)
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.body == tile
            again = await signed.get(f"/tile/{path}", If_None_Match=answer.headers["ETag"])
            assert (again.status, again.body) == (304, b"")
        for path, first, last in (
            ("000", 0, 256),
            ("001", 256, 512),
            ("002.p/18", 512, 530),
            ("002.p/5", 512, 517),
        ):
            for coding in ("identity", "gzip"):
                answer = await signed.get(f"/tile/entries/{path}", Accept_Encoding=coding)
                assert_fixed(answer)
                assert answer.headers["Vary"] == "Accept-Encoding"
                packed = answer.headers.get("Content-Encoding") == "gzip"
                assert packed == (coding == "gzip" and path != "002.p/5")  # which is too short
                body = gzip.decompress(answer.body) if packed else answer.body
                assert decode_bundle(body, last - first) == signed.written.entries[first:last]
        for path in (
            "0/002",
            "0/002.p/19",
            "0/003",
            "1/000.p/3",
            "1/000",
            "2/000.p/1",
            "6/000.p/1",
            "0/x001/000",
        ):
            (await signed.get(f"/tile/{path}")).problem(404, "beyond_checkpoint")
        for path in ("entries/002", "entries/002.p/19", "entries/x999/x999/999.p/255"):
            (await signed.get(f"/tile/{path}")).problem(404, "beyond_checkpoint")
        for path in ("0/0", "0/1000", "0/x000/001", "00/000", "64/000", "63/000", "0/000.p/0", "0/000.p/256",
                     "0/000.p/01", "x/000", "0/000.p/", "0/000/", "entries/000.p/x", "0/x001000",):  # fmt: skip
            (await signed.get(f"/tile/{path}")).problem(400, "bad_tile")


async def test_checkpoints_are_read_one_by_one_and_in_pages(
    signed: Signed, http: aiohttp.ClientSession
) -> None:
    """With the cosignatures that have arrived; sizes without a checkpoint, and beyond the newest, have none."""
    for size in (1, 20, 300, 601):
        signed.written.sign(size)
    lines = [signed.written.cosign(size, WITNESSES[0]) + "\n" for size in (20, 601)]
    async with opened(signed, http) as signed.door:
        await signed.shown(601)
        answer = await signed.get("/checkpoint")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Cache-Control"] == "public, max-age=1"
        assert answer.body.decode() == signed.written.checkpoints[3].note + lines[1]
        checkpoint, _ = open_checkpoint(parse_note(answer.body), [signed.written.key.vkey])
        assert (checkpoint.size, checkpoint.root) == (601, signed.written.root(601))
        assert (await signed.get("/checkpoint", If_None_Match=answer.headers["ETag"])).status == 304
        head = await signed.get("/checkpoint", "HEAD")
        assert (head.status, head.body, head.headers["ETag"]) == (200, b"", answer.headers["ETag"])
        assert (await signed.get("/checkpoints/20")).body.decode() == signed.written.checkpoints[
            1
        ].note + lines[0]
        assert (await signed.get("/checkpoints/601")).body == answer.body
        (await signed.get("/checkpoints/21")).problem(404, "unknown_checkpoint")
        for text in ("0", "x", "020", "-1", "1e2"):
            (await signed.get(f"/checkpoints/{text}")).problem(404, "unknown_checkpoint")
        for text in ("602", "9" * 15):
            (await signed.get(f"/checkpoints/{text}")).problem(404, "beyond_checkpoint")
        page = await signed.get("/checkpoints?after=1&limit=2")
        assert page.headers["Content-Type"] == "application/x-ndjson"
        documents = [json.loads(line) for line in page.body.splitlines()]
        assert [each["size"] for each in documents] == [20, 300]
        assert documents[0] == {
            "size": 20,
            "root": b64encode(signed.written.root(20)).decode(),
            "signed_at": "2025-09-08T19:05:00Z",
            "note": signed.written.checkpoints[1].note + lines[0],
        }
        assert len((await signed.get("/checkpoints")).body.splitlines()) == 4
        assert (await signed.get("/checkpoints?after=601")).body == b""
        for query in ("after=x", "limit=0", "limit=1001", "from=1", "after=1&after=2"):
            (await signed.get(f"/checkpoints?{query}")).problem(400, "bad_query")


async def test_a_proof_shows_that_the_newest_checkpoint_covers_a_report(
    signed: Signed, http: aiohttp.ClientSession
) -> None:
    """With nothing but the key; until a checkpoint covers the report, a client is to ask again in 5 s."""
    signed.written.sign(530)
    signed.written.cosign(530, WITNESSES[0])
    async with opened(signed, http) as signed.door:
        await signed.shown(530)
        for sequence in (1, 255, 256, 529):
            answer = await signed.get(f"/proof/{sequence}")
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
            proof = parse_proof(answer.body)
            assert (proof.index, proof.extra) == (sequence, signed.night[sequence - 1].body)
            checkpoint, _ = open_checkpoint(proof.note, [signed.written.key.vkey])
            assert proof.extra is not None
            verify_inclusion(sequence, 530, leaf_hash(proof.extra), proof.hashes, checkpoint.root)
            assert len(proof.note.signatures) == 2
        missing = await signed.get("/proof/530")
        missing.problem(404, "beyond_checkpoint")
        assert missing.headers["Retry-After"] == "5"
        assert (await signed.get("/proof/99999999")).body == missing.body
        for text in ("0", "01", "x", "-1", "1" * 17):
            (await signed.get(f"/proof/{text}")).problem(400, "bad_sequence")
        signed.written.close(signed.night[-1])
        signed.written.sign()
        await signed.shown(602)
        assert (await signed.get("/proof/600")).status == 200
        closed = await signed.get("/proof/601")
        closed.problem(404, "beyond_checkpoint")
        assert "Retry-After" not in closed.headers
        bundle = decode_bundle((await signed.get("/tile/entries/002.p/90")).body, 90)
        assert bundle == signed.written.entries[512:602]


async def test_the_registry_is_the_one_of_the_opening_entry(
    signed: Signed, http: aiohttp.ClientSession
) -> None:
    signed.written.sign(1)
    async with opened(signed, http) as signed.door:
        await signed.shown(1)
        answer = await signed.get("/registry")
        assert_fixed(answer)
        assert answer.body == signed.record.document
        opening = decode_bundle((await signed.get("/tile/entries/000.p/1")).body, 1)[0]
        assert json.loads(opening)["registry"] == hashlib.sha256(answer.body).hexdigest()
        packed = await signed.get("/registry", Accept_Encoding="gzip")
        assert gzip.decompress(packed.body) == answer.body


async def test_elections_say_what_their_log_is(signed: Signed, http: aiohttp.ClientSession) -> None:
    """Null without one, and then every path below `log` says so."""
    async with opened(signed, http) as signed.door:
        for url in (signed.door.origin + "/v1/elections", signed.door.url("")):
            document = (await ask(http, "GET", url)).document
            shown = {
                "origin": signed.written.key.vkey.name,
                "vkeys": [str(signed.written.key.vkey)],
                "history": 1,
                "witnesses": [],
            }
            assert document.get("elections", [document])[0]["log"] == shown
        (await signed.get("/checkpoint")).problem(404, "not_signed")  # nothing is signed yet
    signed.logs.logs[0].head = msgspec.structs.replace(signed.written.head, origin=None)
    async with opened(signed, http) as signed.door:
        assert (await ask(http, "GET", signed.door.url(""))).document["log"] is None
        paths = (
            "checkpoint",
            "checkpoints",
            "checkpoints/1",
            "tile/0/000",
            "tile/entries/000",
            "proof/1",
            "registry",
        )
        for path in paths:
            (await signed.get(f"/{path}")).problem(404, "not_signed")
            (await signed.get(f"/history/1/{path}")).problem(404, "not_signed")


async def test_an_earlier_history_can_be_read(signed: Signed, http: aiohttp.ClientSession) -> None:
    """Its checkpoints, and its tiles and entries as far as the next history shares them; the newest by number too."""
    written = signed.written
    for size in (1, 300, 601):
        written.sign(size)
    previous = Previous(origin=written.key.vkey.name, root="", shared=400, size=601)
    newest = WrittenLog(signed.record.id, signed.record.document, previous=previous)
    newest.add(signed.night)
    newest.sign(500)
    signed.logs.logs.append(newest)
    async with opened(signed, http) as signed.door:
        await signed.shown(500)
        assert (await signed.get("/history/1/checkpoint")).body.decode() == written.checkpoints[-1].note
        assert (await signed.get("/history/2/checkpoint")).body == (await signed.get("/checkpoint")).body
        assert (await signed.get("/history/1/checkpoints/300")).status == 200
        assert len((await signed.get("/history/1/checkpoints?after=1")).body.splitlines()) == 2
        assert (await signed.get("/history/1/registry")).body == signed.record.document
        old = decode_bundle((await signed.get("/history/1/tile/entries/000")).body, 256)
        assert old == written.entries[:256]
        assert decode_bundle((await signed.get("/tile/entries/000")).body, 256) == newest.entries[:256]
        tile = (await signed.get("/history/1/tile/0/000")).body
        assert tile == b"".join(map(leaf_hash, written.entries[:256]))
        assert (await signed.get("/history/1/tile/0/001.p/145")).status == 200
        (await signed.get("/history/1/tile/0/001.p/146")).problem(404, "beyond_checkpoint")
        (await signed.get("/history/1/proof/401")).problem(404, "beyond_checkpoint")
        for text in ("0", "3", "01", "x"):
            (await signed.get(f"/history/{text}/checkpoint")).problem(404, "unknown_history")


async def test_a_changed_report_is_not_shown_in_a_signed_record(
    signed: Signed, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in a bundle nor in a proof nor in a range; the metric says so, and what is in memory is shown."""
    monkeypatch.setattr(archive, "TAIL_MAX", 100)
    signed.written.sign()

    def changed(each: Publication) -> Publication:
        return msgspec.structs.replace(each, body=each.body.replace(b"final", b"final "))

    async with opened(signed, http) as signed.door:
        await signed.shown(601)
        monkeypatch.setattr(archive, "RANGE_SIZE", 100)
        signed.door.feed.archive._tail = type(signed.door.feed.archive._tail)(
            list(signed.door.feed.archive._tail)[-100:], 100
        )
        signed.record.night = [*signed.night[:9], changed(signed.night[9]), *signed.night[10:]]
        for path in ("/log/tile/entries/000", "/log/proof/10", "/publications?after=0&limit=10"):
            answer = await ask(http, "GET", signed.door.url(path))
            answer.problem(503, "journal_unavailable")
        assert (await signed.get("/tile/0/000")).status == 200
        assert (await signed.get("/proof/600")).status == 200
        signed.door.hub.refresh_gauges()
        exposed = signed.door.metrics.registry.get_sample_value(
            "valgnatt_log_disagrees", {"election": signed.record.id}
        )
        assert exposed == 1
        signed.record.night = signed.night
        assert (await signed.get("/tile/entries/000")).status == 200


async def test_what_was_shown_stays_when_the_record_is_another_one(
    signed: Signed, small: GeneratedElection, http: aiohttp.ClientSession
) -> None:
    """Checkpoint and tiles are those of the record that was shown; entries of another are not shown with them."""
    signed.written.sign()
    async with opened(signed, http) as signed.door:
        await signed.shown(601)
        shown = [(await signed.get(path)).body for path in ("/checkpoint", "/tile/0/000")]
        generation = signed.door.feed.generation
        signed.record.night = a_night(small.registry, COUNT, votes=2)
        signed.door.hub.wake()
        await until(lambda: signed.door.feed.generation != generation)
        await until(lambda: signed.door.feed.settled and signed.door.feed.log.disagrees)
        assert [(await signed.get(path)).body for path in ("/checkpoint", "/tile/0/000")] == shown
        for path in ("/tile/entries/000", "/proof/600"):
            (await signed.get(path)).problem(503, "journal_unavailable")
        assert (await ask(http, "GET", signed.door.url("/publications"))).status == 200
        generation = signed.door.feed.generation
        signed.record.night = signed.night
        signed.door.hub.wake()
        await until(lambda: signed.door.feed.generation != generation)
        await until(lambda: signed.door.feed.settled and not signed.door.feed.log.disagrees)
        assert (await signed.get("/checkpoint")).body == shown[0]
        assert (await signed.get("/tile/entries/000")).status == 200


async def test_old_entries_are_read_once_for_all_and_charged_to_who_asks_first(
    signed: Signed, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One address alone gets no more than its allowance; bundles that are made already are for everybody."""
    monkeypatch.setattr(feed_log, "BUNDLE_COST", 1 << 20)
    signed.written.sign()
    async with opened(signed, http, unshared_per_address=1) as signed.door:
        await signed.shown(601)
        for path in ("/tile/entries/000", "/tile/entries/001"):
            assert (await signed.get(path)).status == 200
        refused = await signed.get("/tile/entries/001.p/255")
        for width in range(1, 20):
            if refused.status == 200:
                refused = await signed.get(f"/tile/entries/001.p/{width}")
        refused.problem(429, "overloaded")
        for path in ("/proof/1", "/checkpoints?after=0"):
            (await signed.get(path)).problem(429, "overloaded")
        for path in ("/tile/entries/000", "/tile/0/000", "/checkpoint", "/checkpoints/601", "/registry"):
            assert (await signed.get(path)).status == 200
        asked = await asyncio.gather(*(signed.get("/tile/entries/001") for _ in range(5)))
        assert {each.status for each in asked} == {200}


async def test_answers_are_as_the_description_says(signed: Signed, http: aiohttp.ClientSession) -> None:
    """Of the newest history and by number, as they are, unchanged, wrong, and as heads."""
    signed.written.sign(4)
    given = {"history": "1", "size": "4", "level": "0", "tile": "000.p/4", "sequence": "3"}
    async with opened(signed, http) as signed.door:
        await signed.shown(4)
        given["election"] = signed.record.id

        async def described(path: str, method: str, status: int, **names: str) -> None:
            path = "/v1/elections/{election}" + path
            headers = {"If-None-Match": "*"} if status == 304 else {}
            url = signed.door.origin + path.format(**{**given, **names})
            answer = await ask(http, method, url, headers=headers)
            assert answer.status == status, (path, answer.body[:300])
            assert not undescribed(path, method, answer), (path, answer)

        await described("", "GET", 200)
        for log, method in product(("/log", "/log/history/{history}"), ("GET", "HEAD")):
            rest = ("/checkpoint", "/checkpoints", "/checkpoints/{size}", "/proof/{sequence}", "/registry")
            for path in (*rest, "/tile/{level}/{tile}"):
                for status in (200, 304):
                    await described(log + path, method, status)
                await described(log + path, method, 404, election="none")
            await described(log + "/tile/{level}/{tile}", method, 200, level="entries")
            await described(log + "/tile/{level}/{tile}", method, 400, tile="4")
            await described(log + "/tile/{level}/{tile}", method, 404, tile="000")
            await described(log + "/checkpoints/{size}", method, 404, size="2")
            await described(log + "/proof/{sequence}", method, 404, sequence="4")
            await described(log + "/proof/{sequence}", method, 400, sequence="0")
        await described("/log/history/{history}/checkpoint", "GET", 404, history="2")
