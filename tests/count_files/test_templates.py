"""Rows of the template that were left without figures are left out, also if the rest was filled in for all rows."""

import csv
import io
from typing import Any

import pytest

from gateway.count_files.files import read_counts
from gateway.count_files.template import template
from gateway.election.report import STATUSES
from tests.count_files.tables import TIME, mistakes, registry, text_of, workbook

FIGURES = {"ballots": "31", "blank": "1", "rejected": "0", "A": "20", "H": "10"}
SAYS_NOTHING_WAS_COUNTED = ("not_counted", "counting", "counted_elsewhere", "unstated")


def filled(**everywhere: str) -> list[list[Any]]:
    """The template of Oslo: its first row with figures, a time and a status, and all rows with what was filled down."""
    text = template(registry(), ["0301"]).removeprefix("\ufeff")
    rows = list(csv.DictReader(io.StringIO(text)))
    rows[0] |= {"counted_at": TIME, "status": "final"} | FIGURES
    cells = [each | everywhere if number else each for number, each in enumerate(rows)]
    return [list(rows[0]), *([cell or "" for cell in each.values()] for each in cells)]


def written(kind: str, cells: list[list[Any]]) -> tuple[str, bytes]:
    return f"t.{kind}", workbook(cells) if kind == "xlsx" else text_of(cells).encode("utf-8-sig")


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("counted_at", ["", TIME, "09.09.2024 23:00"])
@pytest.mark.parametrize("status", ["", *STATUSES])
def test_a_row_without_figures_is_left_out(kind: str, status: str, counted_at: str) -> None:
    """A unit without any is a report only if it has a time and a status that says that nothing was counted."""
    read = read_counts(*written(kind, filled(status=status, counted_at=counted_at)), registry())
    first, *others = read.parts
    assert first.document["counts"].keys() == {"advance"}
    assert (first.document["status"], first.document["counted_at"]) == ("final", TIME)
    if status in SAYS_NOTHING_WAS_COUNTED and counted_at:
        assert [(part.unit, part.counts) for part in others] == [("0301-0002", {})]
        assert read.empty_units == ()
    else:
        assert others == []
        assert read.empty_units == ("0301-0002",)
        left_out = (f"t.{kind}: left out, since there are no figures: 0301-0002",)
        rows = (f"t.{kind}: rows left out, since there are no figures: line 3",)
        differs = status not in ("", "final") or counted_at not in ("", TIME)
        assert read.notes == (left_out if status else ()) + (rows if differs else ())


def test_what_nobody_fills_in_for_all_rows_is_not_left_out() -> None:
    """A unit with a revision or a reason, and no figures, would take back its figures."""
    for column, value in (("revision", "2"), ("reason", "recount")):
        cells = filled()
        cells[3][cells[0].index(column)] = value
        assert mistakes(*written("csv", cells))


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_an_empty_template_has_no_reports_and_no_mistakes(kind: str) -> None:
    cells = list(csv.reader(io.StringIO(template(registry(), ["0"]).removeprefix("\ufeff"))))
    read = read_counts(*written(kind, cells), registry())
    assert read.parts == ()
    assert len(read.empty_units) == 4
