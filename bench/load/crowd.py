"""A crowd of readers, which runs in a separate process: see `bench.load.crowd_process`."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec

from bench.load.crowd_messages import FLUSHED, Command, Group, Seen
from bench.load.processes import end

PROCESS = (sys.executable, "-m", "bench.load.crowd_process")
LINE_MAX = 64 << 20
CONNECT_S = 60.0
"""How long readers may take to be sent their first event."""
GRACE_S = 30.0
"""How long an answer may take beyond the time limit of its command."""
ENDED = "the process of the readers ended without an answer"
SOURCES = 250
"""Loopback addresses over which returning readers are spread, if the gateway is on this machine."""


def feed_readers(
    feed_url: str,
    election: str,
    *,
    query: str = "",
    gzip: bool = True,
    cursor: str | None = None,
    returning: bool = False,
    certificate: str = "",
) -> Group:
    """Return readers of a feed port of ours, which start at a cursor, or with everything."""
    where = urlsplit(feed_url)
    host = where.hostname or "127.0.0.1"
    return readers(
        host,
        where.port or (443 if certificate else 80),
        f"/v1/elections/{election}/feed?{query}",
        marker="event: block\nid: ",
        end_of_event=FLUSHED if gzip else "\n\n",
        greeted=True,
        gzip=gzip,
        headers=f"Last-Event-ID: {cursor}\r\n" if cursor else "",
        returning=returning,
        certificate=certificate,
    )


def readers(
    host: str,
    port: int,
    path: str,
    *,
    marker: str,
    end_of_event: str = "\n\n",
    greeted: bool = False,
    gzip: bool = False,
    headers: str = "",
    returning: bool = False,
    certificate: str = "",
) -> Group:
    """Return readers of an event stream, as `Group` describes them."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\n"
        f"Accept-Encoding: {'gzip' if gzip else 'identity'}\r\n{headers}"
    )
    return Group(
        host, port, request, marker, end_of_event, certificate, gzip, greeted, returning,
        sources=SOURCES if returning and host.startswith("127.") else 0,
    )  # fmt: skip


class Crowd:
    """The readers of one process, controlled from here. At most one command of a kind runs at a time."""

    def __init__(self, process: Process, group: Group) -> None:
        self._process = process
        self._group = group
        self._answers: dict[str, asyncio.Future[Seen]] = {}
        self._ended = False

    async def connect(
        self,
        count: int,
        *,
        over_s: float = 0.0,
        slow: float = 0.0,
        group: Group | None = None,
        limit_s: float = CONNECT_S,
    ) -> Seen:
        """Add readers, evenly over an interval; return when each was sent its first event.

        `slow`: part of them that reads slowly. Raises RuntimeError if some were sent nothing within the limit and do
        not come back by themselves.
        """
        group = self._group if group is None else group
        command = Command("connect", group, count, over_s=over_s, slow=slow, limit_s=over_s + limit_s)
        seen = await self._ask(command, command.limit_s)
        if seen.silent and not group.returning:
            raise RuntimeError(f"{seen.silent} of {count} readers were sent nothing within {limit_s:g} s")
        return seen

    async def mark(self, *, each: bool = False) -> Seen:
        """Start counting; `each`: so that changes can be weighed one by one."""
        return await self._ask(Command("mark", each=each), 0.0)

    async def wait(self, number: int, limit_s: float = 60.0) -> Seen:
        """Wait until all readers have a change, at most `limit_s`; return what was seen since the mark."""
        return await self._ask(Command("wait", number=number, limit_s=limit_s), limit_s)

    async def weigh(self, published: Sequence[tuple[int, float]]) -> Seen:
        """Return the latencies of each of these changes since the mark, given when each was published."""
        return await self._ask(Command("weigh", published=list(published)), 90.0)

    async def cut(self, within_s: float) -> Seen:
        """Close all connections at once; the readers connect again within this time."""
        return await self._ask(Command("cut", within_s=within_s), 0.0)

    async def report(self, every_s: float) -> Seen:
        """Start reporting at intervals."""
        return await self._ask(Command("report", every_s=every_s), 0.0)

    async def stop(self) -> Seen:
        """Disconnect all readers and end the process."""
        return await self._ask(Command("stop"), 0.0)

    async def read(self, on_report: Callable[[Seen], None]) -> None:
        """Take answers and reports from the process until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            seen = msgspec.json.decode(line, type=Seen)
            on_report(seen)
            if (answer := self._answers.pop(seen.do, None)) is not None and not answer.done():
                answer.set_result(seen)
        self._ended = True
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(RuntimeError(ENDED))

    async def _ask(self, command: Command, limit_s: float) -> Seen:
        assert self._process.stdin is not None
        if self._ended:
            raise RuntimeError(ENDED)
        answer: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        self._answers[command.do] = answer
        self._process.stdin.write(msgspec.json.encode(command) + b"\n")
        async with asyncio.timeout(limit_s + GRACE_S):
            return await answer


def _ignore(seen: Seen) -> None:
    """Drop a report."""


@asynccontextmanager
async def crowd(group: Group, on_report: Callable[[Seen], None] = _ignore) -> AsyncIterator[Crowd]:
    """Start a process of readers; none is connected yet. `on_report` is called with each answer and report."""
    process = await asyncio.create_subprocess_exec(*PROCESS, stdin=PIPE, stdout=PIPE, limit=LINE_MAX)
    controlled = Crowd(process, group)
    reading = asyncio.create_task(controlled.read(on_report), name="crowd")
    try:
        yield controlled
    finally:
        await end(process)
        await reading
