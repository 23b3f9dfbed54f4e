"""How commands run: on an event loop, against a database, and ending with an exit status."""

import asyncio
import getpass
import os
import signal
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
    """Run a coroutine until it is done; on uvloop, where it is installed."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def end_process_after(run: Callable[[], object]) -> NoReturn:
    """Run a command, and end the process with its status without freeing its memory object by object.

    Freeing the state of a feed process takes seconds on a busy machine, in which its supervisor waits for its end. An
    error of the command is raised, and the process then ends as usual.
    """
    status: object = 0
    try:
        run()
    except SystemExit as exited:
        status = exited.code or 0
    if not isinstance(status, int):
        sys.exit(str(status))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:  # a client without the extra `gateway`
        return None
    return uvloop.new_event_loop


def run_and_clean_up(work: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine whose clean-up may not be cut short, and return the exit status of the process.

    The first SIGINT cancels it, and then the status is 130. Any other is ignored until the process ends, so the
    coroutine has to limit its clean-up itself.
    """
    interrupted = False

    async def cancellable() -> int:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def interrupt(*_: object) -> None:
            nonlocal interrupted
            if not interrupted and not loop.is_closed():
                interrupted = True
                loop.call_soon_threadsafe(task.cancel)

        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, interrupt)
        return await work

    try:
        return run(cancellable())
    except asyncio.CancelledError:
        if not interrupted:
            raise
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python's end would restore the default


def administer(config: Config, action: Callable[["Administration"], Awaitable[T]]) -> T:
    """Run an administrative action in the name of the user, and return its result.

    With `require_standby`, its acts are not performed without a synchronous standby.
    """
    from gateway.journal.administration import administration

    async def act() -> T:
        async with administration(
            url, author(), on_wait=warn, require_standby=config.require_standby
        ) as administered:
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
