"""Seats at the feed door: in events and areas, and as a table. A gateway in this process, on a record of the test."""

import copy
import json
import random
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway.election.record import Publication
from gateway.feed import compression
from gateway.rehearsal.generator import GeneratedElection
from gateway.web import feed_tables
from tests.counts import count
from tests.election.makers import Record
from tests.election.naive_seats import naive, with_seats
from tests.election.test_seats import RULES, check_seats, votes_of
from tests.feed.served import FakeRecord, Served, served
from tests.web.documents import get, rows_of
from tests.web.doors import COUNTRY, streaming, units_of

LENGTH = count(40, full=150)
BOM = b"\xef\xbb\xbf"


def a_night(document: dict[str, Any], small: GeneratedElection, length: int) -> list[Publication]:
    """Publications of random votes of units in turn, one county after the other in each round."""
    chance, written = random.Random(5), Record()
    parties = [each["code"] for each in document["parties"]]
    ballots = {each["id"]: each.get("parties") for each in document["areas"]}
    parents = {each["id"]: each["parent"] for each in document["areas"]}

    def ballot(area: str | None) -> list[str]:
        return parties if area is None else ballots[area] or ballot(parents[area])

    units = units_of(small)
    chance.shuffle(units)
    for number in range(length):
        unit = units[number % len(units)]
        votes = {party: chance.randrange(900) for party in ballot(unit)}
        counts = {"ballots": sum(votes.values()), "blank": 0, "rejected": 0, "votes": votes}
        report = {
            "unit": unit, "revision": 1 + number // len(units), "counted_at": "2025-09-08T22:36:55+02:00",
            "status": "final", "counts": {document["election"]["categories"][number % 2]: counts},
        }  # fmt: skip
        written.write(report)
    return written.publications


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture
def document(small: GeneratedElection) -> dict[str, Any]:
    return with_seats(small.registry)


