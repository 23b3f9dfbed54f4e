"""The country: counties, municipalities, units, eligible voters, and their registry.

Figures named "recorded" come from the Norwegian parliamentary election of 2025. Independent of ballots.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from random import Random
from statistics import NormalDist
from typing import Any

from gateway.rehearsal.generator import languages
from gateway.rehearsal.generator import seats as house
from gateway.rehearsal.generator.names import Names
from gateway.rehearsal.generator.parties import PARTIES, Party, ballots
from gateway.rehearsal.generator.split import split

# How many (recorded).
UNITS = 3486
MUNICIPALITIES = 357
COUNTIES = 19
BOROUGHS = 16
POLLING_STATIONS, ADVANCE_STATIONS = 1518, 884

# How large (recorded): electorates of municipalities are log-normal, and the capital's is far above the rest.
MEDIAN_ELECTORATE = 3900
ELECTORATE_SPREAD = 1.37
CAPITAL_SHARE = 0.1465
"""The capital's electorate, as a share of all others' together."""
STATION_SPREAD = 0.8
NOBODY_UNSPECIFIED = 0.14
"""Share of `0000` units without any voter."""

CODE_GAP = 0.06
"""Share of running numbers that are skipped, as after a station is closed."""
FOREIGN_PREFIX = 0.43
"""Share of municipalities with the prefix of another county: codes outlive counties (recorded: 152
of 357 municipalities)."""

POLLS_CLOSE = datetime(2024, 9, 9, 21, 0, tzinfo=timezone(timedelta(hours=2)))
"""A Monday in the past, so that an election loaded without moving its dates is published at once."""
CATEGORIES = ("advance", "election_day")

NAMES_OF_KINDS = {
    "unspecified": "Krets ikke oppgitt",
    "other_advance": "Andre forhåndsstemmer",
    "late_advance": "Sene forhåndsstemmer",
}
ADVANCE_PLACES = ("bibliotek", "helsehus", "kulturhus", "rådhus", "samfunnshus", "senter", "skole", "torg")


@dataclass(frozen=True, slots=True)
class Unit:
    """A reporting unit. `code` is unique only within its municipality, `id` everywhere."""

    id: str
    code: str
    name: str
    kind: str
    eligible: int

    @property
    def holds_all_advance(self) -> bool:
        """Whether this is the capital's one unit for all its advance ballots."""
        return self.kind == "borough" and self.code == "0"

    @property
    def is_polling_place(self) -> bool:
        """Whether people vote here on election day."""
        return self.kind == "polling_station" or (self.kind == "borough" and self.code != "0")


@dataclass(frozen=True, slots=True)
class Municipality:
    """A municipality and its units in the order of their codes."""

    id: str
    name: str
    units: tuple[Unit, ...]

    @property
    def eligible(self) -> int:
        """Eligible voters: the sum of its units."""
        return sum(unit.eligible for unit in self.units)


@dataclass(frozen=True, slots=True)
class County:
    """A county, its ballot and its municipalities."""

    id: str
    name: str
    ballot: tuple[Party, ...]
    municipalities: tuple[Municipality, ...]

    @property
    def eligible(self) -> int:
        """Eligible voters: the sum of its municipalities."""
        return sum(municipality.eligible for municipality in self.municipalities)


@dataclass(frozen=True, slots=True)
class Country:
    """The whole tree. The first county is the capital, with one municipality of boroughs."""

    id: str
    name: str
    counties: tuple[County, ...]

    @property
    def eligible(self) -> int:
        """Eligible voters: the sum of its counties."""
        return sum(county.eligible for county in self.counties)

    def municipalities(self) -> Iterator[Municipality]:
        """All municipalities, county by county."""
        for county in self.counties:
            yield from county.municipalities


