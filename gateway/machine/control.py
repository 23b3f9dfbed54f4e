"""The control line between the supervisor and a worker, and the worker's end of it.

A worker inherits one end of a socket pair. Over it, as JSON lines, it receives its role, its configuration and the
command to drain, and reports when it is ready, and its metrics. So no secret is on a command line or in an environment,
a worker gets only what its role needs (`config_for`), and it recognises by the end of the line that its supervisor has
ended, for whatever reason. Independent of what a worker does.

    supervisor → worker   {"role":"push","index":0,"config":{…}}, as the first line
                          {"door_ready":true}, {"metrics?":7}, {"renew":true}, {"drain":true}
    worker → supervisor   {"listening":{"port":8081}}, {"ready":true}, {"problem":"…"}, {"metrics":"…","id":7}
"""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Self, TypeVar

import msgspec
import structlog

from gateway.config import Config
from gateway.config_option import Role
from gateway.config_values import decode_path
from gateway.errors import GatewayError, MalformedDocument
from gateway.inspection import forbid_inspection

LINE_MAX = 8 << 20
"""Longest line, in bytes; metrics are by far the longest, about 100 kB."""
UNREAD_MAX = 1 << 16
"""Bytes that a worker may leave unread; beyond that its line is closed, which ends the worker."""
OVERDUE_S = 5.0
"""Seconds after the end of `drain_s` at which a process that has not drained is killed."""

log = structlog.get_logger()
Message = TypeVar("Message", bound=msgspec.Struct)


class WorkerSpec(msgspec.Struct, frozen=True):
    """The first line to a worker: its role, index and configuration."""

    role: Role
    index: int
    config: Config

    @property
    def name(self) -> str:
        """The worker's name in logs and metrics, such as `push-0`."""
        return f"{self.role}-{self.index}"


PROBLEM_MAX = 1000
"""Characters of a problem that a worker reports."""


class WorkerCommand(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every other line to a worker; one member is set."""

    drain: bool = False
    renew: bool = False
    door_ready: bool | None = None
    metrics: int | None = msgspec.field(default=None, name="metrics?")


class Listening(msgspec.Struct, frozen=True):
    """The port on which a worker accepts connections."""

    port: int


class WorkerReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line from a worker."""

    ready: bool | None = None
    problem: str | None = None
    listening: Listening | None = None
    metrics: str | None = None
    id: int | None = None


class ControlLine:
    """One end of the line. Invariants:

    * A message is received as a whole or not at all; none is longer than LINE_MAX.
    * `send` never waits, and its buffer is bounded: if the other side does not read, the line is closed.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, unread_max: int) -> None:
        self._reader, self._writer = reader, writer
        self._unread_max = unread_max

    @classmethod
    async def from_socket(cls, sock: socket.socket, unread_max: int) -> Self:
        """Take over a socket; the other side may leave at most `unread_max` bytes unread."""
        sock.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=sock, limit=LINE_MAX), unread_max)

    def send(self, message: msgspec.Struct) -> None:
        """Send a message, unless the line is closed."""
        if self._writer.is_closing():
            return
        self._writer.write(msgspec.json.encode(message, enc_hook=str) + b"\n")
        if self._writer.transport.get_write_buffer_size() > self._unread_max:
            log.error("control line closed: the other side does not read")
            self._writer.transport.abort()

    async def receive(self, kind: type[Message]) -> Message | None:
        """Return the next message, or None at the end of the line. Raises MalformedDocument."""
        try:
            received = await self._reader.readline()
            return (
                msgspec.json.decode(received, type=kind, dec_hook=decode_path)
                if received.endswith(b"\n")
                else None
            )
        except ConnectionError:
            return None
        except ValueError as error:  # too long, or no such message
            raise MalformedDocument(f"control line: {error}") from None

    async def close(self) -> None:
        """Close the line."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


class Control:
    """The worker's end of the line. Invariants:

    * `stop` is set once the worker has to drain: on command, on SIGTERM, or when its supervisor has ended.
    * `door_ready` is true while every worker of this door on this machine is ready, and never after `stop`.
    """

    def __init__(self, line: ControlLine, spec: WorkerSpec) -> None:
        self.config = spec.config
        self.role: Role = spec.role
        self.index = spec.index
        self.name = spec.name
        self.stop = asyncio.Event()
        self.door_ready = False
        self.metrics: Callable[[], bytes] | None = None
        """Returns the metrics in Prometheus' text format; called every few seconds."""
        self.renew: Callable[[], None] | None = None
        """Reloads the certificates; raises GatewayError."""
        self._line = line
        self._ready = False
        self._problem = ""

    def set_problem(self, problem: str) -> None:
        """Report why this worker cannot read its database; an empty text: it can."""
        problem = problem[:PROBLEM_MAX]
        if problem != self._problem:
            self._problem = problem
            self._line.send(WorkerReport(problem=problem))

    def set_ready(self, ready: bool) -> None:
        """Report whether this worker can serve now; it counts as not ready until the first report."""
        if ready != self._ready:
            self._ready = ready
            self._line.send(WorkerReport(ready=ready))

    def set_port(self, port: int) -> None:
        """Report the port on which connections are accepted."""
        self._line.send(WorkerReport(listening=Listening(port)))

    def drain(self) -> None:
        """Set `stop`, as on command."""
        self.door_ready = False
        self.stop.set()

    async def run(self) -> None:
        """Execute the supervisor's commands until the line ends, then set `stop`."""
        try:
            while (command := await self._line.receive(WorkerCommand)) is not None:
                if command.drain:
                    self.drain()
                if command.door_ready is not None:
                    self.door_ready = command.door_ready and not self.stop.is_set()
                if command.renew and self.renew is not None:
                    self._renew(self.renew)
                if command.metrics is not None:
                    self._line.send(WorkerReport(metrics=self._metrics_text(), id=command.metrics))
        finally:
            self.drain()

    def _renew(self, renew: Callable[[], None]) -> None:
        try:
            renew()
        except GatewayError as error:
            log.error("certificate not reloaded; the old one stays in use", error=str(error))
        else:
            log.info("certificate reloaded")

    def _metrics_text(self) -> str:
        text = self.metrics().decode() if self.metrics else ""
        if len(text) > LINE_MAX // 4:
            log.error("metrics are too long to send", characters=len(text))
            return ""
        return text


@asynccontextmanager
async def supervised(fd: int) -> AsyncIterator[Control]:
    """Run as the worker at this end of the line until the block is left; runs `Control.run`.

    SIGTERM or SIGINT to the worker alone also makes it drain: some service managers send them to every process. The
    configuration is received only after other processes can no longer read this one's memory. Raises GatewayError if
    the supervisor has already ended.
    """
    forbid_inspection()
    with socket.socket(fileno=fd) as sock:
        sock.set_inheritable(False)
        line = await ControlLine.from_socket(sock.dup(), LINE_MAX)
    loop = asyncio.get_running_loop()
    try:
        if (spec := await line.receive(WorkerSpec)) is None:
            raise GatewayError("the supervisor has ended")
        control = Control(line, spec)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, control.drain)
        async with asyncio.TaskGroup() as parts:
            running = parts.create_task(_run_control(control), name="control")
            try:
                yield control
            finally:
                running.cancel()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        await line.close()


async def _run_control(control: Control) -> None:
    """Run the line; end this worker if it does not drain in time after its supervisor has ended."""
    await control.run()
    await asyncio.sleep(control.config.drain_s + OVERDUE_S)
    log.error("supervisor ended, worker not drained in time", worker=control.name)
    os._exit(1)
