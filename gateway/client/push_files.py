"""Reports from files: read and check them, and give revisions to those without one."""

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import orjson

from gateway.backoff import Backoff, with_jitter
from gateway.client.count_files import FILE_MAX, REPORTS_MAX, encode_report, read_counts, too_many_reports
from gateway.client.counted_times import early_counts, future_counts
from gateway.client.http_json import Door, NoDocument, open_door
from gateway.client.http_session import bearer
from gateway.client.outbox import Destination, Outbox
from gateway.client.parts import (
    MISTAKES_MAX,
    BadCountFile,
    MistakeList,
    Part,
    TooManyMistakes,
    mistakes_of,
    too_many_mistakes,
)
from gateway.client.proxies import without_user
from gateway.client.revisions import Known, Numbered, number, numbered_by_files
from gateway.client.versions import Contradiction, Version, merge
from gateway.election.registry import Registry, read_registry
from gateway.election.validation import Invalid, Scope, Validator, check_shape
from gateway.errors import GatewayError, MalformedDocument
from gateway.humanize import counted

FILES_MAX = 2 * FILE_MAX
"""Bytes of all files of one command."""
REQUEST_S = 60.0
"""How long a document may take to arrive, in seconds."""
READS_AT_ONCE = 4
"""Current reports that are requested at the same time; a push door lets a token read back as many (section 11)."""
READ_S = 60.0
"""How long to ask for the current report of one unit, while the gateway answers that it is busy."""
UNIT_MAX = 64
"""Characters of a unit's identifier; no registry has a longer one, and it would not fit into a URL."""
WITHOUT_REPORT = ("no_report", "unknown_unit")
"""Codes of the push door's problem documents for a unit without a report; the 404 of a proxy has none."""


class Mistakes(GatewayError):
    """All mistakes in the given files; nothing was sent."""

    code = "mistakes"

    def __init__(self, mistakes: Sequence[str], files: Iterable[str] = ()) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)
        self.files = frozenset(files)
        """Names of the files that have them."""


class TooManyReports(Mistakes):
    """More reports than one command pushes; each file may be valid on its own."""

    code = "too_many_reports"


class Count(msgspec.Struct, frozen=True):
    """A report that is ready to be sent."""

    version: Version
    revision: int
    body: bytes
    chosen: bool
    """Whether its revision was chosen here, as the files give none."""

    @property
    def unit(self) -> str:
        """The unit."""
        return self.version.unit

    @property
    def status(self) -> str:
        """The status."""
        return str(self.version.document["status"])

    @property
    def ballots(self) -> int:
        """All ballots of the unit."""
        return sum(counts["ballots"] for counts in self.version.document["counts"].values())


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


class AtGateway(msgspec.Struct):
    """What a gateway has."""

    reports: dict[str, Known] = {}
    """Current reports by unit."""
    time: datetime | None = None
    """Its time when it was asked last, if it gave it."""


async def current_reports(
    push_url: str, election: str, token: str, units: Sequence[str], without: Container[str] = WITHOUT_REPORT
) -> AtGateway:
    """Return the current reports of units from the push door, of those that have one.

    A unit has none if the problem document has one of the codes in `without`. Raises GatewayError.
    """
    found: dict[str, Known] = {}
    waiting = [unit for unit in reversed(units) if len(unit) <= UNIT_MAX]
    headers = bearer(token)

    async def read(door: Door) -> None:
        while waiting:
            unit = waiting.pop()
            path = f"/v1/elections/{quote(election, safe='')}/reports/{quote(unit, safe='')}"
            document = await _document_of_unit(door, path, headers, without)
            if document is None:
                continue
            try:
                found[unit] = known_report(orjson.dumps(document.get("report")))
            except (orjson.JSONEncodeError, MalformedDocument):
                raise GatewayError(
                    f"{without_user(push_url)}: not a push door of version 1: check the URL"
                ) from None

    async with open_door("push door", push_url, total_s=REQUEST_S) as door:
        readers = [asyncio.create_task(read(door)) for _ in range(min(READS_AT_ONCE, len(waiting)))]
        try:
            await asyncio.gather(*readers)
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
    return AtGateway(found, door.server_time)


async def _document_of_unit(
    door: Door, path: str, headers: Mapping[str, str], without: Container[str]
) -> dict[str, Any] | None:
    """Return a unit's current report and receipt, or None if it has none; ask again while the gateway is busy."""
    backoff = Backoff(0.2, 5.0)
    clock = asyncio.get_running_loop().time
    ends = clock() + READ_S
    while True:
        try:
            return await door.get(path, headers)
        except NoDocument as error:
            failure = error.failure
            if failure.problem in without:
                return None
            wait_s = with_jitter(max(backoff.next(), failure.retry_after_s or 0))
            if failure.permanent or failure.status is None or clock() + wait_s > ends:
                raise
        await asyncio.sleep(wait_s)


