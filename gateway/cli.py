"""The command `valgnatt`: arguments -> Config -> what is to be done.

Whatever is slow to import is imported inside a command, so that `--help` answers at once. A user's mistake is a
line on standard error and exit status 2; what could not be done, a line and status 1. Never a traceback.
"""

import asyncio
import getpass
import io
import socket as sockets
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import typer.core

from gateway.characters import printable
from gateway.config import Config
from gateway.errors import GatewayError
from gateway.options import with_config_options
from gateway.output import say, write_out

T = TypeVar("T")


class _Commands(typer.core.TyperGroup):
    """A group of commands whose complaints about arguments show control characters as escapes."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _printable_complaints():
            return super().make_context(*arguments, **options)

    def invoke(self, *arguments: Any, **options: Any) -> Any:
        with _printable_complaints():
            return super().invoke(*arguments, **options)


@contextmanager
def _printable_complaints() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(getattr(error, "message", None), str):
            vars(error)["message"] = printable(vars(error)["message"])
        raise


app = typer.Typer(
    cls=_Commands,
    name="valgnatt",
    help="The gateway between the municipalities that count votes and everyone who waits for the result.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    epilog="Exit status: 0 done; 1 it could not be done, or something is not as it should be; 2 a mistake in how it was"
    " asked, and nothing was done; 130 after Ctrl-C.",
    rich_markup_mode=None,
)
election_app = typer.Typer(help="Load and manage elections.", no_args_is_help=True)
token_app = typer.Typer(help="Issue and revoke the senders' tokens.", no_args_is_help=True)
db_app = typer.Typer(help="The database.", no_args_is_help=True)
app.add_typer(election_app, name="election")
app.add_typer(token_app, name="token")
app.add_typer(db_app, name="db")


def _door(url: str | None) -> str | None:
    """Return an address of a door as it was given; what is none ends the command with status 2."""
    from urllib.parse import urlsplit

    if url is None:
        return None
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise typer.BadParameter(f"{url!r} is not http://host:port or https://host:port")
    return url


_ElectionName = Annotated[str, typer.Argument(help="the election's identifier")]
_PushUrl = Annotated[
    str, typer.Option(envvar="VALGNATT_PUSH_URL", callback=_door, help="the push door, http:// or https://")
]
_FeedUrl = Annotated[
    str, typer.Option(envvar="VALGNATT_FEED_URL", callback=_door, help="the feed door, http:// or https://")
]

_DATABASE = ("database_url", "database_password_file", "data_dir")
_with_database = with_config_options(only=_DATABASE)


def main() -> None:
    """Run the command line; what the gateway names is told as one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error does; no text ends a command
    try:
        app(prog_name="valgnatt")
    except GatewayError as error:
        fail(str(error))


def fail(text: str, status: int = 1) -> None:
    """Say what went wrong and exit."""
    say(f"valgnatt: {text}", err=True)
    sys.exit(status)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop until done."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def database_url(config: Config) -> str:
    """Return the database that is named, or the embedded one that a `serve` on this machine runs."""
    if config.database_url is not None:
        return config.database_url
    from gateway.journal.embedded import find

    running = find(config.data_dir)
    if running is None:
        fail(
            f"no database: name one in VALGNATT_DATABASE_URL, or run `valgnatt serve` with data directory"
            f" {config.data_dir}"
        )
        raise AssertionError
    return running.url


def author() -> str:
    """Return who does an administrative act: user and machine."""
    import os

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user needs no name
        user = str(os.getuid())
    return f"{user}@{sockets.gethostname()}"


@app.command()
@with_config_options
def serve(config: Config) -> None:
    """Run the doors of this machine, and an embedded Postgres where none is named."""
    from gateway.machine.serve import serve as serve_machine
    from gateway.telemetry import logs

    logs.configure("serve", format=config.log_format, level=config.log_level)
    sys.exit(run_machine(serve_machine(config)))


def run_machine(work: Coroutine[Any, Any, int]) -> int:
    """Run a supervisor; its exit status is the command's."""
    return run(work)


@app.command(hidden=True)
def worker(name: str, fd: int) -> None:  # noqa: ARG001 - the name is for process lists
    """Be one process of a machine; started by `serve`."""
    from gateway.service import work

    sys.exit(run(work(fd)))


@election_app.command("load")
@_with_database
def election_load(
    path: Annotated[Path, typer.Argument(help="registry.json, or a data set's directory")], config: Config
) -> None:
    """Load a registry; the same again changes nothing, another one is refused once a report is accepted."""
    from gateway.rehearsal.dataset import read_registry_file

    document = read_registry_file(path)

    async def act() -> str:
        from gateway.journal.administration import administration

        async with administration(database_url(config), author()) as administered:
            return await administered.load_election(document)

    say(run(act()))


