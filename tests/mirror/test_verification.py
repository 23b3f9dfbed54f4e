"""`valgnatt verify record` reads the mirror of an election: in its directory, and on a web server with static files."""

import asyncio
import json
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.mirror import documents, history
from gateway.mirror.directory import Directory
from gateway.mirror.documents import Paces
from gateway.mirror.mirror import Mirror
from gateway.transparency.policy import Policy
from gateway.verification.failures import VerificationFailed
from gateway.verification.restorable import read_restorable
from gateway.verification.static_mirror import MirrorDirectory, open_copy
from gateway.wire.mirror import (
    FORMAT,
    Live,
    decode_live,
    election_path,
    encode_live,
    live_path,
    range_path,
    rest_path,
    snapshot_path,
)
from tests.election.makers import DOCUMENT
from tests.feed.log_record import FakeLogs, WrittenLog
from tests.feed.served import FakeRecord, a_night, served, until
from tests.fork_server import Command

NIGHT, SIGNED = 1_010, 1_006
"""Publications, and the size of the newest checkpoint, which does not cover the last of them."""


@asynccontextmanager
async def mirroring(directory: Path) -> AsyncIterator[WrittenLog]:
    """Write a mirror of an election in which everything is public, and keep it fresh."""
    record = FakeRecord(DOCUMENT, a_night(DOCUMENT, NIGHT), shown=NIGHT)
    log = WrittenLog(record.id, record.document)
    log.add(record.night)
    for size in (1, 700, SIGNED):
        log.sign(size)
    target = Directory(directory)
    async with served(record, logs=FakeLogs(log)) as door:
        await target.open()
        running = asyncio.create_task(Mirror(door.origin, record.id, target, every_s=1).run())
        try:
            await until(lambda: _shows(directory, record.id))
            yield log
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await target.close()


def _shows(directory: Path, election: str) -> bool:
    file = directory / live_path(election)
    checkpoint = directory / f"v1/elections/{election}/log/checkpoint"
    return file.exists() and checkpoint.exists() and decode_live(file.read_bytes()).documents == NIGHT


async def verified(*arguments: object) -> tuple[int, dict[str, Any]]:
    with Command("verify", "record", *arguments, "--json", environ=os.environ) as process:
        output, _ = await asyncio.to_thread(process.communicate)
        return process.returncode, json.loads(output)


async def test_a_mirror_is_verified_by_its_url_and_its_directory_with_every_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entries, earlier checkpoints, tiles, ranges, and all areas; and a figure that was changed is named."""
    monkeypatch.setattr(documents, "PACES", Paces(*(0.05,) * len(Paces._fields)))
    monkeypatch.setattr(history, "REFRESH_S", 0.2)
    application = web.Application()
    application.router.add_static("/cdn", tmp_path)
    async with mirroring(tmp_path) as log, TestServer(application) as server:
        election = DOCUMENT["election"]["id"]
        url = str(server.make_url("/cdn"))
        key = ("--key", str(log.key.vkey))
        for where in (url, f"{url}/v1/elections/{election}", tmp_path, tmp_path / "v1/elections" / election):
            status, found = await verified(where, *key)
            assert (status, found["verified"]) == (0, True), found
            assert (found["size"], found["publications"]) == (SIGNED, SIGNED - 1)
            assert (found["figures_at"], found["unsigned"]) == (NIGHT, NIGHT - SIGNED + 1)
            assert found["areas"] == len(DOCUMENT["areas"])
        policy = Policy.of_keys([log.key.vkey])
        for where in (url, str(tmp_path)):
            async with open_copy(where, election) as record:
                with tempfile.TemporaryFile() as file:
                    copy = await read_restorable(record, policy, json.dumps(DOCUMENT).encode(), file)
            assert (copy.reports, len(copy.checkpoints)) == (SIGNED - 1, 3)
        await _check_stopped(tmp_path, election, key)
        live = decode_live((tmp_path / live_path(election)).read_bytes())
        profile = live.profiles["area-a"]
        path = tmp_path / snapshot_path(election, live.history, "area-a", profile.snapshot)
        first, rest = path.read_bytes().split(b"\n", 1)
        area = json.loads(first)
        area["units"]["reported"] -= 1
        path.write_bytes(json.dumps(area).encode() + b"\n" + rest)
        status, found = await verified(tmp_path, *key)
        assert (status, found["code"]) == (1, "figures_differ")
        assert "area a (A) is shown with units.reported" in found["detail"]


async def _check_stopped(directory: Path, election: str, key: tuple[str, str]) -> None:
    """Require that a mirror that ended before its publications reached its areas is verified without figures."""
    copied = directory.parent / "stopped"
    shutil.copytree(directory, copied)
    live = copied / live_path(election)
    live.write_bytes(re.sub(rb'"written_at":"20\d\d', b'"written_at":"2001', live.read_bytes()))
    rest = copied / f"v1/elections/{election}/publications/rest.ndjson"
    rest.write_bytes(b"".join(rest.read_bytes().splitlines(keepends=True)[:-1]))
    status, found = await verified(copied, *key)
    assert (status, found["size"], found["figures_at"]) == (0, SIGNED, None)


async def test_a_range_that_was_completed_after_live_json_was_written_is_read(tmp_path: Path) -> None:
    """The mirror writes the range, then what follows it, and seconds later the `live.json` that names the range."""
    election, name = "made-up-1", "20250908T190000Z-5f3a9c21"
    live = Live(
        format=FORMAT, election=election, history=name, sequence=990, chain="", cursor="", published_at=None,
        written_at=datetime.now(UTC), every_s=2, recent=(), documents=0, ranges=0, holds=0, profiles={},
    )  # fmt: skip
    published_at = datetime.now(UTC).isoformat()
    lines = [
        b'{"sequence":%d,"published_at":"%s","digest":"","chain":""}\n' % (sequence, published_at.encode())
        for sequence in range(1, 2006)
    ]
    (tmp_path / range_path(election, name, 1)).parent.mkdir(parents=True)
    (tmp_path / live_path(election)).write_bytes(encode_live(live))
    for number in (1, 2):
        complete = b"".join(lines[1000 * number - 1000 : 1000 * number])
        (tmp_path / range_path(election, name, number)).write_bytes(complete)
    (tmp_path / rest_path(election)).write_bytes(b"".join(lines[2000:]))
    record = MirrorDirectory(tmp_path / election_path(election))
    for after, last in ((0, 2005), (0, 1500), (999, 2001), (1500, 2000), (2002, 2010)):
        found = [line.sequence async for page in record.publications(after, last) for line in page]
        assert found == list(range(after + 1, min(last, 2005) + 1))
    (tmp_path / range_path(election, name, 2)).unlink()
    with pytest.raises(VerificationFailed, match="1001-2000"):
        [page async for page in record.publications(0, 2005)]
