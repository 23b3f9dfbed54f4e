"""What a process keeps of clients that have left: nothing, if all of its parts have cleaned up.

The parts are found by the tasks that run them, and their counters are read directly.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from gateway.feed.hub import Hub
from gateway.journal.intake import Intake
from gateway.web.connections import Connections
from gateway.web.feed_door import FeedDoor
from gateway.web.push_door import PushDoor
from tests.simulation.loop import Owner, SimulatedLoop, Task


def left_in(process: Owner | None) -> Iterator[str]:
    """Yield what a process keeps, in words."""
    kinds = {"intake": _in_intake, "hub": _in_hub, "push door": _in_push_door, "connections": _in_connections}
    yield from _kept(process, kinds)
    if process is not None and (door := _feed_door_of(process)) is not None:
        yield from (f"{process.name}: {count} {what}" for what, count in _in_feed_door(door).items() if count)


def left_of_senders(process: Owner | None) -> Iterator[str]:
    """Yield what a push process keeps of senders that have their answers, whether or not they still read, in words."""
    yield from _kept(process, {"intake": _in_intake, "push door": _in_push_door})


def parts_of(process: Owner, loop: SimulatedLoop) -> dict[str, Any]:
    """Return the long-lived parts of a process: the objects whose `run` its tasks are, by the names of the tasks."""
    frames = {
        task.get_name(): getattr(task.get_coro(), "cr_frame", None)
        for task in loop.tasks()
        if task.owner is process
    }
    return {
        name: frame.f_locals["self"]
        for name, frame in frames.items()
        if frame is not None and "self" in frame.f_locals
    }


def accepting_in(intake: Intake) -> list[str]:
    """Return the elections for which an intake still accepts reports: none, once it drains."""
    return [identifier for identifier, each in intake._open.items() if not each.writer._closed]


def _kept(process: Owner | None, kinds: dict[str, Callable[[Any], dict[str, int]]]) -> Iterator[str]:
    for task in _tasks():
        if task.owner is process and task.get_name() in kinds:
            frame = getattr(task.get_coro(), "cr_frame", None)
            if frame is not None:
                kept = kinds[task.get_name()](frame.f_locals["self"])
                yield from (f"{process.name}: {count} {what}" for what, count in kept.items() if count)


def _tasks() -> list[Task]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    return loop.tasks()


def _feed_door_of(process: Owner) -> FeedDoor | None:
    """Return the door of a feed process, which is a local variable of what its main task runs."""
    for task in _tasks():
        if task.owner is process and task.get_name() == process.name:
            waiting: Any = task.get_coro()
            while waiting is not None:
                frame = getattr(waiting, "cr_frame", None)
                if frame is not None and isinstance(door := frame.f_locals.get("door"), FeedDoor):
                    return door
                waiting = getattr(waiting, "cr_await", None)
    return None


def _in_feed_door(door: FeedDoor) -> dict[str, int]:
    limits = door.limits
    return {
        "streams": limits.readers,
        "streams of addresses": sum(limits._readers_of._counts.values()),
        "waits of addresses": sum(limits.waits_of._counts.values()),
        "selections": limits._selections,
        "selections of addresses": sum(limits._selections_of._counts.values()),
    }


def _in_intake(intake: Intake) -> dict[str, int]:
    kept: dict[str, int] = {}
    for election in intake._open.values():
        writer, bank = election.writer, election.bank
        kept["waiting reports"] = writer.waiting
        kept["items in the waiting room"] = len(writer.room)
        kept["credit"] = bank.given
        kept["connections in the bank"] = len(bank)
        kept["sockets"] = len(election.sockets)
    return kept


def _in_hub(hub: Hub) -> dict[str, int]:
    kept: dict[str, int] = {}
    for feed in hub.feeds():
        kept["readers"] = sum(map(len, feed.channels))
        kept["waiters"] = len(feed._sequence_waiters) + len(feed._settled_waiters)
    return kept


def _in_push_door(door: PushDoor) -> dict[str, int]:
    requests = door._requests
    limits: dict[str, Any] = {
        "requests": requests._requests_of,
        "sockets of senders": door._sockets_of,
        "reads": door._reads_of,
        "reads of transfers": door._transfers_of,
        "reads of own reports": door._own_reports_of,
    }
    return {
        **{what: sum(limit._counts.values()) for what, limit in limits.items()},
        "bytes of bodies": requests.bodies.total,
        "bytes of answers": requests._answers.total,
        "turns": len(requests.turns),
        "deadlines of requests": len(requests._deadlines),
        "sockets with an allowance": sum(each.sockets for each in door._allowances._of.values()),
    }


def _in_connections(connections: Connections) -> dict[str, int]:
    return {
        "connections": len(connections),
        "authenticated connections": sum(map(len, connections._of_sender.values())),
        "connections about to be closed": sum(connections._ending._counts.values()),
        "connections of addresses": sum(connections._per_address._counts.values()),
        "connections with unread bytes": len(list(connections.buffers.unread)),
        "turns of connections": len(connections.turns),
    }
