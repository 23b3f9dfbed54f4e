"""Servers and networks to be broken: Postgres that is killed, stopped, restored or promoted, and lines between.

    with a_server(tmp_path) as server:                  a durable Postgres of the test's own
    async with a_pair(tmp_path) as pair:                a primary and its synchronous standby; pair.database is both
    async with a_line(port_of(server.tcp_url)) as line: a network to a port of 127.0.0.1; with_hosts(url, link.host)
    async with a_postgres_line(port) as line:           one that knows an append, and can lose its answer

A line takes connections all the time and then passes what it is told to: at once, late, or nothing. What waits in a
silent line arrives when the silence ends, as TCP would send it again; what is on a connection that is forgotten never
arrives. A server keeps its address for as long as its block is open, whether it is up or down.
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

from gateway.journal.embedded import EmbeddedPostgres, EmbeddedPostgresError, find_binaries
from gateway.journal.migrate import migrate
from tests.journal.network import port_of, with_hosts
from tests.web.doors import until

PIECE = 65536
PIECES_MAX = 256
"""Pieces under way in one direction of one connection; then the line reads no further."""
PATIENCE_S = 30.0
"""How long a fact is waited for before the test fails."""

Reported = list[tuple[str, int]]
"""Units and revisions."""


# Postgres.


class Server(EmbeddedPostgres):
    """A Postgres to be harmed, which keeps its address over all of it. For the main thread only."""

    @property
    def data_dir(self) -> Path:
        """Where its cluster is, and what it says."""
        return self._dir

    @property
    def cluster(self) -> Path:
        """What Postgres calls its data directory."""
        return self._cluster

    def processes(self) -> list[int]:
        """Return the postmaster and its children."""
        with suppress(FileNotFoundError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return [self.pid, *map(int, children)]
        return []

    def signal_all(self, number: int) -> None:
        """Send all of its processes a signal."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def die(self) -> None:
        """End all of it at one moment, as a machine does whose power is cut: stopped first, so that none reacts."""
        pids = self.processes()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        assert self._server is not None
        self._server.wait(PATIENCE_S)

    def shut_down(self) -> None:
        """Shut it down cleanly; its port is kept from all others."""
        self._end()

    @property
    def ended(self) -> bool:
        """Whether its first process is gone."""
        return self._server is None or self._server.poll() is not None

    def start_again(self) -> None:
        """Start it where it was, after it was shut down or died."""
        self.restart()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop every process of it (SIGSTOP) as long as the block lasts."""
        self.signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal_all(signal.SIGCONT)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """Open a session as its owner, without any line between."""
        connection = await asyncpg.connect(self.url, timeout=PATIENCE_S)
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
        async with asyncio.timeout(PATIENCE_S):
            _, said = await process.communicate()
        assert process.returncode == 0, f"{name}: {said.decode()}"

    async def back_up(self, to: Path, name: str = "backup", *options: str) -> None:
        """Copy the running cluster into a new directory (pg_basebackup)."""
        os.mkdir(to, mode=0o700)
        os.chown(to, self._uid, -1)
        source = f"{self.tcp_url}?application_name={name}"
        await self.tool("pg_basebackup", "-d", source, "-D", str(to), "-X", "stream", "-c", "fast", *options)

    def log_tail(self) -> str:
        """What it said last, for whoever looks into a failure."""
        return "\n".join((self._dir / "server.log").read_text(errors="replace").splitlines()[-15:])


@contextmanager
def a_server(directory: Path, **options: Any) -> Iterator[Server]:
    """Run a durable server with a migrated database; skip the test if there are no Postgres binaries."""
    require_binaries()
    directory.chmod(0o755)
    if "binaries" not in options:
        copy_cluster(directory / "data")
    with Server(directory / "data", listen_tcp=True, **options) as server:
        _blocking(migrate(server.url))
        try:
            yield server
        except BaseException as error:
            error.add_note(f"Postgres said last:\n{server.log_tail()}")
            raise


def copy_cluster(data_dir: Path) -> None:
    """Make the data directory of an embedded Postgres with a migrated database, as a copy: initdb takes far longer."""
    subprocess.run(["cp", "-a", str(_migrated()), str(data_dir)], check=True)


@cache
def _migrated() -> Path:
    """Return the data directory to copy; this process makes it once."""
    home = Path(tempfile.mkdtemp(prefix="valgnatt-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    home.chmod(0o755)
    with EmbeddedPostgres(home / "data", durable=False) as server:
        _blocking(migrate(server.url))
    for name in ("owner.lock", "server.log"):
        (home / "data" / name).unlink()
    return home / "data"


def require_binaries() -> None:
    """Skip the test if there are no Postgres binaries."""
    try:
        find_binaries(None)
    except EmbeddedPostgresError as error:
        pytest.skip(str(error))


def _blocking(coroutine: Any) -> None:
    """Run a coroutine to its end, wherever we are."""
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
class Reached:
    """A database as the gateway is told of it."""

    url: str
    feed_url: str


def reached(*servers: Server, hosts: Mapping[Server, str] | None = None) -> Reached:
    """Return the addresses of servers over TCP, all in one URL; `hosts` names lines that stand before some."""
    names = [(hosts or {}).get(server, f"127.0.0.1:{port_of(server.tcp_url)}") for server in servers]
    first = servers[0]
    reader = first.feed_url.partition("://")[2].partition("@")[0]
    database = first.tcp_url.rpartition("/")[2]
    return Reached(with_hosts(first.tcp_url, *names), f"postgresql://{reader}@{','.join(names)}/{database}")


class Pair:
    """A primary and a synchronous standby, which may change places."""

    def __init__(self, first: Server, second: Server) -> None:
        self.servers = {"a": first, "b": second}

    @property
    def database(self) -> Reached:
        """Both, in one URL."""
        return reached(*self.servers.values())

    async def follow(self, standby: str, primary: str) -> None:
        """Make every commit of the one wait for the other, and wait until it does."""
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

        await until(synchronous, PATIENCE_S)

    async def promote(self, name: str) -> None:
        """Make the standby the primary; it waits for no other from then on."""
        async with self.servers[name].session() as connection:
            assert await connection.fetchval("SELECT pg_promote()")

    async def rejoin(self, name: str, primary: str) -> None:
        """Bring what was the primary back as the standby of the new one (pg_rewind)."""
        server, source = self.servers[name], self.servers[primary]
        conninfo = f"{source.tcp_url}?application_name={name}"
        await server.tool("pg_rewind", "-D", str(server.cluster), f"--source-server={conninfo}", "-R")
        server.start_again()
        await self.follow(name, primary)


@asynccontextmanager
async def a_pair(directory: Path) -> AsyncIterator[Pair]:
    """Two servers, of which `b` follows `a`: a commit of `a` is done when `b` has it on its disk."""
    with a_server(directory) as first:
        # pg_rewind reads the log back to the last checkpoint before the servers parted, and first lets Postgres
        # recover, with what the files of the cluster say.
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
                error.add_note(f"b said last:\n{second.log_tail()}")
                raise


# Clocks.


class Clock:
    """What time it is for the programs that run with `environ`: the machine's, and so many seconds more or less."""

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
        """Be so many seconds ahead of the machine's clock from now on; behind it, where it is negative."""
        with open(self._offset, "r+b", buffering=0) as file:
            file.write(struct.pack("q", seconds))

    def binaries(self, directory: Path) -> Path:
        """Make binaries of Postgres that run by this clock."""
        directory.mkdir()
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.environ.items())
        for name, before in (("postgres", f"env {words} "), ("initdb", "")):
            script = directory / name
            script.write_text(
                f'#!/bin/sh\nexec {before}{shlex.quote(str(find_binaries(None) / name))} "$@"\n'
            )
            script.chmod(0o755)
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
"""The time of day as programs ask the C library for it, moved by what stands in a file."""


