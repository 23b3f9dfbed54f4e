"""Every violation of an invalid report, with its code and JSON path, from a second and exact reading of its bytes.

Slow, so it is done only for reports that `validation` does not accept. Both implement the same rules; a property test
shows that they agree on every input.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from gateway.election.lookalikes import registered_form
from gateway.election.registry import COUNT_MAX, Area, Registry
from gateway.election.report import COUNT_NAMES, REASONS, STATUSES, Counts, Report
from gateway.election.rfc3339 import NoOffset, read_time
from gateway.errors import MalformedDocument

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
_SIMPLE_NAME = re.compile(r"\w+")


class Violation(msgspec.Struct, frozen=True):
    """A violation of a rule: a stable `code`, the JSON `path` of the member, and a `detail` for people."""

    code: str
    path: str
    detail: str


class Members(dict[str, Any]):
    """A JSON object with the names of its repeated members."""

    repeated: tuple[str, ...] = ()


class _RawNumber(str):
    """A number as it was written, if it is not a plain integer."""

    __slots__ = ()


class _HugeInteger(_RawNumber):
    """An integer far above the range of counts."""

    __slots__ = ()


class TooManyObjects(Exception):
    """The report has too many JSON objects."""


def _members(pairs: list[tuple[str, Any]]) -> Members:
    members = Members(pairs)
    if len(members) != len(pairs):
        times = Counter(name for name, _ in pairs)
        members.repeated = tuple(name for name, count in times.items() if count > 1)
    return members


def _integer(text: str) -> int | _RawNumber:
    if text == "-0":
        return _RawNumber(text)
    return int(text) if len(text) <= 18 else _HugeInteger(text if len(text) <= 40 else text[:40] + "…")


def read_exactly(raw: bytes | memoryview, objects_max: int = OBJECTS_MAX) -> object:
    """Read JSON, preserving repeated members and unusual numbers. Raises TooManyObjects, MalformedDocument."""
    left = objects_max

    def members(pairs: list[tuple[str, Any]]) -> Members:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooManyObjects
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


def capped(violations: Iterator[Violation]) -> tuple[Violation, ...]:
    """Return the first violations, and one that counts the others."""
    reported: list[Violation] = []
    text = rest = 0
    for violation in violations:
        if len(reported) < VIOLATIONS_MAX and text < VIOLATIONS_TEXT_MAX:
            reported.append(violation)
            text += text_size(violation)
        elif rest < VIOLATIONS_COUNTED_MAX:
            rest += 1
        else:
            reported.append(Violation("more_violations", "$", f"and more than {rest} more"))
            return tuple(reported)
    if rest:
        reported.append(Violation("more_violations", "$", f"and {rest} more"))
    return tuple(reported)


def text_size(violation: Violation) -> int:
    """Return the bytes of its path and detail."""
    return len(violation.path.encode()) + len(violation.detail.encode())


def find_violations(
    report: object, registry: Registry | None, ceiling: int = COUNT_MAX
) -> Iterator[Violation]:
    """Return the violations of a report that was read exactly; without a registry, all that do not depend on one."""
    if not isinstance(report, Members):
        yield Violation("wrong_type", "$", f"expected an object, not {abbreviated(report)}")
        return
    yield from _object(report, "$", _REQUIRED, _MEMBERS)
    unit = report.get("unit")
    yield from _member(report, "unit", lambda value: _unit(value, registry))
    yield from _member(report, "revision", lambda value: _revision(value, ceiling))
    yield from _member(report, "counted_at", _time)
    yield from _member(report, "status", lambda value: one_of(value, STATUSES, "status"))
    yield from _member(report, "reason", lambda value: one_of(value, REASONS, "reason"))
    if "counts" in report:
        area = registry.units.get(unit) if registry is not None and isinstance(unit, str) else None
        yield from _categories(report["counts"], registry, area)


def _object(
    value: Members, path: str, required: tuple[str, ...], known: frozenset[str]
) -> Iterator[Violation]:
    for name in required:
        if name not in value:
            yield Violation("missing_member", f"{path}.{name}", "the member is required")
    for name in value:
        if name not in known:
            yield Violation("unknown_member", member_path(path, name), "unknown member of this object")
    yield from repeated(value, path)


def repeated(value: Members, path: str) -> Iterator[Violation]:
    """Yield the members that are repeated in an object that was read exactly."""
    for name in value.repeated:
        yield Violation("repeated_member", member_path(path, name), "the member is repeated")


def _member(
    report: Members, name: str, problem: Callable[[object], tuple[str, str] | None]
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
        return "wrong_type", f"expected a string, not {abbreviated(value)}"
    if registry is None or value in registry.units:
        return None
    if value in registry.by_id:
        return (
            "unknown_unit",
            f"{value} is a {registry.by_id[value].level}; only areas without children can report",
        )
    return (
        "unknown_unit",
        f"{abbreviated(value)} is not in the registry{registered_form(value, registry.by_id)}",
    )


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
    return "wrong_type", f"expected an integer, not {abbreviated(value)}"


def _time(value: object) -> tuple[str, str] | None:
    if isinstance(value, _RawNumber) or not isinstance(value, str):
        return "wrong_type", f"expected a string, not {abbreviated(value)}"
    try:
        read_time(value)
    except ValueError as error:
        code = "time_without_offset" if isinstance(error, NoOffset) else "not_a_time"
        return code, f"expected an RFC 3339 time with an offset, not {abbreviated(value)}"
    return None


def one_of(value: object, known: tuple[str, ...], what: str) -> tuple[str, str] | None:
    """Return code and detail if a value that was read exactly is not one of the known ones."""
    if isinstance(value, str) and not isinstance(value, _RawNumber) and value in known:
        return None
    return f"unknown_{what}", f"{abbreviated(value)} is not one of {', '.join(known)}"


def _categories(value: object, registry: Registry | None, unit: Area | None) -> Iterator[Violation]:
    if not isinstance(value, Members):
        code, detail = _null(value) or ("wrong_type", f"expected an object, not {abbreviated(value)}")
        yield Violation(code, "$.counts", detail)
        return
    yield from repeated(value, "$.counts")
    for category, counts in value.items():
        path = member_path("$.counts", category)
        if registry is not None and category not in registry.categories:
            detail = f"the categories are {', '.join(registry.categories)}"
            detail += registered_form(category, registry.categories)
            yield Violation("unknown_category", path, detail)
        yield from _counts(counts, path, registry, unit)


def _counts(value: object, path: str, registry: Registry | None, unit: Area | None) -> Iterator[Violation]:
    if not isinstance(value, Members):
        code, detail = _null(value) or ("wrong_type", f"expected an object, not {abbreviated(value)}")
        yield Violation(code, path, detail)
        return
    yield from _object(value, path, _COUNTS_REQUIRED, _COUNTS_MEMBERS)
    for name in COUNT_NAMES:
        if name in value:
            yield from _count(value[name], f"{path}.{name}")
    votes = value.get("votes")
    if not isinstance(votes, Members):
        if "votes" in value:
            code, detail = _null(votes) or ("wrong_type", f"expected an object, not {abbreviated(votes)}")
            yield Violation(code, f"{path}.votes", detail)
        return
    yield from _votes(votes, f"{path}.votes", registry, unit)
    yield from _sum(value, votes, path)


def _votes(votes: Members, path: str, registry: Registry | None, unit: Area | None) -> Iterator[Violation]:
    yield from repeated(votes, path)
    for party, count in votes.items():
        at = member_path(path, party)
        if registry is None:
            pass
        elif party not in registry.root.ballot and party not in registry.party_codes:
            detail = f"not a party of this election{registered_form(party, registry.party_codes)}"
            yield Violation("unknown_party", at, detail)
        elif unit is not None and party not in unit.ballot:
            yield Violation("party_not_on_ballot", at, f"not on the ballot of {unit.id}")
        yield from _count(count, at)


def _sum(counts: Members, votes: Members, path: str) -> Iterator[Violation]:
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
    code, detail = _null(value) or ("not_a_count", f"expected an integer, not {abbreviated(value)}")
    yield Violation(code, path, detail)


def member_path(path: str, name: str) -> str:
    """Return the JSON path of a member; its name is quoted and truncated if necessary (RFC 9535)."""
    if len(name) <= 64 and _SIMPLE_NAME.fullmatch(name):
        return f"{path}.{name}"
    return f"{path}[{json.dumps(name[:64], ensure_ascii=False)}]"


def abbreviated(value: object) -> str:
    """Return a value as a short text for a message."""
    if isinstance(value, _RawNumber):
        return str(value)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 42 else text[:40] + "…"
