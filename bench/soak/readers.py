"""Readers that come and go, in a process of their own: a steady number of streams, of which some leave each second.

One reader in two requests gzip; they follow at intervals of 0 to 5 s, some with all levels. Of those that leave, half
come back with the cursor that they had. SLOW_PART read SLOW_BYTES per second, and SILENT_PART of those that leave stop
reading without closing their connection, until the gateway closes it. Besides, DOCUMENTS_PER_S requests for other
documents: lists, areas as JSON and CSV, ranges of the record.

An order on standard input, of which the last one counts, says what to read. No reader keeps more than its position.
"""

import asyncio
import random
import re
import socket
import sys
import time
import zlib
from collections import Counter
from typing import Any, cast

import aiohttp
import msgspec
import uvloop

from bench.load.crowd_process import rounded_us
from bench.soak.messages import ReadersOrder, ReadersSeen

QUERIES = ("", "", "every_s=1", "every_s=2", "every_s=5", "levels=country", "levels=country,county")
WITH_ALL_LEVELS = "levels=country,county,municipality,precinct&every_s=5"
SLOW_PART, SILENT_PART, CURSOR_PART, WHOLE_PART = 0.05, 0.1, 0.5, 0.03
SLOW_BYTES = 4096
SILENT_MAX_S = 120.0
"""A silent reader that the gateway has not disconnected closes its connection after this time."""
RECEIVE_BUFFER = 8192
"""Of slow and silent readers; a large one would hide for minutes that nobody reads."""
DOCUMENTS_PER_S = 3.0
CURSORS_MAX = 500
"""Positions of readers that left; older ones are forgotten."""
TURN_S = 0.25
ANSWER_S = 30.0
_ID = re.compile(rb"^id: ((\d+)-[0-9a-f]+)\n", re.MULTILINE)
_TAIL = 64
"""Bytes kept of the beginning of a line that is not complete: an `id:` line is shorter."""

random.seed(0)


class Reader(asyncio.Protocol):
    """One stream. It keeps the last cursor, and the bytes that an identifier may begin with."""

    def __init__(self, crowd: "Readers", path: str, *, gzip: bool, slow: bool, cursor: bytes) -> None:
        self.election = crowd.order.election
        self.path = path
        self.gzip = gzip
        self.slow = slow
        self.cursor = cursor
        self.sequence = int(cursor.partition(b"-")[0] or 0)
        self.leaving = False
        self.transport: asyncio.Transport | None = None
        self._crowd = crowd
        self._began = time.monotonic()
        self._head = b""
        self._streaming = False
        self._first = True
        self._tail = b""
        self._inflate: Any = zlib.decompressobj(31) if gzip else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self.transport = transport = cast("asyncio.Transport", transport)  # that of uvloop is no subclass
        order = self._crowd.order
        last = f"Last-Event-ID: {self.cursor.decode()}\r\n" if self.cursor else ""
        transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: {order.host}:{order.port}\r\nAccept: text/event-stream\r\n"
            f"Accept-Encoding: {'gzip' if self.gzip else 'identity'}\r\n{last}\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        """Note the newest block of what has arrived."""
        seen = self._crowd.seen
        seen.megabytes += len(data) / 1e6
        if not self._streaming:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._head = b""
            if b" 200 " not in head[:16]:
                seen.refused += 1
                self.leave()
                return
            self._streaming = True
            if b"content-encoding: gzip" not in head.lower():  # a refusal that says when to connect again
                self._inflate = None
        if self._inflate is not None:
            data = self._inflate.decompress(data)
        text = self._tail + data
        self._tail = text[text.rfind(b"\n") + 1 :][:_TAIL]
        for found_id in _ID.finditer(text):
            self._note(found_id[1], int(found_id[2]))

    def _note(self, cursor: bytes, sequence: int) -> None:
        seen = self._crowd.seen
        seen.blocks += 1
        seen.went_back += sequence < self.sequence
        self.cursor, self.sequence = cursor, sequence
        if self._first:
            self._first = False
            if self.slow:
                return
            self._crowd.first[rounded_us(time.monotonic() - self._began)] += 1

    def connection_lost(self, _: Exception | None) -> None:
        """Forget this reader, which comes back if the gateway has ended its connection."""
        self._crowd.forget(self)

    def leave(self) -> None:
        """Close the connection."""
        self.leaving = True
        if self.transport is not None:
            self.transport.abort()

    def fall_silent(self) -> None:
        """Stop reading."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()


