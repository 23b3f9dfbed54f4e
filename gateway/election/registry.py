"""The registry: what is fixed before reports arrive, that is the election, its tree of areas and its parties.

Made by `registry_reading`. Independent of reports.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from gateway.election.apportionment.reading import AreaEntry, read_apportionment, read_blocs
from gateway.election.apportionment.rules import Apportionment, Bloc
from gateway.election.names import NO_NAMES, all_names, read_names
from gateway.election.rfc3339 import read_time
from gateway.election.rules.policy import UNITS_COMPARED_MAX, Policy, read_policy, stored_policy
from gateway.errors import MalformedPolicy
from gateway.trimmed_json import dumps_trimmed

COUNT_MAX = 2_147_483_647
"""The largest count in a report; sums go up to 2^53 - 1."""

COUNT_ITEM_TYPES = (
    "absentee",
    "absentee-fwab",
    "absentee-in-person",
    "absentee-mail",
    "early",
    "election-day",
    "provisional",
    "uocava",
)
"""What a category may be in NIST SP 1500-100. The other values of CountItemType are no group of ballots, or `other`."""


class Party(msgspec.Struct, frozen=True):
    """A party; reports refer to it by its `code`."""

    code: str
    name: str
    names: Mapping[str, str] = NO_NAMES
    """Names by language tag (BCP 47)."""

    @property
    def all_names(self) -> tuple[str, ...]:
        """The names of the party in every language."""
        return tuple(dict.fromkeys((self.name, *self.names.values())))


class Area(msgspec.Struct, frozen=True, gc=False):
    """An area of the tree. It is a unit if it has no children.

    Invariants: `index` is its index in `Registry.areas`, where every parent precedes its children; `path` contains the
    indexes of the areas above it, nearest first.
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
    """Codes of the parties on the ballot of this unit; above units, of all parties on a ballot below the area."""
    names: Mapping[str, str] = NO_NAMES
    """Names by language tag (BCP 47)."""

    kind: str | None = None
    """What kind of unit it is, such as `advance_station`, as far as the registry says so."""

    code: str | None = None
    """The official code, if the registry has one; it need not be unique."""

    @property
    def all_names(self) -> tuple[str, ...]:
        """All names of the area, in every language: what people may search for."""
        return all_names(self.name, self.names)

    @property
    def is_unit(self) -> bool:
        """Whether this area is a unit, which reports."""
        return not self.children


class Registry:
    """The registry of one election. Immutable.

    Invariants: areas form one tree with `areas[0]` as its root; every unit has a ballot.
    """

    def __init__(self, document: dict[str, Any], areas: Sequence[Area], parties: Sequence[Party]) -> None:
        header = document["election"]
        self.document = document
        self.id: str = header["id"]
        self.name: str = header["name"]
        self.names = read_names(header.get("names"))
        self.publish_from = read_time(header["publish_from"])
        self.categories: tuple[str, ...] = tuple(map(category_name, header["categories"]))
        self.count_item_types: Mapping[str, str] = {
            each["id"]: each["nist"]
            for each in header["categories"]
            if isinstance(each, dict) and each.get("nist") in COUNT_ITEM_TYPES
        }
        """By category, its CountItemType in NIST SP 1500-100, as far as the registry says so."""
        self.rehearsal: bool = header.get("rehearsal", False)
        self.areas = tuple(areas)
        self.parties = tuple(parties)
        self.party_codes: tuple[str, ...] = tuple(party.code for party in parties)
        self.by_id: Mapping[str, Area] = {area.id: area for area in areas}
        self.units: Mapping[str, Area] = {area.id: area for area in areas if area.is_unit}
        self.levels: tuple[str, ...] = tuple(dict.fromkeys(area.level for area in areas))
        self.kinds = frozenset(area.kind for area in self.units.values() if area.kind is not None)
        self.policy = self.stored_policy(header.get("rules"))
        """The policy of rules that the registry sets; the journal may have a newer one."""
        self.compares_units = len(self.units) <= UNITS_COMPARED_MAX or self.policy.compares_units
        """Whether rules may compare units with each other: in a large election, only if the registry names them."""
        self.apportionment: Apportionment | None = self._read_apportionment()
        """The rules by which seats follow from votes, if the registry has them."""
        self.blocs: tuple[Bloc, ...] = read_blocs(header.get("blocs"), self.party_codes)
        """Parties that readers add up, if the registry has them."""

    def _read_apportionment(self) -> Apportionment | None:
        """Return the rules for seats; an earlier version may have stored a member of this name unread."""
        document = self.document["election"].get("apportionment")
        if document is None:
            return None
        seats = {entry["id"]: entry.get("seats") for entry in self.document["areas"]}
        return read_apportionment(
            document,
            [
                AreaEntry("", area.id, area.level, area.parent, area.is_unit, seats[area.id])
                for area in self.areas
            ],
        )

    @property
    def root(self) -> Area:
        """The root of the tree."""
        return self.areas[0]

    def below(self, area: Area) -> frozenset[int]:
        """Return the indexes of `area` and of all areas below it."""
        found = {area.index}
        waiting = list(area.children)
        while waiting:
            index = waiting.pop()
            found.add(index)
            waiting.extend(self.areas[index].children)
        return frozenset(found)

    def municipality(self, unit: Area) -> Area:
        """Return the area that is responsible for a unit: the one of level `municipality`, or else its parent."""
        for index in (unit.index, *unit.path):
            if self.areas[index].level == "municipality":
                return self.areas[index]
        return self.areas[unit.path[0]] if unit.path else unit

    def read_policy(self, document: object, path: str = "$") -> Policy:
        """Return a policy for this election. Raises MalformedPolicy with every problem and its path below `path`."""
        policy = read_policy(document, levels=self.levels, kinds=self.kinds, units=len(self.units), path=path)
        if policy.compares_units and not self.compares_units:
            detail = f"more than {UNITS_COMPARED_MAX} units: only the registry can turn on rules that compare units"
            raise MalformedPolicy([f"{path}: {detail}"])
        return policy

    def stored_policy(self, document: object) -> Policy:
        """Return a policy for this election that some version of the gateway accepted, as far as this one knows it."""
        return stored_policy(document, len(self.units))

    def canonical(self) -> bytes:
        """Return the document as JSON with sorted keys; two registries are compared by these bytes."""
        return dumps_trimmed(self.document, orjson.OPT_SORT_KEYS)


def category_name(entry: object) -> Any:
    """Return the name of a category, from its entry: the name itself, or an object with the name as `id`."""
    return entry.get("id") if isinstance(entry, dict) else entry


def differences(old: Registry, new: Registry, most: int = 10) -> list[str]:
    """Return at most `most` differences between two registries as short sentences."""
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
        found += [f"{kind} {key} is missing" for key in before if key not in after]
        found += [f"{kind} {key} is new" for key in after if key not in before]
        found += [f"{kind} {key} differs" for key in before if key in after and before[key] != after[key]]
        if before.keys() == after.keys() and list(before) != list(after):
            found.append(f"$.{member} is in a different order")
    if len(found) > most:
        found = [*found[:most], f"and {len(found) - most} more"]
    return found


def _keyed(registry: Registry, member: str, key: str) -> dict[str, dict[str, Any]]:
    return {entry[key]: entry for entry in registry.document[member]}
