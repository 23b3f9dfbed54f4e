"""Supervision with real processes: killed workers are restarted, and all processes end together."""

import asyncio
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from gateway.backoff import Backoff
from gateway.config import Config
from gateway.machine import supervisor
from gateway.machine import worker as workers
from gateway.machine.ports import ListenError, listen_socket
from gateway.machine.supervisor import Ports, Supervisor, supervise, worker_environment
from tests.counts import count

SCRIPT = str(Path(__file__).with_name("supervised.py"))
SECRET = "postgresql://user:s3cret@nowhere/db"


def a_config(**options: Any) -> Config:
    free = Config(push_port=0, feed_port=0, admin_port=0, drain_s=5.0, database_url=SECRET)
    return msgspec.structs.replace(free, **options)


class Machine:
    """A supervised machine, seen through its ports."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports

    async def get(self, path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{self.ports.admin}{path}") as response,
        ):
            return response.status, await response.text()

    async def workers(self) -> dict[str, dict[str, Any]]:
        workers: dict[str, dict[str, Any]] = orjson.loads((await self.get("/health/ready"))[1])["workers"]
        return workers

    async def ended(self) -> Callable[[], Coroutine[Any, Any, None]]:
        """To be called when all present workers must have ended, as the kernel sees it."""
        watched = [os.pidfd_open(worker["pid"]) for worker in (await self.workers()).values()]

        async def wait() -> None:
            for process in watched:
                await asyncio.to_thread(select.select, [process], [], [])
                os.close(process)

        return wait

    async def samples(self) -> dict[tuple[str, str | None], float]:
        """(name, process) → value."""
        families = text_string_to_metric_families((await self.get("/metrics"))[1])
        return {(s.name, s.labels.get("process")): s.value for family in families for s in family.samples}


async def ask(port: int | None, word: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a word to a worker; return once it has received it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{word}\n".encode())
    assert await reader.readline() == b"heard\n"
    return reader, writer


async def answer(port: int | None, word: str) -> str:
    reader, writer = await ask(port, word)
    with closing(writer):
        return (await reader.readline()).decode().strip()


async def until(fact: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    while not (found := await fact()):  # noqa: ASYNC110 - of facts in another process
        await asyncio.sleep(0.01)
    return found


@asynccontextmanager
async def a_machine(**options: Any) -> AsyncIterator[Machine]:
    """A machine supervised by this process; it has to drain cleanly at the end."""
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as parts:
        running = parts.create_task(
            supervise(
                a_config(**options),
                worker_command=[sys.executable, SCRIPT, "good"],
                on_started=started.set_result,
                stop=stop,
            )
        )
        await asyncio.wait((running, started), return_when=asyncio.FIRST_COMPLETED)
        yield Machine(started.result())
        stop.set()
    assert running.result() == 0


class Supervising:
    """A supervisor in a separate process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def machine(self) -> Machine:
        assert self.process.stdout is not None
        return Machine(msgspec.json.decode(await self.process.stdout.readline(), type=Ports))

    async def event(self, name: str) -> dict[str, Any]:
        """Read the log until an event occurs."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            output: dict[str, Any] = orjson.loads(line)
            if output["event"] == name:
                return output
        raise AssertionError(f"not logged: {name}")


@asynccontextmanager
async def a_supervisor(mode: str, before: Sequence[str] = (), **options: Any) -> AsyncIterator[Supervising]:
    config = msgspec.json.encode(a_config(**options), enc_hook=str)
    process = await asyncio.create_subprocess_exec(
        *before, sys.executable, SCRIPT, "supervise", config, mode, stdout=PIPE, stderr=PIPE
    )
    try:
        yield Supervising(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_killed_worker_is_started_again_and_the_port_stays_the_same() -> None:
    """A worker that ends unexpectedly is restarted and counted, and the door is not ready meanwhile."""
    async with a_machine(role="push") as machine:
        before = (await machine.workers())["push-0"]
        os.kill(before["pid"], signal.SIGKILL)

        async def back() -> dict[str, Any] | None:
            worker = (await machine.workers())["push-0"]
            return worker if worker["state"] == "ready" and worker["pid"] != before["pid"] else None

        assert (await until(back))["restarts"] == 1
        assert await answer(machine.ports.push, "name") == "push-0"
        assert (await machine.samples())["valgnatt_worker_restarts_total", "push-0"] == 1


async def test_all_workers_of_a_door_share_its_port() -> None:
    """With two feed workers on any free port, both take connections there."""
    async with a_machine(role="feed", feed_workers=2) as machine:
        assert machine.ports.push is None
        seen: set[str] = set()

        async def both() -> bool:
            seen.add(await answer(machine.ports.feed, "name"))
            return seen == {"feed-0", "feed-1"}

        await until(both)


async def test_every_worker_learns_whether_its_whole_door_is_ready() -> None:
    """A door is ready while all its workers are; the other door has no part in that."""
    async with a_machine(feed_workers=2) as machine:
        ports = {name: worker["port"] for name, worker in (await machine.workers()).items()}
        for port in ports.values():
            await answer(port, "door")
        assert (await machine.get("/health/ready"))[0] == 200
        await answer(ports["feed-0"], "unready")
        await answer(ports["feed-1"], "no door")
        status, body = await machine.get("/health/ready")
        assert (status, orjson.loads(body)["status"]) == (503, "not_ready")
        await answer(ports["push-0"], "door")
        await answer(ports["feed-0"], "ready")
        await answer(ports["feed-1"], "door")


async def test_metrics_of_all_processes_are_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sample is labelled with its process; a worker that does not answer is down and delays no other."""
    monkeypatch.setattr(supervisor, "METRICS_S", 1.0)
    async with a_machine() as machine:
        samples = await machine.samples()
        assert samples["answers_total", "push-0"] == samples["answers_total", "feed-0"] == 7
        assert samples["valgnatt_worker_up", "push-0"] == samples["valgnatt_worker_ready", "push-0"] == 1
        pid = (await machine.workers())["push-0"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        samples = await machine.samples()
        assert ("answers_total", "push-0") not in samples
        assert (samples["valgnatt_worker_up", "push-0"], samples["valgnatt_worker_up", "feed-0"]) == (0, 1)
        os.kill(pid, signal.SIGCONT)


async def test_a_worker_that_receives_sigterm_alone_drains_and_is_restarted() -> None:
    """Some service managers send SIGTERM to every process: a worker drains as on its supervisor's command."""
    async with a_machine(role="push") as machine:
        before = (await machine.workers())["push-0"]
        reader, writer = await ask(before["port"], "stop")
        os.kill(before["pid"], signal.SIGTERM)
        assert await reader.readline() == b"push-0\n"
        writer.close()

        async def back() -> bool:
            worker = (await machine.workers())["push-0"]
            return bool(worker["state"] == "ready" and worker["restarts"] == 1)

        await until(back)


async def test_no_secret_is_on_a_command_line_or_in_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's configuration comes over its control line, so a list of processes shows no password."""
    monkeypatch.setenv("VALGNATT_DATABASE_URL", SECRET)
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    async with a_machine(role="push") as machine:
        worker = (await machine.workers())["push-0"]
        command = Path(f"/proc/{worker['pid']}/cmdline").read_bytes()  # noqa: ASYNC240
        assert b"push-0" in command
        assert b"s3cret" not in command
        inherited = orjson.loads(await answer(worker["port"], "environ"))
        assert inherited["PATH"] == os.environ["PATH"]
        assert not [name for name, value in inherited.items() if "VALGNATT" in name or "s3cret" in value]


def test_a_worker_inherits_no_variable_that_looks_like_a_secret() -> None:
    """By its name, or by a password in its value; whatever else an operator sets goes on."""
    kept = {
        "PATH": "/bin",
        "TZ": "UTC",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {'k' * 32}",
        "PGSSLMODE": "verify-full",
    }
    left_out = {
        "VALGNATT_FEED_PORT": "1",
        "PGPASSWORD": "x",
        "READER_PASSWORD": "x",
        "DB_SECRET": "x",
        "CREDENTIALS_DIRECTORY": "/run/credentials/x",
        "VAULT_TOKEN": "x",
        "DATABASE_URL": SECRET,
        "DSN": "host=db password=s3cret",
    }
    assert worker_environment({**left_out, **kept}) == kept


def test_the_credentials_of_an_object_store_go_to_the_mirror_alone() -> None:
    """It reaches the doors of this machine directly, also if the environment names a proxy."""
    store = {
        "AWS_ACCESS_KEY_ID": "A",
        "AWS_SECRET_ACCESS_KEY": "s",
        "GOOGLE_SERVICE_ACCOUNT_KEY": "{}",
        "AZURE_STORAGE_SAS_TOKEN": "t",
    }
    environ = {
        "PATH": "/bin",
        "PGPASSWORD": "x",
        "https_proxy": "http://proxy:3128",
        "NO_PROXY": "db",
        **store,
    }
    of_doors = worker_environment(environ, "feed")
    assert not of_doors.keys() & {"AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_SAS_TOKEN", "PGPASSWORD"}
    of_mirror = worker_environment(environ, "mirror")
    assert store.items() <= of_mirror.items()
    assert "PGPASSWORD" not in of_mirror
    assert of_mirror["no_proxy"] == "db,localhost,127.0.0.1,::1"


async def test_each_worker_is_sent_only_the_login_of_its_role() -> None:
    """Only the options of its role are sent: a feed process never has the owner's password."""
    reader = "postgresql://reader:other@nowhere/db"
    async with a_machine(feed_database_url=reader) as machine:
        reported = {
            name: orjson.loads(await answer(worker["port"], "config"))
            for name, worker in (await machine.workers()).items()
        }
    urls = {name: (config["database_url"], config["feed_database_url"]) for name, config in reported.items()}
    assert urls == {"push-0": (SECRET, None), "feed-0": (None, reader)}


async def test_no_other_process_of_the_same_user_can_read_a_worker() -> None:
    """Its memory and environment need CAP_SYS_PTRACE to be read; so do the supervisor's."""
    open_to_all = await asyncio.create_subprocess_exec(*unprivileged(), "cat", stdin=PIPE, stdout=PIPE)
    assert open_to_all.stdin is not None
    assert open_to_all.stdout is not None
    open_to_all.stdin.write(b"there\n")
    await open_to_all.stdout.readline()  # it has laid down its privileges
    readable = can_be_read(open_to_all.pid)
    await open_to_all.communicate(b"")
    assert readable, "else the rest shows nothing"
    async with a_supervisor("good", before=unprivileged()) as supervising:
        machine = await supervising.machine()
        pids = [worker["pid"] for worker in (await machine.workers()).values()]
        closed = {pid: can_be_read(pid) for pid in [*pids, supervising.process.pid]}
        supervising.process.terminate()
        await supervising.process.wait()
    assert list(closed.values()) == [False] * 3


def unprivileged() -> list[str]:
    """Return the words before a command that has it run as our user without any capability."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed, which root needs to drop its privileges")
    return [setpriv, "--bounding-set=-all", "--inh-caps=-all"]


def can_be_read(pid: int) -> bool:
    """Whether a process of our user, without any capability, can read the environment of another."""
    read = [*unprivileged(), "cat", f"/proc/{pid}/environ"]
    return subprocess.run(read, capture_output=True, check=False).returncode == 0


@pytest.mark.long
async def test_five_failed_starts_end_the_machine() -> None:
    """A worker that never becomes ready is reported, with status 1."""
    async with a_supervisor("broken", role="push") as supervising:
        output = await supervising.event("giving up")
        assert output["reason"] == "push-0 ended with status 3; it was started 5 times and never became ready"
        assert await supervising.process.wait() == 1


@pytest.mark.parametrize(
    ("command", "end"),
    [
        (["/nowhere/at/all"], "could not be started: No such file or directory"),
        ([sys.executable, SCRIPT, "mad"], "was ended by Killed (9)"),
    ],
)
async def test_a_worker_that_cannot_be_one_is_given_up(
    command: list[str], end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the command does not exist or is not a worker."""
    monkeypatch.setattr(workers, "STARTS_MAX", 1)
    with capture_logs() as output:
        assert await supervise(a_config(role="push"), worker_command=command) == 1
    assert f"push-0 {end}; it was started 1 times and never became ready" in [e.get("reason") for e in output]


async def test_a_mirror_that_cannot_run_is_started_again_and_the_doors_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The machine is ready without it, and drains with status 0; the log says what is not written."""
    monkeypatch.setattr(workers, "STARTS_MAX", 1)
    monkeypatch.setattr(supervisor, "AGAIN_S", 0.01)
    with capture_logs() as output:
        async with a_machine(
            role="feed", mirror="/files"
        ) as machine:  # workers of this script are doors only

            async def again() -> bool:
                return (await machine.workers())["mirror-0"]["restarts"] >= 1

            await until(again)
            found = await machine.workers()
            assert found["feed-0"]["state"] == "ready"
    events = [each["event"] for each in output]
    assert "the mirror is not written; the doors go on without" in events
    assert "giving up" not in events


async def test_sigterm_lets_workers_answer_what_is_in_flight() -> None:
    """Draining waits for the workers' own end; then the supervisor ends with status 0."""
    async with a_supervisor("good") as supervising:
        machine = await supervising.machine()
        workers, ended = await machine.workers(), await machine.ended()
        asked = [await ask(worker["port"], "stop") for worker in workers.values()]
        supervising.process.send_signal(signal.SIGTERM)
        assert [(await reader.readline()).decode() for reader, _ in asked] == ["push-0\n", "feed-0\n"]
        for _, writer in asked:
            writer.close()
        assert await supervising.process.wait() == 0
        await ended()


async def test_a_second_sigterm_kills_all_workers() -> None:
    """Without waiting for `drain_s`."""
    async with a_supervisor("stubborn", drain_s=600.0) as supervising:
        ended = await (await supervising.machine()).ended()
        supervising.process.send_signal(signal.SIGTERM)
        await supervising.event("draining")
        supervising.process.send_signal(signal.SIGTERM)
        assert await supervising.process.wait() == 1
        await ended()


async def test_a_worker_that_does_not_drain_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are left after `drain_s` and a grace period are killed, with status 1."""
    monkeypatch.setattr(supervisor, "OVERDUE_S", 0.1)
    stop, started = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(
        supervise(
            a_config(role="push", drain_s=0.0),
            worker_command=[sys.executable, SCRIPT, "stubborn"],
            on_started=lambda _: started.set(),
            stop=stop,
        )
    )
    await started.wait()
    stop.set()
    assert await running == 1


async def test_workers_end_when_their_supervisor_is_killed() -> None:
    """They notice the end of the line, so a killed supervisor leaves no process behind."""
    async with a_supervisor("good", feed_workers=2) as supervising:
        ended = await (await supervising.machine()).ended()
        supervising.process.kill()
        await ended()


async def test_a_stubborn_worker_does_not_outlive_its_supervisor_for_long() -> None:
    """A worker that cannot be killed by its supervisor ends itself."""
    async with a_supervisor("stubborn", drain_s=0.0) as supervising:
        ended = await (await supervising.machine()).ended()
        supervising.process.kill()
        await ended()


async def test_workers_are_gone_when_supervising_is_cancelled() -> None:
    """Leaving is always safe, with or without a drain."""
    started = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(
        supervise(
            a_config(), worker_command=[sys.executable, SCRIPT, "stubborn"], on_started=started.set_result
        )
    )
    ended = await Machine(await started).ended()
    running.cancel()
    await asyncio.wait((running,))
    assert running.cancelled()
    await ended()


@pytest.mark.parametrize("shared", [False, True])
async def test_a_port_in_use_is_named(shared: bool) -> None:
    """Whether the other listener shares it or not, nothing is started, and the error names the port."""
    with listen_socket("127.0.0.1", 0, shared=shared) as other:
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1, port {port}: Address already in use"):
            await supervise(a_config(push_port=port))


async def test_an_address_that_does_not_exist_is_named() -> None:
    """An address of another machine is as clear an error as a port in use."""
    with pytest.raises(ListenError, match=r"192\.0\.2\.1, port 0: Cannot assign"):
        listen_socket("192.0.2.1", 0)


async def test_several_sockets_share_a_port_also_by_ipv6() -> None:
    """The fields of a door's workers."""
    with listen_socket("::1", 0) as first, listen_socket("::1", first.getsockname()[1]) as second:
        assert first.family == socket.AF_INET6
        assert first.getsockname() == second.getsockname()


class Database:
    """A database that ends, and starts only at the last of some attempts."""

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts
        self.up = asyncio.Event()

    async def wait_ended(self) -> None:
        if self.up.is_set():
            await asyncio.Event().wait()

    def restart(self) -> None:
        self.attempts -= 1
        if self.attempts:
            raise OSError("not yet")
        self.up.set()


async def test_a_database_that_ends_is_restarted_until_it_is_up() -> None:
    """A single failed restart is retried."""
    database, stop = Database(attempts=2), asyncio.Event()
    keeping = asyncio.create_task(Supervisor(a_config(), ["false"]).keep_database_running(database, stop))
    await database.up.wait()
    keeping.cancel()
    assert not stop.is_set()


async def test_a_database_that_cannot_be_restarted_ends_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is given up by time, however quickly the attempts fail; then all is drained, with status 1."""
    monkeypatch.setattr(supervisor, "GIVE_UP_S", 0.5)
    machine, stop = Supervisor(a_config(), ["false"]), asyncio.Event()
    await machine.keep_database_running(Database(attempts=99), stop)
    assert stop.is_set()
    assert machine.status == 1


@pytest.mark.long
async def test_a_database_that_has_long_been_up_is_not_given_up_at_its_first_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time in vain begins when it ends, and many quick failures are no reason by themselves."""
    monkeypatch.setattr(Backoff, "next", lambda _: 0.0)
    database, stop = Database(attempts=count(15, full=50)), asyncio.Event()
    keeping = asyncio.create_task(Supervisor(a_config(), ["false"]).keep_database_running(database, stop))
    await database.up.wait()
    keeping.cancel()
    assert not stop.is_set()


class SlowDatabase:
    """A database that ends repeatedly, and whose restart blocks until it is released."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.held = threading.Event()
        self.threads: list[threading.Thread] = []
        self._loop = asyncio.get_running_loop()

    async def wait_ended(self) -> None:
        if len(self.threads) == 2:
            await asyncio.Event().wait()

    def restart(self) -> None:
        self.threads.append(threading.current_thread())
        self._loop.call_soon_threadsafe(self.asked.set)
        self.held.wait()


async def test_a_restart_of_the_database_does_not_block_the_supervisor() -> None:
    """It is restarted in a separate thread, always the same, which keeps running."""
    database, stop = SlowDatabase(), asyncio.Event()
    keeping = asyncio.create_task(Supervisor(a_config(), ["false"]).keep_database_running(database, stop))
    await database.asked.wait()  # this loop still runs
    assert threading.main_thread() not in database.threads
    database.held.set()
    while len(database.threads) < 2:  # noqa: ASYNC110 - changed by a thread
        await asyncio.sleep(0.01)
    keeping.cancel()
    await asyncio.wait((keeping,))
    assert database.threads[0] is database.threads[1]
    assert database.threads[0].is_alive()


async def test_a_restart_that_is_under_way_is_waited_for_also_when_supervising_ends() -> None:
    """What it starts exists by then, so closing the database afterwards covers all of it."""
    database, stop = SlowDatabase(), asyncio.Event()
    keeping = asyncio.create_task(Supervisor(a_config(), ["false"]).keep_database_running(database, stop))
    await database.asked.wait()
    keeping.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not keeping.done()
    database.held.set()
    await asyncio.wait((keeping,))
    assert keeping.cancelled()


async def test_signals_have_their_previous_handlers_again_afterwards() -> None:
    """That of asyncio.Runner cancels the main task; Python's default would interrupt whatever runs."""

    def earlier(*_: object) -> None:
        """Stand for the handler of asyncio.Runner."""

    before = signal.signal(signal.SIGINT, earlier)
    try:
        stop = asyncio.Event()
        with supervisor._signals(stop, lambda: None, lambda: None):
            signal.raise_signal(signal.SIGINT)
            await stop.wait()
        assert signal.getsignal(signal.SIGINT) is earlier
    finally:
        signal.signal(signal.SIGINT, before)
