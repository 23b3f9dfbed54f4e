"""The change of each area, compared with one that is computed from scratch from the documents alone."""

from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.previous import read_previous
from gateway.election.state import CatchUp, ElectionState
from gateway.wire.areas import area_document
from tests.counts import examples
from tests.election.makers import (
    BALLOTS,
    DOCUMENT,
    PARTIES,
    REGISTRY,
    Record,
    a_report,
    above,
    recorded_night,
    reports,
    some_counts,
)
from tests.election.test_previous import a_previous

ENTRIES: dict[str, dict[str, Any]] = {each["id"]: each for each in DOCUMENT["areas"]}
DONE = ("final", "controlled", "settled", "counted_elsewhere")
CHILDREN = {area: [each for each in ENTRIES if ENTRIES[each]["parent"] == area] for area in ENTRIES}


def percent(part: int, whole: int) -> int:
    """Hundredths of a percent, half up."""
    return int(Fraction(part, whole) * 10_000 + Fraction(1, 2))


def is_counted(report: dict[str, Any]) -> bool:
    return report["status"] in DONE or any(each["ballots"] for each in report["counts"].values())


def whole_of(areas: dict[str, Any], area: str) -> list[dict[str, Any]] | None:
    """The entries of the document that are an area at the previous election, None if it is not known."""
    if area in areas:
        return [areas[area]]
    if area in BALLOTS:
        return None
    below = [whole_of(areas, child) for child in CHILDREN[area]]
    found: list[dict[str, Any]] = []
    for each in below:
        if each is None:
            return None
        found += each
    return found


def ballots_of(entry: dict[str, Any]) -> int | None:
    if "ballots" in entry:
        return int(entry["ballots"])
    if "blank" in entry:
        return sum(entry["votes"].values()) + entry.get("other", 0) + int(entry["blank"])
    return None


def known_of(
    areas: dict[str, Any], present: dict[str, dict[str, Any]], area: str
) -> tuple[list[dict[str, Any]], int]:
    """What the counted units of an area are compared with, and the votes of those without earlier ones."""
    counted = {unit for unit in BALLOTS if unit in present and is_counted(present[unit])}
    units = {unit for unit in BALLOTS if area in above(unit)}
    if area in areas and units <= counted:
        return [areas[area]], 0
    if area in BALLOTS:
        if area not in counted or area in areas:
            return [], 0
        return [], sum(sum(each["votes"].values()) for each in present[area]["counts"].values())
    below = [known_of(areas, present, child) for child in CHILDREN[area]]
    return [entry for entries, _ in below for entry in entries], sum(votes for _, votes in below)


def votes_then(entries: list[dict[str, Any]]) -> int:
    return sum(sum(each["votes"].values()) + each.get("other", 0) for each in entries)


def expected(areas: dict[str, Any], present: dict[str, dict[str, Any]], area: str) -> dict[str, Any] | None:
    """The change of an area, from the document's entries and the units' present reports."""
    units = [unit for unit in BALLOTS if area in above(unit)]
    counts = [counts for unit in units if unit in present for counts in present[unit]["counts"].values()]
    now_all = sum(sum(each["votes"].values()) for each in counts)
    entries, others = known_of(areas, present, area)
    same = votes_then(entries) > 0 and others <= now_all / 20
    if not same:
        entries = whole_of(areas, area) or []
    then_all = votes_then(entries)
    if not then_all or not now_all:
        return None
    shares: dict[str, float | None] = {}
    for party in {party for unit in units for party in BALLOTS[unit]}:
        then = [each["votes"][party] for each in entries if party in each["votes"]]
        now = sum(each["votes"].get(party, 0) for each in counts)
        shares[party] = (percent(now, now_all) - percent(sum(then), then_all)) / 100 if then else None
    complete = all(unit in present and is_counted(present[unit]) for unit in units)
    return {
        "basis": "same_units" if same else "whole",
        "shares": shares,
        "turnout": expected_turnout(areas, present, area, complete),
    }


