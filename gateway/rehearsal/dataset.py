"""A data set: an election in a directory, with input (registry, reports) and expected results (official totals).

    registry.json           election, area tree, parties
    reports.ndjson.gz       the reports of each municipality, ordered by `counted_at`
    official.ndjson.gz      the totals of these reports, ordered by `generated_at`
    errors.json             the errors that are known to be among the reports; optional
    previous.json           the previous election, mapped to the registry; optional

The two streams are read line by line and may also be uncompressed (`reports.ndjson`). Reading checks only that a line
is JSON and has the members needed to replay it; the gateway validates reports. Written files depend only on their
content: the same data gives the same bytes.
"""

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from gateway.election.previous import BYTES_MAX as PREVIOUS_BYTES_MAX
from gateway.errors import GatewayError
from gateway.rehearsal import known_errors

REGISTRY_FORMAT = "election-registry/1"
REGISTRY = "registry.json"
REPORTS = "reports.ndjson"
OFFICIAL = "official.ndjson"
ERRORS = "errors.json"
PREVIOUS = "previous.json"
LINE_MAX = 1 << 20
"""Bytes of a line of a stream; a packed file of a few kilobytes could have lines that fill the memory."""


class DataSetError(GatewayError):
    """A data set cannot be read; the message gives the file and, for a stream, the line."""

    code = "malformed_data_set"


@dataclass(frozen=True, slots=True)
class RecordedReport:
    """A report, with the municipality that pushed it."""

    municipality: str
    report: dict[str, Any]
    counted_at: datetime
    """`counted_at` of the report, which orders the stream."""


@dataclass(frozen=True, slots=True)
class PlacedReport:
    """A report of a recording, of any sender."""

    place: str
    """`file:line`."""
    report: dict[str, Any]
    counted_at: datetime


