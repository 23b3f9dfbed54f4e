"""PURE: the body of a push request, split into reports that are still as they were sent."""

import functools
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from io import BytesIO
from typing import TypeVar

import msgspec

from gateway.election.registry import Registry
from gateway.errors import GatewayError, MalformedDocument
from gateway.wire.eml_reading import CHUNK, EmlReader
from gateway.wire.eml_units import EmlReport

BODY_MAX = 8 << 20
"""Bytes of a body, unpacked."""
REPORTS_MAX = 10_000
"""Reports in a body."""
MEMBERS_MAX = 10_000
"""Members of a gzip body: more than one per report serves no purpose but to keep this process busy."""
LINES_MAX = 10 * REPORTS_MAX
"""Lines in a body, including empty ones."""
WHOLE_ARRAY_MAX = 64 << 10
"""Bytes of an array that is split in one step, which takes about 50 ns per byte at worst."""
REPORT_READ_MAX = 1 << 20
"""Bytes of a larger array in which the end of a report is searched for."""
WHITE_SPACE = b" \t\r\n"
_PIECE = 16 << 10
"""Packed bytes unpacked at a time. The rest after the end of a member is copied, so they are few."""
_UNPACKED_PIECE = 256 << 10
"""Bytes unpacked in one step: less than a millisecond."""
_LINES_STEP = 500
"""Lines in one step."""
_WINDOW = 2 << 10
"""Bytes in which the end of a report is searched for first; most are shorter."""
_NO_SPACE = re.compile(rb"[ \t\r\n]*+")
_FOLLOWS = re.compile(r"trailing characters \(byte (\d+)\)$")
"""How msgspec reports that something follows a value, and at which byte, counted from 1. A test verifies that."""

_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work in steps of about a millisecond, between which others may have their turn; it returns a T."""


class TooLarge(GatewayError):
    """A body above BODY_MAX or REPORTS_MAX."""

    code = "too_large"


class MalformedBody(GatewayError):
    """A body that its headers do not describe correctly."""

    code = "malformed"


class EmlSource(msgspec.Struct, frozen=True):
    """The reports of an EML document, and the registry that they were read with."""

    reports: list[EmlReport]
    registry: Registry

    def fits(self, registry: Registry) -> bool:
        """Whether the document has the same reports with another registry."""
        return registry is self.registry or (
            registry.publish_from == self.registry.publish_from
            and registry.categories == self.registry.categories
            and registry.rehearsal == self.registry.rehearsal
        )


class Body(msgspec.Struct, frozen=True):
    """The reports of one request, in the order sent. `lines` has the number of each, from 1, if they were lines."""

    reports: list[bytes]
    single: bool
    lines: list[int] | None = None
    eml: EmlSource | None = None
    """Where they are from, if the body was EML."""


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
                    raise TooLarge(f"a body has at most {BODY_MAX} bytes when unpacked")
                if members > MEMBERS_MAX:
                    raise TooLarge(f"a body has at most {MEMBERS_MAX} gzip members")
                grown(len(unpacked))
                rest = unpacker.unconsumed_tail or unpacker.unused_data
                yield
    except zlib.error as error:
        raise MalformedBody(f"the body is not valid gzip: {error}") from None
    if not unpacker.eof:
        raise MalformedBody("the gzip body is incomplete")
    return bytes(unpacked)


def _pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), _PIECE):
            yield chunk[start : start + _PIECE]


def reading(body: bytes, *, ndjson: bool) -> Steps[Body]:
    """Split a body step by step: a single report, an array of reports, or one report per line.

    Raises MalformedBody for an invalid array, TooLarge for too many reports. The reports themselves are not checked.
    """
    if ndjson:
        return _reading_lines(body)
    return _reading_array(body) if is_array(body) else _reading_one(body)


def is_array(body: bytes) -> bool:
    """Return whether a body of JSON is an array of reports, and not a single one."""
    return body.lstrip()[:1] == b"["


def reading_eml(body: bytes, registry: Registry) -> Steps[Body]:
    """Read an EML document step by step; each of its units is a report.

    Raises MalformedBody with line, column and element, and TooLarge for too many reports.
    """
    try:
        with EmlReader(registry) as reader:
            for start in range(0, len(body), CHUNK):
                reader.feed(body[start : start + CHUNK])
                if len(reader.reports) > REPORTS_MAX:
                    raise TooLarge(f"a request has at most {REPORTS_MAX} reports")
                yield
            reader.close()
    except MalformedDocument as error:
        raise MalformedBody(str(error)) from None
    return Body([each.body for each in reader.reports], single=False, eml=EmlSource(reader.reports, registry))


def _reading_one(body: bytes) -> Steps[Body]:
    yield
    return Body([body], single=True)


def _reading_array(body: bytes) -> Steps[Body]:
    """Split an array; a large one report by report, since decoding it whole would take up to half a second."""
    if len(body) > WHOLE_ARRAY_MAX and _names_ends():
        return Body((yield from _reading_reports(body)), single=False)
    try:
        reports = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedBody(str(error)) from None
    if len(reports) > REPORTS_MAX:
        raise TooLarge(f"a request has at most {REPORTS_MAX} reports, not {len(reports)}")
    yield
    return Body([bytes(report) for report in reports], single=False)


def _reading_reports(body: bytes) -> Steps[list[bytes]]:
    reports: list[bytes] = []
    at = _after_space(body, _after_space(body, 0) + 1)
    while body[at : at + 1] != b"]" or reports:
        if len(reports) == REPORTS_MAX:
            raise TooLarge(f"a request has at most {REPORTS_MAX} reports")
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
        raise MalformedBody(f"unexpected content after the array (byte {at + 1})")
    return reports


def _end_of_report(body: bytes, at: int, number: int) -> int:
    """Return where the JSON value that begins at `at` ends, including white space after it.

    The decoder gets more than the value, and reports at which byte something follows it. Raises MalformedBody, and
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
    """Whether the decoder reports where a value ends, in the form that `_end_of_report` reads."""
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
            raise TooLarge(f"a request has at most {REPORTS_MAX} reports in {LINES_MAX} lines")
        if not number % _LINES_STEP:
            yield
    return Body(reports, single=False, lines=numbers)
