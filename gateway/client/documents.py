"""Documents of a feed door, read as types; and the election that a command is about."""

from typing import Any, TypedDict, TypeVar

import msgspec

from gateway.client.http_json import open_door
from gateway.client.proxies import without_user
from gateway.errors import GatewayError

T = TypeVar("T")

REQUEST_S = 30.0
"""How long a document may take to arrive, in seconds."""


class ElectionEntry(TypedDict):
    """The members of an election in the list of a feed door that are used."""

    id: str
    rehearsal: bool


class Elections(TypedDict):
    """The list of elections."""

    elections: list[ElectionEntry]


async def the_election(feed_url: str, election: str | None) -> str:
    """Return the election that was named, or else the only one that is not a rehearsal.

    Raises GatewayError.
    """
    if election is not None:
        return election
    async with open_door("feed door", feed_url, total_s=REQUEST_S) as door:
        document = await door.get("/v1/elections")
    found = read_document(document, Elections, feed_url)["elections"]
    real = [each["id"] for each in found if not each["rehearsal"]] or [each["id"] for each in found]
    if len(real) != 1:
        names = ", ".join(each["id"] for each in found) or "none"
        raise GatewayError(f"select an election with --election; available: {names}")
    return str(real[0])


def read_document(document: Any, kind: type[T], url: str) -> T:
    """Convert a document from a door to a type. Raises GatewayError if it does not match."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise GatewayError(f"{without_user(url)}: not a door of version 1: {error}") from None
