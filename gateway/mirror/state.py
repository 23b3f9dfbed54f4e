"""The state of one election as a mirror has read it from the stream. PURE.

Areas are kept as the bytes of their documents, which are written to files unchanged.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from gateway.client.subscriber import Block


class ShownArea(NamedTuple):
    """An area as the stream last sent it."""

    raw: bytes
    """Its document: JSON in one line, without a line feed."""
    sequence: int
    """Sequence of the last publication at or below it; 0 before there is one."""


class View(NamedTuple):
    """The state at one sequence. Never changes, so that it can be used across waits."""

    sequence: int
    chain: str
    """Chain value of the record at the sequence, in hexadecimal."""
    cursor: str
    published_at: datetime | None
    """When the sequence was published; None before there is anything."""
    holds: int
    """Lines of the list of holds."""
    server_time: datetime
    """When the gateway sent the state, by its clock."""
    areas: Mapping[str, ShownArea]
    """All areas of the registry by identifier, in its order."""


class WrongBlock(ValueError):
    """A block that does not follow from the registry and the blocks before it."""


class _Position(msgspec.Struct):
    sequence: int


_position = msgspec.json.Decoder(_Position)


class MirrorState:
    """The newest values of all areas of an election. Invariant: they are those of one sequence, that of `view()`."""

    def __init__(self, areas: Sequence[str]) -> None:
        """Begin without a state of these areas, all of the registry; the first block has to be a snapshot."""
        self._names = areas
        self._areas: dict[str, ShownArea] = {}
        self._view: View | None = None

    @property
    def empty(self) -> bool:
        """Whether no block was applied yet."""
        return self._view is None

    def apply(self, block: Block) -> None:
        """Apply a block; if it raises WrongBlock, nothing has changed."""
        before = self._view
        if before is None and not block.snapshot:
            raise WrongBlock("the first block is not a snapshot")
        if before is not None and not block.snapshot and block.sequence < before.sequence:
            raise WrongBlock(f"the sequence {block.sequence} follows {before.sequence}")
        changed = {name: _shown(name, raw, block.sequence) for name, raw in block.raw.items()}
        if block.snapshot:
            if changed.keys() != set(self._names):
                raise WrongBlock("the areas of a snapshot are not those of the registry")
            areas = {name: changed[name] for name in self._names}
        elif changed:
            if not changed.keys() <= self._areas.keys():
                raise WrongBlock("a block has an area that is not in the registry")
            areas = self._areas | changed
        else:
            areas = self._areas
        self._areas = areas
        # Without a publication, the time remains that of the state, so that the same state has the same files.
        same = before is not None and before.sequence == block.sequence and before.chain == block.chain
        self._view = View(
            block.sequence,
            block.chain,
            block.cursor,
            block.published_at,
            block.holds,
            before.server_time if same and before is not None else block.server_time,
            areas,
        )

    def view(self) -> View:
        """Return the state. Requires that a block was applied."""
        assert self._view is not None
        return self._view


def _shown(name: str, raw: bytes, newest: int) -> ShownArea:
    sequence = _position.decode(raw).sequence
    if b"\n" in raw or not 0 <= sequence <= newest:
        raise WrongBlock(f"the area {name[:40]!r} is not a document of this block")
    return ShownArea(raw, sequence)
