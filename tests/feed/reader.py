"""A client of the feed written from section 6 of the contract alone: bytes in, a copy of the areas out."""

import zlib
from typing import Any, NamedTuple

from tests.wire.sse import events_of


class Applied(NamedTuple):
    """A block that was applied, and the copy after it."""

    block: dict[str, Any]
    names: list[str]
    """Its areas in the order sent."""
    copy: dict[str, Any]
    at: float
    """When it came, by the clock of the test."""

    @property
    def sequence(self) -> int:
        return int(self.block["sequence"])


class Client:
    """Collects areas, applies them at each block, and discards an incomplete block."""

    def __init__(self, *, gzip: bool, copy: dict[str, Any] | None = None) -> None:
        self.copy = dict(copy or {})
        self.cursor = ""
        self.blocks: list[Applied] = []
        self.retries: list[int] = []
        self._unpacker = zlib.decompressobj(31) if gzip else None
        self._rest = b""
        self._collected: list[dict[str, Any]] = []

    def feed(self, piece: bytes, at: float = 0.0) -> None:
        """Read the next bytes of the body."""
        if self._unpacker is not None:
            piece = self._unpacker.decompress(piece)
        events, retries, self._rest = events_of(self._rest + piece)
        self.retries += retries
        for event in events:
            if event.type == "area":
                assert event.id == ""
                self._collected.append(event.document)
            else:
                assert event.type == "block"
                self._apply(event.document, event.id, at)

    def _apply(self, block: dict[str, Any], cursor: str, at: float) -> None:
        named = {area["area"]: area for area in self._collected}
        names = [area["area"] for area in self._collected]
        assert block["areas"] == len(names) == len(named)
        self.copy = named if block["snapshot"] else self.copy | named
        self.cursor = cursor
        self._collected = []
        self.blocks.append(Applied(block, names, self.copy, at))
