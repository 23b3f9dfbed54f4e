"""PURE: find the meaning of each column of a table from its header.

A header is one of the words in `words`, or a party: its code, or its name if only one party has it. Case is irrelevant
unless two codes differ by it. A header that could mean two things is a mistake, and so are two columns with the same
meaning.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from gateway.count_files.column_letters import column_letters
from gateway.count_files.messages import Column, Message, Place, abbreviated, said
from gateway.count_files.misread import misread
from gateway.count_files.suggestions import Suggestions
from gateway.count_files.words import COLUMN_WORDS, NAME, plain
from gateway.election.lookalikes import registered_form
from gateway.election.registry import Registry
from gateway.election.report import COUNT_NAMES, OPTIONAL_COUNT_NAMES

COLUMNS = (
    "unit",
    "revision",
    "counted_at",
    "status",
    "reason",
    "category",
    *COUNT_NAMES,
)
REQUIRED = (
    "unit",
    "counted_at",
    "status",
    "category",
    *(name for name in COUNT_NAMES if name not in OPTIONAL_COUNT_NAMES),
)
_HEAD_AT_LEAST = 3
"""Least number of known columns, the unit among them, in a row that is taken for the header."""
_HEAD_CELLS = 500
"""Number of cells of a row that are examined to decide whether it is the header."""


class UnknownColumn(msgspec.Struct, frozen=True):
    """A header that is neither a column of counts nor a party of the election."""

    header: str
    registered_form: str
    """A clause in English with a party whose code looks like the header, or nothing."""
    closest: tuple[str, ...]
    """Headers that are similar."""


class Columns(msgspec.Struct, frozen=True):
    """The columns of a table, from left to right."""

    meanings: tuple[str | None, ...]
    """One of COLUMNS, NAME or the code of a party; None for a column without a name."""
    titles: Mapping[str, str]
    """The header of each meaning."""
    unknown: Mapping[str, UnknownColumn] = {}
    """Unknown columns, by header; content in one of them is a mistake."""

    def column(self, meaning: str) -> Column:
        """Return a column by what it means."""
        header = abbreviated(self.titles.get(meaning, meaning))
        if meaning not in self.meanings:
            return Column(header)
        return Column(header, column_letters(self.meanings.index(meaning)))

    def by_meaning(self) -> dict[str, Column]:
        """Return all columns by what they mean."""
        return {meaning: self.column(meaning) for meaning in self.meanings if meaning is not None}


class PartyNames:
    """The parties of an election by the headers that may name them; without a registry, any text is a party."""

    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry
        self._suggestions: Suggestions | None = None
        self._codes = frozenset(registry.party_codes) if registry is not None else None
        self._by_word: dict[str, set[str]] = {}
        for code, words in _words_of_parties(registry) if registry is not None else ():
            for word in words:
                self._by_word.setdefault(plain(word), set()).add(code)

    def codes(self, header: str) -> set[str]:
        """Return the codes of the parties that a header may mean."""
        if self._codes is None:
            return set()
        return {header} if header in self._codes else self._by_word.get(plain(header), set())

    def unknown(self, header: str) -> UnknownColumn | None:
        """Return a header as unknown, or None if it is taken for a party's code."""
        if self._codes is None:
            return None
        if self._suggestions is None:
            names = {party.code: party.name for party in self._registry.parties} if self._registry else {}
            self._suggestions = Suggestions([*COLUMNS, *names], names)
        closest = tuple(self._suggestions.closest(header))
        return UnknownColumn(abbreviated(header), registered_form(header, self._codes), closest)


def _words_of_parties(registry: Registry) -> Iterator[tuple[str, Iterable[str]]]:
    for party in registry.parties:
        yield party.code, (party.code, *party.all_names)


def meanings_of(header: str, parties: PartyNames) -> set[str]:
    """Return everything that a header may mean."""
    if header in COLUMNS:
        return {header}
    word = COLUMN_WORDS.get(plain(header))
    return parties.codes(header) | ({word} if word is not None else set())


def known_columns(cells: Sequence[str], parties: PartyNames) -> int:
    """Return how many cells of a row are headers that are known; 0 unless the row may be the header of a table."""
    found = [meaning for cell in cells[:_HEAD_CELLS] if cell for meaning in meanings_of(cell, parties)]
    of_counts = {meaning for meaning in found if meaning in COLUMNS}
    return len(found) if "unit" in of_counts and len(of_counts) >= _HEAD_AT_LEAST else 0


def read_columns(head: Sequence[str], parties: PartyNames, where: Place) -> Columns | Message:
    """Return the columns with their meanings, or the mistakes in the header at this place."""
    meanings: list[str | None] = []
    titles: dict[str, str] = {}
    unknown: dict[str, UnknownColumn] = {}
    for place, header in enumerate(head):
        at = Column(abbreviated(header), column_letters(place))
        if not header:
            meanings.append(None)
            continue
        if intended := misread(header):
            shown = abbreviated(header)
            return said("misread_header", where, column=at, shown=shown, intended=abbreviated(intended))
        found = meanings_of(header, parties)
        if len(found) > 1:
            return said(
                "ambiguous_column", where, column=at, shown=abbreviated(header), meanings=_clauses(found)
            )
        meaning = next(iter(found), header)
        if not found and (wrong := parties.unknown(header)):
            unknown[header] = wrong
        if meaning in titles:
            return _repeated(where, at, titles[meaning], header, meaning)
        titles[meaning] = header
        meanings.append(meaning)
    return Columns(tuple(meanings), titles, unknown)


def missing_column(columns: Columns) -> tuple[str, str | None] | None:
    """Return the first required column that a table lacks, and another word for it, if there is one."""
    missing = next((column for column in REQUIRED if column not in columns.titles), None)
    if missing is None:
        return None
    others = [word for word, meaning in COLUMN_WORDS.items() if meaning == missing and word != plain(missing)]
    return missing, next(iter(others), None)


def is_figure(meaning: str) -> bool:
    """Return whether a column has figures: those of all ballots, or the votes of a party."""
    return meaning in COUNT_NAMES or (meaning not in COLUMNS and meaning != NAME)


def _clauses(meanings: Iterable[str]) -> list[Message]:
    return [
        said("a_column", meaning=each)
        if each in (*COLUMNS, NAME)
        else said("a_party", meaning=abbreviated(each))
        for each in sorted(meanings)
    ]


def _repeated(where: Place, column: Column, first: str, second: str, meaning: str) -> Message:
    shown, other = abbreviated(first), abbreviated(second)
    if first == second:
        return said("column_repeated", where, column=column, shown=shown)
    return said("columns_alike", where, column=column, shown=shown, other=other, meaning=abbreviated(meaning))
