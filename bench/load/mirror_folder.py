"""The directory of a mirror, observed while the mirror writes it."""

import asyncio
import time
from pathlib import Path

from gateway.wire.mirror import Live, decode_live, live_path

LOOK_S = 0.005
WAIT_S = 120.0


class MirrorFolder:
    """`live.json` of one election in a directory. It is replaced by rename, so each look finds a whole file."""

    def __init__(self, directory: Path, election: str, pid: int = 0) -> None:
        self.directory = directory
        self.pid = pid
        """The process of the mirror, if it was started here."""
        self._file = directory / live_path(election)
        self._known = 0, 0

    def look(self) -> Live | None:
        """Return `live.json` if it was replaced since the last look."""
        try:
            found = self._file.stat()
            version = found.st_ino, found.st_ctime_ns
            if version == self._known:
                return None
            live = decode_live(self._file.read_bytes())
        except FileNotFoundError:
            return None
        self._known = version
        return live

    def stored(self) -> list[int]:
        """Return the size of each file as an object store has it: compressed, once."""
        return [file.stat().st_size for file in self.directory.rglob("*.gz")]

    async def watch(self, last: int, most_s: float = WAIT_S) -> list[tuple[float, int]]:
        """Return when each new sequence was found, in seconds since 1970, up to the sequence `last`."""
        found: list[tuple[float, int]] = []
        async with asyncio.timeout(most_s):
            while not found or found[-1][1] < last:
                live = self.look()
                if live is not None and (not found or live.sequence > found[-1][1]):
                    found.append((time.time(), live.sequence))
                await asyncio.sleep(LOOK_S)
        return found

    async def wait_reached(self, sequence: int) -> None:
        """Wait until `live.json` names a sequence. Raises TimeoutError."""
        await self.watch(sequence)
