"""PURE: find what is unusual in a report, compared with the reports that the gateway has. Each rule is a function.

A finding has a stable code, a severity and evidence; texts for people are made from these elsewhere. A **red line** is
a finding that is almost never right: a person has to accept it expressly before the report is sent.

The thresholds are integers, chosen with the recorded parliamentary election of Norway in 2025 (357 municipalities,
3 486 units, 12 689 reports): beside each is how many of its reports it concerns.

A rule is a function from a `Step` to findings; a new one is added to `RULES`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from gateway.election.registry import Area
from gateway.election.report import STATUS_ORDER
from gateway.election.rules.ballots import falls_far, rises_above
from gateway.election.rules.policy import AboveEligible, Fell

FELL = Fell(do="warn", ballots=20, permille=20)
"""A fall of more ballots, and of more ‰ of the municipality's ballots, is a red line: 22 reports, none in the night.

The recommended rules hold a report only for a larger fall, and for none that the record explains: a hold delays a
count, while the sender, who knows the reason, only has to state it.
"""
ABOVE = AboveEligible(do="warn", permille=1000)
"""Ballots of a municipality that rise above so many ‰ of its eligible voters are a red line: 7 reports, 4 wrong."""
UNIT_TIMES, UNIT_BALLOTS = 2, 1000
"""Ballots above UNIT_TIMES the eligible voters of a unit, and UNIT_BALLOTS more than these, are a red line: one unit.

Ballots are counted where they are cast and voters where they live, so more ballots than voters are not unusual in a
unit with few voters, and say nothing in one with none.
"""

Severity = Literal["note", "warning", "red_line"]
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "red_line")
"""From the least to the most severe."""
Document = Mapping[str, Any]
"""A report as decoded JSON whose shape is valid (`check_shape`)."""


class Finding(msgspec.Struct, frozen=True):
    """Something unusual. `evidence` has the figures that show it; its members depend on the code."""

    code: str
    severity: Severity
    evidence: dict[str, Any]


class Municipality(msgspec.Struct, frozen=True):
    """The municipality of a unit, with the ballots of all its units whose reports are known."""

    id: str
    name: str
    eligible: int | None
    before: int
    """Ballots in the gateway's current reports."""
    after: int
    """Ballots with this report, and with the newest ones of the other units that are sent with it."""
    complete: bool
    """Whether the reports of all its units are known; otherwise both are the least that it can have."""
    above_without: bool
    """Whether another report that is sent with this one takes it above its eligible voters."""


class Step(msgspec.Struct, frozen=True):
    """A report of a unit, and the one that it replaces."""

    after: Document
    before: Document | None
    unit: Area | None
    """None if the registry is not known."""
    municipality: Municipality | None

    @property
    def growth(self) -> int:
        """By how much the ballots of the unit grow; negative if they fall."""
        return ballots_of(self.after) - (ballots_of(self.before) if self.before is not None else 0)

    @property
    def has_reason(self) -> bool:
        """Whether the sender gave a reason for a correction."""
        return "reason" in self.after


def ballots_of(document: Document) -> int:
    """Return all ballots of a report, including blank ones."""
    return sum(counts["ballots"] for counts in document["counts"].values())


def above_eligible(step: Step) -> Iterator[Finding]:
    """Find a report with which the ballots of the municipality rise above its eligible voters.

    Of several reports sent together, it concerns those without whose growth that would not be so.
    """
    place = step.municipality
    if place is None or not place.eligible or step.growth <= 0 or place.above_without:
        return
    if rises_above(place.before, place.after, place.eligible, ABOVE):
        evidence = {
            "area": place.id,
            "name": place.name,
            "before": place.before,
            "after": place.after,
            "eligible": place.eligible,
        }
        yield Finding("above_eligible", "red_line", evidence)


def unit_above_eligible(step: Step) -> Iterator[Finding]:
    """Find a unit whose ballots grow above its eligible voters; far above is a red line when it happens first."""
    eligible = step.unit.eligible if step.unit is not None else None
    after = ballots_of(step.after)
    if not eligible or step.growth <= 0 or after <= eligible:
        return
    far = _is_far_above(after, eligible) and not _is_far_above(after - step.growth, eligible)
    evidence = {"before": after - step.growth, "after": after, "eligible": eligible}
    yield Finding("unit_above_eligible", "red_line" if far else "warning", evidence)


def _is_far_above(ballots: int, eligible: int) -> bool:
    return ballots > UNIT_TIMES * eligible and ballots - eligible > UNIT_BALLOTS


def fell(step: Step) -> Iterator[Finding]:
    """Find a report with fewer ballots than the one before; many fewer without a reason is a red line."""
    if step.before is None or step.growth >= 0:
        return
    fall, before = -step.growth, ballots_of(step.before)
    known = max(step.municipality.before if step.municipality is not None else 0, before)
    is_large = falls_far(fall, known, FELL)
    evidence = {"before": before, "after": before - fall, "municipality": known}
    yield Finding("fell", "red_line" if is_large and not step.has_reason else "warning", evidence)


def missing_category(step: Step) -> Iterator[Finding]:
    """Find categories with figures in the report before that this one lacks."""
    for category, counts in _categories(step.before):
        if category not in step.after["counts"] and (counts["ballots"] or counts["rejected"]):
            evidence = {"category": category, "before": counts["ballots"]}
            yield Finding("missing_category", "warning" if step.has_reason else "red_line", evidence)


def missing_parties(step: Step) -> Iterator[Finding]:
    """Find parties that had votes in a category and have none there afterwards."""
    for category, before, after in _both(step):
        if lost := {party: votes for party, votes in before.items() if votes and not after.get(party)}:
            yield Finding("missing_parties", "warning", {"category": category, "parties": lost})


def votes_fell(step: Step) -> Iterator[Finding]:
    """Find parties that have fewer votes in a category than before, but still some: before and after, by party."""
    for category, before, after in _both(step):
        fewer = {
            party: [votes, after[party]] for party, votes in before.items() if 0 < after.get(party, 0) < votes
        }
        if fewer:
            yield Finding("votes_fell", "warning", {"category": category, "parties": fewer})


def status_back(step: Step) -> Iterator[Finding]:
    """Find a status that is lower than the one before."""
    before = step.before["status"] if step.before is not None else None
    if before is not None and STATUS_ORDER.get(step.after["status"], 0) < STATUS_ORDER.get(before, 0):
        yield Finding("status_back", "warning", {"before": before, "after": step.after["status"]})


WITHOUT_REASON = ("fell", "missing_category")
"""Codes of red lines that are warnings if the report gives a reason."""
RULES = (
    above_eligible,
    unit_above_eligible,
    fell,
    missing_category,
    missing_parties,
    votes_fell,
    status_back,
)
"""All rules. Each finding is independent of the others."""


def find(step: Step) -> tuple[Finding, ...]:
    """Return all findings about a report, the most severe first."""
    found = [finding for rule in RULES for finding in rule(step)]
    found.sort(key=lambda finding: -SEVERITIES.index(finding.severity))
    return tuple(found)


def _categories(document: Document | None) -> Iterator[tuple[str, Document]]:
    if document is not None:
        yield from document["counts"].items()


def _both(step: Step) -> Iterator[tuple[str, Mapping[str, int], Mapping[str, int]]]:
    """Yield the votes before and after of each category that both reports have."""
    for category, counts in _categories(step.before):
        if (after := step.after["counts"].get(category)) is not None:
            yield category, counts["votes"], after["votes"]
