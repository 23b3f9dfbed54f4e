"""A simulation: the loop, its chance, the network, and processes that can be suspended and killed.

    with Simulation(seed=7) as simulation:
        door = simulation.process("push-1")
        door.spawn(serve(door.clock), "door")
        simulation.run(main(simulation))

While a simulation is entered, nothing reads a real clock, opens a real socket or starts a thread: see `guard.py`.
"""

import asyncio
import contextvars
import gc
import random
import sys
import warnings
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web_app

from tests.simulation.guard import Guard
from tests.simulation.interruptions import How, Interruption, Interruptions
from tests.simulation.loop import OWNER, POLICIES, Handle, Owner, SimulatedLoop, task_of
from tests.simulation.network import Network

T = TypeVar("T")

START = datetime(2026, 9, 13, 18, 0, tzinfo=UTC)
"""Time of day when a simulation begins."""
STEPS_S = (1e-6, 1e-5, 1e-4)
"""How long a step takes, in seconds; one of these in each run."""
PAUSES_S = (0.0, 5e-4, 3e-3)
"""How long it takes at most, when nothing is ready, until what happens next is noticed; one of these in each run."""
CPU_S = 5e-5
"""CPU time of a step, in seconds."""


class SimulatedClock:
    """The clocks of a simulated process."""

    def __init__(self, simulation: "Simulation", owner: Owner) -> None:
        self._simulation = simulation
        self._loop = simulation.loop
        self.skew_s = 0.0
        """How far the time of day of the machine is ahead of the true time, in seconds."""
        self._monotonic_offset_s = simulation.chance_for(f"clock of {owner.name}").uniform(0, 1e6)

    def now(self) -> datetime:
        """Return the time of day of the machine, in UTC."""
        return START + timedelta(seconds=self._loop.time() - self._simulation.started_s + self.skew_s)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._loop.time() + self._monotonic_offset_s

    def cpu(self) -> float:
        """Return CPU time in seconds; each step takes the same."""
        return self._loop.steps * CPU_S


