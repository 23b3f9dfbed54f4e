"""What the feed's role can read, and cannot: the public record, and nothing of it before its release."""

import asyncio
import io
from datetime import UTC, datetime

import asyncpg
import pytest

from gateway.election.report import CHAIN_START
from gateway.journal.administration import Administration
from gateway.journal.connection import CHANNEL, FEED_ROLE, Connection
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from tests.conftest import Database
from tests.journal.makers import FAR, PATIENCE_S, a_registry, a_report, append, chain_of, connected

TABLES = ("election", "head", "report", "token", "contact", "act", "migration")
VIEWS = ("public_election", "publication", "public_contact")
LEAKY = """
    CREATE FUNCTION pg_temp.leak(seen anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
    BEGIN RAISE NOTICE 'leaked %', seen; RETURN true; END $$
"""
"""A condition so cheap that it is tried first, and that tells every value it is shown."""


@pytest.fixture
def database(shared_database: Database) -> Database:
    """Each test has an election of its own, and needs no more."""
    return shared_database


class Election:
    """An election with two reports, the contact of a token, and the journal to go on with."""

    def __init__(self, journal: PostgresJournal, identifier: str, key: int, version: int) -> None:
        self.journal = journal
        self.id = identifier
        self.key = key
        self.version = version


async def make(acts: Administration, journal: PostgresJournal, publish_from: datetime) -> Election:
    identifier = await acts.load_election(a_registry(publish_from=publish_from.isoformat()))
    token = await acts.issue_token(identifier, ["a", "b-1"])
    row = await journal.election(identifier)
    await append(journal, row.key, row.version, a_report("a-1", 7), a_report("b-1", 8))
    await journal.record_contacts({token.key: datetime.now(UTC)})
    return Election(journal, identifier, row.key, row.version)


@pytest.fixture
async def embargoed(acts: Administration, journal: PostgresJournal) -> Election:
    """An election whose embargo lies an hour ahead."""
    return await make(acts, journal, datetime.now(UTC) + FAR)


@pytest.fixture
async def released(acts: Administration, journal: PostgresJournal) -> Election:
    """An election whose embargo has passed."""
    return await make(acts, journal, datetime.now(UTC))


async def release(owner: Connection, election: Election) -> None:
    """Let the embargo end now."""
    await owner.execute("UPDATE head SET publish_from = clock_timestamp() WHERE election = $1", election.key)
    await append(election.journal, election.key, election.version)


async def test_before_the_release_the_record_is_empty(embargoed: Election, record: PublicRecord) -> None:
    """No publication, no sequence, no chain, no contact, no count of what is accepted."""
    (head,) = [head for head in await record.heads() if head.key == embargoed.key]
    assert (head.id, head.sequence, head.chain, head.released_at) == (embargoed.id, 0, CHAIN_START, None)
    assert await record.publications(embargoed.key, 0, 100) == []
    assert await record.publications(embargoed.key, -1, 100) == []
    assert await record.beyond(embargoed.key, 0) == []
    assert await record.contacts(embargoed.key) == {}


async def test_after_the_release_the_record_is_whole(
    embargoed: Election, record: PublicRecord, owner: Connection
) -> None:
    """What was accepted is published at the moment of the release, in its order; later reports when accepted."""
    await release(owner, embargoed)
    await append(embargoed.journal, embargoed.key, embargoed.version, a_report("a-1", 9))
    (head,) = [head for head in await record.heads() if head.key == embargoed.key]
    publications = await record.publications(embargoed.key, 0, 100)
    assert [(each.sequence, each.unit, each.revision) for each in publications] == [
        (1, "a-1", 7),
        (2, "b-1", 8),
        (3, "a-1", 9),
    ]
    assert [each.chain for each in publications] == chain_of([each.digest for each in publications])
    assert (head.sequence, head.chain) == (3, publications[-1].chain)
    assert publications[0].published_at == publications[1].published_at == head.released_at
    assert publications[0].accepted_at < publications[0].published_at
    assert publications[2].published_at == publications[2].accepted_at > publications[1].published_at
    assert publications[2].body == a_report("a-1", 9).body
    assert set(await record.contacts(embargoed.key)) == {"a", "b-1"}
    (first, second) = await record.beyond(embargoed.key, 1)
    assert {(first.unit, first.accepted), (second.unit, second.accepted)} == {("a-1", 1), ("b-1", 1)}


