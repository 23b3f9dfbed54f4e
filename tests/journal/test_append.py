"""Several processes append to one election at once: the record has one order, and readers never miss a part of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from gateway.election.record import CHAIN_START, Publication
from gateway.election.validation import ValidReport
from gateway.journal.administration import Administration
from gateway.journal.connection import open_pool
from gateway.journal.decisions import Appended, Known
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.journal.session import Connection
from tests.conftest import Database
from tests.journal.makers import (
    FAR,
    TIMEOUT_S,
    UNITS,
    a_registry,
    a_report,
    append,
    chain_of,
    sequences,
    until,
    waiting_for_locks,
)

PROCESSES = 3


@pytest.fixture
def database(shared_database: Database) -> Database:
    """Each test has its own elections, which is enough isolation."""
    return shared_database


@pytest.fixture
async def journals(database: Database) -> AsyncIterator[list[PostgresJournal]]:
    """The journals of several push processes, each with its own connections."""
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(open_pool(database.url)) for _ in range(PROCESSES)]
        yield [PostgresJournal(pool) for pool in pools]


class Follower:
    """Reads the record as a feed does: repeatedly, what follows the last publication read so far."""

    def __init__(self, record: PublicRecord, election: int, *, most: int = 50) -> None:
        self.publications: list[Publication] = []
        self.reads = 0
        self._record = record
        self._election = election
        self._most = most

    @property
    def sequence(self) -> int:
        """The last one seen."""
        return self.publications[-1].sequence if self.publications else 0

    async def read(self) -> None:
        """Read once, and see that the head is never behind what is read."""
        self.publications += await self._record.publications(self._election, self.sequence, self._most)
        self.reads += 1
        heads = {head.key: head for head in await self._record.heads()}
        assert heads[self._election].sequence >= self.sequence

    async def read_until(self, done: asyncio.Event) -> None:
        """Read until `done`, and then to the end."""
        while not done.is_set():
            await self.read()
        seen = -1
        while seen != self.sequence:
            seen = self.sequence
            await self.read()


def whole(publications: Sequence[Publication]) -> None:
    """Assert that these are 1, 2, 3 ... with a chain that verifies, in the order of time."""
    assert [each.sequence for each in publications] == list(range(1, len(publications) + 1))
    assert [each.chain for each in publications] == chain_of([each.digest for each in publications])
    for times in (
        [each.accepted_at for each in publications],
        [each.published_at for each in publications],
    ):
        assert times == sorted(times)
    assert len({(each.unit, each.revision) for each in publications}) == len(publications)


async def load(acts: Administration, journal: PostgresJournal, publish_from: datetime | None = None) -> int:
    """Load an election and return its key."""
    header = {} if publish_from is None else {"publish_from": publish_from.isoformat()}
    election = await acts.load_election(a_registry(**header))
    return (await journal.election(election)).key


def random_batch(random: Random, step: int) -> list[ValidReport]:
    """Some reports of few units and of revisions that rise with each step, so that batches get in each other's way."""
    return [
        a_report(random.choice(UNITS), random.randint(4 * step + 1, 4 * step + 8), random.randint(1, 2))
        for _ in range(random.randint(0, 12))
    ]


async def test_concurrent_appends_make_one_record_and_no_reader_misses_a_part(
    journals: list[PostgresJournal], acts: Administration, record: PublicRecord
) -> None:
    """Hundreds of batches over the same units from several processes: no gap, chained, and read completely."""
    election = await load(acts, journals[0])
    done = asyncio.Event()
    follower, slow = Follower(record, election), Follower(record, election, most=1)
    accepted: list[tuple[int, str, int, bytes]] = []

    async def push(journal: PostgresJournal, seed: int) -> None:
        random, step = Random(seed), 0
        while step < 40 or follower.reads <= 10:
            batch = random_batch(random, step)
            appended = await append(journal, election, 1, *batch)
            for sequence, valid in zip(sequences(appended), batch, strict=True):
                if sequence is not None:
                    accepted.append((sequence, valid.report.unit, valid.report.revision, valid.digest))
            step += 1

    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as parts:
        for each in (follower, slow):
            parts.create_task(each.read_until(done))
        async with asyncio.TaskGroup() as pushing:
            for number in range(3 * PROCESSES):
                pushing.create_task(push(journals[number % PROCESSES], number))
        done.set()
    accepted.sort()
    assert len(accepted) > 100
    for each in (follower, slow):
        whole(each.publications)
        assert [(one.sequence, one.unit, one.revision, one.digest) for one in each.publications] == accepted
    by_unit: dict[str, int] = {}
    for _, unit, revision, _ in accepted:
        assert revision > by_unit.get(unit, 0)
        by_unit[unit] = revision


