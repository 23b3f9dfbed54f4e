"""Areas as JSON, as event-stream events and as CSV; cursors as text.

Two events make the feed: `area` with absolute values, and `block`, which ends a run of areas of one moment and alone
carries an `id`. Source: WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

from gateway.election.record import Publication
from gateway.election.registry import Registry
from gateway.election.report import STATUSES
from gateway.election.state import (
    BALLOTS,
    BLANK,
    COUNTED,
    COUNTED_VOTERS,
    PARTIES,
    REJECTED,
    VOTERS,
    AreaState,
    Correction,
    Cursor,
    ElectionState,
    Layout,
)
from gateway.errors import MalformedCursor

_CURSOR = re.compile(r"(0|[1-9][0-9]{0,17})-([0-9a-f]{8})")


def to_json(value: object) -> bytes:
    """Write JSON as it goes over the wire: UTF-8, UTC as `Z`."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def format_cursor(cursor: Cursor) -> str:
    """Write a cursor as `sequence-cccccccc`."""
    return f"{cursor.sequence}-{cursor.prefix:08x}"


def parse_cursor(text: str) -> Cursor:
    """Read `sequence-cccccccc`, sent back by a returning subscriber; a sequence counts publications from 1.

    Raises MalformedCursor. Source: WHATWG HTML, "The Last-Event-ID header".
    """
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise MalformedCursor(f"{text[:40]!r} is not of the form sequence-cccccccc")
    return Cursor(int(match[1]), int(match[2], 16))


def area_document(state: ElectionState, index: int) -> dict[str, Any]:
    """Return one area's present values, as the feed and the plain reading show them."""
    held = state.areas[index]
    area = held.area
    document: dict[str, Any] = {
        "area": area.id,
        "parent": area.parent,
        "level": area.level,
        "name": area.name,
        "sequence": held.sequence,
        "published_at": held.published_at,
        "eligible": area.eligible,
        "units": _units(held),
        "counts": _counts(held.figures, state.layout, area.ballot),
    }
    if area.is_unit:
        revision, counted_at, status = held.report or (None, None, None)
        document |= {"revision": revision, "counted_at": counted_at, "status": status}
        document["correction"] = _unit_correction(held.correction, state.layout, area.ballot)
    else:
        document["corrections"] = held.corrections
        document["last_correction"] = _last_correction(held.correction)
    return document


def _units(held: AreaState) -> dict[str, Any]:
    by_status = {name: held.figures[place] for place, name in enumerate(STATUSES) if held.figures[place]}
    reported = sum(by_status.values())
    if reported < held.area.units:
        by_status = {"no_report": held.area.units - reported, **by_status}
    return {"total": held.area.units, "reported": reported, "by_status": by_status}


def _counts(figures: array[int], layout: Layout, ballot: frozenset[str]) -> dict[str, Any]:
    """Return the figures of each category that some unit has counted; all parties of the ballot, also with 0."""
    counts = {}
    for category, base in layout.bases.items():
        if not figures[base + COUNTED]:
            continue
        entry: dict[str, Any] = {
            "ballots": figures[base + BALLOTS],
            "blank": figures[base + BLANK],
            "rejected": figures[base + REJECTED],
        }
        if figures[base + COUNTED_VOTERS]:
            entry["voters"] = figures[base + VOTERS]
        entry["votes"] = _votes(figures, base, layout, ballot)
        counts[category] = entry
    return counts


def _votes(figures: array[int], base: int, layout: Layout, ballot: frozenset[str]) -> dict[str, int]:
    first = base + PARTIES
    return {party: figures[first + place] for party, place in layout.parties.items() if party in ballot}


def _unit_correction(
    correction: Correction | None, layout: Layout, ballot: frozenset[str]
) -> dict[str, Any] | None:
    if correction is None:
        return None
    previous = {
        category: {
            "ballots": correction.previous[base + BALLOTS],
            "votes": _votes(correction.previous, base, layout, ballot),
        }
        for category, base in layout.bases.items()
        if correction.previous[base + COUNTED]
    }
    return {
        "sequence": correction.sequence,
        "at": correction.at,
        "reason": correction.reason,
        "previous": previous,
    }


