"""A feed door in the process of the test that serves a signed record from memory, as the contract has it."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import orjson
from aiohttp import web

from gateway.election.state import ElectionState
from gateway.transparency.tiles import MalformedTile, encode_bundle, parse_path
from gateway.transparency.tree import Tree
from gateway.wire.areas import area_document
from gateway.wire.cursors import format_cursor
from gateway.wire.events import block_event
from gateway.wire.json import to_json
from tests.client.doors import a_door
from tests.transparency.records import Fault, Night

PREFIX = "/v1/elections/made-up-1"


class Feed:
    """Serves `night`, which a test may replace; `published` publications are shown, by default all."""

    def __init__(self, night: Night) -> None:
        self.night = night
        self.published: int | None = None
        self.requests: list[str] = []
        """The paths of the tiles and bundles that were asked for."""
        self.holds: list[bytes] = []
        """Lines of the list of holds."""
        self.url = ""

    async def checkpoint(self, _: web.Request) -> web.Response:
        return web.Response(body=self.night.note(), content_type="text/plain", charset="utf-8")

    async def checkpoints(self, request: web.Request) -> web.Response:
        lines = [
            line
            for line in self.night.checkpoint_lines()
            if orjson.loads(line)["size"] > int(request.query["after"])
        ]
        return web.Response(body=b"".join(lines[: int(request.query["limit"])]))

    async def registry(self, _: web.Request) -> web.Response:
        return web.Response(body=self.night.document)

    async def tile(self, request: web.Request) -> web.Response:
        entries = self.night.entries
        self.requests.append(f"log/tile/{request.match_info['path']}")
        try:
            tile = parse_path(f"tile/{request.match_info['path']}")
        except MalformedTile:
            raise web.HTTPNotFound from None
        if tile.level is None:
            found = entries[tile.start : tile.end]
            if not found or (len(found) < tile.width and self.night.fault is not Fault.LAST_LEFT_OUT):
                raise web.HTTPNotFound
            body = gzip.compress(encode_bundle(found))
            return web.Response(body=body, headers={"Content-Encoding": "gzip"})
        tree = Tree()
        for entry in entries:
            tree.append(entry)
        return web.Response(body=tree.tile(tile.level, tile.index, tile.width))

    async def publications(self, request: web.Request) -> web.Response:
        after, limit = int(request.query["after"]), int(request.query["limit"])
        return web.Response(
            body=b"".join(self.night.publication_lines()[: self.published][after : after + limit])
        )

    async def hold_list(self, request: web.Request) -> web.Response:
        after, limit = int(request.query["after"]), int(request.query["limit"])
        return web.Response(body=b"".join(self.holds[after : after + limit]))

    async def feed(self, request: web.Request) -> web.StreamResponse:
        state = ElectionState(self.night.registry)
        for publication in self.night.publications[: self.published]:
            state.apply(publication)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        documents = [area_document(state, area.index) for area in state.registry.areas]
        if self.night.fault is Fault.FIGURE_CHANGED:
            documents[3]["counts"]["advance"]["votes"]["P"] += 1
        if self.night.fault is Fault.AREA_LEFT_OUT:
            documents.pop(3)
        for each in documents:
            await response.write(b"event: area\ndata: " + to_json(each) + b"\n\n")
        block = block_event(
            state.cursor(),
            state.chain,
            state.published_at,
            snapshot=True,
            areas=len(documents),
            rehearsal=False,
            holds=0,
            server_time=datetime.now(UTC),
        )
        assert format_cursor(state.cursor()).encode() in block
        await response.write(block)
        return response

    def routes(self) -> list[web.RouteDef]:
        """The routes below the election."""
        return [
            web.get(f"{PREFIX}/log/checkpoint", self.checkpoint),
            web.get(f"{PREFIX}/log/checkpoints", self.checkpoints),
            web.get(f"{PREFIX}/log/registry", self.registry),
            web.get(f"{PREFIX}/log/tile/{{path:.*}}", self.tile),
            web.get(f"{PREFIX}/publications", self.publications),
            web.get(f"{PREFIX}/holds", self.hold_list),
            web.get(f"{PREFIX}/feed", self.feed),
        ]


@asynccontextmanager
async def serving(night: Night) -> AsyncIterator[Feed]:
    """Serve a record on a port of its own; `url` is that of the election."""
    feed = Feed(night)
    async with a_door(*feed.routes()) as url:
        feed.url = f"{url}{PREFIX}"
        yield feed
