"""Push counts from files: give them revisions, add them to the outbox, send the waiting reports, show the answers.

Another system may push a report of a unit between the request for the current report and the sending. A report whose
revision was chosen here is then refused, and its revision is chosen again from the new current report.
"""

import asyncio
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.backoff import Backoff
from gateway.client.conclusion import MESSAGES_MAX, Answered, conclude
from gateway.client.held_back import HeldBack
from gateway.client.outbox import Outbox
from gateway.client.outbox_file import OutboxUnavailable, when_available
from gateway.client.outbox_items import Item
from gateway.client.preparation import Door, Preparation, Prepared, RevisionsUnknown
from gateway.client.push_answers import PushRefused
from gateway.client.push_files import current_reports
from gateway.client.receipts_table import write_receipts
from gateway.client.repeated_notices import RepeatedNotices
from gateway.client.sending import send
from gateway.client.waiting_reports import Decided, judge
from gateway.count_files.comparison import Comparison
from gateway.count_files.messages import Place
from gateway.count_files.reports import Count, FileReports, read_files
from gateway.count_files.revisions import Known
from gateway.election.registry import Registry
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.terminal import Terminal

ROUNDS_MAX = 4
"""How often a report is sent under revisions chosen here, while other systems use the same ones."""
AGAIN_S = 10.0
"""After how many seconds at most the gateway is asked again for current reports."""
IDLE_MAX = 3
"""How often in a row nothing can be sent, as other processes change the same reports."""


