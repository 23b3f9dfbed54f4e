"""Origins of logs, which are also the names of their keys: `results.example.no/live/st-2025`, for example."""

import re
from typing import NamedTuple

from gateway.errors import GatewayError

NAME_MAX = 150
"""Characters of the name with which the origins of a gateway's logs begin."""
_LIVE, _REHEARSAL = "live", "rehearsal"
_NOT_PARTS = {"", ".", "..", _LIVE, _REHEARSAL}
_ELECTION = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HISTORY = re.compile(r"[2-9]|[1-9][0-9]{1,5}")


class MalformedOrigin(GatewayError):
    """A text that is not the origin of an election's log, or not a name with which origins can begin."""

    code = "malformed_origin"


class Origin(NamedTuple):
    """What an origin consists of."""

    name: str
    rehearsal: bool
    election: str
    history: int = 1

    def __str__(self) -> str:
        kind = _REHEARSAL if self.rehearsal else _LIVE
        suffix = "" if self.history == 1 else f"/{self.history}"
        return f"{self.name}/{kind}/{self.election}{suffix}"


def check_name(name: str) -> str:
    """Return the name with which origins are to begin. Raises MalformedOrigin.

    It must be usable in the name of a key (C2SP signed-note), and must not contain `live` or `rehearsal` between
    slashes, so that each origin can be read in one way only; nor `.` or `..`, as mirrors use origins as paths.
    """
    parts = name.split("/")
    if not name or len(name) > NAME_MAX or not _NOT_PARTS.isdisjoint(parts):
        raise MalformedOrigin(
            f"the name of a log has 1 to {NAME_MAX} characters, such as results.example.no, and no part of it"
            " between slashes is empty, live, rehearsal, . or .."
        )
    if not name.isprintable() or "+" in name or any(each.isspace() for each in name):
        raise MalformedOrigin("the name of a log must have no white space, no + and no control characters")
    return name


def origin(name: str, rehearsal: bool, election: str, history: int = 1) -> str:
    """Return the origin of a log. Raises MalformedOrigin."""
    check_name(name)
    if not _ELECTION.fullmatch(election):
        raise MalformedOrigin(f"{election[:80]!r} is not the identifier of an election")
    if not 1 <= history < 1_000_000:
        raise MalformedOrigin(f"no election has a history {history}")
    return str(Origin(name, rehearsal, election, history))


def parse_origin(text: str) -> Origin:
    """Read an origin; the inverse of `origin`. Raises MalformedOrigin."""
    parts = text.split("/") if len(text) <= NAME_MAX + 100 else []
    at = next((number for number, part in enumerate(parts) if part in (_LIVE, _REHEARSAL)), 0)
    rest = parts[at + 1 :]
    if at == 0 or len(rest) not in (1, 2) or (len(rest) == 2 and not _HISTORY.fullmatch(rest[1])):
        raise MalformedOrigin(f"not an origin NAME/live/ELECTION or NAME/rehearsal/ELECTION: {text[:80]!r}")
    found = Origin(
        "/".join(parts[:at]), parts[at] == _REHEARSAL, rest[0], int(rest[1]) if len(rest) == 2 else 1
    )
    origin(*found)
    return found
