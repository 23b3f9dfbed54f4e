"""PURE: the push door's answers to reports, as the contract describes them in section 3."""

from datetime import datetime
from typing import Any

import msgspec

from gateway.errors import GatewayError
from gateway.wire.session import FRAME_MAX


class PushRefused(GatewayError):
    """Reports cannot be pushed: the gateway does not accept them with this token, or the URL is not a push door."""

    code = "push_refused"


class HoldNotice(msgspec.Struct, frozen=True):
    """The rules that hold or held a report, and the decision, if there is one."""

    since: datetime
    rules: tuple[str, ...] = ()
    decided_at: datetime | None = None
    reason: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """The gateway's answer to one report; see section 3 of the contract."""

    outcome: str
    id: int | str | None = None
    unit: str | None = None
    revision: int | None = None
    state: str | None = None
    sequence: int | None = None
    digest: str | None = None
    accepted_at: datetime | None = None
    published_at: datetime | None = None
    warnings: tuple[str, ...] = ()
    code: str | None = None
    current_revision: int | None = None
    violations: tuple[dict[str, Any], ...] = ()
    hold: HoldNotice | None = None
    """If the report is or was held."""
    retry_after_s: float | None = None

    @property
    def has_receipt(self) -> bool:
        """Whether the report is durable."""
        return self.outcome in ("accepted", "duplicate")

    @property
    def is_overtaken(self) -> bool:
        """Whether it is a refusal that another report of the unit causes."""
        return self.code in ("stale_revision", "revision_conflict")


class Results(msgspec.Struct):
    """The answer to a request with several reports, in the order sent."""

    results: list[Answer]


RENUMBERED = "renumbered"
"""Code of a report that is not sent since the same count is sent under another revision."""


def not_sent(code: str, detail: str, current_revision: int | None) -> Answer:
    """Return the answer that the outbox keeps for a report that is not sent. No gateway gives it."""
    violation = {"code": code, "path": "$", "detail": detail}
    return Answer("not_sent", code=code, current_revision=current_revision, violations=(violation,))


def too_large(body: bytes) -> Answer:
    """Return the answer that the gateway gives to a report that is too large."""
    detail = f"the report has {len(body)} bytes; a frame with a report may have at most {FRAME_MAX}"
    violation = {"code": "report_too_large", "path": "$", "detail": detail}
    return Answer("refused", code="invalid_report", violations=(violation,))
