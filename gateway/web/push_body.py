"""PURE: the body of a push request -> the reports in it, each still as it was sent."""

import functools
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from io import BytesIO
from typing import TypeVar

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
WHOLE_ARRAY_MAX = 64 << 10
"""Bytes of an array that is taken apart in one step, which takes some 50 ns a byte at worst."""
REPORT_READ_MAX = 1 << 20
"""Bytes of a report of a larger array; beyond that its end is not looked for."""
WHITE_SPACE = b" \t\r\n"
_PIECE = 16 << 10
"""Packed bytes unpacked at a time. What a member leaves of them is copied, so they are few."""
_UNPACKED_PIECE = 256 << 10
"""Bytes unpacked in one step: less than a millisecond."""
_LINES_STEP = 500
"""Lines in one step."""
_WINDOW = 2 << 10
"""Bytes in which the end of a report is looked for first; most are shorter."""
_NO_SPACE = re.compile(rb"[ \t\r\n]*+")
_FOLLOWS = re.compile(r"trailing characters \(byte (\d+)\)$")
"""How msgspec says that something follows a value, and at which byte, counted from 1. A test holds it to that."""

_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work in steps of a millisecond or so, between which others may have their turn; its value is what it returns."""


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


def unpacking(chunks: Iterator[bytes], grown: Callable[[int], None]) -> Steps[bytes]:
    """Unpack gzip, of one or several members, to at most BODY_MAX bytes, step by step.

    `grown` is called with the number of bytes so far. Raises TooLarge, MalformedBody. Source: RFC 1952.
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
                unpacked += unpacker.decompress(rest, min(_UNPACKED_PIECE, BODY_MAX + 1 - len(unpacked)))
                if len(unpacked) > BODY_MAX:
                    raise TooLarge(f"more than {BODY_MAX} bytes unpacked")
                if members > MEMBERS_MAX:
                    raise TooLarge(f"more than {MEMBERS_MAX} gzip members")
                grown(len(unpacked))
                rest = unpacker.unconsumed_tail or unpacker.unused_data
                yield
    except zlib.error as error:
        raise MalformedBody(f"not gzip: {error}") from None
    if not unpacker.eof:
        raise MalformedBody("the gzip body ends too early")
    return bytes(unpacked)


def _pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), _PIECE):
            yield chunk[start : start + _PIECE]


def reading(body: bytes, *, ndjson: bool) -> Steps[Body]:
    """Take a body apart step by step: a report, an array of reports, or a report a line.

    Raises MalformedBody for an array that is none, TooLarge for too many reports. What is wrong within one report is
    not found here.
    """
    if ndjson:
        return _reading_lines(body)
    if body.lstrip()[:1] != b"[":
        return _reading_one(body)
    return _reading_array(body)


def _reading_one(body: bytes) -> Steps[Body]:
    yield
    return Body([body], single=True)


def _reading_array(body: bytes) -> Steps[Body]:
    """Take an array apart; a large one report by report, as decoding it whole would take up to half a second."""
    if len(body) > WHOLE_ARRAY_MAX and _names_ends():
        return Body((yield from _reading_reports(body)), single=False)
    try:
        reports = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedBody(str(error)) from None
    if len(reports) > REPORTS_MAX:
        raise TooLarge(f"{len(reports)} reports, at most {REPORTS_MAX} in a request")
    yield
    return Body([bytes(report) for report in reports], single=False)


def _reading_reports(body: bytes) -> Steps[list[bytes]]:
    reports: list[bytes] = []
    at = _after_space(body, _after_space(body, 0) + 1)
    while body[at : at + 1] != b"]" or reports:
        if len(reports) == REPORTS_MAX:
            raise TooLarge(f"at most {REPORTS_MAX} reports in a request")
        end = _end_of_report(body, at, len(reports))
        reports.append(body[at:end].rstrip(WHITE_SPACE))
        yield
        mark = body[end : end + 1]
        if mark == b"]":
            at = end
            break
        if mark != b",":
            raise MalformedBody(f"after report {len(reports) - 1} of the array: expected , or ] (byte {end})")
        at = _after_space(body, end + 1)
    if _after_space(body, at + 1) < len(body):
        raise MalformedBody(f"something follows the array (byte {at + 1})")
    return reports


def _end_of_report(body: bytes, at: int, number: int) -> int:
    """Return where the JSON value at a place ends, with the white space after it.

    The decoder is given more than the value, and says at which byte something follows it. Raises MalformedBody, and
    TooLarge for a value that does not end within REPORT_READ_MAX.
    """
    window = _WINDOW
    while True:
        problem = "the array is not closed"
        try:
            _raw_decoder.decode(memoryview(body)[at : at + window])
        except (msgspec.DecodeError, RecursionError) as error:
            problem = str(error)
            if found := _FOLLOWS.search(problem):
                return at + int(found[1]) - 1
        if at + window >= len(body):
            raise MalformedBody(f"report {number} of the array, at byte {at}: {problem}")
        if window >= REPORT_READ_MAX:
            raise TooLarge(
                f"report {number} of the array does not end within {REPORT_READ_MAX} bytes: {problem}"
            )
        window *= 8


@functools.cache
def _names_ends() -> bool:
    """Whether the decoder says where a value ends, in the words that `_end_of_report` reads."""
    try:
        _raw_decoder.decode(b"[0] ,")
    except msgspec.DecodeError as error:
        found = _FOLLOWS.search(str(error))
        return found is not None and found[1] == "5"
    return False


def _after_space(body: bytes, at: int) -> int:
    found = _NO_SPACE.match(body, at)
    assert found is not None
    return found.end()


def _reading_lines(body: bytes) -> Steps[Body]:
    reports: list[bytes] = []
    numbers: list[int] = []
    for number, line in enumerate(BytesIO(body), 1):
        if line.strip():
            reports.append(line.removesuffix(b"\n"))
            numbers.append(number)
        if len(reports) > REPORTS_MAX or number > LINES_MAX:
            raise TooLarge(f"at most {REPORTS_MAX} reports in a request, in {LINES_MAX} lines")
        if not number % _LINES_STEP:
            yield
    return Body(reports, single=False, lines=numbers)
