"""The ceiling of a push process: reads reports from WebSockets, decodes, commits and answers them, without any check.

It does the least that a Python process has to do for a durable report. The gateway's reader splits the bytes into
frames, and `orjson.loads` decodes each of them. All reports that wait are inserted by one statement, over one
connection; while the next statement runs, each sender is sent one frame with its results. There are no tokens, rules,
digests, or checks of revisions and credit, and a duplicate ends the process.
"""

import asyncio
import gc
import sys
from asyncio.subprocess import PIPE
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import cast

import asyncpg
import msgspec
import orjson
import uvloop

from bench.load.processes import end
from bench.peers.report_table import report_table
from gateway.journal.session import Connection
from gateway.web.aiohttp_takeover import mask
from gateway.wire.frames import TEXT, FrameReader, accept_of, text_frame
from gateway.wire.session import FRAME_MAX, SUBPROTOCOL

CREDIT = 16
BATCH_MAX = 500
"""Reports per statement, at most."""
START_S = 20.0
TABLE = report_table("bare")
_INSERT = """
INSERT INTO bare.report (unit, revision, body) SELECT * FROM unnest($1::text[], $2::integer[], $3::bytea[])
"""
_KEY = b"\r\nSec-WebSocket-Key: "


class Served(msgspec.Struct, frozen=True):
    """A running process."""

    url: str
    pid: int


@asynccontextmanager
async def bare_ingest(database_url: str) -> AsyncIterator[Served]:
    """Run the process, with a table of its own that is empty at first."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.peers.bare_ingest", database_url, stdout=PIPE
    )
    assert process.stdout is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), START_S))
        yield Served(f"http://127.0.0.1:{port}", process.pid)
    finally:
        await end(process)


class Sender(asyncio.Protocol):
    """The connection of one sender."""

    transport: asyncio.Transport

    def __init__(self, ingest: "Ingest") -> None:
        self._ingest = ingest
        self._head: bytes | None = b""  # what has been received of the handshake; None after it
        self._frames = FrameReader(FRAME_MAX, mask)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Decode the complete frames and hand their reports on."""
        if self._head is not None:
            self._head, separator, data = (self._head + data).partition(b"\r\n\r\n")
            if not separator:
                return
            self._shake_hands(self._head)
            self._head = None
        frames, take = self._frames, self._ingest.take
        frames.feed(data)
        while (frame := frames.next()) is not None:
            opcode, payload = frame
            if opcode == TEXT:
                message = orjson.loads(payload)
                report = message["report"]
                body = payload[payload.index(b"{", 1) : -1]  # as the generator writes it: the last member
                take((self, message["id"], report["unit"], report["revision"], body))

    def _shake_hands(self, head: bytes) -> None:
        accept = accept_of(head.partition(_KEY)[2].partition(b"\r\n")[0])
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: %b\r\n\r\n" % (accept, SUBPROTOCOL.encode())
        )
        self.transport.write(text_frame(b'{"type":"hello","credit":%d}' % CREDIT))


Report = tuple[Sender, int, str, int, bytearray]
"""Who sent it, its id, unit, revision and body."""


class Ingest:
    """Commits the reports that wait, one statement after the other."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: deque[Report] = deque()
        self._arrived = asyncio.Event()

    def take(self, report: Report) -> None:
        """Let a report wait for the next statement."""
        self._waiting.append(report)
        self._arrived.set()

    async def run(self) -> None:
        """Commit and answer forever. Raises asyncpg.PostgresError."""
        committed: list[Report] = []
        while True:
            self._arrived.clear()
            if not self._waiting:
                _answer(committed)
                committed = []
                await self._arrived.wait()
            batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
            _, _, units, revisions, bodies = zip(*batch, strict=True)
            committing = asyncio.ensure_future(self._connection.execute(_INSERT, units, revisions, bodies))
            await asyncio.sleep(0)  # the statement is sent before the answers to the one before it
            _answer(committed)
            await committing
            committed = batch


def _answer(reports: Iterable[Report]) -> None:
    results = defaultdict[Sender, list[bytes]](list)
    for sender, identifier, *_ in reports:
        results[sender].append(b'{"id":%d,"outcome":"accepted"}' % identifier)
    for sender, own in results.items():
        text = b'{"type":"results","credit":%d,"results":[%b]}' % (CREDIT, b",".join(own))
        sender.transport.write(text_frame(text))


async def serve(url: str) -> None:
    """Serve on a free port, which is written to standard output, until the process is ended."""
    connection = await asyncpg.connect(url)
    await connection.execute(TABLE)
    ingest = Ingest(connection)
    server = await asyncio.get_running_loop().create_server(
        lambda: Sender(ingest), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await ingest.run()


if __name__ == "__main__":
    gc.disable()
    uvloop.run(serve(sys.argv[1]))
