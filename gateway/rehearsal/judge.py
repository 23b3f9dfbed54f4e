"""PURE: the judge of a history. Says which promise was broken, with the smallest example it found.

It is told what senders sent and were answered, what readers received, and what the journal holds at the end. It sums
for itself, from the registry and the stored reports alone, and shares no code with the state that it judges.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from gateway.client.publisher import Answer
from gateway.client.subscriber import Block

EXAMPLES_MAX = 5
"""Examples told of each broken promise."""


class Broken(msgspec.Struct, frozen=True):
    """A promise that did not hold, by name, and where."""

    promise: str
    example: str


class Push(msgspec.Struct, frozen=True):
    """A report as it was sent, and one answer to it; times in seconds since 1970."""

    unit: str
    revision: int
    digest: str
    answered_at: float
    answer: Answer


def expected_digest(body: bytes) -> str:
    """Return the digest (hex) that the record must show for a report sent as `body` (contract, section 3)."""
    return hashlib.sha256(orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)).hexdigest()


class Glimpse(msgspec.Struct, frozen=True):
    """A block as a reader had it: what it named, each area by the fingerprint of its figures."""

    at: float
    sequence: int
    chain: str
    snapshot: bool
    areas: Mapping[str, bytes]


class Reading(msgspec.Struct, frozen=True):
    """What one reader of the feed received, in order. `areas` are those of its selection."""

    name: str
    areas: frozenset[str]
    glimpses: Sequence[Glimpse]


class Stored(msgspec.Struct, frozen=True):
    """A report as the journal holds it at the end; `published_at` is None while it is under embargo."""

    sequence: int
    unit: str
    revision: int
    digest: bytes
    chain: bytes
    body: bytes
    published_at: float | None


class History(msgspec.Struct, frozen=True):
    """All that is known of what happened to one election."""

    registry: Mapping[str, Any]
    publish_from: float
    pushes: Sequence[Push]
    readings: Sequence[Reading]
    stored: Sequence[Stored]
    streams: Mapping[str, Sequence[tuple[float, int, str]]] = {}
    """What readers of the publication stream received: time, sequence, digest."""


def glimpse(block: Block, at: float) -> Glimpse:
    """Keep of a block what the judge needs."""
    areas = {name: fingerprint(figures(area)) for name, area in block.areas.items()}
    return Glimpse(at, block.sequence, block.chain, block.snapshot, areas)


def figures(area: Mapping[str, Any]) -> dict[str, int]:
    """Return an area's counts of the feed by name, without zeros."""
    found = {
        f"status {name}": count for name, count in area["units"]["by_status"].items() if name != "no_report"
    }
    for category, counts in area["counts"].items():
        found |= _of_category(category, counts)
    return {name: count for name, count in found.items() if count}


def _of_category(category: str, counts: Mapping[str, Any]) -> dict[str, int]:
    found = {f"{category} {name}": count for name, count in counts.items() if name != "votes"}
    found |= {f"{category} votes {party}": votes for party, votes in counts["votes"].items()}
    return found


def fingerprint(found: Mapping[str, int]) -> bytes:
    """Return 8 bytes that tell figures apart."""
    text = orjson.dumps({name: count for name, count in found.items() if count}, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=8).digest()


def judge(history: History) -> list[Broken]:
    """Return every promise that was broken, at most EXAMPLES_MAX examples of each; nothing for a good history."""
    found: list[Broken] = []
    told: dict[str, int] = {}
    for broken in _all(history):
        told[broken.promise] = told.get(broken.promise, 0) + 1
        if told[broken.promise] <= EXAMPLES_MAX:
            found.append(broken)
    return found


def _all(history: History) -> Iterator[Broken]:
    yield from _record(history)
    yield from _receipts(history)
    for name, seen in history.streams.items():
        yield from _stream(name, seen, history)
    yield from _readings(history)


def _record(history: History) -> Iterator[Broken]:
    """Check the journal by itself: places, chain, revisions, times."""
    chain = bytes(32)
    revisions: dict[str, int] = {}
    before = 0.0
    for place, stored in enumerate(history.stored, 1):
        which = f"{stored.unit} revision {stored.revision} at {stored.sequence}"
        if stored.sequence != place:
            yield Broken("sequence has no gap", f"{which}, expected {place}")
            return
        chain = hashlib.sha256(chain + stored.digest).digest()
        if stored.digest != hashlib.sha256(stored.body).digest() or stored.chain != chain:
            yield Broken("chain", which)
            return
        if stored.revision == revisions.get(stored.unit, 0):
            yield Broken("published once", which)
        elif stored.revision < revisions.get(stored.unit, 0):
            yield Broken("revision rises", f"{which} after {revisions[stored.unit]}")
        revisions[stored.unit] = max(stored.revision, revisions.get(stored.unit, 0))
        if stored.published_at is not None:
            if stored.published_at < history.publish_from:
                yield Broken("nothing before its time", which)
            if stored.published_at < before:
                yield Broken("time does not go back", which)
            before = stored.published_at


