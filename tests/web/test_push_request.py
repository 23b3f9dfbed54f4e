"""One push request while it waits for its outcomes."""

import asyncio

from gateway.election.outcome import Outcome, Retry
from gateway.web.push_request import ANSWER_S, Gathering, Patience
from tests.journal.makers import a_report


async def test_a_request_that_nobody_decides_is_answered_retry_when_patience_ends() -> None:
    """What is decided by then is told; of those that came later nobody is given up with it."""
    patience = Patience()
    decided = Retry("overloaded", 1.0)
    outcomes: list[Outcome | None] = [decided, None]
    early = Gathering(outcomes, {1: a_report("a-1")})
    waiting = asyncio.create_task(early.decided(patience))
    await asyncio.sleep(0)
    patience.pass_time(1.0)
    late = Gathering([None], {0: a_report("a-2")})
    later = asyncio.create_task(late.decided(patience))
    await asyncio.sleep(0)

    patience.pass_time(ANSWER_S - 1.5)
    await asyncio.sleep(0)
    assert not waiting.done()

    patience.pass_time(0.5)
    told = await waiting
    assert told[0] is decided
    assert isinstance(told[1], Retry)
    assert (told[1].code, told[1].unit, told[1].revision) == ("journal_unavailable", "a-1", 1)
    assert not later.done()

    late.settle(0, decided)
    late.flush()
    assert await later == [decided]
    patience.pass_time(2 * ANSWER_S)


async def test_a_request_that_is_cancelled_is_forgotten() -> None:
    """Its client has left; an outcome that comes later finds nobody."""
    patience = Patience()
    gathering = Gathering([None], {0: a_report("a-1")})
    waiting = asyncio.create_task(gathering.decided(patience))
    await asyncio.sleep(0)
    assert len(patience) == 1
    waiting.cancel()
    await asyncio.wait({waiting})
    assert len(patience) == 0
    gathering.settle(0, Retry("draining", 1.0))
    gathering.flush()
