"""Many requests that wait for sequences: each is woken when its sequence is reached, and none delays the others."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feed import waiters as waiters_module
from gateway.feed.waiters import STALE_MAX, WAKE_SLICE, SequenceWaiters

LONG_S = 3600.0


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def begun(waiters: SequenceWaiters, sequences: list[int]) -> list[asyncio.Task[None]]:
    """Start this many waiters."""
    tasks = [asyncio.ensure_future(waiters.wait(sequence, LONG_S)) for sequence in sequences]
    await turns(1)
    assert len(waiters) == len(sequences)
    return tasks


def each_turn(woken: list[int]) -> Counter[int]:
    return Counter(woken)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 20)),
        st.tuples(st.just("reach"), st.integers(0, 20)),
        st.tuples(st.just("give up"), st.integers(0, 30)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(steps)
def test_a_waiter_is_woken_when_its_sequence_is_reached_and_not_before(steps: list[tuple[str, int]]) -> None:
    """Whichever others join or time out meanwhile."""

    async def play() -> None:
        waiters = SequenceWaiters()
        waiting: list[tuple[int, asyncio.Task[None]]] = []
        for what, number in steps:
            if what == "wait":
                waiting.append((number, asyncio.ensure_future(waiters.wait(number, LONG_S))))
            elif what == "reach":
                waiters.wake_up_to(number)
                await turns(3)
                assert all(task.done() == (sequence <= number) for sequence, task in waiting)
                waiting = [(sequence, task) for sequence, task in waiting if not task.done()]
            elif waiting:
                waiting.pop(number % len(waiting))[1].cancel()
            await turns(3)
            assert len(waiters) == len(waiting)
            assert len(waiters._sequences) <= 2 * len(waiters._at) + STALE_MAX
        waiters.wake_all()
        await turns(3)
        assert all(task.done() and not task.cancelled() for _, task in waiting)
        assert (len(waiters), len(waiters._sequences)) == (0, 0)

    asyncio.run(play())


async def test_a_waiter_times_out() -> None:
    """After its timeout it returns, and is removed."""
    waiters = SequenceWaiters()
    await waiters.wait(5, 0.001)
    assert (len(waiters), waiters._at) == (0, {})


async def test_nine_thousand_are_woken_in_slices() -> None:
    """Between two slices the event loop does other work."""
    waiters = SequenceWaiters()
    turn = 0
    woken: list[int] = []

    async def one() -> None:
        await waiters.wait(7, LONG_S)
        woken.append(turn)

    tasks = [asyncio.ensure_future(one()) for _ in range(9_000)]
    await turns(1)
    waiters.wake_up_to(7)
    while len(woken) < len(tasks):
        turn += 1
        await asyncio.sleep(0)
    assert max(each_turn(woken).values()) <= WAKE_SLICE


@pytest.mark.parametrize("order", ["first", "last", "random"])
async def test_the_cost_of_a_waiter_does_not_depend_on_their_number(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in comparisons of sequences, as in a linear search."""

    class Counted(int):
        comparisons = 0

        def __lt__(self, other: object) -> bool:
            Counted.comparisons += 1
            return int.__lt__(self, other)  # type: ignore[operator]

        def __eq__(self, other: object) -> bool:
            Counted.comparisons += 1
            return int.__eq__(self, other)

        __hash__ = int.__hash__

    monkeypatch.setattr(waiters_module, "WAKE_SLICE", 10**6)
    each: dict[int, float] = {}
    for count in (300, 9_000):
        Counted.comparisons = 0
        waiters = SequenceWaiters()
        sequences: list[Any] = [Counted(number) for number in range(count)]
        tasks = await begun(waiters, sequences)
        if order != "first":
            (random.Random(1).shuffle if order == "random" else list.reverse)(tasks)
        for task in tasks[: count // 2]:
            task.cancel()
        await turns(2)
        waiters.wake_up_to(count)
        await turns(2)
        assert len(waiters) == 0
        each[count] = Counted.comparisons / count
    assert each[9_000] < 3 * each[300]
