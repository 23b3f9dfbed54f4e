"""Push the files of a watched directory: each is added to the outbox when it is complete, and sent."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from gateway.client.push_files import Mistakes
from gateway.client.watched_directory import POLL_S, WatchedDirectory
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.terminal import Terminal


async def push_directory(
    watched: Path,
    console: Terminal,
    add: Callable[[Mapping[str, bytes]], Awaitable[int]],
    send: Callable[[], Awaitable[None]],
) -> None:
    """Push new files of a directory, until interrupted; report a file with mistakes once and skip it.

    `add` adds the reports of files to the outbox and returns how many there are; `send` sends what waits there. Files
    that are complete at the same time are added together: they may have counts of the same units.
    """
    directory = WatchedDirectory(watched)
    console.say(f"Watching {watched}; stop with Ctrl-C.")
    while True:
        files = directory.new()
        while files:
            names = ", ".join(files)
            try:
                reports = await add(files)
            except Mistakes as error:
                wrong = error.files & files.keys() or files.keys()
                console.say(f"{', '.join(sorted(wrong))}: not sent:", "red")
                for mistake in error.mistakes:
                    console.say(mistake, "red")
                for name in wrong:
                    directory.mark_done(name, files[name])
                files = {name: content for name, content in files.items() if name not in wrong}
            except GatewayError as error:
                console.say(f"{names}: {error}", "red")
                break
            else:
                for name, content in files.items():
                    directory.mark_done(name, content)
                console.say(f"{names}: {counted(reports, 'report')}")
                await send()
                break
        await asyncio.sleep(POLL_S)
