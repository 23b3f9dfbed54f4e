"""A crowd of readers in a separate process, as cheap as Python allows: one thread, one epoll, raw sockets.

A reader's bytes are inspected only for the number of the newest change in them. The same bytes are inspected once,
however many readers receive them; under gzip they are decompressed once for all readers that received the same text
before, and bytes that differ are decompressed by themselves.

The process reads commands from standard input and answers each with a `Seen`, one JSON document per line. After the
command `report` it also writes a `Seen` at intervals.
"""

import contextlib
import heapq
import os
import random
import resource
import select
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count

import msgspec

from bench.load.crowd_messages import Command, Seen
from bench.load.crowd_reader import Reader, Refused
from bench.load.inspection import Inspector, Known
from bench.load.streams import received

ATTEMPTS_MAX = 20
RETRY_S = 0.1
"""Pause before the first new attempt to connect; it grows by as much with each."""
RETURN_S = (0.5, 3.0)
"""A returning reader whose connection ended connects again after a random time in this range."""
SILENT_MAX = 1000
"""Connections without a response; no more are opened meanwhile, because the listen queue is limited."""
OPENED_PER_TURN = 50
SLOW_BYTES, SLOW_S = 1024, 1.0
"""A slow reader reads so many bytes, once per interval."""
PIECE = 1 << 17


