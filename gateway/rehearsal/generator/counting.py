"""The ballots: turnout, where ballots are cast and counted, and the votes.

Figures named "recorded" come from the Norwegian parliamentary election of 2025. Independent of times, statuses
and corrections.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from random import Random
from typing import Any

from gateway.rehearsal.generator.geography import Municipality, Unit
from gateway.rehearsal.generator.parties import Lean, unit_lean
from gateway.rehearsal.generator.split import split

# Turnout and where ballots are cast, per municipality (recorded: deciles of both).
TURNOUT, TURNOUT_SPREAD = 0.795, 0.030
ADVANCE_SHARE, ADVANCE_SPREAD, ADVANCE_BOUNDS = 0.612, 0.075, (0.36, 0.80)
CAPITAL_ADVANCE_SHARE = 0.678
LATE_FACTOR, LATE_EXPONENT = 2.6, 0.57
"""Late advance ballots grow more slowly than the municipality: factor × ballots ** exponent."""
OTHER_ADVANCE_SHARE, OTHER_ADVANCE_SPREAD = 0.085, 0.8
NO_OTHER_ADVANCE = 0.13
"""Share of `9998` units that stay empty."""
UNSPECIFIED_WITH_BALLOTS = 0.41
UNSPECIFIED_MOST = 0.25
"""The most ballots of such a unit, as a share of its eligible voters."""
ADVANCE_STATION_SPREAD = 1.0

BLANK_SHARE = 0.0081
REJECTED_SHARE = 0.0017
CAST_ELSEWHERE = 0.04
"""Spread of the difference between ballots and registered voters of a polling station."""


@dataclass(frozen=True, slots=True)
class Tally:
    """One category of one unit. Invariant: ballots = blank + all votes."""

    blank: int
    rejected: int
    voters: int
    votes: dict[str, int]

    @property
    def ballots(self) -> int:
        """Approved ballots, including blank ones."""
        return self.blank + sum(self.votes.values())

    def as_json(self) -> dict[str, Any]:
        """Return the members of a category in a report."""
        return {
            "ballots": self.ballots,
            "blank": self.blank,
            "rejected": self.rejected,
            "voters": self.voters,
            "votes": self.votes,
        }


Counts = dict[str, Tally]
"""The tallies of a unit by category; immutable: a correction creates new ones."""
NOTHING: Counts = {}


def count_municipality(
    rng: Random, place: Municipality, lean: Lean, closed: Set[str], *, capital: bool
) -> dict[str, Counts]:
    """Return the complete counts of every unit, by id; ballots of units in `closed` are counted elsewhere."""
    ballots = round(place.eligible * min(max(rng.gauss(TURNOUT, TURNOUT_SPREAD), 0.5), 0.95))
    share = rng.gauss(ADVANCE_SHARE, ADVANCE_SPREAD)
    share = CAPITAL_ADVANCE_SHARE if capital else min(max(share, ADVANCE_BOUNDS[0]), ADVANCE_BOUNDS[1])
    advance = round(ballots * share)
    counts = _advance_counts(rng, place, lean, closed, advance)
    counts |= _polling_counts(rng, place, lean, closed, advance, ballots - advance)
    return counts


def _advance_counts(
    rng: Random, place: Municipality, lean: Lean, closed: Set[str], ballots: int
) -> dict[str, Counts]:
    """Distribute the advance ballots over the units that count them."""
    late = min(round(LATE_FACTOR * ballots**LATE_EXPONENT * rng.uniform(0.7, 1.3)), ballots // 3)
    other = 0
    if rng.random() >= NO_OTHER_ADVANCE:
        other = min(
            round(ballots * OTHER_ADVANCE_SHARE * rng.lognormvariate(0, OTHER_ADVANCE_SPREAD)), ballots // 2
        )
    stations = [unit for unit in place.units if unit.kind == "advance_station" and unit.id not in closed]
    held = dict.fromkeys((unit.id for unit in place.units), 0)
    if stations:
        weights = [rng.lognormvariate(0, ADVANCE_STATION_SPREAD) for _ in stations]
        for unit, part in zip(stations, split(ballots - late - other, weights, rng.random()), strict=True):
            held[unit.id] = part
    else:
        other = ballots - late
    fixed = {"other_advance": other, "late_advance": late}
    counts: dict[str, Counts] = {}
    for unit in place.units:
        if unit.holds_all_advance:
            counts[unit.id] = {"advance": tally_of(rng, lean, ballots), "election_day": voters_only(lean, 0)}
        elif unit.kind in ("advance_station", "other_advance", "late_advance"):
            cast = fixed.get(unit.kind, held[unit.id])
            counts[unit.id] = {"advance": tally_of(rng, lean, cast)} if cast else NOTHING
    return counts


def _polling_counts(
    rng: Random, place: Municipality, lean: Lean, closed: Set[str], advance: int, ballots: int
) -> dict[str, Counts]:
    """Return the election day's ballots where they were cast, and all voters where they live."""
    polling = [unit for unit in place.units if unit.is_polling_place]
    open_ = [unit.id for unit in polling if unit.id not in closed]
    cast = dict(zip((unit.id for unit in polling), _by_voters(rng, polling, ballots), strict=True))
    living = dict(zip((unit.id for unit in polling), _by_voters(rng, polling, advance), strict=True))
    counts: dict[str, Counts] = {}
    boxes = dict(cast)
    for unit in polling:
        if unit.id in closed:  # its box is carried to another station
            boxes[rng.choice(open_)] += boxes[unit.id]
            boxes[unit.id] = 0
    for unit in polling:
        box = max(0, round(boxes[unit.id] * (1 + rng.gauss(0, CAST_ELSEWHERE))))
        counts[unit.id] = {
            "advance": voters_only(lean, living[unit.id]),
            "election_day": tally_of(rng, lean, box, voters=cast[unit.id]),
        }
    for unit in place.units:
        if unit.kind == "unspecified":
            counts[unit.id] = _unspecified(rng, lean, unit)
    return counts


def _by_voters(rng: Random, units: list[Unit], ballots: int) -> list[int]:
    """Distribute ballots roughly by the eligible voters of each unit."""
    return split(ballots, [(1 + unit.eligible) * rng.uniform(0.8, 1.2) for unit in units], rng.random())


def _unspecified(rng: Random, lean: Lean, unit: Unit) -> Counts:
    """Return voters without a precinct, and a few ballots of no other unit."""
    if not unit.eligible:
        return NOTHING
    ballots = round(rng.lognormvariate(1.3, 1.3)) if rng.random() < UNSPECIFIED_WITH_BALLOTS else 0
    ballots = min(ballots, int(unit.eligible * UNSPECIFIED_MOST))
    voters = unit.eligible // 2
    return {
        "advance": voters_only(lean, voters),
        "election_day": tally_of(rng, lean, ballots, voters=unit.eligible - voters),
    }


def voters_only(parties: Iterable[str], voters: int) -> Tally:
    """Return a tally with voters but without ballots."""
    return Tally(0, 0, voters, dict.fromkeys(parties, 0))


def tally_of(rng: Random, lean: Lean, ballots: int, voters: int = 0) -> Tally:
    """Return a tally of some ballots with the party preferences of a place."""
    blank = min(_about(rng, ballots * BLANK_SHARE), ballots)
    votes = split(ballots - blank, unit_lean(rng, lean, ballots).values(), rng.random())
    rejected = _about(rng, ballots * REJECTED_SHARE)
    return Tally(blank, rejected, voters, dict(zip(lean, votes, strict=True)))


def _about(rng: Random, expected: float) -> int:
    return int(expected * rng.uniform(0.4, 1.6) + rng.random())