def expected_turnout(
    areas: dict[str, Any], present: dict[str, dict[str, Any]], area: str, complete: bool
) -> float | None:
    units = [unit for unit in BALLOTS if area in above(unit)]
    eligible, entries = ENTRIES[area].get("eligible"), whole_of(areas, area)
    if area in BALLOTS or not complete or not eligible or not entries:
        return None
    if any(present[unit]["status"] == "counting" for unit in units):
        return None
    ballots = [ballots_of(each) for each in entries]
    then = [each.get("eligible") for each in entries]
    if None in ballots or None in then or not sum(map(int, then)):
        return None
    now = sum(each["ballots"] for unit in units for each in present[unit]["counts"].values())
    return (percent(now, eligible) - percent(sum(map(int, ballots)), sum(map(int, then)))) / 100


few = st.integers(0, 40)


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    """An area of the document without mistakes."""
    entry: dict[str, Any] = {"votes": draw(st.dictionaries(st.sampled_from(PARTIES), few))}
    if draw(st.booleans()):
        entry["other"] = draw(few)
    if draw(st.booleans()):
        entry["blank"] = draw(few)
    if draw(st.booleans()):
        votes = sum(entry["votes"].values()) + entry.get("other", 0)
        entry["ballots"] = votes + (entry["blank"] if "blank" in entry else draw(few))
    if draw(st.booleans()):
        entry["eligible"] = draw(st.integers(0, 90))
    return entry


@st.composite
def previous_areas(draw: st.DrawFn) -> dict[str, Any]:
    """Some units and areas above them, or all units."""
    units = draw(st.just(tuple(BALLOTS)) | st.lists(st.sampled_from(tuple(BALLOTS)), unique=True))
    areas = {unit: draw(entries()) for unit in units}
    upper = [area for area in ENTRIES if area not in BALLOTS]
    for area in draw(st.lists(st.sampled_from(upper), unique=True, max_size=3)):
        areas[area] = draw(entries()) | {"differs": "made up"}
    return areas or {"no": draw(entries())}


@settings(max_examples=examples(240), deadline=None)
@given(previous_areas(), st.lists(reports(), max_size=12), st.data())
def test_change_is_that_of_the_documents_however_the_state_was_reached(
    areas: dict[str, Any], night: list[dict[str, Any]], data: st.DataObject
) -> None:
    """One by one, read after each; some at a time, read between them; all of them, as after a restart."""
    previous = read_previous(a_previous(areas), REGISTRY)
    record = recorded_night(night)
    one_by_one, in_parts = ElectionState(REGISTRY, previous), ElectionState(REGISTRY, previous)
    present: dict[str, dict[str, Any]] = {}
    for report, publication in zip(night, record, strict=True):
        changed = set(above(report["unit"]))
        before = {area: area_document(one_by_one, REGISTRY.by_id[area].index)["change"] for area in ENTRIES}
        one_by_one.apply(publication)
        present[report["unit"]] = report
        for area in ENTRIES:
            found = area_document(one_by_one, REGISTRY.by_id[area].index)["change"]
            assert found == expected(areas, present, area)
            assert found == before[area] or area in changed
    while in_parts.sequence < len(record):
        size = data.draw(st.integers(1, len(record) - in_parts.sequence))
        many = CatchUp(in_parts)
        many.add(record[in_parts.sequence : in_parts.sequence + size])
        for _ in many.finish():
            pass
        if data.draw(st.booleans()):
            area_document(in_parts, 0)
    at_once = ElectionState(REGISTRY, previous)
    for publication in record:
        at_once.apply(publication)
    for index in range(len(REGISTRY.areas)):
        wanted = area_document(one_by_one, index)
        assert area_document(in_parts, index) == wanted
        assert area_document(at_once, index) == wanted


def changes_of(areas: dict[str, Any], *night: dict[str, Any]) -> dict[str, Any]:
    state = ElectionState(REGISTRY, read_previous(a_previous(areas), REGISTRY))
    record = Record()
    for report in night:
        state.apply(record.write(report))
    return {area.id: area_document(state, area.index)["change"] for area in REGISTRY.areas}


def test_change_is_the_difference_of_two_shares_that_are_each_rounded() -> None:
    """A reader who subtracts the published shares gets the same; 33.33 - 66.67 = -33.34."""
    found = changes_of(
        {"a-1-1": {"votes": {"P": 2}, "other": 1}},
        a_report(counts={"advance": some_counts(P=1, **{PARTIES[3]: 2})}),
    )
    assert found["a-1-1"] == {
        "basis": "same_units",
        "shares": {"P": -33.34, PARTIES[3]: None},
        "turnout": None,
    }
    assert found["a-1"]["basis"] == "same_units"
    assert found["a-1-2"] is None
    assert found["b"] is None


