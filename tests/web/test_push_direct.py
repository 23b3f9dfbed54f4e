"""Push requests that are taken directly: they have the same answers as those of the application, and the same ends."""

import asyncio
import gzip
import hashlib
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from unittest.mock import DEFAULT, Mock

import pytest
from aiohttp import web
from msgspec.structs import replace
from structlog.testing import capture_logs

from gateway.config import Config
from gateway.election.registry_reading import read_registry
from gateway.journal.elections import ElectionVersion
from gateway.journal.intake import Intake
from gateway.telemetry.metrics import PushMetrics
from gateway.web import push_request
from gateway.web.accepting import accepting
from gateway.web.aiohttp_connection import DirectRequest, DoorHandler, door_handlers
from gateway.web.aiohttp_problems import HEAD_MAX
from gateway.web.connections import Connections
from gateway.web.push_answers import ANSWER_S
from gateway.web.push_door import PushDoor
from tests.clocks import ManualClock
from tests.journal.makers import UNITS, a_registry, a_report, a_token
from tests.journal.test_intake import SECRET, OneElection
from tests.web.doors import TIMEOUT_S, disconnect, open_connection, until

OPERATOR, LOCAL = "of an operator", "of a municipality"


class Journal(OneElection):
    """The journal of one election, with an operator's token and one for a single municipality."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = read_registry(a_registry(id="an-election"))
        self.tokens += [a_token(2, digest=_digest(OPERATOR)), a_token(3, "b", digest=_digest(LOCAL))]
        self.tokens[1] = replace(self.tokens[1], role="operator")


class Door:
    """A push door in this process, and what it holds."""

    def __init__(self, journal: Journal, url: str, door: PushDoor, connections: Connections) -> None:
        self.journal = journal
        self.url = url
        self.requests = door._requests
        self.connections = connections
        self.path = f"/v1/elections/{journal.registry.id}/reports"
        self.taken = 0
        """Requests that were taken directly."""
        self.metrics = door._metrics
        self._take = door.take

    def take(self, request: DirectRequest) -> bool:
        """Take a request and count it."""
        taken = self._take(request)
        self.taken += taken
        return taken

    def post(self, body: bytes | None = None, *lines: str, secret: str = SECRET, path: str = "") -> bytes:
        """Return a request as most clients send it; `lines` replace its header fields of the same name."""
        body = a_report().body if body is None else body
        fields = {
            "Host": "door",
            "Authorization": f"Bearer {secret}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }
        named = {line.partition(":")[0] for line in lines}
        kept = [f"{name}: {value}" for name, value in fields.items() if name not in named]
        start = f"POST {path or self.path} HTTP/1.1"
        return (
            "\r\n".join([start, *kept, *(line for line in lines if not line.endswith(":")), "", ""]).encode()
            + body
        )

    def left(self) -> dict[str, int]:
        """Return what requests occupy now."""
        requests = self.requests
        return {
            "requests": sum(requests._requests_of._counts.values()),
            "bodies": requests.bodies.total,
            "answers": requests._answers.total,
            "deadlines": len(requests._deadlines),
        }


NOTHING = {"requests": 0, "bodies": 0, "answers": 0, "deadlines": 0}


def _digest(secret: str) -> bytes:

    return hashlib.sha256(secret.encode()).digest()


@asynccontextmanager
async def a_door(*, direct: bool = True, **options: Any) -> AsyncIterator[Door]:
    """Serve a door whose clock stands still; without `direct`, the application answers every request."""
    journal, config, metrics, clock = Journal(), Config(**options), PushMetrics(), ManualClock()
    writing: list[asyncio.Task[None]] = []
    intake = Intake(
        config,
        journal,
        metrics,
        lambda writer: writing.append(asyncio.create_task(writer.run())),
        clock=clock,
    )
    connections = Connections(config, metrics, clock=clock)
    served = PushDoor(config, intake, metrics, connections, None, clock=clock, chance=Random(1))  # type: ignore[arg-type]
    await intake.elections.refresh()
    listener = socket.create_server(("127.0.0.1", 0))
    runner = web.AppRunner(served.application(lambda: True), handle_signals=False, shutdown_timeout=TIMEOUT_S)
    await runner.setup()
    assert runner.server is not None
    door = Door(journal, f"http://127.0.0.1:{listener.getsockname()[1]}", served, connections)
    make = door_handlers(connections, runner.server, take=door.take if direct else None)
    try:
        async with asyncio.timeout(2 * TIMEOUT_S), accepting(listener, connections, make):
            yield door
    finally:
        await runner.cleanup()
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)


async def answer_of(door: Door, *pieces: bytes) -> bytes:
    """Send pieces on a connection of their own, close the sending side, and return everything up to its end."""
    reader, writer = await open_connection(door.url)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
    async with asyncio.timeout(TIMEOUT_S):
        answer = await reader.read()
    writer.close()
    return answer


async def one_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any]]:
    """Read one answer of a connection that stays open: its status and document."""
    async with asyncio.timeout(TIMEOUT_S):
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: (\d+)", head)
        assert found is not None
        return int(head.split(b" ")[1]), json.loads(await reader.readexactly(int(found[1])))


def masked(answer: bytes) -> bytes:
    """Replace what differs between two answers to the same request: times."""
    answer = re.sub(rb"\r\nDate: [^\r]{29}\r\n", b"\r\nDate: -\r\n", answer)
    return re.sub(rb'"(accepted_at|published_at)":"[^"]{20,32}"', rb'"\1":-', answer)


def a_body(unit: str = UNITS[0], revision: int = 1, votes: int = 10) -> bytes:
    return a_report(unit, revision, votes).body


LARGE = a_body(UNITS[5]) + b" " * HEAD_MAX
INVALID = a_body().replace(b'"ballots":10', b'"ballots":11')
ESCAPED = a_body(UNITS[4]).replace(b'"unit"', b'"\\u0075nit"')
TRACE = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Request = Callable[[Door], bytes]
REQUESTS: dict[str, tuple[int, bool, Request]] = {
    "a report": (201, True, lambda door: door.post(a_body())),
    "the same again": (200, True, lambda door: door.post(a_body())),
    "another revision": (201, True, lambda door: door.post(a_body(revision=3))),
    "an earlier one": (409, True, lambda door: door.post(a_body(revision=2))),
    "other figures of the same": (409, True, lambda door: door.post(a_body(revision=3, votes=11))),
    "white space around": (201, True, lambda door: door.post(b" \r\n" + a_body(UNITS[1]) + b"\n")),
    "unnecessary escapes": (201, True, lambda door: door.post(ESCAPED)),
    "a header that is not known": (201, True, lambda door: door.post(a_body(UNITS[2]), "X-Other: 1")),
    "a scheme in other case": (
        200,
        True,
        lambda door: door.post(a_body(UNITS[2]), f"Authorization: bearer  {SECRET} "),
    ),
    "a name in other case": (200, True, lambda door: door.post(a_body(UNITS[2])).replace(b"Host", b"hOST")),
    "its own unit": (201, True, lambda door: door.post(a_body("b-1"), secret=LOCAL)),
    "a unit of others": (403, False, lambda door: door.post(a_body("a-1", 9), secret=LOCAL)),
    "an invalid report": (422, False, lambda door: door.post(INVALID)),
    "no report": (422, False, lambda door: door.post(b"{}")),
    "not JSON": (400, False, lambda door: door.post(b"{")),
    "nothing": (400, False, lambda door: door.post(b"")),
    "no body": (400, False, lambda door: door.post(b"", "Content-Length:")),
    "an array": (200, False, lambda door: door.post(b"[" + a_body() + b"]")),
    "lines": (200, False, lambda door: door.post(a_body(), "Content-Type: application/x-ndjson")),
    "a parameter of the type": (
        200,
        False,
        lambda door: door.post(a_body(), "Content-Type: application/json; charset=utf-8"),
    ),
    "another type": (415, False, lambda door: door.post(a_body(), "Content-Type: text/plain")),
    "no type": (415, False, lambda door: door.post(a_body(), "Content-Type:")),
    "gzip": (200, False, lambda door: door.post(gzip.compress(a_body()), "Content-Encoding: gzip")),
    "another encoding": (415, False, lambda door: door.post(a_body(), "Content-Encoding: br")),
    "identity": (200, False, lambda door: door.post(a_body(), "Content-Encoding: identity")),
    "an expectation": (200, False, lambda door: door.post(a_body(), "Expect: 100-continue")),
    "another expectation": (417, False, lambda door: door.post(a_body(), "Expect: more")),
    "a trace": (200, False, lambda door: door.post(a_body(), TRACE)),
    "more than a head": (201, False, lambda door: door.post(LARGE)),
    "a long head": (431, False, lambda door: door.post(a_body(), f"X-Long: {'x' * HEAD_MAX}")),
    "chunks": (
        200,
        False,
        lambda door: (
            door.post(b"", "Content-Length:", "Transfer-Encoding: chunked")
            + b"%x\r\n%s\r\n0\r\n\r\n" % (len(a_body()), a_body())
        ),
    ),
    "no token": (401, False, lambda door: door.post(a_body(), "Authorization:")),
    "another scheme": (401, False, lambda door: door.post(a_body(), f"Authorization: Basic {SECRET}")),
    "an unknown token": (401, False, lambda door: door.post(a_body(), secret="x")),
    "an operator": (403, False, lambda door: door.post(a_body(), secret=OPERATOR)),
    "an unknown election": (404, False, lambda door: door.post(a_body(), path="/v1/elections/none/reports")),
    "a query": (400, False, lambda door: door.post(a_body(), path=f"{door.path}?x=1")),
    "an empty query": (200, False, lambda door: door.post(a_body(), path=f"{door.path}?")),
    "an escaped path": (200, False, lambda door: door.post(a_body(), path=door.path.replace("-", "%2D", 1))),
    "a slash more": (404, False, lambda door: door.post(a_body(), path=door.path + "/")),
    "an address": (200, False, lambda door: door.post(a_body(), path=f"http://door{door.path}")),
    "another route": (
        405,
        False,
        lambda door: door.post(a_body(), path=door.path.replace("reports", "board")),
    ),
    "HTTP/1.0": (200, False, lambda door: door.post(a_body()).replace(b"HTTP/1.1", b"HTTP/1.0")),
    "the last request": (200, False, lambda door: door.post(a_body(), "Connection: close")),
    "an upgrade": (200, False, lambda door: door.post(a_body(), "Connection: upgrade", "Upgrade: websocket")),
    "PUT": (400, False, lambda door: door.post(a_body()).replace(b"POST", b"PUT")),
    "not HTTP": (400, False, lambda door: b"\x16\x03\x01\r\n\r\n"),
    "less than announced": (400, False, lambda door: door.post(a_body(), "Content-Length: 9999")),
    "two at once": (201, False, lambda door: door.post(a_body("b-2")) + door.post(a_body("b-3"))),
}
"""Requests, in this order, with the status of their answers, and whether they are taken directly."""


async def test_both_ways_give_the_same_answers() -> None:
    """The same bytes, apart from times, and the same counts of answers, for usual and for strange requests."""
    async with a_door() as one, a_door(direct=False) as other:
        for name, (status, is_direct, request) in REQUESTS.items():
            before = one.taken
            answer = await answer_of(one, request(one))
            assert int(answer.split(b" ")[1]) == status, (name, answer)
            assert one.taken - before == is_direct, name
            assert masked(answer) == masked(await answer_of(other, request(other))), name
        assert other.taken == 0
        assert one.left() == other.left() == NOTHING
        assert _counts(one) == _counts(other)


def _counts(door: Door) -> dict[str, float]:
    families = door.metrics.registry.collect()
    names = ("valgnatt_answers", "valgnatt_refused", "valgnatt_problems", "valgnatt_accepted_reports")
    return {
        f"{sample.name}{sample.labels}": sample.value
        for family in families
        if family.name in names
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


async def test_a_connection_is_used_for_both_kinds_in_turn() -> None:
    """After either kind it waits for another request, as an idle one."""
    async with a_door() as door:
        reader, writer = await open_connection(door.url)
        for number in range(1, 9):
            fields = [TRACE] if number % 3 == 0 else []
            writer.write(door.post(a_body(revision=number), *fields))
            assert (await one_answer(reader))[0] == 201
        assert door.taken >= 5
        assert len(door.connections) == 1
        writer.close()
        await until(lambda: _is(lambda: len(door.connections) == 0))


async def _is(fact: Callable[[], bool]) -> bool:
    return fact()


async def test_requests_that_are_sent_ahead_are_answered_in_order() -> None:
    """They wait for the one that was taken directly."""
    async with a_door() as door:
        reader, writer = await open_connection(door.url)
        with door.journal.memory.paused():
            writer.write(door.post(a_body("a-1")))
            await until(lambda: _is(lambda: door.taken == 1))
            writer.write(door.post(a_body("a-2")) + door.post(a_body("a-3")))
            writer.write(door.post(b"{"))
            await asyncio.sleep(0)
            assert door.left()["requests"] == 1
        answers = [await one_answer(reader) for _ in range(4)]
        assert [document.get("unit") for _, document in answers[:3]] == ["a-1", "a-2", "a-3"]
        assert [status for status, _ in answers] == [201, 201, 201, 400]
        writer.write(door.post(a_body("a-4")))
        assert (await one_answer(reader))[0] == 201
        assert door.taken == 2
        writer.close()


async def test_a_request_that_is_undecided_at_its_deadline_is_answered_once() -> None:
    """With `retry`; the outcome that comes later is not written into the next answer."""
    async with a_door() as door:
        reader, writer = await open_connection(door.url)
        with door.journal.memory.paused():
            writer.write(door.post())
            await until(lambda: _is(lambda: door.taken == 1))
            door.requests.pass_time(ANSWER_S)
            status, document = await one_answer(reader)
            assert (status, document["code"]) == (503, "journal_unavailable")
            assert door.left() == NOTHING
        writer.write(door.post())
        assert (await one_answer(reader))[0] == 200
        writer.close()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_client_that_has_left_occupies_nothing_after_the_commit(reset: bool) -> None:
    """Until then its request counts."""
    async with a_door() as door:
        with door.journal.memory.paused():
            _, writer = await open_connection(door.url)
            writer.write(door.post())
            await until(lambda: _is(lambda: door.taken == 1))
            await disconnect(writer, reset=reset)
            if reset:
                await until(lambda: _is(lambda: len(door.connections) == 0))
            assert door.left()["requests"] == 1
        await until(lambda: _is(lambda: door.left() == NOTHING and len(door.connections) == 0))
        assert len(door.journal.memory.record) == 1


async def test_an_idle_connection_is_closed_and_one_that_waits_for_its_commit_is_not() -> None:
    """The time of an idle connection begins with the answer."""
    async with a_door(keepalive_s=0.2) as door:
        reader, writer = await open_connection(door.url)
        with door.journal.memory.paused():
            writer.write(door.post())
            await until(lambda: _is(lambda: door.taken == 1))
            idle_reader, idle_writer = await open_connection(door.url)
            assert await idle_reader.read() == b""
        assert (await one_answer(reader))[0] == 201
        assert await reader.read() == b""
        writer.close()
        idle_writer.close()


async def test_a_server_that_ends_waits_for_the_answers() -> None:
    """Then it closes the connections."""
    async with a_door() as door:
        reader, writer = await open_connection(door.url)
        with door.journal.memory.paused():
            writer.write(door.post())
            await until(lambda: _is(lambda: door.taken == 1))
            (handler,) = [each.handler for each in door.connections._open]
            handler.close()  # type: ignore[union-attr]  # as aiohttp does with all connections first
            ending = asyncio.create_task(handler.shutdown(TIMEOUT_S))  # type: ignore[union-attr]
            await asyncio.sleep(0)
            assert not ending.done()
        assert (await one_answer(reader))[0] == 201
        assert await reader.read() == b""
        await ending
        writer.close()


async def ending_with_one_taken(
    door: Door,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Task[None]]:
    """Have a handler shut down that answers one request directly, with two behind it; it waits for the answer."""
    reader, writer = await open_connection(door.url)
    writer.write(door.post())
    await until(lambda: _is(lambda: door.taken == 1))
    (handler,) = [each.handler for each in door.connections._open]
    writer.write(door.post(b"{") * 2)
    await until(lambda: _is(lambda: len(handler._messages) == 2))  # type: ignore[union-attr]
    handler.close()  # type: ignore[union-attr]
    ending = asyncio.create_task(handler.shutdown(TIMEOUT_S))  # type: ignore[union-attr]
    await asyncio.sleep(0)
    assert not ending.done()
    return reader, writer, ending


async def test_requests_behind_the_last_answer_of_a_server_are_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As they are behind an answer of the application, and without an error."""
    async with a_door() as door:
        with door.journal.memory.paused():
            reader, writer, ending = await ending_with_one_taken(door)
        assert (await one_answer(reader))[0] == 201
        assert await reader.read() == b""
        await ending
        assert caplog.records == []
        writer.close()


