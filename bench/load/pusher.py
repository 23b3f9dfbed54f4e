"""A lean generator of reports, in a process of its own, so that it is the gateway that is measured.

It is told by a line of JSON on standard input what to do, and reads the reports, one a line, from a file: the first
is the first sender's, the next the next one's, and so on in turn, where it is not told whose each is. Frames are made
and connections opened before it says `ready`; at the word `go` it sends, and says at the end what it saw. One thread,
no event loop: a write a report, or a write for several, is all that is done for it. It keeps to its credit and counts
the answers in the bytes; only an answer that does not accept is looked into.
"""

import gc
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
    accepted_alone,
    credit_of,
    decode_results,
    masked,
    report_frame,
    split,
)
from bench.load.streams import opened, received, taken

TICK_S = 0.0005
"""In open load: how finely reports are sent. What it delays them by counts, as it is from when they were due."""
CONNECT_S = 20.0


class Order(msgspec.Struct):
    """What to do."""

    url: str
    election: str
    tokens: list[str]
    file: str
    burst: int = 1
    rate: float = 0.0
    """Reports a second in all, each sent when it is due; 0: as fast as the credit allows."""
    limit_s: float = 60.0
    senders: list[int] = []
    """Whose each report is, by the place of its token; empty: they take turns."""
    answers: str = ""
    """A file into which each answer is written at the end, as an Answered a line."""
    certificate: str = ""
    """What to trust, for a door that speaks TLS."""


class Told(msgspec.Struct):
    """What was seen."""

    reports: int
    outcomes: dict[str, int]
    seconds: float
    """From the first write to the last receipt."""
    cpu_s: float
    retried: int
    p50_s: float = 0.0
    p99_s: float = 0.0
    late_p99_s: float = 0.0
    """By how much this process itself was late with reports for which there was credit."""
    unanswered: int = 0
    started_at: float = 0.0
    """The first write, in seconds since 1970."""


class Answered(msgspec.Struct):
    """A frame of text as it came to one sender; `id` in it is the place of a report among the sender's own."""

    sender: int
    at: float
    """In seconds since 1970."""
    frame: msgspec.Raw


class Refused(Exception):
    """A connection that was not to be had, or that ended."""


class Line:
    """One sender's connection."""

    __slots__ = (
        "again_at", "credit", "due_at", "frames", "open", "place", "read", "rest", "socket", "unsent", "waiting"
    )  # fmt: skip

    def __init__(self, order: Order, place: int, bodies: Sequence[bytes]) -> None:
        self.place = place
        self.frames = [report_frame(number, body) for number, body in enumerate(bodies)]
        self.unsent: deque[int] = deque()
        self.open = 0
        """Reports that are sent and not answered."""
        self.waiting = len(bodies)
        self.due_at: dict[int, float] = {}
        self.again_at = 0.0
        self.rest = b""
        self.credit = 0
        self.socket, self.read = _connected(order, order.tokens[place])

    def send(self, burst: int) -> None:
        """Write what there is credit for, `burst` frames a write; what the socket does not take waits."""
        most = min(self.credit - self.open, len(self.unsent))
        if most <= 0 or self.rest or (self.again_at and self.again_at > time.monotonic()):
            return
        self.again_at = 0.0
        frames, take, stream = self.frames, self.unsent.popleft, self.socket
        while most > 0 and not self.rest:
            if burst == 1:
                data, part = frames[take()], 1
            else:
                part = min(burst, most)
                data = b"".join([frames[take()] for _ in range(part)])
            self.open += part
            most -= part
            written = taken(stream, data)
            if written < len(data):
                self.rest = data[written:]

    def write_rest(self) -> None:
        """Write what the socket did not take."""
        self.rest = self.rest[taken(self.socket, self.rest) :]

    def hear(self) -> list[bytes]:
        """Read what is there: the frames of text."""
        try:
            data = received(self.socket)
        except BlockingIOError:
            return []
        if not data:
            raise Refused("the gateway closed a connection")
        frames, self.read = split(self.read + data if self.read else data)
        texts = []
        for opcode, payload in frames:
            if opcode == TEXT:
                texts.append(payload)
            elif opcode == PING:
                self.rest += masked(payload, PONG)
                self.write_rest()
            elif opcode == CLOSE:
                raise Refused(f"the gateway closed a connection: {payload[2:].decode(errors='replace')}")
        return texts


