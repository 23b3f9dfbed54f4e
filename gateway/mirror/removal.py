"""Removes the immutable files that no `live.json` names any longer, some time after it did."""

import asyncio
from collections.abc import Callable

from gateway.mirror.ledger import RETIRED_MAX, Ledger
from gateway.mirror.progress import Progress
from gateway.mirror.targets import Target, TargetUnavailable
from gateway.wire.mirror import election_path

REMOVAL_S = 30.0
"""Seconds between two removals."""


class Removal:
    """Removes old files of one history, and those of the ones before it. What is old, the ledger knows."""

    def __init__(
        self,
        election: str,
        history: str,
        ledger: Ledger,
        target: Target,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self._election = election
        self._history = history
        self._ledger = ledger
        self._target = target
        self._progress = progress
        self._clock = clock

    async def run(self) -> None:
        """Remove old files until cancelled; what could not be removed is tried again later."""
        while True:
            await asyncio.sleep(REMOVAL_S)
            paths = self._ledger.take_removable(self._clock())
            try:
                await self._target.delete(paths)
            except TargetUnavailable as error:
                self._progress.note("removal", str(error))
                self._ledger.retire(paths, self._clock())
            else:
                self._progress.note("removal", None)

    async def retire_unnamed(self) -> None:
        """Have the files removed that earlier processes left behind, and those of earlier histories."""
        named = self._ledger.named()
        ranges = f"{election_path(self._election)}/publications/"
        found: list[str] = []
        for prefix in (f"{election_path(self._election)}/live/", ranges):
            async for path in self._target.list(prefix):
                own = path.startswith(f"{ranges}{self._history}/") or path == f"{ranges}rest.ndjson"
                if path not in named and not own and len(found) < RETIRED_MAX:
                    found.append(path)
        self._ledger.retire(found, self._clock())
