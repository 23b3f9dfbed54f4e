"""PURE: findings of checks, and their texts."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

Level = Literal["ok", "warning", "error"]
NAMES_MAX = 8
"""Names shown in one line; the others are only counted."""


class Finding(msgspec.Struct, frozen=True):
    """The result of a check: what was seen, and what to do about it, if anything."""

    check: str
    level: Level
    seen: str
    do: str = ""


def ok(check: str, seen: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(check, "ok", seen)


def warning(check: str, seen: str, do: str) -> Finding:
    """Return a finding about a risk."""
    return Finding(check, "warning", seen, do)


def error(check: str, seen: str, do: str) -> Finding:
    """Return a finding about a guarantee that does not hold."""
    return Finding(check, "error", seen, do)


def some(names: Sequence[str]) -> str:
    """Return the first names and the number of the others."""
    shown = ", ".join(names[:NAMES_MAX])
    return f"{shown} and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else shown


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the document that `--json` prints."""
    return {
        "errors": sum(each.level == "error" for each in findings),
        "warnings": sum(each.level == "warning" for each in findings),
        "findings": [msgspec.to_builtins(each) for each in findings],
    }
