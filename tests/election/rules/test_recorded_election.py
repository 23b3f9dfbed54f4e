"""The rules on the recorded election: which of its reports they notice, and what would have been public with them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.election.registry import Registry
from gateway.election.report import Report
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.evaluation import Evaluation, evaluate
from gateway.election.rules.policy import RULES, recommended
from gateway.rehearsal.dataset import DataSet
from tests.election.rules.elections import Election, recorded_election

COPIES = {"3236-9998", "3234-9998", "3226-9998", "3228-9998"}
"""Units into whose figures those of 3203-9998 (Asker) were booked, each in its second revision."""
WRONG = {*((unit, 2) for unit in COPIES), ("5001-0008", 1), ("5601-9999", 1)}
"""All reports in which a rule finds a real error: these copies, and two with the votes of two parties exchanged."""
PUBLISHED_FROM = datetime.fromisoformat("2025-09-08T21:00:00+02:00")
MORNING = datetime.fromisoformat("2025-09-09T06:00:00+02:00")
DECIDED_AFTER = timedelta(minutes=5)


class Alarm(NamedTuple):
    """A report for which a rule fired."""

    code: str
    window: int
    """0: before 21:00, 1: in the night until 06:00, 2: after it."""
    unit: str
    revision: int
    evaluation: Evaluation


@pytest.fixture(scope="module")
def election(recorded: Path) -> Election:
    return recorded_election(recorded)


@pytest.fixture(scope="module")
def alarms(election: Election) -> list[Alarm]:
    """All alarms when every report is placed at once."""
    return list(alarms_of(election))


def alarms_of(election: Election) -> Iterator[Alarm]:
    current, policy = CurrentReports(election.registry), recommended()
    for report in election.reports:
        evaluation = evaluate(current, report, policy)
        assert not evaluation.failed
        for code in evaluation.warnings:
            yield Alarm(code, window(report), report.unit, report.revision, evaluation)
        if current.step(report).changed is False:
            assert not evaluation.warnings
        current.place(report)


def window(report: Report) -> int:
    at = moment(report)
    return (at >= PUBLISHED_FROM) + (at >= MORNING)


def moment(report: Report) -> datetime:
    return datetime.fromisoformat(report.counted_at)


def test_the_rules_fire_as_often_as_documented(alarms: list[Alarm]) -> None:
    """Per rule: before 21:00, in the night, and after it. `fell` does not count falls that are explained at once."""
    found = Counter((alarm.code, alarm.window) for alarm in alarms)
    assert {code: tuple(found[code, window] for window in range(3)) for code in RULES} == {
        "duplicate_elsewhere": (0, 0, 4),
        "duplicate_within": (0, 0, 1),
        "above_eligible": (0, 0, 7),
        "fell": (0, 0, 7),
        "party_excess": (5, 1, 1),
        "exchanged": (0, 1, 1),
        "odd_time": (0, 0, 0),
        "exchanged_before": (0, 0, 1),
        "party_fell": (0, 0, 10),
        "grew_late": (0, 0, 8),
    }


def test_the_rules_would_hold_as_many_reports_as_documented(alarms: list[Alarm]) -> None:
    held = {(alarm.unit, alarm.revision): alarm.window for alarm in alarms if alarm.evaluation.holding}
    assert Counter(held.values()) == {0: 5, 1: 1, 2: 15}
    assert held.keys() >= WRONG


def test_the_copies_of_askers_count_are_found_where_they_are(alarms: list[Alarm]) -> None:
    by_code: dict[str, set[str]] = {}
    for alarm in alarms:
        by_code.setdefault(alarm.code, set()).add(alarm.unit)
        for fired in alarm.evaluation.fired:
            evidence = fired.evidence.document()
            if alarm.code == fired.code == "duplicate_elsewhere":
                assert (evidence["other"], evidence["other_ballots"]) == ("3203-9998", 4761)
                assert evidence["difference"] <= 4
    assert by_code["duplicate_elsewhere"] == COPIES
    assert by_code["above_eligible"] == {*COPIES, "3433-9998", "3451-9998", "3430-0001"}
    assert by_code["duplicate_within"] == {"3451-9998"}
    assert by_code["exchanged"] == {"5001-0008", "3226-9998"}
    assert by_code["exchanged_before"] == {"5001-0008"}
    assert by_code["party_excess"] >= {"5001-0008", "5601-9999"}


def test_seven_of_fourteen_falls_are_explained_at_once(election: Election) -> None:
    """Four counts that were booked twice and are withdrawn, and three second halves of moves."""

    class Unexplained:
        def place(self, step: object) -> None: ...
        def explained(self, step: object) -> None: ...
        def checkpoint(self) -> None: ...
        def roll_back(self) -> None: ...
        def keep(self) -> None: ...

    only_fell = election.registry.read_policy(
        {code: {"do": "off"} for code in RULES} | {"fell": {"do": "hold"}}
    )

    def falls(current: CurrentReports) -> set[str]:
        found = set()
        for report in election.reports:
            if evaluate(current, report, only_fell).holding:
                found.add(report.unit)
            current.place(report)
        return found

    all_falls = falls(CurrentReports(election.registry, Unexplained()))
    assert len(all_falls) == 14
    explained = all_falls - falls(CurrentReports(election.registry))
    assert explained == {*COPIES, "3433-4001", "3451-4009", "3430-4001"}


class Held(NamedTuple):
    """An open hold."""

    since: datetime
    report: Report


class Night:
    """The whole count with holds in force, and an operator who decides after five minutes.

    The operator rejects what is wrong, and releases all else.
    """

    def __init__(self, registry: Registry) -> None:
        self.current = CurrentReports(registry)
        self.placed: list[Report] = []
        self.rejected: set[tuple[str, int]] = set()
        self.highest = 0
        self._open: dict[str, Held] = {}

    def receive(self, report: Report) -> None:
        self._decide(moment(report))
        self._open.pop(report.unit, None)  # superseded
        if evaluate(self.current, report, recommended()).holding:
            self._open[report.unit] = Held(moment(report), report)
        else:
            self._place(report)

    def end(self) -> None:
        self._decide(datetime.max.replace(tzinfo=PUBLISHED_FROM.tzinfo))

    def _decide(self, now: datetime) -> None:
        for held in sorted(self._open.values(), key=lambda each: each.since):
            if held.since + DECIDED_AFTER <= now:
                report = self._open.pop(held.report.unit).report
                if (report.unit, report.revision) in WRONG:
                    self.rejected.add((report.unit, report.revision))
                else:
                    self._place(report)

    def _place(self, report: Report) -> None:
        self.current.place(report)
        self.placed.append(report)
        self.highest = max(self.highest, self.current.ballots(0))


@pytest.fixture(scope="module")
def night(election: Election) -> Night:
    night = Night(election.registry)
    for report in election.reports:
        night.receive(report)
    night.end()
    return night


def test_with_holds_the_wrong_counts_are_never_public(night: Night, election: Election) -> None:
    assert night.rejected == WRONG
    assert not WRONG & {(report.unit, report.revision) for report in night.placed}
    assert night.highest == 3_246_407
    everything = CurrentReports(election.registry)
    highest = 0
    for report in election.reports:
        everything.place(report)
        highest = max(highest, everything.ballots(0))
    assert highest == 3_264_730


def test_with_holds_the_result_is_the_official_one(night: Night, recorded: Path) -> None:
    """Ballots, blank votes and the votes of every party, in every category and area above the units."""
    registry = night.current.registry
    finals = DataSet.open(recorded).official_finals()
    assert finals.keys() == {area.id for area in registry.areas if not area.is_unit}
    for identifier, line in finals.items():
        sums = night.current.sums(registry.by_id[identifier].index)
        for category, columns in zip(registry.categories, night.current.columns, strict=True):
            *votes, blank = sums[columns]
            official: Mapping[str, int] = line["counts"][category]["votes"]
            assert blank == line["counts"][category]["blank"], identifier
            assert votes == [official.get(party, 0) for party in registry.party_codes], identifier
    assert night.current.ballots(0) == 3_246_318
