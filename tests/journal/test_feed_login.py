"""The privileges of the feeds' database user, as the server describes them, and which of them are excessive."""

import itertools
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from gateway.errors import JournalUnavailable
from gateway.journal.feed_login import (
    LARGE_OBJECTS,
    NO_ADVISORY_LOCKS,
    NO_LOG_MESSAGES,
    TEMPORARY_FILES,
    FeedLogin,
    excess_privileges,
    read_feed_login,
)
from gateway.journal.session import SIGNER_ROLE
from tests.conftest import Database
from tests.running import Gateway, running
from tests.web.doors import until

OPEN = ("SELECT ON ALL TABLES", "EXECUTE ON ALL ROUTINES")
"""Privileges needed to read the catalogs; a server may have revoked them from PUBLIC."""
WAL = "pg_logical_emit_message"
_numbers = itertools.count(1)


class Login:
    """A database user made for one test."""

    def __init__(self, owner: "asyncpg.Connection[asyncpg.Record]", database: Database) -> None:
        self.name = f"reader_{next(_numbers)}"
        self._owner = owner
        self._owner_url = database.url
        parts = urlsplit(database.url)
        self.url = parts._replace(netloc=f"{self.name}:s3cret@").geturl()

    async def after(self, *statements: str) -> FeedLogin:
        """Run statements as the owner (`{me}` is the user), and return the resulting privileges of the login."""
        for statement in statements:
            await self._owner.execute(statement.format(me=self.name))
        return await read_feed_login(self.url, self._owner_url)


@pytest.fixture
async def login(database: Database) -> AsyncIterator[Login]:
    """A user as documented: a member of valgnatt_feed, in a database that is closed to everyone else."""
    owner = await asyncpg.connect(database.url)
    name = urlsplit(database.url).path[1:]
    made = Login(owner, database)
    await owner.execute(f"CREATE ROLE {made.name} LOGIN PASSWORD 's3cret' IN ROLE valgnatt_feed")
    await owner.execute(f"REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC")
    await owner.execute(f"GRANT CONNECT ON DATABASE {name} TO valgnatt_feed")
    await owner.execute(f"ALTER ROLE {made.name} SET temp_file_limit = '{TEMPORARY_FILES}'")
    await owner.execute(
        f"REVOKE EXECUTE ON FUNCTION {LARGE_OBJECTS} FROM PUBLIC; {NO_ADVISORY_LOCKS} {NO_LOG_MESSAGES}"
    )
    try:
        yield made
    finally:
        await owner.execute(f"REASSIGN OWNED BY {made.name} TO CURRENT_USER; DROP OWNED BY {made.name}")
        await owner.execute(f"DROP ROLE {made.name}")
        await owner.close()


def found(login: FeedLogin) -> list[tuple[str, str, str]]:
    return [(each.level, each.what, each.do) for each in excess_privileges(login)]


async def test_a_login_with_only_the_feed_role_has_no_excess_privilege(login: Login) -> None:
    """A login created with the statement that `doctor` prints passes its own check."""
    assert found(await login.after()) == []


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER ROLE {me} SUPERUSER", "is a superuser"),
        ("ALTER ROLE {me} CREATEROLE", "has CREATEROLE"),
        ("ALTER ROLE {me} REPLICATION", "has REPLICATION"),
        ("GRANT pg_monitor TO {me}", "is a member of pg_monitor"),
        ("GRANT pg_read_all_data TO {me}", "is a member of pg_read_all_data"),
        ("GRANT valgnatt_feed TO {me} WITH ADMIN OPTION", "may grant valgnatt_feed to others"),
        ("ALTER SCHEMA valgnatt OWNER TO {me}", "owns the journal"),
        ("GRANT CREATE ON SCHEMA valgnatt TO {me}", "may create objects in SCHEMA valgnatt"),
        ("GRANT SELECT ON valgnatt.token TO {me}", "has privileges on valgnatt.token"),
        ("GRANT SELECT (body) ON valgnatt.report TO {me}", "has privileges on valgnatt.report"),
        (
            "GRANT USAGE ON SEQUENCE valgnatt.act_key_seq TO {me}",
            "has privileges on SEQUENCE valgnatt.act_key_seq",
        ),
        ("GRANT EXECUTE ON FUNCTION valgnatt.refuse_change() TO {me}", "FUNCTION valgnatt.refuse_change()"),
    ],
)
async def test_each_excess_privilege_is_an_error_with_a_remedy(
    statement: str, words: str, login: Login
) -> None:
    """The error names the user and the privilege, and contains the statement that revokes it."""
    ((level, what, do),) = found(await login.after(statement))
    assert level == "error"
    assert words in what
    assert login.name in what
    assert "REVOKE" in do or "ALTER ROLE" in do or "CREATE ROLE" in do


