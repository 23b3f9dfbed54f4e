"""Embargo release: what was counted before becomes public at once, before crowds that wait for it under gzip.

It ends when the last compressed byte is read by the last reader. What is read is compared with what was unpacked, which
is one piece of bytes for all of them; a reader who gets other bytes has them unpacked and looked at by themselves.
"""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta

import msgspec

from bench.figures import Result, Row, Target
from bench.load.hub import feed_stand
from bench.load.local import Local, election, gateway
from bench.measure.load import Play, playing
from bench.measure.options import Options
from gateway.journal.administration import administration
from gateway.rehearsal.dataset import DataSet

HELD = 1_867
"""Reports that were counted before the release in 2025."""
CROWDS = (2_000, 10_000)
TARGETS_S = {2_000: 0.5, 10_000: 2.0}
BEFORE_S, MORE_S = 4.0, 4.0
"""The embargo is moved on by MORE_S while readers still come BEFORE_S before its end."""
MOST_S = 60.0
QUIET_S = 1.5
"""Between the last reader and the release, at least."""


class Embargo:
    """The end of an election's embargo, moved on until all are there."""

    def __init__(self, play: Play) -> None:
        self._play = play

    @property
    def left_s(self) -> float:
        """Seconds until it ends."""
        return (self._play.target.publish_from - datetime.now(UTC)).total_seconds()

    async def until(self, done: Coroutine[None, None, None]) -> None:
        """Have it last until something is done, and QUIET_S more."""
        doing = asyncio.ensure_future(done)
        while not (await asyncio.wait({doing}, timeout=0.2))[0]:
            await self._last(BEFORE_S, MORE_S)
        doing.result()
        await self._last(QUIET_S, QUIET_S)

    async def _last(self, least_s: float, more_s: float) -> None:
        if self.left_s >= least_s:
            return
        target = self._play.target
        until = target.publish_from + timedelta(seconds=more_s)
        async with administration(self._play.local.database_url, "bench") as acts:
            await acts.move_embargo(target.election, until)
        self._play.target = msgspec.structs.replace(target, publish_from=until)


async def release(local: Local, dataset: DataSet, crowd: int, found: Result) -> None:
    """Measure one crowd."""
    async with (
        playing(local, dataset, publish_in_s=BEFORE_S + MORE_S) as play,
        feed_stand(local, play.target.election) as readers,
    ):
        plan = play.planner.night()[:HELD]

        async def come() -> None:
            await play.push(plan)
            await readers.connect(crowd)

        embargo = Embargo(play)
        await embargo.until(come())
        await readers.mark()
        before = await play.cpu()
        told = await readers.wait(len(plan), embargo.left_s + MOST_S)
        cpu = (await play.cpu()).since(before)
        seconds = told.last_at - play.target.publish_from.timestamp()
        await play.reached(len(plan))
        await play.judge()
    if told.behind or told.lost:
        play.faults.append(f"{crowd} readers: {told.behind} are behind, {told.lost} were cut off")
    what = f"embargo release of {len(plan)} reports to {crowd} gzip readers: last compressed byte read"
    most_s = TARGETS_S.get(crowd)
    found.rows.append(
        Row.single(what, seconds, "s", Target(most_s, most=True) if most_s is not None else None)
    )
    found.notes.append(
        f"{crowd} readers: {told.size / crowd / 1000:.1f} kB each; CPU s: {cpu.told}, readers {told.cpu_s:.2f};"
        f" {told.looked_at} different pieces of bytes were unpacked"
    )
    found.invalid += play.faults


async def measure(options: Options) -> Result:
    """Measure each crowd, with an election of its own."""
    found = Result("release")
    async with election(options.data) as dataset, gateway(readers_max=100_000) as local:
        for crowd in options.readers or CROWDS:
            await release(local, dataset, crowd, found)
    return found
