"""The command `valgnatt push`: shows what will be sent, the progress, and the answers."""

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.client.outbox import Destination, Item, Outbox
from gateway.client.push_answers import Answer, PushRefused
from gateway.client.push_directory import push_directory
from gateway.client.push_files import (
    Count,
    Mistakes,
    current_revisions,
    destination,
    file_digest,
    read_files,
    registry_of,
    units_without_revision,
)
from gateway.client.receipts_table import write_receipts
from gateway.client.sending import send
from gateway.election.registry import Registry
from gateway.humanize import counted
from gateway.terminal import Terminal

SHOWN_MAX = 20
"""Rows of the table of reports."""


class PushOptions(msgspec.Struct, frozen=True):
    """The options of the command."""

    push_url: str
    feed_url: str | None
    """Feed door whose registry is used to check reports; None to leave checking to the gateway."""
    election: str
    token: str
    outbox: Path
    receipts: Path | None
    yes: bool
    again: bool = False
    """Whether to resend reports that have a receipt."""
    moved_from: str | None = None
    """The gateway's former push door; reports kept for it are taken over."""

    @property
    def to(self) -> Destination:
        """The key under which the outbox keeps the reports."""
        return destination(self.push_url, self.election)


async def push(options: PushOptions, files: Sequence[Path], watched: Path | None) -> int:
    """Push files, and new files of a watched directory; return the exit status.

    0: every report, including those that waited in the outbox, has a receipt that this gateway gave or confirmed in
    this run; 1: some have none. Raises Mistakes if a file is not valid; nothing is sent then.
    """
    console = Terminal(stderr=True, soft_wrap=True)
    registry = await registry_of(options.feed_url, options.election) if options.feed_url is not None else None
    outbox = Outbox(options.outbox)
    try:
        outbox.adopt_unnamed(options.to)
        if options.moved_from is not None:
            moved = outbox.move(destination(options.moved_from, options.election), options.to)
            console.say(f"Took over {counted(moved, 'report')} from {options.moved_from}.")
        if options.again:
            console.say(f"Resending {counted(outbox.resend_confirmed(options.to), 'confirmed report')}.")
        left = len(list(outbox.waiting(options.to)))
        if left:
            console.say(f"Sending {counted(left, 'report')} from the outbox first.")
        elsewhere = outbox.at_other_gateways(options.to, include_answered=options.again)
        for gateway, count in elsewhere.items():
            console.say(
                f"The outbox has {counted(count, 'report')} for {gateway}, not sent to {options.to.gateway};"
                f" if it is the same gateway, add --moved-from {gateway}",
                "yellow",
            )
        contents = {str(path): _read(path) for path in files}
        if contents:
            counts = await _ready(options, contents, registry, outbox)
            _show(console, counts, registry)
            if not options.yes and sys.stdin.isatty() and not _confirmed():
                return 1
            _add(outbox, options.to, counts, contents)
        status = await _send(options, outbox, console, keep_trying=watched is not None)
        if watched is not None:
            await _watch(options, watched, registry, outbox, console)
        return 1 if elsewhere and not contents else status
    finally:
        outbox.close()


async def _ready(
    options: PushOptions,
    contents: Mapping[str, bytes],
    registry: Registry | None,
    outbox: Outbox,
    *,
    unattended: bool = False,
) -> list[Count]:
    """Read and check files, and give revisions to the reports without one.

    A file that was pushed before keeps its revisions. If a person pushes an old file again after a newer count of the
    same unit, the old count is meant to be current again, so that unit gets a new revision. In a watched directory
    (`unattended`) it keeps the old one.
    """
    to = options.to

    def known_revisions(content: bytes) -> list[tuple[str, int]]:
        known = outbox.revisions_of_file(to, file_digest(content)) or []
        latest: dict[str, int] = {}
        for unit, revision in known:
            latest[unit] = max(latest.get(unit, 0), revision)
        superseded = {unit for unit, revision in latest.items() if outbox.last_revision(to, unit) > revision}
        return [
            ("", 0) if unit in superseded and not unattended else (unit, revision) for unit, revision in known
        ]

    unknown = [unit for unit in units_without_revision(contents) if not outbox.last_revision(to, unit)]
    at_gateway = (
        await current_revisions(options.push_url, options.election, options.token, unknown) if unknown else {}
    )
    return read_files(
        contents,
        registry,
        lambda unit: max(outbox.last_revision(to, unit), at_gateway.get(unit, 0)),
        known_revisions,
    )


