"""Supervise the processes of a machine: start, restart and stop them together.

While the supervisor runs, every process is restarted when it ends; when the supervisor ends, in whatever way, no
process is left behind. To be reliable, it does little itself: it serves only the admin port. An embedded Postgres is
started by the caller before, and stopped after all workers have ended. Independent of what the workers do.
"""

import asyncio
import os
import queue
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from gateway import __version__
from gateway.backoff import Backoff
from gateway.config import DOORS, Config, Door, config_for
from gateway.config_option import PREFIX, Role
from gateway.deadline import wait_at_most
from gateway.inspection import forbid_inspection
from gateway.machine.admin_port import admin_port
from gateway.machine.control import OVERDUE_S, WorkerCommand, WorkerSpec
from gateway.machine.ports import ListenError, listen_socket
from gateway.machine.systemd import ServiceManager
from gateway.machine.worker import STABLE_S, Worker
from gateway.redaction import without_passwords
from gateway.telemetry.metrics import (
    MachineMetrics,
    MachineState,
    ProcessMetrics,
    WorkerState,
    exposition,
    sample_loop_lag,
)
from gateway.telemetry.metrics_merge import merge_metrics

WORKER_COMMAND = (sys.executable, "-m", "gateway.worker")
"""Command of a worker; its name, for lists of processes, and the descriptor of its control line are appended."""
METRICS_S = 2.0
"""Seconds within which a worker has to return its metrics."""
AGAIN_S = 10.0
"""Seconds after which a signer or a mirror that could not be started is started again."""
GIVE_UP_S = 120.0
"""Seconds of failed restarts of Postgres before giving up; recovery after a crash may take long."""

_NAMES_SECRET = re.compile(r"PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|TOKEN|PRIVATE_?KEY", re.IGNORECASE)

OBJECT_STORES = ("AWS_", "AZURE_", "GOOGLE_", "GCS_")
"""What the names of the variables of object stores begin with."""

log = structlog.get_logger()


def worker_environment(environ: Mapping[str, str], role: Role = "push") -> dict[str, str]:
    """Return the environment of a worker: the supervisor's without options and without anything that looks secret.

    A worker receives its configuration, including passwords, over its control line. A variable is removed if its name
    suggests a secret (PGPASSWORD, READER_PASSWORD, CREDENTIALS_DIRECTORY), or if its value contains a URL with a
    password. The variables of OpenTelemetry are kept, including the key for its collector, as the workers use them.
    Those of object stores go to the mirror alone, with their credentials; it reaches this machine without a proxy.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if (role == "mirror" if name.startswith(OBJECT_STORES) else not _is_secret(name, value))
    }
    if role == "mirror":
        exceptions = environ.get("no_proxy") or environ.get("NO_PROXY")
        kept["no_proxy"] = ",".join(filter(None, (exceptions, "localhost,127.0.0.1,::1")))
    return kept


def _is_secret(name: str, value: str) -> bool:
    if name.startswith("OTEL_"):
        return False
    return (
        name.startswith(PREFIX) or _NAMES_SECRET.search(name) is not None or without_passwords(value) != value
    )


class Ports(msgspec.Struct, frozen=True):
    """The ports of this machine; None for those that it does not have."""

    push: int | None = None
    feed: int | None = None
    admin: int | None = None


class LongLivedThread:
    """A thread that makes one call after another and lives as long as the process.

    Some system calls tie a child process to the thread that forked it; a thread of a pool may end, and end the child.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], object], Future[None]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def call(self, function: Callable[[], object]) -> None:
        """Call a function in the thread and wait for its end, even if the caller is cancelled; raise its exception."""
        called: Future[None] = Future()
        self._calls.put((function, called))
        ending = asyncio.wrap_future(called)
        cancelled: asyncio.CancelledError | None = None
        while not ending.done():
            try:
                await asyncio.wait((ending,))
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            ending.exception()  # retrieved; the caller no longer waits for it
            raise cancelled
        ending.result()

    def _run(self) -> None:
        while True:
            function, called = self._calls.get()
            try:
                function()
            except BaseException as error:
                called.set_exception(error)
            else:
                called.set_result(None)


