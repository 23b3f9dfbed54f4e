"""`valgnatt serve`, its workers, the database, and `valgnatt doctor`."""

import sys
from typing import Annotated

import typer

from gateway.commands.arguments import checked_url, with_database
from gateway.commands.running import database_url, run, warn
from gateway.config import Config
from gateway.options import with_config_options
from gateway.output import say


@with_config_options
def serve(config: Config) -> None:
    """Run the push and feed doors of this machine.

    Starts an embedded Postgres unless a database is configured.
    """
    from gateway.telemetry.structlog_import import import_structlog

    import_structlog()
    from gateway.machine.serve import serve as serve_machine
    from gateway.telemetry import logs

    logs.configure("serve", format=config.log_format, level=config.log_level)
    sys.exit(run(serve_machine(config)))


@with_config_options
def doctor(
    config: Config,
    push_url: Annotated[
        str | None,
        typer.Option(
            envvar="VALGNATT_PUSH_URL",
            callback=checked_url,
            help="URL of the push door (default: from --host and --push-port)",
        ),
    ] = None,
    feed_url: Annotated[
        str | None,
        typer.Option(
            envvar="VALGNATT_FEED_URL",
            callback=checked_url,
            help="URL of the feed door (default: from --host and --feed-port)",
        ),
    ] = None,
    admin_url: Annotated[
        str | None,
        typer.Option(
            callback=checked_url, help="URL of the admin port (default: from --admin-host and --admin-port)"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Check an installation and show how to fix it.

    Use the same options and environment as for `serve`. Changes nothing.

    Exit status 0: no errors, possibly warnings; 1: at least one error, so a guarantee does not hold.
    """
    from gateway.doctor.command import doctor as run_checks
    from gateway.doctor.doors import Addresses

    sys.exit(run(run_checks(config, Addresses(push_url, feed_url, admin_url), as_json=as_json)))


@with_database
def migrate(
    config: Config,
    dedicated: Annotated[
        bool,
        typer.Option(
            "--dedicated",
            help="also revoke from PUBLIC access to this database's catalogs and functions, and CONNECT to the other"
            " databases; needs a superuser and a server that serves nothing else",
        ),
    ] = False,
) -> None:
    """Apply pending migrations.

    `serve` does this at startup.
    """
    from gateway.journal.migrate import migrate as apply_migrations

    applied = run(apply_migrations(database_url(config), dedicated=dedicated, on_wait=warn))
    say("\n".join(applied) if applied else "nothing to do")