@dataclass(frozen=True, slots=True)
class Size:
    """The number of areas of each level, and their typical size."""

    counties: int
    municipalities: int
    boroughs: int
    polling_stations: int
    advance_stations: int
    electorate: float
    """Median electorate of a municipality."""

    @classmethod
    def of(cls, scale: float) -> "Size":
        """`scale` times the units; above 1 the other levels grow more slowly, and municipalities larger."""
        municipalities = max(3, round(MUNICIPALITIES * min(scale, math.sqrt(scale))))
        counties = max(2, round(COUNTIES * scale ** (0.5 if scale < 1 else 0.25)))
        boroughs = max(3, round(BOROUGHS * math.sqrt(scale)))
        others = municipalities - 1
        stations = max(2 * others, round(UNITS * scale) - boroughs - 3 * others)
        polling, advance = split(stations - 2 * others, (POLLING_STATIONS - 356, ADVANCE_STATIONS - 356))
        return cls(
            counties=min(counties, municipalities),
            municipalities=municipalities,
            boroughs=boroughs,
            polling_stations=polling + others,
            advance_stations=advance + others,
            electorate=MEDIAN_ELECTORATE * (scale * MUNICIPALITIES / municipalities if scale > 1 else 1),
        )


def build(rng: Random, scale: float) -> Country:
    """Draw a country."""
    size = Size.of(scale)
    names = Names(rng)
    electorates = _electorates(rng, size)
    capital = _capital(rng, names, size, round(sum(electorates) * CAPITAL_SHARE))
    ordinary = _municipalities(rng, names, size, electorates)
    ballot = ballots(rng, size.counties)
    counties = [County("01", capital.name, tuple(ballot[0]), (capital,))]
    for number, (id_, members) in enumerate(ordinary, 1):
        name = _county_name(rng, names, last=number == len(ordinary))
        counties.append(County(id_, name, tuple(ballot[number]), tuple(members)))
    return Country("vl", "Valland", tuple(counties))


def registry(country: Country, seed: int) -> dict[str, Any]:
    """The country as an `election-registry/1`."""
    return {
        "format": "election-registry/1",
        "election": {
            "id": f"generated-{seed}",
            "name": f"Generated election {seed}",
            "names": languages.of_election(seed),
            "date": POLLS_CLOSE.date().isoformat(),
            "polls_close": POLLS_CLOSE.isoformat(),
            "publish_from": POLLS_CLOSE.isoformat(),
            "timezone": "Europe/Oslo",
            "categories": list(CATEGORIES),
            "rules": "recommended",
            "apportionment": house.APPORTIONMENT,
            "blocs": house.BLOCS,
        },
        "areas": list(_areas(country)),
        "parties": [
            {
                "code": party.code,
                "name": party.name,
                **_named(languages.of_party(party.name)),
                "category": party.category,
            }
            for party in PARTIES
        ],
    }


def _areas(country: Country) -> Iterator[dict[str, Any]]:
    """Every area, level by level from the top."""

    def area(
        id_: str, code: str, name: str, names: languages.Names, level: str, parent: str | None, eligible: int
    ) -> dict[str, Any]:
        return {
            "id": id_, "code": code, "name": name, **_named(names), "level": level, "parent": parent,
            "eligible": eligible,
        }  # fmt: skip

    yield area(country.id, "0", country.name, {}, "country", None, country.eligible)
    *_, bilingual = country.counties
    seats = house.seats([county.eligible for county in country.counties])
    for county, number in zip(country.counties, seats, strict=True):
        names = languages.of_bilingual_place(county.name) if county is bilingual else {}
        parties = [party.code for party in county.ballot]
        yield area(county.id, county.id, county.name, names, "county", country.id, county.eligible) | {
            "seats": number,
            "parties": parties,
        }
    for county in country.counties:
        for place in county.municipalities:
            names = languages.of_bilingual_place(place.name) if county is bilingual else {}
            yield area(place.id, place.id, place.name, names, "municipality", county.id, place.eligible)
    for place in country.municipalities():
        for unit in place.units:
            names = languages.of_unit(unit.name)
            yield area(unit.id, unit.code, unit.name, names, "precinct", place.id, unit.eligible) | {
                "kind": unit.kind
            }


def _named(names: languages.Names) -> dict[str, Any]:
    """Return the member `names`, unless there are none."""
    return {"names": names} if names else {}


def _electorates(rng: Random, size: Size) -> list[int]:
    """Electorates of all municipalities but the capital: the quantiles of the distribution, shuffled."""
    others = size.municipalities - 1
    quantile = NormalDist().inv_cdf
    electorates = [
        round(size.electorate * math.exp(ELECTORATE_SPREAD * quantile((n + 0.5) / others)))
        for n in range(others)
    ]
    rng.shuffle(electorates)
    return electorates


