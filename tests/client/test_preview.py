"""The lines that push shows before it sends reports."""

from gateway.client.preview import (
    RED_LINES_MAX,
    SHOWN_MAX,
    WARNINGS_MAX,
    preview,
    red_lines,
    summary,
    text_of,
    warnings,
)
from gateway.count_files.comparison import compare
from gateway.count_files.findings import RULES, Finding
from gateway.election.registry_reading import read_registry
from tests.count_files.test_comparison import REGISTRY, UNITS, compared, report

MANY = read_registry({
    **REGISTRY.document,
    "areas": [
        {"id": "no", "name": "Norge", "level": "country", "parent": None, "eligible": None},
        *(
            {"id": f"u{number}", "name": f"Krets {number}", "level": "precinct", "parent": "no", "eligible": 500}
            for number in range(3_000)
        ),
    ],
})  # fmt: skip


def test_a_report_is_shown_beside_the_one_that_it_replaces() -> None:
    found = compared(report("11-1", 2, advance=50, a=120, status="final"), report("11-1", advance=40))
    assert preview([found]) == [
        "unit  name  revision  status                 ballots  eligible        turnout",
        "11-1  Toso  1 → 2     preliminary → final  140 → 170       334  41.9 → 50.9 %",
        "    advance 40 → 50, election_day 100 → 120; blank 40 → 50, rejected 1",
        "1 report (1 replaces an earlier one): 140 → 170 ballots.",
    ]


def test_first_and_repeated_reports_and_unknown_ones_are_told_apart() -> None:
    current = report("11-2", 3, a=50)
    found = compare(REGISTRY, [report("11-1"), current, report("11-3", a=5)], {"11-1": None, "11-2": current})
    assert preview(found)[1:] == [
        "11-1  Toso     1         preliminary  – → 100       334   29.9 %",
        "    election_day – → 100; blank – → 0, rejected – → 1",
        "11-2  Sentrum  3         preliminary       50     4 666    1.1 %",
        "    is the gateway's newest report already",
        "11-3  Forhånd  1         preliminary    ? → 5",
        "    election_day ? → 5; blank ? → 0, rejected ? → 1",
        "3 reports (1 first of its unit, 1 is at the gateway already, 1 not compared): 50 → 155 ballots.",
    ]


def test_of_3_000_reports_those_with_findings_are_shown_first_and_the_others_summed_up() -> None:
    sent = [report(f"u{number}", a=100) for number in range(3_000)]
    sent[1_700] = report("u1700", a=9_000)
    sent[2_900] = report("u2900", 2, a=90)
    current = dict.fromkeys(MANY.units) | {"u2900": report("u2900", a=100)}
    found = compare(MANY, sent, current)
    lines = preview(found)
    assert len(lines) <= 2 * SHOWN_MAX + 3
    assert any(line.startswith("u1700 ") for line in lines)
    assert any(line.startswith("u2900 ") for line in lines)
    assert lines[-2:] == [
        "… and 2 980 more reports, none of them with warnings",
        "3 000 reports (2 999 first of their units, 1 replaces an earlier one): 100 → 308 890 ballots.",
    ]
    assert red_lines(found) == ["RED LINE: unit u1700 Krets 1700: 9 000 ballots, 500 eligible voters"]


def test_warnings_and_red_lines_are_limited_in_number() -> None:
    many = [report(f"u{number}", 2, a=400) for number in range(60)]
    found = compare(MANY, many, {each["unit"]: report(each["unit"], a=410) for each in many})
    assert len(warnings(found)) == WARNINGS_MAX + 1
    assert warnings(found)[-1] == "… and 100 more warnings"
    found = compare(MANY, [report(f"u{number}", a=9_000) for number in range(60)], {})
    assert len(red_lines(found)) == RED_LINES_MAX + 1
    assert red_lines(found)[-1] == "… and 10 more reports with red lines"


def test_a_sum_counts_each_unit_once() -> None:
    found = compare(REGISTRY, [report("11-1", 1, a=100), report("11-1", 2, a=150)], dict.fromkeys(UNITS))
    assert (
        summary(found) == "2 reports of 1 unit (1 first of its unit, 1 replaces an earlier one): 150 ballots."
    )


def test_every_rule_has_a_text() -> None:
    """And a finding of a rule that is added later is shown by its code."""
    before = report("11-1", advance=40, a=100, b=7, status="final")
    found = [
        compared(report("11-1", a=12_000)),
        compared(report("11-1", 2, a=90), before),
        compared(report("11-1", 2, advance=40, a=101, b=6, status="counting"), before),
    ]
    texts = {finding.code: text_of(finding) for each in found for finding in each.findings}
    assert texts.keys() == {rule.__name__ for rule in RULES}
    assert texts == {
        "above_eligible": "with this report, Jevnaker has 12 000 ballots but only 5 000 eligible voters",
        "unit_above_eligible": "12 000 ballots, 334 eligible voters",
        "fell": "147 → 90 ballots (−57) without a reason",
        "missing_category": "no advance, which had 40 ballots before",
        "missing_parties": "no votes in election_day for B (7), which had some before",
        "votes_fell": "fewer votes in election_day: B 7 → 6",
        "status_back": "the status goes back from final to counting",
    }
    assert text_of(Finding("exchanged_before", "warning", {})) == "exchanged before"


def test_a_long_line_names_only_the_parties_that_lost_most() -> None:
    finding = Finding(
        "missing_parties", "warning", {"category": "c", "parties": {f"P{n}": n for n in range(1, 9)}}
    )
    assert text_of(finding).endswith(
        "P8 (8), P7 (7), P6 (6), P5 (5), P4 (4) and 3 more, which had some before"
    )
