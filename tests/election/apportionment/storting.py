"""The apportionment of the Norwegian parliament, which the registry of the recorded election does not have."""

from pathlib import Path
from typing import Any

import orjson

from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.rehearsal.dataset import DataSet

STORTING: dict[str, Any] = {
    "method": "divisors",
    "divisors": [14, 30, 50],
    "districts": "county",
    "threshold": {"percent": 4, "of": "country"},
    "levelling": {"per_district": 1},
}
BLOCS: list[dict[str, Any]] = [
    {"name": "Red-green", "parties": ["A", "SV", "RØDT", "SP", "MDG"]},
    {"name": "Centre-right", "parties": ["H", "FRP", "KRF", "V"]},
]


def with_seats(registry: dict[str, Any]) -> dict[str, Any]:
    """Return the document of the recorded registry with its apportionment and blocs."""
    return {**registry, "election": {**registry["election"], "apportionment": STORTING, "blocs": BLOCS}}


def storting_registry(recorded: Path) -> Registry:
    """Return the registry of the recorded election, with its apportionment."""
    return read_registry(with_seats(DataSet.open(recorded).registry))


def votes_of(registry: Registry, line: dict[str, Any]) -> list[int]:
    """Return the votes of an official line or a report, by party in the order of the registry."""
    votes = dict.fromkeys(registry.party_codes, 0)
    for counts in line["counts"].values():
        for party, count in counts["votes"].items():
            votes[party] += count
    return list(votes.values())


def document(text: bytes) -> dict[str, Any]:
    """Return a line of a data set."""
    line: dict[str, Any] = orjson.loads(text)
    return line
