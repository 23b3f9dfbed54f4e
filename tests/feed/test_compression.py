"""Pieces of gzip that many connections share: each decompresses to its text on every connection it can be sent to."""

import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feed.compression import GZIP_START, WINDOW_BYTES, Window, deflate
from tests.counts import examples

TEXTS = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 40).map(lambda number: b'{"area":"03-%d","votes":{"A":%d}}' % (number, number * 997) * 9),
    st.integers(1, 3).map(lambda times: bytes(range(256)) * 100 * times),
)


def a_connection() -> "zlib._Decompress":
    """The decompressor of a client."""
    unpacker = zlib.decompressobj(31)
    assert unpacker.decompress(GZIP_START) == b""
    return unpacker


@settings(deadline=None, max_examples=examples(60))
@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(0, 500), max_size=5))
def test_independent_pieces_make_one_stream(parts: list[bytes], cuts: list[int]) -> None:
    """After a gzip header, independent pieces decompress to the plain text as soon as each has arrived."""
    unpacker = a_connection()
    for part in parts:
        piece = deflate(part)
        edges = sorted({0, len(piece), *(min(cut, len(piece)) for cut in cuts)})
        assert b"".join(unpacker.decompress(piece[start:end]) for start, end in pairwise(edges)) == part
    assert not unpacker.eof
    assert not unpacker.unused_data


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["come", "clear", "alone", "next"]), TEXTS), max_size=40))
def test_connections_of_a_window_decompress_pieces_that_refer_to_it(steps: list[tuple[str, bytes]]) -> None:
    """Connections join at any time with other text, and enter the window when it begins again."""
    window = Window()
    sharing = [a_connection()]
    outside: list[zlib._Decompress] = []
    for step, text in steps:
        match step:
            case "come":
                outside.append(a_connection())
                assert outside[-1].decompress(deflate(text)) == text
            case "clear":
                window.clear()
                sharing, outside = sharing + outside, []
            case "alone":  # a piece made by itself, for everyone
                piece = deflate(text)
                window.append(text)
                assert all(each.decompress(piece) == text for each in sharing + outside)
            case "next":
                piece = window.deflate(text)
                assert all(each.decompress(piece) == text for each in sharing)
                assert all(each.decompress(deflate(text)) == text for each in outside)


def test_a_piece_that_refers_to_a_window_is_smaller_and_fails_elsewhere() -> None:
    """A mistake in the sharing is an error at the client, never a different text."""
    window, text = Window(), bytes(range(256))
    first, again = window.deflate(text), window.deflate(text)
    assert len(again) < 20 < 256 < len(first)
    with pytest.raises(zlib.error, match="too far back"):
        a_connection().decompress(again)
    assert window
    window.clear()
    assert not window
    assert window.deflate(text) == first == deflate(text)


def test_a_window_is_no_larger_than_the_reach_of_deflate() -> None:
    """Whatever was sent."""
    window = Window()
    for number in range(100):
        window.append(bytes([number]) * 1000)
    window.append(bytes(5 * WINDOW_BYTES))
    assert len(window._text) == WINDOW_BYTES == 32_768
