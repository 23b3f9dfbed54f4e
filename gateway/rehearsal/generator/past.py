"""The previous election of a generated one: the same country four years before, when some of it was called otherwise.

Its votes are those of the generated election, moved by a swing per party and some noise, so that changes look like real
ones. Since then a municipality was merged from two, one got another number, a polling station was split and one was
closed; parties were founded, renamed, merged and dissolved. The rows of the table say so; see `previous_table`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from gateway.rehearsal.generator import geography
from gateway.rehearsal.generator.geography import POLLS_CLOSE, Country, County, Municipality, Unit
from gateway.rehearsal.generator.lines import Lines
from gateway.rehearsal.generator.official import finals
from gateway.rehearsal.generator.parties import PARTIES, Party
from gateway.rehearsal.generator.split import split
from gateway.trimmed_json import dumps_trimmed

CLOSED = datetime(2020, 9, 14, 21, 0, tzinfo=POLLS_CLOSE.tzinfo)
"""When its polls closed: a Monday, four years before."""
SWING_SPREAD, UNIT_SPREAD = 0.12, 0.05
"""Spread of a party's strength then, in the country and in a unit: the sigma of a log-normal factor."""
ELIGIBLE_THEN = 0.98
NEW, RENAMED, MERGED, GONE = "ÅT", "LAV", "GML", "FRI"
"""Codes of a party that is new, of two that were called otherwise or consisted of two, and of one that is gone."""
OLD_NAME = Party("LT", "Lavtrykk", 1, 0.0)
OTHER_HALF = Party("SKIKK", "Skikk og Bruk", 2, 0.0)
GONE_PARTY = Party(GONE, "Frittgående", 1, 0.0)
TABLE_PARTIES = (("LT", RENAMED), ("SKIKK", MERGED), (GONE, ""))
OTHER_HALF_SHARE, GONE_SHARE = 0.35, 0.4
"""Shares of the votes of MERGED, and of the voters of NEW, that they had; the others voted for the largest party."""
CLOSED_SHARE = 0.4
"""Share of the voters of a polling station that voted in one which is closed."""

Shares = list[tuple[str, float]]
"""Units of that time, with the part of a unit's voters that voted there."""


@dataclass(frozen=True, slots=True)
class PastElection:
    """The previous election, as the parts of a data set, and the rows of the table."""

    registry: dict[str, Any]
    reports: Lines
    official: list[dict[str, Any]]
    table: Sequence[tuple[str, str, str]]
    """Kind, from, to."""


def past_of(seed: int, country: Country, reports: Lines) -> PastElection:
    """Return the previous election of a generated one."""
    rng = Random(f"previous of {seed}")  # noqa: S311 (repeatable, not secret)
    change = _Changes(country)
    then = change.country()
    lines = _reports(rng, country, then, change.shares, reports)
    registry = geography.registry(then, seed)
    name = {"nb": "fire år før", "nn": "fire år før", "en": "four years before"}
    registry["election"] |= {
        "id": f"generated-{seed}-before",
        "name": f"Generated election {seed}, four years before",
        "names": {tag: f"{each}, {name[tag]}" for tag, each in registry["election"]["names"].items()},
        "date": CLOSED.date().isoformat(),
        "polls_close": CLOSED.isoformat(),
        "publish_from": CLOSED.isoformat(),
    }
    registry["election"].pop("blocs", None)  # of the parties of today
    registry["parties"] = [
        {"code": party.code, "name": party.name, "category": party.category} for party in _parties(PARTIES)
    ]
    table = [*change.rows, *(("party", old, new) for old, new in TABLE_PARTIES)]
    return PastElection(registry, lines, list(finals(then, lines)), table)


def _parties(parties: Sequence[Party]) -> list[Party]:
    """Return the parties that stood then, where these stand now."""
    then: list[Party] = []
    for party in parties:
        if party.code == NEW:
            then.append(GONE_PARTY)
        elif party.code == RENAMED:
            then.append(OLD_NAME)
        elif party.code == MERGED:
            then += [party, OTHER_HALF]
        else:
            then.append(party)
    return then


