"""Read what push needs in addition to files and registry: current reports, and reports of the outbox."""

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import orjson

from gateway.backoff import Backoff, with_jitter
from gateway.client.documents import not_a_door
from gateway.client.http_json import WAITING_S, Door, NoDocument, open_door
from gateway.client.http_session import bearer
from gateway.client.outbox import Outbox
from gateway.client.outbox_items import Destination
from gateway.count_files.reports import known_at_gateway, known_report
from gateway.count_files.revisions import Known
from gateway.errors import MalformedDocument
from gateway.humanize import duration
from gateway.output import say

REQUEST_S = 60.0
"""How long a document may take to arrive, in seconds."""
READS_AT_ONCE = 4
"""Current reports that are requested at the same time; a push door lets a token read back as many (section 11)."""
READ_S = 60.0
"""How long to ask for the current report of one unit, while the gateway answers that it is busy."""
UNIT_MAX = 64
"""Characters of a unit's identifier; no registry has a longer one, and it would not fit into a URL."""
_FORBIDDEN = "unit_forbidden"
_WITHOUT_REPORT = ("no_report", "unknown_unit", _FORBIDDEN)
"""Codes of the push door's problem documents for a unit whose report it does not give; the 404 of a proxy has none."""


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


class AtGateway(msgspec.Struct):
    """What a gateway has."""

    reports: dict[str, Known] = {}
    """The newest reports by unit, with the current ones where these are others."""
    forbidden: set[str] = set()
    """Units whose reports are not known, since the token may not report for them."""
    time: datetime | None = None
    """Its time when it was asked last, if it gave it."""

    def of(self, units: Iterable[str]) -> dict[str, Known | None]:
        """Return the current reports of units it was asked for: None where a unit has none."""
        return {unit: self.reports.get(unit) for unit in units if unit not in self.forbidden}


async def current_reports(push_url: str, election: str, token: str, units: Sequence[str]) -> AtGateway:
    """Return the current reports of units from the push door: of those that have one. Raises GatewayError."""
    found: dict[str, Known] = {}
    forbidden: set[str] = set()
    waiting = [unit for unit in reversed(units) if len(unit) <= UNIT_MAX]
    headers = bearer(token)

    async def read(door: Door) -> None:
        while waiting:
            unit = waiting.pop()
            path = f"/v1/elections/{quote(election, safe='')}/reports/{quote(unit, safe='')}"
            document = await _document(door, path, headers, _WITHOUT_REPORT)
            if isinstance(document, str):
                if document == _FORBIDDEN:
                    forbidden.add(unit)
                continue
            try:
                found[unit] = _known(document)
            except (orjson.JSONEncodeError, MalformedDocument):
                raise not_a_door("push door", push_url) from None

    async with open_door("push door", push_url, total_s=REQUEST_S) as door:
        readers = [asyncio.create_task(read(door)) for _ in range(min(READS_AT_ONCE, len(waiting)))]
        try:
            await asyncio.gather(*readers)
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
    return AtGateway(found, forbidden, door.server_time)


def _known(document: dict[str, Any]) -> Known:
    """Return the newest report in a document of the push door. Raises MalformedDocument and JSONEncodeError.

    Gateways of older versions give no `current_report`; then the newest one counts as the current one.
    """
    newest, current = orjson.dumps(document.get("report")), document.get("current_report")
    if current is not None:
        return known_at_gateway(newest, orjson.dumps(current))
    has_none = document.get("current_revision", 0) is None
    return known_at_gateway(newest, None if has_none else newest)


async def own_municipalities(push_url: str, election: str, token: str) -> dict[str, int]:
    """Return for how many units of each municipality a token may report. Raises GatewayError."""
    async with open_door("push door", push_url, total_s=REQUEST_S) as door:
        path = f"/v1/elections/{quote(election, safe='')}/transfers"
        document = await _document(door, path, bearer(token), ())
    try:
        transfers = msgspec.convert(document, _Transfers).transfers
    except msgspec.ValidationError:
        raise not_a_door("push door", push_url) from None
    return {each.municipality: each.units for each in transfers}


class _Municipality(msgspec.Struct):
    municipality: str
    units: int


class _Transfers(msgspec.Struct):
    transfers: list[_Municipality]


async def _document(
    door: Door, path: str, headers: Mapping[str, str], without: Container[str]
) -> dict[str, Any] | str:
    """Return a document, or the code of its absence if it is one in `without`; ask again while the gateway is busy."""
    backoff = Backoff(0.2, 5.0)
    clock = asyncio.get_running_loop().time
    began = clock()
    ends = began + READ_S
    while True:
        try:
            return await door.get(path, headers)
        except NoDocument as error:
            failure = error.failure
            if failure.problem is not None and failure.problem in without:
                return failure.problem
            wait_s = with_jitter(max(backoff.next(), failure.retry_after_s or 0))
            if failure.permanent or failure.status is None or clock() + wait_s > ends:
                raise
            if not door.delay_shown and clock() + wait_s > began + WAITING_S:
                say(f"{error}; trying again for up to {duration(READ_S)}", err=True)
                door.delay_shown = True
        await asyncio.sleep(wait_s)


def known_in(outbox: Outbox, to: Destination) -> Callable[[str], list[Known]]:
    """Return a function that returns the reports of a unit in the outbox that wait or have a receipt."""

    def known(unit: str) -> list[Known]:
        found = []
        for item in outbox.newest_candidates(to, unit):
            with suppress(MalformedDocument):  # added unchecked, by an older version; the gateway refuses it
                found.append(known_report(item.body))
        return found

    return known