async def test_a_server_that_ends_does_not_wait_for_a_client_that_has_left() -> None:
    """Its report is committed all the same."""
    async with a_door() as door, asyncio.timeout(TIMEOUT_S / 2):
        with door.journal.memory.paused():
            _, writer, ending = await ending_with_one_taken(door)
            (connection,) = door.connections._open
            connection.abort()
            await ending
            assert door.left()["requests"] == 1
        await until(lambda: _is(lambda: door.left() == NOTHING))
        assert len(door.journal.memory.record) == 1
        writer.close()


async def two_waiting(door: Door) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send a request on each of two connections, and return them once both have been taken."""
    clients = [await open_connection(door.url) for _ in range(2)]
    for place, (_, writer) in enumerate(clients):
        writer.write(door.post(a_body(UNITS[place])))
        await until(lambda before=place: _is(lambda: door.taken == before + 1))  # type: ignore[misc]
    return clients


async def test_an_error_in_one_answer_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged and counted, as an error of the application is, and the writer goes on."""
    failing = Mock(wraps=push_request.answer_single, side_effect=[ZeroDivisionError, DEFAULT, DEFAULT])
    monkeypatch.setattr(push_request, "answer_single", failing)
    async with a_door() as door:
        with capture_logs() as logged:
            with door.journal.memory.paused():
                clients = await two_waiting(door)
            status, document = await one_answer(clients[0][0])
            assert (status, document["code"]) == (500, "internal_error")
            assert (await one_answer(clients[1][0]))[0] == 201
        assert [each["event"] for each in logged if each["log_level"] == "error"] == ["request failed"]
        clients[0][1].write(door.post(a_body(UNITS[0])))
        assert (await one_answer(clients[0][0]))[0] == 200
        assert door.left() == NOTHING
        assert [value for name, value in _counts(door).items() if "internal_error" in name] == [1.0]
        for _, writer in clients:
            writer.close()


