"""PURE: the names of the areas that evidence of rules names."""

from collections.abc import Iterable

from gateway.election.registry import Registry
from gateway.wire.holds import AreaNames, FiredRule

_NAMED = ("other", "area", "municipality", "reference")
"""Members of evidence that are areas."""


def areas_in(rules: Iterable[FiredRule]) -> Iterable[str]:
    """Yield the identifiers of areas in evidence, some of them repeatedly."""
    for rule in rules:
        yield from (str(rule.evidence[name]) for name in _NAMED if name in rule.evidence)


def add_names(named: dict[str, AreaNames], registry: Registry, identifiers: Iterable[str]) -> None:
    """Add the names of areas, and of the municipalities of units, by identifier."""
    for identifier in identifiers:
        area = registry.by_id.get(identifier)
        if area is None or identifier in named:
            continue
        municipality = registry.municipality(area).id if area.is_unit else None
        named[identifier] = AreaNames(area.name, dict(area.names), municipality)
        if municipality is not None and municipality != identifier:
            add_names(named, registry, [municipality])
