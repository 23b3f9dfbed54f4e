"""Arguments that several commands share, and how their values are read."""

from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

import typer

from gateway.commands.running import fail
from gateway.options import with_config_options

with_database = with_config_options(only=("database_url", "database_password_file", "data_dir"))
"""Adds the options that name the database."""

DEFAULT_PUSH_URL = "http://127.0.0.1:8081"
DEFAULT_FEED_URL = "http://127.0.0.1:8080"


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
    return url


ElectionArgument = Annotated[str, typer.Argument(help="the election's identifier")]
ElectionOption = Annotated[
    str | None, typer.Option(help="the election's identifier (default: the only election of the gateway)")
]
PushUrl = Annotated[
    str,
    typer.Option(
        envvar="VALGNATT_PUSH_URL", callback=checked_url, help="URL of the push door, http:// or https://"
    ),
]
FeedUrl = Annotated[
    str,
    typer.Option(
        envvar="VALGNATT_FEED_URL", callback=checked_url, help="URL of the feed door, http:// or https://"
    ),
]
AsJsonLines = Annotated[bool, typer.Option("--json", help="print JSON, one document per line")]


def read_areas(text: str) -> list[str]:
    """Return the identifiers in a comma-separated list."""
    return [area for area in text.split(",") if area]


def read_time_argument(text: str) -> datetime:
    """Read an RFC 3339 time; exit with status 2 if it is not valid."""
    from gateway.election.registry import read_time

    try:
        return read_time(text)
    except ValueError as error:
        fail(str(error), 2)
