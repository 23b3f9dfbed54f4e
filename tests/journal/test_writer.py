"""Group commit: reports are committed in order and then answered, exactly once, whatever happens to the journal."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clock import Clock
from gateway.election.outcome import Outcome, Receipt, Refusal, Retry
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.rules.policy import RULES, Policy
from gateway.election.validation import ValidReport
from gateway.errors import Draining, ElectionUnknown, JournalUnavailable
from gateway.journal import judging
from gateway.journal import predecessors as predecessors_module
from gateway.journal import writer as writer_module
from gateway.journal.administration import Administration
from gateway.journal.db_errors import VersionChanged
from gateway.journal.decisions import Ends
from gateway.journal.elections import Elections, ElectionVersion
from gateway.journal.evaluator import Evaluator, Judged
from gateway.journal.judging import Journal
from gateway.journal.postgres import PostgresJournal
from gateway.journal.session import Connection
from gateway.journal.writer import BatchWriter, PendingReport
from gateway.telemetry.metrics import PushMetrics
from tests.conftest import Database
from tests.counts import examples
from tests.journal.makers import (
    ELIGIBLE,
    FAR,
    PASSED,
    TIMEOUT_S,
    UNITS,
    a_registry,
    a_report,
    a_token,
    a_version,
    refuse_in_postgres,
)
from tests.journal.memory import MemoryJournal, MemoryLock

EVERYBODY = [a_token(sender) for sender in range(1, 5)]
UNAVAILABLE = JournalUnavailable("no answer")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unavailable journal is tried again at once."""
    monkeypatch.setattr(writer_module, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(writer_module, "RETRY_MAX_S", 0.002)


@pytest.fixture
def database(shared_database: Database) -> Database:
    """Each test has its own election, which is enough isolation."""
    return shared_database


class Gathered:
    """Receives outcomes. No key may be resolved twice, and no receipt may precede the commit of its report."""

    def __init__(self, journal: Journal) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.expected = 0
        self.flushed: list[int] = []
        """How many were resolved, at each flush."""
        self._journal = journal
        self._complete = asyncio.Event()

    def resolve(self, key: int, outcome: Outcome) -> None:
        """See `OutcomeReceiver.resolve`."""
        assert key not in self.outcomes, f"{key} is resolved again"
        if isinstance(outcome, Receipt) and isinstance(self._journal, MemoryJournal):
            placed = self._journal.find(outcome.unit, outcome.revision)
            assert placed is not None
            assert placed.digest == outcome.digest
        self.outcomes[key] = outcome
        if len(self.outcomes) == self.expected:
            self._complete.set()

    def flush(self) -> None:
        """See `OutcomeReceiver.flush`."""
        self.flushed.append(len(self.outcomes))

    def done(self) -> bool:
        """Whether everything is answered."""
        return len(self.outcomes) == self.expected

    async def all(self) -> list[Any]:
        """Wait until everything is answered, and return it in the order submitted."""
        async with asyncio.timeout(TIMEOUT_S):
            await self._complete.wait()
        assert self.flushed[-1:] == [self.expected]
        return [self.outcomes[key] for key in range(self.expected)]


class Desk:
    """A writer at work, with its journal and the election it knows."""

    def __init__(
        self, journal: Journal, election: ElectionVersion, *, batch_max: int = 1000, pending_max: int = 1000
    ) -> None:
        self.journal = journal
        self.election = election
        self.renewed = 0
        self.renew_error: Exception | None = None
        self.availability: list[bool] = []
        self.metrics = PushMetrics()
        self.writer = BatchWriter(
            journal,
            election,
            self._renew,
            self.metrics,
            pending_max=pending_max,
            batch_max=batch_max,
            on_availability=self.availability.append,
        )

    async def _renew(self) -> ElectionVersion:
        self.renewed += 1
        await asyncio.sleep(0)
        if self.renew_error is not None:
            raise self.renew_error
        return self.election

    def change(self, **parts: Any) -> None:
        """Make the election in memory another version, with other tokens or another registry."""
        assert isinstance(self.journal, MemoryJournal)
        self.journal.version += 1
        known = {"registry": self.election.registry, "tokens": EVERYBODY}
        self.election = a_version(version=self.journal.version, **{**known, "key": self.journal.key, **parts})

    def submit(self, *reports: ValidReport, sender: int = 1, credited: bool = False) -> Gathered:
        """Submit reports as one request of one sender."""
        gathered = Gathered(self.journal)
        gathered.expected = len(reports)
        pending = [
            PendingReport(sender, valid, datetime.now(UTC), gathered, key)
            for key, valid in enumerate(reports)
        ]
        self.writer.submit(sender, pending, credited=credited)
        return gathered

    async def push(self, *reports: ValidReport, sender: int = 1) -> list[Any]:
        """Submit reports and wait for their outcomes."""
        return await self.submit(*reports, sender=sender).all()

    async def wait_available(self) -> None:
        """Wait until the journal is available again."""
        async with asyncio.timeout(TIMEOUT_S):
            while self.availability[-1:] != [True]:  # noqa: ASYNC110 - set by a callback
                await asyncio.sleep(0.001)


@asynccontextmanager
async def working(desk: Desk) -> AsyncIterator[asyncio.Task[None]]:
    """Run the writer of a desk; leaving closes it and sees that it ends with nothing left."""
    async with asyncio.timeout(TIMEOUT_S):
        async with asyncio.TaskGroup() as parts:
            task = parts.create_task(desk.writer.run())
            yield task
            desk.writer.close()
    assert len(desk.writer.room) == 0


@pytest.fixture
def memory() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
async def desk(memory: MemoryJournal) -> AsyncIterator[Desk]:
    """A writer on a journal in memory."""
    desk = Desk(memory, a_version(tokens=EVERYBODY))
    async with working(desk):
        yield desk


def codes(outcomes: Sequence[Any]) -> list[str]:
    """The outcomes in words."""
    return [each.outcome if isinstance(each, Receipt) else each.code for each in outcomes]


# Receipts and batches.


async def test_a_receipt_waits_for_its_commit(desk: Desk, memory: MemoryJournal) -> None:
    """A report that is queued but not yet committed has no receipt."""
    with memory.paused():
        answer = desk.submit(a_report())
        await memory.wait_append_started()
        assert not answer.done()
    (receipt,) = await answer.all()
    assert receipt.sequence == 1


async def test_reports_gather_while_a_batch_commits(desk: Desk, memory: MemoryJournal) -> None:
    """Reports that arrive during one commit form one batch afterwards; no timer is involved."""
    with memory.paused():
        first = desk.submit(a_report("a-1"))
        await memory.wait_append_started()
        others = [desk.submit(a_report(unit), sender=number) for number, unit in enumerate(UNITS[1:4], 1)]
    for answer in (first, *others):
        await answer.all()
    assert memory.batches == [[("a-1", 1)], [("a-2", 1), ("a-3", 1), ("a-4", 1)]]


async def test_a_batch_is_answered_while_the_next_one_commits(memory: MemoryJournal) -> None:
    """Postgres does not wait for answers, and no sender waits for the commit after its own."""
    desk = Desk(memory, a_version(tokens=EVERYBODY), batch_max=1)
    memory.place(a_report("a-1"))
    with memory.predecessors_paused():
        first = desk.submit(a_report("a-1"))
        async with working(desk):
            await memory.wait_predecessors_called()
            second, third = desk.submit(a_report("a-2")), desk.submit(a_report("a-3"))
            for _ in range(100):
                await asyncio.sleep(0)
            assert not first.done()
            assert not second.done(), "batches are answered in the order in which they were committed"
            assert len(memory.record) == 2, "no more than one batch waits for its answers"
            memory.resume_predecessors()
            outcomes = [*await first.all(), *await second.all(), *await third.all()]
    assert codes(outcomes) == ["duplicate", "accepted", "accepted"]


async def test_a_batch_is_bounded(memory: MemoryJournal) -> None:
    """However many reports wait, one append takes at most `batch_max`."""
    desk = Desk(memory, a_version(tokens=EVERYBODY), batch_max=4)
    async with working(desk):
        await desk.push(*[a_report(revision=revision) for revision in range(1, 11)])
    assert [len(batch) for batch in memory.batches] == [4, 4, 2]


async def test_reports_of_one_sender_are_decided_in_the_order_sent(memory: MemoryJournal) -> None:
    """No revision of a rising series is ever stale, into whatever batches the series is split while others send."""
    desk = Desk(memory, a_version(tokens=EVERYBODY), batch_max=7)
    async with working(desk):
        answers = []
        for step in range(5):
            for sender in range(1, 5):
                reports = [a_report(UNITS[sender], 10 * step + number) for number in range(1, 6)]
                answers.append(desk.submit(*reports, sender=sender))
            await asyncio.sleep(0)
        for answer in answers:
            assert codes(await answer.all()) == ["accepted"] * 5
    for sender in range(1, 5):
        revisions = [each.revision for each in memory.record if each.unit == UNITS[sender]]
        assert revisions == sorted(revisions)


async def test_outcomes_are_flushed_once_per_batch_and_request(desk: Desk, memory: MemoryJournal) -> None:
    """A request whose reports are in one batch is flushed once, when all are resolved."""
    with memory.paused():
        desk.submit(a_report("b-6"))
        await memory.wait_append_started()
        answer = desk.submit(*[a_report(unit) for unit in UNITS[:5]])
        other = desk.submit(a_report("b-1"), sender=2)
    await answer.all()
    await other.all()
    assert (answer.flushed, other.flushed) == ([5], [1])


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The units of the reports that the rules have judged."""
    units: list[str] = []

    judge = Evaluator.judge

    def noting(evaluator: Evaluator, token: int, valid: ValidReport, policy: Policy) -> Judged:
        units.append(valid.report.unit)
        return judge(evaluator, token, valid, policy)

    monkeypatch.setattr(Evaluator, "judge", noting)
    return units


async def judged_everything(judged: Sequence[str], units: Sequence[str]) -> None:
    """Wait until reports of these units were judged, in this order."""
    async with asyncio.timeout(TIMEOUT_S):
        while list(judged) != list(units):  # noqa: ASYNC110 - set by a method
            await asyncio.sleep(0.001)


async def test_reports_that_arrive_while_a_batch_commits_are_judged_meanwhile_and_only_once(
    desk: Desk, memory: MemoryJournal, judged: list[str]
) -> None:
    """As if that batch were committed: what it grows by warns of what repeats it, in the next batch."""
    with memory.paused():
        first = desk.submit(a_report("a-1", votes=300))
        await memory.wait_append_started()
        others = [desk.submit(a_report(unit, votes=300), sender=2) for unit in ("a-2", "b-1")]
        await judged_everything(judged, ["a-1", "a-2", "b-1"])
        assert not memory.record
        last = desk.submit(a_report("b-2", votes=1))
        await judged_everything(judged, ["a-1", "a-2", "b-1", "b-2"])
    receipts = [(await answer.all())[0] for answer in (first, *others, last)]
    assert [len(batch) for batch in memory.batches] == [1, 3]
    assert judged == ["a-1", "a-2", "b-1", "b-2"]
    rules = [{code for code in receipt.warnings if code in RULES} for receipt in receipts]
    assert "duplicate_within" in rules[1]
    assert "duplicate_elsewhere" in rules[2]
    assert not rules[0] & {"duplicate_within", "duplicate_elsewhere"}
    assert not rules[3] & {"duplicate_within", "duplicate_elsewhere"}


async def test_reports_judged_ahead_are_judged_again_if_the_batch_before_them_is_not_committed(
    desk: Desk, memory: MemoryJournal, judged: list[str]
) -> None:
    """Nothing that was not committed is compared with; all that waited are answered and may be pushed again."""
    with memory.paused():
        memory.fail_next(UNAVAILABLE)
        first = desk.submit(a_report("a-1", votes=300))
        await memory.wait_append_started()
        second = desk.submit(a_report("b-1", votes=300), sender=2)
        await judged_everything(judged, ["a-1", "b-1"])
    assert codes([*await first.all(), *await second.all()]) == ["journal_unavailable"] * 2
    await desk.wait_available()
    (receipt,) = await desk.push(a_report("b-1", votes=300), sender=2)
    assert "duplicate_elsewhere" not in receipt.warnings
    (receipt,) = await desk.push(a_report("a-1", votes=300))
    assert "duplicate_elsewhere" in receipt.warnings


async def test_reports_judged_ahead_are_judged_again_by_another_version_of_the_election(
    desk: Desk, memory: MemoryJournal, judged: list[str]
) -> None:
    """A change of the election while a batch commits applies to the next one."""
    with memory.paused():
        first = desk.submit(a_report("a-1", votes=300))
        await memory.wait_append_started()
        second = desk.submit(a_report("b-1", votes=300), sender=2)
        await judged_everything(judged, ["a-1", "b-1"])
        desk.change()
    assert codes([*await first.all(), *await second.all()]) == ["accepted"] * 2
    assert judged == ["a-1", "b-1", "a-1", "b-1"]


async def test_a_change_that_the_process_has_followed_costs_no_append(
    desk: Desk, memory: MemoryJournal
) -> None:
    """Reports that were submitted before are checked again, and all are appended by the new version at once."""
    before = desk.submit(a_report("a-1"))
    desk.change()
    desk.writer.follow(desk.election)
    after = desk.submit(a_report("a-2"))
    assert codes([*await before.all(), *await after.all()]) == ["accepted"] * 2
    assert desk.renewed == 0
    assert memory.batches == [[("a-1", 1), ("a-2", 1)]]


async def test_half_of_a_batch_is_divided_among_all_who_wait_when_it_begins(
    memory: MemoryJournal, judged: list[str]
) -> None:
    """Of a sender with many reports, only half of a batch is judged ahead, so it delays nobody by a batch."""
    desk = Desk(memory, a_version(tokens=EVERYBODY), batch_max=16)
    async with working(desk):
        with memory.paused():
            desk.submit(a_report("a-1"))
            await memory.wait_append_started()
            desk.submit(*[a_report("a-2", revision) for revision in range(1, 20)])
            await judged_everything(judged, ["a-1", *["a-2"] * 8])
            other = desk.submit(a_report("b-1"), sender=2)
        await other.all()
    assert ("b-1", 1) in memory.batches[1]


async def test_every_outcome_is_as_the_contract_defines_it(desk: Desk, memory: MemoryJournal) -> None:
    """One batch with each row of the contract's table; no report affects another."""
    (first,) = await desk.push(a_report("a-1", 5))
    outcomes = await desk.push(
        a_report("a-1", 4),
        a_report("a-2", 1),
        a_report("a-1", 5),
        a_report("a-1", 5, votes=1),
        a_report("a-1", 6, votes=11),
    )
    assert codes(outcomes) == ["stale_revision", "accepted", "duplicate", "revision_conflict", "accepted"]
    stale, accepted, duplicate, conflict, newer = outcomes
    assert stale == Refusal("stale_revision", "a-1", 4, current_revision=5)
    assert conflict == Refusal("revision_conflict", "a-1", 5, current_revision=5)
    assert duplicate == Receipt(
        unit="a-1",
        revision=5,
        duplicate=True,
        sequence=1,
        digest=a_report("a-1", 5).digest,
        accepted_at=first.accepted_at,
        published_at=first.published_at,
        warnings=(),
    )
    assert (accepted.sequence, newer.sequence) == (2, 3)
    assert newer.accepted_at == newer.published_at == memory.record[2].accepted_at


async def test_an_embargoed_receipt_shows_no_sequence() -> None:
    """Under embargo it has neither a sequence nor a time of publication; repeated after the release, it has both."""
    memory = MemoryJournal(publish_from=datetime.now(UTC) + FAR)
    desk = Desk(memory, a_version(tokens=EVERYBODY, released=False))
    async with working(desk):
        (first,) = await desk.push(a_report())
        assert (first.sequence, first.published_at) == (None, None)
        assert not desk.writer.released
        memory.publish_from = datetime.now(UTC)
        again, new = await desk.push(a_report(), a_report(revision=2, votes=11))
    assert desk.writer.released
    assert (again.duplicate, again.sequence, again.accepted_at) == (True, 1, first.accepted_at)
    assert again.published_at == new.published_at == memory.released_at
    assert new.sequence == 2


async def test_a_requested_append_lifts_an_embargo_without_a_report() -> None:
    """The append that it makes is empty."""
    memory = MemoryJournal()
    desk = Desk(memory, a_version(tokens=EVERYBODY, released=False))
    async with working(desk):
        desk.writer.request_append()
        await memory.wait_append_started()
    assert memory.batches == [[]]
    assert memory.released_at is not None
    assert desk.writer.released


async def test_a_release_that_a_failover_lost_is_repeated() -> None:
    """If a version shows no release, the next requested append lifts the embargo again."""
    memory = MemoryJournal()
    desk = Desk(memory, a_version(tokens=EVERYBODY))
    async with working(desk):
        await desk.push(a_report())
        assert desk.writer.released
        memory.released_at = None
        desk.writer.follow(a_version(version=2, tokens=EVERYBODY, released=False))
        assert not desk.writer.released
        desk.writer.request_append()
    assert memory.released_at is not None
    assert desk.writer.released


async def test_a_closed_election_refuses_each_new_report(desk: Desk, memory: MemoryJournal) -> None:
    """New reports are refused with the unit's current revision; accepted ones still have their receipts."""
    await desk.push(a_report("a-1", 3))
    memory.closed = True
    outcomes = await desk.push(
        a_report("a-1", 9), a_report("a-1", 8), a_report("a-1", 3), a_report("a-1", 2), a_report("a-2", 1)
    )
    assert outcomes[:2] == [
        Refusal("election_closed", "a-1", 9, current_revision=3),
        Refusal("election_closed", "a-1", 8, current_revision=3),
    ]
    assert codes(outcomes[2:]) == ["duplicate", "stale_revision", "election_closed"]
    assert outcomes[4].current_revision is None


async def test_the_current_reports_of_a_closed_election_are_dropped(
    desk: Desk, memory: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No rule needs them any more; reports are answered as before."""
    alive: weakref.WeakSet[Evaluator] = weakref.WeakSet()

    class Counted(Evaluator):
        def __init__(self, registry: Registry, *, clock: Clock) -> None:
            super().__init__(registry, clock=clock)
            alive.add(self)

    monkeypatch.setattr(judging, "Evaluator", Counted)
    desk.change(registry=read_registry(a_registry()))  # another registry, and so another evaluator
    desk.writer.follow(desk.election)
    assert codes(await desk.push(a_report("a-1", 3))) == ["accepted"]
    assert len(alive) == 1
    memory.closed = True
    desk.change(registry=desk.election.registry, closed=True)
    desk.writer.follow(desk.election)
    async with asyncio.timeout(TIMEOUT_S):
        while alive:
            gc.collect()
            await asyncio.sleep(0.001)
    assert not desk.writer._predecessors._recent
    assert codes(await desk.push(a_report("a-1", 3), a_report("a-1", 4))) == ["duplicate", "election_closed"]
    assert not alive


async def test_appends_are_counted(desk: Desk) -> None:
    """Each commit and the number of its reports are in the metrics."""
    await desk.push(a_report("a-1"), a_report("a-2"), a_report("a-3"))
    await desk.push(a_report("a-4"))
    assert desk.metrics.registry.get_sample_value("valgnatt_batch_reports_sum") == 4
    assert desk.metrics.registry.get_sample_value("valgnatt_commit_seconds_count") == 2


# What Postgres will not take.


@pytest.mark.parametrize("bad", [{"a-3"}, {"a-1"}, {"b-6"}, {"a-2", "a-3", "b-5"}, set(UNITS)])
async def test_a_report_that_cannot_be_stored_affects_no_other(
    desk: Desk, memory: MemoryJournal, bad: set[str]
) -> None:
    """The batch is split until only that report is refused; the others are accepted in the order sent."""
    memory.unstorable = bad
    outcomes = await desk.push(*[a_report(unit) for unit in UNITS])
    for unit, outcome in zip(UNITS, outcomes, strict=True):
        assert outcome.unit == unit
        assert codes([outcome]) == ["unstorable" if unit in bad else "accepted"]
    assert [each.unit for each in memory.record] == [unit for unit in UNITS if unit not in bad]


async def test_a_split_that_is_interrupted_decides_nothing(desk: Desk, memory: MemoryJournal) -> None:
    """If the journal becomes unavailable between two halves, the whole batch is answered `retry`."""
    memory.unstorable = {"a-1"}
    reports = [a_report(unit) for unit in ("a-2", "a-1", "a-3", "a-4")]
    for _ in range(4):
        memory.fail_next(None)
    memory.fail_next(UNAVAILABLE)
    assert codes(await desk.push(*reports)) == ["journal_unavailable"] * 4
    assert memory.batches[:5] == [
        [("a-2", 1), ("a-1", 1), ("a-3", 1), ("a-4", 1)],
        [("a-2", 1), ("a-1", 1)],
        [("a-2", 1)],
        [("a-1", 1)],
        [("a-3", 1), ("a-4", 1)],
    ]
    await desk.wait_available()
    assert codes(await desk.push(*reports)) == ["duplicate", "unstorable", "accepted", "accepted"]


async def test_a_report_that_was_refused_before_its_batch_is_split_is_answered(
    desk: Desk, memory: MemoryJournal
) -> None:
    """One whose token was revoked meanwhile, in a batch with one that cannot be stored."""
    memory.unstorable = {"a-2"}
    with memory.paused():
        desk.submit(a_report("b-1"), sender=3)
        await memory.wait_append_started()
        revoked = desk.submit(a_report("a-1"), sender=1)
        others = desk.submit(a_report("a-2"), a_report("a-3"), sender=2)
        desk.change(tokens=[a_token(2), a_token(3)])
    async with asyncio.timeout(10.0):
        assert codes(await revoked.all()) == ["token_revoked"]
        assert codes(await others.all()) == ["unstorable", "accepted"]


# The journal becomes unavailable.


async def test_an_unavailable_journal_is_answered_retry_until_it_is_back(
    desk: Desk, memory: MemoryJournal
) -> None:
    """The batch and all reports that wait are answered `retry`; the writer continues when the journal is back."""
    with memory.paused():
        first = desk.submit(a_report("a-1"))
        await memory.wait_append_started()
        waiting = desk.submit(a_report("a-2"), a_report("a-3"), sender=2)
        memory.fail_next(UNAVAILABLE)
        memory.fail_next(UNAVAILABLE)
    outcomes = await first.all() + await waiting.all()
    assert codes(outcomes) == ["journal_unavailable"] * 3
    assert all(isinstance(each, Retry) and each.retry_after_s > 0 for each in outcomes)
    assert [each.unit for each in outcomes] == ["a-1", "a-2", "a-3"]
    await desk.wait_available()
    assert desk.availability == [False, True]
    assert codes(await desk.push(a_report("a-1"), a_report("a-2"))) == ["accepted"] * 2


async def test_reports_submitted_while_the_journal_is_unavailable_are_answered(
    desk: Desk, memory: MemoryJournal
) -> None:
    """No report waits until Postgres is back."""
    for _ in range(50):
        memory.fail_next(UNAVAILABLE)
    await desk.push(a_report("a-1"))
    assert not desk.writer.available
    assert codes(await desk.push(a_report("a-2"))) == ["journal_unavailable"]
    await desk.wait_available()
    assert memory.record == []


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("before", [0, 1, 3])
async def test_no_later_revision_is_accepted_after_an_earlier_one_was_answered_retry(
    memory: MemoryJournal, before: int, committed: bool
) -> None:
    """If one commit of a request fails, all that wait are answered `retry`; repeated, all are accepted."""
    revisions = [a_report(revision=revision) for revision in range(1, 6)]
    desk = Desk(memory, a_version(tokens=EVERYBODY), batch_max=1)
    async with working(desk):
        for _ in range(before):
            memory.fail_next(None)
        memory.fail_next(UNAVAILABLE, committed=committed)
        answer, later = desk.submit(*revisions), desk.submit(a_report(revision=6))
        outcomes = codes(await answer.all() + await later.all())
        assert outcomes == ["accepted"] * before + ["journal_unavailable"] * (6 - before)
        await desk.wait_available()
        again = codes(await desk.push(*revisions, a_report(revision=6)))
        known = before + committed
        assert again == ["duplicate"] * known + ["accepted"] * (6 - known)
    assert [each.revision for each in memory.record] == [1, 2, 3, 4, 5, 6]


async def test_a_lost_answer_is_repaired_by_sending_again(desk: Desk, memory: MemoryJournal) -> None:
    """If the answer to a commit is lost, its reports are answered `retry`, and then get their first receipts."""
    memory.fail_next(UNAVAILABLE, committed=True)
    assert codes(await desk.push(a_report("a-1"), a_report("a-2"))) == ["journal_unavailable"] * 2
    await desk.wait_available()
    again = await desk.push(a_report("a-1"), a_report("a-2"), a_report("a-3"))
    assert codes(again) == ["duplicate", "duplicate", "accepted"]
    assert [each.sequence for each in again] == [1, 2, 3]
    assert again[0].accepted_at == memory.record[0].accepted_at


class BreakingLock(MemoryJournal):
    """A journal whose connection breaks once, after a commit under the head lock."""

    breaks = True

    @asynccontextmanager
    async def locked(self, election: int, version: int, known: Ends) -> AsyncIterator[MemoryLock]:
        """See `Journal.locked`."""
        async with super().locked(election, version, known) as lock:
            yield lock
        if self.breaks:
            self.breaks = False
            raise UNAVAILABLE


async def test_a_connection_that_breaks_after_a_commit_under_the_lock_only_loses_the_answer() -> None:
    """Another process places a report first, so the lock is taken; a report sent again gets its first receipt."""
    journal = BreakingLock()
    desk = Desk(journal, a_version(tokens=EVERYBODY))
    async with working(desk):
        await desk.push(a_report("a-1"))
        await journal.append(journal.key, journal.version, [a_report("a-2")], [PASSED])
        assert codes(await desk.push(a_report("a-3"))) == ["journal_unavailable"]
        await desk.wait_available()
        assert codes(await desk.push(a_report("a-3"), a_report("a-4"))) == ["duplicate", "accepted"]
    assert [each.unit for each in journal.record] == ["a-1", "a-2", "a-3", "a-4"]


async def test_a_receipt_needs_its_predecessor(desk: Desk, memory: MemoryJournal) -> None:
    """If the journal fails between commit and warnings, the answer is `retry`, not an incomplete receipt."""
    await desk.push(a_report(revision=1))
    memory.predecessors_error = UNAVAILABLE
    assert codes(await desk.push(a_report(revision=1))) == ["journal_unavailable"]
    memory.predecessors_error = None
    assert codes(await desk.push(a_report(revision=1))) == ["duplicate"]


async def test_an_election_that_was_removed_is_answered_retry_until_it_is_back(
    desk: Desk, memory: MemoryJournal
) -> None:
    """Its reports are answered `retry`; once it is loaded again, under another key, they are accepted."""
    memory.key = 2
    desk.renew_error = ElectionUnknown("gone")
    assert codes(await desk.push(a_report())) == ["journal_unavailable"]
    assert codes(await desk.push(a_report())) == ["journal_unavailable"]
    desk.change()
    desk.renew_error = None
    await desk.wait_available()
    assert codes(await desk.push(a_report())) == ["accepted"]


# The end.


async def test_closing_commits_the_reports_that_wait(memory: MemoryJournal) -> None:
    """The last batches are committed and answered, then the writer ends; no new report is accepted."""
    desk = Desk(memory, a_version(tokens=EVERYBODY), batch_max=2)
    async with asyncio.TaskGroup() as parts:
        with memory.paused():
            writing = parts.create_task(desk.writer.run())
            answer = desk.submit(*[a_report(unit) for unit in UNITS])
            await memory.wait_append_started()
            desk.writer.close()
            with pytest.raises(Draining):
                desk.submit(a_report("b-6", 2))
            assert not writing.done()
    assert answer.done()
    assert codes(await answer.all()) == ["accepted"] * len(UNITS)


async def test_closing_while_the_journal_is_unavailable_answers_and_ends(memory: MemoryJournal) -> None:
    """Draining does not wait for an unavailable Postgres."""
    desk = Desk(memory, a_version(tokens=EVERYBODY))
    for _ in range(10_000):
        memory.fail_next(UNAVAILABLE)
    async with working(desk):
        await desk.push(a_report("a-1"))
        last = desk.submit(a_report("a-2"))
    assert codes(await last.all()) == ["journal_unavailable"]


async def test_closing_while_an_append_fails_tries_no_other(memory: MemoryJournal) -> None:
    """Once Postgres is unavailable, reports are answered `retry` at once: an attempt might take seconds."""
    desk = Desk(memory, a_version(tokens=EVERYBODY), batch_max=1)
    async with working(desk):
        with memory.paused():
            answer = desk.submit(*[a_report(unit) for unit in UNITS])
            await memory.wait_append_started()
            desk.writer.close()
            memory.fail_next(UNAVAILABLE)
    assert codes(await answer.all()) == ["journal_unavailable"] + ["draining"] * (len(UNITS) - 1)
    assert len(memory.batches) == 1


async def test_a_writer_with_nothing_to_do_ends_when_closed(memory: MemoryJournal) -> None:
    """It makes no append for that."""
    async with working(Desk(memory, a_version())):
        await asyncio.sleep(0)
    assert memory.batches == []


async def test_cancellation_answers_every_report(memory: MemoryJournal) -> None:
    """A batch in flight may be durable or not, reports that wait are not: all are answered `retry`."""
    desk = Desk(memory, a_version(tokens=EVERYBODY), batch_max=2)
    with memory.paused():
        writing = asyncio.create_task(desk.writer.run())
        answer = desk.submit(a_report("a-1"), a_report("a-2"), a_report("a-3"))
        other = desk.submit(a_report("b-1"), sender=2)
        await memory.wait_append_started()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    assert codes(await answer.all() + await other.all()) == ["draining"] * 4


async def test_cancellation_while_the_journal_is_unavailable_answers_every_report(
    memory: MemoryJournal,
) -> None:
    """Including reports that arrived after the batch that failed."""
    desk = Desk(memory, a_version(tokens=EVERYBODY))
    writing = asyncio.create_task(desk.writer.run())
    for _ in range(10_000):
        memory.fail_next(UNAVAILABLE)
    await desk.push(a_report("a-1"))
    last = desk.submit(a_report("a-2"))
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert codes(await last.all())[0] in ("draining", "journal_unavailable")


async def test_an_internal_error_answers_every_report_and_propagates(memory: MemoryJournal) -> None:
    """It will end the process; before that, every report is answered."""
    desk = Desk(memory, a_version(tokens=EVERYBODY), batch_max=1)
    memory.fail_next(ZeroDivisionError("a mistake"))
    answer = desk.submit(a_report("a-1"), a_report("a-2"))
    with pytest.RaisesGroup(ZeroDivisionError):
        await desk.writer.run()
    assert codes(await answer.all()) == ["draining"] * 2


async def test_an_internal_error_while_a_batch_is_answered_answers_every_report(
    memory: MemoryJournal,
) -> None:
    """One batch is committed and another in flight: both are answered `retry`, and the writer ends."""
    desk = Desk(memory, a_version(tokens=EVERYBODY), batch_max=1)
    memory.place(a_report("a-1"))
    memory.predecessors_error = ZeroDivisionError("a mistake")
    answer = desk.submit(a_report("a-1"), a_report("a-2"), a_report("a-3"))
    with pytest.RaisesGroup(ZeroDivisionError):
        await desk.writer.run()
    assert codes(await answer.all()) == ["draining"] * 3


async def test_cancellation_while_a_batch_is_answered_answers_it(memory: MemoryJournal) -> None:
    """It is committed; repeated, its reports get their receipts."""
    desk = Desk(memory, a_version(tokens=EVERYBODY))
    memory.place(a_report("a-1"))
    answer = desk.submit(a_report("a-1"))
    with memory.predecessors_paused():
        writing = asyncio.create_task(desk.writer.run())
        await memory.wait_predecessors_called()
        assert desk.writer.oldest_at is not None
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    assert codes(await answer.all()) == ["draining"]
    assert desk.writer.oldest_at is None


# The election changes.


async def test_a_revoked_token_stops_its_waiting_reports_and_no_others(
    desk: Desk, memory: MemoryJournal
) -> None:
    """Its report is refused with `token_revoked`; others of the same batch are accepted."""
    with memory.paused():
        desk.submit(a_report("b-1"), sender=3)
        await memory.wait_append_started()
        revoked = desk.submit(a_report("a-1"), sender=1)
        other = desk.submit(a_report("a-2"), sender=2)
        desk.change(tokens=[a_token(2), a_token(3)])
    assert await revoked.all() == [Refusal("token_revoked", "a-1", 1)]
    assert codes(await other.all()) == ["accepted"]


async def test_a_revoked_token_stops_reports_that_wait_behind_the_batch_that_noticed(
    memory: MemoryJournal,
) -> None:
    """A report is checked by the election as it is at its own commit, however long it waited."""
    desk = Desk(memory, a_version(tokens=EVERYBODY), batch_max=2)
    async with working(desk):
        with memory.paused():
            noticing = desk.submit(a_report("b-1"), sender=2)
            await memory.wait_append_started()
            behind = desk.submit(*[a_report(unit) for unit in UNITS[:5]], sender=1)
            desk.change(tokens=[a_token(2)])
        assert codes(await noticing.all()) == ["accepted"]
        assert codes(await behind.all()) == ["token_revoked"] * 5
    assert [each.unit for each in memory.record] == ["b-1"]


async def test_a_token_with_fewer_areas_stops_reports_outside_them(desk: Desk, memory: MemoryJournal) -> None:
    """When it is checked again, a report must be within the areas that its token has now."""
    desk.change(tokens=[a_token(1, "a")])
    outcomes = await desk.push(a_report("a-1"), a_report("b-1"))
    assert codes(outcomes) == ["accepted", "unit_forbidden"]


async def test_reports_are_checked_again_by_a_replaced_registry(desk: Desk, memory: MemoryJournal) -> None:
    """Reports that the new one does not allow are refused with every violation; the others are accepted."""
    document = a_registry()
    document["areas"] = [each for each in document["areas"] if each["id"] != "a-2"]
    document["parties"] = [{"code": code, "name": code} for code in "AC"]
    desk.change(registry=read_registry(document))
    outcomes = await desk.push(
        a_report("a-1"),
        a_report("a-2"),
        a_report(
            "a-3", counts={"advance": {"ballots": 3, "blank": 0, "rejected": 0, "votes": {"A": 1, "B": 2}}}
        ),
    )
    assert codes(outcomes) == ["accepted", "invalid_report", "invalid_report"]
    assert [each.path for each in outcomes[1].violations] == ["$.unit"]
    assert [each.path for each in outcomes[2].violations] == ["$.counts.advance.votes.B"]


async def test_a_batch_of_which_no_report_is_left_is_answered(desk: Desk, memory: MemoryJournal) -> None:
    """Its append is empty."""
    desk.change(tokens=[])
    assert codes(await desk.push(a_report("a-1"), a_report("a-2"))) == ["token_revoked"] * 2
    assert memory.batches == [[("a-1", 1), ("a-2", 1)], []]


async def test_an_election_that_keeps_changing_is_answered_retry(desk: Desk, memory: MemoryJournal) -> None:
    """After a number of attempts."""
    for _ in range(11):
        memory.fail_next(VersionChanged("again"))
    assert codes(await desk.push(a_report())) == ["journal_unavailable"]
    await desk.wait_available()
    assert codes(await desk.push(a_report())) == ["accepted"]


async def test_a_journal_unavailable_while_checking_again_is_answered_retry(
    desk: Desk, memory: MemoryJournal
) -> None:
    """Including reports that would be refused: nothing is decided."""
    desk.change(tokens=[a_token(2)])
    desk.renew_error = UNAVAILABLE
    assert codes(await desk.push(a_report("a-1"))) == ["journal_unavailable"]
    desk.renew_error = None
    await desk.wait_available()
    assert codes(await desk.push(a_report("a-1"), sender=2)) == ["accepted"]


# Warnings.


def fuller(unit: str, revision: int, votes: int, status: str = "final") -> ValidReport:
    return a_report(unit, revision, votes, status=status)


STORY = [
    (fuller("a-1", 1, 50), ()),
    (fuller("a-1", 2, ELIGIBLE + 1), ("above_eligible",)),
    (fuller("a-1", 4, 40, "counting"), ("figures_fell", "status_back")),
    (fuller("a-1", 5, 40, "counting"), ("unchanged",)),
    (fuller("a-2", 3, ELIGIBLE + 5), ("above_eligible",)),
    (fuller("a-2", 4, ELIGIBLE + 5), ("above_eligible", "unchanged")),
]
"""Reports and what is unusual about each."""


@pytest.mark.parametrize("kept", [20_000, 1, 0])
@pytest.mark.parametrize("batched", [True, False])
async def test_a_duplicate_has_the_warnings_of_its_first_receipt(
    memory: MemoryJournal, monkeypatch: pytest.MonkeyPatch, kept: int, batched: bool
) -> None:
    """In one batch or in several, from memory or from the journal, by this writer or by a new one."""
    monkeypatch.setattr(predecessors_module, "PREDECESSORS_MAX", kept)
    reports, expected = [each for each, _ in STORY], [warnings for _, warnings in STORY]
    desk = Desk(memory, a_version(tokens=EVERYBODY))
    async with working(desk):
        if batched:
            first = await desk.push(*reports)
        else:
            first = [(await desk.push(each))[0] for each in reports]
        again = await desk.push(*reports)
    cold = Desk(memory, desk.election)
    async with working(cold):
        in_a_new_process = await cold.push(*reversed(reports))
    assert codes(first) == ["accepted"] * len(STORY)
    assert [each.warnings for each in first] == expected
    assert codes(again) == codes(in_a_new_process) == ["duplicate"] * len(STORY)
    assert [each.warnings for each in again] == expected
    assert [each.warnings for each in reversed(in_a_new_process)] == expected


async def test_a_new_report_is_compared_with_what_another_process_accepted(memory: MemoryJournal) -> None:
    """The report of the unit that this process remembers may be older."""
    one, other = Desk(memory, a_version(tokens=EVERYBODY)), Desk(memory, a_version(tokens=EVERYBODY))
    async with working(one), working(other):
        await one.push(fuller("a-1", 1, 10))
        await other.push(fuller("a-1", 2, 50))
        (receipt,) = await one.push(fuller("a-1", 3, 30))
    assert receipt.warnings == ("figures_fell",)


# Every report is answered once.

_reports = st.builds(a_report, st.sampled_from(UNITS[:4]), st.integers(1, 4), st.integers(1, 3))
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(1, 3), st.lists(_reports, min_size=1, max_size=5)),
        st.tuples(
            st.just("fail"),
            st.sampled_from([UNAVAILABLE, VersionChanged("now and then"), ElectionUnknown("gone")]),
            st.booleans(),
        ),
        st.tuples(st.just("unstorable"), st.sampled_from([set(), {"a-1"}, {"a-2", "a-4"}]), st.none()),
        st.tuples(st.just("revoke"), st.integers(1, 3), st.none()),
        st.tuples(st.just("predecessors"), st.booleans(), st.none()),
        st.tuples(st.just("let it work"), st.integers(1, 6), st.none()),
    ),
    max_size=25,
)


@given(steps=_steps, batch_max=st.integers(1, 6), cancelled=st.booleans())
@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_every_report_submitted_is_resolved_exactly_once(
    steps: list[tuple[Any, ...]], batch_max: int, cancelled: bool
) -> None:
    """Whatever fails and whenever the writer ends; and there is a receipt exactly for each report in the journal."""
    memory = MemoryJournal()
    desk = Desk(memory, a_version(tokens=EVERYBODY), batch_max=batch_max)
    writing = asyncio.create_task(desk.writer.run())
    await asyncio.sleep(0)
    answers: list[Gathered] = []
    for kind, one, two in steps:
        if kind == "submit":
            answers.append(desk.submit(*two, sender=one))
        elif kind == "fail":
            memory.fail_next(one, committed=two)
        elif kind == "unstorable":
            memory.unstorable = one
        elif kind == "revoke":
            desk.change(tokens=[each for each in EVERYBODY if each.key != one])
        elif kind == "predecessors":
            memory.predecessors_error = UNAVAILABLE if one else None
        else:
            for _ in range(one):
                await asyncio.sleep(0)
    if cancelled:
        writing.cancel()
    desk.writer.close()
    async with asyncio.timeout(TIMEOUT_S):
        with contextlib.suppress(asyncio.CancelledError):
            await writing
    for answer in answers:
        assert answer.done()
        assert answer.flushed[-1] == answer.expected
        for outcome in answer.outcomes.values():
            if isinstance(outcome, Receipt) and outcome.duplicate:
                placed = memory.find(outcome.unit, outcome.revision)
                assert placed is not None
                assert (placed.sequence, placed.accepted_at) == (outcome.sequence, outcome.accepted_at)
    accepted = [
        outcome.sequence
        for answer in answers
        for outcome in answer.outcomes.values()
        if isinstance(outcome, Receipt) and not outcome.duplicate
    ]
    assert len(accepted) == len(set(accepted))
    assert set(accepted) <= {each.sequence for each in memory.record}


# On Postgres.


class Real:
    """A writer on Postgres, wired as the push door wires it."""

    def __init__(self, desk: Desk, key: int, election: str) -> None:
        self.desk = desk
        self.key = key
        self.election = election


Open = Callable[[], contextlib.AbstractAsyncContextManager[Real]]


@pytest.fixture
def opened(journal: PostgresJournal, acts: Administration) -> Open:
    """Open a writer for a new election with two tokens, of which the first is that of sender 1."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Real]:
        election = await acts.load_election(a_registry())
        await acts.issue_tokens(election, [(["no"], ""), (["no"], "")])
        elections = Elections(journal, lambda _: None)
        version = await elections.find(election)
        desk = Desk(journal, version)
        desk.writer._renew = lambda: elections.renew(election)
        async with working(desk):
            yield Real(desk, version.key, election)

    return opened


async def senders(acts: Administration, election: str) -> list[int]:
    """The keys of an election's tokens."""
    return [token.key for token in await acts.tokens(election)]


async def test_a_report_that_postgres_refuses_affects_no_other(
    opened: Open, acts: Administration, owner: Connection
) -> None:
    """A database error that is due to one row costs that row only."""
    async with opened() as real:
        (sender, _) = await senders(acts, real.election)
        await refuse_in_postgres(owner, real.key, "a-3")
        outcomes = await real.desk.push(*[a_report(unit) for unit in UNITS], sender=sender)
    assert codes(outcomes) == ["accepted", "accepted", "unstorable"] + ["accepted"] * (len(UNITS) - 3)
    units = await owner.fetch("SELECT unit FROM report WHERE election = $1 ORDER BY sequence", real.key)
    assert [row[0] for row in units] == [unit for unit in UNITS if unit != "a-3"]


async def test_a_token_revoked_in_postgres_stops_its_waiting_reports(
    opened: Open, acts: Administration, owner: Connection
) -> None:
    """The writer's copy of the tokens is older than the act, and yet none is accepted."""
    async with opened() as real:
        first, second = await senders(acts, real.election)
        assert codes(await real.desk.push(a_report("a-1"), sender=first)) == ["accepted"]
        await acts.revoke_token(first)
        revoked = real.desk.submit(a_report("a-2"), sender=first)
        other = real.desk.submit(a_report("a-3"), sender=second)
        assert codes(await revoked.all() + await other.all()) == ["token_revoked", "accepted"]


async def test_receipts_from_postgres_are_complete(opened: Open, acts: Administration) -> None:
    """Warnings, sequences and times of first and repeated reports are read as they were written."""
    async with opened() as real:
        (sender, _) = await senders(acts, real.election)
        reports, expected = [each for each, _ in STORY], [warnings for _, warnings in STORY]
        first = await real.desk.push(*reports, sender=sender)
        again = await real.desk.push(*reports, sender=sender)
    assert codes(first) == ["accepted"] * len(STORY)
    assert codes(again) == ["duplicate"] * len(STORY)
    for one, other in zip(first, again, strict=True):
        assert (one.sequence, one.accepted_at, one.published_at, one.digest, one.warnings) == (
            other.sequence,
            other.accepted_at,
            other.published_at,
            other.digest,
            other.warnings,
        )
    assert [each.warnings for each in first] == expected
    assert [each.sequence for each in first] == list(range(1, len(STORY) + 1))
