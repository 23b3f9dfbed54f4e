"""Rules of the gateway in a comparison before reports are sent."""

import json
from typing import Any

import msgspec
import pytest

from gateway.client.preview import holds, preview, red_lines, warnings
from gateway.count_files.comparison import Comparison, compare
from gateway.count_files.findings import ABOVE, FELL
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.report import decode_report
from gateway.election.rules.ballots import above_eligible, fell
from gateway.election.rules.current import CurrentReports
from tests.count_files.test_comparison import REGISTRY, UNITS, report


def ruled(rules: object) -> Registry:
    """Return the registry with rules."""
    election = REGISTRY.document["election"] | {"rules": rules}
    return read_registry({**REGISTRY.document, "election": election})


HOLDING = ruled("recommended")
COUNT = {"a": 900, "b": 455}


def codes(comparison: Comparison) -> list[tuple[str, str]]:
    return [(rule.code, rule.do) for rule in comparison.rules]


def found_in(registry: Registry, sent: list[Any], *current: Any) -> list[Comparison]:
    """Compare reports with current ones; the other units have none."""
    known: dict[str, Any] = dict.fromkeys(REGISTRY.units)
    return compare(registry, sent, known | {each["unit"]: each for each in current})


def test_a_count_under_another_municipalitys_code_would_be_held() -> None:
    """Also if both are in one file. The areas that the evidence names have names."""
    copy, original = report("11-2", **COUNT), report("12-1", **COUNT)
    for found in (found_in(HOLDING, [copy], original)[0], found_in(HOLDING, [original, copy])[1]):
        assert codes(found) == [("duplicate_elsewhere", "hold")]
        assert found.would_be_held
        assert found.rules[0].evidence == {
            "category": "election_day", "ballots": 1355, "whole": False, "other": "12-1",
            "other_category": "election_day", "other_ballots": 1355, "difference": 0,
        }  # fmt: skip
        assert {area: names.name for area, names in found.areas.items()} == {
            "11-2": "Sentrum", "11": "Jevnaker", "12-1": "Grorud", "12": "Oslo",
        }  # fmt: skip
        assert (found.findings, found.red_lines) == ((), ())
    assert holds([found]) == [
        (
            "would be held: unit 11-2 Sentrum: these 1 355 election-day ballots equal those of 12 Oslo, 12-1 Grorud,"
            " party by party"
        ),
        (
            "1 report would be held: accepted with a receipt, but not published before it is checked and released. The"
            " gateway compares with all reports, also of other senders, and its rules may be set otherwise."
        ),
    ]
    assert warnings([found]) == []


def test_rules_of_a_registry_without_them_only_warn() -> None:
    (found,) = found_in(REGISTRY, [report("11-2", **COUNT)], report("12-1", **COUNT))
    assert codes(found) == [("duplicate_elsewhere", "warn")]
    assert not found.would_be_held
    assert holds([found]) == []
    assert len(warnings([found])) == 1


def test_rules_that_are_off_say_nothing() -> None:
    registry = ruled({"duplicate_elsewhere": {"do": "off"}})
    (found,) = found_in(registry, [report("11-2", **COUNT)], report("12-1", **COUNT))
    assert (found.rules, found.areas) == ((), {})


def test_a_report_that_would_be_held_is_not_what_the_next_one_replaces() -> None:
    """As at the gateway: the correction of a copy is no fall."""
    copy, right = report("11-2", **COUNT), report("11-2", 2, a=300)
    found = found_in(HOLDING, [copy, right], report("12-1", **COUNT))
    assert [codes(each) for each in found] == [[("duplicate_elsewhere", "hold")], []]


def test_a_report_that_is_held_is_not_what_the_rules_compare_with() -> None:
    """The correction of a held copy is no fall, and counts of other units are no copies of it."""
    held = report("12-1", **COUNT)
    sent = [report("12-1", 2, a=300), report("11-2", **COUNT)]
    found = compare(HOLDING, sent, dict.fromkeys(REGISTRY.units), {"12-1": held})
    assert [codes(each) for each in found] == [[], []]


