"""Clients of a simulated night, as its plan has them, and what they observed.

Senders push with `Publisher` or `push_http` and read back their units; readers follow the feed with `Subscriber`, or
the publication stream. Each client is a process of its own: it can be killed, and started again with what it has kept.
A sender keeps its reports until they have an answer, as an outbox does, and what it kept last may be lost with it.

All times of observations are true times.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import aiohttp

from gateway.client.http_session import open_session
from gateway.client.publisher import Answer, Publisher, PushRefused, push_http
from gateway.client.subscriber import SILENCE_S, Subscriber
from gateway.rehearsal.judge import ObservedBlock, Push, Read, ReaderHistory, expected_digest, observe
from tests.faults.country import ReaderOptions, selected
from tests.faults.reading import NoAnswer, publications, read_back
from tests.simulation import plan as planned
from tests.simulation.plan import ELECTION
from tests.simulation.processes import Process, Simulation

PUSH, FEED = "http://push:8081", "http://feed:8080"
"""The doors, each with all its processes."""
REQUEST_S = 45.0
"""After this time a client gives up a request."""
LINES_MAX = 5
"""Reports in a request with several."""
FORGOTTEN_MAX = 3
"""Answers that a sender may lose when it is killed: they were not on its disk yet."""
AGAIN = 5
"""Reports with a receipt that a sender sends again at the end."""
READ_AGAIN_S = 0.5
"""Seconds between two attempts to read back a unit at the end."""


class Client(ABC):
    """A client in a process of its own."""

    def __init__(self, simulation: Simulation, name: str) -> None:
        self.name = name
        self.process: Process | None = None
        self._simulation = simulation
        self._chance = simulation.chance_for(f"client {name}")

    def start(self) -> None:
        """Start its process, unless it runs."""
        if not self.alive:
            self.process = self._simulation.process(self.name)
            self.spawn(self.run(self.process), self.name)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.alive

    def kill(self, *, silently: bool = False) -> None:
        """End its process at once; `silently`: its connections are not closed, as after a loss of power."""
        if self.process is not None:
            self.process.kill(power=silently)

    def restart(self, after_s: float, *, silently: bool = False) -> None:
        """End its process at once, and start it again after some seconds."""
        self.kill(silently=silently)
        self._simulation.loop.call_world(after_s, self.start)

    def spawn(self, coroutine: Any, name: str) -> "asyncio.Task[Any]":
        """Start a task of its process, whose failure is one of the run."""
        assert self.process is not None
        task = self.process.spawn(coroutine, name)
        task.add_done_callback(_raise_failure, context=self.process.context.copy())
        return task

    @abstractmethod
    async def run(self, process: Process) -> None:
        """Do what it does from each start until it is killed."""


def _raise_failure(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled():
        task.result()


class Sender(Client):
    """A municipality that submits the reports of its plan at their times, over one transport.

    Invariant: it goes on until each has an answer other than `retry`, or until it is refused for good.
    """

    def __init__(self, simulation: Simulation, plan: planned.Sender, secret: str) -> None:
        super().__init__(simulation, plan.name)
        self.plan = plan
        self.pushes: list[Push] = []
        self.answered: list[tuple[planned.Report, Answer]] = []
        """Each answer, in the order received; a report that was sent again may have several."""
        self.reads: list[Read] = []
        self.ended: str | None = None
        """Why it was refused for good; None if it was not."""
        self._secret = secret
        self._bodies = [report.body for report in plan.reports]
        self._digests = [expected_digest(body) for body in self._bodies]
        self._waiting = dict.fromkeys(range(len(plan.reports)))
        """The reports without an answer, by their index, in order."""
        self._lately: list[int] = []
        self._changed = asyncio.Event()
        self._started_s = simulation.loop.time()

    @property
    def unanswered(self) -> list[planned.Report]:
        """The reports without an answer, in order."""
        return [self.plan.reports[index] for index in self._waiting]

    @property
    def done(self) -> bool:
        """Whether it has nothing left to send."""
        return not self._waiting or self.ended is not None

    def kill(self, *, silently: bool = False) -> None:
        """See Client; the last answers may be lost with it, so that their reports are sent again."""
        super().kill(silently=silently)
        if self.ended is None:
            lost = self._lately[-self._chance.randint(0, FORGOTTEN_MAX) :]
            self._waiting = dict.fromkeys(sorted({*self._waiting, *lost}))
        self._lately.clear()

    async def run(self, process: Process) -> None:
        """Send what has no answer, and read back at intervals."""
        self._changed = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send(process), name=f"{self.name} pushing")
            if self.plan.reads_back_s:
                tasks.create_task(self._keep_reading_back(), name=f"{self.name} reading back")

    async def _send(self, process: Process) -> None:
        try:
            async with open_session(None) as session:
                if self.plan.transport == "websocket":
                    await self._push_over_websocket(process, session)
                else:
                    most = LINES_MAX if self.plan.transport == "ndjson" else 1
                    await self._push_requests(process, session, most)
        except PushRefused as error:
            self.ended = str(error)

    async def _push_over_websocket(self, process: Process, session: aiohttp.ClientSession) -> None:
        publisher = Publisher(
            PUSH, ELECTION, self._secret, session=session, clock=process.clock, chance=process.chance
        )
        async with publisher:
            for index in tuple(self._waiting):
                await asyncio.sleep(max(0.0, self._due_s(index) - self._time()))
                publisher.submit(self._bodies[index]).add_done_callback(partial(self._take_answer, index))
            while not self.done:
                self._changed.clear()
                await self._changed.wait()

    def _take_answer(self, index: int, answer: "asyncio.Future[Answer]") -> None:
        error = answer.exception()
        if isinstance(error, PushRefused):
            self.ended = str(error)
            self._changed.set()
        elif error is not None:
            raise error
        else:
            self._record(index, answer.result())

    async def _push_requests(self, process: Process, session: aiohttp.ClientSession, most: int) -> None:
        while self._waiting:
            first = next(iter(self._waiting))
            await asyncio.sleep(max(0.0, self._due_s(first) - self._time()))
            due = [index for index in self._waiting if self._due_s(index) <= self._time()][:most]
            await self._push(process, session, due or [first])

    async def _push(self, process: Process, session: aiohttp.ClientSession, indexes: Sequence[int]) -> None:
        """Push until every report is decided; retries keep their order."""
        left = list(indexes)
        while left:
            answers = await self._request(process, session, left)
            again = []
            for index, answer in zip(left, answers, strict=True):
                if answer.outcome == "retry":
                    again.append(index)
                else:
                    self._record(index, answer)
            left = again
            if left:
                await asyncio.sleep(process.chance.uniform(0.1, 1.0))

    async def _request(
        self, process: Process, session: aiohttp.ClientSession, indexes: Sequence[int]
    ) -> Sequence[Answer]:
        """Push reports in one request. Raises PushRefused, but not for one report that is refused with status 403."""
        try:
            return await push_http(
                session,
                PUSH,
                ELECTION,
                self._secret,
                [self._bodies[index] for index in indexes],
                ndjson=len(indexes) > 1,
                clock=process.clock,
                chance=process.chance,
            )
        except PushRefused as error:
            if len(indexes) == 1 and "(403, unit_forbidden)" in str(error):
                return [Answer("refused", code="unit_forbidden")]
            raise

    def _record(self, index: int, answer: Answer) -> None:
        report = self.plan.reports[index]
        now_s = self._simulation.now_s
        self.pushes.append(Push(report.unit, report.revision, self._digests[index], now_s, answer))
        self.answered.append((report, answer))
        self._waiting.pop(index, None)
        self._lately.append(index)
        self._simulation.trace(
            "answer", unit=report.unit, revision=report.revision, outcome=answer.outcome, code=answer.code
        )
        self._changed.set()

    def _due_s(self, index: int) -> float:
        return self._started_s + self.plan.reports[index].at_s

    def _time(self) -> float:
        return self._simulation.loop.time()

    # Reading back.

    async def _keep_reading_back(self) -> None:
        """Read back the unit of the last receipt, on connections of their own."""
        async with open_session(None, total_s=REQUEST_S) as session:
            while self.ended is None:
                last = next((push for push in reversed(self.pushes) if push.answer.has_receipt), None)
                if last is not None:
                    await self._read_back(session, last.unit)
                await asyncio.sleep(self.plan.reads_back_s)

    async def _read_back(self, session: aiohttp.ClientSession, unit: str) -> bool:
        """Read the newest report of a unit; return whether the door could answer."""
        began_at = self._simulation.now_s
        try:
            revision = await read_back(session, PUSH, ELECTION, self._secret, unit)
        except NoAnswer:
            return False
        self.reads.append(Read(unit, began_at, revision))
        return True

    async def settle(self) -> None:
        """Once all is done: send some reports with a receipt again, and read back every unit with one."""
        assert self.process is not None
        last = {self._index_of(push): None for push in self.pushes if push.answer.has_receipt}
        try:
            async with open_session(None, total_s=REQUEST_S) as session:
                await self._push(self.process, session, list(last)[-AGAIN:])
                units = sorted({push.unit for push in self.pushes if push.answer.has_receipt})
                while units:
                    units = [unit for unit in units if not await self._read_back(session, unit)]
                    await asyncio.sleep(READ_AGAIN_S if units else 0)
        except PushRefused as error:
            self.ended = str(error)

    def _index_of(self, push: Push) -> int:
        reports = self.plan.reports
        return next(
            index
            for index, report in enumerate(reports)
            if (report.unit, report.revision, self._digests[index]) == (push.unit, push.revision, push.digest)
        )


class Reader(Client):
    """A reader of the feed. When it is started again, it continues with the copy that it has, or without one."""

    def __init__(self, simulation: Simulation, plan: planned.Reader, registry: Mapping[str, Any]) -> None:
        super().__init__(simulation, plan.name)
        self.plan = plan
        self.sequence = -1
        """The sequence of the last block."""
        self.areas = selected(registry, ReaderOptions(plan.levels, plan.areas))
        self._readings: list[list[ObservedBlock]] = []
        self._cursor = plan.cursor
        self._copy: Mapping[str, Mapping[str, Any]] = {}

    @property
    def readings(self) -> list[ReaderHistory]:
        """What it received, beginning anew whenever it was started without a copy."""
        return [
            ReaderHistory(f"{self.name} ({place})", self.areas, observed)
            for place, observed in enumerate(self._readings, 1)
        ]

    async def run(self, process: Process) -> None:
        """Follow the feed."""
        if not self._readings:
            self._readings.append([])
        elif self._cursor is None or self._chance.random() < 0.5:
            self._cursor, self._copy, self.sequence = None, {}, -1
            self._readings.append([])
        observed = self._readings[-1]
        async with (
            open_session(None, decompress=False) as session,
            Subscriber(
                FEED,
                ELECTION,
                levels=self.plan.levels,
                areas=self.plan.areas,
                every_s=self.plan.every_s,
                gzip=self.plan.gzip,
                cursor=self._cursor,
                copy=self._copy,
                session=session,
                clock=process.clock,
                chance=process.chance,
            ) as subscriber,
        ):
            async for block in subscriber.blocks():
                observed.append(observe(block, self._simulation.now_s))
                self.sequence = block.sequence
                self._cursor, self._copy = subscriber.cursor, dict(subscriber.copy)
                self._simulation.trace("block", sequence=block.sequence, snapshot=block.snapshot)


class PublicationReader(Client):
    """A reader of the publication stream, which begins anew whenever it is started."""

    def __init__(self, simulation: Simulation, plan: planned.Reader) -> None:
        super().__init__(simulation, plan.name)
        self.plan = plan
        self.sequence = -1
        self._received: list[list[tuple[float, int, str]]] = []

    @property
    def streams(self) -> dict[str, list[tuple[float, int, str]]]:
        """What it received after each start: time, sequence and digest."""
        return {f"{self.name} ({place})": each for place, each in enumerate(self._received, 1)}

    async def run(self, process: Process) -> None:
        """Follow the stream."""
        received: list[tuple[float, int, str]] = []
        self._received.append(received)
        self.sequence = -1
        async with open_session(None, silence_s=SILENCE_S) as session:
            async for each in publications(session, FEED, ELECTION):
                received.append((self._simulation.now_s, each.sequence, each.digest))
                self.sequence = each.sequence
                self._simulation.trace("publication", sequence=each.sequence)


def readers_of(
    simulation: Simulation, plan: planned.Plan, registry: Mapping[str, Any]
) -> Iterator[Reader | PublicationReader]:
    """Make the readers of a plan; none is started."""
    for each in plan.readers:
        if each.stream == "publications":
            yield PublicationReader(simulation, each)
        else:
            yield Reader(simulation, each, registry)


__all__ = ["FEED", "PUSH", "Client", "PublicationReader", "Reader", "Sender", "readers_of"]