def _receipts(history: History) -> Iterator[Broken]:
    """Check every receipt against the journal, and against other receipts of the same report."""
    stored = {(each.unit, each.revision): each for each in history.stored}
    first: dict[tuple[str, int], Answer] = {}
    for push in history.pushes:
        if not push.answer.has_receipt:
            continue
        which = f"{push.unit} revision {push.revision}"
        held = stored.get((push.unit, push.revision))
        if held is None:
            yield Broken("receipt means durable", which)
            continue
        if push.answer.digest != held.digest.hex() or push.digest != held.digest.hex():
            yield Broken("receipt's digest is in the chain", which)
        if push.answer.sequence not in (None, held.sequence):
            yield Broken("receipt's sequence", f"{which}: {push.answer.sequence}, stored at {held.sequence}")
        if push.answer.sequence is not None and push.answered_at < history.publish_from:
            yield Broken("nothing before its time", f"receipt of {which}")
        earlier = first.setdefault((push.unit, push.revision), push.answer)
        if earlier.accepted_at != push.answer.accepted_at:
            yield Broken("first receipt again", which)


def _stream(name: str, seen: Sequence[tuple[float, int, str]], history: History) -> Iterator[Broken]:
    """Check a reader of the publication stream: each publication once, in order, the one that is stored."""
    for place, (at, sequence, digest) in enumerate(seen, 1):
        if sequence != place:
            yield Broken("sequence has no gap", f"{name} received {sequence}, expected {place}")
            return
        if at < history.publish_from:
            yield Broken("nothing before its time", f"{name} received {sequence}")
        if sequence > len(history.stored) or history.stored[sequence - 1].digest.hex() != digest:
            yield Broken("only what is stored is published", f"{name} received {sequence}")


class _Fold:
    """The sums at a sequence, moved forward only."""

    def __init__(self, history: History) -> None:
        self._stored = history.stored
        self._parents = {area["id"]: area.get("parent") for area in history.registry["areas"]}
        self._units: dict[str, dict[str, int]] = {}
        self.sums: dict[str, dict[str, int]] = {area: {} for area in self._parents}
        self.sequence = 0

    def to(self, sequence: int) -> set[str]:
        """Move to a sequence; return the areas that changed on the way."""
        changed: set[str] = set()
        for stored in self._stored[self.sequence : sequence]:
            report = orjson.loads(stored.body)
            now = {f"status {report['status']}": 1}
            for category, counts in report["counts"].items():
                now |= _of_category(category, counts)
            before = self._units.get(stored.unit, {})
            self._units[stored.unit] = now
            area: str | None = stored.unit
            while area is not None:
                sums = self.sums[area]
                for name in {*before, *now}:
                    sums[name] = sums.get(name, 0) + now.get(name, 0) - before.get(name, 0)
                changed.add(area)
                area = self._parents[area]
        self.sequence = max(self.sequence, sequence)
        return changed


def _readings(history: History) -> Iterator[Broken]:
    for reading in history.readings:
        yield from _reading(reading, history)


def _reading(reading: Reading, history: History) -> Iterator[Broken]:
    """Check a reader: at each block its copy is the sums at that sequence; at the end it has them all."""
    public = sum(stored.published_at is not None for stored in history.stored)
    fold = _Fold(history)
    copy: dict[str, bytes] = {}
    for seen in reading.glimpses:
        where = f"{reading.name} at {seen.sequence}"
        if seen.sequence < fold.sequence:
            yield Broken("readers go forward", f"{where}, after {fold.sequence}")
            return
        if seen.sequence > public:
            yield Broken("only what is stored is published", f"{where}, {public} are stored")
            return
        if seen.sequence > 0 and seen.at < history.publish_from:
            yield Broken("nothing before its time", where)
        if seen.sequence and history.stored[seen.sequence - 1].chain.hex() != seen.chain:
            yield Broken("chain", where)
        changed = fold.to(seen.sequence)
        if seen.snapshot:
            copy, changed = {}, set(reading.areas)
        copy.update(seen.areas)
        yield from _differences(copy, fold, (changed | set(seen.areas)) & reading.areas, where)
    if not reading.glimpses or reading.glimpses[-1].sequence < public:
        fold.to(public)
        left = [area for area in sorted(reading.areas) if copy.get(area) != fingerprint(fold.sums[area])]
        if left or not reading.glimpses:
            yield Broken(
                "the last value arrives", f"{reading.name} lacks {', '.join(left[:3]) or 'everything'}"
            )


def _differences(
    copy: Mapping[str, bytes], fold: _Fold, areas: Iterable[str], where: str
) -> Iterator[Broken]:
    for area in areas:
        if copy.get(area) != fingerprint(fold.sums[area]):
            yield Broken("figures are exact at every block", f"{where}: {area}")
            return
