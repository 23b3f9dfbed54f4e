"""A journal in memory for tests of the code above it: the same decisions, no database, and hooks to inject faults."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime

from gateway.election.record import CHAIN_START, next_chain
from gateway.election.validation import ValidReport
from gateway.errors import ElectionUnknown
from gateway.journal.appending import Behind
from gateway.journal.continuation import Continuation, Placed
from gateway.journal.db_errors import Unstorable, VersionChanged
from gateway.journal.decisions import Appended, Closed, Conflict, Decision, Ends, Evaluated, Known, New, Stale
from tests.journal.makers import PASSED


class StoredReport:
    """A report in the journal."""

    def __init__(self, sequence: int, valid: ValidReport, chain: bytes, accepted_at: datetime) -> None:
        self.sequence = sequence
        self.unit = valid.report.unit
        self.revision = valid.report.revision
        self.digest = valid.digest
        self.body = valid.body
        self.chain = chain
        self.accepted_at = accepted_at


class MemoryJournal:
    """The journal of one election, see `Journal`. Decides a batch in one step; all of `record` is committed."""

    def __init__(self, *, publish_from: datetime = PASSED, key: int = 1) -> None:
        self.key = key
        self.version = 1
        self.publish_from = publish_from
        self.released_at: datetime | None = None
        self.closed = False
        self.last_at = datetime.min.replace(tzinfo=UTC)
        self.chain = CHAIN_START
        self.record: list[StoredReport] = []
        self.batches: list[list[tuple[str, int]]] = []
        """Units and revisions of each append that was started."""
        self.unstorable: set[str] = set()
        """Units whose reports cannot be stored."""
        self.predecessors_error: Exception | None = None
        """The error that every call of `predecessors` raises, if any."""
        self._errors: deque[tuple[Exception | None, bool]] = deque()
        self._appends_allowed = asyncio.Event()
        self._appends_allowed.set()
        self._append_started = asyncio.Event()
        self._predecessors_allowed = asyncio.Event()
        self._predecessors_allowed.set()
        self._predecessors_called = asyncio.Event()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Make every append wait before it decides anything, until the block ends."""
        self._appends_allowed.clear()
        try:
            yield
        finally:
            self._appends_allowed.set()

    @contextmanager
    def predecessors_paused(self) -> Iterator[None]:
        """Make every call of `predecessors` wait until the block ends or `resume_predecessors()`."""
        self._predecessors_allowed.clear()
        try:
            yield
        finally:
            self._predecessors_allowed.set()

    def resume_predecessors(self) -> None:
        """Release the waiting calls of `predecessors` before the block ends."""
        self._predecessors_allowed.set()

    async def wait_predecessors_called(self) -> None:
        """Wait until `predecessors` has been called."""
        await self._predecessors_called.wait()

    def fail_next(self, error: Exception | None, *, committed: bool = False) -> None:
        """Make the next append raise `error` (None: succeed); several calls queue up.

        With `committed`, the append takes effect and only its answer is lost.
        """
        self._errors.append((error, committed))

    async def wait_append_started(self) -> None:
        """Wait until an append is under way."""
        await self._append_started.wait()

    def find(self, unit: str, revision: int) -> StoredReport | None:
        """Return the committed report with this unit and revision, if there is one."""
        return next((each for each in self.record if (each.unit, each.revision) == (unit, revision)), None)

    async def continuation(self, election: int, known: Ends) -> Continuation:
        """See `Journal.continuation`."""
        placed = [Placed(each.body, each.chain) for each in self.record[known.accepted :]]
        before = self.record[known.accepted - 1].chain if known.accepted else CHAIN_START
        return Continuation(placed, (), before == known.chain, True, self.ends)

    @property
    def ends(self) -> Ends:
        """Where the record ends; there are no holds."""
        return Ends(len(self.record), self.chain, 0, CHAIN_START)

    @asynccontextmanager
    async def locked(self, election: int, version: int, known: Ends) -> AsyncIterator["MemoryLock"]:
        """See `Journal.locked`; nothing else can append meanwhile."""
        yield MemoryLock(self, election, version, await self.continuation(election, known))

    async def append(
        self,
        election: int,
        version: int,
        reports: Sequence[ValidReport],
        received: Sequence[datetime],
        evaluated: Evaluated | None = None,
    ) -> Appended:
        """See `Journal.append`."""
        if evaluated is not None and evaluated.chain != self.chain:
            raise Behind("the record is longer")
        assert len(reports) == len(received)
        self.batches.append([(valid.report.unit, valid.report.revision) for valid in reports])
        self._append_started.set()
        try:
            await asyncio.sleep(0)
            await self._appends_allowed.wait()
            error, committed = self._errors.popleft() if self._errors else (None, False)
            if error is not None and not committed:
                raise error
            appended = self._decide(election, version, reports)
            if error is not None:
                raise error
            return appended
        finally:
            self._append_started.clear()

    async def predecessors(self, election: int, reports: Sequence[tuple[str, int]]) -> Sequence[bytes | None]:
        """See `Journal.predecessors`."""
        self._predecessors_called.set()
        await asyncio.sleep(0)
        await self._predecessors_allowed.wait()
        if self.predecessors_error is not None:
            raise self.predecessors_error
        return [self._before(unit, revision) for unit, revision in reports]

    def _before(self, unit: str, revision: int) -> bytes | None:
        lower = [each for each in self.record if each.unit == unit and each.revision < revision]
        return max(lower, key=lambda each: each.revision).body if lower else None

    def _current(self, unit: str) -> int:
        return max((each.revision for each in self.record if each.unit == unit), default=0)

    def _decide(self, election: int, version: int, reports: Sequence[ValidReport]) -> Appended:
        if election != self.key:
            raise ElectionUnknown(str(election))
        if version != self.version:
            raise VersionChanged(f"{version} is not {self.version}")
        if any(valid.report.unit in self.unstorable for valid in reports):
            raise Unstorable("cannot be stored")
        at = self.last_at = max(datetime.now(UTC), self.last_at)
        if self.released_at is None and at >= self.publish_from:
            self.released_at = at
        decisions = [self._decide_one(valid, at) for valid in reports]
        return Appended(at, self.released_at, decisions, ends=self.ends)

    def _decide_one(self, valid: ValidReport, at: datetime) -> Decision:
        report = valid.report
        current = self._current(report.unit)
        found = self.find(report.unit, report.revision)
        if report.revision > current and not self.closed:
            self.chain = next_chain(self.chain, valid.digest)
            self.record.append(StoredReport(len(self.record) + 1, valid, self.chain, at))
            return New(len(self.record), current)
        if found is not None:
            same = found.digest == valid.digest
            return Known(found.sequence, found.accepted_at) if same else Conflict(found.sequence, current)
        return Stale(current) if report.revision <= current else Closed(current)


class MemoryLock:
    """The head lock of a journal in memory."""

    def __init__(
        self, journal: MemoryJournal, election: int, version: int, continuation: Continuation
    ) -> None:
        self.continuation = continuation
        self._journal = journal
        self._election = election
        self._version = version

    async def append(
        self, reports: Sequence[ValidReport], received: Sequence[datetime], evaluated: Evaluated
    ) -> Appended:
        """See `Journal.append`."""
        return await self._journal.append(self._election, self._version, reports, received, evaluated)
