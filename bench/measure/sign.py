"""Sign: reports/s and CPU of a feed process with and without a signer, and when a checkpoint covers a publication.

Two gateways run at the same time, one with a signer that signs every second, five times as often as by default. In each
round, the same reports are pushed three times as fast as they are accepted, to a new election each: to the gateway
without a signer, to that with one, and to that without again. The run with it is compared with the mean of the other
two, whose difference is shown too. Afterwards a third gateway with the default interval is under a steady load, while
its feed door is asked for the newest checkpoint. A feed computes the tree with and without a signer; what it costs is
measured beside `ElectionState.apply`, and subtracted from the side without.
"""

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import aiohttp

from bench.figures import Result, Row, Series, Target
from bench.load.local import Local, gateway, open_data_set
from bench.load.plan import Planned, Planner
from bench.load.processes import cpu_s
from bench.load.pusher import Order
from bench.load.pushing import pushing
from bench.load.record import publications
from bench.load.target import create_election
from bench.measure.load import under_load
from bench.measure.options import Options
from bench.measure.pairs.rounds import Rounds
from gateway.config import Config
from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.journal.administration import administration
from gateway.rehearsal.dataset import DataSet
from gateway.transparency.tree import Tree

ROUNDS = 10
LOADS = 3
"""Reports of a run, as a multiple of `Options.reports`."""
EVERY_S = 1
"""Interval of the signer beside which reports are pushed."""
RATE = 50.0
STEADY = 5.0
"""Duration of the steady load, as a multiple of `Options.seconds`."""
ASK_S = 0.05
COVERED_S = 6.0
SHOWN_S = 60.0
LOSS = 0.02
"""Share of the rate that a signer may cost, unless two runs without one differ by more."""
FEED_CPU = Target(1.10, most=True)
TURNS = 3
LOG_NAME = "measured.example"
WITHOUT, WITH, AGAIN = "no signer", "signer", "no signer, again"


async def measure(options: Options) -> Result:
    """Measure ROUNDS rounds, the cost of the tree, and the delay of checkpoints."""
    async with AsyncExitStack() as stack:
        dataset = await stack.enter_async_context(open_data_set(options.data))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="valgnatt-measure-")))
        tree_us, apply_us = _tree_us(dataset)
        async with AsyncExitStack() as both:
            free = await both.enter_async_context(gateway())
            signed = await both.enter_async_context(
                gateway(sign_dir=scratch / "keys", log_name=LOG_NAME, checkpoint_every_s=EVERY_S)
            )
            runs = _Runs(free, signed, dataset, LOADS * options.reports, scratch / "reports")
            for _ in range(ROUNDS):
                await runs.round()
        result = runs.result(tree_us, apply_us)
        await _measure_delay(dataset, scratch / "keys of the delay", options, result)
        return result


class _Runs:
    """The runs of all rounds while they are measured."""

    def __init__(self, free: Local, signed: Local, dataset: DataSet, reports: int, file: Path) -> None:
        self._locals = {WITHOUT: free, WITH: signed, AGAIN: free}
        self._registry = dataset.registry
        plan = Planner(dataset.reports()).steady(reports, 1.0)
        self._senders = list(dict.fromkeys(each.sender for each in plan))
        self._order = _places(plan, self._senders)
        self._file = file
        file.write_bytes(b"".join(each.body + b"\n" for each in plan))
        self._rounds = Rounds()
        self._invalid: list[str] = []

    async def round(self) -> None:
        """Push everything to each side."""
        for side in (WITHOUT, WITH, AGAIN):
            await self._run(side)

    async def _run(self, side: str) -> None:
        local, reports = self._locals[side], len(self._order)
        created = await create_election(local, self._registry, [[sender] for sender in self._senders])
        order = Order(
            local.push_url,
            created.id,
            created.secrets,
            str(self._file),
            limit_s=20 + reports / 1000,
            senders=self._order,
        )
        pids = await local.pids()
        async with pushing(order) as go:
            before = {name: cpu_s(pid) for name, pid in pids.items()}
            pushed = await go()
            await _wait_shown(local, created.id, reports)
            used_s = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
        if side == WITH:
            await self._wait_signed(local, created.id)
        async with administration(local.database_url, "bench") as acts:
            await acts.close_election(created.id)  # open elections are watched, which would delay later runs
        if pushed.outcomes != {"accepted": reports}:
            self._invalid.append(
                f"{side}: of {reports} reports {pushed.outcomes}, {pushed.unanswered} unanswered"
            )
        self._rounds.add(side, "reports/s", reports / pushed.seconds)
        for name, seconds in used_s.items():
            self._rounds.add(f"{side}: CPU of {name}", "µs per report", 1e6 * seconds / reports)

    async def _wait_signed(self, local: Local, election: str) -> None:
        """Wait until the whole record is signed, so that the signer is idle during the next run."""
        ends = time.monotonic() + SHOWN_S
        async with local.session() as session:
            while await _checkpoint(local, election, session) <= len(self._order):
                if time.monotonic() > ends:
                    self._invalid.append(f"{WITH}: the record was not signed")
                    return
                await asyncio.sleep(ASK_S)

    def _means(self, figure: str = "") -> Series:
        """Return the means of both runs without a signer in each round, between which the run with it was."""
        name = f": {figure}" if figure else ""
        once, again = self._rounds[f"{WITHOUT}{name}"], self._rounds[f"{AGAIN}{name}"]
        means = [(one + other) / 2 for one, other in zip(once.rounds, again.rounds, strict=True)]
        return Series("no signer, mean of the runs before and after", once.unit, means)

    def result(self, tree_us: float, apply_us: float) -> Result:
        """Return the rows."""
        rounds, reports = self._rounds, len(self._order)
        what = (
            f"{reports} reports at once over {len(self._senders)} WebSockets, a checkpoint every {EVERY_S} s"
        )
        noise = statistics.median(
            abs(again / once - 1)
            for once, again in zip(rounds[WITHOUT].rounds, rounds[AGAIN].rounds, strict=True)
        )
        feed = self._means("CPU of feed-0")
        without_tree = Series(
            f"{feed.name}, less the {tree_us:.1f} µs of the tree",
            feed.unit,
            [each - tree_us for each in feed.rounds],
        )
        limit = Target(round(1 - max(LOSS, noise), 3))
        rows = [
            Row.compared(f"{what}: rate", rounds[WITH], self._means(), limit),
            Row.compared(
                f"{what}: CPU of the feed process", rounds[f"{WITH}: CPU of feed-0"], without_tree, FEED_CPU
            ),
            Row.single(
                "leaf and tree of a feed, CPU per publication: mean",
                tree_us,
                "µs",
                None,
                Series.single("ElectionState.apply of the same, mean", apply_us, "µs"),
            ),
        ]
        shown = [series for row in rows for series in (row.ours, row.beside) if series is not None]
        result = Result("sign", rows, rounds.others(*shown), invalid=self._invalid)
        result.notes.append(
            f"two runs without a signer differ by {100 * noise:.1f} % (median of {ROUNDS} rounds)"
        )
        return result


