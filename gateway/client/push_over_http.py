"""Push reports over HTTP requests, one after another: where a WebSocket is not available, and for rehearsals."""

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from urllib.parse import quote

import aiohttp
import msgspec

from gateway.client.failures import TEMPORARY, Failure, HttpAnswer, failure_of_answer, failure_of_error
from gateway.client.http_session import NotFollowed
from gateway.client.proxies import Proxy
from gateway.client.push_answers import Answer, PushRefused, Results
from gateway.client.push_events import Ended, Event, Postponed, Working
from gateway.client.push_queue import Push, PushQueue
from gateway.client.retry_after import retry_after_s
from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock

REPORTS_MAX = 64
"""Reports in one request, about as many as the usual credit of a WebSocket."""
BYTES_MAX = 256 << 10
"""Bytes of reports in one request; the first may exceed it alone."""
ANSWER_MAX = 8 << 20
"""Bytes of an answer that are read."""
REQUEST_S = 60.0
"""How long a request may take, in seconds: the gateway answers within 10 s of its arrival."""
TOO_LARGE = 413


class PushOverHttp:
    """Sends a queue in requests of bounded size, one after another, so that reports are decided in order."""

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
        self._clock = clock
        self._session = session
        self._url = url
        self._headers = {**headers, "Content-Type": "application/x-ndjson"}
        self._proxy = proxy
        self._on_event = on_event
        self._reports_max = REPORTS_MAX

    async def serve(self, queue: PushQueue, until: float, because: Failure | None) -> Ended:
        """Send reports until a request fails, or until a time by the loop's clock; `because` of no WebSocket."""
        progress = False
        while await _wait_unsent(queue, until):
            batch = _batch(queue, self._reports_max)
            answers = await self._post([push.body for push in batch])
            if isinstance(answers, Failure):
                queue.put_back()
                if answers.status == TOO_LARGE and answers.problem is None and len(batch) > 1:
                    self._reports_max = max(1, len(batch) // 2)
                    continue
                return Ended(answers, progress)
            for push, answer in zip(batch, answers, strict=True):
                queue.settle(push.key, answer)
                if answer.outcome == "retry":
                    self._on_event(Postponed(answer.code or "retry"))
            if any(answer.outcome != "retry" for answer in answers):
                if not progress:
                    self._on_event(Working(because))
                progress = True
        return Ended(None, progress)

    async def _post(self, reports: list[bytes]) -> list[Answer] | Failure:
        try:
            answer = await post(self._session, self._url, b"\n".join(reports), self._headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = failure_of_error(self._url, error, self._proxy)
        else:
            if answer.status == 200 and (answers := _results(answer.body, len(reports))) is not None:
                return answers
            failure = failure_of_answer(answer, "push door", self._proxy, clock=self._clock)
        return failure


async def post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> HttpAnswer:
    """Send one request and read its answer, or the beginning of one that is too long. Follows no redirect."""
    try:
        async with (
            asyncio.timeout(REQUEST_S),
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            received = bytearray()
            async for piece in response.content.iter_any():
                received += piece
                if len(received) > ANSWER_MAX:
                    break
            return HttpAnswer(url, response.status, response.headers, bytes(received))
    except NotFollowed as redirected:
        return redirected.answer


def _results(body: bytes, reports: int) -> list[Answer] | None:
    """Return the answers to a number of reports, or None if these are others."""
    try:
        answers = msgspec.json.decode(body, type=Results).results
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return answers if len(answers) == reports else None


def _answer(body: bytes) -> list[Answer] | None:
    """Return the answer to a single report, or None if it is another."""
    try:
        return [msgspec.json.decode(body, type=Answer)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _batch(queue: PushQueue, reports_max: int) -> list[Push]:
    batch: list[Push] = []
    size = 0
    while queue.unsent and len(batch) < reports_max:
        size += len(queue.unsent[0].body) + 1
        if batch and size > BYTES_MAX:
            break
        batch.append(queue.take())
    return batch


async def _wait_unsent(queue: PushQueue, until: float) -> bool:
    """Wait until there is a report to send; return False if there is none before `until`."""
    clock = asyncio.get_running_loop().time
    while clock() < until:
        if (pause_s := queue.pause_s) > 0:
            await asyncio.sleep(pause_s)
        elif queue.unsent:
            return True
        else:
            queue.changed.clear()
            try:
                async with asyncio.timeout(until - clock()):
                    await queue.changed.wait()
            except TimeoutError:
                return False
    return False


async def push_http(
    session: aiohttp.ClientSession,
    push_url: str,
    election: str,
    token: str,
    reports: list[bytes],
    *,
    ndjson: bool,
    clock: Clock = SYSTEM_CLOCK,
    chance: Random = SYSTEM_CHANCE,
) -> list[Answer]:
    """Push reports in one HTTP request; repeat it if the connection fails or the gateway is not available.

    Some of several reports may be answered `retry`; the caller resends those.

    Raises PushRefused for errors that a retry cannot fix.
    """
    url = f"{push_url.rstrip('/')}/v1/elections/{quote(election, safe='')}/reports"
    kind = "application/x-ndjson" if ndjson else "application/json"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    body = b"\n".join(reports) if ndjson or len(reports) == 1 else b"[" + b",".join(reports) + b"]"
    while True:
        try:
            answer = await post(session, url, body, headers)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
            await asyncio.sleep(chance.uniform(0.2, 1.0))
            continue
        if answer.status in TEMPORARY:
            sent = answer.headers
            wait_s = retry_after_s(sent.get("Retry-After"), sent.get("Date"), clock.now())
            await asyncio.sleep(0.5 if wait_s is None else wait_s)
            continue
        if answer.status == 200 and (ndjson or len(reports) > 1):
            answers = _results(answer.body, len(reports))
        elif answer.status in (200, 201, 409, 422):
            answers = _answer(answer.body)
        else:
            answers = None
        if answers is None:
            raise PushRefused(failure_of_answer(answer, "push door", clock=clock).text)
        return answers
