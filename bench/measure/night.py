"""A whole election at once: every sender pushes as fast as it can, until the last of ten subscribers has it all."""

import asyncio

from bench.local import Local, election, gateway
from bench.measure.ceilings import postgres_rows_s
from bench.measure.table import Row
from gateway.client.rehearsal import rehearse
from gateway.client.replay import Summary
from gateway.client.schedule import as_fast_as_possible
from gateway.client.subscriber import Subscriber
from gateway.dataset import DataSet

SUBSCRIBERS = 10
PASSED_S = -60.0
"""The embargo has passed, so that every report becomes public at once."""


async def push_all(
    local: Local, dataset: DataSet, ways: tuple[str, ...], subscribers: int
) -> tuple[Summary, float]:
    """Return the replay's summary, and the seconds from the first push to the last subscriber complete.

    One subscriber keeps a copy, which the judge looks at; the others only see that every block arrives.
    """
    rehearsal = await rehearse(
        dataset,
        lambda times, _: as_fast_as_possible(times, PASSED_S),
        database_url=local.database_url,
        push_url=local.push_url,
        feed_url=local.feed_url,
        author="bench",
        ways=ways,
    )
    reports = rehearsal.replay.reports
    clock = asyncio.get_running_loop().time
    ends: list[float] = []

    async def follow() -> None:
        async with Subscriber(local.feed_url, rehearsal.election, keep_copy=False) as subscriber:
            await subscriber.wait_for(lambda each: each.sequence >= reports)
            ends.append(clock())

    async with asyncio.TaskGroup() as parts:
        for _ in range(subscribers - 1):
            parts.create_task(follow())
        playing = parts.create_task(rehearsal.run())
    summary = playing.result()
    assert summary.good, f"a fast wrong answer is a failure: {summary}"
    started = rehearsal.replay.began
    return summary, max((*ends, started + summary.seconds)) - started


async def measure() -> list[Row]:
    async with election() as dataset, gateway() as local:
        bodies = [str(each.report).encode() for each in dataset.reports()]
        rows_s = await postgres_rows_s(local.database_url, bodies)
        rows = []
        for ways, name, target in (
            (("websocket",), "WebSocket", "≤ 3 s"),
            (("websocket", "http", "ndjson"), "a third by single HTTP requests in turn", ""),
        ):
            summary, seconds = await push_all(local, dataset, ways, SUBSCRIBERS)
            rate = summary.reports / seconds
            told = f"{seconds:.2f} s, {rate:,.0f} reports/s".replace(",", " ")
            beside = f"Postgres alone {rows_s:,.0f} rows/s ({100 * rate / rows_s:.0f} %)".replace(",", " ")
            what = f"{summary.reports} reports at once, {name}, {SUBSCRIBERS} subscribers complete"
            rows.append(Row(what, told, target, beside))
        return rows
