"""Removes the immutable files that no `live.json` names any longer, some time after it did, and what was replaced."""

import asyncio
from collections.abc import Callable

from gateway.election.registry import Registry
from gateway.mirror.area_files import SUFFIXES, area_path
from gateway.mirror.ledger import RETIRED_MAX, Ledger
from gateway.mirror.progress import Progress
from gateway.mirror.target import Target, TargetUnavailable
from gateway.wire.mirror import election_path

REMOVAL_S = 30.0
"""Seconds between two removals."""


class Removal:
    """Removes old files of one history, and those of the ones before it. What is old, the ledger knows."""

    def __init__(
        self,
        registry: Registry,
        history: str,
        ledger: Ledger,
        target: Target,
        progress: Progress,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._election = registry.id
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

    async def remove_absent(self) -> None:
        """Remove documents that the gateway does not have: of areas and seats of a registry that was replaced."""
        own = {
            area_path(self._election, area, suffix) for area in self._registry.by_id for suffix in SUFFIXES
        }
        directory = election_path(self._election)
        found = [path async for path in self._target.list(f"{directory}/areas/") if path not in own]
        if self._registry.apportionment is None:
            found += [f"{directory}/seats.{suffix}" for suffix in SUFFIXES]
        await self._target.delete(found)
