"""Programs that read a log with implementations of other projects, and how to run them.

Every program takes the URL of a log, the key of the log and the sequences whose proof files it is to verify. If all of
it is right, it prints JSON in its last line and ends with status 0. `make readers` installs those in Python, Debian the
one in Go (golang-1.19-go, golang-golang-x-mod-dev), and `npm ci` the one in JavaScript.
"""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PYTHON = ROOT / ".readers" / "bin" / "python"
GO = (
    shutil.which("go")
    or shutil.which("go", path="/usr/lib/go-1.19/bin")
    or shutil.which("go", path="/usr/local/go/bin")
)
GOPATH = Path("/usr/share/gocode")
NODE_MODULES = ROOT / "node_modules"
LIMIT_S = 100.0


class Reader(NamedTuple):
    """A program, and what has to be installed for it."""

    command: Sequence[str]
    missing: str | None
    """Why it cannot run here; None if it can."""
    environ: Mapping[str, str] = {}
    reads_entries: bool = False
    """Whether it reads all tiles and entries; the others read checkpoints and proof files."""
    knows_witnesses: bool = False
    """Whether it verifies cosignatures; the others ignore them."""


def readers() -> dict[str, Reader]:
    """Every reader, by the name of the implementation."""
    python = None if (ROOT / ".readers" / ".installed").exists() else "not installed: make readers"
    go = (
        None
        if GO and (GOPATH / "src/golang.org/x/mod/sumdb").is_dir()
        else ("not installed: apt-get install golang-1.19-go golang-golang-x-mod-dev")
    )
    node = None
    if shutil.which("node") is None:
        node = "Node.js is not installed"
    elif not (NODE_MODULES / "@sigstore" / "verify").is_dir():
        node = "not installed: npm ci"
    go_environ = {
        "GO111MODULE": "off",
        "GOPATH": str(GOPATH),
        "GOFLAGS": "",
        "GOCACHE": str(ROOT / ".readers" / "go-build"),
    }
    return {
        "golang.org/x/mod/sumdb": Reader(
            (GO or "go", "run", str(HERE / "go" / "main.go")), go, go_environ, True
        ),
        "tlog-scales": Reader(
            (str(PYTHON), str(HERE / "scales.py")), python, reads_entries=True, knows_witnesses=True
        ),
        "metamorphic-log": Reader((str(PYTHON), str(HERE / "metamorphic.py")), python),
        "sigstore": Reader((str(PYTHON), str(HERE / "rekor.py")), python),
        "@sigstore/verify": Reader(("node", str(HERE / "rekor.js")), node),
    }


async def read_log(
    reader: Reader, url: str, vkey: str, sequences: Sequence[int], witness: str = ""
) -> dict[str, Any] | str:
    """Run a reader; return the JSON that it prints or, if it refuses the log, what it writes about it.

    A reader that knows witnesses verifies that the one with this key has cosigned the newest checkpoint.
    """
    process = await asyncio.create_subprocess_exec(
        *reader.command,
        url,
        vkey,
        *map(str, sequences),
        env={**os.environ, **reader.environ, "WITNESS": witness},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        return errors.decode()
    result: dict[str, Any] = orjson.loads(output.strip().rpartition(b"\n")[2])
    return result
