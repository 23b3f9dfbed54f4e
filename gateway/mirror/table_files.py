"""`results.csv`: every municipality and party in one table, made from documents of the stream."""

import asyncio

import orjson

from gateway.election.registry import Registry
from gateway.mirror.area_files import CSV_TYPE
from gateway.mirror.files import StoredFile
from gateway.mirror.parts import Part, Shown, understood
from gateway.mirror.state import View
from gateway.mirror.target import Target
from gateway.wire.mirror import election_path
from gateway.wire.results import CSV, Heading

AREAS_PER_STEP = 50
"""Areas that are encoded between two steps of the event loop: a few milliseconds."""
MUNICIPALITY = "municipality"


def level_of(registry: Registry) -> str:
    """Return the level of the table: `municipality`, or else that of the areas that are responsible for units."""
    if MUNICIPALITY in registry.levels:
        return MUNICIPALITY
    return registry.municipality(next(iter(registry.units.values()))).level


class ResultTable(Part):
    """The table of a level. Invariants:

    * Its bytes are those of the feed door's table at the same sequence.
    * An area is encoded once per change.
    """

    name = "results.csv"

    def __init__(self, registry: Registry, target: Target, every_s: int, pace_s: float, shown: int) -> None:
        super().__init__(shown)
        self.pace_s = pace_s
        self._registry = registry
        self._target = target
        self._every_s = every_s
        self._level = level_of(registry)
        self._areas = [area.id for area in registry.areas if area.level == self._level]
        self._encode = CSV.encoder(registry)
        self._rows: dict[str, tuple[int, bytes]] = {}
        self._written: int | None = None

    async def write(self, shown: Shown) -> None:
        """Write the table, if it has changed. Raises TargetUnavailable."""
        view = shown.view()
        if view.sequence == self._written:
            return
        for place, area in enumerate(self._areas):
            self._refresh(area, view)
            if place % AREAS_PER_STEP == 0:
                await asyncio.sleep(0)
        rows = [self._rows[area][1] for area in self._areas]
        path = f"{election_path(self._registry.id)}/results.csv"
        body = self._head(view) + b"".join(rows)
        await self._target.write([StoredFile(path, body, CSV_TYPE, self._every_s)])
        self.shown = self._written = view.sequence

    def _refresh(self, area: str, view: View) -> None:
        shown, found = view.areas[area], self._rows.get(area)
        if found is None or found[0] != shown.sequence:
            with understood(f"the document of area {area}"):
                self._rows[area] = shown.sequence, self._encode(orjson.loads(shown.raw))

    def _head(self, view: View) -> bytes:
        root = view.areas[self._registry.root.id]
        compared = "change" in orjson.loads(root.raw)
        heading = Heading(
            self._registry,
            self._level,
            None,
            view.sequence,
            bytes.fromhex(view.chain),
            view.published_at,
            compared,
        )
        return CSV.encode_head(heading)
