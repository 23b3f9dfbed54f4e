"""Where the document of an area is: the codes or names of the areas on the way to it, as in the service's paths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote_plus

from gateway.election.local_time import local_time
from gateway.election.registry import Area, Registry

DEPTH_MAX = 3
"""Areas below the root in a path: county, municipality and unit."""
_LEVELS = {"country": "land", "county": "fylke", "municipality": "kommune"}
_UNIT = "stemmekrets"
_PART = re.compile(r"[^\s/\\\x00-\x1f\x7f]{1,64}")
_YEAR = re.compile(r"\d{4}", re.ASCII)


class Links(NamedTuple):
    """The paths of a document: by codes, and by names."""

    href: str
    named: str

    def document(self) -> dict[str, str]:
        """Return them as members."""
        return {"href": self.href, "hrefNavn": self.named}


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
        self._codes: dict[int, str] = {}
        """By index, as far as they were asked for."""
        self._below: dict[int, dict[str, Area]] = {}
        """By area, as far as it was asked for: the areas below it by code, by name in lower case, and by identifier."""

    @property
    def start(self) -> str:
        """The path of the root's document, such as `/2025/st`."""
        return f"/{self.year}/{self.kind}"

    def code(self, area: Area) -> str:
        """Return the code of an area in paths."""
        if area.index not in self._codes:
            above = self.above(area)
            beside = self._children(above) if above is not None else [area]
            shared = Counter(_code(each) for each in beside)
            self._codes |= {
                each.index: code if shared[code := _code(each)] == 1 else each.id for each in beside
            }
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
            children = [*reversed(self._children(area))]  # the first one prevails
            below = self._below[area.index] = {
                **{child.id: child for child in children},
                **{child.name.lower(): child for child in children},
                **{self.code(child): child for child in children},
            }
        return below.get(step) or below.get(step.replace("+", " ").lower())

    def _children(self, area: Area) -> list[Area]:
        return [self._registry.areas[index] for index in area.children]

    def level(self, area: Area) -> str:
        """Return the level of an area as the service names it; another level as the registry does."""
        if area.is_unit:
            return _UNIT
        return _LEVELS.get(area.level, area.level)

    def links(self, area: Area) -> Links:
        """Return the paths of an area's document."""
        above = self.above(area)
        return (
            self.links_below(self.links(above), area) if above is not None else Links(self.start, self.start)
        )

    def links_below(self, links: Links, area: Area) -> Links:
        """Return the paths of an area's document, from those of its parent."""
        return Links(
            f"{links.href}/{quote_plus(self.code(area))}", f"{links.named}/{quote_plus(area.name.lower())}"
        )

    def above(self, area: Area) -> Area | None:
        """Return the parent of an area; None above the root."""
        return self._registry.areas[area.path[0]] if area.path else None

    def opens(self, area: Area) -> bool:
        """Return whether there are documents below that of an area."""
        return bool(area.children) and len(area.path) < DEPTH_MAX


def _code(area: Area) -> str:
    """Return the code of an area if it can be a part of a path, or else the identifier."""
    code = area.code
    return code if code is not None and _PART.fullmatch(code) and code not in (".", "..") else area.id


def _year(registry: Registry) -> str:
    """Return the year of the election, or else that of its release."""
    found = _YEAR.match(str(registry.document["election"].get("date", "")))
    return found[0] if found else f"{local_time(registry, registry.publish_from).year:04}"
