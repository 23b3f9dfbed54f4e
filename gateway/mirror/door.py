"""The feed door as a mirror reads it beside the stream: every answer is bounded in bytes and in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import orjson

from gateway.client.http_session import environment_proxy, open_session
from gateway.verification.copies import LINE_MAX, REGISTRY_MAX
from gateway.verification.failures import VerificationFailed
from gateway.verification.feed_record import CONNECTIONS, REQUEST_S, SILENCE_S, FeedRecord
from gateway.wire.mirror import USER_AGENT

FETCH_S = 90.0
"""How long a document may take, in seconds, with the pauses between attempts."""
DOCUMENT_MAX = 64 << 20
"""Bytes of a document. The transfers of an election ten times Norway's take 4 MB."""
ELECTIONS_MAX = 16 << 20
"""Bytes of the list of elections."""


class FeedDoor:
    """The documents of one election. Everything raises VerificationFailed (`unreachable`), and TimeoutError."""

    def __init__(self, record: FeedRecord, elections: FeedRecord, election: str) -> None:
        self.record = record
        """The signed record of the election, which this class does not bound in time."""
        self._elections = elections
        self._election = election

    async def document(self, path: str, most: int = DOCUMENT_MAX) -> bytes:
        """Return a document below the election. Raises NotThere for one that does not exist."""
        async with asyncio.timeout(FETCH_S):
            return await self.record.document(path, most)

    async def json(self, path: str, most: int = DOCUMENT_MAX) -> tuple[bytes, dict[str, Any]]:
        """Return a document below the election that is a JSON object, as bytes and as values."""
        body = await self.document(path, most)
        return body, self._object(body, f"{self.record.where}{path}")

    async def entry(self) -> dict[str, Any]:
        """Return the election as in the list of elections."""
        async with asyncio.timeout(FETCH_S):
            body = await self._elections.document("", ELECTIONS_MAX)
        found = self._object(body, self._elections.where).get("elections")
        for each in found if isinstance(found, list) else ():
            if isinstance(each, dict) and each.get("id") == self._election:
                return each
        raise VerificationFailed("unreachable", f"{self._elections.where}: no election {self._election}")

    async def registry(self) -> bytes:
        """Return the registry, byte for byte as in the document of the election."""
        body = await self.document("", REGISTRY_MAX + LINE_MAX)
        before, found, registry = body.partition(b',"registry":')
        if not found or not registry.endswith(b"}}") or not before.startswith(b"{"):
            raise VerificationFailed("unreachable", f"{self.record.where}: not the document of an election")
        return registry[:-1]

    @staticmethod
    def _object(body: bytes, where: str) -> dict[str, Any]:
        try:
            document = orjson.loads(body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise VerificationFailed("unreachable", f"{where}: not a JSON object")
        return document


@asynccontextmanager
async def open_feed_door(feed_url: str, election: str) -> AsyncIterator[FeedDoor]:
    """Open a session for a feed door, through the proxy that the environment names. Raises BadProxy."""
    elections = f"{feed_url.rstrip('/')}/v1/elections"
    proxy = environment_proxy(feed_url)
    async with open_session(
        proxy,
        total_s=REQUEST_S,
        silence_s=SILENCE_S,
        decompress=False,
        connections_max=CONNECTIONS,
        user_agent=USER_AGENT,
    ) as http:
        record = FeedRecord(f"{elections}/{quote(election, safe='')}", http, proxy)
        yield FeedDoor(record, FeedRecord(elections, http, proxy), election)
