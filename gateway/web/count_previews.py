"""Previews of files with counts: a separate process (`count_reader`) reads each, outside the door's event loop."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress

import msgspec
import orjson
import structlog

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.errors import Overloaded
from gateway.web.answers import Problem, internal_error
from gateway.web.concurrency_limit import ConcurrencyLimit
from gateway.web.count_task import CPU_S, LENGTH, MEMORY_MAX, Current, Done, Failed, Reply, Task, Wanted
from gateway.web.token_bucket import TokenBucket

log = structlog.get_logger()

READERS_MAX = 2
"""Processes that read files at once, for one push process."""
WAITING_MAX = 32
"""Files that wait for one of them, at most one per token."""
WAIT_S = 10.0
"""How long a file waits for a process, in seconds."""
TIMEOUT_S = 30.0
"""How long each of the two steps of reading a file may take, in seconds."""
ANSWER_MAX = 48 << 20
"""Bytes of a preview. The largest file has 8 MiB, and each of its figures is in the preview twice."""
PIECE = 256 << 10
"""Bytes of an answer that are buffered at a time."""
CPU_SHARE, CPU_BURST_S = 0.1, 20.0
"""The share of a core that one token may use for reading files on average, and its burst in seconds."""
_INHERITED = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""Variables of the environment that a reader needs to start; it gets no others."""
COMMAND = (sys.executable, "-m", "gateway.web.count_reader")

ReadCurrent = Callable[[Iterable[str]], Awaitable[Current]]
"""Returns the newest and the current reports of units, of those that have any."""


class CountPreviews:
    """Previews files. Invariants:

    * A token has at most one file in progress, and its files use at most CPU_SHARE of a core on average.
    * At most READERS_MAX processes run; each limits its time and memory, and each of its steps ends within TIMEOUT_S.
    * A file that exceeds these limits ends only its own process.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._time_s = clock.monotonic
        self._of_token = ConcurrencyLimit(1)
        self._free = asyncio.Semaphore(READERS_MAX)
        self._waiting = 0
        self._used: dict[int, TokenBucket] = {}

    def require(self, token: int) -> None:
        """Require that a token may have a file read now. Raises Overloaded."""
        if self._of_token.full(str(token)):
            raise Overloaded("a file of this token is being read already", 2.0, share=True)
        bucket = self._used.get(token)
        if bucket is not None and (owed_s := bucket.owed_s(self._time_s())) > 0:
            raise Overloaded("files of this token have used too much computing time", owed_s, share=True)

    async def preview(self, token: int, task: Task, read_current: ReadCurrent) -> bytes:
        """Return the preview of a file as JSON. Raises Problem, Overloaded, and what `read_current` raises."""
        self.require(token)
        self._of_token.enter(str(token))
        try:
            async with self._reader() as process:
                done = await _read(process, task, read_current)
        except _TooCostly:
            self._spend(token, CPU_S)
            detail = (
                f"reading this file takes more than {CPU_S} s of computing, {TIMEOUT_S:.0f} s in all, or"
                f" {MEMORY_MAX >> 20} MiB of memory; divide it into several files"
            )
            raise Problem(422, "too_costly", detail) from None
        finally:
            self._of_token.leave(str(token))
        self._spend(token, done.cpu_s)
        if not done.valid:
            detail = "the file has mistakes; nothing of it is sent"
            raise Problem(422, "bad_count_file", detail, members={"mistakes": orjson.Fragment(done.document)})
        return done.document

    def prune(self) -> None:
        """Drop the records of tokens whose allowance is full again."""
        now = self._time_s()
        self._used = {token: bucket for token, bucket in self._used.items() if not bucket.full(now)}

    def _spend(self, token: int, seconds: float) -> None:
        bucket = self._used.setdefault(token, TokenBucket(CPU_SHARE, CPU_BURST_S))
        bucket.spend(seconds, self._time_s())

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Start a reader for the block, and end it afterwards. Raises Overloaded if none becomes free."""
        if self._waiting >= WAITING_MAX:
            raise Overloaded("too many files are being read", 5.0)
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded("too many files are being read", 5.0) from None
        finally:
            self._waiting -= 1
        try:
            environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
            pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
            process = await asyncio.create_subprocess_exec(
                *COMMAND, stdin=pipe, stdout=pipe, stderr=null, env=environment, limit=PIECE
            )
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        finally:
            self._free.release()


class _TooCostly(Exception):
    """A reader has reached one of its limits."""


async def _read(process: asyncio.subprocess.Process, task: Task, read_current: ReadCurrent) -> Done:
    """Have a file read. Raises _TooCostly, Problem, and what `read_current` raises."""
    reply = await _ask(process, msgspec.msgpack.encode(task))
    if isinstance(reply, Wanted):
        current = await read_current(reply.units)
        reply = await _ask(process, msgspec.msgpack.encode(current))
    if isinstance(reply, Failed):
        if reply.too_large:
            raise _TooCostly
        log.error("count file not read", trace=reply.trace)
        raise internal_error()
    assert isinstance(reply, Done)
    return reply


async def _ask(process: asyncio.subprocess.Process, message: bytes) -> Reply:
    """Send a message to a reader, and return its reply. Raises _TooCostly, and Problem if the reader has failed."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await _send(process, message)
            return await _receive(process)
    except (asyncio.IncompleteReadError, ConnectionError):
        async with asyncio.timeout(TIMEOUT_S):
            status = await process.wait()
        if status in (-signal.SIGXCPU, -signal.SIGKILL):
            raise _TooCostly from None
        log.error("count file not read", status=status)
        raise internal_error() from None
    except TimeoutError:
        raise _TooCostly from None


async def _send(process: asyncio.subprocess.Process, message: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(LENGTH.pack(len(message)))
    process.stdin.write(message)
    await process.stdin.drain()


async def _receive(process: asyncio.subprocess.Process) -> Reply:
    assert process.stdout is not None
    (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
    if length > ANSWER_MAX:
        raise _TooCostly
    reply: Reply = msgspec.msgpack.decode(await process.stdout.readexactly(length), type=Reply)
    return reply
