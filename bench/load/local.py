"""A gateway that is started for one measurement: real processes on an embedded Postgres that flushes its commits."""

import asyncio
import os
import shutil
import signal
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import aiohttp
import asyncpg
import msgspec

from bench.load.processes import family, resident_kb
from gateway.config import Config
from gateway.journal.embedded import find
from gateway.machine.serve import serve
from gateway.machine.supervisor import Ports
from gateway.rehearsal.dataset import DataSet
from gateway.rehearsal.generator import write_election
from gateway.telemetry import logs

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "elections" / "no-storting-2025"


class Local(msgspec.Struct, frozen=True):
    """A gateway that was started here: its addresses and its processes."""

    push_url: str
    feed_url: str
    admin_url: str
    database_url: str
    postmaster: int
    """Its process id, so that a scenario can stop the database; 0: the database belongs to another gateway."""
    feed_database_url: str = ""
    postgres_settings: dict[str, str] = {}
    certificate: Path | None = None
    """File of the certificate of both ports if they use TLS; clients have to trust it."""
    ready_at: float = 0.0
    """When all its processes were ready, in seconds since this machine was booted."""

    def session(self, *, streams: bool = False) -> aiohttp.ClientSession:
        """Return a client session that trusts the certificate; with `streams`, bodies are not decompressed."""
        tls = ssl.create_default_context(cafile=self.certificate) if self.certificate is not None else True
        connector = aiohttp.TCPConnector(limit=0, ssl=tls)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=30.0)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=not streams)

    async def pids(self) -> dict[str, int]:
        """Return the process id of each running worker."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.admin_url}/health/ready") as response,
        ):
            workers = (await response.json())["workers"]
        return {name: worker["pid"] for name, worker in workers.items() if worker["pid"] is not None}

    async def memory_kb(self) -> dict[str, int]:
        """Return the resident memory of each worker."""
        return {name: resident_kb(pid) for name, pid in (await self.pids()).items()}

    @contextmanager
    def postgres_stopped(self) -> Iterator[None]:
        """Stop every process of Postgres with SIGSTOP for the duration of the block, as if its machine hung."""
        pids = family(self.postmaster)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(pids):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


async def _settings(database_url: str) -> dict[str, str]:
    connection = await asyncpg.connect(database_url)
    try:
        names = (
            "server_version",
            "shared_buffers",
            "wal_sync_method",
            "fsync",
            "synchronous_commit",
            "max_wal_size",
        )
        return {name: await connection.fetchval("SELECT current_setting($1)", name) for name in names}
    finally:
        await connection.close()


def new_directory() -> Path:
    """Create the directory of a gateway, whose database will be in `data`."""
    return Path(tempfile.mkdtemp(prefix="valgnatt-bench-"))


@asynccontextmanager
async def gateway(**options: object) -> AsyncIterator[Local]:
    """Run a gateway, on an embedded Postgres unless `database_url` names another; `options` as in its configuration."""
    directory = new_directory()
    wanted = {
        "push_port": 0,
        "feed_port": 0,
        "admin_port": 0,
        "drain_s": 1.0,
        "readers_per_address": None,
        "connections_per_address": None,
        "log_level": "warning",
        **options,
    }
    config = msgspec.structs.replace(Config(), data_dir=directory / "data", **wanted)
    logs.configure("bench", level="warning")
    stop = asyncio.Event()
    started: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
    ready_at = 0.0

    def note(ports: Ports) -> None:
        nonlocal ready_at
        ready_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        started.set_result(ports)

    serving = asyncio.create_task(serve(config, on_started=note, stop=stop))
    try:
        await asyncio.wait((serving, asyncio.ensure_future(started)), return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            serving.result()
            raise RuntimeError("the gateway did not start")
        ports, running = started.result(), find(config.data_dir)
        url = config.database_url or (running.url if running is not None else "")
        scheme = "http" if config.feed_tls_certificate is None else "https"
        yield Local(
            f"{scheme}://127.0.0.1:{ports.push}",
            f"{scheme}://127.0.0.1:{ports.feed}",
            f"http://127.0.0.1:{ports.admin}",
            url,
            running.pid if running is not None else 0,
            config.feed_database_url or (running.feed_url if running is not None else url),
            await _settings(url),
            config.feed_tls_certificate,
            ready_at,
        )
    finally:
        stop.set()
        await asyncio.wait({serving})
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def open_data_set(data: Path | None = None) -> AsyncIterator[DataSet]:
    """Open the given data set, else the recorded election if it is available, else a generated one of its size."""
    if data is not None:
        yield DataSet.open(data)
        return
    if RECORDED.is_dir():
        yield DataSet.open(RECORDED)
        return
    directory = Path(tempfile.mkdtemp(prefix="valgnatt-bench-"))
    try:
        write_election(directory, 1, 1.0)
        yield DataSet.open(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
