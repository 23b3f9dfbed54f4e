"""The recorded election as reports, and the same disguised: nothing in it has its own name or its own figures."""

import random
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.report import Counts, Report
from gateway.rehearsal.dataset import DataSet


class Election(NamedTuple):
    """A registry, and reports in the order in which they were counted."""

    registry: Registry
    reports: Sequence[Report]


def recorded_election(path: Path) -> Election:
    """The recorded election in the directory `path`."""
    data = DataSet.open(path)
    return Election(
        read_registry(data.registry), [msgspec.convert(line.report, Report) for line in data.reports()]
    )


def disguised(election: Election, draw: random.Random) -> Election:
    """The same election with other names, other parties in the places of the parties, and other figures.

    Municipalities and parties are permuted: each gets the identifier and the place in the registry of another one.
    Each party in each unit has its votes multiplied with a factor, the same in all reports, so that revisions change
    what they changed.
    """
    registry = election.registry
    area_names = _areas_renamed(registry, draw)
    party_names = _permuted(registry.party_codes, draw)
    factors: dict[tuple[str, str, str], float] = {}

    def factor(unit: str, category: str, party: str) -> float:
        key = unit, category, party
        if key not in factors:
            factors[key] = factors.setdefault((unit, category, ""), draw.lognormvariate(0, 0.15))
            factors[key] *= draw.lognormvariate(0, 0.05)
        return factors[key]

    def resampled(unit: str, category: str, counts: Counts) -> Counts:
        votes = {
            party_names[party]: round(count * factor(unit, category, party))
            for party, count in counts.votes.items()
        }
        ballots = sum(votes.values()) + counts.blank
        return Counts(ballots, counts.blank, counts.rejected, votes, counts.voters)

    reports = [
        msgspec.structs.replace(
            report,
            unit=area_names[report.unit],
            counts={name: resampled(report.unit, name, counts) for name, counts in report.counts.items()},
        )
        for report in election.reports
    ]
    before, after = _ballots(registry, election.reports), _ballots(registry, reports, area_names)
    growth = {area: after[area] / before[area] for area in before if before[area]}
    document = _renamed(registry.document, area_names, party_names, growth, draw)
    return Election(read_registry(document), reports)


def _ballots(
    registry: Registry, reports: Sequence[Report], names: dict[str, str] | None = None
) -> dict[str, int]:
    """Return the final ballots of each municipality, by its first identifier; `names` are those in the reports."""
    latest = {report.unit: report.ballots for report in reports}
    sums: dict[str, int] = {}
    for unit in registry.units.values():
        municipality = registry.municipality(unit).id
        name = names[unit.id] if names else unit.id
        sums[municipality] = sums.get(municipality, 0) + latest.get(name, 0)
    return sums


def _areas_renamed(registry: Registry, draw: random.Random) -> dict[str, str]:
    """New identifiers: each municipality has that of another one, with as many digits; units follow theirs."""
    municipalities = [area.id for area in registry.areas if area.level == "municipality"]
    names = {area.id: area.id for area in registry.areas} | _permuted(municipalities, draw)
    for unit in registry.units.values():
        municipality = registry.municipality(unit).id
        names[unit.id] = unit.id.replace(municipality, names[municipality], 1)
    return names


def _permuted(names: Sequence[str], draw: random.Random) -> dict[str, str]:
    return dict(zip(names, draw.sample(names, len(names)), strict=True))


def _renamed(
    document: dict[str, Any],
    areas: dict[str, str],
    parties: dict[str, str],
    growth: dict[str, float],
    draw: random.Random,
) -> dict[str, Any]:
    entries = [
        {
            **entry,
            "id": areas[entry["id"]],
            "parent": areas.get(entry["parent"]),
            "eligible": ceil((entry.get("eligible") or 0) * growth.get(entry["id"], 1)),
            "parties": sorted(parties[code] for code in entry.get("parties", ())),
        }
        for entry in document["areas"]
    ]
    draw.shuffle(entries)
    return {**document, "areas": entries}
