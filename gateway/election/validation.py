"""Whether a report is valid according to the registry.

The rules are implemented twice. `Validator.check` uses a typed decoder and accepts a valid report in a few
microseconds. Only a report that fails there is read again, slowly, to report all violations with their JSON paths
(`violations`). A property test shows that both agree on every input.

Independent of earlier reports: the journal decides whether a revision is stale.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import orjson
from msgspec import UNSET

from gateway.election.lookalikes import registered_form
from gateway.election.registry import COUNT_MAX, Area, Registry
from gateway.election.report import (
    REVISION_CEILING,
    Report,
    canonical,
    canonical_report,
    digest_of,
    places_off,
    report_decoder,
    values_of,
)
from gateway.election.rfc3339 import read_time
from gateway.election.violations import (
    OBJECTS_MAX,
    TooManyObjects,
    Violation,
    capped,
    find_violations,
    read_exactly,
    text_size,
)
from gateway.errors import MalformedDocument
from gateway.transparency.entries import ENTRY_MAX

REPORT_MAX = ENTRY_MAX
"""Maximum bytes of a report without surrounding white space, and so of its canonical bytes, which are never more: those
of an entry of the signed record. Real reports have less than a hundredth of it."""
REPORT_SKIMMED_MAX = 1 << 20
"""Maximum bytes of an oversized report whose unit, revision and syntax are still read, in a few milliseconds."""
_WHITE_SPACE = b" \t\r\n"


class ValidReport(msgspec.Struct, frozen=True, gc=False):
    """A valid report, with the bytes that will be stored."""

    report: Report
    body: bytes
    digest: bytes


class Invalid(msgspec.Struct, frozen=True):
    """An invalid report. `unit` and `revision` are set if they could be read."""

    code: str
    unit: str | None
    revision: int | None
    violations: tuple[Violation, ...]

    @classmethod
    def malformed(cls, detail: str) -> "Invalid":
        """Return the result for bytes that are not JSON."""
        return cls("malformed", None, None, (Violation("malformed", "$", detail),))


DETAILS_OMITTED = (
    Violation(
        "more_violations", "$", "details omitted: too many violations in this request; send this report alone"
    ),
)
"""The violations of a report that is refused once the budget for explanations is spent."""


class ExplanationBudget:
    """Limits the detail that is returned about the invalid reports of one request. Invariants:

    * The budget is spent report by report, in the order sent. The report that exhausts it may exceed it, by what one
      report may have.
    * Once it is spent, an invalid report is still refused as invalid, but its violations are not listed. Valid reports
      are not affected.

    It counts bytes and violations, not time, so the same request always gets the same response.
    """

    VIOLATIONS = 1_000
    """Maximum number of violations listed."""
    TEXT = 128 << 10
    """Maximum number of bytes of their paths and details."""
    READ = 512 << 10
    """Maximum number of bytes of reports that are parsed a second time, at about 100 ns per byte."""

    __slots__ = ("_read", "_text", "_violations")

    def __init__(self, violations: int = VIOLATIONS) -> None:
        self._violations = violations
        self._text = self.TEXT
        self._read = self.READ

    @property
    def spent(self) -> bool:
        """Whether no more reports are explained."""
        return self._violations <= 0 or self._text <= 0 or self._read <= 0

    def spend(self, read: int, violations: tuple[Violation, ...]) -> None:
        """Subtract the explanation of one report of `read` bytes."""
        self._read -= read
        self._violations -= len(violations)
        self._text -= sum(map(text_size, violations))


NOT_EXPLAINED = ExplanationBudget(violations=0)
"""A budget that is spent, for a caller that only has to know whether a report is valid."""


class Scope:
    """The units that a sender may report for: all at or below its areas. Does not reveal whether other units exist."""

    def __init__(self, registry: Registry, areas: frozenset[str]) -> None:
        self.whole = registry.root.id in areas
        self.areas = areas
        self._units: frozenset[str] = frozenset(
            registry.areas[index].id
            for identifier in areas
            if identifier in registry.by_id and not self.whole
            for index in registry.below(registry.by_id[identifier])
            if registry.areas[index].is_unit
        )
        self._registry = registry

    def __contains__(self, unit: str) -> bool:
        """Whether a sender may report for `unit`. If the root is in scope, this is True for any text."""
        return self.whole or unit in self._units

    def municipalities(self) -> frozenset[str]:
        """Return the identifiers of the municipalities of the units in scope."""
        units = self._registry.units
        inside = units if self.whole else self._units
        return frozenset(self._registry.municipality(units[unit]).id for unit in inside)


class Validator:
    """Checks reports against one registry. Immutable, so it can be shared.

    `ceilings` are the highest revisions of those units for which an operator raised them. None means that they are not
    known, as in a client; then no report is refused because of them.
    """

    def __init__(self, registry: Registry, ceilings: Mapping[str, int] | None = None) -> None:
        self.registry = registry
        self._categories = frozenset(registry.categories)
        self._objects_max = OBJECTS_MAX + 2 * len(registry.categories)
        self._ceilings = ceilings
        self._decode = report_decoder(registry.party_codes)
        self._off_ballots: dict[frozenset[str], tuple[int, ...]] = {}
        """By ballot, the places in Votes of the parties that are not on it, once needed."""

    def check(
        self, raw: bytes | memoryview, scope: Scope, budget: ExplanationBudget | None = None
    ) -> ValidReport | Invalid:
        """Check one report as sent, JSON in UTF-8. `budget` bounds the explanations for the whole request.

        Raises MalformedDocument if it is not JSON, or is nested too deeply to be encoded again.
        """
        if len(raw) > REPORT_MAX:
            raw = bytes(raw).strip(_WHITE_SPACE)
            if len(raw) > REPORT_MAX:
                return _too_large(raw, scope)
        try:
            report = self._decode(raw)
            unit = self.registry.units[report.unit]
            read_time(report.counted_at)
        except (msgspec.DecodeError, KeyError, ValueError, RecursionError):
            return self._explain(raw, scope, budget)
        if report.unit not in scope:
            return _forbidden(report.unit, report.revision, scope)
        if report.revision > REVISION_CEILING and report.revision > self._ceiling(report.unit):
            return self._explain(raw, scope, budget)
        if not self._adds_up(report, unit):
            return self._explain(raw, scope, budget)
        body = canonical_report(report)
        if not _no_repeated_member(raw, body) and next(self._violations_in(raw), None):
            return self._explain(raw, scope, budget)
        return ValidReport(report, body, digest_of(body))

    def _ceiling(self, unit: object) -> int:
        if self._ceilings is None:
            return COUNT_MAX
        return self._ceilings.get(unit, REVISION_CEILING) if isinstance(unit, str) else REVISION_CEILING

    def _adds_up(self, report: Report, unit: Area) -> bool:
        ballot = unit.ballot
        for category, counts in report.counts.items():
            if category not in self._categories:
                return False
            votes = counts.votes
            if type(votes) is dict:  # in an election with many parties, see `report_decoder`
                if not ballot.issuperset(votes):
                    return False
                total = sum(votes.values())
            else:
                off_ballot = self._off_ballots.get(ballot)
                if off_ballot is None:
                    off_ballot = self._off_ballots[ballot] = places_off(ballot, self.registry.party_codes)
                values = values_of(votes)
                for place in off_ballot:
                    if values[place] is not UNSET:
                        return False
                total = sum(filter(None, values))  # UNSET is false
            if total + counts.blank != counts.ballots:
                return False
        return True

    def _explain(self, raw: bytes | memoryview, scope: Scope, budget: ExplanationBudget | None) -> Invalid:
        """Read an invalid report again and return its violations, as far as the budget allows.

        Raises MalformedDocument if it is not JSON, or is nested too deeply to be encoded again.
        """
        document = _read_encodable(raw)
        unit = document.get("unit") if isinstance(document, dict) else None
        revision = document.get("revision") if isinstance(document, dict) else None
        if isinstance(unit, str) and unit not in scope:
            return _forbidden(_readable_unit(unit), _readable_revision(revision), scope)
        if budget is not None and budget.spent:
            return Invalid(
                "invalid_report", _readable_unit(unit), _readable_revision(revision), DETAILS_OMITTED
            )
        found = capped(self._violations_in(raw))
        assert found, "the two implementations of the rules disagree"
        if budget is not None:
            budget.spend(len(raw), found)
        return Invalid("invalid_report", _readable_unit(unit), _readable_revision(revision), found)

    def _violations_in(self, raw: bytes | memoryview) -> Iterator[Violation]:
        """Read a report exactly and return its violations."""
        try:
            exact = read_exactly(raw, self._objects_max)
        except TooManyObjects:
            yield Violation("report_too_large", "$", f"more than {self._objects_max} objects in one report")
        else:
            unit = exact.get("unit") if isinstance(exact, dict) else None
            yield from find_violations(exact, self.registry, self._ceiling(unit))


def check_shape(raw: bytes) -> tuple[Violation, ...]:
    """Return the violations of a report that do not depend on a registry: what no election accepts.

    For clients, which then know that the decoded report has the meaning of its bytes. Names of units, categories and
    parties are not checked, nor is the ceiling of revisions. Raises MalformedDocument if it is not JSON.
    """
    raw = raw.strip(_WHITE_SPACE)
    if len(raw) > REPORT_MAX:
        return (_report_too_large(raw),)
    _read_encodable(raw)
    try:
        return capped(find_violations(read_exactly(raw), None))
    except TooManyObjects:
        return (Violation("report_too_large", "$", f"more than {OBJECTS_MAX} objects in one report"),)


def read_json(raw: bytes | memoryview) -> Any:
    """Decode JSON strictly: UTF-8, no NaN, no lone surrogates, at most 1 024 levels.

    Raises MalformedDocument with line and column.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedDocument(str(error)) from None


