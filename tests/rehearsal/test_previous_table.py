"""The table of what became of areas and parties: what it means, and every mistake with its line."""

import pytest

from gateway.rehearsal.previous_table import BadTable, Identifiers, Table, read_table

BEFORE = Identifiers({"1", "1-1", "1-2"}, {"A", "B", "GONE"})
AFTER = Identifiers({"2", "2-1", "2-2"}, {"A", "NEW"})


def read(text: str) -> Table:
    return read_table("map.csv", text.encode(), BEFORE, AFTER)


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_table_names_what_was_merged_split_renamed_and_dropped(separator: str) -> None:
    """With columns in any order, other columns, blank lines, and a byte order mark."""
    lines = [
        "to,kind,note,from",
        "2-1,area,split,1-1",
        "2-2,area,,1-1",
        ",area,,1-2",
        "",
        "2,area,new,",
        "NEW,party,,B",
    ]
    found = read("\ufeff" + "\r\n".join([*lines, ",party,,GONE", "A,party,stays,"]).replace(",", separator))
    assert found == Table({"1-1": ("2-1", "2-2"), "1-2": ()}, {"B": "NEW", "GONE": None}, frozenset({"2"}))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: no column kind, from, to; expected kind, from, to"),
        ("kind,from\n", "line 1: no column to; expected kind, from, to"),
        ("kind,from,to\nlevel,1,2\n", "line 2: kind is 'level', expected area or party"),
        ("kind,from,to\n\narea,3,2\n", "line 3: '3' is not an area of the earlier election"),
        ("kind,from,to\narea,1,1\n", "line 2: '1' is not an area of the new election"),
        ("kind,from,to\nparty,B,B\n", "line 2: 'B' is not a party of the new election"),
        ("kind,from,to\narea,1,2\narea,1,2\n", "line 3: area '1' is repeated"),
        ("kind,from,to\narea,1,2\narea,1,\n", "line 3: area '1' is repeated"),
        (
            "kind,from,to\nparty,B,A\nparty,B,NEW\n",
            "line 3: party 'B' is repeated; a party has one successor",
        ),
        ("kind,from,to\narea,\x1b[2J,2\n", r"line 2: '\x1b[2J' is not an area of the earlier election"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, problem: str) -> None:
    """In one line, whatever the table contains."""
    with pytest.raises(BadTable) as raised:
        read(text)
    assert str(raised.value) == f"map.csv: {problem}"


def test_every_mistake_is_named_up_to_a_limit_and_a_text_that_is_no_table_is_one() -> None:
    """The number of the others follows."""
    with pytest.raises(BadTable) as raised:
        read("kind,from,to\n" + "area,3,2\n" * 30)
    assert str(raised.value).count("not an area") == 20
    assert str(raised.value).endswith("map.csv: and 10 more")
    with pytest.raises(BadTable, match="not UTF-8"):
        read_table("map.csv", b"kind,from,to\n\xff", BEFORE, AFTER)
    with pytest.raises(BadTable, match="field larger than field limit"):
        read("kind,from,to\n" + "x" * 200_000)
