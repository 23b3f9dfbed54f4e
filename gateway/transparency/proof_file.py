"""Proof files: everything that shows that an entry is in a log, offline. Source: C2SP tlog-proof, version 1.

c2sp.org/tlog-proof@v1
extra BASE64            (here: the report itself)
index 73894
BASE64 …                (one line per hash of the inclusion proof)

CHECKPOINT
"""

import re
from base64 import b64encode

import msgspec

from gateway.transparency.entries import ENTRY_MAX
from gateway.transparency.merkle import HASH_SIZE, SIZE_MAX, leaf_hash, verify_inclusion
from gateway.transparency.note import NOTE_MAX, MalformedNote, Note, decode_base64, parse_note
from gateway.transparency.policy import Agreement, Policy

HEADER = "c2sp.org/tlog-proof@v1"
EXTENSION = ".tlog-proof"
HASHES_MAX = 63
"""Hashes of an inclusion proof in a tree of any size up to SIZE_MAX."""
PROOF_MAX = NOTE_MAX + 4 * ENTRY_MAX // 3 + 4_096
"""Bytes of a proof file that is read."""
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)


class ProofFile(msgspec.Struct, frozen=True, gc=False):
    """A proof that an entry is in a log. Nothing in it is trusted before `verify`."""

    index: int
    hashes: tuple[bytes, ...]
    """From the sibling of the leaf to the child of the root."""
    note: Note
    """The checkpoint, with its signatures."""
    extra: bytes | None = None
    """The entry itself, in the files of this project; not authenticated before `verify`."""

    def encode(self) -> bytes:
        """Return the bytes of the file; the inverse of `parse_proof`."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [b64encode(each).decode() for each in self.hashes]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note.encode()

    def verify(
        self,
        policy: Policy,
        entry: bytes | None = None,
        *,
        now: int | None = None,
        max_age_s: float | None = None,
    ) -> Agreement:
        """Verify that `entry` (`extra` by default) is at `index` of a log that the policy trusts.

        Whether enough witnesses agree is in the result, as with `Policy.check`. Raises MalformedNote and BadSignature
        as that does, and ProofInvalid if the checkpoint does not cover the entry.
        """
        entry = self.extra if entry is None else entry
        if entry is None:
            raise MalformedNote("the proof file does not contain the entry, and none was given")
        agreement = policy.check(self.note, now=now, max_age_s=max_age_s)
        checkpoint = agreement.checkpoint
        verify_inclusion(self.index, checkpoint.size, leaf_hash(entry), self.hashes, checkpoint.root)
        return agreement


def parse_proof(data: bytes) -> ProofFile:
    """Read a proof file. Raises MalformedNote. Neither proof nor signatures are verified."""
    if len(data) > PROOF_MAX:
        raise MalformedNote(f"a proof file must not exceed {PROOF_MAX} bytes")
    if not data.startswith(HEADER.encode()):
        raise MalformedNote(f"the first line of a proof file is {HEADER}")
    if b"\r" in data:
        raise MalformedNote(
            "its line ends were changed on the way, as by some mail programs: get it again, in a zip"
        )
    head, separator, note = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise MalformedNote("the lines of a proof are ASCII") from None
    if lines.pop(0) != HEADER:
        raise MalformedNote(f"the first line of a proof file is {HEADER}")
    if not separator:
        raise MalformedNote("a proof file has an empty line before the checkpoint")
    extra = _extra(lines.pop(0)) if lines and lines[0].startswith("extra ") else None
    found = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if found is None or int(found[1]) >= SIZE_MAX:
        raise MalformedNote("a proof file has a line “index NUMBER”")
    if len(lines) > HASHES_MAX:
        raise MalformedNote(f"a proof has at most {HASHES_MAX} hashes, not {len(lines)}")
    return ProofFile(int(found[1]), tuple(map(_hash, lines)), parse_note(note), extra)


def _extra(line: str) -> bytes:
    extra = decode_base64(line.removeprefix("extra "))
    if extra is None:
        raise MalformedNote("the line “extra …” of the proof file is not base64")
    return extra


def _hash(line: str) -> bytes:
    value = decode_base64(line)
    if value is None or len(value) != HASH_SIZE:
        raise MalformedNote(f"a line of the proof is a hash of 32 bytes in base64, not {line[:60]!r}")
    return value
