"""Plans are drawn from a seed alone, survive being stored, and shrink to what makes them fail."""

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest

from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.validation import Scope, Validator, ValidReport
from tests.simulation.drawing import KINDS, draw
from tests.simulation.plan import (
    Fault,
    Plan,
    decode,
    encode,
    municipality,
    registry,
    rising,
    tidied,
    units_of,
)
from tests.simulation.shrink import shrink

START = datetime(2025, 9, 8, 19, tzinfo=UTC)
PLANS = [draw(seed) for seed in range(1, 301)]
DIGESTS = """
import hashlib
from tests.simulation.drawing import draw
from tests.simulation.plan import encode
print(hashlib.sha256(b"".join(encode(draw(seed)) for seed in range(1, 21))).hexdigest())
"""


def test_a_seed_draws_the_same_plan_whatever_the_hash_seed() -> None:
    """Two interpreters whose sets iterate differently agree."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGESTS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_plan_is_stored_as_json_and_read_again() -> None:
    """Nothing of it is lost."""
    for plan in PLANS:
        assert decode(encode(plan)) == plan


def test_the_plans_have_every_kind_of_fault_topology_and_client() -> None:
    """No kind is rare: each is in at least two of a hundred plans, but for acts that end a sender or the election."""
    kinds = Counter(fault.kind for plan in PLANS for fault in plan.faults)
    assert kinds.keys() == KINDS.keys()
    assert min(kinds.values()) >= len(PLANS) // 50
    assert {(plan.push_processes, plan.feeds) for plan in PLANS} == {
        (p, f) for p in (1, 2, 3) for f in (1, 2)
    }
    assert {(plan.standby, plan.replica) for plan in PLANS} == {(False, False), (True, False), (True, True)}
    assert {plan.rules for plan in PLANS} == {"off", "warn", "hold"}
    assert any(plan.publish_from_s < 0 for plan in PLANS)
    assert any(0 < plan.publish_from_s < plan.lasts_s for plan in PLANS)
    assert any(plan.publish_from_s > plan.lasts_s for plan in PLANS)
    assert {sender.transport for plan in PLANS for sender in plan.senders} == {"websocket", "http", "ndjson"}
    assert any(len({sender.municipality for sender in plan.senders}) < len(plan.senders) for plan in PLANS)


def test_what_few_nights_have_is_drawn() -> None:
    """Small sizes, and a unit whose reports Postgres refuses."""
    small = [plan for plan in PLANS if plan.small]
    refusing = [plan for plan in PLANS if plan.unstorable]
    assert len(PLANS) // 5 < len(small) < len(PLANS) // 2
    assert len(PLANS) // 20 < len(refusing) < len(PLANS) // 5
    for plan in refusing:
        assert plan.unstorable in {
            unit for place in range(plan.municipalities) for unit in units_of(municipality(place), plan.units)
        }


def test_reports_are_valid_unless_they_are_invalid_on_purpose() -> None:
    """The gateway's own validator says so."""
    registries: dict[int, Registry] = {}
    for plan in PLANS[:100]:
        key = 10 * plan.municipalities + plan.units
        election = registries.setdefault(key, read_registry(registry(plan, START)))
        for sender in plan.senders:
            scope = Scope(election, frozenset({sender.municipality}))
            for report in sender.reports:
                checked = Validator(election).check(report.body, scope)
                assert isinstance(checked, ValidReport) == (not report.invalid), (report, checked)


def test_units_of_one_sender_whose_revisions_rise_are_known() -> None:
    """Another sender, or a revision that does not rise, takes a unit out."""
    assert sum(map(len, map(rising, PLANS))) > len(PLANS)
    plan = next(each for each in PLANS if len(each.senders) == 2 and rising(each))
    unit = min(rising(plan))
    first, second = plan.senders
    own = first if any(report.unit == unit for report in first.reports) else second
    report = next(each for each in own.reports if each.unit == unit)
    both = [
        msgspec.structs.replace(each, reports=(*each.reports, report)) if other else each
        for each, other in ((first, first is not own), (second, second is not own))
    ]
    assert unit not in rising(msgspec.structs.replace(plan, senders=tuple(both)))
    twice = msgspec.structs.replace(own, reports=(*own.reports, report))
    assert unit not in rising(msgspec.structs.replace(plan, senders=(twice,)))


def _needs(plan: Plan, *, kinds: set[str], reports: int) -> bool:
    """Whether a plan has faults of these kinds, a reader, and this many reports of the first unit."""
    unit = units_of(municipality(0), 1)[0]
    of_unit = sum(report.unit == unit for sender in plan.senders for report in sender.reports)
    return kinds <= {fault.kind for fault in plan.faults} and of_unit >= reports and len(plan.readers) > 0


@pytest.mark.parametrize("seed", [3, 17, 40])
def test_a_plan_shrinks_to_what_makes_it_fail(seed: int) -> None:
    """What is left is exactly what the predicate needs."""
    drawn = draw(seed)
    faults = (Fault(1.0, "kill", of="push-1", seconds=2.0), Fault(2.0, "freeze", seconds=4.0))
    plan = tidied(msgspec.structs.replace(drawn, faults=(*drawn.faults, *faults)))
    small = shrink(plan, lambda each: _needs(each, kinds={"kill", "freeze"}, reports=2))
    assert sorted(fault.kind for fault in small.faults) == ["freeze", "kill"]
    assert small.reports == 2
    assert len(small.readers) == 1
    assert (small.push_processes, small.feeds, small.standby, small.rules) == (1, 1, False, "off")
    assert small.lasts_s == pytest.approx(0.5)


def test_a_plan_that_fails_under_another_seed_only_still_shrinks() -> None:
    """The order of callbacks changes with the plan, so that a smaller one may need another seed."""
    plan = draw(8)
    small = shrink(plan, lambda each: each.seed == plan.seed + 1 or len(each.faults) == len(plan.faults))
    assert (small.faults, small.reports, small.seed) == ((), 0, plan.seed + 1)


def test_shrinking_ends_after_a_number_of_runs() -> None:
    """Each run of a plan costs time."""
    runs = []

    def fails(plan: Plan) -> bool:
        runs.append(plan)
        return True

    shrink(draw(1), fails, tries_max=7)
    assert len(runs) == 7


def test_a_fault_of_what_a_plan_does_not_have_is_left_out() -> None:
    """As after a process, a client or the standby has been taken away."""
    plan = msgspec.structs.replace(
        draw(1),
        push_processes=1,
        standby=False,
        faults=(Fault(1.0, "kill", of="push-2"), Fault(1.0, "failover"), Fault(1.0, "freeze", seconds=1.0)),
    )
    assert [fault.kind for fault in tidied(plan).faults] == ["freeze"]
