"""Publisher: push reports over a WebSocket within the credit that the gateway grants, until each has an answer.

Reports without an answer when a connection breaks are resent on the next one, in the same order; the gateway answers
`duplicate` with the first receipt if a report was already durable.
"""

import asyncio
import random
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from gateway.backoff import Backoff, with_jitter
from gateway.errors import GatewayError
from gateway.trimmed_json import dumps_trimmed
from gateway.wire.session import FRAME_MAX, SUBPROTOCOL

CONNECT_S = 10.0
RETRY_FIRST_S, RETRY_MOST_S = 0.1, 5.0


class PushRefused(GatewayError):
    """The gateway does not accept reports with this token: it is not valid, or there is no such election."""

    code = "push_refused"


class Answer(msgspec.Struct, frozen=True):
    """The gateway's answer to one report; see section 3 of the contract."""

    outcome: str
    id: int | str | None = None
    unit: str | None = None
    revision: int | None = None
    state: str | None = None
    sequence: int | None = None
    digest: str | None = None
    accepted_at: datetime | None = None
    published_at: datetime | None = None
    warnings: tuple[str, ...] = ()
    code: str | None = None
    current_revision: int | None = None
    violations: tuple[dict[str, Any], ...] = ()
    retry_after_s: float | None = None

    @property
    def has_receipt(self) -> bool:
        """Whether the report is durable."""
        return self.outcome in ("accepted", "duplicate")


class _Frame(msgspec.Struct):
    type: str
    credit: int = 0
    results: tuple[Answer, ...] = ()
    retry_after_s: float = 1.0


_decoder = msgspec.json.Decoder(_Frame)


class _Push:
    __slots__ = ("answer", "body", "key")

    def __init__(self, key: int, body: bytes, answer: asyncio.Future[Answer]) -> None:
        self.key = key
        self.body = body
        self.answer = answer

    def frame(self) -> bytes:
        return b'{"type":"report","id":%d,"report":%s}' % (self.key, self.body)


