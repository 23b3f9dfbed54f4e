"""Documents of a feed door as typed values: the election for which a command runs, and its registry."""

from contextlib import suppress
from typing import Any, TypedDict, TypeVar
from urllib.parse import quote

import msgspec

from gateway.client.http_json import Door, NoDocument, open_door
from gateway.client.proxies import without_user
from gateway.count_files.messages import abbreviated
from gateway.count_files.suggestions import did_you_mean
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.errors import GatewayError

T = TypeVar("T")

REQUEST_S = 30.0
"""How long a document may take to arrive, in seconds."""
REGISTRY_S = 60.0
"""How long a registry may take to arrive, in seconds."""
LISTED_MAX = 10
"""Elections that a message lists."""


class ElectionEntry(TypedDict):
    """The members used here of an election in the list of a feed door."""

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
        document = await feed_document(door, "/v1/elections")
    found = read_document(document, Elections, feed_url)["elections"]
    real = [each["id"] for each in found if not each["rehearsal"]] or [each["id"] for each in found]
    if len(real) != 1:
        names = ", ".join(each["id"] for each in found) or "none"
        raise GatewayError(f"select an election with --election; available: {names}")
    return str(real[0])


async def registry_of(feed_url: str, election: str) -> Registry:
    """Read an election's registry from a feed door. Raises GatewayError."""
    async with open_door("feed door", feed_url, total_s=REGISTRY_S) as door:
        try:
            document = await feed_document(door, f"/v1/elections/{quote(election, safe='')}")
        except NoDocument as error:
            if error.failure.problem == "unknown_election" or is_no_gateway(error):
                raise await _with_elections(door, election, error) from None
            raise
    if not isinstance(document.get("registry"), dict):
        raise not_a_door("feed door", feed_url)
    return read_registry(document["registry"], stored=True)


async def _with_elections(door: Door, election: str, error: NoDocument) -> NoDocument:
    """Return an error about an unknown election that names similar ones, or else the existing ones."""
    try:
        found = msgspec.convert(await feed_document(door, "/v1/elections"), Elections)["elections"]
    except (GatewayError, msgspec.ValidationError):
        return error
    known = [each["id"] for each in found]
    if election in known:
        return error
    named = did_you_mean(election, known) or f"; the gateway has: {', '.join(known[:LISTED_MAX]) or 'none'}"
    text = f"no election {abbreviated(election)!r}{named} ({error.failure.text})"
    return NoDocument(msgspec.structs.replace(error.failure, text=text))


async def feed_document(door: Door, path: str) -> dict[str, Any]:
    """Return a document of a feed door, or of a mirror at its URL, where it is a file. Raises NoDocument."""
    try:
        return await door.get(path)
    except NoDocument as error:
        if not is_no_gateway(error):
            raise
        with suppress(NoDocument):
            return await door.get(f"{path}.json")
        raise


def is_no_gateway(error: NoDocument) -> bool:
    """Return whether an answer came, but not from a gateway: perhaps from the web server of a mirror."""
    return error.failure.problem is None and error.failure.code in ("foreign", "not_a_door")


def read_document(document: Any, kind: type[T], url: str) -> T:
    """Convert a document from a door to a type. Raises GatewayError if it does not match."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise GatewayError(f"{without_user(url)}: not a door of version 1: {error}") from None


def not_a_door(name: str, url: str) -> GatewayError:
    """Return the error for a document that no such door gives."""
    return GatewayError(f"{without_user(url)}: not a {name} of version 1: check the URL")
