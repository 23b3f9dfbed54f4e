"""The official totals, computed by plain addition: the results that a correct gateway must reach."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from gateway.rehearsal.generator.geography import CATEGORIES, Country
from gateway.rehearsal.generator.lines import Lines

LINES = 5000
"""Approximate number of totals of municipalities during the count (recorded: 4 790)."""
FINALS_AFTER = timedelta(hours=3)
ORDER = ("counting", "preliminary", "final", "controlled", "settled")
"""The status of an area is the lowest of its units, without those counted elsewhere or unspecified."""

Report = dict[str, Any]


class _Place(NamedTuple):
    """What the line of an area contains."""

    id: str
    level: str
    eligible: int
    parties: list[str]
    units: int


def official_lines(rng: Random, country: Country, lines: Lines) -> list[dict[str, Any]]:
    """Return the lines of `official.ndjson.gz`, in the order of `generated_at`; `lines` are those of all reports.

    While the count goes on, some states of municipalities: each equals the sum of the last reports of its
    units up to and including the line's `counted_at`. After the last report, one `final` line for every area.
    """
    during = list(_during_the_count(rng, country, lines))
    during.sort(key=lambda line: str(line["generated_at"]))  # all have the same offset
    return during + list(finals(country, lines))


def add(reports: Iterable[Report], parties: Iterable[str]) -> dict[str, Any]:
    """Return the sum of the counts of some reports, with all their categories and all parties of the ballot."""
    codes = list(parties)
    total: dict[str, Any] = {}
    for report in reports:
        for category, counts in report["counts"].items():
            if category not in total:
                total[category] = dict.fromkeys(counts, 0) | {"votes": dict.fromkeys(codes, 0)}
            into = total[category]
            for name in counts.keys() - {"votes"}:
                into[name] += counts[name]
            votes = into["votes"]
            for party, count in counts["votes"].items():
                votes[party] += count
    return {category: total[category] for category in CATEGORIES if category in total}


def _during_the_count(rng: Random, country: Country, lines: Lines) -> Iterator[dict[str, Any]]:
    places = {place.id: place for place in _municipalities(country)}
    last_of_second = {
        (line["municipality"], line["report"]["counted_at"]): number for number, line in enumerate(lines)
    }
    current: dict[str, dict[str, int]] = {id_: {} for id_ in places}
    for number, line in enumerate(lines):
        id_, report = line["municipality"], line["report"]
        current[id_][report["unit"]] = number
        complete = last_of_second[id_, report["counted_at"]] == number
        if complete and rng.random() < LINES / len(lines):
            present = lines.chosen(current[id_].values())
            shown = _line(places[id_], present, line["generated_at"], final=False)
            yield shown | {"precincts_complete": True}


def finals(country: Country, lines: Lines) -> Iterator[dict[str, Any]]:
    """Yield the final total of every area."""
    last: dict[str, dict[str, int]] = {}
    for number, line in enumerate(lines):
        last.setdefault(line["municipality"], {})[line["report"]["unit"]] = number
    at = (datetime.fromisoformat(lines[-1]["report"]["counted_at"]) + FINALS_AFTER).isoformat()
    for place in _municipalities(country):
        shown = _line(place, lines.chosen(last[place.id].values()), at, final=True)
        yield shown | {"precincts_complete": True}
    everything: list[int] = []
    for county in country.counties:
        below = [number for place in county.municipalities for number in last[place.id].values()]
        parties = [party.code for party in county.ballot]
        area = _Place(county.id, "county", county.eligible, parties, len(below))
        yield _line(area, lines.chosen(below), at, final=True)
        everything += below
    parties = _national_ballot(country)
    whole = _Place(country.id, "country", country.eligible, parties, len(everything))
    yield _line(whole, lines.chosen(everything), at, final=True)


def _municipalities(country: Country) -> Iterator[_Place]:
    for county in country.counties:
        parties = [party.code for party in county.ballot]
        for place in county.municipalities:
            yield _Place(place.id, "municipality", place.eligible, parties, len(place.units))


def _national_ballot(country: Country) -> list[str]:
    """Return every party that is on a ballot."""
    return list(dict.fromkeys(party.code for county in country.counties for party in county.ballot))


def _line(place: _Place, lines: Lines, generated_at: str, *, final: bool) -> dict[str, Any]:
    return {
        "area": place.id,
        "level": place.level,
        "counted_at": max(line["report"]["counted_at"] for line in lines),  # all have the same offset
        "generated_at": generated_at,
        "final": final,
        "status": _status(lines, place.units),
        "eligible": place.eligible,
        "counts": add((line["report"] for line in lines), place.parties),
    }


def _status(lines: Lines, units: int) -> str:
    statuses = {line["report"]["status"] for line in lines} - {"counted_elsewhere", "unstated"}
    if len(lines) < units or "not_counted" in statuses:
        return "counting"
    return min(statuses, key=ORDER.index, default="settled")
