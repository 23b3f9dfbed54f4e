"""Fuzzing of both doors: any input is answered as openapi.yaml describes, no error is logged, and the doors continue.

The examples are the same in every run; FUZZ_EXAMPLES sets their number per test, FUZZ_SEED another seed.
"""

import asyncio
import contextlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import hypothesis.strategies as st
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from multidict import CIMultiDict
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.rehearsal.generator import GeneratedElection
from tests.counts import count, variants
from tests.running import Gateway, Sender
from tests.web.described import DOCUMENT, undescribed
from tests.web.doors import (
    CLOSE,
    COUNTRY,
    FOREIGN_UNIT,
    HERE,
    OTHER_UNIT,
    PING,
    TEXT,
    TIMEOUT_S,
    UNIT,
    Answer,
    RawSocket,
    a_registry,
    a_report,
    ask,
    connected,
    disconnect,
    feed_url,
    framed,
    open_connection,
    pushed,
    shown,
    streaming,
    until,
)

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", count(4, full=25)))
KNOWN = 5
"""Publications in the record before any generated request; a request for a later one would wait."""

SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
NOTHING_TO_FUZZ = {f"{method} /health/{what}" for method in ("GET", "HEAD") for what in ("live", "ready")}
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

pytestmark = pytest.mark.long


def fuzzed(examples: int = EXAMPLES) -> Callable[[Any], Any]:
    """Run with `examples` examples, which are the same in every run unless another seed is set."""
    chosen_seed = os.environ.get("FUZZ_SEED")
    kept = settings(
        derandomize=chosen_seed is None,
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return kept if chosen_seed is None else lambda test: seed(int(chosen_seed))(kept(test))


@pytest.fixture(scope="module")
def known(gateway: Gateway, small: GeneratedElection) -> Sender:
    """A sender of an election with KNOWN publications."""

    async def make() -> Sender:
        election = await gateway.load(a_registry(small))
        sender = await gateway.issue(election, [COUNTRY])
        async with aiohttp.ClientSession() as http:
            await pushed(http, sender, *(a_report(revision=each) for each in range(1, KNOWN + 1)))
            await shown(gateway, election, KNOWN)
        return sender

    return asyncio.run(make())


@pytest.fixture(scope="module")
def other(known: Sender, gateway: Gateway) -> tuple[Sender, Iterator[int]]:
    """A sender of another election, and the revisions that it has not used."""
    return asyncio.run(a_copy(gateway, known)), itertools.count(1)


@pytest.fixture(autouse=True)
def still_works(known: Sender, other: tuple[Sender, Iterator[int]], gateway: Gateway) -> Iterator[None]:
    """Check after every test that a sender gets its receipts and a reader its blocks, and that no error was logged."""
    yield

    async def check() -> None:
        sender, revisions = other
        async with aiohttp.ClientSession() as http:
            (receipt,) = await pushed(http, sender, a_report(revision=next(revisions)))
            following = receipt["sequence"] + 1
            async with connected(http, sender) as socket:
                await socket.send(1, a_report(revision=next(revisions)))
                assert (await socket.results(1))[0]["sequence"] == following
            async with streaming(http, feed_url(gateway, sender.election), areas=HERE) as stream:
                assert (await stream.blocks_until(following))[-1].names == [HERE]
            await ask(http, "GET", feed_url(gateway, known.election, "/transfers"))

    asyncio.run(check())
    assert not gateway.logged_errors()


async def a_copy(gateway: Gateway, sender: Sender) -> Sender:
    """Return a sender of a new election with the same registry."""
    async with aiohttp.ClientSession() as http:
        document = (await ask(http, "GET", feed_url(gateway, sender.election, ""))).document["registry"]
    header = {**document["election"], "id": f"{sender.election}-{os.urandom(4).hex()}"}
    return await gateway.issue(await gateway.load({**document, "election": header}), [COUNTRY])


# HTTP, as the document has it, and as it has it not.

latin = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
words = st.sampled_from(
    [UNIT, OTHER_UNIT, HERE, COUNTRY, "none", "0604 0001", "é", "..", "%2e", "\x00", "1-1000"]
)


def cursors(chain: str) -> st.SearchStrategy[str]:
    """Cursors of the record, of another one, and malformed ones; none is ahead."""
    places = st.integers(0, KNOWN)
    return st.one_of(
        st.just(f"1-{chain[:8]}"),
        st.builds("{}-{:08x}".format, places, st.integers(0, 2**32 - 1)),
        st.sampled_from(
            ["", "-", "1", "0-00000000", "01-00000000", "1-ABCDEF00", "-1-00000000", "1-0000000", "None"]
        ),
        latin.map(str.strip).filter(lambda text: "-" not in text),
    )


def altered(document: Any, data: st.DataObject) -> Any:
    """A document with a member removed, added or changed at any depth."""
    if isinstance(document, dict) and document and data.draw(st.integers(0, 3)):
        name = data.draw(st.sampled_from(sorted(document)))
        what = data.draw(st.integers(0, 9))
        rest = {key: value for key, value in document.items() if key != name}
        if what == 0:
            return rest
        if what == 1:
            return {**document, data.draw(st.text(max_size=5)): document[name]}
        return {**document, name: altered(document[name], data)}
    return data.draw(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(2**70), 2**70),
            st.integers(0, 3),
            st.floats(),
            st.text(max_size=20),
            st.lists(st.integers(0, 3), max_size=3),
            st.dictionaries(st.text(max_size=5), st.integers(0, 3), max_size=3),
            st.sampled_from(
                ["\ud800", "\x00", "2025-02-30T00:00:00Z", "9999-12-31T23:59:59-23:59", -0.0, 1e400]
            ),
        )
    )


