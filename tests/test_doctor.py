"""`valgnatt doctor`: each check by facts made up for it, then whole installations, sound and really broken."""

import asyncio
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec
import orjson
import pytest
import trustme

from gateway.config import Config
from gateway.doctor.checks import findings_of
from gateway.doctor.database import CLOCK_ERROR_S, DISK_ERROR, DISK_WARNING, connections_wanted
from gateway.doctor.doors import Addresses as Addressed
from gateway.doctor.doors import certificate_required, probe_doors
from gateway.doctor.facts import (
    CertificateFile,
    Database,
    DatabaseHost,
    Door,
    Drawn,
    Election,
    Facts,
    Process,
    Standby,
)
from gateway.doctor.findings import Finding
from gateway.doctor.gather import _hosts, read_certificate
from gateway.doctor.machine import files_wanted, names_host
from gateway.doctor.standbys import read_standby_names
from gateway.election.registry_reading import read_registry
from gateway.journal.administration import administration
from gateway.journal.election_reads import OpenHold, TokenSummary
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.feed_login import (
    LARGE_OBJECTS,
    NO_ADVISORY_LOCKS,
    NO_LOG_MESSAGES,
    TEMPORARY_FILES,
    FeedLogin,
)
from gateway.journal.migrate import migrate, migrations
from gateway.journal.session import SIGNER_ROLE
from gateway.rehearsal.generator import GeneratedElection
from gateway.reserved_ports import reserved_port
from gateway.signer.steps import Checked
from gateway.web.tls import Certificate
from tests.client.forward_proxy import forward_proxy
from tests.client.scripted import answer, scripted, web_page
from tests.conftest import Database as Addresses
from tests.faults.servers import DatabaseUrls, a_link, a_pair, urls_of
from tests.fork_server import Ended, run_command
from tests.journal.network import port_of
from tests.running import Gateway, served

NOW = datetime(2025, 9, 8, 18, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def digests() -> dict[int, str]:
    import hashlib

    return {number: hashlib.sha256(sql.encode()).hexdigest() for number, _, sql in migrations()}


def a_database(**members: Any) -> Database:
    """A database without faults, with a standby and an archive."""
    settings = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "synchronous_standby_names": "ANY 1 (one, two)",
        "max_connections": "100",
        "superuser_reserved_connections": "3",
        "archive_mode": "on",
        "max_wal_size": "2048",
        "wal_level": "replica",
        "wal_log_hints": "off",
        "data_checksums": "on",
    }
    sound: dict[str, Any] = {
        "version": 16,
        "answered_s": 0.003,
        "writable": True,
        "settings": {**settings, **members.pop("settings", {})},
        "applied": digests(),
        "connections": 12,
        "standbys": [Standby("one", "quorum", "streaming"), Standby("two", "quorum", "streaming")],
        "timeline": 1,
        "hosts": [
            DatabaseHost(name="db-1:5432", role="standby"),
            DatabaseHost(name="db-2:5432", role="primary"),
            DatabaseHost(name="db-3:5432", role="standby"),
        ],
        "size": 1 << 28,
        "wal_size": 1 << 28,
        "idle_slots": [],
        "last_archived_at": NOW - HOUR,
        "last_archive_failed_at": NOW - 2 * HOUR,
        "clock_ahead_s": 0.01,
        "clock_known_within_s": 0.002,
    }
    return Database(**{**sound, **members})


def a_token(key: int, areas: list[str], **members: Any) -> TokenSummary:
    given: dict[str, Any] = {
        "role": "sender",
        "note": f"token {key}",
        "issued_at": NOW - HOUR,
        "expires_at": None,
        "revoked_at": None,
        "last_contact_at": NOW - HOUR,
    }
    return TokenSummary(key=key, election="e", areas=areas, **{**given, **members})


MUNICIPALITIES = ("0101", "0201", "0202", "0603", "0604", "0602", "0605")


@pytest.fixture
def registry(small: GeneratedElection) -> dict[str, Any]:
    return small.registry


def an_election(document: dict[str, Any], **members: Any) -> Election:
    registry = read_registry(document)
    given: dict[str, Any] = {
        "policy": registry.policy,
        "publish_from": NOW + 3 * HOUR,
        "released_at": None,
        "closed_at": None,
        "loaded_at": NOW - 100 * HOUR,
        "accepted": 0,
        "tokens": [a_token(1, [registry.root.id])],
    }
    return Election(registry=registry, **{**given, **members})


@pytest.fixture
def facts(registry: dict[str, Any]) -> Facts:
    """The facts of an installation without any fault."""
    certificate = CertificateFile(
        door="feed",
        chain=Path("/etc/feed.pem"),
        names=["valg.example.no"],
        not_after=NOW + timedelta(days=60),
        known_authority=True,
    )
    config = Config(
        host="0.0.0.0",
        database_url="postgresql://gateway.db/valgnatt",
        feed_database_url="postgresql://reader@db/valgnatt",
        trusted_proxies=("10.0.0.0/8",),
        feed_tls_certificate=Path("/etc/feed.pem"),
    )
    return Facts(
        now=NOW,
        config=config,
        database=a_database(),
        feed_login=FeedLogin(user="reader", database="valgnatt"),
        elections=[an_election(registry)],
        certificates=[certificate],
        doors=[
            Door(
                name=name,
                url=f"https://valg.example.no:{port}",
                host="valg.example.no",
                ready=True,
                seen="is ready",
            )
            for name, port in (("push", 8081), ("feed", 8080), ("admin", 8082))
        ],
        processes=[Process("push-0", 65_536), Process("feed-0", 65_536)],
        backlog_max=4096,
        processors=4,
        disk_free=100 << 30,
        disk_total=200 << 30,
    )


def changed(facts: Facts, **members: Any) -> Facts:
    """The same facts with some members changed; `database__size=1` is the database's size, `config__…` an option."""
    for name, value in members.items():
        part, _, member = name.partition("__")
        if member:
            value = msgspec.structs.replace(getattr(facts, part), **{member: value})
        facts = msgspec.structs.replace(facts, **{part: value})
    return facts


def worse(facts: Facts) -> list[Finding]:
    """Return warnings and errors, each of which must have an instruction."""
    found = findings_of(facts)
    assert all(bool(each.do) == (each.level != "ok") for each in found)
    assert not any("\n" in each.seen + each.do for each in found)
    return [each for each in found if each.level != "ok"]


