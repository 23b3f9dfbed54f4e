"""PURE: which areas a reader selects, by level and by area.

Creating a selection takes a few microseconds however many areas it has: its areas are computed only when needed.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from weakref import WeakKeyDictionary

from gateway.election.registry import Area, Registry

AREAS_MAX = 20
"""Areas that one selection may name."""
INTERVALS_S = (0, 1, 2, 5, 10, 30, 60)
"""The values of `every_s`, in seconds. There are few, so that readers share blocks."""
RUN_MAX = 16
"""Areas per run: enough to compress well together, few enough to encode again when one of them changes."""


class BadSelection(Exception):
    """A selection with an unknown level or area. The message gives its place and repeats no value of the query."""


class Runs:
    """The areas of a registry in runs of consecutive areas with the same parent, level and kind (unit or not).

    A selection contains nearly every run either completely or not at all, so many selections share the encoded runs.
    """

    def __init__(self, registry: Registry) -> None:
        self.areas = registry.areas
        self.all: list[range] = []
        self.of_area: list[int] = []
        """The number of each area's run, by index of the area."""
        self.unit_levels = frozenset(area.level for area in self.areas if area.is_unit)
        self._below: dict[int, list[int]] = {}
        start = 0
        for index in range(1, len(self.areas) + 1):
            if index < len(self.areas) and index - start < RUN_MAX and self._alike(start, index):
                continue
            self.of_area += [len(self.all)] * (index - start)
            for above in self.areas[start].path[:1]:
                self._below.setdefault(above, []).append(len(self.all))
            self.all.append(range(start, index))
            start = index

    def _alike(self, one: int, other: int) -> bool:
        a, b = self.areas[one], self.areas[other]
        return a.path == b.path and a.level == b.level and a.is_unit == b.is_unit

    def below(self, index: int) -> Iterator[int]:
        """Return the numbers of the runs of all areas below an area, in no particular order."""
        waiting = [index]
        while waiting:
            for number in self._below.get(waiting.pop(), ()):
                yield number
                run = self.all[number]
                if not self.areas[run.start].is_unit:
                    waiting.extend(run)


_RUNS: WeakKeyDictionary[Registry, Runs] = WeakKeyDictionary()


def runs_of(registry: Registry) -> Runs:
    """Return the runs of a registry, computed once per registry."""
    runs = _RUNS.get(registry)
    if runs is None:
        runs = _RUNS[registry] = Runs(registry)
    return runs


class Selection:
    """A set of areas. Selections with equal keys have equal members.

    `levels` None means all areas that have children; `areas` None means no restriction to certain areas.
    """

    __slots__ = ("_areas", "_levels", "_runs", "common", "key")

    def __init__(
        self, key: str, runs: Runs, levels: frozenset[str] | None, areas: frozenset[int] | None
    ) -> None:
        self.key = key
        self._runs = runs
        self._levels = levels
        self._areas = areas
        self.common = areas is None and (levels is None or levels.isdisjoint(runs.unit_levels))
        """Whether it names no areas and no level of units. There are few such selections, shared by most readers."""

    @property
    def members(self) -> Container[int]:
        """The selection as a container of the indexes of its areas."""
        return self

    def __contains__(self, index: object) -> bool:
        if not isinstance(index, int):
            return False
        area = self._runs.areas[index]
        if not self._of_level(area):
            return False
        chosen = self._areas
        return chosen is None or index in chosen or not chosen.isdisjoint(area.path)

    def _of_level(self, area: Area) -> bool:
        return not area.is_unit if self._levels is None else area.level in self._levels

    def runs(self) -> Iterator[tuple[int, Sequence[int]]]:
        """Return the number of each run that has selected areas, and those areas, in the order of the registry."""
        all_runs, areas, chosen = self._runs.all, self._runs.areas, self._areas
        numbers: Sequence[int] = range(len(all_runs))
        named: dict[int, list[int]] = {}
        if chosen is not None:
            whole: set[int] = set()
            for index in sorted(chosen):
                if chosen.isdisjoint(areas[index].path):
                    whole.update(self._runs.below(index))
                    named.setdefault(self._runs.of_area[index], []).append(index)
            numbers = sorted(whole.union(named))
        for number in numbers:
            run = all_runs[number]
            if self._of_level(areas[run.start]):
                found = named.get(number, run)
                yield number, run if len(found) == len(run) else found


def read_selection(registry: Registry, levels: str | None, areas: str | None) -> Selection:
    """Read the query parameters `levels` and `areas` (comma-separated). The default is every area that has children.

    Raises BadSelection for a level or area that the registry does not have, and for more than AREAS_MAX areas.
    """
    wanted_levels = _names(levels)
    wanted_areas = _names(areas)
    if wanted_levels is not None and (place := _first_unknown(wanted_levels, registry.levels)):
        raise BadSelection(f"name {place} of levels is not a level; there are {', '.join(registry.levels)}")
    if wanted_areas is not None:
        if len(wanted_areas) > AREAS_MAX:
            raise BadSelection(f"{len(wanted_areas)} areas; at most {AREAS_MAX} may be named")
        if place := _first_unknown(wanted_areas, registry.by_id):
            raise BadSelection(f"name {place} of areas is not an area of this election")
    return _select(registry, _set(wanted_levels), _set(wanted_areas))


def _first_unknown(names: Iterable[str], known: Container[str]) -> int | None:
    """Return the place of the first unknown name, counted from 1; None if all are known."""
    return next((place for place, name in enumerate(names, 1) if name not in known), None)


def _names(text: str | None) -> list[str] | None:
    """Return the names of a list in the order given, without repetitions."""
    if text is None:
        return None
    names = list(dict.fromkeys(name for name in text.split(",") if name))
    if not names:
        raise BadSelection("an empty list selects nothing; omit it to select everything")
    return names


def _set(names: list[str] | None) -> frozenset[str] | None:
    return frozenset(names) if names is not None else None


def _select(registry: Registry, levels: frozenset[str] | None, areas: frozenset[str] | None) -> Selection:
    if areas is not None and registry.root.id in areas:
        areas = None
    every = levels is not None and levels.issuperset(registry.levels)
    # Names of levels and areas contain no comma or slash.
    key = f"{',' if every else ','.join(sorted(levels or ()))}/{','.join(sorted(areas or ()))}"
    chosen = None if areas is None else frozenset(registry.by_id[area].index for area in areas)
    return Selection(key, runs_of(registry), levels, chosen)
