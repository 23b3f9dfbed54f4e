"""The signed log of an election as files, with the paths of a copy (`verification/copies.py`).

Entries are read from the feed door, and tiles are computed from them; nothing is written that the signed root does not
confirm. A checkpoint is written after everything that it covers, the publications included.
"""

import asyncio
from base64 import b64encode
from collections.abc import Sequence

from gateway.mirror.door import FETCH_S, FeedDoor
from gateway.mirror.files import JSON, NDJSON, StoredFile
from gateway.mirror.parts import ChangedFiles, DoorDiffers, Part, Shown
from gateway.mirror.range_files import RangeFiles
from gateway.mirror.target import Target
from gateway.mirror.verified_log import Signed, VerifiedLog
from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.entries import registry_hash
from gateway.transparency.note import NOTE_MAX, VerifierKey
from gateway.transparency.tiles import Tile, bundles_of, parse_path
from gateway.transparency.tree import Tree
from gateway.verification.copies import (
    CHECKPOINT,
    CHECKPOINTS,
    REGISTRY,
    REGISTRY_MAX,
    CheckpointLine,
    entries_of,
    read_checkpoint_line,
)
from gateway.verification.failures import NotThere, VerificationFailed
from gateway.verification.feed_record import PAGE, PAGE_MAX
from gateway.wire.mirror import election_path

NOTE_TYPE = "text/plain; charset=utf-8"
OCTETS = "application/octet-stream"
CHECKPOINTS_S = 300.0
"""The fewest seconds between two times that the list of all checkpoints is written, which grows all night."""
COSIGNED_LATER = 32
"""How many of the newest checkpoints are read again, as cosignatures arrive later."""
CHECKPOINTS_MAX = 256 << 20
"""Bytes of the list of all checkpoints; a line has some 700."""
FILES_AT_ONCE = 64


class LogFiles(Part):
    """`log/`: the checkpoint, all checkpoints, the registry, tiles and entry bundles. An election may have no log."""

    name = "log"

    def __init__(
        self,
        door: FeedDoor,
        election: str,
        target: Target,
        every_s: int,
        pace_s: float,
        shown: int,
        keys: Sequence[VerifierKey],
        ranges: RangeFiles,
    ) -> None:
        super().__init__(shown)
        self._ranges = ranges
        self.pace_s = self.asks_s = pace_s
        self._door = door
        self._target = target
        self._directory = election_path(election)
        self._keys = keys
        self._every_s = every_s
        self._files = ChangedFiles(target, every_s)
        self._log: VerifiedLog | None = None
        self._written: Signed | None = None
        self._existing: set[str] | None = None
        """The paths of tiles and bundles that the target has, below the directory of the election."""
        self._checkpoints = CheckpointList(door, keys)
        self._listed_at: float | None = None

    async def write(self, shown: Shown) -> None:
        """Write what the newest checkpoint covers, then the checkpoint. Raises what `Part.write` raises.

        `shown` does not depend on the log: a checkpoint says itself what it covers.
        """
        view = shown.view()
        try:
            note = await self._door.document("/log/checkpoint", NOTE_MAX)
        except NotThere as error:
            if error.problem != "not_signed":
                raise
        else:
            await self._write(Signed(note, self._keys), shown)
        self.shown = view.sequence

    async def _write(self, signed: Signed, shown: Shown) -> None:
        written = await self._earlier()
        if written is not None and not _is_later(signed, written):
            return
        log = self._log if written is None or written.checkpoint.origin == signed.checkpoint.origin else None
        self._log = None  # begin again if what is read is not what was signed
        log = log or VerifiedLog()
        await self._read(log, signed.checkpoint)
        if written is not None and not _continues(log, written.checkpoint):
            if written.checkpoint.origin == signed.checkpoint.origin:
                raise DoorDiffers(
                    f"the log does not continue its checkpoint of size {written.checkpoint.size}"
                )
            self._existing = set()  # another history of the log, at the same paths
            self._checkpoints = CheckpointList(self._door, self._keys)
            self._files = ChangedFiles(self._target, self._every_s)
        self._log = log
        await shown.wait_reached(log.reports)
        if self._ranges.shown < log.reports:
            await self._ranges.write(shown)
        await self._write_registry(log)
        await self._write_tiles(log)
        await self._write_checkpoints(log, signed.checkpoint)
        await self._files.write((f"{self._directory}/{CHECKPOINT}", signed.note, NOTE_TYPE))
        self._written = signed
        await self._remove_partial(log)

    async def _earlier(self) -> Signed | None:
        """Return the checkpoint that the target has, that of an earlier run the first time."""
        if self._existing is None:
            prefix = f"{self._directory}/log/tile/"
            paths = [path async for path in self._target.list(prefix)]
            note = await self._target.read(f"{self._directory}/{CHECKPOINT}", NOTE_MAX)
            try:
                self._written = Signed(note, ()) if note is not None else None
            except VerificationFailed:
                self._written = None
            self._existing = {path.removeprefix(f"{self._directory}/") for path in paths}
            if self._written is None:
                self._existing = set()
        return self._written

    async def _read(self, log: VerifiedLog, checkpoint: Checkpoint) -> None:
        """Read the entries that a checkpoint covers and the log has not. Raises DoorDiffers if the root is another."""
        record = self._door.record
        for bundle in bundles_of(checkpoint.size, log.tree.size):
            after = log.tree.size - bundle.start
            async with asyncio.timeout(FETCH_S):
                content = await record.bundle(bundle.index, bundle.width)
            log.add(entries_of(content, bundle.width, f"{record.where}/log/{bundle.path}")[max(0, after) :])
            await asyncio.sleep(0)
        if not log.is_confirmed(checkpoint):
            root = b64encode(checkpoint.root).decode()
            raise DoorDiffers(f"the {checkpoint.size} entries of the log do not have the signed root {root}")

    async def _write_registry(self, log: VerifiedLog) -> None:
        path = f"{self._directory}/{REGISTRY}"
        if log.opening is None or self._files.has(path):
            return
        document = await self._door.document("/log/registry", REGISTRY_MAX)
        if registry_hash(document) != log.opening.registry:
            raise DoorDiffers("the registry of the log is not the one that its opening entry names")
        await self._files.write((path, document, JSON))

    async def _write_tiles(self, log: VerifiedLog) -> None:
        assert self._existing is not None
        waiting: list[StoredFile] = []
        for path, content in log.files():
            if f"log/{path}" not in self._existing:
                waiting.append(StoredFile(f"{self._directory}/log/{path}", content, OCTETS, None))
        for start in range(0, len(waiting), FILES_AT_ONCE):
            part = waiting[start : start + FILES_AT_ONCE]
            await self._target.write(part)
            self._existing |= {each.path.removeprefix(f"{self._directory}/") for each in part}
        log.taken()

    async def _write_checkpoints(self, log: VerifiedLog, checkpoint: Checkpoint) -> None:
        now = asyncio.get_running_loop().time()
        recently = self._listed_at is not None and now - self._listed_at < CHECKPOINTS_S
        if recently and log.closing is None:
            return
        body = await self._checkpoints.read(log.tree, checkpoint)
        await self._files.write((f"{self._directory}/{CHECKPOINTS}", body, NDJSON))
        self._listed_at = now

    async def _remove_partial(self, log: VerifiedLog) -> None:
        """Remove incomplete tiles and bundles that have a complete one by now, as tlog-tiles allows."""
        assert self._existing is not None
        partial = {path: parse_path(path.removeprefix("log/")) for path in self._existing if ".p/" in path}
        old = [path for path, tile in partial.items() if tile.start + _entries_of(tile) <= log.tree.size]
        if old:
            await self._target.delete([f"{self._directory}/{path}" for path in old])
            self._existing.difference_update(old)


