"""Memory that senders share: none can take all of it, and there is always enough for a small request."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.web.shares import ByteBudget

MOST, RESERVE = 1_000, 10


def filled(shared: ByteBudget, sender: str, step: int = 1) -> int:
    """Take as much as one sender may have, and return it."""
    while shared.fits(sender, step):
        shared.add(sender, step)
    return shared.of(sender)


def test_one_sender_leaves_half_free_and_several_leave_a_part() -> None:
    """Each new one gets half of what is free at that time."""
    shared = ByteBudget(MOST, RESERVE)
    assert [filled(shared, sender) for sender in "abc"] == [500, 250, 125]
    assert shared.total == 875
    assert not shared.fits("d", 126)
    assert shared.fits("d", 62)


def test_the_reserve_is_available_when_all_else_is_taken() -> None:
    """For every sender; above it, nothing."""
    shared = ByteBudget(MOST, RESERVE)
    for sender in range(500):
        filled(shared, str(sender))
    assert shared.total >= MOST
    assert shared.fits("honest", RESERVE)
    assert not shared.fits("honest", RESERVE + 1)


def test_bytes_that_are_released_are_available_to_others() -> None:
    """Nothing is kept for a sender that has none, including senders that came only once."""
    shared = ByteBudget(MOST, RESERVE)
    taken = filled(shared, "a")
    assert not shared.fits("b", 501)
    shared.add("a", -taken)
    assert (shared.total, len(shared), shared.of("a")) == (0, 0, 0)
    assert shared.fits("b", 501)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(-100, 400)), max_size=60))
def test_all_senders_together_never_exceed_the_budget(changes: list[tuple[int, int]]) -> None:
    """Apart from the reserve of each sender; and the total is the sum of the parts."""
    shared = ByteBudget(MOST, RESERVE)
    for sender, more in changes:
        if more < 0:
            shared.add(sender, max(more, -shared.of(sender)))
        elif shared.fits(sender, more):
            shared.add(sender, more)
        assert shared.total == sum(shared.of(each) for each in range(6))
        assert shared.total <= MOST + 6 * RESERVE
