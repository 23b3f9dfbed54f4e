"""The simulated Postgres: what a commit, a wait for the standby, a lost connection, a crash and a failover mean."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from gateway.errors import JournalUnavailable, StandbyMissing
from gateway.journal.administration import NewToken
from gateway.journal.announcer import Announcer
from gateway.journal.appending import Behind
from gateway.journal.db_errors import CommittedLocally, VersionChanged
from gateway.journal.decisions import Appended, Ends, Evaluated, Known, New
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from tests.counts import count
from tests.journal.makers import a_registry, a_report, append, sequences
from tests.simulation import journal as doubles
from tests.simulation.database import SimulatedDatabase
from tests.simulation.processes import Process, Simulation

SEEDS = range(count(20, full=300))
START = Ends(0, bytes(32), 0, bytes(32))


@dataclass
class Site:
    """A simulation of two push processes and a feed, and their database with one election."""

    simulation: Simulation
    database: SimulatedDatabase
    id: str
    key: int
    one: Process
    other: Process
    feed: Process

    def journal(self, process: Process | None = None, **options: Any) -> PostgresJournal:
        """Return the journal of a process."""
        return doubles.journal(self.database, process or self.one, **options)

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run a test."""
        return self.simulation.run(main)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        while not condition():  # noqa: ASYNC110 - the state of the servers can only be polled
            await asyncio.sleep(0.0005)

    def hidden(self) -> datetime:
        """Return the end of the embargo, which no append has noticed yet."""
        return self.database.primary.tables.elections[self.key].embargo.publish_from

    @property
    def waits(self) -> bool:
        """Whether a commit waits for the standby."""
        return bool(self.database.primary.waiting)


@contextmanager
def a_site(seed: int = 1, *, standby: bool = True) -> Iterator[Site]:
    with Simulation(seed) as simulation:
        database = SimulatedDatabase(simulation, standby=standby)
        document = a_registry()
        key = database.load(document, [NewToken(["no"], secret="vgn_secret")])
        names = [simulation.process(name) for name in ("push-1", "push-2", "feed-1")]
        yield Site(simulation, database, document["election"]["id"], key, *names)


def over_seeds(test: Callable[[Site], Awaitable[None]], *, standby: bool = True) -> None:
    """Run a test with each seed: other times, and another order of what happens at once."""
    for seed in SEEDS:
        with a_site(seed, standby=standby) as site:
            try:
                site.run(_run(test, site))
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise


async def _run(test: Callable[[Site], Awaitable[None]], site: Site) -> None:
    async with asyncio.timeout(60.0):
        await test(site)


