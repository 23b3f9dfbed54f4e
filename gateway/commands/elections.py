"""`valgnatt election`: load and manage elections."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.characters import printable
from gateway.commands.arguments import ElectionArgument, read_time_argument, with_acts, with_database
from gateway.commands.running import administer, fail
from gateway.config import Config
from gateway.humanize import counted
from gateway.output import say


@with_acts
def load(
    path: Annotated[Path, typer.Argument(help="registry.json, or the directory of a data set")],
    config: Config,
    previous: Annotated[
        Path | None,
        typer.Option(
            help="the previous election, made by `election previous`, to show changes since then (default:"
            " previous.json of the data set, or the one that was loaded before)",
            show_default=False,
        ),
    ] = None,
    no_previous: Annotated[
        bool, typer.Option("--no-previous", help="remove a previous election that was loaded before")
    ] = False,
) -> None:
    """Load or replace a registry, and the previous election with which its results are compared.

    Loading the same again changes nothing. Once a report has been accepted, neither can be replaced.
    """
    from gateway.journal.administration import KEPT
    from gateway.rehearsal.dataset import PREVIOUS, read_previous_file, read_registry_file

    if previous is not None and no_previous:
        fail("give either --previous or --no-previous, not both", 2)
    document = read_registry_file(path)
    before: object = None if no_previous else KEPT
    beside = path / PREVIOUS
    if previous is not None:
        before = read_previous_file(previous)
    elif not no_previous and beside.is_file():
        before = read_previous_file(beside)
    say(administer(config, lambda acts: acts.load_election(document, before)))


def previous(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="the earlier election: a directory with registry.json and reports.ndjson or reports.ndjson.gz",
        ),
    ],
    registry: Annotated[
        Path, typer.Option(help="registry.json of the new election, or the directory of its data set")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="file to write, in place of an existing one"),
    ],
    table: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="CSV with the columns kind (area or party), from and to: what was merged, split, renamed or dropped"
            " (default: everything has kept its identifier)",
            show_default=False,
        ),
    ] = None,
    missing: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="new file for what the table lacks: its lines, with ? for what has to be named (default: none)",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="where the figures come from, for readers (default: the earlier election)",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Map an earlier election to the areas and parties of a new one, to show changes since then.

    Writes the document for `election load --previous`, from the newest report of each unit.

    Exit status 1 if the table does not say everything: some votes have no place, or some units no previous votes. These
    are named, and the document is written nevertheless.
    """
    from gateway.election.previous import read_previous
    from gateway.election.registry_reading import read_registry
    from gateway.errors import MalformedPrevious, MalformedRegistry
    from gateway.rehearsal.checked_reports import newest_reports
    from gateway.rehearsal.dataset import (
        REGISTRY,
        REPORTS,
        DataSet,
        DataSetError,
        read_registry_file,
        write_document,
    )
    from gateway.rehearsal.previous_mapping import map_election, missing_rows, summary_lines
    from gateway.rehearsal.previous_table import COLUMNS, NO_TABLE, BadTable, Identifiers, read_table
    from gateway.wire.csv_text import csv_row

    if missing is not None and (missing.exists() or missing == output):
        fail(f"{missing}: exists; nothing is overwritten: name a new file", 2)
    inputs = (registry, registry / REGISTRY, directory / REGISTRY, table)
    if output.exists() and any(
        each is not None and each.exists() and output.samefile(each) for each in inputs
    ):
        fail(f"{output}: is read by this command: name another file to write", 2)
    try:
        data = DataSet.open(directory, [REPORTS])
        before = read_registry(data.registry, stored=True)
        after = read_registry(read_registry_file(registry))
        known = NO_TABLE
        if table is not None:
            old, new = (Identifiers(each.by_id, frozenset(each.party_codes)) for each in (before, after))
            known = read_table(str(table), table.read_bytes(), old, new)
        reports = newest_reports(before, data.placed_reports())
        mapped = map_election(before, reports, after, known, source or f"the reports of {before.id}")
        read_previous(mapped.document, after)
        write_document(output, mapped.document)
        if missing is not None:
            rows = ((*COLUMNS, "note"), *missing_rows(mapped))
            missing.write_bytes("".join(map(csv_row, rows)).encode())
    except (BadTable, DataSetError, MalformedPrevious, MalformedRegistry, OSError) as error:
        fail(printable(str(error)), 2)
    for line in summary_lines(mapped):
        say(line)
    if not mapped.complete:
        fail(
            f"{output} is written, but some votes or units have no counterpart: name them in a table (--map)"
        )


@with_database
def list_all(config: Config) -> None:
    """List all elections."""
    for each in administer(config, lambda acts: acts.elections()):
        state = "closed" if each.closed_at else "released" if each.released_at else "embargoed"
        mark = " (rehearsal)" if each.rehearsal else ""
        start = each.publish_from.isoformat()
        name = printable(each.name)
        say(
            f"{each.id}\t{state}\tfrom {start}\t{counted(each.accepted, 'report', grouped=False)}\t{name}{mark}"
        )


@with_acts
def embargo(
    election: ElectionArgument,
    until: Annotated[
        str, typer.Option(help="new, later end of the embargo, an RFC 3339 time with an offset")
    ],
    config: Config,
) -> None:
    """Move the end of an embargo to a later time.

    Only possible before the embargo has ended.
    """
    moved = read_time_argument("--until", until)
    administer(config, lambda acts: acts.move_embargo(election, moved))
    say(f"the embargo of {election} ends at {moved.isoformat()}", err=True)


@with_acts
def open_election(election: ElectionArgument, config: Config) -> None:
    """Open an election: write the first entry of its signed record.

    Prints the entry. From then on, the registry and the previous election are fixed. Without this command, the end of
    the embargo opens the election.
    """
    say(administer(config, lambda acts: acts.open_election(election)).decode())


@with_acts
def close(election: ElectionArgument, config: Config) -> None:
    """Close an election: no more reports are accepted.

    Prints the reports that are still held: they can be released or rejected afterwards.
    """
    held = administer(config, lambda acts: acts.close_election(election))
    say(f"{election} is closed", err=True)
    for each in held:
        since = each.since.isoformat(timespec="seconds")
        say(f"still held\t{each.unit}\trevision {each.revision}\tsince {since}\t{', '.join(each.codes)}")


@with_acts
def raise_revisions(
    election: ElectionArgument,
    unit: Annotated[str, typer.Argument(help="the unit's identifier")],
    config: Config,
) -> None:
    """Raise the ceiling of a unit's revisions.

    Sets it to 1 000 000 above the newest revision, and prints both.
    """
    raised = administer(config, lambda acts: acts.raise_revisions(election, unit))
    say(f"{unit}\tnewest revision {raised.newest}\tceiling {raised.ceiling}")
