"""Gather the facts: query Postgres, read files, check the doors. Judges nothing and changes nothing.

Every query has a timeout, and a query without an answer is recorded as a fact too.
"""

import asyncio
import os
import resource
import shutil
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson

from gateway.config import Config
from gateway.database_url import read_database_url
from gateway.doctor.database import reads_only
from gateway.doctor.doors import Addresses, probe_doors
from gateway.doctor.facts import (
    CertificateFile,
    Database,
    DatabaseHost,
    Drawn,
    Election,
    Facts,
    Standby,
)
from gateway.doctor.mirror_probe import probe_mirror
from gateway.errors import GatewayError, JournalUnavailable
from gateway.journal.administration import administration
from gateway.journal.connection import connect, connect_each
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.election_reads import RulesState
from gateway.journal.embedded import find
from gateway.journal.feed_login import FeedLogin, read_feed_login
from gateway.journal.session import SIGNER_ROLE, Connection
from gateway.signer.steps import Checked
from gateway.web.map_file import BadMap, read_map
from gateway.web.tls import NO_CHECK_TIME, BadCertificate, Certificate, feed_certificate, push_certificate

RULES_MIGRATION = 6
"""Number of the migration since which reports can be held."""
SIGNED_S = 60.0
"""Seconds within which all logs have to be checked."""
ROUNDS = 5
"""Number of clock readings; the quickest answer is the most accurate."""

_SETTINGS = (
    "fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names", "max_connections",
    "superuser_reserved_connections", "reserved_connections", "archive_mode", "max_wal_size", "wal_level",
    "wal_log_hints", "data_checksums",
)  # fmt: skip


async def gather(config: Config, addresses: Addresses) -> Facts:
    """Gather all facts."""
    url, feed_url, mistake = _database_urls(config)
    database: Database | None = None
    login: FeedLogin | None = None
    login_mistake = ""
    elections: list[Election] = []
    if url is not None:
        try:
            database = await _database(url)
            elections = (
                await _elections(url, rules=RULES_MIGRATION in database.applied) if database.applied else []
            )
        except GatewayError as error:
            mistake = str(error)
    if feed_url is not None and (url is None or (database is not None and database.applied)):
        try:
            login = await read_feed_login(feed_url, url)
        except GatewayError as error:
            login_mistake = str(error)
    signer_login, signer_login_mistake = await _signer_login(config, url)
    signed, signed_mistake = await _signed(config)
    doors, processes = await probe_doors(config, addresses)
    mirror_target, mirror_site = await probe_mirror(config, addresses)
    free = _disk(config) if config.database_url is None else None
    return Facts(
        now=datetime.now(UTC),
        config=config,
        database=database,
        database_mistake=mistake,
        feed_login=login,
        feed_login_mistake=login_mistake,
        signer_login=signer_login,
        signer_login_mistake=signer_login_mistake,
        signed=signed,
        signed_mistake=signed_mistake,
        elections=elections,
        certificates=[*_certificates(config)],
        doors=doors,
        processes=processes,
        open_files_max=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        backlog_max=_backlog(),
        processors=len(os.sched_getaffinity(0)),
        disk_free=free[0] if free else None,
        disk_total=free[1] if free else None,
        map=_map(config.map),
        mirror_target=mirror_target,
        mirror_site=mirror_site,
    )


# Postgres.


def _database_urls(config: Config) -> tuple[str | None, str | None, str]:
    """Return the URL for writing, the URL for the feeds, and the reason if there is no URL."""
    if config.database_url is not None:
        return config.database_url, config.feed_database_url or config.database_url, ""
    if reads_only(config):
        return None, config.feed_database_url, "this machine only runs feeds, which do not write"
    try:
        running = find(config.data_dir)
    except (OSError, KeyError, ValueError) as error:
        return None, None, f"cannot look for an embedded Postgres in {config.data_dir}: {error}"
    if running is None:
        return None, None, f"no database is configured, and no embedded Postgres runs in {config.data_dir}"
    return running.url, config.feed_database_url or running.feed_url, ""


async def _signer_login(config: Config, url: str | None) -> tuple[FeedLogin | None, str]:
    """Return the login of a configured signer, or the reason why it cannot be read."""
    if config.signer_database_url is None:
        return None, ""
    try:
        return await read_feed_login(config.signer_database_url, url, SIGNER_ROLE), ""
    except GatewayError as error:
        return None, str(error)


