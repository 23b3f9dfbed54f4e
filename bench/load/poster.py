"""A lean generator of HTTP requests in an open model, in a separate process, as `bench.load.pusher` is for WebSockets.

It reads an `Order` from standard input, as one line of JSON, and the bodies from a file, one per line. It opens one
connection per sender, writes `ready`, waits for `go`, sends each request when it is due, whatever the answers to
earlier ones, and at the end writes a `Posted`. A connection has one request in flight; those that are due meanwhile
wait, and their latency starts when they are due. It has one thread and no event loop.
"""

import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence

import msgspec

from bench.figures import Histogram
from bench.load.generator_process import read_bodies, read_order, stop_collecting, wait_for_go, write_result
from bench.load.pusher import pause_s
from bench.load.streams import received

CONNECT_S = 20.0
HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Order(msgspec.Struct):
    """What to post, where and how."""

    port: int
    path: str
    file: str
    connections: int
    """Request n belongs to connection n mod `connections`."""
    due_s: list[float]
    """When each request is due, in s after the start, in ascending order."""
    limit_s: float = 60.0


class Posted(msgspec.Struct):
    """The result of a load."""

    requests: int
    statuses: dict[int, int]
    seconds: float
    """From the time at which the first request was due to the last answer."""
    cpu_s: float
    p50_s: float = 0.0
    p99_s: float = 0.0
    late_p99_s: float = 0.0
    """How late this process itself was with requests whose connection was free, in s."""
    unanswered: int = 0


class BadAnswer(Exception):
    """A server closed a connection, or answered what this cannot read."""


class Connection:
    """The connection of one sender."""

    __slots__ = ("buffer", "due_at", "requests", "sent_at", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=CONNECT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests: deque[bytes] = deque()
        """Requests that are due and not sent yet."""
        self.due_at: deque[float] = deque()
        """When the request in flight was due, and those that wait."""
        self.buffer = b""

    def send(self) -> bool:
        """Send the next request if none is in flight; return whether it was sent. It fits into an empty socket."""
        if not self.requests or len(self.due_at) > len(self.requests):
            return False
        self.socket.sendall(self.requests.popleft())
        return True

    def receive(self) -> int:
        """Read; return the status of a complete answer, or 0. Raises BadAnswer."""
        data = received(self.socket)
        if not data:
            raise BadAnswer("the server closed a connection")
        self.buffer += data
        head, end, body = self.buffer.partition(HEAD_END)
        if not end or len(body) < _content_length(head):
            return 0
        self.buffer = b""
        return int(head[9:12])


def _content_length(head: bytes) -> int:
    _, name, value = head.lower().partition(_LENGTH)
    if not name:
        raise BadAnswer(f"an answer without its length: {head[:60]!r}")
    return int(value.partition(b"\r\n")[0])


class Poster:
    """All connections of one load."""

    def __init__(self, order: Order, bodies: Sequence[bytes]) -> None:
        head = f"POST {order.path} HTTP/1.1\r\nHost: 127.0.0.1:{order.port}\r\nContent-Type: application/json\r\n"
        self._requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
        self._order = order
        self._connections = [Connection(order.port) for _ in range(order.connections)]
        self._by_fd = {each.socket.fileno(): each for each in self._connections}
        self._poll = select.epoll()
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)
        self._statuses: Counter[int] = Counter()
        self._latencies: list[float] = []
        self._late: list[float] = []

    def run(self) -> Posted:
        """Send everything; return when all is answered, or after the time limit. Raises BadAnswer."""
        cpu, started = time.process_time(), time.monotonic()
        last_at = self._send_when_due(started)
        latencies = Histogram().add_all(self._latencies)
        return Posted(
            requests=len(self._requests),
            statuses=dict(self._statuses),
            seconds=last_at - started,
            cpu_s=time.process_time() - cpu,
            p50_s=latencies.at(50),
            p99_s=latencies.at(99),
            late_p99_s=Histogram().add_all(self._late).at(99),
            unanswered=len(self._requests) - len(self._latencies),
        )

    def _send_when_due(self, started: float) -> float:
        """Return when the last answer came."""
        requests, connections = self._requests, self._connections
        times = [started + due_s for due_s in self._order.due_s]
        count, waiting, ends = len(requests), [self._poll.fileno()], started + self._order.limit_s
        sent, now, last_at = 0, started, started
        while len(self._latencies) < count and now < ends:
            while sent < count and (at := times[sent]) <= now:
                connection = connections[sent % len(connections)]
                connection.requests.append(requests[sent])
                connection.due_at.append(at)
                if connection.send():
                    self._late.append(now - at)
                sent += 1
            for fd, _ in self._poll.poll(0):
                connection = self._by_fd[fd]
                if status := connection.receive():
                    last_at = time.monotonic()
                    self._statuses[status] += 1
                    self._latencies.append(last_at - connection.due_at.popleft())
                    connection.send()
            select.select(waiting, (), (), pause_s(times, sent))  # epoll itself waits whole milliseconds
            now = time.monotonic()
        return last_at


def main() -> None:
    """Execute an order."""
    order = read_order(Order)
    bodies = read_bodies(order.file)
    try:
        poster = Poster(order, bodies)
        stop_collecting()
        if not wait_for_go():
            return
        posted = poster.run()
    except (BadAnswer, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    write_result(posted)


if __name__ == "__main__":
    main()
