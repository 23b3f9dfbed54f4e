"""What the simulation assumes about Postgres: each assumption is a sentence that holds for both databases.

Each test runs on the simulated Postgres, for several seeds, and on a real server with a synchronous standby.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.election.record import CHAIN_START
from gateway.election.validation import ValidReport
from gateway.errors import JournalUnavailable, Refused, StandbyMissing
from gateway.journal.db_errors import CommittedLocally, VersionChanged
from gateway.journal.decisions import Appended, Closed, Ends, Evaluated, Known, New, Stale
from gateway.journal.record import FETCHED_MAX
from tests.counts import count, full_only
from tests.journal.makers import PASSED, UNITS, a_report, append, known_sequences, sequences
from tests.simulation.databases import (
    Client,
    Servers,
    Subject,
    run_on_postgres,
    run_simulated,
    servers,
    until,
)
from tests.simulation.histories import Step, history_of

SEEDS = range(count(5, full=100))
HISTORIES, STEPS = range(count(4, full=60)), 30
"""Random histories, and the steps of each."""
FAR = datetime(2100, 1, 1, tzinfo=UTC)
START = Ends(0, CHAIN_START, 0, CHAIN_START)

Test = Callable[[Subject], Awaitable[None]]
Run = Callable[[Test], None]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """The event loop in which the links to the servers run."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def pair(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two servers for all tests of the module."""
    opening = servers(tmp_path_factory.mktemp("pair"))
    yield runner.run(opening.__aenter__())
    runner.run(opening.__aexit__(None, None, None))


def over_seeds(test: Test) -> None:
    """Run a test with a simulated database for several seeds."""
    for seed in SEEDS:
        run_simulated(test, seed)


SIMULATED = pytest.param("simulated")


@pytest.fixture(params=[SIMULATED, pytest.param("postgres", marks=pytest.mark.long)])
def run(request: pytest.FixtureRequest) -> Run:
    """What runs a test with a database."""
    return runner_on(request)


@pytest.fixture(params=[SIMULATED, pytest.param("postgres", marks=[pytest.mark.long, full_only])])
def run_rarely(request: pytest.FixtureRequest) -> Run:
    """The same for a test that takes seconds on real servers."""
    return runner_on(request)


def runner_on(request: pytest.FixtureRequest) -> Run:
    """Return what runs a test with the database that a fixture asks for."""
    if request.param == "simulated":
        return over_seeds
    runner, pair = request.getfixturevalue("runner"), request.getfixturevalue("pair")
    return lambda test: runner.run(run_on_postgres(test, pair))


def appending(db: Subject, client: Client, *reports: ValidReport) -> "asyncio.Task[Appended]":
    """Begin an append."""
    return asyncio.create_task(append(client.journal, db.key, db.version, *reports))


async def appended(db: Subject, client: Client, *reports: ValidReport) -> Appended:
    """Append."""
    return await append(client.journal, db.key, db.version, *reports)


async def record_of(db: Subject, client: Client) -> list[bytes]:
    """Return the reports of the record as a push process sees it, without waiting for any commit."""
    return [each.body for each in (await client.journal.continuation(db.key, START)).reports]


async def shown(db: Subject, client: Client) -> list[bytes]:
    """Return the reports that a feed shows."""
    return [each.body for each in await client.record.publications(db.key, 0, FETCHED_MAX)]


async def confirm(db: Subject, client: Client, done: Appended) -> None:
    """Confirm an append whose commit has returned, as the announcer does."""
    await client.confirmations.confirm(db.key, done.number, done.accepted)


async def one_waits(db: Subject) -> None:
    """Wait until a commit waits for the standby."""

    async def waits() -> bool:
        return await db.commits_waiting() == 1

    await until(waits)


async def waiting_for_lock(db: Subject, number: int) -> None:
    """Wait until so many statements wait for a lock."""

    async def waits() -> bool:
        return await db.locks_waiting() == number

    await until(waits)


async def one_is_locked_out(db: Subject) -> None:
    """Wait until a statement waits for a lock."""
    await waiting_for_lock(db, 1)


