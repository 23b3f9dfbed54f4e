"""PURE: compare reports before they are sent with those that the gateway has: figures before and after, and findings.

Independent of files and of the way in which reports are sent. `msgspec.to_builtins` converts the structs to JSON.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import msgspec

from gateway.count_files.findings import ABOVE, Document, Finding, Municipality, Step, ballots_of, find
from gateway.count_files.gateway_rules import GatewayRules, named_areas
from gateway.election.registry import Area, Registry
from gateway.election.rules.ballots import rises_above
from gateway.wire.holds import AreaNames, FiredRule

Effect = Literal["first", "replaces", "repeats", "older", "unknown"]
"""What a report does: it is the unit's first, replaces the current one, is the current one, or is older than it.

`unknown`: the gateway could not be asked for the current report.
"""


class Figures(msgspec.Struct, frozen=True):
    """The counts of a category, or the sums of all categories."""

    ballots: int
    blank: int
    rejected: int


class Change(msgspec.Struct, frozen=True):
    """Figures before and after; None where there are none."""

    before: Figures | None
    after: Figures | None


class Comparison(msgspec.Struct, frozen=True):
    """A report compared with the one that it replaces."""

    unit: str
    name: str
    """Name of the unit; empty if the registry is not known."""
    revision: int | None
    revision_before: int | None
    status: str
    status_before: str | None
    counted_at: str
    counted_at_before: str | None
    effect: Effect
    total: Change
    categories: dict[str, Change]
    """Every category that was reported before or is afterwards, in the order of the registry."""
    eligible: int | None
    turnout_before: int | None
    """Ballots per eligible voter in ‰, rounded to the nearest; None without eligible voters."""
    turnout: int | None
    municipality: Municipality | None
    findings: tuple[Finding, ...]
    """The most severe first."""
    rules: tuple[FiredRule, ...] = ()
    """The rules of the gateway that would fire."""
    areas: dict[str, AreaNames] = {}
    """The unit, and the areas that the evidence of these rules names; empty if none fires."""

    @property
    def would_be_held(self) -> bool:
        """Whether a rule of the gateway would hold the report."""
        return any(rule.do == "hold" for rule in self.rules)

    @property
    def red_lines(self) -> tuple[Finding, ...]:
        """The findings that a person has to accept before the report is sent."""
        return tuple(finding for finding in self.findings if finding.severity == "red_line")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are shown before the report is sent."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")


def compare(
    registry: Registry | None,
    reports: Sequence[Document],
    current: Mapping[str, Document | None],
    newest: Mapping[str, Document] = MappingProxyType({}),
) -> list[Comparison]:
    """Compare reports with those before them, and return a Comparison for each, in their order.

    `current` has the gateway's current reports by unit: None where a unit has none, and no entry where that is not
    known. `newest` has the gateway's newest reports, of units where these are not current but held, rejected or
    superseded: a report that is not newer has no effect, and one that is newer is compared with the current one.
    Successive reports of a unit are in the order in which they are sent; each is compared with the one before.
    """
    known = dict(newest)
    rules = GatewayRules(registry, current)
    latest: dict[str, Document | None] = dict(current)
    effective = []
    steps = []
    for report in reports:
        unit = report["unit"]
        before = latest.get(unit)
        effect = _effect(report, before, is_known=unit in latest)
        if unit in known and not _is_newer(report, known[unit]) and effect in ("first", "replaces"):
            before, effect = known[unit], _effect(report, known[unit], is_known=True)
        fired = rules.evaluate(report) if effect in ("first", "replaces") else ()
        steps.append((report, before, effect, fired))
        if effect in ("first", "replaces", "unknown"):
            latest[unit] = report
            effective.append(report)
        if effect == "unknown":
            rules.place(report)
    municipalities = _Municipalities(registry, reports, effective, current)
    return [
        _comparison(registry, report, before, effect, municipalities, fired)
        for report, before, effect, fired in steps
    ]


def other_units(registry: Registry, units: Collection[str]) -> list[str]:
    """Return the other units of the municipalities of some units: their current reports are needed as well."""
    registered = {registry.municipality(registry.units[unit]).id for unit in units if unit in registry.units}
    return [
        registry.areas[index].id
        for identifier in sorted(registered)
        for index in sorted(registry.below(registry.by_id[identifier]))
        if registry.areas[index].is_unit and registry.areas[index].id not in units
    ]


def permille(part: int, whole: int | None) -> int | None:
    """Return a part of a whole in ‰, rounded to the nearest; None if there is no whole."""
    return (2000 * part + whole) // (2 * whole) if whole else None


def _effect(report: Document, before: Document | None, *, is_known: bool) -> Effect:
    if before is None:
        return "first" if is_known else "unknown"
    if _is_newer(report, before):
        return "replaces"
    return "repeats" if report["revision"] == before["revision"] else "older"


def _is_newer(report: Document, before: Document) -> bool:
    """Whether a report has a higher revision than one before it; one without a revision is going to get the next."""
    revision, replaced = report.get("revision"), before.get("revision")
    return revision is None or replaced is None or revision > replaced


def _comparison(
    registry: Registry | None,
    report: Document,
    before: Document | None,
    effect: Effect,
    municipalities: "_Municipalities",
    rules: tuple[FiredRule, ...],
) -> Comparison:
    area = registry.units.get(report["unit"]) if registry is not None else None
    eligible = area.eligible if area is not None else None
    growth = ballots_of(report) - (ballots_of(before) if before is not None else 0)
    place = municipalities.with_report(area, ballots_of(report), growth) if area is not None else None
    changes = effect not in ("repeats", "older")
    return Comparison(
        unit=report["unit"],
        name=area.name if area is not None else "",
        revision=report.get("revision"),
        revision_before=before.get("revision") if before is not None else None,
        status=report["status"],
        status_before=before["status"] if before is not None else None,
        counted_at=report["counted_at"],
        counted_at_before=before["counted_at"] if before is not None else None,
        effect=effect,
        total=Change(_sum(before), _sum(report)),
        categories=_by_category(registry, report, before),
        eligible=eligible,
        turnout_before=permille(ballots_of(before), eligible) if before is not None else None,
        turnout=permille(ballots_of(report), eligible),
        municipality=place,
        findings=find(Step(report, before, area, place)) if changes else (),
        rules=rules,
        areas=named_areas(registry, rules, report["unit"]) if registry is not None and rules else {},
    )


def _by_category(registry: Registry | None, report: Document, before: Document | None) -> dict[str, Change]:
    counts_before = before["counts"] if before is not None else {}
    order = registry.categories if registry is not None else ()
    known = dict.fromkeys((*order, *counts_before, *report["counts"]))
    return {
        category: Change(_figures(counts_before.get(category)), _figures(report["counts"].get(category)))
        for category in known
        if category in counts_before or category in report["counts"]
    }


def _figures(counts: Document | None) -> Figures | None:
    return Figures(counts["ballots"], counts["blank"], counts["rejected"]) if counts is not None else None


def _sum(document: Document | None) -> Figures | None:
    if document is None:
        return None
    each: Collection[Document] = document["counts"].values()
    return Figures(
        sum(counts["ballots"] for counts in each),
        sum(counts["blank"] for counts in each),
        sum(counts["rejected"] for counts in each),
    )


class _Municipalities:
    """The ballots of all municipalities that reports concern: before, and with the newest report of each unit."""

    def __init__(
        self,
        registry: Registry | None,
        reports: Sequence[Document],
        effective: Sequence[Document],
        current: Mapping[str, Document | None],
    ) -> None:
        """`effective` are those of the reports that replace a current report, or are the first of their unit."""
        self._registry = registry
        self._before: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self._of_unit: dict[str, int] = {}
        """Ballots of each unit in its newest report."""
        self._incomplete: set[str] = set()
        self._alone: set[str] = set()
        """Municipalities that one report alone takes above the eligible voters."""
        if registry is None:
            return
        self._add_up(registry, effective, current)
        asked = {report["unit"] for report in reports}
        self._incomplete = {
            self._place(registry.units[unit]).id
            for unit in (*asked, *other_units(registry, asked))
            if unit in registry.units and unit not in current
        }

    def _add_up(
        self, registry: Registry, reports: Sequence[Document], current: Mapping[str, Document | None]
    ) -> None:
        before = {unit: report for unit, report in current.items() if report is not None}
        newest = dict(before)
        for report in reports:
            known = newest.get(report["unit"])
            if known is None or _is_newer(report, known):
                newest[report["unit"]] = report
        growth: list[tuple[Area, int]] = []
        for unit, report in newest.items():
            if unit not in registry.units:
                continue
            place = self._place(registry.units[unit])
            stored = ballots_of(before[unit]) if unit in before else 0
            self._of_unit[unit] = after = ballots_of(report)
            self._before[place.id] += stored
            self._now[place.id] += after
            growth.append((place, after - stored))
        self._alone = {
            place.id
            for place, by in growth
            if by > 0 and rises_above(self._now[place.id] - by, self._now[place.id], place.eligible, ABOVE)
        }

    def _place(self, unit: Area) -> Area:
        assert self._registry is not None
        return self._registry.municipality(unit)

    def with_report(self, unit: Area, ballots: int, growth: int) -> Municipality:
        """Return the municipality of a unit, with so many ballots in a report, and so many more than before."""
        place = self._place(unit)
        after = self._now[place.id] - self._of_unit.get(unit.id, 0) + ballots
        return Municipality(
            id=place.id,
            name=place.name,
            eligible=place.eligible,
            before=self._before[place.id],
            after=after,
            complete=place.id not in self._incomplete,
            above_without=place.id in self._alone and after - growth > (place.eligible or 0),
        )