def _last_correction(correction: Correction | None) -> dict[str, Any] | None:
    if correction is None:
        return None
    return {
        "sequence": correction.sequence,
        "unit": correction.unit,
        "reason": correction.reason,
        "ballots": correction.ballots,
    }


_AREA_HEAD, _AREA_END = b"event: area\ndata: ", b"\n\n"


def area_event(state: ElectionState, index: int) -> bytes:
    """Return one area as an `area` event."""
    return _AREA_HEAD + to_json(area_document(state, index)) + _AREA_END


def document_of(event: bytes) -> bytes:
    """Return the document of an `area` event."""
    return event[len(_AREA_HEAD) : -len(_AREA_END)]


def block_event(
    cursor: Cursor,
    chain: bytes,
    published_at: datetime | None,
    *,
    snapshot: bool,
    areas: int,
    rehearsal: bool,
    server_time: datetime,
) -> bytes:
    """Return the event that ends a block of `areas` areas and moves the reader to `cursor`.

    The snapshot of a rehearsal says that it is one.
    """
    document = {
        "sequence": cursor.sequence,
        "published_at": published_at,
        "chain": chain.hex(),
        "snapshot": snapshot,
        "areas": areas,
        "server_time": server_time,
    }
    if snapshot and rehearsal:
        document["rehearsal"] = True
    return b"event: block\nid: " + format_cursor(cursor).encode() + b"\ndata: " + to_json(document) + b"\n\n"


def retry_event(delay_ms: int) -> bytes:
    """Return the field that tells a client how long to wait before it connects again."""
    return b"retry: %d\n\n" % delay_ms


def publication_line(publication: Publication) -> bytes:
    """Return one publication as JSON in a line of its own, the report just as it is stored."""
    head = to_json(
        {
            "sequence": publication.sequence,
            "published_at": publication.published_at,
            "digest": publication.digest.hex(),
            "chain": publication.chain.hex(),
        }
    )
    return head[:-1] + b',"report":' + publication.body + b"}\n"


def publication_event(line: bytes, cursor: Cursor) -> bytes:
    """Return a line of `publication_line` as a `publication` event."""
    return b"event: publication\nid: " + format_cursor(cursor).encode() + b"\ndata: " + line + b"\n"


_FIXED = ("sequence", "published_at", "area", "parent", "level", "name", "eligible", "units", "reported")
_FIGURES = ("ballots", "blank", "rejected", "voters")


def csv_head(registry: Registry) -> bytes:
    """Return the header line of areas as CSV: a column a figure (`advance.votes.A`). Source: RFC 4180."""
    columns = [f"{category}.{name}" for category in registry.categories for name in _FIGURES]
    columns += [
        f"{category}.votes.{party}" for category in registry.categories for party in registry.party_codes
    ]
    return _csv_row([*_FIXED, *columns]).encode()


def csv_line(state: ElectionState, index: int) -> bytes:
    """Return an area as a line of CSV; a category that nobody has counted has empty cells."""
    return _csv_row(_csv_cells(state, state.registry, index)).encode()


def _csv_cells(state: ElectionState, registry: Registry, index: int) -> list[object]:
    document = area_document(state, index)
    counts, units = document["counts"], document["units"]
    at = document["published_at"]
    cells: list[object] = [
        document["sequence"],
        at and at.isoformat(),
        *(document[name] for name in ("area", "parent", "level", "name", "eligible")),
        units["total"],
        units["reported"],
    ]
    cells += [counts.get(category, {}).get(name) for category in registry.categories for name in _FIGURES]
    for category in registry.categories:
        votes = counts.get(category, {}).get("votes", {})
        cells += [votes.get(party) for party in registry.party_codes]
    return cells


def _csv_row(cells: Iterable[object]) -> str:
    return ",".join(_csv_cell(cell) for cell in cells) + "\r\n"


def _csv_cell(value: object) -> str:
    text = "" if value is None else str(value)
    if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        text = "'" + text  # a spreadsheet would run it as a formula
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text
