"""PURE: characters that steer a terminal, or that nobody sees, and texts that show them instead.

Names and details come from registries, files and other people's gateways. Printed as they are, an escape sequence
could clear a screen, and a bidirectional override could make one figure look like another.
"""

import re

_UNSEEN = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u2028\u2029"  # line and paragraph separator
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, embeddings, overrides, isolates
    "\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # no width: soft hyphen, zero width space, ...
    "\ud800-\udfff"  # lone surrogates
    "\U0001d173-\U0001d17a\U000e0000-\U000e007f"  # musical and tag characters, without a width
)
CONTROL = re.compile(f"[{_UNSEEN}]")
"""A character that no text of a registry may have. U+200C and U+200D, which some scripts need, are not among them."""
CONTROL_OR_JOINER = re.compile(f"[{_UNSEEN}\u200c\u200d]")
"""Likewise for identifiers, where two that look alike would be taken for one."""
_NOT_LAYOUT = re.compile(f"(?![\t\n])[{_UNSEEN}]")


def printable(text: str) -> str:
    r"""Return a text for one line: each control character as its escape, such as `\x1b` or `\u202e`."""
    return CONTROL.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, which keeps line feeds and tabs."""
    return _NOT_LAYOUT.sub(_escape, text)


def printable_json(text: str) -> str:
    """Return JSON that is equal to `text` and has only visible characters; RFC 8259 allows them in strings only."""
    return text if text.isascii() and "\x7f" not in text else _NOT_LAYOUT.sub(_json_escape, text)


def named(character: str) -> str:
    """Return how an error names a character, such as `U+001B`."""
    return f"U+{ord(character):04X}"


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
