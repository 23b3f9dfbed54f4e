"""Delays between attempts: doubled up to a bound, reset after a success, and jittered."""

from gateway.backoff import Backoff, with_jitter


def test_backoff_doubles_up_to_its_bound() -> None:
    """And starts over once it is reset."""
    backoff = Backoff()
    assert [backoff.next() for _ in range(9)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    backoff.reset()
    assert backoff.next() == 0.1


def test_first_and_longest_delay_can_be_chosen() -> None:
    """As clients and the journal do."""
    backoff = Backoff(0.2, 0.5)
    assert [backoff.next() for _ in range(3)] == [0.2, 0.4, 0.5]


def test_jitter_stays_between_half_and_all_of_a_delay() -> None:
    """Many clients that lost their connection together come back spread out."""
    assert all(1.0 <= with_jitter(2.0) <= 2.0 for _ in range(1000))