async def test_the_record_is_read_in_parts(released: Election, record: PublicRecord) -> None:
    """Up to so many, after a sequence."""
    assert [each.sequence for each in await record.publications(released.key, 0, 1)] == [1]
    assert [each.sequence for each in await record.publications(released.key, 1, 9)] == [2]
    assert await record.publications(released.key, 2, 9) == []


async def test_a_registry_is_public_before_the_release(embargoed: Election, record: PublicRecord) -> None:
    """It is known before the night."""
    assert embargoed.id.encode() in await record.registry(embargoed.key)
    assert not any(head.standby for head in await record.heads())


async def test_a_release_of_one_election_shows_nothing_of_another(
    embargoed: Election, released: Election, record: PublicRecord
) -> None:
    """Each has an embargo of its own."""
    assert len(await record.publications(released.key, 0, 100)) == 2
    assert await record.publications(embargoed.key, 0, 100) == []
    assert await record.contacts(embargoed.key) == {}


async def test_embargoed_reports_wake_nobody(
    embargoed: Election, database: Database, acts: Administration, owner: Connection
) -> None:
    """An append under embargo notifies no one, so that not even its moment is told; a release does."""
    heard: asyncio.Queue[object] = asyncio.Queue()
    async with asyncio.timeout(PATIENCE_S), connected(database.feed_url, feed=True) as listening:
        await listening.add_listener(CHANNEL, lambda *payload: heard.put_nowait(payload[-1]))
        await append(embargoed.journal, embargoed.key, embargoed.version, a_report("a-2"))
        await append(embargoed.journal, embargoed.key, embargoed.version)
        await owner.execute("SELECT pg_notify($1, 'the end')", CHANNEL)
        assert await heard.get() == "the end"
        await release(owner, embargoed)
        assert await heard.get() == ""
        assert heard.empty()


