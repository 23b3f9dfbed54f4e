"""Areas as NIST SP 1500-100 version 2: valid for its schema, with the figures of the state, and consistent."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.errors import MalformedRegistry
from gateway.wire.areas import NIST, area_document
from tests.counts import examples
from tests.election.makers import CATEGORIES, DOCUMENT, REGISTRY, Record, a_report, reports, some_counts
from tests.schemas import nist_errors
from tests.wire.pages import area_page


def a_state(*history: dict[str, Any], registry: Any = REGISTRY) -> ElectionState:
    record, state = Record(), ElectionState(registry)
    for report in history:
        state.apply(record.write(report))
    return state


def with_categories(*categories: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    document["election"]["categories"] = [*categories]
    return document


def figures(document: dict[str, Any], area: str) -> dict[str, Any]:
    """What a reader finds about an area: by category, and sums."""
    [election] = document["Election"]
    [contest] = election["Contest"]
    found: dict[str, Any] = {}
    for each in election.get("BallotCounts", []):
        if each["GpUnitId"] == f"gp-{area}":
            entry = {"ballots": each["BallotsCast"], "rejected": each["BallotsRejected"], "votes": {}}
            found[each["OtherType"]] = entry
    for selection in contest["ContestSelection"]:
        for each in selection.get("VoteCounts", []):
            if each["GpUnitId"] == f"gp-{area}":
                found[each["OtherType"]]["votes"][selection["PartyIds"][0].removeprefix("party-")] = each[
                    "Count"
                ]
    blank = [
        each["Undervotes"] for each in contest.get("OtherCounts", []) if each["GpUnitId"] == f"gp-{area}"
    ]
    return {"counts": found, "blank": blank}


def references(value: Any, known: set[str], used: set[str]) -> None:
    """Collect what is defined and what is referred to in a document."""
    if isinstance(value, list):
        for each in value:
            references(each, known, used)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name == "@id":
                assert each not in known
                known.add(each)
            elif name.endswith(("Id", "Ids")) and name != "VendorApplicationId":
                used.update([each] if isinstance(each, str) else each)
            references(each, known, used)


@settings(deadline=None, max_examples=examples(15))
@given(st.lists(reports(), max_size=5))
def test_every_area_is_valid_and_has_the_figures_of_its_json(history: list[dict[str, Any]]) -> None:
    """The area and its children; blank votes have no category in this format."""
    state = a_state(*history)
    for area in REGISTRY.areas:
        page = area_page(NIST, state, area.id)
        assert nist_errors()(page) == []
        document = json.loads(page)
        for index in (area.index, *area.children):
            shown = area_document(state, index)
            counts = shown["counts"]
            expected = {
                category: {name: each[name] for name in ("ballots", "rejected", "votes")}
                for category, each in counts.items()
            }
            blank = [sum(each["blank"] for each in counts.values())] if counts else []
            found = figures(document, shown["area"])
            assert found == {"counts": expected, "blank": blank}
            [unit] = [each for each in document["GpUnit"] if each["@id"] == f"gp-{shown['area']}"]
            voters = [each["voters"] for each in counts.values() if "voters" in each]
            assert unit.get("VotersParticipated") == (sum(voters) if voters else None)
            assert unit.get("VotersRegistered") == shown["eligible"]
            assert (unit["SubUnitsReported"], unit["TotalSubUnits"]) == (
                shown["units"]["reported"],
                shown["units"]["total"],
            )


@pytest.mark.parametrize("area", [area.id for area in REGISTRY.areas])
def test_whatever_a_document_refers_to_is_in_it(area: str) -> None:
    """Units, parties and the scope of the election."""
    known: set[str] = set()
    used: set[str] = set()
    references(json.loads(area_page(NIST, a_state(a_report("a-1-1")), area)), known, used)
    assert used <= known


def test_a_document_without_any_report_is_valid() -> None:
    """Its date is the beginning of publication, as the format requires one."""
    page = area_page(NIST, a_state(), "no")
    assert nist_errors()(page) == []
    document = json.loads(page)
    assert document["GeneratedDate"] == "2025-09-08T21:00:00+02:00"
    assert document["Status"] == "unofficial-partial"
    statuses = {each["Status"] for unit in document["GpUnit"] for each in unit["CountStatus"]}
    assert statuses == {"not-processed"}


@pytest.mark.parametrize(
    ("statuses", "status", "of_category"),
    [
        (["preliminary"], "unofficial-partial", "in-process"),
        (["preliminary", "counting"], "unofficial-partial", "in-process"),
        (["preliminary", "counted_elsewhere"], "unofficial-complete", "completed"),
    ],
)
def test_the_status_follows_from_those_of_the_units(
    statuses: list[str], status: str, of_category: str
) -> None:
    """Complete once every unit is counted."""
    units = zip(("a-1-1", "a-1-2"), statuses, strict=False)
    state = a_state(*(a_report(unit, status=each) for unit, each in units))
    document = json.loads(area_page(NIST, state, "a-1"))
    assert document["Status"] == status
    found = {each["OtherType"]: each["Status"] for each in document["GpUnit"][0]["CountStatus"]}
    assert found == {"advance": of_category, "election_day": "not-processed"}


def test_fractions_of_the_time_are_left_out_and_a_large_offset_becomes_utc() -> None:
    """The pattern of the schema has neither."""
    for sent, expected in (
        ("2025-09-08T22:36:55.123456789+02:00", "2025-09-08T22:36:55+02:00"),
        ("2025-09-08t22:36:55z", "2025-09-08T22:36:55+00:00"),
        ("2025-09-08T22:36:55+23:00", "2025-09-07T23:36:55+00:00"),
    ):
        page = area_page(NIST, a_state(a_report("a-1-1", counted_at=sent)), "a-1-1")
        assert json.loads(page)["GeneratedDate"] == expected
        assert nist_errors()(page) == []


def test_the_registry_says_what_a_category_is() -> None:
    """An entry of `categories` may be an object; what it does not say is `other`, with the name."""
    document = with_categories({"id": "advance", "nist": "early"}, "election_day")
    document["election"]["rehearsal"] = True
    registry = read_registry(document)
    assert registry.categories == CATEGORIES
    page = area_page(NIST, a_state(a_report("a-1-1"), registry=registry), "a-1-1")
    assert nist_errors()(page) == []
    whole = json.loads(page)
    assert whole["IsTest"]
    assert [(each["Type"], each.get("OtherType")) for each in whole["GpUnit"][0]["CountStatus"]] == [
        ("early", None),
        ("other", "election_day"),
    ]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"id": "advance", "nist": "seats"}, "$.election.categories[0].nist: expected one of absentee, "),
        ({"id": "advance", "nist": ["early"]}, "$.election.categories[0].nist: expected one of absentee, "),
        ({"id": "advance", "name": "Advance"}, "$.election.categories[0].name: unknown member of a category"),
        ({"nist": "early"}, "$.election.categories: expected a non-empty array of names"),
        ({"id": "election_day"}, "$.election.categories: a name is repeated"),
    ],
)
def test_what_is_wrong_with_a_category_is_reported(entry: Any, problem: str) -> None:
    """With its path in the registry."""
    with pytest.raises(MalformedRegistry) as error:
        read_registry(with_categories(entry, "election_day"))
    assert any(each.startswith(problem) for each in error.value.problems)


def test_names_are_given_in_every_language() -> None:
    """The name itself first, in an unknown language."""
    document = copy.deepcopy(DOCUMENT)
    document["parties"][0]["names"] = {"nn": "Partiet P"}
    page = area_page(NIST, a_state(registry=read_registry(document)), "a-1-1")
    texts = json.loads(page)["Party"][0]["Name"]["Text"]
    assert [(each["Language"], each["Content"]) for each in texts] == [
        ("und", "Party P"),
        ("nn", "Partiet P"),
    ]


def test_the_seats_of_districts_and_of_the_root_are_in_it() -> None:
    """Where the registry says how seats are given, and once there are votes; parties without seats have 0."""
    document = copy.deepcopy(DOCUMENT)
    document["election"]["apportionment"] = {
        "method": "divisors",
        "divisors": [1, 3, 5],
        "districts": "county",
    }
    for area in document["areas"]:
        if area["level"] == "county":
            area["seats"] = 3
    registry = read_registry(document)

    def seats(page: bytes) -> dict[str, dict[str, int]]:
        assert nist_errors()(page) == []
        found: dict[str, dict[str, int]] = {}
        for selection in json.loads(page)["Election"][0]["Contest"][0]["ContestSelection"]:
            for each in selection.get("VoteCounts", []):
                if each["Type"] == "seats":
                    party = selection["PartyIds"][0].removeprefix("party-")
                    found.setdefault(each["GpUnitId"], {})[party] = each["Count"]
        return found

    assert seats(area_page(NIST, a_state(registry=registry), "no")) == {}
    state = a_state(a_report("a-2", counts={"advance": some_counts(P=10, Q=9)}), registry=registry)
    of_a = {"P": 2, "Q": 1, "RØDT": 0}
    found = seats(area_page(NIST, state, "no"))
    assert found.keys() == {"gp-no", "gp-a"}
    assert {party: number for party, number in found["gp-a"].items() if party in of_a} == of_a
    assert {party: number for party, number in found["gp-no"].items() if number} == {"P": 2, "Q": 1}
    assert seats(area_page(NIST, state, "a-2")) == {}
