"""Servers and networks for fault injection: a Postgres to kill, stop, restore or promote, and network links to it.

    with a_server(tmp_path) as server:                  a durable Postgres for one test
    async with a_pair(tmp_path) as pair:                a primary and its synchronous standby; pair.database is both
    async with a_link(port_of(server.tcp_url)) as link: a network to a port of 127.0.0.1; with_hosts(url, link.host)
    async with a_postgres_link(port) as link:           a link that recognizes appends and can lose their answers

A link always accepts connections, and forwards their data at once, late, or not at all. Data waiting in a silent link
arrives when the silence ends, as TCP retransmits it; data on a half-open connection never arrives. A server keeps its
address until its block ends, whether it is running or not.
"""

import asyncio
import atexit
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.migrate import migrate
from gateway.journal.postgres_programs import EmbeddedPostgresError, find_binaries
from tests.in_memory import directory_in_memory
from tests.journal.network import port_of, with_hosts
from tests.web.doors import until

PIECE_BYTES = 65536
PIECES_IN_TRANSIT_MAX = 256
"""Pieces in transit per direction of a connection; at this limit the link stops reading."""
TIMEOUT_S = 30.0
"""How long to wait for a condition before the test fails."""

UnitRevisions = list[tuple[str, int]]
"""Unit and revision of each report."""


# Postgres.