# What the role may do.


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("way", ["as it logs in", "as the role", "after RESET ROLE"])
async def test_the_feed_cannot_read_a_table(
    embargoed: Election, reader: Connection, table: str, way: str
) -> None:
    """Reports, tokens, heads and acts are out of reach, also for one who gives the role back."""
    if way != "as it logs in":
        await reader.execute(f"SET ROLE {FEED_ROLE}")
    if way == "after RESET ROLE":
        await reader.execute("RESET ROLE")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.fetch(f"SELECT * FROM {table}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.fetch(f"SELECT count(*) FROM {table}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.execute(f"DELETE FROM {table}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.copy_from_query(f"TABLE {table}", output=io.BytesIO())


async def test_the_feed_cannot_append_nor_change_nor_make_anything(
    embargoed: Election, reader: Connection
) -> None:
    """Its role reads three views; it calls no function of the journal and writes nowhere."""
    for statement in (
        f"SELECT append_v1({embargoed.key}, {embargoed.version}, '{{}}', '{{}}', '{{}}', '{{}}', '{{}}')",
        "CREATE TABLE valgnatt.mine ()",
        "CREATE VIEW valgnatt.mine AS SELECT 1",
        "UPDATE public_election SET sequence = 1",
        "DELETE FROM publication",
        "ALTER VIEW publication SET (security_barrier = false)",
        "GRANT SELECT ON report TO valgnatt_feed",
    ):
        with pytest.raises(
            (
                asyncpg.InsufficientPrivilegeError,
                asyncpg.ObjectNotInPrerequisiteStateError,
                asyncpg.WrongObjectTypeError,
                asyncpg.FeatureNotSupportedError,
            )
        ):
            await reader.execute(statement)


async def test_the_feed_may_read_its_views_and_no_other_relation(reader: Connection) -> None:
    """Asked of the server itself, so that a table added later is not forgotten."""
    rows = await reader.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'valgnatt' AND c.relkind IN ('r', 'v', 'm', 'p', 'S')"
        " AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT, USAGE')"
        " ELSE has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')"
        " OR has_table_privilege(c.oid, 'DELETE, TRUNCATE, TRIGGER') END"
    )
    assert {row[0] for row in rows} == set(VIEWS)
    functions = await reader.fetch(
        "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'valgnatt' AND has_function_privilege(p.oid, 'EXECUTE')"
    )
    assert functions == []


@pytest.mark.parametrize("view", ["publication", "public_contact"])
async def test_a_condition_that_tells_what_it_sees_is_shown_no_embargoed_row(
    embargoed: Election, reader: Connection, view: str
) -> None:
    """The views are barriers: a function of the reader's own runs only on rows that the reader may see."""
    told = await _leaks(reader, view)
    assert not [text for text in told if f"({embargoed.key}," in text]


async def test_the_same_condition_is_shown_released_rows(
    released: Election, embargoed: Election, reader: Connection
) -> None:
    """So the test above would hear it."""
    told = await _leaks(reader, "publication")
    assert len({text for text in told if f"({released.key}," in text}) == 2
    assert not [text for text in told if f"({embargoed.key}," in text]


async def test_without_the_barrier_that_condition_would_be_shown_embargoed_rows(
    embargoed: Election, reader: Connection, owner: Connection
) -> None:
    """So the barrier is what keeps them."""
    definition = await owner.fetchval("SELECT pg_get_viewdef('publication'::regclass)")
    await owner.execute(f"CREATE OR REPLACE VIEW open_publication AS {definition}")
    await owner.execute("GRANT SELECT ON open_publication TO valgnatt_feed")
    try:
        told = await _leaks(reader, "open_publication")
    finally:
        await owner.execute("DROP VIEW open_publication")
    assert [text for text in told if f"({embargoed.key}," in text]


async def _leaks(reader: Connection, view: str) -> list[str]:
    """Return what a leaky condition is shown by every way of joining."""
    told: list[str] = []
    reader.add_log_listener(lambda _, message: told.append(str(message)))
    await reader.execute(f"SET ROLE {FEED_ROLE}")
    await reader.execute(LEAKY)
    seen = "row(election, unit)::text" if "publication" in view else "row(election, area)::text"
    for joins in ("nestloop", "hashjoin", "mergejoin"):
        for each in ("nestloop", "hashjoin", "mergejoin"):
            await reader.execute(f"SET enable_{each} = {'on' if each == joins else 'off'}")
        await reader.fetch(f"SELECT 1 FROM {view} WHERE pg_temp.leak({seen})")
        await reader.fetch(f"EXPLAIN (ANALYZE, VERBOSE) SELECT 1 FROM {view} WHERE pg_temp.leak({seen})")
    return told


# Reports stand.


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE report SET revision = revision",
        "UPDATE report SET digest = digest WHERE false",
        "DELETE FROM report",
        "DELETE FROM report WHERE unit = 'a-1'",
        "TRUNCATE report",
        "INSERT INTO report SELECT * FROM report ON CONFLICT (election, sequence) DO UPDATE SET body = ''",
    ],
)
async def test_an_accepted_report_is_never_changed(
    released: Election, record: PublicRecord, owner: Connection, statement: str
) -> None:
    """Not even by the owner, through any ordinary statement."""
    before = await record.publications(released.key, 0, 100)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await owner.execute(statement)
    assert refused.value.sqlstate == "VG003"
    assert await record.publications(released.key, 0, 100) == before != []
