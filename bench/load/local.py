"""A gateway of a measurement's own: real processes on an embedded, durable Postgres, gone afterwards."""

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

from gateway.config import Config
from gateway.journal.embedded import find
from gateway.machine.serve import serve
from gateway.machine.supervisor import Ports
from gateway.rehearsal.dataset import DataSet
from gateway.rehearsal.generator import write_election
from gateway.telemetry import logs

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "elections" / "no-storting-2025"


class Local(msgspec.Struct, frozen=True):
    """A gateway of our own: where it is, and a look at its processes."""

    push_url: str
    feed_url: str
    admin_url: str
    database_url: str
    postmaster: int
    """Its process; pausing or ending it is what a scenario does to the database. 0: it is another's."""
    feed_database_url: str = ""
    postgres_settings: dict[str, str] = {}
    certificate: Path | None = None
    """Of both doors, where they speak TLS; it is to be trusted."""
    ready_at: float = 0.0
    """When all its processes were ready, in seconds since this machine began."""

    def session(self, *, streams: bool = False) -> aiohttp.ClientSession:
        """Return a session of a client that trusts the doors; what reads `streams` unpacks them by itself."""
        tls = ssl.create_default_context(cafile=self.certificate) if self.certificate is not None else True
        connector = aiohttp.TCPConnector(limit=0, ssl=tls)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=30.0)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=not streams)

    async def pids(self) -> dict[str, int]:
        """Return the process of each worker that runs."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.admin_url}/health/ready") as response,
        ):
            workers = (await response.json())["workers"]
        return {name: worker["pid"] for name, worker in workers.items() if worker["pid"] is not None}

    async def memory_kb(self) -> dict[str, int]:
        """Return the resident memory of each worker."""
        return {name: resident_kb(pid) for name, pid in (await self.pids()).items()}

    def postgres_pids(self) -> list[int]:
        """The server and all its processes."""
        found, below = [], [self.postmaster]
        while below:
            pid = below.pop()
            found.append(pid)
            try:
                below += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                pass  # gone meanwhile
        return found

    @contextmanager
    def postgres_stopped(self) -> Iterator[None]:
        """Have every process of it stand still for a while (SIGSTOP), as a machine that hangs does."""
        pids = self.postgres_pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(pids):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def postgres_usage(self) -> tuple[float, float]:
        """CPU seconds of the processes of Postgres there are now, and 0.0: shared memory would count many times."""
        return sum(cpu_s(pid) for pid in self.postgres_pids()), 0.0


def resident_kb(pid: int) -> int:
    """Resident memory of a process; 0 if it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def cpu_s(pid: int) -> float:
    """CPU seconds that a process took, in user space and kernel; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


@asynccontextmanager
async def gateway(**options: object) -> AsyncIterator[Local]:
    """Run a gateway, on an embedded Postgres unless another is named; `options` are those of its configuration."""
    directory = Path(tempfile.mkdtemp(prefix="valgnatt-bench-"))
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
async def election(data: Path | None = None) -> AsyncIterator[DataSet]:
    """The data set given, else the recorded election where it is at hand, else a made-up one of the same shape."""
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
