"""A registry is read completely or not at all, and all its problems are reported at once."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.characters import CONTROL
from gateway.election.registry import Registry, differences
from gateway.election.registry_reading import read_registry
from gateway.errors import MalformedRegistry
from gateway.rehearsal.dataset import DataSet
from tests.counts import examples
from tests.election.makers import BALLOTS, DOCUMENT, PARTIES, REGISTRY, above, compact

Edit = Callable[[dict[str, Any]], object]


def edited(*edits: Edit) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    for edit in edits:
        edit(document)
    return document


def problems_of(document: object) -> tuple[str, ...]:
    with pytest.raises(MalformedRegistry) as caught:
        read_registry(document)
    return caught.value.problems


def an_area(**members: Any) -> Edit:
    entry = {"id": "new", "name": "New", "level": "precinct", "parent": "b", **members}
    return lambda document: document["areas"].append(entry)


def in_area(identifier: str, **members: Any) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        next(entry for entry in document["areas"] if entry["id"] == identifier).update(members)

    return edit


def in_header(**members: Any) -> Edit:
    return lambda document: document["election"].update(members)


def a_party(**members: Any) -> Edit:
    return lambda document: document["parties"].append(members)


def without(*path: str) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        for name in path[:-1]:
            document = document[name]
        del document[path[-1]]

    return edit


NEW = f"$.areas[{len(DOCUMENT['areas'])}]"
NEW_PARTY = f"$.parties[{len(DOCUMENT['parties'])}]"
_NAME = "expected 1 to 64 characters without white space and without , / \\ ? # % & ' or \""
_CODE = 'expected 1 to 64 characters without white space, " or \\'
_ID = "expected 1 to 64 of a-z, 0-9, '.', '_' and '-'"
_TIME = "expected an RFC 3339 time with an offset"
_TAG = "is not a language tag (BCP 47), such as 'nb', 'nn', 'se' or 'en'"
_TEXT = "expected 1 to 200 characters"

MISTAKES: list[tuple[Edit, list[str]]] = [
    (in_header(id="Upper"), [f"$.election.id: {_ID}"]),
    (in_header(id="-dash"), [f"$.election.id: {_ID}"]),
    (in_header(id="x" * 65), [f"$.election.id: {_ID}"]),
    (in_header(id=7), [f"$.election.id: {_ID}"]),
    (in_header(name=None), ["$.election.name: expected a string"]),
    (in_header(names=["Valg"]), ["$.election.names: expected an object of names by language tag"]),
    (in_header(names={"norsk bokmål": "Valg"}), [f"$.election.names: 'norsk bokmål' {_TAG}"]),
    (in_header(names={"x" * 40: "Valg"}), [f"$.election.names: '{'x' * 36}' {_TAG}"]),
    (in_header(names={"nb": ""}), [f"$.election.names.nb: {_TEXT}"]),
    (in_header(names={"nb": "Valg", "nn": None}), [f"$.election.names.nn: {_TEXT}"]),
    (an_area(names={"nb": "x" * 201}), [f"{NEW}.names.nb: {_TEXT}"]),
    (an_area(names={"nb": "Ny", "NB": "Nye"}), [f"{NEW}.names.NB: nb is the same language"]),
    (
        an_area(names={f"a{chr(97 + n)}": "x" for n in range(17)}),
        [f"{NEW}.names: 17 languages; at most 16 are allowed"],
    ),
    (a_party(code="NEW", name="New", names=None), [f"{NEW_PARTY}.names: expected an object of names by language tag"]),
    (in_header(rehearsal="yes"), ["$.election.rehearsal: expected true or false"]),
    (in_header(publish_from="2025-09-08T21:00:00"), [f"$.election.publish_from: {_TIME}"]),
    (in_header(publish_from="2025-09-08 21:00:00Z"), [f"$.election.publish_from: {_TIME}"]),
    (in_header(publish_from=1757358000), [f"$.election.publish_from: {_TIME}"]),
    (in_header(publish_from={str(n): "T" for n in range(30)}), [f"$.election.publish_from: {_TIME}"]),
    (in_header(publish_from=["T"] * 30), [f"$.election.publish_from: {_TIME}"]),
    (without("election", "publish_from"), [f"$.election.publish_from: {_TIME}"]),
    (in_header(categories=[]), ["$.election.categories: expected a non-empty array of names"]),
    (in_header(categories="advance"), ["$.election.categories: expected a non-empty array of names"]),
    (in_header(categories=["a b"]), ["$.election.categories: expected a non-empty array of names"]),
    (in_header(categories=["a", ["b"]]), ["$.election.categories: expected a non-empty array of names"]),
    (in_header(categories=["a", "a"]), ["$.election.categories: a name is repeated"]),
    (without("format"), ["$.format: expected 'election-registry/1'"]),
    (a_party(code="P", name="Again"), [f"{NEW_PARTY}.code: P is repeated"]),
    (a_party(code="a b", name="Blank"), [f"{NEW_PARTY}.code: {_CODE}"]),
    (a_party(code="", name="None"), [f"{NEW_PARTY}.code: {_CODE}"]),
    (a_party(code=["P"], name="List"), [f"{NEW_PARTY}.code: {_CODE}"]),
    (a_party(code="N"), [f"{NEW_PARTY}.name: expected a string"]),
    (a_party(code=1, name=2), [f"{NEW_PARTY}.name: expected a string", f"{NEW_PARTY}.code: {_CODE}"]),
    (lambda document: document["parties"].append("P"), [f"{NEW_PARTY}: expected an object"]),
    (lambda document: document["areas"].append(["no"]), [f"{NEW}: expected an object"]),
    (an_area(id="a-2"), [f"{NEW}.id: a-2 is repeated"]),
    (an_area(id="a,b"), [f"{NEW}.id: {_NAME}"]),
    (an_area(id="a/b"), [f"{NEW}.id: {_NAME}"]),
    (an_area(id="O'Neil"), [f"{NEW}.id: {_NAME}"]),
    (an_area(id="a b"), [f"{NEW}.id: {_NAME}"]),
    (an_area(id="a\x00b"), [f"{NEW}.id: {_NAME}"]),
    (an_area(id=""), [f"{NEW}.id: {_NAME}"]),
    (an_area(id="x" * 65), [f"{NEW}.id: {_NAME}"]),
    (an_area(id=4601), [f"{NEW}.id: {_NAME}"]),
    (an_area(name=None), [f"{NEW}.name: expected a string"]),
    (an_area(level=None), [f"{NEW}.level: {_NAME}"]),
    (an_area(level="a,b"), [f"{NEW}.level: {_NAME}"]),
    (an_area(eligible=-1), [f"{NEW}.eligible: expected a count or null"]),
    (an_area(eligible=1.5), [f"{NEW}.eligible: expected a count or null"]),
    (an_area(eligible=True), [f"{NEW}.eligible: expected a count or null"]),
    (an_area(eligible=2**53), [f"{NEW}.eligible: expected a count or null"]),
    (an_area(parent="nowhere"), ["area new: its parent 'nowhere' is not in the registry"]),
    (an_area(parent=7), [f"{NEW}.parent: expected an identifier or null"]),
    (an_area(parent=["b"]), [f"{NEW}.parent: expected an identifier or null"]),
    (an_area(parent=None), ["$.areas: expected one area without a parent, found 2"]),
    (an_area(parties="P"), [f"{NEW}.parties: expected an array of party codes"]),
    (an_area(parties=["P", "X", 3]), [f"{NEW}.parties: 'X' is not a party", f"{NEW}.parties: 3 is not a party"]),
    (an_area(parties=[["P"]]), [f"{NEW}.parties: ['P'] is not a party"]),
    (an_area(parent="new"), ["$.areas: cycle of parents: new"]),
    (in_area("b-1", parent="b-1-x"), ["$.areas: cycle of parents: b-1-x, b-1"]),
    (
        in_area("no", parent="b"),
        ["$.areas: expected one area without a parent, found 0", "$.areas: cycle of parents: b, no"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "problems"), MISTAKES)
def test_a_problem_is_reported_with_its_path(edit: Edit, problems: list[str]) -> None:
    """Each broken rule gives exactly one message of its own."""
    assert sorted(problems_of(edited(edit))) == sorted(problems)


@pytest.mark.parametrize("document", [None, [], "registry", 7])
def test_a_registry_is_an_object(document: object) -> None:
    """Any other JSON value is refused."""
    assert problems_of(document) == ("$: expected an object",)


def test_all_missing_parts_are_reported_at_once() -> None:
    """An empty object lacks every part."""
    found = "\n".join(problems_of({}))
    for part in ("$.format:", "$.election:", "$.election.id:", "$.parties:", "$.areas:", "publish_from:"):
        assert part in found


def test_problems_in_all_parts_are_reported_at_once() -> None:
    """A cycle is reported together with an invalid name and an unknown party."""
    problems = problems_of(
        edited(
            in_header(id="Ü", categories=["a", "a"]),
            a_party(code="Q"),
            an_area(id="a-2", name=3, eligible=-1, parties=["X"]),
            an_area(id="lost", parent="nowhere"),
            an_area(id="c-1", parent="c-2"),
            an_area(id="c-2", parent="c-1", level=""),
            an_area(id="d", parent="d"),
        )
    )
    second = f"$.areas[{len(DOCUMENT['areas']) + 3}]"
    assert sorted(problems) == sorted(
        [
            f"$.election.id: {_ID}",
            "$.election.categories: a name is repeated",
            f"{NEW_PARTY}.name: expected a string",
            f"{NEW_PARTY}.code: Q is repeated",
            f"{NEW}.id: a-2 is repeated",
            f"{NEW}.name: expected a string",
            f"{NEW}.eligible: expected a count or null",
            f"{NEW}.parties: 'X' is not a party",
            "area lost: its parent 'nowhere' is not in the registry",
            f"{second}.level: {_NAME}",
            "$.areas: cycle of parents: c-1, c-2",
            "$.areas: cycle of parents: d",
        ]
    )


def test_after_a_hundred_problems_the_others_are_counted() -> None:
    """The message has a bounded length and states how many problems are omitted."""
    problems = problems_of(edited(*[an_area(id="a,b")] * 250))
    assert len(problems) == 101
    assert problems[-1] == "$: and 150 more"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=examples(200))
@given(st.data())
def test_a_damaged_registry_raises_only_malformed_registry(data: st.DataObject) -> None:
    """With any value anywhere, a registry is read or its problems are reported."""
    document: Any = copy.deepcopy(DOCUMENT)
    place: Any = document
    for depth in range(data.draw(st.integers(0, 4))):
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        inner = place[key]
        if depth == 3 or not isinstance(inner, dict | list) or not inner:
            place[key] = data.draw(json_values)
            break
        place = inner
    try:
        registry = read_registry(document)
    except MalformedRegistry:
        return
    assert registry.units


# What a registry answers ---------------------------------------------------------------------------------


def check_tree(registry: Registry, document: dict[str, Any]) -> None:
    """Check every invariant of areas against the document."""
    entries = {entry["id"]: entry for entry in document["areas"]}
    all_codes = frozenset(party["code"] for party in document["parties"])
    with_children = {entry.get("parent") for entry in document["areas"]}
    units = [identifier for identifier in entries if identifier not in with_children]
    below: dict[str, set[str]] = {identifier: {identifier} for identifier in entries}
    ballots: dict[str, frozenset[str]] = {}
    own_units: dict[str, list[str]] = {identifier: [] for identifier in entries}
    for identifier in entries:
        for ancestor in above(identifier, document):
            below[ancestor].add(identifier)
    for unit in units:
        own = [entries[each]["parties"] for each in above(unit, document) if entries[each].get("parties")]
        ballots[unit] = frozenset(own[0]) if own else all_codes
        for ancestor in above(unit, document):
            own_units[ancestor].append(unit)

    assert registry.root is registry.areas[0]
    assert registry.by_id.keys() == entries.keys()
    assert list(registry.units) == [area.id for area in registry.areas if area.id in set(units)]
    for number, area in enumerate(registry.areas):
        assert area.index == number
        assert [registry.areas[index].id for index in area.path] == list(above(area.id, document))[1:]
        assert all(index < number for index in area.path)
        assert {registry.areas[index].id for index in registry.below(area)} == below[area.id]
        assert {registry.areas[index].parent for index in area.children} <= {area.id}
        assert area.is_unit == (area.id in ballots)
        assert area.units == len(own_units[area.id])
        assert area.ballot == frozenset().union(*(ballots[unit] for unit in own_units[area.id]))


def test_a_ballot_comes_from_the_nearest_area_that_has_one() -> None:
    """A county's ballot applies to all areas below it unless a municipality has its own; the default is all parties."""
    assert {unit: tuple(sorted(area.ballot)) for unit, area in REGISTRY.units.items()} == {
        unit: tuple(sorted(ballot)) for unit, ballot in BALLOTS.items()
    }
    assert REGISTRY.by_id["a"].ballot == {*BALLOTS["a-1-1"], *BALLOTS["a-2"]}
    assert REGISTRY.root.ballot == set(PARTIES)


