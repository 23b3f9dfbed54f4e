"""The checkpoints of one history of a log: sizes and roots of all, the newest in memory, older ones from the record.

Pages of older ones are read one at a time and cached, so that readers put no load on the database that senders need.
"""

import asyncio
from array import array
from base64 import b64encode
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from gateway.election.log_record import WITNESSES_MAX, Cosignature, SignedCheckpoint
from gateway.errors import JournalUnavailable
from gateway.transparency.cosignature import time_of
from gateway.transparency.merkle import HASH_SIZE
from gateway.transparency.note import COSIGNATURE, MalformedKey, MalformedNote, parse_signature, parse_vkey
from gateway.wire.json import to_json

PAGE = 256
"""Checkpoints that are read from the record together."""
TAIL_MAX = 2 * PAGE
"""Newest checkpoints kept, of 0.2 to 2 kB each."""
SLICE = 16
"""Checkpoints that are encoded in one step, about 1 ms with the cosignatures of 16 witnesses."""
PAGES_BYTES_MAX = 4 << 20
"""Bytes of the pages of older checkpoints that are cached, for each history."""


class CheckpointText(NamedTuple):
    """A checkpoint as it is sent."""

    size: int
    note: bytes
    """The signed note, with the cosignatures."""
    line: bytes
    """It as a line of JSON."""


ReadCheckpoints = Callable[[int, int], Awaitable[Sequence[SignedCheckpoint]]]
"""(after this size, most) -> checkpoints in order."""
ReadCosignatures = Callable[[int, int], Awaitable[Sequence[Cosignature]]]
"""(after this size, up to this one) -> the cosignatures of these checkpoints."""


