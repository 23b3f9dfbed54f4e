"""Checkpoints: the size and the root hash of a log, as the text of a signed note. Source: C2SP tlog-checkpoint."""

import re
from base64 import b64encode
from collections.abc import Iterable
from typing import NamedTuple

from gateway.transparency.ed25519 import SigningKey, verify
from gateway.transparency.merkle import HASH_SIZE, SIZE_MAX
from gateway.transparency.note import ED25519, BadSignature, MalformedNote, Note, VerifierKey, decode_base64

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class Checkpoint(NamedTuple):
    """What a log states: that at this size its root hash was this one."""

    origin: str
    size: int
    root: bytes
    """32 bytes."""
    extensions: tuple[str, ...] = ()
    """Further lines, whose meaning is unknown. This project writes none; they are read since other logs may."""

    def text(self) -> str:
        """Return the text that is signed, with its last newline."""
        lines = (self.origin, str(self.size), b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    def signed_by(self, *keys: SigningKey) -> Note:
        """Return the note with a signature of each key (several while keys are exchanged)."""
        text = self.text()
        return Note(text, tuple(key.sign(text) for key in keys))


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a note as a checkpoint. Raises MalformedNote."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() or "" in lines:
        raise MalformedNote(
            "a checkpoint has at least three lines, none of them empty: origin, size and root hash"
        )
    origin, size, encoded, *extensions = lines
    if not _SIZE.fullmatch(size) or int(size) > SIZE_MAX:
        raise MalformedNote(f"line 2 of a checkpoint is its size, not {size[:40]!r}")
    root = decode_base64(encoded)
    if root is None or len(root) != HASH_SIZE:
        raise MalformedNote(f"line 3 of a checkpoint is a hash of 32 bytes in base64, not {encoded[:60]!r}")
    return Checkpoint(origin, int(size), root, tuple(extensions))


def open_checkpoint(note: Note, keys: Iterable[VerifierKey]) -> tuple[Checkpoint, tuple[VerifierKey, ...]]:
    """Return the checkpoint of a note, and the keys of its log that signed it: at least one of `keys`.

    Only keys whose name is the origin count. Raises MalformedNote, and BadSignature if none of them signed, or if a
    signature of one of them is not valid. Source: C2SP signed-note, "Signatures".
    """
    checkpoint = parse_checkpoint(note.text)
    of_log = [key for key in keys if key.kind == ED25519 and key.name == checkpoint.origin]
    if not of_log:
        raise BadSignature(
            f"the checkpoint is of the log {checkpoint.origin[:200]!r}, of which no key is trusted here"
        )
    by_id = {key.key_id: key for key in of_log}
    message = note.text.encode()
    signed = []
    for signature in note.signatures:
        key = by_id.get(signature.key_id) if signature.name == checkpoint.origin else None
        if key is None:
            continue
        if not verify(key.public, message, signature.signature):
            raise BadSignature(f"the signature of {key.name}+{key.key_id.hex()} is not valid")
        if key not in signed:
            signed.append(key)
    if not signed:
        raise BadSignature(
            f"no key that is trusted here has signed the checkpoint of {checkpoint.origin[:200]!r}"
        )
    return checkpoint, tuple(signed)
