"""Plans: which report is sent, by whom and when; and to which elections."""

import json
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bench.load.plan import Planner, independent_times
from bench.load.target import NoTarget, running_target
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


def test_revisions_increase_from_plan_to_plan(planner: Planner) -> None:
    """So every report can be accepted."""
    last: dict[str, int] = {}
    for plan in (planner.every_unit(1.0), planner.steady(100, 2.0), planner.recorded()):
        assert plan
        for each in plan:
            assert each.revision == last.get(each.unit, 0) + 1
            assert json.loads(each.body)["revision"] == each.revision
            last[each.unit] = each.revision


def test_a_steady_plan_is_evenly_spaced(planner: Planner) -> None:
    plan = planner.steady(50, 4.0)
    assert len(plan) == 200
    assert [each.due_s for each in plan] == [place / 50 for place in range(200)]


def test_a_plan_of_every_unit_has_each_once_within_its_time(planner: Planner) -> None:
    plan = planner.every_unit(2.0)
    assert sorted(each.unit for each in plan) == sorted(planner.units)
    assert all(0 <= each.due_s < 2.0 for each in plan)


def test_a_sender_reports_only_its_own_units(planner: Planner) -> None:
    for sender in planner.senders:
        assert planner.units_of(sender)
    endless = planner.endless(planner.units_of(planner.senders[0]))
    assert {next(endless).sender for _ in range(50)} == {planner.senders[0]}


def test_independent_times_are_the_same_in_each_run_and_have_the_rate() -> None:
    times = independent_times(100.0, 2000)
    assert times == independent_times(100.0, 2000) == sorted(times)
    assert 18.0 < times[-1] < 22.0
    gaps = [after - before for before, after in pairwise(times)]
    assert max(gaps) > 0.04  # not evenly spaced
    assert sum(gap < 0.005 for gap in gaps) > 600


# Targets.


@pytest.mark.parametrize(("rehearsal", "accepted"), [(True, True), (False, False)])
async def test_only_a_rehearsal_is_put_under_load(rehearsal: bool, accepted: bool, tmp_path: Path) -> None:
    """A real election at a running gateway is refused before anything is sent."""
    tokens = tmp_path / "tokens.json"
    tokens.write_text('{"0301": "secret"}')

    async def election(_: web.Request) -> web.Response:
        registry = {"election": {"id": "e", "rehearsal": rehearsal}}
        return web.json_response({"registry": registry, "publish_from": "2025-09-08T21:00:00+02:00"})

    application = web.Application()
    application.router.add_get("/v1/elections/e", election)
    async with TestServer(application) as server:
        url = str(server.make_url(""))
        if accepted:
            assert (await running_target(url, url, "e", tokens)).tokens == {"0301": "secret"}
        else:
            with pytest.raises(NoTarget, match="not a rehearsal"):
                await running_target(url, url, "e", tokens)
