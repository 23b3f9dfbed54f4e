"""PURE: read counts from a file: a table as CSV or as an Excel workbook, JSON, NDJSON or EML 510.

A file is read as strictly as the push door reads a report, by the same functions, and before anything of it is encoded
again: what the gateway would refuse, whatever the election, is a mistake of the file. Only a missing `revision` is not.
"""

from collections.abc import Iterator
from typing import Any

from gateway.count_files.eml_files import read_eml_file
from gateway.count_files.encodings import decode_table
from gateway.count_files.json_files import read_json_file, read_json_lines
from gateway.count_files.messages import Message, Place, said
from gateway.count_files.mistakes import KnownTexts, checked
from gateway.count_files.parts import (
    REPORTS_MAX,
    BadCountFile,
    CountFile,
    MistakeList,
    Part,
    TooManyMistakes,
    too_many_mistakes,
    too_many_reports,
)
from gateway.count_files.rows import Table, text_table
from gateway.count_files.sheets import workbook_table
from gateway.count_files.table import TableReader
from gateway.count_files.workbook_zip import ZIP_MARK, Bounds
from gateway.election.registry import Registry
from gateway.trimmed_json import dumps_trimmed

FILE_MAX = 20 << 20
"""Bytes of a file; the reports of a country with 3 500 units take 5 MB."""
_OTHER_PROGRAMS = ("xls", "xlsb", "xlsm", "xltx", "ods", "fods", "numbers")
"""Extensions of spreadsheets that are not read."""
_KINDS = ("json", "ndjson", "jsonl", "csv", "xlsx", "xml")


def read_counts(
    name: str, content: bytes, registry: Registry | None = None, bounds: Bounds | None = None
) -> CountFile:
    """Return the reports in a file; the extension of its name gives its format, which is one of _KINDS.

    EML needs a registry. With one, a table may name parties, and give times without an offset, in the election's time
    zone; `bounds` limit how much of a workbook is read. Does not add a missing `revision`, and does not check the
    reports against the registry. Raises BadCountFile with all mistakes, each with the line.
    """
    if len(content) > FILE_MAX:
        raise BadCountFile([said("file_too_large", Place(name), mib=FILE_MAX >> 20)])
    kind = name.lower().rpartition(".")[2]
    if kind in _OTHER_PROGRAMS:
        raise BadCountFile([said("other_program", Place(name), extension=kind)])
    if kind not in _KINDS:
        raise BadCountFile([said("unknown_extension", Place(name), extension=kind[:40])])
    reading = _Reading(name, registry, bounds or Bounds())
    parts: list[Part] = []
    try:
        for part in reading.parts(kind, content):
            if len(parts) == REPORTS_MAX:
                raise BadCountFile([*reading.mistakes.messages, too_many_reports(name)])
            parts.append(part)
    except TooManyMistakes:
        raise BadCountFile([*reading.mistakes.messages, too_many_mistakes(name)]) from None
    if reading.mistakes:
        raise BadCountFile(reading.mistakes.messages, parts)
    return CountFile(name, tuple(parts), tuple(reading.empty_units), tuple(reading.notes))


class _Reading:
    """One file that is being read."""

    def __init__(self, name: str, registry: Registry | None, bounds: Bounds) -> None:
        self._name = name
        self._registry = registry
        self._bounds = bounds
        self._known = KnownTexts(registry)
        self.mistakes = MistakeList()
        self.empty_units: list[str] = []
        self.notes: list[Message] = []

    def parts(self, kind: str, content: bytes) -> Iterator[Part]:
        """Yield the reports whose shape is valid. Raises BadCountFile and TooManyMistakes."""
        if kind == "json":
            return read_json_file(self._name, content, self.mistakes, self._known)
        if kind in ("ndjson", "jsonl"):
            return read_json_lines(self._name, content, self.mistakes, self._known)
        if kind == "xml":
            return read_eml_file(self._name, content, self._registry, self.mistakes, self._known)
        return self._table(kind, content)

    def _table(self, kind: str, content: bytes) -> Iterator[Part]:
        reader = TableReader(self._name, self._registry, self.mistakes, self.notes)
        if kind == "xlsx":
            table = workbook_table(self._name, content, self._bounds, reader.known, self.notes)
        else:
            table = self._text(content, reader)
        for part in reader.read(table, self.empty_units):
            yield from checked(part, encode_report(part.document), self.mistakes, self._known)

    def _text(self, content: bytes, reader: TableReader) -> Table:
        if content.startswith(ZIP_MARK):
            raise BadCountFile([said("workbook_named_csv", Place(self._name, 1))])
        text, notes = decode_table(self._name, content)
        self.notes += notes
        return text_table(self._name, text, reader.known)


def encode_report(document: dict[str, Any]) -> bytes:
    """Return a report as the bytes that are sent. Its members stay as they were read."""
    return dumps_trimmed(document)
