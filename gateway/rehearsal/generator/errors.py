"""Errors of real nights, added to a generated election: wrong counts that are public for hours unless they are held.

    copy        the advance ballots of one municipality are counted again in a unit of another one
    exchanged   two parties have each other's votes in the first report of a polling station
    doubled     a unit's ballots are counted twice in a later revision
    moved       the ballots of a polling station are moved to another one: both reports are right, one of them falls

Each takes an interval between two reports of a unit, so that the sender corrects the wrong report before the next one;
a move comes after the last reports of both units. The last figures of every municipality remain as they were.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import msgspec

from gateway.rehearsal.generator.geography import POLLS_CLOSE, Country
from gateway.rehearsal.generator.lines import Lines
from gateway.rehearsal.generator.revisions import Revisions
from gateway.rehearsal.known_errors import KnownError, ReportName

KINDS = ("copy", "exchanged", "doubled", "moved")
EVERY, EACH_MAX = 90, 8
"""One of each kind per so many municipalities, and how many at most: fewer than may be held at the same time."""
BALLOTS_MIN = 320
"""Ballots that are counted twice or moved: so many that the recommended rules compare them."""
TIMES, PLUS, ALIKE = 5, 10, 1.8
"""How far two exchanged parties are apart, and how near each is to what the other units suggest: the recommended rule
asks for 4 times, and for twice, give or take 10 votes."""
REFERENCE_MIN = 600
"""Votes in other units of the municipality that a party's votes can be compared with."""
GAP_MIN = timedelta(minutes=40)
"""Between the two reports of a unit that an error is put between."""
FOUND_AFTER = (0.55, 0.85)
"""When the sender corrects it, as a share of that interval."""
CHANGED_MAX = 0.01
"""How much recounts may have changed what is moved, as a share of its ballots."""
MOVED_SHARE_MIN = 0.025
"""The ballots that are moved, as a share of their municipality's."""


class WithErrors(NamedTuple):
    """An election after errors were added."""

    lines: Lines
    errors: list[KnownError]


