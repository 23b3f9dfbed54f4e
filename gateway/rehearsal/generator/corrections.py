"""Changes from one report of a unit to the next, and their reasons.

Most reports change nothing; frequencies were counted in the recorded Norwegian election of 2025. Every function here
takes Counts and returns new ones, or the same object if nothing changed.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from gateway.rehearsal.generator.counting import NOTHING, Counts, Tally, voters_only

Change = tuple[Counts, str | None]
"""The new counts, and the `reason` of their report, if it has one."""

# By step (letters of lives.STATUSES): how often nothing changes, only voters or rejected ballots, or figures.
CHANGES_AT_STATIONS = {"pf": (0.52, 0.17, 0.31), "ff": (0.35, 0.63, 0.02), "fc": (0.85, 0.10, 0.05)}
CHANGES_IN_ADVANCE = {"pf": (0.56, 0.04, 0.40), "ff": (0.30, 0.45, 0.25), "fc": (0.72, 0.155, 0.125)}
CHANGES_ANYWHERE = {
    "cs": (0.974, 0.018, 0.008), "fs": (0.80, 0.13, 0.07), "sc": (0.50, 0.40, 0.10), "ee": (0.10, 0.90, 0.0),
    "pp": (0.10, 0.10, 0.80), "cc": (0.20, 0.20, 0.60), "uu": (0.40, 0.20, 0.40),
}  # fmt: skip
CHANGES_OTHERWISE = (0.70, 0.20, 0.10)

RECOUNTS = {"moved": 0.34, "more": 0.36, "fewer": 0.30}
"""How figures change: votes move between parties, ballots are found or lost (recorded: 257 of 813)."""
SMALL_STEP = 0.45
"""One over the mean of a small recount, in ballots (recorded: nine in ten are of 6 at most)."""
SMALL_MAX = 20
"""Votes that even a party with hardly any gains in a recount."""
BUNDLE, BUNDLE_SHARE, BUNDLE_MAX = 0.03, 0.10, 1000
"""Share of recounts that concern a bundle; largest bundle as a share of the unit and in ballots."""
REASON_SHARE = 0.75
"""Share of changed figures with a reason; the recorded election has none. More ballots than UNEXPLAINED_MAX are never
lost without one."""
UNEXPLAINED_MAX = 90


def part_of(counts: Counts, share: float) -> Counts:
    """Return the counts after about this `share` of the ballots has been counted."""

    def some(tally: Tally) -> Tally:
        votes = {party: int(count * share) for party, count in tally.votes.items()}
        return Tally(int(tally.blank * share), 0, int(tally.voters * share), votes)

    return {category: some(tally) for category, tally in counts.items()}


def emptied(counts: Counts) -> Counts:
    """Return the counts of a unit whose ballots are counted elsewhere: only its voters remain."""
    if not any(tally.voters for tally in counts.values()):
        return NOTHING
    return {category: voters_only(tally.votes, tally.voters) for category, tally in counts.items()}


def corrected(rng: Random, counts: Counts, step: str, *, in_advance: bool) -> Change:
    """Return the change of an ordinary step; `in_advance`: the unit only counts advance ballots."""
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
    stated = rng.random() < REASON_SHARE or (what == "fewer" and size > UNEXPLAINED_MAX)
    return counts | {category: replace(tally, votes=votes)}, reasons[what] if stated else None


def _take(rng: Random, votes: dict[str, int], count: int) -> None:
    """Take up to `count` votes from one party, a large one more likely than a small one."""
    if any(votes.values()):
        party = rng.choices(list(votes), list(votes.values()))[0]
        votes[party] -= min(count, votes[party])


def _give(rng: Random, votes: dict[str, int], count: int) -> None:
    """Give `count` votes to one party, a large one more likely than a small one; a bundle to one that has as many."""
    most = min(count, max(votes.values()))
    weights = [1 + have if count <= SMALL_MAX or have >= most else 0 for have in votes.values()]
    party = rng.choices(list(votes), weights)[0]
    votes[party] += count


def _register_changed(rng: Random, counts: Counts) -> Counts:
    """Change the number of voters, as after a late mark in the register; ballots stay."""
    category = _one_with(rng, counts, lambda tally: tally.voters)
    if category is None:
        return _rejections_changed(rng, counts)
    tally = counts[category]
    return counts | {category: replace(tally, voters=max(0, tally.voters + rng.choice((-1, 1, 1, 2, 3))))}


def _rejections_changed(rng: Random, counts: Counts) -> Counts:
    """Change the number of rejected ballots; approved ones stay."""
    category = _one_with(rng, counts, lambda tally: tally.ballots)
    if category is None:
        return counts
    tally = counts[category]
    change = rng.choice((-1, 1, 1, 2, 4)) if tally.rejected else rng.choice((1, 1, 2, 4))
    return counts | {category: replace(tally, rejected=tally.rejected + change)}


def _one_with(rng: Random, counts: Counts, figure: Callable[[Tally], int]) -> str | None:
    """Return a random category with such a figure, or None."""
    categories = [category for category, tally in counts.items() if figure(tally)]
    return rng.choice(categories) if categories else None
