"""A private Postgres for the demo, tests, benches and small installations.

It is a full, durable server that needs only a directory and a Python wheel. It belongs to one process, shuts down
cleanly when that process ends, however it ends, and is found by other commands on the same machine. Linux only.
Independent of elections, tables and migrations.

    data_dir/
      owner.lock     locked by the owner while it runs; contains its pid
      passwords      three lines, the owner's, the reader's and the signer's; generated once, before the cluster is
                     created (a directory of an earlier version gets the third one later)
      cluster/       the Postgres data directory; present only once it is complete
      socket/        the Unix socket while the server runs (in a temporary directory if this path is too long)
      address.json   the address of the running server
      server.log     the server log
"""

import asyncio
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from gateway.durable_files import sync_directory
from gateway.journal.postgres_programs import (
    EmbeddedPostgresError,
    as_permitted_user,
    end_with_parent,
    find_binaries,
    major_version,
)
from gateway.reserved_ports import reserved_port

DATABASE = OWNER = "valgnatt"
FEED, READER = "valgnatt_feed", "valgnatt_reader"
SIGNER, SIGNER_LOGIN = "valgnatt_signer", "valgnatt_signer_login"

SETTINGS: Mapping[str, str] = {
    "synchronous_commit": "on",  # a receipt means durable, and is sent when the commit returns
    "max_connections": "100",  # small pools of several push and feed processes, and a person with psql
    "shared_buffers": "128MB",  # an election is some hundred MB, read at its end; the rest is in the page cache
    "wal_buffers": "16MB",  # one whole segment, so a big batch need not write WAL before its commit
    "min_wal_size": "256MB",  # segments are reused, so a commit rarely waits for a new file
    "max_wal_size": "2GB",  # checkpoints are timed, not triggered by volume ...
    "checkpoint_timeout": "15min",  # ... and rare: after each, every changed page is logged in full once
    "wal_compression": "pglz",  # compresses those pages; every build has pglz
    "jit": "off",  # no query here runs long enough to justify compilation
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "logging_collector": "off",  # standard error already goes to server.log, from the first line on
    "unix_socket_permissions": "0700",
}
READERS_MAX = 66  # of max_connections; the rest is reserved for writers
SIGNERS_MAX = 4  # connections of the signer's login
NOT_DURABLE: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}

PORT = 5432  # the default: the socket is alone in its directory
SOCKET_PATH_MAX = 107  # bytes; sockaddr_un.sun_path with its final zero is 108
LOG_MAX = 8 << 20  # bytes; a longer log is rotated at start, replacing the previous rotated one
INITDB_S = 60.0  # takes well under a second
READY_S = 60.0  # takes well under a second, except after a crash, when much WAL may be replayed
RECOVERY_S = 3600.0  # while a backup is restored, all WAL since then is read from the archive and replayed
PREDECESSOR_S = 15.0  # seconds for the previous server to end after its owner was killed
STOPPING = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 8.0), (signal.SIGKILL, None))
"""Signals that stop the server, in this order, and seconds to wait after each."""


@dataclass(frozen=True, slots=True)
class Running:
    """Address and process of a running server."""

    url: str
    feed_url: str
    pid: int
    signer_url: str = ""
    """Empty if a server of an earlier version runs."""