async def _signed(config: Config) -> tuple[list[Checked], str]:
    """Check every log as a signer does, if a directory with keys is configured; return why that was not possible."""
    if config.sign_dir is None:
        return [], ""
    from gateway.signer.service import check  # with packages that others do not need

    running = find(config.data_dir) if config.database_url is None else None
    if config.signer_database_url is None and running is not None:
        config = msgspec.structs.replace(config, signer_database_url=running.signer_url or None)
    if config.database_url is None and config.signer_database_url is None:
        return [], ""  # there is no database, which is a finding of its own
    try:
        async with asyncio.timeout(SIGNED_S):
            return await check(config), ""
    except TimeoutError:
        return [], f"not checked within {SIGNED_S:g} s; `valgnatt sign --check` has no limit"
    except (GatewayError, OSError) as error:
        return [], str(error)


async def _database(url: str) -> Database:
    """Query the state of Postgres. Raises JournalUnavailable."""
    started = time.perf_counter()
    connection = await connect(url)
    try:
        with translate_db_errors():
            await connection.execute("SELECT 1")
            answered_s = time.perf_counter() - started
            ahead_s, within_s = await _clock(connection)
            archiver = await connection.fetchrow(
                "SELECT last_archived_time, last_failed_time FROM pg_stat_archiver"
            )
            standbys = await connection.fetch(
                "SELECT application_name, sync_state, state FROM pg_stat_replication"
            )
            return Database(
                version=connection.get_server_version().major,
                answered_s=answered_s,
                writable=await connection.fetchval("SHOW transaction_read_only") == "off",
                settings=await _settings(connection),
                applied=await _applied(connection),
                connections=await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                ),
                standbys=[
                    Standby(row["application_name"] or "unnamed", row["sync_state"], row["state"])
                    for row in standbys
                ],
                size=await connection.fetchval("SELECT pg_database_size(current_database())"),
                wal_size=await _wal_size(connection),
                idle_slots=await _idle_slots(connection),
                last_archived_at=archiver["last_archived_time"] if archiver else None,
                last_archive_failed_at=archiver["last_failed_time"] if archiver else None,
                clock_ahead_s=ahead_s,
                clock_known_within_s=within_s,
                timeline=await _timeline(connection),
                patroni=await _by_patroni(connection),
                hosts=await _hosts(url),
                addressed_directly=await _addressed_directly(connection, url),
            )
    finally:
        connection.terminate()


async def _settings(connection: Connection) -> Mapping[str, str]:
    rows = await connection.fetch(
        "SELECT name, reset_val FROM pg_settings WHERE name = ANY ($1)", list(_SETTINGS)
    )
    return {row["name"]: row["reset_val"] for row in rows}


async def _timeline(connection: Connection) -> int | None:
    """Return the timeline of a primary, from the name of its WAL file."""
    name = await connection.fetchval(
        "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END"
    )
    return int(name[:8], 16) if name is not None else None


async def _by_patroni(connection: Connection) -> bool:
    """Return whether Patroni started the server: it passes these two on the command line."""
    found = await connection.fetchval(
        "SELECT count(*) FROM pg_settings WHERE name IN ('cluster_name', 'wal_log_hints') AND source = 'command line'"
    )
    return bool(found == 2)


async def _hosts(url: str) -> Sequence[DatabaseHost]:
    """Look at every host of a URL, all at the same time."""
    found = []
    for name, opened in await connect_each(url):
        if isinstance(opened, JournalUnavailable):
            found.append(DatabaseHost(name=name, mistake=str(opened), refused=opened.permanent))
            continue
        try:
            with translate_db_errors():
                standby = await opened.fetchval("SELECT pg_is_in_recovery()")
                cluster = await _cluster(opened)
                ahead_s, within_s = await _clock(opened)
            found.append(
                DatabaseHost(
                    name=name,
                    role="standby" if standby else "primary",
                    cluster=cluster,
                    clock_ahead_s=ahead_s,
                    clock_known_within_s=within_s,
                )
            )
        except JournalUnavailable as error:
            found.append(DatabaseHost(name=name, mistake=str(error)))
        finally:
            opened.terminate()
    return found


async def _cluster(connection: Connection) -> int | None:
    """Return the system identifier of a server; None if this login may not see it."""
    with suppress(JournalUnavailable), translate_db_errors():
        identifier: int = await connection.fetchval("SELECT system_identifier FROM pg_control_system()")
        return identifier
    return None


async def _addressed_directly(connection: Connection, url: str) -> bool:
    """Return whether the only host of a URL has the address that the server sees on its side of the connection."""
    hosts = read_database_url(url).hosts
    if len(hosts) != 1:
        return False
    row = await connection.fetchrow("SELECT host(inet_server_addr()) AS address, inet_server_port() AS port")
    if row is None or row["address"] is None:
        return True  # a Unix socket
    (host,) = hosts
    resolved: set[Any] = set()
    with suppress(OSError):
        answers = await asyncio.get_running_loop().getaddrinfo(host.name, None, type=socket.SOCK_STREAM)
        resolved = {address[0] for *_, address in answers}
    return row["address"] in resolved and row["port"] == (host.port or 5432)


