"""Offered load: requests at a rate, each sent once when it is due, and not repeated when it is refused.

Senders that respect their credit never overload the gateway like this. It shows whether refusals stay cheap and
accepted reports stay fast. The requests use raw connections, each taken by the next request that is due.
"""

import asyncio
import time
from collections import deque
from urllib.parse import urlsplit

import msgspec

from bench.figures import Histogram
from bench.load.plan import Planned, Planner
from bench.load.senders import Sent
from bench.load.target import Target
from gateway.client.publisher import Answer

CONNECTIONS = 900
ANSWER_S = 40.0
BATCH = 25
"""Reports per request. The generator offers up to ten times what is accepted, on the same two cores."""


class Offered(msgspec.Struct, frozen=True):
    """The result of an offered load."""

    offered: int
    accepted: int
    accepted_per_s: float
    turned_away_per_s: float
    p99_s: float
    """Latency of accepted reports, from when they were due to their receipts, in s."""
    lag_s: float
    """How late requests were sent (p99), because no connection was free or the generator was slow, in s."""
    unanswered: int


class _Results(msgspec.Struct):
    results: list[Answer]


async def offer(
    target: Target, planner: Planner, rate: float, seconds: float, accepted: list[Sent]
) -> Offered:
    """Offer `rate` reports per second, BATCH reports of one sender per request; add those with a receipt to `accepted`.

    Requests are encoded before and answers decoded after the load, which leaves the machine to the gateway meanwhile.
    """
    requests = _requests(planner, rate, seconds)
    due = deque(requests)
    answered: list[tuple[_Request, float, float, float, int, bytes]] = []
    unanswered = 0
    start = time.monotonic()

    async def connection() -> None:
        nonlocal unanswered
        opened = _Connection(target)
        while due:
            request = due.popleft()
            left_s = start + request.due_s - time.monotonic()
            if left_s > 0:
                await asyncio.sleep(left_s)
            sent_at = time.monotonic()
            try:
                async with asyncio.timeout(ANSWER_S):
                    status, body = await opened.post(request.sender, request.body)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                unanswered += len(request.reports)
                opened.close()
                continue
            answered.append((request, sent_at, time.monotonic(), time.time(), status, body))
        opened.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    received: list[Sent] = []
    turned_away = 0
    for request, _, at, wall, status, body in answered:
        if status != 200:
            turned_away += len(request.reports)
            continue
        results = msgspec.json.decode(body, type=_Results).results
        for each, answer in zip(request.reports, results, strict=True):
            turned_away += answer.outcome == "retry"
            if answer.has_receipt:
                received.append(Sent(each, start + request.due_s, at, wall, answer))
    took_s = max(seconds, max((sent.answered_at for sent in received), default=start) - start)
    accepted += received
    latencies = Histogram().add_all(sent.answered_at - sent.due_at for sent in received)
    lags = Histogram().add_all(sent_at - start - request.due_s for request, sent_at, *_ in answered)
    return Offered(
        len(requests) * BATCH,
        len(received),
        len(received) / took_s,
        turned_away / took_s,
        latencies.at(99) if received else float("inf"),
        lags.at(99) if answered else float("inf"),
        unanswered,
    )


class _Request(msgspec.Struct, frozen=True, gc=False):
    due_s: float
    """After the start of the load."""
    sender: str
    reports: list[Planned]
    body: bytes


def _requests(planner: Planner, rate: float, seconds: float) -> list[_Request]:
    senders = [sender for sender in planner.senders if len(planner.units_of(sender)) >= 1]
    endless = {sender: planner.endless(planner.units_of(sender)) for sender in senders}
    found = []
    for place in range(max(1, round(rate * seconds / BATCH))):
        sender = senders[place % len(senders)]
        reports = [next(endless[sender]) for _ in range(BATCH)]
        body = b"\n".join(each.body for each in reports)
        found.append(_Request(place * BATCH / rate, sender, reports, body))
    return found


class _Connection:
    """An HTTP connection for POST requests, opened when needed."""

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.push_url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._path = f"/v1/elections/{target.election}/reports"
        self._tokens = target.tokens
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, sender: str, body: bytes) -> tuple[int, bytes]:
        """Send a request; return the status and the body of the response."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {self._tokens[sender]}\r\n"
            f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        content = await reader.readexactly(length)
        if b"connection: close" in answer:
            self.close()
        return int(answer[9:12]), content

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None
