"""Readers of event streams in a process of its own, as cheap as Python holds them: one thread, one poll, raw sockets.

What a reader gets is only looked at for the number of the newest change in it: the same bytes are looked at once,
however many readers get them. It is told on standard input, a line of JSON each, what to do, and answers each line.
"""

import os
import resource
import select
import socket
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

CONNECT_S = 30.0
PIECE = 1 << 17
SEEN_MAX = 64
"""Pieces of bytes that are known, with what is in them."""
TOLD_MAX = 100_000
"""Times of changes that are kept."""


class Command(msgspec.Struct):
    """What to do: `connect` more, `mark` a beginning, or `wait` until all have a change; each is answered by a Told."""

    do: str
    host: str = "127.0.0.1"
    port: int = 0
    request: str = ""
    marker: str = ""
    """What stands before the number of a change."""
    end: str = "\n\n"
    """What ends an event on the wire."""
    count: int = 0
    greeted: bool = False
    """Whether each hears an event at once, which is waited for."""
    number: int = 0
    limit_s: float = 60.0


class Told(msgspec.Struct):
    """What was seen since the mark."""

    readers: int
    covered: int
    """Changes that have reached a reader, each reader counted; several may have come as one."""
    receives: int
    size: int
    """Bytes."""
    behind: int
    """Readers that have not what was waited for."""
    lost: int
    p50_s: float
    p99_s: float
    """From when a change was published to when a reader had it, or a newer one."""
    cpu_s: float


class Reader:
    """One stream: the newest change that it has, and bytes that end no event yet."""

    __slots__ = ("base", "head", "number", "socket", "tail")

    def __init__(self, stream: socket.socket) -> None:
        self.socket = stream
        self.head = True
        self.number = -1
        self.base = 0
        self.tail = b""


class Audience:
    """All readers."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._readers: dict[int, Reader] = {}
        self._marker, self._end = b"", b"\n\n"
        self._seen: dict[bytes, int] = {}
        self._published: dict[int, float] = {}
        self._latencies = array("d")
        self._receives = self._size = self._lost = self._behind = self._wanted = 0
        self._cpu_s = time.process_time()

    def run(self) -> None:
        """Do as told until there is nobody to tell."""
        stdin, told = sys.stdin.fileno(), b""
        while True:
            ready = [fd for fd, _ in self._poll.poll()]
            for fd in ready:
                if fd != stdin:
                    self._hear(fd)
            if stdin not in ready:
                continue
            piece = os.read(stdin, 1 << 16)
            if not piece:
                return
            *lines, told = (told + piece).split(b"\n")
            for line in lines:
                self._obey(msgspec.json.decode(line, type=Command))
                sys.stdout.buffer.write(msgspec.json.encode(self._told()) + b"\n")
                sys.stdout.buffer.flush()

    def _obey(self, command: Command) -> None:
        if command.do == "connect":
            self._connect(command)
        elif command.do == "mark":
            self._mark()
        elif command.do == "wait":
            self._wanted = command.number
            self._behind = sum(reader.number < command.number for reader in self._readers.values())
            self._serve_until(lambda: not self._behind, command.limit_s)

    def _mark(self) -> None:
        newest = max((reader.number for reader in self._readers.values()), default=0)
        for reader in self._readers.values():
            reader.base = reader.number if reader.number >= 0 else max(0, newest)  # it has come since
        self._latencies = array("d")
        self._receives = self._size = 0
        self._cpu_s = time.process_time()

    def _connect(self, command: Command) -> None:
        self._marker, self._end = command.marker.encode(), command.end.encode()
        new = []
        for _ in range(command.count):
            stream = socket.create_connection((command.host, command.port), timeout=CONNECT_S)
            stream.sendall(command.request.encode())
            stream.setblocking(False)
            new.append(Reader(stream))
            self._readers[stream.fileno()] = new[-1]
            self._poll.register(stream.fileno(), select.EPOLLIN)
        waiting = iter(new)
        reader = next(waiting, None)

        def all_there() -> bool:
            nonlocal reader
            while reader is not None and not (reader.head or (command.greeted and reader.number < 0)):
                reader = next(waiting, None)
            return reader is None

        self._serve_until(all_there, CONNECT_S)
        if not all_there():
            raise RuntimeError(f"not all of {command.count} readers were let in")

    def _serve_until(self, done: Callable[[], bool], limit_s: float) -> None:
        ends = time.monotonic() + limit_s
        self._poll.unregister(sys.stdin.fileno())
        while not done() and (left_s := ends - time.monotonic()) > 0:
            for fd, _ in self._poll.poll(min(left_s, 0.5)):
                self._hear(fd)
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)

    def _hear(self, fd: int) -> None:
        reader = self._readers[fd]
        try:
            data = reader.socket.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(fd)
            return
        self._receives += 1
        self._size += len(data)
        if reader.tail or reader.head or not data.endswith(self._end):
            data = self._whole(reader, data)
            if not data:
                return
        number = self._seen.get(data)
        if number is None:
            number = self._look(data)
        if number > reader.number:
            if reader.number < self._wanted <= number:
                self._behind -= 1
            reader.number = number
            self._latencies.append(time.time() - self._published[number])

    def _whole(self, reader: Reader, data: bytes) -> bytes:
        """Return the events that are complete, and keep the rest."""
        data = reader.tail + data
        if reader.head:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                reader.tail = data
                return b""
            if b" 200 " not in head[:16]:
                raise RuntimeError(f"a reader was not let in: {head[:60].decode(errors='replace')}")
            reader.head, data = False, rest
        events, found, reader.tail = data.rpartition(self._end)
        return events + found

    def _look(self, data: bytes) -> int:
        """Return the number of the newest change in some events; -1: none."""
        start = data.rfind(self._marker)
        number = -1
        if start >= 0:
            start += len(self._marker)
            number = int(_digits(data, start))
            if number not in self._published:
                if len(self._published) > TOLD_MAX:
                    self._published.clear()
                    self._seen.clear()
                self._published[number] = _published_at(data, start)
        if len(self._seen) >= SEEN_MAX:
            self._seen.clear()
        self._seen[data] = number
        return number

    def _lose(self, fd: int) -> None:
        self._poll.unregister(fd)
        reader = self._readers.pop(fd)
        reader.socket.close()
        self._lost += 1
        self._behind -= reader.number < self._wanted

    def _told(self) -> Told:
        ordered = sorted(self._latencies) if len(self._latencies) else []
        return Told(
            readers=len(self._readers),
            covered=sum(max(0, reader.number - reader.base) for reader in self._readers.values()),
            receives=self._receives,
            size=self._size,
            behind=self._behind,
            lost=self._lost,
            p50_s=_at(ordered, 0.5),
            p99_s=_at(ordered, 0.99),
            cpu_s=time.process_time() - self._cpu_s,
        )


def _digits(data: bytes, start: int) -> bytes:
    end = start
    while data[end : end + 1].isdigit():
        end += 1
    return data[start:end]


def _published_at(data: bytes, start: int) -> float:
    """Read `"published_at":`, a time or seconds since 1970, after some place."""
    place = data.index(b'"published_at":', start) + len(b'"published_at":')
    text = data[place : place + 48].partition(b",")[0].partition(b"}")[0].decode()
    if text == "null":  # nothing is published yet
        return 0.0
    return datetime.fromisoformat(text.strip('"')).timestamp() if text.startswith('"') else float(text)


def _at(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def main() -> None:
    """Be an audience."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Audience().run()


if __name__ == "__main__":
    main()
