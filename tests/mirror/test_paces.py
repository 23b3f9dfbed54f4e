"""How many files the recorded night has to write in its busiest hour, at the paces of a mirror."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.mirror.documents import PACES
from gateway.mirror.election_files import LIST_EVERY_PASSES, REGISTRY_EVERY_PASSES
from gateway.mirror.log_files import CHECKPOINTS_S
from gateway.rehearsal.dataset import DataSet

HOUR = 488_156 * 3600
"""The busiest hour of the night, from 20:00 UTC, in seconds since 1970."""
LIVE_PATH_PUTS = 3_600
"""Measured with the ledger of the same hour at two seconds: 2 831 immutable files, and 731 times `live.json`."""

Change = tuple[float, str]


def passes(changes: Sequence[Change], pace_s: float) -> Iterator[set[str]]:
    """Yield the units that have changed before each pass: when there is a change, and `pace_s` after the last pass."""
    waiting, due, last = set[str](), 0.0, -pace_s
    for at, unit in changes:
        if waiting and at >= due:
            yield waiting
            waiting, last = set(), due
        if not waiting:
            due = max(at, last + pace_s)
        waiting.add(unit)
    if waiting:
        yield waiting


def area_files(registry: Registry, changes: Sequence[Change], pace_s: float) -> int:
    """Return how many files of areas are written in one format: for each pass, the units and all areas above them."""
    return sum(
        len({index for unit in units for index in (registry.by_id[unit].index, *registry.by_id[unit].path)})
        for units in passes(changes, pace_s)
    )


def test_the_busiest_hour_of_the_recorded_night_costs_less_than_ten_thousand_requests(recorded: Path) -> None:
    """As they are counted for an object store. All other files are counted as if they changed at each pass."""
    dataset = DataSet.open(recorded)
    registry = read_registry(dataset.registry)
    times = ((each.counted_at.timestamp() - HOUR, each.report["unit"]) for each in dataset.reports())
    changes = sorted((at, unit) for at, unit in times if 0 <= at < 3600)
    assert len(changes) == 703
    areas = area_files(registry, changes, PACES.areas) + area_files(registry, changes, PACES.tables)

    def count(pace_s: float) -> int:
        return sum(1 for _ in passes(changes, pace_s))

    others = count(PACES.results) + count(PACES.holds) + 2 * count(PACES.seats) + 2 * count(PACES.corrections)
    others += count(PACES.elections * LIST_EVERY_PASSES) + count(PACES.elections * REGISTRY_EVERY_PASSES)
    others += count(PACES.transfers) + 2 * count(PACES.publications) + count(CHECKPOINTS_S)
    others += 4 * count(PACES.log)
    assert areas + others + LIVE_PATH_PUTS < 10_000, (areas, others)