async def _applied(connection: Connection) -> Mapping[int, str]:
    if await connection.fetchval("SELECT to_regclass('valgnatt.migration')") is None:
        return {}
    rows = await connection.fetch("SELECT number, digest FROM valgnatt.migration")
    return {row["number"]: row["digest"] for row in rows}


async def _wal_size(connection: Connection) -> int | None:
    allowed = await connection.fetchval("SELECT has_function_privilege('pg_ls_waldir()', 'EXECUTE')")
    if not allowed:
        return None
    return int(await connection.fetchval("SELECT coalesce(sum(size), 0) FROM pg_ls_waldir()"))


async def _idle_slots(connection: Connection) -> Sequence[str]:
    rows = await connection.fetch("SELECT slot_name FROM pg_replication_slots WHERE NOT active")
    return [row["slot_name"] for row in rows]


async def _clock(connection: Connection) -> tuple[float, float]:
    """Return by how much the database's clock is ahead, and the error bound: half of the round trip; in seconds."""
    best = (0.0, float("inf"))
    for _ in range(ROUNDS):
        before = time.time()
        there: datetime = await connection.fetchval("SELECT clock_timestamp()")
        after = time.time()
        if (after - before) / 2 < best[1]:
            best = (there.timestamp() - (before + after) / 2, (after - before) / 2)
    return best


async def _elections(url: str, *, rules: bool) -> list[Election]:
    """Return all elections; `rules` says whether the database is new enough to have held reports."""
    found = []
    async with administration(url, "doctor") as acts:
        registries = await acts.registries()
        for summary in await acts.elections():
            registry = registries[summary.id]
            state = await acts.rules_state(summary.id) if rules else RulesState([], None, 0, 0)
            changed = orjson.loads(state.policy) if state.policy is not None else None
            found.append(
                Election(
                    registry=registry,
                    publish_from=summary.publish_from,
                    released_at=summary.released_at,
                    closed_at=summary.closed_at,
                    loaded_at=summary.loaded_at,
                    accepted=summary.accepted,
                    tokens=await acts.tokens(summary.id),
                    policy=registry.policy if changed is None else registry.stored_policy(changed),
                    holds=state.holds,
                    judged=state.judged,
                    not_judged=state.not_judged,
                )
            )
    return found


# Files and the machine.


def _disk(config: Config) -> tuple[int, int] | None:
    """Return free and total bytes of the disk for the embedded database."""
    place = config.data_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    with suppress(OSError):
        usage = shutil.disk_usage(place)
        return usage.free, usage.total
    return None


def _backlog() -> int | None:
    with suppress(OSError, ValueError):
        return int(Path("/proc/sys/net/core/somaxconn").read_text())
    return None


def _map(path: Path | None) -> Drawn | None:
    if path is None:
        return None
    try:
        return Drawn(path, None, read_map(path).shapes)
    except BadMap as error:
        return Drawn(path, str(error))


def _certificates(config: Config) -> list[CertificateFile]:
    configured = {"push": push_certificate(config), "feed": feed_certificate(config)}
    roles = ("push", "feed") if config.role == "all" else (config.role,)
    return [
        read_certificate(door, each)
        for door, each in configured.items()
        if each is not None and door in roles
    ]


def read_certificate(door: str, certificate: Certificate) -> CertificateFile:
    """Do a TLS handshake in memory and record the certificate that the client sees."""
    try:
        certificate.context()
        shown = certificate.peer_view()
    except (BadCertificate, OSError, ValueError) as error:
        return CertificateFile(door=door, chain=certificate.chain, mistake=str(error))
    names = [value for kind, value in shown.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    return CertificateFile(
        door=door,
        chain=certificate.chain,
        names=names,
        not_after=_time(shown["notAfter"]),
        known_authority=_authority_known(certificate),
        client_authorities=_authorities(certificate.client_ca) if certificate.client_ca is not None else None,
    )


def _authority_known(certificate: Certificate) -> bool | None:
    client = ssl.create_default_context()
    client.check_hostname = False
    client.verify_flags |= NO_CHECK_TIME
    try:
        certificate.handshake(client)
    except ssl.SSLCertVerificationError:
        return False
    return True


def _authorities(path: Path) -> Mapping[str, datetime]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(path)
    found = {}
    authorities: list[dict[str, Any]] = context.get_ca_certs()
    for authority in authorities:
        subject = {name: value for part in authority["subject"] for name, value in part}
        name = subject.get("commonName") or subject.get("organizationName") or "an authority"
        found[name] = _time(authority["notAfter"])
    return found


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)
