"""What the tests of the doors share: elections, reports, problem documents and event streams.

The clients know HTTP, WebSocket, event streams and JSON, and use none of the gateway's code.
"""

import asyncio
import base64
import hashlib
import io
import itertools
import json
import os
import socket
import struct
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
import asyncpg

from gateway.rehearsal.generator import GeneratedElection
from tests.running import Gateway, Sender

TIMEOUT_S = 20.0
"""How long a fact is waited for before the test fails; none of them takes a second."""
COUNTRY = "vl"
HERE, THERE = "0604", "0602"
"""Two municipalities of different counties."""
UNIT, OTHER_UNIT, FOREIGN_UNIT = "0604-0001", "0604-0002", "0602-0001"
EVERYTHING = "country,county,municipality,precinct"
SUBPROTOCOL = "valgnatt.push.v1"

_numbers = itertools.count(1)


def a_registry(small: GeneratedElection, **header: Any) -> dict[str, Any]:
    """Return the registry of the small election with a new identifier; its rules only warn, unless others are given."""
    election = {**small.registry["election"], "rules": {}, "id": f"e{next(_numbers)}", **header}
    return {**small.registry, "election": election}


def units_of(small: GeneratedElection, area: str = COUNTRY) -> list[str]:
    """Return the units at or below an area, in the order of the registry."""
    parents = {each["id"]: each["parent"] for each in small.registry["areas"]}
    above = set(parents.values())

    def within(each: str | None) -> bool:
        return each is not None and (each == area or within(parents[each]))

    return [each for each in parents if each not in above and within(each)]


def a_report(unit: str = UNIT, revision: int = 1, votes: int = 10, **members: Any) -> dict[str, Any]:
    """Return a valid report in which one party has so many votes."""
    counts = {"election_day": {"ballots": votes + 1, "blank": 1, "rejected": 2, "votes": {"FL": votes}}}
    return {
        "unit": unit,
        "revision": revision,
        "counted_at": "2024-09-09T22:36:55+02:00",
        "status": "preliminary",
        "counts": counts,
        **members,
    }


