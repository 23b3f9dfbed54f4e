"""The log of one election at a feed door, read by a sender in bounded bytes and time.

A door that is not there, slow or hostile costs its reader no more than that, and only a NoLog.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp
import msgspec

from gateway.client.failures import failure_of_error
from gateway.client.http_session import NotFollowed, environment_proxy, open_session
from gateway.client.proxies import Proxy
from gateway.errors import GatewayError
from gateway.transparency.checkpoint import Checkpoint, parse_checkpoint
from gateway.transparency.note import NOTE_MAX, MalformedNote, parse_note

REQUEST_S = 10.0
"""How long an answer may take, in seconds, from the request to its last byte."""
PROBLEM_MAX = 4096
"""Bytes of the answer to a request that failed."""
_UNCOMPRESSED = {"Accept-Encoding": "identity"}
"""Nothing is decompressed, so that what is read is what arrived."""
LATER = "beyond_checkpoint"
"""Code of a feed door for a report that no checkpoint covers yet."""


class NoLog(GatewayError):
    """The log of an election cannot be read, or there is none; the message says why."""

    code = "no_log"


class _Problem(msgspec.Struct):
    code: str = ""


class LogDoor:
    """The paths below `/v1/elections/{election}/log`. Nothing that is read is verified here."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def checkpoint(self) -> Checkpoint:
        """Return the newest checkpoint. Raises NoLog."""
        body = await self._read("/checkpoint", NOTE_MAX)
        if body is None:
            raise NoLog("the log has no checkpoint yet")
        try:
            return parse_checkpoint(parse_note(body).text)
        except MalformedNote as error:
            raise NoLog(f"the checkpoint of the feed door: {error}") from None

    async def proof(self, sequence: int, most: int) -> bytes | None:
        """Return the proof file of a report, unverified; None if no checkpoint covers it yet. Raises NoLog.

        One of more than `most` bytes is not read.
        """
        return await self._read(f"/proof/{sequence}", most)

    async def _read(self, path: str, most: int) -> bytes | None:
        status, body = await get_bounded(self._http, f"{self._url}{path}", most)
        if status == 200:
            return body
        code = _code_of(body)
        if status == 404 and code == LATER:
            return None
        raise NoLog(f"the feed door answered {status} {code}".rstrip())


async def get_bounded(
    http: aiohttp.ClientSession, url: str, most: int, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Return the status and the body of an answer within REQUEST_S, following no redirect.

    Raises NoLog if there is none, or one of more than `most` bytes (PROBLEM_MAX, unless its status is 200).
    """
    try:
        async with (
            asyncio.timeout(REQUEST_S),
            http.get(url, headers={**_UNCOMPRESSED, **(headers or {})}, allow_redirects=False) as response,
        ):
            if response.status != 200:
                most = PROBLEM_MAX
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > most:
                    raise NoLog(f"an answer of more than {most} bytes")
            return response.status, bytes(body)
    except NotFollowed as redirected:
        return redirected.answer.status, redirected.answer.body
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise NoLog(failure_of_error(url, error).text) from None


def _code_of(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Problem).code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


@asynccontextmanager
async def open_log(feed_url: str, election: str) -> AsyncIterator[LogDoor]:
    """Open a session for the log of an election, through the proxy that the environment names. Raises BadProxy."""
    proxy: Proxy | None = environment_proxy(feed_url)
    url = f"{feed_url.rstrip('/')}/v1/elections/{quote(election, safe='')}/log"
    async with open_session(proxy, decompress=False, connections_max=4) as http:
        yield LogDoor(url, http)
