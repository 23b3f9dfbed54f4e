"""The figures of an area: totals, those of advance ballots among them, shares and turnout."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

ADVANCE = "advance"
"""The category of advance ballots (`fhs`); ballots of all others were cast on election day (`vts`)."""


class Votes(NamedTuple):
    """A number of ballots or votes: of all categories, and of advance ballots."""

    total: int
    advance: int

    @property
    def election_day(self) -> int:
        """Those that were not cast in advance."""
        return self.total - self.advance

    def document(self) -> dict[str, int]:
        """Return the numbers as members."""
        return {"total": self.total, "fhs": self.advance}


NONE = Votes(0, 0)


class Figures(NamedTuple):
    """The counts of an area; a count that no unit has reported is None."""

    ballots: Votes
    blank: Votes
    rejected: Votes | None
    voters: Votes | None
    votes: Mapping[str, Votes]
    """By party."""

    @property
    def valid(self) -> Votes:
        """Ballots for a party."""
        return added(self.votes.values())


def figures_of(counts: Mapping[str, Mapping[str, Any]]) -> Figures:
    """Return the figures of an area from the member `counts` of its document."""
    parties = {party: None for each in counts.values() for party in each["votes"]}
    return Figures(
        _sum(counts, "ballots") or NONE,
        _sum(counts, "blank") or NONE,
        _sum(counts, "rejected"),
        _sum(counts, "voters"),
        {party: _votes(counts, party) for party in parties},
    )


def added(votes: Iterable[Votes]) -> Votes:
    """Return the sum of votes."""
    total = advance = 0
    for each in votes:
        total += each.total
        advance += each.advance
    return Votes(total, advance)


def _sum(counts: Mapping[str, Mapping[str, Any]], name: str) -> Votes | None:
    found = {category: each[name] for category, each in counts.items() if name in each}
    return Votes(sum(found.values()), found.get(ADVANCE, 0)) if found else None


def _votes(counts: Mapping[str, Mapping[str, Any]], party: str) -> Votes:
    found = {category: each["votes"].get(party, 0) for category, each in counts.items()}
    return Votes(sum(found.values()), found.get(ADVANCE, 0))


def rounded(part: int, whole: int, digits: int) -> float | None:
    """Return a fraction with so many decimals, rounded half up in integers; None of nothing."""
    if whole <= 0:
        return None
    scale: int = 10**digits
    value = (2 * part * scale + whole) // (2 * whole)
    return value / scale


def percent(part: int, whole: int, digits: int = 5) -> float | None:
    """Return a percentage; None of nothing."""
    return rounded(100 * part, whole, digits)


def shares(votes: Votes, of: Votes, *, unit: bool) -> dict[str, float | None]:
    """Return the shares of a party: of all votes and, above units, of those in advance and those on election day."""
    found = {"prosent": percent(votes.total, of.total)}
    if not unit:
        found["fhsProsent"] = percent(votes.advance, of.advance)
        found["vtsProsent"] = percent(votes.election_day, of.election_day)
    return found


def turnout(figures: Figures, eligible: int | None) -> dict[str, float | None]:
    """Return the turnout of an area above units in percent, and the percentage of it that voted in advance.

    Voters whose ballots were rejected are not counted. Where no voters are reported, ballots are counted instead.
    """
    voted = figures.voters or figures.ballots
    rejected = figures.rejected if figures.voters is not None and figures.rejected is not None else NONE
    took_part = max(0, voted.total - rejected.total)
    return {
        "prosent": percent(took_part, eligible, 1) if eligible and voted.total else None,
        "prosentAndelFhs": percent(voted.advance, voted.total, 1),
    }
