"""One election of a soak in a process of its own: loaded, opened, pushed, released, closed, judged.

The process keeps the history of its election until it has been judged, and then ends. So the load has no history of
more than two elections, and its memory cannot grow with the duration of a soak.

Two thirds of the senders push over WebSockets, one of which is closed and opened again each second; the others push
over HTTP. An operator releases what is held. One subscriber keeps a copy for the judge.
"""

import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import uvloop

from bench.load.crowd_process import rounded_us
from bench.load.local import Local, open_data_set
from bench.load.plan import Planned
from bench.load.senders import outcomes
from bench.load.target import Target, own_target
from bench.soak.messages import NightOrder, NightSeen
from bench.soak.supply import RULES, NightSupply
from gateway.client.hold_command import OperatorOptions
from gateway.client.http_session import bearer, open_session
from gateway.client.publisher import Answer, Publisher
from gateway.client.push_over_http import PushOverHttp
from gateway.client.push_queue import PushQueue
from gateway.client.subscriber import Subscriber
from gateway.errors import GatewayError
from gateway.journal.administration import administration
from gateway.rehearsal.dataset import DataSet, RecordedReport
from gateway.rehearsal.judge import (
    History,
    ObservedBlock,
    Push,
    ReaderHistory,
    expected_digest,
    judge,
    observe,
)
from gateway.rehearsal.operator import Decided, Operator

HTTP_EVERY = 3
"""One sender in so many pushes over HTTP."""
RECONNECT_S = 1.0
SERVED = 12
"""New connections in a row for which an election must be served: there are several feed processes."""
SETTLE_S = 60.0
JUDGE_NICE = 10
"""The judge takes seconds of a core, and must not delay the next election."""


class _Ruled:
    """A data set whose registry has RULES."""

    def __init__(self, dataset: DataSet) -> None:
        self._dataset = dataset
        election = {**dataset.registry["election"], "rules": RULES}
        self.registry: dict[str, Any] = {**dataset.registry, "election": election}

    def reports(self) -> Iterator[RecordedReport]:
        """Yield the reports of all municipalities."""
        return self._dataset.reports()


class Night:
    """The history of one election, and what was counted since the last message."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.pushes: list[Push] = []
        self.observed: list[ObservedBlock] = []
        self.waiting: Counter[str] = Counter()
        """Reports without an answer, by sender."""
        self.failed: list[str] = []
        """Reports that have no answer, since their publisher has ended, with the reason."""
        self.reconnected = self.decided = 0
        self._receipts: Counter[int] = Counter()
        self._lags: Counter[int] = Counter()
        self._late_s = 0.0

    def note_late(self, seconds: float) -> None:
        """Note how late a report was sent."""
        self._late_s = max(self._late_s, seconds)

    def note_answer(self, planned: Planned, due_at: float, answer: asyncio.Future[Answer]) -> None:
        """Note the answer to a report."""
        self.waiting[planned.sender] -= 1
        if answer.cancelled() or answer.exception() is not None:
            self.failed.append(f"{planned.unit} revision {planned.revision}: {answer}")
            return
        self.pushes.append(
            Push(planned.unit, planned.revision, expected_digest(planned.body), time.time(), answer.result())
        )
        if answer.result().has_receipt:
            self._receipts[rounded_us(time.monotonic() - due_at)] += 1

    def note_lag(self, seconds: float) -> None:
        """Note the time from a publication to the subscriber."""
        self._lags[rounded_us(max(0.0, seconds))] += 1

    def seen(self, do: str, **more: Any) -> NightSeen:
        """Return what was seen since the last message."""
        seen = NightSeen(
            do,
            self.target.election,
            time.monotonic(),
            len(self.pushes),
            dict(self._receipts),
            dict(self._lags),
            self._late_s,
            self.reconnected,
            self.decided,
            **more,
        )
        self._receipts, self._lags, self._late_s = Counter(), Counter(), 0.0
        return seen

    def decide(self, decided: Decided) -> None:
        """Note a decision of the operator."""
        self.decided += len(decided.holds)


class HttpSender:
    """A sender that pushes over HTTP, one request after another, and repeats what was not answered."""

    def __init__(self, session: aiohttp.ClientSession, target: Target, token: str) -> None:
        url = f"{target.push_url}/v1/elections/{target.election}/reports"
        self._queue = PushQueue()
        self._http = PushOverHttp(session, url, bearer(token), None, lambda _: None)

    def submit(self, body: bytes) -> asyncio.Future[Answer]:
        """Queue a report."""
        return self._queue.add(body)

    async def run(self) -> None:
        """Send until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._http.serve(self._queue, clock() + SETTLE_S, None)
            await asyncio.sleep(random.uniform(0.1, 0.5))


