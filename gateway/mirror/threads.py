"""Threads for calls that may never return, as those to a network file system whose server is away.

Those of `concurrent.futures` keep a process from ending until every call has returned; these do not.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
V = TypeVar("V")


class Threads:
    """Up to `most` threads, started when they are needed. The process may end while they are in a call."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._started = 0

    def submit(self, function: Callable[..., T], *arguments: object) -> Future[T]:
        """Call a function in one of the threads."""
        called: Future[T] = Future()

        def call() -> None:
            if not called.set_running_or_notify_cancel():
                return
            try:
                result = function(*arguments)
            except BaseException as error:
                called.set_exception(error)
            else:
                called.set_result(result)

        self._calls.put(call)
        if self._started < self._most:
            self._started += 1
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return called

    def map(self, function: Callable[[V], T], values: Iterable[V]) -> list[T]:
        """Call a function with each value, several at the same time; return all results, or raise the first error."""
        calls = [self.submit(function, value) for value in values]
        wait(calls)
        return [each.result() for each in calls]

    def close(self) -> None:
        """End the threads after the calls that were submitted."""
        for _ in range(self._started):
            self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call


class StepThread:
    """One thread that makes one step after another. Invariants:

    * A step whose caller no longer waits goes on, and no other step begins before it has ended.
    * No step is queued: a caller who gives up before its step begins leaves nothing behind.
    """

    def __init__(self, name: str) -> None:
        self._threads = Threads(1, name)
        self._free = asyncio.Lock()

    async def run(self, step: Callable[..., T], *arguments: object) -> T:
        """Make a step and return its result."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()

        def ended(_: object) -> None:
            with suppress(RuntimeError):  # the loop has ended before the step
                loop.call_soon_threadsafe(self._free.release)

        made = self._threads.submit(step, *arguments)
        made.add_done_callback(ended)
        return await asyncio.wrap_future(made)

    def close(self) -> None:
        """End the thread after the step that is being made."""
        self._threads.close()
