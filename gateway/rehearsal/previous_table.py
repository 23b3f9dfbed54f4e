"""PURE: the table that says what became of the areas and parties of an earlier election.

    kind,from,to
    area,1507,1508          the municipality has another number, and so have its units
    area,1508-0003,1508-0001    merged: several lines with the same `to`
    area,1508-0004,1508-0004    split: several lines with the same `from`
    area,1508-0004,1508-0005
    area,2100,              what was there has no place in the new election
    area,,1508-0009         new: nothing was there
    party,GML,NY            renamed, or merged into another one
    party,FRI,              no longer there: its votes are those of `other`

Other columns are ignored, so a table may have notes. What is not in the table has kept its identifier.
"""

import csv
import io
from collections.abc import Collection, Iterable
from typing import NamedTuple

from gateway.characters import printable
from gateway.errors import GatewayError

COLUMNS = ("kind", "from", "to")
_PROBLEMS_MAX = 20


class BadTable(GatewayError):
    """A table of areas and parties with mistakes; the message names each with its line."""

    code = "bad_table"

    def __init__(self, name: str, problems: Iterable[str]) -> None:
        found = list(problems)
        more = [f"and {len(found) - _PROBLEMS_MAX} more"] if len(found) > _PROBLEMS_MAX else []
        super().__init__("; ".join(f"{name}: {each}" for each in [*found[:_PROBLEMS_MAX], *more]))


class Identifiers(NamedTuple):
    """The identifiers that a column may contain."""

    areas: Collection[str]
    parties: Collection[str]


class Table(NamedTuple):
    """What became of areas and parties, by identifier in the earlier election."""

    areas: dict[str, tuple[str, ...]]
    """Several if the area was split, none if it has no place in the new election."""
    parties: dict[str, str | None]
    new_areas: frozenset[str]
    """Areas of the new election of which the table says that nothing was there."""


NO_TABLE = Table({}, {}, frozenset())


def read_table(name: str, content: bytes, before: Identifiers, after: Identifiers) -> Table:
    """Read a table as CSV in UTF-8, with commas or semicolons. Raises BadTable with every mistake and its line."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadTable(name, [f"not UTF-8: {error.reason} at byte {error.start}"]) from error
    head = text.partition("\n")[0]
    rows = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if head.count(";") > head.count(",") else ","
    )
    try:
        columns = [each.strip().lower() for each in next(rows, [])]
        missing = [each for each in COLUMNS if each not in columns]
        if missing:
            raise BadTable(name, [f"line 1: no column {', '.join(missing)}; expected {', '.join(COLUMNS)}"])
        places = [columns.index(each) for each in COLUMNS]
        reader = _Reader(before, after)
        for row in rows:
            cells = [row[place].strip() if place < len(row) else "" for place in places]
            if any(cells):
                reader.add(rows.line_num, *cells)
    except csv.Error as error:
        raise BadTable(name, [f"line {rows.line_num}: {error}"]) from error
    if reader.problems:
        raise BadTable(name, reader.problems)
    return reader.table()


class _Reader:
    def __init__(self, before: Identifiers, after: Identifiers) -> None:
        self._before, self._after = before, after
        self._areas: dict[str, list[str]] = {}
        self._parties: dict[str, str | None] = {}
        self._new: set[str] = set()
        self.problems: list[str] = []

    def table(self) -> Table:
        return Table(
            {area: tuple(each for each in into if each) for area, into in self._areas.items()},
            self._parties,
            frozenset(self._new),
        )

    def add(self, line: int, kind: str, old: str, new: str) -> None:
        if kind not in ("area", "party"):
            self.problems.append(f"line {line}: kind is {_shown(kind)}, expected area or party")
            return
        known = (self._before.areas, self._after.areas)
        if kind == "party":
            known = (self._before.parties, self._after.parties)
        for identifier, there, election in ((old, known[0], "earlier"), (new, known[1], "new")):
            if identifier and identifier not in there:
                self.problems.append(
                    f"line {line}: {_shown(identifier)} is not {'an' if kind == 'area' else 'a'} {kind} of the"
                    f" {election} election"
                )
                return
        if kind == "party":
            self._add_party(line, old, new)
        elif old:
            self._add_area(line, old, new)
        else:
            self._new.add(new)

    def _add_party(self, line: int, old: str, new: str) -> None:
        if not old:
            return  # a party that is new needs no line
        if old in self._parties:
            self.problems.append(f"line {line}: party {_shown(old)} is repeated; a party has one successor")
        self._parties[old] = new or None

    def _add_area(self, line: int, old: str, new: str) -> None:
        into = self._areas.setdefault(old, [])
        if new in into or (into and "" in (new, *into)):
            self.problems.append(f"line {line}: area {_shown(old)} is repeated")
        into.append(new)


def _shown(text: str) -> str:
    return printable(repr(text[:64]))
