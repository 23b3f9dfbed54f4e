"""A country whose municipalities report through a night, its reports, and the selections of its readers.

Real processes (`tests.faults.night`) and simulated ones (`tests.simulation`) have the same.
"""

import hashlib
import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

UNITS = 8
"""Units per municipality."""
COUNTRY = "land"
EVERYTHING = "country,county,municipality,precinct"

_numbers = itertools.count(1)


def a_country(municipalities: int, *, units: int = UNITS, **header: Any) -> dict[str, Any]:
    """Return a registry of four counties with `municipalities` of some units each; its embargo has ended."""
    areas: list[dict[str, Any]] = [{"id": COUNTRY, "name": "Landet", "level": "country", "parent": None}]
    areas += [{"id": f"c{n}", "name": f"C {n}", "level": "county", "parent": COUNTRY} for n in range(1, 5)]
    for place in range(municipalities):
        name = f"m{place:02}"
        areas.append({"id": name, "name": name, "level": "municipality", "parent": f"c{place % 4 + 1}"})
        areas += [
            {"id": f"{name}-{unit}", "name": f"{name} {unit}", "level": "precinct", "parent": name}
            for unit in range(1, units + 1)
        ]
    election = {
        "id": f"night-{next(_numbers)}",
        "name": "A night",
        "date": "2025-09-08",
        "publish_from": "2025-09-08T21:00:00+02:00",
        "timezone": "Europe/Oslo",
        "categories": ["advance", "election_day"],
    }
    parties = [{"code": code, "name": f"Party {code}"} for code in "PQR"]
    return {
        "format": "election-registry/1",
        "election": {**election, **header},
        "areas": [{"eligible": 1000, **area} for area in areas],
        "parties": parties,
    }


@dataclass(frozen=True)
class Report:
    """A report as it is sent."""

    unit: str
    revision: int
    body: bytes
    digest: str


def a_random_report(unit: str, revision: int, chance: random.Random) -> dict[str, Any]:
    """Return a valid report of a unit of `a_country`."""
    counts = {}
    for category in ("advance", "election_day"):
        votes = {party: chance.randrange(100) for party in "PQR"[: chance.randint(1, 3)]}
        blank = chance.randrange(5)
        counts[category] = {
            "ballots": sum(votes.values()) + blank,
            "blank": blank,
            "rejected": chance.randrange(3),
            "votes": votes,
        }
    return {
        "unit": unit,
        "revision": revision,
        "counted_at": "2025-09-08T22:36:55+02:00",
        "status": chance.choice(("counting", "preliminary", "final")),
        "counts": counts,
    }


def reports_of(municipality: str, chance: random.Random, units: int = UNITS) -> Iterator[Report]:
    """Yield revisions of all units in turn, with gaps, decreasing figures and repeated figures."""
    revisions = [0] * units
    while True:
        for place in range(units):
            revisions[place] += chance.choice((1, 1, 1, 2, 7))
            report = a_random_report(f"{municipality}-{place + 1}", revisions[place], chance)
            body = orjson.dumps(report, option=orjson.OPT_SORT_KEYS)
            yield Report(report["unit"], report["revision"], body, hashlib.sha256(body).hexdigest())


@dataclass(frozen=True)
class ReaderOptions:
    """The selection and format that a reader requests."""

    levels: str | None = None
    areas: str | None = None
    every_s: int = 0
    gzip: bool = False

    @property
    def name(self) -> str:
        """A description for reports of failures."""
        wanted = f"{self.levels or 'default'} of {self.areas or 'all'}"
        return f"reader of {wanted}, every {self.every_s} s{', gzip' if self.gzip else ''}"


def with_ancestors(area: str | None, parents: Mapping[str, str | None]) -> Iterator[str]:
    """Yield an area and all areas above it, given the parent of each."""
    while area is not None:
        yield area
        area = parents[area]


def selected(registry: Mapping[str, Any], options: ReaderOptions) -> frozenset[str]:
    """Return the areas that a reader with these options selects."""
    parents = {area["id"]: area["parent"] for area in registry["areas"]}
    inner = set(parents.values())
    wanted = set(options.areas.split(",")) if options.areas else {COUNTRY}

    def chosen(area: Mapping[str, Any]) -> bool:
        return area["level"] in options.levels.split(",") if options.levels else area["id"] in inner

    return frozenset(
        area["id"]
        for area in registry["areas"]
        if chosen(area) and not wanted.isdisjoint(with_ancestors(area["id"], parents))
    )
