"""`POST …/preview`: read a file with counts and compare it with the current reports; nothing of it is accepted.

The client then pushes the reports of the answer with `POST …/reports`, like any others.
"""

from collections.abc import Iterable

from aiohttp import hdrs, web

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.journal.elections import ElectionVersion, Token
from gateway.journal.intake import Intake, OpenElection
from gateway.web.answers import JSON, Problem
from gateway.web.count_previews import CountPreviews
from gateway.web.count_task import Current, Task
from gateway.web.push_receiving import receive_content
from gateway.web.shares import ByteBudget, ByteReservation
from gateway.wire import csv_text

EXTENSIONS = {
    csv_text.MEDIA_TYPE: ".csv",
    "text/tab-separated-values": ".csv",
    JSON: ".json",
    "application/x-ndjson": ".ndjson",
    "application/xml": ".xml",
    "text/xml": ".xml",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
}
"""The extension of the file format, by media type."""
REGISTRIES_MAX = 8
"""Cached registries, encoded as readers receive them."""


class PushPreviews:
    """Answers requests for previews. Bodies are counted in the same budget as those of push requests."""

    def __init__(self, intake: Intake, bodies: ByteBudget, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._intake = intake
        self._clock = clock
        self._bodies = bodies
        self.files = CountPreviews(clock=clock)
        self._registries: dict[int, tuple[int, bytes]] = {}
        """By election, with its version."""

    async def answer(self, request: web.Request, election: OpenElection, token: Token) -> bytes:
        """Return the preview of the file in a body, as JSON. Raises Problem and Overloaded."""
        self.files.require(token.key)
        extension = EXTENSIONS.get(request.content_type)
        if extension is None:
            raise Problem(415, "unsupported_type", f"Content-Type must be one of {', '.join(EXTENSIONS)}")
        if hdrs.CONTENT_ENCODING in request.headers:
            raise Problem(415, "unsupported_encoding", "Content-Encoding must be absent")
        with ByteReservation(self._bodies, token.key, "request bodies") as memory:
            content = await receive_content(request, memory)
            token = await self._intake.confirm_token(election, token)
            version = election.current
            task = Task(extension, content, self._registry_of(version), token.areas, self._clock.now())

            async def read_current(units: Iterable[str]) -> Current:
                own = [unit for unit in units if unit in token.scope]
                found = await self._intake.journal.newest_reports(version.key, own)
                return {each.unit: (each.body, each.current) for each in found}

            return await self.files.preview(token.key, task, read_current)

    def _registry_of(self, version: ElectionVersion) -> bytes:
        number, document = self._registries.get(version.key, (-1, b""))
        if number != version.version:
            document = version.registry.canonical()
            self._registries[version.key] = version.version, document
            while len(self._registries) > REGISTRIES_MAX:
                del self._registries[next(iter(self._registries))]
        return document
