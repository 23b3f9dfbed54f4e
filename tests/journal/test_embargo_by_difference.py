"""What the logins of feeds and signer see of an embargoed election must not change with the reports that are accepted.

Every class of statement is tried, on a primary and on a replica. On a dedicated server nothing may differ; on a shared
server, only the items that docs/security.md lists may.
"""

import asyncio
import itertools
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.election.log_record import Cosignature, SignedCheckpoint
from gateway.journal.administration import administration
from gateway.journal.connection import open_pool
from gateway.journal.migrate import migrate
from gateway.journal.postgres import PostgresJournal
from gateway.journal.refusals import Refusals
from gateway.journal.session import Connection
from gateway.journal.signing import SigningJournal
from gateway.journal.waiting import WaitingReports
from gateway.wire.board import Waiting
from tests.counts import count, variants
from tests.faults.servers import TIMEOUT_S, Server, a_server
from tests.journal.holding import decide, hold
from tests.journal.makers import FAR, PASSED, a_registry, a_report, append, connected, until
from tests.journal.network import port_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

SECURITY = Path(__file__).resolve().parents[2] / "docs" / "security.md"
LOGINS = ("feed", "signer")
DEDICATED, SHARED = "dedicated", "shared"
"""Databases set up as on a dedicated server, and as on a server that others administer."""
BATCHES = 12
"""Embargoed appends between two observations, and reports per append."""
WARM_UP = count(2, full=3)
"""Observations before the changes, of which the last is compared: the others warm every cache."""
RELATIONS = ("report_1", "hold_1", "report_1_pkey", "head_1", "hold_line_1")[: count(2, full=5)]
"""Relations with embargoed data, of which each function of the catalog is called."""


@dataclass
class Election:
    """An election with the data needed to append to it."""

    id: str
    key: int
    version: int
    token: int