class Checkpoints:
    """The checkpoints that were added, in the order of their sizes, each larger than the one before.

    A checkpoint that was not added, or whose size or root differs from what was added, is never returned.
    """

    def __init__(self, read: ReadCheckpoints, read_cosignatures: ReadCosignatures) -> None:
        self._read = read
        self._read_cosignatures = read_cosignatures
        self._sizes = array("Q")
        self._roots = bytearray()
        self._tail: OrderedDict[int, tuple[SignedCheckpoint, CheckpointText]] = OrderedDict()
        self._pages: OrderedDict[int, list[CheckpointText]] = OrderedDict()
        self._pages_bytes = 0
        self._one_at_a_time = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def newest(self) -> int:
        """The size of the largest checkpoint; 0 if there is none."""
        return self._sizes[-1] if self._sizes else 0

    def add(self, checkpoint: SignedCheckpoint) -> None:
        """Add a checkpoint that is larger than all others."""
        assert checkpoint.size > self.newest
        self._sizes.append(checkpoint.size)
        self._roots += checkpoint.root
        self._tail[checkpoint.size] = checkpoint, _text(checkpoint, ())
        if len(self._tail) > TAIL_MAX:
            self._tail.popitem(last=False)

    def add_cosignatures(self, cosignatures: Iterable[Cosignature]) -> None:
        """Set the cosignatures of some of the newest checkpoints."""
        for size, found in _by_size(cosignatures).items():
            if size in self._tail:
                checkpoint, _ = self._tail[size]
                self._tail[size] = checkpoint, _text(checkpoint, found)

    def size_before(self, count: int) -> int:
        """Return the size after which the newest `count` checkpoints follow."""
        return self._sizes[-count - 1] if count < len(self._sizes) else 0

    def first_after(self, size: int) -> int:
        """Return the place of the first checkpoint larger than a size, from 0."""
        return bisect_right(self._sizes, size)

    def place(self, size: int) -> int | None:
        """Return the place of the checkpoint of a size, from 0; None if there is none."""
        place = bisect_left(self._sizes, size)
        return place if place < len(self._sizes) and self._sizes[place] == size else None

    def pages_to_read(self, first: int, last: int) -> int:
        """Return how many pages of the record must be read for the places from `first` to before `last`."""
        last = min(last, len(self._sizes) - len(self._tail))
        pages = range(first // PAGE, -(-last // PAGE)) if first < last else ()
        return sum(number not in self._pages for number in pages)

    def newest_text(self, size: int) -> CheckpointText:
        """Return one of the newest checkpoints. Raises KeyError."""
        return self._tail[size][1]

    async def texts(self, first: int, last: int) -> list[CheckpointText]:
        """Return the checkpoints at the places from `first` to before `last`, fewer if there are fewer.

        Raises JournalUnavailable.
        """
        last = min(last, len(self._sizes))
        found: list[CheckpointText] = []
        while first < last:
            if first >= len(self._sizes) - len(self._tail):
                return found + [self._tail[size][1] for size in self._sizes[first:last]]
            number = first // PAGE
            page = await self._page(number)
            part = page[first - number * PAGE : last - number * PAGE]
            found += part
            first += len(part)
        return found

    async def _page(self, number: int) -> list[CheckpointText]:
        if number not in self._pages:
            async with self._one_at_a_time:
                if number not in self._pages:
                    page = await self._read_page(number * PAGE, (number + 1) * PAGE)
                    self._pages[number] = page
                    self._pages_bytes += _bytes(page)
                    while self._pages_bytes > PAGES_BYTES_MAX and len(self._pages) > 1:
                        self._pages_bytes -= _bytes(self._pages.popitem(last=False)[1])
        self._pages.move_to_end(number)
        return self._pages[number]

    async def _read_page(self, first: int, last: int) -> list[CheckpointText]:
        before = self._sizes[first - 1] if first else 0
        until = self._sizes[last - 1]
        checkpoints: list[SignedCheckpoint] = []
        after = before
        while after < until and (read := await self._read(after, PAGE)):
            checkpoints += [each for each in read if self._has(each) and each.size <= until]
            after = read[-1].size
        if len(checkpoints) != last - first:
            raise JournalUnavailable(f"checkpoints after {before} are no longer in the record")
        found = _by_size(await self._read_cosignatures(before, until))
        texts = []
        for each in checkpoints:
            texts.append(_text(each, found.get(each.size, ())))
            if len(texts) % SLICE == 0:
                await asyncio.sleep(0)
        return texts

    def _has(self, checkpoint: SignedCheckpoint) -> bool:
        place = self.place(checkpoint.size)
        start = (place or 0) * HASH_SIZE
        return place is not None and self._roots[start : start + HASH_SIZE] == checkpoint.root


def _by_size(cosignatures: Iterable[Cosignature]) -> dict[int, list[Cosignature]]:
    """Return the cosignatures of each size."""
    found: dict[int, list[Cosignature]] = {}
    for each in cosignatures:
        found.setdefault(each.size, []).append(each)
    return found


_witness_key = lru_cache(maxsize=4 * WITNESSES_MAX)(parse_vkey)


def _is_well_formed(cosignature: Cosignature) -> bool:
    """Whether the line has the form of a cosignature of its witness; whether it is valid, readers verify."""
    try:
        key, signature = _witness_key(cosignature.witness), parse_signature(cosignature.line)
        time_of(signature)
    except (MalformedKey, MalformedNote):
        return False
    return key.kind == COSIGNATURE and key.made(signature)


def _text(checkpoint: SignedCheckpoint, cosignatures: Sequence[Cosignature]) -> CheckpointText:
    """Return a checkpoint with its cosignatures in the order of their witnesses.

    A line that is no cosignature, or one too many, would make the note unreadable for everybody, so it is left out.
    """
    by_witness = sorted(cosignatures, key=lambda each: each.witness)
    lines = [each.line for each in by_witness if _is_well_formed(each)][:WITNESSES_MAX]
    note = checkpoint.note + "".join(f"{line}\n" for line in lines)
    document = {
        "size": checkpoint.size,
        "root": b64encode(checkpoint.root).decode(),
        "signed_at": checkpoint.signed_at,
        "note": note,
    }
    return CheckpointText(checkpoint.size, note.encode(), to_json(document) + b"\n")


def _bytes(page: Iterable[CheckpointText]) -> int:
    return sum(len(each.note) + len(each.line) for each in page)
