"""Hold reports back in the outbox that cross red lines that nobody accepted.

A report may wait for a long time after it was added, or be added while the gateway does not answer. So it is compared
again, before it is sent, with the reports that are current then.
"""

from collections.abc import Mapping, Sequence

from gateway.client.conclusion import MESSAGES_MAX
from gateway.client.outbox import Outbox
from gateway.client.outbox_items import Destination, Item
from gateway.client.preparation import Preparation
from gateway.client.preview import red_lines
from gateway.client.waiting_reports import Decided, compared_later
from gateway.count_files.comparison import Comparison
from gateway.count_files.revisions import Known
from gateway.election.registry import Registry
from gateway.terminal import Terminal


class HeldBack:
    """The reports of one command that are held back. Their keys are those of the outbox."""

    def __init__(
        self,
        outbox: Outbox,
        to: Destination,
        registry: Registry | None,
        preparation: Preparation,
        console: Terminal,
        *,
        accept: bool,
        unchecked: bool,
        later: str,
    ) -> None:
        """`accept`: whether reports that cross red lines are sent; `unchecked`: whether those with revisions from files
        are sent without a comparison. `later` is the command that sends the waiting reports.
        """
        self._outbox = outbox
        self._to = to
        self._registry = registry
        self._preparation = preparation
        self._console = console
        self._accept = accept
        self._compares_given = not (accept or unchecked)
        self._later = later
        self._accepted: dict[int, frozenset[str]] = {}
        """Codes of the red lines that were accepted when reports were added, by key."""
        self._shown: set[str] = set()
        """Lines about red lines that were shown."""
        self._compared: set[int] = set()
        """Reports with revisions from files that were compared with the gateway's current reports, by key."""
        self.crossing: set[int] = set()
        """Those of them that cross red lines that nobody accepted."""
        self.keys: set[int] = set()
        """Reports that were held back when reports were last judged, by key."""

    def accept_shown(self, keys: Sequence[int], comparisons: Sequence[Comparison]) -> None:
        """Accept the red lines in the comparisons of reports that were added."""
        not_compared = {compared.unit for compared in comparisons if compared.effect == "unknown"}
        for key, compared in zip(keys, comparisons, strict=False):
            self._accepted[key] = frozenset(finding.code for finding in compared.red_lines)
            self._compared |= {key} if compared.unit not in not_compared else set()

    def not_compared(self) -> list[Item]:
        """Return the waiting reports with revisions from files that have to be compared before they are sent.

        One that had a receipt is sent again as it was.
        """
        if not self._compares_given:
            return []
        return [
            item
            for item in self._outbox.waiting(self._to)
            if not item.chosen
            and item.key not in self._compared
            and not (item.answer is not None and (item.answer.has_receipt or item.answer.is_overtaken))
        ]

    async def hold_back(
        self, decided: Decided, given: Sequence[Item], current: Mapping[str, Known | None]
    ) -> None:
        """Keep reports in the outbox that cross red lines that nobody accepted, and say so once.

        For reports that were not compared with these current reports when they were added.
        """
        if self._accept:
            return
        lines = []
        self.keys = set(self.crossing)
        bodies = decided.bodies | {item.key: item.body for item in given}
        others = await self._preparation.others(self._registry, current) if self._registry and current else {}
        for key, compared in compared_later(self._registry, bodies, current, others):
            accepted = self._accepted.get(key, frozenset())
            if {finding.code for finding in compared.red_lines} - accepted:
                self.crossing |= {key} if decided.bodies.pop(key, None) is None else set()
                self.keys.add(key)
                lines += red_lines([compared])
        self._compared |= {item.key for item in given}
        decided.held |= self.crossing
        if new := [line for line in lines if line not in self._shown]:
            self._shown |= {*new}
            for line in new[:MESSAGES_MAX]:
                self._console.say(line, "bold red")
            self._console.say(
                "not sent because of these red lines, and kept in the outbox. If the figures are right, send them with:"
                f" {self._later} --accept. If not, push a corrected file, or remove them with: {self._later} --discard"
                " UNIT",
                "red",
            )
