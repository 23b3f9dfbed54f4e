"""A gateway of a measurement's own: real processes on an embedded, durable Postgres, gone afterwards."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from gateway import logs
from gateway.config import Config
from gateway.dataset import DataSet
from gateway.generator import write_election
from gateway.journal.embedded import find
from gateway.machine import serve
from gateway.supervisor import Ports

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "elections" / "no-storting-2025"


class Local(msgspec.Struct, frozen=True):
    push_url: str
    feed_url: str
    admin_url: str
    database_url: str

    async def memory_kb(self) -> dict[str, int]:
        """Return the resident memory of each worker."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.admin_url}/health/ready") as response,
        ):
            workers = (await response.json())["workers"]
        return {name: resident_kb(worker["pid"]) for name, worker in workers.items()}


def resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"no process {pid}")


@asynccontextmanager
async def gateway(**knobs: object) -> AsyncIterator[Local]:
    directory = Path(tempfile.mkdtemp(prefix="valgnatt-bench-"))
    wanted = {
        "push_port": 0,
        "feed_port": 0,
        "admin_port": 0,
        "drain_s": 1.0,
        "log_level": "warning",
        **knobs,
    }
    config = msgspec.structs.replace(Config(), data_dir=directory / "data", **wanted)
    logs.configure("bench", level="warning")
    stop = asyncio.Event()
    started: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(config, on_started=started.set_result, stop=stop))
    try:
        await asyncio.wait((serving, asyncio.ensure_future(started)), return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            serving.result()
            raise RuntimeError("the gateway did not start")
        ports, running = started.result(), find(config.data_dir)
        assert running is not None
        push_url, feed_url, admin_url = (
            f"http://127.0.0.1:{port}" for port in (ports.push, ports.feed, ports.admin)
        )
        yield Local(push_url, feed_url, admin_url, running.url)
    finally:
        stop.set()
        await asyncio.wait({serving})
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def election() -> AsyncIterator[DataSet]:
    """The recorded election where it is at hand, else a made-up one of the same shape."""
    if RECORDED.is_dir():
        yield DataSet.open(RECORDED)
        return
    directory = Path(tempfile.mkdtemp(prefix="valgnatt-bench-"))
    try:
        write_election(directory, 1, 1.0)
        yield DataSet.open(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
