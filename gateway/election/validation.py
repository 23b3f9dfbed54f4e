"""Whether a report is valid according to the registry.

The rules are implemented twice. `Validator.check` uses a typed decoder and accepts a valid report in a few
microseconds. Only a report that fails there is read again, slowly, to report all violations with their JSON paths. A
property test shows that both agree on every input.

Knows nothing about earlier reports: the journal decides whether a revision is stale.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import orjson

from gateway.election.registry import COUNT_MAX, Area, NoOffset, Registry, read_time
from gateway.election.report import (
    COUNT_NAMES,
    REASONS,
    REVISION_CEILING,
    STATUSES,
    Counts,
    Report,
    canonical,
    digest_of,
)
from gateway.errors import MalformedDocument

REPORT_MAX = 64 << 10
"""Maximum bytes of a report without surrounding white space; real reports have less than a hundredth of it."""
REPORT_SKIMMED_MAX = 1 << 20
"""Maximum bytes of an oversized report whose unit, revision and syntax are still read, in a few milliseconds."""
VIOLATIONS_MAX = 100
"""Violations reported per report; a count of the others follows."""
VIOLATIONS_TEXT_MAX = 16 << 10
"""Bytes of paths and details (UTF-8) after which no more violations of a report are reported."""
VIOLATIONS_COUNTED_MAX = 1_000
"""Further violations that are counted. Finding a violation takes as long as reporting it."""

OBJECTS_MAX = 1_000
"""JSON objects per report, in addition to two for each category of the election. Real reports have five; reading
each one again takes half a microsecond."""

_REQUIRED = tuple(field.name for field in msgspec.structs.fields(Report) if field.required)
_MEMBERS = frozenset(Report.__struct_fields__)
_COUNTS_REQUIRED = tuple(field.name for field in msgspec.structs.fields(Counts) if field.required)
_COUNTS_MEMBERS = frozenset(Counts.__struct_fields__)
_WHITE_SPACE = b" \t\r\n"
_SIMPLE_NAME = re.compile(r"\w+")


class Violation(msgspec.Struct, frozen=True):
    """A violation of a rule: a stable `code`, the JSON `path` of the member, and a `detail` for people."""

    code: str
    path: str
    detail: str


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


_DETAILS_OMITTED = (
    Violation(
        "more_violations", "$", "details omitted: too many violations in this request; send this report alone"
    ),
)


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

    def __init__(self) -> None:
        self._violations = self.VIOLATIONS
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
        self._text -= sum(map(_text_size, violations))


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
        document = read_json(raw)
        try:
            body = canonical(document)
        except orjson.JSONEncodeError:
            raise MalformedDocument("nested too deeply") from None
        try:
            report = msgspec.convert(document, Report)
            unit = self.registry.units[report.unit]
            read_time(report.counted_at)
        except (msgspec.ValidationError, KeyError, ValueError):
            return self._explain(raw, document, scope, budget)
        if report.unit not in scope:
            return _forbidden(report.unit, report.revision)
        if report.revision > REVISION_CEILING and report.revision > self._ceiling(report.unit):
            return self._explain(raw, document, scope, budget)
        if not self._adds_up(report, unit):
            return self._explain(raw, document, scope, budget)
        if not _no_repeated_member(raw, body) and next(self._violations_in(raw), None):
            return self._explain(raw, document, scope, budget)
        return ValidReport(report, body, digest_of(body))

    def _ceiling(self, unit: object) -> int:
        if self._ceilings is None:
            return COUNT_MAX
        return self._ceilings.get(unit, REVISION_CEILING) if isinstance(unit, str) else REVISION_CEILING

    def _adds_up(self, report: Report, unit: Area) -> bool:
        ballot = unit.ballot
        for category, counts in report.counts.items():
            if category not in self._categories or not ballot.issuperset(counts.votes):
                return False
            if sum(counts.votes.values()) + counts.blank != counts.ballots:
                return False
        return True

    def _explain(
        self, raw: bytes | memoryview, document: object, scope: Scope, budget: ExplanationBudget | None
    ) -> Invalid:
        """Read an invalid report again and return its violations, as far as the budget allows."""
        unit = document.get("unit") if isinstance(document, dict) else None
        revision = document.get("revision") if isinstance(document, dict) else None
        if isinstance(unit, str) and unit not in scope:
            return _forbidden(_readable_unit(unit), _readable_revision(revision))
        if budget is not None and budget.spent:
            return Invalid(
                "invalid_report", _readable_unit(unit), _readable_revision(revision), _DETAILS_OMITTED
            )
        found = _capped(self._violations_in(raw))
        assert found, "the two implementations of the rules disagree"
        if budget is not None:
            budget.spend(len(raw), found)
        return Invalid("invalid_report", _readable_unit(unit), _readable_revision(revision), found)

    def _violations_in(self, raw: bytes | memoryview) -> Iterator[Violation]:
        """Read a report exactly and return its violations."""
        try:
            exact = _read_exactly(raw, self._objects_max)
        except _TooManyObjects:
            yield Violation("report_too_large", "$", f"more than {self._objects_max} objects in one report")
        else:
            unit = exact.get("unit") if isinstance(exact, dict) else None
            yield from _violations(exact, self.registry, self._ceiling(unit))


def check_shape(raw: bytes) -> tuple[Violation, ...]:
    """Return the violations of a report that do not depend on a registry: what no election accepts.

    For clients, which then know that the decoded report has the meaning of its bytes. Names of units, categories and
    parties are not checked, nor is the ceiling of revisions. Raises MalformedDocument if it is not JSON.
    """
    raw = raw.strip(_WHITE_SPACE)
    if len(raw) > REPORT_MAX:
        return (_report_too_large(raw),)
    try:
        canonical(read_json(raw))
        return _capped(_violations(_read_exactly(raw), None))
    except orjson.JSONEncodeError:
        raise MalformedDocument("nested too deeply") from None
    except _TooManyObjects:
        return (Violation("report_too_large", "$", f"more than {OBJECTS_MAX} objects in one report"),)


def read_json(raw: bytes | memoryview) -> Any:
    """Decode JSON strictly: UTF-8, no NaN, no lone surrogates, at most 1 024 levels.

    Raises MalformedDocument with line and column.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedDocument(str(error)) from None


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
        return _forbidden(_readable_unit(unit), _readable_revision(revision))
    return Invalid("invalid_report", _readable_unit(unit), _readable_revision(revision), violations)


