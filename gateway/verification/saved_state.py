"""What a verifier remembers of a record from one run to the next: the newest checkpoint, and the hash of every entry.

With these hashes a smaller checkpoint can be judged too, although its door no longer shows the later entries: it is
`rolled_back` if it is consistent with the saved one, else `forked`.
"""

from pathlib import Path
from typing import Literal

import msgspec

from gateway.errors import GatewayError
from gateway.transparency.checkpoint import Checkpoint, parse_checkpoint
from gateway.transparency.merkle import HASH_SIZE
from gateway.transparency.note import MalformedNote, parse_note
from gateway.transparency.tiles import FULL
from gateway.transparency.tree import Tree
from gateway.verification.copies import reason_of, write_atomically

FORMAT: Literal["valgnatt-verified/1"] = "valgnatt-verified/1"
FILE_MAX = 1 << 30


class BadState(GatewayError):
    """A file of `--state` that cannot be used, or a damaged copy; the message says what to do."""

    code = "bad_state"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal["valgnatt-verified/1"]
    note: str
    hashes: bytes
    """The leaf hashes of all entries, 32 bytes each; base64 in JSON."""


class Saved(msgspec.Struct, frozen=True):
    """A checkpoint that was verified, and the tree that it has signed."""

    note: bytes
    checkpoint: Checkpoint
    tree: Tree


def load_state(path: Path) -> Saved | None:
    """Read a file of `--state`; None if there is none yet. Raises BadState."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadState(f"{path}: {reason_of(error)}") from None
    try:
        return _saved(msgspec.json.decode(content, type=_File))
    except (MalformedNote, ValueError, RecursionError) as error:
        text = f"{path}: not a file of --state, or damaged: {error}; name another file, or restore it from a backup"
        raise BadState(text) from None


def save_state(path: Path, saved: Saved) -> None:
    """Replace a file of `--state`, atomically. Raises BadState."""
    tree, size = saved.tree, saved.checkpoint.size
    tiles = (tree.tile(0, at // FULL, min(FULL, size - at)) for at in range(0, size, FULL))
    content = msgspec.json.encode(_File(FORMAT, saved.note.decode(), b"".join(tiles)))
    try:
        write_atomically(path, content)
    except OSError as error:
        raise BadState(f"{path}: {reason_of(error)}") from None


def _saved(file: _File) -> Saved:
    note = file.note.encode()
    checkpoint = parse_checkpoint(parse_note(note).text)
    tree = Tree()
    tree.extend(file.hashes[at : at + HASH_SIZE] for at in range(0, len(file.hashes), HASH_SIZE))
    if (tree.size, tree.root()) != (checkpoint.size, checkpoint.root):
        raise ValueError("its hashes are not those of its checkpoint")
    return Saved(note, checkpoint, tree)
