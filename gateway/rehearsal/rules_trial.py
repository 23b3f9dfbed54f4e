"""What rules would have done in a past election: its reports are replayed in memory, and each becomes current at once.

Nothing is held: the operators' decisions are not known. So an alarm does not hide those after it. Later reports of a
unit show whether an alarm was right: they take back what the report had changed. See TAKEN_BACK_PERMILLE.
"""

from array import array
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from gateway.election.registry import Registry
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.evaluation import Evaluation, Fired, evaluate
from gateway.election.rules.policy import Policy
from gateway.rehearsal.checked_reports import ReportChecker
from gateway.rehearsal.dataset import PlacedReport

FINDINGS_MAX = 5_000
"""Reports with an alarm that are kept; the others are only counted."""
TAKEN_BACK_PERMILLE = 100
"""An alarm counts as corrected if later reports of the unit take back this share of the votes that the report changed;
recounts change some permille."""
FIGURE_MIN, FIGURE_PERMILLE = 50, 500
"""Or this share of one figure that it changed by so many votes: two exchanged parties may have few of all votes."""


class Finding(msgspec.Struct):
    """A report for which rules fired, and what later reports of its unit did about it."""

    unit: str
    revision: int
    counted_at: datetime
    fired: tuple[Fired, ...]
    before: int
    """Votes and blank ballots of the unit before the report."""
    after: int
    changed: int
    """How many votes the report changed, summed over parties and categories."""
    taken_back: int = 0
    """How many of them the last report of the unit has taken back."""
    corrected: bool = False
    """Whether that is enough to call it a correction."""
    corrected_at: datetime | None = None
    """When a later report first corrected it."""

    @property
    def holds(self) -> bool:
        """Whether a rule would have held the report."""
        return any(each.do == "hold" for each in self.fired)

    @property
    def corrected_after_s(self) -> float | None:
        """After how long the correction came; None if there was none."""
        if self.corrected_at is None or not self.corrected:
            return None
        return (self.corrected_at - self.counted_at).total_seconds()


class _Open(NamedTuple):
    finding: Finding
    after: "array[int]"
    changes: "array[int]"


class Trial:
    """The trial of one policy, report by report."""

    def __init__(self, registry: Registry, policy: Policy) -> None:
        self.registry = registry
        self.policy = policy
        self.reports = 0
        self.left_out = 0
        """Reports that are not newer than the unit's current one."""
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None
        self.findings: list[Finding] = []
        self.held = self.warned = 0
        self.by_rule: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        """By code, how often a rule could not judge a report."""
        self._checker = ReportChecker(registry)
        self._current = CurrentReports(registry)
        self._revisions: dict[str, int] = {}
        self._open: dict[str, list[_Open]] = {}

    def run(self, reports: Iterable[PlacedReport]) -> None:
        """Replay reports in this order. Raises DataSetError at the first that the gateway would refuse."""
        for each in reports:
            self.add(each)

    def add(self, recorded: PlacedReport) -> None:
        """Judge a report, then make it the current one of its unit. Raises DataSetError."""
        report = self._checker.check(recorded).report
        if report.revision <= self._revisions.get(report.unit, 0):
            self.left_out += 1
            return
        self._revisions[report.unit] = report.revision
        self.reports += 1
        self.first_at = min(self.first_at or recorded.counted_at, recorded.counted_at)
        self.last_at = max(self.last_at or recorded.counted_at, recorded.counted_at)
        judged = evaluate(self._current, report, self.policy)
        step = self._current.step(report)
        self._follow(report.unit, step.after, recorded.counted_at)
        self.failed.update(judged.failed)
        if judged.fired:
            self._note(judged, report.unit, report.revision, recorded.counted_at, step.before, step.after)
        self._current.place(report)

    def _note(
        self,
        judged: Evaluation,
        unit: str,
        revision: int,
        counted_at: datetime,
        before: "array[int]",
        after: "array[int]",
    ) -> None:
        self.by_rule.update(each.code for each in judged.fired)
        changes = array("q", (new - old for old, new in zip(before, after, strict=True)))
        finding = Finding(
            unit, revision, counted_at, judged.fired, sum(before), sum(after), sum(map(abs, changes))
        )
        self.held += finding.holds
        self.warned += not finding.holds
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)
            self._open.setdefault(unit, []).append(_Open(finding, after, changes))

    def _follow(self, unit: str, figures: "array[int]", counted_at: datetime) -> None:
        """Note what a later report takes back of those with a finding."""
        for finding, after, changes in self._open.get(unit, ()):
            taken_back, is_figure = 0, False
            for change, old, new in zip(changes, after, figures, strict=True):
                back = min(abs(change), max(0, old - new if change > 0 else new - old))
                taken_back += back
                is_figure |= abs(change) >= FIGURE_MIN and 1_000 * back >= FIGURE_PERMILLE * abs(change)
            finding.taken_back = taken_back
            enough = 1_000 * taken_back >= TAKEN_BACK_PERMILLE * finding.changed
            finding.corrected = is_figure or (enough and taken_back > 0)
            if finding.corrected and finding.corrected_at is None:
                finding.corrected_at = counted_at


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON members."""
    return {
        "unit": finding.unit,
        "revision": finding.revision,
        "counted_at": finding.counted_at,
        "held": finding.holds,
        "rules": [
            {"code": each.code, "do": each.do, "evidence": each.evidence.document()} for each in finding.fired
        ],
        "before": finding.before,
        "after": finding.after,
        "changed": finding.changed,
        "taken_back": finding.taken_back,
        "corrected": finding.corrected,
        "corrected_after_s": finding.corrected_after_s,
    }
