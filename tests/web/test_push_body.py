"""Bodies of push requests: what is in them comes out unchanged, and nothing in them takes long or much memory."""

import gzip
import json
import time
import zlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.web import push_body
from gateway.web.push_body import (
    BODY_MAX,
    LINES_MAX,
    MEMBERS_MAX,
    REPORTS_MAX,
    Body,
    MalformedBody,
    TooLarge,
    _names_ends,
    reading,
    unpacking,
)
from tests.counts import examples
from tests.steps import whole

REPORT = b'{"unit":"a-1-1","revision":1}'
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def read_body(raw: bytes, *, ndjson: bool) -> Body:
    return whole(reading(raw, ndjson=ndjson))


def unpacked(*chunks: bytes) -> bytes:
    return whole(unpacking(iter(chunks), lambda _: None))


# Reports in a body ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=examples(100))
@given(values, st.sampled_from([b"", b" ", b"\r\n\t"]))
def test_a_body_that_is_not_an_array_is_one_report(value: Any, space: bytes) -> None:
    """As it was sent; whether it is a report is checked elsewhere."""
    raw = space + json.dumps(value).encode() + space
    if isinstance(value, list):
        return
    body = read_body(raw, ndjson=False)
    assert (body.reports, body.single, body.lines) == ([raw], True, None)


@pytest.mark.parametrize("raw", [b"", b" ", b"{", b"\xef\xbb\xbf[]", b"\xff", b"nothing", b'{"a":1}]'])
def test_a_single_report_is_not_parsed(raw: bytes) -> None:
    """Bytes that are not JSON are passed on for the validator to name."""
    assert read_body(raw, ndjson=False).reports == [raw]


@settings(deadline=None, max_examples=examples(100))
@given(st.lists(values, max_size=6), st.sampled_from([b"", b" ", b"\n\t "]))
def test_an_array_is_split_into_its_reports_in_order(reports: list[Any], space: bytes) -> None:
    """Each as its own bytes, and an empty array into none."""
    parts = [json.dumps(report, ensure_ascii=index % 2 == 0).encode() for index, report in enumerate(reports)]
    raw = space + b"[" + b",".join(space + part + space for part in parts) + space + b"]" + space
    body = read_body(raw, ndjson=False)
    assert body.reports == parts
    assert (body.single, body.lines) == (False, None)


def test_an_array_keeps_errors_for_the_validator() -> None:
    """Repeated members, odd numbers, invalid UTF-8: one invalid report never affects the others."""
    parts = [b'{"a":1,"a":-0}', b"1e999", b'"\xff"', b"null", REPORT]
    assert read_body(b"[" + b",".join(parts) + b"]", ndjson=False).reports == parts


@pytest.mark.parametrize(
    "raw",
    [
        b"[",
        b"[]]",
        b"[" + REPORT,
        b"[" + REPORT + b",]",
        b"[" + REPORT + REPORT + b"]",
        b"[" + REPORT + b"],",
        b"[" + REPORT + b"][]",
        b"[NaN]",
        b"[01]",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"\x0b[]",
    ],
)
def test_an_array_that_cannot_be_parsed_is_refused_as_a_whole(raw: bytes) -> None:
    """It is then unknown where a report ends."""
    with pytest.raises(MalformedBody):
        read_body(raw, ndjson=False)


def test_the_decoder_reports_where_a_report_ends() -> None:
    """Splitting a large array relies on it; with another decoder, it would be one long step."""
    assert _names_ends()


@settings(deadline=None, max_examples=examples(300))
@given(st.lists(values, max_size=6), st.sampled_from([b"", b" ", b"\n\t "]), st.data())
def test_a_large_array_is_split_like_a_small_one(
    reports: list[Any], space: bytes, data: st.DataObject
) -> None:
    """Report by report, however few bytes of it are examined first, and with damage anywhere."""
    parts = [json.dumps(report, ensure_ascii=index % 2 == 0).encode() for index, report in enumerate(reports)]
    raw = bytearray(space + b"[" + b",".join(space + part + space for part in parts) + space + b"]" + space)
    at = data.draw(st.integers(0, len(raw)))
    damage = st.sampled_from([b",", b"]", b"[", b"0", b"-", b"1e", b'"', b"{", b"\xff", b" ", b"[]", b"NaN"])
    if data.draw(st.booleans()):
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(damage)
    with pytest.MonkeyPatch.context() as patched:
        whole = outcome_of(bytes(raw))
        patched.setattr(push_body, "WHOLE_ARRAY_MAX", 0)
        patched.setattr(push_body, "_WINDOW", data.draw(st.integers(1, 20)))
        assert outcome_of(bytes(raw)) == whole


