"""PURE: from the parts that the files of one command contain to the reports that are sent, each with a revision.

* One unit is one report: its parts with the same `counted_at` are merged if they have different categories.
* Parts with different `counted_at` are successive versions of the count. Their order is that of `counted_at`, and of
  their revisions; the order and the names of the files have no effect.
* A version without a revision gets the next one only if it was counted later than the newest report that is known. If
  it is that report, or one that waits or has a receipt, it keeps its revision, so that nothing new is published.

Whatever would drop figures, or leaves the order unknown, is an error that names both places. No figure of a part is
missing from the result: every category of every part is in some report.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

import msgspec

from gateway.client.parts import Part, abbreviated
from gateway.election.registry import COUNT_MAX, read_time
from gateway.election.report import canonical


class Version(msgspec.Struct, frozen=True):
    """One count of a unit: a whole report, whose revision may be missing."""

    where: str
    """File and line of its first part."""
    document: dict[str, Any]
    time: datetime

    @property
    def unit(self) -> str:
        """The unit."""
        unit: str = self.document["unit"]
        return unit

    @property
    def revision(self) -> int | None:
        """The revision, if the files give one."""
        return self.document.get("revision")


class Known(msgspec.Struct, frozen=True):
    """A report of a unit that the gateway has as its current one, or that the outbox has."""

    revision: int
    document: dict[str, Any]


class Numbered(msgspec.Struct, frozen=True):
    """A version with its revision, as it is sent."""

    version: Version
    document: dict[str, Any]
    chosen: bool
    """Whether the revision was chosen here, and not given in a file."""

    @property
    def revision(self) -> int:
        """The revision."""
        revision: int = self.document["revision"]
        return revision


class Contradiction(Exception):
    """Parts that are not one report, or versions whose order is unknown; the message names their places."""


def merge(parts: Iterable[Part]) -> tuple[list[Version], list[str]]:
    """Return the versions of all units, and what is wrong with the other units. The order of the parts is irrelevant.

    The versions of a unit follow one another from the earliest to the latest; units are in the order of the parts.
    """
    units: dict[str, list[Part]] = {}
    for part in parts:
        units.setdefault(part.unit, []).append(part)
    versions: list[Version] = []
    mistakes: list[str] = []
    for of_unit in units.values():
        try:
            versions += _versions(sorted(of_unit, key=_sort_key))
        except Contradiction as error:
            mistakes.append(str(error))
    return versions, mistakes


def _sort_key(part: Part) -> tuple[datetime, int, bytes, str]:
    return part.time, part.revision or 0, canonical(part.document), part.where


def _versions(parts: Sequence[Part]) -> list[Version]:
    found = [
        _merged(same)
        for _, same_time in groupby(parts, lambda part: part.time)
        for same in _by_revision(list(same_time))
    ]
    found.sort(key=lambda version: (version.time, version.revision or 0))
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
            f" and revisions {revisions} elsewhere; state which one this is"
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
    places = {category: first.place(category) for category in counts}
    for part in others:
        for member in (first.document.keys() | part.document.keys()) - {"revision", "counted_at", "counts"}:
            here, there = part.document.get(member), first.document.get(member)
            if here != there:
                raise Contradiction(
                    f"{part.where}: {member} {_shown(here)} of unit {abbreviated(part.unit)},"
                    f" but {_shown(there)} in {first.where}; one unit with one counted_at is one report"
                )
        if part.revision is not None:
            document["revision"] = part.revision
        for category, figures in part.counts.items():
            counts[category] = _same(part, category, figures, counts.get(category), places.get(category))
            places.setdefault(category, part.place(category))
    return Version(first.where, document | {"counts": counts}, first.time)


def _same(
    part: Part, category: str, figures: dict[str, Any], known: dict[str, Any] | None, place: str | None
) -> dict[str, Any]:
    """Return the figures of a category that is in one part, or in several with the same meaning."""
    if known is None:
        return figures
    if _figures(known) != _figures(figures):
        raise Contradiction(
            f"{part.place(category)}: other figures for {abbreviated(category)!r} of unit {abbreviated(part.unit)} than"
            f" {place}; if one is a newer count, give it a later counted_at"
        )
    return max(known, figures, key=lambda each: (len(each["votes"]), canonical(each)))


def _check_succession(earlier: Version, later: Version) -> None:
    """Raise Contradiction unless the later of two counts of a unit replaces the earlier one as a whole."""
    both = f"{later.where}: unit {abbreviated(later.unit)}, counted at {_at(later)}"
    other = f"{earlier.where}, counted at {_at(earlier)}"
    if (earlier.revision is None) != (later.revision is None):
        raise Contradiction(
            f"{both}: one of its counts has a revision, and the other ({other}) has none;"
            " give all of them revisions, or none"
        )
    if earlier.revision is not None and later.revision is not None and earlier.revision >= later.revision:
        raise Contradiction(
            f"{both}, has revision {later.revision}, but the earlier count ({other}) has revision {earlier.revision};"
            " a later count needs a higher revision"
        )
    if missing := earlier.document["counts"].keys() - later.document["counts"].keys():
        raise Contradiction(
            f"{both}, has no {abbreviated(min(missing))!r}, which an earlier count ({other}) has; a report replaces all"
            " figures of its unit: enter all categories, with the same counted_at if they are one count"
        )


def number(versions: Sequence[Version], current: Known | None, outbox: Sequence[Known]) -> list[Numbered]:
    """Give revisions to the versions of one unit, none of which has one; they are in the order of their times.

    `current` is the gateway's current report of the unit; `outbox` are those that wait or have a receipt. Raises
    Contradiction if it is not known whether a version is newer than the newest of these.
    """
    newest = max([*([current] if current else []), *outbox], key=lambda known: known.revision, default=None)
    if newest is None:
        return [_next(version, number) for number, version in enumerate(versions, 1)]
    same = next(
        (place for place in reversed(range(len(versions))) if _is(newest, versions[place])), len(versions)
    )
    found: list[Numbered] = []
    for place, version in enumerate(versions):
        if place == same:
            _check_outbox(version, newest, outbox)
            found.append(_again(version, newest))
        elif place < same < len(versions):
            found.append(_known_in(outbox, version) or _before(version, newest, same - place, outbox))
        elif same < len(versions) or version.time > read_time(newest.document["counted_at"]):
            _check_drops_nothing(newest, version)
            above = max([newest.revision, *(each.revision for each in found)])
            found.append(_next(version, above + 1))
        elif (again := _known_in(outbox, version)) is not None:
            found.append(again)
        else:
            raise Contradiction(_order_unknown(version, newest))
    return found


def _is(known: Known, version: Version) -> bool:
    return meaning(known.document) == meaning(version.document)


def _check_outbox(version: Version, newest: Known, outbox: Sequence[Known]) -> None:
    """Raise Contradiction if the outbox has other figures under the revision of the current report."""
    if any(known.revision == newest.revision and not _is(known, version) for known in outbox):
        raise Contradiction(
            f"{version.where}: unit {abbreviated(version.unit)}: the gateway has this count as revision"
            f" {newest.revision}, but the outbox has other figures under it; run the command without files first, or"
            " with another --outbox"
        )


def _again(version: Version, known: Known) -> Numbered:
    """Return a known report as it was sent, which the gateway then recognises by its digest."""
    return Numbered(version, known.document | {"revision": known.revision}, chosen=True)


def _known_in(outbox: Sequence[Known], version: Version) -> Numbered | None:
    found = [known for known in outbox if _is(known, version)]
    return _again(version, max(found, key=lambda known: known.revision)) if found else None


def _before(version: Version, newest: Known, places: int, outbox: Sequence[Known]) -> Numbered:
    """Return a version that precedes the newest report, under the revision that it had if it was sent with it.

    A revision below the current one is never accepted anew: the report is a duplicate, or gets no receipt.
    """
    revision = newest.revision - places
    if revision < 1 or any(known.revision == revision for known in outbox):
        raise Contradiction(_order_unknown(version, newest))
    return Numbered(version, version.document | {"revision": revision}, chosen=False)


def _next(version: Version, revision: int) -> Numbered:
    if revision > COUNT_MAX:
        raise Contradiction(f"{version.where}: unit {abbreviated(version.unit)} has used all its revisions")
    return Numbered(version, version.document | {"revision": revision}, chosen=True)


def _check_drops_nothing(newest: Known, version: Version) -> None:
    dropped = [
        category
        for category, figures in newest.document["counts"].items()
        if category not in version.document["counts"] and any(_figures(figures).values())
    ]
    if dropped:
        raise Contradiction(
            f"{version.where}: unit {abbreviated(version.unit)} has no {abbreviated(dropped[0])!r}, but its current"
            f" report (revision {newest.revision}, counted at {newest.document['counted_at']}) has; a report replaces"
            f" all figures of its unit: enter all categories, or, to drop one, the revision {newest.revision + 1}"
        )


def _order_unknown(version: Version, newest: Known) -> str:
    time = newest.document["counted_at"]
    later = read_time(time) > version.time
    return (
        f"{version.where}: unit {abbreviated(version.unit)}, counted at {_at(version)}, has other figures than the"
        f" current report (revision {newest.revision}), which was counted {'later, ' if later else 'also '}at {time};"
        f" if these figures are newer, enter a later counted_at, or the revision {newest.revision + 1};"
        " else leave the unit out"
    )


def meaning(document: dict[str, Any]) -> object:
    """Return what two reports have in common, apart from their revisions, if they mean the same.

    A time counts as an instant, whatever its notation, and a party that is omitted has no votes.
    """
    members = {
        name: value for name, value in document.items() if name not in ("revision", "counted_at", "counts")
    }
    counts = {category: _figures(figures) for category, figures in document["counts"].items()}
    return read_time(document["counted_at"]), members, counts


def _figures(figures: dict[str, Any]) -> dict[str, Any]:
    votes = {party: number for party, number in figures["votes"].items() if number}
    return figures | {"votes": votes}


def _at(version: Version) -> str:
    time: str = version.document["counted_at"]
    return time


def _shown(value: object) -> str:
    return repr(abbreviated(value)) if isinstance(value, str) else "nothing"
