"""PURE: the layout of an area's figures in one flat array, and how a report is converted to it (stored_report.py)."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import attrgetter, gt, sub

import msgspec

from gateway.election.changes import Columns
from gateway.election.registry import Registry
from gateway.election.report import (
    COUNT_NAMES,
    OPTIONAL_COUNT_NAMES,
    STATUSES,
    NewerReport,
    Report,
    Status,
    decode_stored,
)
from gateway.election.stored_report import UNIT_FIGURES, ReportReader, StoredReport, open_report

COUNTED = 0
"""Place, from the start of a category, of the number of units that have it. The units of each optional count
follow, then the sums of all counts and, from PARTIES on, the votes of each party in the registry's order."""
_FIRST_SUM = COUNTED + 1 + len(OPTIONAL_COUNT_NAMES)
COUNT_PLACES: tuple[tuple[str, int, int], ...] = tuple(
    (
        name,
        _FIRST_SUM + number,
        COUNTED + 1 + OPTIONAL_COUNT_NAMES.index(name) if name in OPTIONAL_COUNT_NAMES else COUNTED,
    )
    for number, name in enumerate(COUNT_NAMES)
)
"""For each count its name, the place of its sum, and the place of the number of units that reported it."""
_every_count = attrgetter(*COUNT_NAMES)
BALLOTS = next(place for name, place, _ in COUNT_PLACES if name == "ballots")
_BLANK = next(place for name, place, _ in COUNT_PLACES if name == "blank")
PARTIES = _FIRST_SUM + len(COUNT_NAMES)
FIRST_FIGURE = len(STATUSES)
"""Place of the first category; the statuses precede it."""

UNKNOWN_STATUS: Status = "unstated"
"""The status as which an unknown status is counted and shown."""
UNKNOWN_MAX = 100
"""Unknown names that are kept for the log and the metrics."""


