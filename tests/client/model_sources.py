"""A gateway and its mirror in memory, which may fail in every way that readers have to get over."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Literal

import msgspec
import orjson

from gateway.client.subscriber import Subscriber
from gateway.wire.mirror import encode_live, live_path
from tests.client.virtual import Response, Session, stored
from tests.mirror.model import RecordModel
from tests.mirror.test_ledger import HISTORY, WRITTEN_AT, Night

FEED, MIRROR = "https://gateway.example", "https://cdn.example/results"
ELECTION = "no-test"
STEP_S = 2.0

StreamMode = Literal["open", "full", "unreachable", "silent", "buffered", "cut", "blocked"]
STREAM_MODES: tuple[StreamMode, ...] = ("open", "full", "unreachable", "silent", "buffered", "cut", "blocked")
MirrorMode = Literal["good", "stale", "lost", "cut off", "unreachable", "garbage", "unavailable"]
MIRROR_MODES: tuple[MirrorMode, ...] = (
    "good",
    "stale",
    "lost",
    "cut off",
    "unreachable",
    "garbage",
    "unavailable",
)


class Sources:
    """One election, its gateway at FEED and its mirror at MIRROR."""

    def __init__(self, *, levels: str | None = None, areas: str | None = None) -> None:
        self.night = Night()
        self.night.step()
        self.records = [self.night.record]
        self.stream: StreamMode = "open"
        self.mirror: MirrorMode = "good"
        self.lives: list[bytes] = []
        """Every `live.json` of all histories."""
        self.is_written = True
        """Whether the process of the mirror runs."""
        self.session = Session(self._serve)
        self._changed = asyncio.Event()
        self._selection = {"levels": levels, "areas": areas}
        chosen = set((levels or "").split(","))
        self.selected = [
            area.id
            for area in self.night.registry.areas
            if (area.level in chosen if levels else not area.is_unit)
            and (areas is None or self._below(area.id, areas))
        ]

    def _below(self, area: str, above: str) -> bool:
        registry = self.night.registry
        each = registry.by_id[area]
        return above in (area, *(registry.areas[index].id for index in each.path))

    def subscriber(self, **options: object) -> Subscriber:
        """Return a subscriber of the gateway."""
        return Subscriber(  # type: ignore[arg-type]
            FEED, ELECTION, session=self.session, **{"mirror_url": MIRROR, **self._selection, **options}
        )

    @property
    def record(self) -> RecordModel:
        """The gateway's record."""
        return self.night.record

    def publish(self, unit: str) -> None:
        """Publish a report, and send it to all streams."""
        self.record.publish(unit)
        self._wake()

    def step(self) -> None:
        """Let the mirror write its next step, or refresh `live.json`."""
        night = self.night
        night.now_s += STEP_S
        if not self.is_written:
            return
        night.receive()
        night.step()
        night.files[live_path(ELECTION)] = encode_live(msgspec.structs.replace(night.live, written_at=_now()))
        for path in night.ledger.take_removable(night.now_s):
            night.files.pop(path, None)
        self.lives.append(night.files[live_path(ELECTION)])

    def replace_record(self) -> None:
        """Replace the record by an empty one, and the history of the mirror by another one."""
        number = len(self.records)
        before = self.night
        self.night = Night()
        self.night.record = RecordModel(before.registry, salt=str(number))
        self.night.history = f"{HISTORY[:13]}{number:02}Z-{number:08x}"
        self.night.now_s = before.now_s
        self.night.begin(None)
        self.night.step()
        self.night.files = {**before.files, **self.night.files}
        self.records.append(self.record)
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def number_of(self, chain: str, sequence: int) -> int:
        """Return the number of the record that has this chain at a sequence."""
        numbers = [place for place, each in enumerate(self.records) if each.chains.get(sequence) == chain]
        assert numbers, f"no record has the chain {chain} at {sequence}"
        return numbers[-1]

    def shown(self, chain: str, sequence: int) -> Mapping[str, object]:
        """Return the selected areas after a publication of the record that has this chain there."""
        documents = self.records[self.number_of(chain, sequence)].documents_at(sequence)
        return {name: orjson.loads(documents[name]) for name in self.selected}

    async def run(self) -> None:
        """Let the mirror write a step in each interval."""
        while True:
            self.step()
            await asyncio.sleep(STEP_S)

    async def _serve(self, url: str, headers: Mapping[str, str]) -> Response:
        await asyncio.sleep(0.01)
        if url.startswith(f"{MIRROR}/"):
            answer = self._serve_file(url, url.removeprefix(f"{MIRROR}/"), headers)
            answer.headers["Date"] = format_datetime(_now(), usegmt=True)
            return answer
        return await self._serve_stream(url, headers)

    def _serve_file(self, url: str, path: str, headers: Mapping[str, str]) -> Response:
        if self.mirror == "unreachable":
            raise ConnectionRefusedError
        if self.mirror == "unavailable":
            return Response(url, 503, b"", {"Retry-After": "3"})
        body = self.night.files.get(path)
        if path == f"v1/elections/{ELECTION}.json":
            body = orjson.dumps({"registry": self.night.registry.document})
        elif path.endswith("live.json"):
            if self.mirror == "stale":
                body = self.lives[-5:][0] if self.lives else body
        elif self.mirror == "lost":
            body = None
        elif self.mirror == "garbage":
            body = b'{"area": [[[\n' * 3
        elif self.mirror == "cut off" and body is not None:
            whole = stored(url, body, headers)
            return Response(url, 200, _half(whole), whole.headers)
        return stored(url, body, headers, hashlib.sha256(body or b"").hexdigest()[:16])

    async def _serve_stream(self, url: str, headers: Mapping[str, str]) -> Response:
        named = {"Link": f'<{MIRROR}>; rel="alternate"'}
        match self.stream:
            case "unreachable":
                raise ConnectionRefusedError
            case "full":
                body = b'{"code": "full", "detail": "full"}'
                kind = {"Content-Type": "application/problem+json", "Retry-After": "10"}
                return Response(url, 503, body, {**named, **kind})
            case "blocked":
                return Response(url, 403, b"<html>forbidden</html>", {"Content-Type": "text/html"})
            case "buffered":
                await asyncio.sleep(25.0)
                raise TimeoutError
        events = self._events(headers.get("Last-Event-ID"))
        return Response(url, 200, events, {**named, "Content-Type": "text/event-stream"})

    async def _events(self, cursor: str | None) -> AsyncIterator[bytes]:
        """Yield blocks: each change of the record, and one every 10 s; fail as the mode says."""
        record = self.record
        sequence = int(cursor.partition("-")[0]) if cursor else 0
        known = cursor == f"{sequence}-{record.chains.get(sequence, '')[:8]}" and sequence > 0
        since = sequence if known else None
        while True:
            if self.stream == "silent":
                await asyncio.sleep(25.0)
                raise TimeoutError
            if self.stream != "open" or record is not self.record:
                raise ConnectionResetError
            block = record.block(since)
            names = [name for name in self.selected if name in block.raw]
            lines = [b"event: area\ndata: " + block.raw[name] + b"\n\n" for name in names]
            header = {
                "sequence": block.sequence,
                "chain": block.chain,
                "published_at": block.published_at,
                "snapshot": block.snapshot,
                "areas": len(lines),
                "server_time": block.server_time,
            }
            data = orjson.dumps(header)
            yield b"".join([*lines, f"event: block\nid: {block.cursor}\ndata: ".encode(), data, b"\n\n"])
            since = block.sequence
            if record.sequence == since:
                await _wait(self._changed, 10.0)


def _now() -> datetime:
    """Return the time by the clocks of the servers."""
    return WRITTEN_AT + timedelta(seconds=asyncio.get_running_loop().time())


async def _half(whole: Response) -> AsyncIterator[bytes]:
    body = await whole.readany()
    yield body[: len(body) // 2]


async def _wait(changed: asyncio.Event, most_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await changed.wait()
