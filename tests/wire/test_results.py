"""The table of results, compared with sums that are computed independently of the gateway's code."""

import csv
import io
import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.percentages import hundredths
from gateway.election.previous import read_previous
from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.wire.areas import area_document, area_json
from gateway.wire.results import (
    AREA_COLUMNS,
    JSON,
    PARTY_COLUMNS,
    Heading,
    csv_encoder,
)
from tests.counts import examples
from tests.election.makers import (
    BALLOTS,
    DOCUMENT,
    PARTIES,
    REGISTRY,
    a_report,
    above,
    recorded_night,
    reports,
    some_counts,
)
from tests.election.test_previous import a_previous
from tests.wire.tables import results_csv
from tests.wire.test_areas import a_state

ENTRIES: dict[str, dict[str, Any]] = {each["id"]: each for each in DOCUMENT["areas"]}


def rows_of(raw: bytes) -> list[dict[str, str]]:
    """Read a table with a CSV reader."""
    assert raw.endswith(b"\r\n")
    return list(csv.DictReader(io.StringIO(raw.decode(), newline=""), strict=True))


def percent(part: int, whole: int) -> str:
    """Return a percentage with two decimals, rounded half up, computed with fractions."""
    exact = Fraction(100 * part, whole)
    cents = int(exact * 100 + Fraction(1, 2))
    return f"{cents // 100}.{cents % 100:02}"


def expected(history: list[dict[str, Any]], area: str) -> list[dict[str, str]]:
    """Compute the rows of an area from the document of the registry and the last report of each unit."""
    entry = ENTRIES[area]
    units = [unit for unit in BALLOTS if area in above(unit)]
    last = {report["unit"]: (place, report) for place, report in enumerate(history, 1)}
    present = [last[unit][1] for unit in units if unit in last]
    counts = [each for report in present for each in report["counts"].values()]
    row = {
        "area": area,
        "name": entry["name"] if not entry["name"].startswith("=") else "'" + entry["name"],
        "level": entry["level"],
        "parent": entry["parent"] or "",
        "parent_name": "" if entry["parent"] is None else ENTRIES[entry["parent"]]["name"].replace("=", "'="),
        "sequence": str(max((last[unit][0] for unit in units if unit in last), default=0)),
        "eligible": "" if entry.get("eligible") is None else str(entry["eligible"]),
        "units": str(len(units)),
        "reported": str(len(present)),
    }
    for name in ("ballots", "blank", "rejected", "voters"):
        found = [each[name] for each in counts if name in each]
        row[name] = str(sum(found)) if found else ""
    votes = {party: sum(each["votes"].get(party, 0) for each in counts) for party in PARTIES}
    total = sum(votes.values())
    row["votes"] = str(total) if counts else ""
    turnout = counts and entry.get("eligible") and area not in BALLOTS
    row["turnout_percent"] = percent(int(row["ballots"]), entry["eligible"]) if turnout else ""
    return [
        row
        | {"party": party, "party_name": f"Party {party}", "party_votes": str(votes[party]) if counts else ""}
        | {"share_percent": percent(votes[party], total) if total else ""}
        for party in PARTIES
        if any(party in BALLOTS[unit] for unit in units)
    ]


@settings(deadline=None, max_examples=examples(40))
@given(st.lists(reports(), max_size=6))
def test_the_table_has_the_sums_of_the_reports(history: list[dict[str, Any]]) -> None:
    """For every level: one row per area and party on its ballot, in the order of the registry."""
    state = a_state(*history)
    for level in REGISTRY.levels:
        indexes = [area.index for area in REGISTRY.areas if area.level == level]
        rows = rows_of(results_csv(REGISTRY, (area_document(state, index) for index in indexes)))
        names = [REGISTRY.areas[index].id for index in indexes]
        assert rows == [row for name in names for row in expected(history, name)]


@settings(deadline=None, max_examples=examples(20))
@given(st.lists(reports(), max_size=4))
def test_both_formats_have_the_same_figures(history: list[dict[str, Any]]) -> None:
    """JSON has the parties of an area in an array, and numbers where CSV has texts."""
    state = a_state(*history)
    heading = Heading(REGISTRY, "all", None, state.sequence, state.chain, state.published_at, False)
    encode = JSON.encoder(REGISTRY)
    areas = [encode(area_document(state, index)) for index in range(len(REGISTRY.areas))]
    document = json.loads(JSON.encode_head(heading) + JSON.separator.join(areas) + JSON.end)
    assert document["record"]["sequence"] == state.sequence
    rows = rows_of(results_csv(REGISTRY, (area_document(state, index) for index in range(len(areas)))))
    read = [{**area, **party} for area in document["areas"] for party in area["parties"]]
    assert len(read) == len(rows)
    for values, row in zip(read, rows, strict=True):
        assert list(row) == [*AREA_COLUMNS, *PARTY_COLUMNS]
        for name, text in row.items():
            value = values[name]
            if value is None:
                assert text == ""
            elif name.endswith("_percent"):
                assert f"{value:.2f}" == text
            else:
                assert str(value) == text.removeprefix("'")


