"""Group commit: many waiting reports, one transaction.

While one batch commits, new reports gather and form the next, so batches grow exactly when Postgres is slow; no
timer is involved. A batch is answered while the next one is being committed, so that Postgres never waits for answers.
Independent of sockets and readers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain
from typing import Any, Protocol, cast

import msgspec
import structlog

from gateway.backoff import Backoff
from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.deadline import Deadline
from gateway.election.outcome import HoldNotice, Outcome, Receipt, Refusal, Retry
from gateway.election.report import Report, all_warnings, warnings_of
from gateway.election.validation import ValidReport
from gateway.errors import Draining, ElectionUnknown, GatewayError, JournalUnavailable
from gateway.journal.admission import BATCH_MIN, BATCH_S, Pace, WaitingRoom
from gateway.journal.db_errors import Unstorable, VersionChanged
from gateway.journal.decisions import Appended, Decision, Finding, Held, Known, New
from gateway.journal.elections import ElectionVersion
from gateway.journal.judging import Journal, JudgedAppends
from gateway.journal.predecessors import Predecessors
from gateway.telemetry import tracing
from gateway.telemetry.metrics import PushMetrics

log = structlog.get_logger()

HOLDING_S = 3.0
"""How long a question about the rules may wait, in seconds; longer, the answer is not known."""
RETRY_FIRST_S, RETRY_MAX_S = 0.05, 1.0
"""How long to wait before Postgres is tried again: doubled after each attempt, from the first to the maximum."""


class OutcomeReceiver(Protocol):
    """Receives the outcomes of the reports of one request or connection."""

    def resolve(self, key: Any, outcome: Outcome) -> None:
        """Take the outcome of the report that was submitted with `key`, by which the receiver knows it."""

    def flush(self) -> None:
        """Send the outcomes taken so far: those of the batch are complete."""


class PendingReport(msgspec.Struct, eq=False):
    """A valid report that waits for its commit."""

    sender: int
    """The key of the token that sent it."""
    valid: ValidReport
    received_at: datetime
    receiver: OutcomeReceiver
    key: Any
    trace: tracing.Trace | None = msgspec.field(default_factory=tracing.current)
    """That of the request or connection that sent it."""
    election: ElectionVersion = cast("ElectionVersion", None)  # set when it is submitted
    """The version by which it is valid; if the writer knows a later one, the report is checked again."""


class RefusedReport(msgspec.Struct, frozen=True, gc=False):
    """A report that was not appended."""

    pending: PendingReport
    refusal: Refusal


class Committed(msgspec.Struct, frozen=True, gc=False):
    """Reports that were appended together, and the decision on each."""

    batch: list[PendingReport]
    appended: Appended
    findings: Sequence[Finding | None]
    """What the rules found about each."""


Decided = RefusedReport | Committed
Asked = tuple[ElectionVersion, Sequence[Report], asyncio.Future[list[tuple[str, ...] | None]]]
"""Reports about which the rules were asked, and the answer."""


class BatchWriter:
    """Turns the submitted reports of one election into committed ones. Invariants:

    * A receipt exists only for a committed report.
    * A report is committed only at the version of the election that it was checked against.
    * Reports of one sender are committed in the order submitted; at most one commit is in flight.
    * The waiting room bounds the reports that wait; the next one is refused with Overloaded, or was never given credit.
    * Every report submitted gets exactly one outcome, whatever happens.
    """

    def __init__(
        self,
        journal: Journal,
        election: ElectionVersion,
        renew: Callable[[], Awaitable[ElectionVersion]],
        metrics: PushMetrics,
        *,
        pending_max: int,
        batch_max: int,
        on_availability: Callable[[bool], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.room: WaitingRoom[PendingReport] = WaitingRoom(pending_max, batch_max)
        self.released = election.released
        self._pace = Pace()
        self._full = False  # whether reports still waited when the current batch was taken
        self._journal = journal
        self._appends = JudgedAppends(
            journal, metrics.rules, self._append_requested_now, self._upcoming, clock=clock
        )
        self._clock = clock
        self._election = election
        self._renew = renew
        self._metrics = metrics
        self._batch_max = batch_max
        self._on_availability = on_availability
        self._wakeup = asyncio.Event()
        self._append_requested = False
        self._asked: list[Asked] = []
        self._closed = False
        self._available = True
        self.unavailable_reason = JournalUnavailable.reason
        """Why the journal is unavailable, while it is."""
        self._predecessors = Predecessors(journal)
        self._ahead: list[PendingReport] = []
        """The start of the next batch: reports that were taken while a batch is in flight, to be judged meanwhile."""
        self._unanswered: list[list[PendingReport]] = []
        """Batches that were taken and are not answered: one in flight, and the one before it."""

    @property
    def oldest_at(self) -> datetime | None:
        """When the oldest report that is submitted and not answered was received; None if there is none."""
        pending = chain(self.room.heads(), self._ahead, *self._unanswered)
        return min((each.received_at for each in pending), default=None)

    @property
    def waiting(self) -> int:
        """How many reports are submitted and not answered."""
        return self.queued + sum(map(len, self._unanswered))

    @property
    def queued(self) -> int:
        """How many reports are submitted and not yet being appended."""
        return len(self.room) + len(self._ahead)

    @property
    def available(self) -> bool:
        """Whether Postgres answered the last append."""
        return self._available

    def submit(self, sender: int, reports: Sequence[PendingReport], *, credited: bool) -> None:
        """Queue reports of one sender; they were admitted to the waiting room, or are under credit.

        They were checked by the version of the election that this process knows now. Raises Draining once the writer is
        closed, and Overloaded if the room has no place for reports under credit; none is queued then.
        """
        if self._closed:
            raise Draining("this process is shutting down")
        for pending in reports:
            pending.election = self._election
        self.room.put(sender, reports, credited=credited)
        self._wakeup.set()

    def follow(self, election: ElectionVersion) -> None:
        """Use a version from now on, by which reports are checked before they are submitted.

        A failover may have lost the release.
        """
        self._election = election
        self.released = election.released
        self._wakeup.set()

    def request_append(self) -> None:
        """Make an append even if no report waits, so that an embargo that has ended is lifted."""
        self._append_requested = True
        self._wakeup.set()

    async def holding_now(
        self, election: ElectionVersion, reports: Sequence[Report]
    ) -> list[tuple[str, ...] | None]:
        """Return, for each report, the rules that would hold it if it arrived now; None where that is not known.

        The answer comes between two batches, within HOLDING_S.
        """
        if self._closed or not self._available:
            return [None] * len(reports)
        answer: asyncio.Future[list[tuple[str, ...] | None]] = asyncio.get_running_loop().create_future()
        self._asked.append((election, reports, answer))
        self._wakeup.set()
        try:
            async with Deadline(HOLDING_S):
                return await answer
        except TimeoutError:
            return [None] * len(reports)

    async def _answer_asked(self) -> None:
        """Answer what was asked about the rules."""
        asked, self._asked = self._asked, []
        for election, reports, answer in asked:
            if answer.done():
                continue
            try:
                found = await self._appends.holding_now(election, reports)
            except (JournalUnavailable, ElectionUnknown):
                found = [None] * len(reports)
            if not answer.done():
                answer.set_result(found)

    def close(self) -> None:
        """Take no more reports; those that wait form the last batches."""
        self._closed = True
        self._wakeup.set()

    async def run(self) -> None:
        """Commit until closed and empty, or until closed while Postgres is unavailable.

        Reports that wait then, or when this is cancelled, are answered `retry`: they may be pushed again.
        """
        try:
            with suppress(JournalUnavailable, ElectionUnknown):  # the first batch tries again
                await self._appends.catch_up(self._election)
            async with asyncio.TaskGroup() as answers:
                await self._work(answers)
        finally:
            self._retry_rest()

    async def _work(self, answers: asyncio.TaskGroup) -> None:
        """Commit one batch after the other; each is answered while the next one is in flight."""
        before: asyncio.Task[None] | None = None
        while True:
            await self._wakeup.wait()
            if self._closed and not self._available:
                return  # each batch would only wait for its statement to time out
            if self._asked:
                await self._answer_asked()
            batch = self._take(self._batch_size())
            self._full = len(self.room) > 0
            if not batch and not self._append_requested:
                if self._closed:
                    return
                if self._election.closed:  # no new report is compared with anything
                    self._appends.forget()
                    self._predecessors.forget()
                self._wakeup.clear()
                continue
            self._append_requested = False
            self._unanswered.append(batch)
            decided = await self._commit(batch)
            if before is not None:
                await before
            before = answers.create_task(self._answer(batch, decided), name="answers") if decided else None

    def _batch_size(self) -> int:
        """Return how many reports a batch may have now."""
        return self._pace.within(BATCH_S, BATCH_MIN, self._batch_max)

    def _take(self, most: int) -> list[PendingReport]:
        """Take the reports that were taken ahead, and further ones, `most` in all."""
        ahead, self._ahead = self._ahead, []
        return ahead + self.room.take(max(0, most - len(ahead)))

    def _upcoming(self) -> list[PendingReport]:
        """Take more reports ahead, at most half of a batch: the other half is divided among all who wait by then."""
        taken = self.room.take(max(0, self._batch_size() // 2 - len(self._ahead)))
        self._ahead += taken
        return taken

    def _retry_rest(self) -> None:
        for batch in list(self._unanswered):
            self._retry_batch(batch, Draining.code, 1.0)
        while rest := self._take(1000):
            self._retry(rest, Draining.code, 1.0)

    async def _commit(self, batch: list[PendingReport]) -> list[Decided]:
        """Commit a batch and return the decisions; none if Postgres became unavailable, and the batch is answered."""
        try:
            decided = await self._append(batch)
        except (JournalUnavailable, ElectionUnknown) as error:
            await self._wait_until_available(batch, error)
            return []
        self._set_available(True)
        return decided

    async def _append(self, batch: list[PendingReport]) -> list[Decided]:
        """Append a batch; check it again if the election has changed, and split it if Postgres refuses a part of it."""
        refused: list[Decided] = []
        for _ in range(10):
            batch = self._check_again(batch, refused)
            started = asyncio.get_running_loop().time()
            try:
                with tracing.span("append", (pending.trace for pending in batch), reports=len(batch)):
                    appended, findings = await self._appends.append(
                        self._election, batch, predecessors=self._predecessors.lacking
                    )
            except (VersionChanged, ElectionUnknown):
                self._election = await self._renew()
                continue
            except Unstorable as error:
                return refused + await self._split(batch, error)
            seconds = asyncio.get_running_loop().time() - started - self._appends.paused_s
            self._committed(len(batch), max(0.0, seconds))
            self.released = appended.released_at is not None
            return [*refused, Committed(batch, appended, findings)]
        raise JournalUnavailable("the election kept changing while reports were checked")

    def _committed(self, reports: int, seconds: float) -> None:
        """Record how long a commit took, and adjust the size of the waiting room to it."""
        self._metrics.committed(reports, seconds)
        self._pace.committed(reports, seconds, full=self._full)
        self.room.follow(self._pace)

    def _check_again(self, batch: list[PendingReport], refused: list[Decided]) -> list[PendingReport]:
        """Check again the reports that were checked by an earlier version, and return those that are still valid."""
        valid = []
        for pending in batch:
            if pending.election is not self._election:
                checked = self._election.check_again(pending.sender, pending.valid, self._clock.now())
                if isinstance(checked, Refusal):
                    refused.append(RefusedReport(pending, checked))
                    continue
                pending.valid = checked
                pending.election = self._election
            valid.append(pending)
        return valid

    async def _append_requested_now(self) -> None:
        """Make the append that was requested, if any, while reports wait for their rules to know the record."""
        if not self._append_requested:
            return
        self._append_requested = False
        try:
            appended = await self._journal.append(self._election.key, self._election.version, [], [])
        except (VersionChanged, ElectionUnknown, JournalUnavailable) as error:
            self._append_requested = True
            if not isinstance(error, VersionChanged):
                raise
            self._election = await self._renew()  # the append is made after the next slice
        else:
            self.released = appended.released_at is not None

    async def _split(self, batch: list[PendingReport], error: Unstorable) -> list[Decided]:
        """Append the two halves one after the other, down to the single report that Postgres refuses."""
        if len(batch) > 1:
            middle = len(batch) // 2
            return await self._append(batch[:middle]) + await self._append(batch[middle:])
        if not batch:
            raise JournalUnavailable(str(error)) from error
        report = batch[0].valid.report
        with tracing.within(batch[0].trace):
            log.error(
                "report refused by Postgres", unit=report.unit, revision=report.revision, error=str(error)
            )
        return [RefusedReport(batch[0], Refusal(error.code, report.unit, report.revision))]

    async def _answer(self, batch: list[PendingReport], decided: list[Decided]) -> None:
        """Deliver the outcomes of a batch; `retry` if Postgres becomes unavailable before its receipts are made."""
        outcomes: list[tuple[PendingReport, Outcome]] = []
        try:
            for part in decided:
                if isinstance(part, RefusedReport):
                    outcomes.append((part.pending, part.refusal))
                else:
                    outcomes += await self._outcomes(part)
        except JournalUnavailable as error:
            log.warning("receipts not made", error=str(error), reports=len(batch))
            self._retry_batch(batch, error.code, self.room.delay_s())
            return
        self._unanswered.remove(batch)
        now, accepted = self._clock.now(), 0
        for pending, outcome in outcomes:
            if isinstance(outcome, Receipt):
                accepted += not outcome.duplicate
                self._metrics.receipt.observe((now - pending.received_at).total_seconds())
            pending.receiver.resolve(pending.key, outcome)
        self._metrics.accepted.inc(accepted)
        for receiver in {id(pending.receiver): pending.receiver for pending, _ in outcomes}.values():
            receiver.flush()

    async def _outcomes(self, committed: Committed) -> list[tuple[PendingReport, Outcome]]:
        batch, appended = committed.batch, committed.appended
        if not batch:
            return []
        reports = [pending.valid.report for pending in batch]
        predecessors = await self._predecessors.find(batch[0].election.key, reports, appended)
        return [
            (pending, _outcome(pending, decision, finding, predecessor, appended))
            for pending, decision, finding, predecessor in zip(
                batch, appended.decisions, committed.findings, predecessors, strict=True
            )
        ]

    async def _wait_until_available(self, batch: list[PendingReport], error: GatewayError) -> None:
        """Answer a batch whose append failed with `retry`, and then all that wait, until Postgres is available.

        The reports of the batch may be committed or not; sending them again shows which.
        """
        log.warning("journal unavailable", error=str(error), waiting=len(batch) + self.queued)
        self._metrics.failed.inc()
        self._note_reason(error)
        self._set_available(False)
        self._retry_batch(batch, JournalUnavailable.code, self.room.delay_s(), self.unavailable_reason)
        backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        while not self._closed:
            await asyncio.sleep(backoff.next())
            while rest := self._take(1000):
                self._retry(rest, JournalUnavailable.code, self.room.delay_s(), self.unavailable_reason)
            try:
                self._election = await self._renew()
                await self._journal.append(self._election.key, self._election.version, [], [])
            except (JournalUnavailable, ElectionUnknown) as error:
                self._note_reason(error)
                continue
            except VersionChanged:
                pass  # Postgres answers; the next batch is checked again
            self._set_available(True)
            log.info("journal available again")
            return

    def _note_reason(self, error: GatewayError) -> None:
        known = error if isinstance(error, JournalUnavailable) else JournalUnavailable
        self.unavailable_reason = known.reason

    def _set_available(self, available: bool) -> None:
        if available != self._available:
            self._available = available
            self._on_availability(available)

    def _retry_batch(
        self, batch: list[PendingReport], code: str, retry_after_s: float, reason: str | None = None
    ) -> None:
        """Answer `retry` to a batch that was taken."""
        self._unanswered.remove(batch)
        self._retry(batch, code, retry_after_s, reason)

    def _retry(
        self, reports: Sequence[PendingReport], code: str, retry_after_s: float, reason: str | None = None
    ) -> None:
        """Answer `retry` to reports."""
        for pending in reports:
            report = pending.valid.report
            retry = Retry(code, retry_after_s, report.unit, report.revision, reason)
            pending.receiver.resolve(pending.key, retry)
        for receiver in {id(pending.receiver): pending.receiver for pending in reports}.values():
            receiver.flush()


def _outcome(
    pending: PendingReport,
    decision: Decision,
    finding: Finding | None,
    predecessor: Report | None,
    appended: Appended,
) -> Outcome:
    """Return the outcome that the sender of a report gets, from the decision on it."""
    report = pending.valid.report
    eligible = pending.election.registry.units[report.unit].eligible
    warned = finding.warnings if finding is not None else ()
    hold: HoldNotice | None = None
    sequence: int | None = None
    accepted_at, duplicate = appended.at, False
    match decision:
        case New():
            sequence = decision.sequence
        case Held():
            codes = finding.codes if finding is not None else ()
            hold = HoldNotice("open", decision.since, codes)
            if decision.superseded:
                hold = HoldNotice("superseded", decision.since, codes, appended.at)
        case Known():
            sequence, accepted_at, hold = decision.sequence, decision.accepted_at, decision.hold
            warned, duplicate = decision.warnings, True
        case _:
            return Refusal(decision.code, report.unit, report.revision, decision.current_revision or None)
    return Receipt.of(
        report,
        pending.valid.digest,
        sequence,
        accepted_at,
        appended.released_at,
        all_warnings(warnings_of(report, predecessor, eligible), warned),
        duplicate=duplicate,
        hold=hold,
    )