def test_area_with_units_that_are_new_is_compared_as_a_whole_until_they_are_counted_with_all_around_them() -> (
    None
):
    """Their votes have no counterpart before; then the area around them has one, and areas above it too."""
    areas = {
        "a-1-1": {"votes": {"P": 50}},
        "a-1": {"votes": {"P": 60}, "other": 40},
        "a-2": {"votes": {"P": 30}, "other": 70},
        "a": {"votes": {"P": 90}, "other": 110},
    }
    old, new, other = (
        a_report(unit, counts={"advance": some_counts(P=10)}) for unit in ("a-1-1", "a-1-2", "a-2")
    )
    only_old = changes_of(areas, old)
    assert [only_old[each]["basis"] for each in ("a-1-1", "a-1", "a")] == ["same_units"] * 3
    assert only_old["a-1"]["shares"]["P"] == 0
    only_new = changes_of(areas, new)
    assert only_new["a-1-2"] is None
    assert [(only_new[each]["basis"], only_new[each]["shares"]["P"]) for each in ("a-1", "a")] == [
        ("whole", 40),
        ("whole", 55),
    ]
    both = changes_of(areas, old, new)
    assert [(both[each]["basis"], both[each]["shares"]["P"]) for each in ("a-1", "a")] == [
        ("same_units", 40),
        ("same_units", 40),
    ]
    assert changes_of(areas, old, new, other)["a"]["shares"]["P"] == 55
    assert both["no"] is not None
    assert changes_of({"b-2": {"votes": {"Q": 1}}}, old)["no"] is None


def test_a_few_votes_without_a_counterpart_do_not_change_what_an_area_is_compared_with() -> None:
    """At most one in twenty."""
    areas = {
        "a-1-1": {"votes": {"P": 50}},
        "a-1": {"votes": {"P": 60}, "other": 40},
        "a-2": {"votes": {"P": 5}},
    }
    old, other = a_report("a-1-1", counts={"advance": some_counts(P=90)}), a_report("a-2", counts={})
    few, more = (a_report("a-1-2", counts={"advance": some_counts(P=each)}) for each in (5, 6))
    assert changes_of(areas, old, few)["a-1"]["basis"] == "same_units"
    state = {
        "a-1-1": areas["a-1-1"],
        "a-2": areas["a-2"],
        "no": {"votes": {"P": 1, "Q": 1}, "differs": "made up"},
    }
    two = a_report("a-2", counts={"advance": some_counts(P=5)})
    assert changes_of(state, old, few, two)["a"]["basis"] == "same_units"
    assert changes_of(state, old, few, two)["no"]["basis"] == "same_units"
    assert changes_of(state, old, more, other)["no"]["basis"] == "whole"
    assert changes_of(state, old, more, other)["a"] is None


def test_turnout_is_compared_once_every_unit_is_counted() -> None:
    """Not while a unit is still counting, whose ballots are not all there."""
    unit = {"votes": {"P": 5, "Q": 3}, "blank": 0, "eligible": 20}
    areas = dict.fromkeys(BALLOTS, unit)
    night = [a_report(each, counts={"advance": some_counts(P=9)}) for each in BALLOTS]
    assert changes_of(areas, *night[:-1])["no"]["turnout"] is None
    complete = changes_of(areas, *night)
    assert complete["no"]["turnout"] == round(100 * 60 / 1000 - 100 * 48 / 120, 2)
    assert complete["a-2"]["turnout"] is None, "a unit"
    counting = {**night[0], "revision": 2, "status": "counting"}
    assert changes_of(areas, *night, counting)["no"]["turnout"] is None
    nothing = {**night[0], "revision": 2, "status": "counted_elsewhere", "counts": {}}
    assert changes_of(areas, *night, nothing)["no"]["turnout"] == 5 - 40


def test_an_election_without_a_previous_one_has_no_change() -> None:
    """The member is not there at all."""
    assert "change" not in area_document(ElectionState(REGISTRY), 0)
