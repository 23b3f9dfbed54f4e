"""Rules about the number of ballots and the time at which they were counted."""

from __future__ import annotations

from datetime import date

import msgspec

from gateway.election.report import STATUS_ORDER
from gateway.election.rules import evidence
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.policy import AboveEligible, Fell, GrewLate, OddTime
from gateway.election.rules.step import Step

EXCUSING = frozenset({"duplicate_withdrawn", "exchanged", "moved"})
"""Explanations that excuse a fall: those by figures. A status is only what the sender says, and it may be wrong."""
_FINISHED = STATUS_ORDER["final"]


def above_eligible(
    current: CurrentReports, step: Step, setting: AboveEligible
) -> evidence.AboveEligible | None:
    """With the report, the ballots of the municipality, or of a unit of a given kind, rise above the eligible."""
    grown = step.ballots_after - step.ballots_before
    if grown <= 0:
        return None
    if step.unit.kind is not None and step.unit.kind in setting.kinds:
        before, eligible = step.ballots_before, step.unit.eligible
        if rises_above(before, before + grown, eligible, setting):
            return _above(step.unit.id, eligible, before, grown, of_unit=True)
    municipality = current.registry.areas[step.municipality]
    before, eligible = current.ballots(step.municipality), municipality.eligible
    if rises_above(before, before + grown, eligible, setting):
        return _above(municipality.id, eligible, before, grown, of_unit=municipality is step.unit)
    return None


def rises_above(before: int, after: int, eligible: int | None, setting: AboveEligible) -> bool:
    """Whether ballots rise above the eligible voters, if it is known how many these are."""
    return eligible is not None and 1000 * before <= setting.permille * eligible < 1000 * after


def _above(
    area: str, eligible: int | None, before: int, grown: int, *, of_unit: bool
) -> evidence.AboveEligible:
    return evidence.AboveEligible(
        area=area, eligible=eligible or 0, before=before, after=before + grown, of_unit=of_unit
    )


def fell(current: CurrentReports, step: Step, setting: Fell) -> evidence.Fell | None:
    """The ballots of the unit fall without a reason, and nothing in the record explains it at once."""
    lost = step.ballots_before - step.ballots_after
    if lost <= setting.ballots or step.report.reason is not msgspec.UNSET:
        return None
    before = current.ballots(step.municipality)
    if not falls_far(lost, before, setting):
        return None
    if current.explanations.explained(step) in EXCUSING:
        return None
    return evidence.Fell(
        before=step.ballots_before,
        after=step.ballots_after,
        municipality=current.registry.areas[step.municipality].id,
        municipality_ballots=before,
    )


def falls_far(lost: int, municipality: int, setting: Fell) -> bool:
    """Whether a unit loses many ballots, beside those of its municipality before."""
    return lost > setting.ballots and 1000 * lost > setting.permille * municipality


def odd_time(current: CurrentReports, step: Step, setting: OddTime) -> evidence.OddTime | None:
    """The report was counted long before the election."""
    days = current.date.toordinal() - date.fromisoformat(step.report.counted_at[:10]).toordinal()
    if days <= setting.days:
        return None
    return evidence.OddTime(counted_at=step.report.counted_at, date=current.date.isoformat(), days=days)


def grew_late(current: CurrentReports, step: Step, setting: GrewLate) -> evidence.GrewLate | None:  # noqa: ARG001
    """A unit whose current report is final grows."""
    if step.status_before is None or STATUS_ORDER.get(step.status_before, 0) < _FINISHED:
        return None
    before, after = step.ballots_before, step.ballots_after
    if after - before < setting.ballots or 1000 * (after - before) < setting.permille * before:
        return None
    return evidence.GrewLate(status=step.status_before, before=before, after=after)