def the_one(facts: Facts, level: str, check: str, *words: str) -> Finding:
    """Assert that there is exactly one warning or error, and return it."""
    (found,) = worse(facts)
    assert (found.level, found.check) == (level, check), found
    for word in words:
        assert word in f"{found.seen} {found.do}", found
    return found


def with_settings(facts: Facts, **settings: str) -> Facts:
    return changed(facts, database=a_database(settings=settings))


# Facts made up.


def test_a_sound_installation_has_no_findings_to_act_on(facts: Facts) -> None:
    """And every check has a finding."""
    assert worse(facts) == []
    checks = {each.check for each in findings_of(facts)}
    assert checks >= {
        "database", "writable", "migrations", "fsync", "full_page_writes", "synchronous_commit", "standby",
        "connections", "feed role", "archive", "disk", "wal", "clock", "open files", "backlog", "processors",
        "TLS of feed", "election generated-7", "push door", "feed door", "admin port", "options",
    }  # fmt: skip


def test_an_unavailable_database_is_one_error_and_the_rest_is_checked(facts: Facts) -> None:
    """Checks that depend on it are skipped."""
    away = changed(
        facts, database=None, database_mistake="db: ConnectionRefusedError", feed_login=None, elections=[]
    )
    the_one(away, "error", "database", "ConnectionRefusedError", "VALGNATT_DATABASE_URL")
    assert {"push door", "options"} <= {each.check for each in findings_of(away)}


def test_a_standby_that_is_required_and_missing_is_an_error(facts: Facts) -> None:
    """No report gets a receipt then; without the requirement it is a warning."""
    assert facts.database is not None
    settings = {**facts.database.settings, "synchronous_standby_names": ""}
    facts = msgspec.structs.replace(
        facts, database=msgspec.structs.replace(facts.database, settings=settings)
    )
    for required, level in ((False, "warning"), (True, "error")):
        judged = msgspec.structs.replace(
            facts, config=msgspec.structs.replace(facts.config, require_standby=required)
        )
        (found,) = [each for each in findings_of(judged) if each.check == "standby"]
        assert found.level == level
        assert ("no report gets a receipt" in found.seen) is required


@pytest.mark.parametrize(
    ("members", "level", "check", "word"),
    [
        ({"version": 14}, "error", "database", "15"),
        ({"writable": False}, "error", "writable", "primary"),
        ({"applied": {}}, "error", "migrations", "db migrate"),
        ({"applied": {**digests(), 999: "x"}}, "error", "migrations", "999"),
        ({"applied": {**digests(), 1: "x"}}, "error", "migrations", "different content"),
        ({"settings": {"fsync": "off"}}, "error", "fsync", "fsync = on"),
        ({"settings": {"full_page_writes": "off"}}, "error", "full_page_writes", "full_page_writes = on"),
        ({"settings": {"synchronous_commit": "off"}}, "warning", "synchronous_commit", "on"),
        ({"settings": {"synchronous_commit": "local"}}, "warning", "synchronous_commit", "local"),
        ({"settings": {"synchronous_standby_names": ""}}, "warning", "standby", "disk"),
        ({"standbys": []}, "error", "standby", "wait forever"),
        ({"standbys": [Standby("one", "async")]}, "error", "standby", "wait forever"),
        ({"standbys": [Standby("one", "sync")]}, "warning", "standby", "another"),
        ({"standbys": [Standby("one", None)] * 2, "settings": {"synchronous_standby_names": "3 (a, b, c)"}},
         "error", "standby", "only 2 of them"),
        ({"standbys": [Standby("one", "quorum", "catchup"), Standby("two", "quorum", "startup")]},
         "error", "standby", "one (quorum, catchup)"),
        ({"standbys": [Standby("a", "sync"), Standby("b", "sync")],
          "settings": {"synchronous_standby_names": "FIRST 2 (a, b)"}}, "warning", "standby", "one of them fails"),
        ({"settings": {"synchronous_standby_names": "*"}}, "warning", "standby names", "backup tool"),
        ({"settings": {"wal_level": "minimal"}}, "warning", "wal_level", "wal_level = replica"),
        ({"settings": {"data_checksums": "off"}}, "warning", "pg_rewind", "wal_log_hints = on"),
        ({"settings": {"max_connections": "10"}}, "error", "connections", "max_connections"),
        ({"connections": 90}, "warning", "connections", "pg_stat_activity"),
        ({"settings": {"archive_mode": "off"}}, "warning", "archive", "archive_mode"),
        ({"last_archive_failed_at": NOW}, "error", "archive", "archive_command"),
        ({"last_archived_at": None}, "error", "archive", "no archiving has ever succeeded"),
        ({"wal_size": 5 << 30}, "warning", "wal", "max_wal_size"),
        ({"idle_slots": ["old"]}, "warning", "wal", "pg_drop_replication_slot"),
        ({"clock_ahead_s": -2.0}, "warning", "clock", "behind"),
        ({"clock_ahead_s": CLOCK_ERROR_S + 1}, "error", "clock", "ahead of"),
    ],
)  # fmt: skip
def test_each_fault_of_postgres_is_reported(
    facts: Facts, members: dict[str, Any], level: str, check: str, word: str
) -> None:
    """As the only finding, with an instruction."""
    the_one(changed(facts, database=a_database(**members)), level, check, word)


@pytest.mark.parametrize(
    ("value", "method", "number", "names"),
    [
        ("s1", "FIRST", 1, ["s1"]),
        ("s1, s2", "FIRST", 1, ["s1", "s2"]),
        ("2 (s1, s2, s3)", "FIRST", 2, ["s1", "s2", "s3"]),
        ("FIRST 1 (b, c)", "FIRST", 1, ["b", "c"]),
        (' any 2("db-1","a ""b"" (c, d)", *)', "ANY", 2, ["db-1", 'a "b" (c, d)', "*"]),
        ('"db-2"', "FIRST", 1, ["db-2"]),
        ("*", "FIRST", 1, ["*"]),
    ],
)
def test_standby_names_are_read_as_postgres_reads_them(
    value: str, method: str, number: int, names: list[str]
) -> None:
    assert read_standby_names(value) == (method, number, names)