async def test_one_report_sent_to_many_processes_is_accepted_once(
    journals: list[PostgresJournal], acts: Administration
) -> None:
    """The others find that it is a duplicate, and of which report."""
    election = await load(acts, journals[0])
    for revision in range(1, 21):
        answers = await asyncio.gather(
            *[append(journal, election, 1, a_report("a-1", revision)) for journal in journals * 2]
        )
        accepted = [answer for answer in answers if sequences(answer)[0] is not None]
        assert len(accepted) == 1
        for answer in answers:
            if answer is not accepted[0]:
                assert answer.decisions == [Known(revision, accepted[0].at)]


async def test_elections_do_not_wait_for_each_other(
    journals: list[PostgresJournal], acts: Administration, owner: Connection
) -> None:
    """While the head of one is locked, reports of another are accepted."""
    busy, free = await load(acts, journals[0]), await load(acts, journals[0])
    async with owner.transaction():
        await owner.execute("SELECT FROM head WHERE election = $1 FOR UPDATE", busy)
        waiting = asyncio.create_task(append(journals[0], busy, 1, a_report()))
        for revision in range(1, 5):
            await append(journals[1], free, 1, a_report(revision=revision))
        assert not waiting.done()
    assert sequences(await waiting) == [1]


async def test_an_append_that_waited_for_another_sees_what_it_committed(
    journals: list[PostgresJournal], acts: Administration, owner: Connection
) -> None:
    """Two batches wait for the head; the second finds the first one's report, though it began before that commit."""
    election = await load(acts, journals[0])
    async with owner.transaction():
        await owner.execute("SELECT FROM head WHERE election = $1 FOR UPDATE", election)
        both = [asyncio.create_task(append(journal, election, 1, a_report())) for journal in journals[:2]]
        await until(lambda: waiting_for_locks(owner, 2))
    first, second = sorted([await each for each in both], key=lambda each: sequences(each)[0] is None)
    assert sequences(first) == [1]
    assert second.decisions == [Known(1, first.at)]
    assert second.at >= first.at


async def test_an_append_decides_correctly_whatever_the_settings_of_the_database(
    database: Database, acts: Administration, owner: Connection
) -> None:
    """If transactions kept their first snapshot, two batches would accept the same report."""
    name = await owner.fetchval("SELECT current_database()")
    await owner.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    try:
        async with open_pool(database.url) as pool:
            journal = PostgresJournal(pool)
            election = await load(acts, journal)
            async with owner.transaction():
                await owner.execute("SELECT FROM head WHERE election = $1 FOR UPDATE", election)
                both = [asyncio.create_task(append(journal, election, 1, a_report())) for _ in range(2)]
                await until(lambda: waiting_for_locks(owner, 2))
                await owner.execute("UPDATE head SET last_at = last_at WHERE election = $1", election)
            answers = [await each for each in both]
    finally:
        await owner.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")
    assert sorted(sequences(answer)[0] is None for answer in answers) == [False, True]


# The end of an embargo.


async def end_soon(owner: Connection, election: int) -> datetime:
    """Have an embargo end in half a second, and return when."""
    end = datetime.now(UTC) + timedelta(seconds=0.5)
    await owner.execute("UPDATE embargo SET publish_from = $2 WHERE election = $1", election, end)
    return end


