"""Budgets of the push door: what hostile requests cost, measured beside honest ones in the same run.

Run with `-s` to see the figures: seconds of processor, bytes of answer, bytes of memory, and how long honest pushes
took meanwhile.
"""

import asyncio
import gzip
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from gateway.errors import Overloaded
from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from tests.counts import count
from tests.running import Gateway, Sender, served
from tests.web.conftest import make_database
from tests.web.doors import (
    COUNTRY,
    TIMEOUT_S,
    Answer,
    a_registry,
    a_report,
    ask,
    disconnect,
    ndjson,
    open_connection,
    push,
    until,
)

pytestmark = pytest.mark.long

LINES = 10_000
ROUNDS = count(2, full=3)
"""How often two costs are measured in turn: load changes, and the first time, memory grows for good."""
HEADERS = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
UNREAD = 'valgnatt_unread_answer_bytes{process="push-0"}'
_HUNDRED = {"counts": {f"c{number}": {} for number in range(25)}}
"""A report that breaks a rule more than a hundred times, in few bytes."""


@pytest.fixture(scope="module")
def single(postgres: EmbeddedPostgres) -> Iterator[Gateway]:
    """One push process, of which everybody has to have a part."""
    with served(make_database(postgres), usual_start=True, feed_workers=1) as gateway:
        yield gateway


@pytest.fixture
async def election(single: Gateway, small: GeneratedElection) -> str:
    """An election of the test's own, open."""
    return await single.load(a_registry(small))


class Worker:
    """The push process, as the kernel sees it."""

    def __init__(self, gateway: Gateway) -> None:
        children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
        (self.pid,) = [
            pid for pid in children if b"push-" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ] or children[:1]

    @property
    def cpu_s(self) -> float:
        """Seconds of processor so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> int:
        """Bytes resident now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) << 10


class Cost(NamedTuple):
    """What one request cost, and what honest pushes met meanwhile."""

    sent: int
    answered: int
    cpu_s: float
    grown: int
    slowest_s: float
    pushes: int

    def show(self, name: str) -> None:
        """Print it."""
        print(  # noqa: T201 - figures on request
            f"\n{name:28} {self.sent:9d} B sent {self.answered:9d} B answered {self.cpu_s:6.2f} s CPU"
            f" {self.grown / (1 << 20):+7.1f} MiB; {self.pushes} honest pushes, slowest {self.slowest_s:.3f} s",
            end="",
        )


class Honest:
    """A sender of small reports, one after the other. Asserts that each is accepted."""

    def __init__(self, http: aiohttp.ClientSession, sender: Sender) -> None:
        self._http = http
        self._sender = sender
        self._revision = 0
        self.slowest_s = 0.0
        self.pushes = 0

    @asynccontextmanager
    async def pushing(self) -> AsyncIterator["Honest"]:
        """Push all the time until the block ends."""
        self.slowest_s, self.pushes = 0.0, 0
        pushing = asyncio.create_task(self._push())
        try:
            yield self
        finally:
            pushing.cancel()
            with suppress(asyncio.CancelledError):
                await pushing

    async def _push(self) -> None:
        while True:
            self._revision += 1
            started = time.monotonic()
            answer = await push(self._http, self._sender, a_report(revision=self._revision))
            if answer.status == 503 and answer.document["code"] == Overloaded.code:
                continue  # behind many valid ones, which is a correct answer
            assert answer.status == 201, answer.body
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            self.pushes += 1


async def cost_of(
    http: aiohttp.ClientSession, worker: Worker, honest: Honest, sender: Sender, body: bytes
) -> tuple[Cost, Answer]:
    """Push a packed body while an honest sender pushes too, and return the cost of the push that is answered.

    A busy gateway may refuse the whole body at first, with the time after which to push it again.
    """
    packed = gzip.compress(body)
    async with asyncio.timeout(3 * TIMEOUT_S):
        while True:
            cpu_s, memory = worker.cpu_s, worker.memory
            async with honest.pushing():
                answer = await push(http, sender, None, data=packed, headers=HEADERS)
            if answer.status != 503:
                break
            answer.problem(503, Overloaded.code)
            await asyncio.sleep(float(answer.headers["Retry-After"]))
    cost = Cost(
        len(packed),
        len(answer.body),
        worker.cpu_s - cpu_s,
        worker.memory - memory,
        honest.slowest_s,
        honest.pushes,
    )
    return cost, answer


