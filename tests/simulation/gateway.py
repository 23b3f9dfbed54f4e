"""The push and feed processes of a simulated night, each under a supervisor that starts it again when it has ended.

A process runs `push_service` or `feed_service` of production, on a platform whose database, port, clock and chance are
simulated. Each is on a machine of its own; clients reach the processes of a door by one address, as behind a load
balancer that knows which of them listen.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal, NoReturn, cast

import msgspec

from gateway.config import Config
from gateway.errors import JournalUnavailable
from gateway.journal.confirmations import PostgresConfirmations
from gateway.journal.intake import Intake
from gateway.journal.log import LogRecord
from gateway.journal.monitoring import PushMonitoring
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.machine.control import OVERDUE_S, Control, ControlLine, WorkerReport, WorkerSpec
from gateway.platform import FeedDatabase, Platform, PushDatabase
from gateway.service import feed_service, push_service
from gateway.telemetry.metrics import FeedMetrics, PushMetrics
from gateway.web.accepting import accepting
from tests.prepared_doors import keep_pages
from tests.simulation.database import SimulatedDatabase
from tests.simulation.journal import newest_host, notified, open_pool
from tests.simulation.leftovers import accepting_in, parts_of
from tests.simulation.processes import Process, Simulation

Door = Literal["push", "feed"]

PORTS: dict[Door, int] = {"push": 8081, "feed": 8080}
RESTART_S = 0.5
"""Seconds after which a process that ended by itself is started again."""
CRASHES_MAX = 3
"""How often a process that fails is started again: each failure is a bug, and a run with one is not to take long."""
NOT_EXPECTED = ("error", "critical", "exception")
"""Levels of log lines that are bugs, whatever fails."""
UNSTORABLE = "report refused by Postgres"
"""In a line that is expected of a database that refuses reports."""

keep_pages()


class Worker:
    """A push or feed process, started again whenever it has ended. Its address is its name, with the port of its door.

    Invariant: at most one process of it is alive.
    """

    def __init__(self, installation: "Installation", door: Door, index: int) -> None:
        self.door: Door = door
        self.index = index
        self.name = f"{door}-{index}"
        self.process: Process | None = None
        self.ready = False
        """Whether it has told its supervisor that it is ready."""
        self.skew_s = 0.0
        """How far the clock of its machine is ahead of the true time, in seconds."""
        self._installation = installation
        self._simulation = installation.simulation
        self._control: Control | None = None
        self._intake: Intake | None = None
        """The intake of its process, set when the process is told to stop."""
        self._restart_s = RESTART_S
        self._crashes = 0
        self._starts = 0
        """How often a start was planned; only the latest plan is carried out."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self.name}:{PORTS[self.door]}"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.alive

    def start(self) -> None:
        """Start its process, unless it runs."""
        if self.alive:
            return
        self.process = self._simulation.process(self.name, self.skew_s)
        self._restart_s = RESTART_S
        self.process.spawn(self._live(self.process), self.name)

    def kill(self, restart_s: float, *, power: bool = False) -> None:
        """End its process at once, and start it again after some seconds."""
        if self.process is not None:
            self.process.kill(power=power)
            self._ended(restart_s)

    def drain(self, restart_s: float) -> None:
        """Tell its process to stop, as SIGTERM does, and start it again some seconds after it has ended.

        It is killed if it does not end in time. If it does not run now, it is started after some seconds from now.
        """
        if self.process is None or not self.alive:
            self._start_in(restart_s)
            return
        self._restart_s = restart_s
        if self._control is None or self._control.stop.is_set():
            return
        process = self.process
        self._intake = parts_of(process, self._simulation.loop).get("intake")
        process.run(self._control.drain)
        overdue_s = self._control.config.drain_s + OVERDUE_S

        def kill() -> None:
            if process.alive:
                self._installation.note(self.name, "error", "not drained in time")
                self.kill(restart_s)

        self._simulation.loop.call_world(overdue_s, kill)

    def jump_clock(self, seconds: float) -> None:
        """Set the clock of its machine forward or back."""
        self.skew_s += seconds
        if self.process is not None:
            self.process.clock.skew_s = self.skew_s

    async def _live(self, process: Process) -> None:
        service = push_service if self.door == "push" else feed_service
        line = cast("ControlLine", _Line(self))
        control = Control(line, WorkerSpec(self.door, self.index, self._installation.config))
        control.door_ready = True
        self._control = control
        try:
            await service(control, self._installation.platform(process, self))
        except BaseExceptionGroup as error:
            self._installation.note(self.name, "error", f"ended by {error.exceptions!r}")
            self._installation.failures.append(error)
            self._crashes += 1
        if not control.stop.is_set():
            self._installation.note(self.name, "error", "ended without being told to")
        elif self._intake is not None and (elections := accepting_in(self._intake)):
            self._installation.note(
                self.name, "error", f"started to accept reports for {elections} as it drained"
            )
        self._simulation.loop.call_world(0.0, lambda: self._exit(process))

    def _exit(self, process: Process) -> None:
        """Close what the process has left open, as its kernel does."""
        if process.alive:
            process.kill()
            self._ended(self._restart_s)

    def _ended(self, restart_s: float) -> None:
        self._control = self._intake = None
        self.ready = False
        self._start_in(restart_s)

    def _start_in(self, seconds: float) -> None:
        """Start it in some seconds, and not before; not at all if it fails again and again."""
        self._starts += 1
        if self._crashes > CRASHES_MAX:
            return
        number = self._starts

        def start() -> None:
            if number == self._starts:
                self.start()

        self._simulation.loop.call_world(seconds, start)


