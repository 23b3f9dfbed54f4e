"""PURE: the revisions of reports. A file may leave them out; then the newest report of the unit decides.

A version without a revision gets the next one only if it was counted later than the newest report that is known. If it
is that report, or one that waits or has a receipt, it keeps its revision, so that nothing new is published. Where the
order is unknown, or a category would be dropped, nothing is sent.
"""

from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.count_files.messages import Message, abbreviated, said
from gateway.count_files.versions import Contradiction, Version, figures_of, meaning
from gateway.election.registry import COUNT_MAX
from gateway.election.rfc3339 import read_time


class Known(msgspec.Struct, frozen=True):
    """The newest report of a unit that the gateway has, or one that the outbox has."""

    revision: int
    document: dict[str, Any]
    is_current: bool = True
    """False if the gateway has held, rejected or superseded it, so that another report, or none, is the current one."""
    other_current: dict[str, Any] | None = None
    """The current report if that is another one; None if the unit has none."""

    @property
    def current(self) -> "Known | None":
        """The current report of the unit, with which newer ones are compared; None if it has none."""
        if self.is_current:
            return self
        return Known(self.other_current["revision"], self.other_current) if self.other_current else None


def current_and_newest(
    known: Mapping[str, Known | None],
) -> tuple[dict[str, dict[str, Any] | None], dict[str, dict[str, Any]]]:
    """Return the current reports of units, None where there is none, and the newest where those are not current."""
    current = {unit: each.current if each is not None else None for unit, each in known.items()}
    newest = {unit: each.document for unit, each in known.items() if each is not None and not each.is_current}
    return {unit: each.document if each is not None else None for unit, each in current.items()}, newest


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


def numbered_by_files(
    versions: Sequence[Version], outbox: Sequence[Known], current: Known | None = None
) -> list[Numbered]:
    """Return the versions of one unit whose revisions are in the files.

    A report that the outbox has, or that is the gateway's current one, keeps its notation, so that the gateway
    recognises it. Raises Contradiction for other content under a revision of the outbox, and for a version that drops a
    category of the current report without giving a reason.
    """
    found: list[Numbered] = []
    by_revision = {known.revision: known for known in outbox}
    for version in versions:
        known = by_revision.get(version.revision or 0)
        if known is not None and not _is(known, version):
            message = said(
                "revision_in_outbox",
                version.where,
                unit=version.unit,
                difference=_difference(known, version),
                revision=str(version.revision),
            )
            raise Contradiction(message, version)
        if known is None and current is not None:
            if current.revision == version.revision and _is(current, version):
                known = current
            elif (
                not found and current.revision < (version.revision or 0) and "reason" not in version.document
            ):
                for each in _replaced(current, current):
                    _check_drops_nothing(each, version, version.revision or 0)
        document = {**known.document, "revision": known.revision} if known is not None else version.document
        found.append(Numbered(version, document, chosen=False))
    return found


def number(versions: Sequence[Version], current: Known | None, outbox: Sequence[Known]) -> list[Numbered]:
    """Give revisions to the versions of one unit, none of which has one; they are in the order of their times.

    `current` is the gateway's current report of the unit; `outbox` are those that wait or have a receipt. The newest
    report is the one with the highest revision of all these. Raises Contradiction if it is not known whether a version
    is newer than all of them.
    """
    at_gateway = [current] if current else []
    newest = max([*at_gateway, *outbox], key=lambda known: known.revision, default=None)
    if newest is None:
        return [_next(version, number) for number, version in enumerate(versions, 1)]
    same = next(
        (place for place in reversed(range(len(versions))) if _is(newest, versions[place])), len(versions)
    )
    found: list[Numbered] = []
    for place, version in enumerate(versions):
        not_before = next(
            (each for each in [newest, *at_gateway, *outbox] if _time(each) >= version.instant), None
        )
        if place == same:
            _check_not_overtaken(version, newest, current)
            _check_outbox(version, newest, outbox)
            found.append(_again(version, newest))
        elif place < same < len(versions):
            found.append(
                _known_in(outbox, version) or _before(version, newest, same - place, current, outbox)
            )
        elif not_before is None:
            for each in _replaced(newest, current):
                _check_drops_nothing(each, version, newest.revision + 1)
            above = max([newest.revision, *(each.revision for each in found)])
            found.append(_next(version, above + 1))
        elif (again := _known_in(outbox, version)) is not None:
            _check_not_overtaken(version, Known(again.revision, again.document), current)
            found.append(again)
        elif (repeated := _repeated(version, current)) is not None:
            _check_outbox(version, repeated, outbox)
            found.append(_again(version, repeated))
        else:
            raise Contradiction(_order_unknown(version, not_before, newest.revision + 1), version)
    return found


class Waiting(msgspec.Struct, frozen=True):
    """A report that waits in the outbox under a revision that was chosen."""

    key: int
    version: Version
    """Its count, without the revision."""
    known: Known
    overtaken: bool
    """Whether the gateway has refused the revision since another report has it, or a later one."""


class Judged(msgspec.Struct, frozen=True):
    """The decision about a waiting report: what is sent now, or else the reason why it is never sent."""

    key: int
    document: dict[str, Any] | None
    reason: str = ""


