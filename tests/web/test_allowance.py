"""Work for one address alone comes back at a rate; others have theirs, and all together have a bound."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.web.allowance import ADDRESSES_MAX, ALL, BURST_S, Allowance


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


RATE = 100.0
moves = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 4000)), min_size=1, max_size=60)


@given(moves)
def test_an_address_never_has_more_than_its_rate_and_its_burst_and_one_thing(
    moves: list[tuple[float, int]],
) -> None:
    """Whenever it asks; and who waits as long as it was told may go on."""
    clock = Clock()
    allowance = Allowance(RATE, clock)
    made = 0.0
    for pause_s, units in moves:
        clock.now += pause_s
        if allowance.wait_s("a") > 0:
            clock.now += allowance.wait_s("a") + 1e-6
        assert allowance.wait_s("a") == 0
        assert made <= RATE * (clock.now + BURST_S) + 1e-3
        allowance.use("a", units)
        made += units


def test_addresses_have_each_their_own_and_all_together_a_bound() -> None:
    """Twice ALL addresses cannot all use up what each may."""
    clock = Clock()
    allowance = Allowance(RATE, clock)
    for number in range(2 * ALL):
        assert allowance.wait_s(str(number)) == 0
        allowance.use(str(number), RATE * BURST_S)
    assert allowance.wait_all_s() == BURST_S
    clock.now += BURST_S
    assert allowance.wait_all_s() == 0


def test_no_rate_is_no_limit() -> None:
    """As for the other limits."""
    allowance = Allowance(None, Clock())
    allowance.use("a", 1e12)
    assert (allowance.wait_s("a"), allowance.wait_all_s(), allowance._used) == (0, 0, {})


def test_of_addresses_those_that_used_most_are_remembered() -> None:
    """However many come."""
    allowance = Allowance(RATE, Clock())
    allowance.use("greedy", 10 * RATE * BURST_S)
    for number in range(3 * ADDRESSES_MAX):
        allowance.use(str(number), 1)
        assert len(allowance._used) <= ADDRESSES_MAX
    assert allowance.wait_s("greedy") > 0
