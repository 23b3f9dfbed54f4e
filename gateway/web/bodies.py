"""Bodies of answers, made once for all clients that request the same: plain, compressed and with an ETag.

A repeated answer, a HEAD and a 304 cost no more than a look-up, and what many connections have not read yet is in
memory once.
"""

import gzip
import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Mapping

from aiohttp import hdrs, web

from gateway.feed.compression import GZIP_START, LEVEL_FAST, deflate, gzip_end, gzip_steps
from gateway.web.negotiation import combined, is_current

BODIES_MAX = 32 << 20
"""Bytes of the bodies that are cached; another one evicts the least recently used."""
BODY_OVERHEAD = 1 << 10
"""Bytes that a cached body takes in addition to its content, with its name; this bounds the number of them too."""
GZIP_MIN = 1000
"""Bytes above which a body is compressed for clients that accept it."""

_TAG_STEP = 1 << 20
"""Bytes of a document of which the tag is computed in one step."""


class Body:
    """A body that is sent to many clients. Invariant: it never changes, so its ETag is a strong one."""

    __slots__ = ("_compress", "_compressed", "content_type", "plain", "size", "tag")

    def __init__(
        self,
        plain: bytes,
        content_type: str,
        *,
        tag: str | None = None,
        compress: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self.plain = plain
        self.content_type = content_type
        self.tag = hashlib.sha256(plain).hexdigest()[:32] if tag is None else tag
        self.size = BODY_OVERHEAD + len(plain) + len(plain) // 2
        """Bytes that it takes with its compressed form, as an estimate."""
        self._compress = compress or _gzip
        self._compressed: bytes | None = None

    def answer(
        self, request: web.Request, headers: Mapping[str, str], *, gzip: bool, charset: str | None = "utf-8"
    ) -> web.Response:
        """Return it as an answer, compressed if `gzip` is accepted and worth it; or 304 to a client that has it."""
        gzip = gzip and len(self.plain) > GZIP_MIN
        etag = f'"{self.tag}{"-gzip" if gzip else ""}"'
        every = {**headers, "ETag": etag}
        if is_current(combined(request.headers, hdrs.IF_NONE_MATCH), etag):
            return web.Response(status=304, headers=every)
        if gzip:
            every["Content-Encoding"] = "gzip"
        body = self.compressed() if gzip else self.plain
        return web.Response(body=body, content_type=self.content_type, charset=charset, headers=every)

    def compressed(self) -> bytes:
        """Return it as gzip."""
        if self._compressed is None:
            self._compressed = self._compress(self.plain)
        return self._compressed


class BodyCache:
    """The latest body of each name. Invariant: they take at most `limit` bytes, unless a single one exceeds that."""

    def __init__(self, limit: int = BODIES_MAX) -> None:
        self._limit = limit
        self._bodies: OrderedDict[Hashable, tuple[Hashable, Body]] = OrderedDict()
        self._size = 0

    def find(self, name: Hashable, version: Hashable) -> Body | None:
        """Return the body of a name in this version; None if it is not cached."""
        cached = self.newest(name)
        return cached[1] if cached is not None and cached[0] == version else None

    def newest(self, name: Hashable) -> tuple[Hashable, Body] | None:
        """Return the version and the body that are cached for a name; None if there are none."""
        cached = self._bodies.get(name)
        if cached is not None:
            self._bodies.move_to_end(name)
        return cached

    def get(self, name: Hashable, version: Hashable, make: Callable[[], Body]) -> Body:
        """Return the body of a name in this version; make it if it is not cached."""
        found = self.find(name, version)
        if found is not None:
            return found
        former = self._bodies.pop(name, None)
        if former is not None:
            self._size -= former[1].size
        body = make()
        self._bodies[name] = version, body
        self._size += body.size
        while self._size > self._limit and len(self._bodies) > 1:
            self._size -= self._bodies.popitem(last=False)[1][1].size
        return body


class PrecompressedText:
    """A long text that does not change and is sent between others that do: compressed once for all of them."""

    __slots__ = ("_deflated", "digest", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.digest = hashlib.sha256(text).digest()
        self._deflated: bytes | None = None

    def between(self, before: bytes, after: bytes, content_type: str) -> Body:
        """Return a body with this text between two others."""
        tag = hashlib.sha256(b"\0".join((before, self.digest, after))).hexdigest()[:32]
        plain = before + self.text + after
        return Body(plain, content_type, tag=tag, compress=lambda whole: self._compress(before, after, whole))

    def _compress(self, before: bytes, after: bytes, whole: bytes) -> bytes:
        """Return one gzip stream of parts that each end in a flush."""
        if self._deflated is None:
            self._deflated = deflate(self.text)
        end = gzip_end(after, zlib.crc32(whole), len(whole))
        return b"".join((GZIP_START, deflate(before), self._deflated, end))


def body_steps(plain: bytes, content_type: str) -> Generator[None, None, Body]:
    """Return a long document with its tag and its compressed form, in steps of a millisecond."""
    digest = hashlib.sha256()
    for start in range(0, len(plain), _TAG_STEP):
        digest.update(memoryview(plain)[start : start + _TAG_STEP])
        yield
    packed = yield from gzip_steps(plain)
    return Body(plain, content_type, tag=digest.hexdigest()[:32], compress=lambda _: packed)


def _gzip(plain: bytes) -> bytes:
    return gzip.compress(plain, LEVEL_FAST, mtime=0)
