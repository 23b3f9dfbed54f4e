"""Request the files of a mirror: each bounded in bytes and time, and every failure named."""

from datetime import datetime
from typing import NamedTuple

import aiohttp

from gateway.client.failures import URL_MAX, Failure, failure_of_error
from gateway.client.http_session import CONNECT_S, NotFollowed
from gateway.client.mirror_age import server_now
from gateway.client.mirror_files import FILE_MAX, Unpacker
from gateway.client.proxies import Proxy, without_user
from gateway.client.retry_after import retry_after_s
from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.wire.mirror import MalformedMirror

LIVE_S, FILE_S = 10.0, 300.0
"""How long `live.json`, and any other file, may take to arrive, in seconds: a snapshot of 2 MB at 64 kbit/s."""
SILENCE_S = 10.0
"""Seconds without a byte after which a request is given up."""
REDIRECTS_MAX = 3
"""Redirects that one request may follow, on the same host."""
ABSENT = frozenset((403, 404, 410))
"""Statuses for a file that does not exist; object stores that do not list their objects answer 403."""


class MirrorFailed(Exception):
    """A request to a mirror that brought nothing useful."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class MirrorAnswer(NamedTuple):
    """An answer; the body of any status but 200 is not read."""

    status: int
    """200, 304 or one of ABSENT."""
    body: bytes
    etag: str | None
    now: datetime
    """The time of the server."""


class MirrorRequests:
    """Requests of one reader."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        mirror_url: str,
        *,
        gzip: bool,
        proxy: Proxy | None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self.url = mirror_url.rstrip("/")
        self.number = 0
        self.wire_bytes = 0
        """Bytes of bodies, compressed if they were."""
        self._session = session
        self._coding = "gzip" if gzip else "identity"
        self._proxy = proxy

    async def file(self, path: str, most: int = FILE_MAX) -> bytes:
        """Return a file of up to `most` bytes that `live.json` names, or that every mirror has. Raises MirrorFailed."""
        answer = await self.get(path, most, FILE_S)
        if answer.status != 200:
            why = f"answered {answer.status}; it may have been removed since, so live.json is read again"
            raise self.failed("mirror_file_missing", path, why, answer.status)
        return answer.body

    async def get(
        self, path: str, most: int, total_s: float = LIVE_S, etag: str | None = None
    ) -> MirrorAnswer:
        """Request a file of up to `most` bytes, unless it is still the one with this ETag. Raises MirrorFailed."""
        url = f"{self.url}/{path}"
        headers = {"Accept-Encoding": self._coding, **({"If-None-Match": etag} if etag is not None else {})}
        timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        self.number += 1
        try:
            async with self._session.get(
                url, headers=headers, timeout=timeout, max_redirects=REDIRECTS_MAX
            ) as response:
                now = server_now(response.headers, self._clock.now())
                body = await self._content(response, most) if response.status == 200 else b""
                if response.status not in (200, 304, *ABSENT):
                    raise self._refused(path, response)
                return MirrorAnswer(response.status, body, response.headers.get("ETag"), now)
        except MalformedMirror as error:
            raise self.failed("mirror_malformed", path, str(error)) from None
        except NotFollowed as error:
            where = without_user(error.answer.headers.get("Location", ""))[:URL_MAX] or "nowhere"
            why = f"redirected to {where} ({error.answer.status}), and other hosts are not followed"
            raise self.failed("redirect", path, why, error.answer.status) from None
        except aiohttp.TooManyRedirects:
            raise self.failed("redirect", path, f"redirected more than {REDIRECTS_MAX} times") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise MirrorFailed(failure_of_error(url, error, self._proxy)) from None

    async def _content(self, response: aiohttp.ClientResponse, most: int) -> bytes:
        packed = response.headers.get("Content-Encoding") == "gzip" and not self._session.auto_decompress
        unpacker = Unpacker(most, gzip=packed)
        async for piece in response.content.iter_any():
            self.wire_bytes += len(piece)
            unpacker.feed(piece)
        return unpacker.content()

    def failed(self, code: str, path: str, why: str, status: int | None = None) -> MirrorFailed:
        """Return the failure of a request for a file."""
        text = f"{without_user(f'{self.url}/{path}')[:URL_MAX]}: {why}"
        return MirrorFailed(Failure(code, text, status=status))

    def _refused(self, path: str, response: aiohttp.ClientResponse) -> MirrorFailed:
        """Return the failure of a status that no file has."""
        headers = response.headers
        after_s = retry_after_s(headers.get("Retry-After"), headers.get("Date"), self._clock.now())
        shown = without_user(f"{self.url}/{path}")[:URL_MAX]
        text = f"{shown}: answered {response.status}; the mirror is not available"
        return MirrorFailed(Failure("unavailable", text, False, after_s, response.status))
