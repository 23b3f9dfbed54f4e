"""`valgnatt token`: issue and revoke the senders' tokens."""

from typing import Annotated

import typer

from gateway.characters import printable
from gateway.commands.arguments import read_areas, read_time_argument, with_database
from gateway.commands.running import administer, fail
from gateway.config import Config
from gateway.output import say


@with_database
def issue(
    election: Annotated[str, typer.Option(help="the election's identifier")],
    areas: Annotated[
        str, typer.Option(help="areas to report for, including all below them, such as 4601,0301")
    ],
    config: Config,
    role: Annotated[str, typer.Option(help="sender or operator")] = "sender",
    expires: Annotated[
        str | None, typer.Option(help="an RFC 3339 time with an offset (default: never)")
    ] = None,
    note: Annotated[str, typer.Option(help="name of the holder (default: empty)")] = "",
) -> None:
    """Issue a token and print it.

    Nothing else is printed on standard output. The token cannot be shown again.
    """
    if role not in ("sender", "operator"):
        fail(f"role must be sender or operator, not {role!r}", 2)
    expires_at = read_time_argument(expires) if expires is not None else None
    issued = administer(
        config,
        lambda acts: acts.issue_token(
            election, read_areas(areas), role=role, expires_at=expires_at, note=note
        ),
    )
    say(f"token {issued.key} for {areas} of {election}", err=True)
    say(issued.secret)


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


@with_database
def revoke(
    key: Annotated[int, typer.Argument(help="its number, as shown by `token list`")], config: Config
) -> None:
    """Revoke a token, effective immediately in every process."""
    administer(config, lambda acts: acts.revoke_token(key))