def test_the_small_tree_matches_its_document() -> None:
    """Areas in any order of the document are sorted with parents first."""
    check_tree(REGISTRY, DOCUMENT)
    assert [area.id for area in REGISTRY.areas[:3]] == ["no", "a", "b"]
    assert REGISTRY.levels[:3] == ("country", "county", "municipality")
    assert {REGISTRY.areas[index].id for index in REGISTRY.below(REGISTRY.by_id["b-1"])} == {
        "b-1", "b-1-x", "b-1-x-1", "b-1-x-2"
    }  # fmt: skip


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """Registries of any shape, with their areas in any order."""
    count = draw(st.integers(1, 14))
    parents = [None, *(f"x{draw(st.integers(0, number - 1))}" for number in range(1, count))]
    ballot = st.none() | st.lists(st.sampled_from(PARTIES), max_size=3)
    areas = [
        {"id": f"x{number}", "name": "", "level": "some", "parent": parent, "parties": draw(ballot)}
        for number, parent in enumerate(parents)
    ]
    return {**DOCUMENT, "areas": draw(st.permutations(areas))}


@settings(deadline=None, max_examples=examples(100))
@given(trees())
def test_any_tree_matches_its_document(document: dict[str, Any]) -> None:
    """Paths, children, ballots and numbers of units agree with the document for any depth and order."""
    check_tree(read_registry(document), document)


