"""The rewritten files of a mirror are what the feed door shows, at the sequence that they name. No database."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.election.record import Publication
from gateway.election.registry import read_registry
from gateway.mirror import door as door_module
from gateway.mirror.documents import Documents, Paces
from gateway.mirror.door import DOCUMENT_MAX, FeedDoor, open_feed_door
from gateway.mirror.state import View
from gateway.mirror.targets import TargetInUse
from gateway.rehearsal.generator import GeneratedElection
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.entries import Previous
from gateway.transparency.note import ED25519, VerifierKey
from gateway.transparency.policy import Policy
from gateway.verification.copies import Copy
from gateway.verification.failures import NotThere, VerificationFailed
from gateway.verification.feed_record import FeedRecord
from gateway.verification.record_verifier import RecordVerifier, Verified
from gateway.wire.mirror import file_name
from tests.election.makers import Record, some_counts
from tests.election.naive_seats import with_seats
from tests.feed.hold_lines import WrittenHolds
from tests.feed.log_record import FakeLogs, WrittenLog
from tests.feed.served import FakeRecord, Served, served, until
from tests.feed.test_previous import a_previous, stored
from tests.mirror.written import MemoryTarget, view_of
from tests.web.doors import units_of

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


@pytest.fixture
def document(small: GeneratedElection) -> dict[str, Any]:
    return with_seats(small.registry)


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


async def test_every_file_has_the_bytes_of_the_feed_door_throughout_a_night(
    document: dict[str, Any], small: GeneratedElection
) -> None:
    """From an empty record over complete ranges to one that ends within a range; each area with its children."""
    async with mirrored(document, small, 0) as mirror, mirror.running():
        await mirror.step()
        await check_equal(mirror)
        holds = WrittenHolds()
        for sequence in (3, 1_000, NIGHT):
            holds.write(units_of(small)[0], "held" if len(holds.lines) % 2 == 0 else "released")
            mirror.record.hold_list = holds.lines[:]
            await mirror.door.show(sequence)
            await until(lambda: mirror.door.feed.holds.number == len(holds.lines))
            mirror.target.writes.clear()
            await mirror.step()
            await check_equal(mirror)
            if sequence == 3:
                written = {path for path in mirror.target.writes if "/areas/" in path}
                assert len(written) < len(mirror.view.areas), "only areas that have changed"
        assert mirror.documents.ranges == 1
        assert json.loads(mirror.body("corrections.json"))["total"] > 30
        assert mirror.documents.failures == {}


async def test_a_document_that_the_door_does_not_give_delays_no_other_and_is_named(
    document: dict[str, Any], small: GeneratedElection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a file that cannot be written. `documents` stays where all files are exact."""
    async with mirrored(document, small, 20) as mirror, mirror.running():
        await mirror.step()
        get = FeedDoor.document

        async def refuse(self: FeedDoor, path: str, most: int = DOCUMENT_MAX) -> bytes:
            if path.startswith("/seats"):
                raise VerificationFailed("unreachable", "no answer from the door")
            return await get(self, path, most)

        monkeypatch.setattr(FeedDoor, "document", refuse)
        mirror.target.fails_at = "rest.ndjson"
        mirror.log.sign(41)
        await mirror.door.show(40)
        await until(lambda: mirror.door.feed.log.size == 41)
        await mirror.step(wait=False)
        async with getting(mirror.door) as door:
            table = await door("/areas?level=municipality&format=csv")
        await until(lambda: mirror.body("results.csv") == table)
        await until(lambda: set(mirror.documents.failures) == {"seats", "publications", "log"})
        assert _size(mirror) <= 1, "no checkpoint before the publications that it covers"
        assert mirror.documents.failures["seats"] == "no answer from the door"
        assert mirror.documents.documents == 20
        monkeypatch.setattr(FeedDoor, "document", get)
        mirror.target.fails_at = None
        await until(lambda: mirror.documents.documents == 40)
        await until(lambda: mirror.documents.failures == {})
        assert _size(mirror) == 41


