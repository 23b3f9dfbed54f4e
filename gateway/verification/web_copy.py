"""A copy of a signed record on a web server: the files of `copies.py`, read over HTTP.

It is read as a feed door is, with the same bounds, but has neither areas nor pages of lines.
"""

from collections.abc import AsyncIterator

from gateway.transparency.tiles import FULL
from gateway.verification.copies import (
    CHECKPOINTS,
    PUBLICATIONS,
    CheckpointLine,
    PublicationLine,
    read_checkpoint_line,
    read_publication_line,
)
from gateway.verification.failures import NotThere
from gateway.verification.feed_record import (
    PAGE_MAX,
    FeedRecord,
)

LINES_MAX = 8 * PAGE_MAX
"""Bytes of a list of publications or checkpoints; a publication has some 250."""


class WebCopy(FeedRecord):
    """The copy at `url`, below which are its `log` and its publications."""

    is_door = False
    shows_areas = False

    async def checkpoints(self, after: int = 0) -> AsyncIterator[CheckpointLine]:
        """Yield every checkpoint of the copy above a size."""
        for number, line in enumerate(await self._lines(CHECKPOINTS), 1):
            found = read_checkpoint_line(line, f"{self.where}/{CHECKPOINTS}:{number}")
            if found.size > after:
                yield found

    async def publications(self, after: int, last: int) -> AsyncIterator[list[PublicationLine]]:
        """Yield the publications of the copy."""
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
