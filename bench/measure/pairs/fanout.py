"""fanout: deliveries per CPU second and memory per idle reader, beside Nchan and a loop of `socket.send`."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from bench.figures import Result, Row, Skipped, Target, Unavailable
from bench.load.delivery import Delivery, at_rate, one_at_a_time
from bench.load.hub import Hub, valgnatt
from bench.load.local import gateway
from bench.load.processes import socket_memory_kb
from bench.measure.pairs.options import Options
from bench.measure.pairs.rounds import Round, Rounds, alternate
from bench.peers.nchan import nchan
from bench.peers.posting import CHANGE_BYTES
from bench.peers.socket_loop import loop_of_sends

READERS, CROWD = 2_000, 3_000
"""Readers of one change at a time, and of many changes per second."""
WARM = 100
"""Readers that are connected before the first measurement of memory."""
QUIET_S = 1.5
PER = 100_000
ALONE, MANY, MEMORY = "one change at a time", "changes/s", "memory"


async def measure(options: Options) -> Result:
    """Measure the pair."""
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(gateway(readers_max=100_000))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="valgnatt-peers-")))
        fanout = Fanout(options)
        fanout.hubs.append(await stack.enter_async_context(valgnatt(local)))
        try:
            fanout.hubs.append(await stack.enter_async_context(nchan(scratch, CROWD)))
        except Unavailable as error:
            fanout.pair.skipped.append(Skipped.of(error))
        return await fanout.measure()


class Fanout:
    """The pair while it is measured."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._few = options.readers or READERS
        self._crowd = max(self._few, options.readers or CROWD)
        self._rounds = Rounds()
        self.hubs: list[Hub] = []
        self.pair = Result("fanout")

    async def measure(self) -> Result:
        """Measure memory while readers connect, then deliveries to them, then deliveries to a larger crowd."""
        options = self._options
        for hub in self.hubs:
            await self._fill(hub)
        async with loop_of_sends(self._few, CHANGE_BYTES) as loop:
            sides: dict[str, Round] = {
                hub.name: partial(self._one_at_a_time, hub) for hub in (*self.hubs, loop)
            }
            await alternate(options.rounds, sides)
        for hub in self.hubs:
            await hub.crowd.connect(self._crowd - self._few)
        await alternate(options.rounds, {hub.name: partial(self._many, hub) for hub in self.hubs})
        self._add_rows()
        return self.pair

    async def _fill(self, hub: Hub) -> None:
        """Connect readers, and measure their memory while nothing is published."""
        warm = min(WARM, self._few // 2)
        await hub.crowd.connect(warm)
        await hub.crowd.wait(await hub.publish())
        await asyncio.sleep(QUIET_S)
        before, kernel = hub.memory_kb(), socket_memory_kb()
        seen = await hub.crowd.connect(self._few - warm)
        await asyncio.sleep(QUIET_S)
        new = seen.readers - warm
        self._rounds.add(f"{hub.name}, {MEMORY}", "kB per idle reader", (hub.memory_kb() - before) / new)
        self._rounds.add(
            f"{hub.name}, memory of the kernel for both ends, all sockets of this machine included",
            "kB per idle reader",
            (socket_memory_kb() - kernel) / new,
        )

    async def _one_at_a_time(self, hub: Hub) -> None:
        self._note(hub, ALONE, await one_at_a_time(hub, self._options.seconds))

    async def _many(self, hub: Hub) -> None:
        self._note(hub, MANY, await at_rate(hub, self._options.rate, self._options.seconds / 2))

    def _note(self, hub: Hub, what: str, delivery: Delivery) -> None:
        name, rounds = f"{hub.name}, {what}", self._rounds
        rounds.add(name, "deliveries per CPU s", delivery.per_cpu_s)
        rounds.add(f"{name}: from publication to a reader, p50", "ms", 1000 * delivery.seen.p50_s)
        rounds.add(f"{name}: from publication to a reader, p99", "ms", 1000 * delivery.seen.p99_s)
        rounds.add(f"{name}: delay of the last delivery", "s", delivery.late_s)
        rounds.add(f"{name}: bytes per receive", "bytes", delivery.seen.size / max(1, delivery.seen.receives))
        rounds.add_cpu(name, {"the readers": delivery.seen.cpu_s}, delivery.delivered or 1, PER, "deliveries")
        if shortfall := delivery.shortfall(name):
            (self.pair.invalid if delivery.seen.lost else self.pair.notes).append(shortfall)

    def _add_rows(self) -> None:
        rounds, pair = self._rounds, self.pair
        ours = self.hubs[0].name
        peers = [hub.name for hub in self.hubs[1:]]
        rows = (
            (
                ALONE,
                f"deliveries per CPU second, one change at a time, {self._few} readers",
                Target(1.3),
            ),
            (
                MANY,
                f"deliveries per CPU second, {self._options.rate:g} changes/s, {self._crowd} readers",
                Target(10),
            ),
        )
        shown = []
        for key, what, target in rows:
            series = rounds[f"{ours}, {key}"]
            shown.append(series)
            for peer in peers:
                shown.append(rounds[f"{peer}, {key}"])
                pair.rows.append(Row.compared(what, series, shown[-1], target, goal=10))
            if not peers:
                pair.rows.append(Row.compared(what, series))
        ceiling = rounds[f"`socket.send` in a loop, {ALONE}"]
        pair.rows.insert(1, Row.compared(rows[0][1], rounds[f"{ours}, {ALONE}"], ceiling))
        memory = rounds[f"{ours}, {MEMORY}"]
        what = f"memory per idle reader, of {self._few}"
        pair.rows.append(Row.compared(what, memory, None, Target(10, 8, most=True)))
        shown += [ceiling, memory]
        for peer in peers:
            shown.append(rounds[f"{peer}, {MEMORY}"])
            pair.rows.append(Row.compared(what, memory, shown[-1], Target(1, most=True)))
        pair.figures = rounds.others(*shown)
