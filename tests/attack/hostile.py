"""Hostile clients, and honest ones to compare with: each sends bytes to a door and counts them.

Each is bounded in number and time, and is listed with the routes or frames that it is for.
"""

import asyncio
import base64
import gzip
import io
import itertools
import json
import os
import random
import re
import struct
import zipfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.web.queries import KNOWN
from tests.counts import count
from tests.running import Sender
from tests.web.doors import a_report, framed

PACKETS = 200
"""Bytes that a connection costs its client in addition to its data: SYN, ACK and FIN packets with their headers."""
TIMEOUT_S = 5.0
AHEAD_S = 0.1
"""How long a stream with a cursor ahead of the record is kept open, in seconds."""
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG, RESERVED = 0, 1, 2, 8, 9, 10, 11


@dataclass
class Target:
    """A door under attack: its port, what can be requested there, and how many bytes were sent to it."""

    port: int
    sender: Sender
    units: Sequence[str]
    areas: Sequence[str]
    revision: Iterable[int] = field(default_factory=lambda: itertools.count(1))
    sent: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    _addresses: Any = field(default_factory=lambda: itertools.cycle(range(2, 100)))

    def report(self, unit: str | None = None) -> dict[str, Any]:
        """Return a valid report that was not sent before."""
        return a_report(
            unit or self.chance.choice(self.units), next(iter(self.revision)), self.chance.randrange(1, 2000)
        )

    def path(self, route: str, **given: str) -> str:
        """Return a valid path of a route. Raises KeyError for an unknown name in braces."""
        known = {
            "election": self.sender.election, "unit": self.units[0], "area": self.areas[0], "range": "1-1000",
            "municipality": self.areas[-1], "version": "0", "name": "app.css",
            "year": "2024", "type": "st", "county": self.areas[1],
            "history": "1", "size": "1", "level": "entries", "tile": "000", "sequence": "1",
        } | given  # fmt: skip
        if route.startswith("/api/"):
            known["municipality"], _, known["unit"] = self.units[0].partition("-")
        return re.sub(r"\{(\w+)\}", lambda found: known[found[1]], route)

    def request(
        self, method: str, path: str, body: bytes = b"", *, length: int | None = None, **headers: str
    ) -> bytes:
        """Return a request with the sender's token."""
        lines = [f"{method} {path} HTTP/1.1", "Host: door", f"Authorization: Bearer {self.sender.secret}"]
        if body or length is not None:
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def connect(self) -> "Connection":
        """Open a connection, from one of many addresses."""
        address = f"127.0.1.{next(self._addresses)}"
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(address, 0), limit=1 << 24
        )
        self.sent += PACKETS
        return Connection(self, reader, writer)

    async def each(self, count: int, one: Callable[[int], Awaitable[object]], at_once: int = 20) -> None:
        """Call `one` with each number below `count`, some at once; connections that the door closes are ignored."""
        numbers = iter(range(count))

        async def some() -> None:
            for number in numbers:
                with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                    await one(number)

        await asyncio.gather(*(some() for _ in range(at_once)))


@dataclass
class Connection:
    """A connection that counts what it sends."""

    target: Target
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes, timeout_s: float = TIMEOUT_S) -> None:
        """Send, and wait for the door to read it, for a bounded time; what it does not read is not counted."""
        self.writer.write(data)
        async with asyncio.timeout(timeout_s):
            await self.writer.drain()
        self.target.sent += len(data)

    async def answers(self, count: int) -> list[int]:
        """Read `count` answers and return their statuses; fewer if the door closes the connection."""
        statuses: list[int] = []
        async with asyncio.timeout(TIMEOUT_S):
            while len(statuses) < count:
                head = await self.reader.readuntil(b"\r\n\r\n")
                statuses.append(int(head[9:12]))
                found = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
                if found is None:  # a stream
                    break
                await self.reader.readexactly(int(found[1]))
        return statuses

    def close(self) -> None:
        """Close at once."""
        self.writer.transport.abort()


CONNECTIONS = 4
"""Connections on which requests are sent by default."""


