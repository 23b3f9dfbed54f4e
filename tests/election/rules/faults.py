"""Faults as they occur on real nights, injected into copies of reports, and how many of them the rules notice.

    python -m tests.election.rules.faults [--seed N] [--copies 200] [--disguised]

draws a seed, prints it, and exits with status 1 if a rate is below its floor with a confidence of 99.9 %.
"""

import argparse
import random
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from math import comb
from typing import NamedTuple

import msgspec

from gateway.election.registry import Area, Registry
from gateway.election.report import Counts, Report
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.evaluation import Evaluation, evaluate
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
CONFIDENCE = 0.999

Figures = Mapping[str, Mapping[str, int]]
"""Current votes by category and party; blank votes under the empty name."""


class Place(NamedTuple):
    """Where a fault may be injected: a report of an election, and what is current just before or after it."""

    registry: Registry
    report: Report
    before: Report | None
    """The report of the same unit before it."""
    current: Mapping[str, Report]
    draw: random.Random


Inject = Callable[[Place], Report | None]


class Fault(NamedTuple):
    """A kind of fault."""

    inject: Inject
    """Returns the wrong report, or None where this fault cannot occur."""
    after: bool
    """Whether it arrives after the report into which it is injected, or in its place."""
    floor: float
    """How many of 100 the rules notice at least."""
    warned: bool = False
    """Whether a warning is enough; otherwise the report has to be held."""


def wrong_municipality(place: Place) -> Report | None:
    """A count is added to a unit with the same code in another municipality."""
    unit, registry = place.registry.units[place.report.unit], place.registry
    municipality = registry.municipality(unit)
    code = unit.id.removeprefix(municipality.id)
    others = [
        other
        for other in registry.units.values()
        if other.id.endswith(code) and registry.municipality(other) is not municipality
    ]
    return _booked_in(place, others)


def booked_beside(place: Place) -> Report | None:
    """A count is added to another unit of the municipality too."""
    unit, registry = place.registry.units[place.report.unit], place.registry
    siblings = [registry.areas[index] for index in registry.below(registry.municipality(unit))]
    return _booked_in(place, [each for each in siblings if each.is_unit and each is not unit])


def _booked_in(place: Place, units: list[Area]) -> Report | None:
    """Add a report to the figures of one of these units whose ballot has its parties."""
    named = {
        party for counts in place.report.counts.values() for party, votes in counts.votes.items() if votes
    }
    able = [unit for unit in units if unit.ballot >= named]
    if not able:
        return None
    unit = place.draw.choice(sorted(able, key=lambda each: each.id))
    current = place.current.get(unit.id)
    counts = dict(current.counts) if current else {}
    for name, each in place.report.counts.items():
        counts[name] = _sum(counts[name], each) if name in counts else each
    revision = current.revision + 1 if current else 1
    return msgspec.structs.replace(place.report, unit=unit.id, revision=revision, counts=counts)


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

    def is_below(self, floor: float) -> bool:
        """Whether the rate is below a floor (in %) with the confidence: so few would then be this unlikely."""
        p = floor / 100
        unlikely = sum(
            comb(self.injected, k) * p**k * (1 - p) ** (self.injected - k) for k in range(self.noticed + 1)
        )
        return unlikely < 1 - CONFIDENCE


def rates(
    election: Election, faults: Mapping[str, Fault], copies: int, draw: random.Random
) -> dict[str, Rate]:
    """Inject each fault so many times, at places drawn at random, and count what the recommended rules notice."""
    places = {name: _places(election, fault, copies, draw) for name, fault in faults.items()}
    found = {name: Rate(0, 0, []) for name in faults}
    current, latest = CurrentReports(election.registry), dict[str, Report]()
    for number, report in enumerate(election.reports):
        before = latest.get(report.unit)
        here = partial(Place, election.registry, report, before, latest, draw)
        for name, fault in faults.items():
            if number in places[name] and not fault.after:
                found[name] = _counted(found[name], fault, fault.inject(here()), current)
        current.place(report)
        latest[report.unit] = report
        for name, fault in faults.items():
            if number in places[name] and fault.after:
                found[name] = _counted(found[name], fault, fault.inject(here()), current)
    return found


def _places(election: Election, fault: Fault, copies: int, draw: random.Random) -> set[int]:
    """Draw numbers of reports into which a fault can be injected."""
    able: list[int] = []
    latest: dict[str, Report] = {}
    for number, report in enumerate(election.reports):
        before = latest.get(report.unit)
        fresh = before is None or before.counts != report.counts
        if fresh and report.ballots >= BALLOTS:
            place = Place(election.registry, report, before, latest, random.Random(number))
            if fault.inject(place) is not None:
                able.append(number)
        latest[report.unit] = report
    return set(draw.sample(able, min(copies, len(able))))


def _counted(rate: Rate, fault: Fault, report: Report | None, current: CurrentReports) -> Rate:
    assert report is not None
    noticed = bool(_noticed(evaluate(current, report, recommended()), fault))
    missed = rate.missed if noticed else [*rate.missed, report]
    return Rate(rate.noticed + noticed, rate.injected + 1, missed)


def _noticed(evaluation: Evaluation, fault: Fault) -> tuple[str, ...]:
    return evaluation.warnings if fault.warned else evaluation.holding


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
