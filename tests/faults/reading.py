"""What clients of a night read beside the feed: newest reports of units, and the publication stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import aiohttp
import orjson

from gateway.client.sse import EventParser

RECONNECT_S = 0.2
"""Seconds until a publication stream that ended is opened again."""


class NoAnswer(Exception):
    """The push door could not answer: it is not available, or not reached."""


class Publication(NamedTuple):
    """A publication as a reader of the publication stream received it."""

    sequence: int
    digest: str


async def read_back(
    session: aiohttp.ClientSession, push_url: str, election: str, secret: str, unit: str
) -> int | None:
    """Return the revision of the newest report of a unit; None if there is none. Raises NoAnswer."""
    url = f"{push_url}/v1/elections/{election}/reports/{unit}"
    try:
        async with session.get(url, headers={"Authorization": f"Bearer {secret}"}) as response:
            answer = orjson.loads(await response.read())
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NoAnswer from error
    if response.status == 200:
        revision: int = answer["report"]["revision"]
        return revision
    if answer["code"] == "no_report":
        return None
    raise NoAnswer(answer["code"])


async def publications(
    session: aiohttp.ClientSession, feed_url: str, election: str
) -> AsyncIterator[Publication]:
    """Yield what the publication stream sends, and resume after each interruption; never ends."""
    cursor = ""
    url = f"{feed_url}/v1/elections/{election}/publications"
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": cursor} if cursor else {})
        try:
            async with session.get(url, headers=headers) as response:
                parser = EventParser()
                while response.status == 200 and (piece := await response.content.readany()):
                    for event in parser.feed(piece):
                        document = orjson.loads(event.data)
                        cursor = event.id
                        yield Publication(document["sequence"], document["digest"])
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(RECONNECT_S)
