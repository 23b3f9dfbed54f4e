"""What changes from one report of a unit to the next, and the reason given for it.

Most often nothing does. How often what does is counted in the recorded Norwegian election of 2025. Every
function here takes a Counts and gives another; the very same one if nothing changed.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from gateway.rehearsal.generator.counting import NOTHING, Counts, Tally, tally_of, voters_only
from gateway.rehearsal.generator.parties import Lean

Change = tuple[Counts, str | None]
"""The counts afterwards, and the `reason` of the report that brings them, if it tells one."""

# By step (letters of lives.STATUSES): how often nothing changes, only voters or rejected ballots, or figures.
CHANGES_AT_STATIONS = {"pf": (0.52, 0.17, 0.31), "ff": (0.35, 0.63, 0.02), "fc": (0.85, 0.10, 0.05)}
CHANGES_IN_ADVANCE = {"pf": (0.56, 0.04, 0.40), "ff": (0.30, 0.45, 0.25), "fc": (0.72, 0.155, 0.125)}
CHANGES_ANYWHERE = {
    "cs": (0.974, 0.018, 0.008), "fs": (0.80, 0.13, 0.07), "sc": (0.50, 0.40, 0.10), "ee": (0.10, 0.90, 0.0),
    "pp": (0.10, 0.10, 0.80), "cc": (0.20, 0.20, 0.60), "uu": (0.40, 0.20, 0.40),
}  # fmt: skip
CHANGES_OTHERWISE = (0.70, 0.20, 0.10)

RECOUNTS = {"moved": 0.34, "more": 0.36, "fewer": 0.30}
"""What figures do: votes move between parties, ballots are found or lost (recorded: 257 of 813)."""
SMALL_STEP = 0.45
"""One over the mean of a small recount, in ballots (recorded: nine in ten are of 6 at most)."""
BUNDLE, BUNDLE_SHARE, BUNDLE_MAX = 0.03, 0.10, 1000
"""How many recounts concern a bundle; how much of the unit, and how many ballots, that is at most."""
MISBOOKED_BALLOTS = (1500, 5000)
"""How much another municipality's count weighs when it is booked on this one (recorded: 4 761)."""
REASON_TOLD = 0.75
"""How many changed figures come with a reason; the recorded election knows of none."""


def part_of(counts: Counts, share: float) -> Counts:
    """What is known when about this `share` of the pile has been counted."""

    def some(tally: Tally) -> Tally:
        votes = {party: int(count * share) for party, count in tally.votes.items()}
        return Tally(int(tally.blank * share), 0, int(tally.voters * share), votes)

    return {category: some(tally) for category, tally in counts.items()}


def emptied(counts: Counts) -> Counts:
    """Its ballots are counted elsewhere after all; only who voted stays, if anyone did."""
    if not any(tally.voters for tally in counts.values()):
        return NOTHING
    return {category: voters_only(tally.votes, tally.voters) for category, tally in counts.items()}


def misbooked(rng: Random, counts: Counts, lean: Lean) -> Counts:
    """Another municipality's advance ballots, booked here on top of its own."""
    own = counts.get("advance", voters_only(lean, 0))
    other = tally_of(rng, lean, rng.randint(*MISBOOKED_BALLOTS))
    votes = {party: count + other.votes[party] for party, count in own.votes.items()}
    return counts | {"advance": replace(own, blank=own.blank + other.blank, votes=votes)}


def corrected(rng: Random, counts: Counts, step: str, *, in_advance: bool) -> Change:
    """What an ordinary step changes. `in_advance`: the unit counts advance ballots only."""
    usual = CHANGES_IN_ADVANCE if in_advance else CHANGES_AT_STATIONS
    odds = usual.get(step) or CHANGES_ANYWHERE.get(step, CHANGES_OTHERWISE)
    what = rng.choices(("nothing", "margin", "figures"), odds)[0]
    if what == "figures":
        return _recount(rng, counts, step)
    if what == "margin":
        by_register = step in ("ff", "ee", "pf") or rng.random() < 0.3
        return (_register_changed if by_register else _rejections_changed)(rng, counts), None
    return counts, None


def _recount(rng: Random, counts: Counts, step: str) -> Change:
    category = _one_with(rng, counts, lambda tally: tally.ballots)
    if category is None:
        return counts, None
    tally = counts[category]
    size = 1 + int(rng.expovariate(SMALL_STEP))
    if rng.random() < BUNDLE:
        size = max(size, min(int(tally.ballots * rng.uniform(0.01, BUNDLE_SHARE)), BUNDLE_MAX))
    what = rng.choices(list(RECOUNTS), list(RECOUNTS.values()))[0]
    votes = dict(tally.votes)
    if what != "more":
        _take(rng, votes, size)
    if what != "fewer":
        taken = tally.ballots - tally.blank - sum(votes.values())
        _give(rng, votes, size if what == "more" else taken)
    if votes == tally.votes:
        return counts, None
    reasons = {
        "moved": "recount",
        "more": "late_ballots",
        "fewer": "control" if step[1] == "c" else "recount",
    }
    reason = reasons[what] if rng.random() < REASON_TOLD else None
    return counts | {category: replace(tally, votes=votes)}, reason


def _take(rng: Random, votes: dict[str, int], count: int) -> None:
    """Take up to `count` votes from one party, a large one more likely than a small one."""
    if any(votes.values()):
        party = rng.choices(list(votes), list(votes.values()))[0]
        votes[party] -= min(count, votes[party])


def _give(rng: Random, votes: dict[str, int], count: int) -> None:
    """Give `count` votes to one party, a large one more likely than a small one."""
    party = rng.choices(list(votes), [1 + have for have in votes.values()])[0]
    votes[party] += count


def _register_changed(rng: Random, counts: Counts) -> Counts:
    """Someone was marked in the register late: voters change, ballots do not."""
    category = _one_with(rng, counts, lambda tally: tally.voters)
    if category is None:
        return _rejections_changed(rng, counts)
    tally = counts[category]
    return counts | {category: replace(tally, voters=max(0, tally.voters + rng.choice((-1, 1, 1, 2, 3))))}


def _rejections_changed(rng: Random, counts: Counts) -> Counts:
    """Ballots turn out to have been rejected, or not; the approved ones stay as they are."""
    category = _one_with(rng, counts, lambda tally: tally.ballots)
    if category is None:
        return counts
    tally = counts[category]
    change = rng.choice((-1, 1, 1, 2, 4)) if tally.rejected else rng.choice((1, 1, 2, 4))
    return counts | {category: replace(tally, rejected=tally.rejected + change)}


def _one_with(rng: Random, counts: Counts, figure: Callable[[Tally], int]) -> str | None:
    """One of the categories in which there is such a figure."""
    categories = [category for category, tally in counts.items() if figure(tally)]
    return rng.choice(categories) if categories else None
