"""A gateway as an operator runs it: `python -m gateway serve` by itself, with the options that it has by default.

Its supervisor is a process of its own, so its memory is measured apart from that of the load, and everything is logged
to files, whose growth is observed. It has two push and two feed processes, so that one of each can be restarted while
the other one goes on, and a signer.
"""

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from bench.load.local import Local
from bench.load.processes import end
from gateway.journal.embedded import find

START_S, END_S = 180.0, 60.0
WORKERS = 2
"""Processes of each door."""
OPTIONS: dict[str, object] = {
    "push_port": 0,
    "feed_port": 0,
    "admin_port": 0,
    "push_workers": WORKERS,
    "feed_workers": WORKERS,
    "log_format": "json",
    "log_name": "soak.example",
}


class Installation:
    """A running gateway and the files that it writes."""

    def __init__(self, process: Process, directory: Path, ports: dict[str, int]) -> None:
        self.process = process
        self.directory = directory
        self.data_dir = directory / "data"
        self.log = directory / "gateway.log"
        database = find(self.data_dir)
        assert database is not None
        self.local = Local(
            f"http://127.0.0.1:{ports['push']}",
            f"http://127.0.0.1:{ports['feed']}",
            f"http://127.0.0.1:{ports['admin']}",
            database.url,
            database.pid,
            database.feed_url,
        )

    def logged_errors(self) -> list[str]:
        """Return the lines that were logged as errors or worse."""
        with self.log.open("rb") as lines:
            return [
                line.decode(errors="replace").strip()
                for line in lines
                if b'"level":"error"' in line or b'"level":"critical"' in line
            ]

    async def stop(self) -> int:
        """Stop the gateway; return its exit status."""
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(END_S):
            return await self.process.wait()


@asynccontextmanager
async def installation(directory: Path) -> AsyncIterator[Installation]:
    """Run a gateway until the block ends, with its database, keys and log in a directory.

    Raises RuntimeError with the end of the log if it does not start.
    """
    options = {**OPTIONS, "data_dir": directory / "data", "sign_dir": directory / "keys"}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
    environ |= {f"VALGNATT_{name.upper()}": str(value) for name, value in options.items()}
    log = directory / "gateway.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve"),
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
            env=environ,
            cwd=directory,
        )
    try:
        yield Installation(process, directory, await _ports(process, log))
    finally:
        await end(process, END_S)


async def _ports(process: Process, log: Path) -> dict[str, int]:
    ends = time.monotonic() + START_S
    while True:
        lines = log.read_bytes().splitlines()  # noqa: ASYNC240 - a short local file
        started: list[dict[str, Any]] = [orjson.loads(line) for line in lines if b'"event":"started"' in line]
        if started:
            return {door: started[0][door] for door in ("push", "feed", "admin")}
        if process.returncode is not None or time.monotonic() > ends:
            text = b" / ".join(lines[-5:]).decode(errors="replace")
            raise RuntimeError(f"the gateway did not start: {text}")
        await asyncio.sleep(0.05)


async def workers(local: Local, session: aiohttp.ClientSession) -> dict[str, dict[str, Any]]:
    """Return the state of each worker by its name. Raises aiohttp.ClientError and TimeoutError."""
    async with session.get(f"{local.admin_url}/health/ready") as response:
        found: dict[str, dict[str, Any]] = (await response.json())["workers"]
    return found
