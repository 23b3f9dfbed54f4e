"""The reports of a recording, checked as the gateway would check them."""

from collections.abc import Iterable

import orjson

from gateway.election.registry import Registry
from gateway.election.report import Report
from gateway.election.validation import Scope, Validator, ValidReport
from gateway.rehearsal.dataset import DataSetError, PlacedReport


class ReportChecker:
    """Checks reports against a registry."""

    def __init__(self, registry: Registry) -> None:
        self._validator = Validator(registry)
        self._scope = Scope(registry, frozenset([registry.root.id]))

    def check(self, recorded: PlacedReport) -> ValidReport:
        """Return a valid report. Raises DataSetError for one that the gateway would refuse."""
        checked = self._validator.check(orjson.dumps(recorded.report), self._scope)
        if isinstance(checked, ValidReport):
            return checked
        violations = "; ".join(f"{each.path}: {each.detail}" for each in checked.violations[:3])
        raise DataSetError(
            f"{recorded.place}: a report that the gateway refuses: {violations or checked.code}"
        )


def newest_reports(registry: Registry, reports: Iterable[PlacedReport]) -> dict[str, Report]:
    """Return the newest revision of each unit. Raises DataSetError for a report that the gateway would refuse."""
    checker, newest = ReportChecker(registry), dict[str, Report]()
    for each in reports:
        report = checker.check(each).report
        if report.unit not in newest or report.revision > newest[report.unit].revision:
            newest[report.unit] = report
    return newest
