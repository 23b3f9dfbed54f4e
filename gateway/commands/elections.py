"""`valgnatt election`: load and manage elections."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.characters import printable
from gateway.commands.arguments import ElectionArgument, read_time_argument, with_database
from gateway.commands.running import administer
from gateway.config import Config
from gateway.humanize import counted
from gateway.output import say


@with_database
def load(
    path: Annotated[Path, typer.Argument(help="registry.json, or the directory of a data set")],
    config: Config,
) -> None:
    """Load or replace a registry.

    Loading the same registry again changes nothing. Once a report has been accepted, the registry cannot be replaced.
    """
    from gateway.rehearsal.dataset import read_registry_file

    document = read_registry_file(path)
    say(administer(config, lambda acts: acts.load_election(document)))


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


@with_database
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
    moved = read_time_argument(until)
    administer(config, lambda acts: acts.move_embargo(election, moved))


@with_database
def close(election: ElectionArgument, config: Config) -> None:
    """Close an election: no more reports are accepted.

    Prints the reports that are still held: they can be released or rejected afterwards.
    """
    held = administer(config, lambda acts: acts.close_election(election))
    for each in held:
        since = each.since.isoformat(timespec="seconds")
        say(f"still held\t{each.unit}\trevision {each.revision}\tsince {since}\t{', '.join(each.codes)}")


@with_database
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
