"""Values of options that are more than a word or a number: paths, keys and witnesses."""

import os
import re
from pathlib import Path

_VKEY = r"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+={0,2}"
_WITNESS = re.compile(rf"({_VKEY})=(https?://[^\s,]+)")


def witness_of(value: str) -> tuple[str, str]:
    """Split VKEY=URL: the vkey of a witness (C2SP signed-note), and the prefix of its submission URLs, without a slash.

    Raises ValueError.
    """
    found = _WITNESS.fullmatch(value)
    if found is None:
        raise ValueError(
            "Expected VKEY=URL, as in witness.example/w1+1a2b3c4d+BASE64=https://witness.example"
        )
    return found[1], found[2].rstrip("/")


def checked_witness(value: str) -> str:
    """Return a value of `witnesses` in its normal form. Raises ValueError."""
    return "=".join(witness_of(value))


def checked_vkey(value: str) -> str:
    """Return a vkey unchanged (C2SP signed-note). Raises ValueError."""
    if re.fullmatch(_VKEY, value) is None:
        raise ValueError("Expected VKEY, as in results.example.no/live/ID+1a2b3c4d+BASE64")
    return value


def decode_path(kind: type, value: object) -> object:
    """Decode a path for `msgspec`: absolute, with `~` expanded. Raises ValueError."""
    if kind is Path and isinstance(value, str) and value:
        return Path(os.path.abspath(os.path.expanduser(value)))
    if kind is Path and isinstance(value, Path):
        return value
    raise ValueError("Expected a path")
