"""Hubs that deliver changes to readers, ours and those of peers, behind one interface; and our own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import orjson

from bench.load.crowd import Crowd, crowd, feed_readers
from bench.load.local import Local
from bench.load.processes import cpu_s, pss_kb
from bench.load.target import create_election, wait_served
from gateway.client.publisher import Publisher

MUNICIPALITIES = 200


class Hub(msgspec.Struct):
    """A running hub, and its readers."""

    name: str
    crowd: Crowd
    publish: Callable[[], Awaitable[int]]
    """Publish the next change without waiting for its delivery; return its number."""
    cpu_s: Callable[[], float]
    """CPU seconds of the process that serves the readers, since it started."""
    memory_kb: Callable[[], int]


def feed_crowd(
    local: Local, election: str, *, query: str = "", gzip: bool = True, cursor: str | None = None
) -> AbstractAsyncContextManager[Crowd]:
    """Start a crowd for the feed port of our own gateway; its readers start at a cursor, or with everything."""
    certificate = str(local.certificate or "")
    return crowd(
        feed_readers(local.feed_url, election, query=query, gzip=gzip, cursor=cursor, certificate=certificate)
    )


@asynccontextmanager
async def valgnatt(local: Local) -> AsyncIterator[Hub]:
    """Open our own hub: reports go through the push port and the journal, blocks come from the feed port.

    Its election has MUNICIPALITIES with one unit each and two parties, so that an area takes some hundred bytes. The
    readers follow the municipalities; each change is a report of one of them.
    """
    created = await create_election(local, _registry(), [["no"]])
    feed = (await local.pids())["feed-0"]
    number = 0
    async with (
        local.session() as session,
        Publisher(local.push_url, created.id, created.secrets[0], session=session) as publisher,
        feed_crowd(local, created.id, query="levels=municipality", gzip=False) as readers,
    ):
        await wait_served(local, created.id)

        async def publish() -> int:
            nonlocal number
            publisher.submit(_report(number))
            number += 1
            return number

        yield Hub("Valgnatt", readers, publish, lambda: cpu_s(feed), lambda: pss_kb(feed))


def _registry() -> dict[str, Any]:
    areas: list[dict[str, Any]] = [{"id": "no", "name": "Country", "level": "country", "parent": None}]
    for place in range(MUNICIPALITIES):
        name = f"m{place:03}"
        areas.append({"id": name, "name": name, "level": "municipality", "parent": "no"})
        areas.append({"id": f"{name}-1", "name": name, "level": "precinct", "parent": name, "eligible": 9000})
    return {
        "format": "election-registry/1",
        "election": {
            "id": "changes", "name": "Changes", "date": "2025-09-08", "publish_from": "2025-09-08T21:00:00+02:00",
            "timezone": "Europe/Oslo", "categories": ["all"],
        },
        "areas": areas,
        "parties": [{"code": code, "name": code} for code in ("A", "B")],
    }  # fmt: skip


def _report(number: int) -> bytes:
    revision, place = divmod(number, MUNICIPALITIES)
    votes = 1000 + revision % 1000
    counts = {"ballots": 2 * votes, "blank": 0, "rejected": 0, "votes": {"A": votes, "B": votes}}
    return orjson.dumps(
        {
            "unit": f"m{place:03}-1",
            "revision": revision + 1,
            "counted_at": "2025-09-08T22:00:00+02:00",
            "status": "counting",
            "counts": {"all": counts},
        }
    )
