"""Turns of a hub: one change at a time, or so many a second, and what bringing them to its readers took."""

import asyncio
import time

import msgspec

from bench.load.audience import Told
from bench.load.hub import Hub

DRAIN_S = 30.0
"""How long readers may take to have the last change, after it was published."""


class Turn(msgspec.Struct, frozen=True):
    """What a turn showed."""

    changes: int
    delivered: int
    cpu_s: float
    late_s: float
    """From the last publication to when all readers had it, or were no longer waited for."""
    told: Told

    @property
    def per_cpu_s(self) -> float:
        """Deliveries a CPU second."""
        return self.delivered / self.cpu_s if self.cpu_s else 0.0

    def shortfall(self, name: str) -> str:
        """Return in words what readers did not get in the time allowed; empty where each had every change."""
        expected = self.changes * (self.told.readers + self.told.lost)
        if self.delivered == expected:
            return ""
        return (
            f"{name}: {self.delivered} of {expected} deliveries in the time allowed, {self.told.lost} cut off"
        )


async def one_at_a_time(hub: Hub, seconds: float) -> Turn:
    """Publish a change once every reader has the one before."""
    await hub.stand.mark()
    before, ends = hub.cpu_s(), time.monotonic() + seconds
    changes, published, told = 0, 0.0, None
    while told is None or (not told.behind and time.monotonic() < ends):
        number = await hub.publish()
        published = time.monotonic()
        changes += 1
        told = await hub.stand.wait(number, DRAIN_S)
    return Turn(changes, told.covered, hub.cpu_s() - before, time.monotonic() - published, told)


async def at_rate(hub: Hub, rate: float, seconds: float) -> Turn:
    """Publish changes when they are due, and wait until every reader has the last."""
    await hub.stand.mark()
    before, started = hub.cpu_s(), time.monotonic()
    changes, number = max(1, round(rate * seconds)), 0
    for place in range(changes):
        if (early_s := started + place / rate - time.monotonic()) > 0:
            await asyncio.sleep(early_s)
        number = await hub.publish()
    published = time.monotonic()
    told = await hub.stand.wait(number, DRAIN_S)
    return Turn(changes, told.covered, hub.cpu_s() - before, time.monotonic() - published, told)
