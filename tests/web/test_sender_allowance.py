"""What a sender may spend: never more than a rate over time and a burst."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.sender_allowance import SENDER_CONTROL_BURST, Allowances
from gateway.web.token_bucket import TokenBucket


@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 5)), max_size=50),
    st.floats(0.5, 100),
    st.floats(1, 100),
)
def test_no_more_is_spent_without_waiting_than_the_rate_and_a_burst(
    spendings: list[tuple[float, float]], rate: float, burst: float
) -> None:
    """A sender that waits as long as required has no debt then, and never owes more than the last amount."""
    allowance = TokenBucket(rate, burst)
    now = spent = 0.0
    for pause_s, amount in spendings:
        now += pause_s
        spent += amount
        owed_s = allowance.spend(amount, now)
        assert owed_s * rate <= amount + 1e-6
        assert spent <= burst + rate * (now + owed_s) + 1e-6
        now += owed_s
    assert allowance.full(now + burst / rate + 1)


def test_an_allowance_is_used_up_and_comes_back() -> None:
    """Ten at once and two per second; a clock that does not advance gives nothing."""
    allowance = TokenBucket(2.0, 10.0)
    assert [allowance.spend(1.0, 5.0) for _ in range(11)] == [0.0] * 10 + [0.5]
    assert not allowance.full(5.0)
    assert allowance.spend(1.0, 6.0) == 0.0
    assert allowance.full(11.0)


def test_a_sender_that_reconnects_still_has_its_debt() -> None:
    """All its connections share one allowance, which is forgotten only when it is full again."""
    allowances = Allowances()
    first, second = allowances.enter(7), allowances.enter(7)
    assert first is second
    assert allowances.enter(8) is not first
    first.control.spend(SENDER_CONTROL_BURST, 1.0)
    for sender in (7, 7, 8):
        allowances.leave(sender)
    allowances.prune(2.0)
    assert len(allowances) == 1
    assert allowances.enter(7).control.spend(SENDER_CONTROL_BURST, 2.0) > 0
    allowances.leave(7)
    allowances.prune(1000.0)
    assert len(allowances) == 0


def test_leaving_without_entering_is_an_error() -> None:
    """A broken invariant raises."""
    with pytest.raises(KeyError):
        Allowances().leave(7)
