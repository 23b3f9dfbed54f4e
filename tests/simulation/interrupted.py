"""Nights in which one task is interrupted at one of its awaits, and everything else has to be as in any other night.

Nothing fails in these nights but the interruption, and a few things that bring tasks to all of their awaits: an embargo
that ends, corrections, a version that changes, a database that is frozen for a moment.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from tests.simulation.interruptions import How, Interruption
from tests.simulation.plan import Fault, Plan, Reader, Report, Sender, units_of
from tests.simulation.run import Night, Result, run

CANCELLED: dict[str, int] = {
    "RequestHandler._handle_request": 8,
    "sender-1 pushing": 1,
    "sender-2 pushing": 1,
    "reader-1": 1,
    "reader-2": 1,
}
"""Kinds of tasks that are cancelled in production on their own and at any time, and how many of each are tried.

A request is given up, a client gives up. All other tasks are cancelled by the task that
waits for them, or with their whole process."""
EXPIRING = 6
"""How many tasks of aiohttp's server have their timeouts expire, one in each night; of every other kind the first."""
OWN = (
    "act",
    "main",
    "sender-1 settling",
    "sender-2 settling",
    "sender-1 reading back",
    "RequestHandler.shutdown",
    "push-1",
)
"""Kinds whose timeouts are left alone: tasks of the simulation; and aiohttp's `shutdown`, in which a handler that ends
in the very moment of its timeout logs an InvalidStateError (aiohttp 3.14). A process that stops warns of what it does
not wait for, and the verdict on a night counts that as a failure."""
PERIODIC = 25
"""Awaits of a kind of task that are tried; the later ones of those that run for the whole night repeat them."""


class Await(NamedTuple):
    """An await of a kind of task, and how its task is interrupted there."""

    kind: str
    number: int
    how: How
    which: int = 0


def plan_of(seed: int) -> Plan:
    """Return the plan of a small night with all kinds of tasks."""
    rules = ("hold", "off", "warn")[seed % 3]
    return Plan(
        seed=seed,
        push_processes=1,
        feeds=1,
        senders=(
            Sender("sender-1", "m0", "websocket", tuple(_reports("m0", 8)), reads_back_s=0.6),
            Sender("sender-2", "m1", ("http", "ndjson")[seed % 2], tuple(_reports("m1", 6))),
        ),
        readers=(
            Reader("reader-1", gzip=bool(seed % 2)),
            Reader("reader-2", stream="publications"),
        ),
        faults=(Fault(0.9, "freeze", seconds=0.3), Fault(1.4, "change_version", amount=1.0)),
        lasts_s=2.0,
        publish_from_s=1.0,
        rules=rules,  # type: ignore[arg-type]
    )


def _reports(municipality: str, count: int) -> Iterator[Report]:
    units = units_of(municipality, 2)
    for number in range(count):
        fallen = 60 if number == count - 2 else 0  # held by the rules, if they hold
        votes = 100 + number - fallen, 50, 7
        yield Report(0.1 + number * 0.2, units[number % 2], 1 + number // 2, votes)


def census(seed: int) -> tuple[dict[str, int], dict[str, set[int]]]:
    """Return how many awaits there are for each kind of task, and which of them are within a timeout."""
    found: list[Night] = []

    def prepare(night: Night) -> None:
        night.simulation.interruptions.count()
        found.append(night)

    result = run(plan_of(seed), prepare=prepare)
    assert not result.broken, result.broken
    interruptions = found[0].simulation.interruptions
    return interruptions.census, interruptions.bounded


def awaits(seed: int, *, part: int = 1) -> Iterator[Await]:
    """Yield all awaits of a night at which a task can be interrupted; of `part` equal parts, the first."""
    numbers, bounded = census(seed)
    found = [
        Await(kind, number, "expire", which)
        for kind, within in bounded.items()
        if kind not in OWN
        for number in sorted(within)[:PERIODIC]
        for which in range(EXPIRING if kind.startswith("RequestHandler") else 1)
    ]
    found += [
        Await(kind, number, how, which)
        for kind, many in CANCELLED.items()
        for number in range(1, min(numbers.get(kind, 0), PERIODIC) + 1)
        for which in range(many)
        for how in ("cancel", "late")
    ]
    yield from found[seed % part :: part]


def run_interrupted(seed: int, at: Await) -> Result | None:
    """Run a night with an interruption; return None if that await did not occur."""
    planned: list[Interruption] = []

    def prepare(night: Night) -> None:
        interruption = night.simulation.cancel_at(at.kind, at.number, how=at.how, which=at.which)
        planned.append(interruption)
        for sender in night.senders:
            sender._send = _going_on(sender._send, interruption, sender)  # type: ignore[method-assign]
        for reader in night.readers:
            reader.run = _going_on(reader.run, interruption)  # type: ignore[method-assign]

    result = run(plan_of(seed), prepare=prepare)
    return result if planned[0].done else None


def _going_on(
    work: Callable[[Any], Awaitable[None]], interruption: Interruption, sender: Any = None
) -> Callable[[Any], Any]:
    """Return the work of a client that begins again after it was interrupted, in the same process."""

    async def go_on(process: Any) -> None:
        try:
            await work(process)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not interruption.task:
                raise
            task.uncancel()
            await asyncio.sleep(0)  # the publisher has refused what it had
            if sender is not None:
                sender.ended = None
            await work(process)

    return go_on


def describe(at: Await, result: Result) -> str:
    """Describe what an interruption broke."""
    broken = "; ".join(f"{each.guarantee}: {each.example}" for each in result.broken[:3])
    return f"seed {result.seed}, {at.how} of {at.kind} ({at.which}) at its await {at.number}: {broken}"
