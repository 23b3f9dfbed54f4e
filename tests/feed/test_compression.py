"""Pieces of gzip that many connections share: each unpacks to its text, whoever gets it who may."""

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
    """What a client unpacks its stream with."""
    unpacker = zlib.decompressobj(31)
    assert unpacker.decompress(GZIP_START) == b""
    return unpacker


@settings(deadline=None, max_examples=examples(60))
@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(0, 500), max_size=5))
def test_pieces_from_anywhere_make_one_stream(parts: list[bytes], cuts: list[int]) -> None:
    """After a gzip header any pieces made by themselves unpack to the plain text, each as soon as it has arrived."""
    unpacker = a_connection()
    for part in parts:
        piece = deflate(part)
        edges = sorted({0, len(piece), *(min(cut, len(piece)) for cut in cuts)})
        assert b"".join(unpacker.decompress(piece[start:end]) for start, end in pairwise(edges)) == part
    assert not unpacker.eof
    assert not unpacker.unused_data


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["come", "clear", "alone", "next"]), TEXTS), max_size=40))
def test_who_shares_a_window_unpacks_what_refers_to_it(steps: list[tuple[str, bytes]]) -> None:
    """Connections come at any time with a text of their own, and are let in where the window begins anew."""
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


def test_a_piece_that_refers_is_smaller_and_of_no_use_to_others() -> None:
    """So a mistake in who shares a window is an error at the client, and never another text."""
    window, text = Window(), bytes(range(256))
    first, again = window.deflate(text), window.deflate(text)
    assert len(again) < 20 < 256 < len(first)
    with pytest.raises(zlib.error, match="too far back"):
        a_connection().decompress(again)
    assert window
    window.clear()
    assert not window
    assert window.deflate(text) == first == deflate(text)


def test_a_window_holds_no_more_than_deflate_reaches() -> None:
    """However much was sent."""
    window = Window()
    for number in range(100):
        window.append(bytes([number]) * 1000)
    window.append(bytes(5 * WINDOW_BYTES))
    assert len(window._text) == WINDOW_BYTES == 32_768
