"""The files of a mirror that are rewritten: areas, tables, ranges of the record, and the signed log.

Each kind has a pace of its own, so that a night costs few requests to an object store, and a task of its own, so that a
document which the feed door does not give delays no other. Nothing of the live path waits for any of them.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from gateway.backoff import Backoff
from gateway.client.tasks import run_until_one_ends
from gateway.election.registry import Registry
from gateway.errors import GatewayError, text_of
from gateway.mirror.area_files import AreaFiles
from gateway.mirror.door import FeedDoor
from gateway.mirror.door_files import CorrectionFiles, HoldFile, SeatFiles, TransferFile
from gateway.mirror.election_files import ElectionFiles, ElectionList
from gateway.mirror.log_files import LogFiles
from gateway.mirror.parts import Part, Shown
from gateway.mirror.range_files import RangeFiles
from gateway.mirror.state import View
from gateway.mirror.table_files import ResultTable
from gateway.mirror.target import Target, TargetInUse
from gateway.transparency.note import VerifierKey
from gateway.verification.failures import NotThere

log = structlog.get_logger()

NOT_FOUND = "not_found"
"""The code of a door that does not have a path."""
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 60.0


class Paces(NamedTuple):
    """The fewest seconds between two passes over each kind of file.

    Most files are those of areas, and how many of them a night writes depends little on their pace.
    """

    areas: float = 10.0
    tables: float = 30.0
    """CSV of areas."""
    results: float = 10.0
    seats: float = 30.0
    elections: float = 10.0
    """How often the feed door is asked; see `election_files.py` for how often files are written."""
    holds: float = 10.0
    corrections: float = 30.0
    transfers: float = 30.0
    publications: float = 30.0
    log: float = 30.0


PACES = Paces()


class Documents:
    """Writes the files of one election that are rewritten, from the newest view, as tasks beside the steps.

    Invariants: every such file shows at least what was public as of `documents`; none goes back, and none is ahead of
    `live.json`. The log is not counted: its checkpoint says what it covers.
    """

    def __init__(
        self,
        door: FeedDoor,
        election: str,
        registry: Registry,
        history: str,
        target: Target,
        every_s: int,
        keys: Sequence[VerifierKey],
        documents: int,
        *,
        elections: ElectionList | None = None,
        paces: Paces | None = None,
    ) -> None:
        """Continue a target whose rewritten files all show at least the sequence `documents`; 0 for a new history.

        With `keys`, no checkpoint is written that none of them has signed. `elections` is the list of several elections
        in one target; without it, this election is the only one.
        """
        paces = paces or PACES
        elections = elections or ElectionList([election], target, every_s)
        of_door = (door, election, target, every_s)
        self._election = election
        self._ranges = RangeFiles(door, election, history, target, every_s, paces.publications, documents)
        self._entry = ElectionFiles(elections, *of_door, paces.elections, documents)
        self._holds = HoldFile(*of_door, paces.holds, documents)
        self._parts: list[Part] = [
            self._entry,
            AreaFiles(registry, target, "json", every_s, paces.areas, documents),
            AreaFiles(registry, target, "csv", every_s, paces.tables, documents),
            ResultTable(registry, target, every_s, paces.results, documents),
            CorrectionFiles(*of_door, paces.corrections, documents),
            TransferFile(*of_door, paces.transfers, documents),
            self._holds,
            self._ranges,
            LogFiles(*of_door, paces.log, documents, keys, self._ranges),
        ]
        if registry.apportionment is not None:
            self._parts.append(SeatFiles(*of_door, paces.seats, documents))
        self.failures: dict[str, str] = {}
        """Why the last attempt at a kind of file failed, by its name; empty if all succeeded."""

    @property
    def documents(self) -> int:
        """All files that are rewritten show at least what was public as of this sequence, as `live.json` says it."""
        return min(part.shown for part in self._parts)

    @property
    def ranges(self) -> int:
        """How many complete ranges of the record were written, from the first one without a gap."""
        return self._ranges.ranges

    def closed_at(self, view: View) -> datetime | None:
        """Return when the election was closed, if nothing can follow a view, and all files show it; None otherwise."""
        closing = self._entry.closing
        if closing is None or (closing.sequence, closing.chain) != (view.sequence, view.chain):
            return None
        is_complete = self.documents >= view.sequence and self._holds.is_settled(view.holds)
        return closing.closed_at if is_complete else None

    async def run(self, view: Callable[[], View], changed: asyncio.Condition) -> None:
        """Write what is due from the newest view, until cancelled. Raises TargetInUse.

        `view` returns the state that the newest `live.json` names, so that no file is ahead of it. `changed` is
        notified with each new one. Other failures are logged, and tried again.
        """
        shown = Shown(view, changed)
        tasks = [asyncio.create_task(self._keep(part, shown), name=part.name) for part in self._parts]
        await run_until_one_ends(*tasks)

    async def _keep(self, part: Part, shown: Shown) -> None:
        """Make passes over the files of a part, at its pace, and whenever the view has changed."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        while True:
            view = shown.view()
            try:
                await part.write(shown)
            except TargetInUse:
                raise
            except NotThere as error:
                if error.problem != NOT_FOUND:
                    await self._failed(part, error, backoff)
                    continue
                part.shown = view.sequence  # an earlier version of the gateway does not have it
            except (GatewayError, TimeoutError) as error:
                await self._failed(part, error, backoff)
                continue
            self._note(part, None)
            backoff.reset()
            await asyncio.sleep(part.pace_s)
            await shown.wait_beyond(view, part.asks_s)

    async def _failed(self, part: Part, error: BaseException, backoff: Backoff) -> None:
        self._note(part, error)
        await asyncio.sleep(max(part.pace_s, backoff.next()))

    def _note(self, part: Part, error: BaseException | None) -> None:
        """Log the first of several equal failures, and their end."""
        before = self.failures.pop(part.name, None)
        if error is not None:
            reason = text_of(error)
            self.failures[part.name] = reason
            if before != reason:
                log.warning(
                    "files of a mirror could not be written",
                    election=self._election,
                    files=part.name,
                    reason=reason,
                )
        elif before is not None:
            log.info("files of a mirror are written again", election=self._election, files=part.name)
