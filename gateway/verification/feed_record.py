"""A signed record as a feed door serves it. A hostile server costs bounded bytes and time, and is named.

Bodies are decompressed here, up to the limit of what is read. A request that may succeed later is repeated a few times;
also one for a part beyond the checkpoint that this process of the door shows, as another one may be ahead of it.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from gateway.client.documents import the_election
from gateway.client.failures import Failure, HttpAnswer, failure_of_answer, failure_of_error
from gateway.client.http_json import NoDocument
from gateway.client.http_session import NotFollowed, environment_proxy, open_session, with_scheme_checked
from gateway.client.proxies import Proxy, without_user
from gateway.errors import GatewayError
from gateway.verification.copies import (
    BUNDLE_MAX,
    FULL,
    LINE_MAX,
    NOTE_MAX,
    REGISTRY_MAX,
    TILE_MAX,
    CheckpointLine,
    Copy,
    PublicationLine,
    SignedRecord,
    read_checkpoint_line,
    read_publication_line,
    tile_path,
)
from gateway.verification.failures import NotThere, VerificationFailed

DOOR = "feed door"
REQUEST_S = 60.0
"""How long an answer may take, in seconds, from the request to its last byte."""
SILENCE_S = 10.0
"""Seconds without a byte after which a request is given up."""
CONNECTIONS = 2
"""Requests at the same time."""
ATTEMPTS = 4
PAUSE_S = 1.0
"""Seconds before the second attempt, unless the answer says when; each later pause is twice as long."""
PAGE = 1000
"""Lines of a page of publications or checkpoints."""
PAGE_MAX = 128 << 20
"""Bytes of a page of lines."""
LATER = {"beyond_checkpoint", "starting"}
"""Codes of a door that is a moment behind."""
ELECTIONS = "/v1/elections/"


class FeedRecord(SignedRecord):
    """The record of the election at `url`, https://host/v1/elections/ELECTION."""

    has_documents = True

    def __init__(self, url: str, http: aiohttp.ClientSession, proxy: Proxy | None = None) -> None:
        self._url = url.rstrip("/")
        self.where = without_user(self._url)
        self._http = http
        self._proxy = proxy

    async def checkpoint(self) -> bytes:
        """Return the newest checkpoint that the door shows."""
        return await self.document("/log/checkpoint", NOTE_MAX)

    async def checkpoints(self, after: int = 0) -> AsyncIterator[CheckpointLine]:
        """Yield every checkpoint above a size, a page at a time."""
        while True:
            path = f"/log/checkpoints?{urlencode({'after': after, 'limit': PAGE})}"
            lines = (await self.document(path, PAGE_MAX)).splitlines()
            for line in lines:
                found = read_checkpoint_line(line, f"{self.where}{path}")
                if found.size <= after:
                    text = f"{self.where}{path}: checkpoints that are not in order"
                    raise VerificationFailed("bad_signature", text)
                after = found.size
                yield found
            if len(lines) < PAGE:
                return

    async def tile(self, level: int, index: int, width: int = FULL) -> bytes:
        """Return the first `width` hashes of a tile."""
        return (await self._tile(level, index, width, TILE_MAX))[: 32 * width]

    async def bundle(self, index: int, width: int = FULL) -> bytes:
        """Return an entry bundle with `width` entries, or the full one."""
        return await self._tile(None, index, width, BUNDLE_MAX)

    async def registry(self) -> bytes:
        """Return the registry whose hash is in the opening entry."""
        return await self.document("/log/registry", REGISTRY_MAX)

    async def publications(self, after: int, last: int) -> AsyncIterator[list[PublicationLine]]:
        """Yield the publications after a sequence up to `last`, a page at a time; fewer if the record ends before."""
        while after < last:
            path = f"/publications?{urlencode({'after': after, 'limit': PAGE})}"
            where = f"{self.where}{path}"
            lines = (await self.document(path, PAGE_MAX)).splitlines()
            found = [read_publication_line(line, where) for line in lines[: last - after]]
            if not found:
                return
            if [each.sequence for each in found] != list(range(after + 1, after + 1 + len(found))):
                text = f"{where}: publications that are not numbered in order from {after + 1}"
                raise VerificationFailed("chain_mismatch", text)
            after = found[-1].sequence
            yield found

    async def document(self, path: str, most: int) -> bytes:
        """Return the body of an answer with status 200, of at most `most` bytes. Raises VerificationFailed."""
        attempt, pause_s = 1, PAUSE_S
        while isinstance(answer := await self._answer(path, most), Failure):
            if attempt == ATTEMPTS or not _may_pass(answer):
                if answer.status == 404:
                    raise NotThere(answer.text, answer.problem)
                raise VerificationFailed("unreachable", answer.text)
            await asyncio.sleep(pause_s if answer.retry_after_s is None else max(0.1, answer.retry_after_s))
            attempt, pause_s = attempt + 1, 2 * pause_s
        return answer

    async def _tile(self, level: int | None, index: int, width: int, most: int) -> bytes:
        try:
            return await self.document(f"/{tile_path(level, index, width)}", most)
        except NotThere:
            if width == FULL:
                raise
        return await self.document(f"/{tile_path(level, index)}", most)

    async def _answer(self, path: str, most: int) -> bytes | Failure:
        url = self._url + path
        try:
            answer = await self._request(url, most)
        except NotFollowed as redirected:
            answer = redirected.answer
        except _TooMuch as error:
            raise VerificationFailed("unreachable", f"{without_user(url)}: {error}") from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = failure_of_error(url, error, self._proxy)
            return await with_scheme_checked(failure, url, self._proxy)
        if answer.status == 200:
            return answer.body
        return await with_scheme_checked(failure_of_answer(answer, DOOR, self._proxy), url, self._proxy)

    async def _request(self, url: str, most: int) -> HttpAnswer:
        async with self._http.get(url, headers={"Accept-Encoding": "gzip"}) as response:
            inflate = _inflater(response.headers.get("Content-Encoding", ""))
            body = bytearray()
            received = 0
            async for piece in response.content.iter_any():
                received += len(piece)
                body += piece if inflate is None else _inflated(inflate, piece, most + 1 - len(body))
                if len(body) > most or received > most + LINE_MAX:
                    raise _TooMuch(f"the answer is larger than {most} bytes")
            if inflate is not None and not inflate.eof:
                raise _TooMuch("the answer is not valid gzip")
            return HttpAnswer(str(response.url), response.status, response.headers, bytes(body))