async def ask(target: Target, requests: Sequence[bytes], *, connections: int = CONNECTIONS) -> list[int]:
    """Send requests one after the other on some connections, as programs do; return the statuses."""
    shares = [requests[number::connections] for number in range(connections)]
    statuses: list[int] = []

    async def one(number: int) -> None:
        connection = await target.connect()
        try:
            for request in shares[number]:
                await connection.send(request)
                answered = await connection.answers(1)
                if not answered:
                    break
                statuses.extend(answered)
        finally:
            connection.close()

    await target.each(connections, one, connections)
    return statuses


async def ask_on_new_connections(target: Target, requests: Sequence[bytes], at_once: int = 20) -> list[int]:
    """Send each request on a new connection; return the statuses."""
    statuses: list[int] = []

    async def one(number: int) -> None:
        connection = await target.connect()
        try:
            await connection.send(requests[number])
            statuses.extend(await connection.answers(1))
        finally:
            connection.close()

    await target.each(len(requests), one, at_once)
    return statuses


async def leave_unread(target: Target, request: bytes, connections: int, each: int, s: float = 0.6) -> None:
    """Send pipelined requests on many connections, read nothing, and disconnect after a while."""
    opened: list[Connection] = []

    async def one(_: int) -> None:
        connection = await target.connect()
        connection.reader._limit = 1  # type: ignore[attr-defined]  # so that asyncio does not read for us
        opened.append(connection)
        await connection.send(request * each, s)

    await target.each(connections, one, 50)
    await asyncio.sleep(s)
    for connection in opened:
        connection.close()


def compressed(lines: Iterable[bytes]) -> bytes:
    """Return lines as gzip."""
    return gzip.compress(b"\n".join(lines), 6)


def as_line(report: Any) -> bytes:
    """Return a report as a line of NDJSON."""
    return json.dumps(report).encode()


NDJSON = {"Content_Type": "application/x-ndjson"}
GZIP = {**NDJSON, "Content_Encoding": "gzip"}
SPREADSHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
REPORTS = "/v1/elections/{election}/reports"
REPORT = REPORTS + "/{unit}"
TRANSFERS = "/v1/elections/{election}/transfers"
PREVIEW = "/v1/elections/{election}/preview"
PUSH = "/v1/elections/{election}/push"
DECISIONS = "/v1/elections/{election}/decisions"
RULES = "/v1/elections/{election}/rules"
FEED = "/v1/elections/{election}/feed"
AREA = "/v1/elections/{election}/areas/{area}"
AREAS = "/v1/elections/{election}/areas"
CORRECTIONS = "/v1/elections/{election}/corrections"
SEATS = "/v1/elections/{election}/seats"
PUBLICATIONS = "/v1/elections/{election}/publications"
LOG = "/v1/elections/{election}/log"
TILE = f"{LOG}/tile/{{level}}/{{tile}}"


# Honest clients.


