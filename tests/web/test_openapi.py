"""openapi.yaml is valid, complete and true: the doors have what it says, say what it says, and nothing else."""

import ast
import asyncio
import gzip
import io
import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV32SpecValidator

import gateway
from gateway.clock import SYSTEM_CHANCE
from gateway.election.report import REASONS, STATUSES, Counts, Report
from gateway.page_composition import OPENAPI, OPENAPI_JSON
from gateway.rehearsal.generator import GeneratedElection
from gateway.telemetry.metrics import PushMetrics
from gateway.web.answers import STATUS, Problem
from gateway.web.push_door import PushDoor
from gateway.wire.areas import FORMATS, TABLE_FORMATS, AreaFormat
from gateway.wire.corrections import MEMBERS
from gateway.wire.results import (
    AREA_CHANGE_COLUMNS,
    AREA_COLUMNS,
    PARTY_CHANGE_COLUMNS,
    PARTY_COLUMNS,
    RESULT_FORMATS,
)
from gateway.wire.seats import AREA_MEMBERS, PARTY_MEMBERS
from tests.counts import variants
from tests.election.naive_seats import LEVELLING, with_seats
from tests.feed.served import a_feed_door
from tests.running import Gateway, Sender
from tests.web.described import DOCUMENT, METHODS, items, mistakes, operations, resolved, undescribed
from tests.web.doors import (
    COUNTRY,
    EVERYTHING,
    FOREIGN_UNIT,
    HERE,
    OTHER_UNIT,
    UNIT,
    Answer,
    a_registry,
    a_report,
    ask,
    ndjson,
    pushed,
    shown,
    units_of,
)
from tests.web.openapi_json import convert
from tests.wire.eml_documents import eml, selection, unit_votes

SCHEMAS = DOCUMENT["components"]["schemas"]
SOURCE = Path(gateway.__file__).parent
ELECTION = "/v1/elections/{election}"
A_TABLE = (
    b"unit;counted_at;status;category;ballots;blank;rejected;FL\n"
    b"0604-0002;2024-09-09T23:00:00+02:00;final;election_day;11;1;2;10\n"
)


def nodes(node: Any, path: str = "$") -> Iterator[tuple[str, Any]]:
    """Every part of the document with its path."""
    yield path, node
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, part in parts:
        yield from nodes(part, f"{path}.{name}")


# The document itself.


def test_the_document_is_valid_openapi() -> None:
    """By the schema of its version, and each of its schemas is one."""
    assert not [error.message for error in OpenAPIV32SpecValidator(DOCUMENT).iter_errors()]
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


def test_openapi_json_is_openapi_yaml() -> None:
    """After a change of `openapi.yaml`, `make openapi` generates the JSON again, which the API page reads."""
    assert OPENAPI_JSON.read_text(encoding="utf-8") == convert(OPENAPI), "run `make openapi`"


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    """Nothing is left over from an earlier version."""
    used = {node["$ref"] for _, node in nodes(DOCUMENT) if isinstance(node, dict) and "$ref" in node}
    for reference in used:
        assert resolved({"$ref": reference}) is not None
    there = {
        f"#/components/{kind}/{name}"
        for kind, parts in DOCUMENT["components"].items()
        if kind != "securitySchemes"
        for name in parts
    }
    assert there == used


def test_every_example_is_as_its_schema_says() -> None:
    """Of parameters, bodies and answers; and there is one of most of what there is."""
    checked = 0
    for path, node in nodes(DOCUMENT):
        if not isinstance(node, dict) or not isinstance(node.get("schema", node.get("itemSchema")), dict):
            continue
        examples = {name: resolved(each) for name, each in node.get("examples", {}).items()}
        values = {name: each["value"] for name, each in examples.items() if "value" in each}
        if "example" in node:
            values["example"] = node["example"]
        for name, value in values.items():
            assert not mistakes(node["schema"], value), f"{path}.{name}"
            checked += 1
        for name, each in examples.items():
            if "serializedValue" in each:
                kind = path.rpartition(".content.")[2]
                found = items(kind, each["serializedValue"].encode())
                assert found, f"{path}.{name}"
                assert not [text for item in found for text in mistakes(node["itemSchema"], item)], (
                    f"{path}.{name}"
                )
                checked += 1
    assert checked >= 80