async def failed(task: "asyncio.Task[Any]") -> None:
    """Wait for the failure of a task whose outcome is unknown."""
    with pytest.raises(JournalUnavailable):
        await task


# Order.


def test_sequences_numbers_and_times_follow_the_order_of_the_commits(run: Run) -> None:
    """However many processes append at once: nothing is left out, and each sees what was committed before it."""

    async def test(db: Subject) -> None:
        clients = [await db.client() for _ in range(2)]
        tasks = [appending(db, clients[place % 2], a_report(unit)) for place, unit in enumerate(UNITS)]
        done = [(await task, a_report(unit).body) for task, unit in zip(tasks, UNITS, strict=True)]
        done.sort(key=lambda each: each[0].number)
        assert [each.number for each, _ in done] == list(range(1, 13))
        assert [sequences(each) for each, _ in done] == [[number] for number in range(1, 13)]
        times = [each.at for each, _ in done]
        assert times == sorted(times)
        assert await record_of(db, clients[0]) == [body for _, body in done]

    run(test)


def test_an_append_that_begins_after_another_has_returned_comes_after_it(run: Run) -> None:
    """From whichever process."""

    async def test(db: Subject) -> None:
        clients = [await db.client() for _ in range(2)]
        for number in range(1, 7):
            assert sequences(await appended(db, clients[number % 2], a_report("a-1", number))) == [number]

    run(test)


def test_statements_of_one_connection_take_effect_in_the_order_sent(run: Run) -> None:
    """Confirmations, for example, which have one."""

    async def test(db: Subject) -> None:
        client = await db.client()
        done = [await appended(db, client, a_report("a-1", number)) for number in range(1, 4)]
        await asyncio.gather(*(confirm(db, client, each) for each in done))
        assert len(await shown(db, client)) == 3

    run(test)


def test_the_head_is_locked_until_a_commit_has_waited_and_the_next_append_sees_it(run: Run) -> None:
    """An append that waited for the lock decides on the state after the one before it."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()
        async with db.standby_cut():
            first = appending(db, one, a_report("a-1", 2))
            await one_waits(db)
            second = appending(db, other, a_report("a-1", 2), a_report("a-1", 1), a_report("a-2"))
            await one_is_locked_out(db)
            assert not first.done()
            assert not second.done()
        assert (await first).decisions == [New(1, 0)]
        known, stale, new = (await second).decisions
        assert isinstance(known, Known)
        assert known.sequence == 1
        assert isinstance(stale, Stale)
        assert new == New(2, 0)

    run(test)


def test_those_who_wait_for_the_lock_get_it_in_order_of_arrival(run: Run) -> None:
    """However long the one before them waits for the standby."""

    async def test(db: Subject) -> None:
        clients = [await db.client() for _ in range(4)]
        tasks = []
        async with db.standby_cut():
            for number, client in enumerate(clients):
                tasks.append(appending(db, client, a_report(UNITS[number])))
                await (waiting_for_lock(db, number) if number else one_waits(db))
        assert [sequences(await task) for task in tasks] == [[1], [2], [3], [4]]

    run(test)


def test_who_gets_the_lock_reads_what_the_one_before_committed(run: Run) -> None:
    """And nothing is committed between its reading and its append."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()
        await appended(db, one, a_report("a-1"))
        async with one.journal.locked(db.key, db.version, START) as locked:
            assert [each.body for each in locked.continuation.reports] == [a_report("a-1").body]
            blocked = appending(db, other, a_report("a-2"))
            await one_is_locked_out(db)
        assert sequences(await blocked) == [2]

    run(test)


# Visibility.


