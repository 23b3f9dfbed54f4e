"""Faults as they occur on real nights, injected into copies of reports, and how many of them the rules notice.

    python -m tests.election.rules.faults [--seed N] [--copies 200] [--disguised]

draws a seed, prints it, and exits with status 1 if a rate is below its floor with a confidence of 99.9 %.
"""

import argparse
import random
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import combinations
from math import comb
from typing import NamedTuple

import msgspec

from gateway.election.registry import Area, Registry
from gateway.election.report import Counts, Report
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.evaluation import evaluate
from gateway.election.rules.policy import recommended
from gateway.output import say
from tests.conftest import RECORDED
from tests.election.rules.elections import Election, disguised, recorded_election

BALLOTS = 200
"""Ballots of the smallest report into which faults are injected."""
VOTES_EXCHANGED = 200
"""By how many votes each of two exchanged parties is wrong at least."""
VOTES_WRONG = 1_000
"""By how many votes a figure with a digit too many is wrong at least."""
CONFIDENCE = Fraction(999, 1000)
PLACES = 8
"""Places that are drawn for each copy, since a fault cannot be injected everywhere."""
TRIES = 60
"""Units that are drawn until one fits."""

Figures = Mapping[str, Mapping[str, int]]
"""Current votes by category and party; blank votes under the empty name."""


class Units:
    """The units of an election, by municipality and by code."""

    def __init__(self, registry: Registry) -> None:
        self.all = sorted(registry.units.values(), key=lambda unit: unit.id)
        self.municipality = {unit.id: registry.municipality(unit).id for unit in self.all}
        self.beside: dict[str, list[Area]] = {}
        """By municipality."""
        self.same_code: dict[str, list[Area]] = {}
        """By what follows the municipality in their identifiers."""
        for unit in self.all:
            self.beside.setdefault(self.municipality[unit.id], []).append(unit)
            self.same_code.setdefault(self.code(unit.id), []).append(unit)

    def code(self, unit: str) -> str:
        return unit.removeprefix(self.municipality[unit])


class Place(NamedTuple):
    """Where a fault may be injected: a report of an election, and what is current just before or after it."""

    units: Units
    report: Report
    before: Report | None
    """The report of the same unit before it."""
    current: Mapping[str, Report]
    draw: random.Random

    def draw_unit(self, units: list[Area], is_able: Callable[[Area], bool]) -> Area | None:
        """Return one of some units whose ballot has all parties with votes in the report; None if few or none can."""
        named = {
            party for counts in self.report.counts.values() for party, votes in counts.votes.items() if votes
        }
        for _ in range(TRIES if units else 0):
            unit = self.draw.choice(units)
            if unit.id != self.report.unit and unit.ballot >= named and is_able(unit):
                return unit
        return None


Inject = Callable[[Place], Report | None]


class Fault(NamedTuple):
    """A kind of fault."""

    inject: Inject
    """Returns the wrong report, or None where this fault cannot occur."""
    after: bool
    """Whether it arrives after the report into which it is injected, or in its place."""
    floor: int
    """How many of 100 the rules notice at least."""
    warned: bool = False
    """Whether a warning is enough; otherwise the report has to be held."""


def wrong_municipality(place: Place) -> Report | None:
    """A count is added to a unit with the same code in another municipality."""
    return _booked_in(place, place.units.same_code[place.units.code(place.report.unit)])


def booked_beside(place: Place) -> Report | None:
    """A count is added to another unit of the municipality too."""
    return _booked_in(place, place.units.beside[place.units.municipality[place.report.unit]])


def _booked_in(place: Place, units: list[Area]) -> Report | None:
    """Add a report to the figures of one of these units."""
    unit = place.draw_unit(units, lambda _: True)
    if unit is None:
        return None
    current = place.current.get(unit.id)
    counts = dict(current.counts) if current else {}
    for name, each in place.report.counts.items():
        counts[name] = _sum(counts[name], each) if name in counts else each
    revision = current.revision + 1 if current else 1
    return msgspec.structs.replace(place.report, unit=unit.id, revision=revision, counts=counts)


