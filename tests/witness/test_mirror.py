"""A mirror keeps what was cosigned, completely and checked, whatever interrupts it; and delays no cosignature."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.signer.witness_client import Cosigned, WitnessClient
from gateway.transparency.checkpoint import parse_checkpoint
from gateway.transparency.note import parse_note
from gateway.transparency.policy import Policy
from gateway.transparency.tree import Tree
from gateway.verification.copies import Copy
from gateway.verification.failures import VerificationFailed
from gateway.verification.feed_record import open_record
from gateway.verification.record_verifier import RecordVerifier
from gateway.witness import mirrored_log
from gateway.witness.decision import Kept
from gateway.witness.logs import Log
from gateway.witness.mirrored_log import MirroredLog, MirrorFull
from gateway.witness.state import CosignedCheckpoint
from tests.client.doors import a_door
from tests.transparency.records import LOG_KEY, ORIGIN, OTHER_KEY, Fault, Night, a_night, policy
from tests.verification.feed import PREFIX, Feed, serving
from tests.web.doors import until
from tests.witness.logs import GrowingLog, Running
from tests.witness.processes import WitnessProcess

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TRUST = Policy.of_keys([LOG_KEY.vkey])


def beginning(night: Night, size: int) -> Night:
    """The record as it was at a size."""
    return replace(night, entries=night.entries[:size], publications=night.publications[: size - 1])


def cosigned_of(*sizes: int, night: Night | None = None) -> Any:
    """What a witness answers that has cosigned a record at these sizes."""

    def up_to(size: int) -> CosignedCheckpoint | None:
        at = max((each for each in sizes if each <= size), default=None)
        if at is None:
            return None
        note = beginning(night or a_night(closed=True), at).note()
        root = b64decode(note.split(b"\n")[2])
        return CosignedCheckpoint(ORIGIN, at, root, note, 5, "— w AAAAAAA=\n")

    return up_to


@asynccontextmanager
async def mirroring(feed: Feed, directory: Path, *sizes: int) -> AsyncIterator[MirroredLog]:
    async with open_record(feed.url) as record:
        yield MirroredLog(record, directory, TRUST, cosigned_of(*sizes))


async def mirror(night: Night, directory: Path, *sizes: int) -> None:
    async with serving(night) as feed, mirroring(feed, directory, *(sizes or (night.size,))) as copy:
        await copy.update()


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()
    }


async def size_of(directory: Path) -> int:
    return parse_checkpoint(parse_note(await Copy(directory).checkpoint()).text).size


async def test_copy_is_complete_and_can_be_verified(tmp_path: Path) -> None:
    """With the policy of a reader, as `verify record DIR` does; it is the copy that `--save` makes."""
    night = a_night(closed=True)
    await mirror(night, tmp_path / "mirror")
    verifier = RecordVerifier(Copy(tmp_path / "mirror"), policy())
    verified = await verifier.verify(await verifier.checkpoint())
    assert (verified.size, verified.publications) == (night.size, night.size - 2)
    found, expected = files_of(tmp_path / "mirror"), files_of(night.write(tmp_path / "written"))
    for files in (found, expected):
        (line,) = files.pop("log/checkpoints.ndjson").splitlines()
        assert json.loads(line)["note"] == night.note().decode()
    assert found == expected


async def test_nothing_is_copied_before_it_is_cosigned(tmp_path: Path) -> None:
    """And then up to the largest cosigned checkpoint that the door shows, with the cosignature of the witness."""
    async with serving(a_night()) as feed:
        async with mirroring(feed, tmp_path) as copy:
            await copy.update()
            assert files_of(tmp_path) == {}
        async with mirroring(feed, tmp_path, 100, 270, 400) as copy:
            await copy.update()
            assert copy.size == 270
    assert await size_of(tmp_path) == 270
    assert (await Copy(tmp_path).checkpoint()).endswith("— w AAAAAAA=\n".encode())
    verifier = RecordVerifier(Copy(tmp_path), TRUST)
    assert (await verifier.verify(await verifier.checkpoint())).size == 270


async def test_copy_grows_with_the_record_and_over_restarts(tmp_path: Path) -> None:
    """And is at each size what a copy in one go is."""
    night = a_night()
    async with serving(night) as feed:
        for number, size in enumerate((1, 2, 256, 257, 300, 301)):
            feed.night = beginning(night, size)
            async with mirroring(feed, tmp_path / "grown", size) as copy:
                await copy.update()
                await copy.update()
            await mirror(feed.night, tmp_path / str(number))
            grown = files_of(tmp_path / "grown")
            del grown["log/checkpoints.ndjson"]
            once = files_of(tmp_path / str(number))
            del once["log/checkpoints.ndjson"]
            assert grown == once
    lines = (tmp_path / "grown/log/checkpoints.ndjson").read_text().splitlines()
    assert [json.loads(line)["size"] for line in lines] == [1, 2, 256, 257, 300, 301]


@pytest.mark.parametrize("fail_at", range(5))
async def test_interrupted_copy_is_continued(tmp_path: Path, fail_at: int) -> None:
    """Whichever request fails: in the same process, and in a new one."""
    night = a_night()
    for restarted in (False, True):
        directory, remaining = tmp_path / str(restarted), fail_at

        def failing(handler: Handler) -> Handler:
            async def handle(request: web.Request) -> web.StreamResponse:
                nonlocal remaining
                remaining -= 1
                return web.Response(status=404) if remaining == -1 else await handler(request)

            return handle

        feed = Feed(night)
        routes = [web.get(each.path, failing(each.handler)) for each in feed.routes()]
        async with a_door(*routes) as url:
            feed.url = f"{url}{PREFIX}"
            async with mirroring(feed, directory, night.size) as copy:
                with pytest.raises(VerificationFailed):
                    await copy.update()
                if not restarted:
                    await copy.update()
            if restarted:
                async with mirroring(feed, directory, night.size) as copy:
                    await copy.update()
        assert await size_of(directory) == night.size
        verifier = RecordVerifier(Copy(directory), policy())
        await verifier.verify(await verifier.checkpoint())


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.FLIPPED_BIT, "root_mismatch"),
        (Fault.TWO_SWAPPED, "root_mismatch"),
        (Fault.LAST_LEFT_OUT, "root_mismatch"),
        (Fault.OTHER_KEY, "bad_signature"),
        (Fault.PARTIES_EXCHANGED, "registry_mismatch"),
        (Fault.OTHER_DIGEST, "chain_mismatch"),
        (Fault.OTHER_CHAIN, "chain_mismatch"),
    ],
)
async def test_wrong_record_is_not_copied(tmp_path: Path, fault: Fault, code: str) -> None:
    """What was copied before stays; once the door shows the right record again, the copy is continued."""
    night = a_night()
    async with serving(beginning(night, 4)) as feed, mirroring(feed, tmp_path, 4, night.size) as copy:
        await copy.update()
        before = files_of(tmp_path)["log/checkpoint"]
        feed.night = a_night(fault)
        for _ in range(2):
            with pytest.raises(VerificationFailed) as raised:
                await copy.update()
            assert raised.value.code == code
        assert files_of(tmp_path)["log/checkpoint"] == before
        feed.night = night
        await copy.update()
        assert copy.size == night.size


async def test_wrong_full_bundle_is_not_kept(tmp_path: Path) -> None:
    """Bundles are written as they are read; if they do not lead to the root, they are read again."""
    night = a_night()
    entries = (*night.entries[:10], night.entries[10] + b" ", *night.entries[11:])
    wrong = replace(night, entries=entries, signed=night.entries)
    async with serving(wrong) as feed, mirroring(feed, tmp_path, night.size) as copy:
        with pytest.raises(VerificationFailed, match="hash to the root"):
            await copy.update()
        feed.night = night
        await copy.update()
        assert copy.size == night.size


@pytest.mark.parametrize("fault", [Fault.NOT_A_SUM, Fault.REVISION_REPEATED, Fault.SECOND_OPENING])
async def test_signed_entry_that_is_wrong_is_kept(tmp_path: Path, fault: Fault) -> None:
    """As evidence: the log has signed it."""
    night = a_night(fault)
    async with serving(night) as feed, open_record(feed.url) as record:
        feed.published = 0  # they would be those of the right record
        await MirroredLog(record, tmp_path, TRUST, cosigned_of(night.size, night=night)).update()
    assert await size_of(tmp_path) == night.size


async def test_later_cosignatures_are_added(tmp_path: Path) -> None:
    """A closed record is complete only with those of all witnesses."""
    night = replace(a_night(closed=True), cosigners=())
    async with serving(night) as feed, mirroring(feed, tmp_path, night.size) as copy:
        await copy.update()
        feed.night = a_night(closed=True)
        await copy.update()
        assert await Copy(tmp_path).checkpoint() == feed.night.note()
        feed.night = night
        await copy.update()
        assert len(parse_note(await Copy(tmp_path).checkpoint()).signatures) == 3


async def test_full_disk_ends_the_copying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is full: the state of the witness may be on it."""
    monkeypatch.setattr(mirrored_log, "FREE_MIN", 1 << 60)
    with pytest.raises(MirrorFull, match="MiB are kept"):
        await mirror(a_night(), tmp_path)


