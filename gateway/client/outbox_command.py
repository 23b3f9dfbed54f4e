"""`valgnatt push --list` and `--discard`: what waits in the outbox, and its removal."""

import asyncio
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway.client.consent import answer
from gateway.client.documents import registry_of
from gateway.client.outbox import Destination, Kept, Outbox
from gateway.client.outbox_file import when_available
from gateway.client.outbox_list import kept_document, kept_lines
from gateway.client.outbox_use import while_nobody_sends
from gateway.client.push_files import AtGateway, current_reports
from gateway.count_files.messages import abbreviated
from gateway.count_files.reports import known_report
from gateway.count_files.revisions import Known
from gateway.count_files.suggestions import Suggestions
from gateway.count_files.versions import meaning
from gateway.errors import GatewayError, MalformedDocument
from gateway.humanize import counted
from gateway.output import say, say_json

NAMES_S = 3.0
"""How long the feed door may take to give the names of units, which are left out otherwise."""
ALL = "all"


class NotDiscarded(GatewayError):
    """Nothing was removed, as something has to be corrected first."""

    code = "not_discarded"


class OutboxOptions(msgspec.Struct, frozen=True):
    """What both commands need."""

    path: Path
    feed_url: str | None
    """None to leave out the names of units."""


async def list_outbox(options: OutboxOptions, election: str | None, *, as_json: bool) -> None:
    """Print what waits, to standard output. Raises OutboxUnavailable."""
    kept = await _kept(options.path, election)
    names = await _names(options.feed_url, {each.to.election for each in kept})
    if as_json:
        for each in kept:
            say_json(kept_document(each, names))
        return
    if not kept:
        say("Nothing waits in the outbox.")
        return
    for line in kept_lines(kept, names):
        say(line)


async def discard(
    options: OutboxOptions, to: Destination, units: Collection[str], push_url: str, token: str, *, yes: bool
) -> None:
    """Remove what waits for a gateway, of some units or of all; ask first. Raises GatewayError."""
    everything = await _kept(options.path, to.election)
    here = [each for each in everything if each.to == to]
    chosen = here if units == {ALL} else [each for each in here if each.item.unit in units]
    _check_units(units, here, to, {each.to.gateway for each in everything})
    if not chosen:
        say("Nothing waits in the outbox.")
        return
    with while_nobody_sends(options.path):
        pass
    names = await _names(options.feed_url, {to.election})
    for line in kept_lines(chosen, names):
        say(line)
    for line in await _at_gateway(chosen, push_url, token):
        say(line)
    several = counted(len(chosen), "report")
    if not yes and not sys.stdin.isatty():
        raise NotDiscarded("nothing was removed: there is no terminal to ask at; add --yes")
    if not yes and not answer(f"Remove {several} without sending? [y/N] ", ("y", "yes", "j", "ja")):
        raise NotDiscarded("nothing was removed")
    outbox = await when_available(lambda: Outbox(options.path), _say_error)
    try:
        with while_nobody_sends(options.path):
            removed = await when_available(lambda: outbox.discard([each.item for each in chosen]), _say_error)
    finally:
        outbox.close()
    changed = len(chosen) - removed
    note = f"; {counted(changed, 'report')} changed meanwhile and kept: see --list" if changed else ""
    say(f"Removed {counted(removed, 'report')} from the outbox{note}.")


def _check_units(
    units: Collection[str], here: Sequence[Kept], to: Destination, gateways: Collection[str]
) -> None:
    """Raise NotDiscarded for units of which nothing waits."""
    known = list(dict.fromkeys(each.item.unit for each in here))
    suggestions = Suggestions(known)
    unknown = [unit for unit in sorted(units) if unit not in known and unit != ALL]
    if not unknown:
        return
    texts = [f"{abbreviated(unit)}{suggestions.clause(unit)}" for unit in unknown]
    elsewhere = sorted({*gateways} - {to.gateway})
    other = f" (others wait for {', '.join(elsewhere)}: add --push-url)" if elsewhere else ""
    raise NotDiscarded(f"no report waits of unit {', '.join(texts)}{other}; nothing was removed")


async def _at_gateway(chosen: Sequence[Kept], push_url: str, token: str) -> list[str]:
    """Return lines about reports that have a receipt, or may have one: removing them does not withdraw them."""
    units = list(dict.fromkeys(each.item.unit for each in chosen))
    reason = "there is no token to ask the gateway"
    found: AtGateway | None = None
    if token:
        try:
            found = await current_reports(push_url, chosen[0].to.election, token, units)
        except GatewayError as error:
            reason = f"the gateway could not be asked: {error}"
    lines = []
    for each in chosen:
        state = _state(each, found.of(units) if found is not None else None)
        if state:
            lines.append(f"unit {abbreviated(each.item.unit)}, revision {each.item.revision}: {state}")
    if found is None:
        lines.append(
            f"Whether the gateway has received some of them is not known, as {reason}. What it has received stays"
            " there; removing does not withdraw it."
        )
    elif lines:
        lines.append("What the gateway has received stays there; removing does not withdraw it.")
    return lines


def _state(each: Kept, current: Mapping[str, Known | None] | None) -> str:
    """Return what is known about a receipt of a report, if it has one or may have one."""
    if each.item.answer is not None and each.item.answer.has_receipt:
        return "has a receipt, and waits to be sent again"
    if current is None or (known := current.get(each.item.unit)) is None:
        return ""
    with suppress(MalformedDocument):
        if meaning(known_report(each.item.body).document) == meaning(known.document):
            return f"is the gateway's current report, revision {known.revision}: it has a receipt"
    if each.item.revision <= known.revision:
        return f"may have a receipt; the gateway's current report is revision {known.revision}"
    return ""


async def _kept(path: Path, election: str | None) -> list[Kept]:
    if not await asyncio.to_thread(path.exists):
        return []
    outbox = await when_available(lambda: Outbox(path), _say_error)
    try:
        return list(outbox.kept(election))
    finally:
        outbox.close()


async def _names(feed_url: str | None, elections: Collection[str]) -> dict[tuple[str, str], str]:
    """Return the names of units by election and unit, as far as the feed door gives them soon."""
    found: dict[tuple[str, str], str] = {}
    if feed_url is None:
        return found
    with suppress(TimeoutError):
        async with asyncio.timeout(NAMES_S):
            for election in sorted(elections):
                with suppress(GatewayError):
                    registry = await registry_of(feed_url, election)
                    found |= {(election, unit): area.name for unit, area in registry.units.items()}
    return found


def _say_error(line: str) -> None:
    say(line, err=True)
