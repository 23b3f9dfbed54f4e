"""`valgnatt push`, `watch` and `status`: the commands of those who send counts and follow the result."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.characters import printable
from gateway.commands.arguments import (
    OF_THIS_MACHINE,
    AsJsonLines,
    ElectionOption,
    FeedUrl,
    GivenPushUrl,
    PushUrl,
    checked_url,
    push_door_url,
    read_areas,
    read_token,
)
from gateway.commands.outboxes import Asked, list_or_discard
from gateway.commands.running import fail, run
from gateway.output import say, write_out


def push(
    context: typer.Context,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="counts as .xlsx, .csv, .json, .ndjson or .xml; see --template"),
    ] = None,
    election: Annotated[str, typer.Option(help="the election's identifier (default: none, required)")] = "",
    push_url: PushUrl = OF_THIS_MACHINE,
    feed_url: FeedUrl = OF_THIS_MACHINE,
    token_file: Annotated[
        Path | None, typer.Option(help="file with the token (default: the variable VALGNATT_TOKEN)")
    ] = None,
    outbox: Annotated[
        Path | None,
        typer.Option(
            help="file that keeps counts until they have a receipt (default: in your state directory)"
        ),
    ] = None,
    receipts: Annotated[
        Path | None, typer.Option(help="CSV file to which every answer is written (default: none)")
    ] = None,
    proofs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="directory to which the proofs of reports are written, UNIT-REVISION.tlog-proof (default: none)",
            show_default=False,
            file_okay=False,
        ),
    ] = None,
    watch: Annotated[
        Path | None,
        typer.Option(
            help="directory whose files are sent as well, each when it is complete, until Ctrl-C (default: none)",
            file_okay=False,
        ),
    ] = None,
    settle_s: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=3600.0,
            help="with --watch: seconds for which a file must not change before it is sent, where the system does not"
            " report that its writer has closed it",
        ),
    ] = 10.0,
    await_done: Annotated[
        bool,
        typer.Option(
            "--await-done", help="with --watch: send a file only when there is a file NAME.done beside it"
        ),
    ] = False,
    template: Annotated[
        bool, typer.Option("--template", help="print an empty CSV table to fill in, and send nothing")
    ] = False,
    areas: Annotated[
        str, typer.Option(help="with --template: areas whose units are listed (default: all)")
    ] = "",
    unchecked: Annotated[
        bool,
        typer.Option(
            "--unchecked",
            help="do not check counts before sending; the gateway checks them, except for times in the future,"
            " missing categories and red lines",
        ),
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="resend counts that already have a receipt, after the gateway's database was restored",
        ),
    ] = False,
    moved_from: Annotated[
        str | None,
        typer.Option(
            callback=checked_url,
            help="former URL of the gateway's push door; takes over the outbox entries for it (default: none)",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="do not ask before sending; does not cover red lines")
    ] = False,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept",
            help="send counts that cross red lines too, such as more ballots than eligible voters, if the figures are"
            " right all the same; with --watch, in all files",
        ),
    ] = False,
    list_: Annotated[
        bool,
        typer.Option(
            "--list", help="list the reports waiting in the outbox, for every gateway, and send nothing"
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="with --list: print JSON, one report per line")
    ] = False,
    discard: Annotated[
        str,
        typer.Option(
            metavar="UNITS",
            help="remove the reports of these units, separated by commas, or 'all', that wait for this gateway, and"
            " send nothing; asks first (default: none)",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Push counts from files.

    For a municipality without its own system.

    Files are regular files of at most 20 MiB; standard input is not read. Tables are read as spreadsheets save them: as
    .xlsx, or as .csv with semicolons, tabs or commas, in UTF-8, UTF-16 or Windows-1252. Columns and statuses may be in
    Norwegian or English, times in the election's zone (09.09.2024 22:05). A figure that can be read in two ways, such
    as 1.234, is a mistake; totals are checked and left out. An .xml file is EML 510 of at most 8 MiB: each unit with
    votes is a report, and its revision follows from the time of the document.

    All files are checked before anything is sent, and without a token. Then each report is shown beside the gateway's
    current one, with warnings. A report that crosses a red line (more ballots in the municipality than eligible voters,
    a fall without a reason) is sent only after a typed "yes", or with --accept.

    All lines of a unit, in all files, are one report. A report without a revision gets the next one if it was counted
    later than the gateway's current report; that report again gets its receipt again. If it is not known which count
    is newer, nothing is sent.

    A report replaces the current one with all its categories. If it lacks one of them, it is sent only with a revision
    and a reason. A time in the future is a mistake.

    Reports are first written to an outbox on disk, and are sent even if the network, the gateway or this machine fails
    meanwhile: run the command again, with or without files. The outbox keeps reports per gateway.

    If the election has a signed log, each published report gets a proof that it is in the record. No report and no end
    of this command waits for one: missing proofs are fetched from the feed door while later commands run, with --watch
    all the time, and for 10 s if there is nothing to send. The outbox keeps them; --proofs writes them as files.

    While nothing can be sent, the reason is shown at intervals. It is safe to stop then: --list shows the waiting
    reports, and the command without files sends them. Proxies are those of http_proxy, https_proxy and no_proxy.

    Exit status 0: every report in the files, and every one that waited in the outbox for this gateway, has a receipt
    that this gateway gave or repeated in this run; 1: some have none, since they were refused, or a newer one is in, or
    the gateway could not be reached or asked; 2: a file has mistakes or crosses a red line, or it is not known whether
    its counts are the newest, and nothing was sent.
    """
    path = outbox or _default_outbox()
    if list_ or discard or as_json:
        asked = Asked(
            path, None if unchecked else feed_url, election, push_url, read_token(token_file)[0], yes
        )
        list_or_discard(asked, units=discard, as_list=list_, as_json=as_json)
        return
    if not election:
        fail("no election given; use --election", 2)
    if template:
        write_out(run(_template(feed_url, election, read_areas(areas))))
        return
    if await_done and watch is None:
        fail("--await-done is for files of a directory; add --watch", 2)
    from gateway.client.push_command import NoToken, PushOptions, what_is_kept
    from gateway.client.push_command import push as push_files
    from gateway.count_files.reports import Mistakes

    if proofs is not None and watch is not None and proofs.resolve() == watch.resolve():
        fail("--proofs is the directory of --watch, whose files are counts; name another one", 2)
    _check_writable(receipts, proofs)
    token, without_token = read_token(token_file)
    options = PushOptions(
        push_url,
        None if unchecked else feed_url,
        election,
        token,
        path,
        receipts,
        yes,
        again,
        moved_from,
        settle_s,
        await_done,
        accept,
        without_token,
        _later(context),
        feed_url,
        proofs,
    )
    try:
        sys.exit(run(push_files(options, files or [], watch)))
    except Mistakes as error:
        for mistake in error.mistakes:
            say(printable(mistake), err=True)
        fail("nothing was sent", 2)
    except NoToken as error:
        fail(f"{error}; nothing was sent", 2)
    except KeyboardInterrupt:
        say(f"valgnatt: interrupted; {what_is_kept(options)}", err=True)
        sys.exit(130)


