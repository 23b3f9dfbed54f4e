"""Reports from files: read and check them, and give revisions to those without one."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from gateway.client.count_files import BadCountFile, encode_report, read_counts
from gateway.client.http_json import NoDocument, open_door
from gateway.client.http_session import bearer
from gateway.client.outbox import Destination
from gateway.client.proxies import without_user
from gateway.election.registry import Registry, read_registry
from gateway.election.validation import Invalid, Scope, Validator
from gateway.errors import GatewayError, MalformedDocument

REQUEST_S = 60.0
"""How long a document may take to arrive, in seconds."""
WITHOUT_REPORT = ("no_report", "unknown_unit")
"""Codes of the push door's problem documents for a unit without a report; the 404 of a proxy has none."""


class Mistakes(GatewayError):
    """All mistakes in the given files; nothing was sent."""

    code = "mistakes"

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class Count(msgspec.Struct, frozen=True):
    """A report that is ready to be sent, and its file."""

    file: str
    unit: str
    revision: int
    status: str
    ballots: int
    body: bytes


def destination(push_url: str, election: str) -> Destination:
    """Return the key under which the outbox keeps reports for a push door.

    URLs are normalised: case, default port, trailing slash; a user name is dropped. Different addresses of the same
    gateway count as two, at the cost of duplicates only.
    """
    parts = urlsplit(push_url)
    host = (parts.hostname or "").rstrip(".")
    if ":" in host:
        host = f"[{host}]"
    if parts.port not in (None, {"http": 80, "https": 443}.get(parts.scheme)):
        host = f"{host}:{parts.port}"
    return Destination(f"{parts.scheme}://{host}{parts.path.rstrip('/')}", election)


async def registry_of(feed_url: str, election: str) -> Registry:
    """Read an election's registry from a feed door. Raises GatewayError."""
    async with open_door("feed door", feed_url, total_s=REQUEST_S) as door:
        document = await door.get(f"/v1/elections/{quote(election, safe='')}")
    if not isinstance(document.get("registry"), dict):
        raise GatewayError(f"{without_user(feed_url)}: not a feed door of version 1: check the URL")
    return read_registry(document["registry"], stored=True)


class _Revision(msgspec.Struct):
    revision: int


class _Current(msgspec.Struct):
    report: _Revision


async def current_revisions(push_url: str, election: str, token: str, units: Sequence[str]) -> dict[str, int]:
    """Return the current revision of units from the push door; 0 if there is no report. Raises GatewayError."""
    found: dict[str, int] = {}
    headers = bearer(token)
    async with open_door("push door", push_url, total_s=REQUEST_S) as door:
        for unit in units:
            path = f"/v1/elections/{quote(election, safe='')}/reports/{quote(unit, safe='')}"
            try:
                found[unit] = msgspec.convert(await door.get(path, headers), _Current).report.revision
            except NoDocument as error:
                if error.failure.problem not in WITHOUT_REPORT:
                    raise
                found[unit] = 0
            except msgspec.ValidationError:
                raise GatewayError(
                    f"{without_user(push_url)}: not a push door of version 1: check the URL"
                ) from None
    return found


def units_without_revision(files: Mapping[str, bytes]) -> list[str]:
    """Return the units for which a report without a revision is in the files."""
    found: dict[str, None] = {}
    for name, content in files.items():
        try:
            reports = read_counts(name, content)
        except BadCountFile:
            continue  # reported when the file is read for sending
        for report in reports:
            if "revision" not in report and isinstance(report.get("unit"), str):
                found[report["unit"]] = None
    return list(found)


def read_files(
    files: Mapping[str, bytes],
    registry: Registry | None,
    last_revision: Callable[[str], int],
    known_revisions: Callable[[bytes], Sequence[tuple[str, int]]] = lambda _: (),
) -> list[Count]:
    """Read files, add missing revisions, and check every report against the registry, if there is one.

    `known_revisions` returns unit and revision of each report of a file that was pushed before; the same numbers are
    used again, so that pushing a file twice creates no new revisions. Raises Mistakes with all mistakes.
    """
    mistakes: list[str] = []
    counts: list[Count] = []
    validator = Validator(registry) if registry is not None else None
    scope = Scope(registry, frozenset({registry.root.id})) if registry is not None else None
    given: dict[str, int] = {}
    for name, content in files.items():
        try:
            reports = read_counts(name, content)
        except BadCountFile as error:
            mistakes.append(str(error))
            continue
        if not reports:
            mistakes.append(f"{name}: contains no report")
        before = dict(enumerate(known_revisions(content), 1))
        for place, read in enumerate(reports, 1):
            unit, report = read.get("unit"), dict(read)
            if "revision" not in report and isinstance(unit, str):
                known_unit, known_revision = before.get(place, (None, 0))
                if known_unit != unit:
                    known_revision = max(last_revision(unit), given.get(unit, 0)) + 1
                report["revision"] = known_revision
            body = encode_report(report)
            where = f"{name}, unit {unit}" if isinstance(unit, str) else f"{name}, report {place}"
            if validator is not None and scope is not None:
                mistakes += [f"{where}: {text}" for text in _mistakes(validator, scope, body)]
            if isinstance(unit, str) and isinstance(report.get("revision"), int):
                given[unit] = max(given.get(unit, 0), report["revision"])
                counts.append(_count(name, report, body))
            elif validator is None:
                mistakes.append(f"{where}: unit or revision is missing")
    if mistakes:
        raise Mistakes(mistakes)
    return counts


def _mistakes(validator: Validator, scope: Scope, body: bytes) -> list[str]:
    try:
        judged = validator.check(body, scope)
    except MalformedDocument as error:
        return [str(error)]
    if not isinstance(judged, Invalid):
        return []
    return [f"{violation.path}: {violation.detail}" for violation in judged.violations]


def _count(name: str, report: Mapping[str, Any], body: bytes) -> Count:
    counts = report.get("counts")
    ballots = 0
    if isinstance(counts, dict):
        ballots = sum(
            each["ballots"]
            for each in counts.values()
            if isinstance(each, dict) and isinstance(each.get("ballots"), int)
        )
    return Count(name, report["unit"], report["revision"], str(report.get("status", "")), ballots, body)


def file_digest(content: bytes) -> bytes:
    """Return the digest that identifies the content of a file."""
    return hashlib.sha256(content).digest()
