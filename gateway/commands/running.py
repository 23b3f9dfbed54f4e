"""How commands run: on an event loop, against a database, and ending with an exit status."""

import asyncio
import getpass
import os
import socket as sockets
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from gateway.config import Config
from gateway.output import say

if TYPE_CHECKING:
    from gateway.journal.administration import Administration

T = TypeVar("T")


def fail(text: str, status: int = 1) -> NoReturn:
    """Print an error and exit."""
    say(f"valgnatt: {text}", err=True)
    sys.exit(status)


def warn(text: str) -> None:
    """Print a message to standard error."""
    say(f"valgnatt: {text}", err=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop until it is done."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def administer(config: Config, action: Callable[["Administration"], Awaitable[T]]) -> T:
    """Run an administrative action in the name of the user, and return its result."""
    from gateway.journal.administration import administration

    async def act() -> T:
        async with administration(url, author(), on_wait=warn) as administered:
            return await action(administered)

    url = database_url(config)
    return run(act())


def database_url(config: Config) -> str:
    """Return the configured database, or the embedded one of a `serve` that runs on this machine."""
    if config.database_url is not None:
        return config.database_url
    from gateway.journal.embedded import find

    running = find(config.data_dir)
    if running is None:
        fail(
            "no database: set VALGNATT_DATABASE_URL, or start `valgnatt serve` with data directory"
            f" {config.data_dir}"
        )
    return running.url


def author() -> str:
    """Return the author of an administrative action, as `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{sockets.gethostname()}"
