"""The previous election at the feed door, and the changes that areas have because of it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway.election.previous import read_previous
from gateway.election.registry_reading import read_registry
from gateway.rehearsal.generator import GeneratedElection
from tests.feed.served import FakeRecord, Served, a_night, served, until
from tests.web.doors import COUNTRY, EVERYTHING, ask, streaming


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture
def record(small: GeneratedElection) -> FakeRecord:
    """An election of which all 70 units are shown."""
    return FakeRecord(small.registry, a_night(small.registry, 70), shown=70)


def a_previous(small: GeneratedElection, votes: int = 30) -> dict[str, Any]:
    """Return a previous election in which each unit had the same votes for two parties."""
    parties = [each["code"] for each in small.registry["parties"][:2]]
    parents = {each["parent"] for each in small.registry["areas"]}
    entry = {"votes": {parties[0]: votes, parties[1]: 10}, "blank": 0, "eligible": 60}
    return {
        "format": "valgnatt-previous/1",
        "election": {"id": "before", "name": "The one before", "date": "2020-09-14"},
        "source": "made up",
        "areas": {each["id"]: entry for each in small.registry["areas"] if each["id"] not in parents},
    }


def stored(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


async def changes_in(door: Served, http: aiohttp.ClientSession) -> dict[str, Any]:
    """Return the change of each area in a snapshot."""
    async with streaming(http, door.url(f"/feed?levels={EVERYTHING}")) as reader:
        block = await reader.block()
        return {each["area"]: each.get("change", "absent") for each in block.areas}


async def test_an_election_without_a_previous_one_says_so_and_has_no_changes(
    record: FakeRecord, http: aiohttp.ClientSession
) -> None:
    """No document has a member for it."""
    async with served(record) as door:
        (await ask(http, "GET", door.url("/previous"))).problem(404, "no_previous")
        assert set((await changes_in(door, http)).values()) == {"absent"}
        assert "previous" not in (await ask(http, "GET", door.url(""))).document
        table = await ask(http, "GET", door.url("/areas?level=country&format=csv"))
        assert table.body.splitlines()[0].endswith(b",share_percent")


async def test_the_previous_election_is_a_document_that_caches_keep(
    record: FakeRecord, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """As it was loaded, with an ETag, compressed for those who accept it, also before the end of the embargo."""
    previous = a_previous(small)
    record.previous_document = stored(previous)
    record.released = False
    record.show(0)
    async with served(record) as door:
        answer = await ask(http, "GET", door.url("/previous"), headers={"Accept-Encoding": "identity"})
        assert answer.document == previous
        assert answer.headers["Cache-Control"] == "public, max-age=1"
        tag = answer.headers["ETag"]
        headers = {"Accept-Encoding": "identity", "If-None-Match": tag}
        assert (await ask(http, "GET", door.url("/previous"), headers=headers)).status == 304
        packed = await ask(http, "GET", door.url("/previous"), headers={"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.headers["ETag"] != tag
        header = {**previous["election"], "source": "made up"}
        assert (await ask(http, "GET", door.url(""))).document["previous"] == header
        (listed,) = (await ask(http, "GET", f"{door.origin}/v1/elections")).document["elections"]
        assert listed["previous"] == header
        assert set((await changes_in(door, http)).values()) == {None}


async def test_areas_events_and_tables_have_the_same_changes(
    record: FakeRecord, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """They are computed once, from the figures of the area and of the previous election."""
    previous = a_previous(small)
    record.previous_document = stored(previous)
    async with served(record) as door:
        changes = await changes_in(door, http)
        state, registry = door.feed.state, read_registry(small.registry)
        assert state.comparison is not None
        assert read_previous(previous, registry).areas.keys() == set(range(len(registry.areas)))
        for area in registry.areas:
            change = state.comparison.change(area.index)
            assert change is not None
            assert changes[area.id]["basis"] == change.basis == "same_units"
            pairs = zip(registry.party_codes, change.shares, strict=True)
            shares = {party: share and share / 100 for party, share in pairs if party in area.ballot}
            assert changes[area.id]["shares"] == shares
        page = (await ask(http, "GET", door.url(f"/areas/{COUNTRY}"))).document
        assert page["change"] == changes[COUNTRY]
        table = (await ask(http, "GET", door.url("/areas?level=country"))).document["areas"][0]
        assert {each["party"]: each["change"] for each in table["parties"]} == page["change"]["shares"]
        assert table["compared_with"] == "same_units"
        text = (await ask(http, "GET", door.url("/areas?level=country&format=csv"))).body.decode()
        assert text.splitlines()[0].endswith(",share_percent,change,compared_with,turnout_change")


async def test_a_previous_election_is_replaced_before_anything_is_published(
    record: FakeRecord, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """Like the registry, and removed in the same way; its ETag is another one then."""
    record.show(0)
    record.previous_document = stored(a_previous(small))
    async with served(record) as door:
        first = await ask(http, "GET", door.url("/previous"))
        record.previous_document = stored(a_previous(small, votes=50))
        record.version += 1
        door.hub.wake()
        await until(lambda: door.feed.documents.previous == record.previous_document)
        second = await ask(http, "GET", door.url("/previous"))
        assert second.document == a_previous(small, votes=50)
        assert second.headers["ETag"] != first.headers["ETag"]
        record.previous_document = None
        record.version += 1
        door.hub.wake()
        await until(lambda: door.feed.documents.previous is None)
        (await ask(http, "GET", door.url("/previous"))).problem(404, "no_previous")
        assert door.feed.state.comparison is None


async def test_a_previous_election_in_an_unknown_format_is_passed_on_but_not_used(
    record: FakeRecord, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """A newer version wrote it; the night goes on without changes."""
    record.previous_document = stored({**a_previous(small), "format": "valgnatt-previous/2", "areas": 1})
    async with served(record) as door:
        assert (await ask(http, "GET", door.url("/previous"))).document["areas"] == 1
        assert set((await changes_in(door, http)).values()) == {"absent"}
