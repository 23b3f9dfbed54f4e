"""`valgnatt push --list` and `--discard`: list the reports waiting in the outbox, or remove them."""

import asyncio
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway.client.consent import AGREEING, answer
from gateway.client.documents import registry_of
from gateway.client.outbox import Outbox
from gateway.client.outbox_file import when_available
from gateway.client.outbox_items import Destination, Kept
from gateway.client.outbox_list import kept_document, kept_lines, proof_lines
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
"""How long to wait for the names of units from the feed door, in seconds; without them, names are omitted."""
ALL = "all"


class NotDiscarded(GatewayError):
    """No report was removed from the outbox; the message says why."""

    code = "not_discarded"


class OutboxOptions(msgspec.Struct, frozen=True):
    """Options that both commands use."""

    path: Path
    feed_url: str | None
    """None to omit the names of units."""


async def list_outbox(options: OutboxOptions, election: str | None, *, as_json: bool) -> None:
    """Print the reports waiting in the outbox to standard output. Raises OutboxUnavailable."""
    kept = await _kept(options.path, election)
    names = await _names(options.feed_url, {each.to.election for each in kept})
    if as_json:
        for each in kept:
            say_json(kept_document(each, names))
        return
    if not kept:
        say("Nothing waits in the outbox.")
    for line in (*kept_lines(kept, names), *await _proofs(options.path, election)):
        say(line)


async def discard(
    options: OutboxOptions, to: Destination, units: Collection[str], push_url: str, token: str, *, yes: bool
) -> None:
    """Remove the waiting reports of some units, or of all, for one gateway; ask first. Raises GatewayError."""
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
    if not yes and not answer(f"Remove {several} without sending? [y/N] ", AGREEING):
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
    """Raise NotDiscarded if a unit has no waiting report."""
    known = list(dict.fromkeys(each.item.unit for each in here))
    suggestions = Suggestions(known)
    unknown = [unit for unit in sorted(units) if unit not in known and unit != ALL]
    if not unknown:
        return
    texts = [f"{abbreviated(unit)}{suggestions.clause(unit)}" for unit in unknown]
    elsewhere = sorted({*gateways} - {to.gateway})
    other = f" (others wait for {', '.join(elsewhere)}: add --push-url)" if elsewhere else ""
    raise NotDiscarded(f"no waiting report of unit {', '.join(texts)}{other}; nothing was removed")


async def _at_gateway(chosen: Sequence[Kept], push_url: str, token: str) -> list[str]:
    """Return lines about reports that have, or may have, a receipt: removing them here does not withdraw them."""
    units = list(dict.fromkeys(each.item.unit for each in chosen))
    reason = "there is no token to ask it with"
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
            f"It is not known which of them the gateway has received, since {reason}. Reports that it has received stay"
            " there; removing them here does not withdraw them."
        )
    elif lines:
        lines.append(
            "Reports that the gateway has received stay there; removing them here does not withdraw them."
        )
    return lines


def _state(each: Kept, current: Mapping[str, Known | None] | None) -> str:
    """Return in words whether a report has, or may have, a receipt; empty if nothing suggests one."""
    if each.item.answer is not None and each.item.answer.has_receipt:
        return "has a receipt, and waits to be sent again"
    if current is None or (known := current.get(each.item.unit)) is None:
        return ""
    with suppress(MalformedDocument):
        if meaning(known_report(each.item.body).document) == meaning(known.document):
            return f"is the gateway's newest report, revision {known.revision}: it has a receipt"
    if each.item.revision <= known.revision:
        return f"may have a receipt; the gateway's newest report is revision {known.revision}"
    return ""


async def _kept(path: Path, election: str | None) -> list[Kept]:
    if not await asyncio.to_thread(path.exists):
        return []
    outbox = await when_available(lambda: Outbox(path), _say_error)
    try:
        return list(outbox.kept(election))
    finally:
        outbox.close()


async def _proofs(path: Path, election: str | None) -> list[str]:
    """Return lines about the proofs in an outbox."""
    if not await asyncio.to_thread(path.exists):
        return []
    outbox = await when_available(lambda: Outbox(path), _say_error)
    try:
        lines = []
        for gateway, of_election, proofs in outbox.proofs.counts(election):
            to = Destination(gateway, of_election)
            lines += proof_lines(to, proofs, sum(1 for _ in outbox.proofs.missing(to)))
        return lines
    finally:
        outbox.close()


async def _names(feed_url: str | None, elections: Collection[str]) -> dict[tuple[str, str], str]:
    """Return the names of units by election and unit, as far as the feed door answers within NAMES_S."""
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
