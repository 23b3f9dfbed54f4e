"""The publisher against doors that answer `retry`, no WebSocket, or nothing useful: reports stay in order."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.client import publisher as publishing
from gateway.client.failures import Failure
from gateway.client.publisher import Publisher, PushRefused, push_http
from gateway.client.push_events import Event, Working
from gateway.wire.session import FRAME_MAX, SUBPROTOCOL
from tests.client.doors import a_door, accepting

TIMEOUT_S = 30.0


async def test_a_report_to_be_resent_keeps_its_place_and_is_waited_for() -> None:
    """The first report gets `retry` twice; later ones of its unit wait for it, and so does closing the publisher."""
    accepted: list[int] = []
    put_off = [1, 1]

    async def push(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "credit": 1})
        async for message in socket:
            frame: dict[str, Any] = message.json()
            result = {"id": frame["id"], "outcome": "accepted"}
            if frame["id"] in put_off:
                put_off.remove(frame["id"])
                result = {"id": frame["id"], "outcome": "retry", "code": "overloaded", "retry_after_s": 0.05}
            else:
                accepted.append(frame["report"]["revision"])
            await socket.send_json({"type": "results", "credit": 1, "results": [result]})
        return socket

    async with asyncio.timeout(TIMEOUT_S), a_door(web.get("/v1/elections/e/push", push)) as url:
        async with Publisher(url, "e", "token") as publisher:
            answers = [publisher.submit({"unit": "u", "revision": revision}) for revision in range(1, 6)]
        assert [answer.result().outcome for answer in answers] == ["accepted"] * 5
    assert accepted == [1, 2, 3, 4, 5]


async def test_a_lone_report_that_is_put_off_is_waited_for() -> None:
    """Nothing is sent while it waits for its time; closing the publisher does not drop it."""
    put_off = [2]

    async def push(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "credit": 2})
        async for message in socket:
            identifier = message.json()["id"]
            result = {"id": identifier, "outcome": "accepted"}
            if identifier in put_off:
                put_off.remove(identifier)
                result = {"id": identifier, "outcome": "retry", "code": "overloaded", "retry_after_s": 0.2}
                await socket.send_json({"type": "results", "credit": 2, "results": [result]})
                result = {"id": 1, "outcome": "accepted"}
            elif identifier == 1:
                continue
            await socket.send_json({"type": "results", "credit": 2, "results": [result]})
        return socket

    async with asyncio.timeout(TIMEOUT_S), a_door(web.get("/v1/elections/e/push", push)) as url:
        async with Publisher(url, "e", "token") as publisher:
            answers = [publisher.submit({"unit": f"u{n}", "revision": 1}) for n in range(2)]
        assert [answer.done() and answer.result().outcome for answer in answers] == ["accepted"] * 2


async def test_a_publisher_that_is_cancelled_while_it_waits_for_answers_ends() -> None:
    """It would go on sending, beside a caller that limits how long it waits."""

    async def push(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "credit": 1})
        async for _ in socket:
            arrived.set()
        return socket

    arrived = asyncio.Event()
    async with asyncio.timeout(TIMEOUT_S), a_door(web.get("/v1/elections/e/push", push)) as url:

        async def push_one() -> None:
            async with Publisher(url, "e", "token") as publisher:
                answers.append(publisher.submit({"unit": "u", "revision": 1}))

        answers: list[asyncio.Future[Any]] = []
        before = asyncio.all_tasks()
        pushing = asyncio.create_task(push_one())
        await arrived.wait()
        pushing.cancel()
        await asyncio.wait([pushing])
        assert pushing.cancelled()
        assert isinstance(answers[0].exception(), PushRefused)
        left = {task.get_name() for task in asyncio.all_tasks() - before}
        assert not {name for name in left if name.startswith("publisher")}


async def test_a_report_that_fits_into_no_frame_is_refused_and_holds_up_no_other() -> None:
    """Sent, it would have the connection closed (1009), and sent again, the next one too."""
    received: list[int] = []

    async def push(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,), max_msg_size=FRAME_MAX)
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "credit": 8})
        async for message in socket:
            received.append(len(message.data))
            result = {"id": message.json()["id"], "outcome": "accepted"}
            await socket.send_json({"type": "results", "credit": 8, "results": [result]})
        return socket

    async with (
        asyncio.timeout(TIMEOUT_S),
        a_door(web.get("/v1/elections/e/push", push)) as url,
        Publisher(url, "e", "token") as publisher,
    ):
        answers = [publisher.submit(b'"' + b"x" * size + b'"') for size in (FRAME_MAX - 50, FRAME_MAX, 1)]
        largest, too_large, small = [await answer for answer in answers]
        assert publisher.connections == 1
    assert (largest.outcome, small.outcome) == ("accepted", "accepted")
    assert (too_large.outcome, too_large.code) == ("refused", "invalid_report")
    assert too_large.violations[0]["code"] == "report_too_large"
    assert max(received) <= FRAME_MAX


async def test_an_answer_that_is_cut_off_is_asked_for_again() -> None:
    """The door fails in the middle of an answer over HTTP; the report may be durable, so it is resent."""
    asked = 0

    async def post(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        await request.read()
        if asked == 1:
            response = web.StreamResponse(status=201, headers={"Content-Length": "100"})
            await response.prepare(request)
            await response.write(b'{"outcome"')
            assert request.transport is not None
            request.transport.abort()
            return response
        return web.json_response({"outcome": "duplicate"})

    async with (
        asyncio.timeout(TIMEOUT_S),
        a_door(web.post("/v1/elections/e/reports", post)) as url,
        aiohttp.ClientSession() as session,
    ):
        (answer,) = await push_http(session, url, "e", "token", [b"{}"], ndjson=False)
    assert (answer.outcome, asked) == ("duplicate", 2)


def a_problem(status: int, code: str) -> web.Response:
    document = {"type": f"urn:valgnatt:problem:{code}", "status": status, "code": code, "detail": "a detail"}
    return web.json_response(document, status=status, content_type="application/problem+json")


class HttpDoor:
    """A push door behind something that passes no upgrade: it keeps what is posted, in order."""

    def __init__(self, upgrade: Callable[[], web.StreamResponse]) -> None:
        self.upgrades = 0
        self.posted: list[list[int]] = []
        self.put_off: set[int] = set()
        self.too_many: int | None = None
        self._upgrade = upgrade

    async def push(self, _: web.Request) -> web.StreamResponse:
        self.upgrades += 1
        return self._upgrade()

    async def reports(self, request: web.Request) -> web.Response:
        lines = (await request.text()).splitlines()
        assert request.content_type == "application/x-ndjson"
        revisions = [json.loads(line)["revision"] for line in lines]
        if self.too_many is not None and len(lines) >= self.too_many:
            return web.Response(status=413, text="<html>too large</html>", content_type="text/html")
        self.posted.append(revisions)
        results = []
        postponed = False
        for revision in revisions:
            postponed = postponed or revision in self.put_off
            outcome = {"outcome": "retry", "retry_after_s": 0.01} if postponed else {"outcome": "accepted"}
            results.append(outcome)
        self.put_off.clear()
        return web.json_response({"results": results})

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        return web.get("/v1/elections/e/push", self.push), web.post("/v1/elections/e/reports", self.reports)


@pytest.mark.parametrize(
    "upgrade",
    [
        lambda: a_problem(426, "upgrade_required"),
        lambda: a_problem(400, "subprotocol_missing"),
        lambda: web.Response(text="<html>", content_type="text/html"),
        lambda: web.Response(status=302, headers={"Location": "https://login.invalid/"}),
        lambda: web.Response(status=400),
        lambda: web.Response(status=403, text="<html>", content_type="text/html"),
        lambda: web.Response(status=404),
        lambda: web.Response(status=501),
        lambda: web.Response(status=502, text="<html>", content_type="text/html"),
    ],
)
async def test_reports_are_sent_over_http_where_no_websocket_is_available(
    upgrade: Callable[[], web.StreamResponse],
) -> None:
    """In order, in requests of bounded size, and without asking for a WebSocket each time; this is reported."""
    door, events = HttpDoor(upgrade), list[Event]()
    async with asyncio.timeout(TIMEOUT_S), a_door(*door.routes) as url:
        async with Publisher(url, "e", "token", on_event=events.append) as publisher:
            answers = [publisher.submit({"unit": "u", "revision": revision}) for revision in range(1, 151)]
        assert {answer.result().outcome for answer in answers} == {"accepted"}
        assert publisher.connections == 0
    assert [revision for request in door.posted for revision in request] == list(range(1, 151))
    assert max(map(len, door.posted)) <= 64
    assert door.upgrades == 1
    assert [type(event) for event in events] == [Working]
    assert isinstance(events[0], Working)
    assert events[0].without_websocket is not None


async def test_reports_over_http_that_are_put_off_keep_their_place() -> None:
    """They are resent with everything after them, so that no later revision makes them stale."""
    door = HttpDoor(lambda: a_problem(426, "upgrade_required"))
    door.put_off = {2}
    async with asyncio.timeout(TIMEOUT_S), a_door(*door.routes) as url:
        async with Publisher(url, "e", "token") as publisher:
            answers = [publisher.submit({"unit": "u", "revision": revision}) for revision in range(1, 5)]
        assert {answer.result().outcome for answer in answers} == {"accepted"}
    assert door.posted == [[1, 2, 3, 4], [2, 3, 4]]


async def test_a_proxy_with_a_limit_on_bodies_gets_smaller_requests() -> None:
    door = HttpDoor(lambda: web.Response(status=502))
    door.too_many = 8
    async with (
        asyncio.timeout(TIMEOUT_S),
        a_door(*door.routes) as url,
        Publisher(url, "e", "token") as publisher,
    ):
        answers = [publisher.submit({"unit": "u", "revision": revision}) for revision in range(1, 21)]
        assert {(await answer).outcome for answer in answers} == {"accepted"}
    assert [revision for request in door.posted for revision in request] == list(range(1, 21))


async def test_a_websocket_is_tried_again_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And used as soon as there is one."""
    monkeypatch.setattr(publishing, "WEBSOCKET_FIRST_S", 0.05)
    door = HttpDoor(lambda: web.Response(status=502))
    opened = 0

    async def push(request: web.Request) -> web.StreamResponse:
        nonlocal opened
        if len(door.posted) < 2:
            return await door.push(request)
        opened += 1
        return await accepting(request)

    routes = web.get("/v1/elections/e/push", push), door.routes[1]
    async with asyncio.timeout(TIMEOUT_S), a_door(*routes) as url, Publisher(url, "e", "token") as publisher:
        revision = 0
        while not opened:
            revision += 1
            assert (await publisher.push({"unit": "u", "revision": revision})).outcome == "accepted"
            await asyncio.sleep(0.01)
    assert door.upgrades >= 1


