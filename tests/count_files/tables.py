"""A small election, and tables of its counts as texts and workbooks, for tests."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import openpyxl
import pytest

from gateway.count_files.files import read_counts
from gateway.count_files.parts import BadCountFile
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry

TIME = "2024-09-09T22:05:00+02:00"
HEAD = (
    "unit",
    "revision",
    "counted_at",
    "status",
    "reason",
    "category",
    "ballots",
    "blank",
    "rejected",
    "voters",
)
PARTIES = ("A", "H", "RØD")


@cache
def registry(timezone: str | None = "Europe/Oslo") -> Registry:
    """Oslo and Stavanger with two units each, two categories and three parties."""
    areas = [("0", None), ("0301", "0"), ("1103", "0")]
    areas += [(f"{of}-000{number}", of) for of in ("0301", "1103") for number in (1, 2)]
    return read_registry(
        {
            "format": "election-registry/1",
            "election": {
                "id": "small",
                "name": "Small",
                "date": "2024-09-09",
                "publish_from": "2024-09-09T21:00:00+02:00",
                "categories": ["advance", "election_day"],
                **({} if timezone is None else {"timezone": timezone}),
            },
            "areas": [
                {"id": id_, "name": id_, "level": f"level-{len(id_)}", "parent": parent, "eligible": 1000}
                for id_, parent in areas
            ],
            "parties": [
                {"code": "A", "name": "Arbeiderpartiet"},
                {"code": "H", "name": "Høyre"},
                {"code": "RØD", "name": "Rødt", "names": {"nn": "Raudt", "en": "Red Party"}},
            ],
        }
    )


def row(
    unit: str = "0301-0001", category: str = "advance", ballots: Any = 31, **cells: Any
) -> dict[str, Any]:
    """One row by column; its figures are consistent."""
    return {
        "unit": unit, "counted_at": TIME, "status": "final", "category": category, "ballots": ballots, "blank": 1,
        "rejected": 0, "A": 20, "H": 10, **cells,
    }  # fmt: skip


def grid(*rows: Mapping[str, Any], head: Sequence[str] = (*HEAD, *PARTIES)) -> list[list[Any]]:
    """A table with its header, as rows of cells."""
    return [list(head), *([each.get(column, "") for column in head] for each in rows)]


def text_of(cells: Sequence[Sequence[Any]], delimiter: str = ";", end: str = "\r\n") -> str:
    """A table as a text; each cell is quoted if it has to be."""

    def quoted(cell: Any) -> str:
        text = "" if cell is None else str(cell)
        return f'"{text}"' if any(each in text for each in (delimiter, "\n", "\r")) else text

    return "".join(delimiter.join(map(quoted, each)) + end for each in cells)


def workbook(cells: Sequence[Sequence[Any]], title: str = "Counts") -> bytes:
    """A workbook with one sheet, as openpyxl writes it."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = title
    for each in cells:
        sheet.append([None if cell == "" else cell for cell in each])
    return saved(book)


_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_PACKAGE = 'xmlns="http://schemas.openxmlformats.org/package/2006/relationships"'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def plain_workbook(
    cells: Sequence[Sequence[Any]] = (), *, sheet: str | None = None, strings: str | None = None
) -> bytes:
    """A workbook with shared texts and no more parts than it needs, from cells or from the XML of its sheet."""
    texts = {str(cell): None for each in cells for cell in each if not isinstance(cell, int)}
    numbers = {text: number for number, text in enumerate(texts)}
    rows = "".join(
        "<row>"
        + "".join(
            f"<c><v>{cell}</v></c>" if isinstance(cell, int) else f'<c t="s"><v>{numbers[str(cell)]}</v></c>'
            for cell in each
        )
        + "</row>"
        for each in cells
    )
    shared = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in texts)
    relations = "".join(
        f'<Relationship Id="{id_}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for id_, kind, target in (("a", "worksheet", "/xl/one.xml"), ("b", "sharedStrings", "strings.xml"))
    )
    book = '<sheets><sheet name="S" sheetId="1" r:id="a"/></sheets>'
    parts = {
        "xl/workbook.xml": f'<workbook {_MAIN} xmlns:r="{_OFFICE}">{book}</workbook>',
        "xl/_rels/workbook.xml.rels": f"<Relationships {_PACKAGE}>{relations}</Relationships>",
        "xl/one.xml": sheet or f"<worksheet {_MAIN}><sheetData>{rows}</sheetData></worksheet>",
        "xl/strings.xml": strings or f"<sst {_MAIN}>{shared}</sst>",
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return written.getvalue()


def saved(book: openpyxl.Workbook) -> bytes:
    """The bytes of a workbook."""
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def changed(content: bytes, **parts: str | bytes | None) -> bytes:
    """A workbook with other content of some parts, by the stem of their names; without those that are None."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as before,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as after,
    ):
        for entry in before.infolist():
            stem = entry.filename.rpartition("/")[2].removesuffix(".xml")
            new = parts.get(stem, before.read(entry))
            if new is not None:
                after.writestr(entry.filename, new)
    return written.getvalue()


def documents(name: str, content: bytes, of: Registry | None = None) -> list[dict[str, Any]]:
    """The reports of a file."""
    return [part.document for part in read_counts(name, content, of or registry()).parts]


def notes(name: str, content: bytes) -> tuple[str, ...]:
    """The notes about a file."""
    return read_counts(name, content, registry()).notes


def mistakes(name: str, content: bytes, of: Registry | None = None) -> tuple[str, ...]:
    """The mistakes of a file, which are short lines with its name."""
    with pytest.raises(BadCountFile) as found:
        read_counts(name, content, of or registry())
    for text in found.value.mistakes:
        assert text.startswith(name), text
        assert "\n" not in text, text
        assert len(text) < 400, text
    return found.value.mistakes


def csv(*rows: Mapping[str, Any], **options: Any) -> bytes:
    """A table as CSV."""
    return text_of(grid(*rows, **options)).encode()
