"""The client of a witness: verifies what it is answered, and nothing that a witness does takes long or raises."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.signer.witness_client import (
    ANSWER_MAX,
    Conflict,
    Cosigned,
    NotOffered,
    Refused,
    Unreachable,
    WitnessClient,
    request_body,
)
from gateway.transparency.cosignature import cosign
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.note import COSIGNATURE, Note, Signature, parse_note
from gateway.witness.submission import parse_submission
from tests.signer.fake_witness import FakeWitness
from tests.witness.logs import GrowingLog

KEY = SigningKey("witness.example/w", COSIGNATURE, b"w" * 32)
OTHER = SigningKey("witness.example/other", COSIGNATURE, b"o" * 32)
LOG = GrowingLog()
NOTE = LOG.note(5)
TEXT = parse_note(NOTE).text
TIMEOUT_S = 30.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[WitnessClient]:
    """Serve a witness that answers every request in one way, and a client for it."""
    application = web.Application(client_max_size=1 << 20)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with WitnessClient(KEY.vkey, f"http://{host}:{port}/prefix/", timeout_s=TIMEOUT_S) as client:
            yield client
    finally:
        await runner.cleanup()


async def answer_to(response: Callable[[], web.Response], old: int = 0) -> object:
    async def handler(_: web.Request) -> web.Response:
        return response()

    async with answering(handler) as client:
        return await client.submit(LOG.origin, old, (), NOTE)


def lines(*signatures: Signature) -> Callable[[], web.Response]:
    return lambda: web.Response(text="".join(each.line for each in signatures))


def test_body_is_that_of_the_specification() -> None:
    """Old size, a hash per line, an empty line, and the note as it is."""
    proof = [b"\0" * 32, b"\xff" * 32]
    body = request_body(20852014, proof, NOTE)
    assert body.startswith(b"old 20852014\nAAAA")
    submission = parse_submission(body)
    assert (submission.old_size, [*submission.proof], submission.note) == (20852014, proof, NOTE)
    assert request_body(0, (), NOTE) == b"old 0\n\n" + NOTE


async def test_request_goes_to_the_submission_prefix() -> None:
    """As POST, with the whole note; `newest` asks below the hash of the origin."""
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, await request.read()))
        return web.Response(status=404)

    async with answering(handler) as client:
        await client.submit(LOG.origin, 0, (), NOTE)
        await client.newest("example.com/behind-the-sofa")
    assert seen[0] == ("POST", "/prefix/add-checkpoint", b"old 0\n\n" + NOTE)
    digest = hashlib.sha256(b"example.com/behind-the-sofa").hexdigest()
    assert seen[1] == ("GET", f"/prefix/{digest}/checkpoint", b"")


async def test_own_cosignature_is_found_among_others() -> None:
    """Those of unknown keys are ignored; of several, the newest counts."""
    signatures = [cosign(OTHER, TEXT, 5), cosign(KEY, TEXT, 7), cosign(KEY, TEXT, 9), cosign(KEY, TEXT, 8)]
    assert await answer_to(lines(*signatures)) == Cosigned(cosign(KEY, TEXT, 9).line, 9)


@pytest.mark.parametrize(
    "response",
    [
        lines(),
        lines(cosign(OTHER, TEXT, 5)),
        lines(cosign(KEY, "another text\n", 5)),
        lines(cosign(KEY, TEXT, 5), cosign(KEY, "another text\n", 6)),
        lines(cosign(KEY, TEXT, 5)._replace(signature=b"short")),
        lambda: web.Response(text="— not a signature\n"),
        lambda: web.Response(body=b"\xff\xfe"),
        lambda: web.Response(text="<html>"),
        lambda: web.Response(body=b"x" * (ANSWER_MAX + 1)),
        lambda: web.Response(status=409, text="5\n"),
        lambda: web.Response(status=409, body=b"05\n", headers={"Content-Type": "text/x.tlog.size"}),
        lambda: web.Response(status=409, body=b"5", headers={"Content-Type": "text/x.tlog.size"}),
        lambda: web.Response(status=409, body=b"-5\n", headers={"Content-Type": "text/x.tlog.size"}),
        lambda: web.Response(status=403, text="no\n"),
        lambda: web.Response(status=404),
        lambda: web.Response(status=307, headers={"Location": "/elsewhere"}),
        lambda: web.Response(status=301, headers={"Location": "http://192.0.2.1/"}),
    ],
)
async def test_other_answers_are_refusals_of_one_line(response: Callable[[], web.Response]) -> None:
    """Never a cosignature."""
    answer = await answer_to(response)
    assert isinstance(answer, Refused), answer
    assert answer.reason
    assert "\n" not in answer.reason
    assert len(answer.reason) < 400


async def test_conflict_names_a_size_to_continue_from() -> None:
    """A conflict with the size that was submitted is none: the witness contradicts itself, and nothing is repeated."""
    conflict = lambda: web.Response(status=409, body=b"5\n", headers={"Content-Type": "text/x.tlog.size"})  # noqa: E731
    assert await answer_to(conflict, 0) == Conflict(5)
    refused = await answer_to(conflict, 5)
    assert isinstance(refused, Refused)
    assert refused.inconsistent


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_witness_that_is_not_available_is_unreachable(status: int) -> None:
    """The same may succeed later."""
    answer = await answer_to(lambda: web.Response(status=status, text="later\n"))
    assert isinstance(answer, Unreachable)
    assert str(status) in answer.reason


async def test_witness_that_is_not_there_is_unreachable() -> None:
    """With the reason."""
    async with WitnessClient(KEY.vkey, "http://127.0.0.1:1") as client:
        answer = await client.submit(LOG.origin, 0, (), NOTE)
        assert isinstance(answer, Unreachable)
        assert "refused" in answer.reason
        assert isinstance(await client.newest(LOG.origin), Unreachable)


async def test_slow_witness_is_given_up() -> None:
    """One that never answers, and one that sends a byte now and then."""
    ended = asyncio.Event()

    async def silent(_: web.Request) -> web.StreamResponse:
        await ended.wait()
        return web.Response()

    async def dripping(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not ended.is_set():
            await response.write(b"x")
            await asyncio.sleep(0.01)
        return response

    for handler in (silent, dripping):
        async with answering(handler) as client:
            client._timeout_s = 0.1
            assert isinstance(await client.submit(LOG.origin, 0, (), NOTE), Unreachable)
            ended.set()
        ended.clear()


async def test_newest_is_not_offered_or_checked() -> None:
    """A checkpoint of another log, without a cosignature or with a false one is refused."""
    other = GrowingLog("results.example.no/live/other")
    signed = parse_note(NOTE)

    def cosigned(note: Note, *signatures: Signature) -> bytes:
        return Note(note.text, (*note.signatures, *signatures)).encode()

    bodies = {
        cosigned(signed, cosign(KEY, TEXT, 9)): None,
        cosigned(signed): Refused,
        cosigned(signed, cosign(OTHER, TEXT, 9)): Refused,
        cosigned(signed, cosign(KEY, "x\n", 9)): Refused,
        cosigned(parse_note(other.note(5)), cosign(KEY, other.checkpoint(5).text(), 9)): Refused,
        b"nothing": Refused,
    }
    current = b""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=current) if current else web.Response(status=404)

    async with answering(handler) as client:
        assert await client.newest(LOG.origin) == NotOffered()
        for current, expected in bodies.items():  # noqa: B007
            answer = await client.newest(LOG.origin)
            if expected is None:
                assert (answer.checkpoint, answer.at) == (LOG.checkpoint(5), 9)  # type: ignore[union-attr]
            else:
                assert isinstance(answer, expected)


async def test_fake_answers_as_the_specification_says() -> None:
    """The witness of other tests: sizes, cosignatures that verify, refusals."""
    fake = FakeWitness()
    assert isinstance(await fake.submit(LOG.origin, 0, (), LOG.note(3)), Cosigned)
    assert await fake.submit(LOG.origin, 0, (), LOG.note(5)) == Conflict(3)
    assert isinstance(await fake.submit(LOG.origin, 3, LOG.proof(3, 5), LOG.note(5)), Cosigned)
    forked = await fake.submit(LOG.origin, 5, (), GrowingLog(shared=2).note(5))
    assert isinstance(forked, Refused)
    assert forked.inconsistent