@dataclass
class Site:
    """A database on the primary with the URLs of its owner and of both logins, and two elections."""

    url: str
    feed_url: str
    signer_url: str
    embargoed: Election
    released: Election
    revisions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def accept(self) -> None:
        """Accept reports, and record contacts of senders, refusals and waiting reports, under the embargo.

        Other reports are held; some of these are released, rejected or superseded, and one stays open.
        """
        async with open_pool(self.url) as pool, connected(self.url) as owner:
            journal = PostgresJournal(pool)
            refusals, waiting = Refusals(), WaitingReports()
            for _ in range(BATCHES):
                reports = [
                    a_report(unit, next(self.revisions), votes=revision)
                    for revision, unit in enumerate(["a-1", "a-2", "b-1"] * (BATCHES // 3))
                ]
                await hold(owner, self.embargoed.key, *reports, rule=None)
                await journal.record_contacts({self.embargoed.token: datetime.now(UTC)})
                refusals.note(self.embargoed.key, self.embargoed.token, "malformed")
                await refusals.write(pool)
                await waiting.write(pool, {self.embargoed.key: Waiting(len(reports), 2.0)})
                await self._hold(owner)

    async def _hold(self, owner: Connection) -> None:
        key = self.embargoed.key
        held = [a_report(unit, next(self.revisions), votes=7) for unit in ("a-4", "a-5", "a-6", "b-4")]
        await hold(owner, key, *held)
        await decide(owner, key, held[0], release=True)
        await decide(owner, key, held[1], held[2], release=False)
        await hold(owner, key, a_report("b-4", next(self.revisions)))


@dataclass
class Servers:
    """A primary and its replica."""

    primary: Server
    replica: Server

    def url(self, server: Server, database: str, login: str | None = None) -> str:
        """Return the URL of a database on one of the servers, for the owner or one of the LOGINS."""
        urls = {None: server.tcp_url, "feed": server.feed_url, "signer": server.signer_url}
        user = urls[login].partition("://")[2].partition("@")[0]
        return f"postgresql://{user}@127.0.0.1:{port_of(server.tcp_url)}/{database}"

    async def caught_up(self) -> None:
        """Wait until the replica has replayed all WAL that the primary has flushed."""
        position = await self.primary.ask("SELECT pg_current_wal_flush_lsn()::text")
        query = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
        async with self.replica.session() as connection:
            await until(lambda: connection.fetchval(query, position))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A primary and a replica without autovacuum, whose activity would cause unrelated differences."""
    directory = tmp_path_factory.mktemp("servers")
    with a_server(directory, settings={"autovacuum": "off", "checkpoint_timeout": "1h"}) as primary:
        replica = asyncio.run(_replica(directory, primary))
        with replica:
            yield Servers(primary, replica)


async def _replica(directory: Path, primary: Server) -> Server:
    await primary.ask(f"CREATE DATABASE {DEDICATED}")
    await primary.ask(f"CREATE DATABASE {SHARED}")
    home = directory / "replica"
    home.mkdir(mode=0o700)
    os.chown(home, primary.data_dir.stat().st_uid, -1)
    shutil.copy(primary.data_dir / "passwords", home / "passwords")
    await primary.back_up(home / "cluster", "c", "-R")
    return Server(
        home, listen_tcp=True, settings={"hot_standby_feedback": "on"}
    )  # open snapshots do not cancel replay


async def a_site(servers: Servers, database: str) -> Site:
    """Migrate a database and load two elections: one is embargoed, one is released and has reports."""
    url = servers.url(servers.primary, database)
    await migrate(url, dedicated=database == DEDICATED)
    await servers.primary.ask(f"GRANT CONNECT ON DATABASE {database} TO valgnatt_feed, valgnatt_signer")
    async with administration(url, "olga") as acts, open_pool(url) as pool:
        journal = PostgresJournal(pool)
        found = []
        for publish_from in (datetime.now(UTC) + FAR, PASSED):
            identifier = await acts.load_election(a_registry(publish_from=publish_from.isoformat()))
            token = await acts.issue_token(identifier, ["a"])
            row = await journal.election(identifier)
            found.append(Election(identifier, row.key, row.version, token.key))
        site = Site(url, *(servers.url(servers.primary, database, login) for login in LOGINS), *found)
        await acts.open_election(site.embargoed.id)
        site.embargoed.version = (await journal.election(site.embargoed.id)).version
        await append(journal, site.released.key, site.released.version, a_report("a-1"), a_report("b-1"))
        await _sign(site)
        await journal.record_contacts({site.released.token: datetime.now(UTC)})
        await site.accept()
        return site


async def _sign(site: Site) -> None:
    """Insert checkpoints as a signer does; under the embargo, one of size 1."""
    async with open_pool(site.signer_url, signer=True, max_size=1) as pool:
        signing = SigningJournal(pool)
        for election, sizes in ((site.embargoed, [1]), (site.released, [1, 3])):
            fence = (await signing.begin_round(election.key, "s")).fence
            origin, key = f"o{election.key}", f"o{election.key}+12345678+AQID"
            await signing.declare_log(election.key, 1, fence, origin, [key], [WITNESS])
            for size in sizes:
                note = f"{origin}\n{size}\n{ROOT_TEXT}\n\n— {origin} AAAA\n"
                await signing.insert_checkpoint(
                    election.key, 1, fence, SignedCheckpoint(size, bytes(32), PASSED, note)
                )
                line = "— witness.example AAAA"
                await signing.add_cosignature(election.key, 1, Cosignature(size, WITNESS, PASSED, line))


ROOT_TEXT = "A" * 43 + "="
"""A root of zeros, in base64."""
WITNESS = "witness.example+87654321+BAID"


# Statements to compare.


def signing_statements(embargoed: int) -> list[str]:
    """Return statements with which a signer writes; they have the same result however often they are executed."""
    begin = f"valgnatt_signing.begin_round({embargoed}, 's', false)"
    note = f"E'o{embargoed}\\n{{0}}\\n{ROOT_TEXT}\\n\\n— o{embargoed} {{1}}\\n'"
    insert = (
        f"SELECT valgnatt_signing.insert_checkpoint({embargoed}, 1, f.fence, {{0}}, '\\x{'00' * 32}',"
        f" '2025-09-08 19:00+00', {note}) FROM {begin} AS f"
    )
    return [
        f"SELECT previous_signer FROM {begin}",
        *(
            insert.format(size, signature)
            for size, signature in ((1, "AAAA"), (1, "BBBB"), (2, "AAAA"), (99, "A"))
        ),
        f"SELECT valgnatt_signing.insert_checkpoint({embargoed}, 1, NULL, 2, '', '2025-09-08', '')",
        f"SELECT valgnatt_signing.add_cosignature({embargoed}, 1, 1, '{WITNESS}', '2025-09-08', '— w AAAA')",
        f"SELECT valgnatt_signing.add_cosignature({embargoed}, 1, 2, '{WITNESS}', '2025-09-08', '— w AAAA')",
    ]


def function_statements(embargoed: int, released: int) -> list[str]:
    """Return statements of every class on the functions that the role may call and on objects it may not access."""
    calls = [
        "valgnatt_public.elections()",
        "valgnatt_public.elections_v2()",
        "valgnatt_public.logs()",
        *(
            call.format(election)
            for election in (embargoed, released)
            for call in (
                "valgnatt_public.record({}, '0'::bigint, 1000)",
                "valgnatt_public.record({}, '-1'::bigint, 2147483647)",
                "valgnatt_public.record_v2({}, '0'::bigint, 1000)",
                "valgnatt_public.hold_lines({}, '0'::bigint, 1000)",
                "valgnatt_public.hold_lines({}, '-1'::bigint, 2147483647)",
                "valgnatt_public.unapplied({}, '0'::bigint)",
                "valgnatt_public.unapplied({}, '-1'::bigint)",
                "valgnatt_public.contacts({})",
                "valgnatt_public.registry({})",
                "valgnatt_public.previous({})",
                "valgnatt_public.checkpoints({}, 1, '0'::bigint, 1000)",
                "valgnatt_public.cosignatures({}, 1, '0'::bigint, '99'::bigint)",
            )
        ),
    ]
    shapes = [
        "SELECT * FROM {}",
        "SELECT count(*) FROM {} AS f",
        "SELECT EXISTS (SELECT FROM {} AS f WHERE f::text >= 'a')",
        "SELECT {}",
        "SELECT 1 FROM {} AS f WHERE f::text COLLATE \"C\" >= '\\x7b'",
        "WITH f AS MATERIALIZED (SELECT * FROM {}) TABLE f",
        "SELECT * FROM (VALUES (1), (2)) v (x) LEFT JOIN LATERAL (SELECT * FROM {}) f ON true ORDER BY 1",
        "COPY (SELECT * FROM {}) TO STDOUT",
        "EXPLAIN SELECT * FROM {}",
        "EXPLAIN (VERBOSE, SETTINGS) SELECT * FROM {}",
        "EXPLAIN (ANALYZE, BUFFERS, WAL, TIMING OFF, SUMMARY OFF) SELECT * FROM {}",
        "EXPLAIN (ANALYZE, BUFFERS, VERBOSE, TIMING OFF, SUMMARY OFF, FORMAT JSON) SELECT * FROM {}",
        "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) SELECT 1 FROM {} AS f WHERE f::text >= 'a'",
        "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF, SERIALIZE BINARY) SELECT * FROM {}",
        "EXPLAIN (GENERIC_PLAN) SELECT * FROM {}",
    ]
    tables = [
        "election", "embargo", "head", "report", "confirmation", "contact", "refusal", "waiting", "hold", "hold_line",
        "rules", "token", "act", "migration", "previous", "opening", "log", "checkpoint", "cosignature", "signer",
        f"report_{embargoed}", f"head_{embargoed}", f"confirmation_{embargoed}", f"contact_{embargoed}",
        f"refusal_{embargoed}", f"waiting_{embargoed}", f"hold_{embargoed}", f"hold_line_{embargoed}",
        "public_election", "publication", "public_contact",
    ]  # fmt: skip
    return [
        *(shape.format(call) for shape in shapes for call in calls),
        *(f"TABLE valgnatt.{table}" for table in tables),
        *(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) TABLE valgnatt.{table}" for table in tables),
        *(f"COPY valgnatt.{table} TO STDOUT" for table in tables),
        f"SELECT * FROM valgnatt.shown({embargoed})",
        f"SELECT * FROM valgnatt.shown_v2({embargoed})",
        f"SELECT valgnatt.confirm_v1({embargoed}, 0, 0)",
        f"SELECT valgnatt.count_refusals_v1('{{{embargoed}}}', '{{0}}', '{{x}}', '{{1}}', '{{now}}')",
        f"SELECT valgnatt.note_waiting_v1(1, '{{{embargoed}}}', '{{1}}', '{{1}}')",
        f"EXPLAIN ANALYZE SELECT 1 FROM valgnatt.publication WHERE election = {embargoed} AND body >= '\\x00'",
        f"SELECT valgnatt_public.record({embargoed}, 9223372036854775807, 2)",
        f"SELECT valgnatt_public.hold_lines({embargoed}, 9223372036854775807, 2)",
        f"SELECT valgnatt_public.hold_lines(NULL, 0, 1), valgnatt_public.hold_lines({embargoed}, NULL, 1)",
        f"SELECT valgnatt_public.record(NULL, 0, 1), valgnatt_public.record({embargoed}, NULL, 1)",
        "SELECT valgnatt_public.registry(-1), valgnatt_public.previous(NULL), valgnatt_public.record(-1, 0, 1)",
        "LISTEN other",
        "UNLISTEN other",
        "SHOW ALL",
        "VACUUM valgnatt.report",
        "ANALYZE valgnatt.report",
        "CHECKPOINT",
    ]


async def catalog_statements(owner: Connection) -> list[str]:
    """Return statements that read every catalog and call every function for statistics, sizes, WAL positions and so on.

    They are listed from the system catalogs, so those of a newer Postgres are included.
    """
    relations = await owner.fetch(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v') ORDER BY 1, 2"
    )
    rows = await owner.fetch(
        "SELECT p.proname, p.proretset, p.proargtypes[0]::regtype::text AS argument, p.pronargs FROM pg_proc p"
        " WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.pronargs <= 1"
        "   AND p.proname !~ $1"
        "   AND (p.pronargs = 0 OR p.proargtypes[0] IN ('oid'::regtype, 'regclass'::regtype, 'xid'::regtype))"
        "   AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype,"
        "     'language_handler'::regtype, 'fdw_handler'::regtype, 'index_am_handler'::regtype,"
        "     'table_am_handler'::regtype, 'tsm_handler'::regtype)"
        " ORDER BY 1",
        _WITH_EFFECTS,
    )
    oids = [
        row[0] for row in await owner.fetch("SELECT oid FROM pg_class WHERE relname = ANY ($1)", RELATIONS)
    ]
    database = await owner.fetchval("SELECT oid FROM pg_database WHERE datname = current_database()")
    statements = [f"SELECT * FROM {row[0]}.{row[1]}" for row in relations]
    for row in rows:
        if row["pronargs"] == 0:
            arguments = [""]
        elif row["argument"] == "xid":
            arguments = ["'3'::xid"]
        elif "_db_" in row["proname"] or "database" in row["proname"]:
            arguments = [f"{database}::{row['argument']}"]
        else:
            arguments = [f"{oid}::{row['argument']}" for oid in oids]
        statements += [f"SELECT * FROM pg_catalog.{row['proname']}({each})" for each in arguments]
    return statements


_WITH_EFFECTS = (
    "^(pg_terminate|pg_cancel|pg_sleep|pg_promote|pg_reload|pg_rotate|pg_switch|pg_backup|pg_stat_reset|pg_nextoid"
    "|pg_log_|lo_|lo$|pg_(try_)?advisory|nextval|pg_stop_|pg_wal_replay_|pg_export)"
)
"""Functions with side effects; a different test checks which of them the login may call."""


class Login:
    """Three sessions of a login: a new one, one with an open snapshot, one with prepared statements and cursors."""

    def __init__(self, login: str, fresh: Connection, holding: Connection, prepared: Connection) -> None:
        self.fresh = fresh
        self.holding = holding
        self.prepared = prepared
        self.notifications: list[object] = []
        self._records = {name: call for name, call in _RECORDS.items() if name in _CALLED[login]}

    async def prepare(self, site: Site) -> None:
        """Listen, open the snapshot, prepare the statements and declare the cursors."""
        if await self.fresh.fetchval("SHOW in_hot_standby") == "off":  # a standby does not support LISTEN
            await self.fresh.add_listener("valgnatt", lambda *payload: self.notifications.append(payload))
        await self.holding.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await self.holding.execute("SELECT * FROM valgnatt_public.elections_v2()")
        for name, call in self._records.items():
            await self.prepared.execute(f"PREPARE {name} AS SELECT * FROM {call.format(site.embargoed.key)}")
        await self.prepared.execute("BEGIN")
        for name, call in self._records.items():
            await self.prepared.execute(
                f"DECLARE c_{name} SCROLL CURSOR WITH HOLD FOR SELECT * FROM {call.format(site.embargoed.key)}"
            )
        await self.prepared.execute("COMMIT")

    async def observe(self, statements: Sequence[str]) -> dict[str, str]:
        """Return the result of each statement, keyed by session and statement."""
        seen = {"fresh: notifications": str(self.notifications)}
        for statement in statements:
            seen[f"fresh: {statement}"] = await _result_of(self.fresh, statement)
            if "pg_catalog." not in statement and not statement.startswith(("VACUUM", "CHECKPOINT")):
                seen[f"holding: {statement}"] = await _result_of(self.holding, statement, savepoint=True)
        for name in self._records:
            for statement in (
                f"EXECUTE {name}",
                f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) EXECUTE {name}",
                f"FETCH ABSOLUTE 0 FROM c_{name}",
                f"FETCH ALL FROM c_{name}",
            ):
                seen[f"prepared: {statement}"] = await _result_of(self.prepared, statement)
        return seen


_RECORDS = {
    "heads": "valgnatt_public.elections_v2()",
    "logs": "valgnatt_public.logs()",
    "record": "valgnatt_public.record_v2({}, '0'::bigint, 1000)",
    "holds": "valgnatt_public.hold_lines({}, '0'::bigint, 1000)",
    "unapplied": "valgnatt_public.unapplied({}, '0'::bigint)",
    "contacts": "valgnatt_public.contacts({})",
}


_CALLED = {"feed": tuple(_RECORDS), "signer": ("heads", "logs", "record")}
"""The names of those that each login may call."""


async def _result_of(connection: Connection, statement: str, *, savepoint: bool = False) -> str:
    """Return the result of a statement as text: rows, bytes of a COPY, or the error with all its fields."""
    if savepoint:
        await connection.execute("SAVEPOINT here")
    try:
        if statement.startswith("COPY"):
            out: list[bytes] = []

            async def take(data: bytes) -> None:
                out.append(bytes(data))

            inner = re.sub(r"^COPY (.*) TO STDOUT$", r"\1", statement, flags=re.DOTALL)
            if inner.startswith("("):
                await connection.copy_from_query(inner[1:-1], output=take)
            else:
                schema, _, table = inner.partition(".")
                await connection.copy_from_table(table, schema_name=schema, output=take)
            return repr(b"".join(out))
        return "\n".join(sorted(str(row) for row in await connection.fetch(f"{statement} -- text")))
    except asyncpg.PostgresError as error:
        return f"{error.sqlstate} {error} {error.as_dict().get('hint')} {error.as_dict().get('detail')}"
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, NotImplementedError) as error:
        return f"{type(error).__name__} {error}"
    finally:
        if savepoint:
            await connection.execute("ROLLBACK TO here")


@asynccontextmanager
async def logged_in(url: str, login: str) -> AsyncIterator[Login]:
    """Open the sessions of a login."""
    async with AsyncExitStack() as stack:
        sessions = []
        for _ in range(3):
            connection = await asyncpg.connect(
                url, server_settings={"search_path": "valgnatt"}, timeout=TIMEOUT_S
            )
            stack.callback(connection.terminate)
            sessions.append(connection)
        yield Login(login, *sessions)


async def differences(
    servers: Servers, site: Site, url: str, statements: Sequence[str], login: str = "feed"
) -> set[str]:
    """Return the statements whose results differ before and after embargoed appends."""
    await servers.caught_up()
    async with logged_in(url, login) as sessions:
        await sessions.prepare(site)
        for _ in range(WARM_UP):
            before = await sessions.observe(statements)
        await site.accept()
        await servers.caught_up()
        after = await sessions.observe(statements)
    return {name.partition(": ")[2] for name, result in before.items() if after[name] != result}


@pytest.fixture(scope="module")
def sites(servers: Servers) -> dict[str, Site]:
    """Both databases, migrated and loaded."""

    async def make() -> dict[str, Site]:
        return {database: await a_site(servers, database) for database in (DEDICATED, SHARED)}

    return asyncio.run(make())


@pytest.mark.parametrize(
    ("where", "database", "login"),
    variants(
        itertools.product(("primary", "replica"), (DEDICATED, SHARED), LOGINS),
        ("primary", SHARED, "feed"),
        ("replica", DEDICATED, "feed"),
        ("primary", DEDICATED, "signer"),
    ),
)
async def test_reports_accepted_under_embargo_change_no_result_of_a_login(
    servers: Servers, sites: dict[str, Site], database: str, where: str, login: str
) -> None:
    """Rows, plans, buffers, cursors, prepared statements and errors are the same, also for the released election."""
    site = sites[database]
    url = servers.url(getattr(servers, where), database, login)
    statements = function_statements(site.embargoed.key, site.released.key)
    if login == "signer":
        statements += signing_statements(site.embargoed.key)
    assert await differences(servers, site, url, statements, login) == set()


async def test_reports_of_a_released_election_do_change_results(
    servers: Servers, sites: dict[str, Site]
) -> None:
    """The comparison detects changes at all: those of a released election."""
    site = sites[SHARED]
    opened = Site(
        site.url, site.feed_url, site.signer_url, site.released, site.released, itertools.count(1000)
    )
    statements = function_statements(site.embargoed.key, site.released.key)
    found = await differences(servers, opened, site.feed_url, statements)
    key = site.released.key
    for shape in (
        "SELECT * FROM {}",
        "SELECT count(*) FROM {} AS f",
        "EXPLAIN (ANALYZE, BUFFERS, WAL, TIMING OFF, SUMMARY OFF) SELECT * FROM {}",
        "COPY (SELECT * FROM {}) TO STDOUT",
    ):
        for call in ("record_v2", "hold_lines"):
            assert shape.format(f"valgnatt_public.{call}({key}, '0'::bigint, 1000)") in found


@pytest.mark.parametrize(
    ("where", "login"),
    variants(
        itertools.product(("primary", "replica"), LOGINS),
        ("replica", "feed"),
    ),
)
async def test_on_a_dedicated_server_no_catalog_or_statistic_reveals_embargoed_reports(
    servers: Servers, sites: dict[str, Site], where: str, login: str
) -> None:
    """Sizes, counters, WAL positions and transaction IDs are inaccessible to both logins."""
    site = sites[DEDICATED]
    connection = await asyncpg.connect(site.url)
    statements = await catalog_statements(connection)
    connection.terminate()
    statements = [each for each in statements if not re.search(r"\b(clock_timestamp)\(", each)]
    url = servers.url(getattr(servers, where), DEDICATED, login)
    assert await differences(servers, site, url, statements, login) == set()


@pytest.mark.parametrize("where", variants(["primary", "replica"], "primary"))
async def test_on_a_shared_server_only_documented_catalogs_and_functions_differ(
    servers: Servers, sites: dict[str, Site], where: str
) -> None:
    """docs/security.md lists every catalog and function that differs, apart from clocks and other volatile values."""
    site = sites[SHARED]
    connection = await asyncpg.connect(site.url)
    statements = await catalog_statements(connection)
    connection.terminate()
    url = servers.url(getattr(servers, where), SHARED, "feed")
    found = await differences(servers, site, url, statements)
    names = {re.split(r"[.(]", each.removeprefix("SELECT * FROM "))[1] for each in found}
    listed = visible_on_shared_servers()
    assert {
        name for name in names - _VOLATILE if not any(re.fullmatch(each, name) for each in listed)
    } == set()
    assert {
        "pg_stat_user_tables",
        "pg_relation_size",
        "pg_current_snapshot",
    } <= names  # the comparison detects differences


_VOLATILE = frozenset(
    {
        "clock_timestamp", "gen_random_uuid", "now", "pg_cursor", "pg_cursors", "pg_prepared_statement",
        "pg_prepared_statements", "random", "statement_timestamp", "timeofday", "transaction_timestamp", "uuidv4",
        "uuidv7",
    }
)  # fmt: skip
"""Functions that differ on every call: clocks, random values, and the statements of the session with their times."""


def visible_on_shared_servers() -> list[str]:
    """Return the names that docs/security.md lists, as patterns: `*` is any text."""
    text = SECURITY.read_text()
    start = text.index("<!-- visible elsewhere -->")
    listed = text[start : text.index("<!-- end -->", start)]
    return [re.escape(name).replace(r"\*", ".*") for name in re.findall(r"`([a-z_*]+)`", listed)]


async def test_before_the_release_no_login_reads_a_block_of_embargoed_tables(
    servers: Servers, sites: dict[str, Site]
) -> None:
    """No block of the tables or their indexes is read from memory or disk, so timings cannot depend on them."""
    site = sites[SHARED]
    tables = [
        f"{name}_{site.embargoed.key}"
        for name in ("report", "head", "confirmation", "contact", "refusal", "waiting", "hold", "hold_line")
    ]

    async def blocks() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(site.url)
        others = (
            "SELECT count(*) = 0 FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        try:
            await until(
                lambda: connection.fetchval(others)
            )  # a session reports its counters when it ends, at the latest
            rows = await connection.fetch(
                "SELECT relname, heap_blks_read + heap_blks_hit, idx_blks_read + idx_blks_hit"
                " FROM pg_statio_user_tables WHERE relname = ANY ($1) ORDER BY 1",
                tables,
            )
            return [tuple(row) for row in rows]
        finally:
            await connection.close()

    before = await blocks()
    assert [row[0] for row in before] == sorted(tables)
    assert all(row[1] for row in before if not row[0].startswith("confirmation"))
    statements = function_statements(site.embargoed.key, site.released.key)
    for login, url in (("feed", site.feed_url), ("signer", site.signer_url)):
        async with logged_in(url, login) as sessions:
            await sessions.prepare(site)
            await sessions.observe(statements + signing_statements(site.embargoed.key))
            for session in (sessions.fresh, sessions.holding, sessions.prepared):
                await session.close()
    assert await blocks() == before
