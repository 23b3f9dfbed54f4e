"""One block of bytes per selection and cursor, encoded and compressed once, shared by all who read it."""

import random
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.election.state import ElectionState
from gateway.feed.compression import deflate
from gateway.feed.selection import Selection
from gateway.wire.events import area_event, block_event, retry_event

BLOCKS_MAX = 256
"""Blocks kept of one state; whoever needs another evicts the one used longest ago."""
BLOCK_BYTES_MAX = 64 << 20
KINDS = 64
"""Different delays that readers are told, made once."""
SHARED_S = 1.0
"""How long a block is shared: it says what time it is, and that has to be so."""


class Position:
    """A moment of the record, and what a block that ends there says of it."""

    __slots__ = ("_cursor", "_published_at", "_rehearsal", "chain", "sequence")

    def __init__(self, state: ElectionState) -> None:
        self.sequence = state.sequence
        self._cursor = state.cursor()
        self.chain = state.chain
        self._published_at = state.published_at
        self._rehearsal = state.registry.rehearsal

    def block(self, events: Sequence[bytes] = (), *, snapshot: bool = False) -> "Block":
        """Return these `area` events as a block that ends here, without any as a heartbeat."""
        end = block_event(
            self._cursor,
            self.chain,
            self._published_at,
            snapshot=snapshot,
            areas=len(events),
            rehearsal=self._rehearsal,
            server_time=datetime.now(UTC),
        )
        return Block(b"".join((*events, end)), len(events), self)


class Block:
    """Bytes that bring a reader to a position."""

    __slots__ = ("_deflated", "areas", "made_at", "plain", "position")

    def __init__(self, plain: bytes, areas: int, position: Position) -> None:
        self.plain = plain
        self.areas = areas
        self.position = position
        self.made_at = time.monotonic()
        self._deflated: bytes | None = None

    def bytes(self, *, gzip: bool) -> bytes:
        """Return the block as it may go to any socket: compressed by itself, once, when first asked for."""
        if not gzip:
            return self.plain
        if self._deflated is None:
            self._deflated = deflate(self.plain)
        return self._deflated


class BlockMaker:
    """Makes and shares the blocks of one state. Invariants:

    * A block holds exactly what changed, within its selection, after a sequence at or below the one asked for.
    * An area is encoded once a change, whoever reads it.
    """

    def __init__(self, state: ElectionState) -> None:
        self._state = state
        self._events: dict[int, tuple[int, bytes]] = {}
        self._blocks: OrderedDict[tuple[str, int], Block] = OrderedDict()
        self._held = 0
        self.position = Position(state)

    @property
    def settled(self) -> bool:
        """Whether the state is the one that `position` speaks of; between two moments no block may be made."""
        return self._state.sequence == self.position.sequence

    def advance(self) -> None:
        """Forget the blocks of the state before: it has moved on."""
        self._blocks.clear()
        self._held = 0
        self.position = Position(self._state)

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

    def _shared(self, selection: Selection, sequence: int) -> Block:
        key = (selection.key, sequence)
        block = self._blocks.get(key)
        if block is not None and time.monotonic() - block.made_at < SHARED_S:
            self._blocks.move_to_end(key)
            return block
        if block is not None:
            self._held -= len(block.plain)
        block = self._make(selection, sequence)
        self._blocks[key] = block
        self._blocks.move_to_end(key)
        self._held += len(block.plain)
        while len(self._blocks) > BLOCKS_MAX or (self._held > BLOCK_BYTES_MAX and len(self._blocks) > 1):
            self._held -= len(self._blocks.popitem(last=False)[1].plain)
        return block

    def _make(self, selection: Selection, sequence: int) -> Block:
        state = self._state
        snapshot = sequence < 0
        if snapshot:
            areas: Sequence[int] = [index for index in range(len(state.areas)) if index in selection.members]
        else:
            areas = state.changed_since(sequence, selection.members)
        return self.position.block([self._event(index) for index in areas], snapshot=snapshot)

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
