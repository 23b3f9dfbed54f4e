"""The simulated loop: which orders it produces and which it does not, time, processes, cancellation, and its guard."""

import asyncio
import gc
import os
import random
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK
from gateway.deadline import Deadline
from tests.simulation.interruptions import How
from tests.simulation.loop import CallbackFailed, RealResource, Stuck
from tests.simulation.processes import Process, Simulation

SEEDS = range(60)
"""Enough to see every order of a few events."""


def outcomes(
    main: Callable[[Simulation, list[Any]], Awaitable[object]], seeds: range = SEEDS
) -> set[tuple[Any, ...]]:
    """Return what a coroutine recorded, for each seed."""
    found = set()
    for seed in seeds:
        seen: list[Any] = []
        with Simulation(seed) as simulation:
            simulation.run(main(simulation, seen))  # type: ignore[arg-type]
        found.add(tuple(seen))
    return found


# Orders.


def test_tasks_woken_by_different_events_run_in_either_order() -> None:
    """Two timers of different tasks, of the same time, and everything that follows from them, interleave."""

    async def wait(name: str, seen: list[Any]) -> None:
        await asyncio.sleep(1)
        seen.append(name)
        await asyncio.sleep(0)
        seen.append(name)

    async def main(_: Simulation, seen: list[Any]) -> None:
        await asyncio.gather(wait("a", seen), wait("b", seen))

    assert outcomes(main) == {tuple(each) for each in ("aabb", "abab", "abba", "bbaa", "baba", "baab")}


def test_what_one_step_schedules_runs_in_its_order() -> None:
    """As asyncio promises, whatever else runs in between."""

    async def main(simulation: Simulation, seen: list[Any]) -> None:
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        woken.add_done_callback(lambda _: seen.append("first"))
        woken.add_done_callback(lambda _: seen.append("second"))
        loop.call_later(1, woken.set_result, None)
        loop.call_later(1, int)
        for number in range(3):
            loop.call_soon(seen.append, number)
        await asyncio.sleep(2)

    assert outcomes(main) == {(0, 1, 2, "first", "second")}


def test_timers_of_a_process_run_in_the_order_of_their_times() -> None:
    """Also if all are due at once because it got no CPU time."""

    async def main(simulation: Simulation, seen: list[Any]) -> None:
        process = simulation.process("a")
        loop = simulation.loop
        for name, delay in (("late", 0.3), ("early", 0.1), ("middle", 0.2)):
            process.run(loop.call_later, delay, seen.append, name)
        await asyncio.sleep(0.05)
        process.suspend(1)
        await asyncio.sleep(0.5)
        assert seen == []
        await asyncio.sleep(1)

    assert outcomes(main) == {("early", "middle", "late")}


def test_a_cancellation_comes_before_or_after_a_result() -> None:
    """And also between the result and the task that waits for it, which then never sees it."""

    async def wait(future: "asyncio.Future[str]", seen: list[Any]) -> None:
        try:
            seen.append(await future)
        except asyncio.CancelledError:
            seen.append(f"cancelled, result there: {future.done() and not future.cancelled()}")

    async def main(_: Simulation, seen: list[Any]) -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        task = asyncio.create_task(wait(future, seen))
        loop.call_later(1, lambda: future.done() or future.set_result("result"))
        loop.call_later(1, task.cancel)
        await asyncio.wait([task])

    assert outcomes(main) == {
        ("result",),
        ("cancelled, result there: True",),
        ("cancelled, result there: False",),
    }


def test_a_strand_may_be_delayed_for_long_while_others_run() -> None:
    """Some seeds let one task make a hundred steps before another one makes its first."""

    async def count(seen: list[Any]) -> None:
        await asyncio.sleep(1)
        for _ in range(100):
            await asyncio.sleep(0)
        seen.append("counted")

    async def main(_: Simulation, seen: list[Any]) -> None:
        asyncio.get_running_loop().call_later(1, seen.append, "timer")
        await count(seen)
        await asyncio.sleep(1)

    assert outcomes(main) == {("timer", "counted"), ("counted", "timer")}


# Time.


