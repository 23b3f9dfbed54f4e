"""Traces continue those of senders, are part of the log lines of their requests, and are exported if configured."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import aiohttp
import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from gateway.telemetry import tracing
from gateway.telemetry.tracing import Trace, parse_traceparent
from tests.running import Gateway, served
from tests.web.conftest import make_database
from tests.web.doors import COUNTRY, HERE, a_registry, a_report, ask, connected, feed_url, push, shown, until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01"


# The header.


def test_a_valid_header_is_read() -> None:
    """The example of the specification."""
    assert parse_traceparent([HEADER]) == Trace(TRACE, SPAN, 1)


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    """W3C Trace Context, section 4.3."""
    assert parse_traceparent([f"cc-{TRACE}-{SPAN}-01"]) == Trace(TRACE, SPAN, 1)
    assert parse_traceparent([f"cc-{TRACE}-{SPAN}-01-what-the-future-brings"]) == Trace(TRACE, SPAN, 1)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [HEADER, HEADER],
        [""],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}-01-more"],
        [f"00-{TRACE}-{SPAN}-01-"],
        [f"cc-{TRACE}-{SPAN}-01x"],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [HEADER.upper()],
        [f"00-{TRACE[1:]}-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}-1"],
        [f"00-{TRACE}-{SPAN}"],
        [f"00-{TRACE}-{SPAN}-0g"],
        [HEADER + "\n"],
    ],
)
def test_an_invalid_header_is_ignored(values: list[str]) -> None:
    """As if it had not been sent."""
    assert parse_traceparent(values) is None


@given(st.text(max_size=80))
def test_whatever_is_sent_is_read_or_not_and_never_fails(value: str) -> None:
    """It comes from strangers."""
    found = parse_traceparent([value])
    assert found is None or (len(found.trace_id), len(found.span_id)) == (32, 16)


def test_a_trace_holds_for_its_block() -> None:
    """And so does its place in the log."""
    with tracing.within(Trace(TRACE, SPAN, 0)):
        assert tracing.current() == Trace(TRACE, SPAN, 0)
        assert structlog.contextvars.get_contextvars() == {"trace_id": TRACE}
    assert tracing.current() is None
    assert structlog.contextvars.get_contextvars() == {}


# Log lines.


@pytest.fixture(scope="module")
def gateway(postgres: EmbeddedPostgres) -> Iterator[Gateway]:
    """A tracer that exports everything."""
    with served(make_database(postgres), log_level="debug") as gateway:
        yield gateway


async def test_lines_of_a_request_carry_its_trace_and_none_a_token(
    gateway: Gateway, small: GeneratedElection
) -> None:
    """On both doors, for valid and invalid requests; an invalid header is ignored."""
    election = await gateway.load(a_registry(small))
    sender = await gateway.issue(election, [COUNTRY])
    sent = {f"{number:032x}": f"00-{number:032x}-{SPAN}-00" for number in range(1, 6)}
    ids, headers = list(sent), [{"traceparent": header} for header in sent.values()]
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        assert (await push(http, sender, a_report(), headers=headers[0])).status == 201
        wrong = {**headers[1], "Authorization": "Bearer vg_s3cret"}
        assert (await push(http, sender, a_report(), headers=wrong)).status == 401
        await shown(gateway, election, 1)
        area = feed_url(gateway, election, f"/areas/{HERE}")
        assert (await ask(http, "GET", area, headers=headers[2])).status == 200
        assert (await ask(http, "GET", area + "x", headers=headers[3])).status == 404
        ignored = {"traceparent": f"00-{ids[4]}-{'0' * 16}-00"}
        assert (await push(http, sender, a_report(), headers=ignored)).status == 200

    def lines(trace_id: str) -> list[tuple[str, str, int]]:
        events = [orjson.loads(line) for line in tuple(gateway.log) if trace_id in line]
        return [(event["process"], event["event"], event["status"]) for event in events]

    async def reported() -> bool:
        return bool(lines(ids[3]))

    await until(reported)
    assert [lines(each) for each in ids] == [
        [("push-0", "answered", 201)],
        [("push-0", "answered", 401)],
        [("feed-0", "answered", 200)],
        [("feed-0", "answered", 404)],
        [],
    ]
    assert not [line for line in gateway.log if sender.secret in line or "s3cret" in line]


# Spans.


@contextmanager
def collected() -> Iterator[InMemorySpanExporter]:
    """Make spans in this process, and keep them."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    try:
        yield exporter
    finally:
        tracing.use(None)
        provider.shutdown()


