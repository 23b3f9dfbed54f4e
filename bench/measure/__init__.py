"""Measurements of the gateway alone: every figure with a target, in a few minutes."""

from collections.abc import Sequence
from pathlib import Path

from bench.figures import Result, measured_document, measured_table
from bench.load.environment import machine
from bench.measure import running
from bench.measure.options import Options

MEASUREMENTS = (
    "decode",
    "rules",
    "holds",
    "seats",
    "tree",
    "sign",
    "log",
    "mirror",
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


def about(name: str) -> str:
    """Return in one line what a measurement measures."""
    return running.about(running.module(__name__, name))


def measure_all(names: Sequence[str], options: Options) -> list[Result]:
    """Measure one after the other; results are on disk after each."""
    modules = [(name, running.module(__name__, name)) for name in names]
    return running.run_all(
        modules, options, "python -m bench measure", lambda results: write(results, options)
    )


def table(results: Sequence[Result]) -> str:
    """Return the machine and what was measured on it, as Markdown."""
    return f"{machine()}\n\n{measured_table(results)}\n"


def write(results: Sequence[Result], options: Options) -> Path:
    """Write results into the output directory, as a table and as data; return the path of the table."""
    documents = [measured_document(each) for each in results]
    running.store(options.out / RESULTS, "measurements", documents, options)
    path = options.out / TABLE
    path.write_text(table(results), encoding="utf-8")
    return path
