"""One block of bytes per selection and cursor, shared by all who read it, and made of parts that all blocks share.

What few read costs little: its parts were encoded and compressed for others. What many read is compressed as a whole,
once, which takes a third of the bytes and many times the work.
"""

import random
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby

from gateway.election.state import ElectionState
from gateway.feed.compression import QUICKLY, deflate
from gateway.feed.selection import Selection, runs_of
from gateway.wire.events import area_event, block_event, document_of, retry_event

BLOCKS_MAX = 256
"""Blocks kept of one state; whoever needs another evicts the one used longest ago."""
BLOCK_BYTES_MAX = 64 << 20
KINDS = 64
"""Different delays that readers are told, made once."""
SHARED_S = 1.0
"""How long a block is shared: it says what time it is, and that has to be so."""
FEW, LARGE = 8, 128 << 10
"""Up to FEW readers of a block, and as many more for each LARGE bytes of it, get its parts as they were compressed for
all blocks; so compressing it by itself is paid for by many."""
PARTS_BYTES_MAX = 64 << 20
"""Bytes that the parts kept of one state may take, plain and compressed; beyond it they are made again."""
PART_LEAST = 4
"""Areas of a run from which it is worth being a part: compressing one costs 17 µs, however short."""
FAR = 300
"""Publications after which it costs less to look at every area of a selection than at every change."""
PACKING = 8
"""What compressing a byte quickly costs, as so many bytes put together from parts."""


class Position:
    """A moment of the record, and what a block that ends there says of it."""

    __slots__ = ("_beat", "_cursor", "_published_at", "_rehearsal", "chain", "sequence")

    def __init__(self, state: ElectionState) -> None:
        self.sequence = state.sequence
        self._cursor = state.cursor()
        self.chain = state.chain
        self._published_at = state.published_at
        self._rehearsal = state.registry.rehearsal
        self._beat: Block | None = None

    def block(self) -> "Block":
        """Return an empty block that ends here, as a heartbeat; one for all who are here."""
        if self._beat is None or time.monotonic() - self._beat.made_at >= SHARED_S:
            self._beat = Block((Part(self.end(0)),), 0, self)
        return self._beat

    def end(self, areas: int, *, snapshot: bool = False) -> bytes:
        """Return the event that ends a block of so many areas here."""
        return block_event(
            self._cursor,
            self.chain,
            self._published_at,
            snapshot=snapshot,
            areas=areas,
            rehearsal=self._rehearsal,
            server_time=datetime.now(UTC),
        )


class Part:
    """Some of the bytes of a block: plain, and compressed by themselves when first asked for."""

    __slots__ = ("_deflated", "plain")

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._deflated: bytes | None = None

    def deflated(self) -> bytes:
        """Return it compressed, so that it may stand anywhere in a stream."""
        if self._deflated is None:
            self._deflated = deflate(self.plain, level=QUICKLY)
        return self._deflated

    @property
    def held(self) -> int:
        """Bytes that it takes, or will."""
        return 2 * len(self.plain)