@pytest.mark.parametrize(
    ("unit", "municipality"),
    [("a-1-1", "a-1"), ("a-2", "a-2"), ("b-1-x-1", "b-1"), ("b-2", "b")],
)
def test_each_unit_has_a_municipality(unit: str, municipality: str) -> None:
    """It is the area of that level at or above the unit, or else the unit's parent."""
    assert REGISTRY.municipality(REGISTRY.units[unit]).id == municipality


def test_a_country_of_one_unit_is_its_own_municipality() -> None:
    """The smallest election has one area."""
    registry = read_registry({**DOCUMENT, "areas": [{"id": "x", "name": "X", "level": "country"}]})
    assert registry.units.keys() == {"x"}
    assert registry.municipality(registry.root) is registry.root


def test_the_header_has_the_values_of_the_document() -> None:
    """Identifier, name, times and categories."""
    registry = read_registry(edited(in_header(rehearsal=True, seats=169)))
    assert (registry.id, registry.name) == ("made-up-1", "Made-up election")
    assert registry.publish_from == datetime(2025, 9, 8, 19, tzinfo=UTC)
    assert registry.categories == ("advance", "election_day")
    assert registry.party_codes == PARTIES
    assert registry.rehearsal
    assert not REGISTRY.rehearsal


# Differences ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda document: None, []),
        (in_header(name="Other", seats=1), ["$.election.name", "$.election.seats"]),
        (without("election", "date"), ["$.election.date"]),
        (an_area(), ["area new is new"]),
        (in_area("a-2", name="Other"), ["area a-2 differs"]),
        (lambda document: document["areas"].pop(), ["area b-2 is missing"]),
        (a_party(code="N", name="New"), ["party N is new"]),
        (lambda document: document["parties"][0].update(name="Other"), ["party P differs"]),
        (lambda document: document["areas"].reverse(), ["$.areas is in a different order"]),
        (lambda document: document["parties"].reverse(), ["$.parties is in a different order"]),
        (lambda document: document.update(source="elsewhere"), ["$.source"]),
    ],
)
def test_differences_are_reported(edit: Edit, expected: list[str]) -> None:
    """Each difference is a sentence, also if only an order differs."""
    assert differences(REGISTRY, read_registry(edited(edit))) == expected


