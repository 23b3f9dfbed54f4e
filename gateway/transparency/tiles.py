"""Tiles and entry bundles: their paths, their widths and their bytes. Source: C2SP tlog-tiles.

A tile has up to 256 hashes of one level of a tree; an entry bundle has the entries of a tile of level 0.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from gateway.errors import GatewayError
from gateway.transparency.entries import ENTRY_MAX
from gateway.transparency.merkle import HASH_SIZE, SIZE_MAX

HEIGHT = 8
FULL = 256
"""Hashes of a full tile, entries of a full bundle: 2 ** HEIGHT."""
LEVEL_MAX = 63
_PATH = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII
)


class MalformedTile(GatewayError):
    """A path, a tile or an entry bundle that is not as tlog-tiles has it; the message says where."""

    code = "malformed_tile"


class Tile(msgspec.Struct, frozen=True, gc=False):
    """The address of a tile, or of an entry bundle if `level` is None."""

    level: int | None
    index: int
    width: int = FULL

    @property
    def path(self) -> str:
        """Return the path below the log's prefix: `tile/0/x001/x234/067.p/8`, `tile/entries/000`."""
        level = "entries" if self.level is None else self.level
        partial = "" if self.width == FULL else f".p/{self.width}"
        return f"tile/{level}/{index_path(self.index)}{partial}"

    @property
    def start(self) -> int:
        """The index of its first entry."""
        return self.index << HEIGHT * ((self.level or 0) + 1)

    @property
    def end(self) -> int:
        """The smallest size of a tree that has all of it."""
        return self.start + (self.width << HEIGHT * (self.level or 0))


def index_path(index: int) -> str:
    """Return the index of a tile as path elements of three digits: 1234067 is `x001/x234/067`."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])


def tile_path(level: int, index: int, width: int = FULL) -> str:
    """Return the path of a tile below the log's prefix: `tile/0/x001/x234/067.p/8`."""
    return Tile(level, index, width).path


def entries_path(index: int, width: int = FULL) -> str:
    """Return the path of an entry bundle below the log's prefix: `tile/entries/000.p/17`."""
    return Tile(None, index, width).path


def parse_path(path: str) -> Tile:
    """Read the path of a tile or entry bundle below the log's prefix. Raises MalformedTile.

    Every tile has exactly one path: an index with more digits than it needs is refused.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        raise MalformedTile(
            "not the path of a tile: tile/LEVEL/INDEX, with the index in groups as in x001/234"
        )
    level = None if found[1] == "entries" else int(found[1])
    tile = Tile(level, int(found[2].replace("/", "").replace("x", "")), int(found[3] or FULL))
    if tile.path != path:
        raise MalformedTile(f"the path of this tile is {tile.path}")
    if (level or 0) > LEVEL_MAX or tile.width > FULL or tile.end > SIZE_MAX:
        raise MalformedTile("no log has such a tile")
    return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield every tile of a tree of this size, level by level from left to right, the incomplete ones included."""
    level, width = 0, size
    while width:
        full, partial = divmod(width, FULL)
        yield from (Tile(level, index) for index in range(full))
        if partial:
            yield Tile(level, full, partial)
        level, width = level + 1, full


def bundles_of(size: int, start: int = 0) -> Iterator[Tile]:
    """Yield every entry bundle of a tree of this size with an entry from `start` on, from left to right."""
    for index in range(start // FULL, -(-size // FULL)):
        yield Tile(None, index, min(FULL, size - index * FULL))


def split_tile(data: bytes, width: int) -> list[bytes]:
    """Return the hashes of a tile. Raises MalformedTile unless it has exactly `width` of them."""
    if len(data) != width * HASH_SIZE:
        raise MalformedTile(f"a tile of width {width} must have {width * HASH_SIZE} bytes, not {len(data)}")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return an entry bundle: each entry after its length as a big-endian uint16.

    Raises ValueError if there are more than 256 entries, or if one is longer than ENTRY_MAX bytes.
    """
    if len(entries) > FULL:
        raise ValueError(f"a bundle cannot have {len(entries)} entries")
    parts = []
    for entry in entries:
        if len(entry) > ENTRY_MAX:
            raise ValueError(f"an entry must not exceed {ENTRY_MAX} bytes, and has {len(entry)}")
        parts += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(parts)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Return the entries of a bundle. Raises MalformedTile unless it has exactly `width` of them and nothing else."""
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) < width:
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise MalformedTile(f"the bundle ends within entry {len(entries)}")
        entries.append(data[start:at])
    if len(entries) < width:
        raise MalformedTile(f"the bundle must have {width} entries, and ends after {len(entries)}")
    if at < len(data):
        raise MalformedTile(f"the bundle must have {width} entries, and continues after them")
    return entries


BUNDLE_MAX = FULL * (2 + ENTRY_MAX)
"""Bytes of the largest entry bundle."""