@election_app.command("list")
@_with_database
def election_list(config: Config) -> None:
    """List the elections there are."""

    async def act() -> None:
        from gateway.journal.administration import administration

        async with administration(database_url(config), author()) as administered:
            for each in await administered.elections():
                state = "closed" if each.closed_at else "released" if each.released_at else "embargoed"
                mark = " (rehearsal)" if each.rehearsal else ""
                until = each.publish_from.isoformat()
                name = printable(each.name)
                say(f"{each.id}\t{state}\tfrom {until}\t{each.accepted} reports\t{name}{mark}")

    run(act())


@election_app.command("embargo")
@_with_database
def election_embargo(
    election: _ElectionName,
    until: Annotated[str, typer.Option(help="the later end, an RFC 3339 time with an offset")],
    config: Config,
) -> None:
    """Move the end of an embargo to a later time, while it has not passed."""
    moved = _time(until)

    async def act() -> None:
        from gateway.journal.administration import administration

        async with administration(database_url(config), author()) as administered:
            await administered.move_embargo(election, moved)

    run(act())


@election_app.command("close")
@_with_database
def election_close(election: _ElectionName, config: Config) -> None:
    """End the taking of reports."""

    async def act() -> None:
        from gateway.journal.administration import administration

        async with administration(database_url(config), author()) as administered:
            await administered.close_election(election)

    run(act())


@election_app.command("raise-revisions")
@_with_database
def election_raise_revisions(
    election: _ElectionName,
    unit: Annotated[str, typer.Argument(help="the unit's identifier")],
    config: Config,
) -> None:
    """Raise the ceiling of a unit's revisions by a step above its current one, and print both."""

    async def act() -> None:
        from gateway.journal.administration import administration

        async with administration(database_url(config), author()) as administered:
            raised = await administered.raise_revisions(election, unit)
            say(f"{unit}\tat revision {raised.current}\tup to {raised.ceiling}")

    run(act())


@token_app.command("issue")
@_with_database
def token_issue(
    election: Annotated[str, typer.Option(help="the election's identifier")],
    areas: Annotated[str, typer.Option(help="areas it may report for, with all below them: 4601,0301")],
    config: Config,
    role: Annotated[str, typer.Option(help="sender or operator")] = "sender",
    expires: Annotated[
        str | None, typer.Option(help="an RFC 3339 time with an offset (default: never)")
    ] = None,
    note: Annotated[str, typer.Option(help="whose it is (default: nothing)")] = "",
) -> None:
    """Make a token and print it alone on standard output, this once."""
    if role not in ("sender", "operator"):
        fail(f"a role is sender or operator, not {role!r}", 2)
    expires_at = _time(expires) if expires is not None else None

    async def act() -> str:
        from gateway.journal.administration import administration

        async with administration(database_url(config), author()) as administered:
            issued = await administered.issue_token(
                election, _areas(areas), role=role, expires_at=expires_at, note=note
            )
            say(f"token {issued.key} for {areas} of {election}", err=True)
            return issued.secret

    say(run(act()))


@token_app.command("list")
@_with_database
def token_list(
    config: Config,
    election: Annotated[str | None, typer.Option(help="only of this election (default: of all)")] = None,
) -> None:
    """List tokens, never the secrets: they are not kept."""

    async def act() -> None:
        from gateway.journal.administration import administration

        async with administration(database_url(config), author()) as administered:
            for each in await administered.tokens(election):
                state = "revoked" if each.revoked_at else "valid"
                seen = each.last_contact_at.isoformat() if each.last_contact_at else "never used"
                areas, note = printable(",".join(each.areas)), printable(each.note)
                say(f"{each.key}\t{each.election}\t{areas}\t{each.role}\t{state}\t{seen}\t{note}")

    run(act())


@token_app.command("revoke")
@_with_database
def token_revoke(
    key: Annotated[int, typer.Argument(help="its number in `token list`")], config: Config
) -> None:
    """End a token now, in every process."""

    async def act() -> None:
        from gateway.journal.administration import administration

        async with administration(database_url(config), author()) as administered:
            await administered.revoke_token(key)

    run(act())


