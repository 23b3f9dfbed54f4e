"""Below /v1 a query has the parameters that its route knows, each once: anything else is refused, and not ignored."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rehearsal.generator import GeneratedElection
from gateway.web.queries import KNOWN, mistakes
from tests.feed.served import FakeRecord, Served, a_night, served
from tests.running import Sender
from tests.web.described import DOCUMENT, operations, resolved
from tests.web.doors import HERE, ask, streaming

FEED = "/v1/elections/{election}/feed"
ROUTES = (
    "",
    "/feed",
    f"/areas/{HERE}",
    "/publications",
    "/publications/1-1000",
    "/transfers",
    f"/transfers/{HERE}",
)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def door(small: GeneratedElection) -> AsyncIterator[Served]:
    """A feed door on a record of twenty publications."""
    async with served(FakeRecord(small.registry, a_night(small.registry, 20), shown=20)) as opened:
        yield opened


def test_the_table_is_that_of_the_description() -> None:
    """Each operation has the query parameters that the document gives it, in its order, and no other."""
    described: dict[str, tuple[str, ...]] = {}
    for path, _, operation, _ in operations():
        parameters = [*DOCUMENT["paths"][path].get("parameters", []), *operation.get("parameters", [])]
        names = tuple(each["name"] for each in map(resolved, parameters) if each["in"] == "query")
        if names:
            assert described.setdefault(path, names) == names
    assert described == KNOWN


def test_every_operation_below_v1_may_answer_a_query_with_400() -> None:
    """As the document has it."""
    for path, method, operation, _ in operations():
        if path.startswith("/v1"):
            assert "400" in operation["responses"], (path, method)


@given(st.sampled_from(sorted(KNOWN)), st.lists(st.text(max_size=50), max_size=20))
def test_what_is_wrong_is_said_in_few_words_and_shows_only_plain_ones(route: str, names: list[str]) -> None:
    """Names come from whoever asks, so no more of them is shown than could be a mistyped one."""
    told = mistakes(route, names)
    known = KNOWN[route]
    assert (told is None) == (len(set(names)) == len(names) and set(names) <= set(known))
    if told is not None:
        assert told.isascii()
        assert len(told) < 500
        assert all(name in told for name in known)
        assert not set(told) & set("<>&\"'%\\\r\n")


def test_a_mistake_is_named_and_so_is_what_there_is() -> None:
    """Unknown names, repeated ones, and many of them."""
    assert mistakes(FEED, ["levels", "every_s"]) is None
    known = "the parameters here are levels, areas, every_s, last_event_id, lastEventId"
    assert mistakes(FEED, ["level"]) == f"level is not known; {known}"
    assert mistakes(FEED, ["areas", "areas"]) == f"areas is repeated; {known}"
    assert mistakes(FEED, ["<script>"]) == f"a name is no plain word; {known}"
    told = mistakes(FEED, [f"x{number}" for number in range(9)])
    assert told == "; ".join(f"x{number} is not known" for number in range(5)) + f"; and 4 more; {known}"
    assert mistakes("/v1/elections", ["x"]) == "x is not known; there are no parameters here"


@pytest.mark.parametrize("query", ["cache=1", "at_least=1&at_least=1", "format=csv&x=%3Cb%3E", "Levels=a"])
async def test_feed_door_refuses_what_it_does_not_know(
    door: Served, http: aiohttp.ClientSession, query: str
) -> None:
    """On every route, with the names that there are, and without what was given as a value."""
    for route in ROUTES:
        answer = await ask(http, "GET", f"{door.url(route)}?{query}")
        problem = answer.problem(400, "bad_query")
        assert (
            "there are no parameters here" in problem["detail"]
            or "the parameters here are" in problem["detail"]
        )
        assert b"<b>" not in answer.body
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert (await ask(http, "GET", f"{door.origin}/v1/elections?{query}")).problem(400, "bad_query")
    assert (await ask(http, "GET", f"{door.origin}/health/live?{query}")).status == 200
    assert (await ask(http, "GET", f"{door.url('/none')}?{query}")).problem(404, "not_found")


async def test_values_are_not_shown(door: Served, http: aiohttp.ClientSession) -> None:
    """What is wrong with a value is said without it: it may be a token that someone put in the wrong place."""
    for value in ("<b>", "CaNaRy-7f3a"):
        for route, query in (
            ("/feed", {"every_s": value}),
            ("/feed", {"areas": f"{HERE},{value}"}),
            ("/feed", {"levels": value}),
            ("/publications", {"after": value}),
            ("/publications", {"limit": value}),
            (f"/areas/{HERE}", {"at_least": value}),
            (f"/areas/{HERE}", {"format": value}),
        ):
            answer = await ask(http, "GET", door.url(route), params=query)
            assert answer.status == 400
            assert value.encode() not in answer.body, (route, query)
    answer = await ask(http, "GET", door.url("/feed"), params={"areas": f"{HERE},vlx"})
    assert "name 2 of areas" in answer.problem(400, "bad_selection")["detail"]


async def test_push_door_refuses_what_it_does_not_know(http: aiohttp.ClientSession, sender: Sender) -> None:
    """None of its routes has a parameter."""
    for method, path in (
        ("GET", "/reports/x"),
        ("POST", "/reports"),
        ("GET", "/transfers"),
        ("GET", "/push"),
    ):
        answer = await ask(http, method, sender.url(path), params={"x": "1"}, headers=sender.headers)
        assert answer.problem(400, "bad_query")["detail"] == "x is not known; there are no parameters here"


@pytest.mark.parametrize(
    ("header", "query", "snapshot"),
    [
        (None, {"lastEventId": "GOOD"}, False),
        (None, {"lastEventId": "GOOD", "last_event_id": "BAD"}, False),
        (None, {"lastEventId": "BAD", "last_event_id": "GOOD"}, True),
        (None, {"lastEventId": "", "last_event_id": "GOOD"}, False),
        ("GOOD", {"lastEventId": "BAD"}, False),
        ("BAD", {"lastEventId": "GOOD", "last_event_id": "GOOD"}, True),
    ],
)
async def test_clients_that_cannot_set_headers_come_back_by_a_parameter(
    door: Served, http: aiohttp.ClientSession, header: str | None, query: dict[str, Any], snapshot: bool
) -> None:
    """A header comes first, then `lastEventId`, which polyfills append to the address, then `last_event_id`."""
    words = {"GOOD": door.record.cursor(15), "BAD": "15-00000000"}
    headers = {"Last-Event-ID": words[header]} if header else {}
    params = {name: words.get(value, value) for name, value in query.items()}
    async with streaming(http, door.url("/feed"), headers, **params) as stream:
        assert (await stream.block()).snapshot == snapshot
    async with streaming(http, door.url("/publications"), headers, **params) as stream:
        (event,) = await stream.events("publication", 1)
        assert event.document["sequence"] == (1 if snapshot else 16)
