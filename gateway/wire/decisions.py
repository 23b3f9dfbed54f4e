"""PURE: the bodies with which operators decide about held reports and change the rules (contract, section 4).

All violations are reported at once, each with its JSON path.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Literal

import msgspec

from gateway.characters import CONTROL, code_point
from gateway.election.registry import COUNT_MAX
from gateway.election.violations import (
    Members,
    TooManyObjects,
    abbreviated,
    capped,
    member_path,
    one_of,
    read_exactly,
    repeated,
)
from gateway.election.violations import Violation as BodyViolation
from gateway.errors import MalformedDocument

BODY_MAX = 64 << 10
"""Bytes of a body."""
DECIDED_MAX = 100
"""Held reports in one decision."""
NOTE_MAX = 500
"""Characters of a note."""
RULES_OBJECTS_MAX = 100
"""JSON objects in a change of the rules; each rule has two at most."""
TEXT_MAX = 200
"""Characters of a unit's identifier."""

Decide = Literal["release", "reject"]
REASONS: dict[str, tuple[str, ...]] = {
    "release": ("confirmed", "moved", "rule_too_strict"),
    "reject": ("duplicate", "wrong_unit", "typing_error", "other"),
}
"""The reasons of a decision, by what is decided."""
_MEMBERS = ("decide", "holds", "reason", "note")
_HOLD_MEMBERS = ("unit", "revision", "digest")
_DIGEST = re.compile(r"[0-9a-f]{64}")
CODES = (
    "missing_member",
    "unknown_member",
    "repeated_member",
    "wrong_type",
    "forbidden_character",
    "text_too_long",
    "unknown_decision",
    "unknown_reason",
    "too_many_holds",
    "repeated_unit",
    "revision_out_of_range",
    "not_a_digest",
    "invalid_rule",
    "more_violations",
)
"""The codes of violations in these bodies. They are not those of reports, for which senders have texts."""
Problem = tuple[str, str] | None
"""Code and detail of what is wrong with a value."""


class NamedHold(msgspec.Struct, frozen=True):
    """A held report as a decision names it."""

    unit: str
    revision: int
    digest: str
    """In hex."""


class Decision(msgspec.Struct, frozen=True):
    """What an operator decides: one thing, about several held reports, in this order, all or none."""

    decide: Decide
    holds: tuple[NamedHold, ...]
    reason: str
    note: str = ""


def read_decision(body: bytes) -> Decision | tuple[BodyViolation, ...]:
    """Read the body of a decision; return its violations if it has any. Raises MalformedDocument if it is not JSON."""
    _require_json(body)
    try:
        document = read_exactly(body, 2 * DECIDED_MAX)
    except TooManyObjects:
        return (_too_many(),)
    if violations := capped(_violations(document)):
        return violations
    return msgspec.convert(document, Decision)


class NewRules(msgspec.Struct, frozen=True):
    """The body of a change of the rules, with the policy as it was sent."""

    rules: Any


def read_new_rules(body: bytes) -> NewRules | tuple[BodyViolation, ...]:
    """Read the body of a change, but not the policy in it; return violations if there are any.

    Raises MalformedDocument if it is not JSON.
    """
    document = _require_json(body)
    try:
        exact = read_exactly(body, RULES_OBJECTS_MAX)
    except TooManyObjects:
        return (BodyViolation("wrong_type", "$.rules", f"more than {RULES_OBJECTS_MAX} objects"),)
    if not isinstance(exact, dict):
        return (BodyViolation("wrong_type", "$", f"expected an object, not {abbreviated(exact)}"),)
    violations = _object(exact, "$", ("rules",), ("rules",))
    if found := capped(chain(violations, _repeated_below(exact.get("rules"), "$.rules"))):
        return found
    return NewRules(document["rules"])


def rules_violations(problems: Iterable[str]) -> tuple[BodyViolation, ...]:
    """Return the problems of a policy, `path: detail`, as violations."""
    parts = (problem.partition(": ") for problem in problems)
    return capped(BodyViolation("invalid_rule", path, detail) for path, _, detail in parts)


