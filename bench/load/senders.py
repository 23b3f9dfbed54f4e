"""The senders of a load: each report is sent when it is due, whatever the answers to earlier ones."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import aiohttp
import msgspec

from bench.load.flooder import Order
from bench.load.plan import Planned
from bench.load.target import Target
from gateway.client.publisher import Answer, Publisher
from gateway.rehearsal.judge import Push, expected_digest

OPEN_S = 20.0
"""How long connecting may take before the load starts anyway, in s."""
FLOODER = (sys.executable, "-m", "bench.load.flooder")


class Sent(msgspec.Struct):
    """A planned report and its answer; times by the monotonic clock, `wall` in seconds since 1970."""

    planned: Planned
    due_at: float
    answered_at: float = 0.0
    wall: float = 0.0
    answer: Answer | None = None


class Senders:
    """One WebSocket per sender, opened before the first report. Leaving the block closes them."""

    def __init__(self, target: Target) -> None:
        self.sent: list[Sent] = []
        self.flooded: list[Push] = []
        self.offered: list[Sent] = []
        """Reports sent once over HTTP, and not again if they were refused."""
        self.late_s: list[float] = []
        """How late this process itself was with each report, in s."""
        self._target = target
        self._publishers: dict[str, Publisher] = {}
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Senders":
        connector = aiohttp.TCPConnector(limit=0)
        self._session = await self._stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def open(self, senders: Sequence[str]) -> None:
        """Connect senders that are not connected yet, and wait up to OPEN_S for the gateway to accept them."""
        new = [sender for sender in senders if sender not in self._publishers]
        for sender in new:
            self._publishers[sender] = await self._stack.enter_async_context(self._publisher(sender))
        ends = time.monotonic() + OPEN_S
        for sender in new:
            while not self._publishers[sender].connections and time.monotonic() < ends:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def _publisher(self, sender: str) -> Publisher:
        assert self._session is not None
        target = self._target
        return Publisher(target.push_url, target.election, target.tokens[sender], session=self._session)

    async def play(self, plan: Sequence[Planned]) -> list[Sent]:
        """Send a plan, starting now; return when everything is sent, without waiting for answers."""
        await self.open(list(dict.fromkeys(each.sender for each in plan)))
        start, played = time.monotonic(), []
        for each in plan:
            due_at = start + each.due_s
            while (left_s := due_at - time.monotonic()) > 0:  # noqa: ASYNC110 - waits for a time
                await asyncio.sleep(left_s)
            sent = Sent(each, due_at)
            self.late_s.append(time.monotonic() - due_at)
            played.append(sent)
            self._publishers[each.sender].submit(each.body).add_done_callback(partial(_note_answer, sent))
            if len(played) % 64 == 0:
                await asyncio.sleep(0)
        self.sent += played
        return played

    async def flood(
        self, sender: str, reports: Sequence[Mapping[str, Any]], connections: int, seconds: float
    ) -> int:
        """Push as one sender as fast as the gateway accepts, see `flooder`; return how many reports were decided."""
        target = self._target
        order = Order(
            target.push_url,
            target.election,
            target.tokens[sender],
            connections,
            seconds,
            [dict(each) for each in reports],
        )
        process = await asyncio.create_subprocess_exec(*FLOODER, stdin=PIPE, stdout=PIPE)
        output, _ = await process.communicate(msgspec.json.encode(order) + b"\n")
        if process.returncode:
            raise RuntimeError(f"the flooding process ended with status {process.returncode}")
        self.flooded += [msgspec.json.decode(line, type=Push) for line in output.splitlines()]
        return len(self.flooded)

    async def wait_answered(self, most_s: float) -> bool:
        """Wait up to `most_s` until everything is answered; return whether it was."""
        ends = time.monotonic() + most_s
        while any(sent.answer is None for sent in self.sent):
            if time.monotonic() > ends:
                return False
            await asyncio.sleep(0.02)
        return True

    def with_receipt(self) -> list[Sent]:
        """Return the planned reports that have a receipt."""
        return [sent for sent in self.sent if sent.answer is not None and sent.answer.has_receipt]

    def pushes(self) -> list[Push]:
        """Return the answers, for the judge."""
        sent_here = [
            Push(
                sent.planned.unit,
                sent.planned.revision,
                expected_digest(sent.planned.body),
                sent.wall,
                sent.answer,
            )
            for sent in (*self.sent, *self.offered)
            if sent.answer is not None
        ]
        return sent_here + self.flooded


def outcomes(sent: Sequence[Sent | Push]) -> Mapping[str, int]:
    """Count the reports by outcome; `none` for those without an answer."""
    counts: dict[str, int] = {}
    for each in sent:
        outcome = each.answer.code or each.answer.outcome if each.answer is not None else "none"
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts


def _note_answer(sent: Sent, answer: asyncio.Future[Answer]) -> None:
    if not answer.cancelled() and answer.exception() is None:
        sent.answer, sent.answered_at, sent.wall = answer.result(), time.monotonic(), time.time()