def test_many_differences_are_counted() -> None:
    """The first are listed, and the others are counted."""
    other = read_registry(edited(*[an_area(id=f"new-{number}") for number in range(30)]))
    found = differences(REGISTRY, other)
    assert found == [*(f"area new-{number} is new" for number in range(10)), "and 20 more"]
    assert differences(other, REGISTRY, most=1) == ["area new-0 is missing", "and 29 more"]


@settings(deadline=None, max_examples=examples(100))
@given(trees(), trees())
def test_there_is_a_difference_whenever_the_bytes_differ(one: dict[str, Any], other: dict[str, Any]) -> None:
    """`differences` is empty exactly if the two documents are equal."""
    before, after = read_registry(one), read_registry(other)
    assert bool(differences(before, after)) == (before.canonical() != after.canonical())


def test_the_canonical_document_does_not_depend_on_the_order_of_members() -> None:
    """A registry written by another tool can be the same registry."""
    turned = {name: DOCUMENT[name] for name in reversed(DOCUMENT)}
    assert read_registry(turned).canonical() == REGISTRY.canonical()
    assert orjson.loads(REGISTRY.canonical()) == DOCUMENT


# Control characters --------------------------------------------------------------------------------------

STEERING = [
    "\x00", "\t", "\n", "\x1b", "\x7f", "\x85", "\x9b", "\u00ad", "\u061c", "\u200b", "\u200e", "\u2028", "\u2029",
    "\u202e", "\u2060", "\u2066", "\u2069", "\ufeff", "\U000e0041",
]  # fmt: skip


