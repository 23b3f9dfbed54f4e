"""Bodies of answers, made once for all who ask for the same: plain, compressed and with their ETag.

An answer that is asked for again, a HEAD and a 304 cost no more than finding it; and what many connections have not
taken yet is one piece of memory.
"""

import gzip
import hashlib
import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

from aiohttp import hdrs, web

from gateway.feed.compression import GZIP_START, QUICKLY, deflate

BODIES_MAX = 32 << 20
"""Bytes of the bodies that are kept; whoever asks for another evicts the one used longest ago."""
KEPT_LEAST = 1 << 10
"""Bytes that a body takes however short it is, with its name: so the number of those that are kept has a bound too."""
PACKED_LEAST = 1000
"""Bytes above which a body is compressed for those who take that."""


class Body:
    """What is answered to many. Invariant: it never changes, so its ETag is a strong one."""

    __slots__ = ("_pack", "_packed", "content_type", "held", "plain", "tag")

    def __init__(
        self,
        plain: bytes,
        content_type: str,
        *,
        tag: str | None = None,
        pack: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self.plain = plain
        self.content_type = content_type
        self.tag = hashlib.sha256(plain).hexdigest()[:32] if tag is None else tag
        self.held = KEPT_LEAST + len(plain) + len(plain) // 2
        """Bytes that it takes with its compressed form, or a little less."""
        self._pack = pack or _packed_quickly
        self._packed: bytes | None = None

    def answer(self, request: web.Request, headers: Mapping[str, str], *, packed: bool) -> web.Response:
        """Return it as an answer, compressed for a client that takes that; or 304 to one that has it already."""
        packed = packed and len(self.plain) > PACKED_LEAST
        etag = f'"{self.tag}{"-gzip" if packed else ""}"'
        every = {**headers, "ETag": etag}
        if matches(request, etag):
            return web.Response(status=304, headers=every)
        if packed:
            every["Content-Encoding"] = "gzip"
        body = self.packed() if packed else self.plain
        return web.Response(body=body, content_type=self.content_type, charset="utf-8", headers=every)

    def packed(self) -> bytes:
        """Return it under gzip."""
        if self._packed is None:
            self._packed = self._pack(self.plain)
        return self._packed


class Bodies:
    """The bodies that a process keeps: the present one of each name. Invariant: they take `most` bytes, or are one."""

    def __init__(self, most: int = BODIES_MAX) -> None:
        self._most = most
        self._bodies: OrderedDict[Hashable, tuple[Hashable, Body]] = OrderedDict()
        self._held = 0

    def find(self, name: Hashable, version: Hashable) -> Body | None:
        """Return the body of a name in this version, None where it is not there."""
        held = self._bodies.get(name)
        if held is None or held[0] != version:
            return None
        self._bodies.move_to_end(name)
        return held[1]

    def get(self, name: Hashable, version: Hashable, make: Callable[[], Body]) -> Body:
        """Return the body of a name in this version, made now unless it is there."""
        found = self.find(name, version)
        if found is not None:
            return found
        former = self._bodies.pop(name, None)
        if former is not None:
            self._held -= former[1].held
        body = make()
        self._bodies[name] = version, body
        self._held += body.held
        while self._held > self._most and len(self._bodies) > 1:
            self._held -= self._bodies.popitem(last=False)[1][1].held
        return body


class Framed:
    """A long text that does not change, and is sent between others that do: compressed once for all of them."""

    __slots__ = ("_deflated", "_digest", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._digest = hashlib.sha256(text).digest()
        self._deflated: bytes | None = None

    def body(self, before: bytes, after: bytes, content_type: str) -> Body:
        """Return it between two texts."""
        tag = hashlib.sha256(b"\0".join((before, self._digest, after))).hexdigest()[:32]
        plain = before + self.text + after
        return Body(plain, content_type, tag=tag, pack=lambda whole: self._pack(before, after, whole))

    def _pack(self, before: bytes, after: bytes, whole: bytes) -> bytes:
        """Return one gzip stream of pieces that end in a flush, and its trailer (RFC 1952, section 2.3.1)."""
        if self._deflated is None:
            self._deflated = deflate(self.text)
        last = zlib.compressobj(QUICKLY, zlib.DEFLATED, -zlib.MAX_WBITS)
        pieces = (GZIP_START, deflate(before), self._deflated, last.compress(after), last.flush())
        return b"".join(pieces) + struct.pack("<II", zlib.crc32(whole), len(whole) & 0xFFFFFFFF)


def matches(request: web.Request, etag: str) -> bool:
    """Whether the client has this representation already. Source: RFC 9110, section 13.1.2."""
    listed = request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")
    known = [each.strip().removeprefix("W/") for each in listed]
    return etag in known or "*" in known


def _packed_quickly(plain: bytes) -> bytes:
    return gzip.compress(plain, QUICKLY, mtime=0)
