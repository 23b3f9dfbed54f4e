"""Hubs that bring changes to readers, ours and those of peers, behind one face: publish, watch, an audience."""

import asyncio
import resource
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson

from bench.local import Local
from bench.peers import fastapi
from bench.peers.audience import FLUSHED, Command, Told
from bench.peers.figures import Absent
from bench.peers.loop_sender import event
from bench.peers.processes import children, cpu_s, end, free_port, program, pss_kb, running
from bench.target import shown
from gateway.client.publisher import Publisher
from gateway.client.replay import rehearsal_of
from gateway.client.schedule import as_fast_as_possible
from gateway.journal.administration import administration

AUDIENCE = (sys.executable, "-m", "bench.peers.audience")
LOOP = (sys.executable, "-m", "bench.peers.loop_sender")
LINE_MAX = 1 << 20
MUNICIPALITIES = 200
CHANGE_BYTES = 400
"""What one change is on the wire of a peer; ours has the size that it has."""
NCHAN_HOW = "apt-get install nginx libnginx-mod-nchan"
NCHAN_MODULES = (
    Path("/usr/lib/nginx/modules"),
    Path("/usr/lib64/nginx/modules"),
    Path("/usr/share/nginx/modules"),
)
NCHAN = """
daemon off; worker_processes 1; worker_rlimit_nofile {files}; pid {run}/nginx.pid; error_log stderr warn;
load_module {module};
events {{ worker_connections {connections}; }}
http {{ access_log off; client_body_temp_path {run}/b; nchan_shared_memory_size 512M;
 server {{ listen 127.0.0.1:{port} backlog=4096; keepalive_requests 1000000;
  location ~ ^/pub/(\\w+)$ {{ nchan_publisher; nchan_channel_id $1;
   nchan_message_buffer_length 10000; nchan_message_timeout 5m; }}
  location ~ ^/sub/(\\w+)$ {{ nchan_subscriber eventsource; nchan_channel_id $1;
   nchan_subscriber_first_message newest; }} }} }}
"""


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


@asynccontextmanager
async def nchan(scratch: Path, readers: int) -> AsyncIterator[Hub]:
    """Nchan on nginx, one worker. Raises Absent."""
    binary = program("nginx", NCHAN_HOW)
    module = next(
        (path for folder in NCHAN_MODULES if (path := folder / "ngx_nchan_module.so").exists()), None
    )
    if module is None:
        raise Absent("Nchan", "nginx is here, its module is not", NCHAN_HOW)
    port, run = free_port(), scratch / "nginx"
    run.mkdir(exist_ok=True)
    most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 2 * readers + 4096)
    config = run / "nginx.conf"
    config.write_text(NCHAN.format(files=most, run=run, module=module, connections=most, port=port))
    log = scratch / "nginx.log"
    async with (
        running("Nchan", [binary, "-c", str(config), "-p", str(run), "-e", "stderr"], port, log) as process,
        stand(port, "/sub/changes", marker='data: {"sequence":') as audience,
        _posting(port, "/pub/changes") as publish,
    ):
        (worker,) = [pid for pid in children(process.pid) if _is_worker(pid)]
        family = [process.pid, *children(process.pid)]
        yield Hub("Nchan", audience, publish, lambda: cpu_s(worker), lambda: sum(map(pss_kb, family)))


@asynccontextmanager
async def queue_a_subscriber(scratch: Path) -> AsyncIterator[Hub]:
    """FastAPI with sse-starlette and a queue a subscriber. Raises Absent."""
    async with fastapi.served("queues", scratch) as app:
        port = int(app.url.rpartition(":")[2])
        async with (
            stand(port, "/changes", marker='data: {"sequence":', end_of_event="\n\n\r\n") as audience,
            _posting(port, "/changes") as publish,
        ):
            yield Hub("FastAPI", audience, publish, lambda: cpu_s(app.pid), lambda: pss_kb(app.pid))


@asynccontextmanager
async def loop_of_sends(readers: int, size: int) -> AsyncIterator[Hub]:
    """`socket.send` in a loop: the ceiling, with all its readers connected."""
    process = await asyncio.create_subprocess_exec(*LOOP, str(size), stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    to, of = process.stdin, process.stdout
    number, taken_s = 0, 0.0

    async def ask(words: str) -> float:
        to.write(f"{words}\n".encode())
        return float(await asyncio.wait_for(of.readline(), 60.0))

    async def publish() -> int:
        nonlocal number, taken_s
        number += 1
        taken_s = await ask("send")
        return number

    try:
        port = int(await asyncio.wait_for(of.readline(), 20.0))
        async with stand(port, "/", marker='data: {"sequence":') as audience:
            accepting = asyncio.create_task(ask(f"accept {readers}"))
            await audience.connect(readers)
            taken_s = await accepting
            yield Hub(
                "`socket.send` in a loop", audience, publish, lambda: taken_s, lambda: pss_kb(process.pid)
            )
    finally:
        await end(process)


@asynccontextmanager
async def _posting(port: int, path: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Publish by POST over one connection, in order, without waiting for answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0

    async def publish() -> int:
        nonlocal number
        number += 1
        body = event(number, CHANGE_BYTES)[len(b"data: ") : -2]
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return number

    async def throw_away() -> None:
        while await reader.read(1 << 16):
            pass

    hearing = asyncio.create_task(throw_away())
    try:
        yield publish
    finally:
        hearing.cancel()
        writer.close()


def _is_worker(pid: int) -> bool:
    return b"worker process" in Path(f"/proc/{pid}/cmdline").read_bytes()


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
