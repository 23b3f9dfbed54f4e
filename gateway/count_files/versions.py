"""PURE: from the parts that the files of one command contain to whole reports.

* One unit is one report: its parts with the same `counted_at` are merged if they have different categories.
* Parts with different `counted_at` are successive versions of the count. Their order is that of `counted_at`, and of
  their revisions; the order and the names of the files have no effect.

Whatever would drop figures is an error that names both places: every category of every part is in some report.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

import msgspec

from gateway.count_files.parts import Part, abbreviated
from gateway.election.registry import read_time
from gateway.election.report import canonical

VERSIONS_MAX = 1000
"""Counts of one unit in the files of one command; a unit is counted a few times."""


class Version(msgspec.Struct, frozen=True):
    """One count of a unit: a whole report, whose revision may be missing."""

    where: str
    """File and line of its first part."""
    document: dict[str, Any]
    instant: datetime
    files: frozenset[str]

    @property
    def unit(self) -> str:
        """The unit."""
        unit: str = self.document["unit"]
        return unit

    @property
    def revision(self) -> int | None:
        """The revision, if the files give one."""
        return self.document.get("revision")


class Contradiction(Exception):
    """Parts that are not one report, or versions whose order is unknown; the message names their places."""

    def __init__(self, message: str, *sources: Part | Version) -> None:
        super().__init__(message)
        self.files = frozenset[str]().union(
            *({each.file} if isinstance(each, Part) else each.files for each in sources)
        )
        """Names of the files that would have to be changed."""


def merge(parts: Iterable[Part]) -> tuple[list[Version], list[Contradiction]]:
    """Return the versions of all units, and what is wrong with the other units. The order of the parts is irrelevant.

    The versions of a unit follow one another from the earliest to the latest; units are in the order of the parts.
    """
    units: dict[str, list[Part]] = {}
    for part in parts:
        units.setdefault(part.unit, []).append(part)
    versions: list[Version] = []
    contradictions: list[Contradiction] = []
    for of_unit in units.values():
        try:
            versions += _versions(sorted(of_unit, key=_sort_key))
        except Contradiction as error:
            contradictions.append(error)
    return versions, contradictions


def _sort_key(part: Part) -> tuple[datetime, int, bytes, str]:
    return part.instant, part.revision or 0, canonical(part.document), part.where


def _versions(parts: Sequence[Part]) -> list[Version]:
    if len(parts) > VERSIONS_MAX:
        raise Contradiction(
            f"{parts[0].where}: unit {abbreviated(parts[0].unit)} has {len(parts)} reports in these files; at most"
            f" {VERSIONS_MAX} can be pushed together",
            *parts,
        )
    found = [
        _merged(same)
        for _, same_time in groupby(parts, lambda part: part.instant)
        for same in _by_revision(list(same_time))
    ]
    found.sort(key=lambda version: (version.instant, version.revision or 0))
    for earlier, later in pairwise(found):
        _check_succession(earlier, later)
    return found


def _by_revision(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Divide parts with the same `counted_at` by revision; a part without one belongs to the only one there is."""
    by_revision: dict[int | None, list[Part]] = {}
    for part in parts:
        by_revision.setdefault(part.revision, []).append(part)
    without = by_revision.get(None)
    if without and len(by_revision) > 2:
        revisions = " and ".join(str(revision) for revision in by_revision if revision is not None)
        raise Contradiction(
            f"{without[0].where}: unit {abbreviated(without[0].unit)} has no revision here,"
            f" and revisions {revisions} elsewhere; state which one this is",
            *parts,
        )
    if without:
        yield list(parts)
    else:
        yield from by_revision.values()


def _merged(parts: Sequence[Part]) -> Version:
    """Return parts with the same time and revision as one report. Raises Contradiction if they are not."""
    first, *others = parts
    document = dict(first.document)
    counts = dict(first.counts)
    sources = dict.fromkeys(counts, first)
    for part in others:
        for member in (first.document.keys() | part.document.keys()) - {"revision", "counted_at", "counts"}:
            here, there = part.document.get(member), first.document.get(member)
            if here != there:
                raise Contradiction(
                    f"{part.where}: {member} {_shown(here)} of unit {abbreviated(part.unit)},"
                    f" but {_shown(there)} in {first.where}; one unit with one counted_at is one report",
                    part,
                    first,
                )
        if part.revision is not None:
            document["revision"] = part.revision
        for category, figures in part.counts.items():
            source = sources.setdefault(category, part)
            counts[category] = _same(part, source, category, counts.get(category, figures))
    files = frozenset(part.file for part in parts)
    return Version(first.where, document | {"counts": counts}, first.instant, files)


def _same(part: Part, source: Part, category: str, known: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a category of a part, which must mean the same as those known from its source."""
    figures = part.counts[category]
    if figures_of(known) != figures_of(figures):
        raise Contradiction(
            f"{part.place(category)}: other figures for {abbreviated(category)!r} of unit {abbreviated(part.unit)} than"
            f" {source.place(category)}; if one is a newer count, give it a later counted_at",
            part,
            source,
        )
    return max(known, figures, key=lambda each: (len(each["votes"]), canonical(each)))


def _check_succession(earlier: Version, later: Version) -> None:
    """Raise Contradiction unless the later of two counts of a unit replaces the earlier one as a whole."""
    both = f"{later.where}: unit {abbreviated(later.unit)}, counted at {_at(later)}"
    other = f"{earlier.where}, counted at {_at(earlier)}"
    if (earlier.revision is None) != (later.revision is None):
        raise Contradiction(
            f"{both}: one of its counts has a revision, and the other ({other}) has none;"
            " give all of them revisions, or none",
            earlier,
            later,
        )
    if earlier.revision is not None and later.revision is not None and earlier.revision >= later.revision:
        raise Contradiction(
            f"{both}, has revision {later.revision}, but the earlier count ({other}) has revision {earlier.revision};"
            " a later count needs a higher revision",
            earlier,
            later,
        )
    is_correction = later.revision is not None and "reason" in later.document
    missing = earlier.document["counts"].keys() - later.document["counts"].keys()
    if missing and not is_correction:
        raise Contradiction(
            f"{both}, has no {abbreviated(min(missing))!r}, which an earlier count ({other}) has; a report replaces all"
            " figures of its unit: enter all categories, with the same counted_at if they are one count",
            earlier,
            later,
        )


class Meaning(msgspec.Struct, frozen=True):
    """What a report says, whatever its revision and its notation."""

    instant: datetime
    members: dict[str, Any]
    """Its other members: unit, status, and the reason if there is one."""
    counts: dict[str, dict[str, Any]]


def meaning(document: dict[str, Any]) -> Meaning:
    """Return what two reports have in common, apart from their revisions, if they mean the same.

    A time counts as an instant, whatever its notation, and a party that is omitted has no votes.
    """
    members = {
        name: value for name, value in document.items() if name not in ("revision", "counted_at", "counts")
    }
    counts = {category: figures_of(figures) for category, figures in document["counts"].items()}
    return Meaning(read_time(document["counted_at"]), members, counts)


def figures_of(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the counts of a category without parties that have no votes."""
    votes = {party: number for party, number in figures["votes"].items() if number}
    return figures | {"votes": votes}


def _at(version: Version) -> str:
    time: str = version.document["counted_at"]
    return time


def _shown(value: object) -> str:
    return repr(abbreviated(value)) if isinstance(value, str) else "nothing"
