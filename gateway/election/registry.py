"""Facts fixed before the night: the election, its tree of areas, its parties.

A registry document (`election-registry/1`) is read whole or not at all: `read_registry` names every mistake in it
with its JSON path. Knows nothing of reports.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeGuard

import msgspec
import orjson

from gateway.characters import CONTROL, CONTROL_OR_JOINER, named, printable
from gateway.errors import MalformedRegistry
from gateway.trimmed_json import dumps_trimmed

FORMAT = "election-registry/1"
COUNT_MAX = 2_147_483_647
"""The largest count in a report; sums go up to 2^53 - 1."""

_ELECTION_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NAME = re.compile(r"[^\s,/?#%&\"'\\\x00-\x1f\x7f]{1,64}")
_NAME_EXPECTED = "expected 1 to 64 characters without white space, commas or slashes"
"""Of an area or a level: both are named in lists and addresses."""
_CODE = re.compile(r"[^\s\"\\\x00-\x1f\x7f]{1,64}")
_IDENTIFIERS = frozenset({"id", "level", "parent", "parties", "code", "categories"})
"""Members whose texts identify something."""
_TIME_MAX = 64
"""Characters of a time; RFC 3339 has no limit for the digits of a second."""
_PROBLEMS_MAX = 100
"""Mistakes told of one document; a count of the rest follows."""


class Party(msgspec.Struct, frozen=True):
    """A party on some ballot; `code` is what reports use."""

    code: str
    name: str


class Area(msgspec.Struct, frozen=True):
    """A place in the tree; a unit when it has no children.

    Invariants: `index` is its place in `Registry.areas`, in which every parent stands before its children;
    `path` holds the indexes of the areas above it, nearest first.
    """

    index: int
    id: str
    name: str
    level: str
    parent: str | None
    eligible: int | None
    path: tuple[int, ...]
    children: tuple[int, ...]
    units: int
    """Units at or below this area (1 for a unit)."""
    ballot: frozenset[str]
    """Codes of the parties that may stand in a report of this unit; above units, of all that may below it."""

    @property
    def is_unit(self) -> bool:
        """Whether this area reports itself."""
        return not self.children


class Registry:
    """One election as it was loaded. Immutable.

    Invariants: areas form one tree with `areas[0]` as its root; every unit has a ballot.
    """

    def __init__(self, document: dict[str, Any], areas: Sequence[Area], parties: Sequence[Party]) -> None:
        header = document["election"]
        self.document = document
        self.id: str = header["id"]
        self.name: str = header["name"]
        self.publish_from = read_time(header["publish_from"])
        self.categories: tuple[str, ...] = tuple(header["categories"])
        self.rehearsal: bool = header.get("rehearsal", False)
        self.areas = tuple(areas)
        self.parties = tuple(parties)
        self.party_codes: tuple[str, ...] = tuple(party.code for party in parties)
        self.by_id: Mapping[str, Area] = {area.id: area for area in areas}
        self.units: Mapping[str, Area] = {area.id: area for area in areas if area.is_unit}
        self.levels: tuple[str, ...] = tuple(dict.fromkeys(area.level for area in areas))

    @property
    def root(self) -> Area:
        """The area above all others."""
        return self.areas[0]

    def below(self, area: Area) -> frozenset[int]:
        """Return the indexes of `area` and of everything below it."""
        found = {area.index}
        waiting = list(area.children)
        while waiting:
            index = waiting.pop()
            found.add(index)
            waiting.extend(self.areas[index].children)
        return frozenset(found)

    def municipality(self, unit: Area) -> Area:
        """Return the area that answers for a unit: the one of level `municipality`, else its parent."""
        for index in (unit.index, *unit.path):
            if self.areas[index].level == "municipality":
                return self.areas[index]
        return self.areas[unit.path[0]] if unit.path else unit

    def canonical(self) -> bytes:
        """Return the document as JSON with sorted keys, the bytes by which two registries are compared."""
        return dumps_trimmed(self.document, orjson.OPT_SORT_KEYS)


class NoOffset(ValueError):
    """A time that does not say how far it is from UTC."""


def read_time(text: str) -> datetime:
    """Read an RFC 3339 time with an offset, of a year that is one everywhere (2 to 9998).

    Raises ValueError when it is no such time, NoOffset when only its offset is missing. Source: RFC 3339, section 5.6.
    """
    if not 19 <= len(text) <= _TIME_MAX or text[10] not in "Tt":
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 time")
    try:
        time = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 time") from None
    if time.tzinfo is None:
        raise NoOffset(f"{text[:40]!r} has no offset")
    if (text[-1] not in "Zz" and text[-3] != ":") or not 1 < time.year < 9999:
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 time")
    return time


def read_registry(document: object, *, stored: bool = False) -> Registry:
    """Turn a registry document (decoded JSON) into a Registry.

    A `stored` one, which some version of the gateway took in, may have control characters in its texts: they are
    refused when an election is loaded, and never end a night that has begun. Raises MalformedRegistry with every
    mistake, each with its JSON path.
    """
    return _Reading(document, stored=stored).registry()


def differences(old: Registry, new: Registry, most: int = 10) -> list[str]:
    """Name what differs between two registries, at most `most` things, as short sentences."""
    found = [
        f"$.election.{key}"
        for key in sorted({*old.document["election"], *new.document["election"]})
        if old.document["election"].get(key) != new.document["election"].get(key)
    ]
    found += [
        f"$.{key}"
        for key in sorted({*old.document, *new.document} - {"election", "areas", "parties"})
        if old.document.get(key) != new.document.get(key)
    ]
    for kind, member, before, after in (
        ("area", "areas", _keyed(old, "areas", "id"), _keyed(new, "areas", "id")),
        ("party", "parties", _keyed(old, "parties", "code"), _keyed(new, "parties", "code")),
    ):
        found += [f"{kind} {key} is gone" for key in before if key not in after]
        found += [f"{kind} {key} is new" for key in after if key not in before]
        found += [f"{kind} {key} differs" for key in before if key in after and before[key] != after[key]]
        if before.keys() == after.keys() and list(before) != list(after):
            found.append(f"$.{member} is in another order")
    if len(found) > most:
        found = [*found[:most], f"and {len(found) - most} more"]
    return found


def _keyed(registry: Registry, member: str, key: str) -> dict[str, dict[str, Any]]:
    return {entry[key]: entry for entry in registry.document[member]}


class _Reading:
    """One reading of one document: collects mistakes, and builds the registry only if there is none."""

    def __init__(self, document: object, *, stored: bool) -> None:
        self._document = document
        self._stored = stored
        self._problems: list[str] = []
        self._untold = 0

    def registry(self) -> Registry:
        document = self._document
        if not isinstance(document, dict):
            raise MalformedRegistry(["$: expected an object"])
        if document.get("format") != FORMAT:
            self._say("$.format", f"expected {FORMAT!r}")
        self._header(self._part(document, "election", dict, {}))
        parties = self._parties(self._part(document, "parties", list, []))
        entries = self._entries(self._part(document, "areas", list, []), {party.code for party in parties})
        ordered = self._tree(entries)
        if not self._stored:
            mistaken = {problem.partition(": ")[0] for problem in self._problems}
            for path, character in _control_characters(document):
                if path not in mistaken:
                    self._say(path, f"{named(character)} is a control character")
        if self._untold:
            self._problems.append(f"$: and {self._untold} more")
        if self._problems:
            raise MalformedRegistry(self._problems)
        return Registry(document, _areas(ordered, frozenset(party.code for party in parties)), parties)

    def _say(self, path: str, detail: str) -> None:
        if len(self._problems) < _PROBLEMS_MAX:
            self._problems.append(f"{path}: {detail}")
        else:
            self._untold += 1

    def _part(self, document: dict[str, Any], name: str, kind: type, default: Any) -> Any:
        value = document.get(name)
        if not isinstance(value, kind) or not value:
            self._say(f"$.{name}", f"expected a non-empty {'array' if kind is list else 'object'}")
            return default
        return value

    def _header(self, header: dict[str, Any]) -> None:
        if not isinstance(header.get("id"), str) or not _ELECTION_ID.fullmatch(header["id"]):
            self._say("$.election.id", "expected 1 to 64 of a-z, 0-9, '.', '_' and '-'")
        if not isinstance(header.get("name"), str):
            self._say("$.election.name", "expected a text")
        if not isinstance(header.get("rehearsal", False), bool):
            self._say("$.election.rehearsal", "expected true or false")
        if not _is_time(header.get("publish_from")):
            self._say("$.election.publish_from", "expected an RFC 3339 time with an offset")
        categories = header.get("categories")
        if (
            not isinstance(categories, list)
            or not categories
            or not all(_is_code(name) for name in categories)
        ):
            self._say("$.election.categories", "expected a non-empty array of names")
        elif len(set(categories)) != len(categories):
            self._say("$.election.categories", "a name is repeated")

    def _parties(self, entries: list[Any]) -> list[Party]:
        parties: dict[str, Party] = {}
        for number, entry in enumerate(entries):
            path = f"$.parties[{number}]"
            if not isinstance(entry, dict):
                self._say(path, "expected an object")
                continue
            code, name = entry.get("code"), entry.get("name")
            if not isinstance(name, str):
                self._say(f"{path}.name", "expected a text")
            if not _is_code(code):
                self._say(f"{path}.code", "expected a code")
            elif code in parties:
                self._say(f"{path}.code", f"{code} is repeated")
            else:
                parties[code] = Party(code, str(name))
        return list(parties.values())

    def _entries(self, entries: list[Any], codes: set[str]) -> dict[str, dict[str, Any]]:
        areas: dict[str, dict[str, Any]] = {}
        for number, entry in enumerate(entries):
            path = f"$.areas[{number}]"
            if not isinstance(entry, dict):
                self._say(path, "expected an object")
                continue
            identifier = entry.get("id")
            if not _is_name(identifier):
                self._say(f"{path}.id", _NAME_EXPECTED)
            elif identifier in areas:
                self._say(f"{path}.id", f"{identifier} is repeated")
            else:
                areas[identifier] = entry
            for problem in _area_problems(entry, codes):
                self._say(path + problem[0], problem[1])
        return areas

    def _tree(self, entries: dict[str, dict[str, Any]]) -> list[tuple[dict[str, Any], list[str]]]:
        """Return entries with the identifiers of their children, parents first, as they stand in the document."""
        children: dict[str | None, list[str]] = {}
        for identifier, entry in entries.items():
            parent = entry.get("parent")
            if not isinstance(parent, str | None):
                continue  # told already
            if parent is not None and parent not in entries:
                self._say(f"area {identifier}", f"its parent {parent!r} is not in the registry")
                continue
            children.setdefault(parent, []).append(identifier)
        roots = children.get(None, [])
        if len(roots) != 1:
            self._say("$.areas", f"expected one area without a parent, found {len(roots)}")
        ordered: list[tuple[dict[str, Any], list[str]]] = []
        level = roots
        while level:
            ordered += [(entries[identifier], children.get(identifier, [])) for identifier in level]
            level = [child for identifier in level for child in children.get(identifier, [])]
        for circle in _circles(entries):
            self._say("$.areas", f"a circle of parents: {', '.join(circle[:5])}")
        return ordered


def _circles(entries: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return the areas of each circle of parents."""
    circles: list[list[str]] = []
    seen: set[str] = set()
    for identifier in entries:
        walked: dict[str, None] = {}
        at: Any = identifier
        while isinstance(at, str) and at in entries and at not in seen:
            seen.add(at)
            walked[at] = None
            at = entries[at].get("parent")
        if isinstance(at, str) and at in walked:
            steps = list(walked)
            circles.append(steps[steps.index(at) :])
    return circles