def test_every_body_has_an_example() -> None:
    """Of each kind that a door takes or answers, but for files; a problem has one for each of its codes."""
    for path, method, operation, _ in operations():
        answers = [resolved(response) for response in operation["responses"].values()]
        for body in (*answers, operation.get("requestBody", {})):
            for kind, media in body.get("content", {}).items():
                if (
                    kind
                    in (
                        "text/html",
                        "text/css",
                        "text/javascript",
                        "application/yaml",
                        "application/octet-stream",
                    )
                    or "spreadsheet" in kind
                ):
                    continue
                assert media.get("examples"), (path, method, kind)
                if kind == "application/problem+json":
                    told = {resolved(each)["value"]["code"] for each in media["examples"].values()}
                    named = set(re.findall(r"`(\w+)`", body["description"])) & set(
                        SCHEMAS["ProblemCode"]["enum"]
                    )
                    assert told == named, (path, method, body["description"])


def test_every_operation_has_a_name_a_tag_a_summary_and_all_parameters_of_its_path() -> None:
    """What generators of clients need."""
    names = [operation["operationId"] for _, _, operation, _ in operations()]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for path, _, operation, _ in operations():
        assert operation["summary"]
        assert set(operation["tags"]) <= tags
        found = [resolved(each) for each in DOCUMENT["paths"][path].get("parameters", [])]
        assert re.findall(r"{(\w+)}", path) == [each["name"] for each in found if each["in"] == "path"]
        for status, response in operation["responses"].items():
            assert resolved(response)["description"], (path, status)


# The document and the doors.


def test_every_route_of_the_doors_is_described_and_every_one_described_is_there() -> None:
    """Each on its door, with its method; the routes of a door need nothing of it but methods, metrics and chance."""
    push = PushDoor.__new__(PushDoor)
    push._metrics = PushMetrics()
    push._chance = SYSTEM_CHANCE
    feed = a_feed_door()
    there = {
        (name, route.method, route.resource.canonical)
        for name, door in (("push", push), ("feed", feed))
        for route in door.application(lambda: True).router.routes()
        if route.resource is not None
    }
    described = {
        (server, method, path)
        for path, method, _, servers in operations()
        for server in servers
        if server != "admin"
    }
    assert there == described


def test_only_the_push_door_asks_for_a_token() -> None:
    """Where a path is on both doors, it may be asked without one; web pages ask for none anywhere."""
    for path, _, operation, servers in operations():
        asked = operation.get("security", DOCUMENT["security"])
        if operation["tags"] == ["pages"]:
            assert asked == [], path
        elif servers == {"push"}:
            assert asked == [{"bearer": []}], path
        elif "push" in servers and not path.startswith("/health"):
            assert asked == [{}, {"bearer": []}], path
        else:
            assert asked == [], path


def test_statuses_and_reasons_are_those_of_reports() -> None:
    """In the same order."""
    assert tuple(SCHEMAS["Status"]["enum"]) == STATUSES
    assert tuple(SCHEMAS["Reason"]["enum"]) == REASONS


@pytest.mark.parametrize(("schema", "struct"), [("Report", Report), ("ReportedCounts", Counts)])
def test_the_members_of_a_report_are_those_of_its_struct(schema: str, struct: type[msgspec.Struct]) -> None:
    """The schemas list every member, and require those without a default."""
    fields = msgspec.structs.fields(struct)
    assert set(SCHEMAS[schema]["properties"]) == {field.name for field in fields}
    assert set(SCHEMAS[schema]["required"]) == {field.name for field in fields if field.required}


def test_the_counts_of_an_area_are_those_of_a_report() -> None:
    """Sums are shown under the names of the counts, and are absent where these are optional."""
    for member in ("properties", "required"):
        assert set(SCHEMAS["SummedCounts"][member]) == set(SCHEMAS["ReportedCounts"][member])


