"""Documents in the shape of valgresultat.no on the feed door: one election, named by an option."""

import copy
import gzip
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from gateway.web.valgresultat import VALGRESULTAT_PATHS
from tests.election.makers import DOCUMENT
from tests.feed.served import FakeRecord, Served, a_night, served, until
from tests.web.described import undescribed
from tests.web.doors import Answer, ask

ELECTION = DOCUMENT["election"]["id"]
UNITS = 6
UNIT = "/api/2025/st/a/a-1/a-1-1"


@pytest_asyncio.fixture
async def door() -> AsyncIterator[Served]:
    """A door on a record of two reports of each unit, of which those of the first unit are shown."""
    async with served(FakeRecord(DOCUMENT, a_night(DOCUMENT, 2 * UNITS), 1), valgresultat=ELECTION) as door:
        yield door


async def get(http: aiohttp.ClientSession, door: Served, path: str, **headers: str) -> Answer:
    """Return the answer, which is as described."""
    answer = await ask(http, "GET", f"{door.origin}{path}", headers=headers)
    depth = path.count("/") - len(("api", "year", "type"))
    if depth in range(len(VALGRESULTAT_PATHS)) and "Content-Encoding" not in answer.headers:
        assert not undescribed(VALGRESULTAT_PATHS[depth], "GET", answer)
    return answer


async def test_every_document_is_reached_by_its_links(door: Served, http: aiohttp.ClientSession) -> None:
    """By codes and by names, which lead to the same body; each document links to itself and to the one above."""
    await door.show(2 * UNITS)
    waiting, seen = ["/2025/st"], {}
    while waiting:
        path = waiting.pop()
        seen[path] = document = (await get(http, door, f"/api{path}")).document
        links = document["_links"]
        assert links["self"]["href"] == path
        for related in links["related"]:
            below = await get(http, door, f"/api{related['href']}")
            assert below.body == (await get(http, door, f"/api{related['hrefNavn']}")).body
            assert below.document["_links"]["up"]["href"] == path
            assert below.document["tidspunkt"]["rapportGenerert"] == related["rapportGenerert"]
            waiting.append(related["href"])
    units = [document for document in seen.values() if document["id"]["nivaa"] == "stemmekrets"]
    assert len(units) == UNITS - 2  # two are deeper than a path
    assert seen["/2025/st"]["stemmer"]["total"] > sum(document["stemmer"]["total"] for document in units)


