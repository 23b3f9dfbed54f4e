"""Postgres is killed, suspended, promoted, restored and out of disk space under load; see `night`."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from gateway.errors import StandbyMissing
from gateway.journal import migrate as migrate_module
from gateway.journal.administration import IssuedToken, administration
from gateway.journal.migrate import migrate
from gateway.rehearsal.generator import GeneratedElection
from gateway.rehearsal.judge import ObservedBlock
from tests.counts import count, full_only, variants
from tests.faults.night import Night, a_night
from tests.faults.servers import TIMEOUT_S, Clock, DatabaseUrls, Server, a_pair, a_server, urls_of
from tests.running import Gateway, Sender, running
from tests.web.doors import COUNTRY, UNIT, a_registry, a_report, ask, push, until

pytestmark = pytest.mark.long

LOAD: dict[str, Any] = {"senders": count(3, full=12), "rate": count(9, full=120)}
LATE_S = 5.0
"""The maximum delay without a fault; normally some hundredths of a second.

Much more than that, since the machine may be busy.
"""
HOUR_S = 3600


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A durable server for one test."""
    with a_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def night_on(database: DatabaseUrls, **config: object) -> AsyncIterator[tuple[Gateway, Night]]:
    """Run a gateway on a database, and a night on it."""
    async with running(database, **config) as gateway, a_night(gateway, **LOAD) as night:
        yield gateway, night


# Failover to a standby.


@full_only
async def test_the_gateway_follows_a_failover_and_the_failover_back(
    tmp_path: Path,
) -> None:
    """The primary crashes and its standby is promoted, twice: no receipt is lost and no reader starts over."""
    async with a_pair(tmp_path) as pair, night_on(pair.database) as (gateway, night):
        for old, new in variants(("ab", "ba"), "ab"):
            pair.servers[old].crash()
            await pair.promote(new)
            await night.wait_progress()
            await pair.rejoin(old, new)
            await night.wait_progress()
        await night.settle()
        assert gateway.logged_errors() == []


@full_only
async def test_a_suspended_primary_that_returns_after_a_failover_commits_nothing(tmp_path: Path) -> None:
    """A primary resumes after its standby was promoted, unaware of the failover.

    Until it is shut down, its commits wait for the former standby, so no receipt depends on them.
    """
    async with a_pair(tmp_path) as pair, night_on(pair.database) as (gateway, night):
        first = pair.servers["a"]
        with first.suspended():
            await pair.promote("b")
            await night.wait_progress()
        await night.wait_progress()
        first.shut_down()
        await night.wait_progress()
        await night.settle()
        assert gateway.logged_errors() == []


async def test_an_act_that_was_acknowledged_with_require_standby_survives_a_failover(
    tmp_path: Path, small: GeneratedElection
) -> None:
    """Also one right after a reload, as it first waits until that is certain; without a standby, none is performed."""
    async with a_pair(tmp_path) as pair:
        await migrate(pair.database.url)
        primary = pair.servers["a"]
        async with administration(pair.database.url, "test", require_standby=True) as acts:
            await primary.ask("SELECT pg_reload_conf()")
            election = await acts.load_election(small.registry)
            tokens = [
                (await acts.issue_token(election, [small.registry["areas"][0]["id"]])).key for _ in range(2)
            ]
            await acts.revoke_token(tokens[0])
            await primary.ask("ALTER SYSTEM SET synchronous_standby_names = ''")
            await primary.ask("SELECT pg_reload_conf()")
            with pytest.raises(StandbyMissing):
                await acts.revoke_token(tokens[1])
        primary.crash()
        await pair.promote("b")
        async with administration(pair.database.url, "test") as acts:
            revoked = {each.key: each.revoked_at is not None for each in await acts.tokens(election)}
        assert revoked == dict(zip(tokens, (True, False), strict=True))


