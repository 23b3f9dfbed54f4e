"""PURE: when each report of a recorded election is pushed in a replay.

A schedule maps recorded times to seconds after the start, and preserves the order of reports of a unit.
"""

import bisect
from collections.abc import Sequence
from datetime import datetime, timedelta

NIGHT = timedelta(hours=9)
"""From the end of the embargo to the next morning."""
SHARES = (0.25, 0.5, 0.25)
"""Shares of a replay of fixed length: before the end of the embargo, the night, the days after."""
ASAP_EMBARGO_S = 2.0
"""End of the embargo in a replay as fast as possible, in seconds after the start."""


class Schedule:
    """Offsets in seconds after the start for recorded times; `publish_s` is the end of the embargo."""

    def __init__(self, times: Sequence[float], offsets: Sequence[float], publish_s: float) -> None:
        self._times = times
        self._offsets = offsets
        self.publish_s = publish_s

    def offset_s(self, time: datetime) -> float:
        """Return the offset in seconds for a recorded time; between two recorded times it is interpolated."""
        at = time.timestamp()
        place = bisect.bisect_left(self._times, at)
        if place < len(self._times) and self._times[place] == at:
            return self._offsets[place]
        if not self._times:
            return 0.0
        if place == 0:
            return self._offsets[0]
        if place == len(self._times):
            return self._offsets[-1]
        before, after = self._times[place - 1], self._times[place]
        part = (at - before) / (after - before)
        return self._offsets[place - 1] + part * (self._offsets[place] - self._offsets[place - 1])


def at_speed(times: Sequence[datetime], publish_from: datetime, speed: float) -> Schedule:
    """Return a schedule `speed` times as fast as the recording."""
    stamps = sorted({time.timestamp() for time in times})
    start = min(stamps[0], publish_from.timestamp()) if stamps else publish_from.timestamp()
    offsets = [(stamp - start) / speed for stamp in stamps]
    return Schedule(stamps, offsets, (publish_from.timestamp() - start) / speed)


def as_fast_as_possible(times: Sequence[datetime], embargo_s: float = ASAP_EMBARGO_S) -> Schedule:
    """Return a schedule in which everything is due at once, and the embargo ends after `embargo_s`."""
    stamps = sorted({time.timestamp() for time in times})
    return Schedule(stamps, [0.0] * len(stamps), embargo_s)


def within(times: Sequence[datetime], publish_from: datetime, length_s: float) -> Schedule:
    """Return a schedule that compresses a whole election into `length_s` seconds.

    Each of the three phases gets its share. In the first and the last, reports follow at equal intervals, without the
    days between; the night keeps its rhythm.
    """
    opens = publish_from.timestamp()
    ends = (publish_from + NIGHT).timestamp()
    stamps = sorted(time.timestamp() for time in times)
    before = [stamp for stamp in stamps if stamp < opens]
    night = [stamp for stamp in stamps if opens <= stamp < ends]
    after = [stamp for stamp in stamps if stamp >= ends]
    first_s, night_s, last_s = (share * length_s for share in SHARES)
    pairs: dict[float, float] = {}
    for place, stamp in enumerate(before):
        pairs[stamp] = first_s * 0.9 * place / len(before)
    for stamp in night:
        pairs[stamp] = first_s + night_s * (stamp - opens) / NIGHT.total_seconds()
    for place, stamp in enumerate(after):
        pairs[stamp] = first_s + night_s + last_s * place / len(after)
    ordered = sorted(pairs)
    return Schedule(ordered, [pairs[stamp] for stamp in ordered], first_s)