def test_no_standby_names_are_none() -> None:
    assert read_standby_names("") is None
    assert read_standby_names(" ") is None


def test_a_potential_standby_takes_the_place_of_the_synchronous_one(facts: Facts) -> None:
    """Of `FIRST 1 (b, c)`, Postgres calls only the first one synchronous."""
    standbys = [Standby("b", "sync", "streaming"), Standby("c", "potential", "streaming")]
    settings = {"synchronous_standby_names": "FIRST 1 (b, c)"}
    assert worse(changed(facts, database=a_database(standbys=standbys, settings=settings))) == []


def managed_by_patroni(facts: Facts, names: str, *standbys: Standby) -> Facts:
    """The same installation on a server that Patroni has started, with `--require-standby`."""
    database = a_database(
        patroni=True, standbys=standbys, settings={"synchronous_standby_names": names, "wal_log_hints": "on"}
    )
    return changed(facts, database=database, config__require_standby=True)


def test_patroni_replaces_a_synchronous_standby_by_an_asynchronous_one(facts: Facts) -> None:
    """So only the last standby is a warning."""
    sync, other = Standby("b", "sync", "streaming"), Standby("c", "async", "streaming")
    assert worse(managed_by_patroni(facts, '"b"', sync, other)) == []
    the_one(managed_by_patroni(facts, '"b"', sync), "warning", "standby", "the only standby")


def test_what_patroni_may_change_is_reported(facts: Facts) -> None:
    """It empties the names if it is not strict, and a quorum depends on its watchdog; a feed is not affected."""
    standbys = Standby("b", "quorum", "streaming"), Standby("c", "quorum", "streaming")
    the_one(managed_by_patroni(facts, "ANY 1 (b, c)", *standbys), "warning", "patroni", "watchdog: mode")
    sound = managed_by_patroni(facts, "FIRST 1 (b, c)", *standbys)
    assert worse(sound) == []
    the_one(changed(sound, config__require_standby=False), "warning", "patroni", "--require-standby")


@pytest.mark.parametrize(
    ("changes", "level", "word"),
    [
        (
            {1: {"role": None, "mistake": "TimeoutError"}},
            "warning",
            "db-2:5432 does not answer: TimeoutError",
        ),
        ({2: {"role": None, "mistake": "no entry", "refused": True}}, "error", "db-3:5432 refuses the login"),
        ({0: {"role": "primary"}}, "error", "accept writes: db-1:5432, db-2:5432"),
        (
            {0: {"cluster": 7}, 1: {"cluster": 8}, 2: {"cluster": 7}},
            "error",
            "not copies of each other, as their system identifiers show: db-1:5432, db-3:5432 (7), db-2:5432 (8)",
        ),
    ],
)
def test_each_host_of_the_url_has_to_be_able_to_take_over(
    facts: Facts, changes: dict[int, dict[str, Any]], level: str, word: str
) -> None:
    """And only one of them is the primary."""
    hosts = list(a_database().hosts)
    for place, members in changes.items():
        hosts[place] = msgspec.structs.replace(hosts[place], **members)
    the_one(changed(facts, database__hosts=hosts), level, "hosts", word)


def test_hosts_of_one_cluster_and_those_that_do_not_show_it_are_sound(facts: Facts) -> None:
    for clusters in ((7, 7, 7), (7, None, 7), (None, None, None)):
        hosts = [
            msgspec.structs.replace(host, cluster=cluster)
            for host, cluster in zip(a_database().hosts, clusters, strict=True)
        ]
        assert worse(changed(facts, database__hosts=hosts)) == []


def test_a_url_of_one_server_is_reported_if_that_server_has_a_standby(facts: Facts) -> None:
    """A service, a proxy or a pooler may lead to the new primary; without a standby there is no failover."""
    alone = changed(facts, database__hosts=[DatabaseHost(name="db-1:5432", role="primary")])
    assert worse(alone) == []
    direct = changed(alone, database__addressed_directly=True)
    the_one(direct, "warning", "hosts", "names only db-1:5432", "a,b,c")
    assert direct.database is not None
    no_standby = a_database(
        settings={"synchronous_standby_names": ""}, hosts=direct.database.hosts, addressed_directly=True
    )
    the_one(changed(facts, database=no_standby), "warning", "standby")


def test_the_clock_of_a_standby_counts_after_a_failover(facts: Facts) -> None:
    """A host whose clock is not known is not blamed for it."""
    hosts = list(a_database().hosts)
    hosts[2] = msgspec.structs.replace(hosts[2], clock_ahead_s=3600.0)
    the_one(changed(facts, database__hosts=hosts), "error", "clock", "db-3:5432 is", "ahead of")


def test_a_clock_that_is_not_known_well_is_not_blamed(facts: Facts) -> None:
    """With a slow answer, the time is too uncertain to report."""
    assert worse(changed(facts, database__clock_ahead_s=1.5, database__clock_known_within_s=0.8)) == []


def test_room_is_measured_where_it_can_be(facts: Facts) -> None:
    """On another machine only that one knows."""
    the_one(changed(facts, disk_free=DISK_WARNING - 1), "warning", "disk", "free up space")
    the_one(changed(facts, disk_free=DISK_ERROR - 1), "error", "disk", "free up space")
    elsewhere = findings_of(changed(facts, disk_free=None))
    assert "its own machine" in next(each.seen for each in elsewhere if each.check == "disk")


def test_connections_are_counted_as_processes_open_them() -> None:
    """Those of feeds with an address of their own go there."""
    assert connections_wanted(Config(push_workers=2, feed_workers=3)) == 5 * 10 + 3
    assert connections_wanted(Config(role="push", push_workers=2)) == 2 * 10 + 3
    assert connections_wanted(Config(feed_database_url="postgresql://x")) == 10 + 3


