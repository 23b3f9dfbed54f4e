"""Reports beside those that they replace: before and now, warnings and red lines."""

import json
from typing import Any

import msgspec

from gateway.count_files.comparison import Comparison, compare, other_units, permille
from gateway.election.registry_reading import read_registry

REGISTRY = read_registry({
    "format": "election-registry/1",
    "election": {
        "id": "e", "name": "E", "publish_from": "2024-09-09T21:00:00+02:00", "categories": ["advance", "election_day"],
    },
    "parties": [{"code": code, "name": code} for code in ("A", "B")],
    "areas": [
        {"id": "no", "name": "Norge", "level": "country", "parent": None, "eligible": 60_000},
        {"id": "11", "name": "Jevnaker", "level": "municipality", "parent": "no", "eligible": 5_000},
        {"id": "11-1", "name": "Toso", "level": "precinct", "parent": "11", "eligible": 334},
        {"id": "11-2", "name": "Sentrum", "level": "precinct", "parent": "11", "eligible": 4_666},
        {"id": "11-3", "name": "Forhånd", "level": "precinct", "parent": "11", "eligible": 0},
        {"id": "12", "name": "Oslo", "level": "municipality", "parent": "no", "eligible": 50_000},
        {"id": "12-0", "name": "Forhånd", "level": "precinct", "parent": "12", "eligible": 1_693},
        {"id": "12-1", "name": "Grorud", "level": "precinct", "parent": "12", "eligible": 40_000},
    ],
})  # fmt: skip
UNITS = [unit for unit in REGISTRY.units if unit.startswith("11")]


def report(
    unit: str, revision: int = 1, advance: int | None = None, a: int = 100, b: int = 0, **members: Any
) -> Any:
    """Return a report with so many votes on election day, and so many advance ballots."""
    counts = {"election_day": {"ballots": a + b, "blank": 0, "rejected": 1, "votes": {"A": a, "B": b}}}
    if advance is not None:
        counts["advance"] = {"ballots": advance, "blank": advance, "rejected": 0, "votes": {}}
    return {
        "unit": unit, "revision": revision, "counted_at": f"2024-09-09T22:{revision:02}:00+02:00",
        "status": "preliminary", "counts": counts, **members,
    }  # fmt: skip


def compared(new: Any, *current: Any) -> Comparison:
    """Compare one report with current ones; the other units of the municipality have none."""
    place = [unit for unit in REGISTRY.units if unit[:2] == new["unit"][:2]]
    known: dict[str, Any] = dict.fromkeys(place) | {each["unit"]: each for each in current}
    return compare(REGISTRY, [new], known)[0]


def codes(comparison: Comparison) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity) for finding in comparison.findings]


def test_a_first_report_has_nothing_before_it() -> None:
    found = compared(report("11-1", a=200, b=34))
    assert found.effect == "first"
    assert (found.name, found.eligible, found.turnout_before, found.turnout) == ("Toso", 334, None, 701)
    assert found.total.before is None
    assert found.total.after is not None
    assert found.total.after.ballots == 234
    assert found.findings == ()


def test_figures_before_and_now_are_shown_by_category() -> None:
    found = compared(report("11-1", 2, advance=50, a=120), report("11-1", advance=40))
    assert (found.effect, found.revision_before, found.turnout_before, found.turnout) == (
        "replaces",
        1,
        419,
        509,
    )
    assert list(found.categories) == ["advance", "election_day"]
    advance = found.categories["advance"]
    assert advance.before is not None
    assert advance.after is not None
    assert (advance.before.blank, advance.after.blank) == (40, 50)
    assert codes(found) == []


def test_12_000_ballots_with_334_eligible_voters_cross_two_red_lines() -> None:
    found = compared(report("11-1", a=12_000))
    assert codes(found) == [("above_eligible", "red_line"), ("unit_above_eligible", "red_line")]
    assert found.red_lines[0].evidence == {
        "area": "11", "name": "Jevnaker", "before": 0, "after": 12_000, "eligible": 5_000,
    }  # fmt: skip
    assert found.red_lines[1].evidence == {"before": 0, "after": 12_000, "eligible": 334}


