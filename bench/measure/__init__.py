"""Measurements of the gateway by itself: every figure that something is wanted of, in a few minutes."""

import asyncio
import importlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import msgspec
import uvloop

from bench.figures import Absent, Skipped
from bench.load.environment import machine
from bench.measure.options import Options
from bench.measure.table import Measured, document, markdown
from gateway.output import say

MEASUREMENTS = (
    "decode",
    "night",
    "latency",
    "release",
    "reconnect",
    "wire",
    "memory",
    "space",
    "start",
    "tls",
    "growth",
    "peers",
)
TABLE, RESULTS = "measured.md", "measured.json"


def measure_all(names: Sequence[str], options: Options) -> list[Measured]:
    """Measure, one after the other; what is found is on disk after each."""
    found = []
    for name in names:
        say(f"measuring {name} …", end=" ", err=True)
        found.append(_measure(name, options))
        say(f"{found[-1].seconds:.1f} s", err=True)
        write(found, options)
    return found


def about(name: str) -> str:
    """Return in a line what a measurement is about."""
    return (_module(name).__doc__ or "").strip().splitlines()[0].partition(": ")[2]


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")


def _measure(name: str, options: Options) -> Measured:
    started = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            measured: Measured = runner.run(_module(name).measure(options))
        except Absent as absent:
            measured = Measured(name, skipped=[Skipped.of(absent)])
    measured.seconds = time.monotonic() - started
    measured.command = measured.command or f"python -m bench measure {name}"
    return measured


def table(found: Sequence[Measured]) -> str:
    """Return what was found, and on what."""
    return f"{machine()}\n\n{markdown(found)}\n"


def write(found: Sequence[Measured], options: Options) -> Path:
    """Write what was found into the directory of results, as a table and as data; return the table's file."""
    options.out.mkdir(parents=True, exist_ok=True)
    kept = {
        "machine": machine(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": msgspec.to_builtins(options, enc_hook=str),
        "measurements": [document(each) for each in found],
    }
    (options.out / RESULTS).write_bytes(msgspec.json.format(msgspec.json.encode(kept)))
    path = options.out / TABLE
    path.write_text(table(found), encoding="utf-8")
    return path
