"""Reading over plain HTTP: areas, publications, ranges, transfers, elections, health and metrics."""

import csv
import io
import json
import xml.etree.ElementTree as ET
import zlib
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from gateway.rehearsal.generator import GeneratedElection
from gateway.web.feed_documents import CHILDREN_MAX
from tests.running import Gateway, Sender
from tests.schemas import eml_errors, nist_errors
from tests.web.doors import (
    COUNTRY,
    FOREIGN_UNIT,
    HERE,
    OTHER_UNIT,
    UNIT,
    Answer,
    a_registry,
    a_report,
    ask,
    digest_of,
    feed_url,
    moment,
    next_chain,
    push,
    pushed,
    shown,
    streaming,
    units_of,
    until,
    wait_for_room,
)

COUNTY = "06"
PUBLIC = "public, max-age=1"


class Election:
    """The feed door of one election, for plain reading."""

    def __init__(self, http: aiohttp.ClientSession, sender: Sender) -> None:
        self.http = http
        self.sender = sender
        self.gateway = sender.gateway

    def url(self, path: str) -> str:
        return feed_url(self.gateway, self.sender.election, path)

    async def get(self, path: str, headers: dict[str, str] | None = None, **params: Any) -> Answer:
        return await ask(self.http, "GET", self.url(path), params=params, headers=headers or {})

    async def holds(self, *reports: Any) -> list[dict[str, Any]]:
        """Push reports and wait until every feed worker shows them."""
        receipts = await pushed(self.http, self.sender, *reports)
        await shown(self.gateway, self.sender.election, receipts[-1]["sequence"])
        return receipts


@pytest.fixture
async def door(http: aiohttp.ClientSession, sender: Sender) -> Election:
    """The test's own election, which every feed worker knows."""
    await shown(sender.gateway, sender.election)
    return Election(http, sender)


# Areas.


async def test_an_area_is_shown_with_its_children_and_the_place_in_the_record(
    door: Election, small: GeneratedElection
) -> None:
    """The same values as in the feed, all of one moment."""
    report = a_report()
    (receipt,) = await door.holds(report)
    answer = await door.get(f"/areas/{HERE}")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["Cache-Control"] == PUBLIC
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    document = answer.document
    children = document.pop("children")
    assert [child["area"] for child in children] == units_of(small, HERE)
    assert document.pop("record") == {
        "sequence": 1,
        "chain": next_chain("0" * 64, digest_of(report)),
        "published_at": receipt["published_at"],
    }
    async with streaming(door.http, door.url("/feed"), areas=HERE, levels="municipality,precinct") as stream:
        await stream.block()
    assert stream.copy[HERE].items() <= document.items()
    assert {child["area"]: child for child in children}.items() <= stream.copy.items()
    unit = (await door.get(f"/areas/{UNIT}")).document
    assert (unit["status"], unit["revision"], unit["children"]) == ("preliminary", 1, [])


async def test_an_area_is_also_a_table(door: Election) -> None:
    """A row an area and a column a figure, by the query or by `Accept`; what nobody counted is empty."""
    await door.holds(a_report(votes=10), a_report(FOREIGN_UNIT, votes=5))
    by_query = await door.get(f"/areas/{COUNTY}", format="csv")
    by_header = await door.get(f"/areas/{COUNTY}", {"Accept": "text/csv"})
    assert by_query.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert by_query.body == by_header.body
    rows = list(csv.DictReader(io.StringIO(by_query.body.decode())))
    assert [row["area"] for row in rows] == [COUNTY, "0602", "0603", HERE]
    assert [row["election_day.votes.FL"] for row in rows] == ["15", "5", "", "10"]
    assert [row["election_day.ballots"] for row in rows] == ["17", "6", "", "11"]
    assert {row["advance.ballots"] for row in rows} == {""}
    assert (await door.get(f"/areas/{COUNTY}", {"Accept": "text/csv"}, format="json")).document[
        "area"
    ] == COUNTY
    (await door.get(f"/areas/{COUNTY}", format="xml")).problem(400, "bad_query")