class Restartable(Protocol):
    """The embedded database of this machine.

    `restart` may block for long, and the process that it starts may end with the thread that started it. So it is
    always called in the same thread, which lives as long as the process.
    """

    async def wait_ended(self) -> object:
        """Wait until it has ended, expected or not."""

    def restart(self) -> object:
        """Start it again at the same address."""


async def supervise(
    config: Config,
    *,
    worker_command: Sequence[str] = WORKER_COMMAND,
    database: Restartable | None = None,
    background: Callable[[], Coroutine[Any, Any, None]] | None = None,
    on_started: Callable[[Ports], None] | None = None,
    stop: asyncio.Event | None = None,
    other_ports: bool = False,
) -> int:
    """Run the workers of this machine until SIGTERM, SIGINT or `stop`; return the exit status.

    `config` must contain the addresses of the database. `background` runs until the workers drain. `on_started` is
    called once, when all workers are ready. With `other_ports`, a port that is in use is replaced by any free one. The
    status is 0 after a clean drain, and 1 if a process had to be killed,
    after a second signal or a timeout, or could not be kept running. Raises ListenError before anything is started.
    """
    stop = stop or asyncio.Event()
    forbid_inspection()
    with ExitStack() as resources:
        config, ports, admin = _bind_ports(config, resources, other_ports=other_ports)
        manager = ServiceManager.from_environment(os.environ)
        machine = Supervisor(config, worker_command)
        if database is not None:
            machine.data_dir = config.data_dir
        resources.enter_context(_signals(stop, machine.kill_workers, machine.renew_certificates))
        async with AsyncExitStack() as doors, asyncio.TaskGroup() as parts:
            if admin is not None:
                await doors.enter_async_context(admin_port(admin, machine.health, machine.metrics))
            running = [
                parts.create_task(machine.keep_running(worker, stop), name=worker.name)
                for worker in machine.workers
            ]
            others = [
                parts.create_task(machine.report_started(ports, manager, on_started), name="started"),
                parts.create_task(manager.run_watchdog(machine.workers_respond), name="service manager"),
                parts.create_task(sample_loop_lag(machine.own.loop_lag), name="loop"),
            ]
            if database is not None:
                others.append(
                    parts.create_task(machine.keep_database_running(database, stop), name="database")
                )
            if background is not None:
                others.append(parts.create_task(background(), name="background"))
            await stop.wait()
            manager.stopping()
            await machine.drain(running)
            for task in others:
                task.cancel()
    return machine.status


