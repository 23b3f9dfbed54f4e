"""What a client says about an answer that is not the one of a door, and whether it is worth trying again."""

import asyncio
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
import trustme

from gateway.client import http_json
from gateway.client.failures import Failure, HttpAnswer, failure_of_answer
from gateway.client.http_json import Door, NoDocument, open_door
from gateway.client.http_session import BadToken, bearer
from gateway.client.proxies import Proxy
from tests.client.scripted import Request, answer, scripted, serving, web_page

URL = "http://gateway.example:8081/v1/elections/e/reports"


def a_problem(status: int, code: str, detail: str = "a detail") -> bytes:
    document = {"type": f"urn:valgnatt:problem:{code}", "status": status, "code": code, "detail": detail}
    return answer(status, json.dumps(document), kind="application/problem+json", Retry_After="7")


def judged(
    status: int, kind: str = "", body: bytes = b"", proxy: Proxy | None = None, **headers: str
) -> Failure:
    given = {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return failure_of_answer(HttpAnswer(URL, status, given, body), "push door", proxy)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 415, 421, 426, 451, 499])
@pytest.mark.parametrize(("kind", "body"), [("text/html", b"<html>"), ("application/json", b"{}"), ("", b"")])
def test_refusals_that_no_gateway_gave_may_pass(status: int, kind: str, body: bytes) -> None:
    """A proxy's 403 or 404 is an outage of the proxy as often as a wrong URL."""
    failure = judged(status, kind, body)
    assert (failure.code, failure.permanent, failure.problem) == ("foreign", False, None)
    assert URL in failure.text
    assert str(status) in failure.text


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("kind", ["text/html", "application/json", "application/problem+json", ""])
def test_an_outage_may_pass(status: int, kind: str) -> None:
    """Also with an answer that announces a problem document and is none; `Retry-After` is honoured."""
    failure = judged(status, kind, b"{}", Retry_After="7")
    assert (failure.code, failure.permanent, failure.retry_after_s) == ("unavailable", False, 7.0)


@pytest.mark.parametrize(
    ("status", "code", "permanent"),
    [
        (401, "token_invalid", True),
        (401, "token_missing", True),
        (401, "token_revoked", True),
        (403, "role_forbidden", True),
        (403, "origin_forbidden", True),
        (404, "unknown_election", True),
        (404, "not_found", True),
        (426, "upgrade_required", False),
        (408, "too_slow", False),
        (429, "overloaded", False),
        (429, "too_many_connections", False),
        (500, "internal_error", False),
        (503, "draining", False),
        (503, "token_invalid", False),
        (403, "a_code_of_another_server", False),
    ],
)
def test_problems_of_the_gateway_are_judged_by_their_code(status: int, code: str, permanent: bool) -> None:
    body = json.dumps({"code": code, "detail": "as it says\x1b[2J"}).encode()
    failure = judged(status, "application/problem+json; charset=utf-8", body)
    assert (failure.code, failure.problem, failure.permanent) == ("problem", code, permanent)
    assert "as it says\\x1b[2J" in failure.text


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_with_its_target(status: int) -> None:
    """Without its query, which may contain secrets."""
    failure = judged(status, Location="https://me:secret@login.example/x?session=secret#secret")
    assert (failure.code, failure.permanent) == ("redirect", True)
    assert "https://login.example/x" in failure.text
    assert "secret" not in failure.text


@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/plain", ""])
def test_success_of_another_server_is_permanent(kind: str) -> None:
    failure = judged(200, kind, b"anything")
    assert (failure.code, failure.permanent) == ("not_a_door", True)
    assert "not a push door" in failure.text


def test_a_proxy_that_wants_a_password_is_named_without_it() -> None:
    failure = judged(407, proxy=Proxy("http://me:secret@proxy:3128", "HTTP_PROXY"))
    assert (failure.code, failure.permanent) == ("proxy_authentication", True)
    assert "http://proxy:3128 (HTTP_PROXY)" in failure.text
    assert "secret" not in failure.text


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (web_page(200), "not_a_door"),
        (web_page(404), "foreign"),
        (web_page(502), "unavailable"),
        (answer(200, '{"elections": [', kind="application/json"), "not_a_door"),
        (answer(200, "[]", kind="application/json"), "not_a_door"),
        (answer(200, "{}", kind="application/json", length=100), "cut_off"),
        (answer(200, b"{}", kind="application/json", Content_Encoding="gzip"), "cut_off"),
        (a_problem(404, "unknown_election"), "problem"),
        (b"", "disconnected"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "not_http"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not_http"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 10_000 + b"\r\n", "not_http"),
    ],
)
async def test_a_request_ends_with_what_was_answered(given: bytes, code: str) -> None:
    """In one line that names the URL."""
    async with scripted(lambda _: given) as server, open_door("feed door", server.url, total_s=10.0) as door:
        with pytest.raises(NoDocument) as raised:
            await door.get("/v1/elections")
    assert raised.value.failure.code == code
    assert server.url in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("target", ["https://login.invalid/", "//login.invalid", "http://[::1"])
