"""The embargo: until it ends nothing can be learned of an election; then everything is published at once, in order."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any

import aiohttp
import asyncpg

from gateway.election.report import canonical, decode_stored, digest_of
from gateway.election.validation import ValidReport
from gateway.rehearsal.generator import GeneratedElection
from gateway.wire.areas import FORMATS
from tests.conftest import Database
from tests.election.naive_seats import with_seats
from tests.feed.test_previous import a_previous
from tests.journal.holding import decide, hold
from tests.running import Gateway, running
from tests.web.doors import (
    COUNTRY,
    EVERYTHING,
    FOREIGN_UNIT,
    HERE,
    THERE,
    UNIT,
    Block,
    EventStream,
    a_registry,
    a_report,
    ask,
    connected,
    feed_url,
    moment,
    push,
    pushed,
    shown,
    streaming,
    streaming_from_every_worker,
    units_of,
    until,
)

AREAS = (COUNTRY, "06", HERE, UNIT)
CONNECTIONS = 6
"""Fresh ones each time, so that each worker answers some."""


async def every_answer(gateway: Gateway, election: str) -> list[dict[str, Any]]:
    """Return all that the feed door answers about an election, on several connections: bodies, tags, sizes, status.

    And the metrics of its processes about the election.
    """
    seen = []
    for _ in range(CONNECTIONS):
        async with aiohttp.ClientSession(auto_decompress=False) as http:
            seen.append(await _shown_over(http, gateway, election))
    measured = await gateway.metrics()
    of_feeds = {name for name in measured if 'process="feed' in name and f'election="{election}"' in name}
    assert of_feeds
    return [{**each, "metrics": {name: measured[name] for name in sorted(of_feeds)}} for each in seen]


async def _shown_over(http: aiohttp.ClientSession, gateway: Gateway, election: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    paths = [
        "",
        "/previous",
        "/publications",
        "/publications?limit=1000",
        "/publications/1-1000",
        f"/transfers/{HERE}",
    ]
    paths += ["/holds", "/holds?limit=1000", "/holds?after=1", "/holds?after=100"]
    paths += ["/log/checkpoint", "/log/tile/entries/000.p/1", "/log/proof/1"]  # see test_signed_record.py
    for form in ("json", "csv"):
        paths += [f"/areas?level={level}&format={form}" for level in ("municipality", "precinct")]
        paths += [f"/corrections?format={form}", f"/seats?format={form}"]
    for area in AREAS:
        paths += [
            f"/areas/{area}",
            *(f"/areas/{area}?format={form}" for form in FORMATS),
            f"/areas/{area}?at_least=0",
        ]
    for path in paths:
        for coding in ("identity", "gzip"):
            answer = await ask(
                http, "GET", feed_url(gateway, election, path), headers={"Accept-Encoding": coding}
            )
            headers = {name: answer.headers.get(name) for name in ("ETag", "Content-Length", "Cache-Control")}
            seen[f"{path} {coding}"] = (answer.status, headers, answer.body)
    answer = await ask(http, "GET", feed_url(gateway, election, "/transfers"))
    sizes = len(answer.body) - len(answer.document["server_time"]), answer.headers.get("ETag")
    seen["/transfers"] = {**answer.document, "server_time": None}, sizes
    listed = (await ask(http, "GET", f"{gateway.feed_url}/v1/elections")).document["elections"]
    seen["/v1/elections"] = [each for each in listed if each["id"] == election]
    async with streaming(http, feed_url(gateway, election), levels=EVERYTHING) as stream:
        block = await stream.block()
        seen["/feed"] = (block.areas, block.id, {**block.end, "server_time": None})
    return seen


async def next_change(stream: EventStream) -> Block:
    """Return the next block that is not a heartbeat."""
    while not (block := await stream.block()).areas:
        pass
    return block


async def test_nothing_of_an_embargoed_election_is_served_and_then_everything_at_once(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """No worker serves a count, sequence, size, tag or transfer in any representation; then one block has them all.

    On a busy machine the embargo may end before everything was asked; then a longer one is tried.
    """
    for embargo_s in (2.5, 10.0, 40.0):
        with suppress(EmbargoTooShort):
            await check_release(gateway, http, small, embargo_s)
            return
    raise AssertionError("the embargo ended before every answer was read, even after 40 s")


def assert_hidden(seen: dict[str, Any], publish_from: datetime) -> None:
    """Assert that transfers say until when figures are hidden, by the clock of the election, and are zeros."""
    everywhere, _ = seen["/transfers"]
    (_, _, body) = seen[f"/transfers/{HERE} identity"]
    for document, transfers in ((everywhere, everywhere["transfers"]), (one := json.loads(body), [one])):
        assert moment(document["hidden_until"]) == publish_from
        assert document["hidden_until"].endswith(("+01:00", "+02:00"))
        for transfer in transfers:
            assert {
                transfer[name] for name in ("reported", "accepted", "published", "embargoed", "held")
            } == {0}
            assert transfer["oldest_held_s"] is None
            assert transfer["last_contact_at"] is transfer["last_accepted_at"] is None


async def some_holds(gateway: Gateway, election: str, first: str, second: str) -> None:
    """Hold reports of two units: one is rejected, the other is superseded by a report that stays held."""
    owner = await asyncpg.connect(gateway.database.url)
    key = await owner.fetchval("SELECT key FROM valgnatt.election WHERE id = $1", election)
    try:
        await hold(
            owner, key, _checked(a_report(first, 7, votes=70)), _checked(a_report(second, 7, votes=80))
        )
        await decide(owner, key, _checked(a_report(first, 7, votes=70)), release=False)
        await hold(owner, key, _checked(a_report(second, 8, votes=90)))
    finally:
        await owner.close()


async def assert_listed(
    gateway: Gateway, http: aiohttp.ClientSession, election: str, first: str, second: str
) -> None:
    """Assert that the holds of `some_holds` are public, without figures, persons and notes."""
    lines: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while len(lines) < 5:
            answer = await ask(http, "GET", feed_url(gateway, election, "/holds"))
            lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [(each["unit"], each["revision"], each["state"]) for each in lines] == [
        (first, 7, "held"),
        (second, 7, "held"),
        (first, 7, "rejected"),
        (second, 7, "superseded"),
        (second, 8, "held"),
    ]
    members = {"at", "chain", "digest", "number", "reason", "revision", "rules", "state", "unit"}
    assert all(set(each) == members and each["digest"] is None for each in lines)
    document = (await ask(http, "GET", feed_url(gateway, election, "/transfers"))).document
    assert sum(each["held"] for each in document["transfers"]) == 1


def _checked(report: dict[str, Any]) -> ValidReport:
    body = canonical(report)
    return ValidReport(decode_stored(body), body, digest_of(body))


class EmbargoTooShort(Exception):
    """The embargo ended while answers from before its end were still being read."""


async def check_release(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection, embargo_s: float
) -> None:
    publish_from = datetime.now(UTC) + timedelta(seconds=embargo_s)
    registry = with_seats(a_registry(small, publish_from=publish_from.isoformat()))
    election = await gateway.load(registry, a_previous(small))
    sender = await gateway.issue(election, [COUNTRY])
    other = await gateway.issue(election, [THERE])
    await shown(gateway, election)
    units = [unit for unit in units_of(small) if unit != FOREIGN_UNIT]
    url = feed_url(gateway, election)
    async with (
        streaming_from_every_worker(gateway, http, url, levels=EVERYTHING) as streams,
        streaming(http, feed_url(gateway, election, "/publications")) as publications,
    ):
        before = await every_answer(gateway, election)
        if datetime.now(UTC) >= publish_from:
            raise EmbargoTooShort
        assert all(each == before[0] for each in before)
        assert_hidden(before[0], publish_from)
        receipts = await pushed(
            http, sender, *(a_report(unit, votes=place) for place, unit in enumerate(units))
        )
        async with connected(http, other) as socket:
            await socket.send(1, a_report(FOREIGN_UNIT))
            receipts += await socket.results(1)
        receipts += await pushed(http, sender, a_report(units[0], revision=2, votes=99))
        await some_holds(gateway, election, units[5], units[6])
        after = await every_answer(gateway, election)
        if datetime.now(UTC) >= publish_from:
            raise EmbargoTooShort
        for receipt in receipts:
            assert (receipt["state"], receipt["sequence"], receipt["published_at"]) == (
                "embargoed",
                None,
                None,
            )
        assert after == before

        blocks = [await next_change(stream) for stream in streams]
        events = await publications.events("publication", len(receipts))
        (late,) = await pushed(http, sender, a_report(units[0], revision=3, votes=100))
        assert late["sequence"] == len(receipts) + 1
        blocks_after = [await next_change(stream) for stream in streams]
    for block, after in zip(blocks, blocks_after, strict=True):
        assert block.sequence == len(receipts)
        assert block.names == [area["id"] for area in small.registry["areas"]]
        assert {area["published_at"] for area in block.areas} == {block.end["published_at"]}
        assert after.sequence == late["sequence"]
        assert after.names[-1] == units[0]
    assert all(stream.copy == streams[0].copy for stream in streams)
    order = [(each.document["report"]["unit"], each.document["report"]["revision"]) for each in events]
    assert order == [(receipt["unit"], receipt["revision"]) for receipt in receipts]
    times = {each.document["published_at"] for each in events}
    assert len(times) == 1
    assert moment(times.pop()) >= publish_from
    transfers = (await ask(http, "GET", feed_url(gateway, election, "/transfers"))).document
    assert transfers["hidden_until"] is None
    await assert_listed(gateway, http, election, units[5], units[6])
    again = await push(http, sender, a_report(units[3], votes=3))
    assert (again.document["state"], again.document["sequence"]) == ("published", 4)


async def test_reports_pushed_around_the_release_keep_their_order(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """What was accepted before the release precedes what was accepted after it, through either worker."""
    publish_from = datetime.now(UTC) + timedelta(seconds=4)
    election = await gateway.load(a_registry(small, publish_from=publish_from.isoformat()))
    sender = await gateway.issue(election, [COUNTRY])
    await shown(gateway, election)
    released = asyncio.Event()
    receipts: list[dict[str, Any]] = []

    async def keep_pushing(unit: str) -> None:
        own = 0
        async with aiohttp.ClientSession() as session:
            for revision in count(1):
                receipt = (await push(session, sender, a_report(unit, revision))).document
                assert receipt["outcome"] == "accepted"
                receipts.append(receipt)
                if receipt["state"] == "published":
                    released.set()
                    own += 1
                    if own == 10:
                        return
                else:
                    await asyncio.sleep(0.02)

    await asyncio.gather(*(keep_pushing(unit) for unit in units_of(small)[:8]))
    assert released.is_set()
    embargoed = {(each["unit"], each["revision"]): each for each in receipts if each["state"] == "embargoed"}
    published = {(each["unit"], each["revision"]): each for each in receipts if each["state"] == "published"}
    assert embargoed
    assert len(published) == 80
    await shown(gateway, election, len(receipts))
    lines: list[dict[str, Any]] = []
    while len(lines) < len(receipts):
        page = await ask(
            http,
            "GET",
            feed_url(gateway, election, "/publications"),
            params={"after": len(lines), "limit": 1000},
        )
        lines += [json.loads(line) for line in page.body.splitlines()]
    order = [(line["report"]["unit"], line["report"]["revision"]) for line in lines]
    assert len(set(order)) == len(receipts)
    first = order[: len(embargoed)]
    assert set(first) == set(embargoed), "something overtook"
    assert [moment(embargoed[each]["accepted_at"]) for each in first] == sorted(
        moment(each["accepted_at"]) for each in embargoed.values()
    )
    for place, each in enumerate(order[len(embargoed) :], len(embargoed) + 1):
        assert published[each]["sequence"] == place
        assert published[each]["published_at"] == lines[place - 1]["published_at"]
    times = [moment(line["published_at"]) for line in lines]
    assert all(before <= after for before, after in pairwise(times))
    assert times[0] >= publish_from
    assert len(set(times[: len(embargoed)])) == 1
    for unit in {unit for unit, _ in order}:
        revisions = [revision for each, revision in order if each == unit]
        assert revisions == list(range(1, len(revisions) + 1))


async def test_a_postponed_embargo_lasts_until_its_new_end(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """In every process; and it is released then even if no reports are pushed."""
    first = datetime.now(UTC) + timedelta(seconds=1)
    until = first + timedelta(seconds=4)
    election = await gateway.load(a_registry(small, publish_from=first.isoformat()))
    sender = await gateway.issue(election, [COUNTRY])
    async with gateway.administration() as acts:
        await acts.move_embargo(election, until)
    await shown(gateway, election)
    async with AsyncExitStack() as opened:
        stream = await opened.enter_async_context(streaming(http, feed_url(gateway, election)))
        await stream.block()
        await asyncio.sleep((first - datetime.now(UTC)).total_seconds())
        for revision, session in _fresh(opened):
            answer = await push(session, sender, a_report(revision=revision))
            assert datetime.now(UTC) < until, "this machine is too slow for this test"
            assert answer.document["state"] == "embargoed"
        block = await next_change(stream)
    assert block.sequence == CONNECTIONS
    assert moment(block.end["published_at"]) >= until
    answer = await ask(http, "GET", feed_url(gateway, election, ""))
    assert moment(answer.document["publish_from"]) == until


def _fresh(opened: AsyncExitStack) -> Iterator[tuple[int, aiohttp.ClientSession]]:
    for revision in range(1, CONNECTIONS + 1):
        session = aiohttp.ClientSession()
        opened.push_async_callback(session.close)
        yield revision, session


async def test_nothing_can_be_learned_in_the_shape_of_valgresultat_before_the_release(
    database: Database, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """No worker shows that there are reports or holds, by a body, a tag, a size or a status."""
    publish_from = datetime.now(UTC) + timedelta(hours=1)
    registry = with_seats(a_registry(small, id="hidden", publish_from=publish_from.isoformat()))
    async with running(database, feed_workers=2, valgresultat="hidden") as gateway:
        election = await gateway.load(registry, a_previous(small))
        sender = await gateway.issue(election, [COUNTRY])
        await shown(gateway, election)
        before = await in_another_shape(gateway, registry["election"]["date"][:4])
        receipts = await pushed(http, sender, *(a_report(unit) for unit in units_of(small)))
        assert {each["state"] for each in receipts} == {"embargoed"}
        await some_holds(gateway, election, *units_of(small)[:2])
        assert await in_another_shape(gateway, registry["election"]["date"][:4]) == before


async def in_another_shape(gateway: Gateway, year: str) -> dict[str, Any]:
    """Return the documents of some areas, which are the same on several connections."""
    seen = []
    paths = ["", "/06", f"/06/{HERE}", f"/06/{HERE}/{UNIT}", "/06/unknown"]
    for _ in range(CONNECTIONS):
        answers = {}
        async with aiohttp.ClientSession(auto_decompress=False) as http:
            for path in paths:
                for coding in ("identity", "gzip"):
                    headers = {"Accept-Encoding": coding}
                    url = f"{gateway.feed_url}/api/{year}/st{path}"
                    answer = await ask(http, "GET", url, headers=headers)
                    answers[path, coding] = (answer.status, answer.headers.get("ETag"), answer.body)
        seen.append(answers)
    assert {each[path, "identity"][0] for each in seen for path in paths[:-1]} == {200}
    assert all(each == seen[0] for each in seen)
    return seen[0]


async def test_a_release_that_a_failover_lost_is_made_again(
    database: Database, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """Without a report, by a process that had released the election before."""
    async with running(database, role="push") as gateway:
        election = await gateway.load(a_registry(small))
        sender = await gateway.issue(election, [COUNTRY])
        await pushed(http, sender, a_report())
        connection = await asyncpg.connect(database.url)

        async def released() -> bool:
            return bool(await connection.fetchval("SELECT released_at IS NOT NULL FROM valgnatt.embargo"))

        try:
            await until(released)
            async with connection.transaction():
                await connection.execute("UPDATE valgnatt.head SET version = version + 1")
                await connection.execute("UPDATE valgnatt.embargo SET released_at = NULL, released_by = NULL")
            await until(released)
        finally:
            await connection.close()
