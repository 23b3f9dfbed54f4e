"""PURE: make checked reports with revisions from the files of a command; `comparison` then compares them.

Everything here may run in a thread: there is no shared state.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from math import inf
from typing import Any

import msgspec
import orjson

from gateway.count_files.counted_times import early_counts, future_counts
from gateway.count_files.files import FILE_MAX, encode_report, read_counts
from gateway.count_files.messages import Message, Place, said
from gateway.count_files.mistakes import KnownTexts, mistakes_of
from gateway.count_files.parts import (
    MISTAKES_MAX,
    REPORTS_MAX,
    BadCountFile,
    InEnglish,
    MistakeList,
    Part,
    TooManyMistakes,
    too_many_mistakes,
    too_many_reports,
)
from gateway.count_files.revisions import Known, Numbered, number, numbered_by_files
from gateway.count_files.versions import Contradiction, Version, merge
from gateway.count_files.workbook_zip import Bounds
from gateway.election.registry import Registry
from gateway.election.validation import Invalid, Scope, Validator, check_shape
from gateway.errors import GatewayError, MalformedDocument

FILES_MAX = 2 * FILE_MAX
"""Bytes of all files of one command."""


class Mistakes(InEnglish, GatewayError):
    """All mistakes in the given files; nothing was sent."""

    code = "mistakes"

    def __init__(self, messages: Sequence[Message | str], files: Iterable[str] = ()) -> None:
        """`messages` that are texts are those of a command, which no page shows."""
        self.messages = tuple(messages)
        self.files = frozenset(files)
        """Names of the files that have them."""
        super().__init__(self.messages)


class TooManyReports(Mistakes):
    """More reports than one command pushes; each file may be valid on its own."""

    code = "too_many_reports"


class Count(msgspec.Struct, frozen=True):
    """A report that is ready to be sent."""

    version: Version
    revision: int
    body: bytes
    chosen: bool
    """Whether its revision was chosen here, as the files give none."""

    @property
    def unit(self) -> str:
        """The unit."""
        return self.version.unit

    @property
    def document(self) -> dict[str, Any]:
        """The report as decoded JSON, for `comparison.compare`."""
        return {**self.version.document, "revision": self.revision}


def known_report(body: bytes) -> Known:
    """Return a report that the gateway or the outbox has. A newer version may have stored members unknown to this one.

    Raises MalformedDocument.
    """
    for each in check_shape(body):
        if each.code not in ("unknown_member", "unknown_status", "unknown_reason"):
            raise MalformedDocument(f"{each.path}: {each.detail}")
    document = orjson.loads(body)
    return Known(document["revision"], document)


def known_at_gateway(newest: bytes, current: bytes | None) -> Known:
    """Return the newest report that the gateway has of a unit, with the current one if that is another.

    `current` is None if the unit has no current report. Raises MalformedDocument.
    """
    known = known_report(newest)
    if current == newest:
        return known
    other = known_report(current).document if current is not None else None
    return Known(known.revision, known.document, is_current=False, other_current=other)


class FileReports(msgspec.Struct, frozen=True):
    """The reports in all files of a command, checked and merged by unit."""

    versions: tuple[Version, ...]
    empty_units: int
    """Units of tables that are left out because nothing was entered for them."""
    messages: tuple[Message, ...] = ()
    """How the files were read, where that is not evident."""

    @property
    def notes(self) -> tuple[str, ...]:
        """The messages in English; each starts with the name of its file."""
        return tuple(map(str, self.messages))


def read_files(
    files: Mapping[str, bytes], registry: Registry | None, bounds: Bounds | None = None
) -> FileReports:
    """Read files, check every report, also against the registry, if there is one, and merge the parts of each unit.

    `bounds` limit how much of a workbook is read. Raises Mistakes with all mistakes, of each file MISTAKES_MAX at most,
    and TooManyReports.
    """
    mistakes: list[Message] = []
    wrong: set[str] = set()
    parts: list[Part] = []
    if sum(map(len, files.values())) > FILES_MAX:
        raise TooManyReports([said("files_too_large", mib=FILES_MAX >> 20)])
    empty_units = 0
    notes: list[Message] = []
    for name, content in files.items():
        try:
            read = read_counts(name, content, registry, bounds)
        except BadCountFile as error:
            of_file = _against_registry(name, error.parts, registry, error.messages)
        else:
            of_file = _against_registry(name, read.parts, registry)
            of_file += [] if read.parts else [said("no_report", Place(name))]
            parts += read.parts
            if len(parts) > REPORTS_MAX:
                raise TooManyReports([too_many_reports("all files")])
            empty_units += len(read.empty_units)
            notes += read.messages
        mistakes += sorted(of_file, key=_line)
        wrong |= {name} if of_file else set()
    versions, contradictions = merge(parts)
    mistakes += _listed(contradictions)
    if mistakes:
        raise Mistakes(mistakes, wrong.union(*(each.files for each in contradictions)))
    return FileReports(tuple(versions), empty_units, tuple(notes))


def _against_registry(
    name: str, parts: Sequence[Part], registry: Registry | None, read: Sequence[Message] = ()
) -> list[Message]:
    """Return the mistakes that were found while a file was `read`, and those of its parts."""
    if registry is None or not parts:
        return [*read]
    validator, scope = Validator(registry), Scope(registry, frozenset({registry.root.id}))
    mistakes, known = MistakeList(), KnownTexts(registry)
    try:
        mistakes.extend(read)
        for part in parts:
            judged = validator.check(encode_report({"revision": 1, **part.document}), scope)
            if isinstance(judged, Invalid):
                mistakes.extend(mistakes_of(part, judged.violations, known))
        mistakes.extend(early_counts(parts, registry))
    except TooManyMistakes:
        return [*mistakes.messages, too_many_mistakes(name)]
    return mistakes.messages


def _line(mistake: Message) -> float:
    """Return the line of a mistake; those of the whole file come last."""
    line = mistake.where.line if mistake.where is not None else None
    return inf if line is None else line


def _listed(contradictions: Sequence[Contradiction]) -> list[Message]:
    """Return the messages of the first MISTAKES_MAX, and how many more there are."""
    more = len(contradictions) - MISTAKES_MAX
    return [
        *(each.message for each in contradictions[:MISTAKES_MAX]),
        *([said("more_contradictions", count=more)] if more > 0 else []),
    ]


def give_revisions(
    versions: Sequence[Version],
    current: Mapping[str, Known],
    outbox: Callable[[str], Sequence[Known]],
    now: datetime | None = None,
) -> list[Count]:
    """Return versions as reports with revisions: those from the files, or else chosen by `revisions.number`.

    `current` are the gateway's current reports, as far as it was asked for them, and `outbox` returns those of a unit
    that wait or have a receipt.
    Raises Mistakes for all units whose newest count is not known, and for counts after `now`, the gateway's time.
    """
    contradictions: list[Contradiction] = [*future_counts(versions, now)] if now is not None else []
    counts: list[Count] = []
    for unit, group in groupby(versions, key=lambda version: version.unit):
        of_unit = list(group)
        try:
            if of_unit[0].revision is None:
                counts += map(_count, number(of_unit, current.get(unit), outbox(unit)))
            else:
                counts += map(_count, numbered_by_files(of_unit, outbox(unit), current.get(unit)))
        except Contradiction as error:
            contradictions.append(error)
    if contradictions:
        files = frozenset[str]().union(*(each.files for each in contradictions))
        raise Mistakes(_listed(contradictions), files)
    return counts


def _count(numbered: Numbered) -> Count:
    return Count(numbered.version, numbered.revision, encode_report(numbered.document), numbered.chosen)
