"""PURE: which cells of a workbook are dates, and their dates (ECMA-376, part 1, sections 18.8.30 and 18.17.4)."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from gateway.count_files.workbook_zip import WorkbookParts

_BUILT_IN = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
"""Parts of a format that are shown as they are, or are colours, conditions and languages."""
_DATE_PART = re.compile(r"[dmyhs]", re.IGNORECASE)
_FIRST_DAY = 61
"""1 March 1900. Earlier numbers are off by one, as 1900 had no 29 February."""


def date_styles(parts: WorkbookParts, target: str) -> frozenset[int]:
    """Return the numbers of the cell styles that show numbers as dates or times."""
    codes: dict[str, str] = {}
    styles: list[str] = []
    inside = ""

    def start(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal inside
        if name in ("numFmts", "cellXfs"):
            inside = name
        elif name == "numFmt" and inside == "numFmts":
            codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif name == "xf" and inside == "cellXfs":
            styles.append(attributes.get("numFmtId", "0"))

    def end(name: str) -> None:
        nonlocal inside
        if name == inside:
            inside = ""

    parts.parse(target, start, end)
    return frozenset(number for number, style in enumerate(styles) if _is_date(style, codes))


def _is_date(style: str, codes: Mapping[str, str]) -> bool:
    if style in codes:
        return is_date_format(codes[style])
    return style.isascii() and style.isdigit() and int(style[:9]) in _BUILT_IN


def is_date_format(code: str) -> bool:
    """Return whether a number format shows a date or a time."""
    first = _LITERAL.sub("", code[:1000]).partition(";")[0]
    return "general" not in first.lower() and _DATE_PART.search(first) is not None


def serial_text(content: str, *, from_1904: bool) -> str:
    """Return the local date and time of a cell: `2024-09-09 22:05:00`; a number that is none as it is."""
    try:
        days = float(content)
    except ValueError:
        return content
    if from_1904:
        epoch, least = datetime(1904, 1, 1), 0  # noqa: DTZ001
    else:
        epoch, least = datetime(1899, 12, 30), _FIRST_DAY  # noqa: DTZ001
    if not least <= days < 2_958_466:
        return content
    milliseconds = round(days * 86_400_000)
    time = epoch + timedelta(milliseconds=milliseconds)
    return time.isoformat(sep=" ", timespec="milliseconds" if time.microsecond else "seconds")