async def test_a_request_full_of_mistakes_costs_no_more_than_a_valid_one(
    single: Gateway, election: str, http: aiohttp.ClientSession
) -> None:
    """With as many reports. Each is answered in its place, as refused; the first ones with their violations."""
    honest = Honest(http, await single.issue(election, [COUNTRY]))
    good, bad = [await single.issue(election, [COUNTRY]) for _ in range(2)]
    worker = Worker(single)
    reports = [a_report("0604-0002", revision) for revision in range(1, LINES + 1)]
    costs = []
    for _ in range(ROUNDS):
        fair, answer = await cost_of(http, worker, honest, good, ndjson(reports))
        assert {result["outcome"] for result in answer.results} <= {"accepted", "duplicate"}
        unfair, answer = await cost_of(
            http, worker, honest, bad, (json.dumps(_HUNDRED).encode() + b"\n") * LINES
        )
        fair.show("10 000 reports, honest")
        unfair.show("10 000 reports, all wrong")
        costs.append((fair.cpu_s, unfair.cpu_s))
        fair_s, unfair_s = (min(measured) for measured in zip(*costs, strict=True))
        if unfair_s < 1.5 * fair_s:  # more rounds are for measurements that were disturbed
            break
    assert [result["code"] for result in answer.results] == ["invalid_report"] * LINES
    first, last = answer.results[0], answer.results[-1]
    assert len(first["violations"]) == 101
    assert [each["code"] for each in last["violations"]] == ["more_violations"]
    assert unfair.answered < 1.2 * fair.answered
    assert unfair_s < 1.5 * fair_s
    alone = (await push(http, bad, _HUNDRED)).problem(422, "invalid_report")
    assert alone["violations"] == first["violations"]


async def test_unread_answers_delay_no_other_sender(
    single: Gateway, election: str, http: aiohttp.ClientSession
) -> None:
    """Six of one sender at once: valid pushes are accepted, Postgres stays available, memory is bounded."""
    honest = Honest(http, await single.issue(election, [COUNTRY]))
    bad = await single.issue(election, [COUNTRY])
    worker = Worker(single)
    packed = gzip.compress((json.dumps(_HUNDRED).encode() + b"\n") * LINES)
    cpu_s, memory = worker.cpu_s, worker.memory
    before = await refusals(single)
    deaf = [await open_connection(single.push_url, 4096) for _ in range(6)]
    try:
        async with honest.pushing():
            for _, writer in deaf:
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                writer.write(head_of(bad, len(packed), "Content-Encoding: gzip\r\n") + packed)
            async with asyncio.timeout(3 * TIMEOUT_S):
                while await refusals(single) < before + 6 * LINES:  # noqa: ASYNC110 - there is no event for it
                    await asyncio.sleep(0.05)
        cost = Cost(
            6 * len(packed), 0, worker.cpu_s - cpu_s, worker.memory - memory, honest.slowest_s, honest.pushes
        )
        cost.show("six answers unread")
        assert cost.grown < 100 << 20
        assert not single.logged("journal unavailable")
    finally:
        for _, writer in deaf:
            await disconnect(writer, reset=True)


async def refusals(gateway: Gateway) -> float:
    """How many reports were answered with a refusal."""
    return (await gateway.metrics()).get('valgnatt_answers_total{process="push-0",outcome="refused"}', 0)


def head_of(sender: Sender, length: int, more: str = "") -> bytes:
    """The head of a push request of lines."""
    return (
        f"POST /v1/elections/{sender.election}/reports HTTP/1.1\r\nHost: door\r\n"
        f"Authorization: Bearer {sender.secret}\r\nContent-Type: application/x-ndjson\r\n"
        f"{more}Content-Length: {length}\r\n\r\n"
    ).encode()


async def test_bodies_that_are_announced_and_never_sent_reserve_no_memory(
    single: Gateway, election: str, http: aiohttp.ClientSession
) -> None:
    """33 requests that claim 8 MiB each and send one byte: every valid push is accepted, including a large one."""
    bad, good = [await single.issue(election, [COUNTRY]) for _ in range(2)]
    claims = [await open_connection(single.push_url) for _ in range(33)]
    try:
        for _, writer in claims:
            writer.write(head_of(bad, 8 << 20) + b"{")
        await asyncio.sleep(
            0.3
        )  # nothing shows from outside when they have arrived; late ones only spare the test
        for revision in range(1, 6):
            assert (await push(http, good, a_report(revision=revision))).status == 201
        large = json.dumps(a_report(revision=6)).encode().ljust(8 << 20)
        assert (await push(http, good, None, data=large)).status == 201
    finally:
        for _, writer in claims:
            await disconnect(writer, reset=True)


