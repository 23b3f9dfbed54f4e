"""What a push process reads for the board: every report once, and each refusal over all processes."""

import asyncio
from datetime import UTC, datetime

import pytest

from gateway.election.validation import ValidReport
from gateway.errors import JournalUnavailable
from gateway.journal import board as board_module
from gateway.journal.administration import Administration
from gateway.journal.board import BoardReader, BoardView
from gateway.journal.connection_pool import Pool
from gateway.journal.elections import ElectionVersion
from gateway.journal.postgres import PostgresJournal
from gateway.journal.refusals import NO_TOKEN, Refusals
from gateway.journal.session import Connection
from gateway.journal.waiting import WaitingReports
from gateway.wire.board import Waiting
from tests.conftest import Database
from tests.journal.makers import FAR, TIMEOUT_S, a_registry, a_report, append, until

THIS_PROCESS = 7


@pytest.fixture
def database(shared_database: Database) -> Database:
    """Each test has its own election, and needs nothing more."""
    return shared_database


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read serves nobody else, and a page is small."""
    monkeypatch.setattr(board_module, "READ_S", -1.0)
    monkeypatch.setattr(board_module, "PAGE", 2)


class Site:
    """An election under embargo, with a token for one municipality."""

    def __init__(self, acts: Administration, journal: PostgresJournal, pool: Pool) -> None:
        self.acts, self.journal, self.pool = acts, journal, pool
        self.reader = BoardReader(pool, THIS_PROCESS)
        self.version: ElectionVersion
        self.token = 0

    async def begin(self) -> None:
        publish_from = datetime.now(UTC) + FAR
        election = await self.acts.load_election(a_registry(publish_from=publish_from.isoformat()))
        self.token = (await self.acts.issue_token(election, ["a"], note="A")).key
        self.version = ElectionVersion(election, await self.journal.election(election))

    async def append(self, *reports: ValidReport) -> None:
        await append(self.journal, self.version.key, self.version.version, *reports)

    async def read(self) -> BoardView:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.reader.read(self.version)

    async def reported(self) -> dict[str, tuple[int, int]]:
        return {row.municipality: (row.reported, row.accepted) for row in (await self.read()).rows}


@pytest.fixture
async def site(acts: Administration, journal: PostgresJournal, pool: Pool) -> Site:
    """An election under embargo."""
    site = Site(acts, journal, pool)
    await site.begin()
    return site


async def test_operators_see_everything_under_embargo(site: Site) -> None:
    """Reports per municipality, the oldest that waits, contacts, and refusals of all processes."""
    await site.append(a_report("a-1"), a_report("a-2"), a_report("b-1"), a_report("a-1", 2))
    at = datetime.now(UTC)
    await site.journal.record_contacts({site.token: at})
    for _ in range(2):
        process = Refusals()
        process.note(site.version.key, site.token, "malformed")
        process.note(site.version.key, NO_TOKEN, "token_missing")
        await process.write(site.pool)
    view = await site.read()
    here, there = view.rows
    assert (here.reported, here.accepted, there.reported, there.accepted) == (2, 3, 1, 1)
    assert (view.facts.accepted, view.facts.unpublished, view.facts.released_at) == (4, 4, None)
    assert view.facts.oldest_unpublished_at == here.last_accepted_at
    assert here.last_contact_at == at
    assert [(token.token, token.note) for token in here.tokens] == [(site.token, "A")]
    assert [(each.code, each.count, each.token) for each in here.refusals] == [("malformed", 2, site.token)]
    assert [(each.code, each.count, each.token) for each in view.refusals] == [("token_missing", 2, None)]


async def test_each_report_is_read_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later reads begin where the last one ended, so their cost does not grow with the record."""
    await site.append(*(a_report(f"a-{number}") for number in range(1, 6)))
    assert await site.reported() == {"a": (5, 5), "b": (0, 0)}
    fetched: list[int] = []
    fetch = BoardReader._fetch

    async def counted(self: BoardReader, query: str, *arguments: object) -> list[object]:
        rows = await fetch(self, query, *arguments)
        if query == board_module._REPORTS:
            fetched.append(len(rows))
        return rows  # type: ignore[return-value]

    monkeypatch.setattr(BoardReader, "_fetch", counted)
    await site.read()
    assert fetched == []
    await site.append(a_report("a-1", 2))
    assert await site.reported() == {"a": (5, 6), "b": (0, 0)}
    assert fetched == [2], "the last one again, whose chain is compared, and the new one"


