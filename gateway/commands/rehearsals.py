"""`valgnatt generate`, `replay` and `demo`: rehearse an election."""

import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.characters import printable
from gateway.commands.arguments import (
    OF_THIS_MACHINE,
    GivenFeedUrl,
    GivenPushUrl,
    require_door_url,
    with_acts,
)
from gateway.commands.running import author, database_url, fail, run, run_and_clean_up
from gateway.config import Config
from gateway.humanize import counted
from gateway.output import say

if TYPE_CHECKING:
    from gateway.rehearsal.schedule import Schedule


def generate(
    directory: Annotated[Path, typer.Argument(help="directory for the data set")],
    seed: Annotated[int, typer.Option(help="a number; the same seed gives the same election")] = 1,
    scale: Annotated[float, typer.Option(help="size, in times the default of about 3 500 units")] = 1.0,
    errors: Annotated[
        bool,
        typer.Option(
            "--errors",
            help="add wrong counts as on a real night, and list them in errors.json (default: no report is held)",
        ),
    ] = False,
    previous: Annotated[
        bool,
        typer.Option(
            "--previous",
            help="add a previous election, in which some areas and parties were otherwise: itself in the directory"
            " `previous`, with the table map.csv, and mapped to the new registry in previous.json",
        ),
    ] = False,
) -> None:
    """Generate an election for rehearsals.

    Writes its registry, the reports of a whole night, and the official totals, into a new or empty directory. Nothing
    is overwritten, and after a failure nothing is left.
    """
    from gateway.rehearsal.dataset import DataSetError
    from gateway.rehearsal.generator import write_election

    try:
        made = write_election(directory, seed, scale, errors, past=previous)
    except (ValueError, OSError, DataSetError) as error:
        fail(printable(str(error)), 2)
    areas = counted(len(made.registry["areas"]), "area", grouped=False)
    wrong = f", {counted(len(made.errors), 'error')} (errors.json)" if errors else ""
    before = ", the previous election (previous.json)" if previous else ""
    say(f"{directory}: {areas}, {counted(len(made.reports), 'report', grouped=False)}{wrong}{before}")


def demo(
    data: Annotated[
        Path | None, typer.Option(help="data set to replay (default: a generated election)", exists=True)
    ] = None,
    seconds: Annotated[float, typer.Option(help="length of the replay in seconds", min=5, max=3600)] = 50.0,
) -> None:
    """Replay a whole election night in a minute.

    Runs on a temporary Postgres, with a signer and a witness, and removes everything afterwards.
    """
    from gateway.rehearsal.demo import demo as run_demo
    from gateway.telemetry import logs

    logs.configure("demo", level="warning")
    sys.exit(run_and_clean_up(run_demo(data, seconds, author())))


@with_acts
def replay(
    directory: Annotated[Path, typer.Argument(help="a data set: registry, reports, official totals")],
    config: Config,
    speed: Annotated[
        float | None,
        typer.Option(help="speed, in times that of the recording (default: as fast as possible)", min=0.01),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="length of the whole replay in seconds, instead of --speed (default: none)", min=0.1
        ),
    ] = None,
    push_url: GivenPushUrl = OF_THIS_MACHINE,
    feed_url: GivenFeedUrl = OF_THIS_MACHINE,
) -> None:
    """Replay a data set on a running gateway.

    The replay becomes a separate election, marked as a rehearsal, with all times shifted to now. If a signer signs it,
    the signed record is verified at the end.

    Exit status 1 if any result is wrong, or the record is not verified.
    """
    from gateway.rehearsal import schedule
    from gateway.rehearsal.dataset import DataSet
    from gateway.rehearsal.demo import replay as run_replay
    from gateway.rehearsal.rehearse import GatewayUrls
    from gateway.rehearsal.signed_rehearsal import check_signed_record
    from gateway.terminal import Terminal

    if speed is not None and seconds is not None:
        fail("give either --speed or --seconds, not both", 2)

    def make_schedule(times: Sequence[datetime], publish_from: datetime) -> "Schedule":
        if seconds is not None:
            return schedule.within(times, publish_from, seconds)
        if speed is not None:
            return schedule.at_speed(times, publish_from, speed)
        return schedule.as_fast_as_possible(times)

    feed = feed_url or require_door_url(config, "feed")
    summary = run(
        run_replay(
            DataSet.open(directory),
            make_schedule,
            GatewayUrls(
                database_url(config),
                push_url or require_door_url(config, "push"),
                feed,
                require_standby=config.require_standby,
            ),
            author=author(),
            console=Terminal(),
            check=partial(check_signed_record, feed, config=config),
        )
    )
    sys.exit(0 if summary.good else 1)
