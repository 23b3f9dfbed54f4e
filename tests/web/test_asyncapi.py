"""asyncapi.yaml is valid, complete and true: it describes what is really sent over sockets and streams."""

import asyncio
import copy
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker

from gateway.feed.selection import INTERVALS_S
from gateway.page_composition import ASYNCAPI
from gateway.rehearsal.generator import GeneratedElection
from gateway.wire.session import ID_MAX, SUBPROTOCOL
from tests.conftest import Database
from tests.counts import variants
from tests.running import Gateway, Sender, running
from tests.web import described
from tests.web.doors import (
    COUNTRY,
    EVERYTHING,
    HERE,
    PushSocket,
    a_registry,
    a_report,
    ask,
    connected,
    head_locked,
    pushed,
    shown,
    terminate_waiting_sessions,
    units_of,
    waiting_for_lock,
)

DOCUMENT: dict[str, Any] = yaml.load(ASYNCAPI.read_text(), Loader=yaml.CSafeLoader)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
SPECIFICATION = Path(__file__).with_name("asyncapi-3.1.0.schema.json.gz")
"""The schema of AsyncAPI 3.1.0 documents, of @asyncapi/specs 6.11.1 (Apache-2.0), without its examples."""
CONTRACT = Path(__file__).parents[2] / "docs" / "contract.md"


def nodes(node: Any) -> Iterator[Any]:
    yield node
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for part in parts:
        yield from nodes(part)


