"""Faults injected at random places of the recorded election are noticed at least as often as documented."""

import random
from pathlib import Path

import pytest

from tests.counts import count, variants
from tests.election.rules.elections import Election, disguised, recorded_election
from tests.election.rules.faults import FAULTS, HARDLY_FOUND, Rate, rates

COPIES = count(25, full=200)
SEED = 2025


@pytest.fixture(scope="module")
def election(recorded: Path) -> Election:
    return recorded_election(recorded)


@pytest.mark.parametrize(
    "is_disguised", variants([False, True], False), ids=lambda each: "disguised" if each else "recorded"
)
def test_injected_faults_are_noticed_as_often_as_documented(election: Election, is_disguised: bool) -> None:
    """Also where municipalities, parties and figures are other ones, so that no threshold fits only these."""
    draw = random.Random(SEED)
    if is_disguised:
        election = disguised(election, draw)
    found = rates(election, FAULTS, COPIES, draw)
    assert found.keys() == FAULTS.keys()
    for name, rate in found.items():
        assert rate.injected == COPIES
        assert not rate.is_below(FAULTS[name].floor), (name, rate)


def test_a_rate_is_below_its_floor_only_if_chance_does_not_explain_it() -> None:
    """With a confidence of 99.9 %."""
    assert not Rate(194, 200, []).is_below(99)
    assert Rate(193, 200, []).is_below(99) is (chance_of_at_most(193, 200, 0.99) < 0.001)
    assert Rate(185, 200, []).is_below(99)
    assert Rate(199, 200, []).is_below(100)
    assert not Rate(0, 0, []).is_below(99)


def chance_of_at_most(noticed: int, injected: int, share: float) -> float:
    """By adding up the chances of each way in which faults may be noticed, one after another."""
    chances = [1.0]
    for _ in range(injected):
        more = [0.0, *(share * each for each in chances)]
        fewer = [*((1 - share) * each for each in chances), 0.0]
        chances = [one + other for one, other in zip(more, fewer, strict=True)]
    return sum(chances[: noticed + 1])


def test_doubled_figures_in_a_first_report_are_hardly_ever_found(election: Election) -> None:
    """The documents say so: nothing but the number of eligible voters speaks against them."""
    (rate,) = rates(election, HARDLY_FOUND, count(50, full=200), random.Random(SEED)).values()
    assert rate.noticed < rate.injected // 4