class _Changes:
    """What was otherwise in the country, at most one place for each kind of change."""

    def __init__(self, country: Country) -> None:
        self._now = country
        self.rows: list[tuple[str, str, str]] = []
        self.shares: dict[str, Shares] = {}
        """Of each unit now, where its voters voted."""
        self._codes = {place.id for place in country.municipalities()}
        others = [place for county in country.counties[1:] for place in county.municipalities]
        others.sort(key=lambda place: (-len(_stations(place)), place.id))
        chosen = [*others[:4], None, None, None, None]
        self._merged, self._split, self._renumbered, self._closed = chosen[:4]

    def country(self) -> Country:
        """Return the country as it was."""
        return replace(self._now, counties=tuple(map(self._county, self._now.counties)))

    def _county(self, county: County) -> County:
        places = [then for place in county.municipalities for then in self._municipality(place)]
        return replace(county, ballot=tuple(_parties(county.ballot)), municipalities=tuple(places))

    def _municipality(self, place: Municipality) -> list[Municipality]:
        stations = _stations(place)
        if place is self._merged and len(stations) > 1:
            return self._halves(place, stations)
        if place is self._renumbered:
            return [self._moved(place, self._code(), place.name, {unit.id: 1.0 for unit in place.units})]
        shares: dict[str, Shares] = {unit.id: [(unit.id, 1.0)] for unit in place.units}
        more: list[Unit] = []
        if place is self._split and len(stations) > 1:
            whole, part = stations[:2]
            shares[part.id] = [(whole.id, 1.0)]
            self.rows += [("area", whole.id, each.id) for each in (whole, part)]
        elif place is self._closed:
            code = next(
                each
                for each in map("{:04d}".format, range(3999, 0, -1))
                if f"{place.id}-{each}" not in shares
            )
            gone = Unit(f"{place.id}-{code}", code, f"{stations[0].name} gamle", "polling_station", 0)
            shares[stations[0].id] = [(stations[0].id, 1 - CLOSED_SHARE), (gone.id, CLOSED_SHARE)]
            self.rows.append(("area", gone.id, place.id))
            more = [gone]
        self.shares |= shares
        there = {id_ for each in shares.values() for id_, _ in each}
        units = [unit for unit in (*place.units, *more) if unit.id in there]
        return [replace(place, units=_with_voters(units, place.units, shares))]

    def _halves(self, place: Municipality, stations: Sequence[Unit]) -> list[Municipality]:
        """Return the two municipalities from which one was merged."""
        first = {unit.id for unit in stations[: len(stations) // 2]}
        second = {unit.id for unit in stations[len(stations) // 2 :]}
        parts = {unit.id: 0.5 for unit in place.units}
        own = self._moved(
            place, self._code(), place.name, parts | dict.fromkeys(first, 1.0) | dict.fromkeys(second, 0.0)
        )
        name = stations[-1].name
        other = self._moved(
            place, self._code(), name, parts | dict.fromkeys(first, 0.0) | dict.fromkeys(second, 1.0)
        )
        return [own, other]

    def _moved(self, place: Municipality, code: str, name: str, parts: dict[str, float]) -> Municipality:
        """Return a municipality that had another number, with parts of the units that are now in `place`."""
        self.rows.append(("area", code, place.id))
        shares: dict[str, Shares] = {}
        for unit in place.units:
            if parts[unit.id]:
                shares[unit.id] = [(f"{code}-{unit.code}", parts[unit.id])]
                self.shares.setdefault(unit.id, []).extend(shares[unit.id])
        units = [replace(unit, id=f"{code}-{unit.code}") for unit in place.units if parts[unit.id]]
        return Municipality(code, name, _with_voters(units, place.units, shares))

    def _code(self) -> str:
        """Return the number of a municipality that none has now."""
        code = next(each for each in map(str, range(9999, 0, -1)) if each not in self._codes)
        self._codes.add(code)
        return code


def _stations(place: Municipality) -> list[Unit]:
    return [unit for unit in place.units if unit.kind == "polling_station"]


def _with_voters(units: Sequence[Unit], now: Sequence[Unit], shares: dict[str, Shares]) -> tuple[Unit, ...]:
    """Return units with the eligible voters of that time."""
    eligible = dict.fromkeys((unit.id for unit in units), 0.0)
    for unit in now:
        for id_, share in shares.get(unit.id, ()):
            eligible[id_] += share * unit.eligible * ELIGIBLE_THEN
    return tuple(replace(unit, eligible=round(eligible[unit.id])) for unit in units)


def _reports(rng: Random, now: Country, then: Country, shares: dict[str, Shares], reports: Lines) -> Lines:
    """Return one settled report for each unit of that time."""
    last = {line["report"]["unit"]: line["report"] for line in reports}
    swing = {party.code: rng.lognormvariate(0, SWING_SPREAD) for party in _parties(PARTIES)}
    counts: dict[str, dict[str, Any]] = {}
    for place in now.municipalities():
        for unit in place.units:
            for category, each in last[unit.id]["counts"].items():
                _add(counts, shares[unit.id], category, _then(rng, swing, each))
    lines = []
    for place in then.municipalities():
        for unit in place.units:
            at = CLOSED + timedelta(seconds=rng.randrange(3600, 6 * 3600))
            lines.append((at, place.id, unit.id))
    return Lines([_line(at, place, counts.get(unit, {}), unit) for at, place, unit in sorted(lines)])


def _then(rng: Random, swing: dict[str, float], counts: dict[str, Any]) -> dict[str, int]:
    """Return how many ballots of a category there were then, by party; blank and rejected ones are named so."""
    votes: dict[str, float] = dict(counts["votes"])
    moved = votes.pop(NEW, None)
    if moved is not None:
        votes[GONE] = moved * GONE_SHARE
        votes[PARTIES[0].code] += moved * (1 - GONE_SHARE)
    if RENAMED in votes:
        votes[OLD_NAME.code] = votes.pop(RENAMED)
    if MERGED in votes:
        votes[OTHER_HALF.code] = votes[MERGED] * OTHER_HALF_SHARE
        votes[MERGED] *= 1 - OTHER_HALF_SHARE
    moved_votes = {
        code: each * swing[code] * rng.lognormvariate(0, UNIT_SPREAD) for code, each in votes.items()
    }
    factor = sum(votes.values()) / (sum(moved_votes.values()) or 1.0)
    found = {code: round(each * factor) for code, each in moved_votes.items()}
    return found | {"blank": counts["blank"], "rejected": counts["rejected"]}


def _add(counts: dict[str, dict[str, Any]], shares: Shares, category: str, ballots: dict[str, int]) -> None:
    """Add ballots to those of the units in which they were cast."""
    parts = {code: split(number, [share for _, share in shares]) for code, number in ballots.items()}
    for place, (unit, _) in enumerate(shares):
        into = counts.setdefault(unit, {}).setdefault(category, {"blank": 0, "rejected": 0, "votes": {}})
        for code, numbers in parts.items():
            where = into if code in ("blank", "rejected") else into["votes"]
            where[code] = where.get(code, 0) + numbers[place]


def _line(at: datetime, place: str, counts: dict[str, Any], unit: str) -> bytes:
    shown = {
        category: {"ballots": each["blank"] + sum(each["votes"].values()), **each}
        for category, each in counts.items()
    }
    report = {
        "unit": unit,
        "revision": 1,
        "counted_at": at.isoformat(),
        "status": "settled" if shown else "counted_elsewhere",
        "counts": shown,
    }
    generated_at = (at + timedelta(seconds=10)).isoformat()
    return dumps_trimmed({"municipality": place, "generated_at": generated_at, "report": report})