@pytest.mark.parametrize("retry_after", ["1", "-1", "soon", "Sun, 06 Nov 1994 08:49:37 GMT", "9" * 400])
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_an_outage_is_reported_and_passes(
    status: int, retry_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever `Retry-After` says, the next attempt comes in bounded time."""
    waits: list[float] = []
    monkeypatch.setattr(publishing.asyncio, "sleep", no_sleep(waits))
    left, events = [4], list[Event]()

    async def failing(request: web.Request) -> web.StreamResponse:
        if left[0] > 0:
            left[0] -= 1
            return web.Response(status=status, headers={"Retry-After": retry_after})
        return await accepting(request)

    routes = web.get("/v1/elections/e/push", failing), web.post("/v1/elections/e/reports", failing)
    async with (
        asyncio.timeout(TIMEOUT_S),
        a_door(*routes) as url,
        Publisher(url, "e", "token", on_event=events.append) as publisher,
    ):
        assert (await publisher.push({"unit": "u", "revision": 1})).outcome == "accepted"
    failures = [event for event in events if isinstance(event, Failure)]
    assert {(failure.code, failure.status) for failure in failures} == {("unavailable", status)}
    assert max(waits) <= 60.0


def no_sleep(waits: list[float]) -> Callable[[float], Awaitable[None]]:
    sleep = asyncio.sleep

    async def sleep_no_longer(delay_s: float) -> None:
        waits.append(delay_s)
        await sleep(0)

    return sleep_no_longer


@pytest.mark.parametrize(
    ("response", "word"),
    [
        (lambda: a_problem(401, "token_invalid"), "token_invalid"),
        (lambda: a_problem(404, "unknown_election"), "unknown_election"),
        (lambda: web.Response(text="<html>", content_type="text/html"), "web page"),
        (lambda: web.Response(status=302, headers={"Location": "https://login.invalid/"}), "login.invalid"),
        (lambda: web.json_response({"results": []}), "not a push door"),
    ],
)
async def test_an_error_that_somebody_has_to_correct_ends_the_publisher_with_its_reason(
    response: Callable[[], web.StreamResponse], word: str
) -> None:
    """Also for reports that are submitted later."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return response()

    routes = web.get("/v1/elections/e/push", answer), web.post("/v1/elections/e/reports", answer)
    async with asyncio.timeout(TIMEOUT_S), a_door(*routes) as url, Publisher(url, "e", "token") as publisher:
        for _ in range(2):
            with pytest.raises(PushRefused, match=word):
                await publisher.push({"unit": "u", "revision": 1})


async def test_with_keep_trying_it_goes_on_after_such_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "REFUSED_RETRY_S", 0.01)
    refusals = [2]

    async def push(request: web.Request) -> web.StreamResponse:
        if refusals[0]:
            refusals[0] -= 1
            return a_problem(401, "token_invalid")
        return await accepting(request)

    async with (
        asyncio.timeout(TIMEOUT_S),
        a_door(web.get("/v1/elections/e/push", push)) as url,
        Publisher(url, "e", "token", keep_trying=True) as publisher,
    ):
        assert (await publisher.push({"unit": "u", "revision": 1})).outcome == "accepted"


