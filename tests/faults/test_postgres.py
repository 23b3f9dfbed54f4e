"""Postgres is killed, stopped, promoted, restored and filled up while senders push and readers follow; see `night`."""

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

from gateway.journal import migrate as migrate_module
from gateway.journal.administration import IssuedToken
from gateway.journal.migrate import migrate
from gateway.rehearsal.generator import GeneratedElection
from gateway.rehearsal.judge import ObservedBlock
from tests.counts import count
from tests.faults.night import Night, a_night
from tests.faults.servers import PATIENCE_S, Clock, Reached, Server, a_pair, a_server, reached
from tests.running import Gateway, Sender, running
from tests.web.doors import COUNTRY, UNIT, a_registry, a_report, ask, push, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(60)]

LOAD: dict[str, Any] = {"senders": 12, "rate": count(72, full=120)}
LATE_S = 2.0
"""By how much one may be late where nothing is broken; some hundredths are usual."""
HOUR_S = 3600


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A durable server of the test's own."""
    with a_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def a_night_on(database: Reached, **config: object) -> AsyncIterator[tuple[Gateway, Night]]:
    """A gateway on a database, and a night of it."""
    async with running(database, **config) as gateway, a_night(gateway, **LOAD) as night:
        yield gateway, night


def told_unavailable(night: Night) -> int:
    """Return how often senders were told to come back because the journal was away."""
    return sum(count for answer, count in night.seen.answers.items() if "journal_unavailable" in answer)


async def told_once_more(night: Night) -> None:
    """Wait until some sender is told so once more."""
    before = told_unavailable(night)

    async def told() -> bool:
        return told_unavailable(night) > before

    await until(told, PATIENCE_S)


# A standby takes over.


async def test_a_primary_that_is_killed_is_replaced_by_its_standby_and_comes_back_as_one(
    tmp_path: Path,
) -> None:
    """Twice, there and back: no receipt is lost, no reader begins anew, and nobody tells the gateway."""
    async with a_pair(tmp_path) as pair, a_night_on(pair.database) as (gateway, night):
        for old, new in ("ab", "ba"):
            pair.servers[old].die()
            await pair.promote(new)
            await night.goes_on()
            await pair.rejoin(old, new)
            await night.goes_on()
        await night.settle()
        assert gateway.complaints() == []


async def test_a_primary_that_stands_still_is_replaced_and_its_return_misleads_nobody(tmp_path: Path) -> None:
    """It is taken for dead, and is not: when it goes on, it knows nothing of what happened, and has to be stopped.

    Until then it commits nothing, as it waits for the standby that left it.
    """
    async with a_pair(tmp_path) as pair, a_night_on(pair.database) as (gateway, night):
        first = pair.servers["a"]
        with first.standing_still():
            await pair.promote("b")
            await night.goes_on()
        await night.goes_on()
        first.shut_down()
        await night.goes_on()
        await night.settle()
        assert gateway.complaints() == []


async def test_where_a_standby_is_required_receipts_end_with_it_and_come_back_with_it(
    tmp_path: Path, small: GeneratedElection
) -> None:
    """A tool empties the names: 503, which says why, and no receipt. A gateway that requires none goes on as before."""
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

        async def taken(revision: int) -> bool:
            answer = await push(http, sender, a_report(revision=revision))
            # 200: an attempt before was committed, and its receipt withheld
            return answer.status in (200, 201)

        await until(lambda: taken(1), PATIENCE_S)
        await primary.ask("ALTER SYSTEM SET synchronous_standby_names = ''")
        await primary.ask("SELECT pg_reload_conf()")
        revision = 2

        async def refused() -> bool:
            nonlocal revision
            answer = await push(http, sender, a_report(revision=revision))
            revision += answer.status == 201
            return answer.status == 503

        await until(refused, PATIENCE_S)
        accepted = await primary.ask("SELECT count(*) FROM valgnatt.report")
        for each in (a_report(), a_report(revision=100)):
            problem = (await push(http, sender, each)).problem(503, "journal_unavailable")
            assert "no synchronous standby" in problem["detail"]
        shown = await ask(http, "GET", sender.url(f"/reports/{UNIT}"), headers=sender.headers)
        assert "no synchronous standby" in shown.problem(503, "journal_unavailable")["detail"]
        assert await primary.ask("SELECT count(*) FROM valgnatt.report") == accepted
        assert (await strict.metrics())['valgnatt_journal_available{process="push-0"}'] == 0.0
        assert (await push(http, other, a_report())).status == 200
        assert (await push(http, other, a_report(revision=101))).status == 201
        await pair.follow("b", "a")
        await until(lambda: taken(102), PATIENCE_S)
        assert strict.complaints() == []


