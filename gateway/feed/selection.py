"""PURE: levels x areas -> which areas a reader wants."""

import re
from collections.abc import Container

import msgspec

from gateway.election.registry import Registry

AREAS_MAX = 20
"""Areas that one selection may name."""
PACES_S = (0, 1, 2, 5, 10, 30, 60)
"""What `every_s` may be. Few, so that readers share blocks."""


_PLAIN = re.compile(r"[\w.|-]{1,64}")


class BadSelection(Exception):
    """A selection that names what is not there; the message says what."""


class Selection(msgspec.Struct, frozen=True):
    """The areas of one kind of reader. Equal keys, equal members."""

    key: str
    members: Container[int]
    size: int


def read_selection(registry: Registry, levels: str | None, areas: str | None) -> Selection:
    """Read the query members `levels` and `areas` (comma-separated); by default every area that has children.

    Raises BadSelection for a level or area that the registry does not have, and for more than AREAS_MAX areas.
    """
    wanted_levels = _names(levels)
    wanted_areas = _names(areas)
    if wanted_levels is not None:
        for level in wanted_levels:
            if level not in registry.levels:
                raise BadSelection(f"no level {_shown(level)}; there are {', '.join(registry.levels)}")
    if wanted_areas is not None:
        if len(wanted_areas) > AREAS_MAX:
            raise BadSelection(f"{len(wanted_areas)} areas; at most {AREAS_MAX} may be named")
        for area in wanted_areas:
            if area not in registry.by_id:
                raise BadSelection(f"no area {_shown(area)}")
    return _select(registry, wanted_levels, wanted_areas)


def _shown(name: str) -> str:
    """Return a name that somebody asked for as an error may show it: only what could be one, and cut."""
    name = name[:64]
    return repr(name) if _PLAIN.fullmatch(name) else "of that name"


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(sorted({name for name in text.split(",") if name}))
    if not names:
        raise BadSelection("an empty list selects nothing; leave it out to select everything")
    return names


def _select(registry: Registry, levels: tuple[str, ...] | None, areas: tuple[str, ...] | None) -> Selection:
    if areas is not None and registry.root.id in areas:
        areas = None
    every = levels is not None and set(levels) == set(registry.levels)
    # No name of a level or an area holds a comma or a slash.
    key = f"{',' if every else ','.join(levels or ())}/{','.join(areas or ())}"
    if every and areas is None:
        return Selection(key, range(len(registry.areas)), len(registry.areas))
    inside: Container[int] = range(len(registry.areas))
    if areas is not None:
        inside = frozenset().union(*(registry.below(registry.by_id[area]) for area in areas))
    members = frozenset(
        area.index
        for area in registry.areas
        if area.index in inside
        and (every or (area.level in levels if levels is not None else not area.is_unit))
    )
    return Selection(key, members, len(members))
