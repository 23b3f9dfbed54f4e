"""PURE: check a whole history against the guarantees, and return each broken one with an example.

A history consists of the reports that senders pushed with their answers, what they read back, the blocks that readers
received, and the reports and holds in the journal at the end. The judge computes all sums itself, from the registry and
the stored reports, and shares no code with the state that it checks.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from gateway.client.publisher import Answer
from gateway.client.subscriber import Block
from gateway.election.record import JournalHold, JournalReport

EXAMPLES_MAX = 5
"""Examples returned for each broken guarantee."""


class BrokenGuarantee(msgspec.Struct, frozen=True):
    """A guarantee that was broken, and an example."""

    guarantee: str = msgspec.field(name="promise")  # its name in the results of bench
    example: str


class Push(msgspec.Struct, frozen=True):
    """A report that was sent, and one answer to it; times in seconds since 1970."""

    unit: str
    revision: int
    digest: str
    answered_at: float
    answer: Answer


class Read(msgspec.Struct, frozen=True):
    """What the push door answered when a sender read back the newest report of a unit (contract, section 4)."""

    unit: str
    began_at: float
    """When the request was sent, in seconds since 1970, by the clock that measures `Push.answered_at`."""
    revision: int | None
    """The newest revision that the answer showed; None if it showed no report."""


def expected_digest(body: bytes) -> str:
    """Return the digest (hex) that the record must show for a report sent as `body` (contract, section 3)."""
    return hashlib.sha256(orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)).hexdigest()


class ObservedBlock(msgspec.Struct, frozen=True):
    """A block that a reader received; areas are represented by fingerprints of their figures."""

    at: float
    sequence: int
    chain: str
    snapshot: bool
    areas: Mapping[str, bytes]


class ReaderHistory(msgspec.Struct, frozen=True):
    """The blocks that one reader of the feed received, in order; `areas` are those of its selection."""

    name: str
    areas: frozenset[str]
    observed: Sequence[ObservedBlock]


class History(msgspec.Struct, frozen=True):
    """Everything that was recorded about one election."""

    registry: Mapping[str, Any]
    publish_from: float
    pushes: Sequence[Push]
    readings: Sequence[ReaderHistory]
    stored: Sequence[JournalReport]
    """The reports in the journal at the end, in order."""
    holds: Sequence[JournalHold] = ()
    """The reports that were held, at the end. Unless they were released, they are not in the record."""
    reads: Sequence[Read] = ()
    """Every read that was answered with a report, or that there is none."""
    streams: Mapping[str, Sequence[tuple[float, int, str]]] = {}
    """Time, sequence and digest of the publications that readers of the publication stream received."""


def observe(block: Block, at: float) -> ObservedBlock:
    """Reduce a block to what the judge needs; `at` is when it was received, in seconds since 1970."""
    areas = {name: fingerprint(figures(area)) for name, area in block.areas.items()}
    return ObservedBlock(at, block.sequence, block.chain, block.snapshot, areas)


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
    """Return an 8-byte digest of figures."""
    text = orjson.dumps({name: count for name, count in found.items() if count}, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=8).digest()


def judge(history: History) -> list[BrokenGuarantee]:
    """Return every broken guarantee, with at most EXAMPLES_MAX examples each."""
    found: list[BrokenGuarantee] = []
    examples: dict[str, int] = {}
    for broken in _all(history):
        examples[broken.guarantee] = examples.get(broken.guarantee, 0) + 1
        if examples[broken.guarantee] <= EXAMPLES_MAX:
            found.append(broken)
    return found


def _all(history: History) -> Iterator[BrokenGuarantee]:
    yield from _record(history)
    yield from _receipts(history)
    yield from _reads(history)
    yield from _holds(history)
    for name, seen in history.streams.items():
        yield from _stream(name, seen, history)
    yield from _reader_histories(history)


def _record(history: History) -> Iterator[BrokenGuarantee]:
    """Check the journal itself: sequences, chain, revisions, times."""
    chain = bytes(32)
    revisions: dict[str, int] = {}
    before = 0.0
    for place, stored in enumerate(history.stored, 1):
        which = f"{stored.unit} revision {stored.revision} at {stored.sequence}"
        if stored.sequence != place:
            yield BrokenGuarantee("sequence has no gap", f"{which}, expected {place}")
            return
        chain = hashlib.sha256(chain + stored.digest).digest()
        if stored.digest != hashlib.sha256(stored.body).digest() or stored.chain != chain:
            yield BrokenGuarantee("chain", which)
            return
        if stored.revision == revisions.get(stored.unit, 0):
            yield BrokenGuarantee("published once", which)
        elif stored.revision < revisions.get(stored.unit, 0):
            yield BrokenGuarantee("revision rises", f"{which} after {revisions[stored.unit]}")
        revisions[stored.unit] = max(stored.revision, revisions.get(stored.unit, 0))
        if stored.published_at is not None:
            published_at = stored.published_at.timestamp()
            if published_at < history.publish_from:
                yield BrokenGuarantee("nothing before its time", which)
            if published_at < before:
                yield BrokenGuarantee("time does not go back", which)
            before = published_at


def _receipts(history: History) -> Iterator[BrokenGuarantee]:
    """Check every receipt against the journal, and against other receipts of the same report."""
    stored = {(each.unit, each.revision): each for each in history.stored}
    holds = {(each.unit, each.revision): each for each in history.holds if each.state != "released"}
    first: dict[tuple[str, int], Answer] = {}
    for push in history.pushes:
        if not push.answer.has_receipt:
            continue
        which = f"{push.unit} revision {push.revision}"
        if push.answer.state in ("held", "rejected", "superseded") and push.answer.sequence is not None:
            yield BrokenGuarantee("what is held has no sequence", f"{which}: {push.answer.sequence}")
        stored_report = stored.get((push.unit, push.revision)) or holds.get((push.unit, push.revision))
        if stored_report is None:
            yield BrokenGuarantee("receipt means durable", which)
            continue
        if push.answer.digest != stored_report.digest.hex() or push.digest != stored_report.digest.hex():
            yield BrokenGuarantee("receipt's digest is in the chain", which)
        if push.answer.sequence is not None and push.answer.sequence != stored_report.sequence:
            yield BrokenGuarantee(
                "receipt's sequence", f"{which}: {push.answer.sequence}, stored at {stored_report.sequence}"
            )
        if push.answer.sequence is not None and push.answered_at < history.publish_from:
            yield BrokenGuarantee("nothing before its time", f"receipt of {which}")
        earlier = first.setdefault((push.unit, push.revision), push.answer)
        if earlier.accepted_at != push.answer.accepted_at:
            yield BrokenGuarantee("first receipt again", which)


def _reads(history: History) -> Iterator[BrokenGuarantee]:
    """Check that each read shows the newest revision of its unit with an earlier receipt, or a later revision."""
    with_receipt = [push for push in history.pushes if push.answer.has_receipt]
    receipts = iter(sorted(with_receipt, key=lambda each: each.answered_at))
    newest: dict[str, Push] = {}
    push = next(receipts, None)
    for read in sorted(history.reads, key=lambda each: each.began_at):
        while push is not None and push.answered_at < read.began_at:
            if push.unit not in newest or newest[push.unit].revision < push.revision:
                newest[push.unit] = push
            push = next(receipts, None)
        expected = newest.get(read.unit)
        if expected is not None and (read.revision or 0) < expected.revision:
            shown = f"revision {read.revision}" if read.revision is not None else "no report"
            yield BrokenGuarantee(
                "a later read has it",
                f"{read.unit}: {shown} in a read that began {read.began_at - expected.answered_at:.3f} s after the"
                f" receipt of revision {expected.revision}",
            )


def _holds(history: History) -> Iterator[BrokenGuarantee]:
    """Check that a report is in the record if and only if it was not held, or was released."""
    stored = {(each.unit, each.revision): each for each in history.stored}
    for hold in history.holds:
        which = f"{hold.unit} revision {hold.revision}, {hold.state}"
        placed = stored.get((hold.unit, hold.revision))
        if hold.state != "released" and placed is not None:
            yield BrokenGuarantee("what is held is not published", f"{which}, at {placed.sequence}")
        elif hold.state == "released" and (placed is None or placed.sequence != hold.sequence):
            yield BrokenGuarantee("what is released is published once", which)
        elif placed is not None and placed.digest != hold.digest:
            yield BrokenGuarantee("what is released is the held report", which)


def _stream(name: str, seen: Sequence[tuple[float, int, str]], history: History) -> Iterator[BrokenGuarantee]:
    """Check a reader of the publication stream: each publication once, in order, as stored."""
    for place, (at, sequence, digest) in enumerate(seen, 1):
        if sequence != place:
            yield BrokenGuarantee("sequence has no gap", f"{name} received {sequence}, expected {place}")
            return
        if at < history.publish_from:
            yield BrokenGuarantee("nothing before its time", f"{name} received {sequence}")
        if sequence > len(history.stored) or history.stored[sequence - 1].digest.hex() != digest:
            yield BrokenGuarantee("only what is stored is published", f"{name} received {sequence}")


class _Fold:
    """The sums at a sequence, which can only move forward."""

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


def _reader_histories(history: History) -> Iterator[BrokenGuarantee]:
    for reading in history.readings:
        yield from _reading(reading, history)


def _reading(reading: ReaderHistory, history: History) -> Iterator[BrokenGuarantee]:
    """Check a reader: its copy equals the sums at the sequence of each block, and is complete at the end."""
    public = sum(stored.published_at is not None for stored in history.stored)
    fold = _Fold(history)
    copy: dict[str, bytes] = {}
    for seen in reading.observed:
        where = f"{reading.name} at {seen.sequence}"
        if seen.sequence < fold.sequence:
            yield BrokenGuarantee("readers go forward", f"{where}, after {fold.sequence}")
            return
        if seen.sequence > public:
            yield BrokenGuarantee("only what is stored is published", f"{where}, {public} are stored")
            return
        if seen.sequence > 0 and seen.at < history.publish_from:
            yield BrokenGuarantee("nothing before its time", where)
        if seen.sequence and history.stored[seen.sequence - 1].chain.hex() != seen.chain:
            yield BrokenGuarantee("chain", where)
        changed = fold.to(seen.sequence)
        if seen.snapshot:
            copy, changed = {}, set(reading.areas)
        copy.update(seen.areas)
        yield from _differences(copy, fold, (changed | set(seen.areas)) & reading.areas, where)
    if not reading.observed or reading.observed[-1].sequence < public:
        fold.to(public)
        left = [area for area in sorted(reading.areas) if copy.get(area) != fingerprint(fold.sums[area])]
        if left or not reading.observed:
            yield BrokenGuarantee(
                "the last value arrives", f"{reading.name} lacks {', '.join(left[:3]) or 'everything'}"
            )


def _differences(
    copy: Mapping[str, bytes], fold: _Fold, areas: Iterable[str], where: str
) -> Iterator[BrokenGuarantee]:
    wrong = [area for area in areas if copy.get(area) != fingerprint(fold.sums[area])]
    if wrong:  # the first by name, so that a run that is repeated is described in the same words
        yield BrokenGuarantee("figures are exact at every block", f"{where}: {min(wrong)}")