def digest_of(report: Mapping[str, Any]) -> str:
    """Return the digest as the contract defines it, computed without the gateway."""
    text = json.dumps(report, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def next_chain(chain: str, digest: str) -> str:
    """Return chain(n) from chain(n-1) and a digest, all in hex."""
    return hashlib.sha256(bytes.fromhex(chain) + bytes.fromhex(digest)).hexdigest()


def ndjson(reports: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(report).encode() + b"\n" for report in reports)


@dataclass
class Answer:
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def results(self) -> list[dict[str, Any]]:
        assert self.status == 200, self.body
        results: list[dict[str, Any]] = self.document["results"]
        return results

    def problem(self, status: int, code: str) -> dict[str, Any]:
        """Assert that this is the problem document of that status and code, and return it."""
        assert self.status == status, self.body
        assert self.headers["Content-Type"] == "application/problem+json"
        assert "no-store" in self.headers["Cache-Control"]
        document: dict[str, Any] = self.document
        assert document["status"] == status
        assert document["code"] == code
        assert document["type"]
        assert document["title"]
        assert document["detail"]
        return document


@asynccontextmanager
async def a_client() -> AsyncIterator[aiohttp.ClientSession]:
    """Provide a client with as many connections as wanted, which does not decompress bodies."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield session


async def ask(http: aiohttp.ClientSession, method: str, url: str, **options: Any) -> Answer:
    """Send a request and read its answer, uncompressed unless the headers accept gzip."""
    headers = {"Accept-Encoding": "identity", **options.pop("headers", {})}
    async with asyncio.timeout(TIMEOUT_S), http.request(method, url, headers=headers, **options) as response:
        return Answer(response.status, response.headers, await response.read())


async def push(http: aiohttp.ClientSession, sender: Sender, report: Any, **options: Any) -> Answer:
    """Push a report, or an array of them, as JSON; or `data` with `headers` as they are."""
    headers = {**sender.headers, "Content-Type": "application/json", **options.pop("headers", {})}
    data = options.pop("data", None)
    if data is None:
        data = json.dumps(report)
    if isinstance(data, bytes):
        data = io.BytesIO(data)  # how aiohttp wants to be given what is large
    return await ask(http, "POST", sender.url(), data=data, headers=headers, **options)


async def push_lines(http: aiohttp.ClientSession, sender: Sender, reports: Iterable[Any]) -> Answer:
    """Push reports as NDJSON."""
    headers = {"Content-Type": "application/x-ndjson"}
    return await push(http, sender, None, data=ndjson(reports), headers=headers)


async def pushed(http: aiohttp.ClientSession, sender: Sender, *reports: Any) -> list[dict[str, Any]]:
    """Push reports, assert that all are accepted, and return their receipts."""
    receipts = []
    for start in range(0, len(reports), 2000):
        receipts += (await push_lines(http, sender, reports[start : start + 2000])).results
    assert {receipt["outcome"] for receipt in receipts} == {"accepted"}, receipts[:3]
    return receipts


async def until(fact: Any, timeout_s: float = TIMEOUT_S) -> None:
    """Poll until a coroutine function returns True, the longer the wait has lasted, the less often."""
    began = time.monotonic()
    async with asyncio.timeout(timeout_s):
        while not await fact():  # noqa: ASYNC110
            await asyncio.sleep(min(max(0.005, (time.monotonic() - began) / 8), 1.0))


async def shown(gateway: Gateway, election: str, sequence: int = 0) -> None:
    """Wait until every feed worker serves an election up to a sequence."""

    async def reached() -> bool:
        samples = await gateway.metrics()
        workers = [name for name in samples if name.startswith('valgnatt_worker_up{process="feed')]
        mark = f'election="{election}"'
        places = [value for name, value in samples.items() if "valgnatt_sequence{" in name and mark in name]
        return len(places) == len(workers) and min(places) >= sequence

    await until(reached)


@asynccontextmanager
async def head_locked(gateway: Gateway, election: str) -> AsyncIterator[None]:
    """Lock the head row of an election, so that no report is decided meanwhile; for less than 5 s."""
    connection = await asyncpg.connect(gateway.database.url)
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT FROM valgnatt.head h JOIN valgnatt.election e ON e.key = h.election WHERE e.id = $1"
                " FOR UPDATE OF h",
                election,
            )
            yield
    finally:
        await connection.close()


async def waiting_for_lock(gateway: Gateway, sessions: int = 1) -> None:
    """Wait until so many database sessions wait for a lock, as an append does."""
    connection = await asyncpg.connect(gateway.database.url)

    async def blocked() -> bool:
        found: int = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock'"
        )
        return found >= sessions

    try:
        await until(blocked)
    finally:
        await connection.close()


async def terminate_waiting_sessions(gateway: Gateway) -> None:
    """Terminate the database sessions that wait for a lock; their callers get no answer."""
    connection = await asyncpg.connect(gateway.database.url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    finally:
        await connection.close()


async def revoked_at_of(sender: Sender) -> datetime:
    """Return when a token was revoked, by the clock of the database."""
    async with sender.gateway.administration() as acts:
        (token,) = (each for each in await acts.tokens(sender.election) if each.key == sender.key)
    assert token.revoked_at is not None
    return token.revoked_at


# The push socket.


class PushSocket:
    """A push WebSocket after its hello."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.hello: dict[str, Any] = {}
        self.present_credit: int | None = None

    async def receive(self) -> aiohttp.WSMessage:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.socket.receive()

    async def frame(self) -> dict[str, Any]:
        """Return the next text frame."""
        message = await self.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, (message, self.socket.close_code)
        frame: dict[str, Any] = json.loads(message.data)
        self.present_credit = frame.get("credit", self.present_credit)
        return frame

    async def send(self, identifier: Any, report: Any) -> None:
        await self.socket.send_json({"type": "report", "id": identifier, "report": report})

    async def results(self, count: int) -> list[dict[str, Any]]:
        """Return the next `count` results, in any number of frames; other frames are skipped."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            frame = await self.frame()
            found += frame.get("results", [])
        assert len(found) == count, found
        return found

    async def credit(self, wanted: int) -> None:
        """Read until this credit is announced, unless it was the last one announced."""
        while self.present_credit != wanted:
            assert (await self.frame())["type"] != "goodbye"

    async def end(self) -> int | None:
        """Read to the end and return the close code."""
        while (await self.receive()).type not in (
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.CLOSING,
            aiohttp.WSMsgType.ERROR,
        ):
            pass
        return self.socket.close_code


@asynccontextmanager
async def connected(http: aiohttp.ClientSession, sender: Sender) -> AsyncIterator[PushSocket]:
    """Open a push WebSocket and read its hello."""
    async with http.ws_connect(
        sender.url("/push"), protocols=[SUBPROTOCOL], headers=sender.headers, max_msg_size=0
    ) as socket:
        opened = PushSocket(socket)
        opened.hello = await opened.frame()
        assert opened.hello["type"] == "hello"
        yield opened


# The same, byte by byte.

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def framed(opcode: int, payload: bytes, *, last: bool = True, length: int | None = None) -> bytes:
    """Return a frame as a client writes it, masked with zeros; `length` overrides its declared length."""
    size = len(payload) if length is None else length
    first = (0x80 if last else 0) | opcode
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + bytes(4) + payload


class RawSocket:
    """A WebSocket whose frames the test encodes itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connected(cls, sender: Sender, receive_buffer: int | None = None) -> "RawSocket":
        opened = cls(*await open_connection(sender.gateway.push_url, receive_buffer))
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET /v1/elections/{sender.election}/push HTTP/1.1",
            "Host: door",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {SUBPROTOCOL}",
            f"Authorization: Bearer {sender.secret}",
        ]
        opened.writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await opened.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert json.loads((await opened.frame())[1])["type"] == "hello"
        return opened

    async def frame(self) -> tuple[int, bytes]:
        first, size = await self.reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        return first & 15, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        """Read up to the close frame."""
        while (frame := await self.frame())[0] != CLOSE:
            pass
        return int.from_bytes(frame[1][:2])


