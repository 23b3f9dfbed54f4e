"""`valgnatt hold`: reports that a rule holds back, and the decisions about them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.arguments import (
    OF_THIS_MACHINE,
    AsJsonLines,
    ElectionOption,
    FeedUrl,
    OperatorTokenFile,
    PushUrl,
    read_token,
)
from gateway.commands.running import fail, run

if TYPE_CHECKING:
    from gateway.client.hold_command import OperatorOptions

_Named = Annotated[
    list[str], typer.Argument(metavar="UNIT[:REVISION]", help="units whose held reports are meant")
]
_Note = Annotated[
    str,
    typer.Option(help="one line for the journal, up to 500 characters, never public (default: none)"),
]
_Yes = Annotated[bool, typer.Option("--yes", help="do not ask before deciding")]


def list_all(
    election: ElectionOption = None,
    push_url: PushUrl = OF_THIS_MACHINE,
    feed_url: FeedUrl = OF_THIS_MACHINE,
    token_file: OperatorTokenFile = None,
    every: Annotated[bool, typer.Option("--all", help="list those that ended, too")] = False,
    as_json: AsJsonLines = False,
) -> None:
    """List the reports that a rule holds back, the oldest first.

    A held report is accepted and durable, and not public until an operator releases it.
    """
    from gateway.client.hold_command import list_holds

    options = operator_options(push_url, feed_url, election, token_file)
    run(list_holds(options, every=every, as_json=as_json))


def show(
    named: _Named,
    election: ElectionOption = None,
    push_url: PushUrl = OF_THIS_MACHINE,
    feed_url: FeedUrl = OF_THIS_MACHINE,
    token_file: OperatorTokenFile = None,
    as_json: AsJsonLines = False,
) -> None:
    """Show a held report beside the current one of its unit, and why it is held.

    Of a unit without a held report, the last one that was held.
    """
    from gateway.client.hold_command import show_holds

    options = operator_options(push_url, feed_url, election, token_file)
    run(show_holds(options, named, as_json=as_json))


def release(
    named: _Named,
    reason: Annotated[str, typer.Option(help="confirmed, moved or rule_too_strict")],
    note: _Note = "",
    election: ElectionOption = None,
    push_url: PushUrl = OF_THIS_MACHINE,
    feed_url: FeedUrl = OF_THIS_MACHINE,
    token_file: OperatorTokenFile = None,
    yes: _Yes = False,
) -> None:
    """Release held reports: they become the current ones of their units, and public.

    All of them in this order, or none: name both halves of a move together. Nobody but the sender can correct a report
    once it is released.

    Exit status 0: all were released; 1: none was; 2: a usage error, or nobody confirmed it.
    """
    _decide("release", named, reason, note, operator_options(push_url, feed_url, election, token_file), yes)


def reject(
    named: _Named,
    reason: Annotated[str, typer.Option(help="duplicate, wrong_unit, typing_error or other")],
    note: _Note = "",
    election: ElectionOption = None,
    push_url: PushUrl = OF_THIS_MACHINE,
    feed_url: FeedUrl = OF_THIS_MACHINE,
    token_file: OperatorTokenFile = None,
    yes: _Yes = False,
) -> None:
    """Reject held reports: they are never published, and the current reports of their units remain.

    All of them, or none. The sender corrects a rejected report with a new revision.

    Exit status 0: all were rejected; 1: none was; 2: a usage error, or nobody confirmed it.
    """
    _decide("reject", named, reason, note, operator_options(push_url, feed_url, election, token_file), yes)


def _decide(
    what: str, named: list[str], reason: str, note: str, options: "OperatorOptions", yes: bool
) -> None:
    from gateway.client.hold_command import NothingDecided, decide
    from gateway.wire.decisions import REASONS, note_problem

    if reason not in REASONS[what]:
        fail(f"--reason {reason!r} is not one of {', '.join(REASONS[what])}", 2)
    if problem := note_problem(note):
        fail(f"--note: {problem[1]}", 2)
    try:
        run(decide(options, what, named, reason, note, yes=yes))
    except NothingDecided as error:
        fail(f"{error}; nothing was decided", 2 if error.misused else 1)


def operator_options(
    push_url: str, feed_url: str, election: str | None, token_file: Path | None
) -> "OperatorOptions":
    """Return what commands of operators share; exit with status 2 if there is no token."""
    from gateway.client.hold_command import OperatorOptions

    token, without_token = read_token(token_file)
    if not token:
        fail(without_token, 2)
    return OperatorOptions(push_url, feed_url, election, token)
