"""Refusals are counted per token and code, in bounded memory, and written by all push processes into one table."""

import asyncio
import itertools

import pytest

from gateway.errors import JournalUnavailable
from gateway.journal import refusals as refusals_module
from gateway.journal.administration import Administration
from gateway.journal.connection_pool import Pool
from gateway.journal.postgres import PostgresJournal
from gateway.journal.refusals import CODES_MAX, KEYS_MAX, NO_TOKEN, OTHER, Refusals
from gateway.journal.session import Connection
from tests.conftest import Database
from tests.journal.makers import TIMEOUT_S, a_registry, until


@pytest.fixture
def database(shared_database: Database) -> Database:
    """Each test has its own election, and needs nothing more."""
    return shared_database


async def counts(owner: Connection, election: int) -> dict[tuple[int, str], int]:
    rows = await owner.fetch("SELECT token, code, count FROM refusal WHERE election = $1", election)
    return {(row["token"], row["code"]): row["count"] for row in rows}


async def an_election(acts: Administration, journal: PostgresJournal) -> int:
    return (await journal.election(await acts.load_election(a_registry()))).key


def test_millions_of_refusals_take_bounded_memory() -> None:
    """Of one token and code there is one count; beyond KEYS_MAX keys or CODES_MAX codes, `other` counts the rest."""
    refusals = Refusals()
    for _ in range(10_000):
        refusals.note(1, 7, "invalid_report")
    assert len(refusals) == 1
    for token in range(KEYS_MAX + 100):
        refusals.note(1, token, "invalid_report")
    assert len(refusals) == KEYS_MAX + 1
    others = Refusals()
    for number in range(CODES_MAX + 100):
        others.note(1, 7, "c" * (number % 40 + 1) + "d" * (number // 40))
    assert len(others) == CODES_MAX + 1


async def test_a_code_that_the_table_would_refuse_is_counted_as_other(
    acts: Administration, journal: PostgresJournal, pool: Pool, owner: Connection
) -> None:
    """So it cannot keep all others from being written."""
    election = await an_election(acts, journal)
    refusals = Refusals()
    for code in ("malformed", "", "Upper", "a-b", "x" * 41):
        refusals.note(election, 1, code)
    await refusals.write(pool)
    assert await counts(owner, election) == {(1, "malformed"): 1, (1, OTHER): 4}


async def test_processes_add_to_the_same_counts(
    acts: Administration, journal: PostgresJournal, pool: Pool, owner: Connection
) -> None:
    """Also at the same time; refusals of an election that does not exist are dropped."""
    election = await an_election(acts, journal)
    processes = [Refusals() for _ in range(4)]
    for process, token, code in itertools.product(processes, (NO_TOKEN, 1, 2), ("malformed", OTHER)):
        process.note(election, token, code)
        process.note(1_000_000, token, code)
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(process.write(pool) for process in processes))
    assert await counts(owner, election) == {
        (token, code): 4 for token in (NO_TOKEN, 1, 2) for code in ("malformed", OTHER)
    }
    assert not any(map(len, processes))


async def test_counts_that_cannot_be_written_are_kept(
    acts: Administration,
    journal: PostgresJournal,
    pool: Pool,
    owner: Connection,
) -> None:
    """While another session locks the table, counting goes on and the wait ends; nothing is counted twice."""
    election = await an_election(acts, journal)
    refusals = Refusals()
    refusals.note(election, 1, "malformed")
    async with asyncio.timeout(TIMEOUT_S), owner.transaction():
        await owner.execute("LOCK TABLE refusal IN ACCESS EXCLUSIVE MODE")
        writing = asyncio.create_task(refusals.write(pool))
        await asyncio.sleep(0)
        refusals.note(election, 1, "malformed")
        with pytest.raises(JournalUnavailable):
            await writing
    assert len(refusals) == 1
    await refusals.write(pool)
    assert await counts(owner, election) == {(1, "malformed"): 2}


async def test_they_are_written_in_the_background(
    acts: Administration,
    journal: PostgresJournal,
    pool: Pool,
    owner: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one statement for all, however many refusals there were since the last one."""
    election = await an_election(acts, journal)
    refusals = Refusals()
    written = []
    add_counts = refusals_module._add_counts

    async def counted(pool: Pool, taken: dict[object, object]) -> None:
        written.append(len(taken))
        await add_counts(pool, taken)  # type: ignore[arg-type]

    monkeypatch.setattr(refusals_module, "WRITE_S", 0.01)
    monkeypatch.setattr(refusals_module, "_add_counts", counted)
    for _ in range(10_000):
        refusals.note(election, 3, "unit_forbidden")
    running = asyncio.create_task(refusals.run(pool))
    try:
        await until(lambda: counts_are(owner, election, {(3, "unit_forbidden"): 10_000}))
    finally:
        running.cancel()
    assert written == [1]


async def counts_are(owner: Connection, election: int, wanted: dict[tuple[int, str], int]) -> bool:
    return await counts(owner, election) == wanted
