"""The seats of a state follow from its votes alone, however it was reached: compared with a simple calculation."""

import copy
import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election import seats
from gateway.election.apportionment.reading import REMAINDERS_MAX, ROWS_MAX, SHARES_MAX
from gateway.election.registry_reading import read_registry
from gateway.election.state import CatchUp, ElectionState
from gateway.errors import MalformedRegistry
from gateway.rehearsal.dataset import DataSet
from gateway.wire.areas import area_document
from tests.counts import count, examples
from tests.election.apportionment.storting import with_seats as of_storting
from tests.election.makers import DOCUMENT, PARTIES, Record, a_report, recorded_night, reports, some_counts
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


@settings(max_examples=examples(300), deadline=None)
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


def _noting(calls: list[str], name: str, calculate: Callable[..., Any]) -> Callable[..., Any]:
    def noting(*given: Any) -> Any:
        calls.append(name)
        return calculate(*given)

    return noting


def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the calculations that are made from now on."""
    calls: list[str] = []
    for name in ("district", "seats_among", "house"):
        monkeypatch.setattr(seats, name, _noting(calls, name, getattr(seats, name)))
    return calls


def test_seats_are_computed_only_where_votes_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when publications are applied, nor for one with the same votes, however often they are asked for."""
    calls, record = computed(monkeypatch), Record()
    state = ElectionState(REGISTRIES["levelling"])

    def publish(unit: str, votes: int, **members: Any) -> None:
        counts = {"advance": some_counts(blank=votes, P=votes)}
        state.apply(record.write(a_report(unit, len(record.publications) + 1, counts=counts, **members)))

    for unit in ("a-2", "b-2", "a-1-1"):
        publish(unit, 10)
    assert calls == []
    shown(state)
    assert sorted(calls) == ["district", "district", "house"]
    calls.clear()
    shown(state)
    publish("a-2", 10, status="final")
    before = shown(state)
    assert calls == []
    publish("a-2", 20)
    publish("a-1-2", 20)
    after = shown(state)
    assert calls == ["district", "house"]
    assert after["a"] != before["a"]
    assert after["b"] == before["b"]


def test_a_threshold_of_the_country_costs_as_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the changed district is allocated again, unless another party reaches the threshold or no longer does."""
    calls, record = computed(monkeypatch), Record()
    state = ElectionState(REGISTRIES["of the country"])

    def publish(unit: str, **votes: int) -> None:
        counts = {"advance": some_counts(**votes)}
        state.apply(record.write(a_report(unit, len(record.publications) + 1, counts=counts)))

    publish("a-2", P=1000, Q=500)
    publish("b-2", P=1000, Q=500, RØDT=100)
    shown(state)
    assert sorted(calls) == ["house", "seats_among", "seats_among"]
    calls.clear()
    publish("b-2", P=1001, Q=500, RØDT=100)
    shown(state)
    assert calls == ["seats_among", "house"]
    calls.clear()
    publish("b-2", P=1001, Q=500, RØDT=900)
    shown(state)
    assert calls == ["seats_among", "seats_among", "house"]


def test_each_step_of_refreshing_computes_one_district(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a process that reads a long record is never busy with seats for long."""
    state = ElectionState(REGISTRIES["no threshold"])
    for publication in recorded_night([a_report("a-2"), a_report("b-2")]):
        state.apply(publication)
    calls = computed(monkeypatch)
    assert state.seats is not None
    steps = [len(calls) for _ in state.seats.refresh()]
    assert steps == [1, 2]
    assert calls == ["district", "district", "house"]


@pytest.mark.parametrize("name", ["levelling", "of the country", "no threshold"])
def test_a_registry_whose_seats_would_take_too_long_is_refused(name: str) -> None:
    """By the number of districts times that of parties; one that is stored already is not."""
    document = copy.deepcopy(DOCUMENTS[name])
    districts = 100
    document["areas"] += [
        {"id": f"m-{place}", "name": "More", "level": "county", "parent": "no", "seats": 4}
        for place in range(2, districts)
    ]
    most = ROWS_MAX if name == "no threshold" else SHARES_MAX
    for parties in (most // districts, most // districts + 1):
        document["parties"] += [
            {"code": f"X{place}", "name": "Another"} for place in range(len(document["parties"]), parties)
        ]
        if districts * parties <= most:
            assert read_registry(document).apportionment is not None
        else:
            with pytest.raises(MalformedRegistry, match=r"\$\.areas: .* are too many for this apportionment"):
                read_registry(document)
            assert read_registry(document, stored=True).apportionment is not None


def test_many_parties_with_largest_remainders_and_a_threshold_are_refused() -> None:
    """The search for `lacks` and `spare` takes time that grows with the square of their number."""
    document = copy.deepcopy(DOCUMENTS["of the district"])
    document["parties"] += [
        {"code": f"X{place}", "name": "Another"} for place in range(len(PARTIES), REMAINDERS_MAX)
    ]
    assert read_registry(document).apportionment is not None
    document["parties"].append({"code": "Y", "name": "One more"})
    with pytest.raises(MalformedRegistry, match=r"\$\.parties: more than 200"):
        read_registry(document)
    assert read_registry(document, stored=True).apportionment is not None


def test_the_seats_of_the_recorded_night_are_those_of_its_votes(recorded: Path) -> None:
    """At moments over the night; at the end, the last seat of Oslo and the house are the official ones."""
    document = of_storting(DataSet.open(recorded).registry)
    registry, parts = read_registry(document), count(6, full=100)
    with gzip.open(recorded / "reports.ndjson.gz") as file:
        night = recorded_night(json.loads(line)["report"] for line in file)
    state = ElectionState(registry)
    above = [area for area in registry.areas if area.level in ("country", "county")]
    for part in range(parts):
        many = CatchUp(state)
        many.add(night[part * len(night) // parts : (part + 1) * len(night) // parts])
        for _ in many.finish():
            pass
        check_seats(document, {area.id: area_document(state, area.index) for area in above})
    seats = shown(state)
    assert seats["03"]["last"] == {"party": "V", "spare": 467}
    assert seats["03"]["next"] == {"party": "RØDT", "lacks": 468}
    assert {party: each["seats"] for party, each in seats["no"]["by_party"].items()} == {
        "A": 53, "FRP": 47, "H": 24, "KRF": 7, "MDG": 8, "RØDT": 9, "SP": 9, "SV": 9, "V": 3
    }  # fmt: skip
