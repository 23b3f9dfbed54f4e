"""PURE: seats on the wire: the member `seats` of areas, and the seats of all districts as JSON and as CSV.

Each document says that its seats are a projection: an authority determines them, not a gateway.
"""

from collections.abc import Container, Generator, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from gateway.election.apportionment import Apportionment, DistrictSeats, HouseSeats, ThresholdMargin
from gateway.election.registry import Area, Registry
from gateway.election.report import STATUSES
from gateway.election.seats import HouseProjection, complete
from gateway.election.state import ElectionState
from gateway.wire.csv_text import csv_row
from gateway.wire.json import to_json

LINES_PER_STEP = 100
"""Lines of CSV per step, about a millisecond."""

Steps = Generator[None, None, bytes]
Document = dict[str, Any]

AREA_MEMBERS = ("area", "name", "level", "sequence", "units", "reported", "votes", "ordinary", "levelling")
"""The members of a district that are columns of CSV too."""
PARTY_MEMBERS = ("party", "party_name", "party_votes", "ordinary_seats", "levelling_seats", "seats")
"""The members of a party of a district, which are columns of CSV too."""
_CLAIMS = ("last", "spare", "next", "lacks", "tied")
_THRESHOLD = ("above_threshold", "threshold_spare", "threshold_lacks")
COLUMNS = (*AREA_MEMBERS, *PARTY_MEMBERS, *_CLAIMS, *_THRESHOLD)
"""The columns of CSV. From `last` on they are about the party of the row."""


def seats_member(state: ElectionState, index: int) -> Document:
    """Return the member `seats` of an area's document; empty if the area has none."""
    projection = state.seats
    if projection is None:
        return {}
    rule, registry = projection.rule, state.registry
    district = None if rule.by_country else projection.district(index)
    if index == 0:
        return {"seats": _root(rule, district, projection.house().seats, registry)}
    return {} if district is None else {"seats": _district(rule, district, registry.party_codes)}


def _root(
    rule: Apportionment, district: DistrictSeats | None, house: HouseSeats, registry: Registry
) -> Document:
    """Return the seats of the whole election; if the root is the only `district`, with its members too."""
    document = _house(rule, house, registry)
    if district is None:
        return document
    own = _district(rule, district, registry.party_codes)
    tied = [registry.party_codes[party] for party in sorted({*district.tied, *house.tied})]
    threshold = document["threshold"] or own.get("threshold", {})
    return {**own, **document, "threshold": threshold, "tied": tied}


def _district(rule: Apportionment, seats: DistrictSeats, codes: Sequence[str]) -> Document:
    document = {
        "projection": True,
        "ordinary": seats.ordinary,
        "by_party": {code: number for code, number in zip(codes, seats.seats, strict=True) if number},
        **_claims(seats, codes),
    }
    if rule.threshold is not None and rule.threshold.of == "district":
        document["threshold"] = _threshold(seats.threshold, codes)
    return document


def _claims(seats: DistrictSeats, codes: Sequence[str]) -> Document:
    """Return which party has the last ordinary seat of a district, which is next, and which are tied."""
    last, following = seats.last, seats.next
    return {
        "last": None if last is None else {"party": codes[last.party], "spare": last.spare},
        "next": None if following is None else {"party": codes[following.party], "lacks": following.lacks},
        "tied": [codes[party] for party in seats.tied],
    }


def _threshold(margins: Sequence[ThresholdMargin], codes: Sequence[str]) -> Document:
    return {
        codes[each.party]: {"above": each.above, "spare" if each.above else "lacks": each.votes}
        for each in margins
    }


def _house(rule: Apportionment, seats: HouseSeats, registry: Registry) -> Document:
    codes, areas = registry.party_codes, registry.areas
    given = seats.given if rule.levelling is not None else ()
    return {
        "projection": True,
        "by_party": {
            code: {"seats": number, "levelling": levelling}
            for code, number, levelling in zip(codes, seats.seats, seats.levelling, strict=True)
            if number
        },
        "threshold": _threshold(seats.threshold, codes),
        "levelling": None
        if given is None
        else [
            {"district": areas[rule.districts[each.district].area].id, "party": codes[each.party]}
            for each in given
        ],
        "tied": [codes[party] for party in seats.tied],
    }


class Progress(NamedTuple):
    """How much of an area is counted."""

    area: Area
    sequence: int
    reported: int


class SeatTable(NamedTuple):
    """The seats of all districts as of a moment. Nothing of it changes later."""

    registry: Registry
    rule: Apportionment
    house: HouseProjection
    root: Progress
    districts: tuple[Progress, ...]
    sequence: int
    chain: bytes
    published_at: datetime | None

    @property
    def levelling(self) -> list[dict[int, int]] | None:
        """The levelling seats of each district by party; None until they are known."""
        given = self.house.seats.given if self.rule.levelling is not None else ()
        if given is None:
            return None
        found: list[dict[int, int]] = [{} for _ in self.districts]
        for each in given:
            of_district = found[each.district]
            of_district[each.party] = of_district.get(each.party, 0) + 1
        return found


def seat_table(state: ElectionState) -> SeatTable:
    """Return the seats of a state of an election that has `apportionment`, as they are now."""
    projection = state.seats
    assert projection is not None
    rule = projection.rule

    def progress(index: int) -> Progress:
        area = state.areas[index]
        return Progress(area.area, area.sequence, sum(area.figures[: len(STATUSES)]))

    return SeatTable(
        registry=state.registry,
        rule=rule,
        house=projection.house(),
        root=progress(0),
        districts=tuple(progress(each.area) for each in rule.districts),
        sequence=state.sequence,
        chain=state.chain,
        published_at=state.published_at,
    )


