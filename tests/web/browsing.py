"""A real browser without a screen, for tests and pictures of the pages; and a proxy that fails in several ways."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
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
    Error,
    Page,
    Request,
    ViewportSize,
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

BLANK = "about:blank"
BARE = "/static/0/app.css"
"""A document of each door without scripts, for tests that need its origin only: the API page is large."""
MEDIA = {"color_scheme": "light", "reduced_motion": "no-preference", "forced_colors": "none"}
"""Options of a tab, whatever its profile, with the defaults of Playwright."""
PROFILES_MAX = 3
"""Profiles that are kept for later visitors; each has a process."""

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
            _kept[:] = [profile for profile in _kept if profile.browser is not browser]
            await browser.close()


class Profile:
    """A profile of a browser with one tab, which visitors use one after the other.

    A tab that has shown a page of an origin shows the next one in less than half of the time: it has a process, and
    the scripts in its memory.
    """

    def __init__(
        self, browser: Browser, context: BrowserContext, tab: Page, options: Mapping[str, Any]
    ) -> None:
        self.browser = browser
        self.context = context
        self.tab = tab
        self.options = options

    @classmethod
    async def made(cls, browser: Browser, options: Mapping[str, Any]) -> "Profile":
        """Create a profile with these options of Playwright."""
        context = await browser.new_context(**options)
        return cls(browser, context, await context.new_page(), options)

    @classmethod
    async def lent(cls, browser: Browser, options: Mapping[str, Any]) -> "Profile":
        """Provide the profile with these options that was used last, or create one."""
        for profile in reversed(_kept):
            if profile.browser is browser and profile.options == options:
                _kept.remove(profile)
                return profile
        return await cls.made(browser, options)

    async def keep(self) -> None:
        """Keep it for the next visitor; close the one that has not been used for the longest time."""
        _kept.append(self)
        if len(_kept) > PROFILES_MAX:
            await _kept.pop(0).context.close()

    async def reset(self) -> None:
        """Delete what the page in the tab has stored, and empty the tab."""
        if self.tab.url != BLANK:
            await self.tab.evaluate("localStorage.clear(); sessionStorage.clear()")
            await self.tab.goto(BLANK)
        await self.context.clear_cookies()


_kept: list[Profile] = []
"""Profiles that nobody uses now, the last used last."""


class Visitor:
    """A user of a browser. Errors and warnings in the console are recorded, and all requests."""

    def __init__(self, profile: Profile, viewport: ViewportSize, media: Mapping[str, Any]) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._profile = profile
        self._viewport = viewport
        self._media = media
        self._discarded = False
        self._listening: list[Page] = []

    @property
    def context(self) -> BrowserContext:
        """The profile, which is not kept for later visitors, since they would have what is set in it."""
        self._discarded = True
        return self._profile.context

    async def own_profile(self) -> BrowserContext:
        """Provide a profile that nobody has used or will use, before the first tab is opened."""
        assert not self._listening
        if not self._discarded:
            kept = self._profile
            self._profile, self._discarded = await Profile.made(kept.browser, kept.options), True
            await kept.keep()
        return self._profile.context

    async def new_tab(self) -> Page:
        """Provide an empty tab."""
        page = await self._profile.context.new_page() if self._listening else self._profile.tab
        self._listening.append(page)
        await page.set_viewport_size(self._viewport)
        await page.emulate_media(**self._media)
        page.on("console", self._record_message)
        page.on("pageerror", self._record_error)
        page.on("request", self._record_request)
        return page

    async def open(self, url: str) -> Page:
        """Open a page in a new tab."""
        page = await self.new_tab()
        await page.goto(url)
        return page

    async def end(self) -> None:
        """Close the tabs. The profile is kept if its only tab can be reset: if it shows a page of the only origin."""
        profile = self._profile
        for page in profile.context.pages:
            # An answer may be under way to a page that closes.
            await page.unroute_all(behavior="ignoreErrors")
            if page is not profile.tab:
                await page.close()
        origins = {origin_of(url) for url in self.requests if url.startswith("http")} | {origin_of(BLANK)}
        if (
            self._discarded
            or len(origins) > 2
            or profile.tab.is_closed()
            or origin_of(profile.tab.url) not in origins
        ):
            await profile.context.close()
            return
        if self._listening:
            profile.tab.remove_listener("console", self._record_message)
            profile.tab.remove_listener("pageerror", self._record_error)
            profile.tab.remove_listener("request", self._record_request)
            await profile.reset()
        await profile.keep()

    async def discard(self) -> None:
        """Close the profile."""
        await self._profile.context.close()

    def _record_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _record_error(self, error: Error) -> None:
        self.errors.append(str(error))

    def _record_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def requests_elsewhere(self, *origins: str) -> list[str]:
        """Return the requests to other origins than these; data within a page is none."""
        return [
            url for url in self.requests if not url.startswith((*(f"{each}/" for each in origins), "data:"))
        ]


def origin_of(url: str) -> str:
    """Return the origin of a URL."""
    return "/".join(url.split("/")[:3])


@asynccontextmanager
async def visiting(browser: Browser, **options: Any) -> AsyncIterator[Visitor]:
    """Provide a visitor, by default in English and with a window 1280 pixels wide.

    Visitors of other tests may have used the profile. It has nothing stored, but files of the pages in its cache.
    """
    viewport = options.pop("viewport", {"width": 1280, "height": 900})
    media = {name: options.pop(name, default) for name, default in MEDIA.items()}
    profile = await Profile.lent(browser, {"locale": "en-GB", **options})
    visitor = Visitor(profile, viewport, media)
    try:
        yield visitor
    except BaseException:
        await visitor.discard()
        raise
    await visitor.end()


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
