"""Patroni elects another leader under load: no receipt is lost, none is given twice, and readers continue.

With `synchronous_mode` alone, Patroni empties `synchronous_standby_names` while no standby is there; with
`synchronous_mode_strict` it never does, and commits wait.
"""

from pathlib import Path

import pytest

from tests.counts import variants
from tests.patroni.cluster import MODES
from tests.patroni.nights import a_night_on_patroni

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

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