class _Line:
    """The supervisor's end of the control line."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def send(self, message: msgspec.Struct) -> None:
        """Take a report of the worker."""
        if isinstance(message, WorkerReport) and message.ready is not None:
            self._worker.ready = message.ready


class Installation:
    """All push and feed processes, and their log."""

    def __init__(
        self,
        simulation: Simulation,
        database: SimulatedDatabase,
        *,
        push: int,
        feeds: int,
        replica: bool = False,
        **options: Any,
    ) -> None:
        """Prepare so many processes of each door; `options` are those of Config, the same for all.

        `replica`: feeds read from the standby.
        """
        self.simulation = simulation
        self.database = database
        self.replica = replica
        self.config = Config(**options)
        simulation.on_log = self.note
        doors: Sequence[tuple[Door, int]] = (("push", push), ("feed", feeds))
        self.workers = {
            worker.name: worker
            for door, number in doors
            for worker in (Worker(self, door, index) for index in range(1, number + 1))
        }
        self.log: list[str] = []
        """Lines that the processes logged, with level and process."""
        self.unexpected: list[str] = []
        """Those of them that are bugs, whatever fails."""
        self.failures: list[BaseException] = []
        """What ended processes that nobody had told to end."""
        for door, _ in doors:
            addresses = [worker.address for worker in self.workers.values() if worker.door == door]
            simulation.network.balance(f"{door}:{PORTS[door]}", addresses)

    def start(self) -> None:
        """Start all processes."""
        for worker in self.workers.values():
            worker.start()

    @property
    def ready(self) -> bool:
        """Whether all processes are ready."""
        return all(worker.ready for worker in self.workers.values())

    def note(self, process: str, level: str, line: str) -> None:
        """Record a line of a process's log."""
        self.log.append(f"{process} {level}: {line}")
        if level in NOT_EXPECTED and not (self.database.unstorable and UNSTORABLE in line):
            self.unexpected.append(self.log[-1])

    def platform(self, process: Process, worker: Worker) -> Platform:
        """Return what a process runs on."""
        network, database = self.simulation.network, self.database

        @asynccontextmanager
        async def push_database(config: Config, _: PushMetrics) -> AsyncIterator[PushDatabase]:
            pool = open_pool(database, process)
            yield PushDatabase(
                PostgresConfirmations(open_pool(database, process, max_size=1)),
                partial(PostgresJournal, pool, require_standby=config.require_standby),
                cast("PushMonitoring", NoMonitoring()),
                _wait_forever,
                lambda _: None,
                partial(notified, database, process, acts=True),
                lambda: None,
                pool.terminate,
            )

        @asynccontextmanager
        async def feed_database(_: Config, __: FeedMetrics) -> AsyncIterator[FeedDatabase]:
            pool = open_pool(database, process, replica=self.replica)
            yield FeedDatabase(
                PublicRecord(pool),
                LogRecord(pool),
                newest_host(database, process, pool, replica=self.replica).run,
                partial(notified, database, process, replica=self.replica),
                lambda: None,
            )

        def accept(_: Config, __: int, connections: Any, make: Any, tls: Any) -> Any:
            return accepting(cast("Any", network.listener(process, worker.address)), connections, make, tls)

        return Platform(push_database, feed_database, accept, clock=process.clock, chance=process.chance)


async def _wait_forever() -> None:
    """Compare no hosts: a push process leaves a former primary, which ends soon, at its first commit."""
    await asyncio.Event().wait()


class NoMonitoring:
    """In place of `PushMonitoring`: only statistics depend on it, and only operators read its boards."""

    def __init__(self) -> None:
        self.boards = self
        self.silent: dict[str, int] = {}

    async def run(self, *_: Any) -> None:
        """Wait until cancelled."""
        await _wait_forever()

    async def read(self, _: Any) -> NoReturn:
        """Refuse: there are no boards."""
        raise JournalUnavailable("no boards here")

    async def write_last(self, _: Any) -> None:
        """Write nothing."""

    def refresh_gauges(self, *_: Any) -> None:
        """Set nothing."""


async def _wait_forever() -> None:
    await asyncio.get_running_loop().create_future()