def test_what_waits_for_the_standby_is_seen_by_nobody(run: Run) -> None:
    """Neither by other sessions nor by a feed."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()
        async with db.standby_cut():
            waiting = appending(db, one, a_report())
            await one_waits(db)
            assert await record_of(db, other) == []
            assert await other.journal.predecessors(db.key, [("a-1", 2)]) == [None]
            assert [each.accepted for each in await other.record.heads() if each.key == db.key] == [0]
            assert await shown(db, other) == []
            assert not waiting.done()
        await waiting
        assert await record_of(db, other) == [a_report().body]

    run(test)


def test_a_feed_shows_a_commit_once_it_is_confirmed(run: Run) -> None:
    """Not before, although other sessions see it."""

    async def test(db: Subject) -> None:
        client = await db.client()
        done = await appended(db, client, a_report())
        assert done.waits_for_standby
        assert await record_of(db, client) == [a_report().body]
        assert await shown(db, client) == []
        await confirm(db, client, done)
        assert await shown(db, client) == [a_report().body]

    run(test)


def test_a_receipt_is_read_back_by_every_process_at_once(run: Run) -> None:
    """As soon as the append has returned."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()
        for number in range(1, 6):
            (new,) = (await appended(db, one, a_report("a-1", number))).decisions
            found = await other.journal.newest_report(db.key, "a-1")
            assert isinstance(new, New)
            assert found is not None
            assert (found.revision, found.sequence) == (number, new.sequence)

    run(test)


def test_a_read_of_what_a_receipt_may_be_made_from_waits_for_the_standby(run: Run) -> None:
    """It says nothing, not even that there is no report, while the primary is alone."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()
        async with db.standby_cut():
            waiting = appending(db, one, a_report())
            await one_waits(db)
            reading = asyncio.create_task(other.journal.newest_report(db.key, "a-1"))
            await one_is_locked_out(db)
            assert not reading.done()
        await waiting
        await reading

    run(test)


def test_a_standby_shows_what_it_has_received_and_a_feed_only_what_is_confirmed(run: Run) -> None:
    """A standby may have a commit before the primary shows it."""

    async def test(db: Subject) -> None:
        client = await db.client()

        async def received() -> bool:
            return await db.reports_on_standby() == 1

        async def confirmed() -> bool:
            return bool(await client.replica_record.publications(db.key, 0, FETCHED_MAX))

        async with db.standby_unheard():
            waiting = appending(db, client, a_report())
            await one_waits(db)
            await until(received)
            assert await record_of(db, client) == []
            assert not await confirmed()
        await confirm(db, client, await waiting)
        await until(confirmed)

    run(test)


def test_confirmations_wait_for_nothing(run: Run) -> None:
    """Neither for the standby, nor for the lock that an append has."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()
        done = await appended(db, one, a_report("a-1"))
        async with db.standby_cut():
            waiting = appending(db, one, a_report("a-2"))
            await one_waits(db)
            await confirm(db, other, done)
            assert await shown(db, other) == [a_report("a-1").body]
            assert not waiting.done()
        await waiting

    run(test)


# What a lost connection means.


def test_a_statement_that_is_lost_with_its_connection_leaves_nothing(run: Run) -> None:
    """A report that is sent again is new."""

    async def test(db: Subject) -> None:
        client = await db.client()
        async with client.losing("request"):
            await failed(appending(db, client, a_report()))
        assert await record_of(db, client) == []
        assert sequences(await appended(db, client, a_report())) == [1]

    run(test)


def test_a_commit_whose_answer_is_lost_is_there_and_a_retry_finds_it(run: Run) -> None:
    """It gets the sequence that was given first."""

    async def test(db: Subject) -> None:
        client = await db.client()
        async with client.losing("answer"):
            await failed(appending(db, client, a_report()))
        assert await record_of(db, client) == [a_report().body]
        assert known_sequences(await appended(db, client, a_report(), a_report("a-2"))) == [1, None]

    run(test)


