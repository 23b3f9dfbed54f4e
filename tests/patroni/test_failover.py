"""Patroni elects another leader under load: no receipt is lost, none is given twice, and readers continue.

With `synchronous_mode` alone, Patroni empties `synchronous_standby_names` while no standby is there; with
`synchronous_mode_strict` it never does, and commits wait.
"""

from pathlib import Path

import asyncpg
import pytest

from tests.counts import full_only, variants
from tests.patroni.cluster import MODES, SHORTEST_ACCEPTED, Member
from tests.patroni.nights import a_night_on_patroni
from tests.web.doors import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

NAMES_WITHOUT_STANDBY = {"synchronous": "", "strict": "*", "quorum": ""}
"""What Patroni sets `synchronous_standby_names` to while no standby is there."""
IN_ALL_MODES = pytest.mark.parametrize("mode", variants(MODES, "synchronous"))


@IN_ALL_MODES
async def test_a_lost_leader_is_replaced_by_a_synchronous_standby(tmp_path: Path, mode: str) -> None:
    """The machine of the leader fails, with Patroni and Postgres, and does not come back."""
    async with a_night_on_patroni(tmp_path, mode=mode) as (cluster, _, night):
        old = await cluster.wait_led()
        candidates = await cluster.synchronous_standbys()
        old.crash()
        assert await cluster.wait_led(other_than=old) in candidates
        await night.wait_progress(timeout_s=cluster.timeouts.failover_s)


@full_only
async def test_a_lost_leader_is_replaced_with_the_shortest_timeouts_that_patroni_accepts(
    tmp_path: Path,
) -> None:
    """The program is Patroni's own, without the change that other tests make for shorter timeouts."""
    async with a_night_on_patroni(tmp_path, timeouts=SHORTEST_ACCEPTED) as (cluster, _, night):
        old = await cluster.wait_led()
        old.crash()
        await cluster.wait_led(other_than=old)
        await night.wait_progress(timeout_s=cluster.timeouts.failover_s)


@full_only
@IN_ALL_MODES
async def test_a_leader_whose_postgres_alone_is_killed_starts_it_again(tmp_path: Path, mode: str) -> None:
    """Patroni keeps the leader's key meanwhile, so nobody else is promoted."""
    async with a_night_on_patroni(tmp_path, mode=mode) as (cluster, _, night):
        leader = await cluster.wait_led()
        before = leader.postmaster
        leader.kill_postgres()
        await night.wait_progress(timeout_s=cluster.timeouts.failover_s)
        assert await cluster.wait_led() is leader
        assert leader.postmaster != before


@full_only
@pytest.mark.parametrize("fault", ["refused", "silent"])
@pytest.mark.parametrize("mode", MODES)
async def test_a_leader_that_etcd_does_not_hear_gives_up_before_another_leads(
    tmp_path: Path, mode: str, fault: str
) -> None:
    """Patroni cannot reach etcd, while the gateway and the standbys still reach Postgres on the same machine."""
    async with a_night_on_patroni(tmp_path, mode=mode) as (cluster, _, night):
        old = await cluster.wait_led()
        with old.etcd.down() if fault == "refused" else old.etcd.silent():
            await cluster.wait_led(other_than=old)
            assert await old.role() != "primary"
            assert not await is_writable(old)
            await night.wait_progress(timeout_s=cluster.timeouts.failover_s)
        await cluster.wait_complete()
        await night.wait_progress()


@full_only
@IN_ALL_MODES
async def test_a_leader_without_patroni_commits_nothing_once_another_leads(tmp_path: Path, mode: str) -> None:
    """Patroni is killed, and its Postgres stays a primary that the gateway reaches: there are two primaries.

    The commits of the old one wait for standbys that now follow the new one, so they get no receipts. Readers leave it,
    as its record no longer grows.
    """
    config = {"push_workers": 2}
    async with a_night_on_patroni(tmp_path, mode=mode, config=config) as (cluster, gateway, night):
        old = await cluster.wait_led()
        old.kill_patroni()
        await cluster.wait_led(other_than=old)
        assert await is_writable(old)
        await night.wait_progress(timeout_s=cluster.timeouts.failover_s)
        assert await is_writable(old)
        assert gateway.logged("the record of another host is longer")
        old.start_program_again()
        await cluster.wait_complete()
        await night.wait_progress()


async def is_writable(member: Member) -> bool:
    """Return whether the Postgres of a member takes itself for the primary."""
    try:
        return not await member.ask("SELECT pg_is_in_recovery()")
    except (asyncpg.PostgresError, OSError):
        return False


@full_only
@IN_ALL_MODES
async def test_another_synchronous_standby_takes_the_place_of_a_lost_one(tmp_path: Path, mode: str) -> None:
    """Then the last standby is lost too, and no receipt is given until one is back."""
    async with a_night_on_patroni(tmp_path, mode=mode) as (cluster, _, night):
        leader = await cluster.wait_led()
        first = (await cluster.synchronous_standbys())[0]
        first.crash()
        (second,) = await cluster.wait_synchronous(without=[first])
        await night.wait_progress(timeout_s=cluster.timeouts.failover_s)
        second.crash()

        async def alone() -> bool:
            return await leader.ask("SHOW synchronous_standby_names") == NAMES_WITHOUT_STANDBY[mode]

        await until(alone, cluster.timeouts.failover_s)
        receipts = night.receipts
        await night.wait_unavailable()
        await night.wait_unavailable()
        assert night.receipts == receipts
        first.start()
        await cluster.wait_synchronous(without=[second])
        await night.wait_progress(timeout_s=cluster.timeouts.failover_s)
        second.start()
        await cluster.wait_complete()
        await night.wait_progress()
