"""Which processes a machine runs, and how they end together.

The promise: while the supervisor lives, what should run does, and is started again if it ends; when it ends,
in whatever way, nothing is left behind. Its own part is so small that it does not fall: it serves nobody but
the admin port. Postgres, where it is an embedded one, is opened by the caller before and closed after all
workers have ended. Knows nothing of what the workers do.
"""

import asyncio
import os
import queue
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Container, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from gateway import __version__
from gateway.config import PREFIX, Config, config_for, without_passwords
from gateway.machine.admin_port import admin_port
from gateway.machine.control import OVERDUE_S, Assignment, Role, ToWorker, forbid_inspection
from gateway.machine.ports import listen_socket
from gateway.machine.systemd import ServiceManager
from gateway.machine.worker import STEADY_S, Backoff, Worker
from gateway.telemetry.metrics import ProcessMetrics, exposition, feel_loop, sample_lines
from gateway.telemetry.metrics_merge import merge_metrics

WORKER_COMMAND = (sys.executable, "-m", "gateway", "worker")
"""Is given two more words: the worker's name, for whoever lists processes, and the descriptor of its line."""
METRICS_S = 2.0
"""Seconds a worker has to say what it counts."""
GIVE_UP_S = 120.0
"""Seconds of failed attempts to bring Postgres up again; after a crash much may have to be read once more."""

_NAMES_SECRET = re.compile(r"PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|TOKEN|PRIVATE_?KEY", re.IGNORECASE)

log = structlog.get_logger()


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a worker inherits of the supervisor's environment: no knob, and nothing that looks like a secret.

    A worker gets its configuration, passwords included, over its line. A variable is left out if its name speaks of a
    secret (PGPASSWORD, READER_PASSWORD, CREDENTIALS_DIRECTORY), or if its value contains a URL with a password. Those
    of OpenTelemetry are for the workers, the key of its collector among them.
    """
    return {name: value for name, value in environ.items() if not _is_secret(name, value)}


def _is_secret(name: str, value: str) -> bool:
    if name.startswith("OTEL_"):
        return False
    return (
        name.startswith(PREFIX) or _NAMES_SECRET.search(name) is not None or without_passwords(value) != value
    )


class Ports(msgspec.Struct, frozen=True):
    """Where this machine takes connections; None for what it does not have."""

    push: int | None = None
    feed: int | None = None
    admin: int | None = None


class LongLivedThread:
    """A thread that calls one thing after another, and lives as long as the process.

    Some system calls tie a child to the thread that forked it; a pool's thread may end, and the child with it.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], object], Future[None]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def call(self, function: Callable[[], object]) -> None:
        """Call it there and wait until it has ended, also where who waits is cancelled; raise what it raises."""
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
            ending.exception()  # nobody is there to hear of it
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
    """A database that lives with this machine.

    `restart` may block for long, and what it starts may end with the thread that started it. So it is called in one
    thread that lives as long as the process.
    """

    async def wait_ended(self) -> object:
        """Wait until it is down, wanted or not."""

    def restart(self) -> object:
        """Bring it up again at the same address."""


async def supervise(
    config: Config,
    *,
    worker_command: Sequence[str] = WORKER_COMMAND,
    database: Restartable | None = None,
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
    on_started: Callable[[Ports], None] | None = None,
    stop: asyncio.Event | None = None,
) -> int:
    """Run the workers of this machine until SIGTERM, SIGINT or `stop`; return the exit status.

    `config` holds the database's addresses already. `beside` runs beside the workers until they drain.
    `on_started` is called once, when all workers are ready.
    The status is 0 after a clean drain, and 1 if anything had to be ended by force, by a second signal or
    because it was late, or could not be kept running. Raises ListenError before anything is started.
    """
    stop = stop or asyncio.Event()
    forbid_inspection()
    with ExitStack() as held:
        config, ports, admin = _take_ports(config, held)
        manager = ServiceManager.of(os.environ)
        machine = Supervisor(config, worker_command)
        if database is not None:
            machine.data_dir = config.data_dir
        held.enter_context(_signals(stop, machine.end_at_once, machine.renew))
        async with AsyncExitStack() as doors, asyncio.TaskGroup() as parts:
            if admin is not None:
                await doors.enter_async_context(admin_port(admin, machine.health, machine.metrics))
            kept = [
                parts.create_task(machine.keep(worker, stop), name=worker.name) for worker in machine.workers
            ]
            others = [
                parts.create_task(machine.announce(ports, manager, on_started), name="announce"),
                parts.create_task(manager.keep_informed(machine.answers), name="service manager"),
                parts.create_task(feel_loop(machine.own.loop_lag), name="loop"),
            ]
            if database is not None:
                others.append(parts.create_task(machine.keep_database(database, stop), name="database"))
            if beside is not None:
                others.append(parts.create_task(beside(), name="beside"))
            await stop.wait()
            manager.stopping()
            await machine.drain(kept)
            for task in others:
                task.cancel()
    return machine.status