def test_a_commit_whose_client_is_gone_goes_on_waiting_for_the_standby(run: Run) -> None:
    """A statement that waits for a lock ends soon, and leaves nothing."""

    async def test(db: Subject) -> None:
        one, other, third = await db.client(), await db.client(), await db.client()
        async with db.standby_cut():
            first = appending(db, one, a_report("a-1"))
            await one_waits(db)
            second = appending(db, other, a_report("a-2"))
            await one_is_locked_out(db)
            one.leave()
            other.leave()
            await failed(first)
            await failed(second)
            await waiting_for_lock(db, 0)
            assert await db.commits_waiting() == 1
            assert await record_of(db, third) == []
        done = await appended(db, third, a_report("a-1"), a_report("a-2"))
        assert known_sequences(done) == [1, None]
        assert sequences(done) == [None, 2]

    run(test)


def test_time_limits_end_a_wait_for_the_lock_but_no_wait_for_the_standby(run_rarely: Run) -> None:
    """Who waits for the standby gives up, and its commit does not."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()
        async with db.standby_cut():
            first = appending(db, one, a_report("a-1"))
            await one_waits(db)
            second = appending(db, other, a_report("a-2"))
            with pytest.raises(JournalUnavailable, match=r"\(57014\)"):
                await second
            with pytest.raises(JournalUnavailable, match="no answer within 8 s"):
                await first
            assert await db.commits_waiting() == 1
            assert await record_of(db, other) == []
        done = await appended(db, other, a_report("a-1"), a_report("a-2"))
        assert known_sequences(done) == [1, None]
        assert sequences(done) == [None, 2]

    run_rarely(test)


def test_a_client_that_is_silent_with_the_lock_loses_its_session(run_rarely: Run) -> None:
    """What it appends afterwards is not committed."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()

        async def hold() -> None:
            async with one.journal.locked(db.key, db.version, START) as locked:
                assert sequences(await appended(db, other, a_report("a-1"))) == [1]
                evaluated = Evaluated(START.chain, START.hold_chain, [1], [None])
                await locked.append([a_report("a-2")], [datetime.now(UTC)], evaluated)

        with pytest.raises(JournalUnavailable):
            await hold()
        assert await record_of(db, other) == [a_report("a-1").body]

    run_rarely(test)


def test_a_frozen_server_goes_on_where_it_was(run: Run) -> None:
    """What was sent meanwhile is answered."""

    async def test(db: Subject) -> None:
        client = await db.client()
        await appended(db, client, a_report("a-1"))
        async with db.frozen():
            waiting = appending(db, client, a_report("a-2"))
            await asyncio.sleep(0)
            assert not waiting.done()
        assert sequences(await waiting) == [2]

    run(test)


def test_giving_up_a_statement_does_not_cancel_it(run: Run) -> None:
    """The outcome of an append that took too long is unknown: the server goes on."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()
        async with db.standby_cut():
            first = appending(db, one, a_report())
            await one_waits(db)
            first.cancel()
            with suppress(asyncio.CancelledError):
                await first
            second = appending(db, other, a_report())
            await one_is_locked_out(db)
            assert await db.commits_waiting() == 1
        assert known_sequences(await second) == [1]

    run(test)


def test_the_lock_of_a_client_that_is_gone_between_two_statements_is_released(run: Run) -> None:
    """And what it had not committed is not there."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()

        async def hold() -> None:
            async with one.journal.locked(db.key, db.version, START):
                holding.set()
                await asyncio.Event().wait()

        holding = asyncio.Event()
        held = asyncio.create_task(hold())
        await holding.wait()
        blocked = appending(db, other, a_report())
        await one_is_locked_out(db)
        one.leave()
        assert sequences(await blocked) == [1]
        held.cancel()
        await asyncio.wait({held})

    run(test)


def test_a_reset_connection_is_replaced_and_an_append_after_it_succeeds(run: Run) -> None:
    """The first statement after it may fail; its outcome is unknown, and a retry is safe."""

    async def test(db: Subject) -> None:
        client = await db.client()
        await appended(db, client, a_report("a-1"))
        await client.reset()
        done = None
        while done is None:
            with suppress(JournalUnavailable):
                done = await appended(db, client, a_report("a-2"))
        assert await record_of(db, client) == [a_report("a-1").body, a_report("a-2").body]

    run(test)


# Notifications.


