"""PURE: the reports of one election of a soak: the recorded night in its order, then corrections without end.

Each report gets the next revision of its unit. One in CORRECTION_EVERY corrects a unit that has reported to lower
figures; a fall by HELD_BALLOTS has no reason and is held by the rule of RULES, a smaller one has one and is published.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from bench.load.plan import Planned
from gateway.rehearsal.dataset import RecordedReport
from gateway.trimmed_json import dumps_trimmed

CORRECTION_EVERY = 20
HELD_BALLOTS = 3
RULES: dict[str, Any] = {"fell": {"do": "hold", "ballots": HELD_BALLOTS - 1, "permille": 0}}
"""Every rule that is not named only warns."""


class NightSupply:
    """Reports without end; their content depends on nothing but the data set and their number."""

    def __init__(self, reports: Iterable[RecordedReport]) -> None:
        self._recorded = [
            (each.municipality, dumps_trimmed(each.report))
            for each in sorted(reports, key=lambda each: each.counted_at)
        ]
        self._senders: dict[str, str] = {}
        self._last: dict[str, bytes] = {}
        """The last report of each unit."""
        self._revisions: dict[str, int] = {}

    @property
    def senders(self) -> Sequence[str]:
        """Every municipality that reports."""
        return list(dict.fromkeys(sender for sender, _ in self._recorded))

    def plan(self, rate: float, seconds: float, bursts: Sequence[float], burst: int) -> Iterator[Planned]:
        """Yield `rate` reports per second, evenly, and `burst` more at once at each of the times in `bursts`, in s."""
        supply = self._endless()
        steady = (place / rate for place in range(round(rate * seconds)))
        waiting = sorted(bursts)
        for due_s in steady:
            while waiting and waiting[0] <= due_s:
                at = waiting.pop(0)
                for _ in range(burst):
                    yield self._planned(at, *next(supply))
            yield self._planned(due_s, *next(supply))

    def _endless(self) -> Iterator[tuple[str, bytes]]:
        corrected = 0
        for number, (sender, report) in enumerate(itertools.cycle(self._recorded), 1):
            yield sender, report
            if number % CORRECTION_EVERY == 0:
                lowered = self._correction(corrected)
                corrected += 1
                if lowered is not None:
                    yield lowered

    def _correction(self, number: int) -> tuple[str, bytes] | None:
        """Return the last report of some unit with one to HELD_BALLOTS ballots less; None if it has too few."""
        units = list(self._last)
        unit = units[number * 7919 % len(units)]
        report = orjson.loads(self._last[unit])
        fall = 1 + number % HELD_BALLOTS
        for counts in report["counts"].values():
            party = max(counts["votes"], key=counts["votes"].__getitem__)
            if counts["votes"][party] > fall and counts["ballots"] > fall:
                counts["votes"][party] -= fall
                counts["ballots"] -= fall
                if fall < HELD_BALLOTS:
                    report["reason"] = "control"
                return self._senders[unit], dumps_trimmed(report)
        return None

    def _planned(self, due_s: float, sender: str, body: bytes) -> Planned:
        report = orjson.loads(body)
        unit = report["unit"]
        revision = self._revisions[unit] = self._revisions.get(unit, 0) + 1
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._senders[unit] = sender
        self._last[unit] = body
        report |= {"revision": revision, "counted_at": now}
        return Planned(due_s, sender, unit, revision, dumps_trimmed(report))