def reports(data: st.DataObject) -> Any:
    """A valid report, or an almost valid one."""
    report = a_report(data.draw(st.sampled_from([UNIT, OTHER_UNIT])), data.draw(st.integers(1, 50)))
    return altered(report, data) if data.draw(st.booleans()) else report


def written(document: Any, data: st.DataObject) -> bytes:
    """JSON, sometimes with some bytes changed."""
    text = json.dumps(document, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass")
    if data.draw(st.integers(0, 3)):
        return text
    place = data.draw(st.integers(0, len(text)))
    return text[:place] + data.draw(st.binary(max_size=4)) + text[place + data.draw(st.integers(0, 4)) :]


def bodies(data: st.DataObject) -> tuple[str, bytes]:
    """A content type, and a body that may be of it."""
    kind = data.draw(
        st.sampled_from(["application/json"] * 3 + ["application/x-ndjson"] * 2 + ["text/plain"])
    )
    many = data.draw(st.integers(0, 3))
    if kind == "application/x-ndjson":
        return kind, b"\n".join(written(reports(data), data) for _ in range(many))
    return kind, written([reports(data) for _ in range(many)] if many > 1 else reports(data), data)


class Generated:
    """Sends what was generated for an operation, with parts corrected so that more of the code is reached."""

    def __init__(self, operation: Any, sender: Sender, chain: str) -> None:
        self.operation = operation
        self.sender = sender
        self.chain = chain
        self.session = requests.Session()
        self.session.trust_env = False
        strategies = [operation.as_strategy(generation_mode=GenerationMode.POSITIVE)]
        with contextlib.suppress(Exception):
            negative = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
            negative.validate()
            strategies.append(negative)
        self.cases = st.one_of(*strategies)

    def case(self, data: st.DataObject) -> Any:
        case = data.draw(self.cases)
        if "election" in case.path_parameters and data.draw(st.integers(0, 5)):
            case.path_parameters["election"] = self.sender.election
        for name in set(case.path_parameters) - {"election"}:
            if data.draw(st.integers(0, 2)):
                case.path_parameters[name] = data.draw(words)
        query = case.query
        if isinstance(query, dict):
            if isinstance(query.get("at_least"), int):
                query["at_least"] %= KNOWN + 1
            if "last_event_id" in query:
                query["last_event_id"] = data.draw(cursors(self.chain))
            for name, usual in (("levels", ["county", "precinct"]), ("areas", [HERE, UNIT])):
                if name in query and data.draw(st.booleans()):
                    query[name] = usual
        return case

    def headers(self, case: Any, data: st.DataObject) -> dict[str, str]:
        found = {
            "Accept": data.draw(
                st.sampled_from(["*/*", "text/csv", "text/event-stream", "application/json", ""])
            ),
            "Accept-Encoding": data.draw(st.sampled_from(["identity", "gzip", "gzip;q=0", "br, *"])),
        }
        token = data.draw(st.sampled_from([f"Bearer {self.sender.secret}"] * 6 + ["Bearer", "", None]))
        found["Authorization"] = "Bearer " + data.draw(latin) if token is None else token
        if "Last-Event-ID" in case.headers or not data.draw(st.integers(0, 3)):
            found["Last-Event-ID"] = data.draw(cursors(self.chain))
        if self.operation.path.endswith("/push"):
            found["Upgrade"] = data.draw(st.sampled_from(["websocket", "h2c", ""]))
        return found

    def send(self, data: st.DataObject) -> None:
        case = self.case(data)
        headers = self.headers(case, data)
        door = self.sender.gateway.push_url
        paths = {server["name"] for server in self.servers}
        if "push" not in paths or ("feed" in paths and data.draw(st.booleans())):
            door = self.sender.gateway.feed_url
        if self.operation.method == "post" and data.draw(st.integers(0, 3)):
            case.media_type, case.body = "application/json", {}
            options = case.as_transport_kwargs(base_url=door, headers=headers)
            options.pop("json", None)
            kind, options["data"] = bodies(data)
            options["headers"].update({"Content-Type": kind})
        elif self.operation.method == "post" and case.media_type != "application/json":
            return
        else:
            options = case.as_transport_kwargs(base_url=door, headers=headers)
        for name, value in headers.items():
            options["headers"][name] = value
        response = self.session.request(**options, stream=True, timeout=TIMEOUT_S, allow_redirects=False)
        with response:
            if response.status_code != 101:
                read(response)
                case.validate_response(response, checks=self.checks(response), headers=headers)
                self.validate_strictly(response)

    @property
    def servers(self) -> list[dict[str, Any]]:
        item = DOCUMENT["paths"][self.operation.path]
        servers: list[dict[str, Any]] = item[self.operation.method].get("servers", item["servers"])
        return servers

    def checks(self, response: requests.Response) -> list[Any]:
        return CHECKS if response.status_code == 503 else [not_a_server_error, *CHECKS]

    def validate_strictly(self, response: requests.Response) -> None:
        """Validate an answer again, with undescribed members as errors."""
        answer = Answer(response.status_code, response.headers, response.content)
        assert not undescribed(self.operation.path, self.operation.method.upper(), answer)


def read(response: requests.Response) -> None:
    """Read a response; of an endless one, some whole events."""
    if "text/event-stream" in response.headers.get("Content-Type", ""):
        beginning = b""
        while b"\n\n" not in beginning and (piece := response.raw.read1(1 << 16, decode_content=True)):
            beginning += piece
        response.raw.close()
        response._content = beginning[: beginning.rfind(b"\n\n") + 2]
        response._content_consumed = True
    else:
        assert response.content is not None


FUZZED = sorted(set(OPERATIONS) - NOTHING_TO_FUZZ)
OF_HEAD = "HEAD /v1/elections/{election}/areas/{area}"
"""The only one in `make test`, since the handler of HEAD is that of GET."""


@pytest.mark.parametrize(
    "label", variants(FUZZED, *(each for each in FUZZED if each == OF_HEAD or not each.startswith("HEAD")))
)
def test_every_answer_is_described_by_openapi(label: str, known: Sender) -> None:
    """Status, type, headers and schema, for valid and invalid tokens, bodies, names and queries."""
    lines = requests.get(feed_url(known.gateway, known.election, "/publications"), timeout=TIMEOUT_S)
    strange = Generated(OPERATIONS[label], known, json.loads(lines.text.splitlines()[0])["chain"])

    @fuzzed(max(1, EXAMPLES // 2) if label.startswith("HEAD") else EXAMPLES)
    @given(st.data())
    def sends(data: st.DataObject) -> None:
        strange.send(data)

    with strange.session:
        sends()


# HTTP, byte by byte.

line = st.binary(max_size=20).map(lambda text: text.translate(None, b"\r\n\x00"))
numbers = st.sampled_from(
    [b"-1", b"+1", b"1e3", b"", b"1", b"0x1", b"9" * 17, b"\xd9\xa1", b"%D9%A1", b"%00", b"1_0", b"%201"]
)
parameters = st.sampled_from(
    [
        b"levels",
        b"areas",
        b"every_s",
        b"last_event_id",
        b"after",
        b"limit",
        b"format",
        b"chain",
        b"at_least",
        b"",
    ]
)


async def answered(url: str, path: str, head: bytes) -> Answer:
    """Write the head of a request as it is, and read its answer; of a stream, the beginning."""
    reader, writer = await open_connection(url)
    writer.write(head)
    async with asyncio.timeout(TIMEOUT_S):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = CIMultiDict(each.partition(": ")[::2] for each in lines[1:] if each)
        status, length = int(lines[0].split(" ")[1]), headers.get("Content-Length")
        stream = status == 200 and length is None
        if not stream:
            body = await reader.readexactly(int(length or 0))
        elif headers.get("Content-Encoding") == "gzip":
            body = await reader.readuntil(b"\x1f\x8b")
        else:
            body = await reader.readuntil(b"retry: ")
    await disconnect(writer, reset=True)
    answer = Answer(status, headers, body)
    no_http = status == 400 and headers["Content-Type"].startswith("text/plain")
    if not stream and not no_http:
        operation = DOCUMENT["paths"][path]["post" if head.startswith(b"POST") else "get"]
        if str(status) in operation["responses"]:
            assert not undescribed(path, "POST" if head.startswith(b"POST") else "GET", answer)
        else:
            assert status in (400, 404, 405), answer
            assert answer.document["status"] == status
    return answer


def test_a_reader_may_send_any_bytes(known: Sender) -> None:
    """In the query, the path and the headers; each request is answered, and other readers get their blocks."""
    base = f"/v1/elections/{known.election}"
    paths = [
        f"/v1/elections/{{election}}{rest}"
        for rest in ("/feed", "/publications", "/publications/{range}", "/areas/{area}")
    ]

    async def asks(data: st.DataObject, http: aiohttp.ClientSession) -> None:
        path = data.draw(st.sampled_from(paths))
        value = st.one_of(
            line, numbers, words.map(str.encode), line.map(lambda text: b"%" + text.hex().encode())
        )
        asked = path.replace("/v1/elections/{election}", base).encode()
        name = data.draw(value).replace(b" ", b"")
        asked = asked.replace(b"{area}", name).replace(b"{range}", name)
        pairs = data.draw(st.lists(st.tuples(parameters, value), max_size=3))
        query = b"&".join(key + b"=" + text.replace(b" ", b"+") for key, text in pairs)
        headers = data.draw(
            st.lists(
                st.tuples(
                    st.sampled_from(
                        [b"Last-Event-ID", b"Accept", b"Accept-Encoding", b"If-None-Match", b"Origin", b"X"]
                    ),
                    st.one_of(line, st.sampled_from([b"text/event-stream", b"gzip", b"*", b"text/csv;q=2"])),
                ),
                max_size=3,
            )
        )
        head = b"GET %s?%s HTTP/1.1\r\nHost: door\r\n" % (asked, query)
        head += b"".join(b"%s: %s\r\n" % header for header in headers)
        assert (await answered(known.gateway.feed_url, path, head + b"\r\n")).status < 500
        async with streaming(http, feed_url(known.gateway, known.election), areas=HERE) as stream:
            assert (await stream.block()).names == [HERE]

    in_turn(asks, 4 * EXAMPLES)


def test_a_sender_may_send_any_headers(known: Sender) -> None:
    """Token, type, encoding, origin and subprotocol; each request is answered, and valid reports are accepted."""
    revisions = itertools.count(1)
    names = [
        "Authorization",
        "Content-Type",
        "Content-Encoding",
        "Origin",
        "Sec-WebSocket-Protocol",
        "Upgrade",
        "Host",
    ]
    usual = [
        b"Bearer",
        b"\xff",
        b"Bearer \xff",
        b"http://[",
        b"http://\xff",
        b"//",
        b"null",
        b"application/json;",
        b"gzip",
        b"websocket",
        b"valgnatt.push.v1,",
    ]
    routes = [
        ("POST", "/reports"),
        ("GET", "/reports"),
        ("GET", "/push"),
        ("GET", "/transfers"),
        ("GET", "/board"),
    ]

    async def asked(http: aiohttp.ClientSession, method: str, rest: str, odd: dict[str, bytes]) -> None:
        headers = {
            "Host": b"door",
            "Authorization": f"Bearer {known.secret}".encode(),
            "Content-Type": b"application/json",
            "Upgrade": b"websocket",
            "Connection": b"Upgrade" if rest == "/push" else b"keep-alive",
            "Sec-WebSocket-Protocol": b"valgnatt.push.v1",
            "Content-Length": b"2" if method == "POST" else b"0",
            **odd,
        }
        head = f"{method} /v1/elections/{known.election}{rest} HTTP/1.1\r\n".encode()
        head += b"".join(name.encode() + b": " + value + b"\r\n" for name, value in headers.items()) + b"\r\n"
        body = b"{}" if method == "POST" else b""
        answer = await answered(known.gateway.push_url, f"/v1/elections/{{election}}{rest}", head + body)
        assert answer.status < 500, answer

    async def one_at_a_time(http: aiohttp.ClientSession) -> None:
        step = count(3, full=1)
        for number, (method, rest) in enumerate(routes):
            for name, value in itertools.islice(itertools.product(names, usual), number % step, None, step):
                await asked(http, method, rest, {name: value})

    async def asks(data: st.DataObject, http: aiohttp.ClientSession) -> None:
        method, rest = data.draw(st.sampled_from(routes))
        value = st.one_of(line, line.map(b"Bearer ".__add__), st.sampled_from(usual))
        await asked(http, method, rest, data.draw(st.dictionaries(st.sampled_from(names), value, max_size=3)))
        await pushed(http, known, a_report("0604-0003", next(revisions)))

    in_turn(lambda _, http: one_at_a_time(http), 1)
    in_turn(asks, 4 * EXAMPLES)


def in_turn(asks: Callable[[st.DataObject, aiohttp.ClientSession], Any], examples: int) -> None:
    """Run a coroutine function on examples, one after the other on one loop."""
    with asyncio.Runner() as runner:

        async def session() -> aiohttp.ClientSession:
            return aiohttp.ClientSession(auto_decompress=False)

        http = runner.run(session())

        @fuzzed(examples)
        @given(st.data())
        def each(data: st.DataObject) -> None:
            runner.run(asks(data, http))

        try:
            each()
        finally:
            runner.run(http.close())


# Frames.


def frame(data: st.DataObject) -> str:
    """A valid frame, an almost valid one, or any bytes."""
    if not data.draw(st.integers(0, 3)):
        return data.draw(st.text(max_size=50))
    good = {"type": "report", "id": data.draw(st.integers(0, 9)), "report": reports(data)}
    return written(altered(good, data) if data.draw(st.booleans()) else good, data).decode("utf-8", "replace")


def test_every_text_frame_has_one_result_and_then_a_valid_one_its_receipt(known: Sender) -> None:
    """On the same connection: no frame prevents the answer to another one."""
    revisions = itertools.count(1)
    codes = {*DOCUMENT["components"]["schemas"]["ProblemCode"]["enum"], "unknown_message"}

    async def asks(data: st.DataObject, http: aiohttp.ClientSession) -> None:
        frames = [frame(data) for _ in range(data.draw(st.integers(1, 8)))]
        async with connected(http, known) as socket:
            for each in frames:
                await socket.socket.send_str(each)
            await socket.send("good", a_report(FOREIGN_UNIT, next(revisions)))
            results = await socket.results(len(frames) + 1)
        assert {each["outcome"] for each in results} <= {"accepted", "duplicate", "refused"}
        assert {each["code"] for each in results if each["outcome"] == "refused"} <= codes
        assert [each["outcome"] for each in results if each["id"] == "good"] == ["accepted"]

    in_turn(asks, 2 * EXAMPLES)


def wire(data: st.DataObject) -> bytes:
    """Frames of any kind, fragmented, with wrong lengths, or truncated."""
    payload = data.draw(st.one_of(st.binary(max_size=130), st.just(None)))
    if payload is None:
        payload = frame(data).encode()
    match data.draw(st.integers(0, 5)):
        case 0:
            return framed(data.draw(st.integers(0, 15)), payload, last=data.draw(st.booleans()))
        case 1:
            place = data.draw(st.integers(0, len(payload)))
            between = framed(PING, b"?") if data.draw(st.booleans()) else b""
            return framed(TEXT, payload[:place], last=False) + between + framed(0, payload[place:])
        case 2:
            whole = framed(TEXT, payload)
            return whole[: data.draw(st.integers(0, len(whole)))]
        case 3:
            return framed(
                TEXT, payload, length=data.draw(st.sampled_from([0, 1, 125, 126, 65535, 65536, 2**62]))
            )
        case 4:
            return framed(CLOSE, data.draw(st.binary(max_size=4)))
        case _:
            return data.draw(st.binary(max_size=40))


def test_no_bytes_on_a_socket_prevent_the_receipts_of_others(known: Sender) -> None:
    """Control frames, binary ones, incomplete ones and noise, with and without a close; nothing is left behind."""
    revisions = itertools.count(1)

    async def asks(data: st.DataObject, http: aiohttp.ClientSession) -> None:
        sent = b"".join(wire(data) for _ in range(data.draw(st.integers(1, 4))))
        reset = data.draw(st.booleans())
        socket = await RawSocket.connected(known)
        try:
            socket.writer.write(sent)
            await disconnect(socket.writer, reset=reset)
        except ConnectionError:
            socket.writer.transport.abort()
        async with connected(http, known) as good:
            await good.send(1, a_report("0604-0005", next(revisions)))
            assert (await good.results(1))[0]["outcome"] == "accepted"

    async def forgotten() -> bool:
        samples = await known.gateway.metrics()
        return not sum(value for name, value in samples.items() if name.startswith("valgnatt_push_sockets"))

    in_turn(asks, 4 * EXAMPLES)
    asyncio.run(until(forgotten))
