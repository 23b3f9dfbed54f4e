"""Figures: ratios, targets, percentiles, and the tables and documents that show them."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.figures import (
    Histogram,
    Result,
    Row,
    Series,
    Skipped,
    Target,
    Unavailable,
    compared_document,
    compared_table,
    goals_table,
    measured_document,
    measured_table,
    ratio,
    unreached_goals,
)

# Percentiles.


@settings(deadline=None)
@given(st.lists(st.floats(1e-5, 100), min_size=1, max_size=200))
def test_percentiles_are_those_of_the_added_values(values: list[float]) -> None:
    """To three significant digits."""
    histogram = Histogram().add_all(values)
    assert len(histogram) == len(values)
    assert histogram.summary()["max"] == pytest.approx(max(values), rel=2e-3, abs=2e-6)
    assert histogram.at(50) >= min(values) * 0.99


def test_an_empty_histogram_has_no_summary() -> None:
    assert Histogram().summary() == {}
    assert Histogram().at(99) == 0.0


# Rows.


def test_a_ratio_is_that_of_the_medians_with_its_spread_over_the_rounds() -> None:
    found = ratio(Series("a", "/s", (10.0, 20.0, 30.0)), Series("b", "/s", (5.0, 40.0, 10.0)))
    assert (found.times, found.least, found.most) == (2.0, 0.5, 3.0)


def test_a_target_applies_to_the_figure_or_to_the_ratio() -> None:
    beside = Series.single("Postgres alone", 100.0, "/s")
    assert Row.single("x", 30.0, "/s", Target(25), beside).reached
    assert not Row.single("x", 30.0, "/s", Target(0.35), beside, of_ratio=True).reached
    assert Row.single("x", 30.0, "/s", Target(0.25), beside, of_ratio=True).reached
    assert Row.single("x", 1.6, "s", Target(1.5, most=True)).reached is False
    assert Row.single("x", 30.0, "/s", None, beside).reached is None


def test_a_target_of_a_comparison_applies_to_the_ratio_if_there_is_a_peer() -> None:
    ours, peer = Series("a", "/s", (30.0,)), Series("b", "/s", (100.0,))
    assert Row.compared("x", ours, peer, Target(0.25)).reached
    assert not Row.compared("x", ours, peer, Target(0.35)).reached
    assert Row.compared("x", ours, None, Target(25)).reached
    assert not Row.compared("x", ours, None, Target(25, most=True)).reached
    assert Row.compared("x", ours, peer).reached is None


def test_a_ratio_to_nothing_reaches_no_target() -> None:
    nothing = Series.single("peer", 0.0, "/s")
    assert Row.single("x", 30.0, "/s", Target(2), nothing, of_ratio=True).reached is False
    compared = Row.compared("x", Series("a", "/s", (30.0,)), nothing, Target(2))
    assert compared.reached is False
    json.dumps(compared_document(Result("p", [compared])))


# Tables and documents.


def test_the_table_of_measurements_shows_what_was_reached_what_was_skipped_and_what_is_invalid() -> None:
    plain = Series.single("plain", 100.0, "kB")
    results = [
        Result(
            "night",
            [Row.single("all", 1.0, "s", Target(1.5, 1.0, most=True))],
            notes=["why"],
            seconds=7.0,
            command="n",
        ),
        Result("wire", [Row.single("bytes", 37.0, "kB", Target(0.25, most=True), plain, of_ratio=True)]),
        Result(
            "tls", [Row.single("cost", 2.0, "µs")], skipped=[Skipped("openssl", "not found", "install it")]
        ),
        Result("start", invalid=["one was lost"]),
    ]
    text = measured_table(results)
    assert "| all | 1.00 s | ≤ 1.50, aim 1.00: yes |  | `n` |" in text
    assert "| bytes | 37.0 kB | ≤ 0.25 ×: **NO** | plain: 100 kB (0.37 ×) |" in text
    assert "| cost | 2.00 µs | printed only |" in text
    assert "tls: without openssl: not found; install it" in text
    assert "start: INVALID: one was lost" in text
    assert "- night: why" in text
    assert "took 7 s: night 7 s" in text
    (row,) = measured_document(results[1])["rows"]  # type: ignore[misc]
    assert row["reached"] is False
    assert row["ratio"] == 0.37


def test_a_table_of_comparisons_shows_every_row_and_names_what_was_skipped() -> None:
    ours, peer = Series("a", "/s", (21_000.0, 20_000.0)), Series("Postgres", "/s", (80_000.0, 80_000.0))
    pair = Result(
        "ingest",
        [Row.compared("reports/s", ours, peer, Target(0.25, 0.35)), Row.compared("alone", ours)],
        skipped=[Skipped.of(Unavailable("Nchan", "not found", "apt-get install it"))],
        invalid=["lost one"],
    )
    text = compared_table([pair])
    assert "| 20 500 (20 000-21 000) /s |" in text
    assert "Postgres: 80 000" in text
    assert "0.256 × (0.25-0.263) | ≥ 0.25 ×, aim 0.35 × | yes |" in text
    assert "without Nchan: not found; apt-get install it" in text
    assert "INVALID: lost one" in text
    stored = compared_document(pair)["findings"]
    assert stored[0]["ratio"]["times"] == pytest.approx(0.25625)  # type: ignore[index]
    assert stored[0]["reached"] is True  # type: ignore[index]


def test_a_row_of_a_comparison_keeps_its_command_in_the_table_of_measurements() -> None:
    ours, peer = Series("a", "/s", (30.0,)), Series("b", "/s", (100.0,))
    row = Row("x", ours, peer, Target(0.25), True, "bench peers x")
    assert "`bench peers x`" in measured_table([Result("peers", [row], command="all")])
    (stored,) = measured_document(Result("peers", [row]))["rows"]  # type: ignore[misc]
    assert (stored["reached"], stored["ratio"], stored["command"]) == (True, 0.3, "bench peers x")
    assert Row.compared("x", ours, None, Target(40)).reached is False


def test_the_table_of_goals_has_the_rows_of_each_goal_in_order_and_names_what_was_not_measured() -> None:
    ours, peer = Series("a", "/s", (30.0, 32.0)), Series("b", "/s", (3.0, 4.0))
    results = [
        Result("late", [Row.single("memory", 3.0, "kB", Target(2.5, most=True), goal=3)], command="late"),
        Result("peers", [Row.compared("rate", ours, peer, Target(8), goal=1), Row.compared("more", ours)]),
    ]
    table = goals_table(results, {1: "first", 2: "second"}).splitlines()
    assert table[2:] == [
        "| 1 | rate | 31.0 (30.0-32.0) /s | b: 3.50 (3.00-4.00) /s | 8.86 × (8-10) | ≥ 8 × | yes | `` |",
        "| 2 | second | not measured |  |  |  |  |  |",
        "| 3 | memory | 3.00 kB |  |  | ≤ 2.50 | **NO** | `late` |",
    ]


def test_a_goal_is_reached_if_all_its_rows_are() -> None:
    reached, missed = (
        Row.single("x", value, "s", Target(2, most=True), goal=number)
        for value, number in ((1.0, 1), (3.0, 2))
    )
    results = [Result("x", [reached, missed, msgspec.structs.replace(reached, goal=2)])]
    assert unreached_goals(results, ()) == [2]
    assert unreached_goals(results, (1, 2, 3)) == [2, 3]
