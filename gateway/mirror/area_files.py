"""The files of areas: each area with its children, as the feed door shows it, made from documents of the stream."""

import asyncio
from collections.abc import Iterator, Mapping
from itertools import islice

import orjson

from gateway.election.registry import Area, Registry
from gateway.mirror.files import JSON, StoredFile
from gateway.mirror.parts import Part, Shown, understood
from gateway.mirror.state import ShownArea, View
from gateway.mirror.target import Target
from gateway.wire import csv_text
from gateway.wire.areas import csv_head, csv_line_of, join_json
from gateway.wire.mirror import election_path, file_name

CSV_TYPE = f"{csv_text.MEDIA_TYPE}; charset=utf-8"
SUFFIXES = ("json", "csv")
FILES_AT_ONCE = 64
"""Files that are made and written together, so that the steps of the mirror never wait for long."""


def area_path(election: str, area: str, suffix: str) -> str:
    """Return the path of an area's file; `suffix` is `json` or `csv`."""
    return f"{election_path(election)}/areas/{file_name(area)}.{suffix}"


def json_of(registry: Registry, area: Area, view: View) -> bytes:
    """Return the document of an area with its children: byte for byte that of the feed door at the same sequence."""
    indexes = (area.index, *area.children)
    documents = [view.areas[registry.areas[index].id].raw for index in indexes]
    return join_json(documents, registry.rehearsal, view.sequence, view.chain, view.published_at)


class AreaLines:
    """The lines of areas in CSV. Invariant: a line is encoded once per change of its area."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._head = csv_head(registry)
        self._lines: dict[str, tuple[int, bytes]] = {}

    def csv_of(self, area: Area, view: View) -> bytes:
        """Return the table of an area and its children: byte for byte that of the feed door at the same sequence."""
        registry = self._registry
        indexes = (area.index, *area.children)
        areas = [registry.areas[index].id for index in indexes]
        return self._head + b"".join(self._line(each, view.areas[each]) for each in areas)

    def _line(self, area: str, shown: ShownArea) -> bytes:
        found = self._lines.get(area)
        if found is None or found[0] != shown.sequence:
            with understood(f"the document of area {area}"):
                line = csv_line_of(self._registry, orjson.loads(shown.raw))
            found = self._lines[area] = shown.sequence, line
        return found[1]


def changed_areas(areas: Mapping[str, ShownArea], since: int) -> Iterator[str]:
    """Yield the areas that have changed since a sequence; all of them if it is negative."""
    return (area for area, shown in areas.items() if shown.sequence > since)


class AreaFiles(Part):
    """The files of all areas in one format.

    A file is written when its area has changed, and a change of a child is one of its area, too.
    """

    def __init__(
        self, registry: Registry, target: Target, suffix: str, every_s: int, pace_s: float, shown: int
    ) -> None:
        super().__init__(shown)
        self.name = f"areas ({suffix})"
        self.pace_s = pace_s
        self._registry = registry
        self._target = target
        self._suffix = suffix
        self._every_s = every_s
        self._lines = AreaLines(registry)
        self._since = shown or -1

    async def write(self, shown: Shown) -> None:
        """Write the areas that have changed. Raises TargetUnavailable."""
        view = shown.view()
        areas = changed_areas(view.areas, self._since)
        while part := list(islice(areas, FILES_AT_ONCE)):
            await self._target.write([self._file(self._registry.by_id[area], view) for area in part])
            await asyncio.sleep(0)
        self.shown = self._since = view.sequence

    def _file(self, area: Area, view: View) -> StoredFile:
        path = area_path(self._registry.id, area.id, self._suffix)
        if self._suffix == "json":
            return StoredFile(path, json_of(self._registry, area, view), JSON, self._every_s)
        return StoredFile(path, self._lines.csv_of(area, view), CSV_TYPE, self._every_s)
