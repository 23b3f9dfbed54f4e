"""The command `valgnatt push`: shows what will be sent, the progress, and the answers."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from gateway.backoff import Backoff
from gateway.client.completeness import SETTLE_S
from gateway.client.consent import Consent, check_red_lines
from gateway.client.delivery import Delivery
from gateway.client.documents import registry_of
from gateway.client.http_json import NoDocument
from gateway.client.outbox import Outbox
from gateway.client.outbox_file import when_available
from gateway.client.outbox_items import Destination
from gateway.client.outbox_use import lock_file, use_for_sending
from gateway.client.preparation import Door
from gateway.client.preview import holds, red_lines, warnings
from gateway.client.proof_fetching import ProofSource
from gateway.client.push_directory import Delivering, push_directory
from gateway.client.push_files import destination
from gateway.client.push_proofs import PushProofs
from gateway.client.receipts_table import part_of
from gateway.client.regular_files import UnreadableFile, read_named
from gateway.client.repeated_notices import RepeatedNotices
from gateway.client.watched_directory import WatchedDirectory
from gateway.count_files.reports import FILES_MAX, Mistakes
from gateway.election.registry import Registry
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.terminal import Terminal


class NoToken(GatewayError):
    """There is no token; nothing was sent."""

    code = "no_token"


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
    settle_s: float = SETTLE_S
    """How long a file in a watched directory must not change, where nothing else says that it is complete."""
    await_done: bool = False
    """Whether a file in a watched directory is complete only if a file `NAME.done` says so."""
    accept: bool = False
    """Whether to send reports that cross red lines, as far as these are listed."""
    without_token: str = ""
    """Why there is no token, if there is none."""
    later: str = ""
    """The command that sends the reports waiting in the outbox, as the user would type it."""

    log_url: str | None = None
    """Feed door from which proofs are fetched, also if reports are not checked; None for `feed_url`."""
    proofs: Path | None = None
    """Directory to which the proofs of reports are written."""

    @property
    def to(self) -> Destination:
        """The key under which the outbox keeps the reports."""
        return destination(self.push_url, self.election)


async def push(options: PushOptions, files: Sequence[Path], watched: Path | None) -> int:
    """Push files, and new files of a watched directory; return the exit status.

    0: every report, including those that waited in the outbox, has a receipt that this gateway gave or confirmed in
    this run; 1: some have none. Raises Mistakes if a file is not valid, or it is not known whether its counts are the
    newest ones; nothing is sent then.
    """
    console = Terminal(stderr=True, soft_wrap=True)
    contents = _read_all(files)
    if not contents or watched is not None:
        _require_token(options)
    keep_trying = watched is not None

    def say(line: str) -> None:
        console.say(line, "yellow")

    has_files = bool(contents) or watched is not None
    registry = await _registry(
        options, say, has_files=has_files, keep_trying=keep_trying or sys.stdin.isatty()
    )
    outbox = await when_available(lambda: Outbox(options.outbox), say, keep_trying=keep_trying)
    use = await when_available(lambda: use_for_sending(options.outbox), say, keep_trying=keep_trying)
    proofs = _proofs(options, outbox, console)
    try:
        async with proofs.beside(keep_fetching=watched is not None):
            status = await _push_with(options, contents, watched, registry, outbox, proofs, console)
        await proofs.write()
        return status
    finally:
        use.end()
        outbox.close()


async def _push_with(
    options: PushOptions,
    contents: Mapping[str, bytes],
    watched: Path | None,
    registry: Registry | None,
    outbox: Outbox,
    proofs: PushProofs,
    console: Terminal,
) -> int:
    """Push with an open outbox, beside the fetching of proofs; return the exit status."""
    keep_trying = watched is not None

    def say(line: str) -> None:
        console.say(line, "yellow")

    delivery = Delivery(
        Door(options.push_url, options.token, options.to),
        registry,
        outbox,
        options.receipts,
        console,
        keep_trying=keep_trying,
        accept=options.accept,
        unchecked=options.feed_url is None,
        later=options.later,
    )
    await when_available(lambda: outbox.adopt_unnamed(options.to), say, keep_trying=keep_trying)
    if options.moved_from is not None:
        former = destination(options.moved_from, options.election)
        moved = await when_available(lambda: outbox.move(former, options.to), say, keep_trying=keep_trying)
        console.say(f"Took over {counted(moved, 'report')} from {options.moved_from}.")
    if contents:
        reports = delivery.read(contents)
        _require_token(options)
        prepared = await delivery.prepare(reports)
        consent = Consent(console, yes=options.yes, accept=options.accept)
        try:
            is_given = consent.given(prepared.counts, prepared.comparisons, prepared.unanswered)
        except KeyboardInterrupt:
            console.say("")
            _say_not_sent(console, outbox.waiting_count(options.to))
            raise
        if not is_given:
            _say_not_sent(console, outbox.waiting_count(options.to))
            return 1
    if options.again:
        again = await when_available(
            lambda: outbox.resend_confirmed(options.to), say, keep_trying=keep_trying
        )
        console.say(f"Resending {counted(again, 'confirmed report')}.")
    left = outbox.waiting_count(options.to)
    if left:
        console.say(f"Sending {counted(left, 'report')} from the outbox first.")
    elsewhere = _show_elsewhere(console, options, outbox)
    if contents:
        await when_available(
            lambda: delivery.add(prepared.counts, prepared.comparisons), say, keep_trying=keep_trying
        )
    if watched is not None:
        await _watch(options, watched, delivery, proofs, console)
    status = await delivery.send()
    if not contents and not left:
        await proofs.wait()
        delivery.write_receipts()
    return 1 if elsewhere and not contents else status


def _proofs(options: PushOptions, outbox: Outbox, console: Terminal) -> PushProofs:
    feed_url = options.log_url or options.feed_url
    source = None if feed_url is None else ProofSource(feed_url, options.push_url, options.to, options.token)
    return PushProofs(source, outbox, options.to, options.proofs, console)


def _require_token(options: PushOptions) -> None:
    """Raise NoToken unless there is one; before that, files can be checked without any."""
    if not options.token:
        raise NoToken(options.without_token)


async def _registry(
    options: PushOptions, say: Callable[[str], None], *, has_files: bool, keep_trying: bool
) -> Registry | None:
    """Read the registry; with `keep_trying`, try again after a failure that may pass. Raises GatewayError.

    Reports waiting in the outbox were checked when they were added, and are sent without it.
    """
    if options.feed_url is None:
        return None
    clock = asyncio.get_running_loop().time
    backoff, notices = Backoff(1.0, 30.0), RepeatedNotices()
    while True:
        try:
            return await registry_of(options.feed_url, options.election)
        except NoDocument as error:
            if not has_files:
                return None
            _require_token(options)  # nothing can be checked now, but a missing token can be reported
            if not keep_trying or error.failure.permanent:
                raise
            if notices.is_due("registry", str(error), clock()):
                say(
                    f"{error}; the counts cannot be checked, and nothing was sent or kept yet; trying again (Ctrl-C to"
                    " stop; then start the command again later)"
                )
        await asyncio.sleep(backoff.next())


def _show_elsewhere(console: Terminal, options: PushOptions, outbox: Outbox) -> bool:
    """Show how many reports wait for other gateways; return whether any does."""
    elsewhere = outbox.at_other_gateways(options.to, include_answered=options.again)
    for gateway, count in elsewhere.items():
        console.say(
            f"The outbox has {counted(count, 'report')} for {gateway}, not sent to {options.to.gateway};"
            f" if it is the same gateway, add --moved-from {gateway}",
            "yellow",
        )
    return bool(elsewhere)


async def _watch(
    options: PushOptions, watched: Path, delivery: Delivery, proofs: PushProofs, console: Terminal
) -> None:
    async def add(files: Mapping[str, bytes]) -> int:
        prepared = await delivery.prepare(delivery.read(files))
        check_red_lines(prepared.counts, prepared.comparisons, accept=options.accept)
        found = prepared.comparisons
        for line in (*warnings(found), *holds(found), *red_lines(found)):
            console.say(line, "yellow")
        delivery.add(prepared.counts, prepared.comparisons)
        return len(prepared.counts)

    async def send() -> None:
        await delivery.send()
        proofs.reports_sent()

    own = [options.outbox.with_name(options.outbox.name + end) for end in ("", "-wal", "-shm", "-journal")]
    own.append(lock_file(options.outbox))
    if options.receipts is not None:
        own += [options.receipts, part_of(options.receipts)]
    directory = WatchedDirectory(watched, settle_s=options.settle_s, only_stated=options.await_done, own=own)
    await push_directory(directory, console, Delivering(add, send, delivery.write_receipts))


def _read(path: Path) -> bytes:
    """Return the content of a regular file. Raises Mistakes."""
    try:
        return read_named(path)
    except UnreadableFile as error:
        raise Mistakes([f"{path}: {error}"]) from None


def _read_all(paths: Sequence[Path]) -> dict[str, bytes]:
    """Return the contents of files, no more than a command takes. Raises Mistakes."""
    contents: dict[str, bytes] = {}
    size = 0
    for path in paths:
        contents[str(path)] = content = _read(path)
        size += len(content)
        if size > FILES_MAX:
            break
    return contents


def _say_not_sent(console: Terminal, waiting: int) -> None:
    """Show after the answer "no" that nothing was sent, including reports that waited before."""
    earlier = (
        f" {counted(waiting, 'report')} of earlier commands still waiting in the outbox." if waiting else ""
    )
    console.say(f"Nothing was sent.{earlier}")


def what_is_kept(options: PushOptions) -> str:
    """Return how many reports an interrupted command leaves in the outbox, and the command that sends them."""
    try:
        outbox = Outbox(options.outbox)
        try:
            waiting = outbox.waiting_count(options.to)
        finally:
            outbox.close()
    except GatewayError:
        return "reports without a receipt stay in the outbox"
    if not waiting:
        return "nothing waits in the outbox"
    stay = "stays" if waiting == 1 else "stay"
    return f"{counted(waiting, 'report')} without a receipt {stay} in the outbox; send later with: {options.later}"
