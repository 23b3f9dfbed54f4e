"""Bytes that senders share: nobody can take them all, and what is small always finds room."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.web.shares import ByteBudget

MOST, RESERVE = 1_000, 10


def filled(shared: ByteBudget, sender: str, step: int = 1) -> int:
    """Take as much as one sender may have, and return it."""
    while shared.fits(sender, step):
        shared.add(sender, step)
    return shared.of(sender)


def test_one_sender_leaves_half_free_and_more_leave_a_part_each() -> None:
    """Each new one finds as much as is then free, halved."""
    shared = ByteBudget(MOST, RESERVE)
    assert [filled(shared, sender) for sender in "abc"] == [500, 250, 125]
    assert shared.total == 875
    assert not shared.fits("d", 126)
    assert shared.fits("d", 62)


def test_the_reserve_is_there_when_all_else_is_taken() -> None:
    """For every sender; beyond it, nothing."""
    shared = ByteBudget(MOST, RESERVE)
    for sender in range(500):
        filled(shared, str(sender))
    assert shared.total >= MOST
    assert shared.fits("honest", RESERVE)
    assert not shared.fits("honest", RESERVE + 1)


def test_what_is_given_back_is_there_for_others_and_nothing_is_kept_of_who_has_none() -> None:
    """Also of senders that came only once."""
    shared = ByteBudget(MOST, RESERVE)
    taken = filled(shared, "a")
    assert not shared.fits("b", 501)
    shared.add("a", -taken)
    assert (shared.total, len(shared), shared.of("a")) == (0, 0, 0)
    assert shared.fits("b", 501)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-100, 400)), max_size=60))
def test_all_together_never_take_more_than_there_is(wishes: list[tuple[int, int]]) -> None:
    """Whatever comes and goes, besides the reserve of each sender; and the sum is that of the parts."""
    shared = ByteBudget(MOST, RESERVE)
    for sender, more in wishes:
        if more < 0:
            shared.add(sender, max(more, -shared.of(sender)))
        elif shared.fits(sender, more):
            shared.add(sender, more)
        assert shared.total == sum(shared.of(each) for each in range(6))
        assert shared.total <= MOST + 6 * RESERVE