async def test_an_error_in_taking_a_request_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an internal error, which is logged; then the connection is closed, and others are served."""
    async with a_door() as door:
        failing = Mock(wraps=door._take, side_effect=[ZeroDivisionError, DEFAULT])
        monkeypatch.setattr(door, "_take", failing)
        with capture_logs() as logged:
            reader, writer = await open_connection(door.url)
            writer.write(door.post())
            status, document = await one_answer(reader)
            assert (status, document["code"]) == (500, "internal_error")
            assert await reader.read() == b""
        assert [each["event"] for each in logged if each["log_level"] == "error"] == ["request failed"]
        assert (await answer_of(door, door.post())).startswith(b"HTTP/1.1 201 ")
        assert door.left() == NOTHING
        writer.close()


async def test_an_error_in_writing_one_answer_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is closed, it occupies nothing, and the writer goes on."""
    failing = Mock(side_effect=[ZeroDivisionError, DEFAULT, DEFAULT], wraps=DirectRequest.answer)
    monkeypatch.setattr(DirectRequest, "answer", lambda *arguments: failing(*arguments))
    async with a_door() as door:
        with capture_logs() as logged:
            with door.journal.memory.paused():
                clients = await two_waiting(door)
            async with asyncio.timeout(TIMEOUT_S):
                assert await clients[0][0].read() == b""
            assert (await one_answer(clients[1][0]))[0] == 201
        assert [each["event"] for each in logged if each["log_level"] == "error"] == ["request failed"]
        assert (await answer_of(door, door.post(a_body(UNITS[0])))).startswith(b"HTTP/1.1 200 ")
        assert door.left() == NOTHING
        for _, writer in clients:
            writer.close()


