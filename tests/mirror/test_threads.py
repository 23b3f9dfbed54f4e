"""Calls that may never return: the process ends all the same, and nothing is queued behind them."""

import asyncio
import subprocess
import sys
import threading

import pytest

from gateway.mirror.threads import StepThread, Threads

HANGING = """
import asyncio, threading
from gateway.mirror.threads import StepThread

async def main():
    try:
        async with asyncio.timeout(0.01):
            await StepThread("hangs").run(threading.Event().wait)
    except TimeoutError:
        print("given up")

asyncio.run(main())
"""


def test_a_process_ends_while_a_call_hangs() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "given up\n", "")


async def test_steps_are_made_one_after_the_other_and_none_that_was_given_up_while_it_waited() -> None:
    """One that has begun goes on, and the next one waits for it."""
    thread, begun, gate, made = StepThread("steps"), threading.Event(), threading.Event(), list[str]()

    def step(name: str, blocked: bool) -> str:
        if blocked:
            begun.set()
            gate.wait()
        made.append(name)
        return name

    first = asyncio.create_task(thread.run(step, "begun", True))
    assert await asyncio.to_thread(begun.wait, 30)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await thread.run(step, "given up", False)
    assert thread._threads._calls.qsize() == 0
    last = asyncio.create_task(thread.run(step, "last", False))
    await asyncio.sleep(0)
    gate.set()
    assert await last == "last"
    assert made == ["begun", "last"]
    thread.close()


def test_results_come_in_order_and_the_first_error_once_all_calls_have_ended() -> None:
    threads, ended = Threads(3, "several"), list[int]()

    def call(number: int) -> int:
        try:
            return 12 // number
        finally:
            ended.append(number)

    assert threads.map(call, [1, 2, 3, 4]) == [12, 6, 4, 3]
    ended.clear()
    with pytest.raises(ZeroDivisionError):
        threads.map(call, [1, 0, 3])
    assert sorted(ended) == [0, 1, 3]
    threads.close()