async def test_what_was_read_before_a_failure_is_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long record is read over several attempts if need be; and elections beyond ELECTIONS_MAX are forgotten."""
    monkeypatch.setattr(board_module, "ELECTIONS_MAX", 1)
    await site.append(*(a_report(f"a-{number}") for number in range(1, 6)))
    fetch = BoardReader._fetch
    pages = 0

    async def failing(self: BoardReader, query: str, *arguments: object) -> list[object]:
        nonlocal pages
        pages += query == board_module._REPORTS
        if query == board_module._REPORTS and pages == 2:
            raise JournalUnavailable("no answer")
        return await fetch(self, query, *arguments)  # type: ignore[return-value]

    monkeypatch.setattr(BoardReader, "_fetch", failing)
    with pytest.raises(JournalUnavailable):
        await site.read()
    assert site.reader._records[site.version.key].sequence == 2
    assert (await site.reported())["a"] == (5, 5)
    first = site.version.key
    await site.begin()
    await site.read()
    assert {*site.reader._records} == {*site.reader._views} == {site.version.key} != {first}


@pytest.mark.parametrize("longer", [False, True])
async def test_another_record_is_read_from_its_beginning(site: Site, owner: Connection, longer: bool) -> None:
    """After a restore or a bad failover: a shorter one, or one of the same length that differs."""
    await site.append(a_report("a-1"), a_report("a-2"), a_report("a-3"))
    assert (await site.reported())["a"] == (3, 3)
    key = site.version.key
    await owner.execute(f"ALTER TABLE report_{key} DISABLE TRIGGER ALL")
    await owner.execute(f"DELETE FROM report_{key} WHERE sequence > 1")
    await owner.execute(
        "UPDATE head SET accepted = 1, chain = (SELECT chain FROM report WHERE election = $1) WHERE election = $1",
        key,
    )
    if longer:
        await site.append(a_report("b-1"), a_report("b-2"), a_report("b-3"), a_report("b-4"))
    assert await site.reported() == {"a": (1, 1), "b": (4, 4) if longer else (0, 0)}


async def test_all_who_ask_get_the_same_view(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many operators there are, Postgres is read once."""
    monkeypatch.setattr(board_module, "READ_S", 60.0)
    views = await asyncio.gather(*(site.read() for _ in range(20)))
    assert len({id(view) for view in views}) == 1


async def test_silent_municipalities_are_counted_for_the_alert(
    site: Site, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of elections whose embargo has ended; the one with a token that was never used."""
    monkeypatch.setattr(board_module, "WATCH_S", 0.01)
    past = datetime.now(UTC) - FAR
    row = await site.journal.election(site.version.id)
    elections = [site.version]
    watching = asyncio.create_task(site.reader.watch(lambda: elections, 1800.0))

    async def counted() -> bool:
        return site.reader.silent == {site.version.id: 1}

    try:
        await owner.execute(
            "UPDATE embargo SET publish_from = $2 WHERE election = $1", site.version.key, past
        )
        row = await site.journal.election(site.version.id)
        assert site.reader.silent == {}
        elections[:] = [ElectionVersion(site.version.id, row)]
        await until(counted)
    finally:
        watching.cancel()


def written_by(process: int) -> WaitingReports:
    written = WaitingReports()
    written.process = process
    return written


async def test_reports_that_wait_in_other_processes_are_on_the_board(site: Site) -> None:
    """Their number, and the oldest; not those of the process itself, which it knows, nor of other elections."""
    other, third, own = (written_by(process) for process in (1, 2, THIS_PROCESS))
    key = site.version.key
    await other.write(site.pool, {key: Waiting(3, 20.0), 1_000_000: Waiting(9, 99.0)})
    await third.write(site.pool, {key: Waiting(4, 50.0)})
    await own.write(site.pool, {key: Waiting(100, 500.0)})
    waiting = (await site.read()).facts.waiting_elsewhere
    assert waiting.reports == 7
    assert waiting.oldest_s is not None
    assert 50.0 <= waiting.oldest_s < 50.0 + TIMEOUT_S
    await other.write(site.pool, {key: Waiting(3, 20.0)})
    await third.write(site.pool, {key: Waiting(1, 0.2)})
    assert (await site.read()).facts.waiting_elsewhere.reports == 3, "what is answered at once is not written"
    await other.write(site.pool, {})
    assert (await site.read()).facts.waiting_elsewhere == Waiting(0, None)


async def test_nothing_is_written_while_receipts_are_quick(
    site: Site, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked of Postgres then, and no connection is taken; not even to delete what was never written."""
    monkeypatch.setattr("gateway.journal.waiting.acquired", None)
    await written_by(1).write(site.pool, {site.version.key: Waiting(500, 0.4)})
    await written_by(1).write(site.pool, {site.version.key: Waiting(0, None)})


async def test_what_waited_in_a_process_that_ended_is_not_shown(site: Site, owner: Connection) -> None:
    """After some seconds; the next process that writes deletes its rows, unless another one does so right now."""
    key = site.version.key
    await written_by(1).write(site.pool, {key: Waiting(3, 20.0)})
    await owner.execute("UPDATE waiting SET at = at - interval '11 s' WHERE election = $1", key)
    assert (await site.read()).facts.waiting_elsewhere == Waiting(0, None)
    await owner.execute("UPDATE waiting SET at = at - interval '1 hour' WHERE election = $1", key)
    async with asyncio.timeout(TIMEOUT_S):
        async with owner.transaction():
            await owner.execute("DELETE FROM waiting WHERE election = $1 AND process = 1", key)
            await written_by(2).write(site.pool, {key: Waiting(1, 1.0)})
        await owner.execute("UPDATE waiting SET at = at - interval '1 hour' WHERE election = $1", key)
        await written_by(3).write(site.pool, {key: Waiting(1, 1.0)})
    rows = await owner.fetch("SELECT process FROM waiting WHERE election = $1", key)
    assert [row["process"] for row in rows] == [3]


async def test_a_write_that_failed_is_repeated(site: Site, owner: Connection) -> None:
    """Also one that would have deleted: what waited before does not stay."""
    process = written_by(1)
    key = site.version.key
    await process.write(site.pool, {key: Waiting(3, 20.0)})
    async with asyncio.timeout(TIMEOUT_S), owner.transaction():
        await owner.execute("LOCK TABLE waiting IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(JournalUnavailable):
            await process.write(site.pool, {})
    await process.write(site.pool, {})
    assert await owner.fetch("SELECT FROM waiting WHERE election = $1", key) == []
