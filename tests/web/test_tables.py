"""Tables at the feed door: the results of a level, and corrections."""

import asyncio
import gc
import json
import zlib
from collections.abc import AsyncIterator
from types import FrameType
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.election.record import Publication
from gateway.feed.results import ResultTables
from gateway.rehearsal.generator import GeneratedElection
from gateway.web.answers import Problem
from tests.counts import count, variants
from tests.election.makers import Record, a_report, some_counts
from tests.feed.served import FakeRecord, Served, a_night, served, until
from tests.web.documents import get, rows_of
from tests.web.doors import COUNTRY, HERE, UNIT, units_of

PUBLIC = "public, max-age=1"
SHOWN = count(100, full=500)
BOM = b"\xef\xbb\xbf"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


def unsteady(small: GeneratedElection, publications: int) -> list[Publication]:
    """A number of publications of few units, whose figures rise and fall."""
    units, written = units_of(small, HERE), Record()
    for number in range(publications):
        counts = {"advance": some_counts(FL=number * 37 % 200, NST=number * 11 % 90)}
        written.write(a_report(units[number % len(units)], 1 + number // len(units), counts=counts))
    return written.publications


@pytest.fixture(scope="module")
def night(small: GeneratedElection) -> list[Publication]:
    """Publications in which figures rise and fall."""
    return unsteady(small, 2 * SHOWN)


@pytest.fixture
async def door(small: GeneratedElection, night: list[Publication]) -> AsyncIterator[Served]:
    """A feed door on that record."""
    async with served(FakeRecord(small.registry, night, shown=SHOWN)) as opened:
        yield opened


async def test_every_level_has_a_table_with_the_figures_of_its_areas(
    http: aiohttp.ClientSession, door: Served, small: GeneratedElection
) -> None:
    """Each party of each area, as the areas themselves have it, summed over categories."""
    for level in ("country", "county", "municipality", "precinct"):
        answer = await get(http, door, "/areas", level=level, format="csv")
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert answer.headers["Cache-Control"] == PUBLIC
        rows = rows_of(answer.body)
        areas = [each["id"] for each in small.registry["areas"] if each["level"] == level]
        assert list(dict.fromkeys(row["area"] for row in rows)) == areas
        document = (await get(http, door, "/areas", level=level)).document
        assert [area["area"] for area in document["areas"]] == areas
        assert document["record"]["sequence"] == SHOWN
        for area in areas[:5]:
            shown = (await get(http, door, f"/areas/{area}")).document
            votes: dict[str, int] = {}
            for counts in shown["counts"].values():
                for party, number in counts["votes"].items():
                    votes[party] = votes.get(party, 0) + number
            mine = {row["party"]: row["party_votes"] for row in rows if row["area"] == area}
            assert {party: int(number) for party, number in mine.items() if number} == votes


async def test_a_table_may_be_of_an_area(http: aiohttp.ClientSession, door: Served) -> None:
    """Of this area and those below it."""
    rows = rows_of((await get(http, door, "/areas", level="precinct", area=HERE, format="csv")).body)
    assert {row["parent"] for row in rows} == {HERE}
    (area,) = (await get(http, door, "/areas", level="precinct", area=UNIT)).document["areas"]
    assert area["area"] == UNIT
    assert (await get(http, door, "/areas", level="country", area=HERE)).document["areas"] == []
    root = (await get(http, door, "/areas", level="county", area=COUNTRY)).document
    assert root == {**(await get(http, door, "/areas", level="county")).document, "within": COUNTRY}


@pytest.mark.parametrize("path", ["/areas?level=municipality", "/corrections", f"/areas/{HERE}?"])
async def test_each_representation_has_a_tag_of_its_own(
    http: aiohttp.ClientSession, door: Served, path: str
) -> None:
    """JSON, CSV, and CSV with a byte order mark; plain and as gzip, which is the same text."""
    tags, texts = set(), set()
    separator = "" if path.endswith("?") else "&" if "?" in path else "?"
    for query in ("format=json", "format=csv", "format=csv&bom=1"):
        for headers in ({}, {"Accept-Encoding": "gzip"}):
            url = f"{path}{separator}{query}"
            answer = await get(http, door, url, headers)
            assert answer.status == 200
            assert answer.headers["Vary"] == "Accept, Accept-Encoding"
            packed = answer.headers.get("Content-Encoding") == "gzip"
            assert packed == bool(headers)
            texts.add(zlib.decompress(answer.body, 31) if packed else answer.body)
            tags.add(answer.headers["ETag"])
            again = await get(http, door, url, {**headers, "If-None-Match": answer.headers["ETag"]})
            assert (again.status, again.body) == (304, b"")
    assert len(tags) == 6
    assert len(texts) == 3
    assert sum(text.startswith(BOM) for text in texts) == 1
    by_header = await get(http, door, path, {"Accept": "text/csv"})
    assert by_header.body in texts
    assert not by_header.body.startswith(BOM)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/areas", "level must be one of country, county, municipality, precinct"),
        ("/areas?level=x%0Ay", "level must be one of"),
        ("/areas?level=county,municipality", "level must be one of"),
        ("/areas?level=county&area=none", "area is not an area of this election"),
        ("/areas?level=county&area=", "area is not an area of this election"),
        ("/areas?level=county&format=xml", "format must be json or csv"),
        ("/areas?level=county&bom=2&format=csv", "bom must be 0 or 1"),
        ("/areas?level=county&bom=1", "bom is for the format csv only"),
        ("/areas?levels=county", "unknown parameter levels; this path takes level, area, format, bom"),
        ("/corrections?area=none", "area is not an area of this election"),
        ("/corrections?limit=10", "unknown parameter limit; this path takes area, format, bom"),
        (f"/areas/{HERE}?levels=precinct", "unknown parameter levels; this path takes format, bom, at_least"),
        (f"/areas/{HERE}?bom=1", "bom is for the format csv only"),
        ("/publications?last_event_id=1-00000000", "last_event_id is for an event stream only"),
        ("/publications?after=1&lastEventId=1-00000000", "lastEventId is for an event stream only"),
    ],
)
async def test_a_parameter_that_is_not_used_is_refused(
    http: aiohttp.ClientSession, door: Served, path: str, named: str
) -> None:
    """And a wrong one, with what there is; never with the value."""
    problem = (await get(http, door, path)).document
    assert problem["status"] == 400
    assert problem["code"] in ("bad_query", "bad_selection")
    assert named in problem["detail"]
    assert "\n" not in problem["detail"]


