"""Invalid input from senders: each kind has its documented error, and the gateway continues unaffected."""

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import aiohttp
import pytest

from gateway.rehearsal.generator import GeneratedElection
from tests.running import Gateway, Sender
from tests.web.doors import (
    CLOSE,
    COUNTRY,
    PING,
    TEXT,
    UNIT,
    RawSocket,
    a_registry,
    a_report,
    connected,
    disconnect,
    framed,
    open_connection,
    push,
    pushed,
    until,
)

GZIP = {"Content-Encoding": "gzip"}
NDJSON = {"Content-Type": "application/x-ndjson"}
MIB = 1 << 20


@pytest.fixture(scope="module")
def sender(gateway: Gateway, small: GeneratedElection) -> Sender:
    """A sender of one election, in which no test may change anything."""

    async def make() -> Sender:
        return await gateway.issue(await gateway.load(a_registry(small)), [COUNTRY])

    return asyncio.run(make())


@pytest.fixture(scope="module")
def accepted() -> Iterator[int]:
    """The numbers of the reports that `still_works` sends, from 1."""
    return count(1)


@pytest.fixture(autouse=True)
async def still_works(
    http: aiohttp.ClientSession, sender: Sender, accepted: Iterator[int]
) -> AsyncIterator[None]:
    """Check that nothing a test sent was accepted, and that valid reports are, over HTTP and WebSocket."""
    yield
    number = next(accepted)
    assert (await pushed(http, sender, a_report(revision=1000 + number)))[0]["sequence"] == number
    async with connected(http, sender) as socket:
        number = next(accepted)
        await socket.send(1, a_report(revision=1000 + number))
        assert (await socket.results(1))[0]["sequence"] == number


def text(**members: Any) -> str:
    return json.dumps(a_report(**members))


def with_votes(votes: str) -> str:
    """Return a report with these literal votes."""
    return text().replace('"votes": {"FL": 10}', f'"votes": {{{votes}}}')


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def replaced(old: str, new: str) -> str:
    assert old in text()
    return text().replace(old, new)


