"""PURE: how fast a series grows, with its uncertainty, and whether that is flat or explained.

The slope is that of Theil and Sen, the median of the slopes between all pairs of points, which single steps and bursts
hardly move. Its interval is the one that Sen derived from Kendall's rank correlation: 95 % if the points are
independent, which is why a point is the median of a whole cycle of the load and not a single sample.

Sources: P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968); R. M. Hirsch,
J. R. Slack, R. A. Smith, Water Resources Research 18 (1982).
"""

import statistics
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from math import sqrt
from operator import itemgetter
from typing import Literal

import msgspec

NORMAL_95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""
POINTS_MIN = 5
"""Fewer points have no slope: the interval of four of them would contain everything."""
WARM_PART = 1 / 3
"""The first part of a series is left out: caches fill, and free lists of the allocator grow, once."""

Point = tuple[float, float]
"""When, or how many of something, and the value."""


class Slope(msgspec.Struct, frozen=True):
    """Growth per unit of the first coordinate, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float
    points: int


class Limit(msgspec.Struct, frozen=True):
    """What may grow by how much: per hour, and for each of something that the load adds."""

    absolute: float
    """Growth per hour that counts as flat, in the unit of the series."""
    part: float = 0.0
    """The same as a part of the level of the series; the larger of both applies."""
    drivers: Mapping[str, float] = {}
    """By what the load adds, such as `reports`: the largest growth for each of it that is expected."""


class Verdict(msgspec.Struct, frozen=True):
    """What was found about a series."""

    word: Literal["flat", "explained", "NOT flat", "too short"]
    driver: str = ""
    """What explains the growth, or was expected to; empty: nothing is expected to."""
    each: float | None = None
    """Growth for each of it."""
    most: float = 0.0
    """The largest that is expected: for each of it, or per hour."""


def theil_sen(points: Sequence[Point]) -> Slope | None:
    """Return the slope of a series; None if there are fewer than POINTS_MIN points, or all are at one place."""
    found = sorted(
        (after[1] - before[1]) / (after[0] - before[0])
        for before, after in combinations(sorted(points), 2)
        if after[0] > before[0]
    )
    count = len(points)
    if count < POINTS_MIN or not found:
        return None
    spread = NORMAL_95 * sqrt(count * (count - 1) * (2 * count + 5) / 18)
    first = max(0, round((len(found) - spread) / 2) - 1)
    return Slope(statistics.median(found), found[first], found[len(found) - 1 - first], count)


def percentile(counts: Mapping[int, int], percent: float) -> int:
    """Return the smallest value that is at least as large as `percent` of all; 0 if there are none."""
    left = sum(counts.values()) * percent / 100
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return 0


def medians(samples: Sequence[Point], boundaries: Sequence[float]) -> list[Point]:
    """Return the median of the samples between each two boundaries, at the middle between them."""
    found = []
    for begin, end in pairwise(boundaries):
        values = [value for at, value in samples if begin <= at < end]
        if values:
            found.append(((begin + end) / 2, statistics.median(values)))
    return found


def at_equal_age(
    samples: Sequence[tuple[float, float, float]], youngest_s: float, oldest_s: float
) -> list[Point]:
    """Return a point for each life of a process: the median of its samples in a range of ages.

    Samples are when, the start of the process, and the value. A life without a sample in that range has no point. So
    lives are compared that have had equally long to grow.
    """
    lives: dict[float, list[Point]] = {}
    for at, started_at, value in samples:
        if youngest_s <= at - started_at <= oldest_s:
            lives.setdefault(started_at, []).append((at, value))
    return [
        (statistics.median(at for at, _ in life), statistics.median(value for _, value in life))
        for life in lives.values()
    ]


def without_warm_up(points: Sequence[Point]) -> Sequence[Point]:
    """Leave out the first WARM_PART of a series, as long as enough is left for a slope."""
    return points[min(int(len(points) * WARM_PART), max(0, len(points) - POINTS_MIN)) :]


def interpolated(driver: Sequence[Point], at: float) -> float:
    """Return a count at some time, between the samples of it, which are in order; 0 if there are none."""
    if not driver:
        return 0.0
    place = bisect_left(driver, at, key=itemgetter(0))
    begin, first = driver[max(0, place - 1)]
    end, last = driver[min(place, len(driver) - 1)]
    if not begin <= at <= end:  # before the first sample, or after the last one
        return first if at < begin else last
    return first if end <= begin else first + (last - first) * (at - begin) / (end - begin)


def judge(
    points: Sequence[Point],
    slope: Slope | None,
    limit: Limit,
    drivers: Mapping[str, Sequence[Point]],
) -> Verdict:
    """Return whether a series of points, whose time is in hours, is flat, or what explains its growth.

    It is flat if the interval of its slope reaches zero, or if even the upper end of the interval is within the limit.
    Growth is explained by the first driver for each of which it is within the limit: load that stays in the record
    costs what it has to cost. A driver grows with time, as a leak does; so what decides is the limit, not the fit.
    """
    if slope is None:
        return Verdict("too short")
    level = statistics.median(value for _, value in points)
    allowed = max(limit.absolute, limit.part * abs(level))
    if slope.low <= 0 or slope.high <= allowed:
        return Verdict("flat")
    found = Verdict("NOT flat", most=allowed)
    for name, most in limit.drivers.items():
        each = theil_sen([(interpolated(drivers.get(name, ()), at), value) for at, value in points])
        if each is None:
            continue
        if each.value <= most:
            return Verdict("explained", name, each.value, most)
        if not found.driver:
            found = Verdict("NOT flat", name, each.value, most)
    return found
