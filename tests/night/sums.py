"""Checks that each area of a copy is the sum of its children; written independently of the gateway's own code."""

from collections.abc import Iterable, Mapping
from typing import Any

Copy = Mapping[str, Mapping[str, Any]]


def children_of(registry: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the areas directly below each area."""
    children: dict[str, list[str]] = {}
    for area in registry["areas"]:
        if area.get("parent") is not None:
            children.setdefault(area["parent"], []).append(area["id"])
    return children


def wrong_sums(copy: Copy, children: Mapping[str, list[str]], areas: Iterable[str]) -> list[str]:
    """Return those of `areas` whose counts are not the sums of the counts of their children."""
    return [
        area
        for area in areas
        if area in children
        and figures(copy[area]) != _added(figures(copy[child]) for child in children[area])
    ]


def figures(area: Mapping[str, Any]) -> dict[str, int]:
    """Return the non-zero counts of an area by name."""
    found = {f"status {name}": count for name, count in area["units"]["by_status"].items()}
    for category, counts in area["counts"].items():
        for name in ("ballots", "blank", "rejected", "voters"):
            found[f"{category} {name}"] = counts.get(name, 0)
        for party, votes in counts["votes"].items():
            found[f"{category} {party}"] = votes
    return {name: count for name, count in found.items() if count}


def _added(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in each:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total