def test_a_municipality_above_its_eligible_voters_is_found_by_the_sum_of_its_units() -> None:
    others = [report("11-2", a=2_000), report("11-3", a=2_800)]
    assert codes(compared(report("11-1", a=200), *others)) == []
    found = compared(report("11-1", a=201), *others)
    assert codes(found) == [("above_eligible", "red_line")]
    assert found.municipality is not None
    assert found.municipality.complete


def test_the_report_that_takes_a_municipality_above_its_eligible_voters_is_named_and_not_its_neighbours() -> (
    None
):
    sent = [report("11-1", a=300), report("11-2", a=2_000), report("11-3", a=12_000)]
    found = compare(REGISTRY, sent, dict.fromkeys(UNITS))
    assert [codes(each) for each in found] == [[], [], [("above_eligible", "red_line")]]


def test_reports_that_are_above_the_eligible_voters_only_together_are_all_named() -> None:
    sent = [report("11-2", a=4_000), report("11-3", a=4_000), report("11-1", a=100)]
    found = compare(REGISTRY, sent, {"11-1": report("11-1", a=100), "11-2": None, "11-3": None})
    assert [len(each.red_lines) for each in found] == [1, 1, 0]


def test_advance_ballots_counted_in_a_unit_with_few_voters_are_a_red_line_once() -> None:
    """A unit with all advance ballots of a city is above its own voters every time."""
    assert ("unit_above_eligible", "red_line") in codes(compared(report("12-0", a=28_000)))
    again = compared(report("12-0", 2, a=28_100), report("12-0", a=28_000))
    assert codes(again) == [("unit_above_eligible", "warning")]


def test_a_unit_without_voters_of_its_own_has_no_turnout_and_no_warning() -> None:
    found = compared(report("11-3", a=900))
    assert (found.turnout, codes(found)) == (None, [])


def test_a_large_fall_without_a_reason_is_a_red_line() -> None:
    before = report("11-1", a=100)
    assert codes(compared(report("11-1", 2, a=79), before))[0] == ("fell", "red_line")
    assert codes(compared(report("11-1", 2, a=80), before))[0] == ("fell", "warning")
    assert codes(compared(report("11-1", 2, a=79, reason="recount"), before))[0] == ("fell", "warning")


def test_a_fall_is_measured_by_the_ballots_of_the_municipality() -> None:
    large = [report("11-1", a=200), report("11-2", a=1_800)]
    assert codes(compared(report("11-1", 2, a=160), *large))[0] == ("fell", "warning")
    assert codes(compared(report("11-1", 2, a=159), *large))[0] == ("fell", "red_line")


def test_what_was_reported_before_and_is_missing_now_is_found() -> None:
    before = report("11-1", advance=40, a=100, b=7)
    found = compared(report("11-1", 2, a=150), before)
    assert codes(found) == [("missing_category", "red_line"), ("missing_parties", "warning")]
    assert [each.evidence for each in found.findings] == [
        {"category": "advance", "before": 40}, {"category": "election_day", "parties": {"B": 7}},
    ]  # fmt: skip
    taken_back = compared(report("11-1", 2, a=150, reason="revoked"), before)
    assert taken_back.red_lines == ()
    assert len(taken_back.warnings) == 2


def test_votes_that_fell_and_a_status_that_goes_back_are_warnings() -> None:
    before = report("11-1", a=100, b=50, status="final")
    found = compared(report("11-1", 2, a=120, b=40, status="counting"), before)
    assert codes(found) == [("votes_fell", "warning"), ("status_back", "warning")]
    assert found.warnings[0].evidence == {"category": "election_day", "parties": {"B": [50, 40]}}
    assert found.warnings[1].evidence == {"before": "final", "after": "counting"}


