"""What `openapi.yaml` says, and whether an answer is as it says.

Schemas are held more strictly than readers may hold them: an answer with a member that is not described is not as
described. Parts of other schemas (their names end in `Members`) and what is loaded as it is are left open.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker

import gateway.web
from tests.web.doors import Answer

PATH = Path(gateway.web.__file__).with_name("openapi.yaml")
DOCUMENT: dict[str, Any] = yaml.load(PATH.read_text(), Loader=yaml.CSafeLoader)
METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
_OPEN = ("RegistryDocument",)


def resolved(node: Any) -> Any:
    """Follow a reference within the document."""
    while isinstance(node, Mapping) and "$ref" in node and set(node) == {"$ref"}:
        target: Any = DOCUMENT
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        node = target
    return node


def operations() -> Iterator[tuple[str, str, dict[str, Any], set[str]]]:
    """Each path, method, operation, and the names of the servers that have it."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                servers = item[method].get("servers") or item.get("servers") or DOCUMENT["servers"]
                yield path, method.upper(), item[method], {server["name"] for server in servers}


def _closed() -> dict[str, Any]:
    schemas: dict[str, Any] = copy.deepcopy(DOCUMENT["components"]["schemas"])
    for name, schema in schemas.items():
        if name.endswith("Members") or name in _OPEN or "additionalProperties" in schema:
            continue
        if "properties" in schema or "allOf" in schema:
            schema["unevaluatedProperties"] = False
    return schemas


_CLOSED = {"schemas": _closed()}


def mistakes(schema: Any, value: Any) -> list[str]:
    """Return where a value is not as a schema of the document has it, also within embedded JSON."""
    validator = Draft202012Validator(
        {**schema, "components": _CLOSED} if isinstance(schema, dict) else schema,
        format_checker=FormatChecker(),
    )
    found = [f"{error.json_path}: {error.message}"[:500] for error in validator.iter_errors(value)]
    if not found and isinstance(value, dict) and value.get("event"):
        found += [f"data{text}" for text in _embedded_mistakes(schema, value)]
    return found


def _embedded_mistakes(schema: Any, event: dict[str, Any]) -> list[str]:
    """Of an event's `data`, by the schema of its kind."""
    for choice in resolved(schema)["anyOf"]:
        properties = resolved(choice)["properties"]
        if properties.get("event", {}).get("const") == event["event"]:
            return mistakes(properties["data"]["contentSchema"], json.loads(event["data"]))
    return [f": no event {event['event']!r} is described"]


def events(text: str) -> list[dict[str, Any]]:
    """Return the events of a stream, also its first ones of many, as objects of their fields."""
    found = []
    for entry in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in entry.split("\n") if not line.startswith(":"))
        if "retry" in fields:
            fields["retry"] = int(fields["retry"])
        if fields:
            found.append(fields)
    return found


def items(kind: str, body: bytes) -> list[Any]:
    """Return the items of a sequential body."""
    text = body.decode()
    if kind == "text/event-stream":
        return events(text)
    return [json.loads(line) for line in text.splitlines()]


def undescribed(path: str, method: str, answer: Answer) -> list[str]:
    """Return what of an answer is not as the document has it: status, type, body, headers."""
    response = resolved(DOCUMENT["paths"][path][method.lower()]["responses"].get(str(answer.status)))
    if response is None:
        return [f"status {answer.status}: {answer.body[:300]!r}"]
    found = []
    for name, header in response.get("headers", {}).items():
        value: Any = answer.headers.get(name)
        if value is not None:
            if header["schema"].get("type") == "integer":
                value = int(value)
            found += [f"{name}: {text}" for text in mistakes(header["schema"], value)]
        elif header.get("required"):
            found.append(f"no header {name}")
    content = response.get("content")
    if content is None or method == "HEAD":
        return found + ([f"a body: {answer.body[:100]!r}"] if answer.body else [])
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    media = content.get(kind)
    if media is None:
        return [*found, f"type {kind}: {answer.body[:300]!r}"]
    if kind == "application/octet-stream":
        return found
    if "itemSchema" in media:
        return found + [
            text for item in items(kind, answer.body) for text in mistakes(media["itemSchema"], item)
        ]
    value = json.loads(answer.body) if kind.endswith("json") else answer.body.decode()
    return found + mistakes(media["schema"], value)
