"""`valgnatt mirror` in a process of its own, for one election of a running gateway."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.load.mirror_folder import MirrorFolder
from bench.load.processes import end


@asynccontextmanager
async def mirror(feed_url: str, election: str, directory: Path, every_s: int) -> AsyncIterator[MirrorFolder]:
    """Run a mirror until the block ends; start the block when there is a first `live.json`. Raises TimeoutError."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "mirror", feed_url, str(directory)),
        *("--election", election, "--every", str(every_s), "--log-level", "error"),
        stdin=DEVNULL,
    )
    try:
        folder = MirrorFolder(directory, election, process.pid)
        await folder.wait_reached(0)
        yield folder
    finally:
        await end(process)
