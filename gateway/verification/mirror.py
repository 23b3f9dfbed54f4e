"""A copy of a signed record on a web server, a mirror: the files of `copies.py`, read over HTTP.

It is read as a feed door is, with the same bounds, but has neither areas nor pages of lines.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.client.http_session import environment_proxy, open_session
from gateway.transparency.tiles import FULL
from gateway.verification.copies import (
    CHECKPOINTS,
    PUBLICATIONS,
    CheckpointLine,
    PublicationLine,
    SignedRecord,
    read_checkpoint_line,
    read_publication_line,
)
from gateway.verification.failures import NotThere
from gateway.verification.feed_record import (
    CONNECTIONS,
    ELECTIONS,
    PAGE_MAX,
    REQUEST_S,
    FeedRecord,
    is_url,
    open_record,
)

LINES_MAX = 8 * PAGE_MAX
"""Bytes of a list of publications or checkpoints; a publication has some 250."""


class MirrorRecord(FeedRecord):
    """The copy at `url`, below which are its `log` and its publications."""

    is_door = False

    async def checkpoints(self, after: int = 0) -> AsyncIterator[CheckpointLine]:
        """Yield every checkpoint of the mirror above a size."""
        for number, line in enumerate(await self._lines(CHECKPOINTS), 1):
            found = read_checkpoint_line(line, f"{self.where}/{CHECKPOINTS}:{number}")
            if found.size > after:
                yield found

    async def publications(self, after: int, last: int) -> AsyncIterator[list[PublicationLine]]:
        """Yield the publications of the mirror."""
        lines = (await self._lines(PUBLICATIONS))[after:last]
        for start in range(0, len(lines), FULL):
            part = enumerate(lines[start : start + FULL], after + start + 1)
            yield [
                read_publication_line(line, f"{self.where}/{PUBLICATIONS}:{number}") for number, line in part
            ]

    async def _lines(self, path: str) -> list[bytes]:
        try:
            return (await self.document(f"/{path}", LINES_MAX)).splitlines()
        except NotThere:
            return []


@asynccontextmanager
async def open_copy(where: str, election: str) -> AsyncIterator[SignedRecord]:
    """Open a copy of an election's record: a directory, a mirror, or the election at a feed door.

    A URL is that of a mirror if there is a checkpoint at URL/log/checkpoint, unless it is that of a door's election.
    Raises VerificationFailed, BadProxy.
    """
    if not is_url(where) or ELECTIONS in where:
        async with open_record(where, election) as record:
            yield record
        return
    url = where.rstrip("/")
    proxy = environment_proxy(url)
    async with open_session(proxy, total_s=REQUEST_S, decompress=False, connections_max=CONNECTIONS) as http:
        mirror = MirrorRecord(url, http, proxy)
        try:
            await mirror.checkpoint()
        except NotThere:
            async with open_record(where, election) as record:
                yield record
        else:
            yield mirror