def _municipalities(
    rng: Random, names: Names, size: Size, electorates: list[int]
) -> list[tuple[str, list[Municipality]]]:
    """The municipalities of each county but the capital's, with the county's id."""
    weights = [electorate**0.62 * rng.lognormvariate(0, 0.45) for electorate in electorates]
    others = len(electorates)
    polling = [1 + more for more in split(size.polling_stations - others, weights, rng.random())]
    weights = [electorate**0.5 * rng.lognormvariate(0, 0.9) for electorate in electorates]
    advance = [1 + more for more in split(size.advance_stations - others, weights, rng.random())]
    sizes = iter(zip(electorates, polling, advance, strict=True))

    ids = _county_ids(rng, size.counties)
    numbers = dict.fromkeys(ids, 0)
    members = split(others - len(ids), [rng.uniform(0.3, 2) for _ in ids], rng.random())
    counties = []
    for place, id_ in enumerate(ids):
        prefix = ids[place - 1] if rng.random() < FOREIGN_PREFIX else id_
        county = []
        for _ in range(1 + members[place]):
            numbers[prefix] += 1 + (rng.random() < CODE_GAP)
            county.append(_municipality(rng, names, f"{prefix}{numbers[prefix]:02d}", *next(sizes)))
        counties.append((id_, county))
    return counties


def _county_ids(rng: Random, counties: int) -> list[str]:
    """Two digits, rising, with gaps; `01` is the capital's."""
    return [f"{number:02d}" for number in sorted(rng.sample(range(2, 2 * counties + 2), counties - 1))]


def _county_name(rng: Random, names: Names, *, last: bool) -> str:
    """A plain name, two joined by `og`, or for the last county one name in two languages."""
    name = names.place()
    if last:
        return f"{name} {names.place()[:-1]}áidnu"
    return f"{name} og {names.place()}" if rng.random() < 0.2 else name


def _municipality(
    rng: Random, names: Names, id_: str, electorate: int, polling: int, advance: int
) -> Municipality:
    unspecified = 0 if rng.random() < NOBODY_UNSPECIFIED else min(round(rng.lognormvariate(1.6, 1.5)), 600)
    shares = split(max(electorate - unspecified, polling), _spread(rng, polling), rng.random())
    units = [_unit(id_, "0000", NAMES_OF_KINDS["unspecified"], "unspecified", unspecified)]
    units += [
        _unit(id_, code, names.place(), "polling_station", eligible)
        for code, eligible in zip(_codes(rng, 0, polling), shares, strict=True)
    ]
    units += [
        _unit(id_, code, f"{names.place()} {rng.choice(ADVANCE_PLACES)}", "advance_station", 0)
        for code in _codes(rng, 4000, advance)
    ]
    units += [
        _unit(id_, code, NAMES_OF_KINDS[kind], kind, 0)
        for code, kind in (("9998", "other_advance"), ("9999", "late_advance"))
    ]
    return Municipality(id_, names.place(), tuple(units))


def _capital(rng: Random, names: Names, size: Size, electorate: int) -> Municipality:
    """Boroughs instead of precincts; the first, `0`, has few voters and holds all the advance ballots."""
    shares = split(electorate, [0.05, *(rng.uniform(0.5, 1.5) for _ in range(size.boroughs - 1))])
    units = [
        _unit("0101", str(code), names.place(), "borough", eligible) for code, eligible in enumerate(shares)
    ]
    return Municipality("0101", names.place(), tuple(sorted(units, key=lambda unit: unit.code)))


def _unit(municipality: str, code: str, name: str, kind: str, eligible: int) -> Unit:
    return Unit(f"{municipality}-{code}", code, name, kind, eligible)


def _codes(rng: Random, start: int, count: int) -> list[str]:
    """Running numbers of four digits above `start`, now and then one left out."""
    codes = []
    for _ in range(count):
        start += 1 + (rng.random() < CODE_GAP)
        codes.append(f"{start:04d}")
    return codes


def _spread(rng: Random, count: int) -> list[float]:
    return [rng.lognormvariate(0, STATION_SPREAD) for _ in range(count)]