def test_a_client_of_the_feed_can_make_the_same_table() -> None:
    """From the registry and the documents of areas that it has read as JSON."""
    state = a_state(a_report(), a_report("b-2", counts={"election_day": some_counts(P=3, Q=4)}))
    documents = [area_document(state, index) for index in range(len(REGISTRY.areas))]
    read = [json.loads(area_json(state, index)) for index in range(len(REGISTRY.areas))]
    assert results_csv(read_registry(DOCUMENT), read) == results_csv(REGISTRY, documents)


def test_with_a_previous_election_the_table_has_changes_at_the_end_of_each_line() -> None:
    """The columns before them are as without; a change is the one of the area's document."""
    previous = read_previous(a_previous({"a-1-1": {"votes": {"P": 3}, "other": 1}}), REGISTRY)
    state, plain = ElectionState(REGISTRY, previous), a_state(a_report())
    for publication in recorded_night([a_report()]):
        state.apply(publication)
    documents = [area_document(state, index) for index in range(len(REGISTRY.areas))]
    table = results_csv(REGISTRY, documents, compared=True)
    rows = rows_of(table)
    without = rows_of(results_csv(REGISTRY, [area_document(plain, each.index) for each in REGISTRY.areas]))
    changes = ("change", "compared_with", "turnout_change")
    assert list(rows[0]) == [*AREA_COLUMNS, *PARTY_COLUMNS, *changes]
    assert [{name: row[name] for name in row if name not in changes} for row in rows] == without
    found = {(row["area"], row["party"]): tuple(row[name] for name in changes) for row in rows}
    assert found["a-1-1", "P"] == ("25.00", "same_units", "")
    assert found["a-1-1", BALLOTS["a-1-1"][1]] == ("", "same_units", "")
    assert found["b-2", "P"] == ("", "", "")
    heading = Heading(REGISTRY, "", None, 0, b"", None, compared=True)
    encoded = JSON.separator.join(map(JSON.encoder(REGISTRY), documents))
    areas = json.loads(JSON.encode_head(heading) + encoded + JSON.end)["areas"]
    (unit,) = (each for each in areas if each["area"] == "a-1-1")
    assert (unit["compared_with"], unit["turnout_change"]) == ("same_units", None)
    assert [each["change"] for each in unit["parties"]] == [25, None]
    (other,) = (each for each in areas if each["area"] == "b-2")
    assert (other["compared_with"], other["parties"][0]["change"]) == (None, None)


def test_an_area_without_counts_has_rows_without_figures() -> None:
    """So that a table has the same rows throughout a night, and 0 differs from what nobody counted."""
    rows = rows_of(csv_encoder_table("a-1"))
    assert [row["party"] for row in rows] == ["P", BALLOTS["a-1-1"][1]]
    for row in rows:
        assert (row["reported"], row["units"], row["sequence"]) == ("0", "2", "0")
        empty = ("ballots", "blank", "rejected", "voters", "votes", "turnout_percent")
        assert [row[name] for name in (*empty, "party_votes", "share_percent")] == [""] * 8


def csv_encoder_table(area: str, *history: dict[str, Any]) -> bytes:
    return results_csv(REGISTRY, [area_document(a_state(*history), REGISTRY.by_id[area].index)])


def test_a_name_that_looks_like_a_formula_is_quoted() -> None:
    """As in the other tables: the county is called `=B`."""
    line = csv_encoder(REGISTRY)(area_document(a_state(), REGISTRY.by_id["b"].index)).decode()
    assert line.startswith("b,'=B,county,no,Landet,0,,")


@pytest.mark.parametrize(
    ("part", "whole", "wanted"),
    [(0, 1, 0), (1, 3, 3333), (2, 3, 6667), (1, 20_000, 1), (1, 20_001, 0), (3, 2, 15_000), (7, 7, 10_000)],
)
def test_percentages_are_rounded_half_up(part: int, whole: int, wanted: int) -> None:
    """1 of 20 000 is 0.005 %, so 0.01; more than the whole is possible."""
    assert hundredths(part, whole) == wanted