def test_a_report_that_the_gateway_has_already_changes_nothing() -> None:
    current = report("11-1", 2, a=12_000)
    assert (compared(current, current).effect, compared(current, current).findings) == ("repeats", ())
    older = compared(report("11-1", 1, a=10), current)
    assert (older.effect, older.findings) == ("older", ())


def test_successive_reports_of_a_unit_are_each_compared_with_the_one_before() -> None:
    sent = [report("11-1", 1, a=12_000), report("11-1", 2, a=200)]
    first, second = compare(REGISTRY, sent, dict.fromkeys(UNITS))
    assert [code for code, _ in codes(first)] == ["above_eligible", "unit_above_eligible"]
    assert (second.effect, second.revision_before) == ("replaces", 1)
    assert codes(second)[0] == ("fell", "red_line")


def test_reports_without_revisions_follow_one_another() -> None:
    sent = [report("11-1", 1, a=100), report("11-1", 2, a=110)]
    for each in sent:
        del each["revision"]
    found = compare(REGISTRY, sent, {"11-1": report("11-1", 7, a=90)})
    assert [each.effect for each in found] == ["replaces", "replaces"]
    assert [each.revision_before for each in found] == [7, None]


def test_after_a_rejection_reports_are_compared_with_the_current_one() -> None:
    """What is not newer than a held or rejected report still has no effect."""
    current = {"11-1": report("11-1", 1, a=100), "11-2": None, "11-3": None}
    newest = {"11-1": report("11-1", 3, a=4_900)}
    sent = [report("11-1", 2, a=90), newest["11-1"], report("11-1", 4, a=98), report("11-1", 5, a=99)]
    older, repeated, corrected, again = compare(REGISTRY, sent, current, newest)
    assert [older.effect, repeated.effect, corrected.effect, again.effect] == [
        "older", "repeats", "replaces", "replaces",
    ]  # fmt: skip
    assert (corrected.revision_before, again.revision_before) == (1, 4)
    assert corrected.municipality is not None
    assert (corrected.municipality.before, corrected.municipality.after) == (100, 98)
    assert codes(older) == codes(repeated) == codes(again) == []
    assert "fell" in dict(codes(compare(REGISTRY, [sent[2]], newest)[0]))
    (first,) = compare(REGISTRY, [sent[2]], current | {"11-1": None}, newest)
    assert (first.effect, first.total.before) == ("first", None)


def test_without_the_current_reports_only_the_eligible_voters_are_compared() -> None:
    found = compare(REGISTRY, [report("11-1", 3, a=12_000)], {})[0]
    assert found.effect == "unknown"
    assert found.municipality is not None
    assert not found.municipality.complete
    assert len(found.red_lines) == 2


def test_without_the_registry_reports_are_compared_with_those_before_them() -> None:
    found = compare(None, [report("11-1", 2, a=50)], {"11-1": report("11-1")})[0]
    assert (found.name, found.eligible, found.municipality) == ("", None, None)
    assert codes(found)[0] == ("fell", "red_line")


def test_the_other_units_of_the_municipalities_are_those_to_ask_for() -> None:
    assert other_units(REGISTRY, {"11-1"}) == ["11-2", "11-3"]
    assert other_units(REGISTRY, {"11-1", "11-3", "12-0", "unknown"}) == ["11-2", "12-1"]


def test_shares_are_rounded_to_the_nearest_tenth_of_a_percent() -> None:
    assert [permille(part, 2_000) for part in (0, 1, 999, 2_000, 2_001)] == [0, 1, 500, 1_000, 1_001]
    assert permille(5, 0) is None
    assert permille(5, None) is None


def test_a_comparison_is_plain_json() -> None:
    found = compared(report("11-1", 2, a=10), report("11-1", advance=40))
    document = json.loads(msgspec.json.encode(found))
    assert document["findings"][0] == {
        "code": "fell", "severity": "red_line", "evidence": {"before": 140, "after": 10, "municipality": 140},
    }  # fmt: skip
    assert document["categories"]["advance"]["after"] is None
