"""What a unit says, what the journal made of it, and how it is fingerprinted.

A report is the whole present state of one unit. Its canonical bytes are what is stored, digested and published.
"""

import hashlib
from datetime import datetime
from typing import Annotated, Literal

import msgspec
import orjson

from gateway.election.registry import COUNT_MAX
from gateway.kept_json import kept_json

Status = Literal[
    "not_counted",
    "counting",
    "preliminary",
    "final",
    "controlled",
    "settled",
    "counted_elsewhere",
    "unstated",
]
Reason = Literal["recount", "revoked", "late_ballots", "booking_error", "control", "other"]
STATUSES: tuple[str, ...] = Status.__args__  # type: ignore[attr-defined]
REASONS: tuple[str, ...] = Reason.__args__  # type: ignore[attr-defined]

Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]
Revision = Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]
REVISION_CEILING = 2_000_000_000
"""Highest revision of a unit, until an operator raises it for that unit. Revisions may be Unix seconds until 2033."""
REVISION_STEP = 1_000_000
"""How far above a unit's current revision its ceiling is raised."""

CHAIN_START = bytes(32)
"""The chain before the first publication: 32 zero bytes."""

_PROGRESS = {"counting": 1, "preliminary": 2, "final": 3, "controlled": 4, "settled": 5}


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One category of ballots of one unit. `ballots` holds blank ones, not rejected ones."""

    ballots: Count
    blank: Count
    rejected: Count
    votes: dict[str, Count]
    voters: Count | msgspec.UnsetType = msgspec.UNSET


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The whole present state of one unit, as its sender put it."""

    unit: str
    revision: Revision
    counted_at: str
    status: Status
    counts: dict[str, Counts]
    reason: Reason | msgspec.UnsetType = msgspec.UNSET

    @property
    def ballots(self) -> int:
        """All approved ballots of the unit, blank ones included."""
        return sum(counts.ballots for counts in self.counts.values())


class Publication(msgspec.Struct, frozen=True, gc=False):
    """A report in the public record, at its place `sequence` (from 1, no gaps)."""

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


_decoder = msgspec.json.Decoder(Report)


def decode_report(body: bytes) -> Report:
    """Read a report from JSON bytes. Raises msgspec.ValidationError or msgspec.DecodeError."""
    return _decoder.decode(body)


def canonical(document: object) -> bytes:
    """Write decoded JSON as the bytes that are stored and digested.

    Keys sorted by code point, no white space, UTF-8, nothing escaped that needs no escape (RFC 8259, section 7).
    """
    return kept_json(document, orjson.OPT_SORT_KEYS)


def digest_of(body: bytes) -> bytes:
    """Return the SHA-256 (32 bytes) of a report's canonical bytes."""
    return hashlib.sha256(body).digest()


def next_chain(chain: bytes, digest: bytes) -> bytes:
    """Return chain(n) = SHA-256(chain(n-1) || digest(n)); all three are 32 bytes."""
    return hashlib.sha256(chain + digest).digest()


def figures_fell(previous: Report, report: Report) -> bool:
    """Whether, in some category, the ballots or a party's votes are fewer than before."""
    for category, before in previous.counts.items():
        after = report.counts.get(category)
        if after is None:
            if before.ballots or any(before.votes.values()):
                return True
        elif after.ballots < before.ballots:
            return True
        else:
            votes_now = after.votes
            for party, votes in before.votes.items():
                if votes_now.get(party, 0) < votes:
                    return True
    return False


def status_went_back(previous: Report, report: Report) -> bool:
    """Whether the count is less far than before, by the order counting ... settled; other statuses stand below."""
    return _PROGRESS.get(report.status, 0) < _PROGRESS.get(previous.status, 0)


def warnings_of(report: Report, previous: Report | None, eligible: int | None) -> list[str]:
    """Name what is unusual in a report and yet accepted, because real counts do it."""
    warnings = []
    if eligible is not None and report.ballots > eligible:
        warnings.append("above_eligible")
    if previous is not None:
        if figures_fell(previous, report):
            warnings.append("figures_fell")
        if status_went_back(previous, report):
            warnings.append("status_back")
        if report.status == previous.status and report.counts == previous.counts:
            warnings.append("unchanged")
    return warnings
