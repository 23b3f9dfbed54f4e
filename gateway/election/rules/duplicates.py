"""Rules about counts that appear twice: a growth that repeats another one, elsewhere or in the same municipality."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.election.growths import Growth, distance
from gateway.election.rules import evidence
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.policy import DuplicateElsewhere, DuplicateWithin
from gateway.election.rules.step import Step


class _Match(NamedTuple):
    """Figures that are repeated; of several, the least."""

    difference: int
    """By how many votes they differ."""
    position: int
    """Of the report that brought the other figures."""
    new: Growth
    other: Growth
    whole: bool


def duplicate_elsewhere(
    current: CurrentReports, step: Step, setting: DuplicateElsewhere
) -> evidence.DuplicateElsewhere | None:
    """A growth of the report repeats a growth, or the current figures, of a unit in another municipality."""
    found = [
        _Match(difference, other.position, new, other, whole)
        for new, whole, near in _compared(current, step, setting)
        for difference, other in near
        if other.municipality != step.municipality
    ]
    return evidence.DuplicateElsewhere(**_evidence(current, min(found))) if found else None


def duplicate_within(
    current: CurrentReports, step: Step, setting: DuplicateWithin
) -> evidence.DuplicateWithin | None:
    """A growth of the report repeats one in the same municipality that is still part of the figures there."""
    found: list[_Match] = []
    for new, whole, near in _compared(current, step, setting):
        most = new.ballots * setting.permille // 1000
        for difference, other in near:
            if other.municipality == step.municipality and other.unit != new.unit:
                figures = current.figures(current.registry.areas[other.unit])
                if _missing(other.votes, figures[current.columns[other.category]]) <= most:
                    found.append(_Match(difference, other.position, new, other, whole))
        if not whole:
            found += _in_own_unit(current, step, new, most)
    return evidence.DuplicateWithin(**_evidence(current, min(found))) if found else None


class _Compared(NamedTuple):
    """New figures, whether they are a whole, and the growths that nearly equal them, with by how much they differ."""

    new: Growth
    whole: bool
    near: list[tuple[int, Growth]]


def _compared(
    current: CurrentReports, step: Step, setting: DuplicateElsewhere | DuplicateWithin
) -> list[_Compared]:
    key = "compared", setting.ballots, setting.permille
    found = step.kept.get(key)
    if found is None:
        found = step.kept[key] = [
            _Compared(new, whole, list(current.growths.near(new.ballots, new.votes, setting.permille)))
            for new, whole in _new_figures(step, setting.ballots)
        ]
    assert isinstance(found, list)
    return found


def _new_figures(step: Step, ballots: int) -> Iterator[tuple[Growth, bool]]:
    """Yield the growths of a report, and the whole figures of categories that have mostly other ballots than before.

    With each comes whether it is a whole: another unit's report under this unit's identifier, perhaps.
    """
    for growth in step.growths:
        if growth.ballots >= ballots:
            yield growth, False
    for each in step.categories:
        replaced = each.ballots_before and 2 * sum(map(abs, each.gains)) >= each.ballots_after
        if replaced and each.ballots_after >= ballots:
            yield step.growth(each.category, each.ballots_after, each.after), True


def _in_own_unit(current: CurrentReports, step: Step, new: Growth, most: int) -> Iterator[_Match]:
    """Yield what a growth repeats in the figures of its unit: those before, and the other categories of the report."""
    beside = [
        (step.before if category == new.category else step.after)[columns]
        for category, columns in enumerate(current.columns)
    ]
    for category, votes in enumerate(beside):
        ballots = sum(votes)
        if abs(ballots - new.ballots) <= most and (difference := distance(votes, new.votes)) <= most:
            other = new._replace(category=category, ballots=ballots)
            yield _Match(difference, step.position, new, other, False)
    for other in current.grown(new.unit):
        if abs(other.ballots - new.ballots) <= most:
            difference = distance(other.votes, new.votes)
            if difference <= most and _missing(other.votes, beside[other.category]) <= most:
                yield _Match(difference, other.position, new, other, False)


def _missing(votes: array[int], figures: array[int]) -> int:
    """Return how many of these votes are not part of the figures."""
    return sum(each - present for each, present in zip(votes, figures, strict=True) if each > present)


def _evidence(current: CurrentReports, match: _Match) -> dict[str, Any]:
    registry = current.registry
    return {
        "category": registry.categories[match.new.category],
        "ballots": match.new.ballots,
        "whole": match.whole,
        "other": registry.areas[match.other.unit].id,
        "other_category": registry.categories[match.other.category],
        "other_ballots": match.other.ballots,
        "difference": match.difference,
    }