@pytest.mark.parametrize(
    "statement",
    ["GRANT SELECT (unit) ON valgnatt.report TO valgnatt_feed", "GRANT ALL ON valgnatt.act TO PUBLIC"],
)
async def test_excess_privileges_of_the_feed_role_itself_are_reported(statement: str, login: Login) -> None:
    """Every feed has them, regardless of its login."""
    ((level, what, do),) = found(await login.after(statement))
    assert (level, do[:30]) == ("error", "as the owner: REVOKE ALL ON va")
    assert "the role valgnatt_feed has privileges on valgnatt." in what


async def test_temporary_tables_are_a_warning(login: Login, database: Database) -> None:
    """A login could fill the disk with them, but read nothing it should not."""
    name = urlsplit(database.url).path[1:]
    ((level, what, do),) = found(await login.after(f"GRANT TEMPORARY ON DATABASE {name} TO PUBLIC"))
    assert (level, "temporary tables" in what) == ("warning", True)
    assert (
        do == f"as the owner: REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC, {login.name}, valgnatt_feed;"
    )


@pytest.mark.parametrize("function", ["lo_creat(integer)", "lo_create(oid)", "lo_from_bytea(oid, bytea)"])
async def test_large_objects_are_a_warning(function: str, login: Login) -> None:
    """A login could fill the disk with them; the printed statement revokes all three functions."""
    ((level, what, do),) = found(await login.after(f"GRANT EXECUTE ON FUNCTION {function} TO PUBLIC"))
    assert (level, "large objects" in what) == ("warning", True)
    assert found(await login.after(do.partition(": ")[2])) == []


@pytest.mark.parametrize(
    "function", ["pg_advisory_lock(bigint)", "pg_try_advisory_xact_lock_shared(integer, integer)"]
)
async def test_advisory_locks_are_a_warning(function: str, login: Login) -> None:
    """With enough advisory locks the lock table has no room for the locks of an append."""
    ((level, what, do),) = found(await login.after(f"GRANT EXECUTE ON FUNCTION {function} TO PUBLIC"))
    assert (level, "advisory locks" in what) == ("warning", True)
    assert found(await login.after(do.partition(": ")[2])) == []


async def test_messages_in_the_write_ahead_log_are_a_warning(login: Login) -> None:
    """`pg_logical_emit_message` can fill the disk with WAL; it is found by name, as signatures differ by version."""
    signature = await login._owner.fetchval(
        "SELECT min(oid::regprocedure::text) FROM pg_proc WHERE proname = $1", WAL
    )
    ((level, what, do),) = found(await login.after(f"GRANT EXECUTE ON FUNCTION {signature} TO PUBLIC"))
    assert (level, "write-ahead log" in what) == ("warning", True)
    assert found(await login.after(do.partition(": ")[2])) == []