def _add(outbox: Outbox, to: Destination, counts: Sequence[Count], contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        reports = [(each.unit, each.revision, each.body) for each in counts if each.file == name]
        outbox.add(to, reports, file_digest(content))


async def _send(options: PushOptions, outbox: Outbox, console: Terminal, *, keep_trying: bool) -> int:
    """Send what waits in the outbox; with `keep_trying`, also after errors that somebody has to correct."""
    waiting = len(list(outbox.waiting(options.to)))
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("sending", total=waiting)
            answered = await send(
                outbox,
                options.to,
                options.push_url,
                options.token,
                lambda *_: progress.advance(bar),
                say=lambda line: console.say(line, "yellow"),
                keep_trying=keep_trying,
            )
    except PushRefused as error:
        left = len(list(outbox.waiting(options.to)))
        raise PushRefused(
            f"{error}; {counted(left, 'report')} without a receipt kept in the outbox"
        ) from None
    if options.receipts is not None:
        write_receipts(options.receipts, outbox, options.to)
    return _conclude(console, answered)


def _conclude(console: Terminal, answered: Sequence[tuple[Item, Answer]]) -> int:
    console.say(summary(answered))
    for item, answer in answered:
        which = f"unit {item.unit}, revision {item.revision}"
        if answer.outcome == "refused" and answer.code != "stale_revision":
            reasons = "; ".join(f"{each.get('path')}: {each.get('detail')}" for each in answer.violations)
            console.say(f"refused: {which}: {reasons or answer.code}", "red")
        elif answer.outcome == "refused":
            console.say(f"no receipt: {which}: revision {answer.current_revision} has already been accepted")
        for warning in answer.warnings:
            console.say(f"note: {which}: {warning.replace('_', ' ')}", "yellow")
    return 0 if all(answer.has_receipt for _, answer in answered) else 1


def summary(answered: Sequence[tuple[Item, Answer]]) -> str:
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


async def _watch(
    options: PushOptions, watched: Path, registry: Registry | None, outbox: Outbox, console: Terminal
) -> None:
    async def add(name: str, content: bytes) -> int:
        counts = await _ready(options, {name: content}, registry, outbox, unattended=True)
        _add(outbox, options.to, counts, {name: content})
        return len(counts)

    async def send() -> None:
        await _send(options, outbox, console, keep_trying=True)

    await push_directory(watched, console, add, send)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Mistakes([f"{path}: {error.strerror}"]) from None


def _show(console: Terminal, counts: Sequence[Count], registry: Registry | None) -> None:
    table = Table("unit", "name", "revision", "status", "ballots", box=None, pad_edge=False)
    for count in counts[:SHOWN_MAX]:
        area = registry.by_id.get(count.unit) if registry is not None else None
        name = area.name if area is not None else ""
        table.add_row(count.unit, name, str(count.revision), count.status, f"{count.ballots}")
    console.print(table)
    if len(counts) > SHOWN_MAX:
        console.say(f"… and {len(counts) - SHOWN_MAX} more")


def _confirmed() -> bool:
    """Ask whether to send. Ctrl-C ends the command at once; asyncio's handler would not interrupt `input`."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return input("Send? [y/N] ").strip().lower() in ("y", "yes", "j", "ja")
    finally:
        signal.signal(signal.SIGINT, before)
