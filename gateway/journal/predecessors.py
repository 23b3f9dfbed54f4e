"""The reports with which new ones are compared for the warnings in their receipts."""

from collections import OrderedDict
from collections.abc import Sequence

from gateway.election.report import Report, decode_stored
from gateway.journal.decisions import Appended, Held, Known, New
from gateway.journal.judging import Journal

PREDECESSORS_MAX = 20_000
"""Reports kept to compare the next revision with; about 0.8 kB each. Others are read from Postgres."""


class Predecessors:
    """Finds the current report before each new or repeated one of an election, in memory if it is recent.

    Accepted reports never change, so any copy will do.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._recent: OrderedDict[str, Report] = OrderedDict()
        """By unit, the last reports that were placed."""
        self.lacking = False
        """Whether at least a quarter of the last reports had a predecessor that was not in memory.

        An append that returns all of them then takes less time than a second statement for those."""

    def forget(self) -> None:
        """Drop every report; each is read from Postgres when it is needed."""
        self._recent.clear()

    async def find(self, election: int, reports: Sequence[Report], appended: Appended) -> list[Report | None]:
        """Return the predecessor of each report of an append, None if it has none or was refused.

        Raises JournalUnavailable.
        """
        predecessors: list[Report | None] = [None] * len(reports)
        missing: list[int] = []
        for place, (report, decision) in enumerate(zip(reports, appended.decisions, strict=True)):
            if isinstance(decision, New):
                recent = self._recent.pop(report.unit, None)
                self._recent[report.unit] = report
            elif isinstance(decision, Held):
                recent = self._recent.get(report.unit)
            else:
                if isinstance(decision, Known):
                    missing.append(place)
                continue
            if recent is not None and recent.revision == decision.previous_revision:
                predecessors[place] = recent
            elif decision.previous_revision:
                missing.append(place)
        while len(self._recent) > PREDECESSORS_MAX:
            self._recent.popitem(last=False)
        self.lacking = 4 * len(missing) >= len(reports) > 0
        if missing:
            bodies = await self._bodies(election, reports, missing, appended)
            for place, body in zip(missing, bodies, strict=True):
                predecessors[place] = decode_stored(body) if body is not None else None
        return predecessors

    async def _bodies(
        self, election: int, reports: Sequence[Report], places: Sequence[int], appended: Appended
    ) -> Sequence[bytes | None]:
        """Return the bodies of the predecessors of some reports, those that the append did not return from Postgres."""
        bodies = dict.fromkeys(places)
        if appended.predecessors is not None:
            bodies |= {place: appended.predecessors[place] for place in places}
        if asked := [place for place, body in bodies.items() if body is None]:
            names = [(reports[place].unit, reports[place].revision) for place in asked]
            bodies |= zip(asked, await self._journal.predecessors(election, names), strict=True)
        return list(bodies.values())