def test_hours_pass_at_once() -> None:
    """Time passes up to the next timer when nothing is ready."""
    with Simulation(1) as simulation:
        began = simulation.now_s
        simulation.run(asyncio.sleep(3600))
        assert 3600 <= simulation.now_s - began < 3601


def test_a_deadline_of_the_gateway_expires() -> None:
    """It counts ticks of the loop."""

    async def main() -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with Deadline(5.0):
                await asyncio.get_running_loop().create_future()
        return asyncio.get_running_loop().time() - began

    with Simulation(1) as simulation:
        assert simulation.run(main()) == pytest.approx(5.0, abs=0.1)


def test_a_run_in_which_nothing_can_happen_names_the_tasks_that_wait() -> None:
    """It would wait for ever."""

    async def main(process: Process) -> None:
        await process.spawn(_for_ever(), "reader")

    with (
        Simulation(1) as simulation,
        pytest.raises(Stuck, match=r"nothing can happen.*(?s:.)*door: reader .*_for_ever"),
    ):
        simulation.run(main(simulation.process("door")))


def test_a_run_has_a_bound_of_steps_and_of_time() -> None:
    """A loop that makes no progress is found."""

    async def spin() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def tick() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(1)

    with Simulation(1) as simulation, pytest.raises(Stuck, match="500 steps"):
        simulation.run(spin(), steps_max=500)
    with Simulation(1) as simulation, pytest.raises(Stuck, match="has not ended"):
        simulation.run(tick(), seconds_max=60)


def test_many_cancelled_timers_are_forgotten() -> None:
    """Timeouts that did not expire would be kept until they would have."""

    async def main(simulation: Simulation) -> int:
        for _ in range(3000):
            async with asyncio.timeout(3600):
                await asyncio.sleep(0)
        return len(simulation.loop._heap)

    with Simulation(1) as simulation:
        assert simulation.run(main(simulation)) < 1000


# Failures.


def test_an_exception_in_a_callback_ends_the_run() -> None:
    """asyncio would only log it."""

    def fail() -> None:
        raise ValueError("wrong")

    async def main() -> None:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(1)

    with Simulation(1) as simulation, pytest.raises(CallbackFailed) as caught:
        simulation.run(main())
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_exception_of_a_task_that_nobody_awaits_ends_the_run() -> None:
    """As soon as the task is gone."""

    async def fail() -> None:
        raise ValueError("wrong")

    async def main() -> None:
        asyncio.get_running_loop().create_task(fail())
        await asyncio.sleep(1)

    with Simulation(1) as simulation, pytest.raises(CallbackFailed, match="never retrieved"):
        simulation.run(main())


# Processes.


def test_a_killed_process_runs_nothing_more() -> None:
    """No `finally`, no callback, no timer, whatever it waits for; nor when it is forgotten at the end of the run."""

    async def work(seen: list[Any], wait: Awaitable[object]) -> None:
        try:
            await wait
        finally:
            seen.append("finally")

    async def main(simulation: Simulation, seen: list[Any]) -> None:
        process = simulation.process("door")
        answer = asyncio.get_running_loop().create_future()
        process.spawn(work(seen, asyncio.sleep(1)), "sleeping")
        process.spawn(work(seen, answer), "waiting")
        process.run(simulation.loop.call_later, 1, seen.append, "timer")
        await asyncio.sleep(0.5)
        process.kill()
        answer.set_result(None)
        assert process.spawn(_for_ever(), "too late").done() is False
        await asyncio.sleep(5)
        gc.collect(0)
        seen.append("end")
        seen += [each.split(" (")[0] for each in simulation.loop.waiting_tasks()]

    for seed in range(5):
        seen: list[Any] = []
        with Simulation(seed) as simulation:
            simulation.run(main(simulation, seen))
            assert seen == ["end", "world: main"]


def test_a_process_that_kills_itself_runs_to_its_next_await() -> None:
    """And no further: so a double can kill its caller in the middle of a call."""

    async def work(process: Process, seen: list[Any]) -> None:
        process.kill()
        seen.append("killed")
        await asyncio.sleep(0)
        seen.append("still there")

    async def main(simulation: Simulation, seen: list[Any]) -> None:
        process = simulation.process("door")
        process.spawn(work(process, seen), "work")
        await asyncio.sleep(1)

    assert outcomes(main, range(3)) == {("killed",)}