async def open_connection(
    url: str, receive_buffer: int | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect; with a small receive buffer, the peer soon notices that nothing is read."""
    host, port = url.removeprefix("http://").split(":")
    raw = socket.socket()
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
    return await asyncio.open_connection(sock=raw)


async def disconnect(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """Close a connection, or reset it as after a crash of the client."""
    await writer.drain()
    if not reset:
        writer.close()
        await writer.wait_closed()
    else:
        no_lingering = struct.pack("ii", 1, 0)  # the next close sends RST
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
        writer.transport.abort()


# Event streams.


@dataclass
class Event:
    """One event, or (type "") a lone `retry:` field or comment."""

    type: str = ""
    id: str | None = None
    data: str = ""
    retry_ms: int | None = None
    comment: str | None = None

    @property
    def document(self) -> Any:
        return json.loads(self.data)


@dataclass
class Block:
    """A block of the feed: its areas in the order sent, and the event that ended it."""

    areas: list[dict[str, Any]]
    end: dict[str, Any]
    id: str

    @property
    def sequence(self) -> int:
        sequence: int = self.end["sequence"]
        return sequence

    @property
    def snapshot(self) -> bool:
        return bool(self.end["snapshot"])

    @property
    def names(self) -> list[str]:
        return [area["area"] for area in self.areas]


@dataclass
class EventStream:
    """An open event stream, and what was read of it, decoded."""

    response: aiohttp.ClientResponse
    copy: dict[str, dict[str, Any]] = field(default_factory=dict)
    text: bytes = b""
    """Everything read, decompressed."""
    _rest: bytes = b""
    _unpack: Any = None

    def __post_init__(self) -> None:
        if self.response.headers.get("Content-Encoding") == "gzip":
            self._unpack = zlib.decompressobj(31)

    async def event(self) -> Event | None:
        """Return the next event; None at the end of the stream."""
        async with asyncio.timeout(TIMEOUT_S):
            while b"\n\n" not in self._rest:
                piece = await self.response.content.readany()
                if not piece:
                    return None
                self._take(piece)
        entry, _, self._rest = self._rest.partition(b"\n\n")
        return _read_event(entry.decode())

    def _take(self, piece: bytes) -> None:
        if self._unpack is not None:
            piece = self._unpack.decompress(piece)
        self.text += piece
        self._rest += piece

    async def events(self, kind: str, count: int) -> list[Event]:
        """Return the next `count` events of a type."""
        found: list[Event] = []
        while len(found) < count:
            event = await self.event()
            assert event is not None, "the stream ended"
            if event.type == kind:
                found.append(event)
        return found

    async def block(self) -> Block:
        """Return the next block, and apply it to `copy`."""
        areas: list[dict[str, Any]] = []
        while True:
            event = await self.event()
            assert event is not None, "the stream ended"
            if event.type == "area":
                assert event.id is None
                areas.append(event.document)
            elif event.type == "block":
                assert event.id is not None
                block = Block(areas, event.document, event.id)
                assert block.end["areas"] == len(areas)
                named = {area["area"]: area for area in areas}
                self.copy = named if block.snapshot else self.copy | named
                return block

    async def blocks_until(self, sequence: int) -> list[Block]:
        """Return blocks up to the one that reaches a sequence."""
        found = [await self.block()]
        while found[-1].sequence < sequence:
            found.append(await self.block())
        return found

    async def rest(self) -> list[Event]:
        """Return all events up to the end of the stream."""
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found


def _read_event(entry: str) -> Event:
    event = Event()
    for line in entry.split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "":
                event.comment = value
            case "event":
                event.type = value
            case "id":
                event.id = value
            case "data":
                event.data += value
            case "retry":
                event.retry_ms = int(value)
    return event


@asynccontextmanager
async def streaming(
    http: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None = None, **params: Any
) -> AsyncIterator[EventStream]:
    """Open an event stream, without compression unless `headers` ask for it."""
    asked = {"Accept": "text/event-stream", "Accept-Encoding": "identity", **(headers or {})}
    async with http.get(url, params=params, headers=asked) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield EventStream(response)


@asynccontextmanager
async def streaming_from_every_worker(
    gateway: Gateway,
    http: aiohttp.ClientSession,
    url: str,
    headers: Mapping[str, str] | None = None,
    **params: Any,
) -> AsyncIterator[list[EventStream]]:
    """Open event streams until every feed worker has one; the kernel assigns connections to workers."""

    async def readers() -> list[float]:
        samples = await gateway.metrics()
        return [value for name, value in samples.items() if name.startswith("valgnatt_readers{")]

    async def none_left() -> bool:
        return not any(await readers())

    await until(none_left)
    async with AsyncExitStack() as opened:
        streams: list[EventStream] = []
        while not all(await readers()):
            assert len(streams) < 50
            streams.append(await opened.enter_async_context(streaming(http, url, headers, **params)))
            await streams[-1].block()
        yield streams


async def wait_for_room(
    gateway: Gateway, http: aiohttp.ClientSession, election: str, readers: int = 2
) -> None:
    """Wait until so many readers are admitted at a low limit, and earlier ones are gone."""
    url = feed_url(gateway, election)

    async def let_in() -> bool:
        async with AsyncExitStack() as opened:
            streams = [await opened.enter_async_context(streaming(http, url)) for _ in range(readers)]
            first = [(await stream.event(), await stream.event()) for stream in streams]
        return all(event is not None for _, event in first)

    async def empty() -> bool:
        return (await gateway.metrics()).get('valgnatt_readers{process="feed-0"}') == 0

    await until(let_in)
    await until(empty)


def feed_url(gateway: Gateway, election: str, path: str = "/feed") -> str:
    return f"{gateway.feed_url}/v1/elections/{election}{path}"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
