"""PURE: the body of a push request -> the reports in it, each still as it was sent."""

import zlib
from collections.abc import Iterator

import msgspec

from gateway.errors import GatewayError

BODY_MAX = 8 << 20
"""Bytes of a body, unpacked."""
REPORTS_MAX = 10_000
"""Reports in a body."""

_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class TooLarge(GatewayError):
    """A body beyond BODY_MAX or REPORTS_MAX."""

    code = "too_large"


class MalformedBody(GatewayError):
    """A body that is not what its headers say."""

    code = "malformed"


class Body(msgspec.Struct, frozen=True):
    """The reports of one request, in the order sent. `lines` numbers them from 1 where they were lines."""

    reports: list[bytes]
    single: bool
    lines: list[int] | None = None


def unpack(chunks: Iterator[bytes]) -> bytes:
    """Unpack gzip, of one or several members, to at most BODY_MAX bytes.

    Raises TooLarge, MalformedBody. Source: RFC 1952.
    """
    unpacked = bytearray()
    unpacker = zlib.decompressobj(31)
    begun = False
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                begun = True
                unpacked += unpacker.decompress(rest, BODY_MAX + 1 - len(unpacked))
                if len(unpacked) > BODY_MAX or unpacker.unconsumed_tail:
                    raise TooLarge(f"more than {BODY_MAX} bytes unpacked")
                rest = unpacker.unused_data
                if unpacker.eof and rest:
                    unpacker = zlib.decompressobj(31)
    except zlib.error as error:
        raise MalformedBody(f"not gzip: {error}") from None
    if not begun or not unpacker.eof:
        raise MalformedBody("the gzip body ends too early")
    return bytes(unpacked)


def read_body(body: bytes, *, ndjson: bool) -> Body:
    """Take a body apart: a report, an array of reports, or a report a line.

    Raises MalformedBody for an array that is none, TooLarge for too many reports. What is wrong within one report is
    not found here.
    """
    if ndjson:
        lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
        _bound(len(lines))
        return Body([line for _, line in lines], single=False, lines=[number for number, _ in lines])
    if body.lstrip()[:1] != b"[":
        return Body([body], single=True)
    try:
        found = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedBody(str(error)) from None
    _bound(len(found))
    return Body([bytes(report) for report in found], single=False)


def _bound(reports: int) -> None:
    if reports > REPORTS_MAX:
        raise TooLarge(f"{reports} reports, at most {REPORTS_MAX} in a request")