def _may_pass(failure: Failure) -> bool:
    """Return whether the same request may succeed in a moment."""
    if failure.status is None:
        return failure.code in ("disconnected", "cut_off")
    return failure.problem in LATER or (failure.status != 404 and not failure.permanent)


class _TooMuch(Exception):
    """An answer of which no more is read."""


def _inflater(encoding: str) -> "zlib._Decompress | None":
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding != "gzip":
        raise _TooMuch(f"the answer has the encoding {encoding[:20]!r}, which was not asked for")
    return zlib.decompressobj(31)


def _inflated(inflate: "zlib._Decompress", piece: bytes, most: int) -> bytes:
    """Return what a piece of gzip becomes, at most `most` bytes of it; a piece beyond the limit is not decompressed."""
    if inflate.eof:
        raise _TooMuch("the answer is not valid gzip")
    try:
        return inflate.decompress(piece, max(1, most))
    except zlib.error:
        raise _TooMuch("the answer is not valid gzip") from None


def is_url(where: str) -> bool:
    """Return whether a record is named by its URL, not by its directory."""
    return where.startswith(("http://", "https://"))


@asynccontextmanager
async def open_record(where: str, election: str | None = None) -> AsyncIterator[SignedRecord]:
    """Open a record: a copy in a directory, or the one of an election at a feed door.

    A URL is that of the election, https://host/v1/elections/ELECTION, or of the feed door, with the election named
    beside it if it has more than one. Raises VerificationFailed (unreachable), BadProxy.
    """
    if not is_url(where):
        yield _existing_copy(Path(where))
        return
    url = where.rstrip("/")
    if not urlsplit(url).path.rpartition(ELECTIONS)[1]:
        url = f"{url}{ELECTIONS}{quote(await _the_election(url, election), safe='')}"
    proxy = environment_proxy(url)
    async with open_session(
        proxy, total_s=REQUEST_S, silence_s=SILENCE_S, decompress=False, connections_max=CONNECTIONS
    ) as http:
        yield FeedRecord(url, http, proxy)


def _existing_copy(directory: Path) -> Copy:
    if not directory.is_dir():
        raise NotThere(f"{directory}: no such directory")
    return Copy(directory)


async def _the_election(url: str, election: str | None) -> str:
    try:
        return await the_election(url, election)
    except NoDocument as error:
        raise VerificationFailed("unreachable", str(error)) from None
    except GatewayError as error:
        raise VerificationFailed("unreachable", f"{without_user(url)}: {error}") from None
