"""Check the privileges of the database users of feeds and of the signer.

A feed logs in and switches to the role `valgnatt_feed`, but RESET ROLE undoes that: an attacker who controls a feed has
every privilege of its login. So the login must be a separate one that is a member of `valgnatt_feed` and of no other
role. If it is not, `serve` logs a warning and `doctor` reports an error. The same applies to the signer, whose role is
`valgnatt_signer`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import asyncpg
import msgspec

from gateway.errors import JournalUnavailable
from gateway.journal.connection import connect
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.embedded import SIGNERS_MAX
from gateway.journal.session import FEED_ROLE, SIGNER_ROLE, Connection


class _Wording(NamedTuple):
    """How the login of a role is named in messages."""

    log_in: str
    danger: str
    """What RESET ROLE allows if the login has the rights of the owner."""
    option: str
    suggested: str
    """The name of a login of its own."""


_WORDING = {
    FEED_ROLE: _Wording(
        "feeds log in as",
        "a feed can read every report under embargo",
        "VALGNATT_FEED_DATABASE_URL",
        "valgnatt_reader",
    ),
    SIGNER_ROLE: _Wording(
        "the signer logs in as",
        "a signer can read every report under embargo, and change the record that it signs",
        "VALGNATT_SIGNER_DATABASE_URL",
        "valgnatt_signer_login",
    ),
}


class FeedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """The login of feeds, or of a signer, as the server describes it. Object names are quoted for SQL."""

    user: str
    database: str
    role: str = FEED_ROLE
    """The role that it needs, valgnatt_feed or valgnatt_signer."""
    superuser: bool = False
    owner: bool = False
    """Whether it owns the schema or the database, or is a member of a role that does."""
    attributes: Sequence[str] = ()
    """CREATEROLE, CREATEDB, REPLICATION, BYPASSRLS."""
    roles: Sequence[str] = ()
    """Roles other than `role` of which it is a member, directly or not."""
    grants_role: bool = False
    """Whether it may grant `role` to others."""
    creates_in: Sequence[str] = ()
    """Schemas, and the database, on which it has the privilege CREATE: `SCHEMA public`."""
    temporary: bool = False
    """Whether it may create temporary tables."""
    large_objects: bool = False
    """Whether it may create large objects."""
    advisory_locks: bool = False
    """Whether it may take advisory locks."""
    log_messages: bool = False
    """Whether it may write messages into the write-ahead log."""
    unlimited_files: bool = False
    """Whether its sessions may write temporary files of any size."""
    objects: Sequence[str] = ()
    """Tables and functions on which it has a privilege that `role` does not have."""
    role_objects: Sequence[str] = ()
    """Tables, and functions not meant for it, on which `role` has a privilege."""
    privileges_hidden: bool = False
    """Whether the login may not query privileges, as on a dedicated server; then the rest is unknown."""


class ExcessPrivilege(msgspec.Struct, frozen=True):
    """An excess privilege, and the statement that revokes it."""

    level: Literal["warning", "error"]
    what: str
    do: str


def create_login_sql(login: FeedLogin) -> str:
    """Return the SQL that creates a suitable login for the role."""
    return (
        f"CREATE ROLE {_WORDING[login.role].suggested} LOGIN PASSWORD '…' IN ROLE {login.role};"
        f" REVOKE CONNECT, TEMPORARY ON DATABASE {login.database} FROM PUBLIC;"
        f" GRANT CONNECT ON DATABASE {login.database} TO {login.role};"
    )


def excess_privileges(login: FeedLogin) -> Iterator[ExcessPrivilege]:
    """Return every privilege that a login has and should not have, the most dangerous first."""
    wording = _WORDING[login.role]
    who = f"{wording.log_in} {login.user}, who"
    if login.role_objects:
        yield ExcessPrivilege(
            "error",
            f"the role {login.role} has privileges on {_some(login.role_objects)}: reports under embargo could leak",
            f"as the owner: REVOKE ALL ON {login.role_objects[0]} FROM {login.role}, PUBLIC;",
        )
    if login.superuser or login.owner:
        rights_of = "is a superuser" if login.superuser else "owns the journal"
        yield ExcessPrivilege(
            "error",
            f"{who} {rights_of}: with RESET ROLE {wording.danger}",
            f"as a database administrator: {create_login_sql(login)} then use that login in {wording.option}",
        )
        return
    user = login.user
    rights = [(f"is a member of {role}", f"REVOKE {role} FROM {user};") for role in login.roles]
    if login.grants_role:
        rights.append(
            (f"may grant {login.role} to others", f"REVOKE ADMIN OPTION FOR {login.role} FROM {user};")
        )
    rights += [(f"has {each}", f"ALTER ROLE {user} NO{each};") for each in login.attributes]
    rights += [
        (f"may create objects in {place}", f"REVOKE CREATE ON {place} FROM {user}, PUBLIC;")
        for place in login.creates_in
    ]
    rights += [(f"has privileges on {name}", f"REVOKE ALL ON {name} FROM {user};") for name in login.objects]
    if rights:
        yield ExcessPrivilege(
            "error",
            f"{who} {_some([what for what, _ in rights])}",
            f"as a database administrator: {' '.join(do for _, do in rights[:SHOWN])}",
        )
    if login.temporary:
        yield ExcessPrivilege(
            "warning",
            f"{who} may create temporary tables and fill the disk with them",
            f"as the owner: REVOKE TEMPORARY ON DATABASE {login.database} FROM PUBLIC, {login.user}, {login.role};",
        )
    if login.large_objects:
        yield ExcessPrivilege(
            "warning",
            f"{who} may create large objects and fill the disk with them",
            f"as a superuser in database {login.database}: REVOKE EXECUTE ON FUNCTION {LARGE_OBJECTS} FROM PUBLIC;",
        )
    if login.advisory_locks:
        yield ExcessPrivilege(
            "warning",
            f"{who} may take advisory locks and exhaust the lock table for everyone",
            f"as a superuser in database {login.database}: {NO_ADVISORY_LOCKS}",
        )
    if login.log_messages:
        yield ExcessPrivilege(
            "warning",
            f"{who} may write messages to the write-ahead log, which fills the disk and delays the standby",
            f"as a superuser in database {login.database}: {NO_LOG_MESSAGES}",
        )
    if login.unlimited_files:
        yield ExcessPrivilege(
            "warning",
            f"{wording.log_in} {login.user}, whose statements may write temporary files without a limit and fill the"
            " disk",
            f"as a superuser: ALTER ROLE {login.user} SET temp_file_limit = '{TEMPORARY_FILES}';",
        )


TEMPORARY_FILES = "256MB"
"""Limit on temporary files per session of a feed: twice the largest page of the record that it reads."""
ADVISORY_LOCKS = "^pg_(try_)?advisory_(xact_)?lock"
LOG_MESSAGES = "^pg_logical_emit_message$"
"""Names of these functions as regular expressions, because signatures differ between versions of Postgres."""


def _withdrawn(names: str) -> str:
    """Return the SQL that revokes matching functions from PUBLIC; the gateway calls none of them."""
    return (
        "DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc"  # noqa: S608 - constant names
        f" WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '{names}'"
        " LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f); END LOOP; END $$;"
    )


NO_ADVISORY_LOCKS = _withdrawn(ADVISORY_LOCKS)
NO_LOG_MESSAGES = _withdrawn(LOG_MESSAGES)
LARGE_OBJECTS = "lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea)"
"""The functions with which PUBLIC may create large objects by default."""
SHOWN = 8
"""Names listed in a message; the rest is counted."""


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


_MAY_CALL = (
    "EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ {}"
    " AND has_function_privilege(rolname, p.oid, 'EXECUTE'))"
)
_ATTRIBUTES = ("CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS")
_OWNS = """
SELECT pg_has_role($1, n.nspowner, 'MEMBER') OR pg_has_role($1, d.datdba, 'MEMBER')
FROM pg_namespace n, pg_database d WHERE n.nspname = 'valgnatt' AND d.datname = current_database()
"""
_ROLES = """
SELECT quote_ident(rolname) FROM pg_roles
WHERE rolname NOT IN ($1, $2) AND pg_has_role($1, oid, 'MEMBER') ORDER BY rolname
"""
_CREATES_IN = """
SELECT 'DATABASE ' || quote_ident(current_database()) WHERE has_database_privilege($1, current_database(), 'CREATE')
UNION ALL
SELECT 'SCHEMA ' || quote_ident(nspname) FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND has_schema_privilege($1, oid, 'CREATE')
"""
_OBJECTS = """
SELECT CASE WHEN c.relkind = 'S' THEN 'SEQUENCE ' ELSE '' END
       || quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name, c.relkind = 'v' AS meant
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege($1, c.oid, 'USAGE, SELECT, UPDATE')
           ELSE has_table_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
                OR has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES') END
