"""What `valgnatt doctor` says of servers that Patroni manages."""

import asyncio
from pathlib import Path

import pytest

from gateway.doctor.findings import Finding
from tests.conftest import Database
from tests.counts import full_only
from tests.patroni.cluster import Cluster, a_cluster
from tests.test_doctor import doctor
from tests.web.doors import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]


async def findings(cluster: Cluster, **options: object) -> list[Finding]:
    """Return the findings about Postgres that say what to do, and those about its hosts."""
    urls = Database(cluster.database.url, cluster.database.feed_url)
    found = await asyncio.to_thread(doctor, urls, None, role="push", **options)
    checks = ("standby", "standby names", "patroni", "pg_rewind", "hosts", "writable", "clock")
    return [each for each in found.findings if each.check in checks and (each.do or each.check == "hosts")]


@full_only
async def test_the_doctor_recognises_patroni_and_what_it_may_change(tmp_path: Path) -> None:
    """With one synchronous standby of two, with a quorum, and with a member that does not answer."""
    async with a_cluster(tmp_path) as cluster:
        (hosts,) = await findings(cluster, require_standby=True)
        assert (hosts.level, hosts.seen.count("(primary)"), hosts.seen.count("(standby)")) == ("ok", 1, 2)
        standby, _ = await findings(cluster)
        assert (standby.check, standby.level) == ("patroni", "warning")
        assert "require_standby is off" in standby.seen
        await cluster.change(synchronous_mode="quorum")
        leader = await cluster.wait_led()

        async def by_quorum() -> bool:
            return str(await leader.ask("SHOW synchronous_standby_names")).startswith("ANY 1 (")

        await until(by_quorum, cluster.timeouts.failover_s)
        quorum, _ = await findings(cluster, require_standby=True)
        assert (quorum.check, quorum.level) == ("patroni", "warning")
        assert "with a quorum" in quorum.seen
        next(each for each in cluster.members.values() if each is not leader).crash()
        lost = [each for each in await findings(cluster, require_standby=True) if each.check == "hosts"]
        assert [each.level for each in lost] == ["warning"]
        assert "does not answer" in lost[0].seen