def another_report(place: Place) -> Report | None:
    """The report of a unit in another municipality arrives as that of this unit, in place of its own figures."""
    municipality = place.units.municipality
    here = municipality[place.report.unit]
    return _sent_as(place, place.units.all, lambda unit: municipality[unit.id] != here)


def report_beside(place: Place) -> Report | None:
    """The report of another unit in the municipality arrives as that of this unit, in place of its own figures."""
    return _sent_as(place, place.units.beside[place.units.municipality[place.report.unit]], lambda _: True)


def _sent_as(place: Place, units: list[Area], is_able: Callable[[Area], bool]) -> Report | None:
    """Replace the figures of one of these units, which has some."""
    unit = place.draw_unit(
        units,
        lambda each: is_able(each) and each.id in place.current and place.current[each.id].ballots >= BALLOTS,
    )
    if unit is None:
        return None
    revision = place.current[unit.id].revision + 1
    return msgspec.structs.replace(place.report, unit=unit.id, revision=revision)


def doubled(place: Place) -> Report | None:
    """A later revision has every figure twice."""
    counts = {name: _sum(each, each) for name, each in place.report.counts.items()}
    return _next_revision(place, counts)


def advance_again(place: Place) -> Report | None:
    """The first election-day ballots of a unit are its advance ballots again."""
    counts = place.report.counts
    advance = counts.get("advance")
    known = place.before.counts.get("election_day") if place.before else None
    if advance is None or advance.ballots < BALLOTS or (known is not None and known.ballots):
        return None
    return msgspec.structs.replace(place.report, counts={**counts, "election_day": advance})


def ten_times(place: Place) -> Report | None:
    """One figure has a digit too many, and at least VOTES_WRONG votes are wrong."""
    able = [
        (category, party)
        for category, counts in place.report.counts.items()
        if _is_new(place, category)
        for party, votes in sorted(counts.votes.items())
        if 9 * votes >= VOTES_WRONG
    ]
    if not able:
        return None
    category, party = place.draw.choice(able)
    return _with_votes(place.report, category, {party: place.report.counts[category].votes[party] * 10})


def exchanged_first(place: Place) -> Report | None:
    """The first report of a category has the votes of two parties exchanged."""
    return _exchange(place, lambda category: _is_new(place, category, first=True))


def exchanged_later(place: Place) -> Report | None:
    """A later revision has the votes of two parties exchanged."""
    wrong = _exchange(place, lambda _: True)
    return _next_revision(place, wrong.counts) if wrong else None


def doubled_first(place: Place) -> Report | None:
    """The first report of a unit has every figure twice."""
    if place.before is not None:
        return None
    counts = {name: _sum(each, each) for name, each in place.report.counts.items()}
    return msgspec.structs.replace(place.report, counts=counts)


def _exchange(place: Place, is_able: Callable[[str], bool]) -> Report | None:
    able = [
        (category, one, other)
        for category, counts in place.report.counts.items()
        if is_able(category)
        for one, other in combinations(sorted(counts.votes), 2)
        if abs(counts.votes[one] - counts.votes[other]) >= VOTES_EXCHANGED
    ]
    if not able:
        return None
    category, one, other = place.draw.choice(able)
    votes = place.report.counts[category].votes
    return _with_votes(place.report, category, {one: votes[other], other: votes[one]})


def _is_new(place: Place, category: str, *, first: bool = False) -> bool:
    """Whether a category has other figures than before, or its first ones."""
    before = place.before.counts.get(category) if place.before else None
    if first:
        return before is None or not before.ballots
    return before is None or before.votes != place.report.counts[category].votes


def _next_revision(place: Place, counts: Mapping[str, Counts]) -> Report:
    return msgspec.structs.replace(place.report, revision=place.report.revision + 1, counts=dict(counts))


def _with_votes(report: Report, category: str, votes: Mapping[str, int]) -> Report:
    counts = report.counts[category]
    changed = {**counts.votes, **votes}
    ballots = sum(changed.values()) + counts.blank
    after = msgspec.structs.replace(counts, votes=changed, ballots=ballots)
    return msgspec.structs.replace(report, counts={**report.counts, category: after})


