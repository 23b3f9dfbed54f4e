"""A signed record as a feed door serves it. A hostile server costs bounded bytes and time, and is named.

Bodies are decompressed here, up to the limit of what is read. A request that may succeed later is repeated a few times;
also one for a part beyond the checkpoint that this process of the door shows, as another one may be ahead of it.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import msgspec

from gateway.client.documents import the_election
from gateway.client.failures import Failure, HttpAnswer, failure_of_answer, failure_of_error
from gateway.client.http_json import NoDocument
from gateway.client.http_session import NotFollowed, environment_proxy, open_session, with_scheme_checked
from gateway.client.proxies import Proxy, without_user
from gateway.client.sse import EventParser
from gateway.errors import GatewayError
from gateway.transparency.merkle import HASH_SIZE
from gateway.transparency.note import NOTE_MAX
from gateway.transparency.tiles import BUNDLE_MAX, FULL, Tile
from gateway.verification.copies import (
    LINE_MAX,
    REGISTRY_MAX,
    TILE_MAX,
    CheckpointLine,
    Copy,
    PublicationLine,
    ShownAreas,
    SignedRecord,
    read_checkpoint_line,
    read_publication_line,
)
from gateway.verification.failures import NotThere, VerificationFailed

T = TypeVar("T")

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
FEED_S, FEED_SILENCE_S = 180.0, 25.0
"""How long a snapshot of all areas may take, and how long there may be no byte of it; the door sends one every 10 s."""
FEED_MAX = 192 << 20
"""Bytes of a snapshot of all areas, decompressed; that of Norway has 6 MB."""
AREAS_MAX = 500_000
"""Areas of a snapshot; a registry of REGISTRY_MAX bytes has fewer."""
PART = 1 << 20
"""Bytes that are decompressed at a time."""
PAGE = 1000
"""Lines of a page of publications or checkpoints."""
PAGE_MAX = 128 << 20
"""Bytes of a page of lines."""
LATER = {"beyond_checkpoint", "starting"}
"""Codes of a door that is a moment behind."""
ELECTIONS = "/v1/elections/"


class FeedRecord(SignedRecord):
    """The record of the election at `url`, https://host/v1/elections/ELECTION."""

    is_door = True
    has_publications = True
    shows_areas = True

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
            lines = _lines_of(await self.document(path, PAGE_MAX))
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
        return (await self._tile(level, index, width, TILE_MAX))[: HASH_SIZE * width]

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
            lines = _lines_of(await self.document(path, PAGE_MAX))
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
        return await self._repeated(lambda: self._answer(path, most))

    async def try_document(self, path: str, most: int) -> bytes | None:
        """Return the body of an answer with status 200; None for any other answer, and if there is none."""
        try:
            answer = await self._answer(path, most)
        except VerificationFailed:
            return None
        return answer if isinstance(answer, bytes) else None

    async def _repeated(self, request: Callable[[], Awaitable[T | Failure]]) -> T:
        """Return what a request has as its answer; repeat it a few times if it may succeed in a moment."""
        attempt, pause_s = 1, PAUSE_S
        while isinstance(answer := await request(), Failure):
            if attempt == ATTEMPTS or not _may_pass(answer):
                if answer.status == 404:
                    raise NotThere(answer.text, answer.problem)
                raise VerificationFailed("unreachable", answer.text)
            await asyncio.sleep(pause_s if answer.retry_after_s is None else max(0.1, answer.retry_after_s))
            attempt, pause_s = attempt + 1, 2 * pause_s
        return answer

    async def areas(self, levels: Sequence[str], since: ShownAreas | None = None) -> ShownAreas:
        """Return every area that the feed shows, at one sequence; `since` is what was read before, and is not changed.

        Raises VerificationFailed (unreachable, figures_differ).
        """
        url = f"{self._url}/feed?{urlencode({'levels': ','.join(levels)})}"
        return await self._repeated(lambda: self._snapshot(url, since))

    async def _snapshot(self, url: str, since: ShownAreas | None) -> ShownAreas | Failure:
        try:
            found = await self._block(url, since)
        except NotFollowed as redirected:
            return failure_of_answer(redirected.answer, DOOR, self._proxy)
        except _TooMuch as error:
            raise VerificationFailed("unreachable", f"{without_user(url)}: {error}") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return failure_of_error(url, error, self._proxy)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            text = f"{without_user(url)}: the feed is not one of version 1: {error}"
            raise VerificationFailed("figures_differ", text) from None
        return failure_of_answer(found, DOOR, self._proxy) if isinstance(found, HttpAnswer) else found

    async def _block(self, url: str, since: ShownAreas | None) -> ShownAreas | HttpAnswer:
        """Read a stream to its first block; return any other answer.

        Without `Accept: text/event-stream`, a door that has no room answers 503, and not a stream without a block.
        """
        headers = {"Accept-Encoding": "gzip"} | ({"Last-Event-ID": since.cursor} if since is not None else {})
        parser, found, size = EventParser(), dict[str, bytes](), 0
        timeout = aiohttp.ClientTimeout(total=FEED_S, sock_read=FEED_SILENCE_S)
        async with self._http.get(url, headers=headers, timeout=timeout) as response:
            if response.status != 200 or response.content_type != "text/event-stream":
                return await self._whole(response, LINE_MAX)
            inflate = _inflater(response.headers.get("Content-Encoding", ""))
            async for piece in response.content.iter_any():
                for part in _parts(inflate, piece):
                    size += len(part)
                    if size > FEED_MAX:
                        raise _TooMuch(f"the snapshot is larger than {FEED_MAX >> 20} MiB")
                    for event in parser.feed(part):
                        if event.type == "area":
                            found[msgspec.json.decode(event.data, type=_ShownArea).area] = event.data
                            if len(found) > AREAS_MAX:
                                raise _TooMuch(f"the snapshot has more than {AREAS_MAX} areas")
                        elif event.type == "block":
                            header = msgspec.json.decode(event.data, type=_BlockHeader)
                            before = {} if since is None or header.snapshot else since.areas
                            return ShownAreas(event.id, header.sequence, header.chain, {**before, **found})
        raise _TooMuch("the feed ended without a block")

    async def _tile(self, level: int | None, index: int, width: int, most: int) -> bytes:
        try:
            return await self.document(f"/log/{Tile(level, index, width).path}", most)
        except NotThere:
            if width == FULL:
                raise
        return await self.document(f"/log/{Tile(level, index).path}", most)

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
            return await self._whole(response, most)

    @staticmethod
    async def _whole(response: aiohttp.ClientResponse, most: int) -> HttpAnswer:
        """Read an answer of at most `most` bytes to its end. Raises _TooMuch."""
        inflate = _inflater(response.headers.get("Content-Encoding", ""))
        body, received = bytearray(), 0
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


class _BlockHeader(msgspec.Struct):
    sequence: int
    chain: str
    snapshot: bool


class _ShownArea(msgspec.Struct):
    area: str


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


def _parts(inflate: "zlib._Decompress | None", piece: bytes) -> Iterator[bytes]:
    """Yield what a piece of a stream becomes, in parts of at most PART bytes."""
    if inflate is None:
        yield piece
        return
    while piece:
        yield _inflated(inflate, piece, PART)
        piece = inflate.unconsumed_tail


def _lines_of(page: bytes) -> list[bytes]:
    """Return the first PAGE lines of a page, which has no more; a page of line feeds alone does not fill the memory."""
    lines = page.split(b"\n", PAGE)
    return lines[:PAGE] if lines[-1] else lines[:-1]


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
