"""Figures, service levels, verdicts, reports."""

from pathlib import Path

import pytest
from prometheus_client import generate_latest

from bench.rehearse.capacity import search
from bench.rehearse.report import compare, page_of, read, summary, verdict_of, write
from bench.rehearse.run import (
    Level,
    Run,
    judge_levels,
    over_time,
    per_second,
    queue_of,
    read_level,
)
from gateway.rehearsal.judge import BrokenGuarantee
from gateway.telemetry.metrics import PushMetrics


def a_run(**members: object) -> Run:
    return Run(
        scenario="steady",
        about="About <it>",
        started_at="2025-09-08T21:00:00+00:00",
        environment={"cores": 2},
        options={"readers": 10},
        **members,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("receipt.p99=250ms", ("receipt.p99", 0.25)),
        ("subscriber.p99=1s", ("subscriber.p99", 1.0)),
        ("lost=0", ("lost", 0.0)),
    ],
)
def test_a_service_level_is_parsed(text: str, level: tuple[str, float]) -> None:
    assert read_level(text) == level


@pytest.mark.parametrize("text", ["", "lost", "lost=", "=1", "receipt.p99=fast", "lost=-1", "lost=1 min"])
def test_anything_else_than_a_service_level_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a service level"):
        read_level(text)


def test_a_missed_level_a_broken_promise_and_a_slow_generator_are_no_go() -> None:
    """A level without a measured figure does not count."""
    good = a_run(latencies={"receipt": {"p99": 0.1}}, figures={"lost": 0.0})
    good.verdict = judge_levels(good, {"receipt.p99": 0.2, "lost": 0.0, "reader.p99": 1.0})
    assert good.go
    assert verdict_of(good) == "GO"
    late = a_run(latencies={"receipt": {"p99": 0.3}})
    late.verdict = judge_levels(late, {"receipt.p99": 0.2})
    assert verdict_of(late) == "NO GO"
    assert verdict_of(a_run(broken=[BrokenGuarantee("receipt means durable", "x")])) == "NO GO"
    assert verdict_of(a_run(invalid=["too slow"])) == "INVALID"


def test_curves_have_a_point_per_second() -> None:
    assert per_second([0.1, 0.2, 2.5]) == [(0.0, 2.0), (1.0, 0.0), (2.0, 1.0)]
    lines = over_time([(0.1, 1.0), (0.2, 3.0), (1.0, 2.0)], (50.0, 99.0))
    assert lines == {
        "p50": [(0.0, pytest.approx(1.0, rel=1e-3)), (1.0, pytest.approx(2.0, rel=1e-3))],
        "p99": [(0.0, pytest.approx(3.0, rel=1e-3)), (1.0, pytest.approx(2.0, rel=1e-3))],
    }


def test_the_queue_is_read_from_the_metrics_of_the_gateway() -> None:
    """By their full names, some of which start alike."""
    metrics = PushMetrics()
    metrics.waiting.set(7)
    metrics.room.set(20_000)
    metrics.oldest_waiting.set(0.25)
    assert queue_of(generate_latest(metrics.registry).decode()) == (7.0, 0.25)
    assert queue_of("") == (0.0, 0.0)


def test_a_report_is_self_contained_and_can_be_read_again(tmp_path: Path) -> None:
    """It links to no other site, escapes all text, and its data are those of the run."""
    run = a_run(
        latencies={"receipt": {"p50": 0.01, "p99": 0.3, "max": 0.4, "count": 10}},
        figures={"lost": 0.0},
        curves={"rate": {"offered": [(0.0, 1.0), (1.0, 2.0)]}},
        marks=[(0.5, "<cut>")],
        verdict=[Level("receipt.p99", 0.2, 0.3)],
    )
    page, data = write(run, tmp_path)
    text = page.read_text()
    assert "<svg" in text
    assert "NO GO" in text
    assert "About &lt;it&gt;" in text
    assert "<cut>" not in text
    assert 'src="http' not in text
    assert 'href="http' not in text
    assert page_of(read(data)) == text
    assert any("MISSED" in line and "receipt.p99" in line for line in summary(run))


def test_two_runs_are_shown_side_by_side() -> None:
    one, other = (a_run(latencies={"receipt": {"p50": 0.01, "p99": p99, "max": 1.0}}) for p99 in (0.1, 0.2))
    rows = {name: (first, second, ratio) for name, first, second, ratio in compare(one, other)}
    assert rows["receipt.p99"] == ("100 ms", "200 ms", "2.00 ×")


async def test_a_capacity_is_found_to_within_a_fifth() -> None:
    """With what was exceeded first."""

    async def attempt(value: float) -> Run:
        run = a_run(figures={"lost": float(value > 3000)})
        run.curves = {"cpu": {"push-0": [(0.0, 0.9)], "feed-0": [(0.0, 0.2)]}}
        run.verdict = judge_levels(run, {"lost": 0.0})
        return run

    found = await search("reports per second", 250.0, 32_000.0, attempt)
    assert found.passed <= 3000 < (found.failed or 0) <= 1.2 * found.passed
    assert "lost" in found.limit
    assert "push-0" in found.limit
    assert (await search("readers", 250.0, 1000.0, attempt)).passed == 1000.0
