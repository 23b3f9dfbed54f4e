"""A journal in memory for tests of the code above it: no database and no waits, and hooks to inject faults.

Its rows and its decisions are those of the simulated Postgres, see `tests.simulation.statements`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
from msgspec.structs import replace

from gateway.election.record import CHAIN_START
from gateway.election.validation import ValidReport
from gateway.journal.appending import Behind, appended, arguments
from gateway.journal.continuation import Continuation, Placed
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.decisions import Appended, Ends, Evaluated
from tests.journal.makers import PASSED
from tests.simulation.rows import ElectionRow, EmbargoRow, HeadRow, Record, ReportRow, Row, Tables
from tests.simulation.statements import append as append_rows
from tests.simulation.statements import database_error


class _Transaction:
    """A transaction that changes the tables when it is applied. See `statements.Transaction`."""

    waits_for_standby = False
    synchronous = True
    in_recovery = False
    idle_s: float | None = None
    conf_loaded_at = PASSED

    def __init__(self, tables: Tables, unstorable: set[str]) -> None:
        self.tables = tables
        self.notifications: list[str] = []
        self.changes: list[tuple[int, Row]] = []
        self._unstorable = unstorable

    def now(self) -> datetime:
        """Return the time of this machine."""
        return datetime.now(UTC)

    def change(self, election: int, row: Row) -> None:
        """Write a row."""
        self.changes.append((election, row))

    def check_storable(self, unit: str) -> None:
        """Raise the error of a report that cannot be stored."""
        if unit in self._unstorable:
            raise database_error("23514", "cannot be stored")


class MemoryJournal:
    """The journal of one election, see `Journal`. Decides a batch in one step; all of `record` is committed."""

    def __init__(self, *, publish_from: datetime = PASSED, key: int = 1) -> None:
        self.batches: list[list[tuple[str, int]]] = []
        """Units and revisions of each append that was started."""
        self.unstorable: set[str] = set()
        """Units whose reports cannot be stored."""
        self.predecessors_error: Exception | None = None
        """The error that every call of `predecessors` raises, if any."""
        self._tables = Tables()
        election = ElectionRow("memory", b'{"election":{}}', PASSED, None)
        rows = election, HeadRow(), EmbargoRow(publish_from)
        self._tables.apply(Record([(key, row) for row in rows]))
        self._rows = self._tables.elections[key]
        self._errors: deque[tuple[Exception | None, bool]] = deque()
        self._appends_allowed = asyncio.Event()
        self._appends_allowed.set()
        self._append_started = asyncio.Event()
        self._predecessors_allowed = asyncio.Event()
        self._predecessors_allowed.set()
        self._predecessors_called = asyncio.Event()

    # The rows.

    @property
    def key(self) -> int:
        """The key of the election, which is another one if it was removed and loaded again."""
        return self._rows.key

    @key.setter
    def key(self, key: int) -> None:
        self._rows.key = key
        self._tables.elections = {key: self._rows}

    @property
    def record(self) -> Sequence[ReportRow]:
        """The reports in the record."""
        return self._rows.reports

    @property
    def version(self) -> int:
        """The version of the election."""
        return self._rows.head.version

    @version.setter
    def version(self, version: int) -> None:
        self._set_head(version=version)

    @property
    def closed(self) -> bool:
        """Whether the election is closed."""
        return self._rows.head.closed_at is not None

    @closed.setter
    def closed(self, closed: bool) -> None:
        self._set_head(closed_at=datetime.now(UTC) if closed else None)

    @property
    def last_at(self) -> datetime:
        """The time of the last append."""
        return self._rows.head.last_at

    @last_at.setter
    def last_at(self, at: datetime) -> None:
        self._set_head(last_at=at)

    @property
    def publish_from(self) -> datetime:
        """The end of the embargo."""
        return self._rows.embargo.publish_from

    @publish_from.setter
    def publish_from(self, at: datetime) -> None:
        self._rows.apply(replace(self._rows.embargo, publish_from=at))

    @property
    def released_at(self) -> datetime | None:
        """When an append has released the election; None before."""
        return self._rows.embargo.released_at

    @released_at.setter
    def released_at(self, at: datetime | None) -> None:
        self._rows.apply(replace(self._rows.embargo, released_at=at))

    def _set_head(self, **members: Any) -> None:
        self._rows.apply(replace(self._rows.head, **members))

    def place(self, *reports: ValidReport) -> None:
        """Append reports as another process does."""
        self._append(self.key, self.version, reports, [PASSED] * len(reports), None)

    # Hooks.

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

    # The journal.

    def find(self, unit: str, revision: int) -> ReportRow | None:
        """Return the committed report with this unit and revision, if there is one."""
        return self._rows.report(unit, revision)

    async def continuation(self, election: int, known: Ends) -> Continuation:
        """See `Journal.continuation`."""
        placed = [Placed(each.body, each.chain) for each in self.record[known.accepted :]]
        before = self.record[known.accepted - 1].chain if known.accepted else CHAIN_START
        return Continuation(placed, (), before == known.chain, True, self.ends)

    @property
    def ends(self) -> Ends:
        """Where the record ends; there are no holds."""
        head = self._rows.head
        return Ends(head.accepted, head.chain, head.hold_lines, head.hold_chain)

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
        *,
        predecessors: bool = False,
    ) -> Appended:
        """See `Journal.append`."""
        if evaluated is not None and evaluated.chain != self._rows.head.chain:
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
            done = self._append(election, version, reports, received, evaluated, predecessors)
            if error is not None:
                raise error
            return done
        finally:
            self._append_started.clear()

    def _append(
        self,
        election: int,
        version: int,
        reports: Sequence[ValidReport],
        received: Sequence[datetime],
        evaluated: Evaluated | None,
        predecessors: bool = False,
    ) -> Appended:
        transaction = _Transaction(self._tables, self.unstorable)
        with translate_db_errors():
            (row,) = append_rows(
                transaction,
                *arguments(
                    election,
                    version,
                    reports,
                    received,
                    evaluated,
                    require_standby=False,
                    predecessors=predecessors,
                ),
            )
        self._tables.apply(Record(transaction.changes))
        return appended(cast("asyncpg.Record", row), reports)

    async def predecessors(self, election: int, reports: Sequence[tuple[str, int]]) -> Sequence[bytes | None]:
        """See `Journal.predecessors`."""
        self._predecessors_called.set()
        await asyncio.sleep(0)
        await self._predecessors_allowed.wait()
        if self.predecessors_error is not None:
            raise self.predecessors_error
        found = [self._rows.before(unit, revision) for unit, revision in reports]
        return [row.body if row is not None else None for row in found]


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