class Supervisor:
    """The workers of one machine. Invariants:

    * A door is ready while all its workers are ready, and each of them is notified.
    * Once draining, nothing is started.
    """

    def __init__(self, config: Config, worker_command: Sequence[str]) -> None:
        counts: dict[Role, int] = {
            "push": config.push_workers if config.role != "feed" else 0,
            "feed": config.feed_workers if config.role != "push" else 0,
            "signer": 1 if config.sign_dir is not None else 0,
            "mirror": 1 if config.mirror is not None else 0,
        }
        self.workers = [
            Worker(
                WorkerSpec(role, index, config_for(config, role)),
                worker_command,
                worker_environment(os.environ, role),
                self._update_doors,
            )
            for role, count in counts.items()
            for index in range(count)
        ]
        self.status = 0
        self.own = ProcessMetrics()
        self.data_dir: Path | None = None
        """The data directory of the embedded database, if there is one."""
        self._drain_max_s = config.drain_s + OVERDUE_S
        self._draining = False
        self._doors_ready: dict[Door, bool] = {role: False for role in DOORS if counts[role]}
        self._all_ready = asyncio.Event()
        self._database_restarts = 0
        self._up: Collection[str] = ()  # names of the workers that returned their metrics last
        self._machine_metrics = MachineMetrics(__version__, self._state)

    async def keep_running(self, worker: Worker, stop: asyncio.Event) -> None:
        """Keep a worker running until the drain; if that fails, drain everything.

        A signer or a mirror is started again instead: the doors do not need them.
        """
        while reason := await worker.run():
            if worker.role in DOORS:
                self._fail(reason, stop)
                return
            if worker.role == "signer":
                log.error("nothing is signed; the doors go on without", reason=reason, again_in_s=AGAIN_S)
            else:
                log.error(
                    "the mirror is not written; the doors go on without", reason=reason, again_in_s=AGAIN_S
                )
            await wait_at_most(stop, AGAIN_S)

    async def keep_database_running(self, database: Restartable, stop: asyncio.Event) -> None:
        """Restart Postgres whenever it ends; after GIVE_UP_S of failures, drain everything."""
        backoff, clock, failing_since = Backoff(), asyncio.get_running_loop().time, None
        thread: LongLivedThread | None = None
        while True:
            since = clock()
            await database.wait_ended()
            if stop.is_set():  # the caller stops it
                return
            ended_at = clock()
            if ended_at - since >= STABLE_S:
                backoff.reset()
            delay_s = backoff.next()
            log.error("database ended unexpectedly", restart_in_s=delay_s)
            await asyncio.sleep(delay_s)
            if stop.is_set():
                return
            self._database_restarts += 1
            try:
                thread = thread or LongLivedThread("database")
                await thread.call(database.restart)
                failing_since = None
                log.info("database restarted")
            except Exception as error:  # any error may be temporary
                failing_since = ended_at if failing_since is None else failing_since
                failing_s = clock() - failing_since
                log.exception("database could not be restarted", error=error, failing_s=round(failing_s, 1))
                if failing_s >= GIVE_UP_S:
                    self._fail(f"the database could not be restarted for {failing_s:.0f} s", stop)
                    return

    def _fail(self, reason: str, stop: asyncio.Event) -> None:
        log.critical("giving up", reason=reason)
        self.status = 1
        stop.set()

    async def report_started(
        self, ports: Ports, manager: ServiceManager, on_started: Callable[[Ports], None] | None
    ) -> None:
        """Report once that all workers are ready: to the service manager, the log and `on_started`."""
        await self._all_ready.wait()
        manager.ready()
        log.info("started", push=ports.push, feed=ports.feed, admin=ports.admin)
        if on_started is not None:
            on_started(ports)

    async def drain(self, running: Sequence[asyncio.Task[None]]) -> None:
        """Drain all workers, and kill those that are late."""
        log.info("draining", at_most_s=self._drain_max_s)
        self._draining = True
        for worker in self.workers:
            worker.drain()
        _, late = await asyncio.wait(running, timeout=self._drain_max_s)
        if late:
            names = [worker.name for worker in self.workers if worker.pid is not None]
            log.error("not drained in time", workers=names)
            self.kill_workers()
            await asyncio.wait(running)
        log.info("drained", status=self.status)

    def renew_certificates(self) -> None:
        """Make every worker reload its certificate."""
        for worker in self.workers:
            worker.send(WorkerCommand(renew=True))

    def kill_workers(self) -> None:
        """Kill all workers."""
        self.status = 1
        for worker in self.workers:
            worker.kill()

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Return whether this machine is ready, and the state of each worker."""
        ready = all(self._doors_ready.values()) and not self._draining
        workers = {
            worker.name: {
                "state": worker.state,
                "pid": worker.pid,
                "port": worker.port,
                "restarts": worker.restarts,
                **({"problem": worker.problem} if worker.problem else {}),
            }
            for worker in self.workers
        }
        status = "draining" if self._draining else "ready" if ready else "not_ready"
        return ready, {"status": status, "workers": workers}

    async def workers_respond(self, within_s: float) -> bool:
        """Whether every door's worker answers within some seconds; true in a drain, which has its own limit."""
        if self._draining:
            return True
        requests = [worker.request_metrics() for worker in self.workers if worker.role in DOORS]
        await asyncio.wait(requests, timeout=within_s)
        return all(answer.done() and answer.result() is not None for answer in requests)

    async def metrics(self) -> str:
        """Return the metrics of all processes; a worker that does not answer within METRICS_S is down."""
        requests = {worker.name: worker.request_metrics() for worker in self.workers}
        await asyncio.wait(requests.values(), timeout=METRICS_S)
        texts = {name: answer.result() for name, answer in requests.items() if answer.done()}
        received = {name: text for name, text in texts.items() if text is not None}
        self._up = received.keys()
        own = exposition(self.own.registry).decode()
        machine = exposition(self._machine_metrics.registry).decode()
        return merge_metrics([*received.items(), ("supervisor", own), (None, machine)])

    def _state(self) -> MachineState:
        """Return what the supervisor itself knows, for its metrics."""
        workers = [
            WorkerState(worker.name, worker.name in self._up, worker.ready, worker.restarts)
            for worker in self.workers
        ]
        return MachineState(
            workers,
            self._doors_ready,
            self._database_restarts,
            self._disk(),
        )

    def _disk(self) -> tuple[int, int] | None:
        """Return free bytes and size of the embedded database's disk; None for another database."""
        if self.data_dir is None:
            return None
        with suppress(OSError):
            disk = os.statvfs(self.data_dir)
            return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        return None

    def _update_doors(self) -> None:
        """Notify the workers of each door whose readiness has changed."""
        for role, before in self._doors_ready.items():
            workers = [worker for worker in self.workers if worker.role == role]
            ready = all(worker.ready for worker in workers)
            if ready != before:
                self._doors_ready[role] = ready
                for worker in workers:
                    worker.send(WorkerCommand(door_ready=ready))
        if all(self._doors_ready.values()):
            self._all_ready.set()