class Readers:
    """All readers, and what they have seen."""

    def __init__(self, order: ReadersOrder) -> None:
        self.order = order
        self.seen = ReadersSeen(time.monotonic())
        self.first: Counter[int] = Counter()
        self._present: dict[Reader, None] = {}
        self._silent: dict[Reader, float] = {}
        """Readers that have stopped reading, and since when."""
        self._cursors: list[tuple[str, str, bool, bytes]] = []
        """Election, path, gzip and cursor of readers that will come back."""
        self._due = 0.0
        self._documents = 0
        self._late_s = 0.0

    async def run(self) -> None:
        """Join and leave until cancelled."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(TURN_S)
            now = time.monotonic()
            self._late_s = max(self._late_s, now - before - TURN_S)
            leaving = len(self._present) * (now - before) / self.order.lives_s + self._due
            before = now
            for _ in range(int(leaving)):
                self._leave_one()
            self._due = leaving % 1
            self._end_silent(now)
            missing = self.order.readers - len(self._present)
            joining = min(missing, max(10, self.order.readers // 10))
            await asyncio.gather(*(self._join() for _ in range(joining)))

    async def _join(self) -> None:
        gzip, slow = random.random() < 0.5, random.random() < SLOW_PART
        query = WITH_ALL_LEVELS if random.random() < WHOLE_PART else random.choice(QUERIES)
        election = self.order.election
        path, cursor = f"/v1/elections/{election}/feed?{query}", b""
        if self._cursors and random.random() < CURSOR_PART:
            of, known_path, known_gzip, known_cursor = self._cursors.pop(random.randrange(len(self._cursors)))
            if of == election:
                path, gzip, cursor = known_path, known_gzip, known_cursor
        reader = Reader(self, path, gzip=gzip, slow=slow, cursor=cursor)
        self._present[reader] = None
        self.seen.joined += 1
        try:
            await self._connect(reader)
        except OSError:
            self.seen.refused += 1
            self._present.pop(reader, None)
            return
        if slow:
            asyncio.get_running_loop().call_later(1.0, self._read_a_little, reader)

    async def _connect(self, reader: Reader) -> None:
        connection = socket.socket()
        connection.setblocking(False)
        if reader.slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_S):
                await loop.sock_connect(connection, (self.order.host, self.order.port))
                await loop.create_connection(lambda: reader, sock=connection)
        except (OSError, TimeoutError):
            connection.close()
            raise

    def _read_a_little(self, reader: Reader) -> None:
        """Let a slow reader read for a moment in each second."""
        if reader not in self._present or reader.transport is None or reader.transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        reader.transport.resume_reading()
        loop.call_later(0.001, reader.fall_silent)
        loop.call_later(1.0, self._read_a_little, reader)

    def _leave_one(self) -> None:
        if not self._present:
            return
        reader = random.choice(list(self._present))
        del self._present[reader]
        if random.random() < SILENT_PART:
            self._silent[reader] = time.monotonic()
            reader.fall_silent()
            return
        if reader.cursor and random.random() < CURSOR_PART:
            self._keep_cursor(reader)
        self.seen.left += 1
        reader.leave()

    def _keep_cursor(self, reader: Reader) -> None:
        self._cursors.append((reader.election, reader.path, reader.gzip, reader.cursor))
        del self._cursors[:-CURSORS_MAX]

    def _end_silent(self, now: float) -> None:
        for reader, since in list(self._silent.items()):
            if now - since > SILENT_MAX_S:
                del self._silent[reader]
                reader.leave()

    def forget(self, reader: Reader) -> None:
        """Note that a connection has ended."""
        self._silent.pop(reader, None)
        if reader in self._present:
            del self._present[reader]
            if not reader.leaving:
                self.seen.cut += 1
                if reader.cursor:
                    self._keep_cursor(reader)

    async def request_documents(self) -> None:
        """Request documents until cancelled, each over one of a few connections that are kept."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session:
            while True:
                await asyncio.sleep(random.expovariate(DOCUMENTS_PER_S))
                url = f"http://{self.order.host}:{self.order.port}{self._document()}"
                try:
                    async with session.get(url) as answer:
                        self.seen.refused += answer.status not in (200, 304)
                        self.seen.megabytes += len(await answer.read()) / 1e6
                except (aiohttp.ClientError, TimeoutError, OSError):
                    self.seen.refused += 1
                self._documents += 1
                self.seen.documents = self._documents

    def _document(self) -> str:
        election = f"/v1/elections/{self.order.election}"
        after = random.randrange(0, 5000, 500)
        return random.choice(
            (
                "/v1/elections",
                election,
                f"{election}/areas",
                f"{election}/areas?format=csv",
                f"{election}/areas?levels=precinct",
                f"{election}/publications?after={after}&limit=200",
                f"{election}/corrections",
                f"{election}/holds",
                f"{election}/transfers",
                f"/areas/{self.order.election}",
            )
        )

    async def tell(self) -> None:
        """Write what was seen, at intervals, until cancelled."""
        while True:
            await asyncio.sleep(self.order.every_s)
            self.seen.at = time.monotonic()
            self.seen.connected = len(self._present)
            self.seen.silent = len(self._silent)
            self.seen.first, self.first = dict(self.first), Counter()
            self.seen.late_s, self._late_s = self._late_s, 0.0
            sys.stdout.buffer.write(msgspec.json.encode(self.seen) + b"\n")
            sys.stdout.buffer.flush()


async def play() -> None:
    """Follow the orders from standard input until it is closed."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    readers = Readers(msgspec.json.decode(await lines.readline(), type=ReadersOrder))
    async with asyncio.TaskGroup() as group:
        parts = (readers.run(), readers.request_documents(), readers.tell())
        tasks = [group.create_task(each) for each in parts]
        while line := await lines.readline():
            readers.order = msgspec.json.decode(line, type=ReadersOrder)
        for task in tasks:
            task.cancel()


def main() -> None:
    """Run readers."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())


if __name__ == "__main__":
    main()
