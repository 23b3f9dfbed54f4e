"""Frames of a client, split at any point; each violation of RFC 6455 has its close code."""

import itertools
from collections.abc import Iterable

import pytest
from aiohttp import web
from aiohttp._websocket.helpers import websocket_mask
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.frames import (
    BINARY,
    CLOSE,
    NO_STATUS,
    PART,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameReader,
    apply_mask,
    close_code,
    close_frame,
    frame,
    text_frame,
)
from tests.counts import examples

MOST = 300


def masked(opcode: int, payload: bytes, *, last: bool = True, mask: bytes = b"\x01\x80\xff\x00") -> bytes:
    """A frame as a client sends it, encoded by the text of the RFC."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2)
    else:
        length = b"\xff" + size.to_bytes(8)
    body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes([(0x80 if last else 0) | opcode]) + length + mask + body


def frames(reader: FrameReader, pieces: Iterable[bytes]) -> list[tuple[int, bytes]]:
    """All frames read from some pieces of bytes."""
    found = []
    for piece in pieces:
        reader.feed(piece)
        while (taken := reader.next()) is not None:
            found.append(taken)
    return found


def pieces_of(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@settings(deadline=None, max_examples=examples(200))
@given(
    messages=st.lists(
        st.tuples(
            st.sampled_from([TEXT, BINARY, PING, PONG]), st.text(max_size=60), st.lists(st.integers(0, 99))
        ),
        max_size=6,
    ),
    mask=st.binary(min_size=4, max_size=4),
    cuts=st.lists(st.integers(0, 5000), max_size=20),
)
def test_messages_are_read_in_order_from_any_frames_and_pieces(
    messages: list[tuple[int, str, list[int]]], mask: bytes, cuts: list[int]
) -> None:
    """Data messages may be fragmented, with control frames in between, and TCP splits anywhere."""
    data, expected = b"", []
    for opcode, text, fragments in messages:
        payload = text.encode()[:125]
        if opcode == TEXT:
            payload = payload.decode(errors="ignore").encode()
        parts = pieces_of(payload, fragments) if opcode < CLOSE else [payload]
        for place, part in enumerate(parts):
            last = place == len(parts) - 1
            data += masked(PART if place else opcode, part, last=last, mask=mask)
            expected.append((opcode, payload) if last else (PART, part))
            if not last:
                data += masked(PING, b"between", mask=mask)
                expected.append((PING, b"between"))
    reader = FrameReader(MOST)
    assert frames(reader, pieces_of(data, cuts)) == expected
    assert reader.kept == 0


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_all_three_lengths_of_a_header_are_read(size: int) -> None:
    """7, 16 and 64 bits (section 5.2), byte by byte."""
    payload = b"x" * size
    reader = FrameReader(70_000)
    data = masked(TEXT, payload)
    assert frames(reader, [*(data[place : place + 1] for place in range(20)), data[20:]]) == [(TEXT, payload)]
    with pytest.raises(FrameError) as caught:
        frames(reader, [masked(TEXT, b"x" * 70_001)])
    assert caught.value.code == 1009


BREACHES: dict[str, tuple[bytes, int]] = {
    "no mask": (frame(TEXT, b"{}"), 1002),
    "no mask on a ping": (frame(PING, b""), 1002),
    "no mask on a close": (close_frame(1000), 1002),
    "no mask on a later frame": (masked(TEXT, b"{}") + frame(TEXT, b"{}"), 1002),
    "reserved bit": (b"\xc1" + masked(TEXT, b"{}")[1:], 1002),
    "unknown data opcode": (masked(3, b"{}"), 1002),
    "unknown control opcode": (masked(11, b""), 1002),
    "long ping": (masked(PING, bytes(126)), 1002),
    "ping in parts": (masked(PING, b"", last=False), 1002),
    "continuation of nothing": (masked(PART, b"{}"), 1002),
    "text within a text": (masked(TEXT, b"", last=False) + masked(TEXT, b"}"), 1002),
    "no UTF-8": (masked(TEXT, b"\xff"), 1007),
    "no UTF-8 in parts": (masked(TEXT, b"\xc3", last=False) + masked(PART, b"("), 1007),
    "large": (masked(TEXT, bytes(MOST + 1))[:4], 1009),
    "large in parts": (masked(TEXT, bytes(MOST), last=False) + masked(PART, b"1"), 1009),
    "2^63 bytes": (b"\x81\xff" + b"\xff" * 8, 1009),
}


@pytest.mark.parametrize("case", BREACHES)
@pytest.mark.parametrize("bytewise", [False, True])
def test_a_violation_is_detected_at_the_header_of_its_frame(case: str, bytewise: bool) -> None:
    """In any pieces; frames before it are valid."""
    data, code = BREACHES[case]
    pieces = [data[place : place + 1] for place in range(len(data))] if bytewise else [data]
    with pytest.raises(FrameError) as caught:
        frames(FrameReader(MOST), pieces)
    assert caught.value.code == code
    assert str(caught.value)


@settings(deadline=None, max_examples=examples(300))
@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_any_bytes_are_frames_or_an_error(data: bytes, cuts: list[int]) -> None:
    """No more is buffered than was fed."""
    reader = FrameReader(MOST)
    try:
        found = frames(reader, pieces_of(data, cuts))
    except FrameError:
        return
    assert sum(len(payload) for _, payload in found) <= 2 * len(data)
    assert reader.kept <= len(data)


@given(mask=st.binary(min_size=4, max_size=4), payload=st.binary(max_size=40))
def test_a_mask_is_that_of_the_rfc_and_of_aiohttp(mask: bytes, payload: bytes) -> None:
    """Section 5.3: byte i is XORed with byte i modulo 4 of the mask."""
    ours, theirs = bytearray(payload), bytearray(payload)
    apply_mask(mask, ours)
    websocket_mask(mask, theirs)
    assert ours == theirs == bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"", NO_STATUS), (b"\x03\xe8", 1000), (b"\x03\xe9bye", 1001), (b"\x0b\xb8", 3000), (b"\x13\x87", 4999)],
)
def test_a_close_code_is_read(payload: bytes, code: int) -> None:
    """Section 7.4: the defined codes and those for applications."""
    assert close_code(payload) == code


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x00", 1002),
        (b"\x00\x00", 1002),
        (b"\x03\xed", 1002),
        (b"\x07\xd0", 1002),
        (b"\x13\x88", 1002),
        (b"\x03\xe8\xff", 1007),
    ],
)
def test_an_invalid_close_code_is_an_error(payload: bytes, code: int) -> None:
    """An incomplete code, 1005, 2000, 5000, and a reason that is not UTF-8."""
    with pytest.raises(FrameError) as caught:
        close_code(payload)
    assert caught.value.code == code


def test_the_reason_of_a_close_fits_a_control_frame() -> None:
    """It is truncated between characters."""
    (_, size), reason = close_frame(1008, "é" * 100)[:2], close_frame(1008, "é" * 100)[4:]
    assert size <= 125
    assert reason.decode() == "é" * 61


async def test_a_text_frame_is_read_by_another_implementation() -> None:
    """At every length of its header (RFC 6455, section 5.2)."""
    texts = ["x" * size for size in (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)]

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        assert request.transport is not None
        request.transport.write(b"".join(text_frame(text.encode()) for text in texts))
        await socket.receive()
        return socket

    application = web.Application()
    application.router.add_get("/", serve)
    async with (
        TestServer(application) as server,
        TestClient(server) as client,
        client.ws_connect("/", max_msg_size=0) as socket,
    ):
        assert [await socket.receive_str(timeout=10) for _ in texts] == texts