def test_a_notification_comes_after_its_commit(run: Run) -> None:
    """Who reads the versions then sees the act; while it waits for the standby, there is none."""

    async def test(db: Subject) -> None:
        client, reader = await db.client(), await db.client()
        woken, seen = asyncio.Event(), []

        async def read() -> None:
            while True:
                await woken.wait()
                woken.clear()
                seen.append((await reader.journal.versions())[db.id][0])

        async with asyncio.TaskGroup() as parts:
            reading = parts.create_task(read())
            listening = parts.create_task(client.notifications(woken.set, acts=True))

            async def connected() -> bool:
                return len(seen) == 1

            async def notified() -> bool:
                return len(seen) == 2

            await until(connected)
            before = db.version
            async with db.standby_cut():
                acting = parts.create_task(db.change())
                await one_waits(db)
                assert seen == [before]
            await acting
            await until(notified)
            assert seen == [before, before + 1]
            reading.cancel()
            listening.cancel()

    run(test)


def test_a_notification_of_publications_waits_for_no_standby(run: Run) -> None:
    """It is only a hint."""

    async def test(db: Subject) -> None:
        client, sender = await db.client(), await db.client()
        woken = asyncio.Event()
        listening = asyncio.create_task(client.notifications(woken.set))
        await woken.wait()
        woken.clear()
        async with db.standby_cut():
            await sender.confirmations.notify()
            await woken.wait()
        listening.cancel()
        await asyncio.wait({listening})

    run(test)


def test_a_notification_is_lost_with_its_session_and_the_next_one_is_not(run: Run) -> None:
    """Who listens again wakes once for all that it may have missed."""

    async def test(db: Subject) -> None:
        client, sender = await db.client(), await db.client()
        woken: list[None] = []

        def count_is(number: int) -> Callable[[], Awaitable[bool]]:
            async def reached() -> bool:
                return len(woken) >= number

            return reached

        listening = asyncio.create_task(client.notifications(lambda: woken.append(None)))
        await until(count_is(1))
        await sender.confirmations.notify()
        await until(count_is(2))
        await client.reset()
        await sender.confirmations.notify()
        await until(count_is(3))
        await sender.confirmations.notify()
        await until(count_is(4))
        assert len(woken) == 4
        listening.cancel()
        await asyncio.wait({listening})

    run(test)


# Administrative acts.


def test_an_append_checked_before_an_act_changes_nothing(run: Run) -> None:
    """It names another version; also if it waited for the lock of the act."""

    async def test(db: Subject) -> None:
        client, before = await db.client(), db.version
        await db.change()
        assert db.version == before + 1
        with pytest.raises(VersionChanged):
            await append(client.journal, db.key, before, a_report())
        async with db.standby_cut():
            act = asyncio.create_task(db.change())
            await one_waits(db)
            blocked = asyncio.create_task(append(client.journal, db.key, before + 1, a_report()))
            await one_is_locked_out(db)
        await act
        with pytest.raises(VersionChanged):
            await blocked
        assert (await client.journal.versions())[db.id][0] == before + 2
        assert await record_of(db, client) == []

    run(test)


def test_a_revoked_token_is_gone_with_its_version(run: Run) -> None:
    """A process that reads the election sees both or neither."""

    async def test(db: Subject) -> None:
        client = await db.client()
        before = await client.journal.election(db.id)
        await db.revoke()
        after = await client.journal.election(db.id)
        assert (len(before.tokens), len(after.tokens)) == (1, 0)
        assert after.version == before.version + 1 == db.version
        await db.revoke()
        assert db.version == after.version  # nothing has changed

    run(test)


def test_an_act_whose_wait_is_cut_short_is_local_and_reported(run: Run) -> None:
    """It is visible all the same; repeated, it waits again."""

    async def test(db: Subject) -> None:
        client = await db.client()
        async with db.standby_cut():
            for _ in range(2):
                act = asyncio.create_task(db.revoke())
                await one_waits(db)
                await db.cancel_wait()
                with pytest.raises(CommittedLocally):
                    await act
            assert (await client.journal.election(db.id)).tokens == []
        await db.revoke()

    run(test)


