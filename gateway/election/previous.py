"""PURE: the previous election, whose votes are mapped to the areas and parties of a registry.

`read_previous` reads a document `valgnatt-previous/1` completely or not at all, and reports every problem with its JSON
path. It belongs to one registry and is replaced and fixed with it. Independent of reports.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from operator import add
from typing import Any, NamedTuple

import orjson

from gateway.characters import CONTROL, code_point, printable
from gateway.election.names import find_problems, read_names
from gateway.election.registry import COUNT_MAX, Area, Registry
from gateway.errors import MalformedPrevious
from gateway.trimmed_json import dumps_trimmed

FORMAT = "valgnatt-previous/1"
BYTES_MAX = 64 << 20
"""Bytes of the document, more than 100 000 units with 25 parties need."""
NAME_MAX, TEXT_MAX = 200, 1000
"""Characters of the election's identifier and name; of `source` and `differs`."""
_PROBLEMS_MAX = 100
"""Problems reported per document; a count of the others follows."""
_SHOWN_MAX = 64
"""Characters of a member's name that are repeated in a message."""
_MEMBERS = {"format", "election", "source", "areas"}
_ELECTION_MEMBERS = {"id", "name", "names", "date"}
_COUNTS = ("blank", "ballots", "eligible")
_AREA_MEMBERS = {"votes", "other", "differs", *_COUNTS}


class PreviousArea(NamedTuple):
    """What is known of an area at the previous election."""

    figures: array[int]
    """The votes of each party in the registry's order, those of all other parties together, for each party how many
    areas name it (1 or 0 for a unit), and a 0, which sums of a comparison use. Must not be changed."""
    ballots: int | None
    """Approved ballots, including blank ones."""
    eligible: int | None


class Previous:
    """The previous election of a registry. Immutable.

    Invariant: an area above units is in `areas` if the document has it, or if all areas directly below it are.
    """

    def __init__(self, document: dict[str, Any], registry: Registry, own: Mapping[int, PreviousArea]) -> None:
        header = document["election"]
        self.id: str = header["id"]
        self.name: str = header["name"]
        self.names = read_names(header.get("names"))
        self.date: str = header["date"]
        self.source: str = document["source"]
        self.given = frozenset(index for index in own if not registry.areas[index].is_unit)
        """The areas above units that the document has, by index in the registry."""
        self.areas: Mapping[int, PreviousArea] = _completed(registry, own)
        """By index in the registry."""

    def header(self) -> dict[str, Any]:
        """Return which election it is, as documents name it."""
        named = {"id": self.id, "name": self.name, **({"names": self.names} if self.names else {})}
        return {**named, "date": self.date, "source": self.source}


def canonical(document: object) -> bytes:
    """Return a document as JSON with sorted keys; two documents are compared by these bytes."""
    return dumps_trimmed(document, orjson.OPT_SORT_KEYS)


def read_previous(document: object, registry: Registry, *, stored: bool = False) -> Previous:
    """Return the previous election of a registry from its document (decoded JSON).

    A `stored` document was accepted by some version of the gateway; what this version does not know of it is left out.
    Raises MalformedPrevious with every problem and its JSON path.
    """
    reader = _DocumentReader(registry)
    if stored:
        assert isinstance(document, dict)
        return Previous(document, registry, reader.known(document["areas"]))
    return reader.read(document)


def previous_differences(old: bytes | None, new: bytes | None, most: int = 10) -> list[str]:
    """Return at most `most` differences between two canonical documents, as in `registry.differences`."""
    if old == new:
        return []
    if old is None or new is None:
        return [f"the previous election is {'new' if old is None else 'missing'}"]
    before, after = orjson.loads(old), orjson.loads(new)
    found = [
        f"$.{member} of the previous election"
        for member in sorted({*before, *after} - {"areas"})
        if before.get(member) != after.get(member)
    ]
    areas, others = before["areas"], after["areas"]
    found += [
        f"area {name} of the previous election"
        for name in sorted({*areas, *others})
        if areas.get(name) != others.get(name)
    ]
    return [*found[:most], f"and {len(found) - most} more"] if len(found) > most else found


