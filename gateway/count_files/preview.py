"""PURE: preview a file with counts: its reports with their revisions, compared with the current reports of their units.

A revision that a file leaves out is chosen by the rules of `valgnatt push`, from the gateway's current reports. It is a
compare-and-swap: the gateway refuses the report if another one of the unit was quicker; then the file is read again.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.count_files.comparison import Comparison, compare, other_units
from gateway.count_files.messages import Message, Place, parameters_as_json, said
from gateway.count_files.parts import MISTAKES_MAX
from gateway.count_files.reports import (
    Count,
    FileReports,
    Mistakes,
    give_revisions,
    known_at_gateway,
    read_files,
)
from gateway.count_files.revisions import Known, current_and_newest
from gateway.election.registry import Registry
from gateway.election.validation import Scope
from gateway.errors import MalformedDocument


class FileMessage(msgspec.Struct, frozen=True):
    """A mistake in a file, or a note, and where it is."""

    code: str
    text: str
    """In English, without the name of the file."""
    line: int | None
    """The line, from 1; None if it is in no particular one."""
    last_line: int | None
    """The last of several lines."""
    element: int | None
    """The element of a JSON array, from 0."""
    column: str | None
    """The column as a spreadsheet names it, `A` for the first one."""
    header: str | None
    """The header of the column."""
    path: str | None
    """The path of the member, in JSON."""
    unit: str | None
    name: str | None
    """Name of the unit."""
    category: str | None
    parameters: dict[str, Any]
    """The values of the message apart from its place; `message_texts` has all codes."""


class PreviewedReport(msgspec.Struct, frozen=True):
    """A report that would be sent, and what it changes."""

    report: msgspec.Raw
    """As it is to be sent."""
    chosen: bool
    """Whether its revision was chosen here, as the file gives none."""
    place: str
    comparison: Comparison


class Preview(msgspec.Struct, frozen=True):
    """The effect of sending a file."""

    reports: tuple[PreviewedReport, ...]
    notes: tuple[FileMessage, ...]
    """How the file was read, where that is not evident."""
    empty_units: int
    """Units that are left out because nothing was entered for them."""


class FileToPreview:
    """A file that was read without mistakes; `preview` needs the current reports of `units`."""

    def __init__(self, name: str, content: bytes, registry: Registry, scope: Scope) -> None:
        """Read a file. Raises Mistakes, also for units outside the scope."""
        self._name = name
        self._registry = registry
        self._reports: FileReports = read_files({name: content}, registry)
        forbidden = {each.unit: each.where for each in self._reports.versions if each.unit not in scope}
        if forbidden:
            raise Mistakes(list(_not_permitted(forbidden)))
        own = {version.unit for version in self._reports.versions}
        self.units = [*own, *(unit for unit in other_units(registry, own) if unit in scope)]

    def preview(self, bodies: Mapping[str, tuple[bytes, bytes | None]], now: datetime) -> Preview:
        """Return the preview, by the newest and the current reports of those units that have any. Raises Mistakes."""
        current: dict[str, Known] = {}
        for unit, (newest, placed) in bodies.items():
            try:
                current[unit] = known_at_gateway(newest, placed)
            except MalformedDocument as error:  # a newer version of the gateway accepted it
                raise Mistakes([said("current_unreadable", unit=unit, detail=str(error))]) from None
        counts = give_revisions(self._reports.versions, current, lambda _: (), now)
        notes = tuple(_file_message(self._name, note) for note in self._reports.messages)
        return Preview(self._compared(counts, current), notes, self._reports.empty_units)

    def _compared(self, counts: Sequence[Count], current: Mapping[str, Known]) -> tuple[PreviewedReport, ...]:
        before, newest = current_and_newest({unit: current.get(unit) for unit in self.units})
        compared = compare(self._registry, [count.document for count in counts], before, newest)
        return tuple(
            PreviewedReport(
                msgspec.Raw(count.body),
                count.chosen,
                _without_name(self._name, str(count.version.where)),
                comparison,
            )
            for count, comparison in zip(counts, compared, strict=True)
        )


def _not_permitted(places: Mapping[str, Place]) -> Iterator[Message]:
    for unit, where in list(places.items())[:MISTAKES_MAX]:
        yield said("not_permitted", where, unit=unit)
    if (more := len(places) - MISTAKES_MAX) > 0:
        yield said("more_not_permitted", count=more)


def mistakes_of_file(name: str, error: Mistakes) -> list[FileMessage]:
    """Return the mistakes of the only file, of this name."""
    return [_file_message(name, message) for message in error.messages if isinstance(message, Message)]


def _file_message(name: str, message: Message) -> FileMessage:
    where, column = message.where or Place(name), message.column
    return FileMessage(
        code=message.code,
        text=_without_name(name, str(message)),
        line=where.line,
        last_line=where.last,
        element=where.element,
        column=(column.letters or None) if column is not None else None,
        header=(column.header or None) if column is not None else None,
        path=message.path or None,
        unit=message.unit or None,
        name=message.name or None,
        category=message.category or None,
        parameters=parameters_as_json(message),
    )


def _without_name(name: str, text: str) -> str:
    return text.replace(f"{name}, ", "").removeprefix(f"{name}: ")
