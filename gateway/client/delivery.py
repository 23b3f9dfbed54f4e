"""Deliver counts from files: give them revisions, add them to the outbox, send what waits there, show the outcome.

Another system may push a report of a unit between the question which report is current and the sending. A report whose
revision was chosen here is then refused; its revision is chosen again, by what the gateway has now.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.client.http_json import NoDocument
from gateway.client.outbox import Destination, Item, Outbox, OutboxConflict
from gateway.client.outbox_file import OutboxUnavailable
from gateway.client.push_answers import Answer, PushRefused
from gateway.client.push_files import (
    WITHOUT_REPORT,
    AtGateway,
    Count,
    Mistakes,
    current_reports,
    give_revisions,
    known_in,
    known_report,
    read_files,
)
from gateway.client.receipts_table import write_receipts
from gateway.client.refusals import meaning_of
from gateway.client.repeated_notices import RepeatedNotices
from gateway.client.sending import send
from gateway.client.versions import Version, meaning
from gateway.election.registry import Registry
from gateway.errors import GatewayError, MalformedDocument
from gateway.humanize import counted
from gateway.terminal import Terminal

ROUNDS_MAX = 4
"""How often a report is sent under revisions chosen here, while other systems use the same ones."""
MANY_UNITS = 300
"""Units from which on it is shown that the gateway is asked for them, since that takes more than a second."""
AGAIN_S = 10.0
"""After how many seconds the gateway is asked again for current reports, when nobody can start the command again."""
MESSAGES_MAX = 100
"""Lines about single reports that are shown after sending."""
SUPERSEDED = ("stale_revision", "revision_conflict")
"""Codes of refusals that another report of the unit causes."""

Answered = tuple[Item, Answer]


class Door(msgspec.Struct, frozen=True):
    """A push door, and what is needed to push there."""

    push_url: str
    token: str
    to: Destination


class RevisionsUnknown(GatewayError):
    """The gateway could not be asked for its current reports, so that no revisions could be chosen."""

    code = "revisions_unknown"

    def __init__(self, units: int, error: GatewayError) -> None:
        super().__init__(
            f"the revisions of {counted(units, 'unit')} could not be chosen, and none of these reports was sent, since"
            f" the gateway could not be asked for the current ones: {error}"
        )
        self.retryable = isinstance(error, NoDocument) and not error.failure.permanent


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
    ) -> None:
        """Without `keep_trying`, errors that somebody has to correct end the sending."""
        self._door = door
        self._registry = registry
        self._outbox = outbox
        self._receipts = receipts
        self._console = console
        self._keep_trying = keep_trying
        self._chosen: list[Count] = []
        """Reports that were added and not sent yet, with revisions that were chosen here."""
        self._places: dict[tuple[str, int], str] = {}
        """File and line of the reports that were added and not answered yet, by unit and revision."""

    async def prepare(self, files: Mapping[str, bytes]) -> list[Count]:
        """Read and check files, and give revisions to the reports without one.

        Raises Mistakes, and GatewayError if the gateway cannot be asked for its current reports.
        """
        reports = read_files(files, self._registry)
        if reports.empty_units:
            self._console.say(f"Left out: {counted(reports.empty_units, 'unit')} without figures.")
        return await self._numbered(reports.versions)

    async def _numbered(self, versions: Sequence[Version]) -> list[Count]:
        """Give revisions to versions; unless unchecked, compare those that have one with the current reports too."""
        units = list(dict.fromkeys(version.unit for version in versions if version.revision is None))
        given = list(dict.fromkeys(version.unit for version in versions if version.revision is not None))
        if self._registry is None:
            given = []
        if len(units) + len(given) >= MANY_UNITS:
            self._console.say(
                f"Asking the gateway for the current reports of {counted(len(units) + len(given), 'unit')}."
            )
        door = self._door
        numbered, compared = AtGateway(), AtGateway()
        if units:
            try:
                numbered = await current_reports(door.push_url, door.to.election, door.token, units)
            except GatewayError as error:
                raise RevisionsUnknown(len(units), error) from None
        if given:
            try:
                compared = await current_reports(
                    door.push_url, door.to.election, door.token, given, (*WITHOUT_REPORT, "unit_forbidden")
                )
            except GatewayError as error:  # the reports wait in the outbox, as their revisions are known
                self._console.say(f"not compared with the gateway's current reports: {error}", "yellow")
        return give_revisions(
            versions,
            numbered.reports | compared.reports,
            known_in(self._outbox, door.to),
            None if self._registry is None else compared.time or numbered.time,
        )

    def add(self, counts: Sequence[Count]) -> None:
        """Add reports to the outbox, all or none. Raises OutboxConflict."""
        self._outbox.add(self._door.to, [(each.unit, each.revision, each.body) for each in counts])
        self._chosen += [each for each in counts if each.chosen]
        self._places |= {_key(each): each.version.where for each in counts}

    async def send(self) -> int:
        """Send what waits in the outbox until it is answered; return the exit status.

        0: every report has a receipt, given or repeated by this gateway in this run; 1: some have none. Raises
        GatewayError.
        """
        answered: dict[tuple[str, int], Answered] = {}
        for round_number in range(1, ROUNDS_MAX + 1):
            answered |= {(item.unit, item.revision): (item, answer) for item, answer in await self._send()}
            overtaken = [each for each in self._chosen if _is_superseded(answered.get(_key(each)))]
            self._chosen = [each for each in self._chosen if _key(each) not in answered]
            if not overtaken or round_number == ROUNDS_MAX:
                break
            added = [
                each
                for _, group in groupby(overtaken, lambda each: each.unit)
                for each in await self._again(list(group))
            ]
            if not added:
                break
            for each in added:
                del answered[_key(each)]
        try:
            self.write_receipts()
        finally:
            places = {key: self._places.pop(key) for key in answered if key in self._places}
            is_news = bool(answered) or not self._keep_trying
            status = conclude(self._console, list(answered.values()), places) if is_news else 0
        return status

    async def _again(self, overtaken: list[Count]) -> list[Count]:
        """Add the counts of a unit under other revisions; return them, or none if that is not possible."""
        notices, clock = RepeatedNotices(), asyncio.get_running_loop().time
        while True:
            try:
                self.add(await self._numbered([each.version for each in overtaken]))
            except (Mistakes, OutboxConflict) as error:
                for mistake in error.mistakes if isinstance(error, Mistakes) else (str(error),):
                    self._console.say(mistake, "red")
                return []
            except GatewayError as error:
                if notices.is_due("revisions", str(error), clock()):
                    self._console.say(str(error), "red")
                if not self._keep_trying:
                    return []
                await asyncio.sleep(AGAIN_S)
            else:
                return overtaken

    def write_receipts(self) -> None:
        """Write the table of receipts, if there is to be one. Raises ReceiptsUnavailable and OutboxUnavailable."""
        if self._receipts is not None:
            write_receipts(self._receipts, self._outbox, self._door.to)

    async def _send(self) -> list[Answered]:
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
                )
        except OutboxUnavailable as error:
            if self._keep_trying:
                raise
            raise OutboxUnavailable(
                f"{error}; then run the command again: reports whose answers were not recorded are sent again"
            ) from None
        except PushRefused as error:
            left = self._outbox.waiting_count(door.to)
            raise PushRefused(
                f"{error}; {counted(left, 'report')} without a receipt kept in the outbox"
            ) from None


def _key(count: Count) -> tuple[str, int]:
    return count.unit, count.revision


def _is_superseded(answered: Answered | None) -> bool:
    return answered is not None and answered[1].code in SUPERSEDED


def conclude(
    console: Terminal, answered: Sequence[Answered], places: Mapping[tuple[str, int], str] | None = None
) -> int:
    """Show what came of the reports, with their files as far as known; return the exit status.

    A superseded report is done if the same count of its unit has a receipt under another revision.
    """
    console.say(summary(answered))
    missing = 0
    received: dict[str, list[Answered]] = {}
    for item, answer in answered:
        if answer.has_receipt:
            received.setdefault(item.unit, []).append((item, answer))
    lines: list[tuple[str, str]] = []
    for item, answer in answered:
        which = f"unit {item.unit}, revision {item.revision}"
        if not answer.has_receipt:
            received_as = _same_count(item, received) if answer.code in SUPERSEDED else None
            missing += received_as is None
            place = (places or {}).get((item.unit, item.revision), "")
            lines.append(_refusal(which, answer, received_as, f" ({place})" if place else ""))
        lines += [(f"note: {which}: {warning.replace('_', ' ')}", "yellow") for warning in answer.warnings]
    lines.sort(key=lambda line: line[1] != "red")  # what needs a person comes first
    for line, colour in lines[:MESSAGES_MAX]:
        console.say(line, colour)
    if len(lines) > MESSAGES_MAX:
        console.say(f"… and {len(lines) - MESSAGES_MAX} more; with --receipts, a table has every answer")
    return 1 if missing else 0


def _refusal(which: str, answer: Answer, received_as: int | None, place: str) -> tuple[str, str]:
    """Return the line about a report without a receipt, and its colour."""
    if received_as is not None:
        return f"note: {which}: this count has its receipt as revision {received_as}", "yellow"
    if answer.code == "stale_revision":
        accepted = f"revision {answer.current_revision} has already been accepted{place}"
        return f"no receipt: {which}: {accepted}; if this count is newer, give it a higher revision", "red"
    reasons = "; ".join(f"{each.get('path')}: {each.get('detail')}" for each in answer.violations)
    todo = meaning_of(answer.code)
    return f"refused: {which}: {reasons or answer.code}{place}{f'; {todo}' if todo else ''}", "red"


def _same_count(item: Item, received: Mapping[str, Sequence[Answered]]) -> int | None:
    """Return the revision under which the same count of the unit has a receipt of this run; these are by unit."""
    try:
        count = meaning(known_report(item.body).document)
        return next(
            (
                other.revision
                for other, _ in received.get(item.unit, ())
                if meaning(known_report(other.body).document) == count
            ),
            None,
        )
    except MalformedDocument:
        return None


def summary(answered: Sequence[Answered]) -> str:
    """PURE: return how many receipts this run got, and what a person should know about them."""
    receipts = [answer for _, answer in answered if answer.has_receipt]
    known = sum(answer.outcome == "duplicate" for answer in receipts)
    embargoed = sum(answer.state == "embargoed" for answer in receipts)
    gone = sum(
        item.answer is not None and item.answer.has_receipt and answer.outcome != "duplicate"
        for item, answer in answered
    )
    parts = [counted(len(receipts), "receipt")]
    if known:
        parts[0] += f" ({len(receipts) - known} new, {known} already known to the gateway)"
    if embargoed:
        parts.append(f"{embargoed} of them under embargo")
    if gone:
        parts.append(f"{counted(gone, 'report')} with earlier receipts that this gateway no longer knows")
    return ", ".join(parts)
