"""The command `valgnatt`: which commands there are, and how errors are shown.

A usage error is reported on standard error with exit status 2, any other failure in one line with status 1; there is
never a traceback.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
import typer.core

from gateway import __version__
from gateway.characters import printable
from gateway.commands import (
    counts,
    elections,
    holds,
    machine,
    mirror,
    records,
    rehearsals,
    rules,
    signing,
    tokens,
    verify,
    verify_own,
    witness,
)
from gateway.commands.extras import missing_extra
from gateway.commands.running import fail
from gateway.errors import GatewayError, text_of
from gateway.output import prepare_streams, say


class _Commands(typer.core.TyperGroup):
    """A group of commands whose messages about arguments show control characters as escapes."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _printable_messages():
            return super().make_context(*arguments, **options)

    def invoke(self, *arguments: Any, **options: Any) -> Any:
        with _printable_messages():
            return super().invoke(*arguments, **options)


@contextmanager
def _printable_messages() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(getattr(error, "message", None), str) and not _is_help(error):
            vars(error)["message"] = printable(vars(error)["message"])
        raise


def _is_help(error: Any) -> bool:
    """Whether the message of an error is the help of its command, in several lines."""
    context = getattr(error, "ctx", None)
    return context is not None and error.message == context.get_help()


app = typer.Typer(
    cls=_Commands,
    name="valgnatt",
    help="Election-night gateway: takes reports from municipalities, records them in Postgres, streams the results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    epilog="Exit status: 0 success; 1 failure, or a check found a problem; 2 usage error, nothing was done;"
    " 130 interrupted with Ctrl-C.",
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"valgnatt {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="show the version and exit"),
    ] = False,
) -> None:
    pass


app.command("serve")(machine.serve)
app.command("sign")(signing.sign)
app.command("mirror")(mirror.mirror)
app.command("doctor")(machine.doctor)
app.command("status")(counts.status)
app.command("watch")(counts.watch)
app.command("push")(counts.push)
app.command("generate")(rehearsals.generate)
app.command("replay")(rehearsals.replay)
app.command("demo")(rehearsals.demo)
app.command("witness")(witness.witness)

election_app = typer.Typer(help="Load and manage elections.", no_args_is_help=True)
election_app.command("load")(elections.load)
election_app.command("previous")(elections.previous)
election_app.command("list")(elections.list_all)
election_app.command("embargo")(elections.embargo)
election_app.command("open")(elections.open_election)
election_app.command("close")(elections.close)
election_app.command("raise-revisions")(elections.raise_revisions)
app.add_typer(election_app, name="election")

record_app = typer.Typer(help="Restore the signed record of an election.", no_args_is_help=True)
record_app.command("restore")(records.restore)
app.add_typer(record_app, name="record")

token_app = typer.Typer(help="Issue and revoke the senders' tokens.", no_args_is_help=True)
token_app.command("issue")(tokens.issue)
token_app.command("list")(tokens.list_all)
token_app.command("revoke")(tokens.revoke)
app.add_typer(token_app, name="token")

hold_app = typer.Typer(help="Look at held reports, and release or reject them.", no_args_is_help=True)
hold_app.command("list")(holds.list_all)
hold_app.command("show")(holds.show)
hold_app.command("release")(holds.release)
hold_app.command("reject")(holds.reject)
app.add_typer(hold_app, name="hold")

rules_app = typer.Typer(help="Show, change and try the rules that hold reports.", no_args_is_help=True)
rules_app.command("show")(rules.show)
rules_app.command("set")(rules.set_)
rules_app.command("try")(rules.try_)
app.add_typer(rules_app, name="rules")

verify_app = typer.Typer(
    help="Verify the signed record of an election without trusting its operator.", no_args_is_help=True
)
verify_app.command("record")(verify.record)
verify_app.command("receipt")(verify_own.receipt)
verify_app.command("outbox")(verify_own.outbox)
app.add_typer(verify_app, name="verify")

key_app = typer.Typer(help="Create and list the keys that sign the record.", no_args_is_help=True)
key_app.command("create")(signing.create)
key_app.command("list")(signing.list_all)
key_app.command("add")(signing.add)
key_app.command("retire")(signing.retire)
app.add_typer(key_app, name="key")

db_app = typer.Typer(help="Manage the database schema.", no_args_is_help=True)
db_app.command("migrate")(machine.migrate)
app.add_typer(db_app, name="db")


def main() -> None:
    """Run the command line; report a GatewayError or an error of the operating system in one line."""
    gc.set_threshold(
        20_000, 20, 50
    )  # imports create many objects and hardly any cycles: starting is a tenth faster
    prepare_streams()
    try:
        app(prog_name="valgnatt")
    except (GatewayError, OSError) as error:
        fail(_described(error))
    except ModuleNotFoundError as error:
        if (advice := missing_extra(error)) is None:
            raise
        fail(advice)
    except BaseExceptionGroup as group:  # of a part that failed beside others
        known, others = group.split((GatewayError, OSError))
        if known is None or others is not None:
            raise
        fail(_described(_first(known)))


def _described(error: BaseException) -> str:
    named = isinstance(error, OSError) and error.filename is not None
    return printable(f"{error.filename}: {error.strerror}") if named else text_of(error)  # type: ignore[attr-defined]


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
