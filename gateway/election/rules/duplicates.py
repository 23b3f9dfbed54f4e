"""Rules about counts that appear twice: a growth that repeats another one, elsewhere or in the same municipality."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

from gateway.election.growths import Growth, distance
from gateway.election.rules import evidence
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.policy import DuplicateElsewhere, DuplicateWithin
from gateway.election.rules.step import Step

_Match = tuple[int, int, Growth, Growth]
"""How much two growths differ, the position of the other one, the growth and the other one."""


def duplicate_elsewhere(
    current: CurrentReports, step: Step, setting: DuplicateElsewhere
) -> evidence.DuplicateElsewhere | None:
    """A growth of the report repeats a growth of a unit in another municipality."""
    found: list[_Match] = []
    for growth in step.growths:
        if growth.ballots >= setting.ballots:
            for difference, other in current.growths.near(growth.ballots, growth.votes, setting.permille):
                if other.municipality != step.municipality:
                    found.append((difference, other.position, growth, other))
    return evidence.DuplicateElsewhere(**_evidence(current, min(found))) if found else None


def duplicate_within(
    current: CurrentReports, step: Step, setting: DuplicateWithin
) -> evidence.DuplicateWithin | None:
    """A growth of the report repeats one in the same municipality that is still part of the figures there."""
    found: list[_Match] = []
    for growth in step.growths:
        if growth.ballots >= setting.ballots:
            found += _within(current, step, growth, setting.permille)
    return evidence.DuplicateWithin(**_evidence(current, min(found))) if found else None


def _within(current: CurrentReports, step: Step, growth: Growth, permille: int) -> Iterator[_Match]:
    """Yield what a growth repeats in the municipality: in other units, in other categories, and in its own figures."""
    most = growth.ballots * permille // 1000
    for difference, other in current.growths.near(growth.ballots, growth.votes, permille):
        if other.municipality == step.municipality:
            figures = _figures_beside(current, step, growth, other)
            if _missing(other.votes, figures) <= most:
                yield difference, other.position, growth, other
    for category, columns in enumerate(current.columns):
        votes = (step.before if category == growth.category else step.after)[columns]
        ballots = sum(votes)
        if abs(ballots - growth.ballots) <= most and (difference := distance(votes, growth.votes)) <= most:
            yield difference, step.position, growth, growth._replace(category=category, ballots=ballots)


def _figures_beside(current: CurrentReports, step: Step, growth: Growth, other: Growth) -> array[int]:
    """Return the figures that count beside a growth, in the category of another one."""
    if other.unit != growth.unit:
        figures = current.figures(current.registry.areas[other.unit])
    else:
        figures = step.before if other.category == growth.category else step.after
    return figures[current.columns[other.category]]


def _missing(votes: array[int], figures: array[int]) -> int:
    """Return how many of these votes are not part of the figures."""
    return sum(each - present for each, present in zip(votes, figures, strict=True) if each > present)


def _evidence(current: CurrentReports, match: _Match) -> dict[str, Any]:
    difference, _, growth, other = match
    registry = current.registry
    return {
        "category": registry.categories[growth.category],
        "ballots": growth.ballots,
        "other": registry.areas[other.unit].id,
        "other_category": registry.categories[other.category],
        "other_ballots": other.ballots,
        "difference": difference,
    }
