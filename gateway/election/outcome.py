"""What became of one report: the answers a sender can get."""

from datetime import datetime

import msgspec

from gateway.election.report import Report
from gateway.election.validation import Invalid, Violation


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The report is durable. Exists only once it is committed and flushed in Postgres."""

    unit: str
    revision: int
    duplicate: bool
    sequence: int | None
    """Its place in the public record; None while it is embargoed."""
    digest: bytes
    accepted_at: datetime
    published_at: datetime | None
    warnings: tuple[str, ...]

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
    """The report was not taken, and will not be if it is sent again as it is."""

    code: str
    unit: str | None
    revision: int | None
    current_revision: int | None = None
    violations: tuple[Violation, ...] = ()
    line: int | None = None
    """Where several were sent: the line of one that could not be read."""


class Retry(msgspec.Struct, frozen=True):
    """Nothing was decided: the report may or may not be durable, and sending it again is safe."""

    code: str
    retry_after_s: float
    unit: str | None = None
    revision: int | None = None
    reason: str | None = None
    """Why, for a person; only in problem documents."""


Outcome = Receipt | Refusal | Retry


def refusal_of(invalid: Invalid) -> Refusal:
    """Return the answer to a report that may not be accepted."""
    return Refusal(invalid.code, invalid.unit, invalid.revision, violations=invalid.violations)
