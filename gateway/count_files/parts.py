"""PURE: what a file with counts contains: reports, or parts of reports, each with its place in the file."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from gateway.election.registry import read_time
from gateway.errors import GatewayError

MISTAKES_MAX = 100
"""Mistakes of one file that are listed."""
REPORTS_MAX = 20_000
"""Reports in all files of one command; the largest countries have fewer units than that per file."""
SHOWN_MAX = 40
"""Characters of a text from a file that a message repeats."""


class BadCountFile(GatewayError):
    """A file that cannot be read as counts; each mistake gives file, line and reason."""

    code = "bad_count_file"

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class TooManyMistakes(Exception):
    """A file has more than MISTAKES_MAX mistakes."""


class MistakeList:
    """Collects the mistakes of one file. Invariant: there are at most MISTAKES_MAX."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, text: str) -> None:
        """Add a mistake. Raises TooManyMistakes, so that the reading of the file stops."""
        if len(self.texts) == MISTAKES_MAX:
            raise TooManyMistakes
        self.texts.append(text)

    def extend(self, texts: Iterable[str]) -> None:
        """Add mistakes, computing no more of them than fit. Raises TooManyMistakes."""
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self.texts)


def too_many_reports(where: str) -> str:
    """Return the message for files with more than REPORTS_MAX reports."""
    return f"{where}: more than {REPORTS_MAX} reports; divide them into several files, and push one after the other"


def too_many_mistakes(name: str) -> str:
    """Return the line that follows the first MISTAKES_MAX mistakes of a file."""
    return f"{name}: more than {MISTAKES_MAX} mistakes; the rest of the file was not checked"


class Part(msgspec.Struct, frozen=True):
    """A report, or some categories of one, as a file has it.

    Invariant, once `mistakes.of_shape` has found none: the document is a report that some election could accept, except
    that its `revision` may be missing.
    """

    file: str
    where: str
    """File and line, as in `night.csv, line 3`."""
    document: dict[str, Any]
    places: Mapping[str, str] = {}
    """File and line of each category, if they differ."""
    titles: Mapping[str, str] = {}
    """In a table, the columns as messages show them, by what they mean: `Stemmer (column G)`."""

    @property
    def unit(self) -> str:
        """The unit."""
        unit: str = self.document["unit"]
        return unit

    @property
    def revision(self) -> int | None:
        """The revision, if the file gives one."""
        return self.document.get("revision")

    @property
    def instant(self) -> datetime:
        """The instant at which it was counted."""
        return read_time(self.document["counted_at"])

    @property
    def counts(self) -> dict[str, dict[str, Any]]:
        """The counts by category."""
        counts: dict[str, dict[str, Any]] = self.document["counts"]
        return counts

    def place(self, category: str) -> str:
        """Return file and line of a category."""
        return self.places.get(category, self.where)


class CountFile(msgspec.Struct, frozen=True):
    """What was read from a file."""

    name: str
    parts: tuple[Part, ...]
    empty_units: tuple[str, ...] = ()
    """Units of a table in whose rows nothing was entered; they are no reports."""
    notes: tuple[str, ...] = ()
    """How the file was read, where that is not evident: its encoding, or rows that are not reports."""


def abbreviated(text: str) -> str:
    """Return a text from a file as a message shows it: in one piece, and not longer than SHOWN_MAX."""
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"


_JSON_WORDS = {
    type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list",
    dict: "an object",
}  # fmt: skip


def json_word(value: object) -> str:
    """Return what a decoded JSON value is, in the words of JSON."""
    return _JSON_WORDS[type(value)]
