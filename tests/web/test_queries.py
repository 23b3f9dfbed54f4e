"""Below /v1 a query has only parameters of its route, each at most once; others are refused and not ignored."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rehearsal.generator import GeneratedElection
from gateway.web.queries import KNOWN, query_errors
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


def test_the_table_agrees_with_openapi() -> None:
    """Each operation has the query parameters that the document lists, in the same order, and no others."""
    described: dict[str, tuple[str, ...]] = {}
    for path, _, operation, _ in operations():
        parameters = [*DOCUMENT["paths"][path].get("parameters", []), *operation.get("parameters", [])]
        names = tuple(each["name"] for each in map(resolved, parameters) if each["in"] == "query")
        if names:
            assert described.setdefault(path, names) == names
    assert described == KNOWN


def test_every_operation_below_v1_may_answer_a_query_with_400() -> None:
    """According to the document."""
    for path, method, operation, _ in operations():
        if path.startswith("/v1"):
            assert "400" in operation["responses"], (path, method)


@given(st.sampled_from(sorted(KNOWN)), st.lists(st.text(max_size=50), max_size=20))
def test_an_error_message_is_short_and_repeats_only_plain_names(route: str, names: list[str]) -> None:
    """Names come from the client, so only those that could be misspelled ones are repeated."""
    message = query_errors(route, names)
    known = KNOWN[route]
    assert (message is None) == (len(set(names)) == len(names) and set(names) <= set(known))
    if message is not None:
        assert message.isascii()
        assert len(message) < 500
        assert all(name in message for name in known)
        assert not set(message) & set("<>&\"'%\\\r\n")


def test_an_error_message_names_the_wrong_parameters_and_the_valid_ones() -> None:
    """Unknown names, repeated ones, and many of them."""
    assert query_errors(FEED, ["levels", "every_s"]) is None
    known = "this path takes levels, areas, every_s, last_event_id, lastEventId"
    assert query_errors(FEED, ["level"]) == f"unknown parameter level; {known}"
    assert query_errors(FEED, ["areas", "areas"]) == f"repeated parameter areas; {known}"
    assert query_errors(FEED, ["<script>"]) == f"unknown parameter (name not shown); {known}"
    message = query_errors(FEED, [f"x{number}" for number in range(9)])
    assert (
        message == "; ".join(f"unknown parameter x{number}" for number in range(5)) + f"; and 4 more; {known}"
    )
    assert query_errors("/v1/elections", ["x"]) == "unknown parameter x; this path takes no parameters"


@pytest.mark.parametrize("query", ["cache=1", "at_least=1&at_least=1", "format=csv&x=%3Cb%3E", "Levels=a"])
async def test_the_feed_door_refuses_unknown_parameters(
    door: Served, http: aiohttp.ClientSession, query: str
) -> None:
    """On every route; the message lists the valid names and does not repeat the value."""
    for route in ROUTES:
        answer = await ask(http, "GET", f"{door.url(route)}?{query}")
        problem = answer.problem(400, "bad_query")
        assert "this path takes" in problem["detail"]
        assert b"<b>" not in answer.body
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert (await ask(http, "GET", f"{door.origin}/v1/elections?{query}")).problem(400, "bad_query")
    assert (await ask(http, "GET", f"{door.origin}/health/live?{query}")).status == 200
    assert (await ask(http, "GET", f"{door.url('/none')}?{query}")).problem(404, "not_found")


async def test_values_are_not_repeated(door: Served, http: aiohttp.ClientSession) -> None:
    """An error message about a value does not contain it: it may be a token in the wrong place."""
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


async def test_the_push_door_refuses_unknown_parameters(http: aiohttp.ClientSession, sender: Sender) -> None:
    """None of its routes has parameters."""
    for method, path in (
        ("GET", "/reports/x"),
        ("POST", "/reports"),
        ("GET", "/transfers"),
        ("GET", "/push"),
    ):
        answer = await ask(http, method, sender.url(path), params={"x": "1"}, headers=sender.headers)
        assert (
            answer.problem(400, "bad_query")["detail"] == "unknown parameter x; this path takes no parameters"
        )


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
async def test_clients_that_cannot_set_headers_resume_with_a_parameter(
    door: Served, http: aiohttp.ClientSession, header: str | None, query: dict[str, Any], snapshot: bool
) -> None:
    """A header comes first, then `lastEventId`, which polyfills append to the URL, then `last_event_id`."""
    words = {"GOOD": door.record.cursor(15), "BAD": "15-00000000"}
    headers = {"Last-Event-ID": words[header]} if header else {}
    params = {name: words.get(value, value) for name, value in query.items()}
    async with streaming(http, door.url("/feed"), headers, **params) as stream:
        assert (await stream.block()).snapshot == snapshot
    async with streaming(http, door.url("/publications"), headers, **params) as stream:
        (event,) = await stream.events("publication", 1)
        assert event.document["sequence"] == (1 if snapshot else 16)