class Senders:
    """All senders of an election, connected."""

    def __init__(self, night: Night, session: aiohttp.ClientSession, tasks: asyncio.TaskGroup) -> None:
        self._night = night
        self._session = session
        self._by_name: dict[str, HttpSender | Publisher] = {}
        self._stack = AsyncExitStack()
        self.tasks: list[asyncio.Task[None]] = []
        for place, (name, token) in enumerate(night.target.tokens.items()):
            if place % HTTP_EVERY == 0:
                sender = HttpSender(session, night.target, token)
                self._by_name[name] = sender
                self.tasks.append(tasks.create_task(sender.run()))

    async def open(self) -> None:
        """Connect every sender that uses a WebSocket."""
        for name in self._night.target.tokens:
            if name not in self._by_name:
                self._by_name[name] = await self._opened(name)

    async def _opened(self, name: str) -> Publisher:
        target = self._night.target
        publisher = Publisher(target.push_url, target.election, target.tokens[name], session=self._session)
        return await publisher.__aenter__()

    def submit(self, planned: Planned, due_at: float) -> None:
        """Send a report."""
        night = self._night
        night.waiting[planned.sender] += 1
        self._by_name[planned.sender].submit(planned.body).add_done_callback(
            lambda answer: night.note_answer(planned, due_at, answer)
        )

    async def reconnect(self) -> None:
        """Close and open WebSockets in turn, of senders that have an answer to everything, until cancelled."""
        names = [name for name, sender in self._by_name.items() if isinstance(sender, Publisher)]
        place = 0
        while True:
            await asyncio.sleep(RECONNECT_S)
            name = names[place % len(names)]
            place += 1
            before = self._by_name[name]
            opened = await self._opened(name)
            if isinstance(before, Publisher) and not self._night.waiting[name]:
                self._by_name[name] = opened
                await before.__aexit__(None, None, None)
                self._night.reconnected += 1
            else:
                await opened.__aexit__(None, None, None)

    async def close(self) -> None:
        """Close every WebSocket."""
        for sender in self._by_name.values():
            if isinstance(sender, Publisher):
                await sender.__aexit__(ConnectionError, None, None)


@asynccontextmanager
async def subscribed(night: Night, tasks: asyncio.TaskGroup) -> Any:
    """Keep a copy of the results until the block ends, and note its blocks; yield the subscriber."""
    async with (
        open_session(None, decompress=False) as session,
        Subscriber(
            night.target.feed_url, night.target.election, session=session, use_mirror=False
        ) as subscriber,
    ):

        async def follow() -> None:
            before = 0
            async for block in subscriber.blocks():
                now = time.time()
                night.observed.append(observe(block, now))
                if block.sequence > before and not block.snapshot and block.published_at is not None:
                    night.note_lag(now - block.published_at.timestamp())
                before = block.sequence

        following = tasks.create_task(follow(), name="subscriber")
        yield subscriber
        following.cancel()


def write(seen: NightSeen) -> None:
    """Write a message."""
    sys.stdout.buffer.write(msgspec.json.encode(seen) + b"\n")
    sys.stdout.buffer.flush()


