"""A real browser without a screen, for tests and pictures of the pages; and a proxy that fails in several ways."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    async_playwright,
    expect,
)

from tests.web.doors import a_client

CHROMIUM = Path("/usr/bin/chromium")
WITHOUT_FEATURES = (
    # What Playwright disables; of this option, Chromium reads only the last.
    "AimEnabled,AvoidCorsURLLoaderRestartOnRedirect,AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,"
    "HttpsFirstBalancedModeAutoEnable,HttpsUpgrades,LensOverlay,MediaRouter,NetworkTimeServiceQuerying,"
    "OptimizationHints,PaintHolding,PreconnectToSearch,ThirdPartyStoragePartitioning,"
    # Parts of the window around a page, for which each profile otherwise starts processes that nobody sees.
    "InitialWebUI,NtpComposebox,PreloadTopChromeWebUI,SidePanel,TabSearch,WebUIOmniboxAimPopup,WebUIOmniboxPopup,"
    "WebUIToolbar"
)
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    f"--disable-features={WITHOUT_FEATURES}",
)

PATIENCE_MS = 20_000
"""How long facts of a page are waited for, in every test: the machine may be busy."""
expect.set_options(timeout=PATIENCE_MS)

session_loop = pytest.mark.asyncio(loop_scope="session")
"""Runs a test on the event loop that lasts for the session, to which the shared browser belongs."""


@pytest_asyncio.fixture(loop_scope="session")
async def http_on_session_loop() -> AsyncIterator[aiohttp.ClientSession]:
    """A client on the loop of the browser, which modules take as their `http`."""
    async with a_client() as session:
        yield session


Test = TypeVar("Test", bound=Callable[..., object])


def needs_chromium(test: Test) -> Test:
    """Run a test on the loop of the shared browser, or skip it if Chromium is not installed."""
    skipped: Test = pytest.mark.skipif(
        not CHROMIUM.exists(), reason=f"Chromium is not installed ({CHROMIUM})"
    )(session_loop(test))
    return skipped


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
    """A user of a browser. Errors and warnings in the console are recorded, and all requests."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.errors: list[str] = []
        self.requests: list[str] = []

    async def open(self, url: str) -> Page:
        """Open a page in a new tab."""
        page = await self.context.new_page()
        page.on("console", self._record_message)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._record_request)
        await page.goto(url)
        return page

    def _record_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _record_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def requests_elsewhere(self, *origins: str) -> list[str]:
        """Return the requests to other origins than these; data within a page is none."""
        return [
            url for url in self.requests if not url.startswith((*(f"{each}/" for each in origins), "data:"))
        ]


@asynccontextmanager
async def visiting(browser: Browser, **options: Any) -> AsyncIterator[Visitor]:
    """Provide a visitor with a new profile, by default in English and with a window 1280 pixels wide."""
    context_options = {"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **options}
    context = await browser.new_context(**context_options)
    try:
        yield Visitor(context)
    finally:
        for page in context.pages:
            # An answer may be under way to a page that closes.
            await page.unroute_all(behavior="ignoreErrors")
        await context.close()


class CuttableProxy:
    """Forwards connections to a server until it is cut; then none gets through until it is restored.

    While `answer` is set, each new connection gets that instead of the server's answer. During a stall, no connection
    gets anything, and none ends.
    """

    def __init__(self, port: int) -> None:
        self.url = ""
        self.answer: bytes | None = None
        self._stalled = False
        self._target_port = port
        self._port = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._held: list[asyncio.StreamWriter] = []

    async def restore(self) -> None:
        """Accept connections, at the same address as before."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def cut(self) -> None:
        """End all connections at once and accept no more."""
        assert self._server is not None
        self._server.close()
        self.end_stall()
        for serving in self._serving:
            serving.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    def stall(self) -> None:
        """Hold all connections, those that will be opened too."""
        self._stalled = True
        for serving in self._serving:
            serving.cancel()

    def end_stall(self) -> None:
        """Reset the connections that are held, and forward new ones again."""
        self._stalled = False
        for writer in self._held:
            writer.transport.abort()
        self._held.clear()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._stalled:
            self._held.append(writer)
            return
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.answer is not None:
            writer.write(self.answer)
            writer.close()
            return
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        directions = {
            asyncio.create_task(_forward(reader, target_writer)),
            asyncio.create_task(_forward(target_reader, writer)),
        }
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            target_writer.transport.abort()
            if self._stalled:
                self._held.append(writer)
            else:
                writer.transport.abort()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass


@asynccontextmanager
async def cuttable_proxy(url: str) -> AsyncIterator[CuttableProxy]:
    """Run a proxy to a server; it is cut at the end of the block."""
    proxy = CuttableProxy(int(url.rpartition(":")[2]))
    await proxy.restore()
    try:
        yield proxy
    finally:
        await proxy.cut()
