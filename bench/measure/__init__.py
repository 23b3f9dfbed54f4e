"""Measurements of the gateway: the goals first, then every other figure with a target."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.figures import Result, goals_table, measured_document, measured_table, unreached_goals
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
GOALS = {
    1: "durable reports/s, and per CPU second, over WebSockets, beside FastAPI with an INSERT per request",
    2: "durable reports/s over WebSockets, beside Postgres alone with the same statements",
    3: "durable HTTP requests/s, beside the bare aiohttp handler",
    4: "time to receipt at 1000 reports/s, beside FastAPI",
    5: "time to receipt at 1000 reports/s, beside a bare commit of one row",
    6: "the whole election at once until the last of ten subscribers is complete, beside Postgres alone",
    7: "a feed's start, and the end of an embargo: CPU per publication, beside reading and decoding alone",
    8: "memory of a feed process per area, generated election of ten times the size",
    9: "CPU of Postgres per report, election × 100, beside × 1",
    10: "deliveries per CPU second, beside Nchan",
    11: "deliveries per CPU second under TLS, beside those in the clear",
    12: "commit → socket of 10 000 readers, p99, beside a loop of `socket.send`",
}
"""The goals of the project: the numbers of their rows, and what is shown for one that was not measured."""
OF_GOALS = ("peers", "night", "start", "memory", "growth", "latency")
"""The measurements that have the rows of goals."""


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
    """Return the machine and what was measured on it, as Markdown: the goals, if any were measured, then every row."""
    expected = _expected(each.name for each in results)
    goals = [f"Goals:\n\n{goals_table(results, expected)}", "Everything:"] if has_goals(results) else []
    return "\n\n".join([machine(), *goals, measured_table(results)]) + "\n"


def has_goals(results: Sequence[Result]) -> bool:
    """Return whether a row of these results is a goal."""
    return any(row.goal for each in results for row in each.rows)


def unreached(results: Sequence[Result], names: Sequence[str]) -> list[int]:
    """Return the goals that were not reached by these measurements, or not measured though all of them should be."""
    return unreached_goals(results, _expected(names))


def _expected(names: Iterable[str]) -> Mapping[int, str]:
    """Return the goals that these measurements have: all, or only those that they show."""
    return GOALS if set(OF_GOALS) <= set(names) else {}


def write(results: Sequence[Result], options: Options) -> Path:
    """Write results into the output directory, as a table and as data; return the path of the table."""
    documents = [measured_document(each) for each in results]
    running.store(options.out / RESULTS, "measurements", documents, options)
    path = options.out / TABLE
    path.write_text(table(results), encoding="utf-8")
    return path
