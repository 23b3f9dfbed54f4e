"""The line between a supervisor and one of its workers, and what a worker needs to be one.

A worker inherits one end of a socket pair and is told by it, as JSON lines, who it is, with which
configuration, and when to drain; it tells back when it is ready, and what it counts. So no secret is on a
command line or in an environment, a worker gets only what its role needs (`config_for`), and it knows that
its supervisor is gone, however that died, from the end of the line. Knows nothing of what a worker does.

    supervisor → worker   {"role":"push","index":0,"config":{…}}, first of all
                          {"door_ready":true}, {"metrics?":7}, {"renew":true}, {"drain":true}
    worker → supervisor   {"listening":{"port":8081}}, {"ready":true}, {"metrics":"…","id":7}
"""

import asyncio
import ctypes
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal, Self, TypeVar

import msgspec
import structlog

from gateway.config import Config, decode_path
from gateway.errors import GatewayError, MalformedDocument

LINE_MAX = 8 << 20
"""Bytes in a line: metrics are by far the longest, at some 100 kB."""
WORDS_MAX = 1 << 16
"""Bytes that may wait for a worker that does not listen; then its line is cut, and with it its life."""
OVERDUE_S = 5.0
"""Seconds beyond `drain_s` after which a process that should have drained is ended by force."""

log = structlog.get_logger()
Role = Literal["push", "feed"]
Message = TypeVar("Message", bound=msgspec.Struct)


class Assignment(msgspec.Struct, frozen=True):
    """The first line: who a worker is."""

    role: Role
    index: int
    config: Config

    @property
    def name(self) -> str:
        """As it stands in logs and metrics: `push-0`."""
        return f"{self.role}-{self.index}"


PR_SET_DUMPABLE = 4


def forbid_inspection() -> None:
    """Keep other processes of the same user from reading the memory and the environment of this one.

    Afterwards /proc/PID/environ, /proc/PID/mem and ptrace need CAP_SYS_PTRACE, and no core is dumped. A program that
    this process executes is not affected. Raises OSError. Source: prctl(2), PR_SET_DUMPABLE; ptrace(2), "Ptrace access
    mode checking".
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")


class ToWorker(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every other line to a worker, with one member each."""

    drain: bool = False
    renew: bool = False
    door_ready: bool | None = None
    metrics: int | None = msgspec.field(default=None, name="metrics?")


class Listening(msgspec.Struct, frozen=True):
    """Where a worker takes connections."""

    port: int


class FromWorker(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line from a worker."""

    ready: bool | None = None
    listening: Listening | None = None
    metrics: str | None = None
    id: int | None = None


class Channel:
    """One end of the line. Invariants:

    * A message is taken whole or not at all; none is longer than LINE_MAX.
    * `send` never waits, and what it keeps is bounded: whoever does not listen loses the line.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, unread_max: int) -> None:
        self._reader, self._writer = reader, writer
        self._unread_max = unread_max

    @classmethod
    async def over(cls, sock: socket.socket, unread_max: int) -> Self:
        """Take over a socket; at most `unread_max` bytes wait for the other side."""
        sock.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=sock, limit=LINE_MAX), unread_max)

    def send(self, message: msgspec.Struct) -> None:
        """Say something, unless the line has ended."""
        if self._writer.is_closing():
            return
        self._writer.write(msgspec.json.encode(message, enc_hook=str) + b"\n")
        if self._writer.transport.get_write_buffer_size() > self._unread_max:
            log.error("channel cut, nobody reads it")
            self._writer.transport.abort()

    async def receive(self, kind: type[Message]) -> Message | None:
        """Return the next message, or None at the end of the line. Raises MalformedDocument."""
        try:
            line = await self._reader.readline()
            return (
                msgspec.json.decode(line, type=kind, dec_hook=decode_path) if line.endswith(b"\n") else None
            )
        except ConnectionError:
            return None
        except ValueError as error:  # too long, or no such message
            raise MalformedDocument(f"control channel: {error}") from None

    async def close(self) -> None:
        """End the line."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


class Control:
    """The worker's side. Invariants:

    * `stop` is set once the worker is to drain: when it is told to, on SIGTERM, or when its supervisor is
      gone.
    * `door_ready` says whether every worker of this door on this machine is ready; never true after `stop`.
    """

    def __init__(self, channel: Channel, assignment: Assignment) -> None:
        self.config = assignment.config
        self.role: Role = assignment.role
        self.index = assignment.index
        self.name = assignment.name
        self.stop = asyncio.Event()
        self.door_ready = False
        self.metrics: Callable[[], bytes] | None = None
        """What is counted, in Prometheus' text format; asked for every few seconds."""
        self.renew: Callable[[], None] | None = None
        """Reads certificates again; raises GatewayError."""
        self._channel = channel
        self._ready = False

    def set_ready(self, ready: bool) -> None:
        """Tell whether this worker can serve now; it counts as not ready until it says so."""
        if ready != self._ready:
            self._ready = ready
            self._channel.send(FromWorker(ready=ready))

    def listening(self, port: int) -> None:
        """Tell where connections are taken."""
        self._channel.send(FromWorker(listening=Listening(port)))

    def drain(self) -> None:
        """Set `stop`, as if told to."""
        self.door_ready = False
        self.stop.set()

    async def run(self) -> None:
        """Do what the supervisor says until the line ends; then the supervisor is gone, and `stop` is set."""
        try:
            while (said := await self._channel.receive(ToWorker)) is not None:
                if said.drain:
                    self.drain()
                if said.door_ready is not None:
                    self.door_ready = said.door_ready and not self.stop.is_set()
                if said.renew and self.renew is not None:
                    self._renew(self.renew)
                if said.metrics is not None:
                    self._channel.send(FromWorker(metrics=self._counted(), id=said.metrics))
        finally:
            self.drain()

    def _renew(self, renew: Callable[[], None]) -> None:
        try:
            renew()
        except GatewayError as error:
            log.error("certificate not renewed; the old one stays", error=str(error))
        else:
            log.info("certificate renewed")

    def _counted(self) -> str:
        text = self.metrics().decode() if self.metrics else ""
        if len(text) > LINE_MAX // 4:
            log.error("metrics are too long to be told", characters=len(text))
            return ""
        return text


@asynccontextmanager
async def supervised(fd: int) -> AsyncIterator[Control]:
    """Be the worker at the end of this inherited descriptor, until the block is left; runs `Control.run`.

    SIGTERM or SIGINT to the worker alone also means to drain: some service managers send them to every
    process. The configuration arrives only once no other process may read this one's memory. Raises GatewayError
    if the supervisor is gone already.
    """
    forbid_inspection()
    with socket.socket(fileno=fd) as sock:
        sock.set_inheritable(False)
        channel = await Channel.over(sock.dup(), LINE_MAX)
    loop = asyncio.get_running_loop()
    try:
        if (assignment := await channel.receive(Assignment)) is None:
            raise GatewayError("the supervisor went away")
        control = Control(channel, assignment)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, control.drain)
        async with asyncio.TaskGroup() as parts:
            running = parts.create_task(_obey(control), name="control")
            try:
                yield control
            finally:
                running.cancel()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        await channel.close()


async def _obey(control: Control) -> None:
    """Run the line; end a worker that outlives its supervisor by too much, as nobody else will."""
    await control.run()
    await asyncio.sleep(control.config.drain_s + OVERDUE_S)
    log.error("supervisor gone and not drained in time", worker=control.name)
    os._exit(1)
