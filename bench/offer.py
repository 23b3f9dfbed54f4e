"""Offered load: requests at a rate, each sent once when it is due, and not again when it is turned away.

What senders who keep to credit never do; it shows whether refusals stay cheap and what is accepted stays quick. The
requests go out over raw connections, some of each sender, taken in turn as they are free.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from bench.plan import Planned, Planner
from bench.senders import Sent
from bench.target import Target
from gateway.client.publisher import Answer

CONNECTIONS = 256
ANSWER_S = 40.0
BATCH = 25
"""Reports in one request: the generator has to offer ten times what is taken, on the same two cores."""


class Offered(msgspec.Struct, frozen=True):
    """What became of an offer."""

    offered: int
    accepted: int
    accepted_per_s: float
    turned_away_per_s: float
    p99_s: float
    """Of those accepted, from when they were due."""
    unanswered: int


class _Results(msgspec.Struct):
    results: list[Answer]


async def offer(target: Target, planner: Planner, rate: float, seconds: float, kept: list[Sent]) -> Offered:
    """Offer `rate` reports a second, BATCH of one sender to a request; keep in `kept` what was answered."""
    senders = [sender for sender in planner.senders if len(planner.of(sender)) >= 1]
    endless = {sender: planner.endless(planner.of(sender)) for sender in senders}
    count = max(1, round(rate * seconds / BATCH))
    due: deque[tuple[float, str]] = deque(
        (place * BATCH / rate, senders[place % len(senders)]) for place in range(count)
    )
    found: list[Sent] = []
    turned_away = unanswered = 0
    start = time.monotonic()

    async def connection() -> None:
        nonlocal turned_away, unanswered
        caller = _Caller(target)
        while due:
            due_s, sender = due.popleft()
            left_s = start + due_s - time.monotonic()
            if left_s > 0:
                await asyncio.sleep(left_s)
            reports = [next(endless[sender]) for _ in range(BATCH)]
            try:
                async with asyncio.timeout(ANSWER_S):
                    status, body = await caller.post(sender, reports)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                unanswered += len(reports)
                caller.close()
                continue
            if status != 200:
                turned_away += len(reports)
                continue
            now, wall = time.monotonic(), time.time()
            for each, answer in zip(reports, msgspec.json.decode(body, type=_Results).results, strict=True):
                turned_away += answer.outcome == "retry"
                if answer.has_receipt:
                    found.append(Sent(each, start + due_s, now, wall, answer))
        caller.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    took_s = max(seconds, max((sent.answered_at for sent in found), default=start) - start)
    kept += found
    latencies = sorted(sent.answered_at - sent.due_at for sent in found)
    return Offered(
        count * BATCH,
        len(found),
        len(found) / took_s,
        turned_away / took_s,
        latencies[int(len(latencies) * 0.99)] if latencies else float("inf"),
        unanswered,
    )


class _Caller:
    """One connection that posts, opened when needed."""

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.push_url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._path = f"/v1/elections/{target.election}/reports"
        self._tokens = target.tokens
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, sender: str, reports: Sequence[Planned]) -> tuple[int, bytes]:
        """Send a request and return status and body of its answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        body = b"\n".join(each.body for each in reports)
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
        """Close it; the next request opens another."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None
