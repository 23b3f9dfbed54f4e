"""Clients without sockets and without waiting: a web in memory, and the event loop of the simulation."""

import asyncio
import gzip
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from multidict import CIMultiDict

from tests.simulation.loop import SimulatedLoop

T = TypeVar("T")

Body = bytes | AsyncIterator[bytes]


def run(main: Coroutine[Any, Any, T], seed: int = 0) -> T:
    """Run a coroutine in virtual time; the seed decides in which order its tasks run."""
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(random.Random(seed))) as runner:
        return runner.run(main)


class Response:
    """An answer in memory, with what the clients use of aiohttp's."""

    def __init__(
        self, url: str, status: int, body: Body = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        self.url = url
        self.status = status
        self.headers = CIMultiDict(headers or {})
        self.content = self
        self._pieces = _once(body) if isinstance(body, bytes) else body

    @property
    def content_type(self) -> str:
        """The media type without parameters."""
        return str(self.headers.get("Content-Type", "")).partition(";")[0]

    async def readany(self) -> bytes:
        """Return what has arrived; empty at the end."""
        return await anext(self._pieces, b"")

    async def read(self, most: int) -> bytes:
        """Return the body."""
        return (await self.readany())[:most]

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces."""
        while piece := await self.readany():
            yield piece

    def close(self) -> None:
        """End it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()


async def _once(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


Serve = Callable[[str, Mapping[str, str]], Awaitable[Response]]
"""Answers a request for a URL with these headers, or raises what aiohttp would."""


class Session:
    """A session whose every answer is made by a function."""

    auto_decompress = False

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.requested: list[str] = []

    def get(self, url: str, *, headers: Mapping[str, str], **_: Any) -> "_Request":
        """Request a URL."""
        self.requested.append(url)
        return _Request(self._serve(url, headers))


class _Request:
    def __init__(self, answer: Awaitable[Response]) -> None:
        self._answer = answer

    def __await__(self) -> Any:
        return self._answer.__await__()

    async def __aenter__(self) -> Response:
        return await self._answer

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        pass


def stored(url: str, body: bytes | None, headers: Mapping[str, str], etag: str = "") -> Response:
    """Return the answer of a web server that has a file, compressed if the client accepts that, or has it not."""
    if body is None:
        return Response(url, 404, b"<html>not found</html>", {"Content-Type": "text/html"})
    if etag and headers.get("If-None-Match") == etag:
        return Response(url, 304, b"", {"ETag": etag})
    coding = headers.get("Accept-Encoding", "identity")
    given = {"ETag": etag} if etag else {}
    if coding == "gzip":
        return Response(url, 200, gzip.compress(body, 1), {**given, "Content-Encoding": "gzip"})
    return Response(url, 200, body, given)
