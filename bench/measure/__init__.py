"""Measurements of the gateway by itself, each beside the ceiling that this machine sets."""

import asyncio
import importlib
import sys
from collections.abc import Sequence

import uvloop

from bench.measure.table import machine, markdown

MEASUREMENTS = ("decode", "night", "latency", "requests", "readers")


def measure_all(names: Sequence[str]) -> str:
    """Measure, and return a table."""
    rows = []
    for name in names:
        print(f"measuring {name} …", file=sys.stderr)
        measurement = importlib.import_module(f"{__name__}.{name}")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows += runner.run(measurement.measure())
    return f"\n{machine()}\n\n{markdown(rows)}"
