"""The client of a witness: submits checkpoints and returns what the witness answered.

A witness never stops a publication, so nothing here raises because of one: whatever it answers, or whether it answers,
is a value. Every request has a limit in seconds and every answer one in bytes. Source: C2SP tlog-witness,
`add-checkpoint`.
"""

import asyncio
import base64
import re
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Protocol

import aiohttp
import msgspec

from gateway.characters import printable
from gateway.client.failures import failure_of_error
from gateway.client.http_session import NotFollowed, environment_proxy, open_session
from gateway.errors import GatewayError
from gateway.transparency.checkpoint import Checkpoint, parse_checkpoint
from gateway.transparency.cosignature import verify_cosignature
from gateway.transparency.note import (
    BadSignature,
    Note,
    Signature,
    VerifierKey,
    parse_note,
    parse_signature,
)
from gateway.transparency.witness_protocol import SIZE_TYPE, origin_hash

TIMEOUT_S = 1.0
"""How long a witness may take to answer, from the connection to the last byte, in seconds."""
ANSWER_MAX = 128 << 10
"""Bytes of an answer that are read: 16 signatures of any kind, or a checkpoint with as many."""
REASON_MAX = 200
"""Characters of a refusal that are kept."""
LINES_MAX = 100
"""Signature lines of an answer that are read."""
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


class Cosigned(msgspec.Struct, frozen=True):
    """The witness cosigned the checkpoint; its signature was verified."""

    line: str
    """The signature line as in a note, with its newline."""
    at: int
    """The time of the cosignature, in seconds since the epoch, by the clock of the witness."""


class Conflict(msgspec.Struct, frozen=True):
    """The newest checkpoint that the witness cosigned has another size: submit again, with a proof from there."""

    size: int


class Refused(msgspec.Struct, frozen=True):
    """The witness answered, and did not cosign."""

    reason: str
    """One line for people."""
    status: int | None = None
    """The HTTP status; None if the answer itself is not what the protocol says."""
    inconsistent: bool = False
    """Whether the witness says that the checkpoint contradicts what it cosigned (409 without a size, 422)."""


class Unreachable(msgspec.Struct, frozen=True):
    """The witness did not answer, not in time, or is not available (408, 429, 5xx); the same may succeed later."""

    reason: str
    """One line for people."""


class NotOffered(msgspec.Struct, frozen=True):
    """The witness does not show its newest checkpoint, or has cosigned none of this log."""


class Newest(msgspec.Struct, frozen=True):
    """The newest checkpoint that the witness cosigned. Its cosignature was verified, but not the log's signature."""

    checkpoint: Checkpoint
    note: Note
    at: int


Answer = Cosigned | Conflict | Refused | Unreachable
NewestAnswer = Newest | NotOffered | Refused | Unreachable


class Witness(Protocol):
    """What the signer asks for cosignatures; `WitnessClient`, and the fake of the tests."""

    vkey: VerifierKey

    async def submit(
        self, origin: str, old_size: int, consistency_proof: Sequence[bytes], note: bytes
    ) -> Answer:
        """Submit a signed checkpoint with the proof that it is consistent with that of size `old_size`."""

    async def newest(self, origin: str) -> NewestAnswer:
        """Return the newest checkpoint of a log that the witness cosigned."""

    async def close(self) -> None:
        """Close the connections."""


