"""PURE: read counts from files that people write: JSON, NDJSON, or comma-separated tables (CSV, RFC 4180).

A table has one row per category of a unit; rows of the same unit and revision form one report. Its columns are
`unit`, `revision`, `counted_at`, `status`, `reason`, `category`, `ballots`, `blank`, `rejected`, `voters`, and one for
each party, named by its code. An empty cell is omitted from the report; an empty `revision` means the next one.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.election.registry import Registry
from gateway.election.report import COUNT_NAMES, OPTIONAL_COUNT_NAMES
from gateway.errors import GatewayError
from gateway.trimmed_json import dumps_trimmed

COLUMNS = (
    "unit",
    "revision",
    "counted_at",
    "status",
    "reason",
    "category",
    *COUNT_NAMES,
)
_OF_REPORT = ("counted_at", "status", "reason")
_REQUIRED = (
    "unit",
    "counted_at",
    "status",
    "category",
    *(name for name in COUNT_NAMES if name not in OPTIONAL_COUNT_NAMES),
)
_BYTE_ORDER_MARK = "\ufeff"


class BadCountFile(GatewayError):
    """A file that cannot be read as counts; the message gives file, line and reason."""

    code = "bad_count_file"


def read_counts(name: str, content: bytes) -> list[dict[str, Any]]:
    """Return the reports in a file; the extension of its name gives its format: `.json`, `.ndjson`, `.jsonl` or `.csv`.

    Does not add a missing `revision`. Raises BadCountFile.
    """
    try:
        text = content.decode("utf-8").removeprefix(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadCountFile(f"{name}, line {line}: not UTF-8") from None
    match name.lower().rpartition(".")[2]:
        case "json":
            return _from_json(name, text)
        case "ndjson" | "jsonl":
            return [
                _object(f"{name}, line {number}", line)
                for number, line in enumerate(text.split("\n"), 1)
                if line.strip()
            ]
        case "csv":
            return list(_from_table(name, text))
        case ending:
            raise BadCountFile(f"{name}: unknown extension {ending!r}; use .json, .ndjson or .csv")


def template(registry: Registry, areas: Sequence[str]) -> str:
    """Return an empty table of all units at or below some areas: a row per category, a column per party."""
    wanted = frozenset().union(*(registry.below(registry.by_id[area]) for area in areas))
    units = [area for area in registry.areas if area.is_unit and area.index in wanted]
    ballot = {party for unit in units for party in unit.ballot}
    parties = [party.code for party in registry.parties if party.code in ballot]
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow([*COLUMNS, *parties])
    for unit in units:
        for category in registry.categories:
            table.writerow([unit.id, "", "", "", "", category])
    return written.getvalue()


def _from_json(name: str, text: str) -> list[dict[str, Any]]:
    if not text.lstrip().startswith("["):
        return [_object(name, text)]
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadCountFile(f"{name}: {error}") from None
    for place, each in enumerate(found):
        if not isinstance(each, dict):
            raise BadCountFile(f"{name}: element {place} is not a report but {type(each).__name__}")
    return list(found)


def _object(where: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadCountFile(f"{where}: {error}") from None
    if not isinstance(found, dict):
        raise BadCountFile(f"{where}: not a report but {type(found).__name__}")
    return found


def _from_table(name: str, text: str) -> Iterator[dict[str, Any]]:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = [cell.strip() for cell in next(lines, [])]
        _check_head(name, head)
        reports: dict[tuple[str, str], dict[str, Any]] = {}
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{name}, line {lines.line_num}"
            if len(cells) > len(head):
                raise BadCountFile(f"{where}: {len(cells)} cells, but only {len(head)} columns")
            _add(where, dict(zip(head, (cell.strip() for cell in cells), strict=False)), head, reports)
    except csv.Error as error:
        raise BadCountFile(f"{name}, line {lines.line_num}: {error}") from None
    yield from reports.values()


def _check_head(name: str, head: Sequence[str]) -> None:
    for column in _REQUIRED:
        if column not in head:
            hint = " (is it separated by semicolons?)" if len(head) == 1 and ";" in head[0] else ""
            raise BadCountFile(f"{name}, line 1: no column {column!r}{hint}")
    if repeated := {column for column in head if head.count(column) > 1}:
        raise BadCountFile(f"{name}, line 1: column {min(repeated)!r} is repeated")


def _add(
    where: str, row: Mapping[str, str], head: Sequence[str], reports: dict[tuple[str, str], dict[str, Any]]
) -> None:
    unit, revision = row.get("unit", ""), row.get("revision", "")
    if not unit:
        raise BadCountFile(f"{where}: no unit")
    report = reports.setdefault((unit, revision), {"unit": unit, "counts": {}})
    if revision:
        report["revision"] = _number(where, "revision", revision)
    for column in _OF_REPORT:
        value = row.get(column, "")
        if value and report.setdefault(column, value) != value:
            raise BadCountFile(f"{where}: {column} {value!r}, but {report[column]!r} in an earlier row")
    category = row.get("category", "")
    numbers = {column: row[column] for column in COUNT_NAMES if row.get(column)}
    parties = {column: row[column] for column in head if column not in COLUMNS and row.get(column)}
    if not numbers and not parties:
        return  # a row of the template that was not filled in
    if not category:
        raise BadCountFile(f"{where}: no category")
    if category in report["counts"]:
        raise BadCountFile(f"{where}: {category!r} of unit {unit} is repeated")
    counts: dict[str, Any] = {column: _number(where, column, text) for column, text in numbers.items()}
    counts["votes"] = {party: _number(where, party, text) for party, text in parties.items()}
    report["counts"][category] = counts


def _number(where: str, column: str, text: str) -> int:
    digits = text.replace(" ", "").replace("\u00a0", "")
    if not (digits.isascii() and digits.isdigit()):
        raise BadCountFile(f"{where}: {column} must be a whole number, not {text!r}")
    return int(digits)


def encode_report(report: Mapping[str, Any]) -> bytes:
    """Return a report as the bytes that are sent."""
    return dumps_trimmed(report)
