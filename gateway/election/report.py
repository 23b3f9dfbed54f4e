"""The report of a unit, its canonical bytes and digest, and the warnings about it.

A report is the complete current state of one unit. Its canonical bytes are stored, digested and published.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import orjson

from gateway.election.registry import COUNT_MAX
from gateway.trimmed_json import dumps_trimmed

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
STATUSES: tuple[str, ...] = get_args(Status)
REASONS: tuple[str, ...] = get_args(Reason)

Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]
Revision = Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]
REVISION_CEILING = 2_000_000_000
"""Highest revision of a unit until an operator raises it. Unix seconds stay below it until 2033."""
REVISION_STEP = 1_000_000
"""A raised ceiling is this far above the newest revision of the unit."""

STATUS_ORDER = {"counting": 1, "preliminary": 2, "final": 3, "controlled": 4, "settled": 5}
"""The statuses that follow one another; the others are below these."""


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The counts of one category of ballots in one unit. `ballots` includes blank ballots, but not rejected ones."""

    ballots: Count
    blank: Count
    rejected: Count
    votes: dict[str, Count]
    voters: Count | msgspec.UnsetType = msgspec.UNSET


_COUNT_FIELDS = tuple(field for field in msgspec.structs.fields(Counts) if field.name != "votes")
COUNT_NAMES = tuple(field.name for field in _COUNT_FIELDS)
"""The names of the counts of a category, without its `votes`, in the order in which they are shown."""
OPTIONAL_COUNT_NAMES = tuple(field.name for field in _COUNT_FIELDS if not field.required)


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The complete current state of one unit, as sent."""

    unit: str
    revision: Revision
    counted_at: str
    status: Status
    counts: dict[str, Counts]
    reason: Reason | msgspec.UnsetType = msgspec.UNSET

    @property
    def ballots(self) -> int:
        """All approved ballots of the unit, including blank ones."""
        return sum([counts.ballots for counts in self.counts.values()])


def _literal_values(annotation: Any) -> tuple[str, ...]:
    """Return the values of a Literal, or of the Literal in a union; none of any other type."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((values for each in get_args(annotation) if (values := _literal_values(each))), ())


FIXED_VALUES = {
    field.name: values for field in msgspec.structs.fields(Report) if (values := _literal_values(field.type))
}
"""The values of each member of a report that has a fixed set of them: its status and its reason."""


class NewerReport(Report, frozen=True, gc=False, kw_only=True):
    """A stored report with content that this version does not know. Its unknown members are left out.

    A member whose values are fixed, such as the status, stays as it was sent if its value is unknown.
    """

    unknown: tuple[str, ...]
    """What is unknown: `member $.source`, `status recounted`, `reason audit`."""


_decoder = msgspec.json.Decoder(Report)
_encoder = msgspec.json.Encoder(order="sorted")


def decode_report(body: bytes | memoryview) -> Report:
    """Read a report as a sender sent it. Raises msgspec.ValidationError or msgspec.DecodeError.

    It is strict: an unknown member, status or reason is an error. For stored reports, use `decode_stored`.
    """
    return _decoder.decode(body)


def decode_stored(body: bytes) -> Report:
    """Read a report from the record, which a newer version of the gateway may have written.

    Returns a NewerReport where it has members, a status or a reason that this version does not know. Everything else
    must be as version 1 of the contract has it: raises msgspec.ValidationError or msgspec.DecodeError.
    """
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        document = orjson.loads(body)
        if not isinstance(document, dict):
            raise
        return _newer_report(document)


def _newer_report(document: dict[str, Any]) -> NewerReport:
    unknown: list[str] = []
    known = _known_members(document, Report, "$", unknown)
    counts = known.get("counts")
    if isinstance(counts, dict):
        known["counts"] = {
            category: _known_members(each, Counts, f"$.counts.{category}", unknown)
            for category, each in counts.items()
        }
    sent = {}
    for name, values in FIXED_VALUES.items():
        value = known.get(name)
        if isinstance(value, str) and value not in values:
            unknown.append(f"{name} {value}")
            sent[name] = value
            known[name] = values[-1]
    report = msgspec.convert(known, Report)
    members = {name: getattr(report, name) for name in Report.__struct_fields__}
    return NewerReport(**members | sent, unknown=tuple(unknown))


def _known_members(document: Any, kind: type[msgspec.Struct], path: str, unknown: list[str]) -> Any:
    """Return an object without the members that `kind` does not have, and add those to `unknown`."""
    if not isinstance(document, Mapping):
        return document
    unknown += [f"member {path}.{name}" for name in document if name not in kind.__struct_fields__]
    return {name: value for name, value in document.items() if name in kind.__struct_fields__}


def canonical(document: object) -> bytes:
    """Encode decoded JSON as the bytes that are stored and digested.

    Keys are sorted by code point, without white space, in UTF-8, with only the necessary escapes (RFC 8259, section 7).
    """
    return dumps_trimmed(document, orjson.OPT_SORT_KEYS)


def canonical_report(report: Report) -> bytes:
    """Return the canonical bytes of a report that has only known members: those of `canonical` for its document."""
    return _encoder.encode(report)


def digest_of(body: bytes) -> bytes:
    """Return the SHA-256 (32 bytes) of a report's canonical bytes."""
    return hashlib.sha256(body).digest()


def same_votes(previous: Report, report: Report) -> bool:
    """Whether two reports have the same categories, and in each the same ballots and votes."""
    if previous.counts.keys() != report.counts.keys():
        return False
    for category, before in previous.counts.items():
        after = report.counts[category]
        if before.ballots != after.ballots or before.blank != after.blank or before.votes != after.votes:
            return False
    return True


def figures_fell(previous: Report, report: Report) -> bool:
    """Whether the ballots or a party's votes decreased in some category."""
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
    """Whether the status is lower than before, in the order counting ... settled; other statuses are below these."""
    return STATUS_ORDER.get(report.status, 0) < STATUS_ORDER.get(previous.status, 0)


def all_warnings(warnings: Sequence[str], of_rules: Sequence[str]) -> tuple[str, ...]:
    """Return the warnings of a receipt: those of rules after the others, each code once."""
    if not of_rules:
        return tuple(warnings)
    return tuple(dict.fromkeys([*warnings, *of_rules]))


def warnings_of(report: Report, previous: Report | None, eligible: int | None) -> list[str]:
    """Return warnings about what is unusual in a report but accepted, because it occurs in real counts."""
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
