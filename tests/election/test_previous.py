"""The document of the previous election: what it means, and every mistake with its path."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.previous import FORMAT, PreviousArea, read_previous
from gateway.election.state import ElectionState
from gateway.errors import MalformedPrevious
from tests.counts import examples
from tests.election.makers import BEYOND_BMP, COUNT_MAX, PARTIES, REGISTRY

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**40) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
UNITS: dict[str, Any] = {
    "a-1-1": {"votes": {"P": 5, BEYOND_BMP: 3}, "other": 2, "blank": 1, "eligible": 20},
    "a-1-2": {"votes": {"P": 0}, "ballots": 4, "eligible": 10},
    "a-2": {"votes": {"P": 1, "Q": 2, "RØDT": 3}, "ballots": 7, "blank": 1},
}
"""Every unit of `a`."""


def a_previous(areas: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """A document without mistakes, with other members if given."""
    return {
        "format": FORMAT,
        "election": {"id": "made-up-0", "name": "The one before", "date": "2021-09-13"},
        "source": "made up",
        "areas": UNITS if areas is None else areas,
        **members,
    }


def problems_of(document: object) -> list[str]:
    with pytest.raises(MalformedPrevious) as raised:
        read_previous(document, REGISTRY)
    return list(raised.value.problems)


def area_of(document: dict[str, Any], area: str) -> PreviousArea | None:
    return read_previous(document, REGISTRY).areas.get(REGISTRY.by_id[area].index)


def votes_of(area: PreviousArea | None) -> tuple[dict[str, int], int]:
    """The votes of each party that stood for election, and those of others."""
    assert area is not None
    count, figures = len(PARTIES), area.figures.tolist()
    stood = figures[count + 1 : 2 * count + 1]
    named = zip(PARTIES, figures[:count], stood, strict=True)
    return {party: votes for party, votes, areas in named if areas}, figures[count]


def test_an_area_has_its_votes_those_of_other_parties_and_its_ballots() -> None:
    """Ballots that are not given are the votes and the blank ballots, if these are known."""
    found = area_of(a_previous(), "a-1-1")
    assert votes_of(found) == ({"P": 5, BEYOND_BMP: 3}, 2)
    assert found is not None
    assert (found.ballots, found.eligible) == (11, 20)
    other = area_of(a_previous(), "a-1-2")
    assert votes_of(other) == ({"P": 0}, 0)
    assert other is not None
    assert other.ballots == 4


def test_areas_above_units_follow_from_areas_that_are_all_given() -> None:
    """What is not known of all of them is not known of their sum."""
    found = area_of(a_previous(), "a")
    assert votes_of(found) == ({"P": 6, BEYOND_BMP: 3, "Q": 2, "RØDT": 3}, 2)
    assert found is not None
    assert (found.ballots, found.eligible) == (22, None)
    assert area_of(a_previous(), "no") is None
    assert area_of(a_previous(), "b-1") is None


def test_an_area_above_units_may_be_given_alone() -> None:
    """Its units may have changed since; what is given is used for areas above, too."""
    document = a_previous({"a": {"votes": {"P": 9}}, "b": {"votes": {"Q": 1}}})
    assert votes_of(area_of(document, "no")) == ({"P": 9, "Q": 1}, 0)
    assert area_of(document, "a-1") is None


def test_areas_that_contradict_those_below_are_refused_unless_they_say_why() -> None:
    """Figures that are known of both have to be equal, and at least as large if some area below is missing."""
    equal = {"votes": {"P": 5, BEYOND_BMP: 3}, "other": 2, "ballots": 15, "eligible": 30}
    read_previous(a_previous({**UNITS, "a-1": equal}), REGISTRY)
    more = {**equal, "votes": {"P": 6, BEYOND_BMP: 3}, "ballots": 16, "eligible": 29}
    assert problems_of(a_previous({**UNITS, "a-1": more})) == [
        "$.areas.a-1.votes.P: 6, but the areas below have 5; `differs` may say why",
        "$.areas.a-1.ballots: 16, but the areas below have 15; `differs` may say why",
        "$.areas.a-1.eligible: 29, but the areas below have 30; `differs` may say why",
    ]
    excused = {**more, "differs": "votes from abroad"}
    assert votes_of(area_of(a_previous({**UNITS, "a-1": excused}), "a-1"))[0]["P"] == 6
    fewer = a_previous({**UNITS, "no": {"votes": {"P": 100, "Q": 100, "RØDT": 2, BEYOND_BMP: 3}, "other": 2}})
    assert problems_of(fewer) == [
        "$.areas.no.votes.RØDT: 2, but the areas below have 3 or more; `differs` may say why"
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": "valgnatt-previous/2"}, "$.format: expected 'valgnatt-previous/1'"),
        ({"note": 1}, "$.note: is not a member; expected areas, election, format, source"),
        ({"source": ""}, "$.source: expected a text of 1 to 1000 characters"),
        ({"source": "a\u202eb"}, "$.source: U+202E is a control character"),
        ({"election": []}, "$.election: expected an object"),
        ({"areas": {}}, "$.areas: expected a non-empty object of areas by identifier"),
        ({"areas": [1]}, "$.areas: expected a non-empty object of areas by identifier"),
    ],
)
def test_a_mistake_of_the_document_is_named_with_its_path(change: dict[str, Any], problem: str) -> None:
    """One mistake gives one problem."""
    assert problems_of({**a_previous(), **change}) == [problem]


@pytest.mark.parametrize(
    ("member", "value", "problem"),
    [
        ("id", 3, "id: expected a text of 1 to 200 characters"),
        ("name", None, "name: expected a text of 1 to 200 characters"),
        ("date", "2021-13-09", "date: expected a date such as '2021-09-13'"),
        ("date", "20210913", "date: expected a date such as '2021-09-13'"),
        ("names", {"nb": ""}, "names.nb: expected 1 to 200 characters"),
        ("names", {"nb": "a\x1b"}, "names.nb: U+001B is a control character"),
        ("year", 2021, "year: is not a member; expected date, id, name, names"),
    ],
)
def test_a_mistake_of_the_election_is_named_with_its_path(member: str, value: object, problem: str) -> None:
    """Its identifier may be that of any election, also one that no gateway had."""
    document = copy.deepcopy(a_previous())
    document["election"][member] = value
    assert problems_of(document) == [f"$.election.{problem}"]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (None, ": expected an object"),
        ({}, ".votes: expected an object of votes by party"),
        ({"votes": [1]}, ".votes: expected an object of votes by party"),
        ({"votes": {"X": 1}}, ".votes.X: is not a party of the registry; add its votes to `other`"),
        ({"votes": {"P": -1}}, f".votes.P: expected a count from 0 to {COUNT_MAX}"),
        ({"votes": {"P": 1.0}}, f".votes.P: expected a count from 0 to {COUNT_MAX}"),
        ({"votes": {"P": True}}, f".votes.P: expected a count from 0 to {COUNT_MAX}"),
        ({"votes": {"P": COUNT_MAX + 1}}, f".votes.P: expected a count from 0 to {COUNT_MAX}"),
        ({"votes": {}, "other": None}, f".other: expected a count from 0 to {COUNT_MAX}"),
        ({"votes": {}, "eligible": None}, f".eligible: expected a count from 0 to {COUNT_MAX}"),
        (
            {"votes": {}, "elligible": 1},
            ".elligible: is not a member; expected ballots, blank, differs, eligible, other, votes",
        ),
        ({"votes": {"P": 3}, "ballots": 2}, ".ballots: 2, but there are 3 votes"),
        (
            {"votes": {"P": 3}, "other": 1, "blank": 1, "ballots": 4},
            ".ballots: 4, but votes, other and blank are 5",
        ),
        ({"votes": {}, "differs": "why"}, ".differs: is for areas above units only"),
    ],
)
def test_a_mistake_of_an_area_is_named_with_its_path(entry: object, problem: str) -> None:
    """A party that no longer exists belongs into `other`, so that the shares of the others are right."""
    assert problems_of(a_previous({"a-2": entry})) == [f"$.areas.a-2{problem}"]


def test_every_mistake_is_reported_and_unknown_areas_are_named_printably() -> None:
    """At most 100 of them, with the number of the others."""
    found = problems_of(a_previous({"x\x1b[2J": {"votes": {}}, "a-2": {"votes": {"Y": 1}}}, source=1))
    assert found == [
        "$.source: expected a text of 1 to 1000 characters",
        r"$.areas.x\x1b[2J: is not an area of the registry",
        "$.areas.a-2.votes.Y: is not a party of the registry; add its votes to `other`",
    ]
    many = problems_of(a_previous({f"x-{number}": {} for number in range(150)}))
    assert len(many) == 101
    assert many[-1] == "$: and 50 more"
    assert problems_of(None) == ["$: expected an object"]


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_any_document_is_read_or_refused_with_paths(data: st.DataObject) -> None:
    """Whatever is in the place of one of its parts; what is read can be compared with a state."""
    document: Any = copy.deepcopy(a_previous())
    part, at = document, data.draw(st.integers(0, 3))
    while at and isinstance(part, dict) and part:
        inner = part[data.draw(st.sampled_from(sorted(part)))]
        if not isinstance(inner, dict):
            break
        part, at = inner, at - 1
    names = (
        st.sampled_from([*part, "ballots", "blank", "differs", "eligible", "names", "no", "other", "votes"])
        | st.text()
    )
    part[data.draw(names)] = data.draw(ANYTHING)
    try:
        previous = read_previous(document, REGISTRY)
    except MalformedPrevious as error:
        assert all(each.startswith("$") for each in error.problems)  # noqa: PT017
    else:
        assert ElectionState(REGISTRY, previous).comparison is not None


def test_a_stored_document_is_read_without_what_is_unknown() -> None:
    """It may have been written by a newer version, or belong to a registry that is being replaced."""
    areas = {**UNITS, "gone": {"votes": {"P": 1}}, "b-2": {"votes": {"P": 1, "X": 4}, "newer": 1}}
    document = a_previous(areas, more=1)
    previous = read_previous(document, REGISTRY, stored=True)
    assert votes_of(previous.areas[REGISTRY.by_id["b-2"].index]) == ({"P": 1}, 4)
    assert previous.header() == {**document["election"], "source": "made up"}
