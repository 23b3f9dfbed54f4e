"""The operator of a replay, who decides on its held reports: by the data set's list of known errors.

Reports of an error that is to be rejected are rejected, and so on; everything else is released after a while, as if the
sender had confirmed it. Without an operator, what is held would never be public.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from gateway.client.hold_command import OperatorDoor, OperatorOptions, operator_door
from gateway.client.hold_sentences import place_name, sentence
from gateway.client.http_json import NoDocument
from gateway.rehearsal.known_errors import KnownError, ReportName
from gateway.wire.decisions import DECIDED_MAX
from gateway.wire.holds import AreaNames, Hold

POLL_S = 0.25
"""Seconds between two looks at the list of held reports."""
LOOK_S = 0.5
"""Seconds for which a held report is looked at before a decision."""
OTHERS_S = 20.0
"""Seconds after which a part of an error is decided on, if its other reports have no answer."""
UNAVAILABLE_S = 30.0
"""Seconds without an answer after which it gives up."""

ReportKey = tuple[str, int]
"""Unit and revision."""


class Decided(msgspec.Struct, frozen=True):
    """A decision of the operator."""

    decide: str
    reason: str
    holds: Sequence[Hold]
    error: KnownError | None
    """The known error that it is about."""
    areas: Mapping[str, AreaNames]


class Operator:
    """Decides on the held reports of one election until it is cancelled."""

    def __init__(
        self,
        options: OperatorOptions,
        errors: Sequence[KnownError],
        *,
        look_s: float = LOOK_S,
        on_held: Callable[[Hold, Mapping[str, AreaNames]], None] = lambda *_: None,
        on_decided: Callable[[Decided], None] = lambda _: None,
    ) -> None:
        """`on_held` is called once for each held report, `on_decided` after each decision."""
        self._options = options
        self._errors = {_key(each): error for error in errors for each in error.reports}
        self._look_s = look_s
        self._on_held = on_held
        self._on_decided = on_decided
        self._seen: dict[ReportKey, float] = {}
        """When a held report was first seen, by the loop's clock."""
        self._not_held: set[ReportKey] = set()
        """Every report whose answer does not say that it is held."""
        self.ended: set[ReportKey] = set()
        """Every report that was held and no longer is: decided on, or replaced by its sender."""
        self.moved = asyncio.Event()
        """Set when a hold ends, or a report has an answer; cleared before a wait."""

    def note_answer(self, report: ReportKey, *, held: bool) -> None:
        """Note that a report has an answer, and whether it is held."""
        if not held:
            self._not_held.add(report)
        self.moved.set()

    async def run(self) -> None:
        """Decide until cancelled. Raises GatewayError if the push door does not answer for UNAVAILABLE_S."""
        clock = asyncio.get_running_loop().time
        answered_at = clock()
        async with operator_door(self._options) as door:
            while True:
                try:
                    await self._decide_open(door, clock())
                    answered_at = clock()
                except NoDocument as error:  # also a conflict: a sender was faster
                    if error.failure.status != 409 and clock() - answered_at > UNAVAILABLE_S:
                        raise
                await asyncio.sleep(POLL_S)

    async def _decide_open(self, door: OperatorDoor, now: float) -> None:
        _, found, holds = await door.holds("open")
        for hold in holds:
            if _key(hold) not in self._seen:
                self._seen[_key(hold)] = now
                self._on_held(hold, found.areas)
        self._note_ended(self._seen.keys() - set(map(_key, holds)))
        others: list[Hold] = []
        groups: dict[KnownError, list[Hold]] = {}
        for hold in holds:
            error = self._errors.get(_key(hold))
            if error is not None:
                groups.setdefault(error, []).append(hold)
            elif now - self._seen[_key(hold)] >= self._look_s:
                others.append(hold)
        for error, group in groups.items():
            since = [now - self._seen[_key(hold)] for hold in group]
            others_known = set(map(_key, error.reports)) <= {*map(_key, group), *self.ended, *self._not_held}
            if min(since) >= self._look_s and (others_known or max(since) >= self._look_s + OTHERS_S):
                order = list(map(_key, error.reports))
                group.sort(key=lambda hold: order.index(_key(hold)))
                await self._decide(door, Decided(error.decide, error.reason, group, error, found.areas))
        for first in range(0, len(others), DECIDED_MAX):
            part = others[first : first + DECIDED_MAX]
            await self._decide(door, Decided("release", "confirmed", part, None, found.areas))

    async def _decide(self, door: OperatorDoor, decided: Decided) -> None:
        """Send a decision. Raises NoDocument."""
        note = decided.error.description if decided.error is not None else "an operator of a rehearsal"
        await door.decide(decided.decide, decided.holds, decided.reason, note)
        self._note_ended(set(map(_key, decided.holds)))
        self._on_decided(decided)

    def _note_ended(self, ended: AbstractSet[ReportKey]) -> None:
        if not ended <= self.ended:
            self.ended |= ended
            self.moved.set()


def _key(each: Hold | ReportName) -> ReportKey:
    return each.unit, each.revision


def held_line(hold: Hold, areas: Mapping[str, AreaNames]) -> str:
    """Return that a report is held, and why, as a sentence."""
    why = next((rule for rule in hold.rules if rule.do == "hold"), None)
    text = sentence(why, hold.unit, areas) if why is not None else place_name(hold.unit, areas)
    return f"Held       {text}"


def decided_line(decided: Decided) -> str:
    """Return what was decided, as a sentence."""
    both = len(decided.holds) > 1
    units = " and ".join(place_name(hold.unit, decided.areas) for hold in decided.holds[:2])
    more = f" and {len(decided.holds) - 2} others" if len(decided.holds) > 2 else ""
    verb, effect = {
        "reject": ("Rejected", "are never public" if both else "is never public"),
        "release": ("Released", "have positions in the record" if both else "has a position in the record"),
    }[decided.decide]
    they = "they" if both else "it"
    return f"{verb:10} {units}{more} ({decided.reason.replace('_', ' ')}): {they} {effect}"