@pytest.fixture
async def door(document: dict[str, Any], small: GeneratedElection) -> AsyncIterator[Served]:
    """A feed door of an election with seats, with a third of the night published."""
    async with served(FakeRecord(document, a_night(document, small, LENGTH), shown=LENGTH // 3)) as opened:
        yield opened


@pytest.mark.parametrize("name", ["levelling", "of the district", "of the country"])
async def test_the_seats_of_every_block_follow_from_the_votes_in_it(
    http: aiohttp.ClientSession, small: GeneratedElection, name: str
) -> None:
    """Computed in the simplest way from the figures of the same blocks, at every publication and after a restart."""
    document = with_seats(small.registry, RULES[name])
    record = FakeRecord(document, a_night(document, small, LENGTH), shown=1)
    async with served(record) as door, streaming(http, door.url(), levels="country,county") as stream:
        block = await stream.block()
        areas = {each["area"]: each for each in block.areas}
        for sequence in range(1, LENGTH + 1):
            if sequence > 1:
                await door.show(sequence)
                while block.end["sequence"] < sequence:
                    block = await stream.block()
                    areas |= {each["area"]: each for each in block.areas}
            assert block.end["sequence"] == sequence
            check_seats(document, areas)
    async with served(record) as again, streaming(http, again.url(), levels="country,county") as stream:
        assert {each["area"]: each for each in (await stream.block()).areas} == areas


async def test_only_the_root_and_districts_have_seats(http: aiohttp.ClientSession, door: Served) -> None:
    """Also in documents of areas and of their children, with the same values; never in CSV or in units."""
    root = (await get(http, door, f"/areas/{COUNTRY}")).document
    assert set(root["seats"]) == {"projection", "by_party", "threshold", "levelling", "tied"}
    for child in root["children"]:
        assert set(child["seats"]) == {"projection", "ordinary", "by_party", "last", "next", "tied"}
        own = (await get(http, door, f"/areas/{child['area']}")).document
        assert own["seats"] == child["seats"]
        assert all("seats" not in each for each in own["children"])
    assert b"seats" not in (await get(http, door, f"/areas/{COUNTRY}", format="csv")).body


async def test_an_election_without_apportionment_has_no_seats(
    http: aiohttp.ClientSession, small: GeneratedElection, document: dict[str, Any]
) -> None:
    """No member, in any event; every other byte is that of the election with seats."""
    plain = copy.deepcopy(document)
    del plain["election"]["apportionment"]
    for area in plain["areas"]:
        area.pop("seats", None)
    bodies = []
    for registry in (plain, document):
        record = FakeRecord(registry, a_night(registry, small, LENGTH), shown=LENGTH)
        async with served(record) as door:
            if registry is plain:
                (await get(http, door, "/seats")).problem(404, "no_seats")
                (await get(http, door, "/seats", format="csv", at_least="0")).problem(404, "no_seats")
            async with streaming(http, door.url()) as stream:
                bodies.append((await stream.block()).areas)
    assert all("seats" not in each for each in bodies[0])
    assert bodies[0] == [
        {name: value for name, value in each.items() if name != "seats"} for each in bodies[1]
    ]


async def test_the_table_has_every_party_of_every_district(
    http: aiohttp.ClientSession, door: Served, document: dict[str, Any]
) -> None:
    """With both kinds of seats, the same in JSON and CSV and in the documents of areas."""
    parties = [each["code"] for each in document["parties"]]
    for shown in (LENGTH // 3, LENGTH):
        await door.show(shown)
        table = (await get(http, door, "/seats")).document
        root = (await get(http, door, f"/areas/{COUNTRY}")).document
        assert table["projection"] is True
        assert table["record"] == root["record"]
        assert table["seats"] == root["seats"]
        found = naive(document, {each["area"]: votes_of(each, parties) for each in root["children"]})
        assert table["ordinary"] + table["levelling"] == 13 * len(root["children"])
        assert [each["area"] for each in table["districts"]] == [each["area"] for each in root["children"]]
        for district, area in zip(table["districts"], root["children"], strict=True):
            for name in ("name", "level", "sequence"):
                assert district[name] == area[name]
            assert (district["units"], district["reported"]) == (
                area["units"]["total"],
                area["units"]["reported"],
            )
            for name in ("ordinary", "last", "next", "tied"):
                assert district[name] == area["seats"][name]
            votes = votes_of(area, parties)
            assert {
                each["party"]: each["party_votes"] for each in district["parties"]
            }.items() <= votes.items()
            assert district["votes"] == sum(votes.values())
            for each in district["parties"]:
                given = found.levelling and found.levelling.count((district["area"], each["party"]))
                assert each["ordinary_seats"] == found.ordinary[district["area"]].get(each["party"], 0)
                assert each["levelling_seats"] == given
                assert each["seats"] == (None if given is None else each["ordinary_seats"] + given)
        check_rows(rows_of((await get(http, door, "/seats", format="csv")).body), table)
    assert table["seats"]["levelling"]


def check_rows(rows: list[dict[str, str]], table: dict[str, Any]) -> None:
    """Compare the rows of CSV with the table in JSON."""

    def text(value: object) -> str:
        return "" if value is None else str(value)

    root = [row for row in rows if row["area"] == table["area"]]
    for row in root:
        seats = table["seats"]["by_party"].get(row["party"], {"seats": 0, "levelling": 0})
        known = table["seats"]["levelling"] is not None
        assert row["seats"] == (str(seats["seats"]) if known else "")
        assert row["levelling_seats"] == (str(seats["levelling"]) if known else "")
        assert row["ordinary_seats"] == str(seats["seats"] - seats["levelling"])
        margin = table["seats"]["threshold"].get(row["party"], {})
        assert row["above_threshold"] == ({True: "true", False: "false"}[margin["above"]] if margin else "")
        assert row["threshold_spare"] == text(margin.get("spare"))
        assert row["threshold_lacks"] == text(margin.get("lacks"))
    others = [row for row in rows if row["area"] != table["area"]]
    pairs = [(district, party) for district in table["districts"] for party in district["parties"]]
    assert len(pairs) == len(others)
    assert rows == root + others
    for row, (district, party) in zip(others, pairs, strict=True):
        for name, value in party.items():
            assert row[name] == text(value)
        for name in (
            "area",
            "name",
            "level",
            "sequence",
            "units",
            "reported",
            "votes",
            "ordinary",
            "levelling",
        ):
            assert row[name] == text(district[name])
        last, following = district["last"] or {}, district["next"] or {}
        assert (row["last"] == "true") == (last.get("party") == party["party"])
        assert row["spare"] == (str(last["spare"]) if row["last"] == "true" else "")
        assert (row["next"] == "true") == (following.get("party") == party["party"])
        assert row["lacks"] == (str(following["lacks"]) if row["next"] == "true" else "")
        assert (row["tied"] == "true") == (party["party"] in district["tied"])


@pytest.mark.parametrize("name", ["one district", "of the country"])
async def test_one_district_and_a_threshold_of_the_country(
    http: aiohttp.ClientSession, small: GeneratedElection, name: str
) -> None:
    """The only district is the root, with the members of both; with such a threshold, the table has the districts."""
    document = with_seats(small.registry, RULES[name])
    parties = [each["code"] for each in document["parties"]]
    async with served(FakeRecord(document, a_night(document, small, LENGTH), shown=LENGTH)) as door:
        table = (await get(http, door, "/seats")).document
        root = (await get(http, door, f"/areas/{COUNTRY}")).document
        rows = rows_of((await get(http, door, "/seats", format="csv")).body)
    assert table["seats"] == root["seats"]
    areas = [root] if name == "one district" else root["children"]
    found = naive(document, {each["area"]: votes_of(each, parties) for each in areas})
    for district in table["districts"]:
        seats = {each["party"]: each["seats"] for each in district["parties"] if each["seats"]}
        assert seats == found.ordinary[district["area"]]
        assert (district["last"] or {}).get("party") == found.last[district["area"]]
        if seats:
            assert district["last"]["spare"] >= 0
            assert district["next"]["lacks"] > 0
    if name == "one district":
        assert [row["party"] for row in rows] == [each["party"] for each in table["districts"][0]["parties"]]
        assert root["seats"].keys() >= {"ordinary", "by_party", "last", "next", "threshold", "levelling"}
        assert {row["party"]: int(row["seats"]) for row in rows if row["seats"] != "0"} == found.house
    else:
        check_rows(rows, table)
        assert all("seats" not in each for each in root["children"])


async def test_each_representation_has_a_tag_of_its_own(
    http: aiohttp.ClientSession, door: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON, CSV, and CSV with a byte order mark; plain and as gzip, also when it is compressed in steps."""
    tags, texts = set(), set()
    for small_bytes in (1 << 20, 100):
        monkeypatch.setattr(feed_tables, "SMALL_BYTES", small_bytes)
        monkeypatch.setattr(compression, "STEP_BYTES", 1000)
        await door.show(door.feed.state.sequence + 1)
        for query in ("format=json", "format=csv", "format=csv&bom=1"):
            for headers in ({}, {"Accept-Encoding": "gzip"}):
                answer = await get(http, door, f"/seats?{query}", headers)
                assert answer.headers["Cache-Control"] == "public, max-age=1"
                assert answer.headers["Vary"] == "Accept, Accept-Encoding"
                packed = answer.headers.get("Content-Encoding") == "gzip"
                assert packed == bool(headers)
                texts.add(zlib.decompress(answer.body, 31) if packed else answer.body)
                tags.add(answer.headers["ETag"])
                again = await get(
                    http, door, f"/seats?{query}", {**headers, "If-None-Match": answer.headers["ETag"]}
                )
                assert (again.status, again.body) == (304, b"")
    assert len(tags) == 12
    assert len(texts) == 6
    assert sum(text.startswith(BOM) for text in texts) == 2
    assert (await get(http, door, "/seats", {"Accept": "text/csv"})).body in texts


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("format=xml", "format must be json or csv"),
        ("bom=1", "bom is for the format csv only"),
        ("at_least=x", "at_least must be a whole number"),
        ("area=03", "unknown parameter area; this path takes format, bom, at_least"),
    ],
)
async def test_a_wrong_parameter_is_refused(
    http: aiohttp.ClientSession, door: Served, query: str, named: str
) -> None:
    assert named in (await get(http, door, f"/seats?{query}")).problem(400, "bad_query")["detail"]


async def test_a_request_may_wait_for_a_publication(http: aiohttp.ClientSession, door: Served) -> None:
    """As requests for areas may."""
    shown = door.feed.state.sequence
    table = (await get(http, door, "/seats", at_least=str(shown))).document
    assert table["record"]["sequence"] == shown


async def test_before_the_release_seats_are_those_of_an_empty_election(
    http: aiohttp.ClientSession, document: dict[str, Any], small: GeneratedElection
) -> None:
    """In every byte and header, whatever was accepted."""
    answers = []
    for accepted in (1, LENGTH):
        record = FakeRecord(document, a_night(document, small, accepted), shown=0)
        record.released = False
        async with served(record) as door:
            for path in ("/seats", "/seats?format=csv", f"/areas/{COUNTRY}"):
                answer = await get(http, door, path)
                headers = {name: value for name, value in answer.headers.items() if name != "Date"}
                answers.append((path, answer.status, headers, answer.body))
    assert answers[:3] == answers[3:]
    table = json.loads(answers[0][3])
    assert table["record"]["sequence"] == 0
    assert table["seats"]["by_party"] == {}
    assert all(each["last"] is each["next"] is None for each in table["districts"])