def test_a_closed_election_takes_no_more_reports(run: Run) -> None:
    """Those that it has are known."""

    async def test(db: Subject) -> None:
        client = await db.client()
        await appended(db, client, a_report("a-1"))
        await db.close()
        known, closed = (await appended(db, client, a_report("a-1"), a_report("a-2"))).decisions
        assert isinstance(known, Known)
        assert isinstance(closed, Closed)
        closed_at = db.version
        await db.close()
        assert db.version == closed_at  # nothing has changed
        assert (await client.journal.election(db.id)).closed

    run(test)


def test_an_embargo_ends_with_the_first_append_after_its_end(run: Run) -> None:
    """Before that append is confirmed, a feed shows nothing; then it shows everything."""

    async def test(db: Subject) -> None:
        client = await db.client()
        await db.pretend_embargo(FAR)
        first = await appended(db, client, a_report("a-1"))
        await confirm(db, client, first)
        assert first.released_at is None
        assert await shown(db, client) == []
        await db.pretend_embargo(PASSED)
        assert (await client.journal.versions())[db.id] == (db.version, False)
        second = await appended(db, client)
        assert second.released_at is not None
        assert (await client.journal.versions())[db.id] == (db.version, True)
        assert await shown(db, client) == []
        await confirm(db, client, second)
        (publication,) = await client.record.publications(db.key, 0, FETCHED_MAX)
        assert publication.published_at == second.released_at

    run(test)


def test_an_embargo_can_only_be_moved_to_a_later_time_before_it_ends(run: Run) -> None:
    """What is refused changes nothing, not even the version."""

    async def test(db: Subject) -> None:
        client, before = await db.client(), db.version
        with pytest.raises(Refused):
            await db.move_embargo(FAR)
        await db.pretend_embargo(FAR)
        with pytest.raises(Refused):
            await db.move_embargo(FAR - timedelta(days=1))
        await db.move_embargo(FAR)
        assert (await client.journal.versions())[db.id] == (before, False)
        await db.move_embargo(FAR + timedelta(days=1))
        election = await client.journal.election(db.id)
        assert (election.version, election.publish_from) == (before + 1, FAR + timedelta(days=1))

    run(test)


# The standby.


@pytest.mark.parametrize("how", ["cancelled", "ended with its session"])
def test_a_commit_whose_wait_is_cut_short_is_local_and_reported(run: Run, how: str) -> None:
    """It is visible, but not to a feed until a later commit has waited."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()
        await confirm(db, one, await appended(db, one, a_report("a-1")))
        async with db.standby_cut():
            waiting = appending(db, one, a_report("a-2"))
            await one_waits(db)
            await (db.cancel_wait() if how == "cancelled" else db.end_waiting_session())
            with pytest.raises(CommittedLocally if how == "cancelled" else JournalUnavailable):
                await waiting
            assert await record_of(db, other) == [a_report("a-1").body, a_report("a-2").body]
            assert await shown(db, other) == [a_report("a-1").body]
            assert db.id in await other.confirmations.unconfirmed()
        await confirm(db, other, await appended(db, other))
        assert await shown(db, other) == [a_report("a-1").body, a_report("a-2").body]
        assert db.id not in await other.confirmations.unconfirmed()

    run(test)


def test_a_required_standby_is_missed_only_where_commits_wait_for_none(run: Run) -> None:
    """Without the requirement, commits then wait for nothing and need no confirmation."""

    async def test(db: Subject) -> None:
        client = await db.client()
        async with db.standby_optional():
            with pytest.raises(StandbyMissing):
                await append(client.strict_journal, db.key, db.version, a_report())
            done = await appended(db, client, a_report())
            assert not done.waits_for_standby
            assert await shown(db, client) == [a_report().body]

    run(test)


# Crashes and failovers.


def test_after_a_crash_a_commit_that_nobody_acknowledged_is_there(run: Run) -> None:
    """It is visible although no standby has it, and a feed does not show it before one has."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()
        async with db.standby_cut():
            waiting = appending(db, one, a_report())
            await one_waits(db)
            await db.crash()
            await failed(waiting)
            await db.restart()
            assert await reading(record_of, db, other) == [a_report().body]
            assert await reading(shown, db, other) == []
            again = asyncio.create_task(sending(db, other, a_report()))
            await one_waits(db)
            assert not again.done()
        done = await again
        assert known_sequences(done) == [1]
        await confirm(db, other, done)
        assert await shown(db, other) == [a_report().body]

    run(test)


