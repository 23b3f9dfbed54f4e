"""Files with counts: what people write, and their mistakes."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.count_files import read_counts
from gateway.client.count_table import template
from gateway.client.parts import BadCountFile
from gateway.election.registry import read_registry
from gateway.rehearsal.generator import GeneratedElection
from tests.web.doors import a_report

HEAD = "unit,revision,counted_at,status,reason,category,ballots,blank,rejected,voters,A,H"
TIME = "2025-09-08T22:36:55+02:00"


def documents(name: str, content: bytes) -> list[dict[str, Any]]:
    return [part.document for part in read_counts(name, content).parts]


def table(*lines: str) -> bytes:
    return "\n".join([HEAD, *lines]).encode()


def test_a_table_becomes_reports() -> None:
    """A line for each category; an empty cell is absent, and 0 is 0."""
    content = table(
        f"1-1,2,{TIME},final,recount,advance,30,1,0,,20,9",
        f"1-1,2,{TIME},final,recount,election_day,5,0,0,6,5,",
        f"1-2,,{TIME},counting,,advance,0,0,0,,0,0",
    )
    assert documents("night.CSV", content) == [
        {
            "unit": "1-1", "revision": 2, "counted_at": TIME, "status": "final", "reason": "recount",
            "counts": {
                "advance": {"ballots": 30, "blank": 1, "rejected": 0, "votes": {"A": 20, "H": 9}},
                "election_day": {"ballots": 5, "blank": 0, "rejected": 0, "voters": 6, "votes": {"A": 5}},
            },
        },
        {
            "unit": "1-2", "counted_at": TIME, "status": "counting",
            "counts": {"advance": {"ballots": 0, "blank": 0, "rejected": 0, "votes": {"A": 0, "H": 0}}},
        },
    ]  # fmt: skip


def test_tables_written_by_spreadsheets_are_read() -> None:
    """A byte order mark, line ends of another system, quotes, spaces in numbers, empty lines at the end."""
    content = b"\xef\xbb\xbf" + table(
        f'"1-1",1,{TIME},final,,advance,"1 030",0,0,,1\xa0030,0', ",,,,,,,,,,,", ""
    ).replace(b"\n", b"\r\n")
    (report,) = documents("a.csv", content)
    assert report["counts"]["advance"]["votes"]["A"] == 1030


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", ("line 1", "no column 'unit'")),
        ("a.csv", b"unit;revision;status", ("semicolons",)),
        ("a.csv", (HEAD + ",A").encode(), ("'A' is repeated",)),
        ("a.csv", table(f"1-1,x,{TIME},final,,advance,1,0,0,,1,0"), ("line 2", "revision", "'x'")),
        ("a.csv", table(f"1-1,1,{TIME},final,,advance,1.5,0,0,,1,0"), ("line 2", "ballots", "'1.5'")),
        ("a.csv", table(f"1-1,1,{TIME},final,,,1,0,0,,1,0"), ("line 2", "no category")),
        ("a.csv", table(f",1,{TIME},final,,advance,1,0,0,,1,0"), ("line 2", "no unit")),
        ("a.csv", table(*2 * [f"1-1,1,{TIME},final,,advance,1,0,0,,1,0"]), ("line 3", "is repeated")),
        (
            "a.csv",
            table(f"1-1,1,{TIME},final,,advance,1,0,0,,1,0", f"1-1,1,{TIME},counting,,x,1,0,0,,1,0"),
            ("line 3", "'counting'", "'final'"),
        ),
        ("a.csv", table("1-1,1,a,b,c,d,1,0,0,,1,0,7,8"), ("line 2", "14 cells, but only 12 columns")),
        ("a.ndjson", b'{"unit":"1"}\n{"unit"', ("a.ndjson, line 2",)),
        ("a.json", b"[1]", ("element 0", "int")),
        ("a.json", b"{", ("a.json",)),
        ("a.txt", b"", ("'txt'",)),
        ("a.csv", b"unit\n\xff", ("line 2", "UTF-8")),
    ],
)
def test_a_mistake_is_reported_with_its_place(name: str, content: bytes, words: tuple[str, ...]) -> None:
    with pytest.raises(BadCountFile) as found:
        read_counts(name, content)
    assert all(word in str(found.value) for word in (name, *words)), str(found.value)


@given(st.sampled_from(["a.csv", "a.json", "a.ndjson"]), st.binary() | st.text().map(str.encode))
def test_no_file_makes_it_fall(name: str, content: bytes) -> None:
    """It is read, or reported as a mistake."""
    with suppress(BadCountFile):
        assert all(isinstance(report, dict) for report in documents(name, content))


def test_json_may_be_one_report_an_array_or_lines() -> None:
    one = a_report()
    assert documents("a.json", json.dumps(one).encode()) == [one]
    assert documents("a.json", json.dumps([one, one]).encode()) == [one, one]
    assert documents("a.jsonl", (json.dumps(one) + "\n\n").encode() * 2) == [one, one]


def test_a_template_that_is_filled_in_can_be_read(small: GeneratedElection) -> None:
    """A row per unit and category, a column per party; rows left empty are ignored."""
    registry = read_registry(small.registry)
    municipality = next(
        area for area in registry.areas if area.children and registry.areas[area.children[0]].is_unit
    )
    text = template(registry, [municipality.id])
    head, *lines = text.removeprefix("\ufeff").splitlines()
    assert len(lines) == municipality.units * len(registry.categories)
    assert set(head.split(",")) >= {"unit", "ballots", *municipality.ballot}
    read = read_counts("a.csv", text.encode())
    assert read.parts == ()
    assert len(read.empty_units) == municipality.units