class Publisher:
    """One sender's connection.

        async with Publisher("http://127.0.0.1:8081", "no-storting-2025", token) as publisher:
            answer = await publisher.push(report)

    Invariants: reports are sent in the order submitted; each is answered or fails with PushRefused.
    """

    def __init__(
        self, push_url: str, election: str, token: str, *, session: aiohttp.ClientSession | None = None
    ) -> None:
        self.connections = 0
        self._url = f"{push_url.rstrip('/')}/v1/elections/{election}/push"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._own_session = session is None
        self._session = session
        self._unsent: deque[_Push] = deque()
        self._sent: dict[int, _Push] = {}
        self._credit = 0
        self._resume_at = 0.0  # by the loop's clock; nothing is sent earlier
        self._wanted = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._next_key = 1
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        self._running = asyncio.create_task(self._run(), name="publisher")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        assert self._running is not None
        if kind is None and not self._running.done():
            waiting = asyncio.ensure_future(self._empty.wait())
            await asyncio.wait({waiting, self._running}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        self._running.cancel()
        await asyncio.wait({self._running})
        self._fail(PushRefused("the publisher is closed"))
        if self._own_session and self._session is not None:
            await self._session.close()

    async def push(self, report: Mapping[str, Any] | bytes) -> Answer:
        """Send one report and return the answer; resend it while the gateway answers `retry`.

        Raises PushRefused.
        """
        return await self.submit(report)

    def submit(self, report: Mapping[str, Any] | bytes) -> asyncio.Future[Answer]:
        """Queue one report without waiting; the caller bounds the number of unanswered reports.

        A report that does not fit into a frame is refused here: the gateway would close the connection each time.
        """
        if self._running is None or self._running.done():
            raise PushRefused("the publisher is closed")
        body = report if isinstance(report, bytes) else dumps_trimmed(report)
        push = _Push(self._next_key, body, asyncio.get_running_loop().create_future())
        self._next_key += 1
        if len(push.frame()) > FRAME_MAX:
            push.answer.set_result(_too_large(body))
            return push.answer
        self._unsent.append(push)
        self._empty.clear()
        self._wanted.set()
        return push.answer

    async def _run(self) -> None:
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        try:
            while True:
                try:
                    wait_s = await self._connection()
                    backoff.reset()
                except (aiohttp.ClientError, TimeoutError, ConnectionError):
                    wait_s = backoff.next()
                self._unsent = deque(sorted((*self._sent.values(), *self._unsent), key=lambda push: push.key))
                self._sent.clear()
                await asyncio.sleep(with_jitter(wait_s))
        except PushRefused as error:
            self._fail(error)
        finally:
            self._fail(PushRefused("the publisher has ended"))  # on any error, so that nobody waits forever

    async def _connection(self) -> float:
        """Serve one connection to its end; return the seconds to wait before the next."""
        assert self._session is not None
        try:
            async with asyncio.timeout(CONNECT_S):
                socket = await self._session.ws_connect(
                    self._url, protocols=(SUBPROTOCOL,), headers=self._headers, heartbeat=20.0, max_msg_size=0
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403, 404):
                raise PushRefused(f"{error.status}: {error.message}") from None
            raise
        self.connections += 1
        async with socket:
            sending = asyncio.create_task(self._send(socket), name="publisher sending")
            try:
                return await self._receive(socket)
            finally:
                sending.cancel()
                await asyncio.wait({sending})

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._wanted.clear()
            while (wait_s := self._resume_at - clock()) > 0:  # noqa: ASYNC110 - a time that may be moved
                await asyncio.sleep(wait_s)
            while self._unsent and len(self._sent) < self._credit and self._resume_at <= clock():
                push = self._unsent.popleft()
                self._sent[push.key] = push
                await socket.send_frame(push.frame(), aiohttp.WSMsgType.TEXT)
            await self._wanted.wait()

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> float:
        wait_s = RETRY_FIRST_S
        self._credit = 0
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            try:
                frame = _decoder.decode(message.data)
            except msgspec.DecodeError as error:
                raise PushRefused(f"{self._url}: not a push door of version 1: {error}") from None
            match frame.type:
                case "hello" | "credit":
                    self._credit = frame.credit
                case "results":
                    self._credit = frame.credit
                    for answer in frame.results:
                        self._on_answer(answer)
                case "goodbye":
                    wait_s = frame.retry_after_s
            self._wanted.set()
        return wait_s

    def _on_answer(self, answer: Answer) -> None:
        push = self._sent.pop(answer.id, None) if isinstance(answer.id, int) else None
        if push is None:
            return
        if answer.outcome == "retry":
            self._requeue(push, answer.retry_after_s or RETRY_FIRST_S)
            return
        if not push.answer.done():
            push.answer.set_result(answer)
        if not self._sent and not self._unsent:
            self._empty.set()

    def _requeue(self, push: _Push, wait_s: float) -> None:
        """Put a report back in its place, and pause: a later report of its unit would make it stale."""
        later = (place for place, other in enumerate(self._unsent) if other.key > push.key)
        self._unsent.insert(next(later, len(self._unsent)), push)
        self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + wait_s)

    def _fail(self, error: PushRefused) -> None:
        for push in (*self._sent.values(), *self._unsent):
            if not push.answer.done():
                push.answer.set_exception(error)
                push.answer.exception()  # retrieved, in case nobody awaits it
        self._sent.clear()
        self._unsent.clear()
        self._empty.set()


def _too_large(body: bytes) -> Answer:
    """Return the answer that the gateway gives to a report that is too large."""
    detail = f"the report has {len(body)} bytes; a frame with a report may have at most {FRAME_MAX}"
    violation = {"code": "report_too_large", "path": "$", "detail": detail}
    return Answer("refused", code="invalid_report", violations=(violation,))


async def push_http(
    session: aiohttp.ClientSession,
    push_url: str,
    election: str,
    token: str,
    reports: list[bytes],
    *,
    ndjson: bool,
) -> list[Answer]:
    """Push reports in one HTTP request; repeat it if the connection fails or the answer is 429 or 503.

    Some of several reports may be answered `retry`; the caller resends those.

    Raises PushRefused for errors that a retry cannot fix.
    """
    url = f"{push_url.rstrip('/')}/v1/elections/{election}/reports"
    kind = "application/x-ndjson" if ndjson else "application/json"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    body = b"\n".join(reports) if ndjson or len(reports) == 1 else b"[" + b",".join(reports) + b"]"
    while True:
        try:
            async with session.post(url, data=body, headers=headers) as response:
                status, answer = response.status, await response.read()
                after_s = float(response.headers.get("Retry-After", "0.5"))
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
            await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311
            continue
        if status in (429, 503):
            await asyncio.sleep(after_s)
            continue
        if status == 200 and (ndjson or len(reports) > 1):
            return list(msgspec.json.decode(answer, type=_Results).results)
        if status in (200, 201, 409, 422):
            return [msgspec.json.decode(answer, type=Answer)]
        raise PushRefused(f"{status}: {answer[:300].decode('utf-8', 'replace')}")


class _Results(msgspec.Struct):
    results: list[Answer]