async def test_with_require_standby_receipts_are_given_only_while_a_standby_is_configured(
    tmp_path: Path, small: GeneratedElection
) -> None:
    """With empty standby names the answer is 503 with the reason; a gateway without the option is not affected."""
    async with (
        a_pair(tmp_path) as pair,
        running(pair.database, role="push", require_standby=True) as strict,
        running(pair.database, role="push") as lenient,
        aiohttp.ClientSession() as http,
    ):
        primary = pair.servers["a"]
        election = await strict.load(a_registry(small))
        sender = await strict.issue(election, [COUNTRY])
        other = Sender(lenient, election, IssuedToken(sender.key, sender.secret))

        async def accepted(revision: int) -> bool:
            answer = await push(http, sender, a_report(revision=revision))
            # 200: an earlier attempt was committed, and its receipt withheld
            return answer.status in (200, 201)

        await until(lambda: accepted(1), TIMEOUT_S)
        await primary.ask("ALTER SYSTEM SET synchronous_standby_names = ''")
        await primary.ask("SELECT pg_reload_conf()")
        revision = 2

        async def refused() -> bool:
            nonlocal revision
            answer = await push(http, sender, a_report(revision=revision))
            revision += answer.status == 201
            return answer.status == 503

        await until(refused, TIMEOUT_S)
        stored = await primary.ask("SELECT count(*) FROM valgnatt.report")
        for each in (a_report(), a_report(revision=100)):
            problem = (await push(http, sender, each)).problem(503, "journal_unavailable")
            assert "no synchronous standby" in problem["detail"]
        shown = await ask(http, "GET", sender.url(f"/reports/{UNIT}"), headers=sender.headers)
        assert "no synchronous standby" in shown.problem(503, "journal_unavailable")["detail"]
        assert await primary.ask("SELECT count(*) FROM valgnatt.report") == stored
        assert (await strict.metrics())['valgnatt_journal_available{process="push-0"}'] == 0.0
        assert (await push(http, other, a_report())).status == 200
        assert (await push(http, other, a_report(revision=101))).status == 201
        await pair.follow("b", "a")
        await until(lambda: accepted(102), TIMEOUT_S)
        assert strict.logged_errors() == []


# Shutdown and restart.


async def test_the_gateway_reconnects_after_a_shutdown_a_crash_and_a_kill_of_postgres(server: Server) -> None:
    """Postgres is shut down for 2 s, killed with all its processes, and killed by its postmaster alone."""
    async with night_on(urls_of(server)) as (gateway, night):
        server.shut_down()
        await asyncio.sleep(2.0)
        server.start_again()
        await night.wait_progress()
        server.crash()
        server.start_again()
        await night.wait_progress()
        os.kill(server.pid, signal.SIGKILL)
        server.start_again()
        await night.wait_progress()
        await night.settle()
        assert night.unavailable_answers
        assert gateway.logged_errors() == []


@full_only
async def test_every_request_is_answered_while_postgres_is_suspended(
    server: Server,
) -> None:
    """After SIGSTOP the kernel still accepts connections, but nothing is sent on them for 10 s."""
    async with night_on(urls_of(server)) as (gateway, night):
        with server.suspended():
            await asyncio.sleep(10.0)
            assert night.unavailable_answers
        await night.wait_progress()
        await night.settle()
        assert gateway.logged_errors() == []


# Restore.


async def test_after_a_restore_to_an_earlier_state_readers_start_over(server: Server, tmp_path: Path) -> None:
    """Receipts since the backup are lost, as documented; after the restore all guarantees apply again."""
    async with night_on(urls_of(server), heartbeat_s=2) as (gateway, night):
        await server.back_up(tmp_path / "earlier")
        await night.wait_progress()
        # Units whose reports are lost have none until others are sent.
        night.allow("read 404", "read 404 no_report")
        server.shut_down()
        shutil.rmtree(server.cluster)
        (tmp_path / "earlier").rename(server.cluster)
        server.start_again()
        kept = await server.ask("SELECT accepted FROM valgnatt.head")
        assert kept < night.sequence
        remove_lost_receipts(night, kept)
        await night.until(
            lambda: [each.name for each in night.readers if not snapshots_after_first(each.observed)],
            "a snapshot of the restored record",
        )
        await night.wait_progress()
        night.snapshots_expected = True
        for reader in night.readers:
            assert len(snapshots_after_first(reader.observed)) == 1
            del reader.observed[: snapshots_after_first(reader.observed)[0]]
        for stream in night.streams:
            (again,) = [
                place for place, (_, sequence, __) in enumerate(stream.publications) if sequence == 1
            ][1:]
            del stream.publications[:again]
        await night.settle()
        rebuilt = gateway.logged("the record has a different history")
        assert [line for line in gateway.logged_errors() if line not in rebuilt] == []


def remove_lost_receipts(night: Night, kept: int) -> None:
    """Remove the receipts lost by a restore from the history; only while no new ones are given."""
    for sender in night.senders:
        sender.pushes[:] = [push for push in sender.pushes if (push.answer.sequence or 0) <= kept]
        sender.sequence = min(sender.sequence, kept)
    for reader in (*night.readers, *night.streams):
        reader.sequence = min(reader.sequence, kept)


def snapshots_after_first(observed: Sequence[ObservedBlock]) -> list[int]:
    """Return the indexes of the snapshots that a reader was sent after its first."""
    return [place for place, seen in enumerate(observed) if seen.snapshot and place]


# Full disk.