def _report_too_large(raw: bytes) -> Violation:
    return Violation("report_too_large", "$", f"{len(raw)} bytes; a report has at most {REPORT_MAX}")


def _value(raw: msgspec.Raw) -> object:
    """Decode a member of a report if it exists and is not too long. Raises MalformedDocument."""
    return read_json(bytes(raw)) if 0 < len(bytes(raw)) <= REPORT_MAX else None


def _forbidden(unit: str | None, revision: int | None) -> Invalid:
    violation = Violation("unit_forbidden", "$.unit", "this token may not report for this unit")
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


class _Members(dict[str, Any]):
    """A JSON object with the names of its repeated members."""

    repeated: tuple[str, ...] = ()


class _RawNumber(str):
    """A number as it was written, if it is not a plain integer."""

    __slots__ = ()


class _HugeInteger(_RawNumber):
    """An integer far above the range of counts."""

    __slots__ = ()


class _TooManyObjects(Exception):
    """The report has too many JSON objects."""


def _members(pairs: list[tuple[str, Any]]) -> _Members:
    members = _Members(pairs)
    if len(members) != len(pairs):
        times = Counter(name for name, _ in pairs)
        members.repeated = tuple(name for name, count in times.items() if count > 1)
    return members


def _integer(text: str) -> int | _RawNumber:
    if text == "-0":
        return _RawNumber(text)
    return int(text) if len(text) <= 18 else _HugeInteger(text if len(text) <= 40 else text[:40] + "…")


def _read_exactly(raw: bytes | memoryview, objects_max: int = OBJECTS_MAX) -> object:
    """Read JSON, preserving repeated members and unusual numbers. Raises _TooManyObjects, MalformedDocument."""
    left = objects_max

    def members(pairs: list[tuple[str, Any]]) -> _Members:
        nonlocal left
        left -= 1
        if left < 0:
            raise _TooManyObjects
        return _members(pairs)

    try:
        return json.loads(
            bytes(raw),
            object_pairs_hook=members,
            parse_int=_integer,
            parse_float=lambda text: _RawNumber(text[:40]),
        )
    except RecursionError:
        raise MalformedDocument("nested too deeply") from None


