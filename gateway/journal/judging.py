"""Appends of one election whose rules see every report that was placed before.

The first attempt judges a batch with what this process has read; the journal appends it only if that is everything. If
it is not, the second attempt takes the head lock first, and reads the rest under it. While other processes place
reports too, the first attempt does so already. Otherwise, reports of the next batch are judged ahead while a batch is
being appended, as if it were committed; if it is not, they are judged again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.election.report import Report
from gateway.election.validation import ValidReport
from gateway.errors import JournalUnavailable
from gateway.journal.appending import Behind
from gateway.journal.continuation import Continuation
from gateway.journal.cpu_clock import CpuClock
from gateway.journal.decisions import Appended, Ends, Evaluated, Finding
from gateway.journal.elections import ElectionVersion
from gateway.journal.evaluator import Evaluator, Judged

log = structlog.get_logger()

LOCK_FIRST = 16
"""How many appends take the lock first after one found something of another process; each that finds more starts
the count again."""
SLICE_S = 0.002
"""After how many seconds of CPU time other work gets a turn while reports are judged."""
ATTEMPTS = 5
AHEAD_S = 0.002
"""How often reports that have arrived are judged ahead while an append is in flight, in seconds."""


class Judgeable(Protocol):
    """A report that waits for its append: `sender` is the key of the token that sent it."""

    sender: int
    valid: ValidReport
    received_at: datetime


class LockedJournal(Protocol):
    """The head lock of an election, and what follows the part of the record that this process has applied."""

    continuation: Continuation

    async def append(
        self, reports: Sequence[ValidReport], received: Sequence[datetime], evaluated: Evaluated
    ) -> Appended:
        """Append as `Journal.append` and commit, which ends the lock."""


class Journal(Protocol):
    """The part of a journal that the writer needs."""

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
        """Decide on reports in order; those that are accepted are durable when this returns.

        With `predecessors`, the current report before each is returned as well where it was found on the way.

        Raises VersionChanged, Behind or Unstorable (none was appended) or JournalUnavailable (the outcome is unknown).
        """

    def locked(self, election: int, version: int, known: Ends) -> AbstractAsyncContextManager[LockedJournal]:
        """Lock the head. Without an append, nothing is changed. Raises as `append`."""

    async def continuation(self, election: int, known: Ends) -> Continuation:
        """Return what follows `known`, or the first part if that is too much. Raises JournalUnavailable."""

    async def predecessors(self, election: int, reports: Sequence[tuple[str, int]]) -> Sequence[bytes | None]:
        """Return, for each unit and revision, the placed report with the next lower revision.

        Raises JournalUnavailable.
        """


Append = Callable[[Sequence[ValidReport], Sequence[datetime], Evaluated], Awaitable[Appended]]
"""Appends reports, given when each was received and what the rules found."""


class Upcoming(Protocol):
    """The reports of the next batch that have arrived."""

    def __call__(self) -> Sequence[Judgeable]:
        """Return those that it has not returned before; the next batch begins with all of them, in this order."""


class RuleMetrics(Protocol):
    """The metrics of rules."""

    def judged(self, reports: int, seconds: float) -> None:
        """Count reports that were judged in `seconds` of CPU time."""

    def failed(self, election: str, rule: str) -> None:
        """Count a rule that raised an error or took too long."""

    def limited(self, election: str, rule: str) -> None:
        """Count a report that this rule would have held if there were fewer open holds."""


class _Ahead:
    """A batch of which reports were judged before it is appended."""

    def __init__(self, evaluator: Evaluator, election: ElectionVersion) -> None:
        self.evaluator = evaluator
        self.election = election
        self.judged: list[ValidReport] = []
        self.findings: list[Finding | None] = []

    def begins(self, evaluator: Evaluator, election: ElectionVersion, batch: Sequence[Judgeable]) -> bool:
        """Whether a batch begins with these reports, and is judged by the same rules."""
        return (
            self.evaluator is evaluator
            and self.election is election
            and len(batch) >= len(self.judged)
            and all(pending.valid is valid for pending, valid in zip(batch, self.judged, strict=False))
        )


class JudgedAppends:
    """Appends the batches of one election, after its rules. Invariants:

    * What is appended was judged with everything that the record and the list of holds had before it.
    * What was judged ahead is used only if the append before it was committed as expected, and nothing else was read.
    * An election whose rules are all off has no evaluator, and its appends take one call.
    """

    def __init__(
        self,
        journal: Journal,
        metrics: RuleMetrics,
        pause: Callable[[], Awaitable[None]],
        upcoming: Upcoming = tuple,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`pause` is awaited between slices of reading what is new, which can take long after a start."""
        self._journal = journal
        self._metrics = metrics
        self._pause = pause
        self._upcoming = upcoming
        self._evaluator: Evaluator | None = None
        self._ahead: _Ahead | None = None
        self._lock_first = 0
        self.paused_s = 0.0
        """For how long the last append paused while its reports were judged, so that other work could be done."""
        self._clock = clock
        self._cpu = CpuClock(clock=clock)

    async def append(
        self, election: ElectionVersion, batch: Sequence[Judgeable], *, predecessors: bool = False
    ) -> tuple[Appended, Sequence[Finding | None]]:
        """Append a batch; return also what the rules found, one per report. Raises as `Journal.append`, but Behind.

        Appends under the lock return no `predecessors`.
        """
        self.paused_s = 0.0
        if election.policy.is_off:
            self._evaluator = self._ahead = None
        known = self._evaluator
        if not batch or self._evaluator_of(election) is None:
            appended = await self._journal.append(
                election.key, election.version, *_columns(batch), predecessors=predecessors
            )
            return appended, [None] * len(batch)
        if self._evaluator is not known:
            await self.catch_up(election)
        for _ in range(ATTEMPTS):
            try:
                evaluator = self._evaluator
                assert evaluator is not None
                if self._lock_first:
                    return await self._append_locked(election, evaluator, batch)
                append = partial(
                    self._journal.append, election.key, election.version, predecessors=predecessors
                )
                return await self._append_judged(election, evaluator, batch, append)
            except Behind:
                self._lock_first = LOCK_FIRST
                await self.catch_up(election)
        raise JournalUnavailable("the record kept growing while reports were judged")

    def forget(self) -> None:
        """Drop what is known of the election, while nothing is appended; it is read again when it is needed."""
        self._evaluator = self._ahead = None

    def _evaluator_of(self, election: ElectionVersion) -> Evaluator | None:
        """Return what is known of an election, nothing at first; None if no rule is to be evaluated."""
        if election.policy.is_off or election.closed:
            return None
        if self._evaluator is None or self._evaluator.registry is not election.registry:
            self._evaluator = Evaluator(election.registry, clock=self._clock)
        return self._evaluator

    async def catch_up(self, election: ElectionVersion) -> None:
        """Read what is new without taking the lock, in slices. Raises JournalUnavailable."""
        self._forget_ahead()
        while (evaluator := self._evaluator_of(election)) is not None:
            continuation = await self._journal.continuation(election.key, evaluator.ends)
            if not continuation.follows:
                self._discard("the record is not a continuation of what was known")
                continue
            evaluator.follow(continuation)
            if continuation.complete:
                return
            await self._pause()
            await asyncio.sleep(0)

    async def holding_now(
        self, election: ElectionVersion, reports: Sequence[Report]
    ) -> list[tuple[str, ...] | None]:
        """Return, for each report, the rules that would hold it if it arrived now; None if no rule is evaluated.

        Must not run beside an append. Raises JournalUnavailable.
        """
        await self.catch_up(election)
        evaluator = self._evaluator_of(election)
        if evaluator is None:
            return [None] * len(reports)
        found: list[tuple[str, ...] | None] = []
        began_s = self._cpu()
        for report in reports:
            found.append(evaluator.holding(report, election.policy))
            if self._cpu() - began_s > SLICE_S:
                await asyncio.sleep(0)
                began_s = self._cpu()
        return found

    async def _append_locked(
        self, election: ElectionVersion, evaluator: Evaluator, batch: Sequence[Judgeable]
    ) -> tuple[Appended, Sequence[Finding | None]]:
        self._forget_ahead()
        async with self._journal.locked(election.key, election.version, evaluator.ends) as locked:
            continuation = locked.continuation
            if not continuation.follows or not continuation.complete:
                raise Behind("there is too much to read under the lock")
            self._lock_first = (
                LOCK_FIRST if continuation.reports or continuation.lines else self._lock_first - 1
            )
            evaluator.follow(continuation)
            return await self._append_judged(election, evaluator, batch, locked.append)

    async def _append_judged(
        self, election: ElectionVersion, evaluator: Evaluator, batch: Sequence[Judgeable], append: Append
    ) -> tuple[Appended, Sequence[Finding | None]]:
        """Judge a batch with what is known, and append it; if that fails, what is known is as before."""
        findings = self._begin(evaluator, election, batch)
        ends = evaluator.ends
        try:
            findings += await self._judge(evaluator, election, batch[len(findings) :])
            senders = [pending.sender for pending in batch]
            evaluated = Evaluated(ends.chain, ends.hold_chain, senders, findings)
            appending = asyncio.ensure_future(append(*_columns(batch), evaluated))
            appended = await self._judge_until(appending, evaluator, election)
        except BaseException:
            self._ahead = None
            evaluator.roll_back_all()
            raise
        if not evaluator.keep(appended):
            self._discard("the journal decided otherwise than expected")
        return appended, findings

    def _begin(
        self, evaluator: Evaluator, election: ElectionVersion, batch: Sequence[Judgeable]
    ) -> list[Finding | None]:
        """Begin a batch, and return what was found about the reports at its start that were judged ahead."""
        if self._ahead is not None and self._ahead.begins(evaluator, election, batch):
            ahead, self._ahead = self._ahead, None
            return ahead.findings
        self._forget_ahead()
        evaluator.begin()
        return []

    async def _judge_until(
        self, appending: asyncio.Future[Appended], evaluator: Evaluator, election: ElectionVersion
    ) -> Appended:
        """Wait for an append, and meanwhile judge reports of the next batch, unless the lock is taken for it."""
        paused_s = self.paused_s
        try:
            while not self._lock_first and not appending.done():
                await asyncio.wait({appending}, timeout=AHEAD_S)
                if not appending.done() and (upcoming := self._upcoming()):
                    if self._ahead is None:
                        self._ahead = _Ahead(evaluator, election)
                        evaluator.begin()
                    self._ahead.judged += [pending.valid for pending in upcoming]
                    self._ahead.findings += await self._judge(evaluator, election, upcoming)
            return await appending
        finally:
            self.paused_s = paused_s  # the append went on during these pauses
            appending.cancel()  # unless it is done
            await asyncio.gather(appending, return_exceptions=True)

    def _forget_ahead(self) -> None:
        """Forget what was judged ahead; it is judged again."""
        if self._ahead is not None:
            self._ahead.evaluator.roll_back_all()
            self._ahead = None

    async def _judge(
        self, evaluator: Evaluator, election: ElectionVersion, batch: Sequence[Judgeable]
    ) -> list[Finding | None]:
        findings: list[Finding | None] = []
        counted, began_s = 0, self._cpu()
        for pending in batch:
            judged = evaluator.judge(pending.sender, pending.valid, election.policy)
            findings.append(judged.finding)
            if judged.failed or judged.over_limit:
                self._report(election.id, pending.valid, judged)
            if (now_s := self._cpu()) - began_s > SLICE_S:
                self._metrics.judged(len(findings) - counted, now_s - began_s)
                paused_at = self._clock.monotonic()
                await asyncio.sleep(0)
                self.paused_s += self._clock.monotonic() - paused_at
                counted, began_s = len(findings), self._cpu()
        if len(findings) > counted:
            self._metrics.judged(len(findings) - counted, self._cpu() - began_s)
        return findings

    def _report(self, election: str, valid: ValidReport, judged: Judged) -> None:
        report = valid.report
        for code, detail in judged.failed:
            self._metrics.failed(election, code)
            log.error("rule failed", rule=code, unit=report.unit, revision=report.revision, error=detail)
        for code in judged.over_limit:
            self._metrics.limited(election, code)
        if judged.over_limit:
            log.warning(
                "report not held: too many open holds",
                rules=judged.over_limit,
                unit=report.unit,
                revision=report.revision,
            )

    def _discard(self, why: str) -> None:
        """Forget what is known; it is read again, from the start."""
        log.warning("current reports are read again", why=why)
        self._evaluator = self._ahead = None


def _columns(batch: Sequence[Judgeable]) -> tuple[list[ValidReport], list[datetime]]:
    return [pending.valid for pending in batch], [pending.received_at for pending in batch]
