"""Readers of event streams in a process of its own, as cheap as Python holds them: one thread, one poll, raw sockets.

What a reader gets is only looked at for the number of the newest change in it: the same bytes are looked at once,
however many readers get them, and under gzip unpacked once for all who got the same text before; whoever gets other
bytes has them unpacked and looked at. It is told on standard input, a line of JSON each, what to do, and answers each.
"""

import os
import resource
import select
import socket
import sys
import time
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from bench.load.streams import opened, received

CONNECT_S = 30.0
SILENT_MAX = 1000
"""Readers that are connected and have heard nothing: beyond it those come first, as a kernel holds only so many."""
GZIP_HEAD = 10
"""Bytes of the head of a gzip stream (RFC 1952), where it names nothing."""
FLUSHED = "\0\0\xff\xff"
"""What ends a block of ours under gzip: a flush, so that all of it is there (RFC 1951)."""
REACH = 32 << 10
"""Bytes of text that what comes next may refer to (RFC 1951)."""
PIECE = 1 << 17
SEEN_MAX = 256
"""Pieces of bytes that are known, with what is in them; and texts of up to REACH."""
TOLD_MAX = 100_000
"""Times of changes that are kept."""


class Command(msgspec.Struct):
    """What to do: `connect` more, `mark` a beginning, `wait` until all have a change, `weigh`; a Told answers.

    To weigh is to look at every change by itself: how long after it was published each reader had it, or a newer one.
    """

    do: str
    host: str = "127.0.0.1"
    port: int = 0
    request: str = ""
    marker: str = ""
    """What stands before the number of a change."""
    end: str = "\n\n"
    """What ends an event on the wire, a byte a character."""
    certificate: str = ""
    """What to trust, where it is TLS."""
    gzip: bool = False
    """Whether readers ask for it."""
    count: int = 0
    greeted: bool = False
    """Whether each hears an event at once, which is waited for."""
    number: int = 0
    limit_s: float = 60.0
    each: bool = False
    """With `mark`: what came to whom when is kept, to be weighed."""
    published: list[tuple[int, float]] = []
    """To be weighed: changes, and when each was published, in seconds since 1970."""


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
    """From when a change was published to when a reader had it; of changes that came together, the newest.

    After `weigh`: of each change, to when a reader had it or a newer one.
    """
    cpu_s: float
    last_at: float = 0.0
    """When a reader last had something new, in seconds since 1970."""
    weighed: int = 0
    looked_at: int = 0
    """Pieces of bytes that were not as the ones before."""


class Reader:
    """One stream: the newest change that it has, the text it got last, and bytes that end no event yet."""

    __slots__ = ("base", "head", "number", "socket", "tail", "text")

    def __init__(self, stream: socket.socket) -> None:
        self.socket = stream
        self.head = True
        self.number = -1
        self.base = 0
        self.tail = b""
        self.text = b""
        """The last REACH bytes, under gzip."""


_Seen = dict[bytes, tuple[int, bytes]]
"""Of some bytes, by the text before them: the newest change in them, and the text after them."""