def _capped(violations: Iterator[Violation]) -> tuple[Violation, ...]:
    """Return the first violations, and one that counts the others."""
    reported: list[Violation] = []
    text = rest = 0
    for violation in violations:
        if len(reported) < VIOLATIONS_MAX and text < VIOLATIONS_TEXT_MAX:
            reported.append(violation)
            text += _text_size(violation)
        elif rest < VIOLATIONS_COUNTED_MAX:
            rest += 1
        else:
            reported.append(Violation("more_violations", "$", f"and more than {rest} more"))
            return tuple(reported)
    if rest:
        reported.append(Violation("more_violations", "$", f"and {rest} more"))
    return tuple(reported)


def _text_size(violation: Violation) -> int:
    return len(violation.path.encode()) + len(violation.detail.encode())


def _violations(report: object, registry: Registry | None, ceiling: int = COUNT_MAX) -> Iterator[Violation]:
    """Return the violations of a report that was read exactly; without a registry, all that do not depend on one."""
    if not isinstance(report, _Members):
        yield Violation("wrong_type", "$", f"expected an object, not {_abbreviated(report)}")
        return
    yield from _object(report, "$", _REQUIRED, _MEMBERS)
    unit = report.get("unit")
    yield from _member(report, "unit", lambda value: _unit(value, registry))
    yield from _member(report, "revision", lambda value: _revision(value, ceiling))
    yield from _member(report, "counted_at", _time)
    yield from _member(report, "status", lambda value: _one_of(value, STATUSES, "status"))
    yield from _member(report, "reason", lambda value: _one_of(value, REASONS, "reason"))
    if "counts" in report:
        area = registry.units.get(unit) if registry is not None and isinstance(unit, str) else None
        yield from _categories(report["counts"], registry, area)


def _object(
    value: _Members, path: str, required: tuple[str, ...], known: frozenset[str]
) -> Iterator[Violation]:
    for name in required:
        if name not in value:
            yield Violation("missing_member", f"{path}.{name}", "the member is required")
    for name in value:
        if name not in known:
            yield Violation("unknown_member", _member_path(path, name), "unknown member of this object")
    yield from _repeated(value, path)


def _repeated(value: _Members, path: str) -> Iterator[Violation]:
    for name in value.repeated:
        yield Violation("repeated_member", _member_path(path, name), "the member is repeated")


def _member(
    report: _Members, name: str, problem: Callable[[object], tuple[str, str] | None]
) -> Iterator[Violation]:
    if name in report and (found := _null(report[name]) or problem(report[name])):
        yield Violation(found[0], f"$.{name}", found[1])


def _null(value: object) -> tuple[str, str] | None:
    if value is None:
        return "null_value", "null is not allowed; omit the member"
    if isinstance(value, str) and "\x00" in value:
        return "forbidden_character", "U+0000 is not allowed"
    return None


def _unit(value: object, registry: Registry | None) -> tuple[str, str] | None:
    if isinstance(value, _RawNumber) or not isinstance(value, str):
        return "wrong_type", f"expected a string, not {_abbreviated(value)}"
    if registry is None or value in registry.units:
        return None
    if value in registry.by_id:
        return (
            "unknown_unit",
            f"{value} is a {registry.by_id[value].level}; only areas without children can report",
        )
    return "unknown_unit", f"{_abbreviated(value)} is not in the registry"


def _revision(value: object, ceiling: int) -> tuple[str, str] | None:
    if type(value) is int and 1 <= value <= ceiling:
        return None
    if type(value) is int and ceiling < value <= COUNT_MAX:
        return (
            "revision_above_ceiling",
            f"expected at most {ceiling}, not {value}; an operator of the election can raise this unit's ceiling",
        )
    if type(value) is int or isinstance(value, _HugeInteger):
        return "revision_out_of_range", f"expected 1 to {COUNT_MAX}, not {value}"
    return "wrong_type", f"expected an integer, not {_abbreviated(value)}"


