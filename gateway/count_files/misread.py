"""PURE: recognise texts in UTF-8 that a spreadsheet read in another encoding."""

from contextlib import suppress

_LATIN_MAX = "\u024f"
"""The last letter of the Latin blocks; `L’État` is not an Armenian text in another encoding."""


def misread(text: str) -> str | None:
    """Return the Latin text that, encoded in UTF-8 and decoded in an old encoding of spreadsheets, is this one."""
    if text.isascii():
        return None
    for encoding in ("cp1252", "latin-1", "mac_roman"):
        with suppress(UnicodeError):
            intended = text.encode(encoding).decode("utf-8")
            if max(intended) <= _LATIN_MAX:
                return intended
    return None
