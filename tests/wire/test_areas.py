"""Areas as JSON and CSV, read back by readers that know only the standards."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.report import COUNT_NAMES
from gateway.election.state import ElectionState
from gateway.rehearsal.generator import GeneratedElection
from gateway.wire.areas import CSV, EML, FORMATS, JSON, NIST, TABLE_FORMATS, area_document, csv_head, csv_line
from tests.counts import examples
from tests.election.makers import (
    CATEGORIES,
    DOCUMENT,
    PARTIES,
    REGISTRY,
    Record,
    a_report,
    reports,
    some_counts,
)


def a_state(*history: dict[str, Any], registry: Registry = REGISTRY) -> ElectionState:
    record, state = Record(), ElectionState(registry)
    for report in history:
        state.apply(record.write(report))
    return state


# CSV -----------------------------------------------------------------------------------------------------


def csv_table(state: ElectionState, indexes: Iterable[int]) -> bytes:
    return csv_head(state.registry) + b"".join(csv_line(state, index) for index in indexes)


def table(state: ElectionState) -> list[dict[str, str]]:
    """The whole table, read by a CSV reader."""
    raw = csv_table(state, range(len(state.areas)))
    assert raw.endswith(b"\r\n")
    return list(csv.DictReader(io.StringIO(raw.decode(), newline=""), strict=True))


@settings(deadline=None, max_examples=examples(40))
@given(st.lists(reports(), max_size=6))
def test_a_table_has_the_values_of_the_areas(history: list[dict[str, Any]]) -> None:
    """One row per area, one column per figure; cells without a count, or for a party not on the ballot, are empty."""
    state = a_state(*history)
    rows = table(state)
    assert len(rows) == len(REGISTRY.areas)
    for index, row in enumerate(rows):
        document = area_document(state, index)
        assert row["area"] == document["area"]
        assert row["sequence"] == str(document["sequence"])
        assert (row["units"], row["reported"]) == (
            str(document["units"]["total"]),
            str(document["units"]["reported"]),
        )
        assert row["eligible"] == _cell(document["eligible"])
        at = document["published_at"]
        assert datetime.fromisoformat(row["published_at"]) == at if at else row["published_at"] == ""
        for category in CATEGORIES:
            counts = document["counts"].get(category, {})
            for name in ("ballots", "blank", "rejected", "voters"):
                assert row[f"{category}.{name}"] == _cell(counts.get(name))
            for party in PARTIES:
                assert row[f"{category}.votes.{party}"] == _cell(counts.get("votes", {}).get(party))


def _cell(value: object) -> str:
    return "" if value is None else str(value)


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("Øvre", "Øvre"),
        ("A, 1", '"A, 1"'),
        ('B "1"', '"B ""1"""'),
        ("two\nlines", '"two\nlines"'),
        ("two\r\nlines", '"two\r\nlines"'),
        ("=1+1", "'=1+1"),
        ('=HYPERLINK("x","y")', '"\'=HYPERLINK(""x"",""y"")"'),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", '"\'\r=1"'),
        ("\n=1", '"\'\n=1"'),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_a_name_is_quoted_and_never_a_formula(name: str, cell: str) -> None:
    """A cell that a spreadsheet would evaluate gets a leading apostrophe; CSV delimiters are quoted."""
    areas = [{**area, "name": name} for area in DOCUMENT["areas"]]
    state = a_state(registry=read_registry({**DOCUMENT, "areas": areas}, stored=True))
    raw = csv_table(state, [0]).decode()
    header, row = raw.split("\r\n", maxsplit=1)
    assert row == f"0,,no,,country,{cell},1000,6,0{',' * (header.count(',') - 8)}\r\n"
    assert table(state)[0]["name"].removeprefix("'") == name


def test_a_column_name_is_never_a_formula() -> None:
    """Codes and categories are guarded as well."""
    parties = [{"code": "=P,1", "name": "x"}]
    areas = [{"id": "x", "name": "X", "level": "country"}]
    header = {**DOCUMENT["election"], "categories": ["-c"]}
    registry = read_registry({**DOCUMENT, "election": header, "parties": parties, "areas": areas})
    columns = csv_table(ElectionState(registry), []).decode()
    assert columns.endswith("reported,'-c.ballots,'-c.blank,'-c.rejected,'-c.voters,\"'-c.votes.=P,1\"\r\n")


def test_counts_get_no_apostrophe() -> None:
    """Numbers stay numbers."""
    state = a_state(a_report("a-2", counts={"advance": some_counts(P=5)}))
    assert "'" not in csv_table(state, [REGISTRY.by_id["a-2"].index]).decode()


def test_the_cells_of_a_unit_are_right_in_every_column() -> None:
    """One row with every cell."""
    state = a_state(a_report("a-2", counts={"election_day": {**some_counts(P=5), "voters": 0}}))
    (row,) = [row for row in table(state) if row["area"] == "a-2"]
    assert {name: value for name, value in row.items() if value} == {
        "sequence": "1",
        "published_at": "2025-09-08T19:00:00+00:00",
        "area": "a-2",
        "parent": "a",
        "level": "municipality",
        "name": "A 2",
        "eligible": "20",
        "units": "1",
        "reported": "1",
        "election_day.ballots": "6",
        "election_day.blank": "1",
        "election_day.rejected": "2",
        "election_day.voters": "0",
        "election_day.votes.P": "5",
        "election_day.votes.Q": "0",
        "election_day.votes.RØDT": "0",
    }


