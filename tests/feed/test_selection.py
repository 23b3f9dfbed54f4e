"""Which areas a reader selects, by level and area."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.registry import Area
from gateway.election.registry_reading import read_registry
from gateway.feed.selection import AREAS_MAX, BadSelection, Selection, read_selection, runs_of
from tests.counts import examples
from tests.election.makers import DOCUMENT, REGISTRY, above

LEVELS = {entry["id"]: entry["level"] for entry in DOCUMENT["areas"]}
UNITS = set(LEVELS) - {entry["parent"] for entry in DOCUMENT["areas"]}


def selected(levels: str | None = None, areas: str | None = None) -> set[str]:
    selection = read_selection(REGISTRY, levels, areas)
    names = {area.id for area in REGISTRY.areas if area.index in selection.members}
    found = [index for _, run in selection.runs() for index in run]
    assert found == [area.index for area in REGISTRY.areas if area.id in names]
    return names


def naive(levels: str | None, areas: str | None) -> set[str]:
    """The same, computed from the document alone."""
    return {
        area
        for area, level in LEVELS.items()
        if (area not in UNITS if levels is None else level in levels.split(","))
        and (areas is None or set(areas.split(",")) & set(above(area)))
    }


lists_of_levels = st.none() | st.lists(
    st.sampled_from(sorted(set(LEVELS.values()))), min_size=1, max_size=7
).map(",".join)
lists_of_areas = st.none() | st.lists(st.sampled_from(sorted(LEVELS)), min_size=1, max_size=5).map(",".join)


@settings(deadline=None, max_examples=examples(150))
@given(lists_of_levels, lists_of_areas)
def test_a_selection_is_the_areas_of_those_levels_at_or_below_those_areas(
    levels: str | None, areas: str | None
) -> None:
    """By default all areas that have children, without restriction."""
    assert selected(levels, areas) == naive(levels, areas)


@settings(deadline=None, max_examples=examples(150))
@given(lists_of_levels, lists_of_areas, lists_of_levels, lists_of_areas)
def test_selections_with_equal_keys_have_the_same_members(
    levels: str | None, areas: str | None, other_levels: str | None, other_areas: str | None
) -> None:
    """Blocks are shared by key."""
    one = read_selection(REGISTRY, levels, areas)
    other = read_selection(REGISTRY, other_levels, other_areas)
    if one.key == other.key:
        assert _members(one) == _members(other)


def _members(selection: Selection) -> set[int]:
    return {area.index for area in REGISTRY.areas if area.index in selection.members}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("county,municipality", None), ("municipality,county", None)),
        (("county,county,", None), ("county", None)),
        ((None, "a,b"), (None, "b,a,a,")),
        ((None, "no"), (None, None)),
        ((None, "no,a"), (None, None)),
        (
            (",".join(REGISTRY.levels), "b"),
            (",".join(reversed(REGISTRY.levels)), ",b"),
        ),
    ],
)
def test_equal_selections_have_equal_keys(
    one: tuple[str | None, str | None], other: tuple[str | None, str | None]
) -> None:
    """However they are written, so that readers share blocks."""
    assert read_selection(REGISTRY, *one).key == read_selection(REGISTRY, *other).key


def test_different_selections_have_different_keys() -> None:
    """With any characters in the names of levels and areas."""
    areas = [
        {"id": "x", "name": "", "level": "*"},
        {"id": "x|", "name": "", "level": "a", "parent": "x"},
        {"id": "|", "name": "", "level": "a|x", "parent": "x|"},
        {"id": "*", "name": "", "level": "a", "parent": "x|"},
    ]
    registry = read_registry({**DOCUMENT, "areas": areas})
    parameters = [
        (levels, area)
        for levels in (None, "*", "a", "a|x", "*,a", "a,a|x", "*,a,a|x")
        for area in (None, "x|", "|", "*", "x|,|")
    ]
    found = {each: read_selection(registry, *each) for each in parameters}
    assert len({selection.key for selection in found.values()}) == len(parameters)
    assert {area.id for area in registry.areas if area.index in found["*", None].members} == {"x"}


@pytest.mark.parametrize(
    ("levels", "areas", "message"),
    [
        ("planet", None, "name 1 of levels is not a level; there are country, county"),
        ("county,", None, ""),
        ("county,planet", None, "name 2 of levels"),
        ("County", None, "name 1 of levels"),
        (" county", None, "name 1 of levels"),
        ("", None, "an empty list selects nothing"),
        (",", None, "an empty list selects nothing"),
        (None, "", "an empty list selects nothing"),
        (None, "nowhere", "name 1 of areas is not an area"),
        (None, "a,nowhere", "name 2 of areas"),
        (None, "x" * 9_000, "name 1 of areas"),
        (None, ",".join(f"x{number}" for number in range(AREAS_MAX + 1)), "21 areas; at most 20"),
    ],
)
def test_unknown_levels_and_areas_are_refused(levels: str | None, areas: str | None, message: str) -> None:
    """A reader with a mistyped area must not wait for it forever."""
    if not message:
        assert read_selection(REGISTRY, levels, areas)
        return
    with pytest.raises(BadSelection, match=message) as caught:
        read_selection(REGISTRY, levels, areas)
    said = str(caught.value)
    assert len(said) < 200
    for name in (*(levels or "").split(","), *(areas or "").split(",")):
        assert not name or name in REGISTRY.levels or name not in said.split(), (
            "someone may have put a token there"
        )


def test_twenty_areas_may_be_named() -> None:
    """Repeated names do not count."""
    document = {
        **DOCUMENT,
        "areas": [
            *DOCUMENT["areas"],
            *({"id": f"x{number}", "name": "", "level": "precinct", "parent": "b-2"} for number in range(AREAS_MAX)),
        ],
    }  # fmt: skip
    registry = read_registry(document)
    names = [f"x{number}" for number in range(AREAS_MAX)]
    selection = read_selection(registry, "precinct", ",".join(names * 2))
    assert sum(len(run) for _, run in selection.runs()) == AREAS_MAX


class Unread(tuple[Area, ...]):
    """Areas that must not be iterated."""

    def __iter__(self) -> Iterator[Area]:
        raise AssertionError("all areas were looked at")


@pytest.mark.parametrize(("levels", "common"), [(None, True), ("county", True), ("municipality", False)])
def test_reading_a_selection_does_not_iterate_over_the_areas(
    monkeypatch: pytest.MonkeyPatch, levels: str | None, common: bool
) -> None:
    """The cost does not depend on the number of units."""
    monkeypatch.setattr(runs_of(REGISTRY), "areas", Unread(REGISTRY.areas))
    assert read_selection(REGISTRY, levels, None).common is common
