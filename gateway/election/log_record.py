"""PURE: the log of an election as the journal has it: its histories, their checkpoints and cosignatures.

The journal reads these from Postgres; feeds show them and the signer continues them. Signatures and formats are in
`gateway.transparency`.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import msgspec

from gateway.transparency.entries import Closing, Opening

KEYS_MAX = 8
"""Keys of a log that sign at the same time."""
WITNESSES_MAX = 16
"""Witnesses of a log, and cosignatures of a checkpoint."""


class LogHead(msgspec.Struct, frozen=True, gc=False):
    """One history of an opened election. The newest one of an election is the last that `LogRecord.heads` returns."""

    key: int
    """The election's number in the journal."""
    id: str
    history: int
    """From 1."""
    opening: bytes
    """The opening entry, at index 0: canonical bytes."""
    closing: bytes | None
    """The closing entry, at the index after the last report. None: the election is not closed, or something of it is
    not decided, public or confirmed yet; and always None for a history that is not the newest. Once there, it never
    changes."""
    origin: str | None
    """The origin that the signer has declared. None: this history has no log."""
    vkeys: Sequence[str]
    """The current keys of the log."""
    witnesses: Sequence[str]
    """The keys of the configured witnesses."""
    size: int
    """The size of the newest checkpoint; 0: there is none."""
    changes: int
    """A number that is different after every change of the log, of a checkpoint or of a cosignature of the election."""


class SignedCheckpoint(msgspec.Struct, frozen=True, gc=False):
    """A checkpoint as it was signed."""

    size: int
    root: bytes
    """32 bytes."""
    signed_at: datetime
    note: str
    """The signed note with the signature lines of the log, without those of witnesses. It ends with a line feed."""


class Cosignature(msgspec.Struct, frozen=True, gc=False):
    """The newest signature line of a witness for the checkpoint of a size."""

    size: int
    witness: str
    """The witness's verifier key."""
    at: datetime
    """The time in the cosignature."""
    line: str
    """`— NAME BASE64`, without its line feed."""


class Round(msgspec.Struct, frozen=True, gc=False):
    """A round of a signer, which has been committed."""

    fence: int
    """What it writes in this round has to pass this number; after another signer's round, it is refused."""
    previous_signer: str
    """The name of the signer that began the round before; empty: there was none."""
    previous_at: datetime | None


class VerifiedCopy(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of a record of which every entry and every checkpoint is verified, as it is restored."""

    origin: str
    opening: Opening
    closing: Closing | None
    vkeys: Sequence[str]
    """The trusted keys of the log that signed its newest checkpoint."""
    witnesses: Sequence[str]
    """The keys of the witnesses of the policy with which it was verified."""
    size: int
    """That of the newest checkpoint, which covers every entry."""
    reports: int
    bodies: Callable[[], Iterator[bytes]]
    """Yields the canonical bytes of every report, in order."""
    root: Callable[[int], bytes]
    """Returns the root of the first entries, for every size up to `size`."""
    published_at: Callable[[int], datetime]
    """Returns when the report of a sequence was published; it never falls along the record."""
    checkpoints: Sequence[SignedCheckpoint]
    """Those that a trusted key has signed, the smallest first."""
    cosignatures: Sequence[Cosignature]
    """Those by witnesses of the policy."""
    unknown_checkpoints: int
    """How many checkpoints of the copy no trusted key has signed; they are left out."""
    times_from_checkpoints: int
    """How many reports have the time of the first checkpoint that covers them, since the copy has no other."""
