"""Errors below the routes: any answer is a problem document with the usual headers, and repeats no input."""

import asyncio
import json
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.rehearsal.generator import GeneratedElection
from gateway.web import aiohttp_problems
from tests.running import Gateway
from tests.web.doors import TIMEOUT_S, a_registry, open_connection, shown

CANARY = "CaNaRy-7f3a"
UNENDING = "a head without end"
HOST = b"Host: door\r\n"
BEARER, END = b"Authorization: Bearer ", b"\r\n\r\n"
C = CANARY.encode()

REQUESTS = {
    "no HTTP": C + b"\r\n\r\n",
    "a method that is none": C + b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method that no route takes": b"DELETE /v1/elections/" + C + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path that is none": b"GET /" + C + b"?token=" + C + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target that is no path": b"GET " + C + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target in absolute form": b"GET http://" + C + b"/" + C + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with a bad port": b"GET http://door:" + C + b"/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a version that is none": b"GET /" + C + b" HTTP/" + C + b"\r\n" + HOST + b"\r\n",
    "a version to come": b"GET /" + C + b" HTTP/9.9\r\n" + HOST + b"\r\n",
    "HTTP/1.0": b"GET /" + C + b" HTTP/1.0\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\n" + HOST + C + b"\r\n\r\n",
    "a header name that is none": b"GET / HTTP/1.1\r\n" + HOST + C + b"\x00: x\r\n\r\n",
    "a header value that is none": b"GET / HTTP/1.1\r\n" + HOST + b"Authorization: Bearer " + C + b"\x00\r\n\r\n",
    "a long request line": b"GET /" + C + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a long header": b"GET / HTTP/1.1\r\n" + HOST + b"Authorization: " + C + b"x" * 30_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + HOST + (C + b": x\r\n") * 500 + b"\r\n",
    UNENDING: b"GET / HTTP/1.1\r\n" + HOST + (b"X: " + C + b"x" * 4000 + b"\r\n") * 8,
    "an unknown expectation": b"GET /health/live HTTP/1.1\r\n" + HOST + b"Expect: " + C + b"\r\n\r\n",
    "an unknown expectation at no route": b"GET /" + C + b" HTTP/1.1\r\n" + HOST + b"Expect: " + C + b"\r\n\r\n",
    "an unknown protocol": b"GET /" + C + b" HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: " + C + END,
    "two lengths": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: " + C + b"\r\n\r\n",
    "a length that is none": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: " + C + b"\r\n\r\n",
    "a coding that is none": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: " + C + b"\r\n\r\n",
    "a chunk that is none": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + C + b"\r\n",
    "a token that is none": b"GET /v1/elections/" + C + b"/transfers HTTP/1.1\r\n" + HOST + BEARER + C + END,
    "an election that is none": b"GET /v1/elections/" + C + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a range that is none": b"GET /v1/elections/{}/publications/" + C + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "an area that is none": b"GET /v1/elections/{}/areas/" + C + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a query that is none": b"GET /v1/elections/{}/publications?after=" + C + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a cursor that is none": b"GET /v1/elections/" + C + b"/feed?lastEventId=" + C + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a body where none is read": b"GET /v1/elections/{}/publications HTTP/1.1\r\n" + HOST
    + b"Accept: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(C) + C,
    "a trace that is none": b"GET /" + C + b" HTTP/1.1\r\n" + HOST + b"traceparent: " + C + b"\r\n\r\n",
}  # fmt: skip


async def answer_to(url: str, data: bytes) -> bytes:
    """Return the first answer."""
    reader, writer = await open_connection(url)
    try:
        writer.write(data)
        async with asyncio.timeout(TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length:")[1].split()[0])
            return head + await reader.readexactly(size)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize("port", ["push", "feed", "admin"])
async def test_an_error_has_the_usual_headers_and_repeats_no_input(
    gateway: Gateway, small: GeneratedElection, port: str
) -> None:
    """From any part of a request where a client may have put a token; nor does the log."""
    election = await gateway.load(a_registry(small))
    await shown(gateway, election)
    url = getattr(gateway, f"{port}_url")
    for name, data in REQUESTS.items():
        if port == "admin" and name == UNENDING:
            continue  # of that port, only the lines and their number are bounded
        answer = await answer_to(url, data.replace(b"{}", election.encode()))
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        status = int(lines[0].split()[1])
        headers = dict(line.split(": ", 1) for line in lines[1:])
        assert 400 <= status < 500, (name, answer)
        document = json.loads(body)
        assert document["status"] == status, name
        assert document["type"] == f"urn:valgnatt:problem:{document['code']}", name
        assert headers["content-type"].startswith("application/problem+json"), name
        assert headers["server"] == "valgnatt", (name, headers)
        assert headers["x-content-type-options"] == "nosniff", name
        assert "default-src 'none'" in headers["content-security-policy"], name
        assert headers["referrer-policy"] == "no-referrer", name
        assert headers["cache-control"] == "no-store", name
        assert headers.get("access-control-allow-origin") == ("*" if port == "feed" else None), name
        assert CANARY.lower() not in answer.decode().lower(), (name, answer)
    assert not [line for line in gateway.log if CANARY.lower() in line.lower()]


def test_a_disconnected_client_is_not_logged_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing to it fails, and nothing is logged; the same failure with a connected client is logged."""
    logged: list[str] = []
    monkeypatch.setattr(aiohttp_problems.log, "error", lambda event, **_: logged.append(event))
    handler = object.__new__(aiohttp_problems.ProblemHandler)
    handler._answer_headers = {}
    request: Any = SimpleNamespace(transport=None, writer=SimpleNamespace(output_size=0))
    with pytest.raises(ConnectionResetError):
        handler.handle_error(request, 500, ConnectionResetError())
    assert logged == []
    request.transport = SimpleNamespace(is_closing=lambda: False)
    assert handler.handle_error(request, 500, ConnectionResetError()).status == 500
    assert logged == ["request failed"]
