"""A journal in memory, for tests of what rests on one: the same decisions, no database, and hooks to disturb it."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from gateway.election.record import CHAIN_START, next_chain
from gateway.election.validation import ValidReport
from gateway.errors import ElectionUnknown
from gateway.journal.connection import Unstorable, VersionChanged
from gateway.journal.postgres import Appended, Closed, Conflict, Decision, Known, New, Stale
from tests.journal.makers import PASSED


class Placed:
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
    """One election's journal, see `Journal`. A batch is decided in one step: what is in `record` is committed."""

    def __init__(self, *, publish_from: datetime = PASSED, key: int = 1) -> None:
        self.key = key
        self.version = 1
        self.publish_from = publish_from
        self.released_at: datetime | None = None
        self.closed = False
        self.last_at = datetime.min.replace(tzinfo=UTC)
        self.chain = CHAIN_START
        self.record: list[Placed] = []
        self.batches: list[list[tuple[str, int]]] = []
        """Units and revisions of each append that was begun."""
        self.unstorable: set[str] = set()
        """Units whose reports no journal takes."""
        self.predecessors_error: Exception | None = None
        """What every call of `predecessors` raises."""
        self._errors: deque[tuple[Exception | None, bool]] = deque()
        self._going_on = asyncio.Event()
        self._going_on.set()
        self._begun = asyncio.Event()
        self._looking_back = asyncio.Event()
        self._looking_back.set()
        self._asked = asyncio.Event()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Make every append wait before it decides anything."""
        self._going_on.clear()
        try:
            yield
        finally:
            self._going_on.set()

    @contextmanager
    def predecessors_paused(self) -> Iterator[None]:
        """Make every call of `predecessors` wait."""
        self._looking_back.clear()
        try:
            yield
        finally:
            self._looking_back.set()

    def let_predecessors_go(self) -> None:
        """End the waiting before that."""
        self._looking_back.set()

    async def wait_predecessors_asked(self) -> None:
        """Wait until `predecessors` was called."""
        await self._asked.wait()

    def fail_next(self, error: Exception | None, *, committed: bool = False) -> None:
        """Make the next append raise `error` (None: succeed); calls are queued.

        Where `committed`, it takes effect and only its answer is lost.
        """
        self._errors.append((error, committed))

    async def wait_append_started(self) -> None:
        """Wait until an append is under way."""
        await self._begun.wait()

    def find(self, unit: str, revision: int) -> Placed | None:
        """Return what is committed under a unit and revision."""
        return next((each for each in self.record if (each.unit, each.revision) == (unit, revision)), None)

    async def append(
        self, election: int, version: int, reports: Sequence[ValidReport], received: Sequence[datetime]
    ) -> Appended:
        """See `Journal.append`."""
        assert len(reports) == len(received)
        self.batches.append([(valid.report.unit, valid.report.revision) for valid in reports])
        self._begun.set()
        try:
            await asyncio.sleep(0)
            await self._going_on.wait()
            error, committed = self._errors.popleft() if self._errors else (None, False)
            if error is not None and not committed:
                raise error
            appended = self._decide(election, version, reports)
            if error is not None:
                raise error
            return appended
        finally:
            self._begun.clear()

    async def predecessors(self, election: int, reports: Sequence[tuple[str, int]]) -> Sequence[bytes | None]:
        """See `Journal.predecessors`."""
        self._asked.set()
        await asyncio.sleep(0)
        await self._looking_back.wait()
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
            raise Unstorable("not to be stored")
        at = self.last_at = max(datetime.now(UTC), self.last_at)
        if self.released_at is None and at >= self.publish_from:
            self.released_at = at
        decisions = [self._decide_one(valid, at) for valid in reports]
        return Appended(at, self.released_at, decisions)

    def _decide_one(self, valid: ValidReport, at: datetime) -> Decision:
        report = valid.report
        current = self._current(report.unit)
        found = self.find(report.unit, report.revision)
        if report.revision > current and not self.closed:
            self.chain = next_chain(self.chain, valid.digest)
            self.record.append(Placed(len(self.record) + 1, valid, self.chain, at))
            return New(len(self.record), current)
        if found is not None:
            same = found.digest == valid.digest
            return Known(found.sequence, found.accepted_at) if same else Conflict(found.sequence, current)
        return Stale(current) if report.revision <= current else Closed(current)
