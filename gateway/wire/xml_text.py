"""Texts and identifiers as they are written in XML, and identifiers as they are read.

Source: XML 1.0, sections 2.2 (characters), 2.3 (Nmtoken) and 2.4 (escapes).
"""

import re

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that an XML document cannot contain, not even as a reference."""
_NOT_IN_NAMES = re.compile(
    "[^-.:0-9A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u0131\u0134-\u013e\u0141-\u0148\u014a-\u017e]|_(?=x)"
)
"""What an NMTOKEN of every edition of XML cannot contain, as far as letters of other scripts than Latin are concerned;
and an underscore that would begin an escape."""
_ESCAPE = re.compile("_x([0-9A-Fa-f]{8}|[0-9A-Fa-f]{4})_")


def xml_text(text: str) -> str:
    """Return a text as the content of an element, or as an attribute value in double quotes.

    White space other than a space is written as a space, and what XML cannot contain as U+FFFD.
    """
    text = _FORBIDDEN.sub("\ufffd", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return text.replace("\t", " ").replace("\n", " ").replace("\r", " ")


def nmtoken(identifier: str) -> str:
    """Return an identifier as an NMTOKEN: each character that it cannot contain as `_xHHHH_`, its code point.

    `_x` is written as `_x005F_x`, so that `from_nmtoken` returns every identifier as it was.
    """
    return _NOT_IN_NAMES.sub(_escaped, identifier)


def _escaped(found: re.Match[str]) -> str:
    point = ord(found[0])
    return f"_x{point:04X}_" if point < 0x10000 else f"_x{point:08X}_"


def from_nmtoken(text: str) -> str:
    """Return the identifier that `nmtoken` wrote."""
    return _ESCAPE.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    point = int(found[1], 16)
    return chr(point) if point < 0x110000 and not 0xD800 <= point < 0xE000 else found[0]
