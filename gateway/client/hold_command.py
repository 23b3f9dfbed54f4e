"""The commands `valgnatt hold`: the held reports of an election, and decisions about them."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.client.consent import AGREEING, answer
from gateway.client.documents import REQUEST_S, read_document, the_election
from gateway.client.failures import TEMPORARY
from gateway.client.holds_report import (
    conflict_line,
    decided_line,
    ended_line,
    figures_table,
    hold_lines,
    holds_table,
    next_steps,
    plan,
    state_of,
)
from gateway.client.http_json import Door, NoDocument, open_door
from gateway.client.http_session import bearer
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.output import say_json
from gateway.terminal import Terminal
from gateway.wire.decisions import DECIDED_MAX
from gateway.wire.holds import DecisionAnswer, DecisionConflict, Hold, HoldList

ATTEMPTS = 4
"""How often a decision is sent while the gateway cannot make it; repeating it has no other effect."""
PAUSE_S = 1.0
"""Seconds between two attempts, unless the answer says when to repeat."""
PAUSE_MAX_S = 10.0


class NothingDecided(GatewayError):
    """Nothing was decided or changed, as something has to be corrected first; `misused` if it is the command line."""

    code = "nothing_decided"

    def __init__(self, text: str, *, misused: bool = False) -> None:
        super().__init__(text)
        self.misused = misused


class OperatorOptions(msgspec.Struct, frozen=True):
    """What every command of an operator needs."""

    push_url: str
    feed_url: str
    election: str | None
    token: str


class OperatorDoor:
    """The push door as an operator of one election uses it."""

    def __init__(self, door: Door, election: str, options: OperatorOptions) -> None:
        self._door = door
        self._base = f"/v1/elections/{quote(election, safe='')}"
        self._url = options.push_url
        self._headers = bearer(options.token)

    async def get(self, path: str) -> dict[str, Any]:
        """Return a document below the election. Raises NoDocument."""
        return await self._door.get(self._base + path, self._headers)

    async def send(self, method: str, path: str, document: object) -> dict[str, Any]:
        """Send a document, again while the gateway is not available. Raises NoDocument."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._door.send(method, self._base + path, document, self._headers)
            except NoDocument as error:
                passes = error.failure.status is None or error.failure.status in TEMPORARY
                if attempt == ATTEMPTS or error.failure.permanent or not passes:
                    raise
                await asyncio.sleep(min(error.failure.retry_after_s or PAUSE_S, PAUSE_MAX_S))
        raise AssertionError

    async def decide(self, what: str, holds: Sequence[Hold], reason: str, note: str) -> dict[str, Any]:
        """Release or reject holds together, in this order; return the answer. Raises NoDocument."""
        named = [{"unit": each.unit, "revision": each.revision, "digest": each.digest} for each in holds]
        body = {"decide": what, "holds": named, "reason": reason, "note": note}
        return await self.send("POST", "/decisions", body)

    async def holds(self, state: str) -> tuple[dict[str, Any], HoldList, list[Hold]]:
        """Return the holds of the token's units, `open` or `all`, as they came and as types. Raises GatewayError."""
        document = await self.get(f"/holds?state={state}")
        found = read_document(document, HoldList, self._url)
        return document, found, read_document(list(found.holds), list[Hold], self._url)


@asynccontextmanager
async def operator_door(options: OperatorOptions) -> AsyncIterator[OperatorDoor]:
    """Open the push door of an election, the only one if none was named. Raises GatewayError."""
    bearer(options.token)  # a token that cannot be sent is named before anything is asked
    election = await the_election(options.feed_url, options.election)
    async with open_door("push door", options.push_url, total_s=REQUEST_S) as door:
        yield OperatorDoor(door, election, options)


async def list_holds(options: OperatorOptions, *, every: bool, as_json: bool) -> None:
    """Show the open holds, or all. Raises GatewayError."""
    async with operator_door(options) as door:
        document, found, holds = await door.holds("all" if every else "open")
    if as_json:
        for each in document["holds"]:
            say_json(each)
        return
    console = Terminal()
    console.say(state_of(found, holds), "bold")
    if holds:
        console.print(holds_table(found, holds))
    if found.open_:
        console.say("valgnatt hold show UNIT shows one with its figures.", "dim")