def test_only_reports_that_change_something_are_judged() -> None:
    """Not those that the gateway has or has newer ones of, nor those whose current report is not known."""
    original, copy = report("12-1", **COUNT), report("11-2", 2, **COUNT)
    older = report("11-2", 1, a=5)
    assert [codes(each) for each in found_in(HOLDING, [copy, older], original, copy)] == [[], []]
    (found,) = compare(HOLDING, [copy], {"12-1": original})
    assert (found.effect, found.rules) == ("unknown", ())
    (found,) = compare(None, [copy], {"12-1": original, "11-2": None})
    assert found.rules == ()


def test_a_rule_that_fires_for_what_a_red_line_says_is_not_said_twice() -> None:
    found = found_in(HOLDING, [report("11-3", a=6_000), report("11-1", 2, a=20)], report("11-1", a=300))
    assert [codes(each) for each in found] == [
        [("above_eligible", "hold")],
        [("fell", "hold"), ("party_fell", "warn")],
    ]
    assert red_lines(found) == [
        (
            "RED LINE: unit 11-3 Forhånd: with this report, Jevnaker has 6 020 ballots (before: 300) but only 5 000"
            " eligible voters; the gateway would hold this report"
        ),
        "RED LINE: unit 11-1 Toso: 300 → 20 ballots (−280) without a reason; the gateway would hold this report",
    ]  # fmt: skip
    assert len(holds(found)) == 1
    assert holds(found)[0].startswith("2 reports would be held: ")
    warned = found_in(REGISTRY, [report("11-1", 2, a=90, status="final")], report("11-1", a=300))
    assert codes(warned[0])[0] == ("fell", "warn")
    assert not any("fall from" in line and "votes" not in line for line in warnings(warned))


def test_of_many_reports_those_that_would_be_held_come_before_those_with_warnings() -> None:
    rules = {"grew_late": {"do": "hold", "ballots": 1, "permille": 1}}
    lower = [report("11-1", 2, a=90), report("12-0", 2, a=95)]
    sent = [*lower, report("11-2", 2, a=110, status="final")]
    current = [report("11-1"), report("12-0"), report("11-2", status="final")]
    found = found_in(ruled(rules), sent * 8, *current)
    assert [each.unit for each in found if each.would_be_held] == ["11-2"]
    assert any(line.startswith("11-2  Sentrum  1 → 2") for line in preview(found))


@pytest.mark.parametrize("ballots", [700, 679, 650, 600, 1])
@pytest.mark.parametrize("reason", [{}, {"reason": "recount"}])
def test_a_red_line_is_the_rule_of_its_name_with_stricter_thresholds(
    ballots: int, reason: dict[str, str]
) -> None:
    before, others = report("11-1", a=700), report("11-2", a=310)
    new = report("11-1", 2, a=ballots, **reason)
    (found,) = found_in(HOLDING, [new], before, others)
    current = CurrentReports(HOLDING)
    for each in (others, before):
        current.place(decode_report(json.dumps(each).encode()))
    fires = fell(current, current.step(decode_report(json.dumps(new).encode())), FELL)
    assert (fires is not None) == ("fell" in {each.code for each in found.red_lines})


@pytest.mark.parametrize("ballots", [900, 4_690, 4_691, 9_000])
@pytest.mark.parametrize("there", [310, 4_999, 5_100])
def test_ballots_above_the_eligible_voters_are_a_red_line_when_the_rule_fires(
    ballots: int, there: int
) -> None:
    (found,) = found_in(HOLDING, [report("11-3", a=ballots)], report("11-2", a=there))
    current = CurrentReports(HOLDING)
    current.place(decode_report(json.dumps(report("11-2", a=there)).encode()))
    step = current.step(decode_report(json.dumps(report("11-3", a=ballots)).encode()))
    fires = above_eligible(current, step, ABOVE)
    assert (fires is not None) == ("above_eligible" in {each.code for each in found.red_lines})


def test_the_rules_are_plain_json() -> None:
    (found,) = found_in(HOLDING, [report("11-2", **COUNT)], report("12-1", **COUNT))
    document = json.loads(msgspec.json.encode(found))
    assert [*document["rules"][0]] == ["code", "do", "evidence"]
    assert document["areas"]["11-2"] == {"name": "Sentrum", "municipality": "11"}
    assert UNITS[0] not in document["areas"]
