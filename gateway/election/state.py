"""The fold of publications: the current figures of every area, and which areas changed since a cursor.

A report replaces its unit's figures, and the difference is added to every area above. So the cost of applying a report
does not depend on the size of the election, and an area is always exactly the sum of its units.
"""

from __future__ import annotations

import sys
from array import array
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from datetime import datetime
from operator import sub
from typing import NamedTuple

from gateway.election.changes import NO_STATUS, Change
from gateway.election.comparison import Comparison
from gateway.election.corrections import Correction, CorrectionLog
from gateway.election.explanations import Explanation, History, Later
from gateway.election.layout import Layout
from gateway.election.previous import Previous
from gateway.election.record import CHAIN_START, Publication, next_chain
from gateway.election.registry import Area, Registry
from gateway.election.report import REASONS, Reason, Report, Status
from gateway.election.seats import SeatsProjection
from gateway.election.stored_report import StoredReport

UNKNOWN_REASON: Reason = "other"
"""The reason as which an unknown reason is shown."""

AREAS_PER_STEP = 1000
"""Areas changed per step of `CatchUp.finish`."""


class HistoryChanged(Exception):
    """The record is not a continuation of what was applied, for example after a restore or a bad failover."""


class Cursor(NamedTuple):
    """A position in the record: `prefix` is the first 4 bytes of the chain there, as an integer."""

    sequence: int
    prefix: int


class AreaState:
    """The current values of one area."""

    __slots__ = (
        "area",
        "correction",
        "corrections",
        "counted_at",
        "figures",
        "published_at",
        "revision",
        "sequence",
        "status",
        "unseen_corrections",
    )

    def __init__(self, area: Area, figures: array[int]) -> None:
        self.area = area
        self.figures = figures
        self.sequence = 0
        """Sequence of the last publication at or below the area; 0 before the first."""
        self.published_at: datetime | None = None
        self.revision = 0
        """Of the last report of a unit; 0 before the first, and above units."""
        self.counted_at = ""
        """When a unit was counted, as sent."""
        self.status: Status = NO_STATUS
        self.corrections = 0
        self.unseen_corrections = 0
        """How many of these corrected figures that were never public."""
        self.correction: Correction | None = None
        """The last correction at or below the area."""

    @property
    def report(self) -> tuple[int, str, Status] | None:
        """A unit's revision, counted_at (as sent) and status; None before its first report, and above units."""
        return (self.revision, self.counted_at, self.status) if self.revision else None

    def correct(self, correction: Correction) -> None:
        """Record a correction at or below the area."""
        self.correction = correction
        self.corrections += 1
        self.unseen_corrections += not correction.was_public


