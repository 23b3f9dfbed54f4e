"""What tests do to members besides crashing them, and how they wait until Patroni has decided not to act."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import aiohttp

from tests.patroni.cluster import Cluster, Member
from tests.patroni.machine import descendants
from tests.web.doors import until

LOOPS = 4
"""How often Patroni has to look at the cluster and do nothing until a test relies on that."""


@contextmanager
def suspended(pids: Sequence[int]) -> Iterator[None]:
    """Suspend processes (SIGSTOP) until the block ends."""
    _send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(pids, signal.SIGCONT)


def _send(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def patroni_of(member: Member) -> list[int]:
    """Return the processes of Patroni alone, without those of Postgres."""
    postgres = {member.postmaster, *descendants(member.postmaster)}
    return [pid for pid in member.processes() if pid not in postgres]


async def wait_not_led(cluster: Cluster, members: Sequence[Member]) -> None:
    """Wait until nobody has the leader's key, and each of `members` has left it alone LOOPS times since then."""

    async def vacant() -> bool:
        return await cluster.get("leader") is None

    await until(vacant, cluster.timeouts.failover_s)
    before = {each.name: _decisions(each) for each in members}

    async def left_alone() -> bool:
        assert await vacant(), f"{await cluster.get('leader')} leads"
        return all(_decisions(each) >= before[each.name] + LOOPS for each in members)

    await until(left_alone, cluster.timeouts.failover_s)


def _decisions(member: Member) -> int:
    """Return how often Patroni has logged what it does, which it does in each loop."""
    return member.log.read_text(errors="replace").count(f" INFO {member.name}: ")


async def wait_paused(cluster: Cluster, *, paused: bool = True) -> None:
    """Wait until every running member has noticed that Patroni is paused, or resumed."""

    async def noticed() -> bool:
        states = [await _paused(each) for each in cluster.members.values() if each.running]
        return all(state is paused for state in states)

    await until(noticed, cluster.timeouts.failover_s)


async def _paused(member: Member) -> bool:
    """Return whether a member says that it is paused (Patroni's REST interface, `GET /patroni`)."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as http,
        http.get(f"http://127.0.0.1:{member.rest_port}/patroni") as answer,
    ):
        document = await answer.json()
    return bool(document.get("pause", False))
