"""One block of bytes per selection and cursor, shared by its readers and assembled from parts that all blocks share.

A block with few readers is cheap: its parts were encoded and compressed for other blocks. A block with many readers is
compressed as a whole, once, which takes a third of the bytes and many times the work.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import groupby
from random import Random

from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock
from gateway.election.state import ElectionState
from gateway.feed.compression import LEVEL_FAST, deflate
from gateway.feed.selection import Selection, runs_of
from gateway.wire.events import area_event, block_event, document_of, retry_event

BLOCKS_MAX = 256
"""Blocks cached per state; the least recently used one is evicted."""
BLOCK_BYTES_MAX = 64 << 20
RETRY_DELAYS = 64
"""Number of different `retry:` delays, encoded once."""
BLOCK_SHARED_S = 1.0
"""Seconds for which a block is shared; it contains the time, which has to be right."""
PARTS_READERS_MAX, LARGE_BLOCK_BYTES = 8, 128 << 10
"""Up to PARTS_READERS_MAX readers of a block, and as many more for each LARGE_BLOCK_BYTES of it, are sent its parts as
they were compressed for all blocks. Only for more readers is the block compressed as a whole."""
PARTS_BYTES_MAX = 64 << 20
"""Bytes for the cached parts of one state, plain and compressed; above it they are encoded again."""
PART_AREAS_MIN = 4
"""Areas of a run from which it is a shared part: compressing a part costs 17 µs, however short it is."""
SCAN_AREAS_AFTER = 300
"""Publications above which scanning the areas of a selection costs less than scanning the changes."""
COMPRESSION_COST = 8
"""Cost of compressing a byte at LEVEL_FAST, relative to copying a byte from a part."""


class Position:
    """A position in the record, with the values that a block ending there carries."""

    __slots__ = ("_cursor", "_heartbeat", "_maker", "_published_at", "_rehearsal", "chain", "sequence")

    def __init__(self, state: ElectionState, maker: "BlockMaker") -> None:
        self._maker = maker
        self.sequence = state.sequence
        self._cursor = state.cursor()
        self.chain = state.chain
        self._published_at = state.published_at
        self._rehearsal = state.registry.rehearsal
        self._heartbeat: Block | None = None

    def block(self) -> "Block":
        """Return an empty block that ends here, as a heartbeat for all readers at this position."""
        if self._heartbeat is None or self._maker.age_s(self._heartbeat) >= BLOCK_SHARED_S:
            self._heartbeat = Block((Part(self.end(0)),), 0, self, self._maker.clock.monotonic())
        return self._heartbeat

    def end(self, areas: int, *, snapshot: bool = False) -> bytes:
        """Return the event that ends a block of `areas` areas here."""
        return block_event(
            self._cursor,
            self.chain,
            self._published_at,
            snapshot=snapshot,
            areas=areas,
            rehearsal=self._rehearsal,
            holds=self._maker.holds,
            server_time=self._maker.clock.now(),
        )


class Part:
    """A part of a block or a table: plain, and compressed independently when first needed."""

    __slots__ = ("_deflated", "plain")

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._deflated: bytes | None = None

    def deflated(self) -> bytes:
        """Return the part compressed, so that it can be used anywhere in a stream."""
        if self._deflated is None:
            self._deflated = deflate(self.plain, level=LEVEL_FAST)
        return self._deflated

    @property
    def memory(self) -> int:
        """Bytes of memory that the part takes, including its compressed form."""
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

    def __init__(self, parts: Sequence[Part], areas: int, position: Position, made_at: float) -> None:
        self._parts = parts
        self.areas = areas
        self.position = position
        self.made_at = made_at
        """When it was made, by the steady clock of its maker."""
        self.size = sum(len(part.plain) for part in parts)
        """Bytes of the plain text."""
        self._readers = 0
        self._plain: bytes | None = None
        self._joined: bytes | None = None
        self._deflated: bytes | None = None

    @property
    def plain(self) -> bytes:
        """The block as plain text."""
        if self._plain is None:
            self._plain = b"".join([part.plain for part in self._parts])
        return self._plain

    def bytes(self, *, gzip: bool, readers: int = 1) -> bytes:
        """Return the block in a form that can go to any socket, for this number of readers.

        Under gzip, it consists of the shared parts until it has enough readers (see PARTS_READERS_MAX); from then on it
        is compressed as a whole, once.
        """
        if not gzip:
            return self.plain
        self._readers += readers
        if self._deflated is None and (
            readers >= PARTS_READERS_MAX
            or self._readers > PARTS_READERS_MAX * (1 + self.size // LARGE_BLOCK_BYTES)
        ):
            self._deflated, self._joined = deflate(self.plain), None
        if self._deflated is not None:
            return self._deflated
        if self._joined is None:
            self._joined = b"".join([part.deflated() for part in self._parts])
        return self._joined


class BlockMaker:
    """Makes and shares the blocks of one state. Invariants:

    * A block contains exactly the areas of its selection that changed after a sequence at or below the requested one.
    * An area is encoded once per change; a run of areas is assembled and compressed once per change.
    """

    def __init__(self, state: ElectionState, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.clock = clock
        self._state = state
        self._runs = runs_of(state.registry)
        self._events: dict[int, tuple[int, bytes]] = {}
        self._parts: dict[int, Part] = {}
        """The current part of each run, by number of the run."""
        self._parts_bytes = 0
        self._blocks: OrderedDict[tuple[str, int], Block] = OrderedDict()
        self._blocks_bytes = 0
        self.holds = 0
        """Lines of the list of holds. A line makes no block of its own: the next one says how many there are."""
        self.position = Position(state, self)
        self.work = 0
        """Work for single blocks so far, in bytes: those of each block, and COMPRESSION_COST for each byte that is
        compressed for one block alone."""

    @property
    def settled(self) -> bool:
        """Whether the state is at `position`. While it is not, no block may be made."""
        return self._state.sequence == self.position.sequence

    def advance(self) -> None:
        """Move to the current position of the state: drop all blocks, and the parts that have changed."""
        self._blocks.clear()
        self._blocks_bytes = 0
        if self._parts:
            for index in self._state.changed_since(self.position.sequence, range(len(self._state.areas))):
                part = self._parts.pop(self._runs.of_area[index], None)
                self._parts_bytes -= part.memory if part is not None else 0
        self.position = Position(self._state, self)

    def forget(self) -> None:
        """Drop everything that was encoded; it is encoded again when it is needed."""
        self._events.clear()
        self._parts.clear()
        self._parts_bytes = 0
        self._blocks.clear()
        self._blocks_bytes = 0

    def has_block(self, selection: Selection, sequence: int | None) -> bool:
        """Whether the block of a selection after about this sequence (None: a snapshot) is cached."""
        if sequence is None:
            return self._cached((selection.key, -1)) is not None
        about = _rounded(sequence, self._state.sequence)
        return sequence >= self._state.sequence or self._cached((selection.key, about)) is not None

    def snapshot(self, selection: Selection) -> Block:
        """Return a block with every area of a selection, reported or not."""
        return self._shared(selection, -1)

    def since(self, selection: Selection, sequence: int) -> Block:
        """Return a block with the areas of a selection that changed after a sequence; empty if none did."""
        if sequence >= self._state.sequence:
            return self.position.block()
        return self._shared(selection, sequence)

    def since_about(self, selection: Selection, sequence: int) -> Block:
        """Return a block with the changes after a sequence or slightly before it, to be shared by slow readers."""
        return self.since(selection, _rounded(sequence, self._state.sequence))

    def changed(self, selection: Selection, sequence: int) -> bool:
        """Whether any area of a selection changed after a sequence; costs less than the block of the changes."""
        if sequence >= self._state.sequence:
            return False
        block = self._cached((selection.key, sequence))
        if block is not None:
            return block.areas > 0
        return self._state.has_changed_since(sequence, selection.members)

    def document(self, index: int) -> bytes:
        """Return an area as JSON, taken from its event."""
        return document_of(self._event(index))

    def age_s(self, block: Block) -> float:
        """Return how long ago a block was made, in seconds."""
        return self.clock.monotonic() - block.made_at

    def _cached(self, key: tuple[str, int]) -> Block | None:
        block = self._blocks.get(key)
        return block if block is not None and self.age_s(block) < BLOCK_SHARED_S else None

    def _shared(self, selection: Selection, sequence: int) -> Block:
        key = (selection.key, sequence)
        block = self._cached(key)
        if block is not None:
            self._blocks.move_to_end(key)
            return block
        late = self._blocks.pop(key, None)
        if late is not None:
            self._blocks_bytes -= late.size
        block = self._make(selection, sequence)
        self._blocks[key] = block
        self._blocks_bytes += block.size
        while len(self._blocks) > BLOCKS_MAX or (
            self._blocks_bytes > BLOCK_BYTES_MAX and len(self._blocks) > 1
        ):
            self._blocks_bytes -= self._blocks.popitem(last=False)[1].size
        return block

    def _make(self, selection: Selection, sequence: int) -> Block:
        parts: list[Part] = []
        alone: list[bytes] = []
        areas = 0
        for number, indexes in self._areas_by_run(selection, sequence):
            areas += len(indexes)
            if PART_AREAS_MIN <= len(indexes) == len(self._runs.all[number]):
                if alone:
                    parts.append(self._unshared_part(alone))
                    alone = []
                parts.append(self._part(number))
            else:
                alone += map(self._event, indexes)
        alone.append(self.position.end(areas, snapshot=sequence < 0))
        parts.append(self._unshared_part(alone))
        block = Block(parts, areas, self.position, self.clock.monotonic())
        self.work += block.size
        return block

    def _areas_by_run(self, selection: Selection, sequence: int) -> Iterator[tuple[int, Sequence[int]]]:
        """Return the areas of a block by run, in the order of the registry."""
        if sequence < 0:
            yield from selection.runs()
            return
        if self._state.sequence - sequence > SCAN_AREAS_AFTER:
            areas = self._state.areas
            for number, run in selection.runs():
                if changed := [index for index in run if areas[index].sequence > sequence]:
                    yield number, changed
            return
        changed = self._state.changed_since(sequence, selection.members)
        for number, indexes in groupby(changed, self._runs.of_area.__getitem__):
            yield number, [*indexes]

    def _unshared_part(self, events: Sequence[bytes]) -> Part:
        part = Part(b"".join(events))
        self.work += COMPRESSION_COST * len(part.plain)
        return part

    def _part(self, number: int) -> Part:
        part = self._parts.get(number)
        if part is None:
            part = Part(b"".join(map(self._event, self._runs.all[number])))
            if self._parts_bytes + part.memory > PARTS_BYTES_MAX:
                self._parts.clear()
                self._parts_bytes = 0
            self._parts[number] = part
            self._parts_bytes += part.memory
        return part

    def _event(self, index: int) -> bytes:
        sequence = self._state.areas[index].sequence
        memory = self._events.get(index)
        if memory is None or memory[0] != sequence:
            memory = self._events[index] = (sequence, area_event(self._state, index))
        return memory[1]


def _rounded(sequence: int, head: int) -> int:
    """Round a sequence down, the more the farther it is behind, so that readers that return together share blocks.

    A few more areas than necessary do no harm: their values are absolute.
    """
    step = 1 << max(0, (head - sequence).bit_length() - 5)
    return sequence - sequence % step


class Retries:
    """`retry:` fields with random delays, plain and compressed, encoded once."""

    def __init__(self, least_ms: int, most_ms: int, *, chance: Random = SYSTEM_CHANCE) -> None:
        self._chance = chance
        delays = [chance.randint(least_ms, most_ms) for _ in range(RETRY_DELAYS)]
        self._plain = [retry_event(delay) for delay in delays]
        self._deflated = [deflate(field) for field in self._plain]

    def pick(self, *, gzip: bool) -> bytes:
        """Return one of the fields at random."""
        return self._chance.choice(self._deflated if gzip else self._plain)
