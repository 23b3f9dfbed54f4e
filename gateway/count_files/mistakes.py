"""PURE: find the mistakes in a report of a file, and describe them in terms of the file.

A message names the file, the line and, in a table, the column by its header and its letter. It quotes the content, says
what is expected, and suggests the identifiers most similar to an unknown one. JSON members are named by their paths.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.count_files.messages import Column, Message, Parameter, abbreviated, listed, said
from gateway.count_files.parts import MistakeList, Part
from gateway.count_files.suggestions import Suggestions
from gateway.count_files.words import REASON_WORDS, STATUS_WORDS
from gateway.election.registry import Registry
from gateway.election.report import REASONS, STATUSES
from gateway.election.validation import check_shape
from gateway.election.violations import Violation
from gateway.errors import MalformedDocument

_STEP = re.compile(r"\.(\w+)|\[(\"(?:[^\"\\]|\\.)*\")\]")
"""One step of a JSON path as `violations` writes it."""


class KnownTexts:
    """The known values of the texts in a report, and which of them are similar to an unknown one."""

    def __init__(self, registry: Registry | None) -> None:
        self.registry = registry
        self._closest: dict[str, Suggestions] = {}

    def values(self, code: str) -> Sequence[str] | None:
        """Return the known values of a kind that has few; `code` is that of the violation."""
        match code:
            case "unknown_status":
                return STATUSES
            case "unknown_reason":
                return REASONS
            case "unknown_category":
                return self.registry.categories if self.registry is not None else ()
        return None

    def closest(self, code: str, text: object, *, in_table: bool) -> list[str]:
        """Return the known values similar to a text, as a message shows them; `code` is that of the violation."""
        if code in ("unknown_status", "unknown_reason") and in_table:
            return self._suggestions(code).closest(text) or self._suggestions(f"{code}_word").closest(text)
        return self._suggestions(code).closest(text)

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

    def name(self, unit: object) -> str:
        """Return the name of a unit; empty if it has only its identifier, or is not known."""
        registry = self.registry
        area = registry.units.get(unit) if registry is not None and isinstance(unit, str) else None
        return area.name if area is not None and area.name != unit else ""


def of_shape(part: Part, raw: bytes, known: KnownTexts) -> Iterator[Message]:
    """Yield the mistakes in the shape of a report, apart from a missing revision; see `check_shape`."""
    try:
        violations = check_shape(raw)
    except MalformedDocument as error:
        yield said("bad_json", part.where, detail=str(error))
        return
    yield from mistakes_of(
        part,
        (each for each in violations if (each.code, each.path) != ("missing_member", "$.revision")),
        known,
    )


def checked(part: Part, raw: bytes, mistakes: MistakeList, known: KnownTexts) -> Iterator[Part]:
    """Yield a part if its shape is valid; otherwise add its mistakes to the list."""
    before = len(mistakes)
    mistakes.extend(of_shape(part, raw, known))
    if len(mistakes) == before:
        yield part


def mistakes_of(part: Part, violations: Iterable[Violation], known: KnownTexts) -> Iterator[Message]:
    """Yield violations of a part as messages with file, line, unit and column."""
    for each in violations:
        steps = _steps(each.path)
        category = steps[1] if len(steps) > 1 and steps[0] == "counts" else ""
        unit = part.document.get("unit") if steps != ["unit"] else ""
        of_category = bool(part.columns) and category and each.code != "unknown_category"
        code, parameters = _meaning_of(part, each, steps, known)
        yield said(
            code,
            part.places.get(category, part.where),
            column=_column(part, steps),
            unit=unit,
            name=known.name(unit),
            category=category if of_category else "",
            path=each.path if not part.columns else "",
            **parameters,
        )


def _meaning_of(
    part: Part, violation: Violation, steps: Sequence[str], known: KnownTexts
) -> tuple[str, dict[str, Parameter]]:
    """Return the code and the parameters of the message for a violation."""
    if violation.code == "sum_mismatch":
        counts = part.counts[steps[1]]
        votes, blank, ballots = sum(counts["votes"].values()), counts["blank"], counts["ballots"]
        return "sum_mismatch", {"ballots": ballots, "votes": votes, "blank": blank, "sum": votes + blank}
    if violation.code == "missing_member" and part.columns:
        return "missing_cell", {}
    text = _text_at(part.document, steps)
    parameters: dict[str, Parameter] = {
        "shown": abbreviated(_shown(part.document, steps)),
        "closest": known.closest(violation.code, text, in_table=bool(part.columns)),
        "detail": violation.detail,
    }
    if (values := known.values(violation.code)) is not None:
        parameters["known"] = values
    if violation.code == "unknown_category" and part.columns:
        return "unknown_category_cell", parameters
    units = _units_of(violation, text, known)
    if units is None:
        return violation.code, parameters
    shown, more = listed(units)
    return "not_a_unit", {**parameters, "units": shown, "more": more}


def _column(part: Part, steps: Sequence[str]) -> Column | None:
    """Return the column that a member is read from, in a table."""
    if not part.columns:
        return None
    return part.columns.get(_meaning(steps)) or Column(abbreviated("".join(steps[-1:])))


def _units_of(violation: Violation, text: object, known: KnownTexts) -> list[str] | None:
    """Return the units below an area for which a report is given although it is not a unit."""
    registry = known.registry
    if violation.code != "unknown_unit" or registry is None or not isinstance(text, str):
        return None
    area = registry.by_id.get(text)
    if area is None:
        return None
    return [
        registry.areas[index].id for index in sorted(registry.below(area)) if registry.areas[index].is_unit
    ]


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


def _value_at(document: Mapping[str, Any], steps: Sequence[str]) -> Any:
    value: Any = document
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _text_at(document: Mapping[str, Any], steps: Sequence[str]) -> str:
    """Return the text at a path: a value, or the name of a member that should not be there."""
    value = _value_at(document, steps)
    return value if isinstance(value, str) else "".join(steps[-1:])


def _shown(document: Mapping[str, Any], steps: Sequence[str]) -> str:
    """Return the value at a path as a message shows it, or the name of the member if its value is no text or number."""
    value = _value_at(document, steps)
    return str(value) if isinstance(value, int | float) else _text_at(document, steps)