def known_report(body: bytes) -> Known:
    """Return a report that the gateway or the outbox has. A newer version may have stored members unknown to this one.

    Raises MalformedDocument.
    """
    for each in check_shape(body):
        if each.code not in ("unknown_member", "unknown_status", "unknown_reason"):
            raise MalformedDocument(f"{each.path}: {each.detail}")
    document = orjson.loads(body)
    return Known(document["revision"], document)


class FileReports(msgspec.Struct, frozen=True):
    """The reports in all files of a command, checked and merged by unit."""

    versions: tuple[Version, ...]
    empty_units: int
    """Units of tables that are left out because nothing was entered for them."""


def read_files(files: Mapping[str, bytes], registry: Registry | None) -> FileReports:
    """Read files, check every report, also against the registry, if there is one, and merge the parts of each unit.

    Raises Mistakes with all mistakes, of each file MISTAKES_MAX at most, and TooManyReports.
    """
    mistakes: list[str] = []
    wrong: set[str] = set()
    parts: list[Part] = []
    if sum(map(len, files.values())) > FILES_MAX:
        raise TooManyReports([f"more than {FILES_MAX >> 20} MiB in all files; push them one after the other"])
    empty_units = 0
    for name, content in files.items():
        try:
            read = read_counts(name, content)
        except BadCountFile as error:
            of_file = list(error.mistakes)
        else:
            of_file = _against_registry(name, read.parts, registry) if registry is not None else []
            of_file += [] if read.parts else [f"{name}: contains no report"]
            parts += read.parts
            if len(parts) > REPORTS_MAX:
                raise TooManyReports([too_many_reports("all files")])
            empty_units += len(read.empty_units)
        mistakes += of_file
        wrong |= {name} if of_file else set()
    versions, contradictions = merge(parts)
    mistakes += _listed(contradictions)
    if mistakes:
        raise Mistakes(mistakes, wrong.union(*(each.files for each in contradictions)))
    return FileReports(tuple(versions), empty_units)


def _against_registry(name: str, parts: Sequence[Part], registry: Registry) -> list[str]:
    validator, scope = Validator(registry), Scope(registry, frozenset({registry.root.id}))
    mistakes = MistakeList()
    try:
        for part in parts:
            judged = validator.check(encode_report({"revision": 1, **part.document}), scope)
            if isinstance(judged, Invalid):
                mistakes.extend(mistakes_of(part, judged.violations))
        mistakes.extend(early_counts(parts, registry))
    except TooManyMistakes:
        return [*mistakes.texts, too_many_mistakes(name)]
    return mistakes.texts


def _listed(contradictions: Sequence[Contradiction]) -> list[str]:
    """Return the messages of the first MISTAKES_MAX, and how many more there are."""
    more = len(contradictions) - MISTAKES_MAX
    return [
        *map(str, contradictions[:MISTAKES_MAX]),
        *([f"… and {counted(more, 'more unit')} whose counts contradict"] if more > 0 else []),
    ]


def give_revisions(
    versions: Sequence[Version],
    current: Mapping[str, Known],
    outbox: Callable[[str], Sequence[Known]],
    now: datetime | None = None,
) -> list[Count]:
    """Return versions as reports with revisions: those from the files, or else chosen by `revisions.number`.

    `current` are the gateway's current reports, as far as it was asked for them, and `outbox` returns those of a unit
    that wait or have a receipt.
    Raises Mistakes for all units whose newest count is not known, and for counts after `now`, the gateway's time.
    """
    contradictions: list[Contradiction] = [*future_counts(versions, now)] if now is not None else []
    counts: list[Count] = []
    for unit, group in groupby(versions, key=lambda version: version.unit):
        of_unit = list(group)
        try:
            if of_unit[0].revision is None:
                counts += map(_count, number(of_unit, current.get(unit), outbox(unit)))
            else:
                counts += map(_count, numbered_by_files(of_unit, outbox(unit), current.get(unit)))
        except Contradiction as error:
            contradictions.append(error)
    if contradictions:
        files = frozenset[str]().union(*(each.files for each in contradictions))
        raise Mistakes(_listed(contradictions), files)
    return counts


def _count(numbered: Numbered) -> Count:
    return Count(numbered.version, numbered.revision, encode_report(numbered.document), numbered.chosen)


def known_in(outbox: Outbox, to: Destination) -> Callable[[str], list[Known]]:
    """Return a function that returns the reports of a unit in the outbox that wait or have a receipt."""

    def known(unit: str) -> list[Known]:
        found = []
        for item in outbox.newest_candidates(to, unit):
            with suppress(MalformedDocument):  # added unchecked, by an older version; the gateway refuses it
                found.append(known_report(item.body))
        return found

    return known