async def test_temporary_files_of_any_size_are_a_warning(login: Login) -> None:
    """One statement could fill the disk; only a superuser can set the limit, so the login cannot raise it."""
    ((level, what, do),) = found(await login.after("ALTER ROLE {me} RESET temp_file_limit"))
    assert (level, "temporary files" in what) == ("warning", True)
    assert found(await login.after(do.partition(": ")[2])) == []
    reader = await asyncpg.connect(login.url)
    try:
        await reader.execute("ALTER ROLE CURRENT_USER RESET ALL")
        for statement in (
            "SET temp_file_limit = -1",
            "ALTER ROLE CURRENT_USER SET temp_file_limit = -1",
            "ALTER ROLE CURRENT_USER RESET temp_file_limit",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.execute(statement)
    finally:
        reader.terminate()
    assert found(await login.after()) == []


async def test_the_printed_statements_remove_all_excess_privileges(login: Login, database: Database) -> None:
    """Statements can be run as printed; a long list is printed in parts, one per check."""
    name = urlsplit(database.url).path[1:]
    many = await login.after(
        "GRANT pg_monitor TO {me}",
        "ALTER ROLE {me} CREATEDB",
        "GRANT CREATE ON SCHEMA valgnatt TO {me}",
        f"GRANT CREATE, TEMPORARY ON DATABASE {name} TO {{me}}",
        "GRANT ALL ON valgnatt.token, valgnatt.report TO {me}",
        "GRANT EXECUTE ON FUNCTION valgnatt.refuse_change() TO {me}",
        "GRANT valgnatt_feed TO {me} WITH ADMIN OPTION",
        "GRANT ALL ON valgnatt.act TO valgnatt_feed",
    )
    assert len(found(many)) == 3
    while found(many):
        before, many = many, await login.after(*(do.partition(": ")[2] for _, _, do in found(many)))
        assert many != before
    assert found(await login.after()) == []


async def test_a_feed_checks_its_own_login_unless_the_catalogs_are_closed_to_it(login: Login) -> None:
    """Without the owner's login a feed gets the same result, or `privileges_hidden` on a closed server."""
    more = "GRANT pg_monitor TO {me}"
    await login.after(*(f"GRANT {what} IN SCHEMA pg_catalog TO PUBLIC" for what in OPEN))
    await login.after(
        f"REVOKE EXECUTE ON FUNCTION {LARGE_OBJECTS} FROM PUBLIC", NO_ADVISORY_LOCKS, NO_LOG_MESSAGES
    )
    assert found(await read_feed_login(login.url)) == []
    seen_by_owner = await login.after(more)
    assert await read_feed_login(login.url) == seen_by_owner
    await login.after("REVOKE SELECT ON pg_catalog.pg_roles FROM PUBLIC")
    closed = await read_feed_login(login.url)
    assert (closed.user, closed.privileges_hidden, found(closed)) == (login.name, True, [])


async def test_a_feed_that_logs_in_as_the_owner_is_an_error(database: Database) -> None:
    """A feed without its own URL uses the owner's: it drops its privileges, but `RESET ROLE` would restore them."""
    ((level, what, do),) = found(await read_feed_login(database.url, database.url))
    assert level == "error"
    assert "RESET ROLE" in what
    assert "CREATE ROLE valgnatt_reader LOGIN" in do
    assert "VALGNATT_FEED_DATABASE_URL" in do


@pytest.mark.long
async def test_serve_warns_of_feeds_that_log_in_as_the_owner(database: Database, login: Login) -> None:
    """`serve` logs the warning and its remedy at startup, and logs nothing about a correct login."""

    def warnings_of(gateway: Gateway) -> list[str]:
        return gateway.logged("the feeds' database user has excess privileges")

    async def warning_logged() -> bool:
        return bool(warnings_of(owners))

    async with running(database, feed_database_url="") as owners:
        await until(warning_logged)
        (line,) = warnings_of(owners)
        assert '"level":"warning"' in line
        assert "RESET ROLE" in line
        assert "CREATE ROLE valgnatt_reader LOGIN" in line
    async with running(database, feed_database_url=login.url) as own:
        pass
    assert not warnings_of(own)


async def test_a_login_that_cannot_assume_the_feed_role_is_unavailable(login: Login) -> None:
    """Without membership in valgnatt_feed the check raises JournalUnavailable."""
    with pytest.raises(JournalUnavailable):
        await login.after(
            "REVOKE valgnatt_feed FROM {me}",
            f"GRANT CONNECT ON DATABASE {urlsplit(login.url).path[1:]} TO {{me}}",
        )


@pytest.fixture
async def signer(login: Login, database: Database) -> Login:
    """A user as documented for a signer: a member of valgnatt_signer, and of no other role."""
    owner, name = login._owner, urlsplit(database.url).path[1:]
    await owner.execute(f"REVOKE valgnatt_feed FROM {login.name}; GRANT valgnatt_signer TO {login.name}")
    await owner.execute(f"GRANT CONNECT ON DATABASE {name} TO valgnatt_signer")
    return login


async def of_signer(login: Login, *statements: str) -> list[tuple[str, str, str]]:
    """Run statements as the owner, and return the excess privileges of the signer's login."""
    for statement in statements:
        await login._owner.execute(statement.format(me=login.name))
    return found(await read_feed_login(login.url, login._owner_url, SIGNER_ROLE))


async def test_a_login_with_only_the_signer_role_has_no_excess_privilege(signer: Login) -> None:
    """Its functions are meant for it; those of a feed's login that has them are not."""
    assert await of_signer(signer) == []
    await signer._owner.execute(
        f"REVOKE valgnatt_signer FROM {signer.name}; GRANT valgnatt_feed TO {signer.name};"
        f" GRANT EXECUTE ON FUNCTION valgnatt_signing.message(text) TO {signer.name}"
    )
    ((level, what, _),) = found(await signer.after())
    assert level == "error"
    assert "FUNCTION valgnatt_signing.message(" in what


async def test_excess_privileges_of_a_signer_are_reported(signer: Login, database: Database) -> None:
    """As those of feeds, in its own words."""
    for statement, undo, words in (
        ("GRANT valgnatt_feed TO {me}", "REVOKE valgnatt_feed FROM {me}", "is a member of valgnatt_feed"),
        (
            "GRANT INSERT ON valgnatt.checkpoint TO {me}",
            "REVOKE ALL ON valgnatt.checkpoint FROM {me}",
            "has privileges on valgnatt.checkpoint",
        ),
    ):
        ((level, what, do),) = await of_signer(signer, statement)
        assert level == "error"
        assert what == f"the signer logs in as {signer.name}, who {words}"
        assert "REVOKE" in do
        await of_signer(signer, undo)
    ((level, what, do),) = await of_signer(signer, "ALTER SCHEMA valgnatt OWNER TO {me}")
    assert "change the record that it signs" in what
    assert "VALGNATT_SIGNER_DATABASE_URL" in do
    assert "IN ROLE valgnatt_signer" in do
    await of_signer(signer, "ALTER SCHEMA valgnatt OWNER TO CURRENT_USER")
    name = urlsplit(database.url).path[1:]
    ((level, what, _),) = await of_signer(signer, f"GRANT TEMPORARY ON DATABASE {name} TO PUBLIC")
    assert (level, what[:22]) == ("warning", "the signer logs in as ")