async def test_a_stream_of_publications_has_no_limit(http: aiohttp.ClientSession, door: Served) -> None:
    """The parameter is for pages, so it is refused and not ignored."""
    answer = await get(http, door, "/publications", {"Accept": "text/event-stream"}, limit="10")
    assert "limit is for a page of publications only" in answer.problem(400, "bad_query")["detail"]


async def test_requests_at_the_same_time_share_one_table(
    http: aiohttp.ClientSession, door: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a later one finds it; after a publication it is made again."""
    made = []
    steps = ResultTables.steps

    def counted(*given: Any) -> Any:
        made.append(given[2])
        return steps(*given)

    monkeypatch.setattr(ResultTables, "steps", counted)
    answers = await asyncio.gather(*(get(http, door, "/areas", level="precinct") for _ in range(8)))
    assert len({answer.headers["ETag"] for answer in answers}) == 1
    await get(http, door, "/areas", level="precinct")
    assert made == ["precinct"]
    await door.show(SHOWN + 1)
    answer = await get(http, door, "/areas", level="precinct")
    assert answer.document["record"]["sequence"] == SHOWN + 1
    assert made == ["precinct"] * 2


async def test_publications_are_applied_while_a_table_is_made(
    http: aiohttp.ClientSession, door: Served
) -> None:
    """Every table has the figures of the moment that it names: units have as many reports as the record."""

    async def publish() -> None:
        for number in range(SHOWN + 1, SHOWN + 25):
            await door.show(number)

    publishing = asyncio.ensure_future(publish())
    while not publishing.done():
        document = (await get(http, door, "/areas", level="precinct")).document
        newest = max(area["sequence"] for area in document["areas"])
        assert newest == document["record"]["sequence"]
    await publishing


async def test_a_table_of_units_is_charged_to_the_address_that_it_is_made_for(
    small: GeneratedElection, http: aiohttp.ClientSession
) -> None:
    """Tables above units are not, however many are made; and one that was made is there for everybody."""
    night = a_night(small.registry, 50)
    async with served(FakeRecord(small.registry, night, shown=40), unshared_per_address=1) as door:
        assert (await get(http, door, "/areas", level="precinct")).status == 200
        door.door.limits.allowance.use("127.0.0.1", 1 << 30)
        assert (await get(http, door, "/areas", level="precinct")).status == 200
        await door.show(41)
        answer = await get(http, door, "/areas", level="precinct")
        answer.problem(429, "overloaded")
        assert int(answer.headers["Retry-After"]) > 1
        for level in ("country", "county", "municipality"):
            assert (await get(http, door, "/areas", level=level)).status == 200


async def test_corrections_are_the_same_after_a_restart(
    small: GeneratedElection, http: aiohttp.ClientSession, door: Served
) -> None:
    """Applied one by one, or at once by a process that starts later: every byte and tag is equal."""
    shown = 2 * SHOWN
    for number in range(SHOWN + 50, shown + 1, 50):
        await door.show(number)
    async with served(FakeRecord(small.registry, door.record.night, shown=shown)) as restarted:
        for form in ("json", "csv"):
            before = await get(http, door, "/corrections", format=form)
            after = await get(http, restarted, "/corrections", format=form)
            assert before.body == after.body
            assert before.headers["ETag"] == after.headers["ETag"]
    document = (await get(http, door, "/corrections")).document
    areas = (await get(http, door, f"/areas/{COUNTRY}")).document
    assert document["total"] == areas["corrections"] == len(document["corrections"]) > 100
    assert areas["last_correction"]["sequence"] == document["sequence"]
    assert (await get(http, door, "/corrections", area=HERE)).document == {**document, "area": HERE}
    assert not (await get(http, door, "/corrections", area="0602")).document["corrections"]


async def test_the_document_of_corrections_changes_with_corrections_only(
    small: GeneratedElection, http: aiohttp.ClientSession
) -> None:
    """So a client that asks after each publication is answered 304."""
    async with served(FakeRecord(small.registry, a_night(small.registry, 2), shown=1)) as door:
        answer = await get(http, door, "/corrections")
        assert answer.document["total"] == 0
        await door.show(2)
        again = await get(http, door, "/corrections", {"If-None-Match": answer.headers["ETag"]})
        assert again.status == 304


async def test_before_the_release_tables_have_no_figure(
    small: GeneratedElection, http: aiohttp.ClientSession
) -> None:
    """They are those of an election to which nothing was ever sent, in every byte and header."""
    answers = []
    for accepted in (0, 40):
        record = FakeRecord(small.registry, a_night(small.registry, accepted or 1), shown=0)
        record.released = False
        async with served(record) as door:
            for path in ("/areas?level=precinct", "/areas?level=county&format=csv", "/corrections"):
                answer = await get(http, door, path)
                headers = {name: value for name, value in answer.headers.items() if name != "Date"}
                answers.append((path, answer.status, headers, answer.body))
    assert answers[:3] == answers[3:]
    document = json.loads(answers[0][3])
    assert document["record"] == {"sequence": 0, "chain": "0" * 64, "published_at": None}
    assert all(area["ballots"] is None and area["sequence"] == 0 for area in document["areas"])


def of_request(found: object) -> bool:
    """Whether it is a frame of code that answers requests; others may be left of tasks of earlier tests."""
    return isinstance(found, FrameType) and "/gateway/web/" in found.f_code.co_filename


@pytest.mark.parametrize(
    "path",
    variants(
        ["/areas?level=none", "/areas?level=county&area=none", "/areas?level=county&x=1", "/none"],
        "/areas?level=county&area=none",
        "/none",
    ),
)
async def test_a_refused_request_leaves_no_reference_cycle(
    http: aiohttp.ClientSession, door: Served, path: str
) -> None:
    """Thousands of them are not freed in one garbage collection, for which publications would wait."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        assert (await get(http, door, path, {"Connection": "close"})).status in (400, 404)
        await until(lambda: len(door.connections) == 0)
        gc.collect()
        cyclic = [each for each in gc.garbage if isinstance(each, (web.Request, Problem)) or of_request(each)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not cyclic