class _DocumentReader:
    """Reads one document against its registry, and collects problems."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._places = {code: number for number, code in enumerate(registry.party_codes)}
        self._problems: list[str] = []
        self._omitted = 0

    def read(self, document: object) -> Previous:
        if not isinstance(document, dict):
            raise MalformedPrevious(["$: expected an object"])
        if document.get("format") != FORMAT:
            self._add("$.format", f"expected {FORMAT!r}")
        self._check_members("$", document, _MEMBERS)
        self._check_header(document.get("election"))
        self._check_text("$.source", document.get("source"), TEXT_MAX)
        own = self._areas(document.get("areas"))
        if self._omitted:
            self._problems.append(f"$: and {self._omitted} more")
        if self._problems:
            raise MalformedPrevious(self._problems)
        if len(canonical(document)) > BYTES_MAX:
            raise MalformedPrevious([f"$: more than {BYTES_MAX >> 20} MiB"])
        return Previous(document, self._registry, own)

    def known(self, entries: Mapping[str, Any]) -> dict[int, PreviousArea]:
        """Return the areas that the registry has, with its parties; votes for others are added to `other`."""
        by_id = self._registry.by_id
        return {by_id[name].index: self._area(entry) for name, entry in entries.items() if name in by_id}

    def _add(self, path: str, detail: str) -> None:
        if len(self._problems) < _PROBLEMS_MAX:
            self._problems.append(f"{path}: {detail}")
        else:
            self._omitted += 1

    def _check_members(self, path: str, entry: Mapping[str, Any], known: set[str]) -> None:
        for name in entry:
            if name not in known:
                self._add(_below(path, name), f"is not a member; expected {', '.join(sorted(known))}")

    def _check_header(self, header: object) -> None:
        path = "$.election"
        if not isinstance(header, dict):
            self._add(path, "expected an object")
            return
        self._check_members(path, header, _ELECTION_MEMBERS)
        self._check_text(f"{path}.id", header.get("id"), NAME_MAX)
        self._check_text(f"{path}.name", header.get("name"), NAME_MAX)
        if not _is_date(header.get("date")):
            self._add(f"{path}.date", "expected a date such as '2021-09-13'")
        if "names" in header:
            for place, detail in find_problems(header["names"]):
                self._add(path + place, detail)
            for tag, name in read_names(header["names"]).items():
                self._check_text(f"{path}.names.{tag}", name, NAME_MAX)

    def _check_text(self, path: str, value: object, most: int) -> None:
        if not isinstance(value, str) or not value.strip() or len(value) > most:
            self._add(path, f"expected a text of 1 to {most} characters")
        elif found := CONTROL.search(value):
            self._add(path, f"{code_point(found[0])} is a control character")

    def _areas(self, entries: object) -> dict[int, PreviousArea]:
        if not isinstance(entries, dict) or not entries:
            self._add("$.areas", "expected a non-empty object of areas by identifier")
            return {}
        own: dict[int, PreviousArea] = {}
        excused: set[int] = set()
        for name, entry in entries.items():
            path = _below("$.areas", name)
            area = self._registry.by_id.get(name)
            if area is None:
                self._add(path, "is not an area of the registry")
            elif not isinstance(entry, dict):
                self._add(path, "expected an object")
            elif self._has_no_problems(path, entry, area):
                own[area.index] = self._area(entry)
                if "differs" in entry:
                    excused.add(area.index)
        if not self._problems:
            self._check_sums(own, excused)
        return own

    def _has_no_problems(self, path: str, entry: dict[str, Any], area: Area) -> bool:
        """Report what is wrong with an area; return whether nothing is."""
        before = len(self._problems) + self._omitted
        self._check_members(path, entry, _AREA_MEMBERS)
        votes = entry.get("votes")
        if isinstance(votes, dict):
            for party, count in votes.items():
                if party not in self._places:
                    hint = "is not a party of the registry; add its votes to `other`"
                    self._add(_below(f"{path}.votes", party), hint)
                elif not _is_count(count):
                    self._add(_below(f"{path}.votes", party), f"expected a count from 0 to {COUNT_MAX}")
        else:
            self._add(f"{path}.votes", "expected an object of votes by party")
        for name in ("other", *_COUNTS):
            if name in entry and not _is_count(entry[name]):
                self._add(f"{path}.{name}", f"expected a count from 0 to {COUNT_MAX}")
        if "differs" in entry:
            self._check_text(f"{path}.differs", entry["differs"], TEXT_MAX)
            if area.is_unit:
                self._add(f"{path}.differs", "is for areas above units only")
        if len(self._problems) + self._omitted > before:
            return False
        found = _inconsistency(entry)
        if found is not None:
            self._add(f"{path}.ballots", found)
        return found is None

    def _area(self, entry: Mapping[str, Any]) -> PreviousArea:
        figures = array("q", bytes(8 * (2 * len(self._places) + 2)))
        other = len(self._places)
        figures[other] = entry.get("other", 0)
        for party, count in entry["votes"].items():
            place = self._places.get(party)
            if place is None:
                figures[other] += count
            else:
                figures[place], figures[other + 1 + place] = count, 1
        ballots = entry.get("ballots")
        if ballots is None and "blank" in entry:
            ballots = sum(entry["votes"].values()) + entry.get("other", 0) + entry["blank"]
        return PreviousArea(figures, ballots, entry.get("eligible"))

    def _check_sums(self, own: Mapping[int, PreviousArea], excused: set[int]) -> None:
        """Report areas above units that contradict the areas below them."""
        completed = _completed(self._registry, own)
        for index in sorted(own):
            area = self._registry.areas[index]
            if area.is_unit or index in excused:
                continue
            children = [completed[child] for child in area.children if child in completed]
            whole = len(children) == len(area.children)
            for name, given, below in self._compared(own[index], children):
                if given < below or (whole and given != below):
                    detail = f"{given}, but the areas below have {below}{'' if whole else ' or more'}"
                    self._add(f"{_below('$.areas', area.id)}.{name}", f"{detail}; `differs` may say why")

    def _compared(
        self, area: PreviousArea, children: Sequence[PreviousArea]
    ) -> Iterator[tuple[str, int, int]]:
        """Yield the figures of an area that can be compared with the areas below it, and their sums."""
        if not children:
            return
        names = (*(f"votes.{printable(code)}" for code in self._places), "other")
        sums = _sums([each.figures for each in children])
        yield from zip(names, area.figures, sums, strict=False)
        total = _total(children)
        for name, given, below in (
            ("ballots", area.ballots, total.ballots),
            ("eligible", area.eligible, total.eligible),
        ):
            if given is not None and below is not None:
                yield name, given, below


def _completed(registry: Registry, own: Mapping[int, PreviousArea]) -> dict[int, PreviousArea]:
    """Return the areas that are given, and those that follow from the areas below them."""
    found = dict(own)
    for area in reversed(registry.areas):
        if area.index in found or area.is_unit:
            continue
        children = [found[child] for child in area.children if child in found]
        if len(children) == len(area.children):
            found[area.index] = _total(children)
    return found


def _total(areas: Sequence[PreviousArea]) -> PreviousArea:
    """Return the sums of areas; what is not known of all of them is None."""
    ballots = [each.ballots for each in areas if each.ballots is not None]
    eligible = [each.eligible for each in areas if each.eligible is not None]
    return PreviousArea(
        _sums([each.figures for each in areas]),
        sum(ballots) if len(ballots) == len(areas) else None,
        sum(eligible) if len(eligible) == len(areas) else None,
    )


def _sums(figures: Sequence[array[int]]) -> array[int]:
    total = figures[0]
    for each in figures[1:]:
        total = array("q", map(add, total, each))
    return total


def _inconsistency(entry: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the number of ballots, None if nothing is."""
    if "ballots" not in entry:
        return None
    votes = sum(entry["votes"].values()) + entry.get("other", 0)
    if "blank" in entry and entry["ballots"] != votes + entry["blank"]:
        return f"{entry['ballots']}, but votes, other and blank are {votes + entry['blank']}"
    if entry["ballots"] < votes:
        return f"{entry['ballots']}, but there are {votes} votes"
    return None


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= COUNT_MAX


def _is_date(value: object) -> bool:
    if not isinstance(value, str) or len(value) != 10:
        return False
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _below(path: str, name: str) -> str:
    """Return the path of a member, whose name may be any text."""
    return f"{path}.{printable(name[:_SHOWN_MAX])}"
