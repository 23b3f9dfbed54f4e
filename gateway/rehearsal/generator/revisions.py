"""The reports of a generated election by unit, to insert others between them."""

from datetime import datetime, timedelta
from random import Random
from typing import Any

import orjson

from gateway.rehearsal.generator.lines import Lines
from gateway.rehearsal.generator.reports import PUBLISHED_AFTER_S
from gateway.trimmed_json import dumps_trimmed

Report = dict[str, Any]


class Line:
    """A line of the stream that may be changed; it is decoded only when that is needed."""

    def __init__(self, at: datetime, encoded: bytes) -> None:
        self.at = at
        self._encoded: bytes | None = encoded
        self._decoded: dict[str, Any] | None = None

    @classmethod
    def of(cls, municipality: str, report: Report, delay: timedelta) -> "Line":
        """Return the line of a report that reaches the official service after this delay."""
        at = datetime.fromisoformat(report["counted_at"])
        line = {
            "municipality": municipality,
            "generated_at": (at + delay).isoformat(),
            "report": report,
        }
        return cls(at, dumps_trimmed(line))

    @property
    def report(self) -> Report:
        """The report, to be read only."""
        report: Report = self._line()["report"]
        return report

    @property
    def municipality(self) -> str:
        """The municipality that pushes it."""
        return str(self._line()["municipality"])

    def encoded(self) -> bytes:
        """Return the line as JSON."""
        if self._encoded is None:
            self._encoded = dumps_trimmed(self._decoded)
        return self._encoded

    def change(self, **members: Any) -> None:
        """Change members of the report."""
        self._line()["report"] |= members
        self._encoded = None

    def _line(self) -> dict[str, Any]:
        if self._decoded is None:
            assert self._encoded is not None
            self._decoded = orjson.loads(self._encoded)
        return self._decoded


class Revisions:
    """The lines of each unit in the order of its revisions, which are numbered from 1 without gaps."""

    def __init__(self, rng: Random, lines: Lines) -> None:
        self._rng = rng
        self.units: dict[str, list[Line]] = {}
        for encoded in lines.encoded():
            report = orjson.loads(encoded)["report"]
            line = Line(datetime.fromisoformat(report["counted_at"]), encoded)
            self.units.setdefault(report["unit"], []).append(line)

    def insert(
        self, unit: str, after: int, at: datetime, counts: dict[str, Any], reason: str | None = None
    ) -> None:
        """Insert a report after a revision of the unit, with its status, and number the later ones again."""
        lines = self.units[unit]
        before = lines[after - 1]
        report = {
            "unit": unit,
            "revision": after + 1,
            "counted_at": at.isoformat(),
            "status": before.report["status"],
            "counts": counts,
        }
        if reason:
            report["reason"] = reason
        delay = timedelta(seconds=self._rng.randint(*PUBLISHED_AFTER_S))
        lines.insert(after, Line.of(before.municipality, report, delay))
        for revision, line in enumerate(lines[after + 1 :], after + 2):
            line.change(revision=revision)

    def lines(self) -> Lines:
        """Return all lines in the order of time; those of one second are in the order of the units' first reports."""
        every = [line for lines in self.units.values() for line in lines]
        every.sort(key=lambda line: line.at)
        return Lines([line.encoded() for line in every])
