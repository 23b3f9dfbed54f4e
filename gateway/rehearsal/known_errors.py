"""The errors that are known to be among the reports of a data set: its file `errors.json`.

The operator of a replay decides on held reports by this list, and it shows which errors the rules should find.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

FORMAT = "election-errors/1"
ERRORS_MAX = 10_000


class ReportName(msgspec.Struct, frozen=True):
    """A report by its unit and revision."""

    unit: str
    revision: int


class KnownError(msgspec.Struct, frozen=True):
    """An error among the reports, what finds it, and what an operator should decide."""

    error: str
    """Its kind: `copy`, `exchanged`, `doubled`, `moved`."""
    description: str
    rules: tuple[str, ...]
    """Recommended rules that hold its reports; others may, too."""
    decide: str
    """`reject` or `release`."""
    reason: str
    """Of that decision."""
    reports: tuple[ReportName, ...]
    """The reports that are held, to be decided on together, in this order."""
    corrected_by: tuple[ReportName, ...] = ()
    """The sender's corrections; a move needs none."""
    copied_from: ReportName | None = None
    """The report of another sender whose count this is; None for other errors."""


class ErrorsFile(msgspec.Struct, frozen=True):
    """The file `errors.json`."""

    format: str
    errors: tuple[KnownError, ...]


def document(errors: Iterable[KnownError]) -> dict[str, Any]:
    """Return the file as JSON members."""
    return {"format": FORMAT, "errors": [msgspec.to_builtins(error) for error in errors]}


def read(content: bytes) -> tuple[KnownError, ...]:
    """Return the errors of a file. Raises ValueError."""
    found = msgspec.json.decode(content, type=ErrorsFile)
    if found.format != FORMAT:
        raise ValueError(f"format is {found.format!r}, not {FORMAT!r}")
    if len(found.errors) > ERRORS_MAX:
        raise ValueError(f"more than {ERRORS_MAX} errors")
    return found.errors
