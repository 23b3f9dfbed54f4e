"""A feed door without a database: the registry and the stream of a record made up by a test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.client.subscriber import Block
from gateway.wire.mirror import USER_AGENT
from tests.mirror.model import RecordModel

ELECTION = "no-test"


class StubGateway:
    """Serves one election. A stream ends when the record is replaced by another."""

    def __init__(self, record: RecordModel) -> None:
        self.record = record
        self.streams = 0
        self.silent = False
        """Whether streams send nothing."""
        self._changed = asyncio.Condition()
        self.url = ""

    async def publish(self, unit: str, votes: int = 1) -> None:
        """Publish a report, and send it to all streams."""
        async with self._changed:
            self.record.publish(unit, votes)
            self._changed.notify_all()

    async def replace(self, record: RecordModel) -> None:
        """Serve another record from now on."""
        async with self._changed:
            self.record = record
            self._changed.notify_all()

    async def _elections(self, _: web.Request) -> web.Response:
        return web.json_response({"elections": [{"id": ELECTION, "rehearsal": False}]})

    async def _election(self, _: web.Request) -> web.Response:
        return web.json_response({"id": ELECTION, "registry": self.record.registry.document})

    async def _unknown(self, _: web.Request) -> web.Response:
        body = {"code": "unknown_election", "detail": "there is no such election"}
        return web.json_response(body, status=404, content_type="application/problem+json")

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        self.streams += 1
        assert request.headers["User-Agent"] == USER_AGENT, "a door knows a mirror by it"
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        record, cursor = self.record, request.headers.get("Last-Event-ID", "")
        since = int(cursor.partition("-")[0] or 0)
        sent = since if since and cursor in record.cursors else None
        await response.write(b"retry: 20\n\n")
        while self.record is record:
            if not self.silent:
                await response.write(events(record.block(sent)))
                sent = record.sequence
            async with self._changed:
                try:
                    async with asyncio.timeout(0.2):
                        await self._changed.wait()
                except TimeoutError:
                    pass
        return response

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["StubGateway"]:
        """Listen until the block ends."""
        app = web.Application()
        app.router.add_get("/v1/elections", self._elections)
        app.router.add_get(f"/v1/elections/{ELECTION}", self._election)
        app.router.add_get(f"/v1/elections/{ELECTION}/feed", self._feed)
        app.router.add_get("/v1/elections/{election}", self._unknown)
        async with TestServer(app) as server:
            self.url = str(server.make_url("/"))
            yield self
            await self.replace(RecordModel(self.record.registry, "the end"))


def events(block: Block) -> bytes:
    """Return a block as the events of a stream."""
    areas = b"".join(b"event: area\ndata: " + raw + b"\n\n" for raw in block.raw.values())
    end = {
        "sequence": block.sequence,
        "published_at": block.published_at,
        "chain": block.chain,
        "snapshot": block.snapshot,
        "areas": len(block.raw),
        "server_time": block.server_time,
        "holds": block.holds,
    }
    cursor = block.cursor.encode()
    return areas + b"event: block\nid: " + cursor + b"\ndata: " + orjson.dumps(end) + b"\n\n"