def usual(country: Country) -> dict[str, int]:
    """Return how many errors of each kind an election of this size gets."""
    municipalities = sum(1 for _ in country.municipalities())
    return dict.fromkeys(KINDS, min(max(1, municipalities // EVERY), EACH_MAX))


def add_errors(rng: Random, country: Country, lines: Lines, wanted: Mapping[str, int]) -> WithErrors:
    """Return the lines with so many errors of each kind, or as many as the election has places for."""
    night = _Night(rng, country, lines)
    errors = [error for kind, count in wanted.items() for error in night.add(kind, count)]
    return WithErrors(night.revisions.lines(), sorted(errors, key=lambda error: night.at(error.reports[0])))


class _Night:
    """The reports of an election by unit. A municipality gets one error at most."""

    def __init__(self, rng: Random, country: Country, lines: Lines) -> None:
        self._rng = rng
        self._kinds = {unit.id: unit.kind for place in country.municipalities() for unit in place.units}
        self._homes = {unit.id: place.id for place in country.municipalities() for unit in place.units}
        self._counties = {
            place.id: [other.id for other in county.municipalities if other is not place]
            for county in country.counties
            for place in county.municipalities
        }
        self.revisions = Revisions(rng, lines)
        self._units = self.revisions.units
        self._of_place: dict[str, list[str]] = {}
        for unit in self._units:
            self._of_place.setdefault(self._homes[unit], []).append(unit)
        self._used: set[str] = set()
        self._adders: dict[str, Callable[[str], KnownError | None]] = {
            "copy": self._copy,
            "exchanged": self._exchanged,
            "doubled": self._doubled,
            "moved": self._moved,
        }

    def add(self, kind: str, count: int) -> Iterator[KnownError]:
        """Add errors of a kind at random places, until there are enough or no place is left."""
        units = sorted(self._units)
        self._rng.shuffle(units)
        left = count
        for unit in units:
            if not left:
                return
            if self._homes[unit] in self._used:
                continue
            error = self._adders[kind](unit)
            if error is not None:
                self._used.add(self._homes[unit])
                left -= 1
                yield error

    def at(self, name: ReportName) -> datetime:
        """Return when a report was counted."""
        return self._units[name.unit][name.revision - 1].at

    # Kinds ------------------------------------------------------------------------------------------------

    def _copy(self, unit: str) -> KnownError | None:
        """The advance ballots of another municipality are added to those of the unit."""
        if self._kinds[unit] != "other_advance" or (gap := self._gap(unit)) is None:
            return None
        own = self._units[unit][0].report["counts"].get("advance")
        source = self._source(self._homes[unit], gap[0])
        if own is None or source is None:
            return None
        name, copied = source
        self._used.add(self._homes[name.unit])
        return self._wrong(
            unit,
            gap,
            {"advance": _sum(own, copied)},
            KnownError(
                "copy",
                f"the {copied['ballots']} advance ballots of {name.unit} are counted again in {unit}",
                ("duplicate_elsewhere",),
                "reject",
                "duplicate",
                (),
                copied_from=name,
            ),
        )

    def _source(self, place: str, at: datetime) -> tuple[ReportName, dict[str, Any]] | None:
        """Return the first advance ballots of a unit in another municipality of the county, counted before."""
        for other in self._counties[place]:
            if other in self._used:
                continue
            for unit in self._of_place.get(other, ()):
                first = self._units[unit][0]
                if self._kinds[unit] != "advance_station" or first.at >= at:
                    continue
                counts = first.report["counts"].get("advance")
                if counts is not None and counts["ballots"] >= BALLOTS_MIN:
                    return ReportName(unit, 1), counts
        return None

    def _exchanged(self, unit: str) -> KnownError | None:
        """Two parties, a large and a small one, have each other's votes in the unit's first report."""
        if self._kinds[unit] != "polling_station" or (gap := self._gap(unit)) is None:
            return None
        first = self._units[unit][0]
        own = first.report["counts"].get("election_day")
        if own is None or first.at <= POLLS_CLOSE:
            return None
        reference = self._reference(unit, first.at)
        parties = _to_exchange(own["votes"], reference)
        if parties is None:
            return None
        large, small = parties
        right = first.report["counts"]
        votes = own["votes"] | {large: own["votes"][small], small: own["votes"][large]}
        first.change(counts=right | {"election_day": own | {"votes": votes}})
        self.revisions.insert(unit, 1, self._between(gap), right, "booking_error")
        return KnownError(
            "exchanged",
            f"{large} and {small} have each other's election-day votes in {unit}",
            ("exchanged",),
            "reject",
            "typing_error",
            (ReportName(unit, 1),),
            (ReportName(unit, 2),),
        )

    def _reference(self, unit: str, at: datetime) -> dict[str, int]:
        """Return the votes by party in the other polling stations of the municipality, as reported before."""
        total: dict[str, int] = {}
        for other in self._of_place[self._homes[unit]]:
            before = [line for line in self._units[other] if line.at < at]
            if other == unit or not before:
                continue
            counts = before[-1].report["counts"].get("election_day", {"votes": {}})
            for party, votes in counts["votes"].items():
                total[party] = total.get(party, 0) + votes
        return total

    def _doubled(self, unit: str) -> KnownError | None:
        """The unit's ballots are counted twice."""
        if self._kinds[unit] != "polling_station" or (gap := self._gap(unit)) is None:
            return None
        counts = self._units[unit][0].report["counts"]
        own = counts.get("election_day")
        if own is None or own["ballots"] < BALLOTS_MIN:
            return None
        return self._wrong(
            unit,
            gap,
            counts | {"election_day": _sum(own, own)},
            KnownError(
                "doubled",
                f"the {own['ballots']} election-day ballots of {unit} are counted twice",
                ("duplicate_within",),
                "reject",
                "duplicate",
                (),
            ),
        )

    def _moved(self, unit: str) -> KnownError | None:
        """All ballots of the unit are moved to another polling station of the municipality."""
        counts = self._last_count(unit)
        place = self._homes[unit]
        if counts is None or counts["ballots"] < max(BALLOTS_MIN, MOVED_SHARE_MIN * self._ballots(place)):
            return None
        first = self._units[unit][0].report["counts"].get("election_day")
        if first is None or _distance(first["votes"], counts["votes"]) > CHANGED_MAX * counts["ballots"]:
            return None
        for other in self._of_place[place]:
            theirs = self._last_count(other) if other != unit else None
            if theirs is not None and theirs["ballots"]:
                return self._move(unit, counts, other, theirs)
        return None

    def _move(self, unit: str, counts: dict[str, Any], other: str, theirs: dict[str, Any]) -> KnownError:
        at = max(self._units[each][-1].at for each in (unit, other))
        at += timedelta(seconds=self._rng.randint(1200, 3600))
        moved: list[ReportName] = []
        for each, after in ((other, _sum(theirs, counts)), (unit, _emptied(counts))):
            last = len(self._units[each])
            self.revisions.insert(
                each, last, at, self._units[each][-1].report["counts"] | {"election_day": after}, None
            )
            moved.append(ReportName(each, last + 1))
            at += timedelta(seconds=self._rng.randint(20, 90))
        return KnownError(
            "moved",
            f"the {counts['ballots']} election-day ballots of {unit} are moved to {other}",
            ("duplicate_within", "fell"),
            "release",
            "moved",
            tuple(moved),
        )

    def _last_count(self, unit: str) -> dict[str, Any] | None:
        """Return the last election-day count of a polling station."""
        last = self._units[unit][-1].report
        if self._kinds[unit] != "polling_station" or last["status"] == "counted_elsewhere":
            return None
        counts: dict[str, Any] | None = last["counts"].get("election_day")
        return counts

    def _ballots(self, place: str) -> int:
        last = (self._units[unit][-1].report["counts"] for unit in self._of_place[place])
        return sum(counts["ballots"] for unit in last for counts in unit.values())

    # Revisions ----------------------------------------------------------------------------------------------

    def _gap(self, unit: str) -> tuple[datetime, datetime] | None:
        """Return the interval after the polls closed, between the unit's first and second report."""
        lines = self._units[unit]
        if len(lines) < 2:
            return None
        begin = max(lines[0].at, POLLS_CLOSE) + timedelta(minutes=5)
        return (begin, lines[1].at) if lines[1].at - begin >= GAP_MIN else None

    def _between(self, gap: tuple[datetime, datetime]) -> datetime:
        """Return when the sender corrects an error."""
        begin, end = gap
        return begin + timedelta(seconds=int((end - begin).total_seconds() * self._rng.uniform(*FOUND_AFTER)))

    def _wrong(
        self, unit: str, gap: tuple[datetime, datetime], wrong: dict[str, Any], error: KnownError
    ) -> KnownError:
        """Insert a wrong revision after the first report, and the correction."""
        begin, end = gap
        right = self._units[unit][0].report["counts"]
        at = begin + timedelta(
            seconds=self._rng.randint(0, min(7200, int((end - begin).total_seconds()) // 4))
        )
        self.revisions.insert(unit, 1, at, wrong, None)
        self.revisions.insert(unit, 2, self._between(gap), right, "booking_error")
        return msgspec.structs.replace(
            error, reports=(ReportName(unit, 2),), corrected_by=(ReportName(unit, 3),)
        )


def _sum(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ballots of two counts with the voters of the first."""
    votes = {party: count + other["votes"].get(party, 0) for party, count in one["votes"].items()}
    added = {name: one[name] + other[name] for name in ("ballots", "blank", "rejected")}
    return {**added, "voters": one["voters"], "votes": votes}


def _emptied(counts: Mapping[str, Any]) -> dict[str, Any]:
    nothing = dict.fromkeys(("ballots", "blank", "rejected"), 0)
    return {**nothing, "voters": counts["voters"], "votes": dict.fromkeys(counts["votes"], 0)}


def _distance(one: Mapping[str, int], other: Mapping[str, int]) -> int:
    return sum(abs(votes - other[party]) for party, votes in one.items())


def _to_exchange(votes: Mapping[str, int], reference: Mapping[str, int]) -> Sequence[str] | None:
    """Return a large and a small party whose exchange is noticed by a comparison with the other units."""
    total, cast = sum(reference.values()), sum(votes.values())
    if total < REFERENCE_MIN:
        return None
    large = max(votes, key=votes.__getitem__)
    small = min(votes, key=lambda party: (votes[party], party))
    much, little = (reference.get(party, 0) * cast / total for party in (large, small))
    far_apart = votes[large] > TIMES * (little + PLUS) and much > TIMES * (votes[small] + PLUS)
    return (large, small) if far_apart and _near(votes[large], much) and _near(votes[small], little) else None


def _near(votes: int, expected: float) -> bool:
    return votes - PLUS <= ALIKE * expected and expected <= ALIKE * (votes + PLUS)