def _places(plan: Sequence[Planned], senders: Sequence[str]) -> list[int]:
    place = {sender: number for number, sender in enumerate(senders)}
    return [place[each.sender] for each in plan]


async def _wait_shown(local: Local, election: str, sequence: int) -> None:
    """Wait until the feed door shows a publication."""
    ends = time.monotonic() + SHOWN_S
    async with local.session() as session:
        while time.monotonic() < ends:
            async with session.get(f"{local.feed_url}/v1/elections") as response:
                elections = (await response.json())["elections"]
            if any(each["id"] == election and each["sequence"] >= sequence for each in elections):
                return
            await asyncio.sleep(ASK_S)
    raise TimeoutError(f"the feed door does not show publication {sequence} within {SHOWN_S:.0f} s")


async def _checkpoint(local: Local, election: str, session: aiohttp.ClientSession) -> int:
    """Return the size of the newest checkpoint that the feed door shows; 0 without any."""
    async with session.get(f"{local.feed_url}/v1/elections/{election}/log/checkpoint") as response:
        if response.status != 200:
            return 0
        return int((await response.text()).split("\n")[1])


class _Delays(NamedTuple):
    """When the feed door first showed each size, in seconds since 1970."""

    sizes: list[tuple[float, int]]

    def of(self, sequence: int, published_at: float) -> float | None:
        """Return after how many seconds a checkpoint covered a publication; None: not at all."""
        found = next((at for at, size in self.sizes if size > sequence), None)
        return None if found is None else found - published_at


async def _measure_delay(dataset: DataSet, keys: Path, options: Options, result: Result) -> None:
    """Push a steady load at a gateway with the default interval, and note when its door shows checkpoints."""
    seconds, every_s = STEADY * options.seconds, Config().checkpoint_every_s
    async with (
        gateway(sign_dir=keys, log_name=LOG_NAME) as local,
        under_load(local, dataset) as load,
        local.session() as session,
    ):
        plan = load.planner.steady(RATE, seconds)
        seen = _Delays([])
        pushing_all = asyncio.create_task(load.push(plan, RATE))
        ends = time.monotonic() + seconds + SHOWN_S
        while time.monotonic() < ends:
            size = await _checkpoint(local, load.target.election, session)
            if not seen.sizes or size > seen.sizes[-1][1]:
                seen.sizes.append((time.time(), size))
            if pushing_all.done() and size > len(plan):
                break
            await asyncio.sleep(ASK_S)
        await pushing_all
        await load.wait_reached(len(plan))
        stored = await load.judge()
    result.invalid += load.faults
    found = [
        seen.of(sequence, each.published_at.timestamp())
        for sequence, each in enumerate(stored, 1)
        if each.published_at is not None
    ]
    delays_s = sorted(each for each in found if each is not None)
    if not delays_s or len(delays_s) < len(plan):
        result.invalid.append(f"{len(plan) - len(delays_s)} publications are covered by no checkpoint")
        return
    what = f"publication → checkpoint at the feed door that covers it, {RATE:g} reports/s, interval of {every_s} s"
    result.rows += [
        Row.single(f"{what}: p50", delays_s[len(delays_s) // 2], "s"),
        Row.single(f"{what}: longest", delays_s[-1], "s", Target(COVERED_S, most=True)),
    ]


def _tree_us(dataset: DataSet) -> tuple[float, float]:
    """Return the CPU time of leaf and tree and that of `ElectionState.apply` per publication: the best of TURNS."""
    registry = read_registry(dataset.registry)
    published = list(publications(dataset, registry))
    best_us = [float("inf")] * 2
    thresholds = gc.get_threshold()
    gc.set_threshold(20_000, 20, 50)  # as in a feed process
    try:
        for _ in range(TURNS):
            tree, state = Tree(), ElectionState(registry)
            started = time.thread_time_ns()
            for publication in published:
                tree.append(publication.body)
            between = time.thread_time_ns()
            for publication in published:
                state.apply(publication)
            ended = time.thread_time_ns()
            for place, spent in enumerate((between - started, ended - between)):
                best_us[place] = min(best_us[place], spent / 1000 / len(published))
    finally:
        gc.set_threshold(*thresholds)
    return best_us[0], best_us[1]
