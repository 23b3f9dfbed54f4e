"""The outcome of a report: a receipt, a refusal, or a retry."""

from datetime import datetime
from typing import Literal

import msgspec

from gateway.election.report import Report
from gateway.election.validation import Invalid
from gateway.election.violations import Violation

State = Literal["published", "embargoed", "held", "rejected", "superseded"]
"""The state of an accepted report."""


class HoldNotice(msgspec.Struct, frozen=True, gc=False):
    """What the sender of a held report learns: no evidence, which may be embargoed figures of others."""

    since: datetime
    """Since when the unit has been held without interruption."""
    rules: tuple[str, ...]
    """Codes of the rules that hold the report."""
    decided_at: datetime | None = None
    """When it was released or rejected; None if it was not."""
    reason: str | None = None


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The report is durable. A receipt exists only once the report is committed and flushed in Postgres."""

    unit: str
    revision: int
    duplicate: bool
    sequence: int | None
    """The report's sequence in the public record; None under embargo."""
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
        sequence: int,
        accepted_at: datetime,
        released_at: datetime | None,
        warnings: tuple[str, ...],
        *,
        duplicate: bool = False,
    ) -> "Receipt":
        """Return the receipt of a committed report.

        The embargo rule: until the election is released, a receipt shows neither the report's place in the record nor
        a time of publication.
        """
        if released_at is None:
            return cls(report.unit, report.revision, duplicate, None, digest, accepted_at, None, warnings)
        published_at = max(accepted_at, released_at)
        return cls(
            report.unit, report.revision, duplicate, sequence, digest, accepted_at, published_at, warnings
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
