"""The record of an election as files: complete ranges of publications, which are immutable, and what follows them.

Every line is checked against the chain of the stream before it is written: its digest is that of its report, and the
chain through all lines leads to the one that the stream has sent.
"""

import asyncio
import zlib
from collections import deque

from gateway.election.record import CHAIN_START, next_chain
from gateway.election.report import digest_of
from gateway.mirror.door import FeedDoor
from gateway.mirror.files import NDJSON, StoredFile
from gateway.mirror.parts import ChangedFiles, DoorDiffers, Part, Shown
from gateway.mirror.state import View
from gateway.mirror.target import Target
from gateway.verification.copies import read_publication_line
from gateway.verification.feed_record import PAGE_MAX
from gateway.wire.events import report_in
from gateway.wire.mirror import range_path, ranges_path, rest_path

RANGE = 1000
"""Publications of a complete range."""
LINES_PER_STEP = 100
"""Lines that are checked between two steps of the event loop: some milliseconds."""
WAITING_MAX = 256 << 20
"""Bytes of complete ranges, compressed, that wait until the chain through the lines after them is known."""


class Checked:
    """Publications that follow each other, up to `sequence`. Invariants:

    * Each line has the digest of its report, and its chain continues that of the line before.
    """

    def __init__(self, sequence: int = 0, chain: bytes = CHAIN_START) -> None:
        self.sequence = sequence
        self.chain = chain
        self.rest = bytearray()
        """The lines after the last complete range."""
        self.complete: deque[bytes] = deque()
        """Complete ranges that were not written yet, compressed."""

    def add(self, line: bytes, where: str) -> None:
        """Add the next line, with its line feed. Raises DoorDiffers, VerificationFailed."""
        publication = read_publication_line(line, where)
        digest = digest_of(_report_in(line, where))
        chain = next_chain(self.chain, digest)
        found = publication.sequence, publication.digest, publication.chain
        if found != (self.sequence + 1, digest.hex(), chain.hex()):
            raise DoorDiffers(
                f"{where}: publication {publication.sequence} does not continue {self.sequence}"
            )
        self.sequence, self.chain = self.sequence + 1, chain
        self.rest += line
        if self.sequence % RANGE == 0:
            self.complete.append(zlib.compress(self.rest, 1))
            self.rest = bytearray()
            if sum(map(len, self.complete)) > WAITING_MAX:
                raise DoorDiffers(f"{where}: more than {WAITING_MAX >> 20} MiB of publications")


def _report_in(line: bytes, where: str) -> bytes:
    try:
        return report_in(line)
    except ValueError:
        raise DoorDiffers(f"{where}: a publication without a report") from None


class RangeFiles(Part):
    """`publications/{history}/N-M.ndjson` and `publications/rest.ndjson`."""

    name = "publications"

    def __init__(
        self,
        door: FeedDoor,
        election: str,
        history: str,
        target: Target,
        every_s: int,
        pace_s: float,
        shown: int,
    ) -> None:
        super().__init__(shown)
        self.pace_s = pace_s
        self.ranges = 0
        """Complete ranges that were written, from the first one without a gap."""
        self._door = door
        self._election = election
        self._history = history
        self._target = target
        self._files = ChangedFiles(target, every_s)
        self._checked: Checked | None = None
        self._writing = asyncio.Lock()

    async def write(self, shown: Shown) -> None:
        """Write complete ranges, then what follows them. Raises what `Part.write` raises."""
        async with self._writing:
            await self._write(shown.view())

    async def _write(self, view: View) -> None:
        checked = self._checked or await self._begin()
        self._checked = None  # if what is read is of another record, begin again with what was written
        await self._read(checked, view)
        self._checked = checked
        while checked.complete:
            path = range_path(self._election, self._history, self.ranges + 1)
            body = zlib.decompress(checked.complete[0])
            await self._target.write([StoredFile(path, body, NDJSON, None)])
            checked.complete.popleft()
            self.ranges += 1
        await self._files.write((rest_path(self._election), bytes(checked.rest), NDJSON))
        self.shown = view.sequence

    async def _begin(self) -> Checked:
        """Return the end of the complete ranges that the target has."""
        found = {path async for path in self._target.list(ranges_path(self._election, self._history))}
        ranges = 0
        while range_path(self._election, self._history, ranges + 1) in found:
            ranges += 1
        self.ranges = ranges
        if not ranges:
            return Checked()
        path = range_path(self._election, self._history, ranges)
        body = await self._target.read(path, PAGE_MAX) or b""
        last = read_publication_line(body[body.rfind(b"\n", 0, -1) + 1 :], path)
        if last.sequence != RANGE * ranges:
            raise DoorDiffers(
                f"{path} ends with publication {last.sequence}: remove it, and restart the mirror"
            )
        return Checked(last.sequence, bytes.fromhex(last.chain))

    async def _read(self, checked: Checked, view: View) -> None:
        """Read the publications up to a view, and compare the chain with that of the stream."""
        where = f"{self._door.record.where}/publications"
        while checked.sequence < view.sequence:
            limit = min(RANGE, view.sequence - checked.sequence)
            page = await self._door.document(
                f"/publications?after={checked.sequence}&limit={limit}", PAGE_MAX
            )
            lines = page.splitlines(keepends=True)[:limit]
            if not lines:
                raise DoorDiffers(f"{where}: ends at {checked.sequence}, and the stream had {view.sequence}")
            for number, line in enumerate(lines):
                checked.add(line, where)
                if number % LINES_PER_STEP == 0:
                    await asyncio.sleep(0)
        if checked.chain.hex() != view.chain:
            raise DoorDiffers(f"{where}: the chain at {view.sequence} is not the one that the stream had")
