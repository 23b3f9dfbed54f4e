"""Replay a recorded or generated election through the doors of a gateway, and check the results.

Every municipality is a separate sender with its own token, connection and order of reports. The replay is a separate
election, marked as a rehearsal, with all times shifted to now.
"""

import asyncio
import copy
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import aiohttp
import msgspec

from gateway.client.http_session import environment_proxy, open_session
from gateway.client.publisher import Answer, Publisher, push_http
from gateway.client.subscriber import Block, Subscriber
from gateway.client.tasks import run_until_one_ends
from gateway.errors import GatewayError
from gateway.rehearsal.dataset import DataSet, RecordedReport
from gateway.rehearsal.judge import ObservedBlock, Push, ReaderHistory, expected_digest, observe
from gateway.rehearsal.operator import POLL_S, Operator, ReportKey
from gateway.rehearsal.results import Summary, latency_of, same_figures
from gateway.rehearsal.schedule import Schedule
from gateway.trimmed_json import dumps_trimmed

T = TypeVar("T")

TRANSPORTS = ("websocket", "http", "ndjson")
"""Transports by which municipalities push, assigned in rotation."""
LINES_MAX = 200
"""Reports in one NDJSON request."""
UNPROCESSED_MAX = 20_000
"""Areas in blocks that are kept unprocessed, to process them at the end; about 5 kB each."""


class ReplayFailed(GatewayError):
    """The replay could not be completed; the message gives the reason."""

    code = "replay_failed"


class Sending(msgspec.Struct):
    """One report of the replay, with its due time and its answer."""

    body: bytes
    due_s: float
    unit: str
    revision: int
    sent_at: float = 0.0
    answered_at: float = 0.0
    answered_wall: float = 0.0
    """The same time by the wall clock, in seconds since 1970."""
    answer: Answer | None = None


def rehearsal_of(registry: Mapping[str, Any], started: datetime, schedule: Schedule) -> dict[str, Any]:
    """Return a registry as that of a separate rehearsal that starts now."""
    document = copy.deepcopy(dict(registry))
    header = document["election"]
    publish_from = started + timedelta(seconds=schedule.publish_s)
    header["id"] = f"{header['id'][:30]}-rehearsal-{started.strftime('%Y%m%dt%H%M%S%f')[:-3]}"
    header["rehearsal"] = True
    header["publish_from"] = publish_from.isoformat()
    if "polls_close" in header:
        header["polls_close"] = publish_from.isoformat()
    return document


def prepare(
    reports: Sequence[RecordedReport], started: datetime, schedule: Schedule
) -> dict[str, list[Sending]]:
    """Return the reports of each municipality in their order, with times shifted to those of the replay."""
    senders: dict[str, list[Sending]] = {}
    for recorded in reports:
        due_s = schedule.offset_s(recorded.counted_at)
        counted_at = (started + timedelta(seconds=due_s)).isoformat(timespec="milliseconds")
        body = dumps_trimmed({**recorded.report, "counted_at": counted_at})
        sending = Sending(body, due_s, recorded.report["unit"], recorded.report["revision"])
        senders.setdefault(recorded.municipality, []).append(sending)
    for sendings in senders.values():
        sendings.sort(key=lambda sending: sending.due_s)
    return senders


