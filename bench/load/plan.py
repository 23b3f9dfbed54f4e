"""PURE: plans of a load: which report is sent, by whom and when.

A plan is complete before the first report is sent and does not depend on answers (open model). So a slow gateway shows
in the latencies, and does not delay the reports that follow (no coordinated omission).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Any

import msgspec
import orjson

from gateway.rehearsal.dataset import RecordedReport
from gateway.trimmed_json import dumps_trimmed


class Planned(msgspec.Struct, frozen=True):
    """One report, due `due_s` seconds after the start of its plan."""

    due_s: float
    sender: str
    """The municipality whose token sends it."""
    unit: str
    revision: int
    body: bytes


class Planner:
    """Makes plans for one election. The revisions of a unit increase from plan to plan."""

    def __init__(self, reports: Iterable[RecordedReport], begins: datetime | None = None) -> None:
        self._begins = begins or datetime.now(UTC)
        self._senders: dict[str, str] = {}
        self._recorded: list[tuple[datetime, bytes]] = []
        """When each report was counted, and the report as JSON, which takes a tenth of the memory of its objects."""
        self._last: dict[str, bytes] = {}
        self._revisions: dict[str, int] = {}
        for each in reports:
            unit, report = each.report["unit"], dumps_trimmed(each.report)
            self._senders[unit] = each.municipality
            self._recorded.append((each.counted_at, report))
            self._last[unit] = report

    @property
    def senders(self) -> list[str]:
        """Every municipality that reports, in the order of the data set."""
        return list(dict.fromkeys(self._senders.values()))

    @property
    def times(self) -> list[datetime]:
        """When each report was counted."""
        return [counted_at for counted_at, _ in self._recorded]

    @property
    def units(self) -> list[str]:
        """Every unit that reports."""
        return list(self._last)

    def recorded(self, offset_s: Mapping[datetime, float] | None = None) -> list[Planned]:
        """Plan every report of the data set: due at the `offset_s` of its time of counting; without it, at once."""
        planned = [
            self._planned(0.0 if offset_s is None else offset_s[counted_at], report)
            for counted_at, report in self._recorded
        ]
        return sorted(planned, key=lambda each: each.due_s)

    def every_unit(self, within_s: float, units: Sequence[str] | None = None) -> list[Planned]:
        """Plan the last report of every unit, evenly over an interval in s."""
        wanted = self.units if units is None else units
        return [
            self._planned(within_s * place / len(wanted), self._last[unit])
            for place, unit in enumerate(_interleaved(wanted))
        ]

    def steady(
        self, rate: float, seconds: float, units: Sequence[str] | None = None, reason: str | None = None
    ) -> list[Planned]:
        """Plan `rate` reports per second, evenly spaced, of all units in turn."""
        wanted = _interleaved(self.units if units is None else units)
        return [
            self._planned(place / rate, self._last[wanted[place % len(wanted)]], reason)
            for place in range(round(rate * seconds))
        ]

    def units_of(self, sender: str) -> list[str]:
        """Return the units of one sender."""
        return [unit for unit, municipality in self._senders.items() if municipality == sender]

    def latest(self, units: Sequence[str]) -> list[dict[str, Any]]:
        """Return the latest report of each unit, for a sender that continues with the next revisions."""
        return [
            {**orjson.loads(self._last[unit]), "revision": self._revisions.get(unit, 0)} for unit in units
        ]

    def endless(self, units: Sequence[str]) -> Iterator[Planned]:
        """Yield reports of these units in turn without end, each due at once."""
        while True:
            for unit in units:
                yield self._planned(0.0, self._last[unit])

    def _planned(self, due_s: float, recorded: bytes, reason: str | None = None) -> Planned:
        report = orjson.loads(recorded)
        unit = report["unit"]
        revision = self._revisions[unit] = self._revisions.get(unit, 0) + 1
        counted_at = (self._begins + timedelta(seconds=due_s)).isoformat(timespec="milliseconds")
        members = {**report, "revision": revision, "counted_at": counted_at}
        if reason is not None:
            members["reason"] = reason
        return Planned(due_s, self._senders[unit], unit, revision, dumps_trimmed(members))


def independent_times(rate: float, count: int, seed: int = 1) -> list[float]:
    """Return when reports of many senders that know nothing of each other are due, in s: a Poisson process."""
    gaps = Random(seed)
    return list(accumulate(gaps.expovariate(rate) for _ in range(count)))


def _interleaved(units: Sequence[str]) -> list[str]:
    """Return the units in a fixed order in which neighbours belong to different senders."""
    step = next(
        step
        for step in range(max(2, round(len(units) * 0.618)), len(units) + 3)
        if _coprime(step, len(units))
    )
    return [units[place * step % len(units)] for place in range(len(units))]


def _coprime(one: int, other: int) -> bool:
    while other:
        one, other = other, one % other
    return one == 1
