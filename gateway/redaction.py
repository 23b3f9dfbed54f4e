"""PURE: mask passwords and tokens in texts that are shown or logged."""

import re

_PASSWORDS = (
    (re.compile(r"(://[^\s:/?#@]*):\S*@"), r"\1:***@"),  # up to the last @: a password may contain others
    (re.compile(r"(?i)\b((?:ssl)?password)=[^&\s'\"]*"), r"\1=***"),
    (re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]{16,}"), r"\1 ***"),
)


def without_passwords(text: str) -> str:
    """Return a text with passwords of URLs and tokens masked; errs on the side of masking too much."""
    for pattern, shown in _PASSWORDS:
        text = pattern.sub(shown, text)
    return text
