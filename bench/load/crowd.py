"""A crowd of readers in a process of its own: thousands of raw event streams, each some bytes of state.

It is told what to do by JSON lines on standard input, and says each second what it saw:

    {"do":"connect","query":"levels=country","count":1000,"over_s":5.0,"slow":0.0,"gzip":false}
    {"do":"cut","within_s":1.0}       all at once; each comes back within so many seconds, with its Last-Event-ID
    {"do":"arm"}                      gzip readers compare, from here on, what they get with what is decoded
    {"do":"stop"}

A reader looks only for the cursors of blocks. Of gzip readers one in DECODE_EVERY unpacks what it gets; the others
have to receive the same bytes as one of these, whatever their pieces: those who came late may get others, see
`gateway.feed.compression`, and are left out where none that unpacks is among them.
"""

import asyncio
import contextlib
import os
import random
import sys
import time
import zlib
from array import array
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvloop

DECODE_EVERY = 100
SLOW_BYTES, SLOW_S = 1024, 1.0
"""What a slow reader takes, and how often."""
TAIL = 400
"""Bytes kept of what may be the beginning of a block event: more than it is long."""
CONNECTING_MAX = 200
"""Connections that are opened at once."""
SOURCES = 250
"""Readers are spread over so many loopback addresses, where the gateway is on this machine."""


class Command(msgspec.Struct):
    do: str
    query: str = ""
    count: int = 0
    over_s: float = 1.0
    slow: float = 0.0
    gzip: bool = False
    within_s: float = 1.0


class Told(msgspec.Struct):
    """What the crowd saw since it last said so; latencies in seconds."""

    at: float
    """By the monotonic clock."""
    connected: int
    joined: list[float] = []
    """Connecting → first block."""
    returned: list[float] = []
    """Cut → first block."""
    delivered: dict[int, int] = {}
    """Publication → block at the reader: microseconds, rounded to 1 %, and how many readers."""
    covered: int = 0
    """Publications that reached a reader, each reader counted; several may have come in one block."""
    blocks: int = 0
    wire_bytes: int = 0
    refused: int = 0
    lost: int = 0
    """Streams that ended unasked."""
    done: str = ""
    lag_s: float = 0.0
    """By how much this process was late at most: beyond some milliseconds it is the crowd that is slow."""
    cpu_s: float = 0.0
    last_sequences: dict[int, int] = {}
    """At the end: last sequence, and how many readers are there."""
    differing: int = 0
    """Readers whose compressed bytes were as many as those that were decoded, and others, or fewer than any."""
    last_byte_at: float = 0.0
    """Of the first block after `arm`: when the last reader had it, in seconds since 1970."""
    compared: int = 0
    """Readers whose compressed bytes were those that were decoded."""


