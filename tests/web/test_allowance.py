"""The allowance for work for one address alone: regained at a rate, separate per address, and bounded in total."""

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
def test_an_address_never_uses_more_than_its_rate_and_burst_and_one_item(
    moves: list[tuple[float, int]],
) -> None:
    """At any moment. After waiting for `wait_s` it may continue."""
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


def test_addresses_have_separate_allowances_and_a_common_bound() -> None:
    """Twice ALL addresses cannot all use up their allowances."""
    clock = Clock()
    allowance = Allowance(RATE, clock)
    for number in range(2 * ALL):
        assert allowance.wait_s(str(number)) == 0
        allowance.use(str(number), RATE * BURST_S)
    assert allowance.wait_all_s() == BURST_S
    clock.now += BURST_S
    assert allowance.wait_all_s() == 0


def test_no_rate_is_no_limit() -> None:
    """As for other limits."""
    allowance = Allowance(None, Clock())
    allowance.use("a", 1e12)
    assert (allowance.wait_s("a"), allowance.wait_all_s(), allowance._used) == (0, 0, {})


def test_the_addresses_that_used_most_are_remembered() -> None:
    """Whatever the number of addresses."""
    allowance = Allowance(RATE, Clock())
    allowance.use("greedy", 10 * RATE * BURST_S)
    for number in range(3 * ADDRESSES_MAX):
        allowance.use(str(number), 1)
        assert len(allowance._used) <= ADDRESSES_MAX
    assert allowance.wait_s("greedy") > 0
