"""PURE: the logs that a witness follows, as they are named on its command line: VKEY or VKEY=URL, repeated."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

from gateway.errors import GatewayError
from gateway.transparency.note import ED25519, MalformedKey, VerifierKey, parse_vkey
from gateway.transparency.origins import MalformedOrigin, parse_origin

LOGS_MAX = 1000
"""Logs that one witness follows."""
_VKEY_AND_URL = re.compile(r"(?P<vkey>[^+\s]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]+=*?)(=(?P<url>https?://.*))?")


class BadLog(GatewayError):
    """A log on the command line that cannot be followed; the message names it and says why."""

    code = "bad_log"


class Log(msgspec.Struct, frozen=True):
    """A log: its origin, its keys, and where it is read if it is mirrored."""

    origin: str
    keys: tuple[VerifierKey, ...]
    url: str | None = None
    """The URL of the election at the feed door, or of the feed door; None if it is not mirrored."""


def read_logs(arguments: Iterable[str]) -> list[Log]:
    """Return the logs of the arguments; several keys of one name are those of one log. Raises BadLog."""
    logs: dict[str, Log] = {}
    for argument in arguments:
        key, url = _key_and_url(argument)
        known = logs.get(key.name)
        if known is None:
            logs[key.name] = Log(key.name, (key,), url)
            continue
        if url is not None and known.url is not None and url != known.url:
            raise BadLog(f"{key.name}: two URLs for one log")
        keys = known.keys if key in known.keys else (*known.keys, key)
        logs[key.name] = Log(key.name, keys, known.url or url)
    if not logs:
        raise BadLog("no log to follow; name each with --log VKEY, or --log VKEY=URL")
    if len(logs) > LOGS_MAX:
        raise BadLog(f"more than {LOGS_MAX} logs")
    return list(logs.values())


def _key_and_url(argument: str) -> tuple[VerifierKey, str | None]:
    match = _VKEY_AND_URL.fullmatch(argument.strip())
    if match is None:
        raise BadLog(f"not VKEY or VKEY=URL: {argument[:100]!r}")
    try:
        key = parse_vkey(match["vkey"])
    except MalformedKey as error:
        raise BadLog(str(error)) from None
    if key.kind != ED25519:
        raise BadLog(f"{key.name}: the key of a witness, not of a log")
    url = match["url"]
    if url is not None:
        parts = urlsplit(url)
        if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
            raise BadLog(f"{key.name}: the URL must be that of the feed door or of the election there")
        try:
            parse_origin(key.name)
        except MalformedOrigin as error:
            raise BadLog(f"{error}; without a URL it is cosigned all the same, and not mirrored") from None
    return key, url