class Pusher:
    """All connections, one turn."""

    def __init__(self, order: Order, bodies: Sequence[bytes]) -> None:
        self._order = order
        count = len(order.tokens)
        own: list[list[bytes]] = [[] for _ in order.tokens]
        self._turns: list[tuple[int, int]] = []
        """Of each report, its sender and its place among the sender's own."""
        for place, body in enumerate(bodies):
            sender = order.senders[place] if order.senders else place % count
            self._turns.append((sender, len(own[sender])))
            own[sender].append(body)
        self._lines = [Line(order, place, each) for place, each in enumerate(own)]
        self._by_fd = {line.socket.fileno(): line for line in self._lines}
        self._poll = select.epoll()
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)
        self._reports = self._missing = len(bodies)
        self._outcomes: Counter[str] = Counter()
        self._latencies: list[float] = []
        self._late: list[float] = []
        self._kept: list[tuple[int, float, bytes]] = []
        self._retried = 0
        self._last_at = 0.0

    def greet(self) -> None:
        """Wait until every connection has heard how much credit it has. Raises Refused."""
        silent = set(self._lines)
        ends = time.monotonic() + CONNECT_S
        for line in self._lines:
            frames, line.read = split(line.read)
            for _, payload in frames:
                line.credit = credit_of(payload) or 0
                silent.discard(line)
        while silent:
            if time.monotonic() > ends:
                raise Refused(f"{len(silent)} connections heard no hello")
            for fd, _ in self._poll.poll(0.1):
                line = self._by_fd[fd]
                for payload in line.hear():
                    line.credit = credit_of(payload) or line.credit
                    silent.discard(line)

    def run(self) -> Told:
        """Send all, and return when all is answered, or it has taken too long."""
        cpu, started = time.process_time(), time.monotonic()
        ends, started_at = started + self._order.limit_s, time.time()
        if self._order.rate:
            self._send_when_due(started, ends)
        else:
            self._send_as_taken(ends)
        latencies = Histogram().add_all(self._latencies)
        return Told(
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
        """Write what was kept of the answers."""
        encode = msgspec.json.encode
        with open(self._order.answers, "wb") as file:
            file.writelines(
                encode(Answered(sender, at, msgspec.Raw(frame))) + b"\n" for sender, at, frame in self._kept
            )

    def _send_as_taken(self, ends: float) -> None:
        for line in self._lines:
            line.unsent.extend(range(len(line.frames)))
            self._send(line)
        while self._missing and time.monotonic() < ends:
            self._serve(self._poll.poll(0.05))

    def _send_when_due(self, started: float, ends: float) -> None:
        lines, turns, rate = self._lines, self._turns, self._order.rate
        sent, now = 0, time.monotonic()
        waiting = [self._poll.fileno()]
        while self._missing and now < ends:
            due = min(self._reports, int((now - started) * rate) + 1)
            touched = set()
            while sent < due:
                sender, number = turns[sent]
                line = lines[sender]
                at = started + sent / rate
                line.due_at[number] = at
                line.unsent.append(number)
                if line.open < line.credit:
                    self._late.append(now - at)
                touched.add(line)
                sent += 1
            for line in touched:
                self._send(line)
            self._serve(self._poll.poll(0))
            pause = TICK_S if sent < self._reports else 0.05
            select.select(waiting, (), (), pause)  # of epoll itself, which waits in whole milliseconds
            now = time.monotonic()

    def _serve(self, events: Sequence[tuple[int, int]]) -> None:
        for fd, what in events:
            line = self._by_fd[fd]
            if what & select.EPOLLOUT:
                line.write_rest()
                if not line.rest:
                    self._poll.modify(fd, select.EPOLLIN)
            if what & ~select.EPOLLOUT:
                for payload in line.hear():
                    self._take(line, payload)
            self._send(line)
        if self._retried:
            for line in self._lines:
                if line.again_at:
                    self._send(line)

    def _send(self, line: Line) -> None:
        line.send(self._order.burst)
        if line.rest:
            self._poll.modify(line.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _take(self, line: Line, payload: bytes) -> None:
        credit = credit_of(payload)
        if credit is not None:
            line.credit = credit
        accepted = accepted_alone(payload)
        if not accepted and accepted is not None:
            return
        self._last_at = time.monotonic()
        if self._order.answers:
            self._kept.append((line.place, time.time(), payload))
        if accepted is not None and not self._order.rate:
            self._outcomes["accepted"] += accepted
            self._done(line, accepted)
            return
        again = []
        for result in decode_results(payload).results:
            if result.outcome == "retry":
                again.append(result.id)
                line.again_at = self._last_at + (result.retry_after_s or 0.1)
                line.open -= 1
                self._retried += 1
                continue
            self._outcomes[result.outcome] += 1
            if self._order.rate:
                self._latencies.append(self._last_at - line.due_at.pop(result.id))
            self._done(line, 1)
        line.unsent.extendleft(sorted(again, reverse=True))

    def _done(self, line: Line, count: int) -> None:
        line.open -= count
        line.waiting -= count
        self._missing -= count


def _connected(order: Order, token: str) -> tuple[socket.socket, bytes]:
    """Open a push WebSocket; return it with the bytes that came after its head."""
    where = urlsplit(order.url)
    assert where.hostname is not None
    request = (
        f"GET /v1/elections/{order.election}/push HTTP/1.1\r\nHost: {where.netloc}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Protocol: valgnatt.push.v1\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    found = opened(where.hostname, where.port or 80, order.certificate, CONNECT_S)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found.sendall(request.encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = found.recv(1 << 16)
        if not piece:
            raise Refused("a connection was closed before it was a WebSocket")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    if b" 101 " not in head[:16]:
        raise Refused(f"no WebSocket: {head[:60].decode(errors='replace')}")
    found.setblocking(False)
    return found, rest


def main() -> None:
    """Push as told."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    with open(order.file, "rb") as file:
        bodies = file.read().splitlines()
    try:
        pusher = Pusher(order, bodies)
        del bodies
        gc.collect()
        gc.freeze()
        gc.disable()
        pusher.greet()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if sys.stdin.readline().strip() != "go":
            return
        told = pusher.run()
        if order.answers:
            pusher.write_answers()
    except (Refused, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