def resolved(node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        target: Any = DOCUMENT
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        node = target
    return node


def _closed() -> dict[str, Any]:
    """The schemas, but a member that is not described is a mistake; parts of others are left open."""
    parts = {each["$ref"].rpartition("/")[2] for node in nodes(SCHEMAS) if isinstance(node, dict)
             for each in node.get("allOf", []) if "$ref" in each}  # fmt: skip
    schemas = copy.deepcopy(SCHEMAS)
    for name, schema in schemas.items():
        whole = name not in parts and not name.endswith("Members")
        if whole and "additionalProperties" not in schema and ("properties" in schema or "allOf" in schema):
            schema["unevaluatedProperties"] = False
    return schemas


CLOSED = {"schemas": _closed()}


def mistakes(reference: dict[str, str], value: Any) -> list[str]:
    validator = Draft202012Validator({**reference, "components": CLOSED}, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}"[:300] for error in validator.iter_errors(value)]


def undescribed(name: str, *, headers: Any = None, payload: Any = None) -> list[str]:
    """Return what of a message is not as described."""
    message, found = MESSAGES[name], []
    for part, value in (("headers", headers), ("payload", payload)):
        if (part in message) != (value is not None):
            found.append(f"{part}: {value}")
        elif value is not None:
            found += [f"{part}{text}" for text in mistakes(message[part], value)]
    return found


# The document itself.


def test_violations_have_the_same_codes_as_over_http() -> None:
    """A report is checked by the same rules, whatever transport it arrives over."""
    over_http = described.DOCUMENT["components"]["schemas"]
    assert set(SCHEMAS["ViolationCode"]["enum"]) == set(over_http["ViolationCode"]["enum"])


def test_the_document_is_valid_asyncapi() -> None:
    """By the schema of its version; and each of its schemas is one, in the dialect of AsyncAPI."""
    specification = json.loads(gzip.decompress(SPECIFICATION.read_bytes()))
    assert specification["properties"]["asyncapi"]["const"] == DOCUMENT["asyncapi"] == "3.1.0"
    assert not [error.message[:300] for error in Draft7Validator(specification).iter_errors(DOCUMENT)]
    for schema in SCHEMAS.values():
        Draft7Validator.check_schema(schema)


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    """Each message is in a channel, and each of a channel's in an operation."""
    used = {node["$ref"] for node in nodes(DOCUMENT) if isinstance(node, dict) and "$ref" in node}
    for reference in used:
        assert resolved({"$ref": reference}) is not None
    for kind, parts in DOCUMENT["components"].items():
        assert {f"#/components/{kind}/{name}" for name in parts} <= used, kind
    for channel, about in DOCUMENT["channels"].items():
        assert {f"#/channels/{channel}/messages/{name}" for name in about["messages"]} <= used, channel


def test_it_agrees_with_the_other_description() -> None:
    """What both have under one name is the same, to a word; so are paths and paces."""
    both = set(SCHEMAS) & set(described.DOCUMENT["components"]["schemas"])
    assert both >= {"Report", "Receipt", "Refusal", "Undecided", "Area", "Block", "Publication"}
    for name in both:
        assert SCHEMAS[name] == described.DOCUMENT["components"]["schemas"][name], name
    for about in DOCUMENT["channels"].values():
        assert about["address"] in described.DOCUMENT["paths"]
        names = {resolved(server)["host"].rpartition(":")[2] for server in about["servers"]}
        servers = described.DOCUMENT["paths"][about["address"]]["servers"]
        assert names == {server["url"].rpartition(":")[2] for server in servers}
    query = DOCUMENT["operations"]["sendChanges"]["bindings"]["http"]["query"]["properties"]
    assert tuple(query["every_s"]["enum"]) == tuple(INTERVALS_S)
    parameters = described.DOCUMENT["paths"]["/v1/elections/{election}/feed"]["parameters"]
    named = {
        described.resolved(each)["name"] for each in parameters if described.resolved(each)["in"] == "query"
    }
    assert set(query) == named
    handshake = DOCUMENT["channels"]["push"]["bindings"]["ws"]["headers"]["properties"]
    assert handshake["Sec-WebSocket-Protocol"]["const"] == SUBPROTOCOL
    assert SCHEMAS["Identifier"]["maxLength"] == ID_MAX


def test_every_message_has_an_example_and_every_example_is_as_described() -> None:
    """More strictly than readers may hold them: without a member that is not described."""
    for name, message in MESSAGES.items():
        assert message["examples"], name
        for example in message["examples"]:
            given = {part: example[part] for part in ("headers", "payload") if part in example}
            assert not undescribed(name, **given), (name, example["name"])


def test_the_frames_of_the_contract_are_those_described() -> None:
    """Section 5 names each."""
    section = CONTRACT.read_text().partition("\n## 5.")[2].partition("\n## ")[0]
    assert set(re.findall(r'"type":"(\w+)"', section)) == set(DOCUMENT["channels"]["push"]["messages"])


def test_what_is_wrong_is_noticed() -> None:
    """Else the tests below would show nothing."""
    (example,) = MESSAGES["hello"]["examples"]
    for wrong in ({"credit": -1}, {"type": "hi"}, {"server_time": "now"}, {"extra": 1}):
        assert undescribed("hello", payload={**example["payload"], **wrong})
    several = MESSAGES["results"]["examples"][1]["payload"]
    for place in range(3):
        results = copy.deepcopy(several["results"])
        results[place]["extra"] = 1
        assert undescribed("results", payload={**several, "results": results})
    assert undescribed("wait", headers={"retry": 1}, payload={})
    assert undescribed(
        "block", headers={"event": "block"}, payload=MESSAGES["block"]["examples"][0]["payload"]
    )


# What is really sent.


class SentFrames:
    """Checks the frames that push sockets send against the document, and records their messages and outcomes."""

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.outcomes: set[tuple[str, str | None]] = set()

    def check_all_of(self, socket: PushSocket) -> None:
        """Check every frame that this client receives, its hello too."""
        receive = socket.receive
        self.frame(socket.hello)

        async def checked() -> aiohttp.WSMessage:
            message = await receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                self.frame(json.loads(message.data))
            return message

        vars(socket)["receive"] = checked

    def frame(self, frame: dict[str, Any]) -> None:
        assert not undescribed(frame["type"], payload=frame), frame
        self.types.add(frame["type"])
        self.outcomes |= {(each["outcome"], each.get("code")) for each in frame.get("results", [])}


def sent(identifier: Any, report: dict[str, Any]) -> dict[str, Any]:
    """Return a frame of a client, after checking it too."""
    frame = {"type": "report", "id": identifier, "report": report}
    assert not undescribed("report", payload=frame)
    return frame


@pytest.mark.long
@pytest.mark.parametrize("rehearsal", variants([False, True], True))
async def test_a_conversation_is_as_described(
    database: Database, http: aiohttp.ClientSession, small: GeneratedElection, rehearsal: bool
) -> None:
    """Every frame of one that has all there is: receipts, refusals, credit that changes, and the end."""
    frames = SentFrames()
    async with running(database, pending_max=8, credit_max=4, batch_max=1) as gateway:
        election = await gateway.load(a_registry(small, rehearsal=rehearsal))
        sender = await gateway.issue(election, [COUNTRY])
        async with connected(http, sender) as first:
            frames.check_all_of(first)
            for frame in (
                sent(1, a_report()),
                sent("again", a_report()),
                sent(2, a_report(votes=11)),
                sent(3, a_report(revision=3)),
                sent(4, a_report(revision=2)),
                {"type": "report", "id": 5, "report": {**a_report(), "extra": 1}},
                {"type": "hi", "id": 6},
                {"type": "report"},
            ):
                await first.socket.send_json(frame)
                await first.results(1)
            units = units_of(small)
            async with head_locked(gateway, election):
                for place in range(2):
                    await first.socket.send_json(sent(place, a_report(units[10 + place])))
                await waiting_for_lock(gateway)
                async with connected(http, sender) as second:
                    frames.check_all_of(second)
                    await first.credit(2)
                await terminate_waiting_sessions(gateway)
                await waiting_for_lock(gateway)
                await first.socket.send_json(sent("later", a_report(units[10], revision=2)))
            await first.results(3)
            await first.credit(4)
            gateway.terminate()
            assert await first.end() == 1001
    assert frames.types == set(DOCUMENT["channels"]["push"]["messages"]) - {"report"}
    assert frames.outcomes >= {
        ("accepted", None),
        ("duplicate", None),
        ("refused", "revision_conflict"),
        ("refused", "stale_revision"),
        ("refused", "invalid_report"),
        ("refused", "unknown_message"),
        ("refused", "malformed"),
        ("retry", "journal_unavailable"),
        ("retry", "out_of_order"),
    }


async def stream(http: aiohttp.ClientSession, url: str, wanted: str, **params: Any) -> list[dict[str, Any]]:
    """The events of a stream, up to the first of the kind wanted and to the end of some event."""
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
    async with asyncio.timeout(10), http.get(url, params=params, headers=headers) as response:
        read = b""
        while f"event: {wanted}\n".encode() not in read or not read.endswith(b"\n\n"):
            read += await response.content.readany()
    return described.events(read.decode())


def held(channel: str, events: list[dict[str, Any]]) -> set[str]:
    """Hold events to the document; return which messages they are."""
    found = set()
    for event in events:
        name = event.get("event", "wait")
        assert name in DOCUMENT["channels"][channel]["messages"], event
        payload = json.loads(event["data"]) if "data" in event else None
        headers = {field: value for field, value in event.items() if field != "data"}
        assert not undescribed(name, headers=headers, payload=payload), event
        found.add(name)
    return found


@pytest.mark.parametrize("rehearsal", variants([False, True], False))
async def test_streams_are_as_described(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection, rehearsal: bool
) -> None:
    """Snapshots and changes, of all levels, with corrections; and publications."""
    election = await gateway.load(a_registry(small, rehearsal=rehearsal))
    sender = await gateway.issue(election, [COUNTRY])
    await pushed(
        http, sender, a_report(votes=90, status="final"), a_report(revision=2, votes=80, reason="recount")
    )
    await shown(gateway, election, 2)
    url = f"{gateway.feed_url}/v1/elections/{election}"
    whole = await stream(http, f"{url}/feed", "block", levels=EVERYTHING)
    assert held("feed", whole) == set(DOCUMENT["channels"]["feed"]["messages"])
    areas = [json.loads(event["data"]) for event in whole if event.get("event") == "area"]
    assert any(area.get("correction") for area in areas)
    assert any(area.get("last_correction") for area in areas)
    lines = await ask(http, "GET", f"{url}/publications")
    chain = json.loads(lines.body.splitlines()[0])["chain"]
    changed = await stream(http, f"{url}/feed", "block", last_event_id=f"1-{chain[:8]}", areas=HERE)
    assert held("feed", changed) == set(DOCUMENT["channels"]["feed"]["messages"])
    publications = await stream(http, f"{url}/publications", "publication")
    assert held("publications", publications) == set(DOCUMENT["channels"]["publications"]["messages"])


async def test_it_is_served_beside_the_other(
    gateway: Gateway, http: aiohttp.ClientSession, sender: Sender
) -> None:
    """As it is in the source, under a strong tag."""
    answer = await ask(http, "GET", f"{gateway.feed_url}/asyncapi.yaml")
    assert (answer.status, answer.body) == (200, ASYNCAPI.read_bytes())
    assert answer.headers["Content-Type"] == "application/yaml; charset=utf-8"
    held = {"If-None-Match": answer.headers["ETag"]}
    assert (await ask(http, "GET", f"{gateway.feed_url}/asyncapi.yaml", headers=held)).status == 304
