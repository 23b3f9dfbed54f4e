"""`valgnatt mirror`: write everything public as static files, or check such files."""

import sys
from typing import Annotated

import msgspec
import typer

from gateway.commands.arguments import AdminPort, checked_url
from gateway.commands.running import fail, run
from gateway.commands.verify_options import read_keys
from gateway.config import Config
from gateway.options import with_config_options

INTERVALS_S = (1, 2, 5, 10, 30, 60)
_OPTIONS = ("admin_host", "log_format", "log_level")


@with_config_options(only=_OPTIONS)
def mirror(
    config: Config,
    feed_url: Annotated[
        str,
        typer.Argument(metavar="FEED_URL", callback=checked_url, help="URL of the feed door to read"),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="directory, or s3://BUCKET/PREFIX, to which the files are written; an object store takes its"
            " credentials from its usual variables, such as AWS_ACCESS_KEY_ID",
        ),
    ],
    elections: Annotated[
        list[str] | None,
        typer.Option(
            "--election",
            "-e",
            metavar="ELECTION",
            help="an election to mirror; may be repeated (default: all of the door, also those that it gets later)",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        int,
        typer.Option(
            metavar="S", help="interval at which changes are written, in seconds: 1, 2, 5, 10, 30 or 60"
        ),
    ] = 2,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="VKEY|FILE",
            help="key of an election's log, or a file with keys, one per line; may be repeated; no checkpoint of these"
            " elections is published that does not verify (default: checkpoints are not verified)",
            show_default=False,
        ),
    ] = None,
    admin_port: AdminPort = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="only say how old the files are and what is missing, also while a mirror runs"
        ),
    ] = False,
) -> None:
    """Write everything public about elections as static files, until stopped.

    Any web server, object store or content delivery network can serve them, to any number of readers. Needs only the
    feed door, no database. Not needed on a machine whose `serve` has --mirror: that runs one itself. Continues after an
    interruption; a second mirror of the same target ends with an error.

    Exit status of --check: 0 if every election is up to date, 1 if one is behind or files are missing.
    """
    if every not in INTERVALS_S:
        fail(f"--every is {every}, and not one of {', '.join(map(str, INTERVALS_S))}", 2)
    vkeys = tuple(key for text in keys or () for key in read_keys(text))
    from gateway.telemetry.structlog_import import import_structlog

    import_structlog()
    from gateway.mirror.elections import MirrorOptions
    from gateway.mirror.service import mirror as run_mirror
    from gateway.telemetry import logs

    options = MirrorOptions(
        feed_url=feed_url, target=target, elections=tuple(elections or ()), every_s=every, keys=vkeys
    )
    if check:
        from gateway.mirror.check import show_check

        sys.exit(run(show_check(options)))
    config = msgspec.structs.replace(config, admin_port=admin_port)
    logs.configure("mirror", format=config.log_format, level=config.log_level)
    sys.exit(run(run_mirror(config, options)))
