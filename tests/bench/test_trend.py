"""Slopes and verdicts of series that are known."""

import random

import pytest

from bench.soak.trend import (
    POINTS_MIN,
    Limit,
    Slope,
    at_equal_age,
    interpolated,
    judge,
    medians,
    percentile,
    theil_sen,
    without_warm_up,
)

HOURS = [place / 10 for place in range(20)]
SMALL = Limit(1.0)


def test_a_line_has_its_slope_without_uncertainty() -> None:
    found = theil_sen([(at, 5 + 3 * at) for at in HOURS])
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))
    assert found.points == len(HOURS)


def test_outliers_and_a_step_back_hardly_move_a_slope() -> None:
    points = [(at, 5 + 3 * at) for at in HOURS]
    points[4], points[11] = (points[4][0], 900.0), (points[11][0], 0.0)
    found = theil_sen(points)
    assert found is not None
    assert found.value == pytest.approx(3, rel=0.05)


def test_the_interval_contains_the_slope_of_a_noisy_line_as_often_as_it_says() -> None:
    """Of 400 series, each with other noise, about 95 % do."""
    chance = random.Random(1)
    inside = 0
    for _ in range(400):
        found = theil_sen([(at, 2 * at + chance.gauss(0, 1)) for at in HOURS])
        assert found is not None
        inside += found.low <= 2 <= found.high
    assert 0.92 * 400 <= inside <= 0.985 * 400


@pytest.mark.parametrize("points", [[], [(0.0, 1.0)] * 9, [(float(at), 1.0) for at in range(POINTS_MIN - 1)]])
def test_too_few_points_have_no_slope(points: list[tuple[float, float]]) -> None:
    assert theil_sen(points) is None
    assert judge(points, None, SMALL, {}).word == "too short"


def verdict(points: list[tuple[float, float]], limit: Limit, **drivers: list[tuple[float, float]]) -> str:
    found = judge(points, theil_sen(points), limit, drivers)
    return found.word


def test_noise_around_a_level_is_flat() -> None:
    chance = random.Random(2)
    assert verdict([(at, 100 + chance.gauss(0, 5)) for at in HOURS], Limit(0.0)) == "flat"


def test_growth_within_the_limit_is_flat_and_beyond_it_is_not() -> None:
    """The limit is absolute, or a part of the level, whichever is larger."""
    points = [(at, 100 + 1.5 * at) for at in HOURS]
    assert verdict(points, SMALL) == "NOT flat"
    assert verdict(points, Limit(2.0)) == "flat"
    assert verdict(points, Limit(1.0, part=0.02)) == "flat"


def test_what_falls_is_flat() -> None:
    assert verdict([(at, 100 - 50 * at) for at in HOURS], SMALL) == "flat"


def test_a_slope_whose_interval_is_beyond_zero_but_not_within_the_limit_is_not_flat() -> None:
    points = [(at, 100 + at) for at in HOURS]
    assert judge(points, Slope(0.9, 0.5, 1.3, 20), SMALL, {}).word == "NOT flat"
    assert judge(points, Slope(0.9, -0.1, 1.3, 20), SMALL, {}).word == "flat"


def test_growth_is_explained_only_by_a_driver_of_which_each_costs_what_is_expected() -> None:
    points = [(at, 1000 + 700 * (400 * at)) for at in HOURS]
    reports = [(at, 400 * at) for at in HOURS]
    found = judge(points, theil_sen(points), Limit(1.0, drivers={"reports": 800.0}), {"reports": reports})
    assert (found.word, found.driver) == ("explained", "reports")
    assert found.each == pytest.approx(700)
    found = judge(points, theil_sen(points), Limit(1.0, drivers={"reports": 600.0}), {"reports": reports})
    assert (found.word, found.driver, found.most) == ("NOT flat", "reports", 600.0)
    assert verdict(points, Limit(1.0, drivers={"reports": 800.0})) == "NOT flat"
    assert verdict(points, SMALL, reports=reports) == "NOT flat"


def test_a_step_at_the_start_is_left_out_with_the_warm_up() -> None:
    points = [(float(at), 100.0 if at < 4 else 200.0) for at in range(15)]
    assert [value for _, value in without_warm_up(points)] == [200.0] * 10
    few = points[:6]
    assert len(without_warm_up(few)) == POINTS_MIN
    assert without_warm_up(points[:3]) == points[:3]


@pytest.mark.parametrize(
    ("counts", "percent", "value"),
    [({}, 50, 0), ({7: 1}, 99, 7), ({1: 50, 2: 50}, 50, 1), ({1: 50, 2: 50}, 51, 2), ({9: 1, 1: 99}, 99, 1)],
)
def test_a_percentile_is_the_smallest_value_that_is_large_enough(
    counts: dict[int, int], percent: float, value: int
) -> None:
    assert percentile(counts, percent) == value


def test_a_cycle_becomes_its_median() -> None:
    samples = [(at / 10, float(at % 10)) for at in range(40)]
    assert medians(samples, [0.0, 1.0, 2.0, 4.0, 9.0]) == [(0.5, 4.5), (1.5, 4.5), (3.0, 4.5)]


def test_lives_of_a_process_are_compared_at_equal_age() -> None:
    """What a life grows by is no slope of the process: each begins where the one before it began."""
    samples = [(at, at // 100 * 100.0, 50 + at % 100) for at in map(float, range(1000))]
    points = at_equal_age(samples, 40, 60)
    assert len(points) == 10
    assert {value for _, value in points} == {100.0}
    assert verdict(points, Limit(0.0)) == "flat"


def test_a_count_between_two_samples_is_interpolated() -> None:
    counts = [(0.0, 0.0), (1.0, 10.0), (2.0, 10.0)]
    assert [interpolated(counts, at) for at in (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 9.0)] == [
        0,
        0,
        5,
        10,
        10,
        10,
        10,
    ]
    assert [interpolated([(1.0, 7.0)], at) for at in (0.0, 1.0, 2.0)] == [7, 7, 7]
    assert interpolated([], 1.0) == 0.0
