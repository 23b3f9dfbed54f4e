"""The public record of one election: its publications, the chain through them, and where it ends.

The journal reads these from Postgres and the feed applies them; neither knows the other.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

CHAIN_START = bytes(32)
"""The chain before the first publication: 32 zero bytes."""


class Publication(msgspec.Struct, frozen=True, gc=False):
    """A report in the public record at its `sequence` (from 1, without gaps)."""

    sequence: int
    published_at: datetime
    unit: str
    revision: int
    digest: bytes
    chain: bytes
    body: bytes
    """The report's canonical bytes."""
    received_at: datetime
    """When the push door had read the report."""
    accepted_at: datetime
    """When it was placed in the record: when it was accepted or, if it was held, when it was released."""
    held_since: datetime | None = None
    """Since when the unit had been held; None if the report was not held."""
    held_rules: Sequence[str] | None = None
    """The rules that held it."""


class JournalReport(msgspec.Struct, frozen=True):
    """An accepted report in the journal; `published_at` is None while it is under embargo."""

    sequence: int
    unit: str
    revision: int
    digest: bytes
    chain: bytes
    body: bytes
    published_at: datetime | None


class JournalHold(msgspec.Struct, frozen=True):
    """A report in the journal that is or was held."""

    unit: str
    revision: int
    digest: bytes
    state: str
    """`open`, `released`, `rejected` or `superseded`."""
    sequence: int | None
    """Its position, if it was released."""


class Head(msgspec.Struct, frozen=True):
    """Where the public record of one election ends; `sequence` is 0 before its release."""

    key: int
    """The election's number in the journal."""
    id: str
    loaded_at: datetime
    """When the registry was loaded. A later time may mean a different registry."""
    publish_from: datetime
    released_at: datetime | None
    closed_at: datetime | None
    sequence: int
    """The last publication that may be shown. On a primary with a synchronous standby, the standby has it as well."""
    chain: bytes
    accepted: int
    """Number of reports that this server has. Those after `sequence` are waiting for their confirmation."""
    standby: bool
    """Whether a replica returned this head; a replica may lag behind the record."""
    hold_lines: int = 0
    """Lines of the list of holds that may be shown; 0 before the release."""
    hold_chain: bytes = CHAIN_START
    """The chain through them."""


class Unapplied(msgspec.Struct, frozen=True):
    """The publications of one unit that a feed has not applied yet."""

    unit: str
    accepted: int
    """Number of publications."""
    oldest_published_at: datetime
    last_accepted_at: datetime


def chain_after(chain: bytes, digests: Iterable[bytes]) -> list[bytes]:
    """Return the chain after each of the next digests, as `next_chain` does; see there."""
    sha256 = hashlib.sha256
    return [chain := sha256(chain + digest).digest() for digest in digests]


def next_chain(chain: bytes, digest: bytes) -> bytes:
    """Return chain(n) = SHA-256(chain(n-1) || digest(n)); all three are 32 bytes."""
    return hashlib.sha256(chain + digest).digest()