UNION ALL
SELECT 'FUNCTION ' || quote_ident(n.nspname) || '.' || quote_ident(p.proname)
       || '(' || pg_get_function_identity_arguments(p.oid) || ')',
       p.proname ~ '^public_' OR n.nspname = 'valgnatt_signing' AND $1 = 'valgnatt_signer'
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname IN ('valgnatt', 'valgnatt_signing') AND has_function_privilege($1, p.oid, 'EXECUTE')
ORDER BY 1
"""
"""Objects on which a role has privileges; `meant`: views, and functions whose name marks them as public."""


async def read_feed_login(url: str, owner_url: str | None = None, role: str = FEED_ROLE) -> FeedLogin:
    """Query the privileges of the login of feeds, or of a signer, as the owner if its URL is given.

    On a dedicated server the login may not query them; without the owner's URL only its name is known then. Raises
    JournalUnavailable.
    """
    connection = await connect(url, feed=role == FEED_ROLE, signer=role == SIGNER_ROLE)
    try:
        with translate_db_errors():
            row = await connection.fetchrow("SELECT session_user, current_setting('temp_file_limit')")
            assert row is not None
            user, unlimited_files = row[0], row[1] == "-1"
            if owner_url is None:
                try:
                    return await _described(connection, user, role, unlimited_files=unlimited_files)
                except asyncpg.InsufficientPrivilegeError:
                    return FeedLogin(user=user, database="", role=role, privileges_hidden=True)
    finally:
        connection.terminate()
    connection = await connect(owner_url)
    try:
        with translate_db_errors():
            return await _described(connection, user, role, unlimited_files=unlimited_files)
    finally:
        connection.terminate()


async def restore_login(url: str, login_url: str, role: str = FEED_ROLE) -> None:
    """Reset the password of a login to that in its URL, and all its settings: the login may change both.

    A login that is missing, because an earlier version has created the cluster, is created as a member of `role`. For a
    dedicated server; requires a superuser. Raises JournalUnavailable.
    """
    parts = urlsplit(login_url)
    connection = await connect(url)
    try:
        with translate_db_errors():
            known = {row[0] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
            if role not in known:
                await connection.execute(f"CREATE ROLE {role} NOLOGIN")
            if parts.username not in known:
                await connection.execute(
                    f"CREATE ROLE {parts.username} LOGIN CONNECTION LIMIT {SIGNERS_MAX} IN ROLE {role}"
                )
            for change in ("RESET ALL", f"PASSWORD '{parts.password}'"):
                await connection.execute(f"ALTER ROLE {parts.username} {change}")
    finally:
        connection.terminate()


async def _described(connection: Connection, user: str, role: str, *, unlimited_files: bool) -> FeedLogin:
    """Query the privileges of a user. Raises asyncpg's errors; JournalUnavailable if this server has no such user."""
    attributes = await connection.fetchrow(
        "SELECT quote_ident(rolname) AS name, quote_ident(current_database()) AS database, rolsuper,"  # noqa: S608
        " rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,"
        " has_database_privilege(rolname, current_database(), 'TEMPORARY') AS temporary,"
        " EXISTS (SELECT FROM unnest($3::text[]) AS f WHERE has_function_privilege(rolname, f, 'EXECUTE'))"
        " AS large_objects,"
        f" {_MAY_CALL.format('$4')} AS advisory_locks, {_MAY_CALL.format('$5')} AS log_messages,"
        " pg_has_role(rolname, $2, 'MEMBER WITH ADMIN OPTION') AS grants_role"
        " FROM pg_roles WHERE rolname = $1",
        user,
        role,
        [f"pg_catalog.{function}" for function in re.findall(r"\w+\([^)]*\)", LARGE_OBJECTS)],
        ADVISORY_LOCKS,
        LOG_MESSAGES,
    )
    if attributes is None:
        raise JournalUnavailable(
            f"{_WORDING[role].log_in} {user}, a user that does not exist on the owner's server"
        )
    of_role = await connection.fetch(_OBJECTS, role)
    known = {row["name"] for row in of_role}
    of_user = await connection.fetch(_OBJECTS, user)
    return FeedLogin(
        user=attributes["name"],
        database=attributes["database"],
        role=role,
        superuser=attributes["rolsuper"],
        owner=bool(await connection.fetchval(_OWNS, user)),
        attributes=[name for name in _ATTRIBUTES if attributes[f"rol{name.lower()}"]],
        roles=[row[0] for row in await connection.fetch(_ROLES, user, role)],
        grants_role=attributes["grants_role"],
        creates_in=[row[0] for row in await connection.fetch(_CREATES_IN, user)],
        temporary=attributes["temporary"],
        large_objects=attributes["large_objects"],
        advisory_locks=attributes["advisory_locks"],
        log_messages=attributes["log_messages"],
        unlimited_files=unlimited_files,
        objects=[row["name"] for row in of_user if row["name"] not in known],
        role_objects=[row["name"] for row in of_role if not row["meant"]],
    )
