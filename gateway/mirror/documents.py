"""The files of a mirror that are rewritten: areas, tables, ranges of the record, and the signed log."""

import asyncio
from collections.abc import Callable

from gateway.client.http_json import Door
from gateway.election.registry import Registry
from gateway.mirror.state import View
from gateway.mirror.targets import Target
from gateway.transparency.note import VerifierKey


class Documents:
    """Writes the files of one election that are rewritten, from the newest view, as a task beside the steps.

    Invariants: every such file shows at least what was public as of `documents`; none goes back.
    """

    def __init__(
        self,
        door: Door,
        election: str,
        registry: Registry,
        history: str,
        target: Target,
        every_s: int,
        key: VerifierKey | None,
        documents: int,
    ) -> None:
        """Continue a target whose rewritten files all show at least the sequence `documents`; 0 for a new history.

        With `key`, no checkpoint is written that does not verify with it.
        """
        self.documents = documents
        """All files that are rewritten show at least what was public as of this sequence, as `live.json` says it."""
        self.ranges = 0
        """How many complete ranges of the record were written, from the first one without a gap."""
        self._parts = (door, election, registry, history, target, every_s, key)

    async def run(self, view: Callable[[], View], changed: asyncio.Condition) -> None:
        """Write what is due from the newest view, until cancelled. Raises TargetUnavailable.

        `view` returns the state that the newest `live.json` names, so that no file is ahead of it. `changed` is
        notified with each new one.
        """
        while True:
            async with changed:
                await changed.wait()
            self.documents = view().sequence