class Audience:
    """All readers."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._readers: dict[int, Reader] = {}
        self._marker, self._end = b"", b"\n\n"
        self._gzip = False
        self._seen: dict[bytes, _Seen] = {}
        self._last: tuple[bytes, _Seen] = b"", {}
        self._texts: dict[bytes, bytes] = {}
        self._published: dict[int, float] = {}
        self._latencies = array("d")
        self._arrivals: dict[tuple[int, int], array[float]] | None = None
        """By the newest change that a reader had before and has now: when."""
        self._receives = self._size = self._lost = self._behind = self._wanted = self._looked_at = (
            self._silent
        ) = 0
        self._last_at = 0.0
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
                told_back = self._obey(msgspec.json.decode(line, type=Command))
                sys.stdout.buffer.write(msgspec.json.encode(told_back) + b"\n")
                sys.stdout.buffer.flush()

    def _obey(self, command: Command) -> Told:
        if command.do == "connect":
            self._connect(command)
        elif command.do == "mark":
            self._mark(command.each)
        elif command.do == "wait":
            self._wanted = command.number
            self._behind = sum(reader.number < command.number for reader in self._readers.values())
            self._serve_until(lambda: not self._behind, command.limit_s)
        elif command.do == "weigh":
            return self._weighed(command.published)
        return self._told()

    def _mark(self, each: bool) -> None:
        newest = max((reader.number for reader in self._readers.values()), default=0)
        for reader in self._readers.values():
            reader.base = reader.number if reader.number >= 0 else max(0, newest)  # it has come since
        self._latencies = array("d")
        self._arrivals = {} if each else None
        self._receives = self._size = self._looked_at = 0
        self._cpu_s = time.process_time()

    def _connect(self, command: Command) -> None:
        self._marker, self._end = command.marker.encode(), command.end.encode("latin-1")
        self._gzip = command.gzip
        new = []
        for _ in range(command.count):
            stream = opened(command.host, command.port, command.certificate, CONNECT_S)
            stream.sendall(command.request.encode())
            stream.setblocking(False)
            new.append(Reader(stream))
            self._readers[stream.fileno()] = new[-1]
            self._poll.register(stream.fileno(), select.EPOLLIN)
            self._silent += 1
            if self._silent >= SILENT_MAX:
                self._serve_until(lambda: self._silent < SILENT_MAX // 2, CONNECT_S)
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
            data = received(reader.socket, PIECE)
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
        if data != self._last[0]:
            self._last = data, self._seen_of(data)
        seen = self._last[1]
        number, reader.text = seen.get(reader.text) or self._look(data, reader.text, seen)
        if number > reader.number:
            now = self._last_at = time.time()
            if reader.number < self._wanted <= number:
                self._behind -= 1
            if self._arrivals is not None:
                self._arrivals.setdefault((reader.number, number), array("d")).append(now)
            reader.number = number
            self._latencies.append(now - self._published[number])

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
            if self._gzip and len(rest) < GZIP_HEAD:
                reader.tail = data
                return b""
            reader.head, data = False, rest[GZIP_HEAD:] if self._gzip else rest
            self._silent -= 1
        events, found, reader.tail = data.rpartition(self._end)
        return events + found

    def _seen_of(self, data: bytes) -> _Seen:
        if data not in self._seen and len(self._seen) >= SEEN_MAX:
            self._seen.clear()
            self._texts.clear()
        return self._seen.setdefault(data, {})

    def _look(self, data: bytes, before: bytes, seen: _Seen) -> tuple[int, bytes]:
        """Look for the newest change in some events; -1: there is none."""
        self._looked_at += 1
        text, after = data, b""
        if self._gzip:
            text = zlib.decompressobj(-zlib.MAX_WBITS, zdict=before).decompress(data)
            after = (before + text)[-REACH:]
            after = self._texts.setdefault(after, after)  # one for all, so that it is compared by what it is
        start = text.rfind(self._marker)
        number = -1
        if start >= 0:
            start += len(self._marker)
            number = int(_digits(text, start))
            if number not in self._published:
                if len(self._published) > TOLD_MAX:
                    self._published.clear()
                    self._seen.clear()
                self._published[number] = _published_at(text, start)
        seen[before] = number, after
        return number, after

    def _lose(self, fd: int) -> None:
        self._poll.unregister(fd)
        reader = self._readers.pop(fd)
        reader.socket.close()
        self._lost += 1
        self._silent -= reader.head
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
            last_at=self._last_at,
            looked_at=self._looked_at,
        )

    def _weighed(self, published: Sequence[tuple[int, float]]) -> Told:
        """Return what was seen, with the latencies of each of these changes to each reader; in steps of 0.1 ms."""
        steps: Counter[int] = Counter()
        for (before, after), times in (self._arrivals or {}).items():
            counted = Counter(int(at * 1e4) for at in times)
            for number, published_at in published:
                if before < number <= after:
                    base = int(published_at * 1e4)
                    for at, readers in counted.items():
                        steps[at - base] += readers
        told = self._told()
        told.weighed = steps.total()
        told.p50_s, told.p99_s = (_of_steps(steps, part) / 1e4 for part in (0.5, 0.99))
        return told


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


def _of_steps(steps: Counter[int], part: float) -> int:
    left = int(part * steps.total())
    for step in sorted(steps):
        left -= steps[step]
        if left < 0:
            return step
    return 0


def main() -> None:
    """Be an audience."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Audience().run()


if __name__ == "__main__":
    main()
