"""Documents of a feed door in the process of the test, as a client reads them."""

import csv
import io

import aiohttp

from tests.feed.served import Served
from tests.web.doors import Answer, ask


async def get(
    http: aiohttp.ClientSession, door: Served, path: str, headers: dict[str, str] | None = None, **params: str
) -> Answer:
    """Request a document of the election."""
    return await ask(http, "GET", door.url(path), params=params, headers=headers or {})


def rows_of(raw: bytes) -> list[dict[str, str]]:
    """Read a table with a CSV reader."""
    return list(csv.DictReader(io.StringIO(raw.decode(), newline=""), strict=True))