def follow_night(running: Running) -> None:
    running.follow(Log(ORIGIN, (LOG_KEY.vkey,)))


def body_of(night: Night, old: int = 0, proof: tuple[bytes, ...] | None = None) -> bytes:
    tree = Tree()
    for entry in night.entries:
        tree.append(entry)
    hashes = tree.consistency_proof(old) if proof is None else proof
    return GrowingLog(ORIGIN).body(old, night.size, hashes, night.note())


def test_unproven_checkpoints_are_settled_by_the_copy(tmp_path: Path) -> None:
    """A true one with a wrong proof is none, and a false one is a fork."""
    night, other = a_night(), a_night(Fault.NOT_A_SUM)
    with Running(tmp_path / "w") as running:
        follow_night(running)
        assert running.ask(body_of(beginning(night, 100))).status == 200
        for each in (beginning(night, 200), other):
            assert running.ask(body_of(each, 100, (b"x" * 32,))).status == 422
        assert [each.kind for each in running.state.evidence()] == [Kept.UNPROVEN] * 2
        running.witness.settle(ORIGIN, night.tree().root, 250)
        assert [each.size for each in running.state.evidence()] == [other.size]
        running.witness.settle(ORIGIN, night.tree().root, night.size)
        (evidence,) = running.state.evidence()
        assert (evidence.kind, evidence.size) == (Kept.FORK, other.size)
        assert running.seen.evidence == [evidence]


