"""The registry members `election.apportionment`, `seats` and `election.blocs`: what is read, and every mistake."""

from copy import deepcopy
from typing import Any

import pytest

from gateway.election.apportionment import (
    Apportionment,
    Bloc,
    District,
    Divisors,
    LargestRemainder,
    Threshold,
)
from gateway.election.registry import Registry, differences
from gateway.election.registry_reading import read_registry
from gateway.errors import MalformedRegistry
from tests.election.apportionment.storting import STORTING

PERCENTAGE = "expected a percentage above 0 and below 100 with at most 3 decimals"


def registry_document() -> dict[str, Any]:
    """Two counties with 4 and 5 seats, one of them with two precincts."""

    def area(id_: str, level: str, parent: str | None, **more: Any) -> dict[str, Any]:
        return {"id": id_, "name": id_, "level": level, "parent": parent, **more}

    return {
        "format": "election-registry/1",
        "election": {
            "id": "small",
            "name": "Small",
            "publish_from": "2024-09-09T21:00:00+02:00",
            "categories": ["all"],
            "apportionment": deepcopy(STORTING),
            "blocs": [{"name": "Left", "parties": ["A", "B"]}],
        },
        "areas": [
            area("land", "country", None, seats=169),
            area("north", "county", "land", seats=4),
            area("south", "county", "land", seats=5),
            area("n1", "precinct", "north"),
            area("n2", "precinct", "north"),
            area("s1", "precinct", "south"),
        ],
        "parties": [{"code": code, "name": code} for code in "ABC"],
    }


def read(**changed: Any) -> Registry:
    document = registry_document()
    document["election"]["apportionment"] |= changed
    return read_registry(document)


def problems_of(document: dict[str, Any]) -> list[str]:
    with pytest.raises(MalformedRegistry) as raised:
        read_registry(document)
    return list(raised.value.problems)


def test_apportionment_is_read_with_the_seats_of_its_districts() -> None:
    assert read().apportionment == Apportionment(
        Divisors((14, 30, 50)),
        "county",
        (District(1, 4), District(2, 5)),
        Threshold(4_000, "country"),
        1,
    )


def test_districts_may_be_the_root() -> None:
    rule = read(districts="country", levelling={"per_district": 9}).apportionment
    assert rule is not None
    assert rule.districts == (District(0, 169),)
    assert (rule.seats, rule.majority, rule.ordinary(169)) == (169, 85, 160)


def test_largest_remainder_needs_no_divisors() -> None:
    document = registry_document()
    document["election"]["apportionment"] = {"method": "largest_remainder", "districts": "county"}
    assert read_registry(document).apportionment == Apportionment(
        LargestRemainder(), "county", (District(1, 4), District(2, 5))
    )


@pytest.mark.parametrize(
    ("percent", "parts"),
    [(4, 4_000), (4.0, 4_000), ("4", 4_000), (0.67, 670), ("0.670", 670), ("12.5", 12_500), (99.999, 99_999)],
)
def test_threshold_is_exact_as_number_and_as_text(percent: object, parts: int) -> None:
    rule = read(threshold={"percent": percent, "of": "country"}).apportionment
    assert rule is not None
    assert rule.threshold == Threshold(parts, "country")


def test_blocs_are_read_with_their_names() -> None:
    document = registry_document()
    document["election"]["blocs"][0]["names"] = {"nb": "Venstresiden"}
    assert read_registry(document).blocs == (Bloc("Left", {"nb": "Venstresiden"}, (0, 1)),)


def test_a_registry_without_these_members_has_no_seats() -> None:
    document = registry_document()
    del document["election"]["apportionment"], document["election"]["blocs"]
    for area in document["areas"]:
        area["seats"] = "not read"
    read = read_registry(document)
    assert (read.apportionment, read.blocs) == (None, ())


