"""Results as one table, as CSV and as JSON: for each area of a level, its totals and every party on its ballot.

Made from the registry and the documents of areas alone, so that any client that has these can make the same table.
Counts are sums over all categories. A percentage has two decimals, computed in integers and rounded half up.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from gateway.election.percentages import hundredths
from gateway.election.registry import Registry
from gateway.election.report import COUNT_NAMES
from gateway.wire import csv_text
from gateway.wire.csv_text import csv_row
from gateway.wire.json import to_json

AREA_COLUMNS = (
    "area",
    "name",
    "level",
    "parent",
    "parent_name",
    "sequence",
    "eligible",
    "units",
    "reported",
    *COUNT_NAMES,
    "votes",
    "turnout_percent",
)
"""Members of an area, which are the first columns of CSV too."""
PARTY_COLUMNS = ("party", "party_name", "party_votes", "share_percent")
"""Members of a party of an area, which are the following columns of CSV too."""
AREA_CHANGE_COLUMNS = ("compared_with", "turnout_change")
PARTY_CHANGE_COLUMNS = ("change",)
"""Members of an area and of a party if the election has a previous one; in CSV, columns at the end: that of the party
first."""

Document = Mapping[str, Any]
"""An area as in the feed."""
EncodeArea = Callable[[Document], bytes]


class Heading(NamedTuple):
    """What a table shows: areas of a level, at or below an area if one is named, and the position in the record."""

    registry: Registry
    level: str
    within: str | None
    sequence: int
    chain: bytes
    published_at: datetime | None
    compared: bool
    """Whether the election has a previous one, so that the table has changes."""


class ResultFormat(NamedTuple):
    """A format in which the table can be read: its head, the areas with a separator in between, and its end."""

    name: str
    media_type: str
    encode_head: Callable[[Heading], bytes]
    encoder: Callable[[Registry], EncodeArea]
    """Return a function that encodes an area. Its result depends on the registry and the area's document alone."""
    separator: bytes
    end: bytes


def area_totals(registry: Registry, document: Document) -> dict[str, Any]:
    """Return the totals of an area by column, percentages in hundredths; what is not counted is None.

    A unit has no turnout: ballots are counted where they were cast, and voters where they live.
    """
    counts = document["counts"].values()
    totals: dict[str, Any] = {name: document[name] for name in ("area", "name", "level", "parent")}
    parent = document["parent"]
    totals["parent_name"] = registry.by_id[parent].name if parent is not None else None
    totals |= {name: document[name] for name in ("sequence", "eligible")}
    totals |= {name: document["units"][key] for name, key in (("units", "total"), ("reported", "reported"))}
    for name in COUNT_NAMES:
        found = [each[name] for each in counts if name in each]
        totals[name] = sum(found) if found else None
    totals["votes"] = sum(sum(each["votes"].values()) for each in counts) if counts else None
    ballots, eligible = totals["ballots"], document["eligible"]
    known = ballots is not None and eligible and not registry.by_id[document["area"]].is_unit
    totals["turnout_percent"] = hundredths(ballots, eligible) if known else None
    return totals


def party_votes(registry: Registry, document: Document) -> list[tuple[str, int | None]]:
    """Return the votes of every party on the ballot, in the order of the registry; None before anything is counted."""
    ballot = registry.by_id[document["area"]].ballot
    counts = document["counts"].values()
    return [
        (party, sum(each["votes"].get(party, 0) for each in counts) if counts else None)
        for party in registry.party_codes
        if party in ballot
    ]


def csv_encoder(registry: Registry) -> EncodeArea:
    """Return a function that encodes an area as lines of CSV, one per party on its ballot."""
    parties = {party.code: csv_row((party.code, party.name))[:-2] for party in registry.parties}

    def encode(document: Document) -> bytes:
        totals = area_totals(registry, document)
        all_votes = totals["votes"]
        totals["turnout_percent"] = _decimal(totals["turnout_percent"])
        start = csv_row(totals[name] for name in AREA_COLUMNS)[:-2]
        changes = _csv_changes(document)
        lines = [
            f"{start},{parties[party]},{_text(votes)},{_decimal(_share(votes, all_votes))}{changes(party)}\r\n"
            for party, votes in party_votes(registry, document)
        ]
        return "".join(lines).encode()

    return encode


def _csv_changes(document: Document) -> Callable[[str], str]:
    """Return a function that encodes the columns of changes for a party; without columns, an empty text."""
    if "change" not in document:
        return lambda _: ""
    change = document["change"]
    if change is None:
        return lambda _: ",,,"
    shares, of_area = change["shares"], f"{change['basis']},{_signed(change['turnout'])}"
    return lambda party: f",{_signed(shares[party])},{of_area}"


def json_encoder(registry: Registry) -> EncodeArea:
    """Return a function that encodes an area as a JSON object, with its parties as an array."""
    names = {party.code: party.name for party in registry.parties}

    def encode(document: Document) -> bytes:
        totals = area_totals(registry, document)
        totals["turnout_percent"] = _number(totals["turnout_percent"])
        compared, change = "change" in document, document.get("change")
        if compared:
            totals["compared_with"] = change["basis"] if change is not None else None
            totals["turnout_change"] = change["turnout"] if change is not None else None
        totals["parties"] = [
            {
                "party": party,
                "party_name": names[party],
                "party_votes": votes,
                "share_percent": _number(_share(votes, totals["votes"])),
                **({"change": change["shares"][party] if change is not None else None} if compared else {}),
            }
            for party, votes in party_votes(registry, document)
        ]
        return to_json(totals)

    return encode


def _share(votes: int | None, all_votes: int | None) -> int | None:
    """Return a party's part of the votes of all parties, without blank ballots, in hundredths of a percent."""
    return hundredths(votes, all_votes) if votes is not None and all_votes else None


def _text(count: int | None) -> str:
    return "" if count is None else str(count)


def _decimal(value: int | None) -> str:
    return "" if value is None else f"{value // 100}.{value % 100:02}"


def _signed(points: float | None) -> str:
    """Return percentage points, which may be negative, with two decimals."""
    return "" if points is None else f"{points:.2f}"


def _number(value: int | None) -> float | None:
    """Return hundredths as the nearest number; as JSON it has two decimals at most."""
    return None if value is None else value / 100


def _csv_header(heading: Heading) -> bytes:
    changes = (*PARTY_CHANGE_COLUMNS, *AREA_CHANGE_COLUMNS) if heading.compared else ()
    return csv_row((*AREA_COLUMNS, *PARTY_COLUMNS, *changes)).encode()


def _json_head(heading: Heading) -> bytes:
    head = {
        "election": heading.registry.id,
        "rehearsal": heading.registry.rehearsal,
        "record": {
            "sequence": heading.sequence,
            "chain": heading.chain.hex(),
            "published_at": heading.published_at,
        },
        "level": heading.level,
        "within": heading.within,
    }
    return to_json(head)[:-1] + b',"areas":['


CSV = ResultFormat("csv", csv_text.MEDIA_TYPE, _csv_header, csv_encoder, b"", b"")
JSON = ResultFormat("json", "application/json", _json_head, json_encoder, b",\n", b"]}")
RESULT_FORMATS = {each.name: each for each in (JSON, CSV)}
"""By name, as in `gateway.wire.areas.FORMATS`."""
