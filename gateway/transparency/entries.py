"""The entries of a log: the opening entry, the reports, the closing entry.

Entry 0 opens the record, entry n is the canonical bytes of the report with sequence n, and the closing entry follows
the last report. Opening and closing are JSON in the canonical form of the contract: keys sorted, no white space, UTF-8,
only necessary escapes. Their times are texts here, as the record has them.
"""

import hashlib
from typing import TypeVar

import msgspec

from gateway.errors import GatewayError

ENTRY_MAX = 65_535
"""Bytes of an entry: its length in a bundle is a uint16 (C2SP tlog-tiles)."""
OPENING = "opening/1"
CLOSING = "closing/1"
_MARK = b'"entry":"'
"""Occurs in no canonical report: a report has no such member, and in a text the quotation marks are escaped."""


class MalformedEntry(GatewayError):
    """An entry that is not a report and cannot be read as opening or closing; the message says what is wrong."""

    code = "malformed_entry"


class Previous(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The history before this one, of which a restore lost entries that had been signed."""

    origin: str
    root: str
    """The root hash of its newest checkpoint, in base64 as in the checkpoint."""
    shared: int
    """How many reports both histories have."""
    size: int
    """The size of its newest checkpoint."""


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True):
    """The first entry of a log, at index 0."""

    election: str
    history: int = 1
    opened_at: str
    previous: Previous | None = None
    registry: str
    """The SHA-256 of the registry's bytes as served, in hex."""
    rehearsal: bool
    entry: str = OPENING

    def encode(self) -> bytes:
        """Return the canonical bytes, which are the entry."""
        return msgspec.json.encode(self, order="sorted")


class Closing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True):
    """The last entry of the log of a closed election; nothing follows it."""

    chain: str
    """The chain value of the last report, in hex; 64 zeros if there is none."""
    closed_at: str
    sequence: int
    """The sequence of the last report, 0 if there is none."""
    entry: str = CLOSING

    def encode(self) -> bytes:
        """Return the canonical bytes, which are the entry."""
        return msgspec.json.encode(self, order="sorted")


_T = TypeVar("_T", Opening, Closing)


def parse_opening(entry: bytes) -> Opening:
    """Read an opening entry. Raises MalformedEntry."""
    opening = _decode(entry, Opening, OPENING)
    if opening.history < 1 or (opening.history == 1) != (opening.previous is None):
        raise MalformedEntry("an opening entry has a previous history exactly if its own is not the first")
    if len(opening.registry) != 64 or not set(opening.registry) <= set("0123456789abcdef"):
        raise MalformedEntry("registry is not a SHA-256 in hex")
    return opening


def parse_closing(entry: bytes) -> Closing:
    """Read a closing entry. Raises MalformedEntry."""
    return _decode(entry, Closing, CLOSING)


def parse_entry(entry: bytes) -> Opening | Closing | None:
    """Read an opening or closing entry; return None for one that is a report. Raises MalformedEntry."""
    if _MARK not in entry:
        return None
    if b'"entry":"opening/' in entry:
        return parse_opening(entry)
    return parse_closing(entry)


def registry_hash(document: bytes) -> str:
    """Return what the opening entry has as `registry`: the SHA-256 of the document's bytes, in hex."""
    return hashlib.sha256(document).hexdigest()


def _decode(entry: bytes, kind: type[_T], version: str) -> _T:
    if len(entry) > ENTRY_MAX:
        raise MalformedEntry(f"an entry must not exceed {ENTRY_MAX} bytes, and has {len(entry)}")
    try:
        decoded = msgspec.json.decode(entry, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEntry(f"not an entry {version}: {error}") from None
    if decoded.entry != version:
        raise MalformedEntry(f"the entry must be {version}, not {decoded.entry[:40]!r}")
    if decoded.encode() != entry:
        raise MalformedEntry(f"the entry {version} is not in canonical form")
    return decoded
