"""follow: many changes per second to readers, beside FastAPI with sse-starlette and one queue per subscriber."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial

from bench.figures import Result, Row, Skipped, Unavailable
from bench.load.delivery import at_rate
from bench.load.hub import Hub, valgnatt
from bench.load.local import Local, gateway
from bench.measure.pairs.options import Options
from bench.measure.pairs.rounds import Round, Rounds, alternate
from bench.peers import fastapi

READERS = 1_000
PER = 100_000


async def measure(options: Options) -> Result:
    """Measure the pair."""
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(gateway(readers_max=100_000))
        follow = Follow(options, local)
        return await follow.measure()


class Follow:
    """The pair while it is measured. Each round has a new hub, so that it does not inherit a backlog."""

    def __init__(self, options: Options, local: Local) -> None:
        self._options = options
        self._local = local
        self._readers = options.readers or READERS
        self._rounds = Rounds()
        self._pair = Result("follow")

    async def measure(self) -> Result:
        """Run the rounds of both sides."""
        sides: dict[str, Round] = {"Valgnatt": partial(self._round, partial(valgnatt, self._local))}
        scratch = self._options.out / "peers"
        try:
            await fastapi.python_of(scratch)
            sides["FastAPI"] = partial(self._round, partial(fastapi.queue_per_subscriber, scratch))
        except Unavailable as error:
            self._pair.skipped.append(Skipped.of(error))
        await alternate(self._options.rounds, sides)
        self._add_rows(list(sides))
        return self._pair

    async def _round(self, opened: Callable[[], AbstractAsyncContextManager[Hub]]) -> None:
        async with opened() as hub:
            await hub.crowd.connect(self._readers)
            await hub.crowd.wait(await hub.publish())
            delivery = await at_rate(hub, self._options.rate, self._options.seconds / 2)
        rounds = self._rounds
        rounds.add(f"{hub.name}, CPU", "µs per delivery", 1e6 * delivery.cpu_s / max(1, delivery.delivered))
        rounds.add(f"{hub.name}, p50", "ms", 1000 * delivery.seen.p50_s)
        rounds.add(f"{hub.name}, p99", "ms", 1000 * delivery.seen.p99_s)
        rounds.add(f"{hub.name}, delay of the last delivery", "s", delivery.late_s)
        rounds.add_cpu(
            hub.name, {"the readers": delivery.seen.cpu_s}, delivery.delivered or 1, PER, "deliveries"
        )
        if shortfall := delivery.shortfall(hub.name):
            (self._pair.invalid if delivery.seen.lost else self._pair.notes).append(shortfall)

    def _add_rows(self, sides: list[str]) -> None:
        rounds, pair, shown = self._rounds, self._pair, []
        load = f"{self._options.rate:g} changes/s to {self._readers} readers"
        for key, what in (("CPU", "CPU per delivery"), ("p99", "from publication to a reader, p99")):
            ours, *others = [rounds[f"{side}, {key}"] for side in sides]
            pair.rows.append(Row.compared(f"{load}: {what}", ours, others[0] if others else None))
            shown += [ours, *others]
        pair.figures = rounds.others(*shown)
