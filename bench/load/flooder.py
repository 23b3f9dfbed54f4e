"""A sender that floods the gateway, in a separate process, so that it does not slow down the other senders.

It reads an `Order` from standard input, as one line of JSON, and at the end writes the answer to each report, one
line of JSON each.
"""

import asyncio
import itertools
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec
import uvloop

from gateway.client.publisher import Answer, Publisher
from gateway.rehearsal.judge import Push, expected_digest
from gateway.trimmed_json import dumps_trimmed

IN_FLIGHT = 128
"""Reports that a connection keeps in flight: more than it ever has credit for."""
DRAIN_S = 60.0


class Order(msgspec.Struct):
    """Where to push, with which token, over how many connections, for how long, and which reports."""

    push_url: str
    election: str
    token: str
    connections: int
    seconds: float
    reports: list[dict[str, Any]]
    """The latest report of each unit; their next revisions are sent in turn."""


class Flood:
    """Pushes the reports of one sender as fast as they are accepted."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._next = itertools.cycle(range(len(order.reports)))
        self._ends = time.monotonic() + order.seconds
        self.pushes: list[Push] = []

    async def run(self) -> None:
        """Push until the time is over, then wait for the last answers."""
        order = self._order
        async with AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(limit=0)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            publishers = [
                await stack.enter_async_context(
                    Publisher(order.push_url, order.election, order.token, session=session)
                )
                for _ in range(order.connections)
            ]
            await asyncio.gather(
                *(self._push(publisher) for publisher in publishers for _ in range(IN_FLIGHT))
            )

    async def _push(self, publisher: Publisher) -> None:
        while time.monotonic() < self._ends:
            report = self._order.reports[next(self._next)]
            report["revision"] += 1
            unit, revision, body = report["unit"], report["revision"], dumps_trimmed(report)
            answer: Answer = await asyncio.wait_for(publisher.push(body), self._order.seconds + DRAIN_S)
            self.pushes.append(Push(unit, revision, expected_digest(body), time.time(), answer))


def main() -> None:
    """Execute an order."""
    flood = Flood(msgspec.json.decode(sys.stdin.buffer.readline(), type=Order))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(flood.run())
    for push in flood.pushes:
        sys.stdout.buffer.write(msgspec.json.encode(push) + b"\n")


if __name__ == "__main__":
    main()
