"""PURE: checks of Postgres: durability, standbys, capacity, and the feeds' login."""

import hashlib
from collections.abc import Iterator

from gateway.config import Config
from gateway.doctor.facts import Database, Facts
from gateway.doctor.findings import Finding, error, ok, some, warning
from gateway.doctor.standbys import check_hosts, check_standbys
from gateway.humanize import counted, duration, size
from gateway.journal.feed_login import FeedLogin, excess_privileges
from gateway.journal.migrate import migrations

VERSION_MIN = 15
CONNECTIONS_PER_PROCESS = 10
"""A pool of at most 8, one for LISTEN, and one for monitoring."""
CONNECTIONS_FOR_PEOPLE = 3
"""For commands, and for a person with psql."""
CLOCK_WARNING_S, CLOCK_ERROR_S = 1.0, 10.0
"""Difference between two clocks: above the first, times shown to people differ; above the second, embargoes and tokens
end at the wrong time."""
DISK_WARNING, DISK_ERROR = 5 << 30, 1 << 30
"""Free bytes: 2 GiB of WAL, one night, and a reserve; below the second, the disk may fill up in one night."""


def check_database(facts: Facts) -> Iterator[Finding]:
    """Check Postgres; on a machine that only runs feeds, check their login."""
    if reads_only(facts.config):
        yield from _feed(facts)
        yield from _signer(facts)
        return
    if facts.database is None:
        yield error(
            "database",
            facts.database_mistake,
            "set VALGNATT_DATABASE_URL, or start `valgnatt serve` for an embedded Postgres"
            if facts.config.database_url is None
            else "correct VALGNATT_DATABASE_URL, the pooler or the server",
        )
        return
    database = facts.database
    yield _version(database)
    yield _writable(database)
    yield _migrations(database)
    yield from _durability(database)
    yield from check_standbys(database, facts.config)
    yield from check_hosts(database)
    yield _connections(database, facts.config)
    yield from _feed(facts)
    yield from _signer(facts)
    yield _archive(database)
    yield from _room(facts, database)
    yield from _clocks(database)


def reads_only(config: Config) -> bool:
    """Whether this machine only runs feeds and has only their login."""
    return config.role == "feed" and config.database_url is None and config.feed_database_url is not None


def _version(database: Database) -> Finding:
    answered = f"Postgres {database.version} answers in {1000 * database.answered_s:.0f} ms"
    if database.version < VERSION_MIN:
        return error("database", answered, f"upgrade to Postgres {VERSION_MIN} or later")
    return ok("database", answered)


def _writable(database: Database) -> Finding:
    if database.writable:
        timeline = f" (timeline {database.timeline})" if database.timeline is not None else ""
        return ok("writable", f"the database accepts writes{timeline}")
    return error(
        "writable",
        "the database does not accept writes: it is a standby or read-only",
        "set VALGNATT_DATABASE_URL to the primary, or promote this server",
    )


def _migrations(database: Database) -> Finding:
    known = {number: (name, hashlib.sha256(sql.encode()).hexdigest()) for number, name, sql in migrations()}
    missing = [name for number, (name, _) in known.items() if number not in database.applied]
    newer = sorted(set(database.applied) - set(known))
    changed = [
        name for number, (name, digest) in known.items() if database.applied.get(number, digest) != digest
    ]
    if newer:
        seen = f"the database has migration {newer[-1]}, which this version does not know"
        return error("migrations", seen, "run the version of the gateway that applied it, or a later one")
    if changed:
        return error(
            "migrations",
            f"applied with different content: {some(changed)}",
            "use the build of the gateway that this database belongs to, or another database",
        )
    if missing:
        return error("migrations", f"not applied: {some(missing)}", "run `valgnatt db migrate`")
    return ok("migrations", f"all {len(known)} applied")


def _durability(database: Database) -> Iterator[Finding]:
    for name in ("fsync", "full_page_writes"):
        if database.settings.get(name) == "off":
            yield error(
                name,
                f"{name} is off: a power failure may destroy the whole record, including reports with receipts",
                f"set {name} = on in postgresql.conf and reload",
            )
        else:
            yield ok(name, f"{name} is on")
    if database.settings.get("wal_level") == "minimal":
        yield warning(
            "wal_level",
            "wal_level is minimal: no standby can follow, and WAL cannot be archived",
            "set wal_level = replica in postgresql.conf and restart",
        )
    commit = database.settings.get("synchronous_commit", "on")
    if commit in ("off", "local", "remote_write"):
        yield warning(
            "synchronous_commit",
            f"synchronous_commit is {commit}; the gateway's sessions override it, other sessions do not",
            "set synchronous_commit = on in postgresql.conf, and for the role and the database",
        )
    else:
        yield ok("synchronous_commit", f"synchronous_commit is {commit}")


def connections_wanted(config: Config) -> int:
    """Return how many connections the processes of this machine may open to the primary."""
    processes = config.push_workers if config.role in ("all", "push") else 0
    if config.role in ("all", "feed") and config.feed_database_url is None:
        processes += config.feed_workers
    return processes * CONNECTIONS_PER_PROCESS + CONNECTIONS_FOR_PEOPLE


