"""PURE: the sheets of an Excel workbook (.xlsx; ECMA-376, part 1), as rows of texts.

Neither openpyxl nor calamine is used. calamine reads cells with errors and formulas without a value as empty cells, so
that figures would disappear, and a file of 5 kB with two cells far apart makes it end the process. openpyxl (3.1) was
tried behind the checks of this reader: 70 % of the code remained, as it needs a second pass for formulas, and what it
does not return while it streams a sheet (hidden rows and columns, merged cells, cells that are there twice) needs a
parser of our own. The largest sheets within the bounds take eight to ten times as long (a million rows without content:
39 s instead of 4 s), a file of 16 kB takes 2 GB of memory, and a workbook in the strict format has no sheets.
"""

from collections.abc import Iterator, Mapping
from posixpath import join, normpath

from gateway.count_files.number_formats import NumberStyles, read_styles
from gateway.count_files.workbook_sheet import TEXT_MAX, CellTexts, Sheet, SheetReader, unescaped
from gateway.count_files.workbook_zip import BadWorkbook, Bounds, WorkbookParts

_RELATIONS = "xl/_rels/workbook.xml.rels"


def read_workbook(content: bytes, bounds: Bounds) -> list[Sheet]:
    """Return the sheets of a workbook that have content. Raises BadWorkbook."""
    parts = WorkbookParts(content, bounds)
    reader = _Reader(parts)
    return [sheet for sheet in reader.sheets() if sheet.rows]


class _Reader:
    def __init__(self, parts: WorkbookParts) -> None:
        self._parts = parts
        self._targets: dict[str, str] = {}
        """Parts by the identifier of their relation."""
        self._from_1904 = False
        self._strings: list[str] = []
        self._styles = NumberStyles()

    def sheets(self) -> Iterator[Sheet]:
        sheets: list[tuple[str, bool, str]] = []
        kinds: dict[str, str] = {}

        def relation(name: str, attributes: Mapping[str, str]) -> None:
            if name == "Relationship" and attributes.get("TargetMode") != "External":
                target = _part(attributes.get("Target", ""))
                self._targets[attributes.get("Id", "")] = target
                kinds.setdefault(attributes.get("Type", "").rpartition("/")[2], target)

        def book(name: str, attributes: Mapping[str, str]) -> None:
            if name == "workbookPr":
                self._from_1904 = attributes.get("date1904") in ("1", "true")
            elif name == "sheet":
                relation_id = next((value for key, value in attributes.items() if key.endswith(" id")), "")
                hidden = attributes.get("state", "visible") != "visible"
                sheets.append((attributes.get("name", ""), hidden, relation_id))

        if _RELATIONS not in self._parts:
            raise BadWorkbook("not an Excel workbook (.xlsx)")
        self._parts.parse(_RELATIONS, relation)
        self._parts.parse("xl/workbook.xml", book)
        if "sharedStrings" in kinds:
            self._strings = _shared_strings(self._parts, kinds["sharedStrings"])
        if "styles" in kinds:
            self._styles = read_styles(self._parts, kinds["styles"])
        for name, hidden, relation_id in sheets:
            target = self._targets.get(relation_id, "")
            if "chartsheets/" not in target and "dialogsheets/" not in target:
                yield self._sheet(target, Sheet(name, hidden))

    def _sheet(self, target: str, sheet: Sheet) -> Sheet:
        reader = SheetReader(sheet, CellTexts(self._strings, self._styles, self._from_1904))
        self._parts.parse(target, reader.start, reader.end, reader.data)
        return sheet


def _part(target: str) -> str:
    return target[1:] if target.startswith("/") else normpath(join("xl", target))


def _shared_strings(parts: WorkbookParts, target: str) -> list[str]:
    strings: list[str] = []
    pieces: list[str] = []
    in_text = in_phonetic = False
    size = 0

    def start(name: str, _: Mapping[str, str]) -> None:
        nonlocal in_text, in_phonetic
        in_text = name == "t" and not in_phonetic
        in_phonetic = in_phonetic or name == "rPh"

    def end(name: str) -> None:
        nonlocal in_text, in_phonetic, size
        in_text = False
        if name == "rPh":
            in_phonetic = False
        elif name == "si":
            text = "".join(pieces)
            pieces.clear()
            size = 0
            strings.append(unescaped(text).strip())

    def data(text: str) -> None:
        nonlocal size
        if in_text:
            pieces.append(text)
            size += len(text)
            if size > TEXT_MAX:
                raise BadWorkbook(f"more than {TEXT_MAX} characters in a cell")

    parts.parse(target, start, end, data)
    return strings
