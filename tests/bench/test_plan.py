"""Plans: what is sent, by whom and when."""

import json
from datetime import datetime

import pytest

from bench.load.plan import Planner
from gateway.rehearsal.dataset import RecordedReport
from gateway.rehearsal.generator import GeneratedElection


@pytest.fixture
def planner(small: GeneratedElection) -> Planner:
    return Planner(
        RecordedReport(
            line["municipality"], line["report"], datetime.fromisoformat(line["report"]["counted_at"])
        )
        for line in small.reports
    )


def test_revisions_rise_from_plan_to_plan(planner: Planner) -> None:
    """So that every report is one that can be accepted."""
    last: dict[str, int] = {}
    for plan in (planner.whole(1.0), planner.steady(100, 2.0), planner.night()):
        assert plan
        for each in plan:
            assert each.revision == last.get(each.unit, 0) + 1
            assert json.loads(each.body)["revision"] == each.revision
            last[each.unit] = each.revision


def test_a_steady_plan_is_even(planner: Planner) -> None:
    plan = planner.steady(50, 4.0)
    assert len(plan) == 200
    assert [each.due_s for each in plan] == [place / 50 for place in range(200)]


def test_a_whole_plan_has_every_unit_once_within_its_time(planner: Planner) -> None:
    plan = planner.whole(2.0)
    assert sorted(each.unit for each in plan) == sorted(planner.units)
    assert all(0 <= each.due_s < 2.0 for each in plan)


def test_a_sender_reports_only_its_own_units(planner: Planner) -> None:
    for sender in planner.senders:
        assert planner.of(sender)
    endless = planner.endless(planner.of(planner.senders[0]))
    assert {next(endless).sender for _ in range(50)} == {planner.senders[0]}
