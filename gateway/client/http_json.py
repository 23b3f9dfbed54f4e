"""Get JSON documents from a door. Any failure becomes a GatewayError with a text of one line."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import aiohttp
import orjson

from gateway.client.failures import Failure, HttpAnswer, failure_of_answer, failure_of_error
from gateway.client.http_session import NotFollowed, environment_proxy, open_session, with_scheme_checked
from gateway.client.proxies import Proxy, without_user
from gateway.errors import GatewayError
from gateway.output import say

BODY_MAX = 256 << 20
"""Largest answer that is read, in bytes; the registry of an election ten times Norway's takes 10 MB."""
WAITING_S = 3.0
"""After how many seconds a person sees, on standard error, what is waited for."""
SILENCE_S = 10.0
"""Seconds without a byte after which a request is given up."""


class NoDocument(GatewayError):
    """A door gave no document; `failure` says why, and `document` is the JSON of the answer, if there is one."""

    code = "no_document"

    def __init__(self, failure: Failure, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(failure.text)
        self.failure = failure
        self.document = document


class Door:
    """One door ("push door", "feed door") whose documents are requested over one session."""

    def __init__(self, name: str, url: str, http: aiohttp.ClientSession, proxy: Proxy | None = None) -> None:
        self.name = name
        self._url = url.rstrip("/")
        self._http = http
        self._proxy = proxy
        self.delay_shown = False
        """Whether a person was shown that requests are repeated, for those who repeat them."""
        self.server_time: datetime | None = None
        """The time of the latest answer, from its `Date`; behind the server's clock by up to a second and its age."""

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the document of an answer with status 200. Raises NoDocument.

        Redirects are not followed by requests with headers, so that no token goes elsewhere.
        """
        return await self._answered("GET", path, headers, None)

    async def send(
        self, method: str, path: str, document: object, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """Send a document as JSON, and return that of an answer with status 200. Raises NoDocument."""
        body = orjson.dumps(document)
        return await self._answered(method, path, {**headers, "Content-Type": "application/json"}, body)

    async def _answered(
        self, method: str, path: str, headers: Mapping[str, str] | None, body: bytes | None
    ) -> dict[str, Any]:
        url = self._url + path
        waiting = asyncio.get_running_loop().call_later(
            WAITING_S, partial(say, f"waiting for {without_user(url)}", err=True)
        )
        try:
            answer = await self._request(method, url, headers, body)
        except NotFollowed as redirected:
            answer = redirected.answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = failure_of_error(url, error, self._proxy)
            raise NoDocument(await with_scheme_checked(failure, url, self._proxy)) from None
        finally:
            waiting.cancel()
        document = json_object(answer.body)
        if answer.status == 200 and document is not None:
            return document
        failure = failure_of_answer(answer, self.name, self._proxy)
        raise NoDocument(await with_scheme_checked(failure, url, self._proxy), document)

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str] | None, content: bytes | None
    ) -> HttpAnswer:
        followed = headers is None
        async with self._http.request(
            method, url, headers=headers, data=content, allow_redirects=followed
        ) as response:
            with suppress(KeyError, ValueError):
                self.server_time = parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > BODY_MAX:
                    raise GatewayError(f"{without_user(url)}: the answer is larger than {BODY_MAX >> 20} MiB")
            return HttpAnswer(str(response.url), response.status, response.headers, bytes(body))


@asynccontextmanager
async def open_door(name: str, url: str, *, total_s: float | None = None) -> AsyncIterator[Door]:
    """Open a session for a door, through the proxy that the environment names. Raises BadProxy."""
    proxy = environment_proxy(url)
    async with open_session(proxy, total_s=total_s, silence_s=SILENCE_S) as http:
        yield Door(name, url, http, proxy)


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a body; None if it is anything else."""
    try:
        document = orjson.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
