"""The rewritten files of a mirror are what the feed door shows, at the sequence that they name. No database."""

import asyncio
import json
from typing import Any

import pytest

from gateway.mirror import door as door_module
from gateway.mirror.documents import Documents
from gateway.mirror.door import DOCUMENT_MAX, FeedDoor, open_feed_door
from gateway.mirror.target import TargetInUse
from gateway.rehearsal.generator import GeneratedElection
from gateway.verification.failures import NotThere, VerificationFailed
from gateway.verification.feed_record import FeedRecord
from gateway.wire.mirror import file_name
from tests.feed.hold_lines import WrittenHolds
from tests.feed.served import AT, until
from tests.mirror.mirrored import HISTORY, NIGHT, QUICK, check_equal, getting, mirrored, size_of
from tests.mirror.written import MemoryTarget
from tests.web.doors import units_of


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
        assert size_of(mirror) <= 1, "no checkpoint before the publications that it covers"
        assert mirror.documents.failures["seats"] == "no answer from the door"
        assert mirror.documents.documents == 20
        monkeypatch.setattr(FeedDoor, "document", get)
        mirror.target.fails_at = None
        await until(lambda: mirror.documents.documents == 40)
        await until(lambda: mirror.documents.failures == {})
        assert size_of(mirror) == 41


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
                await until(lambda mirror=mirror: size_of(mirror) == 1)
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


async def test_a_closed_election_is_complete_once_no_unit_is_held_and_all_files_show_it(
    document: dict[str, Any], small: GeneratedElection
) -> None:
    """Twice in the list of elections, at the position of `live.json`. Until then something may follow."""
    async with mirrored(document, small, 5) as mirror, mirror.running() as documents:
        holds, unit = WrittenHolds(), units_of(small)[0]
        for state, number in (("held", 1), ("released", 2)):
            await mirror.step()
            assert documents.closed_at(mirror.view) is None
            mirror.record.closed_at = AT
            holds.write(unit, state)
            mirror.record.hold_list = holds.lines[:]
            await mirror.door.show(5)
            await until(lambda number=number: mirror.door.feed.holds.number == number)
            await until(lambda: mirror.entry()["closed_at"] is not None)
        await mirror.step()
        await until(lambda: documents.closed_at(mirror.view) == AT)
        assert documents.closed_at(mirror.view._replace(sequence=6)) is None
        assert documents.closed_at(mirror.view._replace(holds=3)) is None
