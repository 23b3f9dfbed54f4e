"""An area and its children as Election Results Reporting, version 2, in JSON.

Each area is encoded by itself, as lines: its reporting unit, its ballot counts, its blank votes, and the votes of each
party. A document has the lines of all areas, put together line by line.

Source: NIST SP 1500-100 version 2, JSON schema.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from gateway.election.layout import BALLOTS, COUNT_PLACES, COUNTED, PARTIES
from gateway.election.registry import Area, Registry
from gateway.election.state import AreaState, ElectionState
from gateway.wire.exchange import date_time, is_complete, issue_time, units_reported
from gateway.wire.json import to_json
from gateway.wire.seats import seats_member

MEDIA_TYPE = "application/json"

_PLACES = {name: (place, units) for name, place, units in COUNT_PLACES}
_BLANK, _REJECTED, _VOTERS = (_PLACES[name] for name in ("blank", "rejected", "voters"))
_UNIT_TYPES = frozenset(
    (
        "borough",
        "city",
        "country",
        "county",
        "municipality",
        "polling-place",
        "precinct",
        "state",
        "town",
        "township",
        "village",
        "vote-center",
        "ward",
    )
)
"""Levels that are types of reporting units; others are `other`."""
_UNKNOWN_LANGUAGE = "und"
"""Of names whose language the registry does not say. Source: BCP 47 (RFC 5646), section 4.1."""


def head(registry: Registry) -> bytes:
    """Return the parties, as a list of JSON objects."""
    return b",".join(
        to_json(
            {
                "@id": f"party-{party.code}",
                "@type": "ElectionResults.Party",
                "Name": _text(party.name, party.names),
                "Abbreviation": _text(party.code, {}),
                "ExternalIdentifier": [_registry_id(party.code)],
            }
        )
        for party in registry.parties
    )


def encoder(registry: Registry) -> Callable[[ElectionState, int], bytes]:
    """Return a function that encodes an area as lines."""
    types = {category: _count_type(registry, category) for category in registry.categories}

    def encode(state: ElectionState, index: int) -> bytes:
        area_state = state.areas[index]
        area, figures = area_state.area, area_state.figures
        bases = state.layout.bases.items()
        counted = [(types[category], base) for category, base in bases if figures[base + COUNTED]]
        unit = {
            **_unit(area),
            "SubUnitsReported": units_reported(area_state),
            "TotalSubUnits": area.units,
            "CountStatus": [
                {
                    "@type": "ElectionResults.CountStatus",
                    "Status": _status(area_state, base),
                    **types[category],
                }
                for category, base in bases
            ],
            **_voters(area, figures, counted),
        }
        lines = [to_json(unit), b",".join(_ballots(area, figures, counted)), _blank(area, figures, counted)]
        common = to_json({"@type": "ElectionResults.VoteCounts", "GpUnitId": _id(area)})[:-1]
        begins = [
            (common + b"," + to_json(kind)[1:-1] + b',"Count":', base + PARTIES) for kind, base in counted
        ]
        seats, of_seats = _seats(state, index), common + b',"Type":"seats","Count":'
        for place, party in enumerate(registry.party_codes):
            on_ballot = begins if party in area.ballot else []
            found = [begin + b"%d}" % figures[votes + place] for begin, votes in on_ballot]
            if seats and party in area.ballot:
                found.append(of_seats + b"%d}" % seats.get(party, 0))
            lines.append(b",".join(found))
        return b"\n".join(lines)

    return encode


def _unit(area: Area) -> dict[str, Any]:
    unit = {
        "@id": _id(area),
        "@type": "ElectionResults.ReportingUnit",
        "Name": _text(area.name, area.names),
        "ExternalIdentifier": [_registry_id(area.id)],
    }
    unit |= {"Type": area.level} if area.level in _UNIT_TYPES else {"Type": "other", "OtherType": area.level}
    return unit


def _status(area_state: AreaState, base: int) -> str:
    if not area_state.figures[base + COUNTED]:
        return "not-processed"
    return "completed" if is_complete(area_state) else "in-process"


def _seats(state: ElectionState, index: int) -> dict[str, int]:
    """Return the projected seats of an area as its JSON has them; empty without seats or votes."""
    by_party = seats_member(state, index).get("seats", {}).get("by_party", {})
    return {party: each["seats"] if isinstance(each, dict) else each for party, each in by_party.items()}


def _voters(area: Area, figures: array[int], counted: Sequence[tuple[dict[str, str], int]]) -> dict[str, int]:
    found = [figures[base + _VOTERS[0]] for _, base in counted if figures[base + _VOTERS[1]]]
    voters = {"VotersParticipated": sum(found)} if found else {}
    return voters | ({"VotersRegistered": area.eligible} if area.eligible is not None else {})


def _ballots(area: Area, figures: array[int], counted: Sequence[tuple[dict[str, str], int]]) -> list[bytes]:
    return [
        to_json(
            {
                "@type": "ElectionResults.BallotCounts",
                "GpUnitId": _id(area),
                **kind,
                "BallotsCast": figures[base + BALLOTS],
                "BallotsRejected": figures[base + _REJECTED[0]],
            }
        )
        for kind, base in counted
    ]


def _blank(area: Area, figures: array[int], counted: Sequence[tuple[dict[str, str], int]]) -> bytes:
    if not counted:
        return b""
    blank = sum(figures[base + _BLANK[0]] for _, base in counted)
    return to_json({"@type": "ElectionResults.OtherCounts", "GpUnitId": _id(area), "Undervotes": blank})


def join(state: ElectionState, area: Area, parties: bytes, areas: Sequence[bytes]) -> bytes:
    """Return the whole document of an area: from the parties, the area itself, and its children."""
    registry, area_state = state.registry, state.areas[area.index]
    lines = [
        [each for each in line if each] for line in zip(*(each.split(b"\n") for each in areas), strict=True)
    ]
    if area.children:  # those of the children are not in this document
        composing = to_json({"ComposingGpUnitIds": [_id(registry.areas[child]) for child in area.children]})
        lines[0][0] = lines[0][0][:-1] + b"," + composing[1:]
    units, ballots, blank, *votes = (b",".join(line) for line in lines)
    if area is not registry.root:  # the election refers to it
        units += b"," + to_json(_unit(registry.root))
    selections: list[bytes] = []
    for number, (party, counts) in enumerate(zip(registry.party_codes, votes, strict=True), 1):
        if party in area.ballot:
            selection = {
                "@id": f"selection-{party}",
                "@type": "ElectionResults.PartySelection",
                "PartyIds": [f"party-{party}"],
                "SequenceOrder": number,
            }
            selections += [b","] * bool(selections) + _with(selection, VoteCounts=[counts])
    contest = _with(
        {
            "@id": f"contest-{area.id}",
            "@type": "ElectionResults.PartyContest",
            "Name": area.name,
            "ElectionDistrictId": _id(area),
            "SubUnitsReported": units_reported(area_state),
            "TotalSubUnits": area.units,
        },
        ContestSelection=selections,
        OtherCounts=[blank],
    )
    day = _day(registry)
    election = _with(
        {
            "@type": "ElectionResults.Election",
            "ElectionScopeId": _id(registry.root),
            "Name": _text(registry.name, registry.names),
            "StartDate": day,
            "EndDate": day,
            "Type": "general",
            "ExternalIdentifier": [_registry_id(registry.id)],
        },
        Contest=contest,
        BallotCounts=[ballots],
    )
    of_units = area.is_unit or registry.areas[area.children[0]].is_unit
    report = {
        "@type": "ElectionResults.ElectionReport",
        "Format": "precinct-level" if of_units else "summary-contest",
        "GeneratedDate": date_time(issue_time(area_state) or registry.publish_from, fractions=False),
        "Issuer": "Valgnatt",
        "IssuerAbbreviation": "valgnatt",
        "VendorApplicationId": "valgnatt",
        "IsTest": registry.rehearsal,
        "SequenceStart": 1,
        "SequenceEnd": 1,
        "Status": "unofficial-complete" if is_complete(area_state) else "unofficial-partial",
    }
    return b"".join(_with(report, Election=election, GpUnit=[units], Party=[parties]))


def _with(document: Mapping[str, Any], **lists: Sequence[bytes]) -> list[bytes]:
    """Return a JSON object with further members: lists of encoded objects, without those that are empty.

    The lists, with their commas, and the result are in pieces, so that a document is not copied at each of its levels.
    """
    pieces = [to_json(document)[:-1]]
    for name, entries in lists.items():
        if any(entries):
            pieces += (b',"%s":[' % name.encode(), *entries, b"]")
    return [*pieces, b"}"]


def _day(registry: Registry) -> str:
    """Return the day of the election, or of its publication if the registry has no valid one."""
    day = registry.document["election"].get("date")
    try:
        return date.fromisoformat(day).isoformat()
    except (TypeError, ValueError):
        return registry.publish_from.date().isoformat()


def _id(area: Area) -> str:
    return f"gp-{area.id}"


def _registry_id(identifier: str) -> dict[str, str]:
    return {
        "@type": "ElectionResults.ExternalIdentifier",
        "Type": "other",
        "OtherType": "registry",
        "Value": identifier,
    }


def _count_type(registry: Registry, category: str) -> dict[str, str]:
    known = registry.count_item_types.get(category)
    return {"Type": known} if known is not None else {"Type": "other", "OtherType": category}


def _text(text: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a name in every language that the registry has it in; first the name itself, in an unknown language."""
    return {
        "@type": "ElectionResults.InternationalizedText",
        "Text": [
            {"@type": "ElectionResults.LanguageString", "Language": language, "Content": content}
            for language, content in ((_UNKNOWN_LANGUAGE, text), *names.items())
        ],
    }