async def test_an_area_is_also_eml_and_nist(door: Election) -> None:
    """By the query, and EML by `Accept` too, except for browsers; with the position in the record and the figures."""
    await door.holds(a_report(votes=10))
    xml = await door.get(f"/areas/{HERE}", {"Accept": "application/xml"})
    assert xml.headers["Content-Type"] == "application/xml; charset=utf-8"
    assert xml.body == (await door.get(f"/areas/{HERE}", format="eml")).body
    cursor = ET.fromstring(xml.body).findtext("{*}TransactionId")
    record = (await door.get(f"/areas/{HERE}", {"Accept": "text/html, application/xml;q=0.9"})).document[
        "record"
    ]
    assert cursor == f"{record['sequence']}-{record['chain'][:8]}"
    assert eml_errors()(xml.body) == []
    nist = await door.get(f"/areas/{HERE}", format="nist")
    assert nist.headers["Content-Type"].startswith("application/json")
    assert nist.document["Status"] == "unofficial-partial"
    assert nist_errors()(nist.body) == []
    for table in ("/areas", "/corrections"):
        (await door.get(table, level="county", format="eml")).problem(400, "bad_query")


async def test_an_area_with_thousands_of_children_is_neither_eml_nor_nist(
    http: aiohttp.ClientSession, gateway: Gateway, small: GeneratedElection
) -> None:
    """Up to a bound it is; JSON and CSV have no such bound."""
    document = a_registry(small)
    for member in ("apportionment", "blocs"):
        document["election"].pop(member, None)
    document["areas"] = [
        {"id": "all", "name": "All", "level": "country", "parent": None},
        {"id": "some", "name": "Some", "level": "county", "parent": "all"},
        *(
            {"id": f"s{n}", "name": f"S {n}", "level": "precinct", "parent": "some"}
            for n in range(CHILDREN_MAX)
        ),
        *(
            {"id": f"u{n}", "name": f"U {n}", "level": "precinct", "parent": "all"}
            for n in range(CHILDREN_MAX)
        ),
    ]
    document["parties"] = [{"code": "A", "name": "A"}]
    election = await gateway.load(document)
    await shown(gateway, election)
    for form, status in (("eml", 400), ("nist", 400), ("json", 200), ("csv", 200)):
        answer = await ask(http, "GET", feed_url(gateway, election, f"/areas/all?format={form}"))
        assert answer.status == status
    some = await ask(http, "GET", feed_url(gateway, election, "/areas/some?format=eml"))
    assert len(ET.fromstring(some.body).findall(".//{*}ReportingUnitVotes")) == CHILDREN_MAX


async def test_each_representation_has_a_tag_of_its_own_that_changes_with_it(door: Election) -> None:
    """JSON and table, packed and plain; who holds the present one is answered 304, without a body."""
    shapes: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {}),
        ({"Accept-Encoding": "gzip"}, {}),
        ({}, {"format": "csv"}),
        ({"Accept-Encoding": "gzip"}, {"format": "csv"}),
        ({}, {"format": "eml"}),
        ({"Accept-Encoding": "gzip"}, {"format": "nist"}),
    ]
    await door.holds(a_report())
    tags = []
    bodies = []
    for headers, params in shapes:
        answer = await door.get(f"/areas/{HERE}", headers, **params)
        packed = "Accept-Encoding" in headers
        assert answer.headers.get("Content-Encoding") == ("gzip" if packed else None)
        bodies.append(zlib.decompress(answer.body, 31) if packed else answer.body)
        tag = answer.headers["ETag"]
        assert tag.startswith('"'), "a strong one"
        tags.append(tag)
        for held in (tag, f'"x", {tag}', f"W/{tag}", "*"):
            again = await door.get(f"/areas/{HERE}", {**headers, "If-None-Match": held}, **params)
            assert (again.status, again.body) == (304, b"")
            assert again.headers["ETag"] == tag
            assert again.headers["Cache-Control"] == PUBLIC
            assert again.headers["Vary"] == "Accept, Accept-Encoding"
    assert len(set(tags)) == len(shapes)
    assert bodies[0] == bodies[1]
    assert bodies[2] == bodies[3]
    await door.holds(a_report(revision=2, votes=20))
    for (headers, params), tag in zip(shapes, tags, strict=True):
        answer = await door.get(f"/areas/{HERE}", {**headers, "If-None-Match": tag}, **params)
        assert answer.status == 200
        assert answer.headers["ETag"] not in tags


