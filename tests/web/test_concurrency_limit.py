"""Concurrency limits: compared with a simple count."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.web.concurrency_limit import ConcurrencyLimit


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_uses_are_counted_by_key_and_nothing_is_stored_for_unused_keys(
    limit: int, steps: list[tuple[str, bool]]
) -> None:
    """After any sequence of uses that begin and end."""
    limits, model = ConcurrencyLimit(limit), Counter[str]()
    for key, enters in steps:
        if enters and not limits.full(key):
            limits.enter(key)
            model[key] += 1
        elif not enters and model[key]:
            limits.leave(key)
            model[key] -= 1
        assert [limits.count(each) for each in "abc"] == [model[each] for each in "abc"]
        assert [limits.full(each) for each in "abc"] == [model[each] >= limit for each in "abc"]
        assert set(limits._counts) == set(+model)


def test_no_limit_is_never_full() -> None:
    """Uses are counted all the same."""
    limits = ConcurrencyLimit(None)
    for _ in range(1000):
        limits.enter("a")
    assert limits.count("a") == 1000
    assert not limits.full("a")
