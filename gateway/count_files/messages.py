"""PURE: messages about a file with counts as values: a code, the place, and parameters.

`str` of a message is its sentence in English, made from the table in `message_texts`; the pages have sentences in other
languages by the same codes and parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import Any

import msgspec

from gateway.count_files.message_texts import TEXTS, VIOLATION_TEXT
from gateway.humanize import counted

SHOWN_MAX = 40
"""Characters of a text from a file that a message repeats."""
LISTED_MAX = 5
"""Texts that one message lists."""
ENGLISH_ONLY = "detail"
"""The parameter with an English text from another part of the gateway; the others contain the same information."""


def abbreviated(text: str) -> str:
    """Return a text from a file as a message shows it: its first SHOWN_MAX characters."""
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"


class Place(msgspec.Struct, frozen=True):
    """A place in a file."""

    file: str
    line: int | None = None
    """The line, from 1."""
    last: int | None = None
    """The last of several lines."""
    element: int | None = None
    """The element of a JSON array, from 0."""

    def __str__(self) -> str:
        """Return the place as a message begins with it."""
        if self.line is None:
            return self.file
        lines = f"line {self.line}" if self.last in (None, self.line) else f"lines {self.line} to {self.last}"
        return f"{self.file}, {lines}{'' if self.element is None else f', element {self.element}'}"


class Column(msgspec.Struct, frozen=True):
    """A column of a table by its header, and by its letters in a spreadsheet, if it is there."""

    header: str
    letters: str = ""

    def __str__(self) -> str:
        """Return the column as a message shows it."""
        return f"{self.header} (column {self.letters})" if self.letters else self.header


class Message(msgspec.Struct, frozen=True):
    """A mistake, a note, or a clause of another message. `code` is one of `message_texts`."""

    code: str
    where: Place | None = None
    column: Column | None = None
    unit: str = ""
    name: str = ""
    """Name of the unit, if it is known."""
    category: str = ""
    path: str = ""
    """In JSON, the path of the member."""
    parameters: Mapping[str, "Parameter"] = {}

    def __str__(self) -> str:
        """Return the sentence in English, beginning with the place."""
        text = _english.vformat(TEXTS.get(self.code, VIOLATION_TEXT), (), _Values(self))
        if self.where is None:
            return text
        return f"{self.where}{'' if text.startswith((' ', ',')) else ': '}{text}"

    @property
    def about(self) -> str:
        """The unit with its name, and the category, as a message shows them; empty without a unit."""
        unit = f"unit {self.unit}{f' {self.name}' if self.name else ''}" if self.unit else ""
        return f"{unit}, {self.category}" if self.category else unit

    @property
    def title(self) -> str:
        """The column, or the path in JSON."""
        return str(self.column) if self.column is not None else self.path

    @property
    def head(self) -> str:
        """What a sentence begins with: unit, category, and column or path."""
        return ": ".join(filter(None, (self.about, self.title)))


Parameter = str | int | None | Place | Message | Sequence[str] | Sequence[Message]


def listed(texts: Sequence[str]) -> tuple[list[str], int]:
    """Return the first LISTED_MAX texts, abbreviated, and how many more there are."""
    return [abbreviated(text) for text in texts[:LISTED_MAX]], max(0, len(texts) - LISTED_MAX)


def said(
    code: str,
    where: Place | None = None,
    *,
    column: Column | None = None,
    unit: object = "",
    name: str = "",
    category: str = "",
    path: str = "",
    **parameters: Parameter,
) -> Message:
    """Return a message. Texts from files are abbreviated, including unit, name and category."""
    unit = abbreviated(unit) if isinstance(unit, str) else ""
    return Message(code, where, column, unit, abbreviated(name), abbreviated(category), path, parameters)


def as_json(value: Parameter) -> Any:
    """Return a parameter as plain JSON: a clause has its code and its parameters, a place its line and element."""
    if isinstance(value, Message):
        return {"code": value.code, "parameters": parameters_as_json(value)}
    if isinstance(value, Place):
        return {"line": value.line, "element": value.element}
    if value is None or isinstance(value, str | int):
        return value
    return [as_json(each) for each in value]


def parameters_as_json(message: Message) -> dict[str, Any]:
    """Return the parameters of a message as plain JSON, without those that are English."""
    return {name: as_json(value) for name, value in message.parameters.items() if name != ENGLISH_ONLY}


def meant(closest: Sequence[str]) -> str:
    """Return `; did you mean final?`, or nothing if there is nothing close."""
    return f"; did you mean {' or '.join(closest)}?" if closest else ""


class _Values(Mapping[str, Any]):
    """What a sentence in English may refer to: the parameters of a message, and its attributes."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def __getitem__(self, name: str) -> Any:
        parameters = self._message.parameters
        return parameters[name] if name in parameters else getattr(self._message, name)

    def __iter__(self) -> Any:
        return iter(self._message.parameters)

    def __len__(self) -> int:
        return len(self._message.parameters)


class _English(Formatter):
    """Formats sentences; the formats are those of `_LISTS` and `_VALUES`, and `counted NOUN`."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Return a value in the given format; empty for absent values and empty lists."""
        if isinstance(value, list | tuple):
            return _LISTS[format_spec]([str(each) for each in value])
        kind, _, noun = format_spec.partition(" ")
        return counted(value, noun) if kind == "counted" else _VALUES[kind](value)


_LISTS: Mapping[str, Callable[[list[str]], str]] = {
    "": ", ".join,
    "or": " or ".join,
    "and": " and ".join,
    "quoted": lambda texts: ", ".join(map(repr, texts)),
    "quoted_and": lambda texts: " and ".join(map(repr, texts)),
    "meant": meant,
    "units": lambda texts: f"; its units are {', '.join(texts)}" if texts else "",
}
_VALUES: Mapping[str, Callable[[Any], str]] = {
    "": str,
    "more": lambda value: f" and {value} more" if value else "",
    "why": lambda value: f": {value}" if value is not None else "",
    "alias": lambda value: f" (or {value!r})" if value is not None else "",
    "separated": lambda value: f"; columns are separated by {value}" if value is not None else "",
    "given": lambda value: repr(value) if value is not None else "nothing",
    "stated": lambda value: repr(value) if value is not None else "none",
}
_english = _English()
