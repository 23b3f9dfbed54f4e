"""What the role of the feed can and cannot read: the public record, and nothing before its release."""

import asyncio
import io
from datetime import UTC, datetime

import asyncpg
import pytest

from gateway.election.record import CHAIN_START
from gateway.journal.administration import Administration
from gateway.journal.embedded import READER, SIGNER_LOGIN
from gateway.journal.notifications import CHANNEL
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import FETCHED_MAX, PublicRecord
from gateway.journal.refusals import Refusals
from gateway.journal.session import FEED_ROLE, Connection
from tests.conftest import Database
from tests.journal.makers import FAR, TIMEOUT_S, a_registry, a_report, append, chain_of, connected

TABLES = (
    "election",
    "embargo",
    "head",
    "report",
    "confirmation",
    "token",
    "contact",
    "refusal",
    "waiting",
    "hold",
    "hold_line",
    "rules",
    "previous",
    "act",
    "migration",
)
FUNCTIONS = (
    "valgnatt_public.checkpoints(integer,integer,bigint,integer)",
    "valgnatt_public.contacts(integer)",
    "valgnatt_public.cosignatures(integer,integer,bigint,bigint)",
    "valgnatt_public.elections()",
    "valgnatt_public.elections_v2()",
    "valgnatt_public.hold_lines(integer,bigint,integer)",
    "valgnatt_public.logs()",
    "valgnatt_public.previous(integer)",
    "valgnatt_public.record(integer,bigint,integer)",
    "valgnatt_public.record_v2(integer,bigint,integer)",
    "valgnatt_public.registry(integer)",
    "valgnatt_public.unapplied(integer,bigint)",
)
"""All that the feed's role may call."""
SIGNER_FUNCTIONS = (
    "valgnatt_public.checkpoints(integer,integer,bigint,integer)",
    "valgnatt_public.cosignatures(integer,integer,bigint,bigint)",
    "valgnatt_public.elections_v2()",
    "valgnatt_public.logs()",
    "valgnatt_public.record_v2(integer,bigint,integer)",
    "valgnatt_public.registry(integer)",
    "valgnatt_signing.add_cosignature(integer,integer,bigint,text,timestamp with time zone,text)",
    "valgnatt_signing.begin_round(integer,text,boolean)",
    "valgnatt_signing.declare_log(integer,integer,bigint,text,text[],text[])",
    "valgnatt_signing.insert_checkpoint(integer,integer,bigint,bigint,bytea,timestamp with time zone,text)",
    "valgnatt_signing.message(text)",
)
"""All that the signer's role may call."""
LOGINS = {
    READER: (FUNCTIONS, {"valgnatt_public"}),
    SIGNER_LOGIN: (SIGNER_FUNCTIONS, {"valgnatt_public", "valgnatt_signing"}),
}
"""The logins of an embedded Postgres, with the functions that they may call and the schemas that these are in."""


@pytest.fixture
def database(shared_database: Database) -> Database:
    """Each test has its own election, and needs nothing more."""
    return shared_database


class Election:
    """An election with two reports, the contact of a token, and its journal."""

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
    refusals = Refusals()
    refusals.note(row.key, token.key, "malformed")
    await refusals.write(journal._pool)
    return Election(journal, identifier, row.key, row.version)


@pytest.fixture
async def embargoed(acts: Administration, journal: PostgresJournal) -> Election:
    """An election whose embargo ends in an hour."""
    return await make(acts, journal, datetime.now(UTC) + FAR)


@pytest.fixture
async def released(acts: Administration, journal: PostgresJournal) -> Election:
    """An election whose embargo has ended."""
    return await make(acts, journal, datetime.now(UTC))


async def release(owner: Connection, election: Election) -> None:
    """Let the embargo end now."""
    await owner.execute(
        "UPDATE embargo SET publish_from = clock_timestamp() WHERE election = $1", election.key
    )
    await append(election.journal, election.key, election.version)


async def test_before_the_release_the_record_is_empty(embargoed: Election, record: PublicRecord) -> None:
    """No publication, sequence, chain or contact, and no number of accepted reports."""
    (head,) = [head for head in await record.heads() if head.key == embargoed.key]
    assert (head.id, head.sequence, head.chain, head.released_at) == (embargoed.id, 0, CHAIN_START, None)
    assert await record.publications(embargoed.key, 0, 100) == []
    assert await record.publications(embargoed.key, -1, 100) == []
    assert await record.publications(embargoed.key, 0, FETCHED_MAX + 1) == []
    assert await record.unapplied(embargoed.key, 0) == []
    assert await record.contacts(embargoed.key) == {}


