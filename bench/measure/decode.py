"""Decode: a report decoded, validated and digested, beside orjson alone."""

import gc
import time

import orjson

from bench.figures import Result, Row, Series
from bench.load.local import election
from bench.measure.ceilings import orjson_us
from bench.measure.options import Options
from gateway.election.registry import read_registry
from gateway.election.validation import Scope, Validator, ValidReport

TURNS = 5


async def measure(options: Options) -> Result:
    """Check every report of the election, some times over, and take the best turn of each side."""
    async with election(options.data) as dataset:
        registry = read_registry(dataset.registry)
        bodies = [orjson.dumps(recorded.report) for recorded in dataset.reports()]
    validator, scope = Validator(registry), Scope(registry, frozenset({registry.root.id}))
    best_us, ceiling_us = float("inf"), float("inf")
    found = Result("decode")
    thresholds = gc.get_threshold()
    gc.set_threshold(20_000, 20, 50)  # as in a push process
    try:
        for _ in range(TURNS):
            started = time.perf_counter()
            good = sum(isinstance(validator.check(body, scope), ValidReport) for body in bodies)
            best_us = min(best_us, 1e6 * (time.perf_counter() - started) / len(bodies))
            ceiling_us = min(ceiling_us, orjson_us(bodies))
            if good != len(bodies):
                found.invalid.append(f"{len(bodies) - good} reports of the data set are refused")
    finally:
        gc.set_threshold(*thresholds)
    beside = Series.single("orjson alone", ceiling_us, "µs")
    found.rows.append(Row.single("decode, validate, digest a report", best_us, "µs", None, beside))
    return found
