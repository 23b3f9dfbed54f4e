"""Prepare checked reports for sending: give them revisions, and compare them with the gateway's current reports.

The current reports come from the push door, also under embargo: those of the same units, and those of the other units
of their municipalities, whose ballots are part of the municipality's sum.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from gateway.client.http_json import NoDocument
from gateway.client.outbox import Outbox
from gateway.client.outbox_items import Destination
from gateway.client.push_files import (
    AtGateway,
    current_reports,
    known_in,
    own_municipalities,
)
from gateway.client.refusals import meaning_of
from gateway.count_files.comparison import Comparison, compare, other_units
from gateway.count_files.messages import abbreviated
from gateway.count_files.parts import MISTAKES_MAX
from gateway.count_files.reports import Count, Mistakes, give_revisions
from gateway.count_files.revisions import Known, current_and_newest
from gateway.count_files.versions import Version
from gateway.election.registry import Registry
from gateway.election.rfc3339 import read_time
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.terminal import Terminal

MANY_UNITS = 300
"""Requests for the reports of more units than this take more than a second, and are announced."""


_NOT_PERMITTED = f"this token may not report for this unit; {meaning_of('unit_forbidden')}"


class Door(msgspec.Struct, frozen=True):
    """A push door, with the token and the key of its reports in the outbox."""

    push_url: str
    token: str
    to: Destination


class RevisionsUnknown(GatewayError):
    """The gateway could not be asked for its current reports, so that no revisions could be chosen."""

    code = "revisions_unknown"

    def __init__(self, units: int, error: GatewayError) -> None:
        super().__init__(
            f"{error}; nothing was sent: without the gateway's current reports, the revisions of"
            f" {counted(units, 'unit')} could not be chosen"
        )
        self.retryable = isinstance(error, NoDocument) and not error.failure.permanent


WRONG_URL = ("wrong_scheme", "bad_url")
WRONG_DOOR = ("not_found", "unknown_election")
"""Codes of failures, and of problem documents, that only another URL corrects."""


def may_be_asked_later(error: GatewayError) -> bool:
    """Whether the gateway at this URL may answer later or with another token, so that it is worth keeping reports."""
    if not isinstance(error, NoDocument):
        return False
    return error.failure.code not in WRONG_URL and error.failure.problem not in WRONG_DOOR


class Prepared(msgspec.Struct, frozen=True):
    """Reports that are ready to be sent."""

    counts: list[Count]
    comparisons: list[Comparison]
    """One for each report, in the same order."""
    fresh: dict[str, Known | None]
    """The gateway's current reports of the units whose revisions were chosen by them."""
    unanswered: GatewayError | None = None
    """Why reports could not be compared with current ones and have to wait in the outbox."""


def _compared(count: Count, current: Mapping[str, Known | None]) -> dict[str, Any]:
    """Return a report for its comparison: without a provisional revision, which is replaced before it is sent."""
    document, known = count.document, current.get(count.unit)
    if (
        count.chosen
        and known is not None
        and count.revision <= known.revision
        and read_time(known.document["counted_at"]) < count.version.instant
    ):
        del document["revision"]
    return document


class Preparation:
    """Prepares the reports of files for one push door."""

    def __init__(
        self, door: Door, registry: Registry | None, outbox: Outbox, console: Terminal, *, keep: bool
    ) -> None:
        """With `keep`, reports get provisional revisions while the gateway cannot be asked; see `judge_waiting`."""
        self._door = door
        self._registry = registry
        self._outbox = outbox
        self._console = console
        self._keep = keep

    async def prepare(self, versions: Sequence[Version]) -> Prepared:
        """Give revisions to versions without one, and compare all with the current reports as far as these are known.

        Raises Mistakes if it is not known which count is the newest one, and RevisionsUnknown.
        """
        choose = list(dict.fromkeys(version.unit for version in versions if version.revision is None))
        given = list(dict.fromkeys(version.unit for version in versions if version.revision is not None))
        if self._registry is None:
            given = []
        if len(choose) + len(given) >= MANY_UNITS:
            self._console.say(
                f"Asking the gateway for the current reports of {counted(len(choose) + len(given), 'unit')}."
            )
        numbered, compared = AtGateway(), AtGateway()
        unanswered: GatewayError | None = None
        if choose:
            try:
                numbered = await self._current(choose)
            except GatewayError as error:
                if not (self._keep and may_be_asked_later(error)):
                    raise RevisionsUnknown(len(choose), error) from None
                self._say_not_compared(error)
                choose, given, unanswered = [], [], error
            else:
                self._check_permitted(versions, numbered)
        if given:
            try:
                compared = await self._current(given)
            except GatewayError as error:  # the reports wait in the outbox, as their revisions are known
                self._say_not_compared(error)
                given, unanswered = [], error
        counts = give_revisions(
            versions,
            numbered.reports | compared.reports,
            known_in(self._outbox, self._door.to),
            None if self._registry is None else compared.time or numbered.time,
        )
        known = numbered.of(choose) | compared.of(given)
        if known and self._registry is not None:
            known |= await self.others(self._registry, known)
        comparisons = compare(
            self._registry, [_compared(count, known) for count in counts], *current_and_newest(known)
        )
        fresh = {unit: numbered.reports.get(unit) for unit in choose}
        return Prepared(counts, comparisons, fresh, unanswered)

    def _say_not_compared(self, error: GatewayError) -> None:
        checked = "; only ballots and eligible voters were compared" if self._registry else ""
        self._console.say(f"not compared with the gateway's current reports: {error}{checked}", "yellow")

    def _check_permitted(self, versions: Sequence[Version], numbered: AtGateway) -> None:
        """Raise Mistakes for units that the token may not report for."""
        forbidden = [version for version in versions if version.unit in numbered.forbidden]
        if forbidden:
            files = frozenset[str]().union(*(version.files for version in forbidden))
            raise Mistakes(
                [
                    f"{each.where}: {self._name(each.unit)}: {_NOT_PERMITTED}"
                    for each in forbidden[:MISTAKES_MAX]
                ],
                files,
            )

    def _name(self, unit: str) -> str:
        area = self._registry.units.get(unit) if self._registry is not None else None
        return f"unit {abbreviated(unit)}{f' {abbreviated(area.name)}' if area is not None else ''}"

    async def others(self, registry: Registry, known: Collection[str]) -> dict[str, Known | None]:
        """Return the current reports of the other units of the municipalities, where the token covers all of these."""
        others = other_units(registry, known)
        if not others:
            return {}
        door = self._door
        try:
            own = await own_municipalities(door.push_url, door.to.election, door.token)
            asked = []
            for unit in others:
                place = registry.municipality(registry.units[unit])
                if place.eligible and own.get(place.id) == place.units:
                    asked.append(unit)
            if len(asked) >= MANY_UNITS:
                self._console.say(
                    f"Asking the gateway for {counted(len(asked), 'other unit')} of the same municipalities."
                )
            return (await self._current(asked)).of(asked)
        except GatewayError as error:
            self._console.say(f"not compared with the other units of the municipality: {error}", "yellow")
            return {}

    async def _current(self, units: Sequence[str]) -> AtGateway:
        door = self._door
        return await current_reports(door.push_url, door.to.election, door.token, units)
