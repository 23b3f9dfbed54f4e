"""PURE: the body of `add-checkpoint`, strict, at a cost that its bound limits.

Source: C2SP tlog-witness, "add-checkpoint".
"""

import re

import msgspec

from gateway.transparency.merkle import HASH_SIZE
from gateway.transparency.note import decode_base64

PROOF_MAX = 63
"""Hashes of a consistency proof that a client may send."""
HASH_LENGTH = 44
"""Characters of a hash in base64."""
BODY_MAX = 128 << 10
"""Bytes of a body: 63 hashes, and a note with 16 signatures of any kind (signed-note: up to 5 kB each)."""
_OLD_SIZE = re.compile(rb"old (0|[1-9][0-9]{0,18})")


class Submission(msgspec.Struct, frozen=True):
    """A checkpoint, and the proof that it is consistent with the one of size `old_size`."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes
    """The signed note; nothing of it has been checked."""

    @property
    def origin(self) -> bytes:
        """The first line of the note, by which the witness finds the keys to check it with."""
        return self.note.partition(b"\n")[0]


class BadSubmission(Exception):
    """The body is not what the protocol says; the message says what is wrong."""


def parse_submission(body: bytes) -> Submission:
    """Read a body. Raises BadSubmission."""
    head, separator, note = body.partition(b"\n\n")
    if not separator:
        raise BadSubmission("no empty line between the consistency proof and the checkpoint")
    first, *lines = head.split(b"\n", PROOF_MAX + 1)
    match = _OLD_SIZE.fullmatch(first)
    if match is None:
        raise BadSubmission("the first line is not `old` and a size in decimal")
    if len(lines) > PROOF_MAX:
        raise BadSubmission(f"the consistency proof has more than {PROOF_MAX} hashes")
    proof = tuple(_hash(line, number) for number, line in enumerate(lines, 2))
    return Submission(int(match[1]), proof, note)


def _hash(line: bytes, number: int) -> bytes:
    """Return the hash of a line of the proof; only its canonical encoding is accepted."""
    decoded = decode_base64(line.decode("latin-1")) if len(line) == HASH_LENGTH else None
    if decoded is None or len(decoded) != HASH_SIZE:
        raise BadSubmission(f"line {number} is not a hash of 32 bytes in base64")
    return decoded
