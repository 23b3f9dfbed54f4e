"""PURE: why rules hold a report, as sentences that can be read out on the phone.

The evidence comes from a door, so members may be missing: those about areas that the token does not cover, and what a
newer gateway no longer has. Other languages are those of the operators' page.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gateway.humanize import counted, signed, spaced
from gateway.wire.holds import AreaNames, FiredRule

Areas = Mapping[str, AreaNames]
Evidence = Mapping[str, Any]
_OUTSIDE = "another area, which this token does not cover"


class _Case(NamedTuple):
    evidence: Evidence
    unit: str
    areas: Areas


def sentence(rule: FiredRule, unit: str, areas: Areas) -> str:
    """Return why a rule fired for a report of a unit, beginning with the unit."""
    return f"{place_name(unit, areas)}: {reason(rule, unit, areas)}"


def reason(rule: FiredRule, unit: str, areas: Areas) -> str:
    """Return why a rule fired for a report of a unit, where it is known which unit that is."""
    text = _TEXTS.get(rule.code)
    try:
        return text(_Case(rule.evidence, unit, areas)) if text is not None else _members(rule)
    except (KeyError, TypeError, ValueError):  # evidence of another version
        return _members(rule)


def area_name(area: str, areas: Areas) -> str:
    """Return the identifier and the name of an area: `3236 Jevnaker`."""
    found = areas.get(area)
    return area if found is None or found.name == area else f"{area} {found.name}"


def place_name(unit: str, areas: Areas) -> str:
    """Return a unit with its municipality, which people recognise first: `3236 Jevnaker, 3236-0001 Sentrum`."""
    found = areas.get(unit)
    if found is None or found.municipality is None or found.municipality == unit:
        return area_name(unit, areas)
    return f"{area_name(found.municipality, areas)}, {area_name(unit, areas)}"


def category_name(category: str) -> str:
    """Return a category as an adjective: `election-day`."""
    return category.replace("_", "-")


def _duplicate(case: _Case) -> str:
    e, unit, areas = case.evidence, case.unit, case.areas
    own = counted(e["ballots"], f"{category_name(e['category'])} ballot")
    these = f"{'these ' if e['ballots'] != 1 else 'this '}{own}"
    if "other" not in e:
        return f"{these} equal those of {_OUTSIDE}"
    same_category = e["other_category"] == e["category"]
    if e["other"] == unit:
        what = (
            "those that it had reported before: counted twice?"
            if same_category
            else f"its own {category_name(e['other_category'])} ballots"
        )
    elif same_category:
        what = f"those of {place_name(e['other'], areas)}"
    else:
        what = f"the {category_name(e['other_category'])} ballots of {place_name(e['other'], areas)}"
    if not e["difference"]:
        return f"{these} equal {what}{'' if what.endswith('?') else ', party by party'}"
    return f"{these} nearly equal {what} ({counted(e['difference'], 'vote')} of difference in all)"


def _above_eligible(case: _Case) -> str:
    e, areas = case.evidence, case.areas
    area, voters = area_name(e["area"], areas), counted(e["eligible"], "eligible voter")
    if "after" not in e:
        return f"with this report, {area} has more ballots than its {voters} allow"
    return (
        f"with this report, {area} has {counted(e['after'], 'ballot')} (before: {spaced(e['before'])})"
        f" but only {voters}"
    )


def _fell(case: _Case) -> str:
    e, areas = case.evidence, case.areas
    fall = f"the ballots fall {_from_to(e)} without a reason"
    if "municipality_ballots" not in e:
        return fall
    area = area_name(e["municipality"], areas)
    return f"{fall}; {area} had {counted(e['municipality_ballots'], 'ballot')} in all"


def _party_excess(case: _Case) -> str:
    e, areas = case.evidence, case.areas
    votes = counted(e["after"], f"{category_name(e['category'])} vote")
    has = f"{e['party']} has {votes}"
    has += f" (before: {spaced(e['before'])})" if e["before"] else ""
    if "expected" not in e:
        return f"{has}, far more than expected"
    return (
        f"{has}; the other units of {area_name(e['reference'], areas)} suggest about {spaced(e['expected'])}"
    )


def _exchanged(case: _Case) -> str:
    e, areas = case.evidence, case.areas
    text = f"{e['more']} and {e['fewer']} seem to have each other's {category_name(e['category'])} votes: "
    more, fewer = f"{e['more']} {spaced(e['more_votes'])}", f"{e['fewer']} {spaced(e['fewer_votes'])}"
    if "reference" not in e:
        return f"{text}{more}, {fewer}"
    return (
        f"{text}{more} (about {spaced(e['more_expected'])} expected), {fewer} (about"
        f" {spaced(e['fewer_expected'])} expected), by the other units of {area_name(e['reference'], areas)}"
    )


def _odd_time(case: _Case) -> str:
    e = case.evidence
    days = counted(e["days"], "day")
    return f"counted at {e['counted_at']}, {days} before the election ({e['date']})"


def _exchanged_before(case: _Case) -> str:
    e = case.evidence
    one = f"{e['one']} {spaced(e['one_before'])} → {spaced(e['one_after'])}"
    other = f"{e['other']} {spaced(e['other_before'])} → {spaced(e['other_after'])}"
    votes = f"{category_name(e['category'])} votes"
    return f"compared with the current report, two parties have each other's {votes}: {one}, {other}"


def _party_fell(case: _Case) -> str:
    e, areas = case.evidence, case.areas
    fall = f"the votes of {e['party']} fall {_from_to(e)}"
    if "municipality_votes" not in e:
        return fall
    area = area_name(e["municipality"], areas)
    return f"{fall}; in {area} it had {counted(e['municipality_votes'], 'vote')} in all"


def _grew_late(case: _Case) -> str:
    e = case.evidence
    return f"the current report is {e['status']}, and the ballots rise {_from_to(e)}"


def _from_to(e: Evidence) -> str:
    return f"from {spaced(e['before'])} to {spaced(e['after'])} ({signed(e['after'] - e['before'])})"


def _members(rule: FiredRule) -> str:
    members = ", ".join(f"{name} {value}" for name, value in rule.evidence.items())
    return f"{rule.code.replace('_', ' ')}{f' ({members})' if members else ''}"


_TEXTS: dict[str, Callable[[_Case], str]] = {
    "duplicate_elsewhere": _duplicate,
    "duplicate_within": _duplicate,
    "above_eligible": _above_eligible,
    "fell": _fell,
    "party_excess": _party_excess,
    "exchanged": _exchanged,
    "odd_time": _odd_time,
    "exchanged_before": _exchanged_before,
    "party_fell": _party_fell,
    "grew_late": _grew_late,
}