def test_fork_that_the_door_shows_is_kept(tmp_path: Path) -> None:
    """As one that was submitted; a checkpoint of a stranger is ignored."""
    night, other = a_night(), a_night(Fault.NOT_A_SUM)
    with Running(tmp_path / "w") as running:
        follow_night(running)
        running.ask(body_of(night))
        running.witness.examine(parse_note(night.note()))
        running.witness.examine(parse_note(replace(other, log_key=OTHER_KEY).note()))
        assert running.state.evidence() == []
        running.witness.examine(parse_note(other.note()))
        running.witness.examine(parse_note(beginning(other, 50).note()), forked=True)
        assert [(each.kind, each.size) for each in running.state.evidence()] == [
            (Kept.FORK, 50),
            (Kept.FORK, other.size),
        ]


async def test_witness_mirrors_what_it_cosigned(tmp_path: Path) -> None:
    """The command itself: a copy below the origin, its size in the log; and a door that fails delays no cosignature."""
    night, directory = a_night(), tmp_path / "mirror"
    async with serving(beginning(night, 150)) as feed:
        process = await asyncio.to_thread(
            WitnessProcess, tmp_path / "w", f"{LOG_KEY.vkey}={feed.url}", options=("--mirror", directory)
        )
        with process:
            async with WitnessClient(process.vkey, process.url, timeout_s=30) as client:
                first = beginning(night, 150)
                assert isinstance(await client.submit(ORIGIN, 0, (), first.note()), Cosigned)

                async def copied() -> bool:
                    try:
                        return await size_of(directory / ORIGIN) == 150
                    except VerificationFailed:
                        return False

                await until(copied)

                async def logged() -> bool:
                    return any('"entries":150' in line for line in process.log)

                await until(logged)
                feed.night = a_night(Fault.FLIPPED_BIT)
                tree = night.tree()
                answer = await client.submit(ORIGIN, 150, tree.consistency_proof(150), night.note())
                assert isinstance(answer, Cosigned)

                async def refused() -> bool:
                    return any('"code":"root_mismatch"' in line for line in process.log)

                await until(refused)
                assert isinstance(await client.submit(ORIGIN, night.size, (), night.note()), Cosigned)
    assert await size_of(directory / ORIGIN) == 150
