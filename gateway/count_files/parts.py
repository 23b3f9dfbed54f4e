"""PURE: what a file with counts contains: reports, or parts of reports, each with its place in the file."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.count_files.messages import Column, Message, Place, said
from gateway.election.rfc3339 import read_time
from gateway.errors import GatewayError

MISTAKES_MAX = 100
"""Mistakes of one file that are listed."""
REPORTS_MAX = 20_000
"""Reports in all files of one command; the largest countries have fewer units than that per file."""


class InEnglish:
    """The text of an error that consists of messages."""

    messages: Sequence[Message | str]

    def __str__(self) -> str:
        """Return all messages in English."""
        return "\n".join(self.mistakes)

    @property
    def mistakes(self) -> tuple[str, ...]:
        """The messages in English."""
        return tuple(map(str, self.messages))


class BadCountFile(InEnglish, GatewayError):
    """A file that cannot be read as counts; each mistake gives file, line and reason."""

    code = "bad_count_file"
    messages: tuple[Message, ...]

    def __init__(self, messages: Iterable[Message], parts: Iterable["Part"] = ()) -> None:
        self.messages = tuple(messages)
        self.parts = tuple(parts)
        """What was read without mistakes, and can be checked further."""
        super().__init__(self.messages)


class TooManyMistakes(Exception):
    """A file has more than MISTAKES_MAX mistakes."""


class MistakeList:
    """Collects the mistakes of one file. Invariant: there are at most MISTAKES_MAX."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def add(self, message: Message) -> None:
        """Add a mistake. Raises TooManyMistakes, so that the reading of the file stops."""
        if len(self.messages) == MISTAKES_MAX:
            raise TooManyMistakes
        self.messages.append(message)

    def extend(self, messages: Iterable[Message]) -> None:
        """Add mistakes, computing no more of them than fit. Raises TooManyMistakes."""
        for message in messages:
            self.add(message)

    def __len__(self) -> int:
        return len(self.messages)


def too_many_reports(name: str) -> Message:
    """Return the message for files with more than REPORTS_MAX reports."""
    return said("too_many_reports", Place(name), most=REPORTS_MAX)


def too_many_mistakes(name: str) -> Message:
    """Return the message that follows the first MISTAKES_MAX mistakes of a file."""
    return said("too_many_mistakes", Place(name), most=MISTAKES_MAX)


class Part(msgspec.Struct, frozen=True):
    """A report, or some categories of one, as a file has it.

    Invariant, once `mistakes.of_shape` has found none: the document is a report that some election could accept, except
    that its `revision` may be missing.
    """

    file: str
    where: Place
    document: dict[str, Any]
    places: Mapping[str, Place] = {}
    """The place of each category, if they differ."""
    columns: Mapping[str, Column] = {}
    """In a table, the columns by what they mean."""

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

    def place(self, category: str) -> Place:
        """Return the place of a category."""
        return self.places.get(category, self.where)


class CountFile(msgspec.Struct, frozen=True):
    """What was read from a file."""

    name: str
    parts: tuple[Part, ...]
    empty_units: tuple[str, ...] = ()
    """Units of a table in whose rows nothing was entered; they are no reports."""
    messages: tuple[Message, ...] = ()
    """How the file was read, where that is not evident: its encoding, or rows that are not reports."""

    @property
    def notes(self) -> tuple[str, ...]:
        """The messages in English."""
        return tuple(map(str, self.messages))