def in_background(coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    """Start a task; a test awaits it."""
    return asyncio.get_running_loop().create_task(coroutine)


# Commits.


def test_others_see_a_commit_once_the_standby_has_it() -> None:
    """Until then it is on the primary's disk, and visible to nobody."""

    async def test(site: Site) -> None:
        journal, other = site.journal(), site.journal(site.other)
        site.database.cut_standby(2.0)
        appending = in_background(append(journal, site.key, 1, a_report()))
        await site.until(lambda: site.waits)
        assert site.database.primary.flushed == len(site.database.primary.log)
        assert await other.transfers(site.key, ["a-1"]) == (site.hidden(), [])
        assert not appending.done()
        assert sequences(await appending) == [1]
        (row,) = (await other.transfers(site.key, ["a-1"]))[1]
        assert row.accepted == 1

    over_seeds(test)


def test_the_head_is_locked_until_the_commit_has_waited() -> None:
    """The next append begins after it, sees it, and does not pass it."""

    async def test(site: Site) -> None:
        site.database.cut_standby(1.0)
        first = in_background(append(site.journal(), site.key, 1, a_report()))
        await site.until(lambda: site.waits)
        second = in_background(append(site.journal(site.other), site.key, 1, a_report(), a_report("a-2")))
        await asyncio.sleep(0.5)
        assert len(site.database.primary.waiting) == 1
        assert sequences(await first) == [1]
        known, new = (await second).decisions
        assert isinstance(known, Known)
        assert new == New(2, 0)

    over_seeds(test)


def test_appends_follow_one_another_in_the_order_of_their_locks() -> None:
    """From many sessions at once: numbers of appends and sequences have no gap, times never fall."""

    async def test(site: Site) -> None:
        journals = [site.journal(process) for process in (site.one, site.other, site.feed)]
        appending = [
            in_background(append(journals[number % 3], site.key, 1, a_report("a-1", number)))
            for number in range(1, 25)
        ]
        done: list[Appended] = [await each for each in appending]
        done.sort(key=lambda each: each.number)
        assert [each.number for each in done] == list(range(1, 25))
        assert [each.at for each in done] == sorted(each.at for each in done)
        check_record(site)

    over_seeds(test)


def test_an_append_whose_rules_did_not_see_all_changes_nothing() -> None:
    """Under the lock, what is new is read before."""

    async def test(site: Site) -> None:
        journal, other = site.journal(), site.journal(site.other)
        await append(journal, site.key, 1, a_report())
        report = a_report("a-2")
        received = [site.one.clock.now()]
        stale = Evaluated(START.chain, START.hold_chain, [1], [None])
        with pytest.raises(Behind):
            await other.append(site.key, 1, [report], received, stale)
        async with other.locked(site.key, 1, START) as locked:
            assert [each.body for each in locked.continuation.reports] == [a_report().body]
            ends = locked.continuation.ends
            blocked = in_background(append(journal, site.key, 1, a_report("a-3")))
            await asyncio.sleep(0.1)
            assert not blocked.done()
            evaluated = Evaluated(ends.chain, ends.hold_chain, [1], [None])
            assert sequences(await locked.append([report], received, evaluated)) == [2]
        assert sequences(await blocked) == [3]

    over_seeds(test)


def test_an_act_makes_appends_checked_before_it_fail() -> None:
    """They name another version of the election."""

    async def test(site: Site) -> None:
        journal = site.journal()
        await site.database.change_version(site.id, 3)
        with pytest.raises(VersionChanged):
            await append(journal, site.key, 1, a_report())
        assert await journal.versions() == {site.id: (4, False)}
        await site.database.revoke(site.id, 1)
        assert list((await journal.election(site.id)).tokens) == []
        await site.database.close(site.id)
        assert (await journal.election(site.id)).closed

    over_seeds(test)


# Connections.


def test_a_commit_whose_client_gave_up_goes_on() -> None:
    """Nobody got an answer; the report is there, and the lock is free, once the standby is back."""

    async def test(site: Site) -> None:
        site.database.cut_standby(12.0)
        with pytest.raises(JournalUnavailable, match="no answer within 8 s"):
            await append(site.journal(), site.key, 1, a_report())
        again = in_background(append(site.journal(site.other), site.key, 1, a_report()))
        await asyncio.sleep(1.0)
        assert not again.done()
        (known,) = (await again).decisions
        assert isinstance(known, Known)

    over_seeds(test)


def test_a_lost_answer_is_found_by_sending_again() -> None:
    """The commit took effect, and its connection broke."""

    async def test(site: Site) -> None:
        journal = site.journal()
        site.database.lose_answers()
        with pytest.raises(JournalUnavailable):
            await append(journal, site.key, 1, a_report())
        (known,) = (await append(journal, site.key, 1, a_report())).decisions
        assert isinstance(known, Known)

    over_seeds(test)


def test_the_lock_of_a_killed_process_is_released() -> None:
    """At once if its machine says so; otherwise when the server has heard nothing for two seconds."""

    async def test(site: Site) -> None:
        holding = asyncio.Event()

        async def hold() -> None:
            async with site.journal().locked(site.key, 1, START):
                holding.set()
                await asyncio.sleep(3600.0)

        site.one.spawn(hold())
        await holding.wait()
        site.one.kill()
        began_s = site.simulation.now_s
        await append(site.journal(site.other), site.key, 1, a_report())
        assert site.simulation.now_s - began_s < 2.2

    over_seeds(test)


def test_a_process_that_is_silent_with_the_lock_loses_its_session() -> None:
    """After two seconds; what it appends then is not committed."""

    async def test(site: Site) -> None:
        async def hold() -> None:
            async with site.journal().locked(site.key, 1, START) as locked:
                await asyncio.sleep(2.5)
                evaluated = Evaluated(START.chain, START.hold_chain, [1], [None])
                await locked.append([a_report()], [site.one.clock.now()], evaluated)

        with pytest.raises(JournalUnavailable):
            await hold()
        assert sequences(await append(site.journal(site.other), site.key, 1, a_report())) == [1]

    over_seeds(test)


def test_a_wait_for_the_lock_ends_after_its_limit() -> None:
    """The statement fails, and the next one on the same connection does not."""

    async def test(site: Site) -> None:
        site.database.cut_standby(7.0)
        first = in_background(append(site.journal(), site.key, 1, a_report()))
        await site.until(lambda: site.waits)
        journal = site.journal(site.other)
        with pytest.raises(JournalUnavailable, match="QueryCanceledError"):
            await append(journal, site.key, 1, a_report("a-2"))
        assert sequences(await first) == [1]
        assert sequences(await append(journal, site.key, 1, a_report("a-2"))) == [2]

    over_seeds(test)


def test_a_reset_connection_is_replaced() -> None:
    """By the pool, with the next statement."""

    async def test(site: Site) -> None:
        journal = site.journal()
        await journal.versions()
        for reset in (site.database.reset_sessions, site.database.terminate_sessions):
            reset(site.one)
            await asyncio.sleep(0.1)
            assert await journal.versions() == {site.id: (1, False)}

    over_seeds(test)


def test_a_notification_arrives_after_its_commit() -> None:
    """At whoever listens on the primary."""

    async def test(site: Site) -> None:
        woken: list[int] = []

        def wake() -> None:
            woken.append(site.database.primary.tables.elections[site.key].head.version)

        listening = in_background(doubles.notified(site.database, site.one, wake, acts=True))
        await site.until(lambda: bool(woken))
        await site.database.change_version(site.id, 2)
        await site.until(lambda: len(woken) >= 3)
        assert woken[0] == 1
        assert woken[1] >= 2
        listening.cancel()

    over_seeds(test)


# The standby.


def test_a_cancelled_wait_is_reported_and_shown_to_no_reader() -> None:
    """Until a later commit has waited: what a feed shows is not taken back."""

    async def test(site: Site) -> None:
        announcer = Announcer(doubles.confirmations(site.database, site.one))
        announcing = in_background(announcer.run(lambda _: None))
        journal = doubles.journal(site.database, site.one, announcer)
        record = doubles.record(site.database, site.feed)
        await append(journal, site.key, 1, a_report())
        await announcer.wait_announced()
        site.database.cut_standby(1.0)
        appending = in_background(append(journal, site.key, 1, a_report("a-2")))
        await site.until(lambda: site.waits)
        assert site.database.cancel_wait()
        with pytest.raises(CommittedLocally):
            await appending
        (head,) = await record.heads()
        assert (head.sequence, head.accepted) == (1, 2)
        await append(journal, site.key, 1)
        await announcer.wait_announced()
        (head,) = await record.heads()
        assert (head.sequence, head.accepted) == (2, 2)
        assert len(await record.publications(site.key, 0, 10)) == 2
        announcing.cancel()

    over_seeds(test)


def test_a_replica_shows_what_is_confirmed_and_later() -> None:
    """It may lag, and never has a gap."""

    async def test(site: Site) -> None:
        announcer = Announcer(doubles.confirmations(site.database, site.one))
        announcing = in_background(announcer.run(lambda _: None))
        journal = doubles.journal(site.database, site.one, announcer)
        replica = doubles.record(site.database, site.feed, replica=True)
        seen = 0
        for revision in range(1, 6):
            await append(journal, site.key, 1, a_report(revision=revision))
            (head,) = await replica.heads()
            assert head.standby
            assert seen <= head.sequence <= revision
            seen = head.sequence
        await announcer.wait_announced()
        assert site.database.standby is not None
        standby = site.database.standby
        await site.until(lambda: standby.replayed == len(site.database.primary.log))
        assert (await replica.heads())[0].sequence == 5
        announcing.cancel()

    over_seeds(test)


def test_a_required_standby_must_be_there() -> None:
    """Without it nothing is appended, and for two seconds after a change of the configuration nothing is certain."""

    async def test(site: Site) -> None:
        journal = site.journal(require_standby=True)
        await asyncio.sleep(2.5)
        assert sequences(await append(journal, site.key, 1, a_report())) == [1]
        site.database.set_synchronous(False)
        with pytest.raises(StandbyMissing):
            await append(journal, site.key, 1, a_report("a-2"))
        site.database.set_synchronous(True)
        with pytest.raises(JournalUnavailable, match="reloaded"):
            await append(journal, site.key, 1, a_report("a-2"))
        await asyncio.sleep(2.5)
        (known,) = (await append(journal, site.key, 1, a_report("a-2"))).decisions
        assert isinstance(known, Known)

    over_seeds(test)


def test_an_act_requires_the_standby_as_a_gateway_does() -> None:
    """Without it nothing is changed; one right after a change of the configuration waits, and survives a failover."""

    async def test(site: Site) -> None:
        site.database.acts_require_standby = True
        site.database.set_synchronous(False)
        with pytest.raises(StandbyMissing):
            await site.database.revoke(site.id, 1)
        journal = site.journal()
        assert len((await journal.election(site.id)).tokens) == 1
        site.database.set_synchronous(True)
        await site.database.revoke(site.id, 1)
        assert site.database.failover()
        assert site.database.primary.tables.of_id(site.id).tokens[1].revoked_at is not None

    over_seeds(test)


# Crashes and failovers.


def test_after_a_crash_what_was_flushed_is_there() -> None:
    """Also a commit that still waited for the standby; it has no receipt, and it is not confirmed."""

    async def test(site: Site) -> None:
        journal = site.journal()
        site.database.cut_standby(1.5)
        appending = in_background(append(journal, site.key, 1, a_report()))
        await site.until(lambda: site.waits)
        site.database.crash_and_restart(1.0)
        with pytest.raises(JournalUnavailable):
            await appending
        with pytest.raises(JournalUnavailable):
            await journal.versions()
        await asyncio.sleep(1.0)
        (row,) = (await journal.transfers(site.key, ["a-1"]))[1]
        assert row.accepted == 1
        (head,) = await doubles.record(site.database, site.feed).heads()
        assert (head.released_at, head.sequence) == (None, 0)
        (known,) = (await append(journal, site.key, 1, a_report())).decisions
        assert isinstance(known, Known)

    over_seeds(test)


def test_after_a_failover_what_was_waited_for_is_there_and_the_rest_is_lost() -> None:
    """Sequences are given again, and times do not go back with the new server's clock."""

    async def test(site: Site) -> None:
        journal = site.journal()
        first = await append(journal, site.key, 1, a_report())
        site.database.cut_standby(1.0)
        lost = in_background(append(journal, site.key, 1, a_report("a-2")))
        await site.until(lambda: site.waits)
        assert site.database.standby is not None
        site.database.standby.skew_s = -60.0
        assert site.database.failover()
        with pytest.raises(JournalUnavailable):
            await lost
        again = await append(journal, site.key, 1, a_report("a-3"))
        assert sequences(again) == [2]
        assert again.at == first.at
        assert [each.unit for each in site.database.journal_reports(site.id)] == ["a-1", "a-3"]

    over_seeds(test)


def test_a_replaced_primary_that_has_not_noticed_answers_no_append() -> None:
    """Nor what is read for a receipt: both wait for a standby that is gone."""

    async def test(site: Site) -> None:
        journal, other = site.journal(), site.journal(site.other)
        await append(journal, site.key, 1, a_report())
        await other.versions()  # a connection to the former primary
        site.database.failover(former_s=6.0)
        reading = in_background(other.newest_report(site.key, "a-2"))
        appended = 0
        while not appended:
            try:
                appended = (await append(site.journal(), site.key, 1, a_report("a-2"))).accepted
            except JournalUnavailable:
                await asyncio.sleep(0.1)
        with pytest.raises(JournalUnavailable):
            await reading
        stored = await other.newest_report(site.key, "a-2")
        assert stored is not None

    over_seeds(test)


def test_a_feed_leaves_a_former_primary_whose_record_grows_no_more() -> None:
    """Its connections work, and nothing but the record of the other server shows that it is an old one."""

    async def test(site: Site) -> None:
        announcer = Announcer(doubles.confirmations(site.database, site.one))
        announcing = in_background(announcer.run(lambda _: None))
        journal = doubles.journal(site.database, site.one, announcer)
        await append(journal, site.key, 1, a_report())
        await announcer.wait_announced()
        pool = doubles.open_pool(site.database, site.feed)
        record = PublicRecord(pool)
        assert [head.sequence for head in await record.heads()] == [1]
        comparing = in_background(doubles.newest_host(site.database, site.feed, pool).run())
        former = site.database.primary
        site.database.failover(former_s=50.0)
        with pytest.raises(JournalUnavailable):
            await append(journal, site.key, 1, a_report(revision=2))
        await append(journal, site.key, 1, a_report(revision=2))
        shown = 1
        while shown == 1:
            await asyncio.sleep(0.5)
            shown = (await record.heads())[0].sequence
        assert shown == 2
        assert former.up
        announcing.cancel()
        comparing.cancel()

    over_seeds(test)


# Anything.


def test_whatever_happens_each_answer_is_true_and_each_run_can_be_repeated() -> None:
    """What an append returned is in the record, once, and in order, after any faults."""

    async def test(site: Site) -> None:
        chance = site.simulation.chance_for("test")
        answered: dict[tuple[str, int], bytes] = {}

        async def send(process: Process, unit: str) -> None:
            journal = site.journal(process)
            for revision in range(1, 15):
                report = a_report(unit, revision, chance.randrange(50))
                while True:
                    await asyncio.sleep(chance.uniform(0.0, 0.2))
                    try:
                        appended = await append(journal, site.key, 1, report)
                    except JournalUnavailable:
                        continue
                    assert isinstance(appended.decisions[0], New | Known)
                    answered[unit, revision] = report.digest
                    break

        database = site.database
        faults: list[Callable[[], object]] = [
            lambda: database.freeze(0.5),
            lambda: database.freeze_standby(0.5),
            lambda: database.pause_replay(1.0),
            lambda: database.slow(20.0, 1.0),
            lambda: database.cut(site.one, 0.5),
            lambda: database.stall(site.other, 0.5),
            lambda: database.delay(site.one, 0.1, 1.0),
            lambda: database.reset_sessions(),
            lambda: database.terminate_sessions(),
            lambda: database.lose_answers(2),
            lambda: database.cancel_wait(),
            lambda: database.cut_standby(1.0),
            lambda: database.crash_and_restart(0.5),
            lambda: database.jump_clock(chance.uniform(-10.0, 10.0)),
            lambda: database.shut_down_and_restart(0.5),
            lambda: database.failover(),
            lambda: database.failover(former_s=2.0, rejoin_s=0.5),
        ]

        async def break_things() -> None:
            for _ in range(8):
                await asyncio.sleep(chance.uniform(0.0, 1.0))
                chance.choice(faults)()

        async with asyncio.TaskGroup() as tasks:
            for process, unit in ((site.one, "a-1"), (site.one, "a-2"), (site.other, "b-1")):
                tasks.create_task(send(process, unit))
            tasks.create_task(break_things())
        assert len(answered) == 42
        check_record(site)
        kept = {(each.unit, each.revision): each.digest for each in database.journal_reports(site.id)}
        assert kept == answered

    digests = []
    for _ in range(2):
        with a_site(1) as site:
            site.run(_run(test, site))
            digests.append(site.simulation.digest)
    assert digests[0] == digests[1]
    over_seeds(test)


def check_record(site: Site) -> None:
    """Check that the record has no gap, and that its times never fall."""
    rows = site.database.primary.tables.elections[site.key].reports
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
    assert [row.accepted_at for row in rows] == sorted(row.accepted_at for row in rows)
    assert len({(row.unit, row.revision) for row in rows}) == len(rows)