class Layout:
    """The layout of the flat array with an area's figures: statuses first, then one category after another."""

    def __init__(self, registry: Registry) -> None:
        self.parties = {code: number for number, code in enumerate(registry.party_codes)}
        self.width = PARTIES + len(self.parties)
        self.bases = {
            name: FIRST_FIGURE + number * self.width for number, name in enumerate(registry.categories)
        }
        self.statuses = {name: number for number, name in enumerate(STATUSES)}
        self._status_figures = {
            name: array(UNIT_FIGURES, [each == name for each in STATUSES]) for name in STATUSES
        }
        self.size = FIRST_FIGURE + len(self.bases) * self.width
        self.no_figures = array(UNIT_FIGURES, [0] * self.size)
        """The figures of a unit without a report: all 0. Must not be changed."""
        self._zeros = array("q", self.no_figures)
        self._reader = ReportReader(registry.categories, registry.party_codes)
        starts = (0, *self.bases.values(), self.size)
        self._parts = tuple(pairwise(starts))
        """Start and end of the statuses and of each category."""
        self.ballot_places = tuple(base + BALLOTS for base in self.bases.values())
        """Places of the ballots of each category."""
        self.columns = Columns(
            parties=tuple(slice(base + PARTIES, base + self.width) for base in self.bases.values()),
            blank=tuple(base + _BLANK for base in self.bases.values()),
        )
        self.must_not_fall = frozenset(
            place
            for base in self.bases.values()
            for place in (base + BALLOTS, *range(base + PARTIES, base + self.width))
        )
        """Places of ballots and votes. A decrease there is a correction."""
        self.of_votes = self.must_not_fall.union(self.columns.blank)
        """Places of which the history of falls has to know every change."""
        self.unknown: set[str] = set()
        """What this version or the registry does not know of the reports read so far, at most UNKNOWN_MAX names."""

    def zeros(self) -> array[int]:
        """Return an array of figures that are all 0 (64-bit signed), for the sums of an area above units."""
        return self._zeros[:]

    def read(self, body: bytes) -> StoredReport | Report:
        """Read a report of the record; its counts are read when `read_figures` needs them."""
        try:
            return open_report(body)
        except msgspec.ValidationError:
            return decode_stored(body)

    def read_all(self, bodies: Sequence[bytes]) -> Sequence[StoredReport | Report]:
        """Read reports as `read` does, faster."""
        try:
            return list(map(open_report, bodies))
        except msgspec.ValidationError:
            return list(map(self.read, bodies))

    def read_figures(self, report: StoredReport | Report, body: bytes) -> array[int]:
        """Return the figures (32-bit signed) of a report that was read, and of which this is the body."""
        if isinstance(report, StoredReport):
            try:
                return self._reader.figures(report)
            except msgspec.ValidationError:
                report = decode_stored(body)
        return self.figures(report)

    def figures(self, report: Report) -> array[int]:
        """Return one report's figures, as far as its status, categories and parties are known.

        An unknown status counts as UNKNOWN_STATUS; an unknown category or party is left out, and noted in `unknown`.
        """
        if isinstance(report, NewerReport):
            self._note_unknown(report.unknown)
        try:
            return self._figures(report)
        except KeyError:
            return self._figures(self._known_part(report))

    def _figures(self, report: Report) -> array[int]:
        figures = self.no_figures[:]
        figures[self.statuses[report.status]] = 1
        parties = self.parties
        for category, counts in report.counts.items():
            base = self.bases[category]
            for (_, place, units), count in zip(COUNT_PLACES, _every_count(counts), strict=True):
                if count is not msgspec.UNSET:
                    figures[base + units] = 1
                    figures[base + place] = count
            base += PARTIES
            for party, votes in counts.votes.items():
                figures[base + parties[party]] = votes
        return figures

    def _known_part(self, report: Report) -> Report:
        """Return a report with a known status, and without the categories and parties that the registry lacks."""
        counts = {}
        for category, each in report.counts.items():
            if category not in self.bases:
                self._note_unknown([f"category {category}"])
                continue
            votes = {party: count for party, count in each.votes.items() if party in self.parties}
            self._note_unknown(f"party {party}" for party in each.votes if party not in votes)
            counts[category] = msgspec.structs.replace(each, votes=votes)
        return msgspec.structs.replace(report, status=self.status(report.status), counts=counts)

    def _note_unknown(self, names: Iterable[str]) -> None:
        for name in names:
            if len(self.unknown) < UNKNOWN_MAX:
                self.unknown.add(name)

    def status(self, status: Status) -> Status:
        """Return the status of a report of the record as it is shown."""
        return status if status in self.statuses else UNKNOWN_STATUS

    def set_status(self, figures: array[int], status: Status) -> None:
        """Replace the status in one report's figures."""
        figures[:FIRST_FIGURE] = self._status_figures[status]

    def same_votes(self, before: array[int], after: array[int]) -> bool:
        """Whether everything at `of_votes` is equal."""
        for place in self.ballot_places:  # nearly every change is one of these
            if before[place] != after[place]:
                return False
        return self.columns.same(before, after)

    def changes(self, before: array[int], after: array[int]) -> list[tuple[int, int]]:
        """Return the places where figures changed, in their order, and by how much."""
        found = []
        for start, end in self._parts:
            old, new = before[start:end], after[start:end]
            if old != new:
                found += [
                    (place, value - earlier)
                    for place, (earlier, value) in enumerate(zip(old, new, strict=True), start)
                    if earlier != value
                ]
        return found

    def fell(self, before: array[int], after: array[int]) -> bool:
        """Whether ballots or a party's votes are fewer than before."""
        for place in self.ballot_places:
            if after[place] < before[place]:
                return True
        for parties in self.columns.parties:
            old, new = before[parties], after[parties]
            if old != new and any(map(gt, old, new)):
                return True
        return False

    def size_of_fall(self, before: array[int], after: array[int]) -> int:
        """Return by how much figures fell: the ballots, or the votes if that is more, each summed over what fell."""
        ballots = votes = 0
        for place, parties in zip(self.ballot_places, self.columns.parties, strict=True):
            ballots += max(0, before[place] - after[place])
            old, new = before[parties], after[parties]
            if old != new:
                votes += sum([fall for fall in map(sub, old, new) if fall > 0])
        return max(ballots, votes)

    def ballots(self, figures: array[int]) -> int:
        """Return the ballots of all categories."""
        return sum([figures[place] for place in self.ballot_places])
