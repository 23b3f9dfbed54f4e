"""PURE: control characters and invisible characters, and their visible escapes.

Names and messages come from registries, files and other gateways. Printed unescaped, an escape sequence could clear the
screen, and a bidirectional override could make one figure look like another.
"""

import re

_INVISIBLE = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u2028\u2029"  # line and paragraph separator
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, embeddings, overrides, isolates
    "\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # no width: soft hyphen, zero width space, ...
    "\ud800-\udfff"  # lone surrogates
    "\U0001d173-\U0001d17a\U000e0000-\U000e007f"  # musical and tag characters, without a width
)
CONTROL = re.compile(f"[{_INVISIBLE}]")
"""Characters that are refused in all texts of a registry. U+200C and U+200D are allowed: some scripts need them."""
_IGNORABLE = (
    "\u200c\u200d\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U000e0080-\U000e0fff"
)
"""Joiners, fillers, variation selectors and others that are allowed in names and usually show nothing. Source: Unicode
Character Database, Default_Ignorable_Code_Point; and U+2800, a blank."""
CONTROL_OR_JOINER = re.compile(f"[{_INVISIBLE}{_IGNORABLE}]")
"""Characters that are refused in identifiers, where one that shows nothing would make two of them look alike."""
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_NOT_LAYOUT = re.compile(f"(?![\t\n])[{_INVISIBLE}]")


def printable(text: str) -> str:
    r"""Return a text as one line, with each control character as its escape, such as `\x1b` or `\u202e`."""
    return CONTROL.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Return a text of several lines with its control characters escaped, except line feeds and tabs."""
    return _NOT_LAYOUT.sub(_escape, text)


def printable_json(text: str) -> str:
    """Return JSON equal to `text` with escaped control characters, which RFC 8259 allows only in strings."""
    return text if text.isascii() and "\x7f" not in text else _NOT_LAYOUT.sub(_json_escape, text)


def ascii_json(text: str) -> str:
    """Return JSON equal to `text` that contains ASCII characters only."""
    return text if text.isascii() else _NOT_ASCII.sub(_json_escape, text)


def code_point(character: str) -> str:
    """Return the code point of a character as text, such as `U+001B`."""
    return f"U+{ord(character):04X}"


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