class WitnessClient:
    """Asks one witness, over connections that are kept. Invariants:

    * No method takes longer than `timeout_s`, nor raises because of what the witness does.
    * A cosignature is returned only if the key of the witness made it for the submitted checkpoint.
    """

    def __init__(self, vkey: VerifierKey, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Ask the witness with this key at `url`, its submission prefix. Raises BadProxy."""
        self.vkey = vkey
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._proxy = environment_proxy(self.url, loopback_direct=True)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "WitnessClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def submit(
        self, origin: str, old_size: int, consistency_proof: Sequence[bytes], note: bytes
    ) -> Answer:
        """Submit a signed checkpoint with the proof that it is consistent with that of size `old_size`.

        `note` is the whole signed note of the log `origin`, in bytes. `old_size` is that of the newest checkpoint that
        the witness cosigned; if it is unknown, 0: the answer then has the size, and a second call succeeds.
        """
        assert note.startswith(f"{origin}\n".encode())
        body = request_body(old_size, consistency_proof, note)
        received = await self._request("POST", "/add-checkpoint", body)
        if isinstance(received, Unreachable | Refused):
            return received
        return read_answer(self.vkey, old_size, note, received)

    async def newest(self, origin: str) -> NewestAnswer:
        """Return the newest checkpoint of a log that the witness cosigned, where it offers that."""
        received = await self._request("GET", f"/{origin_hash(origin)}/checkpoint", None)
        if isinstance(received, Unreachable | Refused):
            return received
        return read_newest(self.vkey, origin, received)

    async def _request(
        self, method: str, path: str, body: bytes | None
    ) -> "_Received | Unreachable | Refused":
        url = self.url + path
        if self._session is None:
            self._session = open_session(self._proxy, total_s=self._timeout_s, connections_max=4)
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.request(method, url, data=body, allow_redirects=False) as answer,
            ):
                content = await _read_bounded(answer)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return Unreachable(failure_of_error(url, error, self._proxy).text)
        except NotFollowed as redirect:
            return Refused(f"{self.url}: redirected to another host", redirect.answer.status)
        if content is None:
            return Refused(f"{self.url}: the answer has more than {ANSWER_MAX} bytes")
        return _Received(self.url, answer.status, answer.headers.get("Content-Type", ""), content)


class _Received(msgspec.Struct, frozen=True):
    url: str
    status: int
    content_type: str
    content: bytes


async def _read_bounded(answer: aiohttp.ClientResponse) -> bytes | None:
    """Return the body; None if it is too large."""
    content = bytearray()
    async for part in answer.content.iter_any():
        content += part
        if len(content) > ANSWER_MAX:
            answer.close()
            return None
    return bytes(content)


def request_body(old_size: int, consistency_proof: Sequence[bytes], note: bytes) -> bytes:
    """Return the body of `add-checkpoint`. Source: C2SP tlog-witness."""
    proof = "".join(f"{base64.b64encode(each).decode()}\n" for each in consistency_proof)
    return f"old {old_size}\n{proof}\n".encode() + note


def read_answer(vkey: VerifierKey, old_size: int, note: bytes, received: _Received) -> Answer:
    """Judge the answer to a submission."""
    if received.status == 200:
        return _cosigned(vkey, note, received)
    if received.status == 409 and received.content_type.partition(";")[0].strip() == SIZE_TYPE:
        match = _SIZE.fullmatch(received.content)
        if match is None:
            return Refused(f"{received.url}: a conflict without a size", 409)
        if (size := int(match[1])) != old_size:
            return Conflict(size)
    return _refused(received)


def read_newest(vkey: VerifierKey, origin: str, received: _Received) -> NewestAnswer:
    """Judge the answer to a request for the newest checkpoint."""
    if received.status in (404, 405, 501):
        return NotOffered()
    if received.status != 200:
        return _refused(received)
    try:
        note = parse_note(received.content)
        checkpoint = parse_checkpoint(note.text)
        cosigned = newest_cosignature(vkey, note.text, note.signatures)
    except GatewayError as error:
        return Refused(f"{received.url}: {_short(str(error))}", 200)
    if checkpoint.origin != origin:
        return Refused(f"{received.url}: the checkpoint of another log", 200)
    return Newest(checkpoint, note, cosigned.at)


def newest_cosignature(vkey: VerifierKey, text: str, signatures: Iterable[Signature]) -> Cosigned:
    """Return the newest cosignature of a checkpoint by one key, among lines of any keys.

    Raises BadSignature if there is none, or if one of them is not valid; MalformedNote.
    """
    found = [
        Cosigned(each.line, verify_cosignature(vkey, text, each))
        for each in dict.fromkeys(signatures)
        if vkey.made(each)
    ]
    if not found:
        raise BadSignature(f"no cosignature of {vkey.name}")
    return max(found, key=lambda cosigned: cosigned.at)


def _cosigned(vkey: VerifierKey, note: bytes, received: _Received) -> Cosigned | Refused:
    try:
        lines = received.content.decode().splitlines()[:LINES_MAX]
        signatures = [parse_signature(line) for line in lines]
        return newest_cosignature(vkey, parse_note(note).text, signatures)
    except (GatewayError, UnicodeDecodeError) as error:
        return Refused(f"{received.url}: answered 200: {_short(str(error))}")


def _refused(received: _Received) -> Refused | Unreachable:
    said = _short(received.content[:REASON_MAX].decode("utf-8", "replace").partition("\n")[0])
    reason = f"{received.url}: answered {received.status}{f': {said}' if said else ''}"
    if received.status in _TEMPORARY:
        return Unreachable(reason)
    return Refused(reason, received.status, inconsistent=received.status in (409, 422))


def _short(text: str) -> str:
    return printable(text)[:REASON_MAX]