async def test_a_reader_may_ask_for_a_state_no_older_than_it_knows_of(door: Election) -> None:
    """`at_least` waits for that sequence: a sender that has its receipt sees its report."""
    for revision in range(1, 20):
        (receipt,) = await pushed(door.http, door.sender, a_report(revision=revision, votes=revision))
        answer = await door.get(f"/areas/{UNIT}", at_least=receipt["sequence"])
        assert answer.document["revision"] == revision
    for text in ("-1", "x", "1.0", "", "1" * 30):
        (await door.get(f"/areas/{UNIT}", at_least=text)).problem(400, "bad_query")


async def test_an_unknown_area_is_answered_404(door: Election) -> None:
    """Whatever it is called."""
    for area in ("nowhere", "0604%2F0001", "..", "%00", "x" * 5000):
        url = door.url(f"/areas/{area}") if area != ".." else door.url("/areas/%2e%2e")
        answer = await ask(door.http, "GET", url)
        assert answer.status == 404
        assert answer.headers["Content-Type"] == "application/problem+json"


# Publications.


async def test_every_publication_is_there_in_order_with_what_it_takes_to_check_the_record(
    door: Election,
) -> None:
    """The report as it was sent, its digest, and the chain drawn through all of them."""
    reports = [a_report(unit, revision=3, reason="control") for unit in (UNIT, OTHER_UNIT, FOREIGN_UNIT)]
    receipts = await door.holds(*reports)
    answer = await door.get("/publications")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Cache-Control"] == PUBLIC
    chain = "0" * 64
    for line, report, receipt in zip(answer.body.splitlines(), reports, receipts, strict=True):
        chain = next_chain(chain, digest_of(report))
        assert json.loads(line) == {
            "sequence": receipt["sequence"],
            "published_at": receipt["published_at"],
            "digest": digest_of(report),
            "chain": chain,
            "report": report,
        }


async def test_publications_come_in_pages(door: Election) -> None:
    """`after` and `limit`, 100 by default and at most 1 000; past the end there is nothing, and no error."""
    await door.holds(*(a_report(revision=revision) for revision in range(1, 1102)))

    async def page(**params: Any) -> list[int]:
        answer = await door.get("/publications", **params)
        assert answer.status == 200
        return [json.loads(line)["sequence"] for line in answer.body.splitlines()]

    assert await page() == list(range(1, 101))
    assert await page(after=1050) == list(range(1051, 1102))
    assert await page(after=7, limit=3) == [8, 9, 10]
    assert await page(limit=1000) == list(range(1, 1001))
    assert await page(after=1101) == []
    assert await page(after=10**15, limit=1) == []
    for params in (
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "-1"},
        {"limit": "x"},
        {"after": "-1"},
        {"after": "1e3"},
        {"after": "\u0661"},
        {"after": "9" * 100},
    ):
        (await door.get("/publications", **params)).problem(400, "bad_query")


