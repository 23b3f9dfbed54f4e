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
from gateway.election.record import CHAIN_START, Publication, chain_after, next_chain
from gateway.election.registry import Area, Registry
from gateway.election.report import REASONS, Reason, Report, Status
from gateway.election.seats import SeatsProjection
from gateway.election.stored_report import StoredReport

UNKNOWN_REASON: Reason = "other"
"""The reason as which an unknown reason is shown."""

AREAS_PER_STEP = 1000
"""Areas changed, or added up, per step of `CatchUp.finish`."""


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
        self._history = History(registry, self.layout.columns, self.layout.ballot_places)
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
            if not fell:
                later = self._history.place(
                    publication.sequence, unit.area.index, report.counted_at, before, after
                )
            else:
                status = self.layout.status(report.status)
                fall = Change(
                    publication.sequence, unit.area, report.counted_at, unit.status, status, before, after
                )
                explained, later = self._history.place_fall(fall)
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
            report.revision, report.counted_at, self.layout.status(report.status),
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

    def __init__(self, area: AreaState) -> None:
        """Start with the report of the state, if it has one."""
        self.sequence = area.sequence
        self.published_at = area.published_at
        self.revision = area.revision
        self.counted_at = area.counted_at
        self.status = area.status
        self.counts: object = None
        """As they were read, to be compared; None if no report was read."""
        self.figures = area.figures
        """With the status of the first report that had these counts, until the status is needed."""
        self.of_state = area.revision > 0
        """Whether the votes are those of the state, so that `figures` are to be copied into the array that is there:
        the history has that array too."""


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
        self._indexes: list[Sequence[int]] = []
        """Those of the units of publications that were added together."""
        self._last: list[_Unit | None] = [None] * len(state.areas)
        """By index of a unit, None if it has no publication."""
        self._corrections: list[tuple[int, int, Correction | Later]] = []
        """Each with the index of the unit and the sequence of the publication that brought or explained it."""
        self._changed: dict[int, _Unit] = {}
        """By index of an area, the unit with its last change: the newest first, and parents first."""
        self._gained: dict[int, list[array[int]]] = defaultdict(list)
        """By index of an area, what its figures gain from each child that changed."""
        self._summands = 0
        """How many of them were in this step."""

    @property
    def sequence(self) -> int:
        """Sequence of the last publication that was added."""
        return self._sequence

    @property
    def corrections(self) -> int:
        """Number of corrections, and of explanations of earlier ones, that are kept until `finish`."""
        return len(self._corrections)

    def add(self, publications: Sequence[Publication]) -> Sequence[int]:
        """Add the next publications; return the index of the unit of each.

        Raises HistoryChanged as `ElectionState.apply` does, and then adds none.
        """
        self._follow_chain(publications)
        state, last = self._state, self._last
        units, areas = state.registry.units, state.areas
        indexes = [units[publication.unit].index for publication in publications]
        reports = state.layout.read_all([publication.body for publication in publications])
        for index, publication, report in zip(indexes, publications, reports, strict=True):
            unit = last[index]
            if unit is None:
                unit = last[index] = _Unit(areas[index])
            # Canonical counts are equal if their bytes are. Something unknown has to be noted each time.
            if unit.counts != report.counts or isinstance(report, Report):
                self._change(index, unit, publication, report)
                unit.counts = report.counts
            unit.sequence, unit.published_at = publication.sequence, publication.published_at
            unit.revision, unit.counted_at, unit.status = report.revision, report.counted_at, report.status
        self._indexes.append(indexes)
        return indexes

    def _follow_chain(self, publications: Sequence[Publication]) -> None:
        """Raise HistoryChanged unless publications continue the record."""
        chains = chain_after(self._chain, [publication.digest for publication in publications])
        expected = self._sequence
        for publication, chain in zip(publications, chains, strict=True):
            expected += 1
            if publication.sequence != expected:
                raise HistoryChanged(f"expected sequence {expected}, got {publication.sequence}")
            if publication.chain != chain:
                raise HistoryChanged(f"the chain breaks at sequence {expected}")
        if publications:
            self._sequence, self._chain = expected, chains[-1]
            self._published_at = publications[-1].published_at
            self._prefixes += b"".join([chain[:4] for chain in chains])

    def _change(
        self, index: int, unit: _Unit, publication: Publication, report: StoredReport | Report
    ) -> None:
        """Replace the figures of a unit; record what changes, unless the votes stay the same."""
        layout = self._state.layout
        before, after = unit.figures, layout.read_figures(report, publication.body)
        if not layout.same_votes(before, after):
            self._record_change(index, unit, publication, report, after)
            unit.figures, unit.of_state = after, False
        elif unit.counts is None:
            unit.figures = after
        else:
            before[:] = after  # the history may have this array too

    def _record_change(
        self,
        index: int,
        unit: _Unit,
        publication: Publication,
        report: StoredReport | Report,
        after: array[int],
    ) -> None:
        """Add a change of votes to the history; record a correction, and what the change explains."""
        state, layout = self._state, self._state.layout
        sequence, counted_at, before = publication.sequence, report.counted_at, unit.figures
        if before is layout.no_figures or not layout.fell(before, after):
            later = state._history.place(sequence, index, counted_at, before, after)
        else:
            status_before, status = layout.status(unit.status), layout.status(report.status)
            if unit.counts is not None:
                layout.set_status(before, status_before)
            fall = Change(sequence, state.areas[index].area, counted_at, status_before, status, before, after)
            explained, later = state._history.place_fall(fall)
            since = unit.sequence, unit.published_at or publication.published_at
            correction = state._correction(publication, report, before, after, since, explained)
            self._corrections.append((index, sequence, correction))
        if later:
            self._corrections += ((index, sequence, each) for each in later)

    def finish(self) -> Iterator[None]:
        """Change the state, in steps of a few milliseconds."""
        state, changed = self._state, self._changed
        yield from self._replace_units()
        yield from self._add_up()
        for index, sequence, each in self._corrections:
            unit = state.areas[index].area
            if isinstance(each, Later):
                state._explain(unit, sequence, each)
                continue
            state.corrections.add(each)
            for place in (index, *unit.path):
                state.areas[place].correct(each)
        recent = state._recent
        for index in recent.keys() & changed.keys():
            del recent[index]
        yield
        recent.update(dict.fromkeys(reversed(changed)))
        state.sequence, state.chain, state.published_at = self._sequence, self._chain, self._published_at
        prefixes = array("I", bytes(self._prefixes))
        if sys.byteorder == "little":
            prefixes.byteswap()
        state._prefixes += prefixes
        if state.comparison is not None:
            yield from state.comparison.update()
        if state.seats is not None:
            yield from state.seats.refresh()

    def _replace_units(self) -> Iterator[None]:
        """Replace the values of units."""
        areas, last, layout, changed = self._state.areas, self._last, self._state.layout, self._changed
        newest_first: dict[int, None] = {}
        for indexes in reversed(self._indexes):
            newest_first.update(dict.fromkeys(reversed(indexes)))
            yield
        for number, index in enumerate(newest_first, 1):
            if number % AREAS_PER_STEP == 0:
                yield
            area, unit = areas[index], last[index]
            assert unit is not None
            path = area.area.path
            if path and path[0] not in changed:
                above = [place for place in path if place not in changed]
                changed.update(dict.fromkeys(reversed(above), unit))
            changed[index] = unit
            area.revision, area.counted_at = unit.revision, unit.counted_at
            area.status = layout.status(unit.status)
            before, figures = area.figures, unit.figures
            if not figures[layout.statuses[area.status]]:
                layout.set_status(figures, area.status)
            if unit.of_state:
                before = before[:]
                area.figures[:] = figures
            else:
                area.figures = figures
            self._replaced(area, unit, before)

    def _add_up(self) -> Iterator[None]:
        """Replace the sums above units: those of children before that of their parent."""
        areas = self._state.areas
        for index in sorted((index for index in self._changed if areas[index].area.children), reverse=True):
            area = areas[index]
            before = sums = area.figures
            for gained in _parts(self._gained.pop(index)):
                sums = array("q", map(sum, zip(sums, *gained, strict=True)))
                if self._ends_step(len(gained)):
                    yield
            area.figures = sums
            self._replaced(area, self._changed[index], before)

    def _ends_step(self, summands: int) -> bool:
        """Whether enough was added up for one step, with these summands."""
        self._summands += summands
        if self._summands < AREAS_PER_STEP:
            return False
        self._summands = 0
        return True

    def _replaced(self, area: AreaState, unit: _Unit, before: array[int]) -> None:
        """Note the last change of an area whose figures were replaced, and what its parent gains."""
        if path := area.area.path:
            gained = array("q", map(sub, area.figures, before)) if area.sequence else area.figures
            self._gained[path[0]].append(gained)
        area.sequence, area.published_at = unit.sequence, unit.published_at


def _parts(summands: Sequence[array[int]]) -> Iterator[Sequence[array[int]]]:
    return (summands[start : start + AREAS_PER_STEP] for start in range(0, len(summands), AREAS_PER_STEP))
