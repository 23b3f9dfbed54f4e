"""What `valgnatt push` says to a person: what will be sent, how far it is, what came of it."""

import asyncio
import csv
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.client.handing_in import (
    LOOK_S,
    Count,
    Directory,
    Mistakes,
    current_revisions,
    destination,
    file_digest,
    ready,
    registry_of,
    send,
    without_revision,
)
from gateway.client.outbox import Destination, Item, Outbox, OutboxConflict
from gateway.client.publisher import Answer
from gateway.election.registry import Registry
from gateway.errors import GatewayError
from gateway.terminal import Terminal

SHOWN_MAX = 20
"""Lines of what will be sent."""


class Wish(msgspec.Struct, frozen=True):
    """What was asked for."""

    push_url: str
    feed_url: str | None
    """Whose registry reports are checked by; None to leave that to the gateway."""
    election: str
    token: str
    outbox: Path
    receipts: Path | None
    yes: bool
    again: bool = False
    """Whether to send once more what has its receipt."""
    moved_from: str | None = None
    """The gateway's former push door, whose reports are taken over."""

    @property
    def to(self) -> Destination:
        """Under which key the outbox keeps the reports."""
        return destination(self.push_url, self.election)


async def push(wish: Wish, files: Sequence[Path], watched: Path | None) -> int:
    """Hand in files, and what appears in a directory; return the exit status.

    0: every report of the files, and all that waited, has a receipt that this gateway gave or repeated in this run;
    1: some have none; 2: something is wrong with a file, and nothing was sent.
    """
    console = Terminal(stderr=True, soft_wrap=True)
    registry = await registry_of(wish.feed_url, wish.election) if wish.feed_url is not None else None
    outbox = Outbox(wish.outbox)
    try:
        outbox.adopt_unnamed(wish.to)
        if wish.moved_from is not None:
            moved = outbox.move(destination(wish.moved_from, wish.election), wish.to)
            console.say(f"{moved} reports are taken over from {wish.moved_from}.")
        if wish.again:
            console.say(f"{outbox.again(wish.to)} reports are sent once more.")
        left = len(list(outbox.waiting(wish.to)))
        if left:
            console.say(f"{left} reports wait from before; they are sent first.")
        elsewhere = outbox.elsewhere(wish.to, answered=wish.again)
        for gateway, count in elsewhere.items():
            console.say(
                f"{count} reports are kept for {gateway} and are not sent to {wish.to.gateway};"
                f" if that is the same gateway, add --moved-from {gateway}",
                "yellow",
            )
        contents = {str(path): _read(path) for path in files}
        if contents:
            counts = await _ready(wish, contents, registry, outbox)
            _show(console, counts, registry)
            if not wish.yes and sys.stdin.isatty() and not _agreed():
                return 1
            _take(outbox, wish.to, counts, contents)
        status = await _send(wish, outbox, console)
        if watched is not None:
            await _watch(wish, watched, registry, outbox, console)
        return 1 if elsewhere and not contents else status
    finally:
        outbox.close()


async def _ready(
    wish: Wish,
    contents: Mapping[str, bytes],
    registry: Registry | None,
    outbox: Outbox,
    *,
    unattended: bool = False,
) -> list[Count]:
    """Read and check files, and number what leaves its revision to us.

    A file that was handed in before keeps its numbers. A person who hands in an old file once more, after a newer
    count of the same unit, wants it to count again: that unit gets a new number. A directory is no such wish
    (`unattended`).
    """
    to = wish.to

    def numbered(content: bytes) -> list[tuple[str, int]]:
        known = outbox.numbers(to, file_digest(content)) or []
        latest: dict[str, int] = {}
        for unit, revision in known:
            latest[unit] = max(latest.get(unit, 0), revision)
        overtaken = {unit for unit, revision in latest.items() if outbox.last_revision(to, unit) > revision}
        return [
            ("", 0) if unit in overtaken and not unattended else (unit, revision) for unit, revision in known
        ]

    unknown = [unit for unit in without_revision(contents) if not outbox.last_revision(to, unit)]
    at_gateway = await current_revisions(wish.push_url, wish.election, wish.token, unknown) if unknown else {}
    return ready(
        contents,
        registry,
        lambda unit: max(outbox.last_revision(to, unit), at_gateway.get(unit, 0)),
        numbered,
    )