def _time(value: object) -> tuple[str, str] | None:
    if isinstance(value, _RawNumber) or not isinstance(value, str):
        return "wrong_type", f"expected a string, not {_abbreviated(value)}"
    try:
        read_time(value)
    except ValueError as error:
        code = "time_without_offset" if isinstance(error, NoOffset) else "not_a_time"
        return code, f"expected an RFC 3339 time with an offset, not {_abbreviated(value)}"
    return None


def _one_of(value: object, known: tuple[str, ...], what: str) -> tuple[str, str] | None:
    if isinstance(value, str) and not isinstance(value, _RawNumber) and value in known:
        return None
    return f"unknown_{what}", f"{_abbreviated(value)} is not one of {', '.join(known)}"


def _categories(value: object, registry: Registry | None, unit: Area | None) -> Iterator[Violation]:
    if not isinstance(value, _Members):
        code, detail = _null(value) or ("wrong_type", f"expected an object, not {_abbreviated(value)}")
        yield Violation(code, "$.counts", detail)
        return
    yield from _repeated(value, "$.counts")
    for category, counts in value.items():
        path = _member_path("$.counts", category)
        if registry is not None and category not in registry.categories:
            detail = f"the categories are {', '.join(registry.categories)}"
            yield Violation("unknown_category", path, detail)
        yield from _counts(counts, path, registry, unit)


def _counts(value: object, path: str, registry: Registry | None, unit: Area | None) -> Iterator[Violation]:
    if not isinstance(value, _Members):
        code, detail = _null(value) or ("wrong_type", f"expected an object, not {_abbreviated(value)}")
        yield Violation(code, path, detail)
        return
    yield from _object(value, path, _COUNTS_REQUIRED, _COUNTS_MEMBERS)
    for name in COUNT_NAMES:
        if name in value:
            yield from _count(value[name], f"{path}.{name}")
    votes = value.get("votes")
    if not isinstance(votes, _Members):
        if "votes" in value:
            code, detail = _null(votes) or ("wrong_type", f"expected an object, not {_abbreviated(votes)}")
            yield Violation(code, f"{path}.votes", detail)
        return
    yield from _votes(votes, f"{path}.votes", registry, unit)
    yield from _sum(value, votes, path)


def _votes(votes: _Members, path: str, registry: Registry | None, unit: Area | None) -> Iterator[Violation]:
    yield from _repeated(votes, path)
    for party, count in votes.items():
        at = _member_path(path, party)
        if registry is None:
            pass
        elif party not in registry.root.ballot and party not in registry.party_codes:
            yield Violation("unknown_party", at, "not a party of this election")
        elif unit is not None and party not in unit.ballot:
            yield Violation("party_not_on_ballot", at, f"not on the ballot of {unit.id}")
        yield from _count(count, at)


def _sum(counts: _Members, votes: _Members, path: str) -> Iterator[Violation]:
    ballots, blank, each = counts.get("ballots"), counts.get("blank"), list(votes.values())
    if all(_is_count(figure) for figure in (ballots, blank, *each)):
        total = sum(each) + blank
        if total != ballots:
            detail = f"votes {sum(each)} + blank {blank} = {total}, not {ballots}"
            yield Violation("sum_mismatch", f"{path}.ballots", detail)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= COUNT_MAX


def _count(value: object, path: str) -> Iterator[Violation]:
    if _is_count(value):
        return
    if type(value) is int or isinstance(value, _HugeInteger):
        yield Violation("count_out_of_range", path, f"expected 0 to {COUNT_MAX}, not {value}")
        return
    code, detail = _null(value) or ("not_a_count", f"expected an integer, not {_abbreviated(value)}")
    yield Violation(code, path, detail)


def _member_path(path: str, name: str) -> str:
    """Return the JSON path of a member; its name is quoted and truncated if necessary (RFC 9535)."""
    if len(name) <= 64 and _SIMPLE_NAME.fullmatch(name):
        return f"{path}.{name}"
    return f"{path}[{json.dumps(name[:64], ensure_ascii=False)}]"


def _abbreviated(value: object) -> str:
    """Return a value as a short text for a message."""
    if isinstance(value, _RawNumber):
        return str(value)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 42 else text[:40] + "…"
