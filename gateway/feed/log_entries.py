"""Entries of a log: the opening, reports from the lines of an archive, the closing; compared with the tree."""

import asyncio
from collections.abc import Sequence

from gateway.errors import JournalUnavailable
from gateway.feed.log_views import LogView
from gateway.feed.stream import ElectionFeed
from gateway.transparency.merkle import HASH_SIZE, leaf_hash
from gateway.transparency.tiles import FULL, Tile
from gateway.wire.events import report_in

SLICE_BYTES = 1 << 20
"""Bytes of entries that are hashed in one step, about 1 ms."""


async def read_entries(feed: ElectionFeed, view: LogView, first: int, last: int) -> list[bytes]:
    """Return the entries from index `first` to `last`, of one bundle, all of which the view covers.

    Reports that are not in memory are read from the record. Raises JournalUnavailable, also if an entry is not the one
    in the tree.
    """
    entries = [view.head.opening] if first == 0 else []
    lines = await feed.archive.lines(max(first, 1), min(last, view.reports))
    entries += map(report_in, lines)
    if last > view.reports:
        assert view.closing is not None
        entries.append(view.closing)
    hashes = view.hashes(Tile(0, first // FULL, last % FULL + 1))[first % FULL * HASH_SIZE :]
    what = ("entries", view.head.history, first // FULL)
    if await _leaf_hashes(entries) != hashes:
        feed.log.differs(what, f"entries {first} to {last} have other hashes than the signed tree")
        raise JournalUnavailable("entries of the record differ from the signed tree")
    feed.log.agrees(what)
    return entries


async def _leaf_hashes(entries: Sequence[bytes]) -> bytes:
    """Return the leaf hashes of entries, computed in slices: 256 of the largest ones have 16 MiB."""
    hashes, hashed = bytearray(), 0
    for each in entries:
        hashes += leaf_hash(each)
        hashed += len(each)
        if hashed > SLICE_BYTES:
            hashed = 0
            await asyncio.sleep(0)
    return bytes(hashes)
