"""Decode and validate: microseconds a report, beside orjson alone."""

import gc
import time

import orjson

from bench.local import election
from bench.measure.ceilings import orjson_us
from bench.measure.table import Row
from gateway.election.registry import read_registry
from gateway.election.validation import Scope, Validator, ValidReport


async def measure() -> list[Row]:
    async with election() as dataset:
        registry = read_registry(dataset.registry)
        bodies = [orjson.dumps(recorded.report) for recorded in dataset.reports()]
    validator, scope = Validator(registry), Scope(registry, frozenset({registry.root.id}))
    gc.set_threshold(20_000, 20, 50)  # as in a push process
    best_us, ceiling_us = 1e9, 1e9
    for _ in range(5):
        started = time.perf_counter()
        good = sum(isinstance(validator.check(body, scope), ValidReport) for body in bodies)
        best_us = min(best_us, 1e6 * (time.perf_counter() - started) / len(bodies))
        ceiling_us = min(ceiling_us, orjson_us(bodies))
        assert good == len(bodies)
    told = f"{best_us:.1f} µs a report"
    return [
        Row(
            "decode, validate, digest",
            told,
            "a few µs",
            f"orjson alone {ceiling_us:.1f} µs ({best_us / ceiling_us:.1f} ×)",
        )
    ]
