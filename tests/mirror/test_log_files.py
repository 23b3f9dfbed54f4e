"""The signed log of an election in a mirror: complete at every moment, and only what its keys have signed."""

import json
from pathlib import Path
from typing import Any

from gateway.rehearsal.generator import GeneratedElection
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.entries import Previous
from gateway.transparency.note import ED25519
from gateway.transparency.policy import Policy
from gateway.verification.copies import Copy
from gateway.verification.record_verifier import RecordVerifier, Verified
from tests.feed.log_record import WrittenLog
from tests.feed.served import until
from tests.mirror.mirrored import mirrored, size_of
from tests.mirror.written import MemoryTarget


async def test_the_log_is_complete_at_every_moment_and_partial_tiles_are_removed_once_they_are_full(
    document: dict[str, Any], small: GeneratedElection, tmp_path: Path
) -> None:
    """What a checkpoint covers is written before it, and the copy verifies, also after a restart."""
    async with mirrored(document, small, 600) as mirror:
        policy = Policy.of_keys([mirror.log.key.vkey])
        for size in (1, 200, 300, 601):
            if size > 1:
                mirror.log.sign(size)
                mirror.door.hub.wake()
                await until(lambda size=size: mirror.door.feed.log.size == size)
            async with mirror.running(mirror.log.key.vkey):
                await until(lambda size=size: size_of(mirror) == size)
            for path, each in mirror.target.files.items():
                file = tmp_path / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(each.body)
            verified = await verified_copy(tmp_path / mirror.path, policy)
            assert verified.size == size
        order = mirror.target.writes
        last = len(order) - 1 - order[::-1].index(f"{mirror.path}/log/checkpoint")
        assert not [path for path in order[last:] if "/log/tile/" in path]
        paths = {
            path.removeprefix(f"{mirror.path}/log/") for path in mirror.target.files if "/log/tile/" in path
        }
        assert {path for path in paths if ".p/" in path} == {
            "tile/0/002.p/89", "tile/1/000.p/2", "tile/1/000.p/1", "tile/entries/002.p/89"
        }  # fmt: skip


async def verified_copy(directory: Path, policy: Policy) -> Verified:
    verifier = RecordVerifier(Copy(directory), policy)
    return await verifier.verify(await verifier.checkpoint())


async def test_a_later_history_of_the_log_replaces_the_files_of_the_one_before(
    document: dict[str, Any], small: GeneratedElection, tmp_path: Path
) -> None:
    """Although its tiles have the same paths; the copy verifies with the key of the new one."""
    target = MemoryTarget()
    async with mirrored(document, small, 20, target) as mirror:
        mirror.log.sign(21)
        async with mirror.running():
            await until(lambda: size_of(mirror) == 21)
        earlier = mirror.log
    previous = Previous(origin=earlier.key.vkey.name, root="A" * 43 + "=", shared=0, size=21)
    async with mirrored(document, small, 20, target, previous) as mirror:
        mirror.log.sign(15)
        async with mirror.running():
            await until(lambda: size_of(mirror) == 15)
        (tmp_path / "log/tile/0").mkdir(parents=True)
        (tmp_path / "log/tile/entries").mkdir()
        for name in ("checkpoint", "registry", "checkpoints.ndjson"):
            (tmp_path / "log" / name).write_bytes(mirror.body(f"log/{name}"))
        for kind in ("0", "entries"):
            (tmp_path / f"log/tile/{kind}/000.p").mkdir()
            (tmp_path / f"log/tile/{kind}/000.p/15").write_bytes(mirror.body(f"log/tile/{kind}/000.p/15"))
        verified = await verified_copy(tmp_path, Policy.of_keys([mirror.log.key.vkey]))
        assert (verified.size, verified.history) == (15, 2)


async def test_no_checkpoint_is_written_that_the_key_has_not_signed(
    document: dict[str, Any], small: GeneratedElection
) -> None:
    """And nothing else of the log; other files are written."""
    async with mirrored(document, small, 20) as mirror:
        another = WrittenLog(mirror.record.id, b"", previous=None)
        other = SigningKey(another.key.vkey.name, ED25519, b"o" * 32).vkey
        async with mirror.running(other):
            await until(lambda: "log" in mirror.documents.failures)
            assert "no key that is trusted here" in mirror.documents.failures["log"]
            await until(lambda: f"{mirror.path}/seats.csv" in mirror.target.files)
        assert not [path for path in mirror.target.files if "/log/" in path]


async def test_earlier_checkpoints_that_another_key_has_signed_are_left_out_of_the_list(
    document: dict[str, Any], small: GeneratedElection
) -> None:
    """After a change of keys, the new one has not signed them; without a key, all are listed."""
    async with mirrored(document, small, 20) as mirror:
        old = mirror.log.key
        mirror.log.key = SigningKey(old.vkey.name, ED25519, b"n" * 32)
        for size in (10, 21):
            mirror.log.sign(size)
        mirror.door.hub.wake()
        await until(lambda: mirror.door.feed.log.size == 21)
        new = mirror.log.key.vkey
        for keys, sizes in (((new,), [10, 21]), ((), [1, 10, 21]), ((old.vkey, new), [1, 10, 21])):
            mirror.target.files.clear()
            async with mirror.running(*keys):
                await until(lambda: size_of(mirror) == 21)
            lines = mirror.body("log/checkpoints.ndjson").splitlines()
            assert [json.loads(line)["size"] for line in lines] == sizes
