"""Reads a registry document (`election-registry/1`): completely or not at all, with the JSON path of every problem."""

import itertools
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from gateway.characters import CONTROL, CONTROL_OR_JOINER, code_point, printable
from gateway.election.apportionment.reading import AreaEntry, find_apportionment_problems, find_bloc_problems
from gateway.election.lookalikes import Identifier, alike, malformed_identifier, shown
from gateway.election.names import NO_NAMES, find_problems, read_names
from gateway.election.registry import COUNT_ITEM_TYPES, Area, Party, Registry, category_name
from gateway.election.rfc3339 import read_time
from gateway.election.rules.policy import read_policy
from gateway.errors import MalformedPolicy, MalformedRegistry

FORMAT = "election-registry/1"
_ELECTION_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NAME = re.compile(r"[^\s,/?#%&\"'\\\x00-\x1f\x7f]{1,64}")
_NAME_EXPECTED = "expected 1 to 64 characters without white space and without , / \\ ? # % & ' or \""
"""Applies to identifiers of areas and to levels, which occur in lists and in URLs."""
_CODE = re.compile(r"[^\s\"\\\x00-\x1f\x7f]{1,64}")
_CODE_EXPECTED = 'expected 1 to 64 characters without white space, " or \\'
_IDENTIFIERS = frozenset({"id", "level", "parent", "parties", "code", "categories"})
"""Members whose texts are identifiers."""
_TEXT_MAX = 64
"""Characters of an identifier; longer ones are refused anyway."""
_PROBLEMS_MAX = 100
"""Problems reported per document; a count of the others follows."""


def read_registry(document: object, *, stored: bool = False, keep_areas: bool = True) -> Registry:
    """Return the Registry of a registry document (decoded JSON).

    A `stored` document was accepted by some version of the gateway. Control characters in its texts, identifiers that
    look alike, and any `names` are accepted: they are refused when an election is loaded, but must not stop one that is
    under way. Without `keep_areas`, `Registry.document` lacks its member `areas`, which takes more memory than all else
    of a registry.
    Raises MalformedRegistry with every problem and its JSON path.
    """
    registry = _DocumentReader(document, stored=stored).registry()
    if not keep_areas:
        registry.document = {name: value for name, value in registry.document.items() if name != "areas"}
    return registry