def _read_encodable(raw: bytes | memoryview) -> Any:
    """Decode JSON that could be encoded again. Raises MalformedDocument."""
    document = read_json(raw)
    try:
        canonical(document)
    except orjson.JSONEncodeError:
        raise MalformedDocument("nested too deeply") from None
    return document


def _readable_unit(unit: object) -> str | None:
    return unit if isinstance(unit, str) and len(unit) <= 64 else None


def _readable_revision(revision: object) -> int | None:
    return revision if type(revision) is int and 1 <= revision <= COUNT_MAX else None


class _SkimmedReport(msgspec.Struct):
    """The members that are read of an oversized report; the others are skipped."""

    unit: msgspec.Raw = msgspec.Raw()
    revision: msgspec.Raw = msgspec.Raw()


_skim_decoder = msgspec.json.Decoder(_SkimmedReport)


def _too_large(raw: bytes, scope: Scope) -> Invalid:
    """Return the refusal of an oversized report, with its unit and revision up to REPORT_SKIMMED_MAX bytes.

    Raises MalformedDocument.
    """
    violations = (_report_too_large(raw),)
    try:
        skimmed = _skim_decoder.decode(raw) if len(raw) <= REPORT_SKIMMED_MAX else _SkimmedReport()
    except msgspec.ValidationError:
        skimmed = _SkimmedReport()  # not an object
    except msgspec.DecodeError as error:
        raise MalformedDocument(str(error)) from None
    except RecursionError:
        raise MalformedDocument("nested too deeply") from None
    unit, revision = _value(skimmed.unit), _value(skimmed.revision)
    if isinstance(unit, str) and unit not in scope:
        return _forbidden(_readable_unit(unit), _readable_revision(revision), scope)
    return Invalid("invalid_report", _readable_unit(unit), _readable_revision(revision), violations)


def _report_too_large(raw: bytes) -> Violation:
    return Violation("report_too_large", "$", f"{len(raw)} bytes; a report has at most {REPORT_MAX}")


def _value(raw: msgspec.Raw) -> object:
    """Decode a member of a report if it exists and is not too long. Raises MalformedDocument."""
    return read_json(bytes(raw)) if 0 < len(bytes(raw)) <= REPORT_MAX else None


def _forbidden(unit: str | None, revision: int | None, scope: Scope) -> Invalid:
    detail = f"this token may not report for this unit{registered_form(unit or '', scope)}"
    violation = Violation("unit_forbidden", "$.unit", detail)
    return Invalid("unit_forbidden", unit, revision, (violation,))


def _no_repeated_member(raw: bytes | memoryview, body: bytes) -> bool:
    """Whether no member of the report is repeated, judged by lengths; False may also mean unnecessary escapes.

    A decoder keeps only one of several members with the same name, so the canonical bytes are shorter than those sent.
    Sorting changes no length, and white space is removed from both.
    """
    if len(raw) == len(body):
        return True
    sent = bytes(raw).translate(None, _WHITE_SPACE)
    return len(sent) == len(body.translate(None, _WHITE_SPACE))
