"""One worker as its supervisor sees it: a process, the line to it, and the next process if it ends unasked.

Knows nothing of other workers, nor of what a worker does; the worker's own side is `control`.
"""

import asyncio
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import structlog

from gateway.errors import MalformedDocument
from gateway.machine.control import WORDS_MAX, Assignment, Channel, FromWorker, ToWorker

GIVE_UP_AFTER = 5
"""Starts that fail before the first that does not: then it is a mistake, and not the night."""
STEADY_S = 60.0
"""Seconds of being ready after which an end is no longer blamed on the ends before."""
GRACE_S = 5.0
"""Seconds between the end of a worker's line and that of its process."""
STANDARD_ERROR = 2

log = structlog.get_logger()


class Backoff:
    """How long to wait before the next attempt: 0.1 s, and twice as long each time, up to 10 s."""

    def __init__(self) -> None:
        self._next_s = 0.1

    def next(self) -> float:
        """Return the seconds to wait now."""
        delay_s, self._next_s = self._next_s, min(self._next_s * 2, 10.0)
        return delay_s

    def reset(self) -> None:
        """Begin anew."""
        self._next_s = 0.1


class Worker:
    """A place for one process. Invariants:

    * At most one process at a time; none once `run` has ended or was cancelled.
    * `ready` only while the process is there and says so.
    * One that was ever ready is started again for as long as it takes; one that never was, GIVE_UP_AFTER
      times.
    * At most one question for metrics is open; whoever asks meanwhile gets the same answer.
    """

    def __init__(
        self,
        assignment: Assignment,
        command: Sequence[str],
        environ: Mapping[str, str],
        changed: Callable[[], None],
    ) -> None:
        self.name = assignment.name
        self.role = assignment.role
        self.ready = False
        self.port: int | None = None
        self._assignment = assignment
        self._command = (*command, self.name)
        self._environ = environ
        self._changed = changed  # called when `ready` has changed
        self._ready_at = 0.0  # by the loop's clock
        self._ever_ready = False
        self._steady = False  # whether the present or last process was ready for STEADY_S
        self._starts = 0
        self._process: Process | None = None
        self._channel: Channel | None = None
        self._ending = asyncio.Event()
        self._killed = False
        self._question = 0
        self._answer: asyncio.Future[str | None] | None = None

    @property
    def pid(self) -> int | None:
        """The process there is, if there is one."""
        return self._process.pid if self._process else None

    @property
    def restarts(self) -> int:
        """How often it was started after the first time."""
        return max(self._starts - 1, 0)

    @property
    def state(self) -> str:
        """In one word, for people."""
        if self._process is None:
            return "ended" if self._ending.is_set() else "restarting"
        if self._ending.is_set():
            return "draining"
        return "ready" if self.ready else "not_ready"

    async def run(self) -> str | None:
        """Keep a process running until `drain`; return None, or why it is in vain to go on."""
        backoff, failures = Backoff(), 0
        while not self._ending.is_set():
            end = await self._live()
            if self._ending.is_set():
                break
            failures = 0 if self._ever_ready else failures + 1
            if failures == GIVE_UP_AFTER:
                return f"{self.name} {end}; it was started {failures} times and never became ready"
            if self._steady:
                backoff.reset()
            delay_s = backoff.next()
            log.error("worker ended unasked", worker=self.name, end=end, restart_in_s=delay_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._ending.wait()
        return None

    def drain(self) -> None:
        """Tell the process to end its work; there will be no other."""
        self._ending.set()
        self.tell(ToWorker(drain=True))

    def kill(self) -> None:
        """End the process at once."""
        self._killed = True
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def tell(self, message: ToWorker) -> None:
        """Say something to the process, if it is there."""
        if self._channel is not None:
            self._channel.send(message)

    def ask_metrics(self) -> asyncio.Future[str | None]:
        """Ask what it counts; the answer is None if it ends before it answers."""
        if self._answer is None or self._answer.done():
            self._answer = asyncio.get_running_loop().create_future()
            if self._channel is None:
                self._answer.set_result(None)
            self._question += 1
            self.tell(ToWorker(metrics=self._question))
        return self._answer

    async def _live(self) -> str:
        """One process from its start to its end; return how it ended."""
        self._steady = False
        self._starts += 1
        ours, theirs = socket.socketpair()
        with ours, theirs:
            channel = await Channel.over(ours, WORDS_MAX)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(*self._command, str(theirs.fileno())),
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # a terminal's Ctrl-C is for the supervisor only
                    stdin=DEVNULL,
                    stdout=STANDARD_ERROR,
                    env=self._environ,
                )
                theirs.close()  # so that the end of the process is the end of the line
                return _told(await self._attend(process, channel))
            except OSError as error:
                return f"could not be started: {error.strerror}"
            finally:
                await channel.close()

    async def _attend(self, process: Process, channel: Channel) -> int:
        """See a process through, and see that it is gone; return its status."""
        self._process, self._channel = process, channel
        channel.send(self._assignment)
        if self._ending.is_set():
            self.drain()
        if self._killed:
            self.kill()
        try:
            async with asyncio.TaskGroup() as parts:
                hearing = parts.create_task(self._hear(channel))
                ended = parts.create_task(process.wait())
                await asyncio.wait((hearing, ended), return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait((hearing, ended), timeout=GRACE_S)
                hearing.cancel()
                if not ended.done():
                    log.error("worker left its line but did not end", worker=self.name, pid=process.pid)
                    process.kill()
            return ended.result()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            self._process = self._channel = None
            self._set_ready(False)
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(None)

    async def _hear(self, channel: Channel) -> None:
        """Take in what the process says, to the end of the line."""
        try:
            while (said := await channel.receive(FromWorker)) is not None:
                if said.listening is not None:
                    self.port = said.listening.port
                if said.ready is not None:
                    self._set_ready(said.ready)
                if said.id == self._question and self._answer is not None and not self._answer.done():
                    self._answer.set_result(said.metrics)
        except MalformedDocument as error:
            log.error("worker speaks nonsense", worker=self.name, error=error)
            self.kill()

    def _set_ready(self, ready: bool) -> None:
        if ready == self.ready:
            return
        self.ready = ready
        now = asyncio.get_running_loop().time()
        if ready:
            self._ever_ready, self._ready_at = True, now
        else:
            self._steady = self._steady or now - self._ready_at >= STEADY_S
        self._changed()


def _told(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by {signal.strsignal(-status) or 'a signal'} ({-status})"