@app.command("doctor")
@with_config_options
def doctor_command(
    config: Config,
    push_url: Annotated[
        str | None,
        typer.Option(
            envvar="VALGNATT_PUSH_URL",
            callback=_door,
            help="the push door (default: as --host and --push-port say)",
        ),
    ] = None,
    feed_url: Annotated[
        str | None,
        typer.Option(
            envvar="VALGNATT_FEED_URL",
            callback=_door,
            help="the feed door (default: as --host and --feed-port say)",
        ),
    ] = None,
    admin_url: Annotated[
        str | None,
        typer.Option(callback=_door, help="the admin port (default: as --admin-host and --admin-port say)"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document, for programs")] = False,
) -> None:
    """Check an installation and say what to do: give it the options and the environment that `serve` has.

    It changes nothing. Status 0: no error, perhaps warnings; 1: something promised will not hold.
    """
    from gateway.doctor.command import doctor
    from gateway.doctor.gather import Addresses

    sys.exit(run(doctor(config, Addresses(push_url, feed_url, admin_url), as_json=as_json)))


@db_app.command("migrate")
@_with_database
def db_migrate(
    config: Config,
    dedicated: Annotated[
        bool,
        typer.Option(
            "--dedicated",
            help="also take from PUBLIC the catalogs and functions of this database, and the right to enter another;"
            " for a server that serves nothing else, as a superuser",
        ),
    ] = False,
) -> None:
    """Bring the database up to date; `serve` does it by itself."""
    from gateway.journal.migrate import migrate

    applied = run(migrate(database_url(config), dedicated=dedicated))
    say("\n".join(applied) if applied else "nothing to do")


@app.command()
def generate(
    directory: Annotated[Path, typer.Argument(help="where the data set goes")],
    seed: Annotated[int, typer.Option(help="a number; the same one makes the same election")] = 1,
    scale: Annotated[float, typer.Option(help="times as large as about 3 500 units")] = 1.0,
) -> None:
    """Make up an election: registry, reports of a whole night, and the official totals."""
    from gateway.rehearsal.generator import write_election

    try:
        made = write_election(directory, seed, scale)
    except (ValueError, OSError) as error:
        fail(str(error), 2)
        return
    say(f"{directory}: {len(made.registry['areas'])} areas, {len(made.reports)} reports")


@app.command("demo")
def demo_command(
    data: Annotated[
        Path | None, typer.Option(help="a data set to replay (default: one made up)", exists=True)
    ] = None,
    seconds: Annotated[float, typer.Option(help="length of the stage in seconds", min=5, max=3600)] = 50.0,
) -> None:
    """Replay a whole election night in about a minute, on a Postgres of its own, and leave nothing behind."""
    from gateway.rehearsal.demo import demo
    from gateway.telemetry import logs

    logs.configure("demo", level="warning")
    try:
        sys.exit(run(demo(data, seconds, author())))
    except KeyboardInterrupt:
        sys.exit(130)


@app.command("push")
def push_command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="counts as .json, .ndjson or .csv, see --template")
    ] = None,
    election: Annotated[
        str, typer.Option(help="the election's identifier (default: none, it has to be named)")
    ] = "",
    push_url: _PushUrl = "http://127.0.0.1:8081",
    feed_url: Annotated[
        str,
        typer.Option(
            envvar="VALGNATT_FEED_URL",
            callback=_door,
            help="the feed door, whose registry counts are checked by before they leave",
        ),
    ] = "http://127.0.0.1:8080",
    token_file: Annotated[
        Path | None, typer.Option(help="file with the token (default: the variable VALGNATT_TOKEN)")
    ] = None,
    outbox: Annotated[
        Path | None,
        typer.Option(help="where counts wait until they have a receipt (default: beside your other data)"),
    ] = None,
    receipts: Annotated[
        Path | None, typer.Option(help="CSV file to write every answer to (default: none)")
    ] = None,
    watch: Annotated[
        Path | None,
        typer.Option(
            help="directory whose new files are sent too, until Ctrl-C (default: none)", file_okay=False
        ),
    ] = None,
    template: Annotated[
        bool, typer.Option("--template", help="print an empty table to fill in, and send nothing")
    ] = False,
    areas: Annotated[
        str, typer.Option(help="for --template: areas whose units it is for (default: all)")
    ] = "",
    unchecked: Annotated[bool, typer.Option("--unchecked", help="leave the checking to the gateway")] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="send once more what has its receipt: the gateway's database was restored"
        ),
    ] = False,
    moved_from: Annotated[
        str | None,
        typer.Option(
            callback=_door,
            help="the gateway's former push door: what the outbox keeps for it is taken over (default: none)",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask before sending")] = False,
) -> None:
    """Hand in counts from files, for a municipality without a system of its own.

    Everything is checked before anything is sent. What was once taken waits in an outbox on disk, and is sent even if
    the network, the gateway or this machine goes down in between: then run the command again, with or without files.
    The outbox is kept by gateway: a report counts as done once the gateway that is named has confirmed it in this run.
    Status 0: all have receipts from this gateway; 1: some have none; 2: a mistake in a file, and nothing was sent.
    """
    if not election:
        fail("which election? give --election", 2)
    if template:
        write_out(run(_template(feed_url, election, _areas(areas))))
        return
    if receipts is not None and not receipts.absolute().parent.is_dir():
        fail(f"--receipts {receipts}: no such directory", 2)
    from gateway.client.handing_in import Mistakes
    from gateway.client.push_command import Wish, push

    wish = Wish(
        push_url,
        None if unchecked else feed_url,
        election,
        _token(token_file),
        outbox or _outbox(),
        receipts,
        yes,
        again,
        moved_from,
    )
    try:
        sys.exit(run(push(wish, files or [], watch)))
    except Mistakes as error:
        for mistake in error.mistakes:
            say(printable(mistake), err=True)
        fail("nothing was sent", 2)
    except KeyboardInterrupt:
        say("valgnatt: interrupted; what has no receipt waits in the outbox", err=True)
        sys.exit(130)


_Election = Annotated[
    str | None, typer.Option(help="the election's identifier (default: the only one there is)")
]
_AsJson = Annotated[bool, typer.Option("--json", help="lines of JSON, for pipes")]


@app.command("watch")
def watch_command(
    area: Annotated[
        str | None, typer.Argument(help="with what is right below it (default: the country)")
    ] = None,
    election: _Election = None,
    feed_url: _FeedUrl = "http://127.0.0.1:8080",
    as_json: _AsJson = False,
) -> None:
    """Follow the result live in the terminal, until Ctrl-C."""
    from gateway.client.watch_command import watch

    try:
        run(watch(feed_url, election, area, as_json=as_json))
    except KeyboardInterrupt:
        sys.exit(130)


@app.command("status")
def status_command(
    election: _Election = None, feed_url: _FeedUrl = "http://127.0.0.1:8080", as_json: _AsJson = False
) -> None:
    """Show where every municipality's counts are; status 1 if any of them waits too long to become public."""
    from gateway.client.watch_command import status

    sys.exit(run(status(feed_url, election, as_json=as_json)))


async def _template(feed_url: str, election: str, areas: list[str]) -> str:
    from gateway.client.count_files import template
    from gateway.client.handing_in import registry_of

    registry = await registry_of(feed_url, election)
    if unknown := [area for area in areas if area not in registry.by_id]:
        fail(f"no area {', '.join(unknown)} in {election}", 2)
    return template(registry, areas or [registry.root.id])


def _token(file: Path | None) -> str:
    import os

    try:
        token = (
            file.read_text(encoding="utf-8").strip()
            if file is not None
            else os.environ.get("VALGNATT_TOKEN", "")
        )
    except (OSError, UnicodeDecodeError) as error:
        fail(f"token file {file}: {getattr(error, 'strerror', None) or error}", 2)
        raise
    if not token:
        fail("no token: set VALGNATT_TOKEN, or name a file with --token-file", 2)
    return token


def _outbox() -> Path:
    import os

    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base) / "valgnatt" / "outbox.db"


