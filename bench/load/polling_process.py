"""Readers that poll a mirror, in a separate process, as cheap as Python allows: one thread, one epoll, raw sockets.

Each reader asks as clients do: for `live.json` with `If-None-Match`, at intervals, and for the files that lead from its
position to the newest state. What many readers have in common is computed once: the content of a file, the route from
one position to another, and the copy that results from it. All bytes that are received are compared.

The process reads commands from standard input and answers each with a `Polled`, one JSON document per line.
"""

import contextlib
import heapq
import os
import random
import resource
import select
import sys
import time
from collections import Counter
from itertools import count

import msgspec

from bench.load.polling_copies import CopyStore
from bench.load.polling_messages import PollCommand, Polled
from bench.load.polling_reader import Answer, PollingReader
from gateway.wire.mirror import Position

OPENED_PER_TURN, CONNECTING_MAX = 100, 1000
RETRY_S = 0.2, 1.0
STATUSES = (200, 304)
TOO_MANY = 503


class PollingCrowd:
    """All readers of this process."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._readers: dict[int, PollingReader] = {}
        self._connecting: dict[int, PollingReader] = {}
        self._all: list[PollingReader] = []
        self._due: list[tuple[float, int, PollingReader]] = []
        """Heap of readers that are to ask or to connect: when, and a tie-breaker."""
        self._order = count()
        self._copies = CopyStore()
        self._faults: dict[str, None] = {}
        self._turned_away = self._older = self._lost = 0
        self._unchanged_bytes = self._head_bytes = 0
        self._stopped = False
        self._mark()

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
                polled = self._execute(msgspec.json.decode(line, type=PollCommand))
                sys.stdout.buffer.write(msgspec.json.encode(polled) + b"\n")
                sys.stdout.buffer.flush()

    # Commands.

    def _execute(self, command: PollCommand) -> Polled:
        match command.do:
            case "connect":
                self._connect(command)
            case "mark":
                self._mark()
            case "look" if command.sequence >= 0:
                self._serve_until(command.sequence, command.limit_s)
            case "stop":
                self._stopped = True
        polled = self._polled(command)
        if self._stopped:
            polled.copies = self._copies.all()
        return polled

    def _connect(self, command: PollCommand) -> None:
        place = command.place
        assert place is not None
        started = time.monotonic()
        for number in range(command.count):
            reader = PollingReader(place, place.profiles[number % len(place.profiles)])
            self._all.append(reader)
            self._schedule(reader, started + command.over_s * number / command.count)
        self._serve_until(0, command.over_s + command.limit_s)

    def _serve_until(self, sequence: int, limit_s: float) -> None:
        """Serve until all readers have a sequence."""
        ends = time.monotonic() + limit_s
        self._poll.unregister(sys.stdin.fileno())
        look_at = 0.0
        while (now := time.monotonic()) < ends:
            if now >= look_at:
                if not self._lacking(sequence):
                    break
                look_at = now + 0.02
            self._turn(0.02)
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)

    def _lacking(self, sequence: int) -> int:
        return sum(reader.position is None or reader.position.sequence < sequence for reader in self._all)

    def _mark(self) -> None:
        self._unchanged = self._changed = self._files = self._size = 0
        self._latencies = Counter[int]()
        self._cpu_s = time.process_time()

    def _polled(self, command: PollCommand) -> Polled:
        return Polled(
            do=command.do,
            readers=len(self._readers),
            without_state=self._lacking(0),
            behind=self._lacking(command.sequence),
            unchanged=self._unchanged,
            changed=self._changed,
            files=self._files,
            size=self._size,
            unchanged_bytes=self._unchanged_bytes,
            head_bytes=self._head_bytes,
            latencies=dict(self._latencies),
            cpu_s=time.process_time() - self._cpu_s,
            turned_away=self._turned_away,
            older=self._older,
            lost=self._lost,
            faults=[*self._faults, *self._copies.faults],
        )

    # One turn.

    def _turn(self, most_s: float) -> bool:
        """Handle what has arrived, then whatever is due; return whether there is a command to read."""
        stdin, commanded = sys.stdin.fileno(), False
        pause_s = most_s
        if self._due:
            pause_s = max(0.0, min(most_s, self._due[0][0] - time.monotonic()))
        for fd, _ in self._poll.poll(pause_s):
            if fd == stdin:
                commanded = True
            elif fd in self._connecting:
                self._begin(fd)
            else:
                self._receive(fd)
        now, opened = time.monotonic(), 0
        while self._due and self._due[0][0] <= now:
            reader = self._due[0][-1]
            if not reader.is_open:
                if opened >= OPENED_PER_TURN or len(self._connecting) >= CONNECTING_MAX:
                    break
                opened += 1
            heapq.heappop(self._due)
            if reader.is_open:
                self._ask(reader)
            else:
                self._open(reader)
        return commanded

    def _schedule(self, reader: PollingReader, at: float) -> None:
        heapq.heappush(self._due, (at, next(self._order), reader))

    def _open(self, reader: PollingReader) -> None:
        if not reader.connect():
            self._lose(reader)
            return
        self._connecting[reader.socket.fileno()] = reader
        self._poll.register(reader.socket.fileno(), select.EPOLLOUT)

    def _begin(self, fd: int) -> None:
        reader = self._connecting.pop(fd)
        self._readers[fd] = reader
        reader.is_open = True
        self._poll.modify(fd, select.EPOLLIN)
        self._ask(reader)

    def _ask(self, reader: PollingReader) -> None:
        try:
            reader.ask()
        except OSError:
            self._lose(reader)

    def _close(self, reader: PollingReader) -> None:
        fd, reader.is_open = reader.socket.fileno(), False
        if self._readers.pop(fd, None) is not None:
            with contextlib.suppress(OSError, ValueError):
                self._poll.unregister(fd)
        reader.socket.close()

    def _lose(self, reader: PollingReader) -> None:
        self._lost += 1
        self._close(reader)
        self._schedule(reader, time.monotonic() + random.uniform(*RETRY_S))

    # Answers.

    def _receive(self, fd: int) -> None:
        reader = self._readers[fd]
        try:
            answer = reader.receive()
        except BlockingIOError:
            return
        except (OSError, ValueError):
            self._lose(reader)
            return
        if answer is None:
            return
        self._size += answer.size
        if reader.at_door:
            self._leave_door(reader, answer)
        elif answer.status not in STATUSES:
            self._faults[f"{reader.files[:1] or 'live.json'}: answered {answer.status}"] = None
            self._lose(reader)
        elif reader.target is None:
            self._take_live(reader, answer)
        else:
            self._take_file(reader, answer)

    def _leave_door(self, reader: PollingReader, answer: Answer) -> None:
        """Go to the mirror that the feed door has named."""
        place = reader.place
        link = f'<http://{place.host}:{place.port}>; rel="alternate"'.encode()
        if answer.status != TOO_MANY:
            self._faults[f"the feed door answered {answer.status}, and not {TOO_MANY}"] = None
        elif answer.header(b"link").replace(b"/>", b">") != link:
            self._faults["the feed door turned a reader away without naming the mirror"] = None
        else:
            self._turned_away += 1
        reader.at_door = False
        self._close(reader)
        self._schedule(reader, time.monotonic())

    def _take_live(self, reader: PollingReader, answer: Answer) -> None:
        if answer.status == 304:
            self._unchanged += 1
            self._unchanged_bytes = answer.size
            self._wait(reader)
            return
        self._changed += 1
        self._head_bytes = len(answer.head)
        reader.etag = answer.header(b"etag")
        live = self._copies.live(answer.body)
        seen = live.sequence, live.written_at.isoformat()
        if seen < reader.seen:
            self._older += 1
            self._wait(reader)
            return
        reader.seen = seen
        files = self._copies.route(live, reader.profile, reader.position)
        reader.target = Position(live.sequence, live.cursor, live.history)
        reader.route, reader.files = files, list(files)
        if files:
            self._ask(reader)
        else:
            self._arrive(reader)

    def _take_file(self, reader: PollingReader, answer: Answer) -> None:
        self._files += 1
        self._copies.add_file(reader.files.pop(0), answer.body)
        if reader.files:
            self._ask(reader)
        else:
            self._arrive(reader)

    def _arrive(self, reader: PollingReader) -> None:
        """Note that a reader has the state of its `live.json`."""
        target = reader.target
        assert target is not None
        if reader.route:
            self._copies.move(reader.profile, reader.position, target, reader.route)
            published_s = self._copies.published_s.get(target.sequence)
            if published_s is not None and reader.position is not None and target.sequence:
                self._latencies[max(1, round((time.time() - published_s) * 1e3) * 1000)] += 1
        elif reader.position is not None:
            self._copies.stay(reader.profile, reader.position, target)
        reader.position, reader.target = target, None
        self._wait(reader)

    def _wait(self, reader: PollingReader) -> None:
        self._schedule(reader, time.monotonic() + reader.place.every_s * random.uniform(0.8, 1.2))


def main() -> None:
    """Run a crowd, with as many open files as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    PollingCrowd().run()


if __name__ == "__main__":
    main()