def test_excess_privileges_of_feeds_are_reported(facts: Facts) -> None:
    """Privileges of the role itself are errors, as every feed would have them; the finding contains the SQL to run."""
    leaking = changed(facts, feed_login__role_objects=["valgnatt.report"])
    the_one(leaking, "error", "feed role", "valgnatt.report", "embargo", "REVOKE ALL ON valgnatt.report FROM")
    more = changed(facts, feed_login__objects=["valgnatt.token"], feed_login__roles=["pg_monitor"])
    the_one(more, "error", "feed role", "reader", "valgnatt.token", "REVOKE pg_monitor FROM reader")
    for member in ("superuser", "owner"):
        same = changed(facts, **{f"feed_login__{member}": True})
        the_one(same, "error", "feed role", "VALGNATT_FEED_DATABASE_URL", "CREATE ROLE valgnatt_reader LOGIN")
    the_one(
        changed(facts, feed_login__temporary=True), "warning", "feed role", "REVOKE TEMPORARY ON DATABASE"
    )
    the_one(changed(facts, feed_login=None, feed_login_mistake="denied"), "error", "feed role", "denied")


def test_a_record_that_cannot_be_signed_is_an_error(facts: Facts) -> None:
    """On a machine with the keys; an election without one is only a warning."""
    signed = Checked("e", "signed", "signed up to entry 4")
    assert worse(changed(facts, signed=[signed])) == []
    behind = Checked("f", "refused", "record_behind: this signer signed 9 entries, and the record has only 4")
    the_one(
        changed(facts, signed=[signed, behind]), "error", "election f: signing", "record_behind", "restore"
    )
    without = Checked("g", "no_key", "not signed: there is no key")
    the_one(changed(facts, signed=[without]), "warning", "election g: signing", "valgnatt key create g")
    the_one(changed(facts, signed_mistake="in use"), "error", "signing", "in use")


def test_excess_privileges_of_a_signer_are_reported(facts: Facts) -> None:
    """Where a signer is configured."""
    login = FeedLogin(user="sealer", database="valgnatt", role=SIGNER_ROLE)
    hidden = msgspec.structs.replace(login, privileges_hidden=True)
    for sound in (login, hidden):
        assert worse(changed(facts, signer_login=sound)) == []
    leaking = msgspec.structs.replace(login, objects=["valgnatt.token"])
    the_one(changed(facts, signer_login=leaking), "error", "signer role", "sealer", "valgnatt.token")
    the_one(changed(facts, signer_login_mistake="denied"), "error", "signer role", "denied")


def test_units_without_a_token_are_reported(facts: Facts, registry: dict[str, Any]) -> None:
    """Revoked, expired and operators' tokens do not count; for a rehearsal it is only a warning."""
    most = [a_token(1, ["0101"]), a_token(2, ["02", "06"])]

    def judged(*tokens: TokenSummary, **header: Any) -> Facts:
        document = {**registry, "election": {**registry["election"], **header}}
        return changed(facts, elections=[an_election(document, tokens=[*most, *tokens])])

    assert worse(judged()) == []
    most = [a_token(2, ["02", "06"])]
    check = "election generated-7: tokens"
    the_one(judged(), "error", check, "1 municipality", "0101", "token issue")
    the_one(judged(rehearsal=True), "warning", check, "0101")
    the_one(judged(a_token(3, ["0101"], revoked_at=NOW)), "error", check, "0101")
    the_one(judged(a_token(3, ["0101"], role="operator")), "error", check, "0101")
    the_one(judged(a_token(3, ["0101-0001"])), "error", check, "0101")
    most = []
    for token, more in ((a_token(3, ["0604"]), " --missing-only"), (a_token(3, ["vl"], role="operator"), "")):
        command = (
            f"token issue --election generated-7 --each municipality{more} --out tokens-municipality.csv"
        )
        the_one(judged(token), "error", check, command)
    most = [a_token(2, ["02", "06"])]
    gone, expired = worse(judged(a_token(3, ["0101"], expires_at=NOW - HOUR)))
    assert (gone.level, expired.level) == ("error", "warning")
    assert "expired: 3 (token 3)" in expired.seen


def test_tokens_that_expire_early_or_were_never_used_are_reported(
    facts: Facts, registry: dict[str, Any]
) -> None:
    """By their number and whose they are; of many, the first."""
    check = "election generated-7: tokens"
    ending = an_election(registry, tokens=[a_token(1, ["vl"], expires_at=NOW + 4 * HOUR)])
    the_one(changed(facts, elections=[ending]), "warning", check, "1 (token 1)", "last longer")
    unused = [a_token(key, ["vl"], last_contact_at=None) for key in range(1, 13)]
    found = the_one(changed(facts, elections=[an_election(registry, tokens=unused)]), "warning", check)
    assert found.seen.startswith("12 of 12 never used: 1 (token 1), ")
    assert found.seen.endswith(" and 4 more")


def test_an_election_is_checked_against_the_time_of_its_release(
    facts: Facts, registry: dict[str, Any]
) -> None:
    """Before, at, and long after its release; a closed one is left alone."""
    name = "election generated-7"

    def at(**members: Any) -> Facts:
        return changed(facts, elections=[an_election(registry, **members)])

    assert worse(at(publish_from=NOW - timedelta(seconds=2))) == []
    assert worse(at(publish_from=NOW - HOUR, loaded_at=NOW - timedelta(seconds=1))) == []
    the_one(at(publish_from=NOW - HOUR), "error", name, "not published", "valgnatt serve")
    assert worse(at(publish_from=NOW - HOUR, released_at=NOW - HOUR)) == []
    past = {"publish_from": NOW - 400 * HOUR, "released_at": NOW - 400 * HOUR, "tokens": []}
    the_one(at(**past), "warning", name, "election close generated-7")
    assert worse(at(**past, closed_at=NOW)) == []
    the_one(changed(facts, elections=[]), "warning", "elections", "election load")


def a_hold(unit: str, minutes: float) -> OpenHold:
    return OpenHold(unit, 2, NOW - timedelta(minutes=minutes), ["fell"])