@app.command("replay")
@_with_database
def replay_command(
    directory: Annotated[Path, typer.Argument(help="a data set: registry, reports, official totals")],
    config: Config,
    speed: Annotated[
        float | None, typer.Option(help="times as fast as it was (default: as fast as possible)", min=0.01)
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="instead of a speed: put everything on a stage of so many seconds (default: none)", min=0.1
        ),
    ] = None,
    push_url: _PushUrl = "http://127.0.0.1:8081",
    feed_url: _FeedUrl = "http://127.0.0.1:8080",
) -> None:
    """Rehearse a night through the doors of a running gateway; status 1 if anything came out wrong.

    It becomes an election of its own, marked as a rehearsal, whose times are shifted to now.
    """
    from gateway.rehearsal import schedule
    from gateway.rehearsal.dataset import DataSet
    from gateway.rehearsal.demo import replay
    from gateway.terminal import Terminal

    if speed is not None and seconds is not None:
        fail("give a speed or seconds, not both", 2)

    def make_schedule(times: Sequence[datetime], publish_from: datetime) -> schedule.Schedule:
        if seconds is not None:
            return schedule.within(times, publish_from, seconds)
        if speed is not None:
            return schedule.at_speed(times, publish_from, speed)
        return schedule.as_fast_as_possible(times)

    summary = run(
        replay(
            DataSet.open(directory),
            make_schedule,
            database_url=database_url(config),
            push_url=push_url,
            feed_url=feed_url,
            author=author(),
            console=Terminal(),
        )
    )
    sys.exit(0 if summary.good else 1)


def _areas(text: str) -> list[str]:
    return [area for area in text.split(",") if area]


def _time(text: str) -> datetime:
    from gateway.election.registry import read_time

    try:
        return read_time(text)
    except ValueError as error:
        fail(str(error), 2)
        raise
