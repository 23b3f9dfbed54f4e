"""PURE: which rules of the gateway would fire for reports before they are sent, as far as their sender can know.

The functions are those that the gateway evaluates when a report arrives (`election.rules`), with the settings of the
registry. The gateway compares with all reports of the election and their history, and here are only the current ones
that the sender may read; and an operator may have set the rules otherwise.
"""

from collections.abc import Mapping

import msgspec

from gateway.count_files.findings import Document
from gateway.election.changes import time_of
from gateway.election.registry import Registry
from gateway.election.report import Counts, Report
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.evaluation import Fired, evaluate
from gateway.wire.hold_areas import add_names, areas_in
from gateway.wire.holds import AreaNames, FiredRule


class GatewayRules:
    """The rules of an election, evaluated for reports in the order in which they are sent."""

    def __init__(self, registry: Registry | None, current: Mapping[str, Document | None]) -> None:
        """`current` has the current reports by unit; without a registry, no rule fires."""
        self._reports = CurrentReports(registry) if registry is not None else None
        known = [report for report in current.values() if report is not None]
        for report in sorted(known, key=lambda each: time_of(each["counted_at"])):
            self.place(report)

    def place(self, document: Document) -> None:
        """Make a report the current one of its unit."""
        if self._reports is not None and document["unit"] in self._reports.registry.units:
            self._reports.place(_report(document))

    def evaluate(self, document: Document) -> tuple[FiredRule, ...]:
        """Return the rules that would fire for the next report, and place it unless it would be held."""
        reports = self._reports
        if reports is None or document["unit"] not in reports.registry.units:
            return ()
        report = _report(document)
        evaluation = evaluate(reports, report, reports.registry.policy)
        if not evaluation.holding:
            reports.place(report)
        return tuple(map(fired_rule, evaluation.fired))


def named_areas(registry: Registry, rules: tuple[FiredRule, ...], unit: str) -> dict[str, AreaNames]:
    """Return the names of a unit, of the areas in evidence about it, and of their municipalities, by identifier."""
    named: dict[str, AreaNames] = {}
    add_names(named, registry, (unit, *areas_in(rules)))
    return named


def fired_rule(fired: Fired) -> FiredRule:
    """Return a rule that fired with all of its evidence, as the gateway shows it."""
    evidence = fired.evidence.document()
    del evidence["code"]
    return FiredRule(fired.code, fired.do, evidence)


def _report(document: Document) -> Report:
    """Return a report whose shape is valid, without members that a newer version may have added."""
    counts = {
        category: Counts(each["ballots"], each["blank"], each["rejected"], each["votes"])
        for category, each in document["counts"].items()
    }
    return Report(
        document["unit"],
        document.get("revision", 1),
        document["counted_at"],
        document["status"],
        counts,
        document.get("reason", msgspec.UNSET),
    )
