"""The supervisor's view of one worker: its process, the control line to it, and its restarts.

Independent of other workers and of what a worker does; the worker's end of the line is in `control`.
"""

import asyncio
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import structlog

from gateway.backoff import Backoff
from gateway.deadline import wait_at_most
from gateway.errors import MalformedDocument
from gateway.machine.control import UNREAD_MAX, ControlLine, WorkerCommand, WorkerReport, WorkerSpec

STARTS_MAX = 5
"""Failed starts in a row, before any success, after which the configuration is taken to be wrong."""
STABLE_S = 60.0
"""Seconds of being ready after which the delay before a restart starts over."""
GRACE_S = 5.0
"""Seconds that a process may take to end after its control line has ended."""
STANDARD_ERROR = 2

log = structlog.get_logger()


class Worker:
    """Supervises one worker process and restarts it when it ends. Invariants:

    * There is at most one process at a time, and none after `run` returns or is cancelled.
    * `ready` is true only while the process is running and reports that it is ready.
    * A worker that has ever been ready is restarted without limit; one that has not is started at most STARTS_MAX
      times.
    * At most one request for metrics is pending; concurrent callers share its answer.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        command: Sequence[str],
        environ: Mapping[str, str],
        changed: Callable[[], None],
    ) -> None:
        self.name = spec.name
        self.role = spec.role
        self.ready = False
        self.port: int | None = None
        self.problem = ""
        self._spec = spec
        self._command = (*command, self.name)
        self._environ = environ
        self._changed = changed  # called when `ready` has changed
        self._ready_at = 0.0  # by the loop's clock
        self._ever_ready = False
        self._stable = False  # whether the current or last process was ready for STABLE_S
        self._starts = 0
        self._process: Process | None = None
        self._line: ControlLine | None = None
        self._ending = asyncio.Event()
        self._killed = False
        self._request_id = 0
        self._metrics: asyncio.Future[str | None] | None = None

    @property
    def pid(self) -> int | None:
        """The id of the running process, if there is one."""
        return self._process.pid if self._process else None

    @property
    def restarts(self) -> int:
        """Number of starts after the first."""
        return max(self._starts - 1, 0)

    @property
    def state(self) -> str:
        """The state in one word, for people."""
        if self._process is None:
            return "ended" if self._ending.is_set() else "restarting"
        if self._ending.is_set():
            return "draining"
        return "ready" if self.ready else "not_ready"

    async def run(self) -> str | None:
        """Keep a process running until `drain`; return None, or the reason for giving up."""
        backoff, failures = Backoff(), 0
        while not self._ending.is_set():
            end = await self._run_process()
            if self._ending.is_set():
                break
            failures = 0 if self._ever_ready else failures + 1
            if failures == STARTS_MAX:
                return f"{self.name} {end}; it was started {failures} times and never became ready"
            if self._stable:
                backoff.reset()
            delay_s = backoff.next()
            log.error("worker ended unexpectedly", worker=self.name, end=end, restart_in_s=delay_s)
            await wait_at_most(self._ending, delay_s)
        return None

    def drain(self) -> None:
        """Make the process drain, and start no other."""
        self._ending.set()
        self.send(WorkerCommand(drain=True))

    def kill(self) -> None:
        """Kill the process."""
        self._killed = True
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def send(self, command: WorkerCommand) -> None:
        """Send a command to the process, if it runs."""
        if self._line is not None:
            self._line.send(command)

    def request_metrics(self) -> asyncio.Future[str | None]:
        """Request the metrics of the process; None if it ends before it answers."""
        if self._metrics is None or self._metrics.done():
            self._metrics = asyncio.get_running_loop().create_future()
            if self._line is None:
                self._metrics.set_result(None)
            self._request_id += 1
            self.send(WorkerCommand(metrics=self._request_id))
        return self._metrics

    async def _run_process(self) -> str:
        """Run one process from start to end; return a description of how it ended."""
        self._stable = False
        self._starts += 1
        ours, theirs = socket.socketpair()
        with ours, theirs:
            line = await ControlLine.from_socket(ours, UNREAD_MAX)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(*self._command, str(theirs.fileno())),
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # a terminal's Ctrl-C is for the supervisor only
                    stdin=DEVNULL,
                    stdout=STANDARD_ERROR,
                    env=self._environ,
                )
                theirs.close()  # so that the end of the process ends the line
                return _describe_exit(await self._supervise(process, line))
            except OSError as error:
                return f"could not be started: {error.strerror}"
            finally:
                await line.close()

    async def _supervise(self, process: Process, line: ControlLine) -> int:
        """Supervise a process until it has ended; return its exit status."""
        self._process, self._line = process, line
        line.send(self._spec)
        if self._ending.is_set():
            self.drain()
        if self._killed:
            self.kill()
        try:
            async with asyncio.TaskGroup() as parts:
                receiving = parts.create_task(self._receive(line))
                ended = parts.create_task(process.wait())
                await asyncio.wait((receiving, ended), return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait((receiving, ended), timeout=GRACE_S)
                receiving.cancel()
                if not ended.done():
                    log.error(
                        "worker closed its control line but did not end", worker=self.name, pid=process.pid
                    )
                    process.kill()
            return ended.result()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            self._process = self._line = None
            self.problem = ""
            self._set_ready(False)
            if self._metrics is not None and not self._metrics.done():
                self._metrics.set_result(None)

    async def _receive(self, line: ControlLine) -> None:
        """Process the reports of the worker until the line ends."""
        try:
            while (report := await line.receive(WorkerReport)) is not None:
                if report.listening is not None:
                    self.port = report.listening.port
                if report.problem is not None:
                    self.problem = report.problem
                if report.ready is not None:
                    self._set_ready(report.ready)
                if report.id == self._request_id and self._metrics is not None and not self._metrics.done():
                    self._metrics.set_result(report.metrics)
        except MalformedDocument as error:
            log.error("malformed message from worker", worker=self.name, error=error)
            self.kill()

    def _set_ready(self, ready: bool) -> None:
        if ready == self.ready:
            return
        self.ready = ready
        now = asyncio.get_running_loop().time()
        if ready:
            self._ever_ready, self._ready_at = True, now
        else:
            self._stable = self._stable or now - self._ready_at >= STABLE_S
        self._changed()


def _describe_exit(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by {signal.strsignal(-status) or 'a signal'} ({-status})"
