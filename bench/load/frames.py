"""PURE: WebSocket frames, as far as a load generator needs them. Source: RFC 6455, section 5.2."""

import struct

import msgspec

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
_FINAL, _MASKED = 0x80, 0x80
_KEY = bytes(4)
"""A masking key of zeros: it is valid, and the payload does not change."""
_CREDIT = b'"credit":'
_OUTCOME, _ACCEPTED = b'"outcome":"', b'"outcome":"accepted"'


def masked(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a complete frame of a client."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", _FINAL | opcode, _MASKED | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", _FINAL | opcode, _MASKED | 126, size)
    else:
        head = struct.pack("!BBQ", _FINAL | opcode, _MASKED | 127, size)
    return head + _KEY + payload


def report_frame(identifier: int, body: bytes) -> bytes:
    """Return the frame that pushes a report."""
    return masked(b'{"type":"report","id":%d,"report":%s}' % (identifier, body))


def split(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the complete frames of a server, as opcode and payload, and the remaining bytes."""
    frames, place, end = [], 0, len(data)
    while end - place >= 2:
        size, start = data[place + 1] & 0x7F, place + 2
        if size == 126:
            start += 2
            if end < start:
                break
            (size,) = struct.unpack_from("!H", data, place + 2)
        elif size == 127:
            start += 8
            if end < start:
                break
            (size,) = struct.unpack_from("!Q", data, place + 2)
        if end < start + size:
            break
        frames.append((data[place] & 0x0F, data[start : start + size]))
        place = start + size
    return frames, data[place:]


def credit_of(payload: bytes) -> int | None:
    """Return the credit that a frame announces, or None."""
    start = payload.find(_CREDIT, 0, 80)
    if start < 0:
        return None
    start += len(_CREDIT)
    end = start
    while payload[end : end + 1].isdigit():
        end += 1
    return int(payload[start:end])


def count_accepted(payload: bytes) -> int | None:
    """Return how many reports a frame accepts; None if it has another outcome for any report."""
    accepted = payload.count(_ACCEPTED)
    return accepted if payload.count(_OUTCOME) == accepted else None


class Result(msgspec.Struct):
    """The outcome of one report."""

    id: int
    outcome: str
    retry_after_s: float | None = None


class Results(msgspec.Struct):
    """A frame of results."""

    type: str
    results: list[Result] = []


decode_results = msgspec.json.Decoder(Results).decode