class _DocumentReader:
    """Reads one document: collects problems, and builds the registry only if there are none."""

    def __init__(self, document: object, *, stored: bool) -> None:
        self._document = document
        self._stored = stored
        self._problems: list[str] = []
        self._omitted = 0

    def registry(self) -> Registry:
        document = self._document
        if not isinstance(document, dict):
            raise MalformedRegistry(["$: expected an object"])
        if document.get("format") != FORMAT:
            self._add_problem("$.format", f"expected {FORMAT!r}")
        self._header(self._part(document, "election", dict, {}))
        parties = self._parties(self._part(document, "parties", list, []))
        entries = self._entries(self._part(document, "areas", list, []), {party.code for party in parties})
        self._rules(document.get("election"), entries)
        ordered = self._tree(entries)
        self._seats(document, ordered, [party.code for party in parties])
        if not self._stored:
            self._check_characters(document)
        if self._omitted:
            self._problems.append(f"$: and {self._omitted} more")
        if self._problems:
            raise MalformedRegistry(self._problems)
        return Registry(document, _areas(ordered, frozenset(party.code for party in parties)), parties)

    def _check_characters(self, document: dict[str, Any]) -> None:
        """Report invisible characters, and identifiers that look like another one."""
        reported = {problem.partition(": ")[0] for problem in self._problems}
        for path, character in _control_characters(document):
            if path not in reported:
                kind = "a control character" if CONTROL.match(character) else "not visible"
                self._add_problem(path, f"{code_point(character)} is {kind}")
                reported.add(path)
        kinds = _identifiers(document)
        for path, text in itertools.chain(*kinds.values()):
            if path not in reported and (detail := malformed_identifier(text)):
                self._add_problem(path, detail)
        for kind in _UNIQUE:
            for each, other in alike(each for each in kinds[kind] if each.path not in reported):
                self._add_problem(
                    each.path, f"{shown(each.text)} looks like {other.path}, {shown(other.text)}"
                )

    def _add_problem(self, path: str, detail: str) -> None:
        if len(self._problems) < _PROBLEMS_MAX:
            self._problems.append(f"{path}: {detail}")
        else:
            self._omitted += 1

    def _part(self, document: dict[str, Any], name: str, kind: type, default: Any) -> Any:
        value = document.get(name)
        if not isinstance(value, kind) or not value:
            self._add_problem(f"$.{name}", f"expected a non-empty {'array' if kind is list else 'object'}")
            return default
        return value

    def _header(self, header: dict[str, Any]) -> None:
        if not isinstance(header.get("id"), str) or not _ELECTION_ID.fullmatch(header["id"]):
            self._add_problem("$.election.id", "expected 1 to 64 of a-z, 0-9, '.', '_' and '-'")
        if not isinstance(header.get("name"), str):
            self._add_problem("$.election.name", "expected a string")
        self._names("$.election", header)
        if not isinstance(header.get("rehearsal", False), bool):
            self._add_problem("$.election.rehearsal", "expected true or false")
        if not _is_time(header.get("publish_from")):
            self._add_problem("$.election.publish_from", "expected an RFC 3339 time with an offset")
        self._categories(header.get("categories"))

    def _categories(self, categories: object) -> None:
        path = "$.election.categories"
        if not isinstance(categories, list) or not categories:
            self._add_problem(path, "expected a non-empty array of names")
            return
        names = [category_name(each) for each in categories]
        if not all(map(_is_code, names)):
            self._add_problem(path, "expected a non-empty array of names")
        elif len(set(names)) != len(names):
            self._add_problem(path, "a name is repeated")
        for number, each in enumerate(categories):
            if not isinstance(each, dict) or self._stored:
                continue
            for member in each:
                if member not in ("id", "nist"):
                    self._add_problem(f"{path}[{number}].{printable(member)}", "unknown member of a category")
            if "nist" in each and each["nist"] not in COUNT_ITEM_TYPES:
                expected = f"expected one of {', '.join(COUNT_ITEM_TYPES)}"
                self._add_problem(f"{path}[{number}].nist", expected)

    def _rules(self, header: object, entries: Mapping[str, dict[str, Any]]) -> None:
        """Report what is wrong with `rules`; an earlier version may have stored a member of this name unread."""
        if self._stored or not isinstance(header, dict) or "rules" not in header:
            return
        levels = {each["level"] for each in entries.values() if isinstance(each.get("level"), str)}
        kinds = {each["kind"] for each in entries.values() if isinstance(each.get("kind"), str)}
        path = "$.election.rules"
        try:
            read_policy(header["rules"], levels=levels, kinds=kinds, units=len(entries), path=path)
        except MalformedPolicy as error:
            for problem in error.problems:
                self._add_problem(*problem.split(": ", 1))

    def _seats(
        self,
        document: dict[str, Any],
        ordered: list[tuple[dict[str, Any], list[str]]],
        codes: Sequence[str],
    ) -> None:
        """Report what is wrong with `apportionment`, the districts and `blocs`; see `_rules` for stored ones."""
        header = document.get("election")
        if self._stored or not isinstance(header, dict):
            return
        if "apportionment" in header:
            numbers = {id(entry): number for number, entry in enumerate(_items(document.get("areas")))}
            areas = [
                AreaEntry(
                    f"$.areas[{numbers[id(entry)]}]",
                    entry["id"],
                    entry.get("level"),
                    entry.get("parent"),
                    not children,
                    entry.get("seats"),
                )
                for entry, children in ordered
            ]
            for problem in find_apportionment_problems(header["apportionment"], areas, len(codes)):
                self._add_problem(*problem)
        if "blocs" in header:
            for problem in find_bloc_problems(header["blocs"], codes):
                self._add_problem(*problem)

    def _names(self, path: str, entry: dict[str, Any]) -> None:
        """Report what is wrong with `names`; an earlier version may have stored a member of this name unread."""
        if not self._stored and "names" in entry:
            for place, detail in find_problems(entry["names"]):
                self._add_problem(path + place, detail)

    def _parties(self, entries: list[Any]) -> list[Party]:
        parties: dict[str, Party] = {}
        for number, entry in enumerate(entries):
            path = f"$.parties[{number}]"
            if not isinstance(entry, dict):
                self._add_problem(path, "expected an object")
                continue
            code, name = entry.get("code"), entry.get("name")
            if not isinstance(name, str):
                self._add_problem(f"{path}.name", "expected a string")
            self._names(path, entry)
            if not _is_code(code):
                self._add_problem(f"{path}.code", _CODE_EXPECTED)
            elif code in parties:
                self._add_problem(f"{path}.code", f"{code} is repeated")
            else:
                parties[code] = Party(code, str(name), read_names(entry.get("names")))
        return list(parties.values())

    def _entries(self, entries: list[Any], codes: set[str]) -> dict[str, dict[str, Any]]:
        areas: dict[str, dict[str, Any]] = {}
        for number, entry in enumerate(entries):
            path = f"$.areas[{number}]"
            if not isinstance(entry, dict):
                self._add_problem(path, "expected an object")
                continue
            identifier = entry.get("id")
            if not _is_name(identifier):
                self._add_problem(f"{path}.id", _NAME_EXPECTED)
            elif identifier in areas:
                self._add_problem(f"{path}.id", f"{identifier} is repeated")
            else:
                areas[identifier] = entry
            self._names(path, entry)
            if not self._stored and "kind" in entry and not _is_name(entry["kind"]):
                self._add_problem(f"{path}.kind", _NAME_EXPECTED)
            for problem in _area_problems(entry, codes):
                self._add_problem(path + problem[0], problem[1])
        return areas

    def _tree(self, entries: dict[str, dict[str, Any]]) -> list[tuple[dict[str, Any], list[str]]]:
        """Return entries with the identifiers of their children, parents first, otherwise in document order."""
        children: dict[str | None, list[str]] = {}
        for identifier, entry in entries.items():
            parent = entry.get("parent")
            if not isinstance(parent, str | None):
                continue  # reported by `_area_problems`
            if parent is not None and parent not in entries:
                self._add_problem(f"area {identifier}", f"its parent {parent!r} is not in the registry")
                continue
            children.setdefault(parent, []).append(identifier)
        roots = children.get(None, [])
        if len(roots) != 1:
            self._add_problem("$.areas", f"expected one area without a parent, found {len(roots)}")
        ordered: list[tuple[dict[str, Any], list[str]]] = []
        level = roots
        while level:
            ordered += [(entries[identifier], children.get(identifier, [])) for identifier in level]
            level = [child for identifier in level for child in children.get(identifier, [])]
        for cycle in _cycles(entries):
            self._add_problem("$.areas", f"cycle of parents: {', '.join(cycle[:5])}")
        return ordered