async def play(order: NightOrder) -> None:
    """Play the election of an order; what was seen is written to standard output."""
    local = Local(order.push_url, order.feed_url, order.admin_url, order.database_url, order.postmaster)
    async with open_data_set(Path(order.data) if order.data else None) as dataset:
        ruled = _Ruled(dataset)
        supply = NightSupply(ruled.reports())
        target = await own_target(local, ruled, order.embargo_s)
        root = next(area["id"] for area in target.registry["areas"] if area.get("parent") is None)
        async with administration(local.database_url, "bench") as acts:
            await acts.open_election(target.election)
            operator = await acts.issue_token(target.election, [root], role="operator", note="bench")
    await _wait_served_by_all(local, target.election)
    night = Night(target)
    write(night.seen("opened"))
    options = OperatorOptions(target.push_url, target.feed_url, target.election, operator.secret)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        asyncio.TaskGroup() as tasks,
        subscribed(night, tasks) as subscriber,
    ):
        senders = Senders(night, session, tasks)
        await senders.open()
        background = [
            *senders.tasks,
            tasks.create_task(senders.reconnect(), name="reconnect"),
            tasks.create_task(_operate(options, night), name="operator"),
            tasks.create_task(_tell(night, order.every_s), name="messages"),
        ]
        await _push(order, supply, senders, night)
        ends = time.monotonic() + SETTLE_S
        while night.waiting.total() and time.monotonic() < ends:  # noqa: ASYNC110 - waits for answers
            await asyncio.sleep(0.05)
        last = await _close(local, target.election)
        while subscriber.sequence < (last or 0) and time.monotonic() < ends:  # noqa: ASYNC110 - waits for blocks
            await asyncio.sleep(0.05)
        for task in background:
            task.cancel()
        await senders.close()
    write(night.seen("closed"))
    await _judge(night, local, last)


async def _push(order: NightOrder, supply: NightSupply, senders: Senders, night: Night) -> None:
    start = time.monotonic()
    for sent, planned in enumerate(supply.plan(order.rate, order.seconds, order.bursts, order.burst)):
        due_at = start + planned.due_s
        while (left_s := due_at - time.monotonic()) > 0:  # noqa: ASYNC110 - waits for a time
            await asyncio.sleep(left_s)
        night.note_late(time.monotonic() - due_at)
        senders.submit(planned, due_at)
        if sent % 64 == 0:
            await asyncio.sleep(0)


async def _wait_served_by_all(local: Local, election: str) -> None:
    """Wait until SERVED new connections in a row find the election."""
    served = 0
    connector = aiohttp.TCPConnector(force_close=True)
    async with asyncio.timeout(SETTLE_S), aiohttp.ClientSession(connector=connector) as session:
        while served < SERVED:
            with suppress(aiohttp.ClientError):
                async with session.get(f"{local.feed_url}/v1/elections/{election}") as answer:
                    served = served + 1 if answer.status == 200 else 0
            await asyncio.sleep(0.02)


async def _operate(options: OperatorOptions, night: Night) -> None:
    """Release what is held, until cancelled; a push process that is restarted does not end it."""
    while True:
        with suppress(GatewayError):
            await Operator(options, (), on_decided=night.decide).run()
        await asyncio.sleep(1.0)


async def _tell(night: Night, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        write(night.seen("interval"))


async def _close(local: Local, election: str) -> int | None:
    """Close the election, and wait until the operator has decided on everything; return the last sequence, or None."""
    async with administration(local.database_url, "bench") as acts:
        await acts.close_election(election)
        ends = time.monotonic() + SETTLE_S
        while (last := await acts.placed(election)) is None and time.monotonic() < ends:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        return last


async def _judge(night: Night, local: Local, last: int | None) -> None:
    """Have the judge examine the whole history of the election, with what the database has at its end."""
    os.nice(JUDGE_NICE)
    started = time.monotonic()
    target = night.target
    async with administration(local.database_url, "bench") as acts:
        stored = await acts.journal_reports(target.election)
        holds = await acts.journal_holds(target.election)
    faults = ["held reports were not decided on"] if last is None else []
    if unanswered := night.waiting.total():
        faults.append(f"{unanswered} reports have no answer")
    faults += [f"failed: {each}" for each in night.failed[:5]]
    parents = {area.get("parent") for area in target.registry["areas"]}
    areas = frozenset(area["id"] for area in target.registry["areas"] if area["id"] in parents)
    history = History(
        registry=target.registry,
        publish_from=target.publish_from.timestamp(),
        pushes=night.pushes,
        readings=[ReaderHistory("subscriber", areas, night.observed)],
        stored=stored,
        holds=holds,
    )
    faults += [f"{each.guarantee}: {each.example}" for each in judge(history)]
    counts = dict(outcomes(night.pushes))
    write(night.seen("judged", outcomes=counts, faults=faults, took_s=time.monotonic() - started))


def main() -> None:
    """Execute an order from standard input."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=NightOrder)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play(order))


if __name__ == "__main__":
    main()
