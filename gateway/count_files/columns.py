"""PURE: what the columns of a table mean, by their headers.

A header is one of the words in `words`, or a party: its code, or its name if only one party has it. Case is irrelevant
unless two codes differ by it. A header that could mean two things is a mistake, and so are two columns with the same
meaning.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from gateway.count_files.column_letters import column_letters
from gateway.count_files.misread import misread, misread_text
from gateway.count_files.parts import abbreviated
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
"""Known columns of a row that is taken for the header, the unit among them."""
_HEAD_CELLS = 500
"""Cells of a row that decide whether it is the header."""


class Columns(msgspec.Struct, frozen=True):
    """The columns of a table, from left to right."""

    meanings: tuple[str | None, ...]
    """One of COLUMNS, NAME or the code of a party; None for a column without a name."""
    titles: Mapping[str, str]
    """The header of each meaning."""
    unknown: Mapping[str, str] = {}
    """What is wrong with columns that mean nothing in this election, by header; it matters if they are used."""

    def title(self, meaning: str) -> str:
        """Return the header of a column with its letter in a spreadsheet, as a message shows it."""
        header = abbreviated(self.titles.get(meaning, meaning))
        if meaning not in self.meanings:
            return header
        return f"{header} (column {column_letters(self.meanings.index(meaning))})"

    def all_titles(self) -> dict[str, str]:
        """Return the titles of all columns by what they mean."""
        return {meaning: self.title(meaning) for meaning in self.meanings if meaning is not None}


class PartyNames:
    """The parties of an election by what a header may call them; any text is a party if there is no registry."""

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

    def unknown(self, header: str) -> str | None:
        """Return what is wrong with a header that means nothing else, or None if it is taken for a party's code."""
        if self._codes is None:
            return None
        if self._suggestions is None:
            names = {party.code: party.name for party in self._registry.parties} if self._registry else {}
            self._suggestions = Suggestions([*COLUMNS, *names], names)
        return (
            f"{abbreviated(header)!r} is neither a column of counts nor a party of this election"
            f"{registered_form(header, self._codes)}{self._suggestions.clause(header)}"
        )


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


def read_columns(head: Sequence[str], parties: PartyNames) -> Columns | str:
    """Return what the columns mean, or what is wrong with the header."""
    meanings: list[str | None] = []
    titles: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for header in head:
        if not header:
            meanings.append(None)
            continue
        if intended := misread(header):
            return misread_text(header, intended)
        found = meanings_of(header, parties)
        if len(found) > 1:
            return f"column {abbreviated(header)!r} could be {_either(found)}; use one of these as its name"
        meaning = next(iter(found), header)
        if not found and (wrong := parties.unknown(header)):
            unknown[header] = wrong
        if meaning in titles:
            return _repeated(titles[meaning], header, meaning)
        titles[meaning] = header
        meanings.append(meaning)
    return Columns(tuple(meanings), titles, unknown)


def missing_column(columns: Columns) -> str | None:
    """Return the first required column that a table lacks, with other words for it."""
    missing = next((column for column in REQUIRED if column not in columns.titles), None)
    if missing is None:
        return None
    others = [word for word, meaning in COLUMN_WORDS.items() if meaning == missing and word != plain(missing)]
    return f"{missing!r}{f' (or {others[0]!r})' if others else ''}"


def is_figure(meaning: str) -> bool:
    """Return whether a column has figures: those of all ballots, or the votes of a party."""
    return meaning in COUNT_NAMES or (meaning not in COLUMNS and meaning != NAME)


def _either(meanings: Iterable[str]) -> str:
    return " or ".join(
        f"the column {each!r}" if each in (*COLUMNS, NAME) else f"the party {abbreviated(each)!r}"
        for each in sorted(meanings)
    )


def _repeated(first: str, second: str, meaning: str) -> str:
    if first == second:
        return f"column {abbreviated(first)!r} is repeated"
    return f"columns {abbreviated(first)!r} and {abbreviated(second)!r} both mean {abbreviated(meaning)!r}"
