"""A feed door in this process, and the rewritten files that a mirror of it has. No database."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from gateway.election.record import Publication
from gateway.election.registry_reading import read_registry
from gateway.mirror.documents import Documents, Paces
from gateway.mirror.door import open_feed_door
from gateway.mirror.state import View
from gateway.rehearsal.generator import GeneratedElection
from gateway.transparency.entries import Previous
from gateway.transparency.note import VerifierKey
from gateway.wire.mirror import file_name
from tests.election.makers import Record, some_counts
from tests.feed.log_record import FakeLogs, WrittenLog
from tests.feed.served import FakeRecord, Served, served, until
from tests.feed.test_previous import a_previous, stored
from tests.mirror.written import MemoryTarget, view_of

HISTORY = "20250908T190000Z-5f3a9c21"
NIGHT = 1_030
QUICK = Paces(*(0.02,) * len(Paces._fields))


class Mirrored:
    """A feed door, and the documents of a mirror whose `live.json` is that of the last `step`."""

    def __init__(self, door: Served, record: FakeRecord, log: WrittenLog, target: MemoryTarget) -> None:
        self.door = door
        self.record = record
        self.log = log
        self.target = target
        self.documents: Documents
        self.view: View
        self._changed = asyncio.Condition()

    @property
    def path(self) -> str:
        return f"v1/elections/{self.record.id}"

    def body(self, path: str) -> bytes:
        return self.target.files[f"{self.path}/{path}"].body

    def entry(self) -> dict[str, Any]:
        """Return the entry of the election in the list."""
        (found,) = json.loads(self.target.files["v1/elections.json"].body)["elections"]
        return dict(found)

    def registry_file(self) -> dict[str, Any]:
        return dict(json.loads(self.target.files[f"{self.path}.json"].body))

    async def step(self, *, wait: bool = True) -> None:
        """Write a step with what the door shows, and wait until all documents show it."""
        self.view = await view_of(self.door)
        async with self._changed:
            self._changed.notify_all()
        if wait:
            await until(lambda: self.documents.documents == self.view.sequence)

    @asynccontextmanager
    async def running(self, *keys: VerifierKey, documents: int = 0) -> AsyncIterator[Documents]:
        async with open_feed_door(self.door.origin, self.record.id) as door:
            made = (door, self.record.id, self.door.feed.registry, HISTORY, self.target, 2, keys, documents)
            self.documents = Documents(*made, paces=QUICK)
            task = asyncio.create_task(self.documents.run(lambda: self.view, self._changed))
            try:
                yield self.documents
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def with_falls(document: dict[str, Any]) -> list[Publication]:
    """Return a night in which each unit grows in turn, and some fall."""
    registry, written = read_registry(document), Record()
    units = list(registry.units)
    for number in range(NIGHT):
        unit = units[number % len(units)]
        votes = 500 + number if number % 20 else 300
        counts = some_counts(**{min(registry.by_id[unit].ballot): votes})
        report = {
            "unit": unit, "revision": number // len(units) + 1, "counted_at": "2025-09-08T22:36:55+02:00",
            "status": "final", "counts": {registry.categories[0]: counts},
        }  # fmt: skip
        written.write(report)
    return written.publications


@asynccontextmanager
async def mirrored(
    document: dict[str, Any],
    small: GeneratedElection,
    shown: int,
    target: MemoryTarget | None = None,
    previous: Previous | None = None,
) -> AsyncIterator[Mirrored]:
    """An election with seats, a previous election, and a signed record."""
    night = with_falls(document)
    record = FakeRecord(document, night, shown=shown)
    record.previous_document = stored(a_previous(small))
    log = WrittenLog(record.id, record.document, previous=previous)
    log.add(night)
    log.sign(1)
    async with served(record, logs=FakeLogs(log)) as door:
        mirror = Mirrored(door, record, log, target or MemoryTarget())
        mirror.view = await view_of(door)
        yield mirror


Get = Callable[[str], Any]


@asynccontextmanager
async def getting(door: Served) -> AsyncIterator[Get]:
    async with aiohttp.ClientSession() as http:

        async def get(path: str) -> bytes:
            async with http.get(door.url(path)) as answer:
                assert answer.status == 200, path
                return await answer.read()

        yield get


async def check_equal(mirror: Mirrored) -> None:
    """Require that every file that names the newest sequence has the bytes of the door."""
    registry, sequence = mirror.door.feed.registry, mirror.view.sequence
    async with getting(mirror.door) as get:
        for area in registry.areas:
            name, changed = file_name(area.id), mirror.view.areas[area.id].sequence
            found = json.loads(mirror.body(f"areas/{name}.json"))
            assert changed <= found["record"]["sequence"] <= sequence
            if found["record"]["sequence"] == sequence:
                assert mirror.body(f"areas/{name}.json") == await get(f"/areas/{area.id}")
            assert mirror.body(f"areas/{name}.csv") == await get(f"/areas/{area.id}?format=csv")
        assert mirror.body("results.csv") == await get("/areas?level=municipality&format=csv")
        for name in ("seats", "corrections"):
            assert mirror.body(f"{name}.json") == await get(f"/{name}")
            assert mirror.body(f"{name}.csv") == await get(f"/{name}?format=csv")
        assert mirror.body("previous.json") == await get("/previous")
        transfers, of_door = json.loads(mirror.body("transfers.json")), json.loads(await get("/transfers"))
        assert transfers["sequence"] == of_door["sequence"]
        assert [each["published"] for each in transfers["transfers"]] == [
            each["published"] for each in of_door["transfers"]
        ]
        for number in range(1, sequence // 1000 + 1):
            name = f"{1000 * number - 999}-{1000 * number}"
            assert mirror.body(f"publications/{HISTORY}/{name}.ndjson") == await get(f"/publications/{name}")
        rest = await get(f"/publications?after={sequence - sequence % 1000}&limit=1000")
        assert mirror.body("publications/rest.ndjson") == rest
        assert mirror.body("holds.ndjson") == await get("/holds?limit=1000")
        await until(lambda: mirror.entry()["sequence"] == sequence)
        assert mirror.target.files["v1/elections.json"].body == await get("/../../elections")
        await until(lambda: mirror.registry_file()["sequence"] == sequence)
        assert mirror.target.files[f"{mirror.path}.json"].body == await get("")


def size_of(mirror: Mirrored) -> int:
    """Return the size of the checkpoint that was written; 0 if there is none."""
    found = mirror.target.files.get(f"{mirror.path}/log/checkpoint")
    return int(found.body.split(b"\n")[1]) if found is not None else 0
