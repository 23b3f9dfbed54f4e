"""Rules: the rules and current reports of a push process, beside the check of the same reports."""

import gc
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from bench.figures import Result, Row, Series, Target
from bench.load.checked import Checker
from bench.load.local import open_data_set
from bench.measure.load import generated
from bench.measure.options import Options
from gateway.election.registry_reading import read_registry
from gateway.election.report import Report
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.evaluation import evaluate
from gateway.election.rules.policy import recommended

TURNS = 5
BATCH = 50
"""Reports that are placed between a checkpoint and its end, as in an append."""
MEAN, P99 = Target(3.5, most=True), Target(35, most=True)
MEMORY_KB = Target(1, most=True)


class _Times(NamedTuple):
    """CPU time in µs for each report."""

    check: Sequence[float]
    rules: Sequence[float]
    changed: Sequence[bool]
    """Whether it has other figures than the one before."""


async def measure(options: Options) -> Result:
    """Check each report of the election and evaluate the rules for it, TURNS times; the best time of each counts."""
    result = Result("rules")
    async with open_data_set(options.data) as dataset:
        reports = [recorded.report for recorded in dataset.reports()]
        times = _times(dataset.registry, reports, TURNS)
        memory_kb = _memory_kb(dataset.registry, reports)
    checked = Series.single("Validator.check, mean", _mean(times.check), "µs")
    name = "rules and current reports"
    p99 = sorted(times.rules)[len(times.rules) * 99 // 100]
    result.rows += [
        Row.single(f"{name}, CPU per report: mean", _mean(times.rules), "µs", MEAN, checked, of_ratio=True),
        Row.single(f"{name}, CPU per report: p99", p99, "µs", P99, checked, of_ratio=True),
    ]
    for what, each in (("with other figures", True), ("that changes a status only", False)):
        of_kind = [
            spent for spent, changed in zip(times.rules, times.changed, strict=True) if changed is each
        ]
        if of_kind:
            row = f"{name}, CPU per report {what}: mean"
            result.rows.append(Row.single(row, _mean(of_kind), "µs", None, checked))
    result.rows.append(Row.single(f"{name}, memory per unit", memory_kb, "kB", MEMORY_KB))
    for scale in options.scales[1:]:
        election = generated(scale)
        larger = _times(election.registry, [recorded.report for recorded in election.reports()], 1)
        beside = Series.single("Validator.check, mean", _mean(larger.check), "µs")
        row = f"{name}, CPU per report, election × {scale:g}: mean"
        result.rows.append(Row.single(row, _mean(larger.rules), "µs", None, beside))
    return result


def _times(registry: Mapping[str, Any], reports: Sequence[Any], turns: int) -> _Times:
    """Measure both sides in turns."""
    checker, bodies = Checker(dict(registry)), [orjson.dumps(report) for report in reports]
    found = [checker.check(body).report for body in bodies]
    check_us, rules_us = [float("inf")] * len(bodies), [float("inf")] * len(bodies)
    thresholds = gc.get_threshold()
    gc.set_threshold(20_000, 20, 50)  # as in a push process
    try:
        for _ in range(turns):
            for number, body in enumerate(bodies):
                started = time.thread_time_ns()
                checker.check(body)
                check_us[number] = min(check_us[number], (time.thread_time_ns() - started) / 1000)
            _evaluate(dict(registry), found, rules_us)
    finally:
        gc.set_threshold(*thresholds)
    return _Times(check_us, rules_us, _with_other_figures(found))


def _with_other_figures(reports: Sequence[Report]) -> list[bool]:
    """Return for each report whether its votes or blank votes differ from those of the one before of its unit."""
    latest: dict[str, object] = {}
    changed = []
    for report in reports:
        figures = {name: (counts.votes, counts.blank) for name, counts in report.counts.items()}
        changed.append(latest.get(report.unit) != figures)
        latest[report.unit] = figures
    return changed


def _evaluate(registry: dict[str, Any], reports: Sequence[Report], best_us: list[float]) -> None:
    """Evaluate the rules for a whole election and place every report; lower the best times."""
    current, policy = CurrentReports(read_registry(registry)), recommended()
    current.checkpoint()
    for number, report in enumerate(reports):
        started = time.thread_time_ns()
        evaluate(current, report, policy, time.thread_time)
        current.place(report)
        if number % BATCH == BATCH - 1:
            current.keep()
            current.checkpoint()
        best_us[number] = min(best_us[number], (time.thread_time_ns() - started) / 1000)


def _memory_kb(registry: Mapping[str, Any], reports: Sequence[Any]) -> float:
    """Return the memory per unit of current reports at the end of an election."""
    checker = Checker(dict(registry))
    read, found = (
        read_registry(dict(registry)),
        checker.check_all([orjson.dumps(report) for report in reports]),
    )
    gc.collect()
    tracemalloc.start()
    try:
        current = CurrentReports(read)
        for valid in found:
            current.place(valid.report)
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return used / 1000 / len(read.units)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