def _sum(one: Counts, other: Counts) -> Counts:
    votes = {
        party: one.votes.get(party, 0) + other.votes.get(party, 0) for party in {**one.votes, **other.votes}
    }
    return Counts(one.ballots + other.ballots, one.blank + other.blank, one.rejected + other.rejected, votes)


FAULTS: Mapping[str, Fault] = {
    "a unit code without its municipality": Fault(wrong_municipality, after=True, floor=99),
    "a count booked in another unit too": Fault(booked_beside, after=True, floor=99),
    "another municipality's report, replacing": Fault(another_report, after=True, floor=85),
    "another unit's report, replacing": Fault(report_beside, after=True, floor=75),
    "doubled in a later revision": Fault(doubled, after=True, floor=99),
    "advance ballots as election-day ballots": Fault(advance_again, after=False, floor=99),
    "one figure ten times": Fault(ten_times, after=False, floor=85),
    "two parties exchanged in a first report": Fault(exchanged_first, after=False, floor=50),
    "two parties exchanged later": Fault(exchanged_later, after=True, floor=100, warned=True),
}
HARDLY_FOUND: Mapping[str, Fault] = {"doubled in a first report": Fault(doubled_first, after=False, floor=0)}


class Rate(NamedTuple):
    """How many of the injected faults were noticed."""

    noticed: int
    injected: int
    missed: list[Report]

    def is_below(self, floor: int) -> bool:
        """Whether the rate is below a floor (in %) with the confidence: so few would then be this unlikely."""
        share = Fraction(floor) / 100
        ways = (
            comb(self.injected, k) * share**k * (1 - share) ** (self.injected - k)
            for k in range(self.noticed + 1)
        )
        return sum(ways) < 1 - CONFIDENCE


def rates(
    election: Election, faults: Mapping[str, Fault], copies: int, draw: random.Random
) -> dict[str, Rate]:
    """Inject each fault so many times, at places drawn at random, and count what the recommended rules notice."""
    large = _large_counts(election)
    places = {name: set(draw.sample(large, min(PLACES * copies, len(large)))) for name in faults}
    outcomes: dict[str, list[tuple[bool, Report]]] = {name: [] for name in faults}
    units, current, latest = Units(election.registry), CurrentReports(election.registry), dict[str, Report]()

    def inject(number: int, place: Place, *, after: bool) -> None:
        for name, fault in faults.items():
            if fault.after is after and number in places[name]:
                report = fault.inject(place)
                if report is not None:
                    outcomes[name].append((_is_noticed(current, report, fault), report))

    for number, report in enumerate(election.reports):
        place = Place(units, report, latest.get(report.unit), latest, draw)
        inject(number, place, after=False)
        current.place(report)
        latest[report.unit] = report
        inject(number, place, after=True)
    return {name: _rate(draw.sample(found, min(copies, len(found)))) for name, found in outcomes.items()}


def _large_counts(election: Election) -> list[int]:
    """Return the numbers of the reports with other figures than before, and with many ballots."""
    found: list[int] = []
    latest: dict[str, Report] = {}
    for number, report in enumerate(election.reports):
        before = latest.get(report.unit)
        if report.ballots >= BALLOTS and (before is None or before.counts != report.counts):
            found.append(number)
        latest[report.unit] = report
    return found


def _rate(outcomes: list[tuple[bool, Report]]) -> Rate:
    missed = [report for noticed, report in outcomes if not noticed]
    return Rate(len(outcomes) - len(missed), len(outcomes), missed)


def _is_noticed(current: CurrentReports, report: Report, fault: Fault) -> bool:
    evaluation = evaluate(current, report, recommended())
    return bool(evaluation.warnings if fault.warned else evaluation.holding)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--disguised", action="store_true")
    options = parser.parse_args()
    say(f"seed {options.seed}")
    draw = random.Random(options.seed)
    election = recorded_election(RECORDED)
    if options.disguised:
        election = disguised(election, draw)
    status = 0
    for name, rate in rates(election, {**FAULTS, **HARDLY_FOUND}, options.copies, draw).items():
        floor = {**FAULTS, **HARDLY_FOUND}[name].floor
        say(f"{name:42} {rate.noticed:4} of {rate.injected:4}  floor {floor:3} %")
        if rate.is_below(floor):
            say("  below its floor")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
