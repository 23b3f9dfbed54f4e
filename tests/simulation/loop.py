"""An event loop in virtual time that runs what is ready in an order drawn from a seed.

**Order.** asyncio runs callbacks in the order in which they were scheduled, so the order within a real process varies
only because events (a timer that is due, bytes on a socket, the end of work elsewhere) arrive in varying orders, at
any point between two callbacks. This loop produces these orders and no others that production could not meet:

* What is ready is kept in strands. A strand has what one event led to: its callback, what that scheduled, and so on.
  Within a strand callbacks run in the order in which they were scheduled, as asyncio promises; the callbacks of one
  future, a transport's `connection_made` before its `data_received`, and what one step schedules depend on it.
* Each step takes the strand that runs next by the policy of the run. So what different events led to runs in either
  order and interleaved: tasks woken by different events, a cancellation and a result, the steps of different processes.
* The events of one socket belong to one strand, so bytes are read in order, and what they led to starts in order. A
  socket is polled only after what was scheduled before the loop was asked to: a connection is made before it is lost.
* Timers of a process that are due run in the order of their times, and in random order if these are equal. Each
  begins a strand.

**Time** passes by `step_s` with each step and, when nothing is ready, up to the next event and up to `pause_s` more, as
on machines that do other things as well: so events meet that would rarely happen at the same time.

**Ownership.** A callback belongs to the owner in whose context it was scheduled: a simulated process, or the rest of
the world. Those of an owner that was killed never run; those of one that is suspended wait.

**Policies**, of which each seed has one: UNIFORM takes any strand that is ready. PRIORITIES takes the one that comes
first by random priorities, which rarely change, so that one is delayed for long while others run. OLDEST mostly takes
the one that was ready first, as a real loop does, and now and then any other.

There are no threads and no real sockets. `run_in_executor` runs its function as a callback of its own, later. Sockets
are those of `network.py`: asyncio's own transports run on them.
"""

import asyncio
import hashlib
import heapq
import random
import struct
import sys
import warnings
from asyncio import events
from asyncio.selector_events import _SelectorSocketTransport
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol
from weakref import WeakSet

STEPS_MAX = 1_000_000
"""Steps after which a run is ended as stuck."""
CANCELLED_MIN = 256
"""Cancelled timers that are kept until they are due; more are removed once they are the majority."""
EXECUTOR_MAX_S = 0.005
"""Longest time until the function of `run_in_executor` has run, in seconds."""
SELF_CLOSE_MAX = 20
"""How often a coroutine that waits while it is closed is closed again, at the end of a run."""

UNIFORM, PRIORITIES, OLDEST = "uniform", "priorities", "oldest"
POLICIES = (UNIFORM, PRIORITIES, OLDEST)
"""How the strand that runs next is chosen."""
PRIORITY_CHANGES = 0.02
"""Share of steps in which a strand gets another priority, with PRIORITIES."""
EXCEPTIONS = 0.1
"""Share of steps that do not take the oldest strand, with OLDEST."""

_STEP = struct.Struct("<dHH")


class Stuck(AssertionError):
    """Nothing can happen any more, or too much has happened, and the run has not ended."""


class CallbackFailed(AssertionError):
    """A callback raised an exception that nothing handled, or a task's exception was never retrieved."""