def test_the_members_of_tables_are_their_columns() -> None:
    """In the same order; all of them are always there, except those of changes."""
    for schema, columns, optional in (
        ("AreaResults", (*AREA_COLUMNS, "parties"), AREA_CHANGE_COLUMNS),
        ("PartyResults", PARTY_COLUMNS, PARTY_CHANGE_COLUMNS),
        ("PublicCorrection", MEMBERS, ()),
        ("PartySeats", PARTY_MEMBERS, ()),
        ("SeatsOfDistrict", (*AREA_MEMBERS, "last", "next", "tied", "parties"), ()),
    ):
        properties = tuple(SCHEMAS[schema]["properties"])
        assert tuple(each for each in properties if each not in optional) == columns
        assert tuple(each for each in properties if each in optional) == optional
        assert tuple(SCHEMAS[schema]["required"]) == columns


@pytest.mark.parametrize(
    ("route", "formats"),
    [("/areas/{area}", FORMATS), *((table, TABLE_FORMATS) for table in ("/areas", "/corrections", "/seats"))],
)
def test_the_formats_of_an_area_are_those_of_the_table(route: str, formats: dict[str, AreaFormat]) -> None:
    """By query value and by media type."""
    assert {name: each.media_type for name, each in RESULT_FORMATS.items()} == {
        name: each.media_type for name, each in TABLE_FORMATS.items()
    }
    path = DOCUMENT["paths"][ELECTION + route]
    (parameter,) = (each for each in map(resolved, path["parameters"]) if each["name"] == "format")
    assert parameter["schema"]["enum"] == list(formats)
    media_types = {each.media_type for each in formats.values()}
    assert set(path["get"]["responses"]["200"]["content"]) == media_types


def codes_given_to(*makers: str) -> set[str]:
    """Codes that the sources give, as a text, to what makes problems, refusals or violations."""
    found = set()
    for source in SOURCE.glob("*/*.py"):
        text = source.read_text()
        if not any(f"{maker}(" in text for maker in makers):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers:
                texts = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
                found |= {text for text in texts if isinstance(text, str) and not text.startswith("$")}
    return found


def test_every_code_that_the_sources_name_is_in_a_list() -> None:
    """Codes are stable, so the lists are complete."""
    problems, refusals, violations = (
        set(SCHEMAS[f"{kind}Code"]["enum"]) for kind in ("Problem", "Refusal", "Violation")
    )
    assert len(codes_given_to("Problem")) > 20
    assert codes_given_to("Problem") <= problems
    assert set(STATUS) <= problems
    assert codes_given_to("Refusal", "Invalid") <= refusals <= problems
    assert codes_given_to("Violation") <= violations


def test_the_status_of_a_code_is_given_in_one_place() -> None:
    """`STATUS` has it, so no other module repeats one of its pairs, or passes a status with a computed code."""
    found = []
    for source in set(SOURCE.glob("web/*.py")) - {SOURCE / "web" / "answers.py"}:
        for node in ast.walk(ast.parse(source.read_text())):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "Problem":
                continue
            codes = [*node.args[1:2], *(each.value for each in node.keywords if each.arg == "code")]
            if not all(isinstance(code, ast.Constant) and code.value not in STATUS for code in codes):
                found.append((source.name, node.lineno))
    assert not found


def test_the_codes_are_those_of_the_contract() -> None:
    """Section 11 lists those of violations and refusals; `unknown_message` is sent over WebSockets only."""
    contract = (SOURCE.parent / "docs" / "contract.md").read_text()
    (row,) = (line for line in contract.splitlines() if "Codes of violations:" in line)
    violations, refusals = (
        set(re.findall(r"`(\w+)`", part)) for part in row.split("|")[2].split("Of refusals:")
    )
    assert violations | {"more_violations"} == set(SCHEMAS["ViolationCode"]["enum"])
    assert refusals - {"unknown_message"} == set(SCHEMAS["RefusalCode"]["enum"])


def test_the_titles_of_examples_are_those_of_the_code() -> None:
    found = {
        path: node
        for path, node in nodes(DOCUMENT)
        if isinstance(node, dict) and str(node.get("type", "")).startswith("urn:valgnatt:problem:")
    }
    assert len(found) > 30
    for path, problem in found.items():
        body = Problem(problem["status"], problem["code"], problem["detail"]).response().body
        assert isinstance(body, bytes)
        assert json.loads(body)["title"] == problem["title"], path


# The document and what is answered.


