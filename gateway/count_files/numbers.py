"""PURE: whole numbers as people and spreadsheets write them.

A text that could be read as two different numbers is no number: `1.234` is 1234 in one country and 1.234 in another.
"""

import re

from gateway.characters import code_point

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
    """A text that is not a whole number; the message is a clause that says why, and may be empty."""


def read_whole(text: str) -> int:
    """Return the whole number in a cell. Raises NotWhole."""
    if found := _NUMBER.fullmatch(text):
        return int(digits_of(found[1])[:4000])
    raise NotWhole(_reason(text))


def digits_of(text: str) -> str:
    """Return the digits of a number without separators and leading zeros."""
    return re.sub(r"[^0-9]", "", text).lstrip("0") or "0"


def is_date(text: str) -> bool:
    """Return whether a text is a date and time, as they come from the cells of a workbook."""
    return _DATE.fullmatch(text) is not None


def spreadsheet_problem(text: str) -> str | None:
    """Return what is wrong with a cell in which a spreadsheet has an error, or a formula without its value."""
    if text.startswith("#") and _ERROR.fullmatch(text):
        return "an error of the spreadsheet; correct its formula"
    if text.startswith("=") and len(text) > 1:
        return "a formula without a stored value; save the file in the spreadsheet, or enter the value"
    return None


def _reason(text: str) -> str:
    if problem := spreadsheet_problem(text):
        return problem
    if _FORMATTED.fullmatch(text):
        return "the format of its cell shows another number; enter it in a cell without a format"
    if is_date(text):
        return "a date; the spreadsheet changed what was entered"
    if found := _POINT.fullmatch(text):
        return _two_readings(digits_of(found[1]), found[1], found[2])
    if _MINUS.search(text):
        return "a count is not negative"
    for character in text:
        if character.isdigit() and not character.isascii():
            return f"it contains the digit {code_point(character)}; use 0 to 9"
    if found := _NOT_DIGIT.search(text):
        return (
            f"it contains {found[0]!r}" if found[0].isprintable() else f"it contains {code_point(found[0])}"
        )
    return "its digits are not in groups of three" if text[:1].isdigit() else ""


def _two_readings(whole: str, written: str, decimals: str) -> str:
    joined = digits_of(written + decimals)
    if decimals.strip("0"):
        return f"it can be read as {joined[:20]} or as {whole[:20]}.{decimals[:20]}, which is not whole"
    return f"it can be read as {joined[:20]} or as {whole[:20]}; enter one of these"
