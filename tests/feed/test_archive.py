"""Lines in memory are limited in number and in bytes, and complete whatever their size."""

from gateway.feed.archive import BYTES_MAX, RANGE_SIZE, TAIL_MAX, Archive
from gateway.feed.stream import PAGE_MAX
from gateway.transparency.entries import ENTRY_MAX

LARGE = BYTES_MAX // RANGE_SIZE + 1
"""Bytes of a line of which RANGE_SIZE exceed the limit."""


class Lines:
    """A record with lines of some size, and an archive of it."""

    def __init__(self, count: int, size: int) -> None:
        self.lines = [b"%d" % number + b"x" * (size - len(b"%d" % number)) for number in range(1, count + 1)]
        self.reads = 0
        self.archive = Archive(self._read)
        for number, line in enumerate(self.lines, 1):
            self.archive.append(number, line)

    async def _read(self, after: int, most: int) -> list[bytes]:
        self.reads += 1
        return self.lines[after : after + most]

    @property
    def kept(self) -> int:
        """How many lines are kept that were not read."""
        return len(self.archive._tail)

    def ranges(self) -> int:
        """Return how many ranges are cached."""
        return len(self.archive._ranges)


async def test_small_lines_are_kept_up_to_a_number() -> None:
    record = Lines(TAIL_MAX + 2 * RANGE_SIZE, 700)
    assert record.kept == TAIL_MAX
    assert await record.archive.lines(1, len(record.lines)) == record.lines
    assert (record.ranges(), record.reads) == (2, 2)


async def test_of_large_lines_only_one_range_is_kept_of_the_newest_and_one_of_the_others() -> None:
    """So every line can be read, also those of the last range, which is not complete in the record."""
    record = Lines(3 * RANGE_SIZE + 300, LARGE)
    assert record.kept == RANGE_SIZE
    for first in range(1, len(record.lines), 700):
        lines = await record.archive.lines(first, first + 699)
        assert lines == record.lines[first - 1 : first + 699]
        assert record.ranges() <= 1
    assert record.archive._ranges_bytes == RANGE_SIZE * LARGE


async def test_large_lines_make_room_again_for_small_ones() -> None:
    record = Lines(RANGE_SIZE, LARGE)
    for number in range(RANGE_SIZE + 1, TAIL_MAX + 2 * RANGE_SIZE):
        record.archive.append(number, b"small")
    assert (record.kept, record.archive._tail_bytes) == (TAIL_MAX, TAIL_MAX * len(b"small"))


async def test_forgotten_ranges_take_no_room() -> None:
    record = Lines(TAIL_MAX + 3 * RANGE_SIZE, 700)
    await record.archive.lines(1, 3 * RANGE_SIZE)
    record.archive.forget()
    assert record.archive._ranges_bytes == 0


def test_a_page_of_the_record_has_32_mib_at_most() -> None:
    """Two of them are in memory while a feed process starts: one is applied, and the next one is read."""
    assert PAGE_MAX * ENTRY_MAX <= 32 << 20