async def test_publications_come_as_a_stream_that_skips_none(door: Election) -> None:
    """Those there are and then each as it comes; a reader that returns continues where it was."""
    await door.holds(*(a_report(revision=revision) for revision in range(1, 801)))
    url = door.url("/publications")
    async with streaming(door.http, url) as stream:
        events = await stream.events("publication", 800)
        for revision in range(801, 821):
            await pushed(door.http, door.sender, a_report(revision=revision))
        events += await stream.events("publication", 20)
        assert stream.response.headers["Cache-Control"] == "no-store"
    documents = [event.document for event in events]
    assert [each["sequence"] for each in documents] == list(range(1, 821))
    assert [each["report"]["revision"] for each in documents] == list(range(1, 821))
    assert [event.id for event in events] == [f"{each['sequence']}-{each['chain'][:8]}" for each in documents]
    lines = (await door.get("/publications", after=700, limit=120)).body.splitlines()
    assert [json.loads(line) for line in lines] == documents[700:]
    cursor = str(events[809].id)
    for headers, params in (
        ({"Last-Event-ID": cursor}, {}),
        ({}, {"last_event_id": cursor}),
        ({"Last-Event-ID": cursor}, {"after": 5}),
        ({}, {"after": 810}),
    ):
        async with streaming(door.http, url, headers, **params) as stream:
            found = await stream.events("publication", 10)
        assert [event.document["sequence"] for event in found] == list(range(811, 821))


async def test_a_stream_of_publications_begins_anew_for_the_cursor_of_another_history(door: Election) -> None:
    """So that nothing of this one is missed."""
    await door.holds(*(a_report(revision=revision) for revision in range(1, 6)))
    for cursor in ("3-00000000", "0-00000000", "nonsense", "4"):
        async with streaming(door.http, door.url("/publications"), {"Last-Event-ID": cursor}) as stream:
            found = await stream.events("publication", 5)
        assert [event.document["sequence"] for event in found] == [1, 2, 3, 4, 5]