@pytest.mark.parametrize(
    ("members", "check", "level", "words"),
    [
        ({}, "held reports", "ok", "none"),
        ({"holds": [a_hold("a", 4)]}, "held reports", "ok", "1 report, the oldest for 4 min"),
        (
            {"holds": [a_hold("a", 6), a_hold("b", 2)]},
            "held reports",
            "warning",
            "2 reports, the oldest for 6 min",
        ),
        (
            {"holds": [a_hold("a", 1)], "publish_from": NOW + timedelta(minutes=29)},
            "held reports",
            "error",
            "the embargo ends in 29 min and does not wait for them: a revision 2 (fell)",
        ),
        (
            {"holds": [a_hold("a", 1)], "publish_from": NOW + timedelta(minutes=31)},
            "held reports",
            "ok",
            "1 report",
        ),
        (
            {"holds": [a_hold("a", 1)], "closed_at": NOW - HOUR},
            "held reports",
            "warning",
            "although the election is closed: a revision 2 (fell)",
        ),
        ({"holds": [a_hold("a", 1)] * 40}, "number of held reports", "warning", "40 of at most 50"),
        ({"holds": [a_hold("a", 1)] * 50}, "number of held reports", "error", "the rules only warn now"),
        (
            {"judged": 900, "not_judged": 3},
            "rules",
            "error",
            "a rule failed for 3 reports of the last 900 reports",
        ),
    ],
)
def test_held_reports_are_counted_and_named_when_somebody_has_to_decide(
    facts: Facts, registry: dict[str, Any], members: dict[str, Any], check: str, level: str, words: str
) -> None:
    """Always their number and age; their names from half an hour before the end of the embargo, and after closing."""
    checked = findings_of(changed(facts, elections=[an_election(registry, **members)]))
    found = {each.check.partition(": ")[2]: each for each in checked}
    assert found[check].level == level
    assert words in found[check].seen
    assert bool(found[check].do) == (level != "ok")
    assert ("number of held reports" in found) == (check == "number of held reports")


def test_names_that_look_alike_under_one_parent_are_reported(facts: Facts, registry: dict[str, Any]) -> None:
    """Not those in different municipalities; where two names differ, by their code points."""
    units = [area for area in registry["areas"] if area["level"] == "precinct"]
    one, other = units[:2]
    assert one["parent"] == other["parent"]
    elsewhere = next(unit for unit in units if unit["parent"] != one["parent"])

    def named(*names: tuple[dict[str, Any], str]) -> Facts:
        new = {unit["id"]: name for unit, name in names}
        areas = [{**area, "name": new.get(area["id"], area["name"])} for area in registry["areas"]]
        return changed(facts, elections=[an_election({**registry, "areas": areas})])

    check = "election generated-7: names"
    assert worse(named((one, "Åsen"), (elsewhere, "Åsen"))) == []
    equal = the_one(named((one, "Åsen"), (other, "Åsen")), "warning", check, "different names")
    assert f"{one['id']} and {other['id']} Åsen" in equal.seen
    alike = the_one(named((one, "Åsen"), (other, "A\u030aSEN ")), "warning", check, "different names")
    assert f"{one['id']} 'Åsen' (U+00C5) and {other['id']} 'A\u030aSEN ' (U+030A)" in alike.seen


def test_names_in_every_language_are_compared(facts: Facts, registry: dict[str, Any]) -> None:
    """Also one name with that of another language; a pair is reported once, and names of one area may be equal."""
    one, other = [area["id"] for area in registry["areas"] if area["level"] == "precinct"][:2]

    def named(**names: dict[str, str]) -> Facts:
        new = {one: names["one"], other: names["other"]}
        areas = [
            {**area, "names": new[area["id"]]} if area["id"] in new else area for area in registry["areas"]
        ]
        return changed(facts, elections=[an_election({**registry, "areas": areas})])

    check = "election generated-7: names"
    assert worse(named(one={"nb": "Vik", "nn": "Vik"}, other={"nb": "Ås"})) == []
    found = the_one(
        named(one={"nb": "Vik", "nn": "Ås"}, other={"nb": "Ås", "se": "VIK"}),
        "warning",
        check,
        "different names",
    )
    assert found.seen.count(other) == 1


def test_a_municipality_without_units_is_reported(facts: Facts, registry: dict[str, Any]) -> None:
    """It would count as a unit itself, which is rarely intended; so is a country without eligible voters."""
    areas = [area for area in registry["areas"] if area["parent"] != "0604"]
    areas[0] = {**areas[0], "eligible": None}
    registry_part, eligible = worse(changed(facts, elections=[an_election({**registry, "areas": areas})]))
    assert "0604" in registry_part.seen
    assert "municipality" in registry_part.seen
    assert "vl" in eligible.seen


@pytest.mark.parametrize(
    ("members", "level", "word"),
    [
        ({"mistake": "the key does not match the certificate"}, "error", "does not match"),
        ({"not_after": NOW - HOUR}, "error", "expired 60 min ago"),
        ({"not_after": NOW + timedelta(days=5)}, "warning", "expires in 5 days"),
        ({"names": ["other.example.no"]}, "error", "valg.example.no"),
        ({"known_authority": False}, "warning", "intermediate"),
        ({"client_authorities": {}}, "error", "no authority"),
        ({"client_authorities": {"Kommunene": NOW - HOUR}}, "error", "expired: Kommunene"),
    ],
)
def test_each_fault_of_a_certificate_is_reported(
    facts: Facts, members: dict[str, Any], level: str, word: str
) -> None:
    """With the door that it is of."""
    certificate = msgspec.structs.replace(facts.certificates[0], **members)
    (found,) = worse(changed(facts, certificates=[certificate]))
    assert found.level == level
    assert found.check.startswith("TLS of feed")
    assert word in f"{found.seen} {found.do}"


def test_names_of_certificates_are_compared_as_clients_do() -> None:
    """A star is one label, and case does not matter."""
    assert names_host(["valg.no", "*.example.no"], "Push.example.no")
    assert not names_host(["*.example.no"], "a.push.example.no")
    assert not names_host(["*.example.no"], "example.no")
    assert names_host(["10.0.0.1"], "10.0.0.1")


def test_doors_that_do_not_answer_are_errors_and_restarts_are_reported(facts: Facts) -> None:
    """One whose port is chosen at its start cannot be knocked at."""
    push, feed, admin = facts.doors
    down = msgspec.structs.replace(feed, ready=False, seen="Connection refused")
    the_one(changed(facts, doors=[push, down, admin]), "error", "feed door", "Connection refused", "serve")
    again = msgspec.structs.replace(admin, restarts={"push-0": 3, "feed-0": 0})
    the_one(changed(facts, doors=[push, feed, again]), "warning", "restarts", "push-0 3 times")
    assert worse(changed(facts, doors=[msgspec.structs.replace(push, url=None, ready=False)])) == []


