"""Areas as JSON and as CSV, and the table of all formats in which an area can be read.

The feed door offers exactly the formats in FORMATS.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from gateway.election.comparison import Change
from gateway.election.corrections import Correction
from gateway.election.explanations import Explanation
from gateway.election.layout import BALLOTS, COUNT_PLACES, COUNTED, PARTIES, Layout
from gateway.election.registry import Area, Registry
from gateway.election.report import COUNT_NAMES, STATUSES
from gateway.election.state import AreaState, ElectionState
from gateway.wire import csv_text, eml, nist
from gateway.wire.csv_text import csv_row
from gateway.wire.json import to_json
from gateway.wire.seats import seats_member

EncodeArea = Callable[[ElectionState, int], bytes]


class AreaFormat(NamedTuple):
    """A format in which an area and its children can be read."""

    name: str
    """The value of the query parameter `format`."""
    media_type: str
    encode_head: Callable[[Registry], bytes]
    """Encode what depends on the registry alone."""
    encoder: Callable[[Registry], EncodeArea]
    """Return a function that encodes the area with an index. Its result is reused until the area changes."""
    join: Callable[[ElectionState, Area, bytes, Sequence[bytes]], bytes]
    """Return the whole document of an area, from the encoded head and areas: itself, then its children."""


def area_document(state: ElectionState, index: int) -> dict[str, Any]:
    """Return an area's current values as the members of its JSON document."""
    area_state = state.areas[index]
    area = area_state.area
    document: dict[str, Any] = {
        "area": area.id,
        "parent": area.parent,
        "level": area.level,
        "name": area.name,
        "sequence": area_state.sequence,
        "published_at": area_state.published_at,
        "eligible": area.eligible,
        "units": _units(area_state),
        "counts": _counts(area_state.figures, state.layout, area.ballot),
    }
    if area.is_unit:
        revision, counted_at, status = area_state.report or (None, None, None)
        document |= {"revision": revision, "counted_at": counted_at, "status": status}
        document["correction"] = _unit_correction(area_state.correction, state.layout, area.ballot)
    else:
        document["corrections"] = area_state.corrections
        document["last_correction"] = _last_correction(area_state.correction)
    if state.comparison is not None:
        document["change"] = _change(state.comparison.change(index), state.registry, area.ballot)
    if state.seats is not None:
        document |= seats_member(state, index)
    return document


def area_counts(state: ElectionState, index: int) -> dict[str, Any]:
    """Return the member `counts` of an area's JSON document."""
    area_state = state.areas[index]
    return _counts(area_state.figures, state.layout, area_state.area.ballot)


def area_json(state: ElectionState, index: int) -> bytes:
    """Return an area's current values as JSON."""
    return to_json(area_document(state, index))


def _units(area_state: AreaState) -> dict[str, Any]:
    figures, total = area_state.figures, area_state.area.units
    by_status = {name: figures[place] for place, name in enumerate(STATUSES) if figures[place]}
    reported = sum(by_status.values())
    if reported < total:
        by_status = {"no_report": total - reported, **by_status}
    return {"total": total, "reported": reported, "by_status": by_status}


def _counts(figures: array[int], layout: Layout, ballot: frozenset[str]) -> dict[str, Any]:
    """Return the figures of each category that some unit has counted, with every party on the ballot."""
    counts = {}
    for category, base in layout.bases.items():
        if not figures[base + COUNTED]:
            continue
        entry: dict[str, Any] = {
            name: figures[base + place] for name, place, units in COUNT_PLACES if figures[base + units]
        }
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
        "explained": explanation_document(correction.explained),
        "previous": previous,
    }


def _last_correction(correction: Correction | None) -> dict[str, Any] | None:
    if correction is None:
        return None
    return {
        "sequence": correction.sequence,
        "unit": correction.unit,
        "reason": correction.reason,
        "explained": explanation_document(correction.explained),
        "ballots": correction.ballots,
    }