async def test_after_the_release_the_record_is_complete(
    embargoed: Election, record: PublicRecord, owner: Connection
) -> None:
    """Earlier reports are published at the moment of the release, in their order; later ones when accepted."""
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
    assert await record.publications(embargoed.key, 0, FETCHED_MAX + 1) == publications
    assert await record.publications(embargoed.key, 2, FETCHED_MAX + 1) == publications[2:]
    assert set(await record.contacts(embargoed.key)) == {"a", "b-1"}
    (first, second) = await record.unapplied(embargoed.key, 1)
    assert {(first.unit, first.accepted), (second.unit, second.accepted)} == {("a-1", 1), ("b-1", 1)}


async def test_the_record_is_read_in_parts(released: Election, record: PublicRecord) -> None:
    """Up to a number of publications after a sequence."""
    assert [each.sequence for each in await record.publications(released.key, 0, 1)] == [1]
    assert [each.sequence for each in await record.publications(released.key, 1, 9)] == [2]
    assert await record.publications(released.key, 2, 9) == []


async def test_a_registry_is_public_before_the_release(embargoed: Election, record: PublicRecord) -> None:
    """It is public from the start."""
    assert embargoed.id.encode() in await record.registry(embargoed.key)
    assert not any(head.standby for head in await record.heads())


async def test_a_release_of_one_election_shows_nothing_of_another(
    embargoed: Election, released: Election, record: PublicRecord
) -> None:
    """Each election has its own embargo."""
    assert len(await record.publications(released.key, 0, 100)) == 2
    assert await record.publications(embargoed.key, 0, 100) == []
    assert await record.contacts(embargoed.key) == {}


async def test_an_append_sends_no_notification(
    embargoed: Election, database: Database, acts: Administration, owner: Connection
) -> None:
    """Neither under embargo, so its time does not show, nor at the release, so a full queue cannot make it fail."""
    heard: asyncio.Queue[object] = asyncio.Queue()
    async with asyncio.timeout(TIMEOUT_S), connected(database.feed_url, feed=True) as listening:
        await listening.add_listener(CHANNEL, lambda *payload: heard.put_nowait(payload[-1]))
        await append(embargoed.journal, embargoed.key, embargoed.version, a_report("a-2"))
        await append(embargoed.journal, embargoed.key, embargoed.version)
        await release(owner, embargoed)
        await append(embargoed.journal, embargoed.key, embargoed.version, a_report("a-3"))
        await owner.execute("SELECT pg_notify($1, 'the end')", CHANNEL)
        assert await heard.get() == "the end"


# What the role may do.


