"""The seats of a state follow from its votes alone, however it was reached: compared with a simple calculation."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.registry import read_registry
from gateway.election.state import CatchUp, ElectionState
from gateway.wire.areas import area_document
from tests.counts import examples
from tests.election.makers import DOCUMENT, recorded_night, reports
from tests.election.naive_seats import LEVELLING, Naive, naive, with_seats

RULES: dict[str, dict[str, Any]] = {
    "levelling": LEVELLING,
    "two of each": {**LEVELLING, "levelling": {"per_district": 2}, "threshold": {"percent": "12.5", "of": "country"}},
    "no threshold": {"method": "divisors", "divisors": [1, 2, 3], "districts": "county"},
    "of the country": {
        "method": "divisors", "divisors": [12, 30, 50], "districts": "county",
        "threshold": {"percent": 10, "of": "country"},
    },
    "of the district": {
        "method": "largest_remainder", "districts": "county", "threshold": {"percent": 5, "of": "district"},
    },
    "one district": {
        "method": "divisors", "divisors": [1, 3, 5], "districts": "country",
        "threshold": {"percent": 5, "of": "country"},
    },
}  # fmt: skip
"""Each kind of apportionment."""
DOCUMENTS = {name: with_seats(DOCUMENT, rule, seats=9) for name, rule in RULES.items()}
REGISTRIES = {name: read_registry(document) for name, document in DOCUMENTS.items()}


def shown(state: ElectionState) -> dict[str, Any]:
    """The member `seats` of every area that has it."""
    documents = [area_document(state, area.index) for area in state.registry.areas]
    return {each["area"]: each["seats"] for each in documents if "seats" in each}


def votes_of(area: Mapping[str, Any], parties: list[str]) -> dict[str, int]:
    """The votes in an area's document, in the order of the registry."""
    counts = area["counts"].values()
    return {party: sum(each["votes"].get(party, 0) for each in counts) for party in parties}


def expected(document: dict[str, Any], areas: Mapping[str, Any]) -> Naive:
    """The seats by the votes in the documents of areas."""
    parties = [each["code"] for each in document["parties"]]
    level = document["election"]["apportionment"]["districts"]
    return naive(
        document, {name: votes_of(each, parties) for name, each in areas.items() if each["level"] == level}
    )


def check_seats(document: dict[str, Any], areas: Mapping[str, Any]) -> None:
    """Compare the seats in the documents of areas with those by the votes in the same documents."""
    rule = document["election"]["apportionment"]
    found = expected(document, areas)
    root = next(each for each in areas.values() if each["parent"] is None)
    house = root["seats"]
    assert house["projection"] is True
    assert {party: each["seats"] for party, each in house["by_party"].items()} == found.house
    if found.levelling is None:
        assert house["levelling"] is None
    else:
        assert [(each["district"], each["party"]) for each in house["levelling"]] == found.levelling
    by_country = rule.get("threshold", {}).get("of") == "country" and "levelling" not in rule
    for name, area in areas.items():
        if name == root["area"]:
            continue
        if name not in found.ordinary or by_country:
            assert "seats" not in area
            continue
        check_district(area["seats"], found, name)
    if "ordinary" in house:
        check_district({**house, "by_party": found.ordinary[root["area"]]}, found, root["area"])


def check_district(seats: Mapping[str, Any], found: Naive, district: str) -> None:
    assert seats["projection"] is True
    assert seats["by_party"] == found.ordinary[district]
    assert (seats["last"] or {}).get("party") == found.last[district]
    assert seats["next"] is None or seats["next"]["party"] != found.last[district]


@settings(max_examples=examples(300))
@given(data=st.data(), name=st.sampled_from(sorted(RULES)))
def test_seats_are_those_of_the_votes_however_the_state_was_reached(data: st.DataObject, name: str) -> None:
    """One by one, many at once, or both; asked for at every publication or not."""
    registry = REGISTRIES[name]
    night = recorded_night(data.draw(st.lists(reports(), min_size=1, max_size=12)))
    state, asked = ElectionState(registry), {}
    for publication in night:
        state.apply(publication)
        if data.draw(st.booleans()):
            asked[publication.sequence] = shown(state)
        areas = (
            {each.id: area_document(state, each.index) for each in registry.areas} if len(asked) % 3 else None
        )
        if areas is not None:
            check_seats(DOCUMENTS[name], areas)
    check_seats(DOCUMENTS[name], {each.id: area_document(state, each.index) for each in registry.areas})
    other, at = ElectionState(registry), 0
    while at < len(night):
        end = data.draw(st.integers(at + 1, len(night)))
        many = CatchUp(other)
        many.add(night[at:end])
        for _ in many.finish():
            pass
        at = end
        if at in asked:
            assert shown(other) == asked[at]
    assert shown(other) == shown(state)