class ElectionState:
    """All areas of one election at one sequence.

    Invariants: publications are applied in order without a gap, and each continues the chain; every area's figures
    are the sums of its units'; `_recent` contains all areas that ever changed, the most recent one last.
    """

    def __init__(self, registry: Registry, previous: Previous | None = None) -> None:
        self.registry = registry
        self.layout = Layout(registry)
        self.areas = [
            AreaState(area, self.layout.no_figures if area.is_unit else self.layout.zeros())
            for area in registry.areas
        ]
        self.sequence = 0
        self.chain = CHAIN_START
        self.published_at: datetime | None = None
        self.corrections = CorrectionLog(registry.units)
        self._history = History(registry, self.layout.columns)
        self._recent: dict[int, None] = {}
        self._prefixes = array("I", [0])
        self.comparison = Comparison(self, previous) if previous is not None else None
        """The changes since the previous election, if the election has one."""
        self.seats = SeatsProjection(self) if registry.apportionment is not None else None
        """The seats by these votes, if the registry says how seats follow from votes."""

    def apply(self, publication: Publication) -> None:
        """Apply the next publication. Raises HistoryChanged if it does not follow the last one."""
        if publication.sequence != self.sequence + 1:
            raise HistoryChanged(f"expected sequence {self.sequence + 1}, got {publication.sequence}")
        if publication.chain != next_chain(self.chain, publication.digest):
            raise HistoryChanged(f"the chain breaks at sequence {publication.sequence}")
        report = self.layout.read(publication.body)
        after = self.layout.read_figures(report, publication.body)
        unit = self.areas[self.registry.units[publication.unit].index]
        before = unit.figures
        changes = self.layout.changes(before, after)
        of_votes, must_not_fall = self.layout.of_votes, self.layout.must_not_fall
        correction: Correction | None = None
        later: Sequence[Later] = ()
        if any(place in of_votes for place, _ in changes):
            fell = any(change < 0 and place in must_not_fall for place, change in changes)
            growths = self.layout.growths(before, after)
            if not fell:
                later = self._history.place(
                    publication.sequence, unit.area.index, report.counted_at, before, after, growths
                )
            else:
                status = self.layout.status(report)
                fall = Change(
                    publication.sequence, unit.area, report.counted_at, unit.status, status, before, after
                )
                explained, later = self._history.place_fall(fall, growths)
                since = unit.sequence, unit.published_at or publication.published_at
                correction = self._correction(publication, report, before, after, since, explained)
                self.corrections.add(correction)
            unit.figures = after
        elif not unit.revision:
            unit.figures = after
        else:
            for place, change in changes:  # in the array that the history has too
                before[place] += change
        unit.revision, unit.counted_at, unit.status = (
            report.revision, report.counted_at, self.layout.status(report),
        )  # fmt: skip
        for index in unit.area.path:
            figures = self.areas[index].figures
            for place, change in changes:
                figures[place] += change
        self._touch(unit.area, publication, correction)
        for each in later:
            self._explain(unit.area, publication.sequence, each)
        self.sequence = publication.sequence
        self.chain = publication.chain
        self.published_at = publication.published_at
        self._prefixes.append(int.from_bytes(publication.chain[:4]))

    def _correction(
        self,
        publication: Publication,
        report: StoredReport | Report,
        before: array[int],
        after: array[int],
        since: tuple[int, datetime],
        explained: Explanation | None,
    ) -> Correction:
        """Return a correction of figures that a publication brought `since`: its sequence and time."""
        reason: Reason | None = report.reason if isinstance(report.reason, str) else None
        if reason is not None and reason not in REASONS:
            reason = UNKNOWN_REASON
        layout = self.layout
        return Correction(
            sequence=publication.sequence,
            at=publication.published_at,
            unit=report.unit,
            reason=reason,
            size=layout.size_of_fall(before, after),
            before=layout.ballots(before),
            after=layout.ballots(after),
            replaced=since[0],
            since=since[1],
            was_public=publication.accepted_at == publication.published_at,
            previous=before,
            explained=explained,
        )

    def _explain(self, unit: Area, sequence: int, later: Later) -> None:
        """Record what an earlier fall was, as the publication of a unit at `sequence` shows.

        It is shown at and above this unit only: other areas do not change with this publication.
        """
        for index in (unit.index, *unit.path):
            area = self.areas[index]
            if area.correction is not None and area.correction.sequence == later.number:
                area.correction = area.correction._replace(explained=later.explanation)
        self.corrections.explain(later.number, later.explanation, sequence)

    def _touch(self, unit: Area, publication: Publication, correction: Correction | None) -> None:
        """Make a publication the last one at its unit and at all areas above."""
        areas, recent = self.areas, self._recent
        sequence, published_at = publication.sequence, publication.published_at
        for index in (unit.index, *unit.path):
            area = areas[index]
            area.sequence = sequence
            area.published_at = published_at
            if correction is not None:
                area.correct(correction)
            recent.pop(index, None)
            recent[index] = None

    def cursor(self) -> Cursor:
        """Return the position of this state in the record."""
        return Cursor(self.sequence, self._prefixes[-1])

    def prefix_at(self, sequence: int) -> int | None:
        """Return the first 4 bytes of the chain at a sequence, None if this state has not reached it."""
        return self._prefixes[sequence] if 0 <= sequence <= self.sequence else None

    def contains(self, cursor: Cursor) -> bool:
        """Whether the cursor is a position in this record, and not ahead of this state."""
        return cursor.sequence <= self.sequence and self._prefixes[cursor.sequence] == cursor.prefix

    def changed_since(self, sequence: int, within: Container[int]) -> list[int]:
        """Return the areas of `within` with a publication after `sequence`, parents first.

        The cost depends only on the number of areas that changed.
        """
        changed = []
        for index in reversed(self._recent):
            if self.areas[index].sequence <= sequence:
                break
            if index in within:
                changed.append(index)
        changed.sort()
        return changed

    def has_changed_since(self, sequence: int, within: Container[int]) -> bool:
        """Whether any area of `within` has a publication after `sequence`; checks the newest changes first."""
        for index in reversed(self._recent):
            if self.areas[index].sequence <= sequence:
                return False
            if index in within:
                return True
        return False