# Postgres ends, and comes back.


async def test_postgres_that_is_shut_down_killed_and_started_again_is_found_again(server: Server) -> None:
    """Cleanly, by `kill -9` of all of it at once, and of its first process alone; once it stays away for seconds."""
    async with a_night_on(reached(server)) as (gateway, night):
        server.shut_down()
        await asyncio.sleep(2.0)
        server.start_again()
        await night.goes_on()
        server.die()
        server.start_again()
        await night.goes_on()
        os.kill(server.pid, signal.SIGKILL)
        server.start_again()
        await night.goes_on()
        await night.settle()
        assert told_unavailable(night)
        assert gateway.complaints() == []


async def test_postgres_that_stands_still_for_ten_seconds_leaves_nobody_without_an_answer(
    server: Server,
) -> None:
    """SIGSTOP of all its processes: connections are taken by the kernel, and nothing is ever said on them."""
    async with a_night_on(reached(server)) as (gateway, night):
        with server.standing_still():
            await asyncio.sleep(10.0)
            assert told_unavailable(night)
        await night.goes_on()
        await night.settle()
        assert gateway.complaints() == []


# Postgres comes back as it was earlier.


async def test_a_restore_to_an_earlier_point_is_noticed_and_readers_begin_anew(
    server: Server, tmp_path: Path
) -> None:
    """Receipts since the backup are lost, as whoever restores knows; from the restore on all promises hold again."""
    async with a_night_on(reached(server), heartbeat_s=2) as (gateway, night):
        await server.back_up(tmp_path / "earlier")
        await night.goes_on()
        server.shut_down()
        shutil.rmtree(server.cluster)
        (tmp_path / "earlier").rename(server.cluster)
        server.start_again()
        kept = await server.ask("SELECT accepted FROM valgnatt.head")
        assert kept < night.sequence
        forget_what_was_lost(night, kept)
        await night.until(
            lambda: [each.name for each in night.readers if not restarts_of(each.observed)],
            "a snapshot of the restored record",
        )
        await night.goes_on()
        night.may_reset = True
        for reader in night.readers:
            assert len(restarts_of(reader.observed)) == 1
            del reader.observed[: restarts_of(reader.observed)[0]]
        for stream in night.streams:
            (again,) = [place for place, (_, sequence, __) in enumerate(stream.seen) if sequence == 1][1:]
            del stream.seen[:again]
        await night.settle()
        assert [
            line for line in gateway.complaints() if "the record has a different history" not in line
        ] == []


def forget_what_was_lost(night: Night, kept: int) -> None:
    """Leave out of the history the receipts that a restore took back; said while no new ones are given."""
    for sender in night.senders:
        sender.pushes[:] = [push for push in sender.pushes if (push.answer.sequence or 0) <= kept]
        sender.sequence = min(sender.sequence, kept)
    for reader in (*night.readers, *night.streams):
        reader.sequence = min(reader.sequence, kept)


def restarts_of(observed: Sequence[ObservedBlock]) -> list[int]:
    """Return where a reader was sent a snapshot after its first."""
    return [place for place, seen in enumerate(observed) if seen.snapshot and place]


# Postgres has no room left.


