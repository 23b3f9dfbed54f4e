"""fanout: deliveries per CPU second and memory per idle reader, beside Nchan and a loop of `socket.send`."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from bench.figures import Result, Row, Skipped, Target, Unavailable
from bench.load.delivery import Turn, at_rate, one_at_a_time
from bench.load.hub import Hub, valgnatt
from bench.load.local import gateway
from bench.load.processes import socket_memory_kb
from bench.measure.pairs.options import Options
from bench.measure.pairs.rounds import Rounds, take_turns
from bench.measure.pairs.rounds import Turn as Side
from bench.peers.nchan import nchan
from bench.peers.posting import CHANGE_BYTES
from bench.peers.socket_loop import loop_of_sends

READERS, CROWD = 2_000, 3_000
"""Readers of one change at a time, and of many a second."""
WARM = 100
"""Readers that have come before memory is looked at."""
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
        except Unavailable as absent:
            fanout.pair.skipped.append(Skipped.of(absent))
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
        """Look at memory while readers come, then at deliveries to them, then at those to a larger crowd."""
        options = self._options
        for hub in self.hubs:
            await self._fill(hub)
        async with loop_of_sends(self._few, CHANGE_BYTES) as loop:
            sides: dict[str, Side] = {
                hub.name: partial(self._one_at_a_time, hub) for hub in (*self.hubs, loop)
            }
            await take_turns(options.rounds, sides)
        for hub in self.hubs:
            await hub.stand.connect(self._crowd - self._few)
        await take_turns(options.rounds, {hub.name: partial(self._many, hub) for hub in self.hubs})
        self._tell()
        return self.pair

    async def _fill(self, hub: Hub) -> None:
        """Let readers in, and see what they cost while nothing happens."""
        warm = min(WARM, self._few // 2)
        await hub.stand.connect(warm)
        await hub.stand.wait(await hub.publish())
        await asyncio.sleep(QUIET_S)
        before, kernel = hub.memory_kb(), socket_memory_kb()
        told = await hub.stand.connect(self._few - warm)
        await asyncio.sleep(QUIET_S)
        new = told.readers - warm
        self._rounds.add(f"{hub.name}, {MEMORY}", "kB an idle reader", (hub.memory_kb() - before) / new)
        self._rounds.add(
            f"{hub.name}, memory of the kernel for both ends, of all on this machine",
            "kB an idle reader",
            (socket_memory_kb() - kernel) / new,
        )

    async def _one_at_a_time(self, hub: Hub) -> None:
        self._note(hub, ALONE, await one_at_a_time(hub, self._options.seconds))

    async def _many(self, hub: Hub) -> None:
        self._note(hub, MANY, await at_rate(hub, self._options.rate, self._options.seconds / 2))

    def _note(self, hub: Hub, what: str, turn: Turn) -> None:
        name, rounds = f"{hub.name}, {what}", self._rounds
        rounds.add(name, "deliveries per CPU s", turn.per_cpu_s)
        rounds.add(f"{name}: from publication to a reader, p50", "ms", 1000 * turn.told.p50_s)
        rounds.add(f"{name}: from publication to a reader, p99", "ms", 1000 * turn.told.p99_s)
        rounds.add(f"{name}: behind after the last", "s", turn.late_s)
        rounds.add(f"{name}: bytes of a piece", "bytes", turn.told.size / max(1, turn.told.receives))
        rounds.add_cpu(name, {"the audience": turn.told.cpu_s}, turn.delivered or 1, PER, "deliveries")
        if shortfall := turn.shortfall(name):
            (self.pair.invalid if turn.told.lost else self.pair.notes).append(shortfall)

    def _tell(self) -> None:
        rounds, pair = self._rounds, self.pair
        ours = self.hubs[0].name
        peers = [hub.name for hub in self.hubs[1:]]
        rows = (
            (
                ALONE,
                f"deliveries per CPU second, one change at a time, {self._few} readers",
                Target(1.15, 1.3),
            ),
            (
                MANY,
                f"deliveries per CPU second, {self._options.rate:g} changes/s, {self._crowd} readers",
                Target(5),
            ),
        )
        shown = []
        for key, what, target in rows:
            series = rounds[f"{ours}, {key}"]
            shown.append(series)
            for peer in peers:
                shown.append(rounds[f"{peer}, {key}"])
                pair.rows.append(Row.compared(what, series, shown[-1], target))
            if not peers:
                pair.rows.append(Row.compared(what, series))
        ceiling = rounds[f"`socket.send` in a loop, {ALONE}"]
        pair.rows.insert(1, Row.compared(rows[0][1], rounds[f"{ours}, {ALONE}"], ceiling))
        memory = rounds[f"{ours}, {MEMORY}"]
        what = f"memory of an idle reader, of {self._few}"
        pair.rows.append(Row.compared(what, memory, None, Target(10, 8, most=True)))
        shown += [ceiling, memory]
        for peer in peers:
            shown.append(rounds[f"{peer}, {MEMORY}"])
            pair.rows.append(Row.compared(what, memory, shown[-1], Target(1, most=True)))
        pair.figures = rounds.rest(*shown)