def _take(outbox: Outbox, to: Destination, counts: Sequence[Count], contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        reports = [(each.unit, each.revision, each.body) for each in counts if each.file == name]
        outbox.add(to, reports, file_digest(content))


async def _send(wish: Wish, outbox: Outbox, console: Terminal) -> int:
    waiting = len(list(outbox.waiting(wish.to)))
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("sending", total=waiting)
        answered = await send(outbox, wish.to, wish.push_url, wish.token, lambda *_: progress.advance(bar))
    if wish.receipts is not None:
        write_receipts(wish.receipts, outbox, wish.to)
    return _conclude(console, answered)


def _conclude(console: Terminal, answered: Sequence[tuple[Item, Answer]]) -> int:
    console.say(summary(answered))
    for item, answer in answered:
        which = f"unit {item.unit}, revision {item.revision}"
        if answer.outcome == "refused" and answer.code != "stale_revision":
            reasons = "; ".join(f"{each.get('path')}: {each.get('detail')}" for each in answer.violations)
            console.say(f"refused: {which}: {reasons or answer.code}", "red")
        elif answer.outcome == "refused":
            console.say(f"no receipt: {which}: a newer one, {answer.current_revision}, is in already")
        for warning in answer.warnings:
            console.say(f"note: {which}: {warning.replace('_', ' ')}", "yellow")
    return 0 if all(answer.has_receipt for _, answer in answered) else 1


def summary(answered: Sequence[tuple[Item, Answer]]) -> str:
    """PURE: say how many receipts this run got, and what a person should know of them."""
    receipts = [answer for _, answer in answered if answer.has_receipt]
    known = sum(answer.outcome == "duplicate" for answer in receipts)
    embargoed = sum(answer.state == "embargoed" for answer in receipts)
    gone = sum(
        item.answer is not None and item.answer.has_receipt and answer.outcome != "duplicate"
        for item, answer in answered
    )
    parts = [f"{len(receipts)} receipts"]
    if known:
        parts[0] += f" ({len(receipts) - known} new, {known} that the gateway had already)"
    if embargoed:
        parts.append(f"{embargoed} of them under embargo")
    if gone:
        parts.append(f"{gone} reports had receipts from before that this gateway no longer knows")
    return ", ".join(parts)


async def _watch(
    wish: Wish, watched: Path, registry: Registry | None, outbox: Outbox, console: Terminal
) -> None:
    """Send what appears in a directory, until interrupted; a file with mistakes is told once and left alone."""
    directory = Directory(watched)
    console.say(f"watching {watched}; Ctrl-C ends it")
    while True:
        for name, content in directory.new().items():
            try:
                counts = await _ready(wish, {name: content}, registry, outbox, unattended=True)
                _take(outbox, wish.to, counts, {name: content})
            except (Mistakes, OutboxConflict) as error:
                directory.done(name, content)
                console.say(f"{name} is not sent:", "red")
                for mistake in getattr(error, "mistakes", (str(error),)):
                    console.say(mistake, "red")
            except GatewayError as error:
                console.say(f"{name}: {error}", "red")
            else:
                directory.done(name, content)
                console.say(f"{name}: {len(counts)} reports")
                await _send(wish, outbox, console)
        await asyncio.sleep(LOOK_S)


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


def _agreed() -> bool:
    """Ask. The first Ctrl-C ends the command; the handler of asyncio.run would not interrupt `input`."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return input("Send? [y/N] ").strip().lower() in ("y", "yes", "j", "ja")
    finally:
        signal.signal(signal.SIGINT, before)


def write_receipts(path: Path, outbox: Outbox, to: Destination) -> None:
    """Write what a gateway answered to every report, as a table; all of the outbox for it, each time anew."""
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["unit", "revision", "outcome", "code", "state", "sequence", "digest", "accepted_at"])
        for item in outbox.answers(to):
            answer = item.answer
            assert answer is not None
            accepted_at = answer.accepted_at.isoformat() if answer.accepted_at is not None else ""
            table.writerow(
                [
                    item.unit, item.revision, answer.outcome, answer.code or "", answer.state or "",
                    answer.sequence if answer.sequence is not None else "", answer.digest or "", accepted_at,
                ]
            )  # fmt: skip
    part.replace(path)
