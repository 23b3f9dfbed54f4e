"""The JSON Schema of the files of a mirror, `docs/mirror.schema.json`.

What the feed door also sends is defined as in `gateway/web/openapi.json`: `make openapi` copies these
definitions.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "mirror.schema.json"
OPENAPI = ROOT / "gateway" / "web" / "openapi.json"
LINES = 50
"""Lines at the beginning and at the end of a file that are validated, which takes a millisecond each."""
_COMPONENTS, _DEFS = "#/components/schemas/", "#/$defs/"


@cache
def read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCHEMA.read_text())
    return found


def with_shared_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with the definitions of the feed door that it refers to, as they are now."""
    components = json.loads(OPENAPI.read_text().replace(_COMPONENTS, _DEFS))["components"]["schemas"]
    own = {name: each for name, each in schema["$defs"].items() if name not in components}
    found, waiting = dict[str, Any](), [*_references(own)]
    while waiting:
        name = waiting.pop()
        if name not in own and name not in found:
            found[name] = components[name]
            waiting += _references(components[name])
    return {**schema, "$defs": {**own, **dict(sorted(found.items()))}}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "$ref":
                yield value.removeprefix(_DEFS)
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from _references(each)


@cache
def _validator(definition: str) -> Draft202012Validator:
    schema = {**read(), "$ref": definition}
    return Draft202012Validator(schema, format_checker=FormatChecker())


def kinds_of(path: str) -> list[dict[str, str]]:
    """Return the kinds of files that a path names."""
    return [kind for kind in read()["files"] if re.fullmatch(kind["path"], path)]


def problems(path: str, body: bytes) -> list[str]:
    """Return what is wrong with a file of a mirror, by its path."""
    found = kinds_of(path)
    if len(found) != 1:
        return [f"{path}: {len(found)} kinds of files"]
    (kind,) = found
    if "file" in kind:
        return _problems(kind["file"], path, body)
    if "line" not in kind:
        return []
    lines = body.splitlines()
    if lines and not body.endswith(b"\n"):
        return [f"{path}: the last line has no end"]
    places = [kind["line"]] * len(lines)
    if "last_line" in kind:
        places[-1] = kind["last_line"]
    numbered = list(enumerate(zip(places, lines, strict=True), 1))
    if len(numbered) > 2 * LINES:
        numbered = numbered[:LINES] + numbered[-LINES:]
    return [
        problem for number, pair in numbered for problem in _problems(pair[0], f"{path}:{number}", pair[1])
    ]


def _problems(definition: str, where: str, body: bytes) -> list[str]:
    return [
        f"{where}: {error.json_path}: {error.message[:200]}"
        for error in _validator(definition).iter_errors(json.loads(body))
    ]


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(with_shared_definitions(read()), indent=2, ensure_ascii=False) + "\n")