async def test_a_record_that_differs_from_its_signed_log_is_an_error(facts: Facts) -> None:
    """By the metrics of the admin port, which name the elections."""
    *doors, admin = facts.doors
    differing = msgspec.structs.replace(admin, differing=["e1"])
    the_one(changed(facts, doors=[*doors, differing]), "error", "signed log", "e1", "differs")
    ready = answer(200, '{"status": "ready"}', kind="application/json")
    name = "valgnatt_log_disagrees"
    metrics = "".join(
        f'{name}{{election="{election}",process="feed-{process}"}} {value}\n'
        for election, process, value in (
            ("e1", 0, "0.0"),
            ("e2", 0, "1.0"),
            ("e2", 1, "1.0"),
            ("e3", 0, "0.0"),
        )
    )
    measured = answer(200, metrics, kind="text/plain")
    async with scripted(lambda request: measured if request.target == "/metrics" else ready) as door:
        config = Config(role="feed", host="127.0.0.1", admin_port=door.port, feed_port=0)
        *_, admin = (await probe_doors(config, Addressed()))[0]
        assert (admin.ready, admin.differing) == (True, ["e2"])


async def test_doors_at_given_addresses_are_reached_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As clients reach them; the finding names the proxy. Addresses from the options are reached directly."""
    ready = answer(200, '{"status": "ready"}', kind="application/json")
    async with (
        scripted(lambda _: ready) as door,
        scripted(lambda _: web_page(200)) as page,
        forward_proxy() as proxy,
    ):
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        config = Config(role="push", host="127.0.0.1", push_port=door.port, admin_port=None)
        for push, seen in (
            (None, "is ready"),
            (
                f"http://gateway.invalid:{door.port}",
                f"is ready, through the proxy http://127.0.0.1:{proxy.port}",
            ),
            (f"http://gateway.invalid:{page.port}", "with a web page"),
        ):
            (found,), _ = await probe_doors(config, Addressed(push=push))
            assert found.seen.startswith(seen) or (seen in found.seen and not found.ready), found
        monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1080")
        (found,), _ = await probe_doors(config, Addressed(push="http://gateway.invalid"))
        assert "HTTP_PROXY" in found.seen


def test_missing_resources_of_the_machine_are_reported(facts: Facts) -> None:
    """Files of the workers that run, else of this shell; the backlog; processors."""
    wanted = files_wanted(facts.config, "feed")
    short = [Process("push-0", 65_536), Process("feed-0", 1024), Process("feed-1", 1024)]
    found = the_one(changed(facts, processes=short), "warning", "open files", "feed-0", f"ulimit -n {wanted}")
    assert "1 other likewise" in found.seen
    the_one(changed(facts, processes=[], open_files_max=1024), "warning", "open files", "started from here")
    pushing = msgspec.structs.replace(facts.config, role="push", feed_tls_certificate=None)
    assert worse(changed(facts, config=pushing, processes=[Process("push-0", 11_000)])) == []
    the_one(changed(facts, backlog_max=128), "warning", "backlog", "somaxconn")
    the_one(changed(facts, processors=1), "warning", "processors", "2 workers")


@pytest.mark.parametrize(
    ("options", "level", "word"),
    [
        ({"readers_max": 100}, "warning", "readers_per_address is 2000"),
        ({"connections_max": 100}, "warning", "connections_per_address is 1000"),
        ({"pending_max": 50, "batch_max": 10}, "warning", "credit_max is 64"),
        ({"batch_max": 10_000, "pending_max": 9_999}, "warning", "batch_max is 10000"),
        ({"drain_s": 0.0}, "warning", "drain_s is 0"),
        ({"trusted_proxies": ("0.0.0.0/0",)}, "error", "any address"),
        ({"host": "127.0.0.1", "trusted_proxies": ()}, "warning", "all readers are one address"),
        ({"host": "127.0.0.1", "trusted_proxies": (), "proxy_header": "forwarded"}, "warning", "forwarded"),
        ({"trusted_proxies": ()}, "warning", "without TLS"),
        ({"admin_host": "0.0.0.0"}, "warning", "metrics"),
        ({"role": "push"}, "warning", "feed_tls_certificate has no effect"),
        ({"database_url": None}, "warning", "feeds read another database"),
        ({"database_url": None, "feed_database_url": None, "role": "feed"}, "warning", "no other machine"),
    ],
)
def test_options_that_contradict_each_other_are_reported(
    facts: Facts, options: dict[str, Any], level: str, word: str
) -> None:
    """Each with both its sides."""
    config = msgspec.structs.replace(facts.config, **options)
    found = [
        each for each in worse(changed(facts, config=config)) if each.check in ("options", "trusted proxies")
    ]
    assert [each.level for each in found if word in each.seen] == [level]


def test_no_default_contradicts_another(facts: Facts) -> None:
    """Except for the proxy, which only the operator knows."""
    found = [each for each in worse(changed(facts, config=Config())) if each.check == "options"]
    assert found == []


def test_a_map_is_checked_against_the_elections(facts: Facts) -> None:
    """Unknown shapes are listed; a map that cannot be drawn is an error."""
    path = Path("/etc/map.geojson")
    drawn = Drawn(path, None, (("0604",), ("1", "0101"), ("9999", "x")))
    the_one(changed(facts, map=drawn), "warning", "map", "9999")
    the_one(changed(facts, map=Drawn(path, "not JSON")), "error", "map", "not JSON", "--map")


def test_the_election_of_valgresultat_has_to_be_loaded(facts: Facts) -> None:
    """Its type may follow."""
    (election, *_) = facts.elections
    for value in (election.registry.id, f"{election.registry.id}:sa"):
        assert worse(changed(facts, config__valgresultat=value)) == []
    the_one(changed(facts, config__valgresultat="other:sa"), "warning", "valgresultat", "other,", "404")


# Certificates as files.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_a_certificate_is_read_as_a_client_sees_it(authority: trustme.CA, tmp_path: Path) -> None:
    """Names and expiry, also of an expired one; or the reason why it cannot be used."""
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
    chain, other = tmp_path / "chain.pem", tmp_path / "other.key"
    authority.issue_cert(
        "valg.example.no", "10.0.0.1", not_after=end
    ).private_key_and_cert_chain_pem.write_to_path(str(chain))
    authority.issue_cert("x").private_key_pem.write_to_path(str(other))
    senders = tmp_path / "senders.pem"
    authority.cert_pem.write_to_path(str(senders))
    read = read_certificate("push", Certificate(chain, None, senders))
    assert (read.mistake, sorted(read.names), read.not_after) == (None, ["10.0.0.1", "valg.example.no"], end)
    assert read.known_authority is False
    assert read.client_authorities is not None
    assert min(read.client_authorities.values()) > datetime.now(UTC)
    assert "does not match" in (read_certificate("push", Certificate(chain, other)).mistake or "")
    assert read_certificate("push", Certificate(tmp_path / "none.pem", None)).mistake


def refused_handshake(*, verify: ssl.VerifyMode) -> ssl.SSLError | None:
    """What a client without a certificate gets from a server; none if that requires no certificate."""
    authority = trustme.CA()
    serving, connecting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("valg.example.no").configure_cert(serving)
    authority.configure_trust(serving)
    authority.configure_trust(connecting)
    serving.verify_mode = verify
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = connecting.wrap_bio(to_client, to_server, server_hostname="valg.example.no")
    for step in (client.do_handshake, server.do_handshake, client.do_handshake, server.do_handshake):
        with suppress(ssl.SSLError):
            step()
    try:
        client.read(1)
    except ssl.SSLWantReadError:
        return None
    except ssl.SSLError as error:
        return error
    return None


def test_a_handshake_that_requires_a_client_certificate_is_recognised_by_its_alert() -> None:
    """In the error that the HTTP client makes of it; the text of another error does not matter."""
    refused = refused_handshake(verify=ssl.CERT_REQUIRED)
    assert refused is not None
    assert refused_handshake(verify=ssl.CERT_NONE) is None
    error = aiohttp.ClientOSError("cannot connect")
    error.__cause__ = refused
    assert certificate_required(error)
    assert not certificate_required(aiohttp.ClientOSError("CERTIFICATE_REQUIRED"))


# Installations.


class Doctored:
    """The output of `doctor --json`."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        self.status = status
        self.findings = [msgspec.convert(each, Finding) for each in document["findings"]]
        assert document["errors"] == sum(each.level == "error" for each in self.findings)
        assert status == (1 if document["errors"] else 0)

    def of(self, check: str) -> Finding:
        return next(each for each in self.findings if each.check == check)

    @property
    def errors(self) -> set[str]:
        return {each.check for each in self.findings if each.level == "error"}