async def show_holds(options: OperatorOptions, units: Sequence[str], *, as_json: bool) -> None:
    """Show holds beside the current reports: of each unit the newest, open or ended. Raises GatewayError."""
    async with operator_door(options) as door:
        document, found, holds = await door.holds("all")
    chosen = [_chosen(text, holds, "no report of this unit is or was held") for text in units]
    if as_json:
        for each in chosen:
            say_json(document["holds"][holds.index(each)])
        return
    console = Terminal()
    for each in chosen:
        first, *lines = hold_lines(each, found.areas, found.server_time)
        console.say(first, "bold")
        for line in lines:
            console.say(line)
        console.print(figures_table(each))
        if each.state == "open":
            for line in next_steps(each):
                console.say(line, "dim")


async def decide(
    options: OperatorOptions, what: str, units: Sequence[str], reason: str, note: str, *, yes: bool
) -> None:
    """Release or reject held reports, after the person at the terminal has agreed. Raises GatewayError."""
    console = Terminal()
    async with operator_door(options) as door:
        _, found, holds = await door.holds("open")
        ended: list[Hold] = []
        if not all(any(text.split(":")[0] == each.unit for each in holds) for text in units):
            _, _, ended = await door.holds("all")
        chosen = [_chosen(text, holds, _not_held(text, ended)) for text in units]
        if len({each.unit for each in chosen}) < len(chosen):
            raise NothingDecided("a unit is named twice", misused=True)
        if len(chosen) > DECIDED_MAX:
            raise NothingDecided(f"a decision is about {DECIDED_MAX} reports at most", misused=True)
        for line in plan(what, chosen, found.areas, reason, note):
            console.say(line)
        verb = "Release" if what == "release" else "Reject"
        confirm(f"{verb} {counted(len(chosen), 'report')}?", yes=yes)
        try:
            document = await door.decide(what, chosen, reason, note)
        except NoDocument as error:
            for conflict in _conflicts(error.document):
                console.say(conflict_line(conflict, found.areas), "bold red")
            raise
    for decided in read_document(document, DecisionAnswer, options.push_url).holds:
        console.say(decided_line(decided, found.areas))


def confirm(question: str, *, yes: bool) -> None:
    """Ask the person at the terminal, unless `yes`. Raises NothingDecided without a terminal or an agreement."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise NothingDecided("there is no terminal to ask at; add --yes", misused=True)
    if not answer(f"{question} [y/N] ", AGREEING):
        raise NothingDecided("not confirmed")


def _chosen(text: str, holds: Sequence[Hold], otherwise: str) -> Hold:
    """Return the hold that a person named by its unit, or unit and revision: the newest. Raises NothingDecided."""
    unit, colon, revision = text.rpartition(":")
    for each in reversed(holds):
        if text == each.unit or (colon and unit == each.unit and revision == str(each.revision)):
            return each
    others = [str(each.revision) for each in holds if each.unit == unit] if colon else []
    if others:
        raise NothingDecided(
            f"{text}: the held revision is {', '.join(others)}; look at it with hold show {unit}"
        )
    raise NothingDecided(f"{text}: {otherwise}")


def _not_held(text: str, ended: Sequence[Hold]) -> str:
    """Return that no report of a unit is held, with the end of the last hold."""
    unit = text.rpartition(":")[0]
    for each in reversed(ended):
        if each.unit in (text, unit) and (line := ended_line(each)) is not None:
            return f"no report of this unit is held; revision {each.revision} was {line}"
    return "no report of this unit is held"


def _conflicts(document: Mapping[str, Any] | None) -> list[DecisionConflict]:
    try:
        return msgspec.convert((document or {}).get("conflicts", []), list[DecisionConflict])
    except msgspec.ValidationError:
        return []