def test_a_failover_loses_nothing_that_was_acknowledged(run: Run) -> None:
    """A commit that the standby has not received is lost, and its sequence is given again. Times never go back."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()
        await db.pretend_last_append(FAR)
        first = await appended(db, one, a_report("a-1"))
        await confirm(db, one, first)
        assert first.at == FAR
        async with db.standby_cut():
            waiting = appending(db, one, a_report("a-2"))
            await one_waits(db)
            await db.fail_over()
            await failed(waiting)
        assert await reading(record_of, db, other) == [a_report("a-1").body]
        done = await sending(db, other, a_report("a-3"))
        assert sequences(done) == [2]
        assert done.at == FAR
        assert await reading(record_of, db, other) == [a_report("a-1").body, a_report("a-3").body]

    run(test)


def test_after_a_failover_a_commit_that_nobody_acknowledged_may_be_there(run_rarely: Run) -> None:
    """If the standby had received it; a retry finds it."""

    async def test(db: Subject) -> None:
        one, other = await db.client(), await db.client()
        await appended(db, one, a_report("a-1"))
        async with db.standby_unheard():
            waiting = appending(db, one, a_report("a-2"))
            await one_waits(db)

            async def received() -> bool:
                return await db.reports_on_standby() == 2

            await until(received)
            await db.fail_over()
            await failed(waiting)
        assert await reading(record_of, db, other) == [a_report("a-1").body, a_report("a-2").body]
        assert known_sequences(await sending(db, other, a_report("a-2"))) == [2]

    run_rarely(test)


def test_a_primary_that_was_replaced_acknowledges_nothing(run_rarely: Run) -> None:
    """Its commits wait for a standby that is none any more; the new primary does not have them."""

    async def test(db: Subject) -> None:
        client = await db.client()
        await appended(db, client, a_report("a-1"))
        await db.promote_beside()
        waiting = appending(db, client, a_report("a-2"))

        async def waits() -> bool:
            return await db.former_commits_waiting() == 1

        await until(waits)
        assert not waiting.done()
        await db.end_former()
        await failed(waiting)
        assert sequences(await sending(db, client, a_report("a-3"))) == [2]
        assert await record_of(db, client) == [a_report("a-1").body, a_report("a-3").body]

    run_rarely(test)


async def reading(
    read: Callable[[Subject, Client], Awaitable[list[bytes]]], db: Subject, client: Client
) -> list[bytes]:
    """Read, again while the server is not there yet."""
    while True:
        try:
            return await read(db, client)
        except JournalUnavailable:
            await asyncio.sleep(0.01)


async def sending(db: Subject, client: Client, *reports: ValidReport) -> Appended:
    """Append, again while the server is not there yet."""
    while True:
        try:
            return await appended(db, client, *reports)
        except JournalUnavailable:
            await asyncio.sleep(0.01)


# Everything else that statements do.


@pytest.mark.long
@pytest.mark.parametrize("seed", HISTORIES)
def test_random_histories_read_the_same_on_both(runner: asyncio.Runner, pair: Servers, seed: int) -> None:
    """Appends, holds, decisions, confirmations and acts in any order: each statement returns the same, byte by byte."""
    found: list[list[Step]] = []

    async def test(db: Subject) -> None:
        found.append(await history_of(db, seed, STEPS))

    run_simulated(test, seed)
    runner.run(run_on_postgres(test, pair))
    for simulated, real in zip(*found, strict=True):
        assert simulated == real