def explanation_document(explanation: Explanation | None) -> dict[str, str] | None:
    """Return what a correction looks like as a member of its document; null if the record does not show it."""
    if explanation is None:
        return None
    if explanation.unit is None:
        return {"code": explanation.code}
    return {"code": explanation.code, "unit": explanation.unit}


def _change(change: Change | None, registry: Registry, ballot: frozenset[str]) -> dict[str, Any] | None:
    """Return the change since the previous election, in percentage points; null if nothing can be compared."""
    if change is None:
        return None
    shares = {
        party: points(share)
        for party, share in zip(registry.party_codes, change.shares, strict=True)
        if party in ballot
    }
    return {"basis": change.basis, "shares": shares, "turnout": points(change.turnout)}


def points(hundredths: int | None) -> float | None:
    """Return hundredths as the nearest number; as JSON it has two decimals at most."""
    return None if hundredths is None else hundredths / 100


def _no_head(_: Registry) -> bytes:
    return b""


def _join_json(state: ElectionState, _: Area, _head: bytes, areas: Sequence[bytes]) -> bytes:
    rehearsal, position = state.registry.rehearsal, (state.sequence, state.chain.hex(), state.published_at)
    return join_json(areas, rehearsal, *position)


def join_json(
    areas: Sequence[bytes], rehearsal: bool, sequence: int, chain: str, published_at: datetime | None
) -> bytes:
    """Return the first area's document with two more members: the position in the record, and the other areas."""
    record = {"sequence": sequence, "chain": chain, "published_at": published_at}
    more = {"rehearsal": rehearsal, "record": record}
    parent, *children = areas
    return parent[:-1] + b"," + to_json(more)[1:-1] + b',"children":[' + b",".join(children) + b"]}"


_AREA_COLUMNS = (
    "sequence",
    "published_at",
    "area",
    "parent",
    "level",
    "name",
    "eligible",
    "units",
    "reported",
)


def csv_head(registry: Registry) -> bytes:
    """Return the header line of the table: one column per figure, such as `advance.votes.A`. Source: RFC 4180."""
    columns = [f"{category}.{name}" for category in registry.categories for name in COUNT_NAMES]
    columns += [
        f"{category}.votes.{party}" for category in registry.categories for party in registry.party_codes
    ]
    return csv_row([*_AREA_COLUMNS, *columns]).encode()


def csv_line(state: ElectionState, index: int) -> bytes:
    """Return an area as a line of the table. The cells of a category without counts are empty."""
    return csv_line_of(state.registry, area_document(state, index))


def csv_line_of(registry: Registry, document: Mapping[str, Any]) -> bytes:
    """Return a line of the table from an area's document, also from one that was read as JSON."""
    counts, units = document["counts"], document["units"]
    at = document["published_at"]
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    cells: list[object] = [
        document["sequence"],
        at and at.isoformat(),
        *(document[name] for name in ("area", "parent", "level", "name", "eligible")),
        units["total"],
        units["reported"],
    ]
    cells += [counts.get(category, {}).get(name) for category in registry.categories for name in COUNT_NAMES]
    for category in registry.categories:
        votes = counts.get(category, {}).get("votes", {})
        cells += [votes.get(party) for party in registry.party_codes]
    return csv_row(cells).encode()


def _join_lines(_: ElectionState, _area: Area, head: bytes, areas: Sequence[bytes]) -> bytes:
    return head + b"".join(areas)


JSON = AreaFormat("json", "application/json", _no_head, lambda _: area_json, _join_json)
CSV = AreaFormat("csv", csv_text.MEDIA_TYPE, csv_head, lambda _: csv_line, _join_lines)
EML = AreaFormat("eml", eml.MEDIA_TYPE, eml.head, eml.encoder, eml.join)
NIST = AreaFormat("nist", nist.MEDIA_TYPE, nist.head, nist.encoder, nist.join)
FORMATS = {each.name: each for each in (JSON, CSV, EML, NIST)}
"""By name. The first is the default, and of those with the same media type, the first is selected by `Accept`."""
TABLE_FORMATS = {each.name: each for each in (JSON, CSV)}
"""Those in which tables can be read too."""