class Owner:
    """What callbacks belong to: a simulated process, or the world outside of all of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.suspended = False
        """Whether its callbacks wait."""
        self.waiting: list[Strand] = []
        """Strands that wait while it is suspended."""


class Strand(deque["Handle"]):
    """Callbacks of one owner that run in the order in which they were scheduled."""

    __slots__ = ("begins", "owner", "rank")

    def __init__(self, owner: Owner, *, begins: bool = False) -> None:
        super().__init__()
        self.owner = owner
        self.rank = 0.0
        """Its priority, or since when it is ready: the lowest runs first. Depends on the policy."""
        self.begins = begins
        """Whether each of its callbacks is an event of its own, so that what it leads to is a strand of its own."""


WORLD = Owner("world")
OWNER: ContextVar[Owner] = ContextVar("owner", default=WORLD)
"""What the callbacks that are scheduled in a context belong to."""


class Handle(events.Handle):
    """A callback to run once."""

    __slots__ = ()

    def __init__(self, callback: Any, args: Any, loop: "SimulatedLoop", context: Context) -> None:
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = context
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class Timer(events.TimerHandle):
    """A callback to run once at a time."""

    __slots__ = ()

    def __init__(
        self, when: float, callback: Any, args: Any, loop: "SimulatedLoop", context: Context
    ) -> None:
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = context
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self._scheduled = True


class Task(asyncio.Task[Any]):
    """A task with a hash that is the same in every run, so that sets of tasks have the same order."""

    def __init__(self, coro: Any, *, loop: "SimulatedLoop", name: str | None, context: Context) -> None:
        self.serial = loop.next_serial()
        self.owner = context.get(OWNER, WORLD)
        super().__init__(coro, loop=loop, name=name or f"Task-{self.serial}", context=context)

    def __hash__(self) -> int:
        return self.serial


class Future(asyncio.Future[Any]):
    """A future with a hash that is the same in every run."""

    def __init__(self, *, loop: "SimulatedLoop") -> None:
        self.serial = loop.next_serial()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.serial


class Readable(Protocol):
    """A simulated socket, as far as the loop is concerned."""

    strand: Strand | None

    def fileno(self) -> int:
        """Return the number by which the loop knows it."""

    def readable(self) -> bool:
        """Return whether reading would not block."""

    def writable(self) -> bool:
        """Return whether writing would not block."""


class _Watched:
    """A socket that somebody waits for."""

    __slots__ = ("new", "reader", "reading", "sock", "writer", "writing")

    def __init__(self, sock: Readable) -> None:
        self.sock = sock
        self.new = 0
        """How often somebody began to wait for it whose previous steps have not all been run."""
        self.reader: Handle | None = None
        self.writer: Handle | None = None
        self.reading = self.writing = False
        """Whether the callback is scheduled."""


class _SocketEvent(Handle):
    """Something that happened to a socket. The callback is run in its context if somebody waits for it still."""

    __slots__ = ("_run_watched", "_watched")

    def __init__(
        self, waiting: Handle, loop: "SimulatedLoop", run: Callable[[_Watched], None], watched: _Watched
    ) -> None:
        super().__init__(waiting._callback, waiting._args, loop, waiting._context)
        self._run_watched = run
        self._watched = watched

    def _run(self) -> None:
        self._run_watched(self._watched)


class _Transport(_SelectorSocketTransport):  # type: ignore[misc]
    """asyncio's transport; one that a killed process or the end of a run leaves open is no mistake."""

    def write(self, data: Any) -> None:
        """Write, or keep what stays below the limit for a later step, as uvloop does."""
        if (
            self._loop is not None
            and self._loop.defers_writes
            and data
            and not (self._buffer or self._eof or self._conn_lost)
            and len(data) <= self._high_water
        ):
            self._buffer.extend(data)
            self._loop._add_writer(self._sock_fd, self._write_ready)
        else:
            super().write(data)

    def __del__(self, _warn: Any = None) -> None:
        pass


