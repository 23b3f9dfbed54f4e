"""Failovers that follow each other, a paused Patroni, rewound members and clocks that differ, all under load."""

import time
from pathlib import Path

import asyncpg
import pytest

from tests.counts import full_only
from tests.faults.night import Night, a_night
from tests.faults.servers import Clock
from tests.patroni.cluster import NAMES, Cluster, Member, a_cluster
from tests.patroni.machines import suspended, wait_not_led, wait_paused
from tests.patroni.nights import LOAD, a_night_on_patroni
from tests.running import running
from tests.web.doors import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

IN_BOTH_MODES = pytest.mark.parametrize("mode", ["synchronous", "strict"])
HOUR_S = 3600


async def progress(cluster: Cluster, night: Night) -> None:
    """Wait until every sender has a new receipt, and every reader its publication."""
    await night.wait_progress(timeout_s=cluster.timeouts.failover_s)


# Two failovers.


@full_only
@IN_BOTH_MODES
async def test_two_leaders_are_lost_one_after_the_other(tmp_path: Path, mode: str) -> None:
    """The second as soon as commits wait for a standby again, whichever that is."""
    async with a_night_on_patroni(tmp_path, mode=mode) as (cluster, _, night):
        first = await cluster.wait_led()
        first.crash()
        second = await cluster.wait_led(other_than=first)
        first.start()
        candidates = await cluster.wait_synchronous()
        second.crash()
        third = await cluster.wait_led(other_than=second)
        assert third in candidates
        second.start()
        await progress(cluster, night)
        await cluster.wait_complete()


@full_only
@IN_BOTH_MODES
async def test_a_leader_that_is_lost_before_it_has_a_standby_is_awaited(tmp_path: Path, mode: str) -> None:
    """Nobody else may be promoted: only it has what was confirmed by the leader before it."""
    async with a_night_on_patroni(tmp_path, mode=mode) as (cluster, _, night):
        first = await cluster.wait_led()
        (other,) = set(cluster.members.values()) - {first, *await cluster.synchronous_standbys()}
        other.crash()  # so that nobody can become the standby of the second leader
        first.crash()
        second = await cluster.wait_led(other_than=first)
        second.crash()
        for each in (first, other):
            each.start()
        await wait_not_led(cluster, [first, other])
        second.start()
        assert await cluster.wait_led() is second
        await progress(cluster, night)


# Pause.


@full_only
@IN_BOTH_MODES
async def test_a_leader_lost_while_patroni_is_paused_is_replaced_when_it_resumes(
    tmp_path: Path, mode: str
) -> None:
    """There are no receipts meanwhile."""
    async with a_night_on_patroni(tmp_path, mode=mode) as (cluster, _, night):
        old = await cluster.wait_led()
        candidates = await cluster.synchronous_standbys()
        await cluster.change(pause=True)
        await wait_paused(cluster)
        old.crash()
        others = [each for each in cluster.members.values() if each is not old]
        await wait_not_led(cluster, others)
        given = night.receipts
        await wait_not_led(cluster, others)
        assert night.receipts == given
        await cluster.change(pause=False)
        assert await cluster.wait_led(other_than=old) in candidates
        await progress(cluster, night)


# pg_rewind.


async def write_what_no_standby_gets(cluster: Cluster, leader: Member) -> None:
    """Commit on a leader whose standbys receive nothing more, as a leader does that is cut off; crash it."""
    others = [pid for each in cluster.members.values() if each is not leader for pid in each.processes()]
    with suspended(others):
        connection = await asyncpg.connect(leader.owner_url, timeout=10.0)
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")

        async def alone() -> bool:
            return bool(await connection.fetchval("SELECT count(*) = 0 FROM pg_stat_replication"))

        await until(alone, cluster.timeouts.failover_s)
        await connection.execute("SET synchronous_commit = local; CREATE TABLE lost_by_failover ()")
        connection.terminate()
        leader.crash()


@full_only
@IN_BOTH_MODES
async def test_a_member_that_was_rewound_can_lead_again(tmp_path: Path, mode: str) -> None:
    """It had commits that no standby has, without a receipt; they are gone, and everything else is there."""
    async with a_night_on_patroni(tmp_path, mode=mode) as (cluster, _, night):
        old = await cluster.wait_led()
        await write_what_no_standby_gets(cluster, old)
        new = await cluster.wait_led(other_than=old)
        old.start()
        await cluster.wait_complete()
        assert "running pg_rewind" in old.log.read_text()
        assert await old.ask("SELECT to_regclass('lost_by_failover') IS NULL")
        (third,) = set(cluster.members.values()) - {old, new}
        third.crash()
        assert await cluster.wait_synchronous(without=[third]) == [old]
        new.crash()
        assert await cluster.wait_led(other_than=new) is old
        third.start()
        await progress(cluster, night)
        new.start()
        await cluster.wait_complete()


# Clocks.


def clocks(directory: Path) -> tuple[dict[str, Clock], dict[str, Path]]:
    """Return a clock of Postgres for each member, and the binaries that use it."""
    found, binaries = {}, {}
    directory.chmod(0o755)
    for name in NAMES:
        place = directory / f"clock-{name}"
        place.mkdir()
        found[name] = Clock(place)
        binaries[name] = found[name].binaries(place / "bin")
    return found, binaries


@full_only
@IN_BOTH_MODES
@pytest.mark.parametrize("offset_s", [HOUR_S, -HOUR_S])
async def test_a_new_leader_whose_clock_is_an_hour_off_continues_the_record(
    tmp_path: Path, mode: str, offset_s: int
) -> None:
    """Times in the record do not go back, neither at the failover nor at the next one, to a clock that is right."""
    by_name, binaries = clocks(tmp_path)
    async with a_night_on_patroni(tmp_path, mode=mode, binaries=binaries) as (cluster, _, night):
        first = await cluster.wait_led()
        (second, *_) = await cluster.synchronous_standbys()
        by_name[second.name].set(offset_s)
        first.crash()
        assert await cluster.wait_led(other_than=first) is second
        shown = float(await second.ask("SELECT extract(epoch FROM clock_timestamp())"))
        assert shown - time.time() == pytest.approx(offset_s, abs=60.0)
        first.start()
        await progress(cluster, night)
        candidates = await cluster.wait_synchronous()
        second.crash()
        assert await cluster.wait_led(other_than=second) in candidates
        by_name[second.name].set(0)  # Patroni compares the start of Postgres with the clock of the machine
        second.start()
        await progress(cluster, night)
        times = [
            each.published_at
            for each in sorted((await night.settle()).stored, key=lambda each: each.sequence)
        ]
        assert times == sorted(filter(None, times))


@full_only
async def test_a_gateway_whose_clock_is_an_hour_ahead_follows_a_failover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the database counts."""
    clock = Clock(tmp_path)
    clock.set(HOUR_S)
    async with a_cluster(tmp_path) as cluster:
        for name, value in clock.environ.items():
            monkeypatch.setenv(name, value)
        async with (
            running(cluster.database, usual_start=True, require_standby=True) as gateway,
            a_night(gateway, **LOAD) as night,
        ):
            old = await cluster.wait_led()
            old.crash()
            await cluster.wait_led(other_than=old)
            await progress(cluster, night)
