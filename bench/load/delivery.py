"""Deliver changes through a hub, one at a time or at a rate, and measure what it takes."""

import asyncio
import time

import msgspec

from bench.load.crowd_messages import Seen
from bench.load.hub import Hub

DRAIN_S = 30.0
"""How long readers may take to receive the last change, in s."""


class Delivery(msgspec.Struct, frozen=True):
    """What was published, what was delivered, and what it took."""

    changes: int
    delivered: int
    cpu_s: float
    late_s: float
    """From the last publication until all readers had it, or until DRAIN_S was over, in s."""
    seen: Seen

    @property
    def per_cpu_s(self) -> float:
        """Deliveries per CPU second."""
        return self.delivered / self.cpu_s if self.cpu_s else 0.0

    def shortfall(self, name: str) -> str:
        """Describe what readers did not receive in time; empty if each received every change."""
        expected = self.changes * (self.seen.readers + self.seen.lost)
        if self.delivered == expected:
            return ""
        return (
            f"{name}: {self.delivered} of {expected} deliveries in the time allowed, {self.seen.lost} cut off"
        )


async def one_at_a_time(hub: Hub, seconds: float) -> Delivery:
    """Publish each change when every reader has the one before."""
    await hub.crowd.mark()
    before, ends = hub.cpu_s(), time.monotonic() + seconds
    changes, published, seen = 0, 0.0, None
    while seen is None or (not seen.behind and time.monotonic() < ends):
        number = await hub.publish()
        published = time.monotonic()
        changes += 1
        seen = await hub.crowd.wait(number, DRAIN_S)
    return Delivery(changes, seen.covered, hub.cpu_s() - before, time.monotonic() - published, seen)


async def at_rate(hub: Hub, rate: float, seconds: float) -> Delivery:
    """Publish changes at a rate per second, and wait until every reader has the last."""
    await hub.crowd.mark()
    before, started = hub.cpu_s(), time.monotonic()
    changes, number = max(1, round(rate * seconds)), 0
    for place in range(changes):
        if (early_s := started + place / rate - time.monotonic()) > 0:
            await asyncio.sleep(early_s)
        number = await hub.publish()
    published = time.monotonic()
    seen = await hub.crowd.wait(number, DRAIN_S)
    return Delivery(changes, seen.covered, hub.cpu_s() - before, time.monotonic() - published, seen)
