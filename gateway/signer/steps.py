"""The steps of a round of the signer, as values: `rounds` yields them in order, whoever drives it performs them.

So the order is decided without I/O, and a test can crash, fail over or restore between any two steps.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec


class Signed(msgspec.Struct, frozen=True):
    """What a checkpoint states: that the first `size` entries of the log have this root hash."""

    size: int
    root: bytes


class Shown(msgspec.Struct, frozen=True):
    """What the database shows of a log at one moment."""

    opening: bytes | None
    """The opening entry; None before the election is opened."""
    closing: bytes | None
    """The closing entry, once nothing can follow."""
    sequence: int
    """The last publication; 0 before the release."""
    chain: bytes
    accepted: int
    """How many reports this server has, also those that the standby has not confirmed; 0 before the release."""
    newest: Signed | None
    """The newest checkpoint in the table."""
    foreign: bool = False
    """Whether that checkpoint was signed by none of the keys of this log."""
    declared: bool = True
    """Whether the table of logs has the origin, the keys and the witnesses of this log."""


class Begun(msgspec.Struct, frozen=True):
    """A round that has begun: its number, and what the server that committed it shows."""

    number: int
    shown: Shown


class ReadLog(msgspec.Struct, frozen=True):
    """Read what the database shows of the log. Answer: Shown."""


class ReadEntries(msgspec.Struct, frozen=True):
    """Read up to `most` reports after a sequence. Answer: list of their canonical bytes, in order, without a gap."""

    after: int
    most: int


class ReadSigned(msgspec.Struct, frozen=True):
    """Read from the directory what was signed last. Answer: Signed."""


class AskWitnesses(msgspec.Struct, frozen=True):
    """Ask all witnesses for the newest checkpoint that they have cosigned. Answer: Witnessed."""

    signed: Signed


class Witnessed(msgspec.Struct, frozen=True):
    """What the witnesses have cosigned of this log, as far as they answered."""

    checkpoints: Sequence[Signed] = ()
    """Those whose signature of the log was verified."""
    size: int = 0
    """The largest size that a witness named without showing its checkpoint."""
    name: str = ""
    """The name of that witness."""


class Begin(msgspec.Struct, frozen=True):
    """Commit a write transaction of the signer's own, which waits for the synchronous standby. Answer: Begun.

    Afterwards the standby has everything that the server had before.
    """


class Store(msgspec.Struct, frozen=True):
    """Write to the directory that this is signed, durably. Answer: None."""

    signed: Signed


class Sign(msgspec.Struct, frozen=True):
    """Sign a checkpoint. Answer: the note, as text."""

    signed: Signed


class Submit(msgspec.Struct, frozen=True):
    """Ask the witnesses for their cosignatures. Answer: None."""

    signed: Signed
    note: str


class Insert(msgspec.Struct, frozen=True):
    """Insert the checkpoint into the table, if the round with this number is still the last one begun. Answer: None."""

    number: int
    signed: Signed
    note: str


Step = ReadLog | ReadEntries | ReadSigned | AskWitnesses | Begin | Store | Sign | Submit | Insert


class NoLog(msgspec.Struct, frozen=True):
    """The election has no opening entry yet."""


class Covered(msgspec.Struct, frozen=True):
    """A checkpoint in the table covers everything that is public."""

    signed: Signed
    closed: bool
    """Whether its last entry is the closing entry, so that nothing more is signed."""
    inserted: bool
    """Whether this round inserted a checkpoint."""


class Waiting(msgspec.Struct, frozen=True):
    """Nothing was signed, and a later round may succeed: the database is changing."""

    reason: str


class RecordRefused(msgspec.Struct, frozen=True):
    """The record contradicts what was signed; nothing is signed until it does not."""

    code: str
    """`record_behind` or `record_forked`."""
    reason: str


Outcome = NoLog | Covered | Waiting | RecordRefused


class Checked(msgspec.Struct, frozen=True):
    """What a check of one election found, as people are shown it."""

    election: str
    state: Literal["signed", "not_opened", "no_key", "refused"]
    text: str