class Asker:
    """Asks a running gateway, and holds every answer to the document."""

    def __init__(self, http: aiohttp.ClientSession, sender: Sender) -> None:
        self.http = http
        self.sender = sender
        self.names = {"election": sender.election}
        self.seen: set[tuple[str, str, int]] = set()

    async def push_door(self, path: str, status: int, method: str = "GET", **options: Any) -> Answer:
        headers = {**self.sender.headers, **options.pop("headers", {})}
        return await self._ask(self.sender.gateway.push_url, path, status, method, headers=headers, **options)

    async def feed_door(self, path: str, status: int, method: str = "GET", **options: Any) -> Answer:
        return await self._ask(self.sender.gateway.feed_url, path, status, method, **options)

    async def post(self, status: int, data: Any, kind: str = "application/json", **headers: str) -> Answer:
        given = {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.push_door(f"{ELECTION}/reports", status, "POST", data=data, headers=given)

    async def preview(self, status: int, content: bytes, kind: str = "text/csv") -> Answer:
        """Have a file previewed."""
        headers = {"Content-Type": kind}
        return await self.push_door(
            f"{ELECTION}/preview", status, "POST", data=io.BytesIO(content), headers=headers
        )

    async def _ask(self, url: str, path: str, status: int, method: str, **options: Any) -> Answer:
        names = {**self.names, **options.pop("names", {})}
        answer = await ask(self.http, method, url + path.format(**names), **options)
        assert answer.status == status, answer.body
        assert not undescribed(path, method, answer), (path, answer)
        self.seen.add((path, method, status))
        return answer


@pytest.fixture
def asker(http: aiohttp.ClientSession, sender: Sender) -> Asker:
    return Asker(http, sender)


def one(**members: Any) -> bytes:
    return ndjson([a_report(**members)])


async def test_answers_to_senders_are_as_described(
    asker: Asker, gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    """Receipts, duplicates, refusals and problems; one report, an array, lines and packed."""
    await asker.post(201, one())
    await asker.post(200, one())
    await asker.post(201, one(revision=2, votes=5, status="counting"))
    await asker.post(201, one(revision=4, votes=5_000_000, status="counting"))
    await asker.post(409, one(revision=3))
    await asker.post(409, one(revision=2, votes=6))
    await asker.post(422, one(revision=5, status="over", extra=1, reason="none"))
    await asker.post(422, b'"text"')
    await asker.post(400, b"{")
    await asker.post(400, b"[{]")
    await asker.post(400, b"no gzip", Content_Encoding="gzip")
    await asker.post(415, one(), Content_Encoding="br")
    await asker.post(415, one(), kind="text/plain")
    await asker.post(413, io.BytesIO(b" " * (9 << 20)))
    await asker.post(
        200, gzip.compress(one(revision=6) + one(revision=6)), "application/x-ndjson", Content_Encoding="gzip"
    )
    mixed = [a_report(revision=7), a_report(revision=7), a_report(revision=1, votes=3), a_report("x"), 5]
    answer = await asker.post(200, ndjson(mixed) + b"{\n", "application/x-ndjson")
    assert [each["outcome"] for each in answer.results] == ["accepted", "duplicate", "refused", "refused"] + [
        "refused"
    ] * 2
    await asker.post(401, one(), Authorization="Bearer none")
    await asker.push_door(f"{ELECTION}/reports", 404, "POST", data=one(), names={"election": "none"})

    report = f"{ELECTION}/reports/{{unit}}"
    await asker.push_door(report, 200, names={"unit": UNIT})
    await asker.push_door(report, 404, names={"unit": OTHER_UNIT})
    await asker.push_door(report, 401, names={"unit": UNIT}, headers={"Authorization": ""})
    await asker.push_door(f"{ELECTION}/reports", 200)
    await asker.push_door(f"{ELECTION}/reports", 401, headers={"Authorization": "Basic x"})
    await asker.push_door(f"{ELECTION}/template", 200)
    await asker.preview(200, A_TABLE)
    await asker.preview(422, A_TABLE.replace(b"final", b"x"))
    await asker.preview(415, A_TABLE, "text/plain")
    await asker.preview(413, b" " * (9 << 20))
    await asker.push_door(f"{ELECTION}/transfers", 200)
    await asker.push_door(f"{ELECTION}/transfers", 401, headers={"Authorization": "Basic x"})
    await asker.push_door(f"{ELECTION}/push", 426)
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
    await asker.push_door(f"{ELECTION}/push", 400, headers=upgrade)
    upgrade["Sec-WebSocket-Protocol"] = "valgnatt.push.v1"
    await asker.push_door(f"{ELECTION}/push", 400, headers=upgrade)
    for path in ("/health/live", "/health/ready"):
        for method in ("GET", "HEAD"):
            await asker.push_door(path, 200, method)

    asker.sender = await gateway.issue(asker.sender.election, [HERE])
    await asker.post(403, one(unit=FOREIGN_UNIT))
    await asker.push_door(report, 403, names={"unit": FOREIGN_UNIT})
    asker.sender = await gateway.issue(asker.sender.election, [HERE], role="operator")
    await asker.post(403, one(revision=9))
    await asker.preview(403, A_TABLE)
    await asker.push_door(f"{ELECTION}/push", 403)
    board = (await asker.push_door(f"{ELECTION}/board", 200)).document
    assert [each["municipality"] for each in board["municipalities"]] == [HERE]
    asker.sender = await gateway.issue(asker.sender.election, [COUNTRY])
    await asker.push_door(f"{ELECTION}/board", 403)
    await asker.post(400, b"<a/>", "application/xml")
    units = [unit_votes(unit, selection("FL", 3, "election_day")) for unit in (UNIT, "x")]
    await asker.post(200, eml(*units), "text/xml")
    await asker.post(200, eml(units[0], qualifier="<Simulation>yes</Simulation>"), "application/xml")


async def test_answers_to_readers_are_as_described(asker: Asker, http: aiohttp.ClientSession) -> None:
    """Results, areas, elections, transfers, publications and ranges; as they are, unchanged, wrong, and as heads."""
    sender, election = asker.sender, asker.sender.election
    await pushed(http, sender, *(a_report(revision=each, votes=2000 - each) for each in range(1, 1001)))
    await shown(sender.gateway, election, 1000)
    for area in (COUNTRY, HERE, UNIT, OTHER_UNIT):
        names = {"area": area}
        path = f"{ELECTION}/areas/{{area}}"
        answer = await asker.feed_door(path, 200, names=names)
        await asker.feed_door(path, 200, names=names, params={"format": "csv"})
        await asker.feed_door(path, 304, names=names, headers={"If-None-Match": answer.headers["ETag"]})
        await asker.feed_door(path, 200, "HEAD", names=names)
    assert (await asker.feed_door(path, 200, names={"area": UNIT})).document["correction"]["previous"]
    await asker.feed_door(path, 400, names=names, params={"at_least": "-1"})
    await asker.feed_door(path, 404, names={"area": "none"})
    for path, params in (
        (f"{ELECTION}/areas", {"level": "precinct", "area": HERE}),
        (f"{ELECTION}/areas", {"level": "county"}),
        (f"{ELECTION}/corrections", {"area": HERE}),
    ):
        for method in ("GET", "HEAD"):
            answer = await asker.feed_door(path, 200, method, params=params)
            await asker.feed_door(path, 200, method, params={**params, "format": "csv", "bom": "1"})
            headers = {"If-None-Match": answer.headers["ETag"]}
            await asker.feed_door(path, 304, method, params=params, headers=headers)
            await asker.feed_door(path, 400, method, params={**params, "area": "none"})
            await asker.feed_door(path, 404, method, names={"election": "none"}, params=params)
    for method in ("GET", "HEAD"):
        await asker.feed_door("/v1/elections", 200, method)
        tagged = await asker.feed_door(ELECTION, 200, method)
        await asker.feed_door(ELECTION, 304, method, headers={"If-None-Match": tagged.headers["ETag"]})
        await asker.feed_door(ELECTION, 404, method, names={"election": "none"})
        await asker.feed_door(f"{ELECTION}/transfers", 200, method)
        await asker.feed_door(
            f"{ELECTION}/transfers/{{municipality}}", 200, method, names={"municipality": HERE}
        )
        await asker.feed_door(
            f"{ELECTION}/transfers/{{municipality}}", 404, method, names={"municipality": UNIT}
        )
        first = {"range": "1-1000"}
        path = f"{ELECTION}/publications/{{range}}"
        whole = await asker.feed_door(path, 200, method, names=first)
        chain = whole.headers["ETag"]
        await asker.feed_door(path, 200, method, names=first, params={"chain": chain.strip('"')})
        await asker.feed_door(path, 304, method, names=first, headers={"If-None-Match": chain})
        await asker.feed_door(path, 404, method, names={"range": "1001-2000"})
        await asker.feed_door(path, 400, method, names={"range": "1-10"})
        await asker.feed_door("/health/live", 200, method)
        await asker.feed_door("/health/ready", 200, method)
        for path in (
            "/",
            "/transfers",
            "/verify",
            "/docs",
            "/openapi.yaml",
            "/asyncapi.yaml",
            "/map.geojson",
        ):
            tagged = await asker.feed_door(path, 200, method)
            await asker.feed_door(path, 304, method, headers={"If-None-Match": tagged.headers["ETag"]})
        for path in ("/count", "/operator"):
            tagged = await asker.push_door(path, 200, method)
            await asker.push_door(path, 304, method, headers={"If-None-Match": tagged.headers["ETag"]})
        file = {"version": "1", "name": "app.css"}
        await asker.push_door("/static/{version}/{name}", 200, method, names=file)
        await asker.feed_door("/static/{version}/{name}", 200, method, names=file)
        await asker.feed_door("/static/{version}/{name}", 404, method, names={**file, "name": "index.html"})
    await asker.feed_door(f"{ELECTION}/publications", 200, params={"after": 990, "limit": 1000})
    await asker.feed_door(f"{ELECTION}/publications", 400, params={"limit": 1001})
    await asker.feed_door(f"{ELECTION}/feed", 400, params={"levels": "none"})
    await asker.feed_door(f"{ELECTION}/feed", 404, names={"election": "none"})


PAST, FUTURE = "2024-01-01T00:00:00Z", "2099-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("rehearsal", "release"),
    variants([*product((False, True), (PAST, FUTURE))], (False, PAST), (True, FUTURE)),
)
async def test_answers_before_and_after_the_release_are_as_described(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, release: str, rehearsal: bool
) -> None:
    """And those of a rehearsal."""
    election = await gateway.load(a_registry(small, publish_from=release, rehearsal=rehearsal))
    asker = Asker(http, await gateway.issue(election, [COUNTRY]))
    for status in (201, 200):
        answer = await asker.post(status, one())
        assert answer.document["state"] == ("published" if release < "2025" else "embargoed")
    await asker.post(409, one(votes=1))
    await asker.post(200, ndjson([a_report(), a_report(votes=1), 5]), "application/x-ndjson")
    await asker.push_door(f"{ELECTION}/reports/{{unit}}", 200, names={"unit": UNIT})
    await asker.push_door(f"{ELECTION}/transfers", 200)
    asker.sender = await gateway.issue(election, [COUNTRY], role="operator")
    await asker.push_door(f"{ELECTION}/board", 200)
    await shown(gateway, election)
    for path in ("/v1/elections", ELECTION, f"{ELECTION}/transfers", f"{ELECTION}/publications"):
        await asker.feed_door(path, 200)
    for area in (COUNTRY, UNIT):
        await asker.feed_door(f"{ELECTION}/areas/{{area}}", 200, names={"area": area})
    await asker.feed_door(f"{ELECTION}/areas", 200, params={"level": "municipality"})
    await asker.feed_door(f"{ELECTION}/corrections", 200)


async def test_seats_are_as_described(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession
) -> None:
    """Of an election with one district and of one with several; before and after the levelling seats are known."""
    one = {
        "method": "largest_remainder",
        "districts": "country",
        "threshold": {"percent": 1, "of": "district"},
    }
    several = {**LEVELLING, "districts": "municipality"}
    path = f"{ELECTION}/seats"
    for rule in (one, several):
        election = await gateway.load(with_seats(a_registry(small), rule))
        asker = Asker(http, await gateway.issue(election, [COUNTRY]))
        first, *others = units_of(small)
        for units in ([first], others):
            receipts = await pushed(http, asker.sender, *(a_report(unit, 1, 1000) for unit in units))
            await shown(gateway, election, receipts[-1]["sequence"])
            table = await asker.feed_door(path, 200)
            assert (table.document["seats"]["levelling"] is None) == (rule is several and units == [first])
            for area in (COUNTRY, HERE):
                shown_there = await asker.feed_door(f"{ELECTION}/areas/{{area}}", 200, names={"area": area})
                assert ("seats" in shown_there.document) == (area == COUNTRY or rule is several)
        for method in ("GET", "HEAD"):
            await asker.feed_door(path, 200, method, params={"format": "csv", "bom": "1", "at_least": "1"})
            await asker.feed_door(path, 304, method, headers={"If-None-Match": table.headers["ETag"]})
            await asker.feed_door(path, 400, method, params={"format": "none"})
            await asker.feed_door(path, 404, method, names={"election": "none"})
        whole = await beginning(http, f"{gateway.feed_url}/v1/elections/{election}/feed", b"event: block")
        assert not undescribed(f"{ELECTION}/feed", "GET", whole)
        assert whole.body.count(b'"seats":{"projection":true') > 0
    registry = a_registry(small)
    registry["election"].pop("apportionment", None)
    asker = Asker(http, await gateway.issue(await gateway.load(registry), [COUNTRY]))
    await shown(gateway, asker.sender.election)
    for method in ("GET", "HEAD"):
        await asker.feed_door(path, 404, method)


async def beginning(http: aiohttp.ClientSession, url: str, wanted: bytes, **params: Any) -> Answer:
    """The head of an event stream and its beginning, up to the end of some event."""
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
    async with asyncio.timeout(10), http.get(url, params=params, headers=headers) as response:
        read = b""
        while wanted not in read or not read.endswith(b"\n\n"):
            read += await response.content.readany()
        return Answer(response.status, response.headers, read)


async def test_streams_are_as_described(http: aiohttp.ClientSession, sender: Sender) -> None:
    """Their heads, and every event with what it carries: snapshots, changes and publications."""
    receipts = await pushed(http, sender, *(a_report(revision=each, votes=9 - each) for each in range(1, 4)))
    await shown(sender.gateway, sender.election, receipts[-1]["sequence"])
    url = f"{sender.gateway.feed_url}/v1/elections/{sender.election}"
    whole = await beginning(http, f"{url}/feed", b"event: block", levels=EVERYTHING)
    assert not undescribed(f"{ELECTION}/feed", "GET", whole)
    assert whole.body.count(b"event: area") > 50
    lines = await ask(http, "GET", f"{url}/publications")
    chain = lines.body.splitlines()[0].split(b'"chain":"')[1][:8].decode()
    changed = await beginning(http, f"{url}/feed", b"event: block", last_event_id=f"1-{chain}")
    assert b'"snapshot":false' in changed.body
    assert not undescribed(f"{ELECTION}/feed", "GET", changed)
    publications = await beginning(http, f"{url}/publications", b'"sequence":3,')
    assert not undescribed(f"{ELECTION}/publications", "GET", publications)


async def test_what_is_not_described_is_404_or_405(http: aiohttp.ClientSession, sender: Sender) -> None:
    """On either door, as the document says of all that it leaves out."""
    for url in (sender.gateway.push_url, sender.gateway.feed_url):
        for path in ("/v1", "/v1/elections/", "/static", "/metrics", "/v2/elections"):
            (await ask(http, "GET", url + path)).problem(404, "not_found")
    for path in ("/", "/transfers", "/docs", "/openapi.yaml", "/static/1/results.js"):
        (await ask(http, "GET", sender.gateway.push_url + path)).problem(404, "not_found")
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item or method == "options":
                continue
            for name, url in (("push", sender.gateway.push_url), ("feed", sender.gateway.feed_url)):
                if name in {server["name"] for server in item["servers"]}:
                    answer = await ask(
                        http,
                        method.upper(),
                        url + path.format(**dict.fromkeys(re.findall(r"{(\w+)}", path), "1")),
                    )
                    assert answer.status == 405
                    assert answer.headers["Allow"]
                    if method != "head":
                        answer.problem(405, "method_not_allowed")