@pytest.mark.parametrize("answers", [0, 1])
async def test_after_a_greeting_what_no_gateway_gave_may_pass(
    answers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of a portal or of maintenance, in the place of a push door that greeted or answered a report before."""
    monkeypatch.setattr(publishing, "REFUSED_RETRY_S", 0.01)
    asked = 0

    async def push(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked == 2:
            return web.Response(text="<html>", content_type="text/html")
        return await accepting(request, most=answers if asked == 1 else None)

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    routes = web.get("/v1/elections/e/push", push), web.post("/v1/elections/e/reports", page)
    async with asyncio.timeout(TIMEOUT_S), a_door(*routes) as url, Publisher(url, "e", "token") as publisher:
        for revision in (1, 2):
            answer = await publisher.push({"unit": "u", "revision": revision})
            assert answer.outcome == "accepted"
    assert asked == 3


async def test_a_publisher_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that fits into no header, and a mistake in the publisher itself."""
    async with asyncio.timeout(TIMEOUT_S), Publisher("http://127.0.0.1:9", "e", "tok\nen") as publisher:
        with pytest.raises(PushRefused, match=r"U\+000A at position 4"):
            await publisher.push({"unit": "u", "revision": 1})

    async def fail(*_: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(publishing.PushOverWebSocket, "serve", fail)
    async with asyncio.timeout(TIMEOUT_S), Publisher("http://127.0.0.1:9", "e", "token") as publisher:
        with pytest.raises(PushRefused, match="KeyError: 'a mistake'"):
            await publisher.push({"unit": "u", "revision": 1})


@pytest.mark.parametrize("ndjson", [True, False])
@pytest.mark.parametrize("reports", [[b"{}"], [b"{}", b"{}"]])
async def test_a_request_that_no_gateway_answers_is_refused_with_the_reason(
    reports: list[bytes], ndjson: bool
) -> None:
    """Instead of failing where the answer is decoded."""

    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>", content_type="text/html")

    async with (
        asyncio.timeout(TIMEOUT_S),
        a_door(web.post("/v1/elections/e/reports", page)) as url,
        aiohttp.ClientSession() as session,
    ):
        with pytest.raises(PushRefused, match="web page"):
            await push_http(session, url, "e", "token", reports, ndjson=ndjson)


async def test_the_identifier_of_an_election_cannot_change_the_path() -> None:
    """Whatever characters it has."""
    async with (
        asyncio.timeout(TIMEOUT_S),
        a_door(web.get("/v1/elections/{election}/push", accepting)) as url,
        Publisher(url, "a/../b ?#%", "token") as publisher,
    ):
        assert (await publisher.push({"unit": "u", "revision": 1})).outcome == "accepted"


async def test_after_a_goodbye_nothing_is_sent_and_the_connection_is_read_to_its_end() -> None:
    """A report that is submitted then goes over the next connection, at the time that the gateway has asked for."""
    connections: list[list[int]] = []
    said_goodbye, submitted = asyncio.Event(), asyncio.Event()

    async def push(request: web.Request) -> web.WebSocketResponse:
        received: list[int] = []
        connections.append(received)
        if len(connections) > 1:
            return await accepting(request)
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "credit": 8})
        await socket.send_json({"type": "goodbye", "retry_after_s": 0.1})
        said_goodbye.set()
        await submitted.wait()
        ending = asyncio.ensure_future(socket.close(code=1001))
        received.extend([message.json()["id"] async for message in socket])
        await ending
        return socket

    events: list[Event] = []
    async with (
        asyncio.timeout(TIMEOUT_S),
        a_door(web.get("/v1/elections/e/push", push)) as url,
        Publisher(url, "e", "token", on_event=events.append) as publisher,
    ):
        await said_goodbye.wait()
        answer = publisher.submit({"unit": "u", "revision": 1})
        submitted.set()
        assert (await answer).outcome == "accepted"
    assert connections == [[], []]
    assert not [event for event in events if isinstance(event, Failure)]
