"""Arguments that several commands share, and how their values are read."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, overload
from urllib.parse import urlsplit

import typer

from gateway.commands.running import fail
from gateway.config import Config, ConfigError, Door, door_options, door_url
from gateway.config_loading import load
from gateway.options import with_config_options
from gateway.output import say
from gateway.secret_files import read_secret, trimmed_token

_DATABASE = ("database_url", "database_password_file", "data_dir")
with_database = with_config_options(only=_DATABASE)
"""Adds the options that name the database."""
with_acts = with_config_options(only=(*_DATABASE, "require_standby"))
"""Adds the options of a command that performs administrative acts."""

OF_THIS_MACHINE = ""
"""The URL if none is given: that of a gateway on this machine, according to the options of its `serve`."""


@overload
def checked_url(url: str) -> str: ...
@overload
def checked_url(url: None) -> None: ...
def checked_url(url: str | None) -> str | None:
    """Return the URL of a door unchanged. Raises BadParameter, which ends the command with status 2."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise typer.BadParameter(f"{url!r} is not http://host:port or https://host:port")
    if parts.query or parts.fragment:  # it may be a secret, and no path can be added to it
        raise typer.BadParameter("the URL of a door has no query (?) and no fragment (#)")
    return url


def shared_url(url: str | None) -> str | None:
    """Return a URL that is passed on to others unchanged. Raises BadParameter if it has more than an address."""
    if url is not None:
        parts = urlsplit(checked_url(url))
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise typer.BadParameter("the URL must not have a user, a password, a query or a fragment")
    return url


def push_door_url(url: str) -> str:
    """Return the URL of the push door that was given, or that of this machine. Exits with status 2 if it is wrong."""
    return checked_url(url) if url else _of_this_machine("push")


def feed_door_url(url: str) -> str:
    """Return the URL of the feed door that was given, or that of this machine. Exits with status 2 if it is wrong."""
    return checked_url(url) if url else _of_this_machine("feed")


def _of_this_machine(door: Door) -> str:
    """Return the URL of a door by the environment and the configuration file, as `serve` reads them."""
    try:
        config = load(os.environ, only=door_options(door))
    except ConfigError as error:
        say(str(error), err=True)
        raise typer.Exit(2) from None
    return require_door_url(config, door)


def require_door_url(config: Config, door: Door) -> str:
    """Return the URL of a door of this machine; exit with status 2 if its port is not fixed."""
    if (url := door_url(config, door)) is None:
        fail(f"{door}_port is 0, which means any free port; name the {door} door with --{door}-url", 2)
    return url


ElectionArgument = Annotated[str, typer.Argument(help="the election's identifier")]
ElectionOption = Annotated[
    str | None, typer.Option(help="the election's identifier (default: the only election of the gateway)")
]


def _url_option(door: Door, callback: Callable[[str], str]) -> Any:
    return typer.Option(
        envvar=f"VALGNATT_{door.upper()}_URL",
        callback=callback,
        help=f"URL of the {door} door, http:// or https:// (default: that of `serve` on this machine, by its options in"
        " the environment)",
        show_default=False,
    )


def _url_if_given(url: str) -> str:
    return url and checked_url(url)


PushUrl = Annotated[str, _url_option("push", push_door_url)]
FeedUrl = Annotated[str, _url_option("feed", feed_door_url)]
GivenPushUrl = Annotated[str, _url_option("push", _url_if_given)]
"""OF_THIS_MACHINE if it was not given, for commands that need it only sometimes or have a configuration."""
GivenFeedUrl = Annotated[str, _url_option("feed", _url_if_given)]
OperatorTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        "--token",
        help="file with a token of role operator (default: the variable VALGNATT_TOKEN)",
    ),
]
AdminPort = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="port of health and metrics on --admin-host, a number (default: none)"
    ),
]
"""Of a command that is not `serve`, so that it can run beside one."""
AsJsonLines = Annotated[bool, typer.Option("--json", help="print JSON, one document per line")]


def read_areas(text: str) -> list[str]:
    """Return the identifiers in a comma-separated list."""
    return [area for area in text.split(",") if area]


def read_token(file: Path | None) -> tuple[str, str]:
    """Return the token, or an empty one and why there is none."""
    origin = f"token file {file}" if file is not None else "VALGNATT_TOKEN"
    try:
        token = trimmed_token(read_secret(file) if file is not None else os.environ.get("VALGNATT_TOKEN", ""))
    except (OSError, ValueError) as error:
        return "", f"{origin}: {getattr(error, 'strerror', None) or error}"
    if not token:
        return "", (
            "no token: set VALGNATT_TOKEN, or name a file with --token-file; the operator of the election issues tokens"
        )
    return token, ""


def read_time_argument(option: str, text: str) -> datetime:
    """Read an RFC 3339 time; exit with status 2 if it is not valid, with the name of its option."""
    from gateway.election.rfc3339 import read_time

    try:
        return read_time(text)
    except ValueError as error:
        fail(f"{option}: {error}: write it as in 2025-09-08T21:30:00+02:00", 2)