def find(data_dir: Path) -> Running | None:
    """Return the server that runs on this data directory, or None; never starts or disturbs one.

    Files left by a dead server are ignored: a process is identified by its pid and its start time. Raises
    PermissionError for another user's directory.
    """
    try:
        address = json.loads((data_dir / "address.json").read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    started = address.pop("started")
    return Running(**address) if _started(address["pid"]) == started else None


class EmbeddedPostgres:
    """A Postgres server that runs while this object is started, and at most as long as this process. Invariants:

    * A data directory has one owner at a time; the next one gets an error that names the first.
    * The server ends when its owner does, even by SIGKILL: the kernel then sends it SIGINT, a clean shutdown.
    * A cluster is complete, with database and roles, or absent: it is created under another name and then renamed.
    * The settings here and those given take effect: command-line settings override all others.
    * Addresses stay the same from start() to stop(), including restart().
    """

    # set by start()
    pid: int  # of the process that ends when the server does (the postmaster)
    url: str  # for the owner, a superuser, over the Unix socket, which is fastest
    feed_url: str  # for the reader, which may do only what is granted to its role valgnatt_feed
    signer_url: str  # for the signer, which may do only what is granted to its role valgnatt_signer
    tcp_url: str  # for the owner over TCP; only with listen_tcp

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] = {},
        listen_tcp: bool = False,
        durable: bool = True,
        binaries: Path | None = None,
    ) -> None:
        """Store the options; nothing is created or started yet.

        `data_dir` is created if it is missing, and should not be used for anything else. `settings` override SETTINGS,
        but not the listen addresses. `listen_tcp` also opens a free port on 127.0.0.1. `durable=False` disables fsync:
        for tests of logic only, because a power failure may then destroy the whole cluster. `binaries` is a directory
        with `postgres` and `initdb` (15 or later) to be used instead of the wheel's.
        """
        self._dir = data_dir.resolve()
        self._cluster = self._dir / "cluster"
        self._pid_file = self._cluster / "postmaster.pid"
        self._address = self._dir / "address.json"
        self._log = self._dir / "server.log"
        self._listen_tcp = listen_tcp
        self._fsync = {} if durable else NOT_DURABLE
        self._settings = {**SETTINGS, **self._fsync, **settings}
        self._binaries = binaries
        self._server: subprocess.Popen[bytes] | None = None
        self._undo = ExitStack()  # what stop() does

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Lock the directory, create the cluster if there is none, and return once the server accepts connections.

        Blocks for about 0.05 s, the first time for almost a second. Does nothing if the server is running. The server
        ends with the thread that starts it, so that thread must live as long as the process.
        Raises EmbeddedPostgresError; then nothing runs and nothing is locked.
        """
        if self._server is not None and self._server.poll() is None:
            return
        self.stop()
        self._bin = find_binaries(self._binaries)
        self._prefix, self._uid = as_permitted_user()
        with ExitStack() as undo:
            undo.enter_context(self._owning())
            owner, reader, signer = self._passwords()
            self._check_or_make_cluster(reader, signer)
            self._socket_dir = undo.enter_context(self._socket_directory())
            self._port = undo.enter_context(reserved_port()) if self._listen_tcp else PORT
            where = f"{DATABASE}?host={quote(str(self._socket_dir))}&port={self._port}"
            self.url = f"postgresql://{OWNER}:{owner}@/{where}"
            self.feed_url = f"postgresql://{READER}:{reader}@/{where}"
            self.signer_url = f"postgresql://{SIGNER_LOGIN}:{signer}@/{where}"
            if self._listen_tcp:
                self.tcp_url = f"postgresql://{OWNER}:{owner}@127.0.0.1:{self._port}/{DATABASE}"
            undo.callback(self._end)
            self._serve()
            self._undo = undo.pop_all()

    def stop(self) -> None:
        """Shut the server down cleanly, in about 0.02 s, and unlock the directory. Safe if never started.

        A SIGINT or SIGTERM that arrives meanwhile takes effect afterwards.
        """
        with _deferred_signals():
            self._undo.close()
            self._server = None

    def restart(self) -> None:
        """Stop the server, if it still runs, and start it again. Blocks and raises like start()."""
        if self._server is None:
            raise EmbeddedPostgresError("only a Postgres that was started can be restarted")
        self._end()
        self._serve()

    async def wait_ended(self) -> int:
        """Wait until the server process has ended for any reason; return its status as Popen does."""
        if (server := self._server) is None:
            raise EmbeddedPostgresError("the embedded Postgres is not started")
        if server.poll() is None:
            loop, ended, process = asyncio.get_running_loop(), asyncio.Event(), os.pidfd_open(server.pid)
            loop.add_reader(process, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(process)
                os.close(process)
        return server.wait()

    @contextmanager
    def _owning(self) -> Iterator[None]:
        """Lock the directory through a file that is never removed; the kernel releases the lock if this process
        dies."""
        try:
            if not self._dir.exists():
                self._dir.mkdir(mode=0o700, parents=True)
                os.chown(self._dir, self._uid, -1)
            (self._dir / "owner.lock").touch(mode=0o600)
        except OSError as error:
            raise EmbeddedPostgresError(f"data directory {self._dir}: {error.strerror}") from None
        with open(self._dir / "owner.lock", "a+", opener=_private) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read() or "?"
                raise EmbeddedPostgresError(f"{self._dir} is in use by process {holder}") from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            if self._log.exists() and self._log.stat().st_size > LOG_MAX:
                self._log.replace(self._log.with_suffix(".log.old"))
            yield

    @contextmanager
    def _socket_directory(self) -> Iterator[Path]:
        """Create a private directory whose path is short enough and needs no quoting in a list (URL, setting)."""
        path = self._dir / "socket"
        shutil.rmtree(path, ignore_errors=True)  # with the socket and its lock, if a server was killed
        if len(os.fsencode(path / ".s.PGSQL.65535")) > SOCKET_PATH_MAX or set(str(path)) & set(',"'):
            path = Path(tempfile.mkdtemp(prefix="valgnatt-"))
        else:
            path.mkdir(mode=0o700)
        os.chown(path, self._uid, -1)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _passwords(self) -> list[str]:
        """Read the passwords, and generate those that are missing: all for a new cluster, or that of the signer."""
        path = self._dir / "passwords"
        if not path.exists() and self._cluster.exists():
            raise EmbeddedPostgresError(f"{path} is missing; without it {self._cluster} cannot be used")
        passwords = path.read_text().split() if path.exists() else []
        if len(passwords) < 3:
            passwords += [secrets.token_hex(24) for _ in range(3 - len(passwords))]
            _write(path, "".join(f"{password}\n" for password in passwords))
        os.chown(path, self._uid, -1)  # initdb reads the first line
        return passwords

    def _check_or_make_cluster(self, *passwords: str) -> None:
        # left by an owner killed during creation; its initdb may still be cleaning up, so each attempt has its own name
        for half_made in self._dir.glob("cluster.*"):
            shutil.rmtree(half_made, ignore_errors=True)
        if not self._cluster.exists():
            self._make_cluster(Path(tempfile.mkdtemp(prefix="cluster.", dir=self._dir)), *passwords)
        made_by, major = int((self._cluster / "PG_VERSION").read_text()), major_version(self._bin)
        if made_by != major:
            raise EmbeddedPostgresError(
                f"{self._cluster} was created by Postgres {made_by}, but {self._bin} is Postgres {major}: "
                f"use binaries of version {made_by}, or upgrade the data with pg_upgrade"
            )

    def _make_cluster(self, new: Path, reader_password: str, signer: str) -> None:
        os.chown(new, self._uid, -1)
        access = ["--auth=scram-sha-256", f"--username={OWNER}", f"--pwfile={self._dir / 'passwords'}"]
        text = [
            "--encoding=UTF8",
            "--no-locale",
        ]  # sorted by bytes, so a new C library cannot corrupt an index
        disk = ["--data-checksums"]  # a bit flipped by the disk causes an error and not a wrong result
        disk += ["--no-sync"] if self._fsync else []
        self._run("initdb", f"--pgdata={new}", *access, *text, *disk)
        statements = f"""
            CREATE DATABASE {DATABASE}
            CREATE ROLE {FEED} NOLOGIN
            CREATE ROLE {READER} LOGIN CONNECTION LIMIT {READERS_MAX} IN ROLE {FEED} PASSWORD '{reader_password}'
            CREATE ROLE {SIGNER} NOLOGIN
            CREATE ROLE {SIGNER_LOGIN} LOGIN CONNECTION LIMIT {SIGNERS_MAX} IN ROLE {SIGNER} PASSWORD '{signer}'
            REVOKE ALL ON DATABASE {DATABASE}, postgres, template1 FROM PUBLIC
            GRANT CONNECT ON DATABASE {DATABASE} TO {FEED}, {SIGNER}
        """  # one statement per line
        settings = _options({**self._fsync, "exit_on_error": "on"})
        self._run("postgres", "--single", "-D", str(new), *settings, "postgres", statements=statements)
        new.rename(self._cluster)  # the next _write makes this durable, before anything can be committed

    def _run(self, program: str, *arguments: str, statements: str = "") -> None:
        with self._spawn(program, *arguments, stdin=subprocess.PIPE) as process:
            try:
                process.communicate(statements.encode(), timeout=INITDB_S)
            except subprocess.TimeoutExpired:
                pass  # reported by its status below
            finally:
                process.kill()
        if process.returncode != 0:
            raise self._failure(f"{program} ended with status {process.returncode}")

    def _spawn(
        self, program: str, *arguments: str, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start a program that ends with this thread and inherits neither terminal, Ctrl-C nor environment."""
        with open(self._log, "ab", opener=_private) as log:
            self._log_from = log.tell()
            return subprocess.Popen(  # noqa: S603 - no shell, and no argument comes from outside
                [*self._prefix, str(self._bin / program), *arguments],
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd="/",
                env={"PATH": os.defpath, "HOME": str(self._dir), "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
                preexec_fn=None if self._prefix else end_with_parent,  # noqa: PLW1509 - one system call
            )

    def _serve(self) -> None:
        """Start the server and wait until it is ready; retry while a killed predecessor is still ending."""
        where = {
            "listen_addresses": "127.0.0.1" if self._listen_tcp else "",
            "port": str(self._port),
            "unix_socket_directories": f'"{self._socket_dir}"',
        }
        command = "postgres", "-D", str(self._cluster), *_options({**self._settings, **where})
        deadline = time.monotonic() + PREDECESSOR_S
        while True:
            found = self._stop_predecessor()
            self._server = self._spawn(*command)
            if self._ready(self._server):
                break
            if not (found or self._pid_file.exists()) or time.monotonic() > deadline:
                raise self._failure(f"Postgres did not start: it ended with status {self._server.returncode}")
            time.sleep(0.05)
        self.pid = self._server.pid
        address = asdict(Running(self.url, self.feed_url, self.pid, self.signer_url))
        _write(self._address, json.dumps({**address, "started": _started(self.pid)}))

    def _ready(self, server: subprocess.Popen[bytes]) -> bool:
        """Wait until the server accepts connections (True) or has ended (False).

        Its status is "standby" while a backup is restored with `hot_standby = off`: then it accepts none.
        """
        limit_s = RECOVERY_S if (self._cluster / "recovery.signal").exists() else READY_S
        deadline = time.monotonic() + limit_s
        while server.poll() is None:
            with suppress(FileNotFoundError):
                match self._pid_file.read_text().split():
                    case [pid, *_, "ready"] if pid == str(server.pid):
                        return True
            if time.monotonic() > deadline:
                self._end()
                raise self._failure(f"Postgres was not ready after {limit_s:.0f} s")
            time.sleep(0.005)
        return False

    def _stop_predecessor(self) -> bool:
        """Stop the server of an owner that was killed; this process has the lock, so no other owner is alive.

        If that server still runs, it is shut down. If not, the pid in postmaster.pid may meanwhile belong to another
        program (likely in a container), and Postgres would refuse to start. Postgres ignores the pid of its own parent,
        so ours is written there; from the rest of the file it detects orphaned backends that still write.
        Return whether anything was found: a start that fails may then be retried.
        """
        try:
            pid, *rest = self._pid_file.read_text().splitlines()
        except (FileNotFoundError, ValueError):
            return False
        with suppress(OSError):
            if os.fsencode(self._cluster) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                os.kill(int(pid), signal.SIGINT)
                return True
        if len(rest) > 5:  # the seventh line names the shared memory
            self._pid_file.write_text("\n".join([str(os.getpid()), *rest, ""]))
        return True

    def _end(self) -> None:
        with _deferred_signals():
            self._address.unlink(missing_ok=True)
            for how, seconds in STOPPING:
                if self._server is not None and self._server.poll() is None:
                    self._server.send_signal(how)
                    with suppress(subprocess.TimeoutExpired):
                        self._server.wait(seconds)

    def _failure(self, what: str) -> EmbeddedPostgresError:
        with open(self._log, "rb") as log:
            log.seek(max(self._log_from, log.seek(0, os.SEEK_END) - 2000))
            text = log.read().decode(errors="replace").strip()
        return EmbeddedPostgresError(f"{what}; {self._log} ends with:\n{text}")


def _started(pid: int) -> str | None:
    """Return when a process started, in ticks since boot; None if it has ended. Source: proc(5), `stat`."""
    with suppress(FileNotFoundError, ProcessLookupError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[18] if state not in "ZX" else None
    return None


@contextmanager
def _deferred_signals() -> Iterator[None]:
    """Within the block, only record SIGINT and SIGTERM; afterwards, send this process each recorded one again.

    Only the main thread runs signal handlers, so another thread is never interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: set[int] = set()
    before = {
        number: signal.signal(number, lambda number, _: received.add(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, signal.SIG_DFL if previous is None else previous)
        for each in received:
            signal.raise_signal(each)


def _options(settings: Mapping[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _write(path: Path, text: str) -> None:
    """Write a private file atomically and durably; this also makes earlier renames in its directory durable."""
    new = path.with_suffix(".new")
    with open(new, "w", opener=_private) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_directory(path.parent)