class SimulatedLoop(asyncio.BaseEventLoop):
    """A loop that runs callbacks in virtual time, in an order drawn from `chance`.

    Invariants: a run is a function of the seed and of the code alone; time never goes back.
    """

    def __init__(
        self,
        chance: random.Random,
        *,
        start_s: float = 1000.0,
        step_s: float = 1e-5,
        pause_s: float = 0.0,
        policy: str = UNIFORM,
        defers_writes: bool = False,
    ) -> None:
        super().__init__()
        self.set_debug(False)
        self._chance = chance
        self._policy = policy
        self.defers_writes = defers_writes
        """Whether transports send small writes in a later step, as uvloop's do, and not at once, as asyncio's do."""
        self._now_s = start_s
        self._step_s = step_s
        self._pause_s = pause_s
        self._ready: list[Strand] = []
        self._heap: list[tuple[float, float, int, Any]] = []
        """Time, a random number that orders equal times, a serial number, and a timer or a function."""
        self._cancelled_timers = 0
        self._serial = 0
        self._current: Strand | None = None
        self._from_elsewhere: dict[Owner, Strand] = {}
        """Strands that the present step began in other owners than its own."""
        self._due: dict[Owner, Strand] = {}
        """Timers that are due."""
        self._watched: dict[int, _Watched] = {}
        self._sockets: dict[int, Readable] = {}
        self._failure: BaseException | None = None
        self._disposing = False
        self._transports: dict[int, Any] = {}
        self._tasks: WeakSet[Task] = WeakSet()
        self._kept: list[object] = []
        """What belonged to killed owners: nothing of it may be finalized during the run."""
        self._digest = hashlib.blake2b(digest_size=16)
        self._pending_digest = bytearray()
        self.steps = 0
        """Callbacks run so far."""
        self.choices = 0
        """How many of them were chosen among several."""
        self.connect: Callable[..., Awaitable[Any]] | None = None
        """Opens a connection of the present owner, if there is a network."""
        self.steps_max = STEPS_MAX
        self.end_s = float("inf")
        """Time after which a run is ended as stuck."""
        self.watch: Callable[[Handle, Owner], None] | None = None
        """Called before each step, to record it."""
        self.around: Callable[[Handle], None] | None = None
        """Runs each step, and may do something before and after it."""

    # What asyncio calls.

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._now_s

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """Schedule a callback in the strand of the present step or, if that has another owner, in a new one."""
        if context is None:
            context = copy_context()
        handle = Handle(callback, args, self, context)
        self._enqueue(handle, context.get(OWNER, WORLD))
        return handle

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """Schedule a callback; there is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """Schedule a callback in `delay` seconds."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        """Schedule a callback at a time."""
        timer = Timer(when, callback, args, self, copy_context() if context is None else context)
        if self._disposing:
            return timer
        self._serial += 1
        heapq.heappush(self._heap, (when, self._chance.random(), self._serial, timer))
        return timer

    def call_world(self, delay: float, function: Callable[[], object]) -> None:
        """Run a function in `delay` seconds as soon as the time has come, in no step: it is no part of any process."""
        self.call_world_at(self._now_s + delay, function)

    def call_world_at(self, when: float, function: Callable[[], object]) -> None:
        """Run a function at a time, in no step."""
        if not self._disposing:
            self._serial += 1
            heapq.heappush(self._heap, (when, 0.0, self._serial, function))

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: object = None, context: Context | None = None
    ) -> Any:
        """Start a task."""
        if context is None:
            context = copy_context()
        task = Task(coro, loop=self, name=None if name is None else str(name), context=context)
        self._tasks.add(task)
        if self._disposing or not task.owner.alive:
            self._keep_task(task)
        return task

    def create_future(self) -> Any:
        """Return a new future."""
        return Future(loop=self)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Run a function as a step of its own, at a random moment within EXECUTOR_MAX_S."""
        done = self.create_future()

        def run() -> None:
            try:
                result = func(*args)
            except Exception as error:
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(result)

        self.call_later(self._chance.random() * EXECUTOR_MAX_S, run)
        return done

    async def shutdown_default_executor(self) -> None:
        """Do nothing: there are no threads."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Fail the run: what no one handled would be lost."""
        if self._disposing or self._failure is not None:
            return
        failure = CallbackFailed(context.get("message", "a callback failed"))
        failure.__cause__ = context.get("exception")
        for key, value in context.items():
            if key not in ("message", "exception"):
                failure.add_note(f"{key}: {value!r}")
        self._failure = failure

    def close(self) -> None:
        """Close the loop and forget everything that waits, without running any of its callbacks."""
        if not self.is_closed():
            self._dispose()
            self._cancelled_timers = 0
            super().close()

    # Sockets.

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """Connect over the simulated network, as `asyncio.open_connection` does. Raises OSError; TLS always fails."""
        assert self.connect is not None
        return await self.connect(f"{host}:{port}", protocol_factory, tls=options.get("ssl") is not None)

    def register(self, sock: Readable) -> int:
        """Return a number for a simulated socket. It is above all file descriptors, so that it names no real one."""
        number = (1 << 24) + self.next_serial()
        self._sockets[number] = sock
        return number

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        """Call back whenever a simulated socket is readable."""
        self._add_reader(fd, callback, *args)

    def remove_reader(self, fd: Any) -> bool:
        """Stop."""
        return self._remove_reader(fd)

    def _add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        watched = self._watch(fd)
        if watched.reader is not None:
            watched.reader.cancel()
        watched.reader = Handle(callback, args, self, copy_context())
        self._poll_soon(watched)

    def _remove_reader(self, fd: Any) -> bool:
        watched = self._watched.get(_number(fd))
        if watched is None or watched.reader is None:
            return False
        watched.reader.cancel()
        watched.reader = None
        return True

    def _add_writer(self, fd: Any, callback: Any, *args: Any) -> None:
        watched = self._watch(fd)
        if watched.writer is not None:
            watched.writer.cancel()
        watched.writer = Handle(callback, args, self, copy_context())
        self._poll_soon(watched)

    def _remove_writer(self, fd: Any) -> bool:
        watched = self._watched.get(_number(fd))
        if watched is None or watched.writer is None:
            return False
        watched.writer.cancel()
        watched.writer = None
        return True

    def forget_socket(self, number: int) -> None:
        """Forget a socket that was closed."""
        self._sockets.pop(number, None)
        self._watched.pop(number, None)

    def socket_changed(self, sock: Readable) -> None:
        """Schedule the callbacks of a socket that became readable or writable."""
        watched = self._watched.get(sock.fileno())
        if watched is None or watched.new:
            return
        if watched.reader is not None and not watched.reading and sock.readable():
            watched.reading = True
            self._enqueue_event(sock, watched.reader, self._read, watched)
        if watched.writer is not None and not watched.writing and sock.writable():
            watched.writing = True
            self._enqueue_event(sock, watched.writer, self._write, watched)

    def _poll_soon(self, watched: _Watched) -> None:
        """Look at a socket once everything that the present strand has scheduled is run, as `select` comes after it."""
        if self._current is None or not self._current.owner.alive:
            self.socket_changed(watched.sock)
        else:
            watched.new += 1
            self._append(self._current, Handle(self._poll, (watched,), self, copy_context()))

    def _poll(self, watched: _Watched) -> None:
        watched.new -= 1
        self.socket_changed(watched.sock)

    def _watch(self, fd: Any) -> _Watched:
        number = _number(fd)
        watched = self._watched.get(number)
        if watched is None:
            sock = self._sockets.get(number)
            if sock is None:
                raise RealResource("a real socket cannot be used in a simulation")
            watched = self._watched[number] = _Watched(sock)
        return watched

    def _read(self, watched: _Watched) -> None:
        watched.reading = False
        if watched.reader is not None and watched.sock.readable():
            watched.reader._run()
            self.socket_changed(watched.sock)

    def _write(self, watched: _Watched) -> None:
        watched.writing = False
        if watched.writer is not None and watched.sock.writable():
            watched.writer._run()
            self.socket_changed(watched.sock)

    def _enqueue_event(
        self, sock: Readable, waiting: Handle, run: Callable[[_Watched], None], watched: _Watched
    ) -> None:
        owner = waiting._context.get(OWNER, WORLD)
        if not owner.alive or self._disposing:
            return
        if sock.strand is None or sock.strand.owner is not owner:
            sock.strand = Strand(owner)
        self._append(sock.strand, _SocketEvent(waiting, self, run, watched))

    def _make_socket_transport(
        self, sock: Any, protocol: Any, waiter: Any = None, *, extra: Any = None, server: Any = None
    ) -> Any:
        return _Transport(self, sock, protocol, waiter, extra, server)

    # Owners.

    def kill(self, owner: Owner) -> None:
        """Forget what belongs to an owner: none of its callbacks runs any more, and none of its tasks ends."""
        owner.alive = False
        self._kept += [each for each in self._ready if each.owner is owner]
        self._ready = [each for each in self._ready if each.owner is not owner]
        self._kept += owner.waiting
        for task in self.tasks():
            if task.owner is owner:
                self._keep_task(task)

    def suspend(self, owner: Owner) -> None:
        """Let the callbacks of an owner wait until `resume`, as those of a process that gets no CPU time do."""
        if owner.alive and not owner.suspended:
            owner.suspended = True
            owner.waiting = [each for each in self._ready if each.owner is owner]
            self._ready = [each for each in self._ready if each.owner is not owner]

    def resume(self, owner: Owner) -> None:
        """Run what waits."""
        if owner.alive and owner.suspended:
            owner.suspended = False
            self._ready += owner.waiting
            owner.waiting = []

    # What a run does.

    def next_serial(self) -> int:
        """Return a number that no other call returns."""
        self._serial += 1
        return self._serial

    def digest(self) -> str:
        """Return a digest of every step so far, and of everything recorded with `record`."""
        self._flush_digest()
        return self._digest.hexdigest()

    def record(self, data: bytes) -> None:
        """Make bytes a part of the digest."""
        self._pending_digest += data

    def tasks(self) -> list[Task]:
        """Return the tasks that have not ended. `asyncio.all_tasks` goes through those of earlier loops as well."""
        return [each for each in self._tasks if not each.done()]

    def waiting_tasks(self) -> list[str]:
        """Return the names of all tasks that wait, with the place where each does."""
        tasks = [each for each in self.tasks() if each.owner.alive]
        return [_describe(each) for each in sorted(tasks, key=lambda each: each.serial)]

    def _enqueue(self, handle: Handle, owner: Owner) -> None:
        if not owner.alive or self._disposing:
            return
        strand = self._current
        if strand is None or strand.owner is not owner:
            found = self._from_elsewhere.get(owner)
            if found is None:
                found = self._from_elsewhere[owner] = Strand(owner)
            strand = found
        self._append(strand, handle)

    def _append(self, strand: Strand, handle: Any) -> None:
        if not strand:
            if self._policy is PRIORITIES:
                strand.rank = strand.rank or self._chance.random()
            elif self._policy is OLDEST:
                strand.rank = self.next_serial()
            (strand.owner.waiting if strand.owner.suspended else self._ready).append(strand)
        strand.append(handle)

    def _run_once(self) -> None:
        """Run steps until the loop is stopped."""
        chance = self._chance.random
        uniform = self._policy is UNIFORM
        while not self._stopping:  # type: ignore[attr-defined]
            heap = self._heap
            if heap and heap[0][0] <= self._now_s:
                self._expire()
            ready = self._ready
            count = len(ready)
            if count > 1:
                index = int(chance() * count) if uniform else self._choose(ready)
            elif count:
                index = 0
            else:
                self._advance()
                continue
            strand = ready[index]
            handle = strand.popleft()
            if not strand:
                last = ready.pop()
                if index < count - 1:
                    ready[index] = last
            if not handle._cancelled:
                self._step(strand, handle, index, count)
            handle = None  # type: ignore[assignment]
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure

    def _choose(self, ready: list[Strand]) -> int:
        chance = self._chance
        if self._policy is PRIORITIES:
            if chance.random() < PRIORITY_CHANGES:
                ready[chance.randrange(len(ready))].rank = chance.random()
        elif chance.random() < EXCEPTIONS:
            return chance.randrange(len(ready))
        return min(range(len(ready)), key=lambda index: ready[index].rank)

    def _step(self, strand: Strand, handle: Handle, index: int, count: int) -> None:
        self.steps += 1
        self.choices += count > 1
        self._now_s += self._step_s
        pending = self._pending_digest
        pending += _STEP.pack(self._now_s, index, count)
        if len(pending) > 1 << 16:
            self._flush_digest()
        if self.steps > self.steps_max:
            raise Stuck(self._describe_waiting(f"the run has not ended after {self.steps_max} steps"))
        self._current = Strand(strand.owner) if strand.begins else strand
        if self._from_elsewhere:
            self._from_elsewhere.clear()
        if self.watch is not None:
            self.watch(handle, strand.owner)
        if self.around is not None:
            self.around(handle)
        else:
            handle._run()
        self._current = None

    def _advance(self) -> None:
        """Let time pass up to the next timer."""
        heap = self._heap
        while heap and heap[0][3].__class__ is Timer and heap[0][3]._cancelled:
            heapq.heappop(heap)
            self._cancelled_timers -= 1
        if not heap:
            raise Stuck(self._describe_waiting("nothing can happen any more"))
        if heap[0][0] > self.end_s:
            raise Stuck(self._describe_waiting("the run has not ended"))
        self._now_s = max(self._now_s, heap[0][0])
        if self._pause_s:
            self._now_s += self._pause_s * self._chance.random()

    def _expire(self) -> None:
        """Take what is due from the heap."""
        heap, now = self._heap, self._now_s
        self._current = None
        while heap and heap[0][0] <= now:
            due = heapq.heappop(heap)[3]
            if due.__class__ is not Timer:
                due()
                self._from_elsewhere.clear()
                heap = self._heap
            elif due._cancelled:
                self._cancelled_timers -= 1
            else:
                due._scheduled = False
                owner = due._context.get(OWNER, WORLD)
                if owner.alive:
                    strand = self._due.get(owner)
                    if strand is None:
                        strand = self._due[owner] = Strand(owner, begins=True)
                    self._append(strand, due)
                else:
                    self._kept.append(due)

    def _timer_handle_cancelled(self, handle: Any) -> None:
        if not handle._scheduled or self._disposing:
            return
        self._cancelled_timers += 1
        if self._cancelled_timers > CANCELLED_MIN and self._cancelled_timers * 2 > len(self._heap):
            self._heap = [
                each for each in self._heap if each[3].__class__ is not Timer or not each[3]._cancelled
            ]
            # The handle that is being cancelled now is not marked yet.
            self._cancelled_timers = 1
            heapq.heapify(self._heap)

    def _flush_digest(self) -> None:
        self._digest.update(self._pending_digest)
        self._pending_digest.clear()

    def _describe_waiting(self, what: str) -> str:
        return "\n  ".join(
            [f"{what} at {self._now_s:.6f} s, step {self.steps}; waiting:", *self.waiting_tasks()]
        )

    def _keep_task(self, task: Task) -> None:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._kept.append(task)

    def _dispose(self) -> None:
        """Close what waits, so that nothing of it is finalized later; what it does meanwhile has no effect."""
        self._disposing = True
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        events._set_running_loop(self)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tasks = self.tasks()
                for task in sorted(tasks, key=lambda each: each.serial):
                    self._keep_task(task)
                    _close(task)
                self._kept.clear()
                self._ready.clear()
                self._heap.clear()
                self._watched.clear()
                self._sockets.clear()
                self._transports.clear()
                self._from_elsewhere.clear()
                self._current = None
                del tasks
        finally:
            events._set_running_loop(None)
            sys.unraisablehook = hook


class RealResource(RuntimeError):
    """A simulation tried to use a real clock, socket or thread."""


def task_of(handle: events.Handle) -> Task | None:
    """Return the task of which a callback is a step; None for other callbacks."""
    task = getattr(handle._callback, "__self__", None)
    return task if isinstance(task, Task) else None


def _number(fd: Any) -> int:
    return fd if isinstance(fd, int) else int(fd.fileno())


def _close(task: Task) -> None:
    coroutine: Any = task.get_coro()
    for _ in range(SELF_CLOSE_MAX):
        try:
            coroutine.close()
        except RuntimeError:
            continue  # it waits while it is closed
        except BaseException:
            pass
        return


def _describe(task: Task) -> str:
    frames = list(_frames(task.get_coro()))
    where = (
        f"{frames[-1].f_code.co_filename.rpartition('/')[2]}:{frames[-1].f_lineno}"
        if frames
        else "at its end"
    )
    return (
        f"{task.owner.name}: {task.get_name()} ({getattr(task.get_coro(), '__qualname__', '?')}) at {where}"
    )


def _frames(coroutine: Any) -> Iterator[Any]:
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            return
        yield frame
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
