"""A real browser without a screen, for tests and pictures of the pages; and a line to the gateway that can be cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """Run a browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


class Visitor:
    """Someone at a browser. What pages say in the console, and what they ask for, is noted."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.complaints: list[str] = []
        self.asked: list[str] = []

    async def open(self, url: str) -> Page:
        """Open a page in a tab of its own."""
        page = await self.context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._noted)
        await page.goto(url)
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _noted(self, request: Request) -> None:
        self.asked.append(request.url)

    def elsewhere(self, *origins: str) -> list[str]:
        """Return what was asked for that is not of these origins, nor within a page itself."""
        return [url for url in self.asked if not url.startswith((*(f"{each}/" for each in origins), "data:"))]


@asynccontextmanager
async def visiting(browser: Browser, **options: Any) -> AsyncIterator[Visitor]:
    """Have someone visit, who remembers nothing afterwards; English and 1280 wide unless asked for otherwise."""
    told = {"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **options}
    context = await browser.new_context(**told)
    try:
        yield Visitor(context)
    finally:
        await context.close()


class Line:
    """Passes bytes to a server and back, until it is cut: then nobody gets through until it is mended."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self._onward = port
        self._port = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        """Take connections, at the same address as before."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def cut(self) -> None:
        """End all connections at once and take no more."""
        assert self._server is not None
        self._server.close()
        for serving in self._serving:
            serving.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._onward)
        ways = {
            asyncio.create_task(_pass_on(reader, onward_writer)),
            asyncio.create_task(_pass_on(onward_reader, writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            writer.transport.abort()
            onward_writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[Line]:
    """Lay a line to a server; it is cut when the block is left."""
    line = Line(int(url.rpartition(":")[2]))
    await line.mend()
    try:
        yield line
    finally:
        await line.cut()