async def test_at_the_end_of_an_embargo_all_reports_are_published_in_order(
    journals: list[PostgresJournal], acts: Administration, record: PublicRecord, owner: Connection
) -> None:
    """Several processes append meanwhile: before that moment nothing is shown, then everything, in its order."""
    election = await load(acts, journals[0], datetime.now(UTC) + FAR)
    end = await end_soon(owner, election)
    released = asyncio.Event()
    before: list[tuple[datetime, int]] = []
    after: list[tuple[datetime, int]] = []

    async def push(journal: PostgresJournal, unit: str) -> None:
        revision = 0
        while not released.is_set() or len(after) < 100:
            revision += 1
            appended = await append(journal, election, 1, a_report(unit, revision))
            (sequence,) = sequences(appended)
            assert sequence is not None
            (before if appended.released_at is None else after).append((appended.at, sequence))
            if appended.released_at is not None:
                released.set()

    early_looks, follower = 0, Follower(record, election, most=1_000_000)

    async def watch() -> None:
        nonlocal early_looks
        while not released.is_set():
            await follower.read()
            heads = {head.key: head for head in await record.heads()}
            if await owner.fetchval("SELECT clock_timestamp()") < end:
                early_looks += 1
                assert follower.publications == []
                assert heads[election].sequence == 0
                assert heads[election].chain == CHAIN_START
                assert heads[election].released_at is None

    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as parts:
        watching = parts.create_task(watch())
        for number in range(2 * PROCESSES):
            parts.create_task(push(journals[number % PROCESSES], UNITS[number]))
    assert watching.done()
    assert early_looks > 3
    first_seen = len(follower.publications)
    assert first_seen == 0 or first_seen >= len(before), "a part of the release was seen alone"
    await follower.read()
    whole(follower.publications)
    assert [each.sequence for each in follower.publications] == sorted(
        sequence for _, sequence in before + after
    )
    (head,) = [head for head in await record.heads() if head.key == election]
    assert head.released_at is not None
    assert head.released_at >= end
    assert all(at < end for at, _ in before)
    assert sorted(sequence for _, sequence in before) == list(range(1, len(before) + 1))
    for each in follower.publications:
        assert each.published_at == max(each.accepted_at, head.released_at)
        assert each.accepted_at < end or each.published_at == each.accepted_at
    assert {each.published_at for each in follower.publications[: len(before)]} == {head.released_at}


async def test_empty_appends_at_the_end_of_an_embargo_release_it_once(
    journals: list[PostgresJournal], acts: Administration, record: PublicRecord, owner: Connection
) -> None:
    """If no report arrives, the appends of the processes release the record, all with the same time."""
    election = await load(acts, journals[0], datetime.now(UTC) + FAR)
    await append(journals[0], election, 1, a_report("a-1"), a_report("a-2"))
    end = await end_soon(owner, election)

    async def release(journal: PostgresJournal) -> Appended:
        while (appended := await append(journal, election, 1)).released_at is None:
            assert appended.at < end
        return appended

    async with asyncio.timeout(TIMEOUT_S):
        releases = await asyncio.gather(*[release(journal) for journal in journals])
    assert len({each.released_at for each in releases}) == 1
    publications = await record.publications(election, 0, 10)
    assert [each.unit for each in publications] == ["a-1", "a-2"]
    assert {each.published_at for each in publications} == {releases[0].released_at}


async def test_an_embargo_moved_later_is_kept_until_then(
    journals: list[PostgresJournal], acts: Administration, record: PublicRecord, owner: Connection
) -> None:
    """Appends made after the old time do not release it."""
    identifier = await acts.load_election(a_registry(publish_from=(datetime.now(UTC) + FAR).isoformat()))
    election = (await journals[0].election(identifier)).key
    await append(journals[0], election, 1, a_report("a-1"))
    end = await end_soon(owner, election)
    await acts.move_embargo(identifier, end + FAR)
    appended = await append(journals[1], election, 2, a_report("a-2"))
    async with asyncio.timeout(TIMEOUT_S):
        while appended.at <= end:
            appended = await append(journals[2], election, 2)
    assert appended.released_at is None
    assert await record.publications(election, 0, 10) == []


async def test_an_append_that_waited_across_the_end_of_an_embargo_releases(
    journals: list[PostgresJournal], acts: Administration, owner: Connection
) -> None:
    """The clock is read when the head is locked, and not when the wait for it began."""
    election = await load(acts, journals[0], datetime.now(UTC) + FAR)
    async with owner.transaction():
        await owner.execute("SELECT FROM head WHERE election = $1 FOR UPDATE", election)
        waiting = asyncio.create_task(append(journals[0], election, 1, a_report()))
        await until(lambda: waiting_for_locks(owner, 1))
        end = await owner.fetchval(
            "UPDATE embargo SET publish_from = clock_timestamp() WHERE election = $1 RETURNING publish_from",
            election,
        )
    appended = await waiting
    assert appended.released_at == appended.at >= end