def _connections(database: Database, config: Config) -> Finding:
    most = int(database.settings.get("max_connections", "0"))
    kept = int(database.settings.get("superuser_reserved_connections", "0"))
    kept += int(database.settings.get("reserved_connections", "0"))
    wanted = connections_wanted(config)
    seen = (
        f"{counted(database.connections, 'connection')} open; this machine may open {wanted};"
        f" the limit is {most - kept}"
    )
    if wanted > most - kept:
        do = f"set max_connections to at least {wanted + kept} for each machine, and restart Postgres"
        return error("connections", seen, do)
    if database.connections > 0.8 * (most - kept):
        return warning(
            "connections", seen, "see pg_stat_activity for who uses them, or raise max_connections"
        )
    return ok("connections", seen)


def _feed(facts: Facts) -> Iterator[Finding]:
    """Check the login of feeds, if this machine runs them and the database is migrated."""
    migrated = facts.database is not None and bool(facts.database.applied)
    if facts.config.role == "push" or not (migrated or reads_only(facts.config)):
        return
    if facts.feed_login is None:
        yield _login_fails("feed", f"the feeds cannot log in: {facts.feed_login_mistake}")
    else:
        yield from _privileges(
            "feed", facts.feed_login, "feeds log in", "cannot read unpublished reports or tokens"
        )


def _signer(facts: Facts) -> Iterator[Finding]:
    """Check the login of a signer, if one is configured."""
    if facts.signer_login is not None:
        yield from _privileges(
            "signer", facts.signer_login, "the signer logs in", "can read and change no report"
        )
    elif facts.signer_login_mistake:
        yield _login_fails("signer", f"the signer cannot log in: {facts.signer_login_mistake}")


def _login_fails(role: str, seen: str) -> Finding:
    variable = f"VALGNATT_{role.upper()}_DATABASE_URL"
    return error(
        f"{role} role", seen, f"correct {variable}; its user must be a member of the role valgnatt_{role}"
    )


def _privileges(role: str, login: FeedLogin, logs_in: str, as_meant: str) -> Iterator[Finding]:
    """Check that a login has no more privileges than its role; `as_meant` says what follows if it has none."""
    check, seen = f"{role} role", f"{logs_in} as {login.user}, which"
    if login.privileges_hidden:
        yield ok(check, f"{seen} cannot see its own privileges on this server")
        return
    found = [Finding(check, each.level, each.what, each.do) for each in excess_privileges(login)]
    yield from found or [ok(check, f"{seen} {as_meant}")]


def _archive(database: Database) -> Finding:
    mode = database.settings.get("archive_mode", "off")
    if mode == "off":
        return warning(
            "archive",
            "archive_mode is off: a restored backup lacks everything after it",
            "set archive_mode and archive_command, or run a standby; test a restore before the election",
        )
    failed, archived = database.last_archive_failed_at, database.last_archived_at
    if failed is not None and (archived is None or failed > archived):
        since = (
            f"the last success was at {archived.isoformat()}"
            if archived
            else "no archiving has ever succeeded"
        )
        return error(
            "archive",
            f"archiving WAL failed at {failed.isoformat()}; {since}",
            "search the server's log for archive_command; WAL accumulates until the disk is full",
        )
    when = f"last at {archived.isoformat()}" if archived else "nothing archived yet"
    return ok("archive", f"archive_mode is {mode}, {when}")


def _room(facts: Facts, database: Database) -> Iterator[Finding]:
    seen = f"the database takes {size(database.size)}"
    if facts.disk_free is None:
        yield ok("disk", f"{seen}; free space is only known on its own machine")
    else:
        assert facts.disk_total is not None
        seen += f"; its disk has {size(facts.disk_free)} of {size(facts.disk_total)} free"
        do = f"free up space in {facts.config.data_dir}; a full disk stops all pushing"
        if facts.disk_free < DISK_ERROR:
            yield error("disk", seen, do)
        elif facts.disk_free < DISK_WARNING:
            yield warning("disk", seen, do)
        else:
            yield ok("disk", seen)
    most = int(database.settings.get("max_wal_size", "0")) << 20  # in MB
    if database.idle_slots:
        yield warning(
            "wal",
            f"inactive replication slots retain WAL: {some(database.idle_slots)}",
            "start their standbys, or drop the slots with pg_drop_replication_slot",
        )
    elif database.wal_size is None:
        yield ok("wal", "the size of WAL is not visible to this user (needs pg_monitor)")
    elif most and database.wal_size > 2 * most:
        yield warning(
            "wal",
            f"WAL takes {size(database.wal_size)}, more than twice max_wal_size",
            "find out what retains it: a replication slot, failing archiving, or slow checkpoints",
        )
    else:
        yield ok("wal", f"WAL takes {size(database.wal_size)}")


def _clocks(database: Database) -> Iterator[Finding]:
    """Check the clocks of all hosts: that of whichever is the primary counts."""
    yield _clock("the database", database.clock_ahead_s, database.clock_known_within_s)
    for host in database.hosts:
        if host.role == "standby":
            found = _clock(host.name, host.clock_ahead_s, host.clock_known_within_s)
            if found.level != "ok":
                yield found


def _clock(name: str, ahead_s: float, within_s: float) -> Finding:
    where = "ahead of" if ahead_s > 0 else "behind"
    seen = f"the clock of {name} is {duration(ahead_s)} {where} this machine's (± {1000 * within_s:.0f} ms)"
    do = "synchronise both with the same time servers (chrony or systemd-timesyncd)"
    if abs(ahead_s) - within_s > CLOCK_ERROR_S:
        return error("clock", f"{seen}: embargoes and tokens end at the wrong time", do)
    if abs(ahead_s) - within_s > CLOCK_WARNING_S:
        return warning("clock", seen, do)
    return ok(
        "clock", f"the clocks of this machine and {name} agree within {duration(abs(ahead_s) + within_s)}"
    )