def _entries_of(tile: Tile) -> int:
    """Return how many entries are below a complete tile at this place."""
    full = Tile(tile.level, tile.index)
    return full.end - full.start


def _is_later(signed: Signed, written: Signed) -> bool:
    """Whether a checkpoint is to replace the written one: it covers more, has more signatures, or is of another log.

    A process of the door that is a moment behind shows an earlier one. Raises DoorDiffers if they contradict each
    other.
    """
    new, old = signed.checkpoint, written.checkpoint
    if new.origin != old.origin or new.size > old.size:
        return True
    if new.size == old.size and new.root != old.root:
        raise DoorDiffers(f"two checkpoints of size {new.size} have different roots")
    return new.size == old.size and signed.signatures >= written.signatures


def _continues(log: VerifiedLog, earlier: Checkpoint) -> bool:
    return log.tree.size >= earlier.size and log.tree.root(earlier.size) == earlier.root


class CheckpointList:
    """The lines of `checkpoints.ndjson`. Invariants:

    * Each has the root of the tree at its size, and with keys, one of them has signed it.
    """

    def __init__(self, door: FeedDoor, keys: Sequence[VerifierKey]) -> None:
        self._door = door
        self._keys = keys
        self._lines: dict[int, bytes] = {}
        """By size, in order."""

    async def read(self, tree: Tree, newest: Checkpoint) -> bytes:
        """Read what is new, and return all lines up to a checkpoint. Raises DoorDiffers, VerificationFailed."""
        known = list(self._lines)
        after = known[-COSIGNED_LATER - 1] if len(known) > COSIGNED_LATER else 0
        while after < newest.size:
            path = f"/log/checkpoints?after={after}&limit={PAGE}"
            lines = (await self._door.document(path, PAGE_MAX)).splitlines(keepends=True)[:PAGE]
            for line in lines:
                found = read_checkpoint_line(line, path)
                if found.size <= after:
                    raise DoorDiffers(f"{path}: checkpoints that are not in order")
                after = found.size
                if after <= newest.size and self._is_signed(found, tree, newest):
                    self._lines[after] = line
            if sum(map(len, self._lines.values())) > CHECKPOINTS_MAX:
                raise DoorDiffers(f"more than {CHECKPOINTS_MAX >> 20} MiB of checkpoints")
            if len(lines) < PAGE:
                break
        return b"".join(self._lines.values())

    def _is_signed(self, line: CheckpointLine, tree: Tree, newest: Checkpoint) -> bool:
        """Return whether one of the keys has signed a line: earlier ones may have another key's signature alone.

        Raises DoorDiffers if it contradicts the entries.
        """
        signed = Signed(line.note.encode(), ())
        if signed.checkpoint.origin != newest.origin or signed.checkpoint.root != tree.root(line.size):
            text = f"the checkpoint of size {line.size} contradicts that of size {newest.size}"
            raise DoorDiffers(text)
        try:
            Signed(signed.note, self._keys)
        except VerificationFailed:
            return False
        return True