def test_a_suspended_process_runs_nothing_until_its_time_is_over() -> None:
    """What happened meanwhile waits."""

    async def tick(seen: list[Any]) -> None:
        while True:
            await asyncio.sleep(1)
            seen.append("tick")

    async def main(simulation: Simulation, seen: list[Any]) -> None:
        process = simulation.process("door")
        process.spawn(tick(seen), "ticking")
        await asyncio.sleep(2.5)
        process.suspend(3)
        await asyncio.sleep(2.9)
        assert seen == ["tick"] * 2
        await asyncio.sleep(0.2)
        assert seen == ["tick"] * 3
        process.suspend(3)
        process.kill()
        await asyncio.sleep(5)

    assert outcomes(main, range(3)) == {("tick",) * 3}


def test_processes_have_clocks_and_chance_of_their_own() -> None:
    """The time of day may be wrong; the chance of a process that was started again differs."""
    with Simulation(1) as simulation:
        door, ahead = simulation.process("door"), simulation.process("ahead", skew_s=90.0)
        simulation.run(asyncio.sleep(10))
        assert (ahead.clock.now() - door.clock.now()).total_seconds() == 90
        assert door.clock.now() == simulation.now()
        before = door.clock.monotonic()
        door.clock.skew_s = -3600.0
        assert (simulation.now() - door.clock.now()).total_seconds() == 3600
        assert door.clock.monotonic() == before
        door.kill()
        assert simulation.process("door").chance.random() != door.chance.random()


def test_functions_for_threads_run_as_steps_of_their_process() -> None:
    """At a later moment, in the context of their caller; a killed process gets no result."""

    async def work(seen: list[Any]) -> None:
        seen.append(await asyncio.to_thread(threading.get_ident))
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    async def main(simulation: Simulation, seen: list[Any]) -> None:
        await simulation.process("door").spawn(work(seen), "work")

    assert outcomes(main, range(3)) == {(threading.get_ident(),)}


# Interruptions.


async def _three_awaits(seen: list[Any]) -> None:
    for number in range(3):
        await asyncio.sleep(1)
        seen.append(number)


@pytest.mark.parametrize(
    ("number", "how", "seen_before"),
    [(1, "cancel", 0), (2, "cancel", 1), (3, "cancel", 2), (1, "late", 0), (3, "late", 2), (4, "late", 3)],
)
def test_a_task_is_cancelled_at_each_of_its_awaits(number: int, how: How, seen_before: int) -> None:
    """Where it waits, or when what it waited for is there; a number that does not occur cancels nothing."""
    seen: list[Any] = []

    async def main(simulation: Simulation) -> bool:
        interruption = simulation.cancel_at("work*", number, how=how)
        other = asyncio.create_task(_three_awaits([]), name="other")
        task = asyncio.create_task(_three_awaits(seen), name="work of a sender")
        await asyncio.wait([task, other])
        assert not other.cancelled()
        assert task.cancelled() == interruption.done
        return interruption.done

    with Simulation(1) as simulation:
        assert simulation.run(main(simulation)) == (number < 4)
    assert len(seen) == seen_before


def test_one_of_the_tasks_that_match_is_interrupted() -> None:
    """They are counted in the order in which they begin."""

    async def main(simulation: Simulation) -> list[bool]:
        simulation.cancel_at("_three_awaits", 2, which=1)
        tasks = []
        for _ in range(3):
            tasks.append(asyncio.create_task(_three_awaits([])))
            await asyncio.sleep(0.1)
        await asyncio.wait(tasks)
        return [each.cancelled() for each in tasks]

    with Simulation(1) as simulation:
        assert simulation.run(main(simulation)) == [False, True, False]