def outcome_of(raw: bytes) -> tuple[list[bytes], bool] | type[Exception]:
    try:
        body = read_body(raw, ndjson=False)
    except MalformedBody as error:
        return type(error)
    return body.reports, body.single


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"[" + b"1," * ((4 << 20) - 1) + b"]", id="numbers"),
        pytest.param(b'[{"a":[' + b"{}," * ((2 << 20) - 1) + b"{}]}]", id="a report that is large"),
        pytest.param(b'[{"a":' + b'"x' * (4 << 20), id="a report that does not end"),
    ],
)
def test_a_large_array_of_other_values_is_refused_early(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never decoded as a whole, which would take half a second."""
    monkeypatch.setattr(push_body, "_decoder", None)
    with pytest.raises((TooLarge, MalformedBody)):
        read_body(raw, ndjson=False)


@settings(deadline=None, max_examples=examples(100))
@given(
    st.lists(
        st.sampled_from([REPORT, b"1", b"nonsense", b" {} ", b"[", b"", b" ", b"\t", b"\xff"]), max_size=12
    )
)
def test_lines_are_reports_with_their_numbers(lines: list[bytes]) -> None:
    """Empty lines are skipped; a line that cannot be read is identified by its number, counted from 1."""
    body = read_body(b"\n".join(lines), ndjson=True)
    expected = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    assert list(zip(body.lines or [], body.reports, strict=True)) == expected
    assert not body.single


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\r\n"])
def test_lines_may_end_in_any_way(end: bytes) -> None:
    """With or without a final line feed, or with the line ends of another system."""
    body = read_body(REPORT + b"\r\n" + REPORT + end, ndjson=True)
    assert [json.loads(report) for report in body.reports] == [json.loads(REPORT)] * 2
    assert body.lines == [1, 2]


def test_no_lines_are_no_reports() -> None:
    """An empty body of lines is an empty request."""
    assert read_body(b"", ndjson=True).reports == []
    assert read_body(b"\n \n", ndjson=True).reports == []


@pytest.mark.parametrize("ndjson", [True, False])
def test_a_body_has_at_most_ten_thousand_reports(ndjson: bool) -> None:
    """One more is too large, which is reported before any of them is checked."""
    good, bad = ([REPORT] * count for count in (REPORTS_MAX, REPORTS_MAX + 1))

    def body(reports: list[bytes]) -> bytes:
        return b"\n".join(reports) if ndjson else b"[" + b",".join(reports) + b"]"

    assert len(read_body(body(good), ndjson=ndjson).reports) == REPORTS_MAX == 10_000
    with pytest.raises(TooLarge):
        read_body(body(bad), ndjson=ndjson)


@pytest.mark.parametrize("line", [b"\n", b" \n", b"x\n"])
def test_a_body_of_too_many_lines_is_refused_early(line: bytes) -> None:
    """Millions of them, empty or not, are not collected first."""
    started = time.process_time()
    with pytest.raises(TooLarge):
        read_body(line * (BODY_MAX // len(line)), ndjson=True)
    assert time.process_time() - started < 0.5
    assert len(read_body(b"\n" * (LINES_MAX - 1) + REPORT, ndjson=True).reports) == 1


# Packed --------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=examples(100))
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5), st.lists(st.integers(0, 1_000), max_size=6))
def test_gzip_members_are_unpacked_one_after_the_other(parts: list[bytes], cuts: list[int]) -> None:
    """However many members there are, and in whatever pieces the bytes arrive."""
    packed = b"".join(gzip.compress(part, compresslevel=n) for n, part in enumerate(parts, 1))
    edges = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    chunks = [packed[start:end] for start, end in pairwise(edges)]
    assert unpacked(*chunks) == unpacked(packed) == b"".join(parts)


def test_a_body_larger_than_a_piece_is_unpacked_completely() -> None:
    """Members begin and end anywhere in the piece that is unpacked at a time."""
    noise = bytes(value * value % 251 for value in range(100_000))
    packed = b"".join(gzip.compress(noise[start : start + 999], 0) for start in range(0, len(noise), 999))
    assert len(packed) > 100_000
    assert unpacked(packed) == noise


@settings(deadline=None, max_examples=examples(150))
@given(st.binary(max_size=300), st.data())
def test_an_incomplete_body_is_never_accepted(content: bytes, data: st.DataObject) -> None:
    """Even if only the checksum at the end is missing, or within a second member."""
    first = gzip.compress(content)
    packed = first + gzip.compress(content)
    end = data.draw(st.integers(0, len(packed) - 1))
    if end == len(first):
        assert unpacked(packed[:end]) == content
        return
    with pytest.raises(MalformedBody):
        unpacked(packed[:end])


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\n",
        REPORT,
        zlib.compress(REPORT),
        zlib.compress(REPORT)[2:-4],
        gzip.compress(REPORT, mtime=0) + b"\x00",
        gzip.compress(REPORT, mtime=0) + REPORT,
        gzip.compress(REPORT, mtime=0)[:-8] + bytes(8),
        gzip.compress(REPORT, mtime=0)[:-4] + b"\x00\x00\x00\x01",
        b"\x1f\x8b\x08\xe0" + gzip.compress(REPORT, mtime=0)[4:],
    ],
)
def test_a_body_that_is_not_gzip_is_refused(packed: bytes) -> None:
    """An empty one, plain text, another format, bytes after the end, a wrong checksum."""
    with pytest.raises(MalformedBody):
        unpacked(packed)


@settings(deadline=None, max_examples=examples(200))
@given(st.binary(max_size=100), st.data())
def test_no_bytes_raise_any_other_error(noise: bytes, data: st.DataObject) -> None:
    """Damage anywhere makes a malformed body, or by chance a valid one."""
    packed = bytearray(gzip.compress(b'[{"unit":"a-1-1"}]' * 3))
    at = data.draw(st.integers(0, len(packed)))
    packed[at : at + data.draw(st.integers(0, 10))] = noise
    for body in (bytes(packed), noise):
        try:
            content = unpacked(body)
            for ndjson in (True, False):
                read_body(content, ndjson=ndjson)
        except (MalformedBody, TooLarge):
            pass


@pytest.mark.parametrize("members", [1, 3])
def test_the_limit_applies_to_the_unpacked_body(members: int) -> None:
    """A body at the limit is accepted, one more byte is not, in one member or several."""
    part = b" " * (BODY_MAX // members)
    packed = gzip.compress(part) * (members - 1)
    last = BODY_MAX - len(part) * (members - 1)
    assert len(unpacked(packed + gzip.compress(b" " * last))) == BODY_MAX == 8 << 20
    with pytest.raises(TooLarge):
        unpacked(packed + gzip.compress(b" " * (last + 1)))
    with pytest.raises(TooLarge):
        unpacked(packed + gzip.compress(b" " * last) + gzip.compress(b" "))


def test_a_gzip_bomb_is_not_unpacked_above_the_limit() -> None:
    """200 MiB packed into a thousandth of it cost no more than the limit does."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    bomb = b"".join(compressor.compress(zeros) for _ in range(200)) + compressor.flush()
    assert len(bomb) < 300_000
    started = time.process_time()
    with pytest.raises(TooLarge):
        unpacked(bomb)
    assert time.process_time() - started < 1


def test_too_many_empty_members_are_refused() -> None:
    """Each takes as long as a full one; as many as there may be reports are allowed, and unpacked quickly."""
    empty = gzip.compress(b"")
    started = time.process_time()
    assert unpacked(empty * MEMBERS_MAX) == b""
    with pytest.raises(TooLarge, match="gzip members"):
        unpacked(empty * (BODY_MAX // len(empty)))
    assert time.process_time() - started < 2