async def test_no_file_is_ahead_of_live_json(document: dict[str, Any], small: GeneratedElection) -> None:
    """What the door already shows is written once the mirror has reached it."""
    async with mirrored(document, small, 20) as mirror:
        await mirror.door.show(40)
        mirror.log.sign(41)
        mirror.door.hub.wake()
        await until(lambda: mirror.door.feed.log.size == 41)
        async with mirror.running():
            await until(lambda: f"{mirror.path}/publications/rest.ndjson" in mirror.target.files)
            await until(lambda: f"{mirror.path}/corrections.json" in mirror.target.files)
            for path in ("seats.json", "transfers.json", "log/checkpoint"):
                assert f"{mirror.path}/{path}" not in mirror.target.files
            assert mirror.body("publications/rest.ndjson").count(b"\n") == 20
            assert mirror.entry()["sequence"] == 20
            await mirror.step()
            await until(lambda: f"{mirror.path}/log/checkpoint" in mirror.target.files)
            await check_equal(mirror)


async def test_a_restart_writes_what_has_changed_since_and_nothing_goes_back(
    document: dict[str, Any], small: GeneratedElection
) -> None:
    """Complete ranges and areas that were exact are not written again."""
    target = MemoryTarget()
    async with mirrored(document, small, 1_005, target) as mirror:
        async with mirror.running():
            await mirror.step()
        before = {path: each.body for path, each in target.files.items()}
        target.writes.clear()
        await mirror.door.show(1_008)
        async with mirror.running(documents=1_005) as documents:
            assert documents.documents == 1_005
            await mirror.step()
            await check_equal(mirror)
        areas = {path for path in target.writes if "/areas/" in path}
        changed = {path for path in before if "/areas/" in path and before[path] != target.files[path].body}
        assert areas == changed
        assert documents.ranges == 1
        assert f"{mirror.path}/publications/{HISTORY}/1-1000.ndjson" not in target.writes


async def test_the_log_is_complete_at_every_moment_and_partial_tiles_are_removed_once_they_are_full(
    document: dict[str, Any], small: GeneratedElection, tmp_path: Path
) -> None:
    """What a checkpoint covers is written before it, and the copy verifies, also after a restart."""
    async with mirrored(document, small, 600) as mirror:
        policy = Policy.of_keys([mirror.log.key.vkey])
        for size in (1, 200, 300, 601):
            if size > 1:
                mirror.log.sign(size)
                mirror.door.hub.wake()
                await until(lambda size=size: mirror.door.feed.log.size == size)
            async with mirror.running(mirror.log.key.vkey):
                await until(lambda size=size: _size(mirror) == size)
            for path, each in mirror.target.files.items():
                file = tmp_path / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(each.body)
            verified = await verified_copy(tmp_path / mirror.path, policy)
            assert verified.size == size
        order = mirror.target.writes
        last = len(order) - 1 - order[::-1].index(f"{mirror.path}/log/checkpoint")
        assert not [path for path in order[last:] if "/log/tile/" in path]
        paths = {
            path.removeprefix(f"{mirror.path}/log/") for path in mirror.target.files if "/log/tile/" in path
        }
        assert {path for path in paths if ".p/" in path} == {
            "tile/0/002.p/89", "tile/1/000.p/2", "tile/1/000.p/1", "tile/entries/002.p/89"
        }  # fmt: skip


def _size(mirror: Mirrored) -> int:
    found = mirror.target.files.get(f"{mirror.path}/log/checkpoint")
    return int(found.body.split(b"\n")[1]) if found is not None else 0


async def verified_copy(directory: Path, policy: Policy) -> Verified:
    verifier = RecordVerifier(Copy(directory), policy)
    return await verifier.verify(await verifier.checkpoint())