def json_steps(table: SeatTable) -> Steps:
    """Encode seats as JSON, in steps of a district."""
    registry, rule = table.registry, table.rule
    only = table.house.districts[0].seats if _is_only(table) else None
    head = {
        "election": registry.id,
        "rehearsal": registry.rehearsal,
        "projection": True,
        "record": {
            "sequence": table.sequence,
            "chain": table.chain.hex(),
            "published_at": table.published_at,
        },
        "area": registry.root.id,
        "name": registry.root.name,
        "level": rule.level,
        **_numbers(table),
        "seats": _root(rule, only, table.house.seats, registry),
    }
    encoded = []
    for document in _districts(table):
        encoded.append(to_json(document))
        yield
    return to_json(head)[:-1] + b',"districts":[' + b",".join(encoded) + b"]}"


def _is_only(table: SeatTable) -> bool:
    """Whether the root is the only district."""
    return table.districts[0].area.index == 0


def _numbers(table: SeatTable) -> Document:
    """Return how many seats there are in all districts."""
    rule = table.rule
    levelling = (rule.levelling or 0) * len(rule.districts)
    return {"ordinary": rule.seats - levelling, "levelling": levelling}


def _districts(table: SeatTable) -> Iterator[Document]:
    """Return the documents of the districts."""
    rule, registry, levelling = table.rule, table.registry, table.levelling
    for number, (progress, counted) in enumerate(zip(table.districts, table.house.districts, strict=True)):
        seats = complete(rule, table.house, number)
        yield {
            **_progress(progress, sum(counted.votes)),
            "ordinary": seats.ordinary,
            "levelling": rule.levelling or 0,
            **_claims(seats, registry.party_codes),
            "parties": [
                _party(
                    registry,
                    place,
                    counted.votes[place],
                    seats.seats[place],
                    None if levelling is None else levelling[number].get(place, 0),
                )
                for place in _ballot(registry, progress.area)
            ],
        }


def _ballot(registry: Registry, area: Area) -> Iterator[int]:
    return (place for place, code in enumerate(registry.party_codes) if code in area.ballot)


def _progress(progress: Progress, votes: int) -> Document:
    area = progress.area
    return {
        "area": area.id,
        "name": area.name,
        "level": area.level,
        "sequence": progress.sequence,
        "units": area.units,
        "reported": progress.reported,
        "votes": votes,
    }


def _party(registry: Registry, place: int, votes: int, ordinary: int, levelling: int | None) -> Document:
    party = registry.parties[place]
    return {
        "party": party.code,
        "party_name": party.name,
        "party_votes": votes,
        "ordinary_seats": ordinary,
        "levelling_seats": levelling,
        "seats": None if levelling is None else ordinary + levelling,
    }


def csv_steps(table: SeatTable) -> Steps:
    """Encode seats as CSV, in steps of a few milliseconds: the whole election, then each district."""
    lines, encoded = _lines(table), [csv_row(COLUMNS).encode()]
    while part := "".join(islice(lines, LINES_PER_STEP)):
        encoded.append(part.encode())
        yield
    return b"".join(encoded)


def _lines(table: SeatTable) -> Iterator[str]:
    codes, house = table.registry.party_codes, table.house
    near = _threshold(house.seats.threshold, codes)
    tied = {codes[party] for party in house.seats.tied}
    only = _is_only(table)
    if not only:
        yield from _rows(_whole(table), tied, near)
        near, tied = {}, set()
    for document, counted in zip(_districts(table), house.districts, strict=True):
        own = near if only and near else _threshold(counted.seats.threshold, codes)
        yield from _rows(document, {*document["tied"], *tied}, own)


def _whole(table: SeatTable) -> Document:
    """Return the whole election in the form of a district."""
    registry, house = table.registry, table.house
    known = table.levelling is not None
    levelling, seats = house.seats.levelling, house.seats.seats
    return {
        **_progress(table.root, sum(house.votes)),
        **_numbers(table),
        "last": None,
        "next": None,
        "parties": [
            _party(
                registry,
                place,
                house.votes[place],
                seats[place] - levelling[place],
                levelling[place] if known else None,
            )
            for place in _ballot(registry, registry.root)
        ],
    }


def _rows(document: Document, tied: Container[str], near: Document) -> Iterator[str]:
    """Return the lines of a district, or of the whole election: one for each party."""
    area = csv_row(document[name] for name in AREA_MEMBERS)[:-2]
    last, following = document["last"] or {}, document["next"] or {}
    for party in document["parties"]:
        code = party["party"]
        margin = near.get(code, {})
        cells = [party[name] for name in PARTY_MEMBERS]
        cells += [
            _flag(last.get("party") == code) if last else None,
            last["spare"] if last.get("party") == code else None,
            _flag(following.get("party") == code) if following else None,
            following["lacks"] if following.get("party") == code else None,
            _flag(code in tied),
            _flag(margin["above"]) if margin else None,
            margin.get("spare"),
            margin.get("lacks"),
        ]
        yield f"{area},{csv_row(cells)}"


def _flag(value: bool) -> str:
    return "true" if value else "false"
