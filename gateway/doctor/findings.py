"""PURE: what a check has to say."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

Level = Literal["ok", "warning", "error"]
NAMES_MAX = 8
"""Names in a line; the rest is counted."""


class Finding(msgspec.Struct, frozen=True):
    """One line of what is seen and one of what to do, which is empty where there is nothing to do."""

    check: str
    level: Level
    seen: str
    do: str = ""


def ok(check: str, seen: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(check, "ok", seen)


def warning(check: str, seen: str, do: str) -> Finding:
    """Return a finding that the night may go well in spite of."""
    return Finding(check, "warning", seen, do)


def error(check: str, seen: str, do: str) -> Finding:
    """Return a finding that something promised will not hold with."""
    return Finding(check, "error", seen, do)


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(names[:NAMES_MAX])
    return f"{shown} and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else shown


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return findings as `--json` shows them."""
    return {
        "errors": sum(each.level == "error" for each in findings),
        "warnings": sum(each.level == "warning" for each in findings),
        "findings": [msgspec.to_builtins(each) for each in findings],
    }
