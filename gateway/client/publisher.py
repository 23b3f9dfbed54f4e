"""Publisher: push reports until each has an answer, over a WebSocket, or over HTTP where there is none.

Reports without an answer when a connection breaks are resent on the next one, in the same order; the gateway answers
`duplicate` with the first receipt if a report was already durable.
"""

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from gateway.backoff import Backoff, with_jitter
from gateway.client.http_session import bearer, environment_proxy, open_session
from gateway.client.push_answers import Answer, PushRefused
from gateway.client.push_events import Ended, Event
from gateway.client.push_over_http import PushOverHttp, push_http
from gateway.client.push_over_websocket import PushOverWebSocket
from gateway.client.push_queue import PushQueue
from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock
from gateway.errors import GatewayError
from gateway.trimmed_json import dumps_trimmed

__all__ = ["Answer", "Publisher", "PushRefused", "push_http"]

RETRY_FIRST_S, RETRY_MOST_S = 0.1, 5.0
REFUSED_RETRY_S = 30.0
"""Interval of the attempts with `keep_trying` after an error that somebody has to correct, in seconds."""
WEBSOCKET_FIRST_S, WEBSOCKET_MOST_S = 30.0, 600.0
"""After how many seconds over HTTP a WebSocket is tried again: at first, and at most."""


class Publisher:
    """One sender's connection.

        async with Publisher("http://127.0.0.1:8081", "no-storting-2025", token) as publisher:
            answer = await publisher.push(report)

    Invariants: reports are sent in the order submitted; each is answered or fails with PushRefused, which says why.
    """

    def __init__(
        self,
        push_url: str,
        election: str,
        token: str,
        *,
        session: aiohttp.ClientSession | None = None,
        on_event: Callable[[Event], None] = lambda _: None,
        keep_trying: bool = False,
        clock: Clock = SYSTEM_CLOCK,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        """Push to an election; without `session`, through the proxy that the environment names.

        `on_event` is called with each failure, and when reports are answered again. With `keep_trying`, errors that
        somebody has to correct do not end it; it tries again every REFUSED_RETRY_S. After a greeting or an answer to a
        report, only refusals of the gateway itself end it: a web page or a redirect in their place may pass.
        """
        self._push_url = push_url
        self._url = f"{push_url.rstrip('/')}/v1/elections/{quote(election, safe='')}"
        self._token = token
        self._own_session = session is None
        self._session = session
        self._on_event = on_event
        self._keep_trying = keep_trying
        self._clock = clock
        self._chance = chance
        self._has_answered = False
        """Whether this URL has proved to be a push door; what is no gateway's answer may pass then."""
        self._queue = PushQueue()
        self._websocket: PushOverWebSocket | None = None
        self._running: asyncio.Task[None] | None = None
        self._ended = PushRefused("the publisher is closed")

    @property
    def connections(self) -> int:
        """How many WebSockets it has opened."""
        return self._websocket.connections if self._websocket is not None else 0

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run(), name="publisher")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        assert self._running is not None
        try:
            if kind is None and not self._running.done():
                waiting = asyncio.ensure_future(self._queue.empty.wait())
                try:
                    await asyncio.wait({waiting, self._running}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waiting.cancel()
        finally:  # also if the caller is cancelled meanwhile, by a timeout for example
            self._running.cancel()
            await asyncio.wait({self._running})
            self._queue.fail(self._ended)
            if self._own_session and self._session is not None:
                await self._session.close()

    async def push(self, report: Mapping[str, Any] | bytes) -> Answer:
        """Send one report and return the answer; resend it while the gateway answers `retry`.

        Raises PushRefused.
        """
        return await self.submit(report)

    def submit(self, report: Mapping[str, Any] | bytes) -> asyncio.Future[Answer]:
        """Queue one report without waiting; the caller bounds the number of unanswered reports.

        Raises PushRefused if the publisher has ended.
        """
        if self._running is None or self._running.done():
            raise PushRefused(str(self._ended)) from self._ended
        return self._queue.add(report if isinstance(report, bytes) else dumps_trimmed(report))

    async def _run(self) -> None:
        """Push until cancelled, or until an error that ends it; nobody then waits forever, or without the reason."""
        try:
            await self._push()
        except PushRefused as error:
            self._ended = error
        except GatewayError as error:
            self._ended = PushRefused(str(error))
        except Exception as error:
            self._ended = PushRefused(f"the publisher failed: {type(error).__name__}: {error}")
            self._ended.__cause__ = error
        finally:
            self._queue.fail(self._ended)

    async def _push(self) -> None:
        headers = bearer(self._token)
        proxy = None
        if self._session is None:
            proxy = environment_proxy(self._push_url)
            self._session = open_session(proxy)
        session, on_event, clock = self._session, self._on_event, self._clock
        websocket = PushOverWebSocket(session, f"{self._url}/push", headers, proxy, on_event, clock=clock)
        http = PushOverHttp(session, f"{self._url}/reports", headers, proxy, on_event, clock=clock)
        self._websocket = websocket
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        over_http = Backoff(WEBSOCKET_FIRST_S, WEBSOCKET_MOST_S)
        loop_time = asyncio.get_running_loop().time
        while True:
            ended = await websocket.serve(self._queue)
            self._queue.put_back()
            if ended.websocket_unavailable:
                ended = await http.serve(self._queue, loop_time() + over_http.next(), ended.failure)
                if ended.failure is None:
                    continue
                if not ended.progress:
                    over_http.reset()
            else:
                over_http.reset()
            self._has_answered |= ended.progress or websocket.has_greeted
            if ended.progress:
                backoff.reset()
            await asyncio.sleep(self._wait_s(ended, backoff))

    def _wait_s(self, ended: Ended, backoff: Backoff) -> float:
        """Report a failure; return the seconds until the next attempt. Raises PushRefused if there is to be none."""
        failure = ended.failure
        if failure is None:
            return with_jitter(ended.wait_s, chance=self._chance)
        self._on_event(failure)
        may_pass = self._keep_trying or (self._has_answered and failure.problem is None)
        if failure.permanent and not may_pass:
            raise PushRefused(failure.text)
        delay_s = REFUSED_RETRY_S if failure.permanent else backoff.next()
        wait_s = with_jitter(delay_s, chance=self._chance)
        return max(wait_s, failure.retry_after_s or 0.0)
