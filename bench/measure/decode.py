"""Decode: decode, validate and digest a report, beside orjson alone."""

import gc
import time

import orjson

from bench.figures import Result, Row, Series
from bench.load.checked import Checker
from bench.load.local import open_data_set
from bench.measure.ceilings import orjson_us
from bench.measure.options import Options

TURNS = 5


async def measure(options: Options) -> Result:
    """Check every report of the election TURNS times, and take the best time of each side."""
    async with open_data_set(options.data) as dataset:
        checker = Checker(dataset.registry)
        bodies = [orjson.dumps(recorded.report) for recorded in dataset.reports()]
    best_us, ceiling_us = float("inf"), float("inf")
    result = Result("decode")
    thresholds = gc.get_threshold()
    gc.set_threshold(20_000, 20, 50)  # as in a push process
    try:
        for _ in range(TURNS):
            started = time.perf_counter()
            good = checker.count_valid(bodies)
            best_us = min(best_us, 1e6 * (time.perf_counter() - started) / len(bodies))
            ceiling_us = min(ceiling_us, orjson_us(bodies))
            if good != len(bodies):
                result.invalid.append(f"{len(bodies) - good} reports of the data set are refused")
    finally:
        gc.set_threshold(*thresholds)
    beside = Series.single("orjson alone", ceiling_us, "µs")
    result.rows.append(Row.single("decode, validate and digest a report", best_us, "µs", None, beside))
    return result