class Supervisor:
    """The workers of one machine, and what they have in common. Invariants:

    * A door is ready while all its workers are, and each of them knows it.
    * Once it drains, nothing is started any more.
    """

    def __init__(self, config: Config, worker_command: Sequence[str]) -> None:
        counts: dict[Role, int] = {"push": config.push_workers, "feed": config.feed_workers}
        environ = worker_environment(os.environ)
        self.workers = [
            Worker(Assignment(role, index, config_for(config, role)), worker_command, environ, self._changed)
            for role, count in counts.items()
            if config.role in ("all", role)
            for index in range(count)
        ]
        self.status = 0
        self.own = ProcessMetrics()
        self.data_dir: Path | None = None
        """Where the database lives that lives with this machine."""
        self._drain_max_s = config.drain_s + OVERDUE_S
        self._draining = False
        self._doors_ready: dict[Role, bool] = {worker.role: False for worker in self.workers}
        self._all_ready = asyncio.Event()
        self._database_restarts = 0

    async def keep(self, worker: Worker, stop: asyncio.Event) -> None:
        """Keep a worker running until the drain; if that is in vain, drain everything."""
        if reason := await worker.run():
            self._fail(reason, stop)

    async def keep_database(self, database: Restartable, stop: asyncio.Event) -> None:
        """Restart Postgres whenever it ends; if that is in vain for GIVE_UP_S, drain everything."""
        backoff, clock, failing_since = Backoff(), asyncio.get_running_loop().time, None
        thread: LongLivedThread | None = None
        while True:
            since = clock()
            await database.wait_ended()
            if stop.is_set():  # it ends with everything, and the caller sees to that
                return
            ended_at = clock()
            if ended_at - since >= STEADY_S:
                backoff.reset()
            delay_s = backoff.next()
            log.error("database ended unasked", restart_in_s=delay_s)
            await asyncio.sleep(delay_s)
            if stop.is_set():
                return
            self._database_restarts += 1
            try:
                thread = thread or LongLivedThread("database")
                await thread.call(database.restart)
                failing_since = None
                log.info("database restarted")
            except Exception as error:  # whatever it is, a night is not given up for it at once
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

    async def announce(
        self, ports: Ports, manager: ServiceManager, on_started: Callable[[Ports], None] | None
    ) -> None:
        """Tell once that all workers are ready."""
        await self._all_ready.wait()
        manager.ready()
        log.info("started", push=ports.push, feed=ports.feed, admin=ports.admin)
        if on_started is not None:
            on_started(ports)

    async def drain(self, kept: Sequence[asyncio.Task[None]]) -> None:
        """Let all workers end, and end by force those that are late."""
        log.info("draining", at_most_s=self._drain_max_s)
        self._draining = True
        for worker in self.workers:
            worker.drain()
        _, late = await asyncio.wait(kept, timeout=self._drain_max_s)
        if late:
            names = [worker.name for worker in self.workers if worker.pid is not None]
            log.error("not drained in time", workers=names)
            self.end_at_once()
            await asyncio.wait(kept)
        log.info("drained", status=self.status)

    def renew(self) -> None:
        """Have every worker read its certificate again."""
        for worker in self.workers:
            worker.tell(ToWorker(renew=True))

    def end_at_once(self) -> None:
        """End all workers by force."""
        self.status = 1
        for worker in self.workers:
            worker.kill()

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether this machine is ready, and the state of each worker."""
        ready = all(self._doors_ready.values()) and not self._draining
        workers = {
            worker.name: {
                "state": worker.state,
                "pid": worker.pid,
                "port": worker.port,
                "restarts": worker.restarts,
            }
            for worker in self.workers
        }
        status = "draining" if self._draining else "ready" if ready else "not_ready"
        return ready, {"status": status, "workers": workers}

    async def answers(self, patience_s: float) -> bool:
        """Whether every worker is there and says something when asked; a drain has a bound of its own."""
        if self._draining:
            return True
        asked = [worker.ask_metrics() for worker in self.workers]
        await asyncio.wait(asked, timeout=patience_s)
        return all(answer.done() and answer.result() is not None for answer in asked)

    async def metrics(self) -> str:
        """What all processes count; a worker that does not say so in METRICS_S is down."""
        asked = {worker.name: worker.ask_metrics() for worker in self.workers}
        await asyncio.wait(asked.values(), timeout=METRICS_S)
        texts = {name: answer.result() for name, answer in asked.items() if answer.done()}
        told = {name: text for name, text in texts.items() if text is not None}
        own = exposition(self.own.registry).decode()
        return merge_metrics([*told.items(), ("supervisor", own), (None, self._own_metrics(set(told)))])

    def _own_metrics(self, up: Container[str]) -> str:
        figures: list[tuple[str, str, str, Callable[[Worker], int]]] = [
            ("worker_up", "gauge", "Whether a worker told its metrics.", lambda worker: worker.name in up),
            ("worker_ready", "gauge", "Whether a worker can serve now.", lambda worker: worker.ready),
            ("worker_restarts_total", "counter", "Starts after the first.", lambda worker: worker.restarts),
        ]
        lines = []
        for name, kind, about, figure in figures:
            samples = [(f'process="{worker.name}"', int(figure(worker))) for worker in self.workers]
            lines += sample_lines(f"valgnatt_{name}", kind, about, samples)
        doors = [(f'door="{role}"', int(ready)) for role, ready in self._doors_ready.items()]
        lines += sample_lines(
            "valgnatt_door_ready", "gauge", "Whether all workers of a door are ready.", doors
        )
        about = "Restarts of the embedded Postgres."
        lines += sample_lines(
            "valgnatt_database_restarts_total", "counter", about, [("", self._database_restarts)]
        )
        version = f'version="{__version__}"'
        lines += sample_lines("valgnatt_build_info", "gauge", "Which program this is.", [(version, 1)])
        return "\n".join(lines + self._disk_lines())

    def _disk_lines(self) -> list[str]:
        """What the disk of a database of this machine has left; of another one nothing is known here."""
        if self.data_dir is None:
            return []
        with suppress(OSError):
            disk = os.statvfs(self.data_dir)
            return [
                *sample_lines(
                    "valgnatt_disk_free_bytes",
                    "gauge",
                    "What the embedded Postgres can still write.",
                    [("", disk.f_bavail * disk.f_frsize)],
                ),
                *sample_lines(
                    "valgnatt_disk_size_bytes",
                    "gauge",
                    "Size of that disk.",
                    [("", disk.f_blocks * disk.f_frsize)],
                ),
            ]
        return []

    def _changed(self) -> None:
        """Tell the workers of each door what has changed for it."""
        for role, before in self._doors_ready.items():
            workers = [worker for worker in self.workers if worker.role == role]
            ready = all(worker.ready for worker in workers)
            if ready != before:
                self._doors_ready[role] = ready
                for worker in workers:
                    worker.tell(ToWorker(door_ready=ready))
        if all(self._doors_ready.values()):
            self._all_ready.set()


def _take_ports(config: Config, held: ExitStack) -> tuple[Config, Ports, socket.socket | None]:
    """Bind each port of this machine, so that it is ours before anything starts and while nobody listens.

    The sockets that `held` keeps never listen: they make workers that come and go share one port, also where
    it is any free one. Who listens on a port that may be shared would share it with us unasked, so that is
    looked for.
    """
    found = {}
    for role in ("push", "feed"):
        if config.role in ("all", role):
            wanted: int = getattr(config, f"{role}_port")
            listen_socket(config.host, wanted, shared=False).close()
            found[role] = held.enter_context(listen_socket(config.host, wanted)).getsockname()[1]
    admin = None
    if config.admin_port is not None:
        admin = held.enter_context(listen_socket(config.admin_host, config.admin_port, shared=False))
        found["admin"] = admin.getsockname()[1]
    bound = {f"{name}_port": port for name, port in found.items()}
    return msgspec.structs.replace(config, **bound), Ports(**found), admin


@contextmanager
def _signals(
    stop: asyncio.Event, end_at_once: Callable[[], None], renew: Callable[[], None]
) -> Iterator[None]:
    """Take the first SIGTERM or SIGINT as a wish to drain, the second as an order to end.

    SIGHUP renews the certificates.
    """
    asked = 0

    def ask() -> None:
        nonlocal asked
        asked += 1
        stop.set()
        if asked > 1:
            log.warning("ended at once, as asked a second time")
            end_at_once()

    loop = asyncio.get_running_loop()
    meanings = {signal.SIGTERM: ask, signal.SIGINT: ask, signal.SIGHUP: renew}
    for number, meaning in meanings.items():
        loop.add_signal_handler(number, meaning)
    try:
        yield
    finally:
        for number in meanings:
            loop.remove_signal_handler(number)