def _require_json(body: bytes) -> Any:
    """Return JSON in UTF-8, of which `read_exactly` takes more. Raises MalformedDocument."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedDocument(f"not JSON in UTF-8: {error}") from None


def _repeated_below(value: Any, path: str) -> Iterator[BodyViolation]:
    if isinstance(value, Members):
        yield from repeated(value, path)
        for name, each in value.items():
            yield from _repeated_below(each, member_path(path, name))


def _too_many() -> BodyViolation:
    return BodyViolation("too_many_holds", "$.holds", f"a decision is about 1 to {DECIDED_MAX} held reports")


def _violations(document: Any) -> Iterator[BodyViolation]:
    if not isinstance(document, dict):
        yield BodyViolation("wrong_type", "$", f"expected an object, not {abbreviated(document)}")
        return
    yield from _object(document, "$", _MEMBERS, ("decide", "holds", "reason"))
    decide = document.get("decide")
    yield from _member(document, "$", "decide", _decide)
    known = REASONS.get(decide, ()) if type(decide) is str else ()
    if known:
        yield from _member(document, "$", "reason", lambda value: _reason(value, known))
    yield from _member(document, "$", "note", note_problem)
    holds = document.get("holds")
    if "holds" in document:
        yield from _holds(holds)


def _holds(holds: Any) -> Iterator[BodyViolation]:
    if not isinstance(holds, list):
        yield BodyViolation("wrong_type", "$.holds", f"expected an array, not {abbreviated(holds)}")
        return
    if not 1 <= len(holds) <= DECIDED_MAX:
        yield _too_many()
        return
    first: dict[str, int] = {}
    for place, each in enumerate(holds):
        path = f"$.holds[{place}]"
        if not isinstance(each, dict):
            yield BodyViolation("wrong_type", path, f"expected an object, not {abbreviated(each)}")
            continue
        yield from _object(each, path, _HOLD_MEMBERS, _HOLD_MEMBERS)
        yield from _member(each, path, "unit", _unit)
        yield from _member(each, path, "revision", _revision)
        yield from _member(each, path, "digest", _digest)
        unit = each.get("unit")
        if type(unit) is str and first.setdefault(unit, place) != place:
            detail = f"the same unit as $.holds[{first[unit]}]; a unit has one held report at most"
            yield BodyViolation("repeated_unit", f"{path}.unit", detail)


def _object(
    value: Any, path: str, known: tuple[str, ...], required: tuple[str, ...]
) -> Iterator[BodyViolation]:
    for name in required:
        if name not in value:
            yield BodyViolation("missing_member", f"{path}.{name}", "the member is required")
    for name in value:
        if name not in known:
            yield BodyViolation(
                "unknown_member", member_path(path, name), f"the members are {', '.join(known)}"
            )
    yield from repeated(value, path)


def _member(
    document: dict[str, Any], path: str, name: str, problem: Callable[[Any], Problem]
) -> Iterator[BodyViolation]:
    if name in document and (found := problem(document[name])):
        yield BodyViolation(found[0], f"{path}.{name}", found[1])


def _decide(value: Any) -> Problem:
    return one_of(value, tuple(REASONS), "decision")


def _reason(value: Any, known: tuple[str, ...]) -> Problem:
    return one_of(value, known, "reason")


def _unit(value: Any) -> Problem:
    if type(value) is not str:
        return "wrong_type", f"expected a string, not {abbreviated(value)}"
    if not 1 <= len(value) <= TEXT_MAX or CONTROL.search(value):
        return "forbidden_character", f"expected 1 to {TEXT_MAX} characters, none of them a control character"
    return None


def _revision(value: Any) -> Problem:
    if type(value) is not int:
        return "wrong_type", f"expected an integer, not {abbreviated(value)}"
    if not 1 <= value <= COUNT_MAX:
        return "revision_out_of_range", f"expected 1 to {COUNT_MAX}, not {value}"
    return None


def _digest(value: Any) -> Problem:
    if type(value) is str and _DIGEST.fullmatch(value):
        return None
    return "not_a_digest", f"expected the 64 lowercase hex digits of a SHA-256, not {abbreviated(value)}"


def note_problem(value: Any) -> Problem:
    """Return what is wrong with a note."""
    if type(value) is not str:
        return "wrong_type", f"expected a string, not {abbreviated(value)}"
    if len(value) > NOTE_MAX:
        return "text_too_long", f"expected at most {NOTE_MAX} characters, not {len(value)}"
    if found := CONTROL.search(value):
        return "forbidden_character", f"{code_point(found[0])} is not allowed; a note is one line"
    return None