def plain_csv(rows: Iterable[Iterable[str]]) -> str:
    """Write rows by the rules of RFC 4180: quotes around a cell with a comma, a quote or a line end, quotes doubled."""
    return "".join(
        ",".join(
            '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\r\n') else cell
            for cell in row
        )
        + "\r\n"
        for row in rows
    )


@settings(deadline=None, max_examples=examples(300))
@given(st.text(max_size=12) | st.from_regex(r"\A[=+@\t\r\n,\"' -]{0,3}[a-z\"]?\Z"), st.integers(0, 2**53 - 1))
@example("\u2028\x85\x1c", 0)
@example(" x ", 0)
@example("'=1", 0)
def test_a_row_has_quotes_only_where_the_standard_requires_them(name: str, eligible: int) -> None:
    """For any name, the bytes are those of RFC 4180 with the guard against formulas, and read back as the cells."""
    areas = [{**area, "name": name, "eligible": eligible} for area in DOCUMENT["areas"]]
    state = a_state(registry=read_registry({**DOCUMENT, "areas": areas}, stored=True))
    raw = csv_line(state, 0).decode()
    guarded = "'" + name if name[:1] in tuple("=+-@\t\r\n") else name
    empty = [""] * (len(CATEGORIES) * (len(COUNT_NAMES) + len(PARTIES)))
    row = ["0", "", "no", "", "country", guarded, str(eligible), "6", "0", *empty]
    assert raw == plain_csv([row])
    assert list(csv.reader(io.StringIO(raw, newline=""), strict=True)) == [row]


def test_the_table_of_a_generated_election_is_plain_csv(small: GeneratedElection) -> None:
    """Whole tables of a real shape: every line ends in CR LF, and only names with a comma or a quote are quoted."""
    registry = read_registry(small.registry)
    state = a_state(*(line["report"] for line in small.reports), registry=registry)
    raw = csv_table(state, range(len(registry.areas))).decode()
    rows = list(csv.reader(io.StringIO(raw, newline=""), strict=True))
    assert raw == plain_csv(rows)
    assert {len(row) for row in rows} == {
        9 + len(registry.categories) * (len(COUNT_NAMES) + len(registry.parties))
    }
    assert [row[2] for row in rows[1:]] == [area.id for area in registry.areas]


def test_two_lines_of_a_table() -> None:
    """The bytes of the header and of a line do not change."""
    state = a_state(a_report("a-2", counts={"advance": {**some_counts(P=5), "voters": 9}}))
    registry = state.registry
    first, second, *_ = csv_head(registry).decode().split(",advance.votes.P,")
    assert first == (
        "sequence,published_at,area,parent,level,name,eligible,units,reported,advance.ballots,advance.blank,"
        "advance.rejected,advance.voters,election_day.ballots,election_day.blank,election_day.rejected,"
        "election_day.voters"
    )
    assert second.startswith("advance.votes.Q,advance.votes.RØDT,")
    assert csv_line(state, registry.by_id["a-2"].index).decode() == (
        "1,2025-09-08T19:00:00+00:00,a-2,a,municipality,A 2,20,1,1,6,1,2,9,,,,,5,0,0,,,,,,,\r\n"
    )


# Formats -------------------------------------------------------------------------------------------------


def test_formats_have_unique_names_and_media_types() -> None:
    """The first is the default; NIST has the media type of the default, so that only its name selects it."""
    assert list(FORMATS.values()) == [JSON, CSV, EML, NIST]
    assert all(name == each.name for name, each in FORMATS.items())
    selected = [each.media_type for each in FORMATS.values() if each is not NIST]
    assert len(set(selected)) == len(selected)
    assert TABLE_FORMATS == {"json": JSON, "csv": CSV}


def ids_in_json(whole: bytes) -> list[str]:
    document = json.loads(whole)
    return [document["area"], *(child["area"] for child in document["children"])]


def ids_in_csv(whole: bytes) -> list[str]:
    return [row["area"] for row in csv.DictReader(io.StringIO(whole.decode(), newline=""), strict=True)]


def ids_in_eml(whole: bytes) -> list[str]:
    """The contest is the area; a unit is its only reporting unit too."""
    contest = ET.fromstring(whole).find(".//{*}Contest")
    assert contest is not None
    area = contest.find("{*}ContestIdentifier").attrib["Id"]
    units = [
        each.attrib["Id"] for each in contest.findall("{*}ReportingUnitVotes/{*}ReportingUnitIdentifier")
    ]
    return [area, *(each for each in units if each != area)]


def ids_in_nist(whole: bytes) -> list[str]:
    """The root follows, unless it is the area, because the election refers to it."""
    document = json.loads(whole)
    [contest] = document["Election"][0]["Contest"]
    units = [each["ExternalIdentifier"][0]["Value"] for each in document["GpUnit"]]
    assert contest["ElectionDistrictId"] == f"gp-{units[0]}"
    return units if units[0] == "no" else units[:-1]


READERS = {JSON: ids_in_json, CSV: ids_in_csv, EML: ids_in_eml, NIST: ids_in_nist}


@pytest.mark.parametrize("area", ["no", "a", "a-2"])
def test_each_format_has_the_area_and_its_children(area: str) -> None:
    """In every format, a document contains the same areas in the same order."""
    state = a_state(a_report("a-2"))
    parent = REGISTRY.by_id[area]
    indexes = (parent.index, *parent.children)
    expected = [REGISTRY.areas[index].id for index in indexes]
    for each in FORMATS.values():
        encode = each.encoder(REGISTRY)
        areas = [encode(state, index) for index in indexes]
        whole = each.join(state, parent, each.encode_head(REGISTRY), areas)
        assert READERS[each](whole) == expected
