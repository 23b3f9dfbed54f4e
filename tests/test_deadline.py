"""Deadlines end a block that takes too long, but not because the loop was busy."""

import asyncio
import time

import pytest

from gateway.deadline import TICKS_MIN, Deadline


async def test_a_block_that_takes_too_long_ends_with_a_timeout() -> None:
    """It is cancelled where it waits, and not before the deadline."""
    started, cancelled = time.monotonic(), []

    async def wait() -> None:
        async with Deadline(0.2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

    with pytest.raises(TimeoutError):
        await wait()
    assert cancelled
    assert time.monotonic() - started >= 0.19  # uvloop's timers count whole milliseconds


async def test_a_block_that_ends_in_time_cancels_its_timer() -> None:
    """Its result and errors pass through, and no later tick cancels the code after it."""
    async with Deadline(0.02):
        pass
    with pytest.raises(ZeroDivisionError):
        async with Deadline(0.02):
            raise ZeroDivisionError
    await asyncio.sleep(0.04)


async def test_a_cancellation_from_elsewhere_is_no_timeout() -> None:
    """A cancellation from outside passes through."""

    async def wait() -> None:
        async with Deadline(60.0):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_stalled_loop_does_not_expire_a_deadline() -> None:
    """Neither one long stall nor a few in a row count for more than a tick each."""
    loop = asyncio.get_running_loop()
    async with Deadline(0.1):
        for _ in range(TICKS_MIN // 2):
            time.sleep(0.2)  # noqa: ASYNC251 - the loop is stalled on purpose
            await asyncio.sleep(0)
        answer = loop.create_future()
        loop.call_soon(time.sleep, 0.5)
        loop.call_soon(answer.set_result, "answered")
        assert await answer == "answered"


async def test_an_extended_deadline_lasts_longer() -> None:
    """By as much as was added, and no longer."""
    started = time.monotonic()

    async def wait() -> None:
        async with Deadline(0.1) as deadline:
            deadline.extend(0.1)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait()
    assert time.monotonic() - started >= 0.19