class _Unit:
    """The last report of a unit while many are applied.

    Its members are kept and not the report, whose own memory would lie, once it is free, between what stays.
    """

    __slots__ = (
        "counted_at", "counts", "figures", "of_state", "published_at", "revision", "sequence", "status",
    )  # fmt: skip

    sequence: int
    published_at: datetime
    revision: int
    counted_at: str
    status: Status
    counts: object
    """As they were read, to be compared."""
    figures: array[int]
    """With the status of the first report that had these counts, until the status is needed."""
    of_state: bool
    """Whether the votes are those of the state, so that `figures` are to be copied into the array that is there: the
    history has that array too."""


class CatchUp:
    """Applies many publications to a state at once. The result is that of `apply` for each of them, at a lower cost.

    Areas above units are summed once, and falls are looked for only in reports whose votes differ from those before.
    What can be read of the state does not change until `finish` starts, and must not be read until it has ended. What
    was added must be finished, because the history of falls has it already.
    """

    def __init__(self, state: ElectionState) -> None:
        self._state = state
        self._sequence = state.sequence
        self._chain = state.chain
        self._published_at = state.published_at
        self._prefixes = bytearray()
        self._last: dict[int, _Unit] = {}
        """By index of the unit, the most recent last."""
        self._corrections: list[tuple[int, int, Correction | Later]] = []
        """Each with the index of the unit and the sequence of the publication that brought or explained it."""

    @property
    def sequence(self) -> int:
        """Sequence of the last publication that was added."""
        return self._sequence

    def add(self, publications: Sequence[Publication]) -> Sequence[int]:
        """Add the next publications; return the index of the unit of each.

        Raises HistoryChanged as `ElectionState.apply` does, and then adds none.
        """
        self._follow_chain(publications)
        units, last, layout = self._state.registry.units, self._last, self._state.layout
        read, status_of = layout.read, layout.status
        indexes = [units[publication.unit].index for publication in publications]
        for index, publication in zip(indexes, publications, strict=True):
            report = read(publication.body)
            unit = last.pop(index, None)
            # Canonical counts are equal if their bytes are. Something unknown has to be noted each time.
            if unit is None or unit.counts != report.counts or isinstance(report, Report):
                unit = self._changed(index, publication, report, unit)
            last[index] = unit
            unit.sequence, unit.published_at = publication.sequence, publication.published_at
            unit.revision, unit.counted_at = report.revision, report.counted_at
            unit.status, unit.counts = status_of(report), report.counts
        return indexes

    def _follow_chain(self, publications: Sequence[Publication]) -> None:
        """Raise HistoryChanged unless publications continue the record."""
        sequence, chain, prefixes = self._sequence, self._chain, bytearray()
        for publication in publications:
            sequence += 1
            if publication.sequence != sequence:
                raise HistoryChanged(f"expected sequence {sequence}, got {publication.sequence}")
            chain = next_chain(chain, publication.digest)
            if publication.chain != chain:
                raise HistoryChanged(f"the chain breaks at sequence {sequence}")
            prefixes += chain[:4]
        if publications:
            self._sequence, self._chain, self._published_at = sequence, chain, publications[-1].published_at
            self._prefixes += prefixes

    def _changed(
        self, index: int, publication: Publication, report: StoredReport | Report, last: _Unit | None
    ) -> _Unit:
        """Record what a report changes. Return its unit with the figures after it."""
        layout, area = self._state.layout, self._state.areas[index]
        after = layout.read_figures(report, publication.body)
        before = last.figures if last is not None else area.figures
        unit = _Unit()
        if not layout.same_votes(before, after):
            self._record_change(area, publication, report, last, before, after)
            unit.figures, unit.of_state = after, False
        elif last is None:
            unit.figures, unit.of_state = after, area.revision > 0
        else:
            before[:] = after  # the history may have this array too
            unit.figures, unit.of_state = before, last.of_state
        return unit

    def _record_change(
        self,
        area: AreaState,
        publication: Publication,
        report: StoredReport | Report,
        last: _Unit | None,
        before: array[int],
        after: array[int],
    ) -> None:
        """Add a change of votes to the history; record a correction, and what the change explains."""
        state, layout = self._state, self._state.layout
        sequence, index, counted_at = publication.sequence, area.area.index, report.counted_at
        growths = layout.growths(before, after)
        if before is layout.no_figures or not layout.fell(before, after):
            later = state._history.place(sequence, index, counted_at, before, after, growths)
        else:
            if last is not None:
                status_before, since = last.status, (last.sequence, last.published_at)
                layout.set_status(before, status_before)
            else:
                status_before = area.status
                since = area.sequence, area.published_at or publication.published_at
            status = layout.status(report)
            fall = Change(sequence, area.area, counted_at, status_before, status, before, after)
            explained, later = state._history.place_fall(fall, growths)
            correction = state._correction(publication, report, before, after, since, explained)
            self._corrections.append((index, sequence, correction))
        if later:
            self._corrections += ((index, sequence, each) for each in later)

    def finish(self) -> Iterator[None]:
        """Change the state, in steps of a few milliseconds."""
        yield from self._add_up()
        state = self._state
        for index, sequence, each in self._corrections:
            unit = state.areas[index].area
            if isinstance(each, Later):
                state._explain(unit, sequence, each)
                continue
            state.corrections.add(each)
            for place in (index, *unit.path):
                state.areas[place].correct(each)
        yield from self._touch()
        state.sequence, state.chain, state.published_at = self._sequence, self._chain, self._published_at
        prefixes = array("I", bytes(self._prefixes))
        if sys.byteorder == "little":
            prefixes.byteswap()
        state._prefixes += prefixes
        if state.comparison is not None:
            yield from state.comparison.update()
        if state.seats is not None:
            yield from state.seats.refresh()

    def _add_up(self) -> Iterator[None]:
        """Replace the figures of units, then the sums above them: those of children before that of their parent."""
        areas, layout = self._state.areas, self._state.layout
        gained: dict[int, list[array[int]]] = defaultdict(list)
        lost: dict[int, list[array[int]]] = defaultdict(list)

        def replaced(area: AreaState, before: array[int], after: array[int]) -> None:
            if path := area.area.path:
                gained[path[0]].append(after)
                if area.sequence:
                    lost[path[0]].append(before)

        for number, (index, unit) in enumerate(self._last.items(), 1):
            if number % AREAS_PER_STEP == 0:
                yield
            area, figures = areas[index], unit.figures
            area.revision, area.counted_at, area.status = unit.revision, unit.counted_at, unit.status
            if not figures[layout.statuses[area.status]]:
                layout.set_status(figures, area.status)
            before = area.figures
            if unit.of_state:
                before = before[:]
                area.figures[:] = figures
            else:
                area.figures = figures
            replaced(area, before, figures)
        above_units = {*gained}.union(*(areas[index].area.path for index in gained))
        for index in sorted(above_units, reverse=True):
            area = areas[index]
            before = sums = area.figures
            for added in _parts(gained.pop(index)):
                sums = array("q", map(sum, zip(sums, *added, strict=True)))
                yield
            for removed in _parts(lost.pop(index, [])):
                sums = array("q", map(sub, sums, map(sum, zip(*removed, strict=True))))
                yield
            area.figures = sums
            replaced(area, before, sums)

    def _touch(self) -> Iterator[None]:
        """Set each area's last change, and the order of `_recent`."""
        areas, recent = self._state.areas, self._state._recent
        changed: dict[int, _Unit] = {}
        """By index of an area, the unit with its last change: the newest first, and parents first."""
        for number, (index, unit) in enumerate(reversed(self._last.items()), 1):
            if number % AREAS_PER_STEP == 0:
                yield
            path = areas[index].area.path
            if path and path[0] not in changed:
                above = [place for place in path if place not in changed]
                changed.update(dict.fromkeys(reversed(above), unit))
            changed[index] = unit
        for number, (index, unit) in enumerate(reversed(changed.items()), 1):
            if number % AREAS_PER_STEP == 0:
                yield
            area = areas[index]
            area.sequence, area.published_at = unit.sequence, unit.published_at
            recent.pop(index, None)
            recent[index] = None


def _parts(summands: Sequence[array[int]]) -> Iterator[Sequence[array[int]]]:
    return (summands[start : start + AREAS_PER_STEP] for start in range(0, len(summands), AREAS_PER_STEP))