@dataclass(frozen=True, slots=True)
class DataSet:
    """An open data set. Invariants: the registry has been read; the streams existed when it was opened."""

    path: Path
    registry: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path, streams: Iterable[str] = (REPORTS, OFFICIAL)) -> "DataSet":
        """Open the directory `path`. Raises DataSetError if a file is missing or the registry cannot be read.

        A recording without official totals has no stream OFFICIAL.
        """
        directory = Path(path)
        if not directory.is_dir():
            raise DataSetError(f"{directory}: no such directory")
        registry = read_registry_file(directory / REGISTRY)
        for stream in streams:
            _existing(directory, stream)
        return cls(directory, registry)

    def reports(self) -> Iterator[RecordedReport]:
        """Yield every report, in the order of the file. Raises DataSetError at the first invalid line."""
        for place, line in self._lines(REPORTS):
            municipality, report = line.get("municipality"), line.get("report")
            if not isinstance(municipality, str) or not isinstance(report, dict):
                raise DataSetError(f"{place}: not a line with a `municipality` and a `report`")
            yield RecordedReport(municipality, report, _moment(report.get("counted_at"), place))

    def placed_reports(self) -> Iterator[PlacedReport]:
        """Yield every report with its place in the file; lines may also be publications of the record.

        Raises DataSetError at the first invalid line.
        """
        for place, line in self._lines(REPORTS):
            report = line.get("report")
            if not isinstance(report, dict):
                raise DataSetError(f"{place}: not a line with a `report`")
            yield PlacedReport(place, report, _moment(report.get("counted_at"), place))

    def official(self) -> Iterator[dict[str, Any]]:
        """Yield every official total, in the order of the file."""
        for _, line in self._official_lines():
            yield line

    def official_finals(self) -> dict[str, dict[str, Any]]:
        """Return the final total of each area, by area. Raises DataSetError if an area has two."""
        finals: dict[str, dict[str, Any]] = {}
        for place, line in self._official_lines():
            if line.get("final") is True:
                if line["area"] in finals:
                    raise DataSetError(f"{place}: area {line['area']} already has a final line")
                finals[line["area"]] = line
        return finals

    def errors(self) -> tuple[known_errors.KnownError, ...]:
        """Return the known errors among the reports; none if there is no such file. Raises DataSetError."""
        path = self.path / ERRORS
        try:
            return known_errors.read(path.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            raise DataSetError(f"{path}: {_reason(error)}") from error

    def previous(self) -> dict[str, Any] | None:
        """Return the document of the previous election; None if there is no such file. Raises DataSetError."""
        path = self.path / PREVIOUS
        return read_previous_file(path) if path.exists() else None

    def _official_lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for place, line in self._lines(OFFICIAL):
            if not isinstance(line.get("area"), str):
                raise DataSetError(f"{place}: not a line with an `area`")
            yield place, line

    def _lines(self, stream: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each JSON object of a stream with its place, `file:line`, lines counted from 1."""
        path = _existing(self.path, stream)
        number = 0
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
                for number, line in enumerate(iter(lambda: lines.readline(LINE_MAX + 1), b""), 1):
                    place = f"{path}:{number}"
                    if len(line) > LINE_MAX:
                        raise DataSetError(f"{place}: longer than {LINE_MAX >> 20} MiB")
                    if line.strip():
                        yield place, _parse(line, place)
        except (EOFError, OSError, zlib.error) as error:
            raise DataSetError(f"{path}:{number + 1}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, without its path."""
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def write(
    path: str | Path,
    registry: Mapping[str, Any],
    reports: Iterable[Mapping[str, Any]],
    official: Iterable[Mapping[str, Any]],
    errors: Mapping[str, Any] | None = None,
) -> None:
    """Write a data set into the directory `path`, which is created if missing; existing files are replaced.

    `reports` and `official` are lines as in the files; they are consumed one at a time and written in order. If that
    fails, or is interrupted, what was there before is there still.
    """
    directory = Path(path)
    created = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=".part-", dir=directory) as part:
            _write_files(Path(part), registry, reports, official)
            for stream in (REPORTS, OFFICIAL):
                # An uncompressed file would be that of another election.
                (directory / stream).unlink(missing_ok=True)
                (Path(part) / f"{stream}.gz").replace(directory / f"{stream}.gz")
            (directory / ERRORS).unlink(missing_ok=True)
            if errors is not None:
                (Path(part) / ERRORS).write_bytes(_one_per_line(errors))
                (Path(part) / ERRORS).replace(directory / ERRORS)
            (Path(part) / REGISTRY).replace(directory / REGISTRY)  # last: without it, this is no data set
    except BaseException:
        if created:
            with suppress(OSError):
                directory.rmdir()
        raise


def require_empty(path: str | Path) -> None:
    """Raise DataSetError if a directory for a new data set has anything in it, or is none."""
    directory = Path(path)
    if os.path.lexists(directory) and not directory.is_dir():
        raise DataSetError(f"{directory}: exists and is not a directory")
    if directory.is_dir() and any(directory.iterdir()):
        raise DataSetError(
            f"{directory}: exists and is not empty; nothing is overwritten: name a new directory"
        )


def read_registry_file(path: Path) -> dict[str, Any]:
    """Read a registry document from a file, or from a data set's directory. Raises DataSetError."""
    if path.is_dir():
        path /= REGISTRY
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataSetError(f"{path}: {_reason(error)}") from error
    registry = _parse(content, str(path))
    if registry.get("format") != REGISTRY_FORMAT:
        raise DataSetError(f"{path}: format is {registry.get('format')!r}, not {REGISTRY_FORMAT!r}")
    return registry


def read_previous_file(path: Path) -> dict[str, Any]:
    """Read the document of a previous election from a file, or from a data set's directory. Raises DataSetError."""
    if path.is_dir():
        path /= PREVIOUS
    try:
        with path.open("rb") as file:
            content = file.read(PREVIOUS_BYTES_MAX + 1)
    except OSError as error:
        raise DataSetError(f"{path}: {_reason(error)}") from error
    if len(content) > PREVIOUS_BYTES_MAX:
        raise DataSetError(f"{path}: more than {PREVIOUS_BYTES_MAX >> 20} MiB")
    return _parse(content, str(path))


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document with a line for each area, in place of an existing file. Raises OSError."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(_one_per_line(document))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _existing(directory: Path, stream: str) -> Path:
    for path in (directory / f"{stream}.gz", directory / stream):
        if path.is_file():
            return path
    raise DataSetError(f"{directory}: neither {stream}.gz nor {stream} exists")


def _parse(content: bytes, place: str) -> dict[str, Any]:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise DataSetError(f"{place}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataSetError(f"{place}: not a JSON object")
    return value


def _moment(value: object, place: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise DataSetError(f"{place}: `counted_at` is not a time with an offset: {value!r}")
    return moment


def _one_per_line(document: Mapping[str, Any]) -> bytes:
    """Return JSON with one line per element of its lists (area, party, error), to be readable and comparable."""
    members = []
    for name, value in document.items():
        text = orjson.dumps(value)
        if isinstance(value, list):
            text = b"[\n" + b",\n".join(map(orjson.dumps, value)) + b"\n]"
        elif name == "areas" and isinstance(value, dict):
            lines = [orjson.dumps(area) + b": " + orjson.dumps(entry) for area, entry in value.items()]
            text = b"{\n" + b",\n".join(lines) + b"\n}"
        members.append(orjson.dumps(name) + b": " + text)
    return b"{\n" + b",\n".join(members) + b"\n}\n"


def _write_files(
    directory: Path,
    registry: Mapping[str, Any],
    reports: Iterable[Mapping[str, Any]],
    official: Iterable[Mapping[str, Any]],
) -> None:
    (directory / REGISTRY).write_bytes(_one_per_line(registry))
    _write_lines(directory / f"{REPORTS}.gz", reports)
    _write_lines(directory / f"{OFFICIAL}.gz", official)


def _write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
    ):
        for line in lines:
            packed.write(orjson.dumps(line) + b"\n")
