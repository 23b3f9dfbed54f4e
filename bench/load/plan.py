"""PURE: what is sent, by whom and when: a plan is made before the first report leaves, and keeps to no answer.

That is the open model: a report that is late because the gateway is slow is late in the figures too, and the next one
is due all the same (no coordinated omission).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import orjson

from gateway.rehearsal.dataset import RecordedReport
from gateway.trimmed_json import dumps_trimmed


class Planned(msgspec.Struct, frozen=True):
    """One report: due so many seconds after the start of its plan."""

    due_s: float
    sender: str
    """The municipality whose token sends it."""
    unit: str
    revision: int
    body: bytes


class Planner:
    """Makes plans for one election, one after the other; the revisions of a unit rise from plan to plan."""

    def __init__(self, reports: Iterable[RecordedReport], begins: datetime | None = None) -> None:
        self._begins = begins or datetime.now(UTC)
        self._senders: dict[str, str] = {}
        self._recorded: list[tuple[datetime, bytes]] = []
        """When each was counted, and its report as JSON, which takes a tenth of what it does as objects."""
        self._last: dict[str, bytes] = {}
        self._revisions: dict[str, int] = {}
        for each in reports:
            unit, report = each.report["unit"], dumps_trimmed(each.report)
            self._senders[unit] = each.municipality
            self._recorded.append((each.counted_at, report))
            self._last[unit] = report

    @property
    def senders(self) -> list[str]:
        """Every municipality that reports, in the order of the recording."""
        return list(dict.fromkeys(self._senders.values()))

    @property
    def times(self) -> list[datetime]:
        """When each report was counted."""
        return [counted_at for counted_at, _ in self._recorded]

    @property
    def units(self) -> list[str]:
        """Every unit that reports."""
        return list(self._last)

    def night(self, offset_s: Mapping[datetime, float] | None = None) -> list[Planned]:
        """Every report of the recording, due when `offset_s` says of its moment; without it, at once."""
        planned = [
            self._planned(0.0 if offset_s is None else offset_s[counted_at], report)
            for counted_at, report in self._recorded
        ]
        return sorted(planned, key=lambda each: each.due_s)

    def whole(self, within_s: float, units: Sequence[str] | None = None) -> list[Planned]:
        """The last count of every unit, evenly within so many seconds."""
        wanted = self.units if units is None else units
        return [
            self._planned(within_s * place / len(wanted), self._last[unit])
            for place, unit in enumerate(_mixed(wanted))
        ]

    def steady(
        self, rate: float, seconds: float, units: Sequence[str] | None = None, reason: str | None = None
    ) -> list[Planned]:
        """`rate` reports a second, evenly, of all units in turn."""
        wanted = _mixed(self.units if units is None else units)
        return [
            self._planned(place / rate, self._last[wanted[place % len(wanted)]], reason)
            for place in range(round(rate * seconds))
        ]

    def of(self, sender: str) -> list[str]:
        """The units of one sender."""
        return [unit for unit, municipality in self._senders.items() if municipality == sender]

    def present(self, units: Sequence[str]) -> list[dict[str, Any]]:
        """The reports of some units as they stand, for a sender who goes on from there."""
        return [
            {**orjson.loads(self._last[unit]), "revision": self._revisions.get(unit, 0)} for unit in units
        ]

    def endless(self, units: Sequence[str]) -> Iterator[Planned]:
        """Reports of some units in turn, due at once, for as long as they are asked for."""
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


def _mixed(units: Sequence[str]) -> list[str]:
    """The same units in an order in which neighbours are of different senders; always the same order."""
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
