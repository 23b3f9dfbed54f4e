"""What a push process reads and writes for operators and metrics, on a connection for which no sender waits.

The state of Postgres, embargoed and held reports, the boards, counts of refusals, and how long reports wait. Nothing of
it decides about a report, and none of its failures ends the process.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from random import Random

from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock
from gateway.journal.board import BoardReader
from gateway.journal.connection_pool import Pool
from gateway.journal.database_monitor import DatabaseMonitor
from gateway.journal.elections import ElectionVersion
from gateway.journal.refusals import Refusals
from gateway.journal.waiting import WaitingReports
from gateway.telemetry.metrics import PushMetrics
from gateway.wire.board import Waiting


class PushMonitoring:
    """Monitors one push process and its database, on the connections of `pool`."""

    def __init__(
        self,
        pool: Pool,
        metrics: PushMetrics,
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._monitor = DatabaseMonitor(pool, metrics.database, embargoed=True, clock=clock)
        self._waiting = WaitingReports(chance=chance)
        self.boards = BoardReader(pool, self._waiting.process, clock=clock)

    async def run(
        self,
        refusals: Refusals,
        waiting: Callable[[], Mapping[int, Waiting]],
        elections: Callable[[], Sequence[ElectionVersion]],
        silent_after_s: float,
    ) -> None:
        """Read and write at intervals until cancelled; `waiting` returns the waiting reports by election."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._monitor.run(), name="watch")
            parts.create_task(refusals.run(self._pool), name="refusals")
            parts.create_task(self._waiting.run(self._pool, waiting), name="waiting")
            parts.create_task(self.boards.watch(elections, silent_after_s), name="silence")

    async def write_last(self, refusals: Refusals) -> None:
        """Write what would be lost with this process. Raises JournalUnavailable."""
        await refusals.write(self._pool)

    def refresh_gauges(self, released: Collection[str], elections: Iterable[ElectionVersion]) -> None:
        """Set the gauges from what was read last; `released` are the elections that are known to be released."""
        self._set_embargoed(released)
        self._set_silent(elections)
        self._metrics.holds.elections = self._monitor.holds.holds(self._monitor.now())

    def _set_embargoed(self, released: Collection[str]) -> None:
        """Set the gauges of embargoed reports, and of those whose embargo has ended without a release."""
        now, embargoed = self._monitor.now(), self._monitor.embargoed
        unreleased = {election: each for election, each in embargoed.items() if election not in released}
        hidden = {election: each for election, each in unreleased.items() if now < each.publish_from}
        self._metrics.embargoed.set({election: each.accepted for election, each in hidden.items()})
        self._metrics.embargoed_oldest.set(
            {election: each.embargoed_s(now) for election, each in hidden.items()}
        )
        self._metrics.unpublished_oldest.set(
            {election: each.overdue_s(now) for election, each in unreleased.items()}
        )

    def _set_silent(self, elections: Iterable[ElectionVersion]) -> None:
        """Set the gauge of silent municipalities; 0 for open elections in which nobody is expected to report yet."""
        silent = self.boards.silent
        self._metrics.silent.set({each.id: silent.get(each.id, 0) for each in elections if not each.closed})