class Server(EmbeddedPostgres):
    """A Postgres for fault injection, which keeps its address throughout. For the main thread only."""

    @property
    def data_dir(self) -> Path:
        """The directory with its cluster and its log."""
        return self._dir

    @property
    def cluster(self) -> Path:
        """The data directory of Postgres."""
        return self._cluster

    def processes(self) -> list[int]:
        """Return the postmaster and its children."""
        with suppress(FileNotFoundError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return [self.pid, *map(int, children)]
        return []

    def signal_all(self, number: int) -> None:
        """Send a signal to all of its processes."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def crash(self) -> None:
        """Kill all processes at once, as a power failure does; they are stopped first, so that none can react."""
        pids = self.processes()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        assert self._server is not None
        self._server.wait(TIMEOUT_S)

    def shut_down(self) -> None:
        """Shut it down cleanly; its port remains reserved."""
        self._end()

    @property
    def ended(self) -> bool:
        """Whether the postmaster has exited."""
        return self._server is None or self._server.poll() is not None

    def start_again(self) -> None:
        """Start it at the same address, after a shutdown or a crash."""
        self.restart()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Suspend all of its processes (SIGSTOP) until the block ends."""
        self.signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal_all(signal.SIGCONT)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """Open a session as its owner, without a link in between."""
        connection = await asyncpg.connect(self.url, timeout=TIMEOUT_S)
        try:
            yield connection
        finally:
            connection.terminate()

    async def ask(self, query: str, *arguments: object) -> Any:
        """Return the first value of a query."""
        async with self.session() as connection:
            return await connection.fetchval(query, *arguments)

    async def tool(self, name: str, *arguments: str) -> None:
        """Run a tool of the same Postgres as the same user, and assert that it succeeds."""
        process = await asyncio.create_subprocess_exec(
            *self._prefix,
            str(self._bin / name),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd="/",
            env={"PATH": os.defpath, "HOME": str(self._dir), "LC_ALL": "C", "TZ": "UTC"},
        )
        async with asyncio.timeout(TIMEOUT_S):
            _, stderr = await process.communicate()
        assert process.returncode == 0, f"{name}: {stderr.decode()}"

    async def back_up(self, to: Path, name: str = "backup", *options: str) -> None:
        """Copy the running cluster into a new directory (pg_basebackup)."""
        os.mkdir(to, mode=0o700)
        os.chown(to, self._uid, -1)
        source = f"{self.tcp_url}?application_name={name}"
        await self.tool("pg_basebackup", "-d", source, "-D", str(to), "-X", "stream", "-c", "fast", *options)

    def log_tail(self) -> str:
        """Return the last lines of its log, for the report of a failure."""
        return "\n".join((self._dir / "server.log").read_text(errors="replace").splitlines()[-15:])


@contextmanager
def a_server(directory: Path, **options: Any) -> Iterator[Server]:
    """Run a durable server with a migrated database; skip the test if there are no Postgres binaries."""
    require_binaries()
    directory.chmod(0o755)
    if "binaries" not in options:
        copy_cluster(directory / "data")
    with Server(directory / "data", listen_tcp=True, **options) as server:
        _run_blocking(migrate(server.url))
        try:
            yield server
        except BaseException as error:
            error.add_note(f"the end of the log of Postgres:\n{server.log_tail()}")
            raise


def copy_cluster(data_dir: Path) -> None:
    """Make the data directory of an embedded Postgres with a migrated database, as a copy: initdb takes far longer."""
    subprocess.run(["cp", "-a", str(_migrated()), str(data_dir)], check=True)


@cache
def _migrated() -> Path:
    """Return the data directory to copy; this process makes it once."""
    home = Path(tempfile.mkdtemp(prefix="valgnatt-", dir=directory_in_memory()))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    home.chmod(0o755)
    with EmbeddedPostgres(home / "data", durable=False) as server:
        _run_blocking(migrate(server.url))
    for name in ("owner.lock", "server.log"):
        (home / "data" / name).unlink()
    return home / "data"


def require_binaries() -> None:
    """Skip the test if there are no Postgres binaries."""
    try:
        find_binaries(None)
    except EmbeddedPostgresError as error:
        pytest.skip(str(error))


def _run_blocking(coroutine: Any) -> None:
    """Run a coroutine to completion, also from within a running event loop."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(coroutine)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@dataclass
class DatabaseUrls:
    """The URLs of a database, as configured in the gateway."""

    url: str
    feed_url: str


def urls_of(*servers: Server, hosts: Mapping[Server, str] | None = None) -> DatabaseUrls:
    """Return the TCP addresses of servers, all in one URL; `hosts` gives the links in front of some of them."""
    names = [(hosts or {}).get(server, f"127.0.0.1:{port_of(server.tcp_url)}") for server in servers]
    first = servers[0]
    reader = first.feed_url.partition("://")[2].partition("@")[0]
    database = first.tcp_url.rpartition("/")[2]
    return DatabaseUrls(
        with_hosts(first.tcp_url, *names), f"postgresql://{reader}@{','.join(names)}/{database}"
    )


class Pair:
    """A primary and a synchronous standby, whose roles can be swapped."""

    def __init__(self, first: Server, second: Server) -> None:
        self.servers = {"a": first, "b": second}

    @property
    def database(self) -> DatabaseUrls:
        """The addresses of both servers in one URL."""
        return urls_of(*self.servers.values())

    async def follow(self, standby: str, primary: str) -> None:
        """Make every commit of the primary wait for the standby, and wait until that is in effect."""
        server = self.servers[primary]
        async with server.session() as connection:
            await connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 ({standby})'")
            await connection.execute("SELECT pg_reload_conf()")

        async def synchronous() -> bool:
            return bool(
                await server.ask(
                    "SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = $1"
                    " AND sync_state = 'sync' AND state = 'streaming'",
                    standby,
                )
            )

        await until(synchronous, TIMEOUT_S)

    async def promote(self, name: str) -> None:
        """Promote the standby; its commits wait for no other server."""
        async with self.servers[name].session() as connection:
            assert await connection.fetchval("SELECT pg_promote()")

    async def rejoin(self, name: str, primary: str) -> None:
        """Make the former primary a standby of the new one, with pg_rewind."""
        server, source = self.servers[name], self.servers[primary]
        conninfo = f"{source.tcp_url}?application_name={name}"
        await server.tool("pg_rewind", "-D", str(server.cluster), f"--source-server={conninfo}", "-R")
        server.start_again()
        await self.follow(name, primary)


@asynccontextmanager
async def a_pair(directory: Path, **options: Any) -> AsyncIterator[Pair]:
    """Run two servers, of which `b` follows `a`: a commit of `a` completes when `b` has flushed it.

    `options` are those of `a`.
    """
    with a_server(directory, **options) as first:
        # pg_rewind reads the WAL back to the last checkpoint before the timelines diverged, and first lets Postgres
        # recover with the configuration files of the cluster.
        await first.ask("ALTER SYSTEM SET wal_keep_size = '512MB'")
        other = directory / "other"
        other.mkdir(mode=0o700)
        os.chown(other, first.data_dir.stat().st_uid, -1)
        shutil.copy(first.data_dir / "passwords", other / "passwords")
        await first.back_up(other / "cluster", "b", "-R")
        with Server(other, listen_tcp=True) as second:
            pair = Pair(first, second)
            await pair.follow("b", "a")
            try:
                yield pair
            except BaseException as error:
                error.add_note(f"the end of the log of b:\n{second.log_tail()}")
                raise


# Clocks.


class Clock:
    """The clock of programs that run with `environ`: the system time plus an offset in seconds."""

    def __init__(self, directory: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler is installed, which shifting a program's clock needs")
        self._offset = directory / "offset"
        self._offset.write_bytes(bytes(8))
        library = directory / "clock.so"
        source = directory / "clock.c"
        source.write_text(_CLOCK)
        made = subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            pytest.skip(f"cannot build the library that shifts a program's clock: {made.stderr.strip()}")
        self.environ = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._offset)}

    def set(self, seconds: int) -> None:
        """Set the offset from the system time; a negative one sets the clock back."""
        with open(self._offset, "r+b", buffering=0) as file:
            file.write(struct.pack("q", seconds))

    def binaries(self, directory: Path) -> Path:
        """Create a directory of Postgres binaries of which the server uses this clock."""
        directory.mkdir()
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.environ.items())
        for name, before in (("postgres", f"env {words} "), ("initdb", "")):
            script = directory / name
            script.write_text(
                f'#!/bin/sh\nexec {before}{shlex.quote(str(find_binaries(None) / name))} "$@"\n'
            )
            script.chmod(0o755)
        for tool in find_binaries(None).iterdir():
            if tool.name not in ("postgres", "initdb"):
                (directory / tool.name).symlink_to(tool)
        return directory


_CLOCK = r"""
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t none = 0, *offset = &none;

__attribute__((constructor)) static void open_offset(void) {
    const char *path = getenv("CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *found = file >= 0 ? mmap(0, 8, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
    if (found != MAP_FAILED) offset = found;
    if (file >= 0) close(file);
}
int clock_gettime(clockid_t which, struct timespec *at) {
    int failed = syscall(SYS_clock_gettime, which, at);
    if (!failed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) at->tv_sec += *offset;
    return failed;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""
"""A library to preload that adds an offset, read from a file, to the time of day."""


# Networks.


@dataclass(eq=False)
class Connection:
    """A connection through a link, with its state."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    half_open: bool = False
    """Nothing on it arrives any more, not even its end."""
    traffic: "_PostgresTraffic" = field(default_factory=lambda: _PostgresTraffic())

    def cut(self) -> None:
        """Reset it on both sides (RST)."""
        no_lingering = struct.pack("ii", 1, 0)
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
            writer.transport.abort()


class Link:
    """A network to a port of 127.0.0.1. Invariants: bytes of a connection keep their order, and none is repeated."""

    def __init__(self, to: int) -> None:
        self.port = 0
        self.delay_s = 0.0
        """The delay of all data, in each direction."""
        self.refusing = False
        """Whether new connections are closed immediately."""
        self.accepted = 0
        """The number of connections made."""
        self.connections: set[Connection] = set()
        self._to = to
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def host(self) -> str:
        """Host and port, as written in the URL of a database."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Its address as the URL of a door."""
        return f"http://{self.host}"

    def cut(self) -> None:
        """Reset all existing connections."""
        for connection in tuple(self.connections):
            connection.cut()

    def make_half_open(self) -> None:
        """Make all existing connections half-open; new ones work normally."""
        for connection in self.connections:
            connection.half_open = True

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Accept connections and data but forward nothing, until the block ends."""
        self._passing.clear()
        try:
            yield
        finally:
            self._passing.set()

    @contextmanager
    def slow(self, delay_s: float) -> Iterator[None]:
        """Delay all data by `delay_s`, in each direction, until the block ends."""
        self.delay_s = delay_s
        try:
            yield
        finally:
            self.delay_s = 0.0

    @contextmanager
    def down(self) -> Iterator[None]:
        """Reset all connections and refuse new ones, until the block ends."""
        self.refusing = True
        self.cut()
        try:
            yield
        finally:
            self.refusing = False

    def forward_request(self, connection: Connection, data: bytes) -> bool:
        """Inspect data from a client; return whether to forward it."""
        return True

    def forward_answer(self, connection: Connection, data: bytes) -> bool:
        """Inspect data from the server; return whether to forward it."""
        return True

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(serving)
        serving.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = None
        try:
            if self.refusing:
                return
            await self._passing.wait()
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._to)
            connection = Connection((writer, other_writer))
            self.connections.add(connection)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(connection, reader, other_writer, self.forward_request))
                both.create_task(self._carry(connection, other_reader, writer, self.forward_answer))
        except* OSError:
            pass
        finally:
            writer.transport.abort()
            if connection is not None:
                connection.writers[1].transport.abort()
                self.connections.discard(connection)

    async def _carry(
        self,
        connection: Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        inspect: Callable[[Connection, bytes], bool],
    ) -> None:
        clock = asyncio.get_running_loop().time
        in_transit: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PIECES_IN_TRANSIT_MAX)

        async def deliver() -> None:
            data = b"something"
            while data:
                due, data = await in_transit.get()
                while (wait_s := due - clock()) > 0:  # noqa: ASYNC110 - waits for a point in time
                    await asyncio.sleep(wait_s)
                await self._passing.wait()
                if connection.half_open:
                    continue
                if not data:
                    if not writer.is_closing():
                        writer.write_eof()
                elif inspect(connection, data):
                    writer.write(data)
                    await writer.drain()

        async with asyncio.TaskGroup() as parts:
            parts.create_task(deliver())
            data = b"something"
            while data:
                data = await reader.read(PIECE_BYTES)
                await in_transit.put((clock() + self.delay_s, data))
        if connection.half_open:
            await asyncio.Event().wait()  # it ends with the link, without notice to either side

    async def close(self) -> None:
        """Close all connections."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


class _PostgresTraffic:
    """Parses the messages of a Postgres client on one connection, and the answer to its append."""

    def __init__(self) -> None:
        self.appends: set[bytes] = set()
        """Names of the prepared statements that append."""
        self.lost: UnitRevisions | None = None
        """The reports of the append in progress, if its answer is to be lost."""
        self.answer = b""
        self._received = b""
        self._started = False

    def reports(self, data: bytes) -> UnitRevisions:
        """Parse data from the client; return the reports of an append that it completes."""
        found: UnitRevisions = []
        self._received += data
        while message := self._message():
            kind, body = message
            if kind == b"P":
                name, query = body.split(b"\0", 2)[:2]
                if b"append_v4" in query:
                    self.appends.add(name)
            elif kind == b"B" and body.split(b"\0", 2)[1] in self.appends:
                found += [(unit.decode(), int(revision)) for revision, unit in _REPORT.findall(body)]
        return found

    def _message(self) -> tuple[bytes, bytes] | None:
        head = 1 if self._started else 0
        if len(self._received) < head + 4:
            return None
        end = head + int.from_bytes(self._received[head : head + 4])
        if len(self._received) < end:
            return None
        kind, body = self._received[:head], self._received[head + 4 : end]
        self._received = self._received[end:]
        if not self._started:
            self._started = body[:4] == _VERSION_3  # an SSLRequest may come first
            kind = b"?"
        return kind, body

    def committed(self, data: bytes) -> bool | None:
        """Parse data of an answer; return whether the append is committed, or None until the answer is complete."""
        self.answer += data
        rest, kinds = self.answer, b""
        while len(rest) >= 5 and len(rest) > (size := int.from_bytes(rest[1:5])):
            kinds += rest[:1]
            rest = rest[1 + size :]
        if b"Z" not in kinds:
            return None
        return b"E" not in kinds


_VERSION_3 = struct.pack("!I", 3 << 16)
_REPORT = re.compile(rb'"revision":(\d+),"status":"\w+","unit":"([^"]+)"')
"""Matches the canonical form of a report, whose keys are sorted."""


class PostgresLink(Link):
    """A link to Postgres that recognizes appends with reports."""

    def __init__(self, to: int) -> None:
        super().__init__(to)
        self._to_lose: tuple[str, asyncio.Future[UnitRevisions]] | None = None

    async def lose(self, what: str) -> UnitRevisions:
        """Break the connection of the next append and return its reports. `what` is lost:

        - "append": the append never reaches Postgres;
        - "answer": Postgres has committed, and its answer does not arrive;
        - "answer, silently": the same, but the connection becomes half-open instead of being reset.
        """
        lost: asyncio.Future[UnitRevisions] = asyncio.get_running_loop().create_future()
        self._to_lose = (what, lost)
        async with asyncio.timeout(TIMEOUT_S):
            return await lost

    def forward_request(self, connection: Connection, data: bytes) -> bool:
        reports = connection.traffic.reports(data)
        if not reports or self._to_lose is None:
            return True
        if self._to_lose[0] == "append":
            self._break(connection, reports)
            return False
        if not any(each.traffic.lost for each in self.connections):
            connection.traffic.lost = reports
            connection.traffic.answer = b""
        return True

    def forward_answer(self, connection: Connection, data: bytes) -> bool:
        traffic = connection.traffic
        if traffic.lost is None:
            return True
        committed = traffic.committed(data)
        if committed:
            self._break(connection, traffic.lost)
        elif committed is False:  # an error: wait for the next append
            traffic.lost = None
            connection.writers[0].write(traffic.answer)
        return False

    def _break(self, connection: Connection, reports: UnitRevisions) -> None:
        assert self._to_lose is not None
        what, lost = self._to_lose
        self._to_lose = None
        connection.traffic.lost = None
        if what.endswith("silently"):
            connection.half_open = True
        else:
            connection.cut()
        if not lost.done():
            lost.set_result(reports)


L = TypeVar("L", bound=Link)


@asynccontextmanager
async def _listening(link: L) -> AsyncIterator[L]:
    server = await asyncio.start_server(link._connected, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        await link.close()


@asynccontextmanager
async def a_link(to: int) -> AsyncIterator[Link]:
    """Run a link to a port of 127.0.0.1."""
    async with _listening(Link(to)) as link:
        yield link


@asynccontextmanager
async def a_postgres_link(to: int) -> AsyncIterator[PostgresLink]:
    """Run a link to a Postgres."""
    async with _listening(PostgresLink(to)) as link:
        yield link


@asynccontextmanager
async def links_to(server: Server) -> AsyncIterator[tuple[PostgresLink, PostgresLink, DatabaseUrls]]:
    """Run a link to a server for each door; yield both, and the URLs that lead through them."""
    async with AsyncExitStack() as opened:
        port = port_of(server.tcp_url)
        push = await opened.enter_async_context(a_postgres_link(port))
        feed = await opened.enter_async_context(a_postgres_link(port))
        database = DatabaseUrls(
            urls_of(server, hosts={server: push.host}).url,
            urls_of(server, hosts={server: feed.host}).feed_url,
        )
        yield push, feed, database
