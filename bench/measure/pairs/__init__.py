"""The peers that Valgnatt is measured against: each pair side by side in one run, on loopback, in turn A B A B."""

import asyncio
import importlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import msgspec
import uvloop

from bench.figures import Pair, document
from bench.load.environment import machine
from bench.measure.pairs.options import Options
from gateway.output import say

PAIRS = ("ingest", "http", "fanout", "follow")
RESULTS = "peers.json"


def about(name: str) -> str:
    """Return in a line what a pair measures."""
    return (module(name).__doc__ or "").strip().splitlines()[0].partition(": ")[2]


def measure_pairs(names: Sequence[str], options: Options) -> list[Pair]:
    """Measure pairs, one after the other; what is found is on disk after each."""
    found = []
    for name in names:
        say(f"measuring {name} …", err=True)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found.append(runner.run(module(name).measure(options)))
        write(found, options)
    return found


def write(pairs: Sequence[Pair], options: Options) -> Path:
    """Write what was found into the directory of results; return the file."""
    options.out.mkdir(parents=True, exist_ok=True)
    found = {
        "machine": machine(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": msgspec.to_builtins(options, enc_hook=str),
        "pairs": [document(pair) for pair in pairs],
    }
    path = options.out / RESULTS
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    return path


def module(name: str) -> ModuleType:
    """Return the module of a pair."""
    return importlib.import_module(f"{__name__}.{MODULES.get(name, name)}")


MODULES = {"http": "requests"}
"""Where a pair's module has another name than the pair."""