async def test_a_sender_that_fills_its_share_of_bodies_is_refused_before_others(
    single: Gateway, election: str, http: aiohttp.ClientSession
) -> None:
    """Bodies that have arrived except for one byte count: its next ones are 429, another sender's are accepted."""
    bad, good = [await single.issue(election, [COUNTRY]) for _ in range(2)]
    size = 8 << 20
    claims = [await open_connection(single.push_url) for _ in range(20)]
    refused = [asyncio.create_task(status_of(reader)) for reader, _ in claims]
    try:
        for _, writer in claims:
            writer.write(head_of(bad, size) + b" " * (size - 1))
        done, _ = await asyncio.wait(refused, timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result() for task in done} == {429}
        large = json.dumps(a_report()).encode().ljust(size)
        assert (await push(http, good, None, data=large)).status == 201
        assert (await push(http, good, a_report(revision=2))).status == 201
    finally:
        for task in refused:
            task.cancel()
        for _, writer in claims:
            await disconnect(writer, reset=True)


async def test_a_sender_that_leaves_its_share_of_answers_unread_is_refused_before_others(
    single: Gateway, election: str, http: aiohttp.ClientSession
) -> None:
    """Before anything is submitted; another sender's full request is answered, and its own small one."""
    bad, good = [await single.issue(election, [COUNTRY]) for _ in range(2)]
    line = json.dumps({"unit": "\U0001f5f3" * 64}, ensure_ascii=False).encode() + b"\n"
    packed = gzip.compress(line * LINES)  # each is answered with its unit: more than a kernel keeps
    before, refused = await refusals(single), await overloads(single)
    deaf = [await open_connection(single.push_url, 4096) for _ in range(12)]
    try:
        for _, writer in deaf:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(head_of(bad, len(packed), "Content-Encoding: gzip\r\n") + packed)
        async with asyncio.timeout(3 * TIMEOUT_S):
            while (await refusals(single) - before) / LINES + await overloads(single) - refused < 12:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await overloads(single) - refused >= 4
        assert 4 << 20 < (await single.metrics())[UNREAD] <= 32 << 20
        assert (await push(http, bad, a_report())).status == 201
        reports = [a_report("0604-0002", revision) for revision in range(1, LINES + 1)]
        answer = await push(http, good, None, data=gzip.compress(ndjson(reports)), headers=HEADERS)
        assert len(answer.results) == LINES
    finally:
        for _, writer in deaf:
            await disconnect(writer, reset=True)

    async def given_back() -> bool:
        return (await single.metrics())[UNREAD] == 0

    await until(given_back)


async def overloads(gateway: Gateway) -> float:
    """How many requests were refused because there is too much of something."""
    samples = await gateway.metrics()
    return samples['valgnatt_problems_total{process="push-0",code="overloaded"}']


async def status_of(reader: asyncio.StreamReader) -> int:
    """Read the status of an answer."""
    return int((await reader.readline()).split()[1])


async def test_a_body_that_arrives_too_slowly_is_answered_408(
    single: Gateway, election: str, http: aiohttp.ClientSession
) -> None:
    """After BODY_GRACE_S, while one that keeps the rate is read to its end."""
    sender = await single.issue(election, [COUNTRY])
    report = json.dumps(a_report()).encode().ljust(192 << 10)
    connections = [await open_connection(single.push_url) for _ in range(2)]

    async def trickle(writer: asyncio.StreamWriter, piece: int) -> None:
        writer.write(head_of(sender, len(report)))
        for start in range(0, len(report), piece):
            writer.write(report[start : start + piece])
            await asyncio.sleep(1.0)

    started = time.monotonic()
    pieces = (1, 16 << 10)
    trickling = [
        asyncio.create_task(trickle(writer, piece))
        for (_, writer), piece in zip(connections, pieces, strict=True)
    ]
    try:
        async with asyncio.timeout(60.0):
            assert await status_of(connections[0][0]) == 408
            assert time.monotonic() - started > 9
            assert await status_of(connections[1][0]) == 200
    finally:
        for task in trickling:
            task.cancel()
        for _, writer in connections:
            await disconnect(writer, reset=True)
    assert (await ask(http, "GET", f"{single.push_url}/health/ready")).status == 200
