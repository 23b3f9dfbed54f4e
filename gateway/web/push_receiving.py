"""The body of a push request: read within bounds of time and memory, unpacked, and split into reports."""

from collections.abc import Mapping
from typing import Literal

import msgspec
from aiohttp import HttpVersion11, hdrs, web

from gateway.deadline import Deadline
from gateway.election.registry import Registry
from gateway.web.aiohttp_connection import send_continue
from gateway.web.answers import JSON, Problem
from gateway.web.push_body import (
    BODY_MAX,
    Body,
    MalformedBody,
    Steps,
    TooLarge,
    reading,
    reading_eml,
    unpacking,
)
from gateway.web.shares import ByteReservation

BODY_S = 60.0
"""How long the body of a request may take at most, in seconds."""
BODY_GRACE_S, BODY_RATE = 10.0, 8 << 10
"""How long it may take for the bytes that have arrived: so many seconds, and one more for each BODY_RATE bytes. So a
client that sends a byte now and then is refused before it has occupied anything for long."""
MEMORY_FACTOR, REPORT_COST = 3, 1 << 10
"""About how much memory a split body takes: a multiple of its size (as it was sent, as it will be stored, as decoded
figures), and so many bytes for each report."""
EML_FACTOR = 10
"""The same for EML, of which also the place of each figure is kept until the reports are checked: with it, 9.1
were measured with 9 999 reports in 0.8 MiB, 8.0 with as many of 15 figures in 7 MiB."""

Kind = Literal["json", "ndjson", "eml"]
_KINDS: Mapping[str, Kind] = {
    JSON: "json",
    "application/x-ndjson": "ndjson",
    "application/xml": "eml",
    "text/xml": "eml",
}
"""The media types of bodies."""


async def expect_later(request: web.Request) -> None:
    """Leave `Expect: 100-continue` to be answered by `receive`, once the request is known to be accepted.

    So a body that would be refused is never sent. Raises HTTPExpectationFailed for any other expectation.
    Source: RFC 9110 section 10.1.1.
    """
    if request.version >= HttpVersion11 and not _expects_continue(request):
        raise web.HTTPExpectationFailed


def _expects_continue(request: web.Request) -> bool:
    return request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"


class ReceivedBody(msgspec.Struct, frozen=True, gc=False):
    """A body as it arrived, and what its headers say about it."""

    content: bytes
    gzip: bool
    kind: Kind


async def receive(request: web.Request, memory: ByteReservation) -> ReceivedBody:
    """Read the body of a push request as it was sent. Raises Problem, Overloaded."""
    kind = _kind(request)
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Problem(415, "unsupported_encoding", "Content-Encoding must be gzip, or absent")
    content = await receive_content(request, memory)
    return ReceivedBody(content, gzip=encoding == "gzip", kind=kind)


async def receive_content(request: web.Request, memory: ByteReservation, most: int = BODY_MAX) -> bytes:
    """Read a body of at most `most` bytes, and reserve its size as it arrives. Raises Problem, Overloaded."""
    if request.content_length is not None and request.content_length > most:
        raise _too_large(most)
    try:
        if request.content.is_eof():  # it has arrived already, as is usual: there is nothing to wait for
            return _arrived(request.content.read_nowait(), memory, most)
        if request.version >= HttpVersion11 and _expects_continue(request):
            await send_continue(request)
        return await _read(request, memory, most)
    except TimeoutError:
        detail = (
            f"a body must arrive within {BODY_GRACE_S:.0f} s, plus 1 s for each {BODY_RATE} bytes of it,"
            f" and within {BODY_S:.0f} s in any case"
        )
        raise Problem(408, "too_slow", detail) from None
    except ConnectionError:
        raise Problem.of(MalformedBody("the body is incomplete")) from None  # nobody will read this
    except (web.RequestPayloadError, ValueError) as error:
        raise Problem.of(MalformedBody(f"the body cannot be read: {error}")) from None


def _kind(request: web.Request) -> Kind:
    """Return what the body is. Raises Problem for what is none of the kinds."""
    kind = _KINDS.get(request.content_type)
    if kind is None:
        raise Problem(415, "unsupported_type", f"Content-Type must be {' or '.join(_KINDS)}")
    return kind


async def _read(request: web.Request, memory: ByteReservation, most: int) -> bytes:
    body = bytearray()  # parts may be single bytes, and a list of them would take forty times the size
    may_extend_s = BODY_S - BODY_GRACE_S
    async with Deadline(BODY_GRACE_S) as deadline:
        async for part in request.content.iter_any():
            if len(body) + len(part) > most:
                raise _too_large(most)
            memory.grow(len(body) + len(part))
            body += part
            more_s = min(len(part) / BODY_RATE, may_extend_s)
            may_extend_s -= more_s
            deadline.extend(more_s)
    return bytes(body)


def _arrived(body: bytes, memory: ByteReservation, most: int) -> bytes:
    if len(body) > most:
        raise _too_large(most)
    memory.grow(len(body))
    return body


def _too_large(most: int) -> Problem:
    return Problem.of(TooLarge(f"a body has at most {most} bytes"))


def split(received: ReceivedBody, memory: ByteReservation, registry: Registry) -> Steps[Body]:
    """Unpack a body and split it into reports, reserving the memory that takes. Raises Problem, Overloaded."""
    size = len(received.content)
    factor = EML_FACTOR if received.kind == "eml" else MEMORY_FACTOR
    try:
        content = received.content
        if received.gzip:
            content = yield from unpacking(iter((content,)), lambda unpacked: memory.grow(size + unpacked))
            size += len(content)
        if received.kind == "eml":
            memory.grow(size + factor * len(content))
            body = yield from reading_eml(content, registry)
        else:
            memory.grow(size + len(content))  # reports are copied out of it
            body = yield from reading(content, ndjson=received.kind == "ndjson")
    except (MalformedBody, TooLarge) as error:
        raise Problem.of(error) from None
    memory.resize(0)
    memory.grow(factor * len(content) + REPORT_COST * len(body.reports))
    return body
