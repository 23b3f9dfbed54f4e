"""A former leader runs on, and push processes stay connected to it: it confirms nothing that its successor lacks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from gateway.rehearsal.generator import GeneratedElection
from tests.counts import full_only
from tests.patroni.cluster import Member, a_cluster
from tests.patroni.machines import patroni_of, suspended
from tests.patroni.nights import a_night_on_patroni
from tests.running import running
from tests.web.doors import COUNTRY, a_registry, a_report, push, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

IN_BOTH_MODES = pytest.mark.parametrize("mode", ["synchronous", "strict"])


@full_only
@IN_BOTH_MODES
async def test_a_suspended_leader_that_continues_after_a_failover_gives_no_receipt(
    tmp_path: Path, mode: str
) -> None:
    """Its whole machine stands still, with open connections of the gateway, and then continues."""
    async with a_night_on_patroni(tmp_path, mode=mode) as (cluster, _, night):
        old = await cluster.wait_led()
        with suspended(old.processes()):
            await cluster.wait_led(other_than=old)
            await night.wait_progress(timeout_s=cluster.timeouts.failover_s)
        await cluster.wait_complete()
        await night.wait_progress(timeout_s=cluster.timeouts.failover_s)


@full_only
@IN_BOTH_MODES
async def test_a_leader_whose_patroni_hangs_cannot_confirm_commits_after_a_failover(
    tmp_path: Path, mode: str
) -> None:
    """Its Postgres accepts writes of the gateway all the time, beside the new primary: there is no watchdog here."""
    async with a_night_on_patroni(tmp_path, mode=mode) as (cluster, _, night):
        old = await cluster.wait_led()
        with suspended(patroni_of(old)):
            await cluster.wait_led(other_than=old)
            assert not await old.ask("SELECT pg_is_in_recovery()")
            await night.wait_progress(timeout_s=cluster.timeouts.failover_s)
            assert not await old.ask("SELECT pg_is_in_recovery()")
        await cluster.wait_complete()
        await night.wait_progress(timeout_s=cluster.timeouts.failover_s)


# A leader that Patroni has lost, beside a standby that follows it still.


@dataclass
class Split:
    """What happened while two primaries ran: the new one, and the revisions that got a receipt from the old one."""

    new: Member
    receipts: list[int]


@asynccontextmanager
async def a_split(directory: Path, small: GeneratedElection, mode: str) -> AsyncIterator[Split]:
    """Suspend Patroni on the leader, cut a standby off from etcd, and push through the leader once there is another.

    The standby goes on following the leader. If commits wait for one standby, that is the other one.
    """
    async with (
        a_cluster(directory, mode=mode) as cluster,
        running(cluster.database, role="push", require_standby=True) as gateway,
        aiohttp.ClientSession() as http,
    ):
        sender = await gateway.issue(await gateway.load(a_registry(small)), [COUNTRY])

        async def accepted(revision: int) -> bool:
            return (await push(http, sender, a_report(revision=revision))).status == 201

        async def first_accepted() -> bool:
            return (await push(http, sender, a_report(revision=1))).status in (200, 201)

        await until(first_accepted, cluster.timeouts.failover_s)
        old = await cluster.wait_led()
        others = [each for each in cluster.members.values() if each is not old]
        candidates = await cluster.synchronous_standbys()
        cut_off = next(each for each in others if mode == "quorum" or each not in candidates)
        with suspended(patroni_of(old)), cut_off.etcd.down():
            new = await cluster.wait_led(other_than=old)
            assert await old.ask("SELECT NOT pg_is_in_recovery()")
            yield Split(new, [revision for revision in range(2, 5) if await accepted(revision)])


@full_only
@IN_BOTH_MODES
async def test_a_leader_that_patroni_has_lost_gives_no_receipt(
    tmp_path: Path, small: GeneratedElection, mode: str
) -> None:
    """Its commits wait for the one standby that was promoted; the other one's confirmation does not count."""
    async with a_split(tmp_path, small, mode) as split:
        assert split.receipts == []


@full_only
async def test_with_a_quorum_receipts_of_a_leader_that_patroni_has_lost_are_lost(
    tmp_path: Path, small: GeneratedElection
) -> None:
    """That is why the documentation requires a watchdog for it: the standby that is left confirms what others lack."""
    async with a_split(tmp_path, small, "quorum") as split:
        assert split.receipts == [2, 3, 4]
        assert await split.new.ask("SELECT max(revision) FROM valgnatt.report") == 1
