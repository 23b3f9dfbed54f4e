"""Push the files of a watched directory: each is added to the outbox when it is complete, and sent."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.client.outbox import OutboxConflict
from gateway.client.push_files import Mistakes
from gateway.client.watched_directory import POLL_S, WatchedDirectory
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.terminal import Terminal


async def push_directory(
    watched: Path,
    console: Terminal,
    add: Callable[[str, bytes], Awaitable[int]],
    send: Callable[[], Awaitable[None]],
) -> None:
    """Push new files of a directory, until interrupted; report a file with mistakes once and skip it.

    `add` adds the reports of a file to the outbox and returns how many there are; `send` sends what waits there.
    """
    directory = WatchedDirectory(watched)
    console.say(f"Watching {watched}; stop with Ctrl-C.")
    while True:
        for name, content in directory.new().items():
            try:
                reports = await add(name, content)
            except (Mistakes, OutboxConflict) as error:
                directory.mark_done(name, content)
                console.say(f"{name}: not sent:", "red")
                for mistake in getattr(error, "mistakes", (str(error),)):
                    console.say(mistake, "red")
            except GatewayError as error:
                console.say(f"{name}: {error}", "red")
            else:
                directory.mark_done(name, content)
                console.say(f"{name}: {counted(reports, 'report')}")
                await send()
        await asyncio.sleep(POLL_S)