@contextmanager
def a_small_disk(directory: Path, megabytes: int) -> Iterator[None]:
    """Mount a file system of `megabytes` MB; skip the test if that is not permitted."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system to fill")
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "small", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small file system to fill: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(path: Path) -> None:
    """Fill the disk with a file."""
    with open(path, "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            pass


async def test_a_full_disk_of_postgres_loses_no_receipt(tmp_path: Path) -> None:
    """Appends fail while tables cannot grow, Postgres exits when WAL cannot be written, and both recover."""
    disk = tmp_path / "disk"
    disk.mkdir()
    ballast = disk / "ballast"
    settings = {"min_wal_size": "32MB", "max_wal_size": "64MB"}
    with a_small_disk(disk, 160), a_server(disk, settings=settings) as server:
        async with night_on(urls_of(server)) as (gateway, night):
            fill(ballast)
            await night.wait_unavailable()
            await asyncio.sleep(2.0)
            await night.wait_unavailable()
            assert server.processes(), "Postgres exited before the disk was too full for WAL"
            ballast.unlink()
            await night.wait_progress()
            fill(ballast)
            await asyncio.gather(night.wait_unavailable(), fill_wal(server))
            ballast.unlink()
            await until(partial(is_up, server), TIMEOUT_S)
            await night.wait_progress()
            await night.settle()
            assert gateway.logged_errors() == []


async def fill_wal(server: Server) -> None:
    """Write WAL without changing tables until the disk is full, which makes Postgres terminate all sessions."""
    async with asyncio.timeout(TIMEOUT_S), server.session() as connection:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            while True:
                await connection.execute(
                    "SELECT pg_logical_emit_message(false, 'x', repeat(md5(random()::text), 20000))"
                )
        assert connection.is_closed()


async def is_up(server: Server) -> bool:
    """Return whether a server answers; start it if it has exited, as a service manager would."""
    if server.ended:
        server.start_again()
    try:
        return bool(await server.ask("SELECT true"))
    except (asyncpg.PostgresError, OSError):
        return False


# Migrations.


async def test_a_migration_does_not_interrupt_a_running_gateway_of_an_older_version(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prepared statements keep working when columns are added and functions are replaced."""
    known = migrate_module.migrations()
    number = known[-1][0] + 1
    more = (number, f"{number:04}_more.sql", LATER)
    async with night_on(urls_of(server)) as (gateway, night):
        monkeypatch.setattr(migrate_module, "migrations", lambda: [*known, more])
        assert await migrate(server.url) == [more[1]]
        await night.wait_progress()
        await night.settle()
        assert gateway.logged_errors() == []
        assert night.longest_receipt_gap_s() < LATE_S


LATER = """
ALTER TABLE valgnatt.head ADD COLUMN later text NOT NULL DEFAULT 'later';
ALTER TABLE valgnatt.report ADD COLUMN later integer;
ALTER TABLE valgnatt.token ADD COLUMN later boolean NOT NULL DEFAULT true;
CREATE INDEX report_later ON valgnatt.report (accepted_at);
DO $$
BEGIN
    EXECUTE replace(pg_get_functiondef('valgnatt.append_v4'::regproc), 'BEGIN', 'BEGIN  -- later');
END $$;
"""
"""Changes a later version might make: additional columns and a replaced function."""


# Clock changes.


@full_only
async def test_clock_changes_do_not_set_times_of_the_record_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clocks of Postgres and of the gateway change by hours in both directions; recorded times never decrease."""
    clock = Clock(tmp_path)
    other = tmp_path / "gateway"
    other.mkdir()
    gateways = Clock(other)
    binaries = clock.binaries(tmp_path / "bin")
    with a_server(tmp_path, binaries=binaries) as server, monkeypatch.context() as of_gateway:
        for name, value in gateways.environ.items():
            of_gateway.setenv(name, value)
        async with night_on(urls_of(server)) as (gateway, night):
            of_gateway.undo()
            for seconds in variants((-HOUR_S, HOUR_S, -2 * HOUR_S, 0), -HOUR_S, HOUR_S):
                clock.set(seconds)
                gateways.set(-seconds)
                ahead_s = (
                    await server.ask("SELECT extract(epoch FROM clock_timestamp())::float8") - time.time()
                )
                assert abs(ahead_s - seconds) < 60
                await night.wait_progress()
            history = await night.settle()
            times = [each.published_at.timestamp() if each.published_at else 0.0 for each in history.stored]
            assert times == sorted(times)
            assert times[-1] - times[0] >= HOUR_S - 60
            assert gateway.logged_errors() == []


@full_only
async def test_a_primary_whose_clock_is_set_back_gives_receipts_again_within_seconds(tmp_path: Path) -> None:
    """Its configuration was then loaded in the future, but not since the append began."""
    clock = Clock(tmp_path)
    binaries = clock.binaries(tmp_path / "bin")
    async with (
        a_pair(tmp_path, binaries=binaries) as pair,
        night_on(pair.database, require_standby=True) as (gateway, night),
    ):
        clock.set(-HOUR_S)
        await night.wait_progress()
        await night.settle()
        assert night.longest_receipt_gap_s() < 10.0
        assert gateway.logged_errors() == []
