"""PURE: whole numbers as people and spreadsheets write them.

A text that could be read as two different numbers is refused: `1.234` is 1234 in one country and 1.234 in another.
"""

import re

from gateway.characters import code_point
from gateway.count_files.messages import Message, said

_DECIMALS = r"(?:[.,](?:0{1,2}|0{4,}))?"
_NUMBER = re.compile(
    rf"([0-9]+|[0-9]{{1,3}}(?:[ \u00a0\u202f][0-9]{{3}})+|[0-9]{{1,3}}(?:['’][0-9]{{3}})+){_DECIMALS}"
)
"""Digits, perhaps in groups of three, perhaps with decimals that are zero. Three zeros could be a group."""
_POINT = re.compile(r"([0-9][0-9 \u00a0\u202f'’]*)[.,]([0-9]+)")
_MINUS = re.compile(r"[-\u2010-\u2015\u2212\ufe58\ufe63\uff0d]\s*[0-9]|\([0-9]|[0-9]\s*[-\u2212]$")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?")
_FORMATTED = re.compile(r"[-0-9.e+]+ \[.+\]")
"""A number of a workbook with the format that shows another one."""
_ERROR = re.compile(r"#[A-ZÆØÅ0-9/]+[!?]?")
_NOT_DIGIT = re.compile(r"[^0-9 \u00a0\u202f'’.,]")


class NotWhole(ValueError):
    """A text that is not a whole number; `why` is a clause, or None if that is evident."""

    def __init__(self, why: Message | None) -> None:
        super().__init__(*([why] if why is not None else []))
        self.why = why


def read_whole(text: str) -> int:
    """Return the whole number in a cell. Raises NotWhole."""
    if found := _NUMBER.fullmatch(text):
        return int(digits_of(found[1])[:4000])
    raise NotWhole(_reason(text))


def is_whole(text: str) -> bool:
    """Return whether a text is a whole number."""
    return _NUMBER.fullmatch(text) is not None


def digits_of(text: str) -> str:
    """Return the digits of a number without separators and leading zeros."""
    return re.sub(r"[^0-9]", "", text).lstrip("0") or "0"


def is_date(text: str) -> bool:
    """Return whether a text is a date and time, as they come from the cells of a workbook."""
    return _DATE.fullmatch(text) is not None


def spreadsheet_problem(text: str) -> Message | None:
    """Return what is wrong with a cell in which a spreadsheet has an error, or a formula without its value."""
    if text.startswith("#") and _ERROR.fullmatch(text):
        return said("cell_error")
    if text.startswith("=") and len(text) > 1:
        return said("formula")
    return None


def _reason(text: str) -> Message | None:
    if problem := spreadsheet_problem(text):
        return problem
    if _FORMATTED.fullmatch(text):
        return said("formatted")
    if is_date(text):
        return said("a_date")
    if found := _POINT.fullmatch(text):
        return _two_readings(digits_of(found[1]), found[1], found[2])
    if _MINUS.search(text):
        return said("negative")
    for character in text:
        if character.isdigit() and not character.isascii():
            return said("foreign_digit", character=code_point(character))
    if found := _NOT_DIGIT.search(text):
        if found[0].isprintable():
            return said("contains", character=found[0])
        return said("contains_invisible", character=code_point(found[0]))
    return said("wrong_groups") if text[:1].isdigit() else None


def _two_readings(whole: str, written: str, decimals: str) -> Message:
    joined = digits_of(written + decimals)
    if decimals.strip("0"):
        return said("not_whole_or_grouped", joined=joined[:20], whole=whole[:20], decimals=decimals[:20])
    return said("two_readings", joined=joined[:20], whole=whole[:20])
