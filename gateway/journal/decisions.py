"""What an append decides on each report, and what it is given of the findings of the rules."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import msgspec

from gateway.election.outcome import HoldNotice


class New(msgspec.Struct, frozen=True, gc=False):
    """The report was accepted and placed."""

    sequence: int
    previous_revision: int
    """The revision of the unit's current report before it; 0 if it is the first."""


class Held(msgspec.Struct, frozen=True, gc=False):
    """The report was accepted, and is held."""

    previous_revision: int
    """The revision of the unit's current report; 0 if it has none."""
    since: datetime
    """Since when the unit has been held without interruption."""
    superseded: bool = False
    """Whether a later report of the same append has superseded it."""


class Known(msgspec.Struct, frozen=True, gc=False):
    """The same report was accepted before."""

    sequence: int | None
    """None if it has no position."""
    accepted_at: datetime
    warnings: tuple[str, ...] = ()
    """The warnings of rules in its first receipt."""
    hold: HoldNotice | None = None
    """None if it was never held."""


class Conflict(msgspec.Struct, frozen=True, gc=False):
    """Another report of the same unit and revision was accepted before."""

    code: ClassVar[str] = "revision_conflict"
    sequence: int | None
    """That of the other report; None if it has no position."""
    current_revision: int
    """The unit's newest."""


class Stale(msgspec.Struct, frozen=True, gc=False):
    """The unit has a later revision."""

    code: ClassVar[str] = "stale_revision"
    current_revision: int
    """The unit's newest."""


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The election is closed for new reports."""

    code: ClassVar[str] = "election_closed"
    current_revision: int
    """0 if the unit has no report."""


Decision = New | Held | Known | Conflict | Stale | Closed
"""What an append decided on one report."""


class Ends(msgspec.Struct, frozen=True):
    """Where the record and the list of holds end."""

    accepted: int
    """The last position."""
    chain: bytes
    hold_lines: int
    hold_chain: bytes


class Appended(msgspec.Struct, frozen=True):
    """What one append decided."""

    at: datetime
    released_at: datetime | None
    decisions: Sequence[Decision] = ()
    """One per report, in the order given."""
    number: int = 0
    """The number of the append, counted from 1 per election."""
    accepted: int = 0
    """How many reports of the election are placed after it."""
    waits_for_standby: bool = False
    """Whether its commit waited for a synchronous standby."""
    ends: Ends | None = None
    """None only in tests without a database."""
    predecessors: Sequence[bytes | None] | None = None
    """The body of the current report before each, where it is known; None: none is, or they were not asked for."""


class Finding(msgspec.Struct, frozen=True):
    """What the rules found about one report, if any fired or failed."""

    rules: bytes | None
    """JSON: every rule that fired, with its evidence; None: the report is placed."""
    codes: tuple[str, ...]
    """The rules that hold it."""
    warnings: tuple[str, ...]
    """The rules that only warn, and `not_judged`."""
    counts_digest: bytes | None
    """The SHA-256 of its canonical counts, if it is held."""


class Evaluated(msgspec.Struct, frozen=True):
    """What the rules found about a batch, and the chains up to which they knew the record and the list of holds."""

    chain: bytes
    hold_chain: bytes
    tokens: Sequence[int]
    """The senders' tokens, one per report."""
    findings: Sequence[Finding | None]
    """One per report."""
