"""A target in memory, which keeps what was written, and views of an election as its feed door shows it."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from gateway.client.subscriber import Subscriber
from gateway.mirror.files import StoredFile
from gateway.mirror.state import ShownArea, View
from gateway.mirror.target import TargetUnavailable
from tests.feed.served import Served


class MemoryTarget:
    """Implements Target. `writes` has the path of every file that was written, in order."""

    where = "memory"

    def __init__(self) -> None:
        self.files: dict[str, StoredFile] = {}
        self.writes: list[str] = []
        self.puts = self.written_bytes = 0
        self.fails_at: str | None = None
        """A part of the paths that cannot be written."""

    async def open(self) -> None:
        pass

    async def write(self, files: Iterable[StoredFile]) -> None:
        await asyncio.sleep(0)
        for each in files:
            if self.fails_at is not None and self.fails_at in each.path:
                raise TargetUnavailable(f"no room for {each.path}")
            self.files[each.path] = each
            self.writes.append(each.path)
            self.puts += 1
            self.written_bytes += len(each.body)

    async def write_live(self, file: StoredFile) -> None:
        await self.write([file])

    async def read(self, path: str, most: int) -> bytes | None:
        await asyncio.sleep(0)
        found = self.files.get(path)
        assert found is None or len(found.body) <= most
        return found.body if found is not None else None

    async def list(self, prefix: str) -> AsyncIterator[str]:
        await asyncio.sleep(0)
        for path in list(self.files):
            if path.startswith(prefix):
                yield path

    async def delete(self, paths: Iterable[str]) -> None:
        await asyncio.sleep(0)
        for each in paths:
            self.files.pop(each, None)

    async def close(self) -> None:
        pass


async def view_of(door: Served) -> View:
    """Return what the feed shows now."""
    registry = door.feed.registry
    async with Subscriber(
        door.origin, registry.id, levels=",".join(registry.levels), raw=True, keep_copy=True
    ) as subscriber:
        async for block in subscriber.blocks():
            areas = {
                area.id: ShownArea(block.raw[area.id], block.areas[area.id]["sequence"])
                for area in registry.areas
            }
            return View(
                block.sequence,
                block.chain,
                block.cursor,
                block.published_at,
                block.holds,
                block.server_time,
                areas,
            )
    raise AssertionError("a feed never ends")