async def test_a_redirect_to_another_host_is_named_and_not_followed(target: str) -> None:
    """What that host answers, or whether it exists, says nothing about the gateway."""
    given = answer(302, Location=target)
    async with scripted(lambda _: given) as server, open_door("feed door", server.url, total_s=10.0) as door:
        with pytest.raises(NoDocument) as raised:
            await door.get("/v1/elections")
    assert (raised.value.failure.code, raised.value.failure.permanent) == ("redirect", True)


async def test_what_is_waited_for_is_shown_after_some_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(http_json, "WAITING_S", 0.01)
    async with scripted(lambda _: None) as server, open_door("feed door", server.url, total_s=0.2) as door:
        with pytest.raises(NoDocument):
            await door.get("/v1/elections")
    assert capsys.readouterr() == ("", f"waiting for {server.url}/v1/elections\n")


async def test_redirects_on_the_same_host_are_followed_only_without_a_token() -> None:
    """The port that it is redirected to never receives the token."""
    async with scripted(lambda _: answer(200, '{"here": 1}', kind="application/json")) as other:

        def redirect(_: Request) -> bytes:
            return answer(302, Location=f"{other.url}/elsewhere")

        async with scripted(redirect) as server, open_door("push door", server.url, total_s=10.0) as door:
            assert await door.get("/v1/elections") == {"here": 1}
            with pytest.raises(NoDocument) as raised:
                await door.get("/v1/elections", bearer("secret"))
    assert raised.value.failure.code == "redirect"
    assert [request.headers.get("authorization") for request in other.requests] == [None]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.mark.parametrize(
    ("issue", "trusted", "code", "words"),
    [
        (lambda ca: ca.issue_cert("localhost"), False, "certificate", "not trusted"),
        (lambda ca: ca.issue_cert("other.example"), True, "certificate", "another name"),
        (
            lambda ca: ca.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1)),
            True,
            "certificate",
            "expired",
        ),
        (
            lambda ca: ca.issue_cert("localhost", not_before=datetime.now(UTC) + timedelta(days=1)),
            True,
            "certificate",
            "not valid yet",
        ),
    ],
)
async def test_certificates_are_judged_by_the_result_of_their_verification(
    authority: trustme.CA,
    issue: Callable[[trustme.CA], trustme.LeafCert],
    trusted: bool,
    code: str,
    words: str,
) -> None:
    """All of these are permanent: somebody has to change something."""
    context = ssl.create_default_context()
    if trusted:
        authority.configure_trust(context)
    async with scripted(lambda _: answer(200, "{}"), context_of(issue(authority))) as server:
        failure = await failure_over_tls(server.url, context)
    assert (failure.code, failure.permanent) == (code, True)
    assert words in failure.text


async def failure_over_tls(url: str, context: ssl.SSLContext) -> Failure:
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector) as http:
        with pytest.raises(NoDocument) as raised:
            await Door("feed door", url, http).get("/v1/elections")
    return raised.value.failure


async def test_the_wrong_scheme_is_recognised_both_ways(authority: trustme.CA) -> None:
    """http:// to a port with TLS, and https:// to one without, which answers as HTTP servers do."""
    async with scripted(lambda _: answer(400), context_of(authority.issue_cert("localhost"))) as server:
        with pytest.raises(NoDocument) as raised:
            async with open_door("feed door", f"http://localhost:{server.port}", total_s=10.0) as door:
                await door.get("/v1/elections")
    assert raised.value.failure.code == "wrong_scheme"
    assert "begin with https://" in str(raised.value)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer(400))

    async with (
        serving(refuse) as port,
        open_door("feed door", f"https://localhost:{port}", total_s=10.0) as door,
    ):
        with pytest.raises(NoDocument) as raised:
            await door.get("/v1/elections")
    assert raised.value.failure.code == "wrong_scheme"
    assert "begin with http://" in str(raised.value)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://gateway.invalid:8081", "name_unknown"),
        ("http://127.0.0.1:9", "refused"),
        ("http://[::1]:9", "refused"),
    ],
)
async def test_a_door_that_cannot_be_reached_is_named(url: str, code: str) -> None:
    async with open_door("feed door", url, total_s=10.0) as door:
        with pytest.raises(NoDocument) as raised:
            await door.get("/v1/elections")
    assert (raised.value.failure.code, raised.value.failure.permanent) == (code, False)


async def test_a_door_that_never_answers_is_given_up() -> None:
    async with scripted(lambda _: None) as server, open_door("feed door", server.url, total_s=0.2) as door:
        with pytest.raises(NoDocument) as raised:
            await door.get("/v1/elections")
    assert raised.value.failure.code == "timeout"


@pytest.mark.parametrize(
    "token", ["secret\n", "\ufeffsecret", "sec ret", "secret\r\n", "s\u00e9cret", "secret\x00", ""]
)
def test_a_token_that_cannot_be_sent_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(BadToken) as raised:
        bearer(token)
    assert "cret" not in str(raised.value).replace("character", "")


async def test_a_connection_that_is_closed_after_the_handshake_may_need_a_client_certificate(
    authority: trustme.CA,
) -> None:
    """With TLS 1.3 the door closes it then; aiohttp does not always pass on the alert, which would be certain."""
    context = context_of(authority.issue_cert("localhost"))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    async with scripted(lambda _: answer(200, "{}"), context) as server:
        failure = await failure_over_tls(server.url, client)
    assert failure.code in ("client_certificate", "disconnected")
    assert "client certificate" in failure.text