@pytest.mark.parametrize("character", STEERING)
def test_control_characters_in_any_text_are_refused(character: str) -> None:
    """In names and in members that the gateway does not use; each is reported with its path."""
    text, detail = f"a{character}b", f"U+{ord(character):04X} is a control character"
    area = f"$.areas[{[entry['id'] for entry in DOCUMENT['areas']].index('b')}]"
    for edit, path in (
        (in_header(name=text), "$.election.name"),
        (in_header(timezone=text), "$.election.timezone"),
        (in_area("b", name=text), f"{area}.name"),
        (in_area("b", links=[{"to": text}]), f"{area}.links[0].to"),
        (a_party(code="NEW", name=text), f"{NEW_PARTY}.name"),
    ):
        assert problems_of(edited(edit)) == (f"{path}: {detail}",)
    (problem,) = problems_of(edited(in_header(**{text: 1})))
    assert problem.endswith(detail)
    assert not CONTROL.search(problem)


@pytest.mark.parametrize("character", [*STEERING, "\u200c", "\u200d"])
def test_invisible_characters_in_identifiers_are_refused(character: str) -> None:
    """Otherwise two identifiers could look alike."""
    text = f"a{character}b"
    for edit, path in (
        (an_area(id=text), f"{NEW}.id"),
        (an_area(level=text), f"{NEW}.level"),
        (a_party(code=text, name="New"), f"{NEW_PARTY}.code"),
        (in_header(categories=["advance", text]), "$.election.categories"),
    ):
        assert any(problem.startswith(path) for problem in problems_of(edited(edit)))


def test_letters_of_every_script_are_allowed_in_names() -> None:
    """Including the joiners that some scripts need."""
    for name in (
        "Kárášjohka",
        "Æøå Ñ ß",
        "تهران",
        "می\u200cخواهم",
        "क्\u200dष",
        "東京",
        "Party 🎉",
        "[/x] [red]",
    ):
        assert read_registry(edited(in_area("b", name=name))).by_id["b"].name == name


NAMES = {"se": "Kárášjohka", "nb": "Karasjok", "id": "می\u200cخواهم"}


def test_names_by_language_are_read() -> None:
    """Of areas, parties and the election; `name` stays as it is."""
    registry = read_registry(
        edited(
            in_header(names=NAMES), in_area("b", names=NAMES), a_party(code="NEW", name="New", names=NAMES)
        )
    )
    assert registry.names == registry.by_id["b"].names == registry.parties[-1].names == NAMES
    assert registry.by_id["b"].name == "=B"
    assert registry.by_id["b"].all_names == ("=B", *NAMES.values())
    assert registry.parties[-1].all_names == ("New", *NAMES.values())


def test_a_part_of_the_name_of_a_party_is_no_name_of_it() -> None:
    """It may be that of another party; an area with several official names is called by each."""
    registry = read_registry(
        edited(a_party(code="NEW", name="Centre - West"), in_area("b", name="Deatnu - Tana"))
    )
    assert registry.parties[-1].all_names == ("Centre - West",)
    assert registry.by_id["b"].all_names == ("Deatnu - Tana", "Deatnu", "Tana")


def test_a_registry_without_names_by_language_has_the_bytes_that_it_had() -> None:
    """So that it is the same for every version, and can be loaded again."""
    assert REGISTRY.canonical() == compact(DOCUMENT)
    assert REGISTRY.names == {}
    assert all(area.names == {} for area in REGISTRY.areas)


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\u202e", "\u200b"])
def test_control_characters_in_names_by_language_are_refused(character: str) -> None:
    """As in `name`, also in the tag."""
    edit = in_area("b", names={"nb": f"x{character}"})
    assert any(problem.startswith("$.areas[3].names.nb: U+") for problem in problems_of(edited(edit)))
    edit = in_area("b", names={f"n{character}b": "x"})
    assert any("U+" in problem or "language tag" in problem for problem in problems_of(edited(edit)))


