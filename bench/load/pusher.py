"""A lean generator of reports, in a separate process, so that the gateway is measured and not the generator.

It reads an `Order` from standard input, as one line of JSON, and the reports from a file, one per line. It encodes the
frames and opens the connections, writes `ready`, waits for `go`, sends, and at the end writes a `Pushed`. It has one
thread and no event loop, writes once per report or once for several, respects its credit, and counts accepted reports
without decoding the answers; it decodes only those with another outcome.
"""

import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from bench.figures import Histogram
from bench.load.frames import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    count_accepted,
    credit_of,
    decode_results,
    masked,
    report_frame,
    split,
)
from bench.load.generator_process import read_bodies, read_order, stop_collecting, wait_for_go, write_result
from bench.load.streams import connected, received, written

LEAST_PAUSE_S, LONGEST_PAUSE_S = 0.0001, 0.05
"""How long an open load may sleep. Its delay counts, because latencies start when a report is due."""
CONNECT_S = 20.0


class Order(msgspec.Struct):
    """What to push, where and how."""

    url: str
    election: str
    tokens: list[str]
    file: str
    burst: int = 1
    rate: float = 0.0
    """Reports per second in total, each sent when it is due; 0: as fast as the credit allows."""
    limit_s: float = 60.0
    due_s: list[float] = []
    """When each report is due, in s after the start, if they are sent when they are due; empty: evenly spaced."""
    senders: list[int] = []
    """The sender of each report, as index into `tokens`; empty: the senders take turns."""
    answers: str = ""
    """File to which the answers are written at the end, one `Answered` per line; empty: they are not kept."""
    certificate: str = ""
    """File of the certificate to trust, if the port uses TLS."""
    unmeasured: list[int] = []
    """Senders, as in `senders`, whose latencies do not count."""


class Pushed(msgspec.Struct):
    """The result of a load."""

    reports: int
    outcomes: dict[str, int]
    seconds: float
    """From the first write to the last receipt."""
    cpu_s: float
    retried: int
    p50_s: float = 0.0
    p99_s: float = 0.0
    late_p99_s: float = 0.0
    """How late this process itself was with reports for which it had credit, in s."""
    unanswered: int = 0
    started_at: float = 0.0
    """The first write, in seconds since 1970."""


class Answered(msgspec.Struct):
    """A text frame that one sender received; its `id` is the index of a report among the reports of that sender."""

    sender: int
    at: float
    """In seconds since 1970."""
    frame: msgspec.Raw


class ConnectionFailed(Exception):
    """A connection was refused, or the gateway closed it."""


class Connection:
    """The connection of one sender."""

    __slots__ = (
        "buffer", "credit", "due_at", "frames", "in_flight", "place", "rest", "retry_at", "socket", "unsent"
    )  # fmt: skip

    def __init__(self, order: Order, place: int, bodies: Sequence[bytes]) -> None:
        self.place = place
        self.frames = [report_frame(number, body) for number, body in enumerate(bodies)]
        self.unsent: deque[int] = deque()
        self.in_flight = 0
        """Reports that are sent and not answered yet."""
        self.due_at: dict[int, float] = {}
        self.retry_at = 0.0
        self.rest = b""
        self.credit = 0
        self.socket, self.buffer = _open_websocket(order, order.tokens[place])

    def send(self, burst: int) -> None:
        """Send what there is credit for, `burst` frames per write; keep what the socket does not accept."""
        most = min(self.credit - self.in_flight, len(self.unsent))
        if most <= 0 or self.rest or (self.retry_at and self.retry_at > time.monotonic()):
            return
        self.retry_at = 0.0
        frames, take, stream = self.frames, self.unsent.popleft, self.socket
        while most > 0 and not self.rest:
            if burst == 1:
                data, part = frames[take()], 1
            else:
                part = min(burst, most)
                data = b"".join([frames[take()] for _ in range(part)])
            self.in_flight += part
            most -= part
            accepted = written(stream, data)
            if accepted < len(data):
                self.rest = data[accepted:]

    def write_rest(self) -> None:
        """Write what the socket did not accept."""
        self.rest = self.rest[written(self.socket, self.rest) :]

    def receive(self) -> list[bytes]:
        """Read what has arrived; return the payloads of text frames."""
        try:
            data = received(self.socket)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionFailed("the gateway closed a connection")
        frames, self.buffer = split(self.buffer + data if self.buffer else data)
        texts = []
        for opcode, payload in frames:
            if opcode == TEXT:
                texts.append(payload)
            elif opcode == PING:
                self.rest += masked(payload, PONG)
                self.write_rest()
            elif opcode == CLOSE:
                raise ConnectionFailed(
                    f"the gateway closed a connection: {payload[2:].decode(errors='replace')}"
                )
        return texts