class Delivery:
    """The reports of one command on their way. Invariant: what was added waits in the outbox until it is answered."""

    def __init__(
        self,
        door: Door,
        registry: Registry | None,
        outbox: Outbox,
        receipts: Path | None,
        console: Terminal,
        *,
        keep_trying: bool,
        accept: bool = False,
        unchecked: bool = False,
        later: str = "",
    ) -> None:
        """Without `keep_trying`, errors that somebody has to correct end the sending.

        `accept`, `unchecked` and `later` are those of HeldBack.
        """
        self._door = door
        self._registry = registry
        self._outbox = outbox
        self._receipts = receipts
        self._console = console
        self._keep_trying = keep_trying
        self._later = later or "valgnatt push"
        self._preparation = Preparation(door, registry, outbox, console, keep=not keep_trying)
        self._held_back = HeldBack(
            outbox,
            door.to,
            registry,
            self._preparation,
            console,
            accept=accept,
            unchecked=unchecked,
            later=self._later,
        )
        self._added: dict[int, Item] = {}
        """Reports that were added since the last sending began, by key."""
        self._places: dict[int, Place] = {}
        """File and line of the reports that were added and not answered yet, by key."""
        self._fresh: dict[str, Known | None] = {}
        """The gateway's current reports of units, as they were when revisions were chosen by them."""
        self._is_blocked = False
        """Whether somebody has to correct something before revisions can be chosen."""

    def read(self, files: Mapping[str, bytes]) -> FileReports:
        """Read files and check them, without any request. Raises Mistakes."""
        reports = read_files(files, self._registry)
        if reports.empty_units:
            self._console.say(f"Left out: {counted(reports.empty_units, 'unit')} without figures.")
        for note in reports.notes:
            self._console.say(note)
        return reports

    async def prepare(self, reports: FileReports) -> Prepared:
        """Give revisions to reports, and compare them with the gateway's current ones.

        Raises Mistakes, and GatewayError if the gateway cannot be asked although it has to be.
        """
        prepared = await self._preparation.prepare(reports.versions)
        self._fresh |= prepared.fresh
        return prepared

    def add(self, counts: Sequence[Count], comparisons: Sequence[Comparison] = ()) -> None:
        """Add reports to the outbox, all or none; the red lines in their comparisons are accepted.

        Raises OutboxConflict.
        """
        keys = self._outbox.add_keyed(
            self._door.to, [(each.unit, each.revision, each.body, each.chosen) for each in counts]
        )
        for (key, _), each in zip(keys, counts, strict=True):
            self._added[key] = Item(key, each.unit, each.revision, each.body, None, each.chosen)
            self._places[key] = each.version.where
        self._held_back.accept_shown([key for key, _ in keys], comparisons)

    async def send(self) -> int:
        """Send all waiting reports of the outbox until each has an answer; return the exit status.

        0: every report that was added, or waited at the start, has a receipt that this gateway gave or repeated in this
        run, to this process or another one; 1: some have none. Raises GatewayError.
        """
        to = self._door.to
        awaited = self._added | {item.key: item for item in self._outbox.waiting(to)}
        self._added = {}
        former: dict[int, Item] = {}
        answered: dict[int, Answered] = {}
        stored: dict[int, tuple[Item, bool] | None] = {}
        attempts = idle = 0
        while attempts < ROUNDS_MAX and idle < IDLE_MAX:
            decided = await self._judge()
            former |= {key: item for key, item in decided.moved.items() if key not in former}
            sent = await self._send(decided)
            answered |= {item.key: (item, answer) for item, answer in sent}
            attempts += any(item.chosen and answer.is_overtaken for item, answer in sent)
            idle = 0 if sent else idle + 1
            stored = self._without_receipts(awaited, answered)
            if self._is_blocked or not (
                self._outbox.units_to_judge(to)
                or self._held_back.not_compared()
                or self._waits_again(stored, answered.keys() | decided.held)
            ):
                break
        try:
            self.write_receipts()
        finally:
            status = self._conclude(awaited, answered, former, stored)
        return status

    def _without_receipts(
        self, awaited: Mapping[int, Item], answered: Mapping[int, Answered]
    ) -> dict[int, tuple[Item, bool] | None]:
        """Return the reports of this run without a receipt as the outbox has them now, and whether they wait."""
        return {
            key: self._outbox.item(key)
            for key in sorted(awaited.keys() | answered.keys())
            if not (key in answered and answered[key][1].has_receipt)
        }

    @staticmethod
    def _waits_again(stored: Mapping[int, tuple[Item, bool] | None], done: Set[int]) -> bool:
        """Whether a report waits that is not in `done`: another process has added it again since its answer."""
        return any(
            found is not None and found[1] and not found[0].chosen
            for key, found in stored.items()
            if key not in done
        )

    def _conclude(
        self,
        awaited: Mapping[int, Item],
        answered: dict[int, Answered],
        former: Mapping[int, Item],
        stored: Mapping[int, tuple[Item, bool] | None],
    ) -> int:
        """Judge all reports of this run by their own answers, or else by those that the outbox has of this run."""
        unanswered: list[Item] = []
        for key, found in stored.items():
            item, waits = found or (awaited.get(key), True)
            if item is not None and not waits and item.answer is not None:
                earlier = awaited[key].answer if key in awaited else None
                answered[key] = (msgspec.structs.replace(item, answer=earlier), item.answer)
            elif key not in answered and item is not None:
                unanswered.append(item)
        renumbered = [
            f"note: unit {item.unit}, revision {item.revision}: this count has its receipt as revision"
            f" {answered[key][0].revision}"
            for key, item in former.items()
            if key in answered and answered[key][1].has_receipt and answered[key][0].revision != item.revision
        ]
        places = {key: self._places.pop(key) for key in answered if key in self._places}
        if not answered and self._keep_trying:
            return 0
        return conclude(
            self._console,
            [answered[key] for key in sorted(answered)],
            places,
            unanswered,
            renumbered,
            self._later,
            self._held_back.keys,
        )

    async def _judge(self) -> Decided:
        """Judge the waiting reports with chosen revisions, and those not compared yet, by the gateway's current ones.

        If these cannot be read, it waits until they can, unless other reports are to be sent meanwhile.
        """
        door = self._door
        notices, clock = RepeatedNotices(), asyncio.get_running_loop().time
        backoff = Backoff(1.0, AGAIN_S)
        while True:
            units = self._outbox.units_to_judge(door.to)
            given = self._held_back.not_compared()
            current = {unit: self._fresh.pop(unit) for unit in units if unit in self._fresh}
            compared = [unit for unit in units if unit not in current]
            compared += dict.fromkeys(item.unit for item in given if item.unit not in compared)
            asked = [unit for unit in compared if unit not in current]
            try:
                if asked:
                    found = await current_reports(door.push_url, door.to.election, door.token, asked)
                    current |= {unit: found.reports.get(unit) for unit in asked}
            except GatewayError as error:
                unknown = RevisionsUnknown(len(asked), error)
                self._is_blocked = not (unknown.retryable or self._keep_trying)
                if notices.is_due("revisions", str(unknown), clock()):
                    self._say_unanswered(error)
                held = self._held_back.crossing | (
                    set() if self._is_blocked else {item.key for item in given}
                )
                if self._is_blocked or any(
                    not item.chosen and item.key not in held for item in self._outbox.waiting(door.to)
                ):
                    return Decided(held=held)
                await asyncio.sleep(backoff.next())
            else:
                self._is_blocked = False
                break
        decided: Decided = await when_available(
            lambda: judge(self._outbox, door.to, units, current, self._places),
            lambda line: self._console.say(line, "yellow"),
            keep_trying=self._keep_trying,
        )
        for reason in decided.reasons[:MESSAGES_MAX]:
            self._console.say(reason, "red")
        await self._held_back.hold_back(decided, given, {unit: current[unit] for unit in compared})
        return decided

    def _say_unanswered(self, error: GatewayError) -> None:
        """Show why nothing is sent, that the reports are kept, and what to do."""
        if self._is_blocked:  # the conclusion says how many are kept
            self._console.say(str(error), "red")
        else:
            waiting = counted(self._outbox.waiting_count(self._door.to), "report")
            self._console.say(f"{error}; {waiting} waiting, trying again. {self._safe_to_stop}", "yellow")

    @property
    def _safe_to_stop(self) -> str:
        return f"It is safe to stop with Ctrl-C: the outbox keeps them. Send them later with: {self._later}"

    def write_receipts(self) -> None:
        """Write the table of receipts, if there is to be one. Raises ReceiptsUnavailable and OutboxUnavailable."""
        if self._receipts is not None:
            write_receipts(self._receipts, self._outbox, self._door.to)

    async def _send(self, decided: Decided) -> list[Answered]:
        door = self._door
        waiting = self._outbox.waiting_count(door.to)
        columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        try:
            with Progress(
                *columns, console=self._console, transient=True, disable=not self._console.is_terminal
            ) as progress:
                bar = progress.add_task("sending", total=waiting)
                return await send(
                    self._outbox,
                    door.to,
                    door.push_url,
                    door.token,
                    lambda *_: progress.advance(bar),
                    say=lambda line: self._console.say(line, "yellow"),
                    keep_trying=self._keep_trying,
                    judged=decided.bodies,
                    held=decided.held,
                    while_waiting=self._safe_to_stop,
                )
        except OutboxUnavailable as error:
            if self._keep_trying:
                raise
            raise OutboxUnavailable(
                f"{error}; then run the command again: reports whose answers were not recorded are sent again"
            ) from None
        except PushRefused as error:
            left = self._outbox.waiting_count(door.to)
            kept = f"{counted(left, 'report')} without a receipt kept in the outbox"
            raise PushRefused(f"{error}; {kept}; send later with: {self._later}") from None