def judge_waiting(waiting: Sequence[Waiting], current: Known | None, taken: Container[int]) -> list[Judged]:
    """Judge the reports of one unit that wait under chosen revisions against the gateway's current report.

    Those that are not returned are to be judged later. What is sent above the current revision was counted later than
    the current report, and has the next revision that is not `taken`: the gateway refuses it if another system is
    quicker. At or below the current revision nothing is accepted anew, so that such a report is sent as it is: it gets
    its receipt if its answer was lost.
    """
    if current is not None:
        past = [
            Judged(each.key, each.known.document)
            for each in waiting
            if each.known.revision <= current.revision and not each.overtaken
        ]
        if past:
            return past
    found = []
    newest = current
    for each in sorted(waiting, key=lambda each: (each.version.instant, each.key)):
        if current is not None and _is(current, each.version):
            found.append(Judged(each.key, current.document | {"revision": current.revision}))
            continue
        revision = newest.revision + 1 if newest is not None else 1
        while revision in taken:
            revision += 1
        try:
            if newest is not None:
                _check_is_newer(newest, each.version, revision)
            numbered = _next(each.version, revision)
        except Contradiction as error:
            found.append(Judged(each.key, None, str(error)))
        else:
            found.append(Judged(each.key, numbered.document))
            newest = Known(revision, numbered.document)
    return found


def _check_is_newer(newest: Known, version: Version, revision: int) -> None:
    if _time(newest) >= version.instant:
        raise Contradiction(_order_unknown(version, newest, revision), version)
    for each in _replaced(newest, newest):
        _check_drops_nothing(each, version, revision)


def _check_not_overtaken(version: Version, known: Known, current: Known | None) -> None:
    """Raise Contradiction if a report would replace the gateway's current one, which was not counted before it."""
    if current is not None and known.revision > current.revision and _time(current) >= version.instant:
        if _is(current, version):
            return
        raise Contradiction(_order_unknown(version, current, known.revision + 1), version)


def _replaced(newest: Known, at_gateway: Known | None) -> list[Known]:
    """Return the reports that a version with the next revision replaces: none that is held or was rejected."""
    current = at_gateway.current if at_gateway is not None else None
    waits = at_gateway is None or newest.revision > at_gateway.revision
    return [*([newest] if waits else []), *([current] if current is not None else [])]


def _repeated(version: Version, at_gateway: Known | None) -> Known | None:
    """Return the gateway's newest or current report if it is this version."""
    if at_gateway is None:
        return None
    return next((each for each in (at_gateway, at_gateway.current) if each and _is(each, version)), None)


def _time(known: Known) -> datetime:
    return read_time(known.document["counted_at"])


def _is(known: Known, version: Version) -> bool:
    return meaning(known.document) == meaning(version.document)


def _check_outbox(version: Version, same: Known, outbox: Sequence[Known]) -> None:
    """Raise Contradiction if the outbox has another report under the revision of one that is the same count."""
    if any(known.revision == same.revision and known.document != same.document for known in outbox):
        message = said("count_in_outbox", version.where, unit=version.unit, revision=str(same.revision))
        raise Contradiction(message, version)


def _again(version: Version, known: Known) -> Numbered:
    """Return a known report as it was sent, which the gateway then recognises by its digest."""
    return Numbered(version, known.document | {"revision": known.revision}, chosen=True)


def _known_in(outbox: Sequence[Known], version: Version) -> Numbered | None:
    found = [known for known in outbox if _is(known, version)]
    return _again(version, max(found, key=lambda known: known.revision)) if found else None


def _before(
    version: Version, newest: Known, places: int, current: Known | None, outbox: Sequence[Known]
) -> Numbered:
    """Return a version that precedes the newest report, under the revision that it had if it was sent with it.

    That is below the gateway's current one, so it is never accepted anew: it is a duplicate, or gets no receipt.
    """
    revision = newest.revision - places
    is_past = current is not None and 1 <= revision < current.revision
    if not is_past or any(known.revision == revision for known in outbox):
        raise Contradiction(_order_unknown(version, newest, newest.revision + 1), version)
    return Numbered(version, version.document | {"revision": revision}, chosen=False)


def _next(version: Version, revision: int) -> Numbered:
    if revision > COUNT_MAX:
        raise Contradiction(said("revisions_used", version.where, unit=version.unit), version)
    return Numbered(version, version.document | {"revision": revision}, chosen=True)


def _check_drops_nothing(known: Known, version: Version, next_revision: int) -> None:
    dropped = [
        category
        for category, figures in known.document["counts"].items()
        if category not in version.document["counts"] and any(figures_of(figures).values())
    ]
    if dropped:
        message = said(
            "category_of_current_dropped",
            version.where,
            unit=version.unit,
            category=dropped[0],
            revision=str(known.revision),
            time=known.document["counted_at"],
            next=str(next_revision),
        )
        raise Contradiction(message, version)


def _order_unknown(version: Version, known: Known, next_revision: int) -> Message:
    return said(
        "current_is_later" if _time(known) > version.instant else "current_at_same_time",
        version.where,
        unit=version.unit,
        time=version.document["counted_at"],
        difference=_difference(known, version),
        revision=str(known.revision),
        other_time=known.document["counted_at"],
        next=str(next_revision),
    )


def _difference(known: Known, version: Version) -> list[Message]:
    """Return the differences between a version and a known report, as clauses."""
    ours, theirs = meaning(version.document), meaning(known.document)
    found = [said("other_figures")] if ours.counts != theirs.counts else []
    for name in sorted(ours.members.keys() | theirs.members.keys()):
        here, there = ours.members.get(name), theirs.members.get(name)
        if here != there:
            found.append(
                said("other_member", member=abbreviated(name), here=_shown(here), there=_shown(there))
            )
    return found or [said("other_time")]


def _shown(value: object) -> str | None:
    return abbreviated(str(value)) if value is not None else None