async def test_a_later_history_of_the_log_replaces_the_files_of_the_one_before(
    document: dict[str, Any], small: GeneratedElection, tmp_path: Path
) -> None:
    """Although its tiles have the same paths; the copy verifies with the key of the new one."""
    target = MemoryTarget()
    async with mirrored(document, small, 20, target) as mirror:
        mirror.log.sign(21)
        async with mirror.running():
            await until(lambda: _size(mirror) == 21)
        earlier = mirror.log
    previous = Previous(origin=earlier.key.vkey.name, root="A" * 43 + "=", shared=0, size=21)
    async with mirrored(document, small, 20, target, previous) as mirror:
        mirror.log.sign(15)
        async with mirror.running():
            await until(lambda: _size(mirror) == 15)
        (tmp_path / "log/tile/0").mkdir(parents=True)
        (tmp_path / "log/tile/entries").mkdir()
        for name in ("checkpoint", "registry", "checkpoints.ndjson"):
            (tmp_path / "log" / name).write_bytes(mirror.body(f"log/{name}"))
        for kind in ("0", "entries"):
            (tmp_path / f"log/tile/{kind}/000.p").mkdir()
            (tmp_path / f"log/tile/{kind}/000.p/15").write_bytes(mirror.body(f"log/tile/{kind}/000.p/15"))
        verified = await verified_copy(tmp_path, Policy.of_keys([mirror.log.key.vkey]))
        assert (verified.size, verified.history) == (15, 2)


async def test_no_checkpoint_is_written_that_the_key_has_not_signed(
    document: dict[str, Any], small: GeneratedElection
) -> None:
    """And nothing else of the log; other files are written."""
    async with mirrored(document, small, 20) as mirror:
        another = WrittenLog(mirror.record.id, b"", previous=None)
        other = SigningKey(another.key.vkey.name, ED25519, b"o" * 32).vkey
        async with mirror.running(other):
            await until(lambda: "log" in mirror.documents.failures)
            assert "no key that is trusted here" in mirror.documents.failures["log"]
            await until(lambda: f"{mirror.path}/seats.csv" in mirror.target.files)
        assert not [path for path in mirror.target.files if "/log/" in path]


async def test_earlier_checkpoints_that_another_key_has_signed_are_left_out_of_the_list(
    document: dict[str, Any], small: GeneratedElection
) -> None:
    """After a change of keys, the new one has not signed them; without a key, all are listed."""
    async with mirrored(document, small, 20) as mirror:
        old = mirror.log.key
        mirror.log.key = SigningKey(old.vkey.name, ED25519, b"n" * 32)
        for size in (10, 21):
            mirror.log.sign(size)
        mirror.door.hub.wake()
        await until(lambda: mirror.door.feed.log.size == 21)
        new = mirror.log.key.vkey
        for keys, sizes in (((new,), [10, 21]), ((), [1, 10, 21]), ((old.vkey, new), [1, 10, 21])):
            mirror.target.files.clear()
            async with mirror.running(*keys):
                await until(lambda: _size(mirror) == 21)
            lines = mirror.body("log/checkpoints.ndjson").splitlines()
            assert [json.loads(line)["size"] for line in lines] == sizes


async def test_a_publication_that_does_not_lead_to_the_chain_of_the_stream_is_not_written(
    document: dict[str, Any], small: GeneratedElection
) -> None:
    async with mirrored(document, small, 20) as mirror:
        mirror.view = mirror.view._replace(chain="00" * 32)
        async with mirror.running():
            await until(lambda: "publications" in mirror.documents.failures)
            assert "chain at 20" in mirror.documents.failures["publications"]
        assert not [path for path in mirror.target.files if "/publications/" in path]