@pytest.mark.parametrize("block", [asyncio.timeout, Deadline])
def test_the_innermost_timeout_expires_at_each_await_within_it(block: Callable[[float], Any]) -> None:
    """Early: as if everything before had been slow. Outside of timeouts nothing happens."""

    async def work(seen: list[Any]) -> None:
        await asyncio.sleep(1)
        async with asyncio.timeout(100):
            for _ in range(2):
                try:
                    async with block(50):
                        await asyncio.sleep(2)
                        await asyncio.sleep(2)
                except TimeoutError:
                    seen.append(asyncio.get_running_loop().time() // 1 - 1000)

    async def main(simulation: Simulation, number: int, seen: list[Any]) -> bool:
        interruption = simulation.cancel_at("work", number, how="expire")
        await asyncio.create_task(work(seen), name="work")
        return interruption.done

    found = []
    for number in range(1, 7):
        seen: list[Any] = []
        with Simulation(1) as simulation:
            done = simulation.run(main(simulation, number, seen))
            assert done == bool(seen)
        found.append(seen)
    assert found == [[], [1], [3], [5], [7], []]


def test_a_census_counts_the_awaits_of_each_kind_of_task() -> None:
    """And tells which of them are within a timeout."""

    async def work() -> None:
        await asyncio.sleep(1)
        async with asyncio.timeout(10):
            await asyncio.sleep(1)

    async def main(simulation: Simulation) -> None:
        simulation.interruptions.count()
        await asyncio.create_task(_three_awaits([]))
        await asyncio.create_task(work(), name="named")

    with Simulation(1) as simulation:
        simulation.run(main(simulation))
        assert simulation.interruptions.census == {"_three_awaits": 3, "named": 2, "main": 1}
        assert simulation.interruptions.bounded == {"named": {2}}


# Determinism of what Python offers.


def test_sets_of_tasks_have_the_same_order_in_every_run() -> None:
    """Their hashes do not depend on addresses."""

    async def main(_: Simulation, seen: list[Any]) -> None:
        tasks = {asyncio.create_task(asyncio.sleep(0), name=f"{number}") for number in range(20)}
        seen += [each.get_name() for each in tasks]
        await asyncio.wait(tasks)

    runs = [outcomes(main, range(7, 8)) for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]


def test_a_real_resource_is_refused() -> None:
    """Clocks of the machine for the gateway, sockets, threads, sleep and its random numbers."""

    async def main() -> None:
        refused: list[Callable[[], object]] = [
            SYSTEM_CLOCK.now,
            SYSTEM_CLOCK.monotonic,
            SYSTEM_CLOCK.cpu,
            SYSTEM_CHANCE.random,
            lambda: SYSTEM_CHANCE.uniform(0, 1),
            lambda: eval("time.time()", {"__name__": "gateway.web.door", "time": time}),
            lambda: time.sleep(0),
            lambda: socket.socket(),
            lambda: threading.Thread(target=print).start(),
        ]
        for use in refused:
            with pytest.raises(RealResource):
                use()
        with socket_of_the_machine() as real, pytest.raises(RealResource):
            asyncio.get_running_loop().add_reader(real, print)

    def socket_of_the_machine() -> socket.socket:
        return real_socket

    with socket.socket() as real_socket, Simulation(1) as simulation:
        simulation.run(main())


def test_what_is_replaced_is_restored() -> None:
    """After a run, also one that failed, the interpreter is as it was."""

    def state() -> list[object]:
        return [
            time.time,
            time.monotonic,
            os.urandom,
            socket.socket.__init__,
            threading.Thread.start,
            SYSTEM_CLOCK.now,
            random.getstate(),
            gc.isenabled(),
            SYSTEM_CHANCE.random.__self__,
        ]

    async def fail() -> None:
        random.random()
        raise ValueError

    before = state()
    with pytest.raises(ValueError), Simulation(1) as simulation:  # noqa: PT011
        simulation.run(fail())
    assert state() == before


def test_libraries_read_virtual_time_and_chance_of_the_seed() -> None:
    """aiohttp reads clocks for idle connections and draws masks."""

    async def main() -> list[object]:
        began = time.time(), time.monotonic()
        await asyncio.sleep(100)
        return [time.time() - began[0], time.monotonic() - began[1], random.random(), os.urandom(8)]

    runs = []
    for _ in range(2):
        with Simulation(3) as simulation:
            runs.append(simulation.run(main()))
    assert runs[0] == runs[1]
    assert runs[0][:2] == pytest.approx([100, 100], abs=0.1)


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()
