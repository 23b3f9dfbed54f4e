"""Current reports depend on the placed reports alone, however they came to be placed."""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.report import NewerReport, Report
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.evaluation import NOTHING, evaluate
from tests.counts import examples
from tests.election.makers import STATUSES
from tests.election.rules.small import PARTIES, REGISTRY, SmallElection, counts, report

FIGURES = ((0,) * 5, (400, 300, 200, 100, 50), (300, 400, 200, 100, 50), (100, 1, 1, 1, 0), (9, 8, 7, 6, 5))
TIMES = ("2025-09-08T21:10:00+02:00", "2025-09-08T19:30:00Z", "2025-09-08T23:00:00.5+02:00")


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Reports of which many repeat, exchange, move or double the figures of others."""
    figures = st.sampled_from(FIGURES).flatmap(
        lambda votes: st.sampled_from((votes, tuple(2 * each for each in votes), votes[::-1]))
    )
    counted = draw(st.dictionaries(st.sampled_from(REGISTRY.categories), figures))
    return report(
        draw(st.sampled_from(("n1-1", "n1-2", "n2-1", "s1-1"))),
        counted_at=draw(st.sampled_from(TIMES)),
        status=draw(st.sampled_from(STATUSES)),
        **{name: counts(*votes, blank=draw(st.integers(0, 2))) for name, votes in counted.items()},
    )


def placed(many: Sequence[Report]) -> CurrentReports:
    current = CurrentReports(REGISTRY)
    for each in many:
        current.place(each)
    return current


def content(current: CurrentReports, probes: Sequence[Report]) -> dict[str, Any]:
    """Everything that can be seen of current reports: figures, sums, growths, and what the rules find."""
    policy = SmallElection().policy
    areas = REGISTRY.areas
    return {
        "position": current.position,
        "sums": [list(current.sums(area.index)) for area in areas],
        "grown": [current.grown(area.index) for area in areas],
        "near": [
            list(current.growths.near(sum(votes), votes, 100))
            for each in FIGURES[1:]
            for votes in ((*each, blank) for blank in range(3))
        ],
        "found": [evaluate(current, probe, policy) for probe in probes],
    }


@given(
    kept=st.lists(reports(), max_size=6), tried=st.lists(reports(), max_size=15), probes=st.lists(reports())
)
@settings(max_examples=examples(500), deadline=None)
def test_rolling_back_restores_exactly_what_was_there(
    kept: list[Report], tried: list[Report], probes: list[Report]
) -> None:
    current = placed(kept)
    current.checkpoint()
    for each in tried:
        current.place(each)
    current.roll_back()
    assert content(current, probes) == content(placed(kept), probes)
    for each in tried:
        current.place(each)
    assert content(current, probes) == content(placed([*kept, *tried]), probes)


@given(
    steps=st.lists(st.lists(reports(), max_size=5) | st.sampled_from(["keep", "roll back"]), max_size=9),
    probe=reports(),
)
@settings(max_examples=examples(500), deadline=None)
def test_what_rules_find_depends_on_the_record_alone(steps: list[list[Report] | str], probe: Report) -> None:
    """Not on batches, on those that were rolled back, nor on what was evaluated in between.

    A batch may begin before the one before it has ended: the oldest is kept first, the newest is rolled back first.
    """
    current, record, begun = CurrentReports(REGISTRY), list[Report](), list[list[Report]]()
    policy = SmallElection().policy
    for step in steps:
        if isinstance(step, list):
            current.checkpoint()
            begun.append(step)
            for each in step:
                evaluate(current, each, policy)
                current.place(each)
        elif begun and step == "keep":
            current.keep()
            record += begun.pop(0)
        elif begun:
            current.roll_back()
            begun.pop()
    while begun:
        current.roll_back()
        begun.pop()
    assert content(current, [probe]) == content(placed(record), [probe])


WITHIN = {
    "duplicate_elsewhere": {"do": "off"},
    "fell": {"do": "off"},
    "party_excess": {"reference": {"municipality": 20}},
    "exchanged": {"reference": {"municipality": 20}},
}
"""Settings with which no rule compares a report with those of other municipalities (docs/operation.md)."""


@given(own=st.lists(reports(), max_size=8), others=st.lists(reports(), max_size=8), probe=reports())
@settings(max_examples=examples(500), deadline=None)
def test_rules_that_compare_within_the_municipality_tell_nothing_of_others(
    own: list[Report], others: list[Report], probe: Report
) -> None:
    """Whatever other municipalities report, under embargo for example."""
    municipality = probe.unit.partition("-")[0]
    here = [each for each in own if each.unit.startswith(municipality)]
    elsewhere = [each for each in others if not each.unit.startswith(municipality)]
    policy = SmallElection(WITHIN).policy
    alone = evaluate(placed(here), probe, policy)
    among_others = evaluate(placed([*elsewhere, *here]), probe, policy)
    assert [each.code for each in among_others.fired] == [each.code for each in alone.fired]


@given(many=st.lists(reports(), min_size=1, max_size=10), status=st.sampled_from(STATUSES))
@settings(max_examples=examples(300), deadline=None)
def test_a_report_with_the_figures_of_the_current_one_fires_nothing(many: list[Report], status: str) -> None:
    current = placed(many)
    same = msgspec.structs.replace(many[-1], revision=2, status=status, counted_at="1999-01-01T00:00:00Z")
    assert evaluate(current, same, SmallElection().policy) is NOTHING


@given(many=st.lists(reports(), max_size=12))
@settings(max_examples=examples(300), deadline=None)
def test_sums_are_those_of_the_current_reports(many: list[Report]) -> None:
    """And so is the reference of a unit: the sum of the others."""
    current = placed(many)
    latest = {each.unit: each for each in many}
    for area in REGISTRY.areas:
        below = [each for each in latest.values() if REGISTRY.units[each.unit].index in REGISTRY.below(area)]
        ballots = sum(each.ballots for each in below)
        assert current.ballots(area.index) == ballots
        votes = [
            sum(counts.votes.get(party, 0) for each in below for counts in each.counts.values())
            for party in PARTIES
        ]
        assert current.votes(current.sums(area.index)) == votes
    for each in latest.values():
        step = current.step(each)
        others = current.votes(current.sums(step.municipality))
        own = current.votes(step.before)
        found = (
            current.reference(step, 0, {"municipality": 1}),
            current.reference(step, 1, {"municipality": 1}),
        )
        total = sum(reference.total for reference in found if reference)
        assert total == sum(others) - sum(own)


def test_a_stored_report_with_unknown_content_counts_as_far_as_it_is_known() -> None:
    """A newer version of the gateway may have written it."""
    known = report("n1-1", advance=(5, 4, 3, 2, 1))
    newer = NewerReport(
        unit="n1-1",
        revision=1,
        counted_at=known.counted_at,
        status="recounted",  # type: ignore[arg-type]
        counts={
            "advance": msgspec.structs.replace(
                known.counts["advance"], votes={"A": 5, "Z": 9, "C": 3}, blank=7
            ),
            "by_post": known.counts["advance"],
        },
        unknown=("status recounted",),
    )
    current = placed([newer])
    assert list(current.figures(REGISTRY.units["n1-1"])) == [5, 0, 3, 0, 0, 7, *(0,) * 6]
    assert current.step(known).status_before is None