async def test_before_the_end_of_the_embargo_the_files_do_not_depend_on_what_was_accepted(
    document: dict[str, Any], small: GeneratedElection
) -> None:
    """Names, contents and times of caches; only the time of the server in `transfers.json` differs."""
    found = []
    for accepted in (0, 1_000):
        async with mirrored(document, small, 0) as mirror:
            mirror.record.released = False
            mirror.record.rows = accepted
            mirror.door.hub.wake()
            async with mirror.running():
                await mirror.step()
                await until(lambda mirror=mirror: _size(mirror) == 1)
            found.append(
                {path: each for path, each in mirror.target.files.items() if "transfers" not in path}
            )
            transfers = json.loads(mirror.body("transfers.json"))
            assert {each["published"] + each["accepted"] for each in transfers["transfers"]} == {0}
    assert found[0] == found[1]


async def test_a_gateway_without_some_document_or_with_another_one_stops_nothing_else(
    document: dict[str, Any], small: GeneratedElection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the gateway does not have is left out; what cannot be used is named."""
    get = FeedDoor.document

    async def changed(self: FeedDoor, path: str, most: int = DOCUMENT_MAX) -> bytes:
        if path.startswith("/holds"):
            raise NotThere("404: no such path", "not_found")
        if path.startswith("/corrections"):
            return b'{"sequence": 1, "total": 99, "corrections": [{"explained": 7}]}'
        if path.startswith("/seats?format=csv"):
            return b'"sequence"\r\n"' + b"9" * 200_000 + b'"\r\n'
        return await get(self, path, most)

    monkeypatch.setattr(FeedDoor, "document", changed)
    async with mirrored(document, small, 20) as mirror:
        mirror.view = mirror.view._replace(holds=3)
        root = mirror.door.feed.registry.root.id
        areas = {**mirror.view.areas, root: mirror.view.areas[root]._replace(raw=b'{"corrections":0}')}
        async with mirror.running():
            await until(lambda: set(mirror.documents.failures) == {"corrections", "seats"})
            await until(lambda: f"{mirror.path}/areas/{file_name(root)}.csv" in mirror.target.files)
            assert "the list of corrections cannot be used" in mirror.documents.failures["corrections"]
            assert "the table of seats cannot be used" in mirror.documents.failures["seats"]
            assert f"{mirror.path}/holds.ndjson" not in mirror.target.files
        mirror.view = mirror.view._replace(areas=areas)
        async with mirror.running():
            await until(lambda: "areas (csv)" in mirror.documents.failures)
            assert f"the document of area {root} cannot be used" in mirror.documents.failures["areas (csv)"]


async def test_a_second_writer_ends_the_documents(
    document: dict[str, Any], small: GeneratedElection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own error, so that the command can say what to do."""
    monkeypatch.setattr(MemoryTarget, "write", _in_use)
    async with (
        mirrored(document, small, 1) as mirror,
        open_feed_door(mirror.door.origin, mirror.record.id) as door,
    ):
        made = Documents(
            door, mirror.record.id, mirror.door.feed.registry, HISTORY, mirror.target, 2, (), 0, paces=QUICK
        )
        with pytest.raises(TargetInUse):
            await made.run(lambda: mirror.view, asyncio.Condition())


async def _in_use(*_: object) -> None:
    raise TargetInUse("another mirror writes to memory")


async def test_a_door_that_does_not_answer_is_given_up_and_named_and_the_others_go_on(
    document: dict[str, Any], small: GeneratedElection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each document has its own limit of time."""
    get = FeedRecord.document

    async def hang(self: FeedRecord, path: str, most: int) -> bytes:
        if path == "/transfers":
            await asyncio.Event().wait()
        return await get(self, path, most)

    monkeypatch.setattr(door_module, "FETCH_S", 0.3)
    monkeypatch.setattr(FeedRecord, "document", hang)
    async with mirrored(document, small, 20) as mirror, mirror.running():
        await until(lambda: mirror.documents.failures.get("transfers") == "no answer in time")
        await until(lambda: f"{mirror.path}/publications/rest.ndjson" in mirror.target.files)
        assert mirror.documents.documents == 0
