"""Files with counts: what people write, and their mistakes."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.count_files.files import FILE_MAX, encode_report, read_counts
from gateway.count_files.parts import REPORTS_MAX, BadCountFile
from gateway.count_files.table import ROWS_MAX
from gateway.count_files.template import template
from gateway.count_files.versions import merge
from gateway.election.registry_reading import read_registry
from gateway.election.validation import check_shape
from gateway.rehearsal.generator import GeneratedElection
from tests.counts import examples
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
        ("a.csv", 2 * b"\xef\xbb\xbf" + table(), ("line 1", "no column 'unit'", "the character U+FEFF")),
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
        ("a.json", b"[1]", ("element 0", "is not a report but a number")),
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


# Tables.


def mistakes(name: str, content: bytes) -> tuple[str, ...]:
    with pytest.raises(BadCountFile) as found:
        read_counts(name, content)
    assert all(
        len(text) < 400 and "\n" not in text and text.startswith(name) for text in found.value.mistakes
    )
    return found.value.mistakes


ROW = f"1-1,,{TIME},final,,advance,31,1,0,,20,10"
OTHER_ROW = f"1-1,,{TIME},final,,election_day,58,0,1,,30,28"


@pytest.mark.parametrize(
    ("head", "row"), [(",", ","), (",,,,", ",,,,"), (",,", ""), ("", ",,"), (", ,", ",\u00a0,")]
)
def test_a_column_without_name_and_content_is_ignored(head: str, row: str) -> None:
    """Spreadsheets save columns that were cleared."""
    content = f"{HEAD}{head}\n{ROW}{row}\n".encode()
    assert documents("a.csv", content) == documents("a.csv", table(ROW))


@pytest.mark.parametrize(
    ("head", "row"), [(",,", ",5,"), (",", ",5"), ("", ",5"), (",,", ",,5"), ("", ",,,,5")]
)
def test_content_in_a_column_without_a_name_is_a_mistake(head: str, row: str) -> None:
    (text,) = mistakes("a.csv", f"{HEAD}{head}\n\n{ROW}{row}\n".encode())
    assert text.startswith("a.csv, line 3: '5' is in a column without a name")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("place", "value", "same", "other"),
    [
        (1, "3", "0003", "4"),
        (2, TIME, "2025-09-08T20:36:55.000Z", "2025-09-08T22:36:56+02:00"),
        (3, "final", "final", "preliminary"),
        (4, "recount", " recount ", "control"),
    ],
)
def test_what_is_empty_in_one_row_of_a_unit_is_as_in_its_other_rows(
    first: bool, place: int, value: str, same: str, other: str
) -> None:
    """Values are compared by their meaning; those that differ are named with both lines."""

    def content(one: str, another: str) -> bytes:
        rows = [row.split(",") for row in (ROW, OTHER_ROW)]
        rows[0][place], rows[1][place] = (one, another) if first else (another, one)
        return table(",".join(rows[0]), f"1-2,,{TIME},final,,advance,0,0,0,,,", ",".join(rows[1]))

    member = HEAD.split(",")[place]
    for another in ("", same):
        report, _ = documents("a.csv", content(value, another))
        assert list(report["counts"]) == ["advance", "election_day"]
        assert report[member] in ((3,) if place == 1 else (value, same.strip()))
    (text,) = mistakes("a.csv", content(value, other))
    assert all(word in text for word in ("line 4", "line 2", "unit 1-1", member, value, other)), text


def test_a_row_without_figures_is_left_out_and_so_is_a_unit_without_any() -> None:
    """As in a template that was filled in for some units, also if a time was filled down over all rows."""
    read = read_counts(
        "a.csv",
        table(
            f"1-0,,{TIME},,,advance",
            ROW,
            "1-1,,,,,election_day",
            "1-2,,,,,advance",
            "1-2,,,,,election_day,,,",
        ),
    )
    assert [list(part.counts) for part in read.parts] == [["advance"]]
    assert read.empty_units == ("1-0", "1-2")


def test_a_unit_with_a_status_and_no_figures_is_a_report_only_if_that_says_that_nothing_was_counted() -> None:
    """Otherwise it would take back all figures of the unit."""
    (report,) = documents("a.csv", table(f"1-1,,{TIME},not_counted,,advance"))
    assert report["counts"] == {}
    for correction in (f"1-2,,{TIME},final,recount,advance", f"1-2,2,{TIME},final,,advance"):
        (text,) = mistakes("a.csv", table(ROW, correction))
        assert text.startswith("a.csv, line 3: unit 1-2 has the status 'final' but no figures")
    assert all("line 2" in text for text in mistakes("a.csv", table("1-1,7,,,,advance")))


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "1 03",
            "1.030",
            "1,030",
            "1 0300",
            "-1",
            "-0",
            "+1",
            "1e3",
            "0x1",
            "٣",
            "½",
            "=1+1",
            "[red]1[/]",
            "’1",
        ),
        *("2147483648", "9" * 25, "00373000000000000000012345", "9" * 5000, "1\u200b", "nan"),
    ],
)
@pytest.mark.parametrize("column", ["revision", "ballots", "A"])
def test_a_cell_that_is_no_number_of_a_report_is_a_mistake(column: str, cell: str) -> None:
    row = dict(zip(HEAD.split(","), ROW.split(","), strict=True)) | {column: f'"{cell}"'}
    for text in mistakes("a.csv", table(",".join(row.values()))):
        assert text.startswith("a.csv, line 2: ")
        assert column in text


@pytest.mark.parametrize("separator", [";", "\t"])
def test_tables_separated_by_semicolons_or_tabs_are_read(separator: str) -> None:
    """As spreadsheets save them where a comma separates decimals."""
    content = table(ROW, OTHER_ROW)
    assert documents("a.csv", content.replace(b",", separator.encode())) == documents("a.csv", content)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "mac_roman"])
def test_utf_8_that_a_spreadsheet_read_in_another_encoding_is_recognised(encoding: str) -> None:
    wrong = "RØST".encode().decode(encoding)
    (text,) = mistakes("a.csv", f"{HEAD},{wrong}\n{ROW},\n".encode())
    assert text.startswith("a.csv, line 1: ")
    assert "'RØST'" in text
    assert "CSV UTF-8" in text
    (text,) = mistakes("a.csv", table(ROW.replace("advance", "forhånd".encode().decode(encoding))))
    assert "'forhånd'" in text
    for right in ("L’État", "Åpent", "§Ä", "Łódź", "Партия"):
        (report,) = documents("a.csv", f"{HEAD},{right}\n{ROW},0\n".encode())
        assert report["counts"]["advance"]["votes"][right] == 0


@pytest.mark.parametrize(
    ("encoding", "word"), [("cp1252", "not UTF-8;"), ("utf-16", "not UTF-8 but UTF-16;")]
)
@pytest.mark.parametrize("name", ["a.json", "a.ndjson"])
def test_another_encoding_is_named(name: str, encoding: str, word: str) -> None:
    (text,) = mistakes(name, '{"unit": "RØST"}\n'.encode(encoding))
    assert text.startswith(f"{name}, line 1: ")
    assert word in text


def test_a_mistake_in_the_figures_is_in_the_line_of_their_category() -> None:
    """Also where a quoted cell spans lines."""
    quoted = f'1-1,,"{TIME}\n",final,,advance,31,1,0,,20,10'
    wrong = OTHER_ROW.replace(",58,", ",59,")
    (text,) = mistakes("a.csv", table(quoted, "1-9", wrong))
    assert text.startswith(
        "a.csv, line 5: unit 1-1, election_day: ballots (column G): 59, but votes 58 + blank 0 = 58"
    )
    assert (
        len(mistakes("a.csv", table(*(f"1-{number},x,{TIME},final,,a,x,x" for number in range(200))))) == 101
    )


def test_control_characters_and_very_long_texts_are_shown_in_a_short_line() -> None:
    (text,) = mistakes("a.csv", table(ROW.replace("1-1", "1-1\u202e")))
    assert "line 2: unit (column A) contains the character U+202E" in text
    assert mistakes("a.csv", table(ROW.replace(",final,", f",{'x' * 100_000},")))
    assert mistakes("a.csv", table(ROW.replace(",final,", f",{'x' * 200_000},")))
    assert mistakes("a.csv", (HEAD + "," + "y" * 100_000 + "," + "y" * 100_000).encode())


rows = st.lists(
    st.tuples(
        st.sampled_from(["1-1", " 1-1 ", "1-2"]),
        st.sampled_from(["", "", "1", "01", "2"]),
        st.sampled_from(["", TIME, TIME, "2025-09-08T20:36:55Z"]),
        st.sampled_from(["", "final", "final", "counting"]),
        st.sampled_from(["advance", "election_day"]),
        st.sampled_from(["", "0", "1", "2"]),
    ),
    max_size=5,
)


@settings(max_examples=examples(600), deadline=None)
@given(rows, st.booleans())
def test_no_figure_of_a_table_disappears(cells: list[tuple[str, ...]], backwards: bool) -> None:
    """All rows of a unit are one report with all their figures, or there is a mistake."""
    lines = [
        f"{unit},{revision},{time},{status},,{category},{f'{number},0,0' if number else ',,'},,{number},"
        for unit, revision, time, status, category, number in (reversed(cells) if backwards else cells)
    ]
    try:
        parts = read_counts("a.csv", table(*lines)).parts
    except BadCountFile:
        return
    assert len({part.unit for part in parts}) == len(parts)
    entered = sorted((unit.strip(), category, int(number)) for unit, *_, category, number in cells if number)
    assert entered == sorted(
        (part.unit, category, counts["ballots"]) for part in parts for category, counts in part.counts.items()
    )
    for unit, revision, *_ in cells:
        of_unit = [part for part in parts if part.unit == unit.strip()]
        assert not (revision and of_unit) or of_unit[0].revision == int(revision)


# JSON.


VALID = json.dumps(a_report())
REFUSED = {
    '"votes": {"FL": 10}': [
        *('"votes": {"FL": 10, "FL": 10}', '"votes": {"FL": 1e1}', '"votes": {"FL": 10.0}', '"votes": {"FL": "10"}'),
        *('"votes": {"FL": 10, "A": -0}', '"votes": {"FL": NaN}', '"votes": {"FL": Infinity}', '"votes": {"FL": 1'),
        *('"votes": {"FL": 99999999999999999999}', '"votes": {"FL": null}', '"votes": {"FL": 9}', '"votes": [10]'),
        *('"votes": {"FL": 010}', '"votes": {"FL": 1' + "0" * 5000 + "}", '"votes": {"FL": 2147483648}'),
        *('"votes": {"\\ud800": 10}', '"votes": ' + "[" * 3000 + "]" * 3000, '"votes": ' + "[" * 400 + "]" * 400),
    ],
    '"status": "preliminary"': [
        *('"status": "preliminary", "status": "final"', '"status": "final \\ud83d"', '"status": "final\\u0000"'),
        *('"status": "final", "x": 1', "'status': 1", '"status": "final\t"', '"status": true'),
        '"status": 9223372036854775808',
    ],
    '"unit": "0604-0001"': ['"unit": 1', '"unit": null', '"unit": "\\u0000"', '"unit": "a", "unit": "a"', '"u": "a"'],
    '"revision": 1': [
        *('"revision": 0', '"revision": -0', '"revision": 1.0', '"revision": 18446744073709551616', '"revision": "1"'),
        *('"revision": 99999999999999999999', '"revision": true', '"revision": 1, "revision": 1'),
    ],
    '"counted_at": "2024-09-09T22:36:55+02:00"': ['"counted_at": "2024-09-09T22:36:55"', '"counted_at": "now"'],
}  # fmt: skip
BROKEN = [VALID.replace(right, wrong) for right, all_wrong in REFUSED.items() for wrong in all_wrong]
BROKEN += [VALID + "x", VALID + VALID, "\ufeff" + "\ufeff" + VALID, '"text"', "1", "null", "{}", VALID[:-1]]


@pytest.mark.parametrize("broken", BROKEN, ids=range(len(BROKEN)))
def test_what_the_door_refuses_is_a_mistake_in_a_file(broken: str) -> None:
    """In every format, with the line, and before anything is encoded again."""
    assert broken != VALID
    raw = broken.encode()
    assert mistakes("a.json", b"\n" + raw)[0].startswith("a.json, line 2:")
    assert mistakes("a.ndjson", VALID.encode() + b"\n\n" + raw)[0].startswith("a.ndjson, line 3:")
    array = b"[" + VALID.encode() + b",\n\n" + raw + b"]"
    assert mistakes("a.json", array)[0].startswith("a.json, line 3")


def test_lone_surrogates_in_utf_8_are_not_utf_8() -> None:
    for name in ("a.json", "a.ndjson", "a.csv"):
        (text,) = mistakes(name, b'\n{"unit": "\xed\xa0\x80"}')
        assert text.startswith(f"{name}, line 2: not UTF-8")


def test_a_file_may_start_with_a_byte_order_mark() -> None:
    """Which is not part of it; elsewhere it is a mistake."""
    for name in ("a.json", "a.ndjson"):
        assert documents(name, b"\xef\xbb\xbf" + VALID.encode()) == [a_report()]
    assert mistakes("a.ndjson", VALID.encode() + b"\n\xef\xbb\xbf" + VALID.encode())[0].startswith(
        "a.ndjson, line 2"
    )


def test_only_the_revision_may_be_missing() -> None:
    for member in a_report():
        report = {name: value for name, value in a_report().items() if name != member}
        if member == "revision":
            assert documents("a.json", json.dumps(report).encode()) == [report]
        else:
            assert f"$.{member}: the member is required" in mistakes("a.json", json.dumps(report).encode())[0]


def test_a_file_that_is_too_large_or_of_another_kind_is_not_read() -> None:
    assert "larger than 20 MiB" in mistakes("a.json", b" " * (FILE_MAX + 1))[0]
    assert mistakes("receipts.txt.part", b"")


WRONG_PIECES = [
    b"",
    b"0",
    b"-",
    b".",
    b'"',
    b",",
    b"\n",
    b"\r",
    b"\x00",
    b"\xff",
    b"\\ud800",
    b"[",
    b"{",
    b"9" * 30,
    b";",
]


@settings(max_examples=examples(1000), deadline=None)
@given(st.data())
def test_damaged_files_are_read_exactly_or_reported_by_line(data: st.DataObject) -> None:
    """In each format; a report that is read has the meaning of its bytes, as the door reads it."""
    line = VALID.encode()
    name, content = data.draw(
        st.sampled_from(
            [
                ("a.csv", table(ROW, OTHER_ROW)),
                ("a.json", line),
                ("a.json", b"[" + line + b",\n" + line + b"]"),
                ("a.ndjson", line + b"\n" + line),
            ]
        )
    )
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(damaged)))
        end = data.draw(st.integers(start, min(len(damaged), start + 10)))
        damaged[start:end] = data.draw(
            st.sampled_from(WRONG_PIECES) | st.just(bytes(damaged[start:end]) * 2) | st.binary(max_size=3)
        )
    try:
        parts = read_counts(name, bytes(damaged)).parts
    except BadCountFile:
        assert all(text.startswith(f"{name}, line ") for text in mistakes(name, bytes(damaged)))
        return
    for part in parts:
        assert not check_shape(encode_report({"revision": 1} | part.document))
        assert part.instant.tzinfo is not None
    merge(parts)


# Limits.


def test_reading_stops_when_a_file_has_more_than_a_hundred_mistakes() -> None:
    """Of whatever kind they are; a line says that there are more."""
    wide = HEAD + "".join(f",P{number}" for number in range(200))
    contents = {
        "lines.ndjson": b"{\n" * 101,
        "array.json": json.dumps([None] * 101).encode(),
        "rows.csv": table(*[ROW] * 102),
        "no_units.csv": table(*[f",,{TIME}"] * 101),
        "cells.csv": f"{wide}\n{ROW}{',x' * 200}\n".encode(),
        "units.csv": table(*(f"1-{number},,x,final,,advance,1,0,0,,1,0" for number in range(101))),
    }
    for name, content in contents.items():
        *listed, last = mistakes(name, content)
        assert len(listed) == 100
        assert last == f"{name}: more than 100 mistakes; the rest of the file was not checked"


def test_a_file_with_more_reports_or_rows_than_a_country_has_is_not_read() -> None:
    array = b"[" + b"0," * REPORTS_MAX + b"0]"
    lines = (VALID.encode() + b"\n") * (REPORTS_MAX + 1)
    for name, content in (("a.json", array), ("a.ndjson", lines)):
        (text,) = mistakes(name, content)
        assert "more than 20000 reports; divide them" in text
    (text,) = mistakes("a.csv", table("1-1\n" * (ROWS_MAX + 1)))
    assert "more than 200000 rows; divide it" in text


def test_rows_without_content_do_not_count() -> None:
    """A spreadsheet saves them up to its last one."""
    assert len(documents("a.csv", table(ROW, *[",,,,"] * (ROWS_MAX + 1)))) == 1


def test_a_column_is_repeated_among_many() -> None:
    """A hundred thousand columns take no more than linear time."""
    columns = ",".join(f"P{number}" for number in range(100_000))
    (text,) = mistakes("a.csv", f"{HEAD},{columns},P7\n".encode())
    assert "column 'P7' is repeated" in text


@pytest.mark.parametrize("mark", ["", "\ufeff", '\ufeff"'])
def test_a_repeated_header_is_named_with_its_line(mark: str) -> None:
    """As where tables were joined, also with the byte order mark of the second one."""
    again = HEAD.replace("unit", f'{mark}unit"' if '"' in mark else f"{mark}unit", 1)
    (text,) = mistakes("a.csv", table(ROW, again, OTHER_ROW))
    assert text == "a.csv, line 3: repeats the header; delete this line"
    (text,) = mistakes("a.csv", table(ROW, again.replace(",H", ",SV"), OTHER_ROW))
    assert text.startswith("a.csv, line 3: is a second header, with other columns")


@pytest.mark.parametrize(
    ("value", "word"),
    [("null", "null"), ('"a"', "a text"), ("1.5", "a number"), ("true", "a boolean"), ("[]", "a list")],
)
def test_a_value_that_is_no_report_is_named_in_the_words_of_json(value: str, word: str) -> None:
    assert mistakes("a.ndjson", value.encode()) == (f"a.ndjson, line 1: not a report but {word}",)
    assert mistakes("a.json", f"[{value}]".encode()) == (
        f"a.json, line 1, element 0 is not a report but {word}",
    )