class Pusher:
    """All connections of one load."""

    def __init__(self, order: Order, bodies: Sequence[bytes]) -> None:
        self._order = order
        count = len(order.tokens)
        own: list[list[bytes]] = [[] for _ in order.tokens]
        self._turns: list[tuple[int, int]] = []
        """For each report, its sender, and its index among the reports of that sender."""
        for place, body in enumerate(bodies):
            sender = order.senders[place] if order.senders else place % count
            self._turns.append((sender, len(own[sender])))
            own[sender].append(body)
        self._connections = [Connection(order, place, each) for place, each in enumerate(own)]
        self._by_fd = {connection.socket.fileno(): connection for connection in self._connections}
        self._poll = select.epoll()
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)
        self._reports = self._missing = len(bodies)
        self._unmeasured = frozenset(order.unmeasured)
        self._outcomes: Counter[str] = Counter()
        self._latencies: list[float] = []
        self._late: list[float] = []
        self._answers: list[tuple[int, float, bytes]] = []
        self._retried = 0
        self._last_at = 0.0

    def wait_credit(self) -> None:
        """Wait until every connection has its first credit. Raises ConnectionFailed."""
        without_credit = set(self._connections)
        ends = time.monotonic() + CONNECT_S
        for connection in self._connections:
            frames, connection.buffer = split(connection.buffer)
            for _, payload in frames:
                connection.credit = credit_of(payload) or 0
                without_credit.discard(connection)
        while without_credit:
            if time.monotonic() > ends:
                raise ConnectionFailed(f"{len(without_credit)} connections received no credit")
            for fd, _ in self._poll.poll(0.1):
                connection = self._by_fd[fd]
                for payload in connection.receive():
                    connection.credit = credit_of(payload) or connection.credit
                    without_credit.discard(connection)

    def run(self) -> Pushed:
        """Send everything; return when all is answered, or after the time limit."""
        cpu, started = time.process_time(), time.monotonic()
        ends, started_at = started + self._order.limit_s, time.time()
        if self._order.rate:
            self._send_when_due(started, ends)
        else:
            self._send_as_taken(ends)
        latencies = Histogram().add_all(self._latencies)
        return Pushed(
            reports=self._reports,
            outcomes=dict(self._outcomes),
            seconds=self._last_at - started,
            cpu_s=time.process_time() - cpu,
            retried=self._retried,
            p50_s=latencies.at(50),
            p99_s=latencies.at(99),
            late_p99_s=Histogram().add_all(self._late).at(99),
            unanswered=self._missing,
            started_at=started_at,
        )

    def write_answers(self) -> None:
        """Write the answers that were kept."""
        encode = msgspec.json.encode
        with open(self._order.answers, "wb") as file:
            file.writelines(
                encode(Answered(sender, at, msgspec.Raw(frame))) + b"\n"
                for sender, at, frame in self._answers
            )

    def _send_as_taken(self, ends: float) -> None:
        for connection in self._connections:
            connection.unsent.extend(range(len(connection.frames)))
            self._send(connection)
        while self._missing and time.monotonic() < ends:
            self._serve(self._poll.poll(0.05))

    def _send_when_due(self, started: float, ends: float) -> None:
        connections, turns, rate = self._connections, self._turns, self._order.rate
        times = [started + due_s for due_s in self._order.due_s or (n / rate for n in range(self._reports))]
        sent, now = 0, time.monotonic()
        waiting = [self._poll.fileno()]
        while self._missing and now < ends:
            touched = set()
            while sent < self._reports and (at := times[sent]) <= now:
                sender, number = turns[sent]
                connection = connections[sender]
                connection.due_at[number] = at
                connection.unsent.append(number)
                if connection.in_flight < connection.credit:
                    self._late.append(now - at)
                touched.add(connection)
                sent += 1
            for connection in touched:
                self._send(connection)
            self._serve(self._poll.poll(0))
            select.select(waiting, (), (), pause_s(times, sent))  # epoll itself waits whole milliseconds
            now = time.monotonic()

    def _serve(self, events: Sequence[tuple[int, int]]) -> None:
        for fd, what in events:
            connection = self._by_fd[fd]
            if what & select.EPOLLOUT:
                connection.write_rest()
                if not connection.rest:
                    self._poll.modify(fd, select.EPOLLIN)
            if what & ~select.EPOLLOUT:
                for payload in connection.receive():
                    self._note_answer(connection, payload)
            self._send(connection)
        if self._retried:
            for connection in self._connections:
                if connection.retry_at:
                    self._send(connection)

    def _send(self, connection: Connection) -> None:
        connection.send(self._order.burst)
        if connection.rest:
            self._poll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _note_answer(self, connection: Connection, payload: bytes) -> None:
        credit = credit_of(payload)
        if credit is not None:
            connection.credit = credit
        accepted = count_accepted(payload)
        if not accepted and accepted is not None:
            return
        self._last_at = time.monotonic()
        if self._order.answers:
            self._answers.append((connection.place, time.time(), payload))
        if accepted is not None and not self._order.rate:
            self._outcomes["accepted"] += accepted
            self._done(connection, accepted)
            return
        again = []
        for result in decode_results(payload).results:
            if result.outcome == "retry":
                again.append(result.id)
                connection.retry_at = self._last_at + (result.retry_after_s or 0.1)
                connection.in_flight -= 1
                self._retried += 1
                continue
            self._outcomes[result.outcome] += 1
            if self._order.rate:
                due_at = connection.due_at.pop(result.id)
                if connection.place not in self._unmeasured:
                    self._latencies.append(self._last_at - due_at)
            self._done(connection, 1)
        connection.unsent.extendleft(sorted(again, reverse=True))

    def _done(self, connection: Connection, count: int) -> None:
        connection.in_flight -= count
        self._missing -= count


