"""Seats: the seats of a block in which one district has other votes, beside applying its publication to the state."""

import gc
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from bench.figures import Result, Row, Series, Target, Unavailable
from bench.load.local import open_data_set
from bench.load.record import publications
from bench.measure.options import Options
from gateway.election.record import Publication
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.errors import MalformedRegistry
from gateway.rehearsal.generator.seats import APPORTIONMENT

TURNS = 3
MEAN = Target(20, most=True)


class _Times(NamedTuple):
    """CPU time in µs for each publication."""

    apply: Sequence[float]
    seats: Sequence[float]
    changed: Sequence[bool]
    """Whether it changed votes, while every district had some."""


async def measure(options: Options) -> Result:
    """Publish the election one report after the other, TURNS times; the best time of each counts.

    After each publication, the seats of the district and those of the house are read, as for a block with it alone.
    """
    result = Result("seats")
    async with open_data_set(options.data) as dataset:
        registry = _with_seats(dataset.registry)
        times = _times(registry, list(publications(dataset, registry)))
    changed = [each for each in zip(*times, strict=True) if each[2]]
    assert changed, "no publication changed votes after every district had some"
    applied = Series.single(
        "ElectionState.apply of the same, mean", _mean([each[0] for each in changed]), "µs"
    )
    spent = sorted(each[1] for each in changed)
    what = "seats of a district and of the house, CPU per publication with other votes"
    result.rows += [
        Row.single(f"{what}: mean", _mean(spent), "µs", MEAN, applied, of_ratio=True),
        Row.single(f"{what}: p99", spent[len(spent) * 99 // 100], "µs", None, applied),
        Row.single(
            "seats of a district and of the house, CPU per publication: mean",
            _mean(times.seats),
            "µs",
            None,
            Series.single("ElectionState.apply, mean", _mean(times.apply), "µs"),
        ),
    ]
    return result


def _with_seats(document: dict[str, Any]) -> Registry:
    """Return a registry with an apportionment; the recorded one has only the seats of its districts.

    Raises Unavailable if the election has none.
    """
    election = {"apportionment": APPORTIONMENT, **document["election"]}
    try:
        return read_registry({**document, "election": election})
    except MalformedRegistry as error:
        raise Unavailable(
            "seats",
            f"the election does not say how many seats its districts have ({error.problems[0]})",
            "measure with another data set (--data)",
        ) from None


def _times(registry: Registry, published: Sequence[Publication]) -> _Times:
    apply_us, seats_us = [float("inf")] * len(published), [float("inf")] * len(published)
    changed = [False] * len(published)
    thresholds = gc.get_threshold()
    gc.set_threshold(20_000, 20, 50)  # as in a feed process
    try:
        for _ in range(TURNS):
            state = ElectionState(registry)
            assert state.seats is not None
            before = state.seats.house()
            for number, publication in enumerate(published):
                started = time.thread_time_ns()
                state.apply(publication)
                applied = time.thread_time_ns()
                house = state.seats.house()
                ended = time.thread_time_ns()
                apply_us[number] = min(apply_us[number], (applied - started) / 1000)
                seats_us[number] = min(seats_us[number], (ended - applied) / 1000)
                changed[number] = house is not before and house.seats.given is not None
                before = house
    finally:
        gc.set_threshold(*thresholds)
    return _Times(apply_us, seats_us, changed)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
