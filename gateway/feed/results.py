"""The table of results of one state, put together from runs of areas that are encoded and compressed once per change.

A table of all units takes some tenths of a second to encode, so it is made in steps between which publications may be
applied. What they change is encoded again, until everything is of one moment.
"""

import hashlib
import zlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

from gateway.election.state import ElectionState
from gateway.feed.blocks import Part
from gateway.feed.compression import GZIP_START, deflate, gzip_end
from gateway.feed.selection import Selection, runs_of
from gateway.wire.areas import area_document
from gateway.wire.results import RESULT_FORMATS, Heading, ResultFormat

ROWS_MAX = 500_000
"""Rows of a table, about 50 MB of CSV; a client has to restrict a larger one with an area."""
TABLE_BYTES_MAX = 64 << 20
"""Bytes of a table; long names may make it large."""
SMALL_BYTES = 128 << 10
"""Size up to which a table is compressed as a whole, in less than a millisecond."""
PARTS_BYTES_MAX = 64 << 20
"""Bytes of the cached parts of one state, plain and compressed; above it they are encoded again."""
PASSES_MAX = 50
"""Passes over the changed areas before the table is given up, since it changes too quickly."""
LAST_RUNS = 8
"""Changed runs that may be encoded in one last step of a few milliseconds, so that all are of one moment."""


class TableTooLarge(Exception):
    """A table would have more than ROWS_MAX rows or TABLE_BYTES_MAX bytes. The message says which."""


class RunPart(Part):
    """The areas of a run in a format, as of a sequence."""

    __slots__ = ("digest", "sequence")

    def __init__(self, sequence: int, plain: bytes) -> None:
        super().__init__(plain)
        self.sequence = sequence
        self.digest = hashlib.sha256(plain).digest()

    @property
    def memory(self) -> int:
        """Bytes of memory that the part takes, including its compressed form, as an estimate."""
        return len(self.plain) + len(self.plain) // 4


class ResultTable(NamedTuple):
    """A table as of a sequence. `tag` identifies its content."""

    sequence: int
    plain: bytes
    packed: bytes | None
    """The table as gzip; None if it is small, and so compressed when it is first needed."""
    tag: str


class ResultTables:
    """The tables of one state. Invariants:

    * All figures of a table are of one moment at which the state may be shown.
    * A run of areas is encoded and compressed once per change and format, while the parts fit into memory.
    """

    def __init__(self, state: ElectionState, settled: Callable[[], bool]) -> None:
        """`settled` returns whether the state may be shown now."""
        self._state = state
        self._settled = settled
        self._runs = runs_of(state.registry)
        self._encoders = {name: each.encoder(state.registry) for name, each in RESULT_FORMATS.items()}
        self._parts: dict[tuple[str, int], RunPart] = {}
        self._bytes = 0

    def forget(self) -> None:
        """Drop the parts of all tables; they are encoded again when they are needed."""
        self._parts.clear()
        self._bytes = 0

    def steps(
        self, selection: Selection, level: str, within: str | None, form: ResultFormat, mark: bytes = b""
    ) -> Generator[None, None, ResultTable | None]:
        """Make the table of a selection, in steps of a few milliseconds; `mark` precedes the first byte.

        The value is None if the state may not be shown, or changes too quickly. Raises TableTooLarge.
        """
        runs = dict(selection.runs())
        areas = self._state.registry.areas
        rows = sum(len(areas[index].ballot) for indexes in runs.values() for index in indexes)
        if rows > ROWS_MAX:
            raise TableTooLarge(f"the table would have {rows} rows, more than {ROWS_MAX}")
        yield
        parts = yield from self._current(selection, runs, form)
        if parts is None:
            return None
        state = self._state
        head = Heading(
            state.registry,
            level,
            within,
            state.sequence,
            state.chain,
            state.published_at,
            compared=state.comparison is not None,
        )
        return (yield from _join(state.sequence, mark + form.encode_head(head), parts, form))

    def _current(
        self, selection: Selection, runs: Mapping[int, Sequence[int]], form: ResultFormat
    ) -> Generator[None, None, list[RunPart] | None]:
        """Return the parts of all runs as of one moment, which is now; None if there is no such moment."""
        state, parts, size = self._state, dict[int, RunPart](), 0
        outdated: Iterable[int] = runs
        for _ in range(PASSES_MAX):
            began = state.sequence
            for number in outdated:
                size -= len(parts[number].plain) if number in parts else 0
                parts[number] = self._part(number, runs[number], form)
                size += len(parts[number].plain)
                if size > TABLE_BYTES_MAX:
                    raise TableTooLarge(f"the table would have more than {TABLE_BYTES_MAX >> 20} MiB")
                yield
            changed = state.changed_since(began, selection.members)
            outdated = dict.fromkeys(self._runs.of_area[index] for index in changed)
            if self._settled() and len(outdated) <= LAST_RUNS:
                parts |= {number: self._part(number, runs[number], form) for number in outdated}
                return [parts[number] for number in runs]
        return None

    def _part(self, number: int, indexes: Sequence[int], form: ResultFormat) -> RunPart:
        """Return the areas of a run that are selected, encoded; the parts of whole runs are cached."""
        whole, key = len(indexes) == len(self._runs.all[number]), (form.name, number)
        state = self._state
        part = self._parts.get(key) if whole else None
        if part is not None and all(state.areas[index].sequence <= part.sequence for index in indexes):
            return part
        encode = self._encoders[form.name]
        plain = form.separator.join([encode(area_document(state, index)) for index in indexes])
        made = RunPart(state.sequence, plain)
        if whole:
            self._bytes += made.memory - (part.memory if part is not None else 0)
            if self._bytes > PARTS_BYTES_MAX:
                self._parts.clear()
                self._bytes = made.memory
            self._parts[key] = made
        return made


def _join(
    sequence: int, head: bytes, parts: Sequence[RunPart], form: ResultFormat
) -> Generator[None, None, ResultTable]:
    """Return a table that consists of a head and parts."""
    between = form.separator
    plain, tag = BytesIO(), hashlib.sha256(head)
    plain.write(head)
    for number, part in enumerate(parts):
        plain.write(between + part.plain if number else part.plain)
        tag.update(part.digest)
        yield
    plain.write(form.end)
    size = plain.tell()
    packed = (yield from _pack(head, parts, form, size)) if size > SMALL_BYTES else None
    return ResultTable(sequence, plain.getvalue(), packed, tag.hexdigest()[:32])


def _pack(head: bytes, parts: Sequence[Part], form: ResultFormat, size: int) -> Generator[None, None, bytes]:
    """Return a table of a size as one gzip stream of parts that each end in a flush."""
    between = form.separator
    packed_between = deflate(between) if between else b""
    packed = BytesIO()
    packed.write(GZIP_START + deflate(head))
    checksum = zlib.crc32(head)
    for number, part in enumerate(parts):
        packed.write(packed_between + part.deflated() if number else part.deflated())
        checksum = zlib.crc32(part.plain, zlib.crc32(between, checksum) if number else checksum)
        yield
    packed.write(gzip_end(form.end, zlib.crc32(form.end, checksum), size))
    return packed.getvalue()
