"""PURE: the explanations of falls that rules need, from steps of current reports."""

from __future__ import annotations

from gateway.election.changes import Change, Columns
from gateway.election.explanations import History
from gateway.election.registry import Registry
from gateway.election.rules.step import Step


class ExplainedSteps:
    """Explains falls at once, from the reports placed so far; the `Explanations` of `CurrentReports`."""

    def __init__(self, registry: Registry) -> None:
        width = len(registry.party_codes) + 1
        bases = [number * width for number in range(len(registry.categories))]
        columns = Columns(
            parties=tuple(slice(base, base + width - 1) for base in bases),
            blank=tuple(base + width - 1 for base in bases),
        )
        self._history = History(registry, columns, later=False)

    def place(self, step: Step) -> None:
        """Add the next placed report."""
        if step.changed:
            self._history.place(_change(step), step.growths)

    def explained(self, step: Step) -> str | None:
        """Return the code that explains a fall which is not placed yet, as far as the record shows it now."""
        explanation = self._history.explain(_change(step))
        return explanation.code if explanation is not None else None

    def checkpoint(self) -> None:
        """Remember where to roll back to."""
        self._history.checkpoint()

    def roll_back(self) -> None:
        """Forget what was placed since the checkpoint."""
        self._history.roll_back()

    def keep(self) -> None:
        """Keep what was placed since the checkpoint."""
        self._history.keep()


def _change(step: Step) -> Change:
    return Change(
        number=step.position + 1,
        unit=step.unit,
        counted_at=step.report.counted_at,
        status_before=step.status_before or "not_counted",
        status=step.report.status,
        before=step.before,
        after=step.after,
    )