def _check_writable(receipts: Path | None, proofs: Path | None) -> None:
    """Exit with status 2 if the table of receipts or the files of proofs could not be written."""
    from gateway.client.proof_files import ProofsUnavailable, check_directory
    from gateway.client.receipts_table import ReceiptsUnavailable, check_receipts

    try:
        if receipts is not None:
            check_receipts(receipts)
    except ReceiptsUnavailable as error:
        fail(f"--receipts {error}", 2)
    try:
        if proofs is not None:
            check_directory(proofs)
    except ProofsUnavailable as error:
        fail(f"--proofs {error}", 2)


def watch(
    area: Annotated[
        str | None,
        typer.Argument(
            help="area to follow, with its children, by identifier or name (default: the country)"
        ),
    ] = None,
    election: ElectionOption = None,
    feed_url: FeedUrl = OF_THIS_MACHINE,
    as_json: AsJsonLines = False,
) -> None:
    """Follow the results live in the terminal, until Ctrl-C.

    --feed-url may also be that of a mirror. While there is no stream, the mirror that the gateway names is read.

    Ends with status 1 if the feed door cannot be reached at the start; afterwards it reconnects by itself. The lag is
    the time from the publication of a count to its arrival here. Proxies are those of http_proxy, https_proxy and
    no_proxy.
    """
    from gateway.client.watch_command import watch as watch_results

    try:
        run(watch_results(feed_url, election, area, as_json=as_json))
    except KeyboardInterrupt:
        sys.exit(130)


def status(
    election: ElectionOption = None,
    feed_url: FeedUrl = OF_THIS_MACHINE,
    push_url: GivenPushUrl = OF_THIS_MACHINE,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            "--token",
            help="file with a token; shows what the token may see on the push door, also under embargo (default: what"
            " is public)",
        ),
    ] = None,
    every_row: Annotated[bool, typer.Option("--all", help="show every municipality")] = False,
    as_json: AsJsonLines = False,
) -> None:
    """Show which reports are accepted and published.

    Problems first, then a summary. Before the release, the public sees nothing of what has been received; an operator
    sees it with --token-file.

    Exit status 1 if a report waits too long to become public. With a token, the status is 0: the push door does not
    know which reports are late. Proxies are those of http_proxy, https_proxy and no_proxy.
    """
    from gateway.client.status_command import own_status
    from gateway.client.status_command import status as show_status

    if token_file is None:
        sys.exit(run(show_status(feed_url, election, as_json=as_json, every_row=every_row)))
    token, without_token = read_token(token_file)
    if not token:
        fail(without_token, 2)
    push_url = push_door_url(push_url)
    sys.exit(run(own_status(push_url, feed_url, election, token, as_json=as_json, every_row=every_row)))


async def _template(feed_url: str, election: str, areas: list[str]) -> str:
    from gateway.client.documents import registry_of
    from gateway.count_files.suggestions import Suggestions
    from gateway.count_files.template import template

    registry = await registry_of(feed_url, election)
    if unknown := [area for area in areas if area not in registry.by_id]:
        names = Suggestions([*registry.by_id], {area.id: area.name for area in registry.areas})
        for area in unknown:
            say(f"no area {area!r} in {election}{names.clause(area)}", err=True)
        fail("correct --areas", 2)
    return template(registry, areas or [registry.root.id])


def _later(context: typer.Context) -> str:
    """Return the command that sends the reports waiting in the outbox, with the options that it needs."""
    from gateway.client.proxies import without_user

    words = ["valgnatt", "push"]
    for name in ("election", "outbox", "token_file", "push_url"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            words += [f"--{name.replace('_', '-')}", without_user(str(context.params[name]))]
    return shlex.join(words)


def _default_outbox() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base) / "valgnatt" / "outbox.db"
