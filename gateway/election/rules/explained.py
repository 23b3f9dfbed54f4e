"""PURE: the explanations of falls that rules need, from steps of current reports."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gateway.election.changes import NO_STATUS, Change, Columns, time_of
from gateway.election.explanations import CHANGES_MAX, DUPLICATE_PERMILLE, WINDOW_S, Explainer, Placed
from gateway.election.growths import GROWTH_MIN, Growths
from gateway.election.registry import Registry
from gateway.election.rules.step import Category, Step


class ExplainedSteps:
    """Explains falls at once, from the reports placed so far; part of `CurrentReports`, with the same growths.

    Of each municipality, only changes are kept that were counted in the last hour before its newest report, since no
    others can be the other half of a move. They are read when a large fall arrives, which is rare.
    """

    def __init__(self, registry: Registry, columns: Columns, growths: Growths) -> None:
        self._growths = growths
        self._columns = columns
        self._explainer = Explainer(registry, columns)
        self._changes: dict[int, list[tuple[float, Change]]] = {}
        """By municipality, with the Unix time at which they were counted, the newest last."""
        self._undo: list[list[Callable[[], object]]] = []
        """How to take back what was placed since each checkpoint, until the next one."""

    def place(self, step: Step) -> None:
        """Add the next placed report."""
        if not step.changed:
            return
        at = time_of(step.report.counted_at)
        changes = self._changes.setdefault(step.municipality, [])
        while changes and (changes[0][0] < at - 2 * WINDOW_S or len(changes) >= CHANGES_MAX):
            oldest = changes.pop(0)
            if self._undo:
                self._undo[-1].append(partial(changes.insert, 0, oldest))
        changes.append((at, _change(step)))
        if self._undo:
            self._undo[-1].append(changes.pop)

    def explained(self, step: Step) -> str | None:
        """Return the code that explains a fall which is not placed yet, as far as the record shows it now."""
        if any(self._is_withdrawn(step, category) for category in step.categories):
            return "duplicate_withdrawn"
        changes = [
            Placed(each.number, each.unit.index, each.counted_at, each.before, each.after)
            for _, each in self._changes.get(step.municipality, ())
        ]
        deltas = self._columns.deltas(step.before, step.after)
        explanation = self._explainer.explain(_change(step), deltas, changes)
        return explanation.code if explanation is not None else None

    def _is_withdrawn(self, step: Step, category: Category) -> bool:
        """Whether the unit drops a count that it took on, and that is a count of another municipality too."""
        dropped = [-gain for gain in category.gains]
        for size, votes in (
            (sum(dropped), dropped),
            (category.ballots_before, category.before),  # all, if only a part of the same ballots remains
        ):
            whole = votes is category.before
            if size < GROWTH_MIN or (whole and 2 * sum(map(abs, dropped)) < size):
                continue
            near = [growth for _, growth in self._growths.near(size, votes, DUPLICATE_PERMILLE)]
            own = any(each.unit == step.unit.index for each in near)
            if own and any(each.municipality != step.municipality for each in near):
                return True
        return False

    def checkpoint(self) -> None:
        """See `CurrentReports.checkpoint`."""
        self._undo.append([])

    def keep(self) -> None:
        """Keep what was placed between the oldest checkpoint and the next one."""
        del self._undo[0]

    def roll_back(self) -> None:
        """Forget what was placed since the newest checkpoint."""
        for each in reversed(self._undo.pop()):
            each()


def _change(step: Step) -> Change:
    return Change(
        number=step.position + 1,
        unit=step.unit,
        counted_at=step.report.counted_at,
        status_before=step.status_before or NO_STATUS,
        status=step.report.status,
        before=step.before,
        after=step.after,
    )