@pytest.mark.parametrize("way", ["as it logs in", "as the role", "after RESET ROLE"])
async def test_the_feed_cannot_read_the_tables(embargoed: Election, reader: Connection, way: str) -> None:
    """Reports, tokens, heads and acts are inaccessible, also after RESET ROLE."""
    if way != "as it logs in":
        await reader.execute(f"SET ROLE {FEED_ROLE}")
    if way == "after RESET ROLE":
        await reader.execute("RESET ROLE")
    for table in TABLES:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.fetch(f"SELECT * FROM valgnatt.{table}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.fetch(f"SELECT count(*) FROM valgnatt.{table}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(f"DELETE FROM valgnatt.{table}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.copy_from_query(f"TABLE valgnatt.{table}", output=io.BytesIO())


async def test_the_feed_cannot_append_change_or_create_anything(
    embargoed: Election, reader: Connection
) -> None:
    """Its role can call functions that read, and no other function of the journal; it can write nowhere."""
    arrays = ", ".join(["'{}'"] * 5)
    key = f"{embargoed.key}, {embargoed.version}"
    for statement in (
        f"SELECT valgnatt.append_v2({embargoed.key}, {embargoed.version}, {arrays}, false)",
        f"SELECT valgnatt.append_without_rules({embargoed.key}, {embargoed.version}, {arrays}, false)",
        f"SELECT valgnatt.append_v3({key}, NULL, NULL, {arrays}, NULL, NULL, NULL, NULL, NULL, false)",
        f"SELECT valgnatt.append_v4({key}, NULL, NULL, {arrays}, NULL, NULL, NULL, NULL, NULL, false, false)",
        f"SELECT valgnatt.lock_v1({embargoed.key}, {embargoed.version}, 1)",
        f"SELECT valgnatt.decide_v1({key}, true, '{{}}', '{{}}', '{{}}', '', '', 1, false)",
        f"SELECT valgnatt.set_rules_v1({embargoed.key}, {embargoed.version}, '{{}}', 1, false)",
        f"SELECT valgnatt.confirm_v1({embargoed.key}, 1, 1)",
        f"SELECT valgnatt.shown({embargoed.key})",
        f"SELECT valgnatt.shown_v2({embargoed.key})",
        f"SELECT valgnatt.lock_v1({embargoed.key}, {embargoed.version}, 1000)",
        "SELECT valgnatt.add_election(99, clock_timestamp())",
        "SELECT valgnatt.add_partition(99, 'refusal', 50)",
        f"SELECT valgnatt.count_refusals_v1('{{{embargoed.key}}}', '{{0}}', '{{x}}', '{{1}}', '{{now}}')",
        f"SELECT valgnatt.note_waiting_v1(1, '{{{embargoed.key}}}', '{{1}}', '{{1}}')",
        "CREATE TABLE valgnatt.mine ()",
        "CREATE TEMPORARY TABLE mine ()",
        "CREATE VIEW valgnatt.mine AS SELECT 1",
        "CREATE SCHEMA mine",
        "ALTER FUNCTION valgnatt_public.elections() SECURITY INVOKER",
        "GRANT SELECT ON valgnatt.report TO valgnatt_feed",
        "DO 'BEGIN END'",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_advisory_lock(1448561735)",
        "SELECT pg_try_advisory_lock_shared(1)",
        "SELECT pg_advisory_xact_lock(1, 1)",
        "SELECT pg_notify('valgnatt', '')",
        "LOCK TABLE valgnatt.migration IN ACCESS SHARE MODE",
        "LOCK TABLE valgnatt.head IN ACCESS SHARE MODE",
    ):
        with pytest.raises(
            (
                asyncpg.InsufficientPrivilegeError,
                asyncpg.ObjectNotInPrerequisiteStateError,
                asyncpg.WrongObjectTypeError,
                asyncpg.FeatureNotSupportedError,
            )
        ):
            async with reader.transaction():
                await reader.execute(statement)


@pytest.mark.parametrize("login", LOGINS)
async def test_each_login_has_its_functions_and_no_relation(owner: Connection, login: str) -> None:
    """Asked of the server, so that a table or function added later is included."""
    rows = await owner.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'valgnatt' AND c.relkind IN ('r', 'v', 'm', 'p', 'S')"
        " AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege($1, c.oid, 'SELECT, USAGE')"
        " ELSE has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')"
        " OR has_table_privilege($1, c.oid, 'DELETE, TRUNCATE, TRIGGER') END",
        login,
    )
    assert rows == []
    functions = await owner.fetch(
        "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname LIKE 'valgnatt%' AND has_function_privilege($1, p.oid, 'EXECUTE')",
        login,
    )
    expected, its_schemas = LOGINS[login]
    assert {row[0] for row in functions} == set(expected)
    schemas = await owner.fetch(
        "SELECT nspname FROM pg_namespace WHERE has_schema_privilege($1, oid, 'USAGE, CREATE')", login
    )
    assert {row[0] for row in schemas} == {*its_schemas, "pg_catalog", "information_schema"}


async def test_functions_of_the_logins_have_a_fixed_search_path(owner: Connection) -> None:
    """They run with the owner's privileges, so operators of others must not be found first."""
    functions = {*FUNCTIONS, *SIGNER_FUNCTIONS}
    rows = await owner.fetch(
        "SELECT prosecdef, proconfig FROM pg_proc WHERE oid::regprocedure::text = ANY ($1)", list(functions)
    )
    assert len(rows) == len(functions)
    assert {(row[0], tuple(row[1])) for row in rows} == {(True, ("search_path=pg_catalog, pg_temp",))}


@pytest.mark.parametrize("login", LOGINS)
async def test_on_a_dedicated_server_a_login_can_read_almost_no_catalogs(
    owner: Connection, login: str
) -> None:
    """No statistics and no sizes, only the few functions that a connection needs."""
    relations = await owner.fetchval(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v')"
        " AND has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE')",
        login,
    )
    assert relations == 1  # pg_settings
    functions = await owner.fetch(
        "SELECT DISTINCT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname IN ('pg_catalog', 'information_schema', 'public')"
        " AND has_function_privilege($1, p.oid, 'EXECUTE')",
        login,
    )
    assert {row[0] for row in functions} == {
        "pg_is_in_recovery",
        "clock_timestamp",
        "current_setting",
        "set_config",
        "pg_show_all_settings",
        "texteq",
        "hashtext",
    }


# Reports stand.


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE report SET revision = revision",
        "UPDATE report SET digest = digest WHERE false",
        "DELETE FROM report",
        "DELETE FROM report WHERE unit = 'a-1'",
        "TRUNCATE report",
        "UPDATE report_{key} SET revision = revision",
        "DELETE FROM report_{key}",
        "TRUNCATE report_{key}",
        "INSERT INTO report SELECT * FROM report ON CONFLICT (election, sequence) DO UPDATE SET body = ''",
    ],
)
async def test_an_accepted_report_is_never_changed(
    released: Election, record: PublicRecord, owner: Connection, statement: str
) -> None:
    """Not even by the owner, with any ordinary statement."""
    before = await record.publications(released.key, 0, 100)
    with pytest.raises(asyncpg.PostgresError) as refused:
        await owner.execute(statement.replace("{key}", str(released.key)))
    assert refused.value.sqlstate == "VG003"
    assert await record.publications(released.key, 0, 100) == before != []