async def test_a_document_has_a_tag_and_is_compressed_and_answers_heads(
    door: Served, http: aiohttp.ClientSession
) -> None:
    """A client that has it gets 304."""
    plain = await get(http, door, "/api/2025/st", **{"Accept-Encoding": "identity"})
    packed = await get(http, door, "/api/2025/st", **{"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["ETag"] != plain.headers["ETag"]
    for answer, coding in ((plain, "identity"), (packed, "gzip")):
        headers = {"Accept-Encoding": coding, "If-None-Match": answer.headers["ETag"]}
        assert (await get(http, door, "/api/2025/st", **headers)).status == 304
    head = await ask(http, "HEAD", f"{door.origin}/api/2025/st", headers={"Accept-Encoding": "identity"})
    assert (head.status, head.body) == (200, b"")
    assert head.headers["ETag"] == plain.headers["ETag"]


async def test_a_document_changes_with_publications_at_or_below_its_area_only(
    door: Served, http: aiohttp.ClientSession
) -> None:
    """The second publication is of another unit of the same municipality."""
    paths = [UNIT, "/api/2025/st/a/a-1", "/api/2025/st/a", "/api/2025/st/b", "/api/2025/st"]
    before = [await get(http, door, path) for path in paths]
    await door.show(2)
    unit = door.record.night[1].unit
    registry = door.feed.registry
    above = {registry.areas[index].id for index in registry.by_id[unit].path}
    after = [await get(http, door, path) for path in paths]
    for old, new, area in zip(before, after, ("a-1-1", "a-1", "a", "b", "no"), strict=True):
        changed = area in above or area == unit
        assert (old.headers["ETag"] != new.headers["ETag"]) == changed, area
    assert after[-1].document["valgnatt"]["sequence"] == 2


async def test_a_new_registry_is_shown(http: aiohttp.ClientSession) -> None:
    """The documents of the state before are not."""
    record = FakeRecord(DOCUMENT, [])
    async with served(record, valgresultat=ELECTION) as door:
        assert (await get(http, door, "/api/2025/st")).document["id"]["navn"] == "Landet"
        document = copy.deepcopy(DOCUMENT)
        document["election"]["date"] = "2029-09-10"
        document["areas"][1]["name"] = "Riket"
        generation = door.feed.generation
        record.replace(document)
        door.hub.wake()
        await until(lambda: door.feed.generation != generation and door.feed.settled)
        (await get(http, door, "/api/2025/st")).problem(404, "unknown_election")
        assert (await get(http, door, "/api/2029/st")).document["id"]["navn"] == "Riket"


async def test_an_area_with_thousands_of_children_has_no_document(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be made at once, for anybody; the areas below it have theirs."""
    monkeypatch.setattr("gateway.web.valgresultat.CHILDREN_MAX", 1)
    async with served(FakeRecord(DOCUMENT, a_night(DOCUMENT, 1)), valgresultat=ELECTION) as door:
        (await get(http, door, "/api/2025/st/a")).problem(400, "bad_selection")
        assert (await get(http, door, UNIT)).status == 200


async def test_what_is_not_there_is_a_problem_that_repeats_nothing(
    door: Served, http: aiohttp.ClientSession
) -> None:
    for path in ("/api/2021/st", "/api/2025/sa", "/api/2025/ST", "/api/0/0/x/y/z"):
        (await get(http, door, path)).problem(404, "unknown_election")
    for path in (
        "/api/2025/st/x",
        "/api/2025/st/a/b-1",
        f"{UNIT}9",
        "/api/2025/st/%00",
        "/api/2025/st/" + "x" * 4000,
    ):
        problem = (await get(http, door, path)).problem(404, "unknown_area")
        assert "x" * 10 not in problem["detail"]
    for path in ("/api", "/api/2025", "/api/2025/st/", f"{UNIT}/x"):
        (await get(http, door, path)).problem(404, "not_found")
    (await get(http, door, "/api/2025/st?x=1")).problem(400, "bad_query")


async def test_without_the_option_nothing_is_shown(http: aiohttp.ClientSession) -> None:
    """Nor where it names an election that is not loaded."""
    for options in ({}, {"valgresultat": "another"}):
        record = FakeRecord(DOCUMENT, a_night(DOCUMENT, 1), 1)
        async with served(record, **options) as door:
            (await get(http, door, "/api/2025/st")).problem(404, "unknown_election")


async def test_the_option_may_contain_the_type(http: aiohttp.ClientSession) -> None:
    record = FakeRecord(DOCUMENT, a_night(DOCUMENT, 1), 1)
    async with served(record, valgresultat=f"{ELECTION}:sa") as door:
        document = (await get(http, door, "/api/2025/sa")).document
        assert (document["id"]["valgtype"], document["_links"]["self"]["href"]) == ("SA", "/2025/sa")


async def test_nothing_can_be_learned_before_the_release(http: aiohttp.ClientSession) -> None:
    """Every document is the same, with its tag, whatever reports there are; then all are shown."""
    paths = ("/api/2025/st", "/api/2025/st/a", "/api/2025/st/a/a-1", UNIT)
    seen = []
    for count in (0, 5, 2 * UNITS):
        record = FakeRecord(DOCUMENT, a_night(DOCUMENT, count))
        record.released = False
        async with served(record, valgresultat=ELECTION) as door:
            answers = [await get(http, door, path) for path in paths]
            seen.append([(each.body, each.headers["ETag"]) for each in answers])
            if count:
                record.released = True
                await door.show(count)
                assert (await get(http, door, paths[0])).document["stemmer"]["total"]
    assert seen[0] == seen[1] == seen[2]


async def test_only_documents_of_units_are_charged_to_who_requests_them_first(
    door: Served, http: aiohttp.ClientSession
) -> None:
    """One that has used up its allowance still gets what is shared: documents above units, and those that are made."""
    await get(http, door, UNIT)
    door.door.limits.allowance.use("127.0.0.1", 1 << 40)
    (await get(http, door, "/api/2025/st/a/a-1/a-1-2")).problem(429, "overloaded")
    for path in (UNIT, "/api/2025/st/a/a-1", "/api/2025/st/a", "/api/2025/st"):
        assert (await get(http, door, path)).status == 200