@pytest.mark.parametrize("names", [None, "Valg", [], {"nb": 7}, {"?": "x"}, {"nb": "x" * 300}])
def test_any_names_of_a_stored_registry_are_accepted(names: object) -> None:
    """An earlier version did not read the member. What is not valid is left out."""
    document = edited(
        in_header(names=names), in_area("b", names=names), a_party(code="N", name="N", names=names)
    )
    registry = read_registry(document, stored=True)
    assert registry.names == registry.by_id["b"].names == registry.parties[-1].names == {}
    assert registry.canonical() == compact(document)


def test_control_characters_in_a_stored_registry_are_accepted() -> None:
    """It was loaded by an earlier version, and an election that is under way must go on."""
    registry = read_registry(edited(in_area("b", name="\x1b[2J")), stored=True)
    assert registry.by_id["b"].name == "\x1b[2J"


# Whole elections -----------------------------------------------------------------------------------------


def test_a_generated_registry_is_read(small: Any) -> None:
    """The generated election has the shape of the real one."""
    registry = read_registry(small.registry)
    check_tree(registry, small.registry)
    assert {registry.municipality(unit).level for unit in registry.units.values()} == {"municipality"}


def test_the_recorded_registry_is_read(recorded: Any) -> None:
    """The real one: 357 municipalities, 3 486 units, different ballots per county."""
    document = DataSet.open(recorded).registry
    registry = read_registry(document)
    levels = [area.level for area in registry.areas]
    assert len(registry.units) == registry.root.units == 3_486
    assert (levels.count("county"), levels.count("municipality")) == (19, 357)
    assert len({registry.municipality(unit).id for unit in registry.units.values()}) == 357
    for county in registry.root.children:
        area = registry.areas[county]
        (declared,) = (set(entry["parties"]) for entry in document["areas"] if entry["id"] == area.id)
        assert {registry.areas[index].ballot for index in registry.below(area)} == {area.ballot}
        assert area.ballot == declared
    assert differences(registry, read_registry(copy.deepcopy(document))) == []


# Identifiers that look alike -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([an_area(id="b\u20112")], [f"{NEW}.id: 'b\u20112' (U+2011) looks like $.areas[11].id, 'b-2' (ASCII)"]),
        ([an_area(level="рrecinct")], [f"{NEW}.level: 'рrecinct' (U+0440) mixes scripts", f"{NEW}.level: "]),
        ([a_party(code="Р", name="N")], [f"{NEW_PARTY}.code: 'Р' (U+0420) looks like $.parties[0].code, 'P' (ASCII)"]),
        ([a_party(code="X", name="N")], [f"{NEW_PARTY}.code: 'X' (ASCII) looks like $.parties[3].code, '𝔛' (U+1D51B)"]),
        (
            [in_header(categories=["é", "e\u0301"])],
            [
                "$.election.categories[1]: 'e\u0301' (U+0301) is not in Unicode normalization form NFC",
                "$.election.categories[1]: 'e\u0301' (U+0301) looks like $.election.categories[0], 'é' (U+00E9)",
            ],
        ),
        ([in_area("a", parties=["P", "RØDT", "Q\ufe0f"])], ["$.areas[2].parties"]),
    ],
)  # fmt: skip
def test_identifiers_that_look_alike_are_refused(edits: list[Edit], expected: list[str]) -> None:
    """Both are named with their characters, whichever was first; a stored registry is read all the same."""
    found = problems_of(edited(*edits))
    assert len(found) >= len(expected)
    assert all(problem.startswith(start) for problem, start in zip(found, expected, strict=False)), found


def test_a_reference_in_another_normalization_form_is_explained() -> None:
    """Besides that there is no such area."""
    document = edited(an_area(id="å"), an_area(id="below", parent="a\u030a"))
    assert any(
        "parent: 'a\u030a' (U+030A) is not in Unicode normalization form NFC" in each
        for each in problems_of(document)
    )


def test_identifiers_that_look_alike_in_a_stored_registry_are_accepted() -> None:
    """It was loaded by an earlier version, and an election that is under way must go on."""
    registry = read_registry(edited(an_area(id="b\u20112"), a_party(code="Р", name="New")), stored=True)
    assert "b\u20112" in registry.units


def test_equal_names_are_accepted() -> None:
    """In different municipalities they are normal; under one parent `doctor` reports them."""
    assert read_registry(edited(in_area("a-1-1", name="Sentrum"), in_area("a-1-2", name="Sentrum")))
