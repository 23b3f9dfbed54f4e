"""Copies of all logs that have a URL, as --mirror keeps them, in a thread of its own.

The thread has an event loop of its own, so whatever happens to a feed door, the network or the disk of the copies, it
delays no cosignature. Below the directory, the copy of a log has its origin as path; any web server can serve it.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

import structlog

from gateway.backoff import Backoff
from gateway.errors import GatewayError
from gateway.transparency.note import Note, parse_note
from gateway.transparency.origins import parse_origin
from gateway.transparency.policy import Policy
from gateway.verification.failures import VerificationFailed
from gateway.verification.feed_record import open_record
from gateway.witness.logs import Log
from gateway.witness.mirrored_log import MirroredLog
from gateway.witness.state import CosignedCheckpoint

log = structlog.get_logger()

POLL_S = 1.0
"""Seconds between two looks for a newer cosigned checkpoint."""
REFRESH_S = 60.0
"""Seconds between two looks for cosignatures that came later, while nothing is cosigned."""
RETRY_FIRST_S, RETRY_MOST_S = 2.0, 60.0
PROGRESS_S = 60.0
"""Seconds between two log lines about the progress of a log."""
END_S = 5.0
"""How long the end of the thread is waited for, in seconds; it may wait for a disk."""


class WitnessAccess(Protocol):
    """What the copies need of the witness; every method may be called from its thread."""

    def newest_size(self, origin: str) -> int:
        """Return the size of the newest cosigned checkpoint."""

    def cosigned_up_to(self, origin: str, size: int) -> CosignedCheckpoint | None:
        """Return the largest cosigned checkpoint up to a size."""

    def examine(self, note: Note, *, forked: bool = False) -> None:
        """Keep a checkpoint that the feed door shows if it is evidence; with `forked`, a copy contradicts it."""

    def settle(self, origin: str, root_of: Callable[[int], bytes], size: int) -> None:
        """Decide about unproven checkpoints up to the size of a copy, by the roots of the copy."""

    def mirrored(self, origin: str, size: int) -> None:
        """Take note of the size of a copy."""


class Mirror(AbstractContextManager["Mirror"]):
    """The thread that copies; it runs while the block is entered."""

    def __init__(self, directory: Path, logs: Sequence[Log], witness: WitnessAccess) -> None:
        """Prepare to copy those of the logs that have a URL. Raises MalformedOrigin if one is not of an election."""
        self._directory = directory
        self._logs = [each for each in logs if each.url is not None]
        self._elections = {each.origin: parse_origin(each.origin).election for each in self._logs}
        self._witness = witness
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def __enter__(self) -> "Mirror":
        self._task = self._loop.create_task(self._copy_all())
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(END_S)

    def _run(self) -> None:
        assert self._task is not None
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.close()

    async def _copy_all(self) -> None:
        await asyncio.gather(*(self._follow(each) for each in self._logs))

    async def _follow(self, followed: Log) -> None:
        """Copy one log for ever; a failure is logged, and then it is tried again."""
        backoff, origin = Backoff(RETRY_FIRST_S, RETRY_MOST_S), followed.origin
        while True:
            if not self._witness.newest_size(origin):  # the door may have no such election yet
                await asyncio.sleep(POLL_S)
                continue
            try:
                await self._copy(followed, backoff)
            except VerificationFailed as failure:
                write = log.warning if failure.code == "unreachable" else log.error
                write("mirror: not continued", log=origin, code=failure.code, reason=str(failure))
                self._report(failure)
            except GatewayError as error:
                log.error("mirror: not continued", log=origin, code=error.code, reason=str(error))
            except Exception:
                log.exception("mirror: failed", log=origin)
            await asyncio.sleep(backoff.next())

    async def _copy(self, followed: Log, backoff: Backoff) -> None:
        origin, witness = followed.origin, self._witness
        assert followed.url is not None
        progress = _Progress(origin)
        async with open_record(followed.url, self._elections[origin]) as record:
            directory = self._directory / origin
            policy = Policy.of_keys(followed.keys)
            copy = MirroredLog(record, directory, policy, lambda size: witness.cosigned_up_to(origin, size))
            looked = -REFRESH_S
            while True:
                newest = witness.newest_size(origin)
                if newest > copy.size or time.monotonic() - looked >= REFRESH_S:
                    async with self._turn:  # one bundle in memory at a time
                        shown = await copy.update()
                    looked = time.monotonic()
                    witness.examine(shown.note)
                    witness.settle(origin, copy.tree.root, copy.size)
                    witness.mirrored(origin, copy.size)
                    progress.reached(copy.size, witness.newest_size(origin))
                    backoff.reset()
                await asyncio.sleep(POLL_S)

    def _report(self, failure: VerificationFailed) -> None:
        """Hand over the checkpoints that contradict a copy."""
        if failure.code != "forked":
            return
        for content in failure.evidence.values():
            with suppress(GatewayError):
                self._witness.examine(parse_note(content), forked=True)


class _Progress:
    """Logs how far a copy is: at first, when it has caught up, and then at intervals if it has grown."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._caught_up = False
        self._logged: tuple[int, float] | None = None

    def reached(self, size: int, newest: int) -> None:
        now, caught_up = time.monotonic(), 0 < size == newest
        due = self._logged is None or (size != self._logged[0] and now - self._logged[1] >= PROGRESS_S)
        if due or (caught_up and not self._caught_up):
            log.info("mirror", log=self._origin, entries=size, cosigned=newest)
            self._logged, self._caught_up = (size, now), self._caught_up or caught_up
