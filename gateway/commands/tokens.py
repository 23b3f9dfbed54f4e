"""`valgnatt token`: issue and revoke the senders' tokens."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.characters import printable
from gateway.commands.arguments import (
    read_areas,
    read_time_argument,
    require_door_url,
    shared_url,
    with_acts,
    with_database,
)
from gateway.commands.running import administer, fail, warn
from gateway.config import Config
from gateway.humanize import counted
from gateway.output import say

if TYPE_CHECKING:
    from gateway.commands.token_file import TokenBatch


@with_acts
def issue(
    election: Annotated[str, typer.Option(help="the election's identifier")],
    config: Config,
    areas: Annotated[
        str,
        typer.Option(help="areas to report for, including all below them, such as 4601,0301 (default: none)"),
    ] = "",
    each: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL",
            help="instead of --areas: one token for each area of a level, such as municipality (default: none)",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="with --each: the new CSV file for the tokens, which only its owner can read (default: none)"
        ),
    ] = None,
    missing_only: Annotated[
        bool, typer.Option("--missing-only", help="with --each: skip areas that already have a valid token")
    ] = False,
    push_url: Annotated[
        str | None,
        typer.Option(
            envvar="VALGNATT_PUSH_URL",
            callback=shared_url,
            help="with --each: URL of the push door as municipalities reach it, for the addresses in the file"
            " (default: that of `serve` on this machine)",
        ),
    ] = None,
    role: Annotated[str, typer.Option(help="sender or operator")] = "sender",
    expires: Annotated[
        str | None, typer.Option(help="an RFC 3339 time with an offset (default: never)")
    ] = None,
    note: Annotated[
        str, typer.Option(help="name of the holder (default: empty; with --each: the name of the area)")
    ] = "",
) -> None:
    """Issue a token and print it, or issue one for each area of a level and write them to a file.

    Nothing but the token is printed on standard output. A token cannot be shown again.

    With --each, all tokens are issued in one act. The file has the columns election, area, name, token and address:
    the page on which counts are entered, without the token. It is never overwritten. If the command is interrupted,
    repeat it: it then completes the file, or starts anew if no token was issued.
    """
    if role not in ("sender", "operator"):
        fail(f"role must be sender or operator, not {role!r}", 2)
    if (each is None) == (not areas):
        fail("give either --areas, or --each with --out", 2)
    if (each is None) != (out is None):
        fail("--each and --out belong together", 2)
    if each is None and missing_only:
        fail("--missing-only needs --each", 2)
    expires_at = read_time_argument("--expires", expires) if expires is not None else None
    if each is None or out is None:
        issued = administer(
            config,
            lambda acts: acts.issue_token(
                election, read_areas(areas), role=role, expires_at=expires_at, note=note
            ),
        )
        say(f"token {issued.key} for {areas} of {election}", err=True)
        say(issued.secret)
        return
    from gateway.commands.token_file import TokenBatch, TokenFile

    batch = TokenBatch(
        election=election,
        level=each,
        missing_only=missing_only,
        push_url=push_url or require_door_url(config, "push"),
        role=role,
        expires_at=expires_at,
        note=note,
    )
    file = TokenFile(out)
    file.check_new()
    issued_count = administer(config, lambda acts: batch.issue(acts, file))
    _report(batch, out, issued_count)
    if push_url is None and issued_count:
        warn(
            f"the addresses in {out} begin with {batch.push_url}, which only this machine reaches; with"
            " --push-url they name the push door as municipalities reach it"
        )


def _report(batch: "TokenBatch", out: Path, issued: int | None) -> None:
    """Print what was issued: a number of tokens, or None for those of an interrupted command."""
    if issued is None:
        say(f"an interrupted command had issued the tokens; {out} is now complete", err=True)
    elif issued == 0:
        say(
            f"every {batch.level} of {batch.election} has a token already; nothing was issued, and {out} was not"
            " written",
            err=True,
        )
    else:
        say(
            f"{counted(issued, 'token')} of {batch.election} in {out}, which only its owner can read; delete it once"
            " they are handed out",
            err=True,
        )


@with_database
def list_all(
    config: Config,
    election: Annotated[str | None, typer.Option(help="only tokens of this election (default: all)")] = None,
) -> None:
    """List tokens, without their secrets.

    Secrets are not stored and cannot be shown.
    """
    for each in administer(config, lambda acts: acts.tokens(election)):
        state = "revoked" if each.revoked_at else "valid"
        seen = each.last_contact_at.isoformat() if each.last_contact_at else "never used"
        areas, note = printable(",".join(each.areas)), printable(each.note)
        say(f"{each.key}\t{each.election}\t{areas}\t{each.role}\t{state}\t{seen}\t{note}")


@with_acts
def revoke(
    key: Annotated[int, typer.Argument(help="its number, as shown by `token list`")], config: Config
) -> None:
    """Revoke a token, effective immediately in every process.

    Prints whose token it was, on standard error.
    """

    revoked = administer(config, lambda acts: acts.revoke_token(key))
    holder = f"{','.join(revoked.areas)}; {revoked.note}" if revoked.note else ",".join(revoked.areas)
    say(f"token {key} of {revoked.election} ({printable(holder)}) is revoked", err=True)