class Reader(asyncio.Protocol):
    """One stream."""

    __slots__ = (
        "began",
        "crowd",
        "current",
        "cursor",
        "decoded",
        "decoder",
        "gzip",
        "head",
        "number",
        "pieces",
        "query",
        "sequence",
        "slow",
        "tail",
        "transport",
        "was_cut",
    )  # fmt: skip

    def __init__(self, crowd: "Crowd", number: int, query: str, *, gzip: bool, slow: bool) -> None:
        self.crowd = crowd
        self.number = number
        self.query = query
        self.gzip = gzip
        self.slow = slow
        self.cursor = ""
        self.sequence = -1
        self.transport: Any = None
        self.was_cut = 0.0
        self.reset()

    def reset(self) -> None:
        """Forget the connection, not where it was."""
        self.began = time.monotonic()
        self.head: bytes | None = b""
        self.tail = b""
        self.current = False
        self.decoder = zlib.decompressobj(31) if self.gzip and self.number % DECODE_EVERY == 0 else None
        self.decoded = False
        self.pieces: list[tuple[float, int, int]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        crowd = self.crowd
        crowd.connected += 1
        encoding = "gzip" if self.gzip else "identity"
        request = (
            f"GET {crowd.path}?{self.query} HTTP/1.1\r\nHost: {crowd.host}\r\n"
            f"Accept: text/event-stream\r\nAccept-Encoding: {encoding}\r\n"
        )
        if self.cursor:
            request += f"Last-Event-ID: {self.cursor}\r\n"
        self.transport.write(request.encode() + b"\r\n")
        if self.slow:
            self.transport.pause_reading()
            crowd.slow.append(self)

    def data_received(self, data: bytes) -> None:
        crowd = self.crowd
        crowd.told.wire_bytes += len(data)
        if self.head is not None:
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            self.head = None
            if b" 200 " not in head[:16]:
                crowd.told.refused += 1
                self.transport.abort()
                return
        if self.pieces is not None and data:
            _, size, crc = self.pieces[-1]
            self.pieces.append((time.time(), size + len(data), zlib.crc32(data, crc)))
        if self.decoder is not None:
            data = self.decoder.decompress(data)
        elif self.gzip:
            if not self.current and data:
                self._is_current()
            return
        if not self.tail and data == crowd.same:
            self._take(crowd.same_event)
            return
        text = self.tail + data
        end_at = text.rfind(b"\n\n")
        if end_at < 0:
            self.tail = text[-TAIL:]
            return
        start = text.rfind(b"event: block\nid: ", 0, end_at)
        if start >= 0:
            event = text[start + 17 : text.index(b"\n\n", start)]
            self._take(event)
            if not self.tail and end_at == len(text) - 2:
                crowd.same, crowd.same_event = text, event
        self.tail = text[end_at + 2 :][-TAIL:]

    def _take(self, event: bytes) -> None:
        line, _, rest = event.partition(b"\n")
        self.cursor = line.decode()
        sequence = int(line.partition(b"-")[0])
        crowd = self.crowd
        crowd.told.blocks += 1
        if not self.current:
            self._is_current()
        elif sequence > self.sequence:
            crowd.arrived(sequence, sequence - self.sequence, rest)
            if self.pieces is not None and self.decoder is not None and not self.decoded:
                self.decoded = True
                _, size, crc = self.pieces[-1]
                crowd.decoded.setdefault(size, set()).add(crc)
        self.sequence = sequence

    def _is_current(self) -> None:
        self.current = True
        now = time.monotonic()
        if self.was_cut:
            self.crowd.told.returned.append(now - self.was_cut)
            self.was_cut = 0.0
        else:
            self.crowd.told.joined.append(now - self.began)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.crowd.connected -= 1
        if not self.was_cut and not self.crowd.stopping:
            self.crowd.told.lost += 1
            self.was_cut = time.monotonic()
            self.crowd.again(self, random.uniform(0.5, 3.0))


class Crowd:
    """All readers of this process."""

    def __init__(self, feed_url: str, election: str) -> None:
        parts = urlsplit(feed_url)
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or 80
        self.path = f"/v1/elections/{election}/feed"
        self.told = Told(0.0, 0)
        self.connected = 0
        self.slow: list[Reader] = []
        self.same = b""
        """What the last reader got in one piece, if it was whole events; the next ones most likely get the same."""
        self.same_event = b""
        self.stopping = False
        self.decoded: dict[int, set[int]] = {}
        """What decoding readers had got with the first block after `arm`: by its size, the checksums."""
        self._readers: list[Reader] = []
        self._published: dict[int, float] = {}
        self._latencies = array("d")
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(CONNECTING_MAX)

    def arrived(self, sequence: int, covered: int, event: bytes) -> None:
        """Note that a reader has a block."""
        published = self._published.get(sequence)
        if published is None:
            published = self._published[sequence] = _published_at(event)
        self.told.covered += covered
        self._latencies.append(time.time() - published)

    def again(self, reader: Reader, after_s: float) -> None:
        """Have a reader come back."""
        self._spawn(self._connect(reader, after_s))

    async def run(self) -> None:
        """Do as told until told to stop."""
        loop = asyncio.get_running_loop()
        stdin = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
        ticking = asyncio.create_task(self._tick())
        slow = asyncio.create_task(self._let_slow_ones_read())
        while line := await stdin.readline():
            command = msgspec.json.decode(line, type=Command)
            match command.do:
                case "connect":
                    self._spawn(self._admit(command))
                case "cut":
                    self._cut(command.within_s)
                case "arm":
                    for reader in self._readers:
                        reader.pieces, reader.decoded = [(0.0, 0, 0)], False
                    self.decoded = {}
                    self._say("arm")
                case "stop":
                    break
        self.stopping = True
        self._finish()
        self._say("stop")
        for task in (ticking, slow, *self._tasks):
            task.cancel()
        for reader in self._readers:
            if reader.transport is not None:
                reader.transport.abort()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _admit(self, command: Command) -> None:
        new = []
        for _ in range(command.count):
            slow = random.random() < command.slow
            new.append(Reader(self, len(self._readers), command.query, gzip=command.gzip, slow=slow))
            self._readers.append(new[-1])
        start = time.monotonic()
        for place, reader in enumerate(new):
            due_s = start + command.over_s * place / len(new) - time.monotonic()
            if due_s > 0:
                await asyncio.sleep(due_s)
            self.again(reader, 0.0)
        while any(not reader.current and not reader.slow for reader in new):  # noqa: ASYNC110 - thousands of facts
            await asyncio.sleep(0.02)
        self._say("connect")

    async def _connect(self, reader: Reader, after_s: float) -> None:
        await asyncio.sleep(after_s)
        reader.reset()
        local = (f"127.0.{1 + reader.number % SOURCES}.1", 0) if self.host.startswith("127.") else None
        async with self._gate:
            for attempt in range(20):
                if self.stopping:
                    return
                try:
                    async with asyncio.timeout(10):
                        await asyncio.get_running_loop().create_connection(
                            lambda: reader, self.host, self.port, local_addr=local
                        )
                    return
                except (OSError, TimeoutError):
                    await asyncio.sleep(0.1 * (attempt + 1))
        self.told.refused += 1

    def _cut(self, within_s: float) -> None:
        now = time.monotonic()
        for reader in self._readers:
            if reader.transport is not None:
                reader.was_cut = now
                reader.transport.abort()
        for reader in self._readers:
            self.again(reader, random.uniform(0, within_s))

    async def _let_slow_ones_read(self) -> None:
        while True:
            await asyncio.sleep(SLOW_S)
            for reader in self.slow:
                if not reader.transport.is_closing():
                    reader.transport.resume_reading()
            await asyncio.sleep(0)
            for reader in self.slow:
                if not reader.transport.is_closing():
                    with contextlib.suppress(RuntimeError):
                        reader.transport.pause_reading()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 1.0
            worst = 0.0
            while (left_s := due - loop.time()) > 0:
                before = time.monotonic()
                pause_s = min(left_s, 0.02)
                await asyncio.sleep(pause_s)
                worst = max(worst, time.monotonic() - before - pause_s)
            self.told.lag_s = max(self.told.lag_s, worst)
            self._say()

    def _say(self, done: str = "") -> None:
        told = self.told
        told.at, told.connected, told.done = time.monotonic(), self.connected, done
        told.delivered = dict(Counter(rounded_us(seconds) for seconds in self._latencies))
        times = os.times()
        told.cpu_s = times.user + times.system
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        sys.stdout.buffer.flush()
        self.told = Told(0.0, 0)
        self._latencies = array("d")

    def _finish(self) -> None:
        told = self.told
        followed = [reader for reader in self._readers if not reader.gzip or reader.decoder is not None]
        told.last_sequences = dict(Counter(reader.sequence for reader in followed if not reader.slow))
        if not self.decoded:
            return
        for reader in self._readers:
            if reader.pieces is None or reader.slow:
                continue
            pieces = [piece for piece in reader.pieces if piece[1] in self.decoded]
            same = next((piece for piece in pieces if piece[2] in self.decoded[piece[1]]), None)
            if same is not None:
                told.compared += 1
                told.last_byte_at = max(told.last_byte_at, same[0])
            elif pieces or reader.pieces[-1][1] < min(self.decoded):
                told.differing += 1


def rounded_us(seconds: float) -> int:
    """Microseconds, rounded to about 1 %, so that they can be counted."""
    value = max(1, int(seconds * 1e6))
    step = 10 ** max(0, len(str(value)) - 2) // 10 or 1
    return value // step * step


def _published_at(event: bytes) -> float:
    data: Mapping[str, Any] = msgspec.json.decode(event.partition(b"data: ")[2])
    return msgspec.convert(data["published_at"], type=datetime).timestamp()


def main() -> None:
    """Be a crowd: feed address and election are the two arguments."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Crowd(sys.argv[1], sys.argv[2]).run())


if __name__ == "__main__":
    main()
