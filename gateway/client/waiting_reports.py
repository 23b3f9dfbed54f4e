"""Judge the reports again that wait in an outbox under revisions that push chose, before they are sent.

Another process or another system may have pushed reports of the unit since the revisions were chosen.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import msgspec
import orjson

from gateway.client.outbox import Outbox
from gateway.client.outbox_items import Change, Destination, Item
from gateway.client.push_answers import not_sent
from gateway.count_files.comparison import Comparison, compare
from gateway.count_files.files import encode_report
from gateway.count_files.messages import Place
from gateway.count_files.reports import known_report
from gateway.count_files.revisions import Judged, Known, Waiting, current_and_newest, judge_waiting
from gateway.count_files.versions import Version, meaning
from gateway.election.registry import Registry
from gateway.election.rfc3339 import read_time
from gateway.errors import MalformedDocument


class Decided(msgspec.Struct):
    """What came of judging all units."""

    bodies: dict[int, bytes] = msgspec.field(default_factory=dict)
    """What may be sent now, by key."""
    moved: dict[int, Item] = msgspec.field(default_factory=dict)
    """The reports that got another revision, by key, as they were before."""
    reasons: list[str] = msgspec.field(default_factory=list)
    """Why the refusals of others are final."""
    held: set[int] = msgspec.field(default_factory=set)
    """Reports with revisions from files that are not sent now, by key."""


def judge(
    outbox: Outbox,
    to: Destination,
    units: Sequence[str],
    current: Mapping[str, Known | None],
    places: Mapping[int, Place],
) -> Decided:
    """Decide about the waiting reports of units, by the gateway's current reports, and store that in the outbox."""
    decided = Decided()
    for unit in units:
        items = outbox.of_unit(to, unit)
        explicit = [item for item, waits in items if waits and not item.chosen]
        chosen = [item for item, waits in items if waits and item.chosen]
        kept = {item.revision for item, waits in items if not (waits and item.chosen)}
        readable, others = _readable(chosen, places)
        decided.bodies |= {item.key: item.body for item in others}  # the gateway refuses them
        by_key = {item.key: item for item in chosen}
        first = min((item.key for item in explicit), default=None)
        judged = [
            each
            for each in judge_waiting(readable, current.get(unit), kept)
            if first is None or _is_unchanged(each, by_key[each.key], current.get(unit), first)
        ]
        changes = [_change(each, by_key[each.key], current.get(unit)) for each in judged]
        needed = [each for each in changes if each.answer is not None or each.body != each.item.body]
        if needed and not outbox.change(to, needed):
            continue
        decided.reasons += [
            each.reason
            for each, change in zip(judged, changes, strict=True)
            if change.answer is not None and change.answer.outcome != "not_sent"
        ]
        decided.bodies |= {each.item.key: each.body for each in changes if each.answer is None}
        decided.moved |= {each.item.key: each.item for each in needed if each.answer is None}
    return decided


def compared_later(
    registry: Registry | None,
    bodies: Mapping[int, bytes],
    current: Mapping[str, Known | None],
    others: Mapping[str, Known | None] = MappingProxyType({}),
) -> Iterator[tuple[int, Comparison]]:
    """Yield the comparison of each report, by key, with those before it, of units whose current report is given.

    `others` are the current reports of the other units of their municipalities.
    """
    documents: list[tuple[int, dict[str, Any]]] = []
    for key, body in bodies.items():
        with suppress(MalformedDocument):  # the gateway refuses it
            document = known_report(body).document
            if document["unit"] in current:
                documents.append((key, document))
    documents.sort(key=lambda each: each[1]["revision"])
    before, newest = current_and_newest({**others, **current})
    compared = compare(registry, [document for _, document in documents], before, newest)
    yield from zip((key for key, _ in documents), compared, strict=True)


def _readable(items: Sequence[Item], places: Mapping[int, Place]) -> tuple[list[Waiting], list[Item]]:
    found, others = [], []
    for item in items:
        try:
            known = known_report(item.body)
        except MalformedDocument:
            others.append(item)
            continue
        count = {name: value for name, value in known.document.items() if name != "revision"}
        version = Version(
            places.get(item.key, Place("outbox")), count, read_time(known.document["counted_at"]), frozenset()
        )
        overtaken = item.answer is not None and item.answer.is_overtaken
        found.append(Waiting(item.key, version, known, overtaken))
    return found, others


def _is_unchanged(judged: Judged, item: Item, current: Known | None, first_explicit: int) -> bool:
    """Whether a report may be sent although others of its unit wait whose revisions are not judged.

    It may if it was added before them and needs no other revision, or if the gateway can only repeat its receipt.
    """
    if judged.document is None or judged.document["revision"] != item.revision:
        return False
    return item.key < first_explicit or (current is not None and item.revision <= current.revision)


def _change(judged: Judged, item: Item, current: Known | None) -> Change:
    if judged.document is None:
        answer = item.answer
        if answer is None or not answer.is_overtaken:
            detail = f"superseded before it was sent: {judged.reason}"
            answer = not_sent("superseded", detail, current.revision if current is not None else None)
        return Change(item, item.revision, item.body, answer)
    same = judged.document == orjson.loads(item.body)
    return Change(item, judged.document["revision"], item.body if same else encode_report(judged.document))


def same_count(item: Item, other: Item) -> bool:
    """Whether two reports are the same count of one unit."""
    try:
        return item.unit == other.unit and meaning(known_report(item.body).document) == meaning(
            known_report(other.body).document
        )
    except MalformedDocument:
        return False