async def test_an_invalid_report_is_checked_once_if_the_one_before_was_invalid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So a flood of them costs no more than without direct answers; after a valid one, requests are taken again."""
    async with a_door() as door:
        check = Mock(wraps=ElectionVersion.check)
        monkeypatch.setattr(ElectionVersion, "check", lambda *arguments: check(*arguments))
        for _ in range(3):
            assert (await answer_of(door, door.post(INVALID))).startswith(b"HTTP/1.1 422 ")
        assert (await answer_of(door, door.post(b"{"))).startswith(b"HTTP/1.1 400 ")
        assert check.call_count == 5  # the first one twice
        for taken in range(2):
            assert (await answer_of(door, door.post())).startswith(b"HTTP/1.1 20")
            assert door.taken == taken
        assert check.call_count == 7
        assert (await answer_of(door, door.post(INVALID))).startswith(b"HTTP/1.1 422 ")
        assert (await answer_of(door, door.post(a_body("b-1"), secret=LOCAL))).startswith(b"HTTP/1.1 201 ")
        assert door.taken == 2  # that of another sender


async def test_a_connection_that_cannot_be_read_ends_with_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where aiohttp raises an error that is not of HTTP while its task waits for a request."""
    async with a_door() as door:
        reader, writer = await open_connection(door.url)
        await until(lambda: _is(lambda: len(door.connections) == 1))
        (handler,) = [each.handler for each in door.connections._open]
        assert isinstance(handler, DoorHandler)
        await until(lambda: _is(lambda: handler._waiter is not None))
        task = handler._task_handler
        handler._parser = Mock(feed_data=Mock(side_effect=ZeroDivisionError))
        loop = asyncio.get_running_loop()
        failed = Mock()
        loop.set_exception_handler(failed)
        writer.write(door.post())
        async with asyncio.timeout(TIMEOUT_S):
            assert await reader.read() == b""
            assert task is not None
            await asyncio.wait([task])
        assert isinstance(failed.call_args[0][1]["exception"], ZeroDivisionError)
        writer.close()


async def test_requests_beyond_those_of_the_sender_are_refused() -> None:
    """Requests that were taken directly count like the others."""
    async with a_door(requests_per_sender=1) as door:
        with door.journal.memory.paused():
            reader, writer = await open_connection(door.url)
            writer.write(door.post(a_body("a-1")))
            await until(lambda: _is(lambda: door.taken == 1))
            answer = await answer_of(door, door.post(a_body("a-2")))
            assert answer.startswith(b"HTTP/1.1 429 ")
        assert (await one_answer(reader))[0] == 201
        assert (await answer_of(door, door.post(a_body("a-2")))).startswith(b"HTTP/1.1 201 ")
        assert door.taken == 2
        writer.close()
