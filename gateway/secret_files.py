"""Read tokens and passwords from files as editors and shells write them. No message quotes a secret."""

import codecs
import re
from pathlib import Path

from gateway.characters import code_point

SECRET_MAX = 4096
"""Largest size of a file with a secret, in bytes."""
_BYTE_ORDER_MARK = "\ufeff"
_AROUND_TOKENS = re.compile(rf"\A[\s{_BYTE_ORDER_MARK}]+|[\s{_BYTE_ORDER_MARK}]+\Z")
_NOT_IN_TOKENS = re.compile(r"[^A-Za-z0-9._~+/=-]|=(?!=*\Z)")
"""Characters that cannot be part of a token; `=` only at its end. Source: RFC 6750, section 2.1, `b64token`."""


def read_secret(file: Path) -> str:
    """Return the text of a small file in UTF-8 or in UTF-16 with a byte order mark, without the mark.

    UTF-16 is what `>` writes in Windows PowerShell. Raises OSError, or ValueError with a text that does not quote the
    file.
    """
    with file.open("rb") as opened:
        content = opened.read(SECRET_MAX + 1)
    if len(content) > SECRET_MAX:
        raise ValueError(f"longer than {SECRET_MAX} bytes")
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"not {'UTF-16' if is_utf16 else 'UTF-8'}") from None
    return text.removeprefix(_BYTE_ORDER_MARK)


def trimmed_token(text: str) -> str:
    """Return a token without white space and byte order marks at its ends; empty if nothing is left.

    Raises ValueError for several lines, and for a character that no token contains, with its position counted from 1.
    """
    token = _AROUND_TOKENS.sub("", text)
    if (lines := len(token.splitlines())) > 1:
        raise ValueError(f"{lines} lines, where a token is one")
    if found := _NOT_IN_TOKENS.search(token):
        if found[0] == "=":
            raise ValueError(f"character {found.start() + 1} is =, which a token contains only at its end")
        raise ValueError(f"character {found.start() + 1} is {code_point(found[0])}, which no token contains")
    return token