class Crowd:
    """All readers of this process."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._readers: dict[int, Reader] = {}
        self._connecting: dict[int, Reader] = {}
        self._slow: dict[int, Reader] = {}
        self._due: list[tuple[float, int, Reader]] = []
        """Heap of readers that are to connect: when, and a tie-breaker."""
        self._order = count()
        self._places = count()
        self._inspector = Inspector()
        self._last: tuple[bytes, Known] = b"", {}
        self._arrivals: dict[tuple[int, int], array[float]] | None = None
        """By the newest change that a reader had before and has now: when."""
        self._marked = 0
        """The newest change at the last mark."""
        self._wanted = self._behind = 0
        self._silent = 0
        """Connections without a response, those of slow readers left out."""
        self._lost = self._refused = 0
        self._last_at = 0.0
        self._every_s = self._report_at = self._slow_at = 0.0
        self._joined: list[float] = []
        self._returned: list[float] = []
        self._stopped = False
        self._start_count()

    def run(self) -> None:
        """Execute commands until `stop`, or until standard input is closed."""
        stdin, rest = sys.stdin.fileno(), b""
        while not self._stopped:
            if not self._turn(1.0):
                continue
            piece = os.read(stdin, 1 << 16)
            if not piece:
                return
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                command = msgspec.json.decode(line, type=Command)
                self._write(self._execute(command))

    # Commands.

    def _execute(self, command: Command) -> Seen:
        match command.do:
            case "connect":
                silent = self._connect(command)
                return msgspec.structs.replace(self._seen("connect"), silent=silent)
            case "mark":
                if self._every_s:
                    self._write(self._seen(""))
                self._mark(command.each)
            case "wait":
                self._wanted = command.number
                self._behind = sum(reader.number < command.number for reader in self._readers.values())
                self._serve_until(lambda: not self._behind, command.limit_s)
            case "weigh":
                return self._weighed(command.published)
            case "cut":
                self._cut(command.within_s)
            case "report":
                self._every_s = command.every_s
                self._report_at = time.monotonic() + command.every_s
            case "stop":
                return self._stop()
        return self._seen(command.do)

    def _connect(self, command: Command) -> int:
        """Connect readers and serve until each was sent what it waits for; return how many were not."""
        assert command.group is not None
        started, added = time.monotonic(), []
        for place in range(command.count):
            slow = random.random() < command.slow
            reader = Reader(command.group, next(self._places), slow=slow)
            self._schedule(reader, started + command.over_s * place / command.count)
            if not slow:
                added.append(reader)
        waiting = iter(added)
        next_one = next(waiting, None)

        def all_served() -> bool:
            nonlocal next_one
            while next_one is not None and not next_one.waiting:
                next_one = next(waiting, None)
            return next_one is None

        self._serve_until(all_served, command.limit_s)
        return sum(reader.waiting for reader in added)

    def _mark(self, each: bool) -> None:
        self._marked = max((reader.number for reader in self._readers.values()), default=0)
        self._arrivals = {} if each else None
        self._start_count()

    def _start_count(self) -> None:
        newest = max(0, max((reader.number for reader in self._readers.values()), default=0))
        for reader in self._readers.values():
            reader.base = reader.number if reader.number >= 0 else newest  # it has connected since
        self._latencies = array("d")
        self._counts: Counter[int] = Counter()
        """Latencies up to the last answer, by microseconds."""
        self._receives = self._size = 0
        self._inspector.inspected = 0
        self._lag_s = 0.0
        self._cpu_s = time.process_time()

    def _cut(self, within_s: float) -> None:
        now = time.monotonic()
        for fd, reader in list(self._readers.items()):
            self._close(fd, reader)
            reader.left_at = now
            self._schedule(reader, now + random.uniform(0, within_s))

    def _stop(self) -> Seen:
        self._stopped = True
        seen = self._seen("stop")
        seen.numbers = dict(Counter(reader.number for reader in self._readers.values() if not reader.slow))
        first = [times for (before, _), times in (self._arrivals or {}).items() if before <= self._marked]
        seen.compared = sum(map(len, first))
        seen.first_at = max(map(max, first), default=0.0)
        return seen

    # One turn.

    def _serve_until(self, done: Callable[[], bool], limit_s: float) -> None:
        ends = time.monotonic() + limit_s
        self._poll.unregister(sys.stdin.fileno())
        while not done() and (left_s := ends - time.monotonic()) > 0:
            self._turn(min(left_s, 0.5))
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)

    def _turn(self, most_s: float) -> bool:
        """Wait for bytes and handle them, then whatever is due; return whether there is a command to read."""
        stdin, commanded = sys.stdin.fileno(), False
        events = self._poll.poll(self._pause_s(most_s))
        started = time.monotonic()
        connecting = self._connecting
        for fd, _ in events:
            if fd in connecting:
                self._request(fd)
            elif fd != stdin:
                self._receive(fd, PIECE)
            else:
                commanded = True
        self._do_what_is_due()
        self._lag_s = max(self._lag_s, time.monotonic() - started)
        return commanded

    def _pause_s(self, most_s: float) -> float:
        due = [self._report_at] if self._every_s else []
        if self._slow:
            due.append(self._slow_at)
        if self._due and self._silent < SILENT_MAX:
            due.append(self._due[0][0])
        return max(0.0, min([most_s, *(at - time.monotonic() for at in due)]))

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        for _ in range(OPENED_PER_TURN):
            if not self._due or self._due[0][0] > now or self._silent >= SILENT_MAX:
                break
            self._open(heapq.heappop(self._due)[-1])
        if self._slow and now >= self._slow_at:
            self._slow_at = now + SLOW_S
            for fd in list(self._slow):
                self._receive(fd, SLOW_BYTES)
        if self._every_s and now >= self._report_at:
            self._report_at = max(now, self._report_at + self._every_s)
            self._write(self._seen(""))

    # Connections.

    def _schedule(self, reader: Reader, at: float) -> None:
        heapq.heappush(self._due, (at, next(self._order), reader))

    def _open(self, reader: Reader) -> None:
        if not reader.connect():
            self._retry(reader)
            return
        self._silent += not reader.slow
        self._connecting[reader.socket.fileno()] = reader
        self._poll.register(reader.socket.fileno(), select.EPOLLOUT)

    def _retry(self, reader: Reader) -> None:
        reader.socket.close()
        if not reader.group.returning:
            raise RuntimeError(f"a reader could not connect to {reader.group.host}:{reader.group.port}")
        reader.attempts += 1
        if reader.attempts < ATTEMPTS_MAX:
            self._schedule(reader, time.monotonic() + RETRY_S * reader.attempts)
        else:
            self._refused += 1

    def _request(self, fd: int) -> None:
        """Send the request on a connection that is open, or has failed."""
        reader = self._connecting.pop(fd)
        try:
            reader.request(self._inspector.cursors.get(reader.number))
        except OSError:
            self._silent -= not reader.slow
            with contextlib.suppress(OSError, ValueError):
                self._poll.unregister(fd)
            self._retry(reader)
            return
        reader.attempts = 0
        self._readers[fd] = reader
        if reader.slow:
            self._poll.unregister(fd)
            self._slow[fd] = reader
        else:
            self._poll.modify(fd, select.EPOLLIN)

    def _close(self, fd: int, reader: Reader) -> None:
        del self._readers[fd]
        if self._slow.pop(fd, None) is None:
            self._poll.unregister(fd)
        reader.socket.close()
        self._silent -= reader.head and not reader.slow

    def _lose(self, fd: int) -> None:
        reader = self._readers[fd]
        self._close(fd, reader)
        self._lost += 1
        self._behind -= reader.number < self._wanted
        if reader.group.returning:
            reader.left_at = time.monotonic()
            self._schedule(reader, reader.left_at + random.uniform(*RETURN_S))

    # Bytes.

    def _receive(self, fd: int, most: int) -> None:
        reader = self._readers[fd]
        try:
            data = received(reader.socket, most)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(fd)
            return
        self._receives += 1
        self._size += len(data)
        if reader.tail or reader.head or not data.endswith(reader.end):
            data = self._complete(fd, reader, data)
            if not data:
                return
        if data != self._last[0]:
            self._last = data, self._inspector.known(data)
        known = self._last[1]
        number, reader.text = known.get(reader.text) or self._inspect(data, reader, known)
        if reader.new:
            if number >= 0:
                self._join(reader, number)
        elif number > reader.number:
            now = self._advance(reader, number)
            if self._arrivals is not None:
                self._arrivals.setdefault((reader.number, number), array("d")).append(now)
            reader.number = number
            self._latencies.append(now - self._inspector.published[number])

    def _inspect(self, data: bytes, reader: Reader, known: Known) -> tuple[int, bytes]:
        at_mark = self._arrivals is not None and reader.number == self._marked
        compared_from = reader.number if at_mark else None
        return self._inspector.inspect(data, reader.text, known, reader.group, compared_from)

    def _advance(self, reader: Reader, number: int) -> float:
        now = self._last_at = time.time()
        if reader.number < self._wanted <= number:
            self._behind -= 1
        return now

    def _join(self, reader: Reader, number: int) -> None:
        """Note the first event of a connection. Its latency says nothing about delivery."""
        if number > reader.number:
            self._advance(reader, number)
        now = time.monotonic()
        if reader.left_at:
            self._returned.append(now - reader.left_at)
        else:
            self._joined.append(now - reader.began)
        reader.new = False
        reader.number = max(reader.number, number)
        if reader.group.greeted:
            reader.base = reader.number

    def _complete(self, fd: int, reader: Reader, data: bytes) -> bytes:
        """Return the events that are complete; the reader keeps the rest."""
        had_no_response = reader.head
        try:
            events = reader.complete(data)
        except Refused as refused:
            self._refuse(fd, refused)
            return b""
        self._silent -= had_no_response and not reader.head and not reader.slow
        return events

    def _refuse(self, fd: int, refused: Refused) -> None:
        if not self._readers[fd].group.returning:
            raise RuntimeError(f"a reader was refused: {refused}")
        self._refused += 1
        self._lose(fd)

    # What was seen.

    def _seen(self, do: str) -> Seen:
        cpu_s = time.process_time() - self._cpu_s
        self._counts.update(map(rounded_us, self._latencies))
        self._latencies = array("d")
        seen = Seen(
            do=do,
            at=time.monotonic(),
            readers=len(self._readers),
            covered=sum(max(0, reader.number - reader.base) for reader in self._readers.values()),
            receives=self._receives,
            size=self._size,
            behind=self._behind,
            silent=0,
            lost=self._lost,
            refused=self._refused,
            inspected=self._inspector.inspected,
            differing=self._inspector.differing,
            latencies=dict(self._counts),
            cpu_s=cpu_s,
            lag_s=self._lag_s,
            last_at=self._last_at,
            joined=self._joined,
            returned=self._returned,
        )
        self._joined, self._returned = [], []
        if self._every_s:
            self._start_count()
        return seen

    def _weighed(self, published: Sequence[tuple[int, float]]) -> Seen:
        """Return the latencies of each of these changes to each reader, in steps of 0.1 ms."""
        steps: Counter[int] = Counter()
        for (before, after), times in (self._arrivals or {}).items():
            counted = Counter(int(at * 1e4) for at in times)
            for number, published_at in published:
                if before < number <= after:
                    base = int(published_at * 1e4)
                    for at, readers in counted.items():
                        steps[at - base] += readers
        seen = self._seen("weigh")
        seen.latencies = {100 * step: readers for step, readers in steps.items()}
        return seen

    def _write(self, seen: Seen) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")
        sys.stdout.buffer.flush()


def rounded_us(seconds: float) -> int:
    """Return microseconds, rounded down to three significant digits, so that equal values can be counted."""
    value = max(1, int(seconds * 1e6))
    step = 10 ** max(0, len(str(value)) - 2) // 10 or 1
    return value // step * step


def main() -> None:
    """Run a crowd, with as many open files as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Crowd().run()


if __name__ == "__main__":
    main()
