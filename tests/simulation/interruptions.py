"""Interrupt a task at an await of its: cancel it there, or let its innermost timeout expire there.

Timeouts and cancellations come at any time, in production rarely at the worst one. Here each await of a task can be
that time. A census of a run tells which awaits there are, so that a test can try all of them.
"""

import asyncio
import fnmatch
import re
from collections.abc import Callable
from typing import Any, Literal
from unittest import mock

from gateway.deadline import Deadline
from tests.simulation.loop import Handle, SimulatedLoop, Task, task_of

How = Literal["cancel", "late", "expire"]
"""`cancel`: cancel a task as soon as it waits; `late`: when what it waited for is there, and it is to run again;
`expire`: as soon as it waits, let the innermost `asyncio.timeout` or `Deadline` around it expire."""


class Interruption:
    """What is to happen to one task. `which` counts the tasks that match, from 0, in the order of their first steps."""

    def __init__(self, pattern: str, number: int, how: How, which: int) -> None:
        self.pattern = pattern
        self.number = number
        self.how = how
        self.which = which
        self.done = False
        """Whether it has happened."""
        self.task: Task | None = None
        """The task, once it has begun."""
        self.seen = 0
        """Tasks that matched so far."""


class Interruptions:
    """All interruptions of a run, and the census of its tasks."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self._planned: list[Interruption] = []
        self._awaits: dict[Task, int] = {}
        self._timeouts: dict[Task, list[asyncio.Timeout]] = {}
        self._deadlines: dict[asyncio.Timeout, Deadline] = {}
        self._patches: list[Any] = []
        self._counting = False
        self.census: dict[str, int] = {}
        """The largest number of awaits of the tasks of each kind, once `count` was called."""
        self.bounded: dict[str, set[int]] = {}
        """The awaits of each kind within a timeout."""

    def count(self) -> None:
        """Take the census of the run."""
        self._counting = True
        self._begin()

    def add(self, pattern: str, number: int, how: How, which: int = 0) -> Interruption:
        """Interrupt a task whose kind matches a pattern, at its await of this number, counted from 1."""
        interruption = Interruption(pattern, number, how, which)
        self._planned.append(interruption)
        self._begin()
        return interruption

    def close(self) -> None:
        """Stop watching."""
        self._loop.around = None
        while self._patches:
            self._patches.pop().stop()

    def _begin(self) -> None:
        if self._loop.around is None:
            self._loop.around = self._run
            self._replace(asyncio.Timeout, "__aenter__", self._enter_timeout)
            self._replace(asyncio.Timeout, "__aexit__", self._exit_timeout)
            self._replace(Deadline, "__aenter__", self._enter_deadline)

    def _replace(self, where: Any, name: str, by: Callable[..., Any]) -> None:
        original = getattr(where, name)

        async def replaced(block: Any, *args: Any) -> Any:
            return await by(original, block, *args)

        patch = mock.patch.object(where, name, replaced)
        patch.start()
        self._patches.append(patch)

    async def _enter_timeout(self, enter: Any, timeout: asyncio.Timeout) -> Any:
        entered = await enter(timeout)
        task = asyncio.current_task()
        if isinstance(task, Task):
            self._timeouts.setdefault(task, []).append(timeout)
        return entered

    async def _exit_timeout(self, leave: Any, timeout: asyncio.Timeout, *error: Any) -> Any:
        task = asyncio.current_task()
        if isinstance(task, Task) and timeout in self._timeouts.get(task, ()):
            self._timeouts[task].remove(timeout)
        self._deadlines.pop(timeout, None)
        return await leave(timeout, *error)

    async def _enter_deadline(self, enter: Any, deadline: Deadline) -> Any:
        entered = await enter(deadline)
        self._deadlines[deadline._timeout] = deadline
        return entered

    def _run(self, handle: Handle) -> None:
        task = task_of(handle)
        if task is None:
            handle._run()
            return
        number = self._awaits.get(task)
        if number is None:
            number = self._awaits[task] = 0
            self._assign(task)
        for each in self._planned:
            if each.task is task and each.how == "late" and each.number == number and not each.done:
                each.done = True
                task.cancel()
        handle._run()
        if task.done():
            self._awaits.pop(task, None)
            self._timeouts.pop(task, None)
            return
        number += 1
        self._awaits[task] = number
        if self._counting:
            self._record(task, number)
        for each in self._planned:
            if each.task is task and each.number == number and not each.done:
                self._interrupt(each, task)

    def _assign(self, task: Task) -> None:
        kind = kind_of(task)
        for each in self._planned:
            if each.task is None and fnmatch.fnmatchcase(kind, each.pattern):
                if each.seen == each.which:
                    each.task = task
                each.seen += 1

    def _record(self, task: Task, number: int) -> None:
        kind = kind_of(task)
        self.census[kind] = max(number, self.census.get(kind, 0))
        if self._timeouts.get(task):
            self.bounded.setdefault(kind, set()).add(number)

    def _interrupt(self, interruption: Interruption, task: Task) -> None:
        if interruption.how == "cancel":
            interruption.done = True
            task.cancel()
        elif interruption.how == "expire" and (timeouts := self._timeouts.get(task)):
            interruption.done = _expire(timeouts[-1], self._deadlines.get(timeouts[-1]))


def kind_of(task: Task) -> str:
    """Return the name of a task or, if nobody gave it one, that of its coroutine function."""
    name = task.get_name()
    if re.fullmatch(r"Task-\d+", name):
        return str(getattr(task.get_coro(), "__qualname__", name))
    return name


def _expire(timeout: asyncio.Timeout, deadline: Deadline | None) -> bool:
    if timeout.expired():
        return False
    if deadline is not None and deadline._timer is not None:
        deadline._timer.cancel()
        deadline._timer = None
    handler = timeout._timeout_handler  # type: ignore[attr-defined]
    if handler is not None:
        handler.cancel()
    timeout._on_timeout()  # type: ignore[attr-defined]
    return True
