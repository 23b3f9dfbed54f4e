"""Where the document of an area is: the codes or names of the areas on the way to it, as in the service's paths."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote_plus

from gateway.election.local_time import local_time
from gateway.election.registry import Area, Registry

DEPTH_MAX = 3
"""Areas below the root in a path: county, municipality and unit."""
_LEVELS = {"country": "land", "county": "fylke", "municipality": "kommune"}
_UNIT = "stemmekrets"
_PART = re.compile(r"[^\s/\\\x00-\x1f\x7f]{1,64}")
_YEAR = re.compile(r"\d{4}", re.ASCII)


class Places:
    """The paths of an election's documents. Invariant: each document has one path of codes and one of names.

    A code is the member `code` of an area in the registry. It need not be unique in the country, and does not contain
    the code of the parent. An area that has none, or the same as another one beside it, has its identifier instead.
    """

    def __init__(self, registry: Registry, kind: str) -> None:
        """`kind` is the type of the election in paths, such as `st`."""
        self._registry = registry
        self.year = _year(registry)
        self.kind = kind
        entries: list[dict[str, Any]] = registry.document["areas"]
        codes = {entry["id"]: _code(entry.get("code"), entry["id"]) for entry in entries}
        shared = Counter((area.parent, codes[area.id]) for area in registry.areas)
        self._codes = [
            codes[area.id] if shared[area.parent, codes[area.id]] == 1 else area.id for area in registry.areas
        ]
        self._below: dict[int, dict[str, Area]] = {}
        """By area, as far as it was asked for: the areas below it by code, by name in lower case, and by identifier."""

    @property
    def start(self) -> str:
        """The path of the root's document, such as `/2025/st`."""
        return f"/{self.year}/{self.kind}"

    def code(self, area: Area) -> str:
        """Return the code of an area in paths."""
        return self._codes[area.index]

    def find(self, steps: Sequence[str]) -> Area | None:
        """Return the area at a path below the root, each step a code, name or identifier; None if there is none."""
        area: Area | None = self._registry.root
        for step in steps:
            area = self._child(area, step) if area is not None else None
        return area

    def _child(self, area: Area, step: str) -> Area | None:
        below = self._below.get(area.index)
        if below is None:
            children = [
                self._registry.areas[index] for index in reversed(area.children)
            ]  # the first one prevails
            below = self._below[area.index] = {
                **{child.id: child for child in children},
                **{child.name.lower(): child for child in children},
                **{self._codes[child.index]: child for child in children},
            }
        return below.get(step) or below.get(step.replace("+", " ").lower())

    def level(self, area: Area) -> str:
        """Return the level of an area as the service names it; another level as the registry does."""
        if area.is_unit:
            return _UNIT
        return _LEVELS.get(area.level, area.level)

    def links(self, area: Area) -> dict[str, str]:
        """Return the paths of an area's document: by codes, and by names."""
        way = self._way(area)
        return {
            "href": self.start + "".join(f"/{quote_plus(self.code(each))}" for each in way),
            "hrefNavn": self.start + "".join(f"/{quote_plus(each.name.lower())}" for each in way),
        }

    def above(self, area: Area) -> Area | None:
        """Return the parent of an area; None above the root."""
        return self._registry.areas[area.path[0]] if area.path else None

    def opens(self, area: Area) -> bool:
        """Return whether there are documents below that of an area."""
        return bool(area.children) and len(area.path) < DEPTH_MAX

    def _way(self, area: Area) -> list[Area]:
        """Return the areas from below the root to an area."""
        return (
            [self._registry.areas[index] for index in reversed((area.index, *area.path[:-1]))]
            if area.path
            else []
        )


def _code(code: object, identifier: str) -> str:
    """Return a code that can be a part of a path, or else the identifier."""
    usable = isinstance(code, str) and _PART.fullmatch(code) and code not in (".", "..")
    return str(code) if usable else identifier


def _year(registry: Registry) -> str:
    """Return the year of the election, or else that of its release."""
    found = _YEAR.match(str(registry.document["election"].get("date", "")))
    return found[0] if found else f"{local_time(registry, registry.publish_from).year:04}"
