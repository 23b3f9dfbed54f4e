"""Growths that nearly equal another one are found without comparing all of them."""

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.growths import COMPARED_MAX, SEEN_MAX, Growth, Growths, distance
from tests.counts import examples

votes = st.lists(
    st.sampled_from((-3, 0, 1, 5, 60, 61, 63, 100, 101, 120, 1000)), min_size=4, max_size=4
).filter(lambda each: sum(each) > 0)
vectors = votes.flatmap(lambda each: st.sampled_from((each, [10 * vote for vote in each], each[::-1])))


def growth(position: int, counted: list[int]) -> Growth:
    return Growth(position % 7, position % 3, position % 2, sum(counted), array("i", counted), position)


def kept(many: list[Growth]) -> Growths:
    growths = Growths()
    for each in many:
        growths.add(each)
    return growths


@given(many=st.lists(vectors, max_size=40), wanted=vectors, permille=st.sampled_from((0, 5, 20, 100, 999)))
@settings(max_examples=examples(500), deadline=None)
def test_all_that_differ_little_are_found(many: list[list[int]], wanted: list[int], permille: int) -> None:
    growths = [growth(number, each) for number, each in enumerate(many)]
    found = list(kept(growths).near(sum(wanted), wanted, permille))
    most = sum(wanted) * permille // 1000
    expected = [
        (distance(each.votes, wanted), each) for each in growths if distance(each.votes, wanted) <= most
    ]
    assert sorted(found) == sorted(expected)


@given(many=st.lists(vectors, max_size=20), removed=st.sets(st.integers(0, 19)), wanted=vectors)
@settings(max_examples=examples(300), deadline=None)
def test_what_is_found_depends_only_on_what_is_there(
    many: list[list[int]], removed: set[int], wanted: list[int]
) -> None:
    """In the same order, whatever was added before, removed, or added in another order."""
    growths = [growth(number, each) for number, each in enumerate(many)]
    remaining = [each for each in growths if each.position not in removed]
    changed = kept(growths)
    for each in growths:
        if each.position in removed:
            changed.remove(each)
    other_order = kept(remaining[::-1])
    assert len(changed) == len(remaining)
    for permille in (0, 20, 500):
        found = list(changed.near(sum(wanted), wanted, permille))
        assert found == list(kept(remaining).near(sum(wanted), wanted, permille))
        assert found == list(other_order.near(sum(wanted), wanted, permille))


def test_a_growth_that_is_not_there_cannot_be_removed() -> None:
    """Not even one that is equal to one that is."""
    growths = kept([growth(1, [60, 60, 0, 0])])
    with pytest.raises(KeyError):
        growths.remove(growth(1, [60, 60, 0, 0]))
    with pytest.raises(KeyError):
        growths.remove(growth(1, [600, 60, 0, 0]))
    assert len(growths) == 1


def test_only_so_many_are_compared() -> None:
    """Where thousands are alike, they are alike by chance, and one report must not take long."""
    alike = kept([growth(number, [100, 50, 25, 25]) for number in range(COMPARED_MAX + 1)])
    found = list(alike.near(200, [100, 50, 25, 25], 20))
    assert [each.position for _, each in found] == [*range(COMPARED_MAX)]
    many = [growth(number, [0, 50, 125, 25]) for number in range(SEEN_MAX)]
    last = growth(SEEN_MAX, [100, 50, 25, 25])
    assert not list(kept([*many, last]).near(200, last.votes, 20))
    assert list(kept([*many[1:], last]).near(200, last.votes, 20)) == [(0, last)]
