"""Push reports over one WebSocket, within the credit that the gateway grants."""

import asyncio
from collections.abc import Callable, Mapping

import aiohttp
import msgspec

from gateway.client.failures import (
    PROBLEM,
    WITHOUT_WEBSOCKET,
    Failure,
    HttpAnswer,
    failure_of_answer,
    failure_of_error,
)
from gateway.client.http_session import CONNECT_S, NotFollowed, with_scheme_checked
from gateway.client.proxies import Proxy
from gateway.client.push_answers import Answer
from gateway.client.push_events import Connected, Ended, Event, Postponed, Working
from gateway.client.push_queue import RETRY_FIRST_S, PushQueue
from gateway.client.retry_after import RETRY_AFTER_MOST_S
from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.wire.session import SUBPROTOCOL

HELLO_S = 10.0
"""How long the gateway may take to greet a new connection, and to close one after its goodbye, in seconds."""
PING_S = 20.0
"""Interval at which the gateway is pinged; a connection without an answer for half of it is given up."""
MESSAGE_MAX = 8 << 20
"""Bytes of a message that are read; results are much smaller."""
DISCONNECTS_MAX = 2
"""Connections in a row that are closed during the handshake before HTTP is tried: one may be a restart."""


class _Frame(msgspec.Struct):
    type: str
    credit: int = 0
    results: tuple[Answer, ...] = ()
    retry_after_s: float = 1.0


_decoder = msgspec.json.Decoder(_Frame)


class PushOverWebSocket:
    """Opens a connection each time that it serves a queue. Sends no more unanswered reports than the credit allows."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        headers: Mapping[str, str],
        proxy: Proxy | None,
        on_event: Callable[[Event], None],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.connections = 0
        self._clock = clock
        self._session = session
        self._url = url
        self._headers = headers
        self._proxy = proxy
        self._on_event = on_event
        self._credit = 0
        self._disconnects = 0
        self._progress = False
        self._scheme_known = False
        self.has_greeted = False
        """Whether the gateway has greeted a connection."""

    async def serve(self, queue: PushQueue) -> Ended:
        """Open a connection and send reports until it ends."""
        self._progress = False
        try:
            async with asyncio.timeout(CONNECT_S):
                socket = await self._session.ws_connect(
                    self._url,
                    protocols=(SUBPROTOCOL,),
                    headers=self._headers,
                    heartbeat=PING_S,
                    max_msg_size=MESSAGE_MAX,
                )
        except NotFollowed as error:
            return await self._refused(error.answer)
        except aiohttp.WSServerHandshakeError as error:
            return await self._refused(HttpAnswer(self._url, error.status, error.headers or {}))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return await self._failed(error)
        self.connections += 1
        async with socket:
            sending = asyncio.create_task(self._send(socket, queue), name="publisher sending")
            try:
                ended = await self._receive(socket, queue)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                ended = await self._failed(error)
            finally:
                sending.cancel()
                await asyncio.wait({sending})
            if not sending.cancelled() and (mistake := sending.exception()) is not None:
                raise mistake
            return ended

    async def _refused(self, answer: HttpAnswer) -> Ended:
        """Judge an answer other than an open WebSocket."""
        refused = failure_of_answer(answer, "push door", self._proxy, clock=self._clock)
        failure = await self._with_scheme_checked(refused)
        if failure.problem is not None:
            return Ended(failure, websocket_unavailable=failure.problem in WITHOUT_WEBSOCKET)
        of_gateway = answer.media_type == PROBLEM and answer.status in (429, 503)
        final = failure.code in ("proxy_authentication", "wrong_scheme")
        return Ended(failure, websocket_unavailable=not of_gateway and not final)

    async def _failed(self, error: Exception) -> Ended:
        failure = await self._with_scheme_checked(failure_of_error(self._url, error, self._proxy))
        self._disconnects = self._disconnects + 1 if failure.code in ("disconnected", "not_http") else 0
        unavailable = self._disconnects >= DISCONNECTS_MAX or failure.code == "timeout"
        return Ended(failure, self._progress, websocket_unavailable=unavailable and not self._progress)

    async def _with_scheme_checked(self, failure: Failure) -> Failure:
        """Check once whether the URL has the right scheme."""
        if self._scheme_known:
            return failure
        self._scheme_known = True
        return await with_scheme_checked(failure, self._url, self._proxy)

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, queue: PushQueue) -> None:
        try:
            while True:
                queue.changed.clear()
                while (pause_s := queue.pause_s) > 0:  # noqa: ASYNC110 - a time that may be moved
                    await asyncio.sleep(pause_s)
                while queue.unsent and len(queue.sent) < self._credit and queue.pause_s <= 0:
                    await socket.send_frame(queue.take().frame(), aiohttp.WSMsgType.TEXT)
                await queue.changed.wait()
        except (aiohttp.ClientError, OSError):
            return  # the connection is lost, which ends `_receive`
        except Exception:
            await socket.close()  # ends `_receive`
            raise

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse, queue: PushQueue) -> Ended:
        self._credit = 0
        greeted = False
        goodbye: Ended | None = None
        while True:
            message = await socket.receive(timeout=None if greeted and goodbye is None else HELLO_S)
            if message.type is not aiohttp.WSMsgType.TEXT:
                return goodbye or self._closed(socket.close_code)
            try:
                frame = _decoder.decode(message.data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                text = f"{self._url}: the messages are not those of a push door of version 1: check the URL"
                return Ended(Failure("not_a_door", text, True), self._progress)
            if not greeted:
                self._on_event(Connected())
            greeted = self.has_greeted = self._scheme_known = True
            match frame.type:
                case "hello" | "credit":
                    self._credit = frame.credit
                case "results":
                    self._credit = frame.credit
                    self._on_results(queue, frame.results)
                case "goodbye":
                    wait_s = min(max(RETRY_FIRST_S, frame.retry_after_s), RETRY_AFTER_MOST_S)
                    goodbye = Ended(None, True, wait_s)
                    self._credit = 0  # nothing that is sent now would be answered
            queue.changed.set()

    def _on_results(self, queue: PushQueue, answers: tuple[Answer, ...]) -> None:
        decided = False
        for answer in answers:
            queue.settle(answer.id, answer)
            if answer.outcome == "retry":
                self._on_event(Postponed(answer.code or "retry"))
            else:
                decided = True
        if decided:
            if not self._progress:
                self._on_event(Working())
            self._progress = True
            self._disconnects = 0

    def _closed(self, code: int | None) -> Ended:
        closed = f"{self._url}: the connection was closed ({f'code {code}' if code else 'without a code'})"
        return Ended(Failure("disconnected", closed), self._progress)