class Block:
    """Bytes that bring a reader to a position."""

    __slots__ = (
        "_deflated",
        "_joined",
        "_parts",
        "_plain",
        "_readers",
        "areas",
        "made_at",
        "position",
        "size",
    )

    def __init__(self, parts: Sequence[Part], areas: int, position: Position) -> None:
        self._parts = parts
        self.areas = areas
        self.position = position
        self.made_at = time.monotonic()
        self.size = sum(len(part.plain) for part in parts)
        """Bytes in the clear."""
        self._readers = 0
        self._plain: bytes | None = None
        self._joined: bytes | None = None
        self._deflated: bytes | None = None

    @property
    def plain(self) -> bytes:
        """The block in the clear."""
        if self._plain is None:
            self._plain = b"".join([part.plain for part in self._parts])
        return self._plain

    def bytes(self, *, gzip: bool, readers: int = 1) -> bytes:
        """Return the block as it may go to any socket, and to so many of them.

        Compressed it is the parts as they are for all blocks, until enough have asked for it (see FEW), or as many at
        once; from then on it is compressed by itself, once.
        """
        if not gzip:
            return self.plain
        self._readers += readers
        if self._deflated is None and (readers >= FEW or self._readers > FEW * (1 + self.size // LARGE)):
            self._deflated, self._joined = deflate(self.plain), None
        if self._deflated is not None:
            return self._deflated
        if self._joined is None:
            self._joined = b"".join([part.deflated() for part in self._parts])
        return self._joined


class BlockMaker:
    """Makes and shares the blocks of one state. Invariants:

    * A block holds exactly what changed, within its selection, after a sequence at or below the one asked for.
    * An area is encoded once a change, whoever reads it; a run of areas is put together and compressed once a change.
    """

    def __init__(self, state: ElectionState) -> None:
        self._state = state
        self._runs = runs_of(state.registry)
        self._events: dict[int, tuple[int, bytes]] = {}
        self._parts: dict[int, Part] = {}
        """By number of a run, what its areas are now."""
        self._parts_held = 0
        self._blocks: OrderedDict[tuple[str, int], Block] = OrderedDict()
        self._held = 0
        self.position = Position(state)
        self.work = 0
        """What was done for single blocks so far, in bytes put together: those of the block, and PACKING for each byte
        that is compressed for this block alone."""

    @property
    def settled(self) -> bool:
        """Whether the state is the one that `position` speaks of; between two moments no block may be made."""
        return self._state.sequence == self.position.sequence

    def advance(self) -> None:
        """Forget the blocks of the state before, and the parts that have changed: it has moved on."""
        self._blocks.clear()
        self._held = 0
        if self._parts:
            for index in self._state.changed_since(self.position.sequence, range(len(self._state.areas))):
                part = self._parts.pop(self._runs.of_area[index], None)
                self._parts_held -= part.held if part is not None else 0
        self.position = Position(self._state)

    def shares(self, selection: Selection, sequence: int | None) -> bool:
        """Whether the block of a selection from about a sequence (None: a snapshot) is there, for it is shared."""
        if sequence is None:
            return self._kept((selection.key, -1)) is not None
        about = _rounded(sequence, self._state.sequence)
        return sequence >= self._state.sequence or self._kept((selection.key, about)) is not None

    def snapshot(self, selection: Selection) -> Block:
        """Return every area of a selection, reported or not."""
        return self._shared(selection, -1)

    def since(self, selection: Selection, sequence: int) -> Block:
        """Return what changed in a selection after a sequence; empty if nothing did."""
        if sequence >= self._state.sequence:
            return self.position.block()
        return self._shared(selection, sequence)

    def since_about(self, selection: Selection, sequence: int) -> Block:
        """Return what changed after a sequence or a little before it: one block for many who are far behind."""
        return self.since(selection, _rounded(sequence, self._state.sequence))

    def changed(self, selection: Selection, sequence: int) -> bool:
        """Whether anything of a selection changed after a sequence; costs less than the block that says what."""
        if sequence >= self._state.sequence:
            return False
        block = self._kept((selection.key, sequence))
        if block is not None:
            return block.areas > 0
        return self._state.has_changed_since(sequence, selection.members)

    def document(self, index: int) -> bytes:
        """Return an area as JSON, as it is in its event."""
        return document_of(self._event(index))

    def _kept(self, key: tuple[str, int]) -> Block | None:
        block = self._blocks.get(key)
        return block if block is not None and time.monotonic() - block.made_at < SHARED_S else None

    def _shared(self, selection: Selection, sequence: int) -> Block:
        key = (selection.key, sequence)
        block = self._kept(key)
        if block is not None:
            self._blocks.move_to_end(key)
            return block
        late = self._blocks.pop(key, None)
        if late is not None:
            self._held -= late.size
        block = self._make(selection, sequence)
        self._blocks[key] = block
        self._held += block.size
        while len(self._blocks) > BLOCKS_MAX or (self._held > BLOCK_BYTES_MAX and len(self._blocks) > 1):
            self._held -= self._blocks.popitem(last=False)[1].size
        return block

    def _make(self, selection: Selection, sequence: int) -> Block:
        parts: list[Part] = []
        alone: list[bytes] = []
        areas = 0
        for number, indexes in self._wanted(selection, sequence):
            areas += len(indexes)
            if PART_LEAST <= len(indexes) == len(self._runs.all[number]):
                if alone:
                    parts.append(self._part_of_one(alone))
                    alone = []
                parts.append(self._part(number))
            else:
                alone += map(self._event, indexes)
        alone.append(self.position.end(areas, snapshot=sequence < 0))
        parts.append(self._part_of_one(alone))
        block = Block(parts, areas, self.position)
        self.work += block.size
        return block

    def _wanted(self, selection: Selection, sequence: int) -> Iterator[tuple[int, Sequence[int]]]:
        """Return by runs which areas a block has, in the order of the registry."""
        if sequence < 0:
            yield from selection.runs()
            return
        if self._state.sequence - sequence > FAR:
            areas = self._state.areas
            for number, run in selection.runs():
                if changed := [index for index in run if areas[index].sequence > sequence]:
                    yield number, changed
            return
        changed = self._state.changed_since(sequence, selection.members)
        for number, indexes in groupby(changed, self._runs.of_area.__getitem__):
            yield number, [*indexes]

    def _part_of_one(self, events: Sequence[bytes]) -> Part:
        part = Part(b"".join(events))
        self.work += PACKING * len(part.plain)
        return part

    def _part(self, number: int) -> Part:
        part = self._parts.get(number)
        if part is None:
            part = Part(b"".join(map(self._event, self._runs.all[number])))
            if self._parts_held + part.held > PARTS_BYTES_MAX:
                self._parts.clear()
                self._parts_held = 0
            self._parts[number] = part
            self._parts_held += part.held
        return part

    def _event(self, index: int) -> bytes:
        sequence = self._state.areas[index].sequence
        held = self._events.get(index)
        if held is None or held[0] != sequence:
            held = self._events[index] = (sequence, area_event(self._state, index))
        return held[1]


def _rounded(sequence: int, head: int) -> int:
    """Round a cursor down, the coarser the farther behind, so that those who return at once share blocks.

    A few areas more than needed do no harm: their values are absolute.
    """
    step = 1 << max(0, (head - sequence).bit_length() - 5)
    return sequence - sequence % step


class Retries:
    """`retry:` fields with delays spread at random, plain and deflated, made once."""

    def __init__(self, least_ms: int, most_ms: int) -> None:
        delays = [random.randint(least_ms, most_ms) for _ in range(KINDS)]  # noqa: S311 - jitter, no secret
        self._plain = [retry_event(delay) for delay in delays]
        self._deflated = [deflate(field) for field in self._plain]

    def pick(self, *, gzip: bool) -> bytes:
        """Return one of them."""
        return random.choice(self._deflated if gzip else self._plain)  # noqa: S311