def run_doctor(*arguments: str, **environ: object) -> Ended:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
    shown = {f"VALGNATT_{name.upper()}": str(value) for name, value in environ.items()}
    return run_command("doctor", *arguments, environ={**inherited, **shown})


def doctor(database: Addresses, gateway: Gateway | None = None, **environ: object) -> Doctored:
    """Run it on a database, and on the doors of a gateway or on unused ports."""
    urls: tuple[str, ...] = ()
    if gateway is not None:
        urls = (
            "--push-url",
            gateway.push_url,
            "--feed-url",
            gateway.feed_url,
            "--admin-url",
            gateway.admin_url,
        )
    options = {
        "database_url": database.url,
        "feed_database_url": database.feed_url,
        "host": "127.0.0.1",
        **environ,
    }
    ended = run_doctor("--json", *urls, **options)
    assert not ended.err, ended.err
    return Doctored(ended.status, orjson.loads(ended.out))


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """A durable, migrated Postgres."""
    directory = tmp_path_factory.mktemp("doctor")
    os.chmod(directory, 0o755)
    with EmbeddedPostgres(directory / "data") as server:
        asyncio.run(migrate(server.url))
        execute(server.url, f"ALTER ROLE valgnatt_reader SET temp_file_limit = '{TEMPORARY_FILES}'")
        execute(
            server.url,
            f"REVOKE EXECUTE ON FUNCTION {LARGE_OBJECTS} FROM PUBLIC",
            NO_ADVISORY_LOCKS,
            NO_LOG_MESSAGES,
        )
        yield Addresses(server.url, server.feed_url)


@pytest.fixture(scope="module")
def gateway(durable: Addresses) -> Iterator[Gateway]:
    with served(durable) as gateway:
        yield gateway


def load(addresses: Addresses, small: GeneratedElection, name: str, areas: list[str]) -> None:
    async def act() -> None:
        election = {**small.registry["election"], "id": name, "publish_from": "2099-01-01T00:00:00Z"}
        async with administration(addresses.url, "test") as acts:
            await acts.load_election({**small.registry, "election": election})
            for area in areas:
                await acts.issue_token(name, [area], note=f"of {area}")

    asyncio.run(act())


def execute(url: str, *statements: str) -> None:
    async def act() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(act())


@pytest.mark.long
def test_a_real_installation_that_is_sound_has_no_error(
    durable: Addresses, gateway: Gateway, small: GeneratedElection
) -> None:
    """Postgres, doors, workers, elections and tokens are really queried; an unused token is reported."""
    load(durable, small, "sound", ["vl"])
    found = doctor(durable, gateway)
    assert found.errors == set(), found.findings
    assert re.match(r"Postgres \d+ answers in", found.of("database").seen)
    for door in ("push door", "feed door", "admin port"):
        assert found.of(door).seen.endswith(" is ready")
    assert found.of("feed role").level == "ok"
    assert found.of("clock").level == "ok"
    unused = [each for each in found.findings if "never used" in each.seen]
    assert "(of vl)" in unused[0].seen


def test_findings_are_printed_in_lines_for_people(durable: Addresses, gateway: Gateway) -> None:
    """With an arrow before each instruction; no passwords, and no colours outside a terminal."""
    ended = run_doctor(
        "--push-url", gateway.push_url, "--feed-url", gateway.feed_url, "--admin-url", gateway.admin_url,
        database_url=durable.url, feed_database_url=durable.feed_url,
    )  # fmt: skip
    lines = ended.out.splitlines()
    assert ended.status == 0, ended
    assert lines[0].startswith("ok      database: ")
    assert any(line.startswith("         → ") for line in lines)
    assert re.fullmatch(r"0 errors, \d+ warnings", lines[-1])
    assert "\x1b" not in ended.out
    password = durable.url.split(":")[2].split("@")[0]
    assert password not in ended.out