@contextmanager
def a_small_disk(directory: Path, megabytes: int) -> Iterator[None]:
    """Mount a disk of so many megabytes; skip the test where that is not allowed."""
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
    """Write until the disk is full."""
    with open(path, "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4096))
        except OSError:
            pass


async def test_a_full_disk_of_postgres_costs_no_receipt_and_is_survived(tmp_path: Path) -> None:
    """First no table can grow, and appends fail; then no log can be written, and Postgres ends. Then there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    ballast = disk / "ballast"
    settings = {"min_wal_size": "32MB", "max_wal_size": "64MB"}
    with a_small_disk(disk, 160), a_server(disk, settings=settings) as server:
        async with a_night_on(reached(server)) as (gateway, night):
            fill(ballast)
            await told_once_more(night)
            await asyncio.sleep(2.0)
            await told_once_more(night)
            assert server.processes(), "Postgres ended before its log was full"
            ballast.unlink()
            await night.goes_on()
            fill(ballast)
            await asyncio.gather(told_once_more(night), until_its_log_is_full(server))
            ballast.unlink()
            await until(partial(is_up, server), PATIENCE_S)
            await night.goes_on()
            await night.settle()
            assert gateway.complaints() == []


async def until_its_log_is_full(server: Server) -> None:
    """Write what no table needs, until there is no room for the log: then Postgres ends all sessions."""
    async with asyncio.timeout(PATIENCE_S), server.session() as connection:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            while True:
                await connection.execute(
                    "SELECT pg_logical_emit_message(false, 'x', repeat(md5(random()::text), 20000))"
                )
        assert connection.is_closed()


async def is_up(server: Server) -> bool:
    """Whether a server answers; start it, as whoever keeps it running does, if it has ended."""
    if server.ended:
        server.start_again()
    try:
        return bool(await server.ask("SELECT true"))
    except (asyncpg.PostgresError, OSError):
        return False


# Postgres is changed.


async def test_a_migration_that_arrives_while_an_older_process_serves_stops_nobody(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns are added and functions replaced beneath the prepared statements of those who run."""
    known = migrate_module.migrations()
    number = known[-1][0] + 1
    more = (number, f"{number:04}_more.sql", LATER)
    async with a_night_on(reached(server)) as (gateway, night):
        monkeypatch.setattr(migrate_module, "migrations", lambda: [*known, more])
        assert await migrate(server.url) == [more[1]]
        await night.goes_on()
        await night.settle()
        assert gateway.complaints() == []
        assert night.without_receipts_s() < LATE_S


LATER = """
ALTER TABLE valgnatt.head ADD COLUMN later text NOT NULL DEFAULT 'later';
ALTER TABLE valgnatt.report ADD COLUMN later integer;
ALTER TABLE valgnatt.token ADD COLUMN later boolean NOT NULL DEFAULT true;
CREATE INDEX report_later ON valgnatt.report (accepted_at);
DO $$
BEGIN
    EXECUTE replace(pg_get_functiondef('valgnatt.append_v2'::regproc), 'BEGIN', 'BEGIN  -- later');
END $$;
"""
"""What a later version might bring: more columns and another function of the same name."""


# Clocks that are set.


async def test_clocks_that_are_set_do_not_set_the_record_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of Postgres and that of the gateway, by hours, ahead and back: times of the record never fall."""
    clock = Clock(tmp_path)
    other = tmp_path / "gateway"
    other.mkdir()
    gateways = Clock(other)
    binaries = clock.binaries(tmp_path / "bin")
    with a_server(tmp_path, binaries=binaries) as server, monkeypatch.context() as of_gateway:
        for name, value in gateways.environ.items():
            of_gateway.setenv(name, value)
        async with a_night_on(reached(server)) as (gateway, night):
            of_gateway.undo()
            for seconds in (-HOUR_S, HOUR_S, -2 * HOUR_S, 0):
                clock.set(seconds)
                gateways.set(-seconds)
                ahead_s = (
                    await server.ask("SELECT extract(epoch FROM clock_timestamp())::float8") - time.time()
                )
                assert abs(ahead_s - seconds) < 60
                await night.goes_on()
            history = await night.settle()
            times = [stored.published_at or 0.0 for stored in history.stored]
            assert times == sorted(times)
            assert times[-1] - times[0] >= HOUR_S - 60
            assert gateway.complaints() == []
