"""The outcome of a report: a receipt, a refusal, or a retry."""

from datetime import datetime
from typing import Literal

import msgspec

from gateway.election.report import Report
from gateway.election.validation import Invalid
from gateway.election.violations import Violation

State = Literal["published", "embargoed", "held", "rejected", "superseded"]
"""The state of an accepted report."""
HoldState = Literal["open", "released", "rejected", "superseded"]
"""The state of a hold. All but `open` are final."""
HoldConflictCode = Literal["superseded", "decided_otherwise", "not_held", "revision_conflict"]
"""Why a decision about a held report was not made."""


class HoldNotice(msgspec.Struct, frozen=True, gc=False):
    """A hold as the sender of the report sees it: without evidence, which may be embargoed figures of others."""

    state: HoldState
    since: datetime
    """Since when the unit has been held without interruption."""
    rules: tuple[str, ...]
    """Codes of the rules that hold the report."""
    ended_at: datetime | None = None
    """When it was released, rejected or superseded; None while it is held."""
    reason: str | None = None
    """Of the decision."""

    @property
    def decided_at(self) -> datetime | None:
        """When it was released or rejected; None if it was not."""
        return self.ended_at if self.state in ("released", "rejected") else None


def state_of(hold: HoldNotice | None, released_at: datetime | None) -> State:
    """Return the state of a report with or without a hold; `released_at` is the end of the embargo, None before it."""
    if hold is not None and hold.state != "released":
        return "held" if hold.state == "open" else hold.state
    return "published" if released_at is not None else "embargoed"


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The report is durable. A receipt exists only once the report is committed and flushed in Postgres."""

    unit: str
    revision: int
    duplicate: bool
    sequence: int | None
    """The report's sequence in the public record; None unless it is published."""
    digest: bytes
    accepted_at: datetime
    published_at: datetime | None
    warnings: tuple[str, ...]
    state: State = "published"
    hold: HoldNotice | None = None
    """None if the report was never held."""

    @classmethod
    def of(
        cls,
        report: Report,
        digest: bytes,
        sequence: int | None,
        accepted_at: datetime,
        released_at: datetime | None,
        warnings: tuple[str, ...],
        *,
        duplicate: bool = False,
        hold: HoldNotice | None = None,
    ) -> "Receipt":
        """Return the receipt of a committed report; `sequence` is its position, if it has one.

        The embargo rule: until the election is released, a receipt shows neither the report's position in the record
        nor a time of publication. A report that was held is placed when it is released.
        """
        state = state_of(hold, released_at)
        published_at = None
        if state == "published":
            placed_at = accepted_at if hold is None else hold.ended_at
            assert placed_at is not None
            assert released_at is not None
            published_at = max(placed_at, released_at)
        return cls(
            report.unit,
            report.revision,
            duplicate,
            sequence if state == "published" else None,
            digest,
            accepted_at,
            published_at,
            warnings,
            state,
            hold,
        )

    @property
    def outcome(self) -> str:
        """`accepted` the first time, `duplicate` afterwards."""
        return "duplicate" if self.duplicate else "accepted"


class Refusal(msgspec.Struct, frozen=True):
    """The report was refused, and will be refused again if it is sent unchanged."""

    code: str
    unit: str | None
    revision: int | None
    current_revision: int | None = None
    violations: tuple[Violation, ...] = ()
    line: int | None = None
    """In a request with several reports, the line that could not be read."""


class Retry(msgspec.Struct, frozen=True):
    """The outcome is unknown: the report may or may not be durable. Sending it again is safe."""

    code: str
    retry_after_s: float
    unit: str | None = None
    revision: int | None = None
    reason: str | None = None
    """The reason, for people; only in problem documents."""


Outcome = Receipt | Refusal | Retry


def refusal_of(invalid: Invalid) -> Refusal:
    """Return the answer to a report that may not be accepted."""
    return Refusal(invalid.code, invalid.unit, invalid.revision, violations=invalid.violations)