def test_a_municipality_without_a_token_is_an_error(
    durable: Addresses, gateway: Gateway, small: GeneratedElection
) -> None:
    """With the command that issues one; after the election is closed there is no finding."""
    load(durable, small, "uncovered", ["0101", "02", "0602", "0603"])
    found = doctor(durable, gateway)
    assert found.errors == {"election uncovered: tokens"}
    shown = found.of("election uncovered: tokens")
    assert "0604" in shown.seen
    assert "0101" not in shown.seen
    assert "valgnatt token issue --election uncovered --areas 0604" in shown.do
    execute(durable.url, "UPDATE valgnatt.head SET closed_at = now() WHERE election = "
            "(SELECT key FROM valgnatt.election WHERE id = 'uncovered')")  # fmt: skip
    assert doctor(durable, gateway).errors == set()


def test_doors_that_are_down_are_errors(durable: Addresses) -> None:
    """Each separately, in the configured data directory."""
    with reserved_port() as free:
        found = doctor(durable, push_port=free, feed_port=0, admin_port="none")
    assert found.errors == {"push door"}
    assert str(free) in found.of("push door").seen
    assert "refused" in found.of("push door").seen


def test_a_database_that_is_not_durable_or_not_migrated_is_an_error(
    postgres: EmbeddedPostgres, database: Addresses, gateway: Gateway
) -> None:
    """The setting of the server counts, not that of our session."""
    execute(database.url, "DROP SCHEMA valgnatt CASCADE")
    found = doctor(database, gateway)
    assert found.errors == {"fsync", "full_page_writes", "migrations"}
    assert found.of("migrations").do == "run `valgnatt db migrate`"
    assert not [each for each in found.findings if each.check.startswith("election")]


@pytest.mark.long
async def test_servers_that_can_take_over_are_looked_at_one_by_one(tmp_path: Path) -> None:
    """A primary and its standby: by all addresses, by that of the primary, through a proxy, and after a split."""
    async with a_pair(tmp_path) as pair:
        both, primary = pair.database, urls_of(pair.servers["a"])

        async def hosts(of: DatabaseUrls) -> Finding:
            found = await asyncio.to_thread(doctor, Addresses(of.url, of.feed_url), None, role="push")
            assert found.of("standby").seen == "commits wait for b (sync), the only standby"
            assert found.of("writable").seen == "the database accepts writes (timeline 1)"
            assert not [
                each for each in found.findings if each.check in ("patroni", "pg_rewind", "standby names")
            ]
            return found.of("hosts")

        found = await hosts(both)
        assert found.level == "ok"
        assert re.fullmatch(r"127.0.0.1:\d+ \(primary\), 127.0.0.1:\d+ \(standby\)", found.seen)
        clusters = [each.cluster for each in await _hosts(both.url)]
        assert clusters[0] == clusters[1] is not None
        found = await hosts(primary)
        assert (found.level, "which is this server itself" in found.seen) == ("warning", True)
        async with a_link(port_of(pair.servers["a"].tcp_url)) as link:
            assert (
                await hosts(urls_of(pair.servers["a"], hosts={pair.servers["a"]: link.host}))
            ).level == "ok"
        await pair.promote("b")
        split = await asyncio.to_thread(doctor, Addresses(both.url, both.feed_url), None, role="push")
        assert "accept writes" in split.of("hosts").seen
        assert "hosts" in split.errors


def test_a_feed_role_that_may_read_too_much_is_an_error(durable: Addresses, gateway: Gateway) -> None:
    """As Postgres reports it, also for a single column."""
    execute(durable.url, "GRANT SELECT (unit) ON valgnatt.report TO valgnatt_feed")
    try:
        assert doctor(durable, gateway).errors == {"feed role"}
    finally:
        execute(durable.url, "REVOKE SELECT (unit) ON valgnatt.report FROM valgnatt_feed")
    owners = doctor(Addresses(durable.url, durable.url), gateway)
    assert owners.errors == {"feed role"}
    assert "CREATE ROLE valgnatt_reader LOGIN" in owners.of("feed role").do


def test_on_a_machine_of_feeds_alone_the_login_is_looked_at(durable: Addresses, gateway: Gateway) -> None:
    """With no login but the feeds' own, as a container of feeds has it; no owner's database is missed there."""
    alone: dict[str, Any] = {"role": "feed", "database_url": ""}
    found = doctor(durable, gateway, **alone)
    assert found.errors == set(), found.findings
    assert found.of("feed role").level == "ok"
    owners = doctor(Addresses(durable.url, durable.url), gateway, **alone)
    assert owners.errors == {"feed role"}


def test_an_expired_certificate_is_an_error(
    durable: Addresses, gateway: Gateway, authority: trustme.CA, tmp_path: Path
) -> None:
    """Before it affects clients; so is a key that does not match."""
    over, key = tmp_path / "over.pem", tmp_path / "other.key"
    end = datetime.now(UTC) - timedelta(days=3)
    issued = authority.issue_cert("127.0.0.1", not_after=end)
    issued.private_key_and_cert_chain_pem.write_to_path(str(over))
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(str(key))
    found = doctor(durable, gateway, feed_tls_certificate=over, push_tls_certificate=over, push_tls_key=key)
    assert found.errors == {"TLS of feed", "TLS of push"}
    assert "expired 3 days ago" in found.of("TLS of feed").seen
    assert "does not match the certificate" in found.of("TLS of push").seen


@pytest.mark.long
def test_no_database_at_all_is_an_error_in_a_line(tmp_path: Path) -> None:
    """None named and none running; one named that is not there; never with its password."""
    ended = run_doctor("--json", data_dir=tmp_path, admin_port="none", role="push", push_port=0)
    found = Doctored(ended.status, orjson.loads(ended.out))
    assert found.errors == {"database"}
    assert str(tmp_path) in found.of("database").seen
    ended = run_doctor(
        "--json",
        database_url="postgresql://user:s3cret@127.0.0.1:1/none",
        admin_port="none", role="push", push_port=0,
    )  # fmt: skip
    assert Doctored(ended.status, orjson.loads(ended.out)).errors == {"database"}
    assert "s3cret" not in ended.out
    assert run_doctor(push_port="x").status == 2
