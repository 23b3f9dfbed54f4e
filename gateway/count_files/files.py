"""PURE: read counts from a file that people write: JSON, NDJSON, or tables (CSV, RFC 4180; see `table`).

A file is read as strictly as the push door reads a report, by the same functions, and before anything of it is encoded
again: what the gateway would refuse, whatever the election, is a mistake of the file. Only a missing `revision` is not.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import msgspec

from gateway.count_files.parts import (
    BadCountFile,
    CountFile,
    MistakeList,
    Part,
    TooManyMistakes,
    json_word,
    shape_mistakes,
    too_many_mistakes,
)
from gateway.count_files.table import read_table
from gateway.election.validation import read_json
from gateway.errors import MalformedDocument
from gateway.trimmed_json import dumps_trimmed

FILE_MAX = 20 << 20
"""Bytes of a file; the reports of a country with 3 500 units take 5 MB."""
REPORTS_MAX = 20_000
"""Reports in all files of one command; the largest countries have fewer units than that per file."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SPACE = b" \t\r\n"
_AT = re.compile(r": line (\d+) column (\d+) \(char \d+\)$")
"""How orjson gives the place of an error."""
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def read_counts(name: str, content: bytes) -> CountFile:
    """Return the reports in a file; the extension of its name gives its format: `.json`, `.ndjson`, `.jsonl` or `.csv`.

    Does not add a missing `revision`. Raises BadCountFile with all mistakes, each with the line.
    """
    if len(content) > FILE_MAX:
        raise BadCountFile([f"{name}: larger than {FILE_MAX >> 20} MiB; divide it into several files"])
    ending = name.lower().rpartition(".")[2]
    if ending not in _READERS:
        raise BadCountFile([f"{name}: unknown extension {ending[:40]!r}; use .json, .ndjson or .csv"])
    content = content.removeprefix(_BYTE_ORDER_MARK)
    _require_utf_8(name, content)
    mistakes = MistakeList()
    empty_units: list[str] = []
    parts: list[Part] = []
    try:
        for part in _READERS[ending](name, content, mistakes, empty_units):
            if len(parts) == REPORTS_MAX:
                raise BadCountFile([*mistakes.texts, too_many_reports(name)])
            parts.append(part)
    except TooManyMistakes:
        raise BadCountFile([*mistakes.texts, too_many_mistakes(name)]) from None
    if mistakes:
        raise BadCountFile(mistakes.texts)
    return CountFile(name, tuple(parts), tuple(empty_units))


def too_many_reports(where: str) -> str:
    """Return the message for files with more than REPORTS_MAX reports."""
    return f"{where}: more than {REPORTS_MAX} reports; divide them into several files, and push one after the other"


def _require_utf_8(name: str, content: bytes) -> None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = " but UTF-16" if content.startswith(_UTF_16) else ""
        raise BadCountFile(
            [f"{name}, line {line}: not UTF-8{found}; save the file as UTF-8 (in a spreadsheet: CSV UTF-8)"]
        ) from None


def _from_json(name: str, content: bytes, mistakes: MistakeList, _: list[str]) -> Iterator[Part]:
    first = content.count(b"\n", 0, len(content) - len(content.lstrip(_SPACE))) + 1
    document = _read_strictly(name, 1, content)
    if isinstance(document, list):
        yield from _from_array(name, content, document, mistakes)
    else:
        yield from _part(name, f"{name}, line {first}", content, document, mistakes)


def _from_array(name: str, content: bytes, document: list[Any], mistakes: MistakeList) -> Iterator[Part]:
    if len(document) > REPORTS_MAX:
        raise BadCountFile([too_many_reports(name)])
    try:
        reports = _array_decoder.decode(content)
    except (msgspec.DecodeError, RecursionError):
        raise BadCountFile([f"{name}, line 1: nested too deeply"]) from None
    at, line = 0, 1
    for number, (each, decoded) in enumerate(zip(reports, document, strict=True)):
        raw = bytes(each)
        start = content.index(raw, at)  # only white space and commas are between two reports
        line += content.count(b"\n", at, start)
        where = f"{name}, line {line}, element {number}"
        if isinstance(decoded, dict):
            yield from _part(name, where, raw, decoded, mistakes)
        else:
            mistakes.add(f"{where} is not a report but {json_word(decoded)}")
        line += raw.count(b"\n")
        at = start + len(raw)


def _from_lines(name: str, content: bytes, mistakes: MistakeList, _: list[str]) -> Iterator[Part]:
    for number, line in enumerate(BytesIO(content), 1):
        if not line.strip(_SPACE):
            continue
        try:
            document = _read_strictly(name, number, line)
        except BadCountFile as error:
            mistakes.extend(error.mistakes)
        else:
            yield from _part(name, f"{name}, line {number}", line, document, mistakes)


def _from_table(name: str, content: bytes, mistakes: MistakeList, empty_units: list[str]) -> Iterator[Part]:
    for part in read_table(name, content.decode(), mistakes, empty_units):
        yield from _checked(part, encode_report(part.document), mistakes)


_READERS = {"json": _from_json, "ndjson": _from_lines, "jsonl": _from_lines, "csv": _from_table}


def _part(name: str, where: str, raw: bytes, document: object, mistakes: MistakeList) -> Iterator[Part]:
    """Yield the report in `raw`, or add what is wrong with it to the mistakes."""
    if not isinstance(document, dict):
        mistakes.add(f"{where}: not a report but {json_word(document)}")
    else:
        yield from _checked(Part(name, where, document), raw, mistakes)


def _checked(part: Part, raw: bytes, mistakes: MistakeList) -> Iterator[Part]:
    """Yield a part if its shape is valid, or add what is wrong with it to the mistakes."""
    known = len(mistakes)
    mistakes.extend(shape_mistakes(part, raw))
    if len(mistakes) == known:
        yield part


def _read_strictly(name: str, line: int, raw: bytes) -> Any:
    """Decode JSON that begins in this line of a file. Raises BadCountFile."""
    try:
        return read_json(raw)
    except MalformedDocument as error:
        text = str(error)
        if at := _AT.search(text):
            line += int(at[1]) - 1
            text = f"{text[: at.start()]} (column {at[2]})"
        raise BadCountFile([f"{name}, line {line}: {text}"]) from None


def encode_report(document: dict[str, Any]) -> bytes:
    """Return a report as the bytes that are sent. Its members stay as they were read."""
    return dumps_trimmed(document)
