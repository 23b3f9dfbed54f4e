"""The publisher against a door that answers `retry`: every report is answered, in the order submitted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from gateway.client.publisher import Publisher, push_http
from gateway.wire.session import FRAME_MAX, SUBPROTOCOL

TIMEOUT_S = 10.0


@asynccontextmanager
async def a_door(*routes: web.RouteDef) -> AsyncIterator[str]:
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


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
