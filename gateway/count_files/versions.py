"""PURE: from the parts that the files of one command contain to whole reports.

* One unit is one report: its parts with the same `counted_at` are merged if they have different categories.
* Parts with different `counted_at` are successive versions of the count. Their order is that of `counted_at`, and of
  their revisions; the order and the names of the files have no effect.

Anything that would drop figures is a mistake that names both places: every category of every part is in some report.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

import msgspec

from gateway.count_files.messages import Message, Place, abbreviated, said
from gateway.count_files.parts import Part
from gateway.election.report import canonical
from gateway.election.rfc3339 import read_time

VERSIONS_MAX = 1000
"""Counts of one unit in the files of one command; a unit is counted a few times."""


class Version(msgspec.Struct, frozen=True):
    """One count of a unit: a whole report, whose revision may be missing."""

    where: Place
    """The place of its first part."""
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

    def __init__(self, message: Message, *sources: Part | Version) -> None:
        super().__init__(message)
        self.message = message
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
    return part.instant, part.revision or 0, canonical(part.document), str(part.where)


def _versions(parts: Sequence[Part]) -> list[Version]:
    if len(parts) > VERSIONS_MAX:
        raise Contradiction(
            said(
                "too_many_versions",
                parts[0].where,
                unit=parts[0].unit,
                count=len(parts),
                most=VERSIONS_MAX,
            ),
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
        revisions = [str(revision) for revision in by_revision if revision is not None]
        message = said("revision_unclear", without[0].where, unit=without[0].unit, revisions=revisions)
        raise Contradiction(message, *parts)
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
                message = said(
                    "members_differ",
                    part.where,
                    unit=part.unit,
                    member=member,
                    here=_shown(here),
                    there=_shown(there),
                    other=first.where,
                )
                raise Contradiction(message, part, first)
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
        other = source.place(category)
        message = said("figures_differ", part.place(category), unit=part.unit, category=category, other=other)
        raise Contradiction(message, part, source)
    return max(known, figures, key=lambda each: (len(each["votes"]), canonical(each)))


def _check_succession(earlier: Version, later: Version) -> None:
    """Raise Contradiction unless the later of two counts of a unit replaces the earlier one as a whole."""
    where, unit, time, other, other_time = later.where, later.unit, _at(later), earlier.where, _at(earlier)
    if (earlier.revision is None) != (later.revision is None):
        message = said("revision_missing", where, unit=unit, time=time, other=other, other_time=other_time)
        raise Contradiction(message, earlier, later)
    if earlier.revision is not None and later.revision is not None and earlier.revision >= later.revision:
        message = said(
            "revision_order",
            where,
            unit=unit,
            time=time,
            revision=str(later.revision),
            other=other,
            other_time=other_time,
            other_revision=str(earlier.revision),
        )
        raise Contradiction(message, earlier, later)
    is_correction = later.revision is not None and "reason" in later.document
    missing = earlier.document["counts"].keys() - later.document["counts"].keys()
    if missing and not is_correction:
        message = said(
            "category_dropped",
            where,
            unit=unit,
            category=min(missing),
            time=time,
            other=other,
            other_time=other_time,
        )
        raise Contradiction(message, earlier, later)


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


def _shown(value: object) -> str | None:
    return abbreviated(value) if isinstance(value, str) else None