def _bind_ports(
    config: Config, resources: ExitStack, *, other_ports: bool
) -> tuple[Config, Ports, socket.socket | None]:
    """Bind each port of this machine, to reserve it before anything starts and while no worker listens.

    The sockets kept in `resources` never listen: they let workers that come and go share one port, even if it was
    chosen by the kernel. Another SO_REUSEPORT listener would silently take part of our traffic; check for one.
    """

    def bind(host: str, port: int, *, shared: bool) -> socket.socket:
        try:
            if shared:
                listen_socket(host, port, shared=False).close()
            return resources.enter_context(listen_socket(host, port, shared=shared))
        except ListenError:
            if not other_ports:
                raise
            return resources.enter_context(listen_socket(host, 0, shared=shared))

    found: dict[str, int] = {}
    for role in DOORS:
        if config.role in ("all", role):
            found[role] = bind(config.host, getattr(config, f"{role}_port"), shared=True).getsockname()[1]
    admin = None
    if config.admin_port is not None:
        admin = bind(config.admin_host, config.admin_port, shared=False)
        found["admin"] = admin.getsockname()[1]
    bound = {f"{name}_port": port for name, port in found.items()}
    return msgspec.structs.replace(config, **bound), Ports(**found), admin


@contextmanager
def _signals(
    stop: asyncio.Event, kill_workers: Callable[[], None], renew_certificates: Callable[[], None]
) -> Iterator[None]:
    """Drain on the first SIGTERM or SIGINT, kill the workers on the second; reload certificates on SIGHUP.

    Afterwards the previous handlers apply again. An event loop would restore Python's default for SIGINT, which raises
    KeyboardInterrupt in whatever runs, instead of the handler of asyncio.Runner, which cancels the main task.
    """
    received = 0

    def terminate() -> None:
        nonlocal received
        received += 1
        stop.set()
        if received > 1:
            log.warning("second signal: killing the workers")
            kill_workers()

    loop = asyncio.get_running_loop()
    handlers = {signal.SIGTERM: terminate, signal.SIGINT: terminate, signal.SIGHUP: renew_certificates}
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            loop.remove_signal_handler(number)
            if previous is not None:  # None: not installed from Python
                signal.signal(number, previous)