COUNTS = "$.counts.election_day"
FL = f"{COUNTS}.votes.FL"
REFUSED: dict[str, tuple[str, str, str]] = {
    "a number of more than 64 bits": (with_votes('"FL": 99999999999999999999999999'), "count_out_of_range", FL),
    "a count above 2 147 483 647": (with_votes('"FL": 2147483648'), "count_out_of_range", FL),
    "a negative count": (with_votes('"FL": -10'), "count_out_of_range", FL),
    "minus nothing": (with_votes('"FL": 10, "NST": -0'), "not_a_count", f"{COUNTS}.votes.NST"),
    "a fraction": (with_votes('"FL": 10.0'), "not_a_count", FL),
    "an exponent": (with_votes('"FL": 1e1'), "not_a_count", FL),
    "a truth": (with_votes('"FL": true'), "not_a_count", FL),
    "a count as text": (with_votes('"FL": "10"'), "not_a_count", FL),
    "a null": (with_votes('"FL": null'), "null_value", FL),
    "a member twice": (replaced('"revision": 1', '"revision": 1, "revision": 1'), "repeated_member", "$.revision"),
    "a party twice": (with_votes('"FL": 10, "FL": 10'), "repeated_member", FL),
    "a party twice, once escaped": (with_votes('"FL": 10, "\\u0046L": 10'), "repeated_member", FL),
    "a category twice": (replaced('"counts": {', '"counts": {"election_day": {}, '), "repeated_member", COUNTS),
    "nothing but a number": ("5", "wrong_type", "$"),
    "nothing but a null": ("null", "wrong_type", "$"),
    "nothing but a text": ('"report"', "wrong_type", "$"),
    "an empty object": ("{}", "missing_member", "$.unit"),
    "U+0000": (replaced("preliminary", "prelim\\u0000"), "forbidden_character", "$.status"),
    "a unit that is a number": (replaced(f'"{UNIT}"', "5"), "wrong_type", "$.unit"),
    "a unit of 60 000 characters": (replaced(UNIT, "x" * 60_000), "unknown_unit", "$.unit"),
    "a revision of 0": (replaced('"revision": 1', '"revision": 0'), "revision_out_of_range", "$.revision"),
    "a revision of 2^31": (replaced('n": 1', 'n": 2147483648'), "revision_out_of_range", "$.revision"),
    "votes nested 100 deep": (replaced('{"FL": 10}', deep(100)), "wrong_type", f"{COUNTS}.votes"),
    "an area that has children": (replaced(UNIT, "0604"), "unknown_unit", "$.unit"),
    "sums that overflow": (with_votes('"FL": 2147483647, "NST": 2147483647'), "sum_mismatch", f"{COUNTS}.ballots"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_an_invalid_report_is_answered_422(
    http: aiohttp.ClientSession, sender: Sender, case: str
) -> None:
    """With the violation and its path, the same over HTTP, as NDJSON and over a WebSocket."""
    body, code, path = REFUSED[case]
    problem = (await push(http, sender, None, data=body)).problem(422, "invalid_report")
    assert (code, path) in {(each["code"], each["path"]) for each in problem["violations"]}
    assert all(len(each["detail"]) < 300 for each in problem["violations"])
    (result,) = (await push(http, sender, None, data=body, headers=NDJSON)).results
    assert result["violations"] == problem["violations"]
    if len(body) < 60_000:
        async with connected(http, sender) as socket:
            await socket.socket.send_str(f'{{"type":"report","id":1,"report":{body}}}')
            (result,) = await socket.results(1)
            assert result["violations"] == problem["violations"]


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "white space": b" \n ",
    "not a number": with_votes('"FL": NaN').encode(),
    "infinity": with_votes('"FL": -Infinity').encode(),
    "a number of 5 000 digits": with_votes(f'"FL": {"9" * 5000}').encode(),
    "leading zeros": with_votes('"FL": 010').encode(),
    "nested 1 000 deep": replaced('"votes": {"FL": 10}', f'"votes": {deep(1000)}').encode(),
    "nested 100 000 deep": replaced('"votes": {"FL": 10}', f'"votes": {deep(100_000)}').encode(),
    "a lone surrogate": replaced("preliminary", "\\ud800").encode(),
    "UTF-16": text().encode("utf-16"),
    "UTF-32": text().encode("utf-32"),
    "Latin-1": replaced("preliminary", "foreløpig").encode("latin-1"),
    "a byte order mark": b"\xef\xbb\xbf" + text().encode(),
    "overlong UTF-8": replaced("preliminary", "§").encode().replace("§".encode(), b"\xc0\xaf"),
    "a control character": replaced("preliminary", "a\tb").encode(),
    "cut off": text().encode()[:-1],
    "two of them": text().encode() * 2,
    "with a comment": text().encode() + b"// final",
    "single quotes": text().replace('"', "'").encode(),
    "a trailing comma": text().encode()[:-1] + b",}",
    "random bytes": os.urandom(1000),
    "a form": b"unit=0604-0001&revision=1",
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_a_body_that_is_not_json_is_answered_400(
    http: aiohttp.ClientSession, sender: Sender, case: str
) -> None:
    """Whatever its type; also compressed and in an array. As a line of NDJSON it is a refused result."""
    body = MALFORMED[case]
    answers = [
        await push(http, sender, None, data=data, headers=headers)
        for data, headers in (
            (body or b"", {}),
            (gzip.compress(body), GZIP),
            (b"[" + (body if body.strip() else b",") + b"]", {}),
        )
    ]
    for answer in answers:
        answer.problem(400, "malformed")
    if body.strip() and b"\n" not in body:
        (result,) = (await push(http, sender, None, data=body, headers=NDJSON)).results
        assert (result["outcome"], result["code"], result["line"]) == ("refused", "malformed", 1)


async def test_nine_mebibytes_are_answered_413_in_every_form(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """Before they are read, if their length is declared."""
    for data, headers in (
        (text().encode().ljust(9 * MIB), {}),
        (text().encode().ljust(9 * MIB), NDJSON),
        (os.urandom(9 * MIB), GZIP),
        (gzip.compress(text().encode().ljust(9 * MIB)), GZIP),
    ):
        (await push(http, sender, None, data=data, headers=headers)).problem(413, "too_large")


async def test_a_million_parties_are_answered_413_and_fewer_with_the_first_hundred_violations(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """The answer stays small, however many violations a report has."""
    million = with_votes(", ".join(f'"P{number}": 1' for number in range(1_000_000))).encode()
    (await push(http, sender, None, data=million)).problem(413, "too_large")
    (await push(http, sender, None, data=gzip.compress(million, 1), headers=GZIP)).problem(413, "too_large")
    some = with_votes(", ".join(f'"P{number}": 1' for number in range(200_000))).encode()
    answer = await push(http, sender, None, data=some)
    assert [each["code"] for each in answer.problem(422, "invalid_report")["violations"]] == [
        "report_too_large"
    ]
    many = with_votes(", ".join(f'"P{number}": 1' for number in range(4_000))).encode()
    answer = await push(http, sender, None, data=many)
    violations = answer.problem(422, "invalid_report")["violations"]
    assert len(violations) == 101
    assert violations[-1]["code"] == "more_violations"
    assert len(answer.body) < 64_000


# Frames.

FRAMES: dict[str, tuple[str, str, Any]] = {
    "not JSON": ("{", "malformed", None),
    "empty": ("", "malformed", None),
    "a number": ("5", "malformed", None),
    "an array": ('[{"type":"report"}]', "malformed", None),
    "without a type": ('{"id":1}', "malformed", None),
    "an unknown type": ('{"type":"hello","id":4}', "unknown_message", 4),
    "an unknown type with a long name": (json.dumps({"type": "x" * 5000, "id": "a"}), "unknown_message", "a"),
    "without an id": ('{"type":"report","report":{}}', "malformed", None),
    "with an id that is a fraction": ('{"type":"report","id":1.5,"report":{}}', "malformed", None),
    "with an id that is too long": (json.dumps({"type": "report", "id": "x" * 65, "report": {}}), "malformed", None),
    "without a report": ('{"type":"report","id":"a"}', "malformed", "a"),
    "with not a number": ('{"type":"report","id":1,"report":{"a":NaN}}', "malformed", None),
    "with a report that is a lone surrogate": ('{"type":"report","id":3,"report":"\\ud800"}', "malformed", None),
    "nested 10 000 deep": (f'{{"type":"report","id":1,"report":{deep(10_000)}}}', "malformed", None),
    "cut off": ('{"type":"report","id":1,"report":{"unit":', "malformed", None),
}  # fmt: skip


@pytest.mark.parametrize("case", FRAMES)
async def test_a_frame_that_is_not_a_report_is_a_refused_result(
    http: aiohttp.ClientSession, sender: Sender, case: str
) -> None:
    """With its id if it has one; the connection stays open, and the next report is accepted."""
    frame, code, identifier = FRAMES[case]
    async with connected(http, sender) as socket:
        await socket.socket.send_str(frame)
        (result,) = await socket.results(1)
        assert (result["outcome"], result["code"]) == ("refused", code)
        assert result["id"] in ({identifier, 1} if case.startswith("nested") else {identifier})
        assert result["violations"][0]["detail"]
        assert len(json.dumps(result)) < 1000
        await socket.send(9, {})
        assert (await socket.results(1))[0]["code"] == "invalid_report"


async def test_a_frame_of_64_kib_is_read_and_a_larger_one_closes_with_1009(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """The limit applies to the whole message, in one frame or in many."""
    frame = '{"type":"report","id":1,"report":{}}'
    async with connected(http, sender) as socket:
        await socket.socket.send_str(frame.ljust(64 << 10))
        assert (await socket.results(1))[0]["code"] == "invalid_report"
        await socket.socket.send_str(frame.ljust((64 << 10) + 1))
        assert await socket.end() == 1009
    async with connected(http, sender) as socket:
        await socket.socket.send_str(frame.ljust(1 << 20))
        assert await socket.end() == 1009


async def test_a_binary_frame_closes_with_1003(http: aiohttp.ClientSession, sender: Sender) -> None:
    """Even one that contains valid JSON."""
    async with connected(http, sender) as socket:
        await socket.socket.send_bytes(b'{"type":"report","id":1,"report":{}}')
        assert await socket.end() == 1003


PROTOCOL_ERRORS: dict[str, tuple[bytes, int]] = {
    "text that is no UTF-8": (framed(TEXT, b"\xff\xfe"), 1007),
    "an opcode that there is not": (framed(3, b"{}"), 1002),
    "a reserved bit": (b"\xc1" + framed(TEXT, b"{}")[1:], 1002),
    "a ping of 126 bytes": (framed(PING, bytes(126)), 1002),
    "a ping in parts": (framed(PING, b"", last=False), 1002),
    "a continuation of nothing": (framed(0, b"{}"), 1002),
    "a text within a text": (framed(TEXT, b"{", last=False) + framed(TEXT, b"}"), 1002),
    "a close of one byte": (framed(CLOSE, b"\x00"), 1002),
    "a length of 2^62": (framed(TEXT, b"", length=1 << 62), 1009),
}


@pytest.mark.parametrize("case", PROTOCOL_ERRORS)
async def test_protocol_errors_close_with_the_code_of_the_rfc(sender: Sender, case: str) -> None:
    """RFC 6455, section 7.4: 1002 for the protocol, 1007 for the encoding, 1009 for the size."""
    data, code = PROTOCOL_ERRORS[case]
    socket = await RawSocket.connected(sender)
    socket.writer.write(data)
    async with asyncio.timeout(10):
        assert await socket.close_code() == code
    await disconnect(socket.writer, reset=False)


async def test_a_message_in_many_frames_is_one_message(sender: Sender) -> None:
    """With a ping between its parts, as the protocol allows."""
    socket = await RawSocket.connected(sender)
    message = b'{"type":"report","id":1,"report":{}}'
    for place in range(len(message)):
        socket.writer.write(framed(0 if place else TEXT, message[place : place + 1], last=False))
    socket.writer.write(framed(PING, b"still there?") + framed(0, b""))
    async with asyncio.timeout(10):
        frames = [await socket.frame() for _ in range(2)]
    assert (10, b"still there?") in frames
    (result,) = next(json.loads(payload)["results"] for kind, payload in frames if kind == TEXT)
    assert result["code"] == "invalid_report"
    await disconnect(socket.writer, reset=False)


async def test_malformed_chunks_are_answered_400(sender: Sender) -> None:
    """At once, if the first one is malformed or a later one."""
    head = (
        f"POST /v1/elections/{sender.election}/reports HTTP/1.1\r\nHost: door\r\n"
        f"Authorization: Bearer {sender.secret}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    for chunks in (b"zz\r\n{}", b"-5\r\n{}", b"2\r\n{}\r\nzz\r\n", b"2\r\n{}0\r\n\r\n", b"f" * 40 + b"\r\n"):
        reader, writer = await open_connection(sender.gateway.push_url)
        writer.write(head + chunks)
        async with asyncio.timeout(10):
            assert (await reader.readline())[8:].startswith(b" 400 "), chunks
        await disconnect(writer, reset=True)


async def test_a_client_that_disconnects_midway_leaves_nothing_behind(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """Half a frame, half a body, half a request line, half a compressed body: by a close and by a reset."""
    report = json.dumps(a_report()).encode()
    head = (
        f"POST /v1/elections/{sender.election}/reports HTTP/1.1\r\nHost: door\r\n"
        f"Authorization: Bearer {sender.secret}\r\nContent-Type: application/json\r\n"
    ).encode()
    length = b"Content-Length: %d\r\n\r\n" % len(report)
    halves = [
        head[:30],
        head,
        head + length,
        head + length + report[:40],
        head + b"Content-Encoding: gzip\r\n" + length + gzip.compress(report)[:40],
        head + b"Transfer-Encoding: chunked\r\n\r\n28\r\n" + report[:40] + b"\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\n28\r\n" + report[:10],
    ]
    for half in halves:
        for reset in (False, True):
            _, writer = await open_connection(sender.gateway.push_url)
            writer.write(half)
            await disconnect(writer, reset=reset)
    message = b'{"type":"report","id":1,"report":' + report + b"}"
    frame = framed(TEXT, message)
    for half in (frame[:1], frame[:5], frame[:40], framed(TEXT, message[:40], last=False)):
        for reset in (False, True):
            socket = await RawSocket.connected(sender)
            socket.writer.write(half)
            await disconnect(socket.writer, reset=reset)

    async def forgotten() -> bool:
        samples = await sender.gateway.metrics()
        return not sum(value for name, value in samples.items() if name.startswith("valgnatt_push_sockets"))

    await until(forgotten)


async def test_a_request_that_is_not_http_is_answered_400_and_closed(sender: Sender) -> None:
    """And the worker continues."""
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(50),
        b"GET\r\n\r\n",
        b"\x00" * 100 + b"\r\n\r\n",
    ):
        reader, writer = await open_connection(sender.gateway.push_url)
        writer.write(data + b"\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.read())[8:].startswith(b" 400 ")
        await disconnect(writer, reset=False)
