"""Turns to work: taken from the senders in turn, a slice at a time, however much work one of them has."""

import asyncio
from collections import Counter
from collections.abc import Generator

import pytest

from gateway.web.turns import SHORT_S, SLICE_S, Turns
from tests.clocks import ManualClock
from tests.journal.makers import TIMEOUT_S

LONG = 1.0
"""Seconds that a sender expects to work: more than a slice."""


class Clock(ManualClock):
    """A clock that moves only by work."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []

    def steps(self, name: str, count: int, seconds: float = 1.5 * SLICE_S) -> Generator[None, None, str]:
        """Work in so many steps, each a little longer than a slice by default."""
        for _ in range(count):
            self.advance(seconds)
            self.log.append(name)
            yield
        return name


async def worked(
    turns: Turns, sender: str, steps: Generator[None, None, str], expected_s: float = LONG
) -> str:
    async with turns.work(sender, expected_s) as work:
        return await work.run(steps)


async def gather(*works: asyncio.Task[str]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*works)


async def test_work_begins_at_once_if_no_other_waits() -> None:
    """It costs no turn of the loop."""
    turns, begun = Turns(clock=ManualClock()), []

    async def work() -> None:
        async with turns.work("a", LONG):
            begun.append(True)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    assert begun
    await task


async def test_short_work_needs_no_turn_unless_much_was_worked_or_others_wait() -> None:
    """It may begin after a whole slice, but neither after SHORT_S nor before those who wait."""
    turns = Turns(clock=ManualClock())
    turns.worked(SLICE_S)
    assert turns.free_for_short
    assert not turns.free
    waiting = asyncio.create_task(turns.wait("a", LONG))
    await asyncio.sleep(0)
    assert not turns.free_for_short
    await waiting
    assert turns.free_for_short
    turns.worked(SHORT_S)
    assert not turns.free_for_short


async def test_a_short_request_waits_for_one_slice_of_each_other_sender() -> None:
    """Not for all their work, nor for each of their requests."""
    clock = Clock()
    turns = Turns(clock=clock)
    flood = [asyncio.create_task(worked(turns, "flood", clock.steps("flood", 20))) for _ in range(10)]
    other = asyncio.create_task(worked(turns, "other", clock.steps("other", 20)))
    while clock.log.count("other") < 3:  # noqa: ASYNC110 - the loop is what is tested
        await asyncio.sleep(0)
    clock.log.clear()
    await gather(asyncio.create_task(worked(turns, "honest", clock.steps("honest", 1))))
    before = clock.log[: clock.log.index("honest")]
    assert before.count("flood") <= 3  # one slice, and those whose turn had begun when it came
    assert before.count("other") <= 3
    await gather(*flood, other)


async def test_senders_get_the_same_number_of_slices() -> None:
    """However many requests each has at once."""
    clock = Clock()
    turns = Turns(clock=clock)
    many = [asyncio.create_task(worked(turns, "many", clock.steps("many", 10))) for _ in range(10)]
    one = asyncio.create_task(worked(turns, "one", clock.steps("one", 30)))
    await gather(one)
    assert abs(clock.log.count("many") - 30) <= 4  # those that began before, and while it ended
    await gather(*many)
    assert clock.log.count("many") == 100


async def test_other_callbacks_run_between_two_slices() -> None:
    """Scheduled callbacks run after one slice, or two."""
    clock = Clock()
    turns, loop = Turns(clock=clock), asyncio.get_running_loop()
    works = [asyncio.create_task(worked(turns, str(n), clock.steps("slice", 10))) for n in range(5)]

    def tick() -> None:
        clock.log.append("tick")
        if any(not work.done() for work in works):
            loop.call_soon(tick)

    tick()
    await gather(*works)
    in_a_row = max(len(each) for each in "".join("s" if e == "slice" else " " for e in clock.log).split())
    assert in_a_row <= 2


async def test_many_short_requests_share_a_turn_of_the_loop() -> None:
    """So a flood does not cost each of them a turn of the loop."""
    clock = Clock()
    turns = Turns(clock=clock)
    flood = asyncio.create_task(worked(turns, "flood", clock.steps("flood", 100)))
    while not clock.log:  # noqa: ASYNC110 - the loop is what is tested
        await asyncio.sleep(0)
    short = SLICE_S / 50
    works = [
        asyncio.create_task(worked(turns, str(number), clock.steps("short", 1, short), short))
        for number in range(50)
    ]
    await gather(*works)
    assert clock.log.count("flood") < 10
    await gather(flood)


async def test_work_that_takes_longer_than_expected_takes_no_turns_of_others() -> None:
    """As for a small body that unpacks to a large one: still one slice, or two, in a turn of the loop."""
    clock = Clock()
    turns, loop = Turns(clock=clock), asyncio.get_running_loop()
    works = [
        asyncio.create_task(worked(turns, str(n % 5), clock.steps(str(n), 3), SLICE_S / 1000))
        for n in range(40)
    ]

    def tick() -> None:
        clock.log.append("tick")
        if any(not work.done() for work in works):
            loop.call_soon(tick)

    tick()
    await gather(*works)
    slices = "".join(" " if each == "tick" else "s" for each in clock.log)
    assert slices.count("s") == 40 * 3
    served = [int(each) % 5 for each in clock.log if each != "tick"]
    for start in range(0, 100, 20):  # of each of the five senders about a fifth, at any time
        assert max(Counter(served[start : start + 20]).values()) <= 7
    assert max(map(len, slices.split())) <= 2


async def test_a_turn_of_a_cancelled_request_goes_to_the_next() -> None:
    """Whether it was cancelled while it waited or after it got its turn, and its error propagates."""
    clock = Clock()
    turns = Turns(clock=clock)
    works = [asyncio.create_task(worked(turns, str(n), clock.steps(str(n), 5))) for n in range(6)]
    for number in (1, 3):
        await asyncio.sleep(0)
        works[number].cancel()
    await gather(*(works[number] for number in (0, 2, 4, 5)))
    assert works[1].cancelled()
    assert works[3].cancelled()
    assert len(turns) == 0

    def failing() -> Generator[None, None, str]:
        yield
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await worked(turns, "a", failing())
    assert await worked(turns, "a", clock.steps("after", 3)) == "after"
