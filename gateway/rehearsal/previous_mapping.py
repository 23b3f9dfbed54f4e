"""PURE: an earlier election as the previous one of a new registry: where the votes of each unit belong now.

A unit's votes go to what the table says of the unit, or else of the nearest area above it; otherwise to the area with
the same identifier, or else to the nearest area above it that is still there. Of an area that was split, nobody knows
who voted in which part: its votes, and all others of these parts, are known only of the area that contains them all.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.characters import printable
from gateway.election.previous import FORMAT
from gateway.election.registry import Area, Registry
from gateway.election.report import Report
from gateway.humanize import counted, spaced
from gateway.rehearsal.previous_table import Table

OPEN = "?"
"""In a row of the table, what somebody has to name; no area or party is called so."""
NAMES_MAX = 10
"""Areas or parties that a line of the summary names."""


class Votes(NamedTuple):
    """The votes of some units by party, those for other parties, and blank ballots."""

    parties: Mapping[str, int]
    """Every party that stood for election there."""
    other: int
    blank: int

    @property
    def total(self) -> int:
        """All votes, without blank ballots."""
        return sum(self.parties.values()) + self.other

    def entry(self) -> dict[str, Any]:
        """Return the members of an area in the document."""
        return {"votes": self.parties, **({"other": self.other} if self.other else {}), "blank": self.blank}


class Unmapped(NamedTuple):
    """Votes for which nobody named a place."""

    id: str
    name: str
    votes: int
    place: str | None = None
    """The area in which they are counted nevertheless; None if in none."""


@dataclass
class Mapped:
    """The document, and what could not be mapped."""

    document: dict[str, Any]
    before: Registry
    registry: Registry
    """The new one."""
    units: int = 0
    """Units of the new registry with previous votes."""
    areas: int = 0
    """Areas above units with previous votes."""
    votes: int = 0
    """All votes that have a place."""
    split: int = 0
    """Units without previous votes because they are parts of an area that was split."""
    lost: list[Unmapped] = field(default_factory=list)
    """Units of the earlier election that have no place, and of which the table says nothing."""
    above: list[Unmapped] = field(default_factory=list)
    """Units that are no longer there, and of which the table says nothing: they are counted in the area above."""
    unplaced: list[Area] = field(default_factory=list)
    """Both of these, and such units without votes."""
    left_out: list[Unmapped] = field(default_factory=list)
    """Units that have no place because the table says so."""
    parties: list[Unmapped] = field(default_factory=list)
    """Parties that are no longer there, and of which the table says nothing: their votes are in `other`."""
    new_parties: list[str] = field(default_factory=list)
    """Parties without votes of the earlier election."""
    without: list[Area] = field(default_factory=list)
    """Units without previous votes that are no parts of a split area, and that the table does not call new."""

    @property
    def complete(self) -> bool:
        """Whether the identifiers and the table say everything."""
        return not (self.lost or self.above or self.parties or self.without)


def map_election(
    before: Registry, reports: Mapping[str, Report], after: Registry, table: Table, source: str
) -> Mapped:
    """Return the document of an earlier election for the registry `after`; `reports` are the last ones by unit."""
    mapping = _Mapping(before, after, table)
    mapping.place(reports)
    return mapping.mapped(source)


def summary_lines(mapped: Mapped) -> list[str]:
    """Return what a mapping did and what it could not do, as lines of text."""
    above = len(mapped.registry.areas) - len(mapped.registry.units)
    units, areas = counted(len(mapped.registry.units), "unit"), counted(above, "area")
    there = f"{spaced(mapped.units)} of {units} and {spaced(mapped.areas)} of {areas} above them"
    lines = [f"{there} have previous votes, {counted(mapped.votes, 'vote')} in all"]
    if mapped.split:
        lines.append(f"{counted(mapped.split, 'unit')} of split areas: compared in the area above only")
    if mapped.new_parties:
        lines.append(f"parties without previous votes: {_named(mapped.new_parties)}")
    for text, unmapped in (
        ("left out, as the table says", mapped.left_out),
        ("MISSING in the table, no place for", mapped.lost),
        ("MISSING in the table, known only of the area above", mapped.above),
        ("MISSING in the table, counted as other parties", mapped.parties),
    ):
        if unmapped:
            votes = sum(each.votes for each in unmapped)
            lines.append(f"{text}: {counted(votes, 'vote')}: {_named([_text(each) for each in unmapped])}")
    if mapped.without:
        count = counted(len(mapped.without), "unit")
        names = _named([f"{area.id} {area.name}" for area in mapped.without])
        lines.append(f"MISSING in the table, {count} without previous votes: {names}")
    return [printable(line) for line in lines]


def missing_rows(mapped: Mapped) -> list[tuple[str, str, str, str]]:
    """Return what is missing in the table as its rows (kind, from, to, note), with OPEN for what has to be named."""
    lost = {each.id: each.votes for each in (*mapped.lost, *mapped.above)}
    rows = []
    for area in _largest(mapped.before, mapped.unplaced):
        votes = sum(
            lost.get(each.id, 0) for each in mapped.unplaced if area.index in (each.index, *each.path)
        )
        if votes:
            rows.append(("area", area.id, OPEN, f"{area.name}: {counted(votes, 'vote')}"))
    rows += [("area", OPEN, area.id, area.name) for area in _largest(mapped.registry, mapped.without)]
    rows += [
        ("party", each.id, OPEN, f"{each.name}: {counted(each.votes, 'vote')}") for each in mapped.parties
    ]
    return rows


def _largest(registry: Registry, units: Sequence[Area]) -> list[Area]:
    """Return the largest areas below the root that consist of these units."""
    within = Counter(index for each in units for index in (each.index, *each.path))
    whole = {index for index, count in within.items() if index and count == registry.areas[index].units}
    return [registry.areas[index] for index in sorted(whole) if registry.areas[index].path[0] not in whole]


def _text(unmapped: Unmapped) -> str:
    place = f", in {unmapped.place}" if unmapped.place is not None else ""
    return f"{unmapped.id} {unmapped.name} ({spaced(unmapped.votes)}{place})"


def _named(names: Sequence[str]) -> str:
    more = [f"and {spaced(len(names) - NAMES_MAX)} more"] if len(names) > NAMES_MAX else []
    return ", ".join([*names[:NAMES_MAX], *more])


class _Mapping:
    """Where each unit of one election belongs in another."""

    def __init__(self, before: Registry, after: Registry, table: Table) -> None:
        self._before, self._after, self._table = before, after, table
        self._mapped = Mapped({}, before, after)
        self._codes = frozenset(after.party_codes)
        self._lost_parties: Counter[str] = Counter()
        self._instead: dict[int, int] = {}
        """For the parts of what was split, and the areas between: the area that contains all parts."""
        self._units: list[list[int]] = [[] for _ in after.areas]
        """By area of the new registry, the units of the earlier one that belong exactly there."""
        self._votes: dict[int, Votes] = {}
        """By unit of the earlier registry."""

    def place(self, reports: Mapping[str, Report]) -> None:
        """Find where the votes of each unit belong."""
        for old, into in self._table.areas.items():
            if len(into) > 1 and self._before.by_id[old].is_unit:
                self._note_split([self._after.by_id[each] for each in into])
        for unit in self._before.units.values():
            votes = self._votes[unit.index] = self._read(unit, reports.get(unit.id))
            index, stated = self._target(unit)
            if not stated:
                self._mapped.unplaced.append(unit)
            if index is None:
                if votes.total:
                    where = self._mapped.left_out if stated else self._mapped.lost
                    where.append(Unmapped(unit.id, unit.name, votes.total))
                continue
            index = self._instead.get(index, index)
            self._units[index].append(unit.index)
            if not stated and votes.total:
                place = self._after.areas[index].id
                self._mapped.above.append(Unmapped(unit.id, unit.name, votes.total, place))

    def _note_split(self, parts: Sequence[Area]) -> int:
        """Record that nobody knows who voted in which of these areas; return the area that contains them all."""
        whole = self._common(parts)
        for part in parts:
            for index in (part.index, *part.path):
                if index == whole:
                    break
                self._instead[index] = whole
        for index, into in self._instead.items():
            self._instead[index] = self._instead.get(into, into)
        return whole

    def _common(self, areas: Sequence[Area]) -> int:
        """Return the nearest area that contains some areas."""
        first, *others = areas
        paths = [{each.index, *each.path} for each in others]
        return next(index for index in (first.index, *first.path) if all(index in path for path in paths))

    def _target(self, unit: Area) -> tuple[int | None, bool]:
        """Return the area to which a unit belongs, None for none, and whether that is more than a guess."""
        line = [self._before.areas[index] for index in (unit.index, *unit.path)]
        for area in line:
            into = self._table.areas.get(area.id)
            if into is not None:
                return self._stated(unit, area, [self._after.by_id[each] for each in into]), True
        same = next((each for each in line if each.id in self._after.by_id), None)
        if same is None:
            return None, False
        return self._after.by_id[same.id].index, same is unit

    def _stated(self, unit: Area, named: Area, into: Sequence[Area]) -> int | None:
        """Return where a unit belongs by the lines of the table for it, or for an area above it.

        The units of an area with another number keep the rest of their identifiers.
        """
        if not into:
            return None
        if named is unit:
            return self._common(into)
        rest = unit.id.removeprefix(named.id)
        found = [self._after.by_id.get(f"{each.id}{rest}") for each in into]
        inside = [
            area
            for area, each in zip(found, into, strict=True)
            if area is not None and each.index in (area.index, *area.path)
        ]
        if len(inside) == 1 and len(rest) < len(unit.id):
            return inside[0].index
        return self._note_split(into) if len(into) > 1 else into[0].index

    def _read(self, unit: Area, report: Report | None) -> Votes:
        """Return the votes of a unit, by the parties of the new registry."""
        counts = list(report.counts.values()) if report is not None else []
        parties: dict[str, int] = {}
        other = 0
        for code in self._before.party_codes:
            if code not in unit.ballot:
                continue
            votes = sum(each.votes.get(code, 0) for each in counts)
            new = self._table.parties.get(code, code)
            if new is not None and new in self._codes:
                parties[new] = parties.get(new, 0) + votes
                continue
            other += votes
            if new is not None and votes:
                self._lost_parties[code] += votes
        return Votes(parties, other, sum(each.blank for each in counts))

    def mapped(self, source: str) -> Mapped:
        """Return the document, and what could not be mapped."""
        found, names = self._mapped, {party.code: party.name for party in self._before.parties}
        header = self._before.document["election"]
        date = header.get("date") or self._before.publish_from.date().isoformat()
        named = {"names": dict(self._before.names)} if self._before.names else {}
        found.document = {
            "format": FORMAT,
            "election": {"id": self._before.id, "name": self._before.name, **named, "date": date},
            "source": source,
            "areas": self._entries(),
        }
        lost = self._lost_parties.most_common()
        found.parties = [Unmapped(code, names[code], votes) for code, votes in lost]
        stood = {code for votes in self._votes.values() for code in votes.parties}
        found.new_parties = [code for code in self._after.party_codes if code not in stood]
        return found

    def _entries(self) -> dict[str, Any]:
        """Return the areas of the document: those that are known and do not follow from the areas below them."""
        entries: dict[int, dict[str, Any]] = {}
        eligible: dict[int, int | None] = {}
        """Of each area that has previous votes."""
        units: list[list[int]] = [[] for _ in self._after.areas]
        """By area, the units of the earlier election at and below it."""
        for area in reversed(self._after.areas):
            units[area.index] = [
                *self._units[area.index],
                *(each for child in area.children for each in units[child]),
            ]
            present = [child for child in area.children if child in eligible]
            whole = bool(present) and len(present) == len(area.children)
            if area.index in self._instead or not units[area.index]:
                if whole:
                    eligible[area.index] = _sum_known([eligible[child] for child in present])
                continue
            below = _sum_known([eligible[child] for child in present])
            known = self._eligible(units[area.index])
            eligible[area.index] = known
            direct = sum(
                self._votes[each].total + self._votes[each].blank for each in self._units[area.index]
            )
            if whole and not direct and known in (None, below):
                eligible[area.index] = below
                continue
            entry = self._sum(units[area.index]).entry()
            if known is not None:
                entry["eligible"] = known
            if whole and direct:
                entry["differs"] = f"{counted(direct, 'ballot')} known only of the whole area"
            elif known is not None and below is not None and (known < below or (whole and known != below)):
                entry["differs"] = "the eligible voters are those that the earlier registry has for this area"
            entries[area.index] = entry
        self._count(eligible.keys(), units[0])
        return {self._after.areas[index].id: entries[index] for index in sorted(entries)}

    def _count(self, present: Collection[int], units: Sequence[int]) -> None:
        """Count areas with and without previous votes, and list units that should have some."""
        found, new = self._mapped, {self._after.by_id[each].index for each in self._table.new_areas}
        for area in self._after.areas:
            if area.index in present:
                found.units += area.is_unit
                found.areas += not area.is_unit
            elif area.is_unit and area.index in self._instead:
                found.split += 1
            elif area.is_unit and new.isdisjoint((area.index, *area.path)):
                found.without.append(area)
        found.votes = sum(self._votes[each].total for each in units)

    def _sum(self, units: Sequence[int]) -> Votes:
        parties: Counter[str] = Counter()
        for each in units:
            parties.update(self._votes[each].parties)
        return Votes(
            {code: parties[code] for code in self._after.party_codes if code in parties},
            sum(self._votes[each].other for each in units),
            sum(self._votes[each].blank for each in units),
        )

    def _eligible(self, units: Sequence[int]) -> int | None:
        """Return the eligible voters of units of the earlier election, by its largest areas that consist of them."""
        areas = self._before.areas
        within = Counter(index for each in units for index in (each, *areas[each].path))
        total, waiting = 0, [0]
        while waiting:
            area = areas[waiting.pop()]
            if within[area.index] == area.units and area.eligible is not None:
                total += area.eligible
            elif area.is_unit:
                return None
            else:
                waiting += [child for child in area.children if within[child]]
        return total


def _sum_known(counts: Sequence[int | None]) -> int | None:
    """Return a sum; None if a summand is not known."""
    known = [each for each in counts if each is not None]
    return sum(known) if known and len(known) == len(counts) else None