def _control_characters(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the path of each text and member name with a control character, and the first one in it."""
    waiting: deque[tuple[str, str, Any]] = deque([("$", "", document)])
    while waiting:
        path, name, value = waiting.popleft()
        if isinstance(value, str):
            pattern = CONTROL_OR_JOINER if name in _IDENTIFIERS else CONTROL
            if found := pattern.search(value):
                yield path, found[0]
        elif isinstance(value, dict):
            for member, each in value.items():
                if found := CONTROL_OR_JOINER.search(member):
                    yield f"{path}.{printable(member)}", found[0]
                waiting.append((f"{path}.{printable(member)}", member, each))
        elif isinstance(value, list):
            waiting.extend((f"{path}[{number}]", name, each) for number, each in enumerate(value))


def _is_code(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(read_time(value))
    except ValueError:
        return False


def _area_problems(entry: dict[str, Any], codes: set[str]) -> list[tuple[str, str]]:
    problems = []
    if not isinstance(entry.get("name"), str):
        problems.append((".name", "expected a text"))
    if not _is_name(entry.get("level")):
        problems.append((".level", _NAME_EXPECTED))
    eligible = entry.get("eligible")
    if eligible is not None and (type(eligible) is not int or not 0 <= eligible < 2**53):
        problems.append((".eligible", "expected a count or null"))
    if not isinstance(entry.get("parent"), str | None):
        problems.append((".parent", "expected an identifier or null"))
    ballot = entry.get("parties")
    if ballot is not None and not isinstance(ballot, list):
        problems.append((".parties", "expected an array of party codes"))
    elif ballot:
        problems += [
            (".parties", f"{code!r} is not a party")
            for code in ballot
            if not isinstance(code, str) or code not in codes
        ]
    return problems


def _areas(ordered: list[tuple[dict[str, Any], list[str]]], codes: frozenset[str]) -> list[Area]:
    index = {entry["id"]: number for number, (entry, _) in enumerate(ordered)}
    paths: list[tuple[int, ...]] = []
    own: list[frozenset[str]] = []
    for entry, _ in ordered:
        parent = index.get(entry.get("parent"))
        paths.append(() if parent is None else (parent, *paths[parent]))
        inherited = codes if parent is None else own[parent]
        own.append(frozenset(entry["parties"]) if entry.get("parties") else inherited)
    units = [0] * len(ordered)
    below: list[set[str]] = [set() for _ in ordered]
    for number in reversed(range(len(ordered))):
        if not ordered[number][1]:
            units[number], below[number] = 1, set(own[number])
        for above in paths[number][:1]:
            units[above] += units[number]
            below[above] |= below[number]
    shared: dict[frozenset[str], frozenset[str]] = {}
    return [
        Area(
            index=number,
            id=entry["id"],
            name=entry["name"],
            level=entry["level"],
            parent=entry.get("parent"),
            eligible=entry.get("eligible"),
            path=paths[number],
            children=tuple(index[child] for child in children),
            units=units[number],
            ballot=shared.setdefault(frozenset(below[number]), frozenset(below[number])),
        )
        for number, (entry, children) in enumerate(ordered)
    ]
