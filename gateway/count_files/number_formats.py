"""PURE: how a workbook shows its numbers: as dates, or as other numbers (ECMA-376, part 1, 18.8.30 and 18.17.4)."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from gateway.count_files.workbook_zip import WorkbookParts

_BUILT_IN_DATES = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_BUILT_IN_PERCENT = {"9": "0%", "10": "0.00%"}
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
"""Parts of a format that are shown as they are, or are colours, conditions and languages."""
_DATE_PART = re.compile(r"[dmyhs]", re.IGNORECASE)
_SCALED = re.compile(r"%|[0#?],+(?![0#?,])")
"""A format that shows hundreds as percent, or thousands as units."""
_FIRST_SECTION = re.compile(r'(?:"[^"]*"|\\.|[^;"\\])*')
_DIGIT_AS_TEXT = re.compile(r'"[^"]*[0-9][^"]*"|\\[0-9]')
"""Digits that a format adds to those of the number: `0"000"`."""


class NumberStyles(msgspec.Struct, frozen=True):
    """Cell styles by their number, a text of decimal digits."""

    dates: frozenset[str] = frozenset()
    """Those that show numbers as dates or times."""
    scaled: Mapping[str, str] = {}
    """The formats of those that show a multiple or a fraction of the number."""


def read_styles(parts: WorkbookParts, target: str) -> NumberStyles:
    """Return what the styles of a workbook do with numbers."""
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
    codes = _BUILT_IN_PERCENT | codes
    return NumberStyles(
        frozenset(str(number) for number, style in enumerate(styles) if _is_date(style, codes)),
        {
            str(number): codes[style][:20]
            for number, style in enumerate(styles)
            if style in codes and not is_date_format(codes[style]) and _shows_another_number(codes[style])
        },
    )


def _is_date(style: str, codes: Mapping[str, str]) -> bool:
    if style in codes:
        return is_date_format(codes[style])
    return style.isascii() and style.isdigit() and int(style[:9]) in _BUILT_IN_DATES


def is_date_format(code: str) -> bool:
    """Return whether a number format shows a date or a time."""
    first = _first(code)
    return "general" not in first.lower() and _DATE_PART.search(first) is not None


def _shows_another_number(code: str) -> bool:
    section = _FIRST_SECTION.match(code[:1000])
    with_digits = section is not None and _DIGIT_AS_TEXT.search(section[0]) is not None
    return with_digits or _SCALED.search(_first(code)) is not None


def _first(code: str) -> str:
    """Return the part of a format for positive numbers, without what is shown as it is."""
    return _LITERAL.sub("", code[:1000]).partition(";")[0]


def serial_text(content: str, *, from_1904: bool) -> str:
    """Return the local date and time of a cell: `2024-09-09 22:05:00`; a number that is none as it is.

    Dates before March 1900 differ by a day between spreadsheets; no count has one.
    """
    try:
        days = float(content)
    except ValueError:
        return content
    epoch = datetime(1904, 1, 1) if from_1904 else datetime(1899, 12, 30)  # noqa: DTZ001
    if not 0 <= days < 2_958_466:
        return content
    milliseconds = round(days * 86_400_000)
    time = epoch + timedelta(milliseconds=milliseconds)
    return time.isoformat(sep=" ", timespec="milliseconds" if time.microsecond else "seconds")
