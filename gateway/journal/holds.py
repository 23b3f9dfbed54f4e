"""Held reports in the journal, the decisions on them, and the policy of rules.

A decision is an append: it takes the head lock, waits for the standby, and is announced. A change of the policy is an
administrative act. See `migrations/0006_holds.sql`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

HoldState = Literal["open", "released", "rejected", "superseded"]
ConflictCode = Literal["superseded", "decided_otherwise", "not_held", "revision_conflict"]

ENDED_MAX = 500
"""Ended holds that are returned at most, those that ended last."""


class HoldRow(msgspec.Struct, frozen=True, kw_only=True):
    """A hold, open or ended."""

    unit: str
    revision: int
    digest: bytes
    body: bytes
    """The canonical bytes of the held report."""
    token: int
    """The sender's."""
    token_note: str
    accepted_at: datetime
    since: datetime
    """Since when the unit has been held without interruption."""
    rules: Sequence[dict[str, Any]]
    """Every rule that fired, each with `code`, `do` and its `evidence`."""
    codes: Sequence[str]
    """The rules that hold the report."""
    warnings: Sequence[str]
    """The warnings of rules in its receipt."""
    state: HoldState
    ended_at: datetime | None
    decided_by: int | None
    """The operator's token."""
    decided_by_note: str | None
    reason: str | None
    note: str | None
    sequence: int | None
    """Its position, once it is released."""
    current: bytes | None
    """The body of the unit's current report; None if it has none."""


class HoldName(msgspec.Struct, frozen=True):
    """A held report, as a decision names it."""

    unit: str
    revision: int
    digest: bytes


class HoldDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision on held reports: all of them in this order, or none."""

    release: bool
    """Whether they are released; otherwise they are rejected."""
    holds: Sequence[HoldName]
    reason: str
    note: str
    token: int
    """The operator's."""


class HoldDecided(msgspec.Struct, frozen=True):
    """What was decided on one report, as it was first decided."""

    unit: str
    revision: int
    """The one that was decided: a later one than named if that had the same counts."""
    state: HoldState
    sequence: int | None
    """Its position, if it was released; not to be shown under embargo."""
    decided_at: datetime


class HoldConflict(msgspec.Struct, frozen=True):
    """Why a named report was not decided, and therefore no other."""

    unit: str
    revision: int
    """As named."""
    code: ConflictCode
    state: HoldState | None
    """Of the named revision; None if it was never held."""
    newest_revision: int | None
    """Of the unit; None if it has none."""
    decided_at: datetime | None
    """If it was decided otherwise, when and why."""
    reason: str | None


class HoldsDecided(msgspec.Struct, frozen=True):
    """What one decision did: `decided` has each report in the order given, or `conflicts` has those at fault."""

    at: datetime
    released_at: datetime | None
    """The end of the embargo; None while it lasts."""
    decided: Sequence[HoldDecided] = ()
    conflicts: Sequence[HoldConflict] = ()


class PolicyRow(msgspec.Struct, frozen=True):
    """A change of the policy."""

    document: bytes
    """JSON."""
    at: datetime
    author: int
    """The operator's token."""
    author_note: str


class HoldJournal:
    """What the push door reads and changes of holds. Every method raises JournalUnavailable."""

    async def holds(self, election: int, units: Iterable[str], *, ended: bool = False) -> list[HoldRow]:
        """Return the open holds of these units, oldest first (`since`, `accepted_at`); with `ended` also others."""
        raise NotImplementedError

    async def decide(self, election: int, version: int, decision: HoldDecision) -> HoldsDecided:
        """Decide on held reports; what was decided is durable when this returns.

        Raises VersionChanged if the token was checked against another version of the election.
        """
        raise NotImplementedError

    async def policy(self, election: int) -> PolicyRow | None:
        """Return the last change of the policy; None while it is that of the registry."""
        raise NotImplementedError

    async def set_policy(self, election: int, version: int, document: bytes, token: int) -> bool:
        """Set the policy, a valid document as JSON; return whether it changed, which raises the version.

        Raises VersionChanged if the token was checked against another version of the election.
        """
        raise NotImplementedError
