"""PURE: what is wrong with a report in a file, in the words of the person who filled it in.

A message names the file, the line and, in a table, the column by its header and its letter; what stands there, what is
expected, and which identifiers are close to one that is not known. In JSON, members are named by their JSON paths.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.count_files.parts import MistakeList, Part, abbreviated
from gateway.count_files.suggestions import Suggestions
from gateway.count_files.words import REASON_WORDS, STATUS_WORDS
from gateway.election.registry import Registry
from gateway.election.report import REASONS, STATUSES
from gateway.election.validation import check_shape
from gateway.election.violations import Violation
from gateway.errors import MalformedDocument

LISTED_MAX = 5
"""Identifiers that one message lists."""
_STEP = re.compile(r"\.(\w+)|\[(\"(?:[^\"\\]|\\.)*\")\]")
"""One step of a JSON path as `violations` writes it."""


class KnownTexts:
    """What the texts of a report may be, and what is close to one that is not known."""

    def __init__(self, registry: Registry | None) -> None:
        self.registry = registry
        self._closest: dict[str, Suggestions] = {}

    def did_you_mean(self, code: str, text: object, *, in_table: bool) -> str:
        """Return a clause that suggests what is close to a text, or nothing; `code` is that of the violation."""
        if code in ("unknown_status", "unknown_reason") and in_table:
            return self._suggestions(code).clause(text) or self._suggestions(f"{code}_word").clause(text)
        return self._suggestions(code).clause(text)

    def _suggestions(self, kind: str) -> Suggestions:
        if kind not in self._closest:
            self._closest[kind] = self._made(kind)
        return self._closest[kind]

    def _made(self, kind: str) -> Suggestions:
        registry = self.registry
        match kind:
            case "unknown_status":
                return Suggestions(STATUSES)
            case "unknown_reason":
                return Suggestions(REASONS)
            case "unknown_status_word":
                return Suggestions([*STATUS_WORDS])
            case "unknown_reason_word":
                return Suggestions([*REASON_WORDS])
            case "unknown_unit" if registry is not None:
                return Suggestions(
                    [*registry.units], {unit: area.name for unit, area in registry.units.items()}
                )
            case "unknown_party" if registry is not None:
                return Suggestions(
                    registry.party_codes, {party.code: party.name for party in registry.parties}
                )
            case "unknown_category" if registry is not None:
                return Suggestions(registry.categories)
        return Suggestions(())

    def unit(self, unit: object) -> str:
        """Return a unit with its name, as a message shows it; nothing if there is none."""
        if not isinstance(unit, str) or not unit:
            return ""
        area = self.registry.units.get(unit) if self.registry is not None else None
        name = f" {abbreviated(area.name)}" if area is not None and area.name != unit else ""
        return f"unit {abbreviated(unit)}{name}"


def of_shape(part: Part, raw: bytes, known: KnownTexts) -> Iterator[str]:
    """Yield what is wrong with a report as it is in the file, apart from a missing revision; see `check_shape`."""
    try:
        violations = check_shape(raw)
    except MalformedDocument as error:
        yield f"{part.where}: {error}"
        return
    yield from mistakes_of(
        part,
        (each for each in violations if (each.code, each.path) != ("missing_member", "$.revision")),
        known,
    )


def checked(part: Part, raw: bytes, mistakes: MistakeList, known: KnownTexts) -> Iterator[Part]:
    """Yield a part if its shape is valid, or add what is wrong with it to the mistakes."""
    before = len(mistakes)
    mistakes.extend(of_shape(part, raw, known))
    if len(mistakes) == before:
        yield part


def mistakes_of(part: Part, violations: Iterable[Violation], known: KnownTexts) -> Iterator[str]:
    """Yield violations of a part as messages with file, line, unit and column."""
    for each in violations:
        steps = _steps(each.path)
        category = steps[1] if len(steps) > 1 and steps[0] == "counts" else ""
        where = part.places.get(category, part.where)
        about = known.unit(part.document.get("unit")) if steps != ["unit"] else ""
        if part.titles and category and each.code != "unknown_category":
            about += f", {abbreviated(category)}"
        subject = part.titles.get(_meaning(steps), "") if part.titles else each.path
        text = ": ".join(filter(None, (where, about, subject)))
        yield f"{text}{_predicate(part, each, steps, known)}"


def _predicate(part: Part, violation: Violation, steps: Sequence[str], known: KnownTexts) -> str:
    """Return what is wrong, as it follows the subject of the message."""
    text = _text_at(part.document, steps)
    closest = known.did_you_mean(violation.code, text, in_table=bool(part.titles))
    if violation.code == "sum_mismatch":
        counts = part.counts[steps[1]]
        votes = sum(counts["votes"].values())
        total = votes + counts["blank"]
        return f": {counts['ballots']}, but votes {votes} + blank {counts['blank']} = {total}; correct one of them"
    if not part.titles:
        return f": {violation.detail}{closest}{_units_of(violation, text, known)}"
    if violation.code == "missing_member":
        return f"{steps[-1]} is missing" if not part.titles.get(_meaning(steps)) else " is missing"
    if violation.code == "unknown_unit":
        return f": {violation.detail}{closest}{_units_of(violation, text, known)}"
    if violation.code == "unknown_category":
        return f" {_quoted(text)} is not a category: {violation.detail}{closest}"
    return f": {violation.detail}{closest}"


def _units_of(violation: Violation, text: object, known: KnownTexts) -> str:
    """Return the units of an area that is none itself, if a report is given for it."""
    registry = known.registry
    if violation.code != "unknown_unit" or registry is None or not isinstance(text, str):
        return ""
    area = registry.by_id.get(text)
    if area is None:
        return ""
    units = [
        registry.areas[index].id for index in sorted(registry.below(area)) if registry.areas[index].is_unit
    ]
    more = f" and {len(units) - LISTED_MAX} more" if len(units) > LISTED_MAX else ""
    return f"; its units are {', '.join(units[:LISTED_MAX])}{more}"


def _steps(path: str) -> list[str]:
    """Return the names in a JSON path; the last one may be truncated."""
    return [name or json.loads(quoted) for name, quoted in _STEP.findall(path)]


def _meaning(steps: Sequence[str]) -> str:
    """Return the meaning of the column that a member is read from."""
    match steps:
        case ["counts", _, "votes", party]:
            return party
        case ["counts", _, count]:
            return count
        case ["counts", _]:
            return "category"
        case [member]:
            return member
    return ""


def _text_at(document: Mapping[str, Any], steps: Sequence[str]) -> object:
    """Return the text at a path: a value, or the name of a member that should not be there."""
    value: Any = document
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else "".join(steps[-1:])


def _quoted(text: object) -> str:
    return repr(abbreviated(str(text)))