# Networks.


@dataclass(eq=False)
class Connection:
    """One connection through a line, and what is known of it."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    forgotten: bool = False
    """Half-open: nothing on it arrives any more, not even its end."""
    asked: "_Asked" = field(default_factory=lambda: _Asked())

    def cut(self) -> None:
        """End it on both sides at once (RST)."""
        no_lingering = struct.pack("ii", 1, 0)
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
            writer.transport.abort()


class Line:
    """A network to one port of 127.0.0.1. Invariants: bytes of a connection keep their order, and none is doubled."""

    def __init__(self, to: int) -> None:
        self.port = 0
        self.delay_s = 0.0
        """How late everything arrives, in each direction."""
        self.refusing = False
        """Whether connections are ended as soon as they are made."""
        self.taken = 0
        """So many connections were made."""
        self.connections: set[Connection] = set()
        self._to = to
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def host(self) -> str:
        """Where it is, as in the URL of a database."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where it is, as the URL of a door."""
        return f"http://{self.host}"

    def cut(self) -> None:
        """End every connection that there is."""
        for connection in tuple(self.connections):
            connection.cut()

    def forget(self) -> None:
        """Leave every connection that there is half-open; new ones are as good as ever."""
        for connection in self.connections:
            connection.forgotten = True

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Take connections and everything that is said, and pass nothing, as long as the block lasts."""
        self._passing.clear()
        try:
            yield
        finally:
            self._passing.set()

    @contextmanager
    def slow(self, delay_s: float) -> Iterator[None]:
        """Pass everything so late, in each direction, as long as the block lasts."""
        self.delay_s = delay_s
        try:
            yield
        finally:
            self.delay_s = 0.0

    @contextmanager
    def down(self) -> Iterator[None]:
        """Cut all and refuse what is new, as long as the block lasts."""
        self.refusing = True
        self.cut()
        try:
            yield
        finally:
            self.refusing = False

    def said(self, connection: Connection, data: bytes) -> bool:
        """Take note of what a client said; return whether it may pass."""
        return True

    def answered(self, connection: Connection, data: bytes) -> bool:
        """Likewise of what it is answered."""
        return True

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(serving)
        serving.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        connection = None
        try:
            if self.refusing:
                return
            await self._passing.wait()
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._to)
            connection = Connection((writer, other_writer))
            self.connections.add(connection)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(connection, reader, other_writer, self.said))
                both.create_task(self._carry(connection, other_reader, writer, self.answered))
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
        look: Callable[[Connection, bytes], bool],
    ) -> None:
        clock = asyncio.get_running_loop().time
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PIECES_MAX)

        async def deliver() -> None:
            data = b"something"
            while data:
                due, data = await under_way.get()
                while (wait_s := due - clock()) > 0:  # noqa: ASYNC110 - it is a time
                    await asyncio.sleep(wait_s)
                await self._passing.wait()
                if connection.forgotten:
                    continue
                if not data:
                    if not writer.is_closing():
                        writer.write_eof()
                elif look(connection, data):
                    writer.write(data)
                    await writer.drain()

        async with asyncio.TaskGroup() as parts:
            parts.create_task(deliver())
            data = b"something"
            while data:
                data = await reader.read(PIECE)
                await under_way.put((clock() + self.delay_s, data))
        if connection.forgotten:
            await asyncio.Event().wait()  # it ends with the line, and nobody hears of it

    async def close(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


class _Asked:
    """What a client of Postgres says on one connection, message by message, and how an append of it is answered."""

    def __init__(self) -> None:
        self.appends: set[bytes] = set()
        """Names of prepared statements that append."""
        self.lost: Reported | None = None
        """What the append under way reports, if its answer is to be lost."""
        self.answer = b""
        self._said = b""
        self._begun = False

    def reports(self, data: bytes) -> Reported:
        """Take what is said; return the reports of an append that is complete with it."""
        found: Reported = []
        self._said += data
        while message := self._message():
            kind, body = message
            if kind == b"P":
                name, query = body.split(b"\0", 2)[:2]
                if b"append_v2" in query:
                    self.appends.add(name)
            elif kind == b"B" and body.split(b"\0", 2)[1] in self.appends:
                found += [(unit.decode(), int(revision)) for revision, unit in _REPORT.findall(body)]
        return found

    def _message(self) -> tuple[bytes, bytes] | None:
        head = 1 if self._begun else 0
        if len(self._said) < head + 4:
            return None
        end = head + int.from_bytes(self._said[head : head + 4])
        if len(self._said) < end:
            return None
        kind, body = self._said[:head], self._said[head + 4 : end]
        self._said = self._said[end:]
        if not self._begun:
            self._begun = body[:4] == _VERSION_3  # what comes before asks for TLS
            kind = b"?"
        return kind, body

    def committed(self, data: bytes) -> bool | None:
        """Take of an answer; return whether the append is committed, once it is complete."""
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
"""Of canonical bytes: keys are sorted."""


class PostgresLine(Line):
    """A line to Postgres that knows an append with reports when it sees one."""

    def __init__(self, to: int) -> None:
        super().__init__(to)
        self._wanted: tuple[str, asyncio.Future[Reported]] | None = None

    async def lose(self, what: str) -> Reported:
        """Break the connection of the next append, and return what that reports. `what` says where:

        - "append": it never reaches Postgres;
        - "answer": Postgres has committed, and its answer was on the way;
        - "answer, silently": the same, but nobody hears that the connection is broken.
        """
        lost: asyncio.Future[Reported] = asyncio.get_running_loop().create_future()
        self._wanted = (what, lost)
        async with asyncio.timeout(PATIENCE_S):
            return await lost

    def said(self, connection: Connection, data: bytes) -> bool:
        reports = connection.asked.reports(data)
        if not reports or self._wanted is None:
            return True
        if self._wanted[0] == "append":
            self._have_lost(connection, reports)
            return False
        if not any(each.asked.lost for each in self.connections):
            connection.asked.lost = reports
            connection.asked.answer = b""
        return True

    def answered(self, connection: Connection, data: bytes) -> bool:
        asked = connection.asked
        if asked.lost is None:
            return True
        committed = asked.committed(data)
        if committed:
            self._have_lost(connection, asked.lost)
        elif committed is False:  # an error: not this one
            asked.lost = None
            connection.writers[0].write(asked.answer)
        return False

    def _have_lost(self, connection: Connection, reports: Reported) -> None:
        assert self._wanted is not None
        what, lost = self._wanted
        self._wanted = None
        connection.asked.lost = None
        if what.endswith("silently"):
            connection.forgotten = True
        else:
            connection.cut()
        if not lost.done():
            lost.set_result(reports)


L = TypeVar("L", bound=Line)


@asynccontextmanager
async def _listening(line: L) -> AsyncIterator[L]:
    server = await asyncio.start_server(line._connected, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        await line.close()


@asynccontextmanager
async def a_line(to: int) -> AsyncIterator[Line]:
    """A line to a port of 127.0.0.1."""
    async with _listening(Line(to)) as line:
        yield line


@asynccontextmanager
async def a_postgres_line(to: int) -> AsyncIterator[PostgresLine]:
    """A line to a Postgres."""
    async with _listening(PostgresLine(to)) as line:
        yield line


@asynccontextmanager
async def lines_to(server: Server) -> AsyncIterator[tuple[PostgresLine, PostgresLine, Reached]]:
    """A line of the push door and one of the feed door to a server, and the addresses through them."""
    async with AsyncExitStack() as opened:
        port = port_of(server.tcp_url)
        push = await opened.enter_async_context(a_postgres_line(port))
        feed = await opened.enter_async_context(a_postgres_line(port))
        database = Reached(
            reached(server, hosts={server: push.host}).url,
            reached(server, hosts={server: feed.host}).feed_url,
        )
        yield push, feed, database