class Process(Owner):
    """A process on a machine of its own. Invariant: after `kill` none of its code runs."""

    def __init__(self, simulation: "Simulation", name: str, skew_s: float) -> None:
        super().__init__(name)
        self._simulation = simulation
        self.clock = SimulatedClock(simulation, self)
        self.clock.skew_s = skew_s
        self.chance = simulation.chance_for(f"process {name}, started at step {simulation.steps}")
        """Random numbers for the code of the process."""
        self.context = contextvars.Context()
        self.context.run(OWNER.set, self)
        self.on_kill: list[Callable[[], None]] = []
        """Called when it is killed, for what notices that: a database, for example."""

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str | None = None) -> "asyncio.Task[T]":
        """Start a task that belongs to the process."""
        return self._simulation.loop.create_task(coroutine, name=name, context=self.context.copy())

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function as code of the process."""
        return self.context.copy().run(function, *args)

    def kill(self, *, power: bool = False) -> None:
        """End the process as `kill -9` does: no `finally`, no `connection_lost`; its kernel closes its connections.

        With `power` the machine loses its power: nobody is notified, and peers notice only when they send something
        and the machine is back, which it is at once, or by their timeouts.
        """
        if not self.alive:
            return
        self._simulation.trace("kill", process=self.name, power=power)
        self._simulation.loop.kill(self)
        self._simulation.network.process_killed(self, silent=power)
        for notify in self.on_kill:
            notify()

    def suspend(self, seconds: float) -> None:
        """Give the process no CPU time for some seconds: what arrives and its timers wait, and then all are due."""
        self._simulation.trace("suspend", process=self.name, seconds=seconds)
        loop = self._simulation.loop
        loop.suspend(self)
        loop.call_world(seconds, lambda: loop.resume(self))


class Simulation:
    """Everything of one run. Use it as a context manager; `run` may be called once or several times."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = self.chance_for("simulation")
        """Random numbers for the run itself."""
        self.loop = SimulatedLoop(
            self.chance_for("order"),
            step_s=self.chance.choice(STEPS_S),
            pause_s=self.chance.choice(PAUSES_S),
            policy=self.chance.choice(POLICIES),
            defers_writes=self.chance.random() < 0.5,
        )
        self.started_s = self.loop.time()
        self.network = Network(self.loop, self.chance_for("network"))
        self.processes: dict[str, Process] = {}
        """The latest process of each name."""
        self.events: list[str] = []
        """What was traced, one line for each event."""
        self._world = contextvars.Context()
        self.interruptions = Interruptions(self.loop)
        self._guard = Guard(
            self.loop, self.network, self.chance_for("libraries"), self._wall_clock, self._log
        )
        self.on_log: Callable[[str, str, str], None] = lambda owner, level, text: None
        """Called with what processes log: the name of the process, level and text."""

    # Its parts.

    def chance_for(self, purpose: str) -> random.Random:
        """Return random numbers for one purpose: how many others draw does not change them."""
        return random.Random(f"{self.seed} {purpose}")

    def process(self, name: str, skew_s: float = 0.0) -> Process:
        """Start a process; one of the same name must be dead."""
        before = self.processes.get(name)
        assert before is None or not before.alive, f"{name} is still running"
        process = self.processes[name] = Process(self, name, skew_s)
        self.network.process_started(process)
        return process

    def server_side(self) -> contextvars.Context:
        """Return a context in which callbacks belong to no process, such as those of the database."""
        return self._world.copy()

    # Running.

    def run(
        self, main: Coroutine[Any, Any, T], *, steps_max: int | None = None, seconds_max: float = 86400.0
    ) -> T:
        """Run a coroutine, which belongs to no process, until it is done. Raises Stuck, CallbackFailed."""
        if steps_max is not None:
            self.loop.steps_max = self.loop.steps + steps_max
        self.loop.end_s = self.loop.time() + seconds_max
        return self.loop.run_until_complete(
            self.loop.create_task(main, name="main", context=self.server_side())
        )

    def cancel_at(self, pattern: str, number: int, *, how: How = "cancel", which: int = 0) -> Interruption:
        """Interrupt the task whose name, or coroutine function, matches (as file names do), at its await of a number.

        Awaits count from 1, and tasks that match from 0, in the order in which they begin. See `How`.
        """
        return self.interruptions.add(pattern, number, how, which)

    # Observation.

    @property
    def steps(self) -> int:
        """Callbacks run so far."""
        return self.loop.steps

    @property
    def now_s(self) -> float:
        """The true time in seconds since 1970."""
        return START.timestamp() + self.loop.time() - self.started_s

    def now(self) -> datetime:
        """Return the true time."""
        return START + timedelta(seconds=self.loop.time() - self.started_s)

    def trace(self, event: str, **facts: object) -> None:
        """Record an event of the run, with facts whose `repr` is the same in every run."""
        said = "".join(f" {name}={value!r}" for name, value in facts.items())
        line = f"{self._when()}  {OWNER.get().name}: {event}{said}"
        self.events.append(line)
        self.loop.record(line.encode())

    def trace_steps(self, write: Callable[[str], object]) -> None:
        """Pass a line for each step from now on to a function, before the step is run."""

        def watch(handle: Handle, owner: Owner) -> None:
            task = task_of(handle)
            what = f"task {task.get_name()}" if task is not None else _name_of(handle._callback)
            write(f"{self._when()}  {owner.name}: {what}")

        self.loop.watch = watch

    @property
    def digest(self) -> str:
        """A digest of every step, of what the processes sent each other, and of every traced event."""
        return self.loop.digest()

    def _when(self) -> str:
        return f"{self.loop.time() - self.started_s:12.6f} s  step {self.steps:7}"

    def _log(self, level: str, text: str) -> None:
        if self.loop.is_running():  # not at the end, when what waits is closed
            self.trace("log", level=level, text=text)
            self.on_log(OWNER.get().name, level, text)

    def _wall_clock(self) -> float:
        owner = OWNER.get()
        return self.now_s + (owner.clock.skew_s if isinstance(owner, Process) else 0.0)

    def __enter__(self) -> Self:
        self._gc = gc.isenabled()
        gc.disable()  # what it finalizes, and when, would depend on what ran before
        self._guard.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.interruptions.close()
            self.network.close()
            self.loop.close()
        finally:
            self._guard.__exit__(kind, error, traceback)
            _forget()
            if self._gc:
                gc.enable()


def _forget() -> None:
    """Free what the run allocated, whose cycles were not collected; a finalizer of it has nobody to warn."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            web_app._cached_build_middleware.cache_clear()  # its keys are handlers, which lead to all of the run
            gc.collect(0)
    finally:
        sys.unraisablehook = hook


def _name_of(callback: Any) -> str:
    return str(getattr(callback, "__qualname__", type(callback).__name__))