class Replay:
    """One replay; `on_block` and `on_answer` are called for each block and answer and must return quickly."""

    def __init__(
        self,
        push_url: str,
        feed_url: str,
        election: str,
        tokens: Mapping[str, str],
        senders: dict[str, list[Sending]],
        *,
        transports: Sequence[str] = TRANSPORTS,
        on_block: Callable[[Subscriber, Block], None] = lambda *_: None,
        on_answer: Callable[[Sending], None] = lambda _: None,
        operator: Operator,
        placed: Callable[[], Awaitable[int | None]],
        after: Mapping[ReportKey, ReportKey] | None = None,
    ) -> None:
        """`placed` returns how many reports have a position in the record, None while some are held.

        `after` names reports whose senders first wait for the receipt of another one, and if that is held, for the
        decision on it.
        """
        self.senders = senders
        self._push_url = push_url
        self._feed_url = feed_url
        self._election = election
        self._tokens = tokens
        self._transports = transports
        self._on_block = on_block
        self._on_answer = on_answer
        self._blocks: list[tuple[int, float]] = []
        self._unprocessed: deque[tuple[float, Block]] = deque()
        self._unprocessed_areas = 0
        self._observed: list[ObservedBlock] = []
        self._moved = asyncio.Event()
        self._started = 0.0
        self._operator = operator
        self._placed = placed
        self._after = after or {}
        self._answers: dict[ReportKey, Answer] = {}

    @property
    def began(self) -> float:
        """The start of the replay, by the loop's clock."""
        return self._started

    @property
    def reports(self) -> int:
        """The number of reports to send."""
        return sum(len(sendings) for sendings in self.senders.values())

    async def run(
        self, dataset: DataSet, started: datetime, publish_at: datetime, finish_s: float = 60.0
    ) -> Summary:
        """Push every report when it is due, wait until all are public, and compare with the official totals.

        Raises ReplayFailed if this is not complete within `finish_s` of the last report and the release.
        """
        clock = asyncio.get_running_loop().time
        proxy = environment_proxy(self._feed_url, loopback_direct=True)
        async with (
            open_session(proxy, decompress=False) as session,
            Subscriber(self._feed_url, self._election, session=session, use_mirror=False) as subscriber,
        ):
            attached = asyncio.Event()
            following = asyncio.create_task(self._follow_and_decide(subscriber, attached), name="subscriber")
            try:
                await _first_of(attached.wait(), following, finish_s, "the first snapshot")
                self._started = clock() + (started - datetime.now(UTC)).total_seconds()
                await _first_of(
                    self._push_all(), following, self._last_due_s() + finish_s, "the last receipt"
                )
                left_s = max(0.0, (publish_at - datetime.now(UTC)).total_seconds())
                what = "a decision on every held report"
                placed = await _first_of(self._wait_placed(), following, finish_s, what)
                reached = self._wait_published(subscriber, placed)
                await _first_of(reached, following, left_s + finish_s, "the last publication")
            finally:
                following.cancel()
                await asyncio.wait({following})
            return self._summary(subscriber, dataset, publish_at, placed)

    async def _follow_and_decide(self, subscriber: Subscriber, attached: asyncio.Event) -> None:
        """Read the feed, and decide on held reports, until cancelled. Raises the error of either."""
        await run_until_one_ends(
            asyncio.create_task(self._follow(subscriber, attached), name="feed"),
            asyncio.create_task(self._operator.run(), name="operator"),
        )

    async def _push_all(self) -> None:
        proxy = environment_proxy(self._push_url, loopback_direct=True)
        async with open_session(proxy, connections_max=0) as session, asyncio.TaskGroup() as pushing:
            for number, municipality in enumerate(self.senders):
                way = self._transports[number % len(self._transports)]
                pushing.create_task(self._send(session, municipality, way))

    def _last_due_s(self) -> float:
        due = max((sendings[-1].due_s for sendings in self.senders.values() if sendings), default=0.0)
        return max(0.0, self._started - asyncio.get_running_loop().time()) + due

    async def _follow(self, subscriber: Subscriber, attached: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        async for block in subscriber.blocks():
            self._blocks.append((block.sequence, clock()))
            self._unprocessed.append((time.time(), block))
            self._unprocessed_areas += len(block.areas)
            self._process_blocks(UNPROCESSED_MAX)
            self._on_block(subscriber, block)
            attached.set()
            self._moved.set()

    def _process_blocks(self, left: int) -> None:
        """Reduce blocks to what the judge needs, until at most `left` areas are unprocessed."""
        while self._unprocessed and self._unprocessed_areas > left:
            at, block = self._unprocessed.popleft()
            self._unprocessed_areas -= len(block.areas)
            self._observed.append(observe(block, at))

    def reading(self, registry: Mapping[str, Any]) -> ReaderHistory:
        """Return the blocks that the replay's subscriber received, for the judge."""
        self._process_blocks(-1)
        parents = {area.get("parent") for area in registry["areas"]}
        areas = frozenset(area["id"] for area in registry["areas"] if area["id"] in parents)
        return ReaderHistory("subscriber", areas, self._observed)

    def pushes(self) -> list[Push]:
        """Return the reports with their answers, for the judge."""
        return [
            Push(
                sending.unit,
                sending.revision,
                expected_digest(sending.body),
                sending.answered_wall,
                sending.answer,
            )
            for sendings in self.senders.values()
            for sending in sendings
            if sending.answer is not None
        ]

    async def _wait_placed(self) -> int:
        """Wait until no report is held; return how many are in the record."""
        if not any(answer.state == "held" for answer in self._answers.values()):
            return sum(answer.has_receipt for answer in self._answers.values())
        while True:
            placed = await self._placed()
            if placed is not None:
                return placed
            await asyncio.sleep(POLL_S)

    async def _wait_published(self, subscriber: Subscriber, placed: int) -> None:
        while subscriber.sequence < placed:
            self._moved.clear()
            await self._moved.wait()

    async def _send(self, session: aiohttp.ClientSession, municipality: str, way: str) -> None:
        sendings = self.senders[municipality]
        if way == "websocket":
            token = self._tokens[municipality]
            async with Publisher(self._push_url, self._election, token, session=session) as publisher:
                for sending in sendings:
                    await self._until(sending.due_s)
                    await self._wait_decided(sending)
                    sending.sent_at = asyncio.get_running_loop().time()
                    publisher.submit(sending.body).add_done_callback(partial(self._on_done, sending))
            return
        most = LINES_MAX if way == "ndjson" else 1
        place = 0
        while place < len(sendings):
            await self._until(sendings[place].due_s)
            await self._wait_decided(sendings[place])
            now = asyncio.get_running_loop().time() - self._started
            part = [sending for sending in sendings[place : place + most] if sending.due_s <= now]
            part = part[: self._before_waiting(part)] or [sendings[place]]
            place += len(part)
            await self._post(session, municipality, part, ndjson=way == "ndjson")

    async def _post(
        self, session: aiohttp.ClientSession, municipality: str, part: Sequence[Sending], *, ndjson: bool
    ) -> None:
        for sending in part:
            sending.sent_at = asyncio.get_running_loop().time()
        token = self._tokens[municipality]
        bodies = [sending.body for sending in part]
        waiting = list(part)
        while waiting:
            answers = await push_http(session, self._push_url, self._election, token, bodies, ndjson=ndjson)
            for sending, answer in zip(waiting, answers, strict=True):
                if answer.outcome != "retry":
                    self._settle(sending, answer)
            waiting = [sending for sending in waiting if sending.answer is None]
            bodies = [sending.body for sending in waiting]

    async def _until(self, due_s: float) -> None:
        left_s = self._started + due_s - asyncio.get_running_loop().time()
        if left_s > 0:
            await asyncio.sleep(left_s)

    async def _wait_decided(self, sending: Sending) -> None:
        """Wait for the report that must come first, and for the decision on it, if it is held."""
        first = self._after.get((sending.unit, sending.revision))
        while first is not None:
            answer = self._answers.get(first)
            if answer is not None and (answer.state != "held" or first in self._operator.ended):
                return
            self._operator.moved.clear()
            await self._operator.moved.wait()

    def _before_waiting(self, part: Sequence[Sending]) -> int:
        """Return how many reports can be sent at once: those before the next one that may have to wait."""
        places = (
            place
            for place, sending in enumerate(part)
            if place and (sending.unit, sending.revision) in self._after
        )
        return next(places, len(part))

    def _on_done(self, sending: Sending, answer: asyncio.Future[Answer]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._settle(sending, answer.result())

    def _settle(self, sending: Sending, answer: Answer) -> None:
        sending.answer = answer
        report = sending.unit, sending.revision
        self._answers[report] = answer
        self._operator.note_answer(report, held=answer.state == "held")
        sending.answered_at = asyncio.get_running_loop().time()
        sending.answered_wall = time.time()
        self._on_answer(sending)

    def _summary(
        self, subscriber: Subscriber, dataset: DataSet, publish_at: datetime, placed: int
    ) -> Summary:
        sendings = [sending for each in self.senders.values() for sending in each]
        with_receipt = [sending for sending in sendings if sending.answer and sending.answer.has_receipt]
        receipt = latency_of(sending.answered_at - self._started - sending.due_s for sending in with_receipt)
        embargoed = sum(
            sending.answer is not None and sending.answer.state == "embargoed" for sending in with_receipt
        )
        public, last_at = self._to_subscriber(with_receipt)
        finals = dataset.official_finals()
        return Summary(
            election=self._election,
            reports=len(sendings),
            receipts=len(with_receipt),
            refused=sum(
                sending.answer is not None and sending.answer.outcome == "refused" for sending in sendings
            ),
            held=sum(
                sending.answer is not None and sending.answer.state == "held" for sending in with_receipt
            ),
            unpublished=len(with_receipt) - placed,
            publications=subscriber.sequence,
            blocks=len(self._blocks),
            seconds=last_at - self._started,
            to_receipt=receipt,
            to_subscriber=latency_of(public),
            release_s=self._release_s(publish_at) if embargoed else None,
            areas=len(finals),
            wrong=[
                area for area, line in finals.items() if not same_figures(subscriber.copy.get(area), line)
            ],
        )

    def _to_subscriber(self, sendings: Sequence[Sending]) -> tuple[list[float], float]:
        """Return the delay of each report that was published immediately, and the time of the last block needed."""
        sequences = [sequence for sequence, _ in self._blocks]
        delays = []
        last = 0
        for sending in sendings:
            assert sending.answer is not None
            if sending.answer.sequence is not None:
                place = bisect_left(sequences, sending.answer.sequence)
                delays.append(self._blocks[place][1] - self._started - sending.due_s)
                last = max(last, place)
        if not delays:
            last = bisect_left(sequences, sequences[-1])
        return delays, self._blocks[last][1]

    def _release_s(self, publish_at: datetime) -> float | None:
        loop_now, now = asyncio.get_running_loop().time(), datetime.now(UTC)
        for sequence, at in self._blocks:
            if sequence > 0:
                return (now - publish_at).total_seconds() - (loop_now - at)
        return None


async def _first_of(
    wanted: Coroutine[Any, Any, T], following: asyncio.Task[None], most_s: float, what: str
) -> T:
    """Wait for something while the subscriber follows. Raises ReplayFailed after `most_s`, or the error of either."""
    waiting = asyncio.ensure_future(wanted)
    done, _ = await asyncio.wait({waiting, following}, timeout=most_s, return_when=asyncio.FIRST_COMPLETED)
    if following in done:
        waiting.cancel()
        following.result()
    if waiting not in done:
        waiting.cancel()
        raise ReplayFailed(f"{what} did not arrive within {most_s:.0f} s")
    return waiting.result()