def test_a_span_is_a_child_of_the_sender_s_and_links_its_requests() -> None:
    """Each request once, and not more of them than a span has room for."""
    others = [Trace(f"{number:032x}", SPAN, 1) for number in range(1, 200)]
    outer, links = tracing.within(Trace(TRACE, SPAN, 1)), [None, *others, *others]
    with collected() as exporter, outer, tracing.span("append", links, reports=7):
        inner = tracing.current()
    (span,) = exporter.get_finished_spans()
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, SPAN)
    assert inner == Trace(TRACE, f"{span.context.span_id:016x}", 1)
    assert [each.context.trace_id for each in span.links] == list(range(1, tracing.LINKS_MAX + 1))
    assert span.attributes == {"valgnatt.reports": 7}


def test_a_span_has_the_type_of_an_error_but_not_its_message() -> None:
    """An error may name hosts and addresses."""
    with collected() as exporter, pytest.raises(ConnectionError), tracing.span("apply"):
        raise ConnectionError("10.0.0.7 is away")
    (span,) = exporter.get_finished_spans()
    assert span.status.description == "ConnectionError"
    assert not span.events
    assert "10.0.0.7" not in span.to_json()


def test_without_a_collector_no_span_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a configured collector, or without the extra, which is logged once."""
    tracing.begin("push-0", {})
    first, second = tracing.span("push", election="e"), tracing.span("append")
    assert first is second
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace", None)
    with structlog.testing.capture_logs() as output:
        tracing.begin("push-0", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    assert [line["event"] for line in output] == ["spans are not exported: the extra `otel` is not installed"]
    assert tracing.span("push") is first


class Collector(HTTPServer):
    """A collector that records spans by process and name."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Collecting)
        self.taken: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self, name: str) -> list[tuple[str, "ReadableSpan"]]:
        found = []
        for body in tuple(self.taken):
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                who = {each.key: each.value.string_value for each in group.resource.attributes}
                assert who["service.name"] == "valgnatt"
                found += [
                    (who["service.instance.id"], span)
                    for scope in group.scope_spans
                    for span in scope.spans
                    if span.name == name
                ]
        return found


class _Collecting(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        self.server.taken.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.long
@pytest.mark.timeout(120)
async def test_a_report_is_followed_from_its_request_to_its_commit_and_into_the_feed(
    postgres: EmbeddedPostgres,
    collector: Collector,
    small: GeneratedElection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over HTTP below a separate span; over a WebSocket in the trace of its connection. Without tokens."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    database = await asyncio.to_thread(make_database, postgres)
    serving = served(database)
    gateway = await asyncio.to_thread(serving.__enter__)
    try:
        election = await gateway.load(a_registry(small))
        sender = await gateway.issue(election, [COUNTRY])
        async with aiohttp.ClientSession() as http:
            answer = await push(http, sender, a_report(), headers={"traceparent": HEADER})
            assert answer.status == 201
            http.headers["traceparent"] = f"00-{7:032x}-{SPAN}-01"
            async with connected(http, sender) as socket:
                await socket.send(1, a_report(revision=2))
                assert (await socket.results(1))[0]["outcome"] == "accepted"
        await shown(gateway, election, 2)
    finally:
        await asyncio.to_thread(
            serving.__exit__, None, None, None
        )  # what is not handed over yet is so at the end
    ((process, request),) = collector.spans("push")
    assert (process, request.trace_id.hex(), request.parent_span_id.hex()) == ("push-0", TRACE, SPAN)
    appends = [span for _, span in collector.spans("append")]
    linked = [(link.trace_id.hex(), link.span_id.hex()) for span in appends for link in span.links]
    # Turned back once, as the token is newer than what the process knew, a batch is appended again.
    assert list(dict.fromkeys(linked)) == [(TRACE, request.span_id.hex()), (f"{7:032x}", SPAN)]
    assert {process for process, _ in collector.spans("apply")} == {"feed-0"}
    assert not any(sender.secret.encode() in body for body in collector.taken)
