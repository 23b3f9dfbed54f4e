"""PURE: counts as JSON: one report, an array of reports, or a report per line (NDJSON)."""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import msgspec

from gateway.count_files.encodings import as_utf_8
from gateway.count_files.messages import Message, Place, said
from gateway.count_files.mistakes import KnownTexts, checked
from gateway.count_files.parts import (
    REPORTS_MAX,
    BadCountFile,
    MistakeList,
    Part,
    too_many_reports,
)
from gateway.election.validation import read_json
from gateway.errors import MalformedDocument

_SPACE = b" \t\r\n"
_AT = re.compile(r": line (\d+) column (\d+) \(char \d+\)$")
"""How orjson gives the place of an error."""
_KINDS = {
    type(None): "a_null", bool: "a_boolean", int: "a_number", float: "a_number", str: "a_text", list: "a_list",
    dict: "an_object",
}  # fmt: skip
"""What a decoded JSON value is, as the code of a clause."""
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def read_json_file(name: str, content: bytes, mistakes: MistakeList, known: KnownTexts) -> Iterator[Part]:
    """Yield the report, or the reports of the array, in a file, and add what is wrong with others to the mistakes.

    Raises BadCountFile if it is not JSON in UTF-8, and TooManyMistakes.
    """
    content = as_utf_8(name, content)
    first = content.count(b"\n", 0, len(content) - len(content.lstrip(_SPACE))) + 1
    document = _read_strictly(name, 1, content)
    if isinstance(document, list):
        yield from _from_array(name, content, document, mistakes, known)
    else:
        yield from _part(name, Place(name, first), content, document, mistakes, known)


def _from_array(
    name: str, content: bytes, document: list[Any], mistakes: MistakeList, known: KnownTexts
) -> Iterator[Part]:
    if len(document) > REPORTS_MAX:
        raise BadCountFile([too_many_reports(name)])
    try:
        reports = _array_decoder.decode(content)
    except (msgspec.DecodeError, RecursionError):
        raise BadCountFile([said("nested_too_deeply", Place(name, 1))]) from None
    at, line = 0, 1
    for number, (each, decoded) in enumerate(zip(reports, document, strict=True)):
        raw = bytes(each)
        start = content.index(raw, at)  # only white space and commas are between two reports
        line += content.count(b"\n", at, start)
        where = Place(name, line, element=number)
        if isinstance(decoded, dict):
            yield from _part(name, where, raw, decoded, mistakes, known)
        else:
            mistakes.add(said("element_not_a_report", where, kind=_kind(decoded)))
        line += raw.count(b"\n")
        at = start + len(raw)


def read_json_lines(name: str, content: bytes, mistakes: MistakeList, known: KnownTexts) -> Iterator[Part]:
    """Yield the reports in the lines of a file, and add what is wrong with others to the mistakes.

    Raises BadCountFile if it is not UTF-8, and TooManyMistakes.
    """
    content = as_utf_8(name, content)
    for number, line in enumerate(BytesIO(content), 1):
        if not line.strip(_SPACE):
            continue
        try:
            document = _read_strictly(name, number, line)
        except BadCountFile as error:
            mistakes.extend(error.messages)
        else:
            yield from _part(name, Place(name, number), line, document, mistakes, known)


def _part(
    name: str, where: Place, raw: bytes, document: object, mistakes: MistakeList, known: KnownTexts
) -> Iterator[Part]:
    """Yield the report in `raw`, or add what is wrong with it to the mistakes."""
    if not isinstance(document, dict):
        mistakes.add(said("not_a_report", where, kind=_kind(document)))
    else:
        yield from checked(Part(name, where, document), raw, mistakes, known)


def _kind(value: object) -> Message:
    return said(_KINDS[type(value)])


def _read_strictly(name: str, line: int, raw: bytes) -> Any:
    """Decode JSON that begins in this line of a file. Raises BadCountFile."""
    try:
        return read_json(raw)
    except MalformedDocument as error:
        text = str(error)
        if at := _AT.search(text):
            line += int(at[1]) - 1
            text = f"{text[: at.start()]} (column {at[2]})"
        raise BadCountFile([said("bad_json", Place(name, line), detail=text)]) from None