async def test_a_silent_stream_of_publications_beats(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """With comments, about as often as the feed, and not for nothing."""
    election = await tight.load(a_registry(small))
    await shown(tight, election)
    await wait_for_room(tight, http, election)
    async with (
        streaming(http, feed_url(tight, election, "/publications")) as stream,
        streaming(http, feed_url(tight, election)) as feed,
    ):
        await feed.block()
        for _ in range(2):
            await feed.block()
            while (event := await stream.event()) is not None and event.comment is None:
                pass
            assert event is not None
        assert stream.text.count(b": still here") < 10


# Ranges.


async def test_a_whole_range_is_the_same_for_ever_once_it_is_complete(door: Election) -> None:
    """Read from memory while it is new and from the journal when it is old; immutable with its chain value."""
    for start in range(1, 5002, 1000):
        last = min(start + 999, 5001)
        receipts = await pushed(
            door.http, door.sender, *(a_report(revision=revision) for revision in range(start, last + 1))
        )
    await shown(door.gateway, door.sender.election, receipts[-1]["sequence"])
    chains = {}
    for first in (1, 1001, 4001):
        path = f"/publications/{first}-{first + 999}"
        answer = await door.get(path)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        documents = [json.loads(line) for line in answer.body.splitlines()]
        assert [each["sequence"] for each in documents] == list(range(first, first + 1000))
        assert [each["report"]["revision"] for each in documents] == list(range(first, first + 1000))
        chains[first] = documents[-1]["chain"]
        assert answer.headers["ETag"] == f'"{chains[first]}"'
        assert answer.headers["Cache-Control"] == PUBLIC
        for chain, caching in (
            (chains[first], "public, max-age=31536000, immutable"),
            ("0" * 64, PUBLIC),
            (chains[first][:8], PUBLIC),
            ("", PUBLIC),
        ):
            named = await door.get(path, chain=chain)
            assert named.headers["Cache-Control"] == caching
            assert named.body == answer.body
        held = await door.get(path, {"If-None-Match": answer.headers["ETag"]})
        assert (held.status, held.body) == (304, b"")
    parts = [
        (await door.get("/publications", after=after, limit=1000)).body for after in range(0, 5000, 1000)
    ]
    assert [len(part.splitlines()) for part in parts] == [1000] * 5
    assert json.loads(parts[0].splitlines()[-1])["chain"] == chains[1]
    chain = "0" * 64
    for line in b"".join(parts).splitlines():
        each = json.loads(line)
        chain = next_chain(chain, each["digest"])
        assert chain == each["chain"]
    answer = await door.get("/publications/5001-6000")
    answer.problem(404, "not_complete")
    assert answer.headers["Cache-Control"] == "no-store"
    async with streaming(door.http, door.url("/publications"), after=500) as stream:
        events = await stream.events("publication", 4501)
    assert [event.document["sequence"] for event in events] == list(range(501, 5002))


async def test_other_ranges_are_answered_400(door: Election) -> None:
    """There is one way to name each range, so that caches hold it once."""
    for text in ("0-999", "1-999", "1-100", "2-1001", "1-2000", "1-", "-1000", "1", "01-1000", "1-1000x", "a-b",
                 "1001-1", "1-1000-", "+1-1000", "9" * 50 + "-1", "\u0661-1000"):  # fmt: skip
        (await door.get(f"/publications/{text}")).problem(400, "bad_range")


# Transfers.


async def test_transfers_say_where_every_municipality_is(
    door: Election, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """How many are accepted and published, how late, and the last contact; nothing is embargoed any more."""
    sender = await door.gateway.issue(door.sender.election, [HERE])
    began = datetime.now(UTC)
    await pushed(http, sender, a_report(), a_report(revision=2), a_report(OTHER_UNIT))
    await shown(door.gateway, door.sender.election, 3)

    async def complete() -> bool:
        found = [(await door.get(f"/transfers/{HERE}")).document for _ in range(4)]
        return all(each["last_contact_at"] is not None for each in found)

    await until(complete)
    answer = await door.get("/transfers")
    assert answer.headers["Cache-Control"] == PUBLIC
    assert (answer.document["sequence"], answer.document["hidden_until"]) == (3, None)
    assert (await door.get(f"/transfers/{HERE}")).document["hidden_until"] is None
    found = {each["municipality"]: each for each in answer.document["transfers"]}
    municipalities = [area["id"] for area in small.registry["areas"] if area["level"] == "municipality"]
    assert sorted(found) == sorted(municipalities)
    here = found[HERE]
    assert here["units"] == len(units_of(small, HERE))
    assert (here["reported"], here["accepted"], here["published"], here["embargoed"]) == (2, 3, 3, 0)
    assert here["oldest_unpublished_s"] is None
    assert began <= moment(here["last_accepted_at"]) <= datetime.now(UTC)
    assert began <= moment(here["last_contact_at"]) <= datetime.now(UTC)
    for stage in ("receipt", "applied", "written"):
        assert 0 < here["lag_s"][stage]["p50"] <= here["lag_s"][stage]["p99"] < 10
    there = found["0101"]
    assert (there["reported"], there["accepted"], there["last_accepted_at"]) == (0, 0, None)
    assert there["lag_s"]["receipt"] == {"p50": None, "p99": None}
    (await door.get("/transfers/nowhere")).problem(404, "unknown_municipality")
    (await door.get(f"/transfers/{UNIT}")).problem(404, "unknown_municipality")


# Elections.


async def test_elections_are_listed_and_each_shows_its_registry(
    door: Election, small: GeneratedElection
) -> None:
    """What a program needs to begin: names, levels, units, the position in the record."""
    (receipt,) = await door.holds(a_report())
    rehearsal = await door.gateway.load(a_registry(small, rehearsal=True, name="Øving"))
    await shown(door.gateway, rehearsal)
    answer = await ask(door.http, "GET", f"{door.gateway.feed_url}/v1/elections")
    assert answer.headers["Cache-Control"] == PUBLIC
    found = {each["id"]: each for each in answer.document["elections"]}
    mine = found[door.sender.election]
    assert (mine["rehearsal"], found[rehearsal]["rehearsal"], found[rehearsal]["name"]) == (
        False,
        True,
        "Øving",
    )
    assert (mine["sequence"], mine["units"]) == (1, 70)
    assert mine["levels"] == ["country", "county", "municipality", "precinct"]
    assert moment(mine["released_at"]) <= moment(receipt["published_at"])
    answer = await door.get("")
    assert answer.document.pop("registry")["areas"] == small.registry["areas"]
    assert {name: answer.document[name] for name in mine} == mine
    assert "ETag" in answer.headers
    assert (await door.get("", {"If-None-Match": answer.headers["ETag"]})).status == 304


async def test_a_rehearsal_says_so_wherever_figures_are_read(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """Nobody takes it for the night."""
    election = await gateway.load(a_registry(small, rehearsal=True))
    door = Election(http, await gateway.issue(election, [COUNTRY]))
    await shown(gateway, election)
    assert (await door.get(f"/areas/{HERE}")).document["rehearsal"] is True
    assert (await door.get("/transfers")).document["rehearsal"] is True
    async with streaming(http, door.url("/feed")) as stream:
        assert (await stream.block()).end["rehearsal"] is True
    assert (await door.get("")).document["rehearsal"] is True


async def test_a_closing_shows_on_the_feed_door(door: Election) -> None:
    """So clients know that no more reports will come."""
    assert (await door.get("")).document["closed_at"] is None
    await door.holds(a_report())
    async with door.gateway.administration() as acts:
        await acts.close_election(door.sender.election)

    async def closed() -> bool:
        return (await door.get("")).document["closed_at"] is not None

    await until(closed)


# Health, metrics, and what is not meant.


async def test_health_is_on_every_port_and_metrics_on_the_admin_port_only(
    gateway: Gateway, http: aiohttp.ClientSession, sender: Sender
) -> None:
    """Metrics contain what the public must not see."""
    for url in (gateway.push_url, gateway.feed_url, gateway.admin_url):
        for path in ("live", "ready"):
            answer = await ask(http, "GET", f"{url}/health/{path}")
            assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
            assert (await ask(http, "HEAD", f"{url}/health/{path}")).status == 200
    for url in (gateway.push_url, gateway.feed_url):
        (await ask(http, "GET", f"{url}/metrics")).problem(404, "not_found")
    workers = (await ask(http, "GET", f"{gateway.admin_url}/health/ready")).document["workers"]
    assert set(workers) == {"push-0", "push-1", "feed-0", "feed-1"}
    await push(http, sender, a_report())
    await shown(gateway, sender.election, 1)
    samples = await gateway.metrics()
    for name in (
        "valgnatt_readers",
        "valgnatt_publications_applied_total",
        "valgnatt_waiting_reports",
        "valgnatt_journal_available",
    ):
        assert any(each.startswith(name) for each in samples), name


async def test_methods_that_are_not_meant_are_answered_405(door: Election) -> None:
    """As problem documents that pages of any origin can read, with what is allowed."""
    areas = ("/areas", f"/areas/{HERE}", "/corrections")
    for path in ("", "/feed", *areas, "/publications", "/publications/1-1000", "/transfers"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = await ask(door.http, method, door.url(path))
            answer.problem(405, "method_not_allowed")
            assert "GET" in answer.headers["Allow"]
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
    for path in ("/feed", "/publications"):
        assert (await ask(door.http, "HEAD", door.url(path))).status == 405
    for path in ("", f"/areas/{HERE}", "/transfers", f"/transfers/{HERE}"):
        answer = await ask(door.http, "HEAD", door.url(path))
        assert (answer.status, answer.body) == (200, b"")
    for path in ("/nothing", "/areas/", "/corrections/", "/feed/"):
        answer = await ask(door.http, "GET", door.url(path))
        answer.problem(404, "not_found")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_pages_of_any_origin_may_read_everything(door: Election) -> None:
    """There is nothing here that is not public."""
    origin = {"Origin": "https://newspaper.example"}
    for path in (
        "",
        f"/areas/{HERE}",
        "/areas/nowhere",
        "/publications",
        "/publications/1-1000",
        "/publications/x",
        "/transfers",
        "/transfers/nowhere",
    ):
        assert (await door.get(path, origin)).headers["Access-Control-Allow-Origin"] == "*"
    listing = await ask(door.http, "GET", f"{door.gateway.feed_url}/v1/elections", headers=origin)
    assert listing.headers["Access-Control-Allow-Origin"] == "*"
