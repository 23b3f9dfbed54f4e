"""Hubs that bring changes to readers, behind one interface: publish, measure, an audience; and our own hub."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from bench.load.crowd import Crowd, crowd, feed_readers
from bench.load.local import Local
from bench.load.processes import cpu_s, pss_kb
from bench.load.target import shown
from gateway.client.publisher import Publisher
from gateway.journal.administration import administration
from gateway.rehearsal.replay import rehearsal_of
from gateway.rehearsal.schedule import as_fast_as_possible

MUNICIPALITIES = 200


class Hub(msgspec.Struct):
    """A hub that runs, and its audience."""

    name: str
    crowd: Crowd
    publish: Callable[[], Awaitable[int]]
    """Publish the next change, without waiting for what becomes of it; return its number."""
    cpu_s: Callable[[], float]
    """CPU seconds of the process that serves readers, so far."""
    memory_kb: Callable[[], int]
    note: str = ""


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
    """Our own: reports through the push door and the journal, blocks from the feed door.

    An election of its own, of MUNICIPALITIES with a unit each and two parties, so that an area is some hundred bytes;
    the readers follow the municipalities, one of which each change is about.
    """
    started = datetime.now(UTC)
    document = rehearsal_of(_registry(), started, as_fast_as_possible([started], -60.0))
    async with administration(local.database_url, "bench") as acts:
        election = await acts.load_election(document)
        (token,) = await acts.issue_tokens(election, [(["no"], "bench")])
    feed = (await local.pids())["feed-0"]
    number = 0
    async with (
        local.session() as session,
        Publisher(local.push_url, election, token.secret, session=session) as publisher,
        feed_crowd(local, election, query="levels=municipality", gzip=False) as readers,
    ):
        await shown(local, election)

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
