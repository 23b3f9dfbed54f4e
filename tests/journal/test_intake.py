"""Intake: accepting reports over any transport. The one here has neither HTTP nor WebSockets."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from gateway.config import Config
from gateway.election.outcome import Outcome, Receipt, Refusal, Retry
from gateway.election.registry_reading import read_registry
from gateway.election.validation import ValidReport
from gateway.errors import (
    Draining,
    ElectionUnknown,
    JournalUnavailable,
    Overloaded,
    RoleForbidden,
    TokenInvalid,
    TokenMissing,
)
from gateway.journal.continuation import Continuation
from gateway.journal.decisions import Appended, Ends, Evaluated
from gateway.journal.elections import Token
from gateway.journal.intake import Intake, OpenElection, Socket, require_sender
from gateway.journal.postgres import ElectionRow, PostgresJournal, TokenRow
from gateway.journal.writer import BatchWriter, PendingReport
from gateway.telemetry.metrics import PushMetrics
from tests.journal.makers import FAR, TIMEOUT_S, a_registry, a_report, a_token
from tests.journal.memory import MemoryJournal

SECRET = "a secret"


class OneElection(PostgresJournal):
    """The journal of one election, in memory."""

    def __init__(self, publish_from: datetime | None = None) -> None:
        header = {} if publish_from is None else {"publish_from": publish_from.isoformat()}
        self.registry = read_registry(a_registry(**header))
        self.memory = MemoryJournal(publish_from=self.registry.publish_from)
        self.tokens: list[TokenRow] = [a_token(1, digest=hashlib.sha256(SECRET.encode()).digest())]
        self.contacts_recorded: list[dict[int, datetime]] = []
        self.contacts_error: Exception | None = None

    async def versions(self) -> dict[str, tuple[int, bool]]:
        """See `PostgresJournal`."""
        return {self.registry.id: (self.memory.version, self.memory.released_at is not None)}

    async def election(self, identifier: str) -> ElectionRow:
        """See `PostgresJournal`."""
        released = self.memory.released_at is not None
        version = self.memory.version
        publish_from = self.registry.publish_from
        return ElectionRow(1, version, self.registry, publish_from, released, self.memory.closed, self.tokens)

    async def append(
        self,
        election: int,
        version: int,
        reports: list[ValidReport],
        received: list[datetime],
        evaluated: Evaluated | None = None,
        *,
        predecessors: bool = False,
    ) -> Appended:
        """See `PostgresJournal`."""
        return await self.memory.append(
            election, version, reports, received, evaluated, predecessors=predecessors
        )

    async def continuation(self, election: int, known: Ends) -> Continuation:
        """See `PostgresJournal`."""
        return await self.memory.continuation(election, known)

    async def predecessors(self, election: int, reports: list[tuple[str, int]]) -> list[bytes | None]:
        """See `PostgresJournal`."""
        return list(await self.memory.predecessors(election, reports))

    async def record_contacts(self, seen: dict[int, datetime]) -> None:
        """See `PostgresJournal`."""
        if self.contacts_error is not None:
            raise self.contacts_error
        self.contacts_recorded.append(seen)


class Pipe:
    """A transport: a socket that submits what its client pushes as long as it has credit."""

    def __init__(self, election: OpenElection, token: Token) -> None:
        self.token = token
        self.election = election
        self.outcomes: list[Outcome] = []
        self.announced: list[int] = []
        self.ended: str | None = None
        self.retry_after_s: float | None = None
        self.checked_at: list[float] = []
        self._answered = asyncio.Event()
        self.aborted = False

    def push(self, valid: ValidReport, *, in_order: bool = True) -> None:
        """Check a report as it was sent, and submit it."""
        checked = self.election.current.check(valid.body, self.token)
        if isinstance(checked, Refusal):
            self.outcomes.append(checked)
            return
        if not in_order:
            self.outcomes.append(self.election.retry_out_of_order(checked.report))
            return
        pending = PendingReport(self.token.key, checked, datetime.now(UTC), self, 0)
        code = self.election.submit(self, [pending])
        if code is not None:
            self.outcomes.append(self.election.retry(checked.report, code))

    async def answered(self, count: int) -> list[Outcome]:
        """Wait until so many reports are answered."""
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.outcomes) < count:
                self._answered.clear()
                await self._answered.wait()
        return self.outcomes

    def resolve(self, key: int, outcome: Outcome) -> None:
        """See `OutcomeReceiver`."""
        self.election.bank.answered(self)
        self.outcomes.append(outcome)

    def flush(self) -> None:
        """See `OutcomeReceiver`."""
        self._answered.set()

    def announce_credit(self) -> None:
        """See `Socket`."""
        self.announced.append(self.election.bank.adjust(self))

    def deauthorize(self, reason: str) -> None:
        """See `Socket`."""
        self.ended = reason

    def drain(self, retry_after_s: float) -> None:
        """See `Socket`."""
        self.retry_after_s = retry_after_s
        self.election.leave(self)

    def abort(self) -> None:
        """See `Socket`."""
        self.aborted = True
        self.election.leave(self)

    def check_timeouts(self, now: float) -> None:
        """See `Socket`."""
        self.checked_at.append(now)


class DeafPipe(Pipe):
    """One whose client reads nothing, so that it cannot end."""

    def drain(self, retry_after_s: float) -> None:
        """See `Socket`."""


class Site:
    """An intake at work on one election."""

    def __init__(self, journal: OneElection, parts: asyncio.TaskGroup) -> None:
        self.journal = journal
        self.metrics = PushMetrics()
        self.writing: list[asyncio.Task[None]] = []
        self.intake = Intake(Config(), journal, self.metrics, self._start)
        self._parts = parts

    def _start(self, writer: BatchWriter) -> None:
        self.writing.append(self._parts.create_task(writer.run()))

    async def connect(self, secret: str = SECRET) -> Pipe:
        """Open a socket of the transport."""
        election, token = await self.intake.authenticate(self.journal.registry.id, secret)
        require_sender(token)
        socket: Socket = Pipe(election, token)
        assert isinstance(socket, Pipe)
        election.enter(socket)
        return socket


@asynccontextmanager
async def at_work(journal: OneElection | None = None) -> AsyncIterator[Site]:
    """Run an intake without its periodic tasks; leaving drains it."""
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as parts:
        site = Site(journal or OneElection(), parts)
        await site.intake.elections.refresh()
        yield site
        site.intake.drain()


async def test_another_transport_pushes_reports_and_gets_one_outcome_for_each() -> None:
    """It needs the intake and nothing of the other transports."""
    async with at_work() as site:
        pipe = await site.connect()
        pipe.push(a_report("a-1"))
        pipe.push(a_report("a-1"))
        pipe.push(a_report("nowhere"))
        first, second, third = sorted(await pipe.answered(3), key=lambda each: isinstance(each, Receipt))[
            ::-1
        ]
        assert isinstance(first, Receipt)
        assert isinstance(second, Receipt)
        assert {first.duplicate, second.duplicate} == {False, True}
        assert isinstance(third, Refusal)
        assert third.code == "invalid_report"
        assert [placed.unit for placed in site.journal.memory.record] == ["a-1"]


async def test_requests_and_sockets_share_the_writer() -> None:
    """A request is submitted as a whole, beside what sockets submit under credit."""
    async with at_work() as site:
        pipe = await site.connect()
        election = pipe.election
        election.check_room(pipe.token, 10)
        other = Pipe(election, pipe.token)
        other.resolve = lambda _, outcome: other.outcomes.append(outcome)  # type: ignore[method-assign]
        reports = [
            PendingReport(pipe.token.key, a_report("b-1", revision), datetime.now(UTC), other, revision)
            for revision in (1, 2)
        ]
        election.submit_request(pipe.token, reports)
        pipe.push(a_report("a-1"))
        await other.answered(2)
        await pipe.answered(1)
        placed = [(each.unit, each.revision) for each in site.journal.memory.record]
        assert sorted(placed) == [("a-1", 1), ("b-1", 1), ("b-1", 2)]


async def test_senders_are_authenticated() -> None:
    """By an election that exists, a token, its validity and its role."""
    async with at_work() as site:
        intake, election = site.intake, site.journal.registry.id
        with pytest.raises(ElectionUnknown):
            await intake.authenticate("another", SECRET)
        with pytest.raises(TokenMissing):
            await intake.authenticate(election, "")
        with pytest.raises(TokenInvalid):
            await intake.authenticate(election, "wrong")
        _, token = await intake.authenticate(election, SECRET)
        require_sender(token)
        token.role = "operator"
        with pytest.raises(RoleForbidden):
            require_sender(token)


async def test_a_socket_whose_token_is_revoked_or_expires_is_closed() -> None:
    """A new version closes it if the token is gone, and otherwise gives it the token of that version."""
    journal = OneElection()
    async with at_work(journal) as site:
        pipe = await site.connect()
        before = pipe.token
        journal.memory.version += 1
        await site.intake.elections.refresh()
        assert pipe.token is not before
        assert pipe.ended is None

        soon = datetime.now(UTC) + FAR
        journal.tokens = [a_token(1, digest=journal.tokens[0].digest, expires_at=soon)]
        journal.memory.version += 1
        await site.intake.elections.refresh()
        pipe.election.check_sockets(soon - timedelta(seconds=1))
        assert pipe.ended is None
        assert len(pipe.checked_at) == 1
        pipe.election.check_sockets(soon)
        assert pipe.ended == "the token has expired"

        other = await site.connect()
        journal.tokens = []
        journal.memory.version += 1
        await site.intake.elections.refresh()
        assert other.ended == "the token is no longer valid"
        with pytest.raises(TokenInvalid):
            await site.intake.confirm_token(other.election, other.token)


async def test_sockets_learn_of_credit_that_changes() -> None:
    """As others of the same sender come, and as Postgres becomes unavailable."""
    async with at_work() as site:
        first = await site.connect()
        credit = first.election.bank.credit(first)
        await site.connect()
        assert first.announced == [credit // 2]
        first.election.set_available(False)
        assert first.announced[-1] == 0
        first.election.set_available(True)
        assert first.announced[-1] == credit // 2


async def test_a_report_of_a_socket_that_cannot_be_submitted_is_retried() -> None:
    """Out of order, while Postgres is unavailable, or in a drain: it uses no credit, and nothing is queued."""
    async with at_work() as site:
        pipe = await site.connect()
        with site.journal.memory.paused():
            pipe.push(a_report("a-1", revision=7), in_order=False)
            site.journal.memory.fail_next(JournalUnavailable("unavailable"))
            pipe.push(a_report("a-1", revision=8))
            await site.journal.memory.wait_append_started()
        await pipe.answered(2)
        pipe.push(a_report("a-1", revision=9))
        site.intake.drain()
        await asyncio.wait(site.writing)
        pipe.election.writer._available = True
        pipe.push(a_report("a-1", revision=10))
        retries = [each for each in await pipe.answered(4) if isinstance(each, Retry)]
        assert [(each.unit, each.revision, each.code) for each in retries] == [
            ("a-1", 7, "out_of_order"),
            ("a-1", 8, "journal_unavailable"),
            ("a-1", 9, "journal_unavailable"),
            ("a-1", 10, "draining"),
        ]
        assert retries[0].retry_after_s < min(each.retry_after_s for each in retries[2:])
        pipe.election.leave(pipe)
        assert pipe.election.bank.given == 0


async def test_requests_are_refused_while_postgres_is_unavailable() -> None:
    """Before their bodies are read, with the reason that clients may know."""
    async with at_work() as site:
        pipe = await site.connect()
        site.journal.memory.fail_next(JournalUnavailable("secret details"))
        pipe.push(a_report())
        await pipe.answered(1)
        with pytest.raises(JournalUnavailable) as refused:
            pipe.election.check_room(pipe.token, 1)
        assert refused.value.reason == "Postgres does not answer"
        assert str(refused.value) == refused.value.reason


async def test_a_request_that_exceeds_its_senders_share_is_refused() -> None:
    """As a whole: none of its reports is submitted."""
    async with at_work() as site:
        pipe = await site.connect()
        other = Pipe(pipe.election, pipe.token)
        other.resolve = lambda _, outcome: other.outcomes.append(outcome)  # type: ignore[method-assign]
        room = pipe.election.writer.room

        def request(size: int) -> list[PendingReport]:
            reports = [a_report("a-1", revision) for revision in range(1, size + 1)]
            return [PendingReport(1, each, datetime.now(UTC), other, 0) for each in reports]

        with site.journal.memory.paused():
            pipe.election.submit_request(pipe.token, request(room.batch))
            await site.journal.memory.wait_append_started()
            pipe.election.submit_request(pipe.token, request(room.batch))
            waiting = len(room)
            with pytest.raises(Overloaded) as refused:
                pipe.election.submit_request(pipe.token, request(room.most // 2))
            assert refused.value.share
            assert len(room) == waiting == room.batch
        await other.answered(2 * room.batch)


async def test_the_embargo_ends_without_a_report() -> None:
    """An append is made at that moment, and the election is released."""
    journal = OneElection(datetime.now(UTC) + timedelta(seconds=0.3))
    async with at_work(journal) as site:
        running = asyncio.create_task(site.intake.run())
        assert site.intake.released() == set()
        while not site.intake.released():  # noqa: ASYNC110 - the fact is a property of the writer
            await asyncio.sleep(0.01)
        assert journal.memory.released_at is not None
        assert journal.memory.released_at >= journal.registry.publish_from
        running.cancel()
        await asyncio.wait({running})


async def test_contacts_are_kept_until_they_are_recorded() -> None:
    """While Postgres is unavailable, and only the latest of each token."""
    async with at_work() as site:
        await site.connect()
        site.journal.contacts_error = JournalUnavailable("unavailable")
        await site.intake.record_contacts()
        site.journal.contacts_error = None
        await site.connect()
        await site.intake.record_contacts()
        await site.intake.record_contacts()
        (seen,) = site.journal.contacts_recorded
        assert list(seen) == [1]


async def test_draining_closes_every_socket_and_admits_no_sender() -> None:
    """What was submitted is answered first by its writer."""
    async with at_work() as site:
        pipe = await site.connect()
        pipe.push(a_report())
        site.intake.drain()
        await asyncio.wait(site.writing)
        await site.intake.close_sockets(7.0)
        assert pipe.retry_after_s == 7.0
        assert len(await pipe.answered(1)) == 1
        with pytest.raises(Draining):
            await site.connect()


async def test_sockets_that_have_not_ended_when_the_time_to_drain_is_over_are_aborted() -> None:
    """No task waits for their clients any more."""
    async with at_work() as site:
        pipe = await site.connect()
        deaf = DeafPipe(pipe.election, pipe.token)
        pipe.election.enter(deaf)
        site.intake.drain()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await site.intake.close_sockets(7.0)
        assert (pipe.aborted, deaf.aborted) == (False, True)
        assert not pipe.election.sockets


async def test_gauges_count_what_waits() -> None:
    """Sockets, reports that wait, and the age of the oldest."""
    async with at_work() as site:
        pipe = await site.connect()
        with site.journal.memory.paused():
            pipe.push(a_report())
            await site.journal.memory.wait_append_started()
            pipe.push(a_report(revision=2))
            site.intake.refresh_gauges()
            assert site.metrics.sockets._value.get() == 1
            assert site.metrics.waiting._value.get() == 1
            assert site.metrics.oldest_waiting._value.get() > 0.0
            assert site.metrics.available._value.get() == 1
        await pipe.answered(2)