def _cycles(entries: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return the identifiers in each cycle of parents."""
    cycles: list[list[str]] = []
    seen: set[str] = set()
    for identifier in entries:
        visited: dict[str, None] = {}
        at: Any = identifier
        while isinstance(at, str) and at in entries and at not in seen:
            seen.add(at)
            visited[at] = None
            at = entries[at].get("parent")
        if isinstance(at, str) and at in visited:
            steps = list(visited)
            cycles.append(steps[steps.index(at) :])
    return cycles


def _control_characters(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the path of each text and member name with a control character, and its first one."""
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
                kind = name if name == "names" else member  # `id` is a language there
                waiting.append((f"{path}.{printable(member)}", kind, each))
        elif isinstance(value, list):
            waiting.extend((f"{path}[{number}]", name, each) for number, each in enumerate(value))


_UNIQUE = ("id", "level", "code", "category")
"""Kinds of identifiers of which no two may look alike."""


def _identifiers(document: dict[str, Any]) -> dict[str, list[Identifier]]:
    """Return the identifiers of a document by kind; what is not a text is left out."""
    found: dict[str, list[Identifier]] = {kind: [] for kind in (*_UNIQUE, "reference")}

    def add(kind: str, path: str, value: object) -> None:
        if isinstance(value, str) and len(value) <= _TEXT_MAX:
            found[kind].append(Identifier(path, value))

    header = document.get("election")
    for number, name in enumerate(_items(header.get("categories") if isinstance(header, dict) else None)):
        add("category", f"$.election.categories[{number}]", category_name(name))
    for number, entry in enumerate(_items(document.get("parties"))):
        if isinstance(entry, dict):
            add("code", f"$.parties[{number}].code", entry.get("code"))
    for number, entry in enumerate(_items(document.get("areas"))):
        if isinstance(entry, dict):
            path = f"$.areas[{number}]"
            for member, kind in (("id", "id"), ("level", "level"), ("parent", "reference")):
                add(kind, f"{path}.{member}", entry.get(member))
            for place, code in enumerate(_items(entry.get("parties"))):
                add("reference", f"{path}.parties[{place}]", code)
    return found


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


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
        problems.append((".name", "expected a string"))
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
    below_parent: dict[int, tuple[int, ...]] = {}
    own: list[frozenset[str]] = []
    for entry, _ in ordered:
        parent = index.get(entry.get("parent"))
        if parent is not None and parent not in below_parent:
            below_parent[parent] = (parent, *paths[parent])
        paths.append(() if parent is None else below_parent[parent])
        inherited = codes if parent is None else own[parent]
        own.append(frozenset(entry["parties"]) if entry.get("parties") else inherited)
    units = [0] * len(ordered)
    ballots: dict[frozenset[str], frozenset[str]] = {}
    ballot_of: dict[int, frozenset[str]] = {}
    below: dict[int, set[frozenset[str]]] = {}
    for number in reversed(range(len(ordered))):
        if ordered[number][1]:
            ballot: frozenset[str] = frozenset().union(*below.pop(number))
        else:
            units[number], ballot = 1, own[number]
        ballot_of[number] = ballot = ballots.setdefault(ballot, ballot)
        for above in paths[number][:1]:
            units[above] += units[number]
            below.setdefault(above, set()).add(ballot)
    texts: dict[str, str] = {}
    names: dict[frozenset[tuple[str, str]], Mapping[str, str]] = {}

    def shared(text: Any) -> Any:
        """Return one object for equal texts, most of which are those of many areas.

        It is a copy: a few texts that stay in use among those of a whole document would keep the memory of all of it.
        """
        if not isinstance(text, str):
            return None
        return texts.get(text) or texts.setdefault(
            text, text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")
        )

    def shared_names(document: object) -> Mapping[str, str]:
        found = read_names(document)
        key = frozenset(found.items())
        return names.get(key) or names.setdefault(
            key, {tag: shared(name) for tag, name in found.items()} or NO_NAMES
        )

    return [
        Area(
            index=number,
            id=shared(entry["id"]),
            name=shared(entry["name"]),
            level=shared(entry["level"]),
            parent=shared(entry.get("parent")),
            eligible=entry.get("eligible"),
            path=paths[number],
            children=tuple(index[child] for child in children),
            units=units[number],
            ballot=ballot_of[number],
            names=shared_names(entry.get("names")),
            kind=shared(entry.get("kind")),
            code=shared(entry.get("code")),
        )
        for number, (entry, children) in enumerate(ordered)
    ]
