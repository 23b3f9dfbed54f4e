"""The sessions of all clients: each for one door, through the proxy that the environment names for it.

Neither `.netrc` nor cookies are used: nothing is sent but what a caller gives.
"""

import asyncio
import os
import re
import ssl
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp import hdrs

from gateway.characters import code_point
from gateway.client.failures import Failure, HttpAnswer, wrong_scheme
from gateway.client.proxies import Proxy, is_loopback, proxy_for
from gateway.errors import GatewayError

CONNECT_S = 10.0
"""How long establishing a connection may take, in seconds."""
REFUSAL_MAX = 64 << 10
"""Bytes of the answer to a refused upgrade that are read."""
TLS_PROBE_S = 1.0
"""How long a port may take to complete a TLS handshake, in seconds."""
_NOT_IN_TOKEN = re.compile(r"[^!-~]")
"""What no token contains, and no header may contain; see RFC 6750, section 2.1."""


class BadToken(GatewayError):
    """A token that cannot be sent: it contains a character that no token has."""

    code = "bad_token"


class NotFollowed(Exception):
    """An answer that ends a request: not the requested upgrade, or a redirect to another host."""

    def __init__(self, answer: HttpAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def bearer(token: str) -> dict[str, str]:
    """Return the header with a token. Raises BadToken, whose text does not contain the token."""
    if not token:
        raise BadToken("the token is empty")
    if (found := _NOT_IN_TOKEN.search(token)) is not None:
        where = f"{code_point(found[0])} at position {found.start() + 1} of {len(token)}"
        raise BadToken(f"the token contains a character that no token has: {where}; copy the token again")
    return {"Authorization": f"Bearer {token}"}


def environment_proxy(url: str, *, loopback_direct: bool = False) -> Proxy | None:
    """Return the proxy for a door; with `loopback_direct`, none for this machine. Raises BadProxy."""
    return None if loopback_direct and is_loopback(url) else proxy_for(url, os.environ)


def open_session(
    proxy: Proxy | None,
    *,
    total_s: float | None = None,
    silence_s: float | None = None,
    decompress: bool = True,
    connections_max: int = 100,
    user_agent: str | None = None,
) -> aiohttp.ClientSession:
    """Return a session for requests through a proxy, or directly. Redirects are followed on the same host only.

    A request ends after `total_s`, and when nothing arrives for `silence_s` seconds. 0 connections are no limit.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections_max),
        timeout=aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S, sock_read=silence_s),
        auto_decompress=decompress,
        headers={hdrs.USER_AGENT: user_agent} if user_agent is not None else None,
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=proxy.url if proxy is not None else None,
        middlewares=(_follow_only_expected,),
    )


async def _follow_only_expected(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Raise NotFollowed: otherwise the failure would be that of another host, or the body of the answer be lost."""
    response = await handler(request)
    upgrade = hdrs.UPGRADE in request.headers and response.status != 101
    location = response.headers.get(hdrs.LOCATION, "") if 300 <= response.status < 400 else ""
    if not upgrade and not _is_elsewhere(str(request.url), location):
        return response
    try:
        body = await response.content.read(REFUSAL_MAX)
    except aiohttp.ClientPayloadError:
        body = b""
    response.close()
    raise NotFollowed(HttpAnswer(str(request.url), response.status, response.headers, body))


def _is_elsewhere(url: str, location: str) -> bool:
    """Return whether a redirect leads to another host, or nowhere that can be followed."""
    try:
        return urlsplit(urljoin(url, location)).hostname != urlsplit(url).hostname
    except ValueError:
        return True


async def with_scheme_checked(failure: Failure, url: str, proxy: Proxy | None) -> Failure:
    """Return the failure, or that the URL should begin with https://, if its port completes a TLS handshake.

    A port that expects TLS closes the connection, answers bytes that are not HTTP, or answers 400.
    """
    unclear = failure.code in ("disconnected", "not_http") or (
        failure.code == "foreign" and failure.status == 400
    )
    if not unclear or proxy is not None or not url.startswith("http://") or not await _speaks_tls(url):
        return failure
    return wrong_scheme(url, speaks_tls=True)


async def _speaks_tls(url: str) -> bool:
    parts = urlsplit(url)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent
    try:
        async with asyncio.timeout(TLS_PROBE_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, ssl=context)
    except (OSError, TimeoutError, ValueError):
        return False
    writer.transport.abort()
    return True
