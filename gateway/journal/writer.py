"""Group commit: many waiting reports, one transaction.

While one batch commits, new reports gather and form the next, so batches grow exactly when Postgres is slow; no
timer is involved. A batch is answered once the next one is on its way, so that Postgres does not wait for that. Knows
nothing of sockets, or of who is watching.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Protocol

import msgspec
import structlog

from gateway.election.outcome import Outcome, Receipt, Refusal, Retry
from gateway.election.report import Report, decode_stored, warnings_of
from gateway.election.validation import ValidReport
from gateway.errors import Draining, ElectionUnknown, GatewayError, JournalUnavailable
from gateway.journal.admission import BATCH_MIN, BATCH_S, Pace, WaitingRoom
from gateway.journal.connection import Unstorable, VersionChanged
from gateway.journal.elections import Standing
from gateway.journal.postgres import Appended, Journal
from gateway.telemetry import tracing
from gateway.telemetry.metrics import PushMetrics

log = structlog.get_logger()

PREDECESSORS_MAX = 20_000
"""Reports kept to compare the next revision with; about 1.3 kB each. What is not here is asked of Postgres."""
AWAY_FIRST_S, AWAY_MOST_S = 0.05, 1.0
"""How long to wait before Postgres is tried again: doubling from the first to the most."""


class Answers(Protocol):
    """Where the outcomes of one request or connection are gathered."""

    def settle(self, key: int, outcome: Outcome) -> None:
        """Take the outcome of the report that was submitted with `key`."""

    def flush(self) -> None:
        """Send what was settled: the batch is done."""


class Waiting:
    """A valid report that waits for its commit. `sender` is the key of the token that sent it.

    `standing` is the election by which it is valid; where the writer knows a later one, it is checked again.
    """

    __slots__ = ("answers", "key", "received_at", "sender", "standing", "trace", "valid")

    standing: Standing  # set when it is submitted

    def __init__(
        self, sender: int, valid: ValidReport, received_at: datetime, answers: Answers, key: int
    ) -> None:
        self.sender = sender
        self.valid = valid
        self.received_at = received_at
        self.answers = answers
        self.key = key
        self.trace = tracing.present()


class Refused(msgspec.Struct, frozen=True, gc=False):
    """A report that did not come into the journal."""

    waiting: Waiting
    refusal: Refusal


class Committed(msgspec.Struct, frozen=True, gc=False):
    """Reports that were appended together, each valid by its `standing`, and what became of them."""

    batch: list[Waiting]
    appended: Appended


Decided = Refused | Committed


class BatchWriter:
    """Turns the submitted reports of one election into committed ones. Invariants:

    * A receipt exists only for a committed report.
    * A report is committed only by the version of the election that it was checked against.
    * Reports of one sender commit in the order submitted; at most one commit is in flight.
    * What waits is bounded by the room; the next is refused with Overloaded, or was never given credit.
    * Everything submitted is answered once, whatever happens.
    """

    def __init__(
        self,
        journal: Journal,
        standing: Standing,
        renew: Callable[[], Awaitable[Standing]],
        metrics: PushMetrics,
        *,
        pending_max: int,
        batch_max: int,
        on_availability: Callable[[bool], None],
    ) -> None:
        self.room: WaitingRoom[Waiting] = WaitingRoom(pending_max, batch_max)
        self.released = standing.released
        self._pace = Pace()
        self._full = False  # whether the present batch left others waiting
        self._journal = journal
        self._standing = standing
        self._renew = renew
        self._metrics = metrics
        self._batch_max = batch_max
        self._on_availability = on_availability
        self._wanted = asyncio.Event()
        self._nudged = False
        self._closed = False
        self._available = True
        self.away_reason = JournalUnavailable.reason
        """Why the journal is not available, while it is not."""
        self._recent: OrderedDict[str, Report] = OrderedDict()
        self._underway: list[list[Waiting]] = []
        """Batches that were taken and are not answered: one in flight, and one before it."""

    @property
    def oldest_at(self) -> datetime | None:
        """When the oldest report was read that was submitted and is not answered; None: there is none."""
        waiting = chain(self.room.heads(), *self._underway)
        return min((each.received_at for each in waiting), default=None)

    @property
    def available(self) -> bool:
        """Whether the last append was answered."""
        return self._available

    def submit(self, waiting: Waiting, *, credited: bool) -> None:
        """Let a report wait for the next batch; its place was admitted or is under credit.

        It was checked by the election as this process knows it now. Raises Draining once the writer is closed, and
        Overloaded for credit that the room has no place for.
        """
        if self._closed:
            raise Draining("this process is about to end")
        waiting.standing = self._standing
        self.room.put(waiting.sender, waiting, credited=credited)
        self._wanted.set()

    def follow(self, standing: Standing) -> None:
        """Take from a renewed standing whether the election is released; a failover may have lost the release."""
        self.released = standing.released

    def nudge(self) -> None:
        """Make an append even if nothing waits, so that an embargo that has passed is lifted."""
        self._nudged = True
        self._wanted.set()

    def close(self) -> None:
        """Take nothing more; what waits becomes the last batches."""
        self._closed = True
        self._wanted.set()

    async def run(self) -> None:
        """Commit until closed and empty, or closed while Postgres is away.

        What waits then, or when it is cancelled, is answered `retry`: it may be pushed again.
        """
        try:
            async with asyncio.TaskGroup() as answering:
                await self._work(answering)
        finally:
            self._answer_rest()

    async def _work(self, answering: asyncio.TaskGroup) -> None:
        """Commit one batch after the other; one is answered while the next is in flight."""
        before: asyncio.Task[None] | None = None
        while True:
            await self._wanted.wait()
            if self._closed and not self._available:
                return  # each batch would wait in vain for as long as a statement may take
            batch = self.room.take(self._pace.within(BATCH_S, BATCH_MIN, self._batch_max))
            self._full = len(self.room) > 0
            if not batch and not self._nudged:
                if self._closed:
                    return
                self._wanted.clear()
                continue
            self._nudged = False
            self._underway.append(batch)
            decided = await self._commit(batch)
            if before is not None:
                await before
            before = answering.create_task(self._answer(batch, decided), name="answers") if decided else None

    def _answer_rest(self) -> None:
        for batch in list(self._underway):
            self._give_up(batch, Draining.code, 1.0)
        while rest := self.room.take(1000):
            self._answer_all(rest, Draining.code, 1.0)

    async def _commit(self, batch: list[Waiting]) -> list[Decided]:
        """Commit a batch and return what was decided; nothing where Postgres went away and it is answered."""
        try:
            decided = await self._append(batch)
        except (JournalUnavailable, ElectionUnknown) as error:
            await self._stand_off(batch, error)
            return []
        self._set_available(True)
        return decided

    async def _append(self, batch: list[Waiting]) -> list[Decided]:
        """Append a batch: checked again if the election has changed, and split where Postgres refuses some of it."""
        refused: list[Decided] = []
        for _ in range(10):
            batch = self._check_again(batch, refused)
            started = asyncio.get_running_loop().time()
            try:
                with tracing.span("append", (waiting.trace for waiting in batch), reports=len(batch)):
                    appended = await self._journal.append(
                        self._standing.key,
                        self._standing.version,
                        [waiting.valid for waiting in batch],
                        [waiting.received_at for waiting in batch],
                    )
            except (VersionChanged, ElectionUnknown):
                self._standing = await self._renew()
                continue
            except Unstorable as error:
                return refused + await self._split(batch, error)
            self._committed(len(batch), asyncio.get_running_loop().time() - started)
            self.released = appended.released_at is not None
            return [*refused, Committed(batch, appended)]
        raise JournalUnavailable("the election kept changing while reports were checked")

    def _committed(self, reports: int, seconds: float) -> None:
        """Note how long a commit took, and let in as many as that allows."""
        self._metrics.committed(reports, seconds)
        self._pace.committed(reports, seconds, full=self._full)
        self.room.follow(self._pace)

    def _check_again(self, batch: list[Waiting], refused: list[Decided]) -> list[Waiting]:
        """Judge what was checked against an earlier standing of the election, and return what is still good."""
        good = []
        for waiting in batch:
            if waiting.standing is not self._standing:
                judged = self._standing.check_again(waiting.sender, waiting.valid, datetime.now(UTC))
                if isinstance(judged, Refusal):
                    refused.append(Refused(waiting, judged))
                    continue
                waiting.valid = judged
                waiting.standing = self._standing
            good.append(waiting)
        return good

    async def _split(self, batch: list[Waiting], error: Unstorable) -> list[Decided]:
        """Append two halves one after the other, until the report that Postgres refuses stands alone."""
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
        return [Refused(batch[0], Refusal(error.code, report.unit, report.revision))]

    async def _answer(self, batch: list[Waiting], decided: list[Decided]) -> None:
        """Tell the outcomes of a batch; where Postgres goes away before its receipts are whole, `retry`."""
        outcomes: list[tuple[Waiting, Outcome]] = []
        try:
            for part in decided:
                if isinstance(part, Refused):
                    outcomes.append((part.waiting, part.refusal))
                else:
                    outcomes += await self._outcomes(part.batch, part.appended)
        except JournalUnavailable as error:
            log.warning("receipts not made", error=str(error), reports=len(batch))
            self._give_up(batch, error.code, self.room.delay_s())
            return
        self._underway.remove(batch)
        now, accepted = datetime.now(UTC), 0
        for waiting, outcome in outcomes:
            if isinstance(outcome, Receipt):
                accepted += not outcome.duplicate
                self._metrics.receipt.observe((now - waiting.received_at).total_seconds())
            waiting.answers.settle(waiting.key, outcome)
        self._metrics.accepted.inc(accepted)
        for answers in {id(waiting.answers): waiting.answers for waiting, _ in outcomes}.values():
            answers.flush()

    async def _outcomes(self, batch: list[Waiting], appended: Appended) -> list[tuple[Waiting, Outcome]]:
        previous = await self._previous(batch, appended)
        return [
            (waiting, self._outcome(waiting, place, appended, before))
            for place, (waiting, before) in enumerate(zip(batch, previous, strict=True))
        ]

    def _outcome(self, waiting: Waiting, place: int, appended: Appended, before: Report | None) -> Outcome:
        report = waiting.valid.report
        sequence, accepted_at, duplicate = appended.sequences[place], appended.at, False
        if sequence is None:
            found = appended.found_sequences[place] if appended.found_sequences else None
            if found is None:
                code = "stale_revision"
                if report.revision > appended.revisions_before[place]:
                    assert appended.closed
                    code = "election_closed"
                return Refusal(code, report.unit, report.revision, appended.revisions_before[place] or None)
            assert appended.found_same is not None
            assert appended.found_at is not None
            if not appended.found_same[place]:
                current = appended.revisions_before[place]
                return Refusal("revision_conflict", report.unit, report.revision, current)
            first_at = appended.found_at[place]
            assert first_at is not None
            sequence, accepted_at, duplicate = found, first_at, True
        released_at = appended.released_at
        return Receipt(
            unit=report.unit,
            revision=report.revision,
            duplicate=duplicate,
            sequence=sequence if released_at is not None else None,
            digest=waiting.valid.digest,
            accepted_at=accepted_at,
            published_at=max(accepted_at, released_at) if released_at is not None else None,
            warnings=_warnings(waiting, before),
        )

    async def _previous(self, batch: list[Waiting], appended: Appended) -> list[Report | None]:
        """Find the report before each new or repeated one; accepted reports never change, so any copy will do."""
        previous: list[Report | None] = [None] * len(batch)
        missing: list[int] = []
        for place, waiting in enumerate(batch):
            report = waiting.valid.report
            if appended.sequences[place] is None:
                if appended.found_sequences and appended.found_sequences[place] is not None:
                    missing.append(place)
                continue
            if before := appended.revisions_before[place]:
                held = self._recent.get(report.unit)
                if held is not None and held.revision == before:
                    previous[place] = held
                else:
                    missing.append(place)
            self._recent[report.unit] = report
            self._recent.move_to_end(report.unit)
        while len(self._recent) > PREDECESSORS_MAX:
            self._recent.popitem(last=False)
        if missing:
            wanted = [
                (batch[place].valid.report.unit, batch[place].valid.report.revision) for place in missing
            ]
            bodies = await self._journal.predecessors(batch[0].standing.key, wanted)
            for place, body in zip(missing, bodies, strict=True):
                previous[place] = decode_stored(body) if body is not None else None
        return previous

    async def _stand_off(self, batch: list[Waiting], error: GatewayError) -> None:
        """Answer a batch whose outcome is unknown and wait until Postgres answers again, refusing what waits."""
        log.warning("journal unavailable", error=str(error), waiting=len(batch) + len(self.room))
        self._metrics.failed.inc()
        self._note_reason(error)
        self._set_available(False)
        self._give_up(batch, JournalUnavailable.code, self.room.delay_s(), self.away_reason)
        pause_s = AWAY_FIRST_S
        while not self._closed:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, AWAY_MOST_S)
            while rest := self.room.take(1000):
                self._answer_all(rest, JournalUnavailable.code, self.room.delay_s(), self.away_reason)
            try:
                self._standing = await self._renew()
                await self._journal.append(self._standing.key, self._standing.version, [], [])
            except (JournalUnavailable, ElectionUnknown) as error:
                self._note_reason(error)
                continue
            except VersionChanged:
                pass  # it answers; the next batch is checked again
            self._set_available(True)
            log.info("journal available again")
            return

    def _note_reason(self, error: GatewayError) -> None:
        self.away_reason = getattr(error, "reason", JournalUnavailable.reason)

    def _set_available(self, available: bool) -> None:
        if available != self._available:
            self._available = available
            self._on_availability(available)

    def _give_up(
        self, batch: list[Waiting], code: str, retry_after_s: float, reason: str | None = None
    ) -> None:
        """Answer a batch that was taken `retry`."""
        self._underway.remove(batch)
        self._answer_all(batch, code, retry_after_s, reason)

    def _answer_all(
        self, batch: Sequence[Waiting], code: str, retry_after_s: float, reason: str | None = None
    ) -> None:
        for waiting in batch:
            report = waiting.valid.report
            retry = Retry(code, retry_after_s, report.unit, report.revision, reason)
            waiting.answers.settle(waiting.key, retry)
        for answers in {id(waiting.answers): waiting.answers for waiting in batch}.values():
            answers.flush()


def _warnings(waiting: Waiting, before: Report | None) -> tuple[str, ...]:
    report = waiting.valid.report
    return tuple(warnings_of(report, before, waiting.standing.registry.units[report.unit].eligible))