def pause_s(times: Sequence[float], sent: int) -> float:
    """Return for how long to wait for answers, in s: until what follows the first `sent` of `times` is due."""
    left_s = times[sent] - time.monotonic() if sent < len(times) else LONGEST_PAUSE_S
    return min(LONGEST_PAUSE_S, max(LEAST_PAUSE_S, left_s))


def _open_websocket(order: Order, token: str) -> tuple[socket.socket, bytes]:
    """Open a push WebSocket; return its socket and the bytes received after the handshake."""
    where = urlsplit(order.url)
    assert where.hostname is not None
    request = (
        f"GET /v1/elections/{order.election}/push HTTP/1.1\r\nHost: {where.netloc}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Protocol: valgnatt.push.v1\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    stream = connected(where.hostname, where.port or 80, order.certificate, CONNECT_S)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.sendall(request.encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(1 << 16)
        if not piece:
            raise ConnectionFailed("a connection was closed during the handshake")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    if b" 101 " not in head[:16]:
        raise ConnectionFailed(f"the handshake was refused: {head[:60].decode(errors='replace')}")
    stream.setblocking(False)
    return stream, rest


def main() -> None:
    """Execute an order."""
    order = read_order(Order)
    bodies = read_bodies(order.file)
    try:
        pusher = Pusher(order, bodies)
        del bodies
        stop_collecting()
        pusher.wait_credit()
        if not wait_for_go():
            return
        pushed = pusher.run()
        if order.answers:
            pusher.write_answers()
    except (ConnectionFailed, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    write_result(pushed)


if __name__ == "__main__":
    main()
