"""Our client and aics-witness, a witness of another project, agree; and its client and our witness do.

aics-witness (PyPI) needs Python 3.12, so it is installed in an environment of its own; without `aics-witness` in PATH
these tests are skipped.
"""

import asyncio
import json
import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.reserved_ports import reserved_port
from gateway.signer.witness_client import (
    Conflict,
    Cosigned,
    Newest,
    NotOffered,
    Refused,
    Unreachable,
    WitnessClient,
)
from gateway.transparency.note import parse_vkey
from tests.web.doors import until
from tests.witness.logs import GrowingLog
from tests.witness.processes import WitnessProcess

AICS = shutil.which("aics-witness")
PYTHON = str(Path(AICS or "").resolve().parent / "python")
pytestmark = pytest.mark.skipif(AICS is None, reason="aics-witness (PyPI, needs Python 3.12) is not in PATH")
NAME = "witness.example.org/other"
LOG = GrowingLog()
FEED = """
import base64, json, sys
from aics_witness.feeder import WitnessClient, WitnessRejected
url, vkey = sys.argv[1:3]
client = WitnessClient(url, vkey, max_attempts=1)
found = []
for step in json.load(sys.stdin):
    proofs = {int(old): [base64.b64decode(each) for each in proof] for old, proof in step["proofs"].items()}
    try:
        found.append(client.submit(step["note"], lambda old, new: proofs[old]))
    except Exception as error:
        found.append(type(error).__name__)
print(json.dumps(found))
"""


def aics(directory: Path, *arguments: str) -> str:
    assert AICS is not None
    done = subprocess.run([AICS, *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout


@contextmanager
def running_aics(directory: Path) -> Iterator[tuple[str, str]]:
    """Run the other witness; yield its key and its URL."""
    aics(directory, "init", "--name", NAME)
    aics(directory, "add-log", "--origin", LOG.origin, "--vkey", str(LOG.key.vkey))
    vkey = json.loads(aics(directory, "status", "--json"))["witness"]["vkey"]
    assert AICS is not None
    with reserved_port() as port:
        command = [AICS, "serve", "--listen", f"127.0.0.1:{port}"]
        process = subprocess.Popen(
            command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield vkey, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


async def test_other_witness_cosigns_for_our_client(tmp_path: Path) -> None:
    """Cosignatures that verify, sizes in conflicts, refusals of forks, and its newest checkpoint."""
    with running_aics(tmp_path) as (vkey, url):
        async with WitnessClient(parse_vkey(vkey), url, timeout_s=30) as client:

            async def listening() -> bool:
                return not isinstance(await client.newest(LOG.origin), Unreachable)

            await until(listening)
            assert await client.newest(LOG.origin) == NotOffered()
            old = 0
            for size in (1, 5, 256, 300):
                answer = await client.submit(LOG.origin, old, LOG.proof(old, size), LOG.note(size))
                assert isinstance(answer, Cosigned)
                old = size
            assert await client.submit(LOG.origin, 5, LOG.proof(5, 400), LOG.note(400)) == Conflict(300)
            for refused in (
                await client.submit(LOG.origin, 300, (), GrowingLog(shared=9).note(300)),
                await client.submit(LOG.origin, 300, LOG.proof(300, 400)[:-1], LOG.note(400)),
            ):
                assert isinstance(refused, Refused)
                assert refused.inconsistent
            newest = await client.newest(LOG.origin)
            assert isinstance(newest, Newest)
            assert newest.checkpoint == LOG.checkpoint(300)


async def test_client_of_the_other_witness_is_content_with_ours(tmp_path: Path) -> None:
    """It verifies our cosignatures, continues from the size in a conflict, and gives up on a fork."""
    fork = GrowingLog(shared=9)

    def step(log: GrowingLog, size: int) -> dict[str, object]:
        proofs = {
            old: [b64encode(each).decode() for each in log.proof(old, size)]
            for old in (0, 5, 300)
            if old <= size
        }
        return {"note": log.note(size).decode(), "proofs": proofs}

    process = await asyncio.to_thread(WitnessProcess, tmp_path / "w", LOG)
    with process:
        steps = json.dumps([step(LOG, 5), step(LOG, 300), step(LOG, 300), step(fork, 400), step(fork, 300)])
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = await asyncio.to_thread(
            subprocess.run,
            [PYTHON, "-c", FEED, process.url, str(process.vkey)],
            input=steps, capture_output=True, text=True, check=True, env=environ,
        )  # fmt: skip
    *lines, unproven, forked = json.loads(done.stdout)
    assert all(line.startswith(f"— {process.vkey.name} ") for line in lines)
    assert unproven == "WitnessRejected"
    assert forked in ("WitnessRejected", "BadWitnessResponse")  # 409: it expects 422, as in tlog-witness 1.1
