"""Hubs that bring changes to readers, behind one interface: publish, measure, an audience; and our own hub."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson

from bench.load.audience import FLUSHED, Command, Told
from bench.load.local import Local
from bench.load.processes import cpu_s, end, pss_kb
from bench.load.target import shown
from gateway.client.publisher import Publisher
from gateway.journal.administration import administration
from gateway.rehearsal.replay import rehearsal_of
from gateway.rehearsal.schedule import as_fast_as_possible

AUDIENCE = (sys.executable, "-m", "bench.load.audience")
LINE_MAX = 1 << 20
MUNICIPALITIES = 200


class Stand:
    """An audience in its process, of one hub."""

    def __init__(self, process: Process, template: Command) -> None:
        self._process = process
        self._template = template

    async def connect(self, count: int) -> Told:
        """Have so many readers more."""
        command = msgspec.structs.replace(self._template, do="connect", count=count)
        return await self._ask(command, 120.0)

    async def mark(self, *, each: bool = False) -> Told:
        """Begin to count; `each`: so that changes can be weighed one by one."""
        return await self._ask(Command("mark", each=each), 30.0)

    async def wait(self, number: int, limit_s: float = 60.0) -> Told:
        """Wait until all have a change, or it has taken too long; return what was seen since the mark."""
        return await self._ask(Command("wait", number=number, limit_s=limit_s), limit_s + 30.0)

    async def weigh(self, published: Sequence[tuple[int, float]]) -> Told:
        """Return what was seen since the mark, with latencies of each of these changes, published when it says."""
        return await self._ask(Command("weigh", published=list(published)), 120.0)

    async def _ask(self, command: Command, most_s: float) -> Told:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(command) + b"\n")
        line = await asyncio.wait_for(self._process.stdout.readline(), most_s)
        if not line:
            raise RuntimeError("the audience ended without a word")
        return msgspec.json.decode(line, type=Told)


class Hub(msgspec.Struct):
    """A hub that runs, and its audience."""

    name: str
    stand: Stand
    publish: Callable[[], Awaitable[int]]
    """Publish the next change, without waiting for what becomes of it; return its number."""
    cpu_s: Callable[[], float]
    """CPU seconds of the process that serves readers, so far."""
    memory_kb: Callable[[], int]
    note: str = ""


@asynccontextmanager
async def stand(
    port: int,
    path: str,
    *,
    marker: str,
    end_of_event: str = "\n\n",
    greeted: bool = False,
    gzip: bool = False,
    header: str = "",
    certificate: Path | None = None,
) -> AsyncIterator[Stand]:
    """Have an audience ready; nobody is connected yet."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n"
        f"Accept-Encoding: {'gzip' if gzip else 'identity'}\r\n{header}\r\n"
    )
    template = Command(
        "connect", port=port, request=request, marker=marker, end=end_of_event, greeted=greeted, gzip=gzip,
        certificate=str(certificate or ""),
    )  # fmt: skip
    process = await asyncio.create_subprocess_exec(*AUDIENCE, stdin=PIPE, stdout=PIPE, limit=LINE_MAX)
    try:
        yield Stand(process, template)
    finally:
        await end(process)


def feed_stand(
    local: Local, election: str, *, query: str = "", gzip: bool = True, cursor: str | None = None
) -> AbstractAsyncContextManager[Stand]:
    """Have an audience of our own feed door ready, that begins at a cursor, or with everything."""
    return stand(
        int(local.feed_url.rpartition(":")[2]),
        f"/v1/elections/{election}/feed?{query}",
        marker="event: block\nid: ",
        end_of_event=FLUSHED if gzip else "\n\n",
        greeted=True,
        gzip=gzip,
        header=f"Last-Event-ID: {cursor}\r\n" if cursor else "",
        certificate=local.certificate,
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
        feed_stand(local, election, query="levels=municipality", gzip=False) as readers,
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
