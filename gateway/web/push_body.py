"""PURE: the body of a push request -> the reports in it, each still as it was sent."""

import zlib
from collections.abc import Iterator
from io import BytesIO

import msgspec

from gateway.errors import GatewayError

BODY_MAX = 8 << 20
"""Bytes of a body, unpacked."""
REPORTS_MAX = 10_000
"""Reports in a body."""
MEMBERS_MAX = 10_000
"""Members of a gzip body: more than one a report is no use but to keep this process busy."""
LINES_MAX = 10 * REPORTS_MAX
"""Lines in a body, empty ones with them."""
_PIECE = 16 << 10
"""Packed bytes unpacked at a time. What a member leaves of them is copied, so they are few."""

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
    members = 1
    try:
        for piece in _pieces(chunks):
            rest = piece
            while rest:
                if unpacker.eof:
                    unpacker = zlib.decompressobj(31)
                    members += 1
                unpacked += unpacker.decompress(rest, BODY_MAX + 1 - len(unpacked))
                if len(unpacked) > BODY_MAX:
                    raise TooLarge(f"more than {BODY_MAX} bytes unpacked")
                if members > MEMBERS_MAX:
                    raise TooLarge(f"more than {MEMBERS_MAX} gzip members")
                rest = unpacker.unused_data
    except zlib.error as error:
        raise MalformedBody(f"not gzip: {error}") from None
    if not unpacker.eof:
        raise MalformedBody("the gzip body ends too early")
    return bytes(unpacked)


def _pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), _PIECE):
            yield chunk[start : start + _PIECE]


def read_body(body: bytes, *, ndjson: bool) -> Body:
    """Take a body apart: a report, an array of reports, or a report a line.

    Raises MalformedBody for an array that is none, TooLarge for too many reports. What is wrong within one report is
    not found here.
    """
    if ndjson:
        return _read_lines(body)
    if body.lstrip()[:1] != b"[":
        return Body([body], single=True)
    try:
        found = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedBody(str(error)) from None
    if len(found) > REPORTS_MAX:
        raise TooLarge(f"{len(found)} reports, at most {REPORTS_MAX} in a request")
    return Body([bytes(report) for report in found], single=False)


def _read_lines(body: bytes) -> Body:
    reports: list[bytes] = []
    numbers: list[int] = []
    for number, line in enumerate(BytesIO(body), 1):
        if line.strip():
            reports.append(line.removesuffix(b"\n"))
            numbers.append(number)
        if len(reports) > REPORTS_MAX or number > LINES_MAX:
            raise TooLarge(f"at most {REPORTS_MAX} reports in a request, in {LINES_MAX} lines")
    return Body(reports, single=False, lines=numbers)