async def single_reports(target: Target) -> None:
    """Push one report per request; those of a unit on one connection, as there is no order between connections."""
    path = target.path(REPORTS)
    units = target.units[: len(target.units) // CONNECTIONS * CONNECTIONS]
    requests = [
        target.request(
            "POST", path, as_line(target.report(units[number % len(units)])), Content_Type="application/json"
        )
        for number in range(count(200, full=400))
    ]
    assert set(await ask(target, requests)) == {201}


async def full_requests(target: Target) -> None:
    """Push thousands of reports per request, compressed."""
    for _ in range(count(1, full=2)):
        body = compressed(as_line(target.report()) for _ in range(count(1000, full=3000)))
        request = target.request("POST", target.path(REPORTS), body, **GZIP)
        assert await ask(target, [request], connections=1) == [200]


async def read_areas(target: Target) -> None:
    """Read areas as JSON on persistent connections."""
    requests = [
        target.request("GET", target.path(AREA, area=area)) for area in target.areas[:20] * count(8, full=15)
    ]
    assert await ask(target, requests) == [200] * len(requests)


async def requests_on_new_connections(target: Target) -> None:
    """Send requests that any port answers, each on a new connection."""
    requests = [target.request("GET", "/health/live")] * count(200, full=400)
    assert set(await ask_on_new_connections(target, requests)) == {200}


async def many_at_once(target: Target) -> None:
    """Send hundreds of requests at once, each on a new connection."""
    assert set(await ask_on_new_connections(target, [target.request("GET", "/health/live")] * 500, 500)) == {
        200
    }


async def read_health(target: Target) -> None:
    """Send requests that any port answers."""
    assert set(await ask(target, [target.request("GET", "/health/live")] * count(300, full=600))) == {200}


async def frames_of_reports(target: Target) -> None:
    """Push reports over a WebSocket, one after the other."""
    connection = await opened(target)
    for number in range(count(200, full=500)):
        await connection.send(framed(TEXT, report_frame(number, target.report())))
        await frame_of(connection)
    connection.close()


def report_frame(number: int, report: Any) -> bytes:
    """Return a report as a message."""
    return b'{"type":"report","id":%d,"report":%s}' % (number, as_line(report))


async def opened(target: Target) -> Connection:
    """Open a push WebSocket and read its hello."""
    connection = await target.connect()
    request = target.request(
        "GET", target.path(PUSH), Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version="13",
        Sec_WebSocket_Key=base64.b64encode(os.urandom(16)).decode(), Sec_WebSocket_Protocol="valgnatt.push.v1",
    )  # fmt: skip
    await connection.send(request)
    async with asyncio.timeout(TIMEOUT_S):
        await connection.reader.readuntil(b"\r\n\r\n")
    await frame_of(connection)
    return connection


async def frame_of(connection: Connection) -> tuple[int, bytes]:
    """Read a frame."""
    async with asyncio.timeout(TIMEOUT_S):
        first, size = await connection.reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await connection.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await connection.reader.readexactly(8))
        return first & 15, await connection.reader.readexactly(size)


# Hostile ones: bodies.


async def post(target: Target, body: bytes, times: int = 1, **headers: str) -> None:
    """Post a body and read the answer."""
    request = target.request("POST", target.path(REPORTS), body, **headers)
    await ask(target, [request] * times, connections=1)


async def a_hundred_violations(target: Target) -> None:
    """Send a full request of reports with a hundred violations each."""
    wrong = as_line(target.report() | {f"x{number}": None for number in range(100)})
    await post(target, compressed([wrong] * count(600, full=3000)), **GZIP)


async def one_report_repeated(target: Target) -> None:
    """Send a full request of one repeated report."""
    await post(target, compressed([as_line(target.report())] * 6000), **GZIP)


async def deep_json(target: Target) -> None:
    """Send deeply nested arrays, as reports and as one document."""
    deep = b"[" * 30_000
    await post(target, compressed([deep] * count(100, full=250)), **GZIP)
    await post(
        target, gzip.compress(b"[" * (8 << 20)), Content_Type="application/json", Content_Encoding="gzip"
    )
    await post(target, b'{"a":' * 12_000, count(10, full=20), Content_Type="application/json")


async def empty_lines(target: Target) -> None:
    """Send megabytes of line feeds."""
    await post(target, gzip.compress(b"\n" * (8 << 20)), count(1, full=3), **GZIP)


async def many_members(target: Target) -> None:
    """Send thousands of empty gzip members."""
    await post(target, gzip.compress(b"") * 50_000, count(1, full=2), **GZIP)


EML = {"Content_Type": "application/xml"}


