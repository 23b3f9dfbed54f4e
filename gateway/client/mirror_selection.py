"""PURE: which profile of a mirror contains the areas that a subscriber selects."""

from collections.abc import Container
from typing import NamedTuple

from gateway.count_files.messages import abbreviated
from gateway.election.registry import Registry
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.wire.mirror import COUNTRY, DEFAULT, area_profile


class NotInMirror(GatewayError):
    """A selection that a mirror does not have, or that its election does not have."""

    code = "not_in_mirror"


class Chosen(NamedTuple):
    """The profile to read, and which of its areas are selected."""

    profile: str
    areas: Container[str] | None = None
    """Their identifiers; None for all areas of the profile."""


def choose(registry: Registry, profiles: Container[str], levels: str | None, areas: str | None) -> Chosen:
    """Return the smallest of the profiles that contains a selection; `levels` and `areas` are as for the feed.

    Raises NotInMirror.
    """
    selected = _selected(registry, levels, areas)
    found = [
        (len(members), name, members)
        for name, members in _members(registry).items()
        if name in profiles and selected <= members
    ]
    if not found:
        raise NotInMirror(
            f"no profile of the mirror contains this selection ({counted(len(selected), 'area')}): a mirror has the"
            " root and the areas directly below it, all areas that have children, and everything below one area that is"
            " directly below the root; select less, or read the gateway itself"
        )
    size, name, _ = min(found)
    return Chosen(name, None if size == len(selected) else frozenset(registry.areas[i].id for i in selected))


def _selected(registry: Registry, levels: str | None, areas: str | None) -> set[int]:
    """Return the indexes of the areas that a feed with these parameters has. Raises NotInMirror."""
    wanted_levels = _names("levels", levels, registry.levels)
    wanted_areas = _names("areas", areas, registry.by_id)
    chosen = None if wanted_areas is None else {registry.by_id[name].index for name in wanted_areas}
    return {
        area.index
        for area in registry.areas
        if (not area.is_unit if wanted_levels is None else area.level in wanted_levels)
        and (chosen is None or area.index in chosen or not chosen.isdisjoint(area.path))
    }


def _names(parameter: str, text: str | None, known: Container[str]) -> set[str] | None:
    if text is None:
        return None
    names = {name for name in text.split(",") if name}
    if not names:
        raise NotInMirror(
            f"{parameter} is an empty list, which selects nothing; omit it to select everything"
        )
    unknown = sorted(name for name in names if name not in known)
    if unknown:
        raise NotInMirror(f"{parameter}: this election has no {abbreviated(unknown[0])!r}")
    return names


def _members(registry: Registry) -> dict[str, set[int]]:
    """Return the indexes of the areas in each profile that an election may have."""
    root = registry.root
    found = {
        COUNTRY: {root.index, *root.children},
        DEFAULT: {area.index for area in registry.areas if not area.is_unit},
    }
    below: dict[int, set[int]] = {child: {child} for child in root.children}
    for area in registry.areas:
        for above in area.path:
            if above in below:
                below[above].add(area.index)
    for child, members in below.items():
        if len(members) > 1:
            found[area_profile(registry.areas[child].id)] = members
    return found


def needs_registry(levels: str | None, areas: str | None) -> bool:
    """Return whether the registry decides which profile has a selection: all areas with children are a profile."""
    return levels is not None or areas is not None