def test_every_mistake_is_reported_with_its_path() -> None:
    document = registry_document()
    document["election"]["apportionment"] = {
        "method": "divisors",
        "divisors": [14, 14, "50"],
        "districts": "county",
        "threshold": {"percent": 100, "of": "house", "votes": 3},
        "levelling": {"per_district": 4, "of": 1},
        "alliances": [],
    }
    document["areas"][2]["seats"] = None
    document["election"]["blocs"] = [
        {"name": "", "parties": ["A", "D", 3]},
        {"name": "Right", "names": {"nb": ""}, "parties": ["C", "A"]},
        {"name": "Centre", "parties": []},
        "Left",
    ]
    assert problems_of(document) == [
        "$.election.apportionment.alliances: no such member",
        "$.election.apportionment.divisors[1]: expected an integer from 15 to 1000000",
        "$.election.apportionment.divisors[2]: expected an integer from 15 to 1000000",
        "$.election.apportionment.threshold.votes: no such member",
        f"$.election.apportionment.threshold.percent: {PERCENTAGE}",
        "$.election.apportionment.threshold.of: expected 'country' or 'district'",
        "$.election.apportionment.levelling.of: no such member",
        "$.areas[1].seats: expected an integer from 5 to 10000",
        "$.areas[2].seats: expected an integer from 5 to 10000",
        "$.election.blocs[0].name: expected 1 to 200 characters",
        "$.election.blocs[0].parties[1]: 'D' is not a party",
        "$.election.blocs[0].parties[2]: expected a party code",
        "$.election.blocs[1].names.nb: expected 1 to 200 characters",
        "$.election.blocs[1].parties[1]: A is in $.election.blocs[0] already",
        "$.election.blocs[2].parties: expected a non-empty array of party codes",
        "$.election.blocs[3]: expected an object",
    ]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"method": "lot"}, ".method: expected 'divisors' or 'largest_remainder'"),
        ({"method": "largest_remainder"}, ".divisors: the method largest_remainder has no divisors"),
        ({"divisors": [1]}, ".divisors: expected an array of 2 to 100 integers"),
        ({"divisors": list(range(1, 102))}, ".divisors: expected an array of 2 to 100 integers"),
        ({"divisors": [0, 1]}, ".divisors[0]: expected an integer from 1 to 1000000"),
        ({"divisors": [True, 2]}, ".divisors[0]: expected an integer from 1 to 1000000"),
        ({"divisors": [1, 10**7]}, ".divisors[1]: expected an integer from 2 to 1000000"),
        ({"districts": 3}, ".districts: expected the level of the districts"),
        ({"districts": "region"}, ".districts: no area has the level 'region'"),
        ({"threshold": 4}, ".threshold: expected an object"),
        (
            {"threshold": {"percent": 4, "of": "district"}},
            ".threshold.of: expected 'country': the threshold applies to levelling seats",
        ),
        ({"levelling": 1}, ".levelling: expected an object"),
        ({"levelling": {"per_district": 0}}, ".levelling.per_district: expected an integer from 1 to 10000"),
    ],
)
def test_mistake_in_the_apportionment(changed: dict[str, Any], problem: str) -> None:
    document = registry_document()
    document["election"]["apportionment"] |= changed
    assert f"$.election.apportionment{problem}" in problems_of(document)


@pytest.mark.parametrize(
    "percent",
    [
        0,
        100,
        -1,
        pytest.param(10**5000, id="long"),
        4.0001,
        "4,5",
        "4%",
        "",
        True,
        None,
        1e-7,
        float("nan"),
        "٤",
    ],
)
def test_what_is_no_percentage(percent: object) -> None:
    document = registry_document()
    document["election"]["apportionment"]["threshold"]["percent"] = percent
    assert [problem.partition(": ")[0] for problem in problems_of(document)] == [
        "$.election.apportionment.threshold.percent"
    ]


def test_apportionment_is_an_object() -> None:
    for value in (None, [], "storting"):
        document = registry_document()
        document["election"]["apportionment"] = value
        assert problems_of(document) == ["$.election.apportionment: expected an object"]


def test_every_unit_is_in_one_district() -> None:
    document = registry_document()
    document["areas"] += [
        {"id": "abroad", "name": "Abroad", "level": "precinct", "parent": "land"},
        {"id": "inner", "name": "Inner", "level": "county", "parent": "south", "seats": 3},
    ]
    assert problems_of(document) == [
        "$.areas[6]: the unit abroad is in no area of the level county",
        "$.areas[7].parent: a district cannot be inside another one",
    ]


def test_seats_of_all_districts_are_bounded() -> None:
    document = registry_document()
    document["areas"][1]["seats"] = document["areas"][2]["seats"] = 6_000
    assert problems_of(document) == ["$.areas: the districts have 12000 seats, more than 10000"]


def test_mistakes_elsewhere_do_not_hide_these() -> None:
    document = registry_document()
    document["areas"][0]["seats"] = 3
    document["areas"][3]["parent"] = "nowhere"
    document["areas"][2]["seats"] = 0
    problems = problems_of(document)
    assert "area n1: its parent 'nowhere' is not in the registry" in problems
    assert "$.areas[2].seats: expected an integer from 2 to 10000" in problems
    del document["areas"]
    assert "$.areas: expected a non-empty array" in problems_of(document)


def test_a_stored_registry_with_mistakes_has_no_seats() -> None:
    """An earlier version may have stored members of these names without reading them."""
    document = registry_document()
    document["election"]["apportionment"]["method"] = "lot"
    document["election"]["blocs"] = "none"
    read = read_registry(document, stored=True)
    assert (read.apportionment, read.blocs) == (None, ())


def test_another_apportionment_is_a_difference_between_registries() -> None:
    other = registry_document()
    other["election"]["apportionment"]["divisors"] = [1, 3]
    other["areas"][1]["seats"] = 6
    found = differences(read_registry(registry_document()), read_registry(other))
    assert found == ["$.election.apportionment", "area north differs"]