async def hostile_eml(target: Target) -> None:
    """Send an entity bomb, deep nesting, many attributes, names and elements, and long tags and texts."""
    begin = (
        b'<EML xmlns="urn:oasis:names:tc:evs:schema:eml" Id="510"><IssueDate>2025-09-08T22:36:55+02:00</IssueDate>'
        b"<Count><Election><Contests><Contest><ReportingUnitVotes>"
    )
    entities = b"".join(
        b'<!ENTITY a%d "%s">' % (number, b"&a%d;" % (number - 1) * 10) for number in range(1, 12)
    )
    size = count(4, full=8) << 17
    bodies = [
        b"<!DOCTYPE a [" + entities + b"]><a>&a11;</a>",
        begin + b"<x xmlns='y'>" * (size // 20),
        begin + b"<Cast " + b" ".join(b"a%d=''" % number for number in range(size // 10)) + b"/>",
        begin + b"".join(b"<x:a%d xmlns:x='y'/>" % number for number in range(size // 20)),
        begin + b"<x xmlns='" + b"y" * 10_000 + b"'>" + b"<a/>" * (size // 4),
        begin + b"<Selection/>" * (size // 12),
        begin + b"<!--" + b"x" * size,
        begin + b"<Cast a='" + b"x" * size,
        begin + b"<TotalCounted>" + b"1" * size,
        begin + b"&lt;" * (size // 4),
    ]
    for body in bodies:
        await post(target, body, **EML)


async def compressed_eml(target: Target) -> None:
    """Send megabytes of empty elements, and of selections that are wrong, in few bytes of gzip."""
    begin = (
        b'<EML xmlns="urn:oasis:names:tc:evs:schema:eml" Id="510"><IssueDate>2025-09-08T22:36:55+02:00</IssueDate>'
        b"<Count><Election><Contests><Contest>"
    )
    unit = b'<ReportingUnitVotes><ReportingUnitIdentifier Id="u"/>'
    for part in (b"<x xmlns='y'><a/><a/><a/></x>", unit + b"<Selection/>" * 100 + b"</ReportingUnitVotes>"):
        body = gzip.compress(begin + part * ((count(2, full=8) << 20) // len(part)))
        await post(target, body, Content_Encoding="gzip", **EML)


async def slow_eml(target: Target) -> None:
    """Send documents in chunks of one byte."""
    head = target.request("POST", target.path(REPORTS), Transfer_Encoding="chunked", **EML)
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b"<EML>" * 4000) + b"0\r\n\r\n"
    await ask(target, [head + body], connections=1)


async def tiny_chunks(target: Target) -> None:
    """Send a body in chunks of one byte."""
    head = target.request("POST", target.path(REPORTS), Transfer_Encoding="chunked", **NDJSON)
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in as_line(target.report()) * 100) + b"0\r\n\r\n"
    await ask(target, [head + body], connections=1)


async def claimed_lengths(target: Target) -> None:
    """Declare bodies of 8 MiB and send one byte."""
    await leave_unread(
        target,
        target.request("POST", target.path(REPORTS), b"x", length=8 << 20, **NDJSON),
        count(150, full=300),
        1,
    )


async def wrong_tokens(target: Target) -> None:
    """Send invalid tokens."""
    tokens = [base64.urlsafe_b64encode(os.urandom(32)).decode() for _ in range(count(200, full=400))]
    path = target.path(REPORTS)
    await ask(target, [_with_token(target, token, path) for token in tokens])


def _with_token(target: Target, token: str, path: str) -> bytes:
    good = target.request("POST", path, b"{}", Content_Type="application/json")
    return good.replace(target.sender.secret.encode(), token.encode())


async def preview(target: Target, body: bytes, kind: str) -> None:
    """Send a file with counts and read the answer."""
    await ask(target, [target.request("POST", target.path(PREVIEW), body, Content_Type=kind)], connections=1)


async def spreadsheet_bomb(target: Target) -> None:
    """Send a spreadsheet whose one sheet is a thousand times as large as the file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"):
            archive.writestr(name, b"<a>" + b" " * (64 << 20))
    await preview(target, packed.getvalue(), SPREADSHEET)


async def wide_tables(target: Target) -> None:
    """Send tables of one line with many columns, of open quotes, and of empty rows."""
    for content in (b"a," * 500_000, b'"' * 1_000_001, b"unit\n" + b",\n" * 500_000):
        await preview(target, content, "text/csv")


def by_operator(
    method: str, path: str, *bodies: bytes, packed: bool = False
) -> Callable[[Target], Awaitable[None]]:
    """Return a client that sends bodies with the token of an operator."""

    async def run(target: Target) -> None:
        sender = target.sender
        operator = await sender.gateway.issue(sender.election, target.areas[:1], role="operator")
        headers = {"Content_Type": "application/json"}
        if packed:
            headers["Content_Encoding"] = "gzip"
        own = replace(target, sender=operator)
        requests = [own.request(method, target.path(path), body, **headers) for body in bodies]
        await ask_on_new_connections(target, requests * 20)

    return run


_LONG = (64 << 10) - 20
BAD_DECISIONS = (
    b'{"holds":' + b"[" * (_LONG // 2),
    b'{"holds":[' + b"{}," * (_LONG // 3) + b"{}]}",
    b'{"holds":[' + b"0," * (_LONG // 2) + b"0]}",
    b'{"holds":[' + b",".join([b'{"x":0}'] * 100) + b"]}",
    b'{"note":"' + b"x" * (_LONG - 10) + b'"}',
)
BAD_RULES = (
    b'{"rules":' + b'{"a":' * 9_000 + b"0" + b"}" * 9_001,
    b'{"rules":{' + b",".join(b'"r%d":0' % number for number in range(5_000)) + b"}}",
    b'{"rules":{"above_eligible":{"do":"hold","kinds":[' + b'"x",' * 15_000 + b'"x"]}}}',
)


# Hostile ones: frames.


def flood(
    opcode: int, payload: bytes, count: int, *, connections: int = 8, last: bool = True, masked: bool = True
) -> Callable[[Target], Awaitable[None]]:
    """Return a client that sends a frame repeatedly on some connections, until the door closes them."""

    async def run(target: Target) -> None:
        frame = framed(opcode, payload, last=last)
        if not masked:
            frame = bytes([frame[0], frame[1] & 0x7F]) + payload
        piece = max(1, min(count, 4096 // len(frame)))

        async def one(_: int) -> None:
            connection = await opened(target)
            reading = asyncio.ensure_future(connection.reader.read(-1))
            try:
                for _ in range(0, count, piece):
                    if reading.done():
                        break
                    await connection.send(frame * piece)
                    await asyncio.sleep(0)
                await asyncio.wait({reading}, timeout=0.2)
            finally:
                reading.cancel()
                connection.close()

        await target.each(connections, one, 14)

    return run


async def open_and_close_websockets(target: Target) -> None:
    """Open and close WebSockets."""

    async def one(_: int) -> None:
        (await opened(target)).close()

    await target.each(count(60, full=150), one, 4)


# Hostile ones: readers.


async def random_selections(target: Target) -> None:
    """Open compressed streams of unique selections; each is read for a moment."""

    async def one(_: int) -> None:
        areas = ",".join(target.chance.sample(target.areas, 3))
        query = f"?levels=county,municipality,precinct&areas={areas}"
        connection = await target.connect()
        try:
            await connection.send(target.request("GET", target.path(FEED) + query, Accept_Encoding="gzip"))
            async with asyncio.timeout(TIMEOUT_S):
                await connection.reader.read(1 << 14)
        finally:
            connection.close()

    await target.each(count(75, full=150), one)


async def random_cursors(target: Target) -> None:
    """Open streams with cursors that are not in the record: with another chain, or ahead of it.

    A stream with a cursor that is ahead may wait; it is not waited for, because the cost of minutes of waiting would be
    that of a process at rest.
    """

    async def one(number: int) -> None:
        sequence = target.chance.randrange(1, 20) if number % 2 else target.chance.randrange(10_000, 20_000)
        cursor = f"{sequence}-{target.chance.getrandbits(32):08x}"
        connection = await target.connect()
        try:
            await connection.send(target.request("GET", target.path(FEED), Last_Event_ID=cursor))
            async with asyncio.timeout(TIMEOUT_S if number % 2 else AHEAD_S):
                await connection.reader.read(1 << 14)
        finally:
            connection.close()

    await target.each(count(100, full=200), one)


async def wait_for_future_publications(target: Target) -> None:
    """Send requests that wait for a publication that does not exist."""
    await leave_unread(
        target, target.request("GET", target.path(AREA) + "?at_least=999999999"), count(400, full=800), 1
    )


async def unread_publications(target: Target) -> None:
    """Request pages of publications and do not read them."""
    await leave_unread(
        target, target.request("GET", target.path(PUBLICATIONS) + "?limit=1000"), count(200, full=500), 2
    )


async def unread_registries(target: Target) -> None:
    """Request registries and do not read them."""
    await leave_unread(
        target, target.request("GET", target.path("/v1/elections/{election}")), count(100, full=200), 2
    )


async def unread_tables(target: Target) -> None:
    """Request the table of all units and do not read it."""
    await leave_unread(
        target, target.request("GET", target.path(AREAS) + "?level=precinct"), count(100, full=200), 2
    )


async def unread_seats(target: Target) -> None:
    """Request the seats of all districts and do not read them."""
    for form in ("json", "csv"):
        request = target.request("GET", f"{target.path(SEATS)}?format={form}")
        await leave_unread(target, request, count(50, full=100), 4)


async def tables_of_many_areas(target: Target) -> None:
    """Request the table of the units of each area, and its corrections: no two requests are for the same."""
    names = [*target.areas, *target.units[:100]][:: count(2, full=1)]
    requests = [
        target.request("GET", target.path(path) + f"{area}{form}")
        for form in ("", "&format=csv")
        for area in names
        for path in (AREAS + "?level=precinct&area=", CORRECTIONS + "?area=")
    ]
    await ask_on_new_connections(target, requests)


async def unread_streams(target: Target) -> None:
    """Open streams and do not read them."""
    await leave_unread(target, target.request("GET", target.path(FEED)), count(150, full=300), 1)


# Hostile ones: any route of any port.


async def proofs_of_many_reports(target: Target) -> None:
    """Request the proofs of reports all over the record."""
    paths = (f"{LOG}/proof/{target.chance.randrange(1, 4000)}" for _ in range(count(100, full=400)))
    await ask_on_new_connections(target, [target.request("GET", target.path(path)) for path in paths])


async def bundles_of_many_widths(target: Target) -> None:
    """Request partial entry bundles, of which no width is like another."""
    widths = range(1, count(100, full=256))
    paths = [target.path(TILE, tile=f"00{number}.p/{width}") for number in (0, 1) for width in widths]
    await ask_on_new_connections(target, [target.request("GET", path) for path in paths])


async def unread_bundles(target: Target) -> None:
    """Request entry bundles and do not read them."""
    await leave_unread(target, target.request("GET", target.path(TILE)), count(100, full=200), 2)


VALUES = ("", "-1", "9" * 16, "9" * 4000, "%00%FF", "," * 2000, "x," * 2000)
"""Hostile values of a query parameter."""
REQUESTS = count(8, full=40)
"""Requests of each kind to a route, and connections whose answers are not read."""


@dataclass(frozen=True)
class Route:
    """A route of a port."""

    method: str
    path: str

    async def abused(self, target: Target) -> None:
        """Run all attacks on the route."""
        await self.strange(target)
        await self.unread(target)

    async def strange(self, target: Target) -> None:
        """Send unknown parameters, unknown names, as many headers as are accepted, and a malformed range."""

        def name(*_: object) -> str:
            return f"{target.chance.getrandbits(64):x}"

        path = target.path(self.path)
        many = {f"X-{name()}": "y" * 60 for _ in range(90)}
        requests = [
            *(self._request(target, f"{path}?{name()}=1") for _ in range(REQUESTS)),
            *(self._request(target, re.sub(r"\{\w+\}", name, self.path)) for _ in range(REQUESTS)),
            *[self._request(target, path, Range="bytes=5-3,99999-", **many)] * REQUESTS,
        ]
        await ask_on_new_connections(target, requests)

    def queries(self) -> list[str]:
        """Return query strings with hostile values of each parameter of the route."""
        return [f"{name}={value}" for name in KNOWN.get(self.path, ()) for value in VALUES]

    async def queried(self, target: Target) -> None:
        """Send hostile values of each parameter."""
        path = target.path(self.path)
        requests = [self._request(target, f"{path}?{query}") for query in self.queries()]
        await ask_on_new_connections(target, requests * count(3, full=8))

    async def unread(self, target: Target) -> None:
        """Pipeline requests and do not read the answers."""
        await leave_unread(target, self._request(target, target.path(self.path)), REQUESTS, 30, 0.3)

    def _request(self, target: Target, path: str, **headers: str) -> bytes:
        return target.request(self.method, path, b"{}" if self.method in ("POST", "PUT") else b"", **headers)


async def open_and_close(target: Target) -> None:
    """Open connections and close them."""

    async def one(_: int) -> None:
        connection = await target.connect()
        await asyncio.sleep(0)
        connection.close()

    await target.each(count(400, full=1000), one)


async def stay_silent(target: Target) -> None:
    """Open connections and keep them open in silence."""
    await leave_unread(target, b"G", count(400, full=800), 1)


ANY_PORT = {"connections that open and close": open_and_close, "silent connections": stay_silent}
OF_BODIES: dict[str, tuple[str, Callable[[Target], Awaitable[None]]]] = {
    "a hundred violations per report": (f"POST {REPORTS}", a_hundred_violations),
    "one report repeated": (f"POST {REPORTS}", one_report_repeated),
    "deep JSON": (f"POST {REPORTS}", deep_json),
    "empty lines": (f"POST {REPORTS}", empty_lines),
    "many gzip members": (f"POST {REPORTS}", many_members),
    "chunks of one byte": (f"POST {REPORTS}", tiny_chunks),
    "EML": (f"POST {REPORTS}", hostile_eml),
    "compressed EML": (f"POST {REPORTS}", compressed_eml),
    "EML in chunks of one byte": (f"POST {REPORTS}", slow_eml),
    "lengths without bodies": (f"POST {REPORTS}", claimed_lengths),
    "wrong tokens": (f"POST {REPORTS}", wrong_tokens),
    "spreadsheet bomb": (f"POST {PREVIEW}", spreadsheet_bomb),
    "wide tables": (f"POST {PREVIEW}", wide_tables),
    "bad decisions": (f"POST {DECISIONS}", by_operator("POST", DECISIONS, *BAD_DECISIONS)),
    "packed decisions": (
        f"POST {DECISIONS}",
        by_operator("POST", DECISIONS, gzip.compress(b" " * (8 << 20)), packed=True),
    ),
    "bad rules": (f"PUT {RULES}", by_operator("PUT", RULES, *BAD_RULES)),
    "packed rules": (f"PUT {RULES}", by_operator("PUT", RULES, gzip.compress(b" " * (8 << 20)), packed=True)),
}
"""Each with the route that it is for."""
OF_FRAMES: dict[str, tuple[int, Callable[[Target], Awaitable[None]]]] = {
    "text that is not JSON": (TEXT, flood(TEXT, b"x", 1000)),
    "text that is not a report": (TEXT, flood(TEXT, b'{"type":"x","id":1}', 1000)),
    "text of 64 KiB": (TEXT, flood(TEXT, b"[" * 65_000, 10)),
    "text too long": (TEXT, flood(TEXT, b"[" * 70_000, 10)),
    "fragmented text": (CONTINUATION, flood(CONTINUATION, b"x", 1000, last=False)),
    "unfinished text": (TEXT, flood(TEXT, b"", 1000, last=False)),
    "unmasked text": (TEXT, flood(TEXT, b"{}", 100, masked=False, connections=40)),
    "binary": (BINARY, flood(BINARY, b"x" * 100, 10, connections=40)),
    "close": (CLOSE, flood(CLOSE, b"", 10, connections=40)),
    "pings": (PING, flood(PING, b"", 100_000, connections=14)),
    "pings of 125 bytes": (PING, flood(PING, b"x" * 125, 8000, connections=14)),
    "pongs": (PONG, flood(PONG, b"", 100_000, connections=14)),
    "reserved": (RESERVED, flood(RESERVED, b"", 10, connections=40)),
}
OF_READERS = {
    "unique selections": (FEED, random_selections),
    "invalid cursors": (FEED, random_cursors),
    "unread streams": (FEED, unread_streams),
    "waits for future publications": (AREA, wait_for_future_publications),
    "unread publications": (PUBLICATIONS, unread_publications),
    "unread tables": (AREAS, unread_tables),
    "unread seats": (SEATS, unread_seats),
    "tables of many areas": (CORRECTIONS, tables_of_many_areas),
    "unread registries": ("/v1/elections/{election}", unread_registries),
    "proofs of many reports": (f"{LOG}/proof/{{sequence}}", proofs_of_many_reports),
    "entry bundles of many widths": (TILE, bundles_of_many_widths),
    "unread entry bundles": (TILE, unread_bundles),
}
