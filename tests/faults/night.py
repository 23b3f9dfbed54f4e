"""An election night under continuous load, during which a test injects faults; the judge checks the complete history.

    async with running(database, push_workers=2) as gateway, a_night(gateway) as night:
        os.kill(..., signal.SIGKILL)
        await night.wait_progress()    # every sender has a new receipt, and every reader its publication

SENDERS municipalities push increasing revisions of their units, each over WebSocket, HTTP or NDJSON. Readers follow
several selections and the publication stream, and resume from their cursors whenever they are disconnected. Senders
read back one of their units every READ_BACK_S, and all of them at the end.
Leaving the block (or `settle`) stops the senders and then asserts that

- every report sent has a receipt, or is stale because a later revision of its unit is in the journal;
- reports that are sent again get their original receipts;
- every reader reaches the last publication, and none was sent a second snapshot;
- the judge finds no violated guarantee in the history;
- senders and readers got only documented answers, all of them within `answer_max_s`.

If a gateway moves, or a proxy is put in front of it, change `night.addresses`: new connections use them. All waits are
bounded and report what they waited for. Clients use host names that never change, so no client has to restart.
"""

import asyncio
import itertools
import os
import random
import socket
import sys
import time
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.client.publisher import Answer, Publisher, push_http
from gateway.client.subscriber import Subscriber
from gateway.election.record import JournalReport
from gateway.journal.administration import administration
from gateway.rehearsal.judge import History, ObservedBlock, Push, Read, ReaderHistory, judge, observe
from tests.counts import count, variants
from tests.faults.country import (
    EVERYTHING,
    ReaderOptions,
    Report,
    a_country,
    reports_of,
    selected,
    with_ancestors,
)
from tests.faults.reading import NoAnswer, publications, read_back
from tests.measured import note
from tests.running import Gateway

TIMEOUT_S = 30.0
"""How long to wait for a condition before the test fails."""
ANSWER_MAX_S = 12.0
"""The maximum duration of a request, unless a test sets another one."""
REQUEST_TIMEOUT_S = 45.0
"""After this time a client abandons a request, so that a hanging request is recorded."""
READ_TIMEOUT_S = 15.0
"""A reader reconnects if it receives nothing for this long; the gateway sends a heartbeat every `heartbeat_s`."""
SENDERS = count(3, full=24)
RATE = count(9, full=240)
"""Reports per second, of all senders together."""
STREAMS = count(1, full=2)
"""Readers of the publication stream."""
UNANSWERED_MAX = 64
"""Reports that a WebSocket sender may have without a result before it waits."""
READ_BACK_S = 0.5
"""How often a sender reads back the unit of its last receipt."""
NDJSON_LINES = count(3, full=5)
"""Reports per NDJSON request."""
TRANSPORTS = ("websocket", "http", "ndjson")
PUSH, FEED = "http://push.night", "http://feed.night"
"""Host names of the doors, which resolve to `Addresses`."""
CODES = frozenset({"journal_unavailable", "overloaded", "draining", "starting", "out_of_order"})
"""Codes of answers that ask a client to retry."""


@dataclass
class Addresses:
    """Addresses of the doors and of the journal; a change applies to new connections.

    If a door has several URLs, clients differ in the one that they try first.
    """

    push: list[str]
    feed: list[str]
    database_url: str

    @classmethod
    def of(cls, gateway: Gateway) -> "Addresses":
        """Return the addresses of one gateway."""
        return cls([gateway.push_url], [gateway.feed_url], gateway.database.url)


READERS = (
    ReaderOptions(EVERYTHING, gzip=True),
    ReaderOptions(),
    ReaderOptions(EVERYTHING, areas="c1"),
    ReaderOptions("country", every_s=1),
    *variants([ReaderOptions(EVERYTHING), ReaderOptions(gzip=True)]),
)
"""The readers of a night, unless a test sets others."""


@asynccontextmanager
async def a_night(
    doors: Gateway | Addresses,
    *,
    senders: int = SENDERS,
    rate: float = RATE,
    readers: Sequence[ReaderOptions] = READERS,
    streams: int = STREAMS,
    transports: Sequence[str] = TRANSPORTS,
    answer_max_s: float = ANSWER_MAX_S,
    registry: dict[str, Any] | None = None,
    reads_back: bool = True,
) -> AsyncIterator["Night"]:
    """Load an election and push `rate` reports per second from `senders` senders, which alternate between `transports`.

    The block starts when every sender has a receipt and every reader a block; `streams` readers follow the publication
    stream. With `reads_back`, senders read back their units all the time; such a read makes an empty append.
    """
    addresses = Addresses.of(doors) if isinstance(doors, Gateway) else doors
    document = registry or a_country(senders)
    municipalities = [area["id"] for area in document["areas"] if area["level"] == "municipality"][:senders]
    async with administration(addresses.database_url, "test") as acts:
        election = await acts.load_election(document)
        issued = await acts.issue_tokens(election, [([each], "night") for each in municipalities])
    await _wait_election_known(addresses.feed, election)
    night = Night(addresses, document, election, answer_max_s)
    night.reads_back = reads_back
    async with AsyncExitStack() as opened:
        for place, (municipality, token) in enumerate(zip(municipalities, issued, strict=True)):
            transport = transports[place % len(transports)]
            night.senders.append(_Sender(night, place, municipality, token.secret, transport, senders / rate))
        for place, options in enumerate(readers):
            night.readers.append(_Reader(night, place, options))
        for place in range(streams):
            night.streams.append(_Stream(night, place))
        for each in (*night.senders, *night.readers, *night.streams):
            await opened.enter_async_context(each.open())
        await night.wait_progress()
        try:
            yield night
        except BaseException as error:
            error.add_note(night.describe_state())
            raise
        await night.settle()


async def _wait_election_known(feeds: Sequence[str], election: str) -> None:
    """Wait until every feed knows an election that is in the journal: a replica learns of it a little later."""
    async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as session:
        for url in feeds:
            status = 404
            while status == 404:
                async with session.get(f"{url}/v1/elections/{election}") as answer:
                    status = answer.status
                await asyncio.sleep(0.005)


class Night:
    """A running election night, with the observations of all clients."""

    def __init__(
        self, addresses: Addresses, registry: dict[str, Any], election: str, answer_max_s: float
    ) -> None:
        self.addresses = addresses
        self.registry = registry
        self.election = election
        self.answer_log = AnswerLog(answer_max_s)
        self.senders: list[_Sender] = []
        self.readers: list[_Reader] = []
        self.streams: list[_Stream] = []
        self.pushing = True
        self.reads_back = True
        """Whether senders read back their units."""
        self.snapshots_expected = False
        """Whether readers may get another snapshot, because the record has been restored."""
        self._settled = False

    # Waiting.

    async def wait_progress(self, senders: Sequence[int] | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until every sender (or those with these indexes) has a new receipt and readers have caught up."""
        wanted = self.senders if senders is None else [self.senders[place] for place in senders]
        before = {sender.name: sender.receipts for sender in wanted}
        await self.until(
            lambda: [each.name for each in wanted if each.receipts == before[each.name]],
            "a new receipt",
            timeout_s,
        )
        await self.readers_catch_up(timeout_s)

    async def readers_catch_up(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until every reader has received all publications that have a receipt now and are in its selection."""
        wanted = [
            (
                each,
                max(
                    sender.sequence
                    for sender in self.senders
                    if each.receives_changes_of(sender.municipality)
                ),
            )
            for each in (*self.readers, *self.streams)
        ]
        await self.until(
            lambda: [f"{each.name} (at {each.sequence})" for each, last in wanted if each.sequence < last],
            f"publication {self.sequence}",
            timeout_s,
        )

    async def wait_unavailable(self) -> None:
        """Wait until another answer reports that the journal is unavailable."""
        before = self.unavailable_answers
        await self.until(
            lambda: [] if self.unavailable_answers > before else ["senders"], "an unavailable journal"
        )

    async def until(
        self, missing: Callable[[], Sequence[str]], what: str, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Wait until `missing` returns nothing; fail if a client fails, or with the missing names after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while names := missing():
            for each in (*self.senders, *self.readers, *self.streams):
                each.check()
            if time.monotonic() > deadline:
                some = ", ".join(names[:5])
                raise AssertionError(f"{what}: not within {timeout_s:.0f} s for {len(names)}: {some}")
            await asyncio.sleep(0.01)

    def allow(self, *answers: str) -> None:
        """Permit answers that would otherwise be undocumented, as written in failures and by `describe_state`."""
        self.answer_log.allowed.update(answers)

    @property
    def unavailable_answers(self) -> int:
        """How often senders were asked to retry because the journal was unavailable."""
        answers = self.answer_log.answers.items()
        return sum(count for answer, count in answers if "journal_unavailable" in answer)

    @property
    def receipts(self) -> int:
        """The number of receipts of all senders."""
        return sum(sender.receipts for sender in self.senders)

    @property
    def sequence(self) -> int:
        """The highest sequence in any receipt."""
        return max(sender.sequence for sender in self.senders)

    # Settling.

    async def settle(self) -> History:
        """Stop the senders, wait for all clients and check everything, see the module. A second call checks nothing."""
        if self._settled:
            return await self._history()
        self.pushing = False
        stopped_at = time.monotonic()
        await self.until(
            lambda: [each.unanswered for each in self.senders if each.unanswered], "a result of every report"
        )
        await self._send_again()
        await self.readers_catch_up()
        for each in (*self.senders, *self.readers, *self.streams):
            await each.close()
        self._settled = True
        line = self._measurements(stopped_at)
        note("faults", line)
        sys.stdout.write(line + "\n")
        history = await self._history()
        broken = judge(history)
        assert not broken, "\n".join(f"{each.guarantee}: {each.example}" for each in broken)
        self._assert_answers(history)
        if not self.snapshots_expected:
            reset = [each.name for each in self.readers if any(seen.snapshot for seen in each.observed[1:])]
            assert not reset, f"readers that got a second snapshot: {reset}"
        return history

    async def _send_again(self) -> None:
        """Make every sender send its last reports again, and read back every unit."""
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*(sender.send_again() for sender in self.senders))
            await asyncio.gather(*(sender.read_back_all() for sender in self.senders))

    def _assert_answers(self, history: History) -> None:
        current = {stored.unit: stored.revision for stored in history.stored}
        refused = [push for push in history.pushes if not push.answer.has_receipt]
        for push in refused:
            stale = push.answer.code == "stale_revision" and current.get(push.unit, 0) > push.revision
            assert stale, f"{push.unit} revision {push.revision}: {push.answer}"
        assert not self.answer_log.undocumented, f"undocumented: {self.answer_log.undocumented[:10]}"
        late = [each for each in self.answer_log.late if each not in self.answer_log.allowed]
        assert not late, f"answers that took longer than {self.answer_log.answer_max_s:.0f} s: {late[:10]}"

    async def _stored(self) -> list[JournalReport]:
        async with asyncio.timeout(TIMEOUT_S), administration(self.addresses.database_url, "test") as acts:
            return await acts.journal_reports(self.election)

    async def _history(self) -> History:
        return History(
            registry=self.registry,
            publish_from=datetime.fromisoformat(self.registry["election"]["publish_from"]).timestamp(),
            pushes=[push for sender in self.senders for push in sender.pushes],
            readings=[ReaderHistory(each.name, each.areas, each.observed) for each in self.readers],
            stored=await self._stored(),
            reads=[read for sender in self.senders for read in sender.reads],
            streams={each.name: each.publications for each in self.streams},
        )

    # Measurements.

    def longest_receipt_gap_s(self) -> float:
        """Return the longest time without a receipt for any sender, so far."""
        return _gap(sorted(at for sender in self.senders for at in sender.receipts_at))

    def max_lag_s(self) -> float:
        """Return the longest time from a receipt to the block that contains it, of the readers without an interval."""
        return max(
            (self._reader_lag_s(each) for each in self.readers if not each.options.every_s), default=0.0
        )

    def _measurements(self, stopped_at: float) -> str:
        of_one = max(
            _gap([at for at in sender.receipts_at if at <= stopped_at] + [stopped_at])
            for sender in self.senders
        )
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("::")[2].partition(" ")[0]
        return (
            f"{test}: time without receipts: {self.longest_receipt_gap_s():.2f} s (of one sender {of_one:.2f} s),"
            f" readers lag behind receipts by at most {self.max_lag_s():.2f} s; {self.receipts} receipts,"
            f" slowest answer {self.answer_log.slowest_s:.2f} s; {self.answer_log.summary()}"
        )

    def _reader_lag_s(self, reader: "_Reader") -> float:
        """Return the longest time from a receipt to the block of this reader that contains it."""
        sequences = [each.sequence for each in reader.observed]
        return max(
            (
                reader.observed[bisect_left(sequences, push.answer.sequence)].at - push.answered_at
                for sender in self.senders
                for push in sender.pushes
                if push.answer.sequence is not None and push.answer.outcome == "accepted"
                if reader.receives_changes_of(sender.municipality)
            ),
            default=0.0,
        )

    def describe_state(self) -> str:
        """Describe the state of all clients, for the report of a failure."""
        places = ", ".join(f"{each.name} at {each.sequence}" for each in (*self.readers, *self.streams))
        unanswered = ", ".join(sender.unanswered for sender in self.senders if sender.unanswered)
        return (
            f"{self.receipts} receipts; {self.answer_log.summary()}; {places}; without a result: {unanswered}"
        )


def _gap(times: Sequence[float]) -> float:
    return max((after - before for before, after in itertools.pairwise(times)), default=0.0)


# Observed answers.


@dataclass
class AnswerLog:
    """Counts of answers: `post 201`, `post 503 draining`, `socket retry overloaded`, `goodbye 1001`, `feed 200`."""

    answer_max_s: float
    answers: Counter[str] = field(default_factory=Counter)
    undocumented: list[str] = field(default_factory=list)
    allowed: set[str] = field(default_factory=set)
    late: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def record(self, answer: str, *, documented: bool = True) -> None:
        """Count an answer."""
        self.answers[answer] += 1
        if not documented and answer not in self.allowed:
            self.undocumented.append(answer)

    def record_duration(self, what: str, seconds: float) -> None:
        """Record the duration of a request."""
        self.slowest_s = max(self.slowest_s, seconds)
        if seconds > self.answer_max_s:
            self.late.append(f"{what} after {seconds:.1f} s")

    def summary(self) -> str:
        """Return all answers with their counts."""
        return ", ".join(f"{count} × {answer}" for answer, count in sorted(self.answers.items()))

    def session(self, addresses: Addresses, place: int, kind: str, **options: Any) -> aiohttp.ClientSession:
        """Return a client session that connects to the current addresses and whose answers are recorded."""
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._started)
        trace.on_request_end.append(self._ended)
        trace.on_request_exception.append(self._failed)
        connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False, resolver=_Resolver(addresses, place))
        options = {
            "connector": connector,
            "timeout": aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S, sock_connect=5.0),
            **options,
        }
        return aiohttp.ClientSession(
            trace_configs=[trace],
            response_class=type(
                "RecordingResponse", (_RecordingResponse,), {"answer_log": self, "kind": kind}
            ),
            ws_response_class=type("RecordingWebSocket", (_RecordingWebSocket,), {"answer_log": self}),
            **options,
        )

    async def _started(self, _: Any, context: Any, __: Any) -> None:
        context.at = time.monotonic()

    async def _ended(self, _: Any, context: Any, params: aiohttp.TraceRequestEndParams) -> None:
        response = params.response
        what = f"{getattr(response, 'kind', 'answer')} {response.status}"
        self.record_duration(what, time.monotonic() - context.at)
        documented = response.status in (
            101,
            200,
            201,
            409,
        )  # a 409 has to be stale, which is checked later
        if response.status in (429, 503):
            documented = "Retry-After" in response.headers
        self.record(what, documented=documented)

    async def _failed(self, _: Any, context: Any, params: aiohttp.TraceRequestExceptionParams) -> None:
        error = params.exception
        self.record_duration(type(error).__name__, time.monotonic() - context.at)
        lost = isinstance(error, aiohttp.ClientConnectionError) and not isinstance(error, TimeoutError)
        self.record(type(error).__name__, documented=lost)


class _RecordingResponse(aiohttp.ClientResponse):
    """A response whose status and code are recorded."""

    answer_log: ClassVar[AnswerLog]
    kind: ClassVar[str]

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Read the head, and the whole body of an error, which is recorded and can then be read again."""
        protocol = connection.protocol
        await super().start(connection)
        if self.status >= 400:
            body = await self.content.read()
            code = orjson.loads(body).get("code")
            documented = code in CODES or (self.status == 409 and code == "stale_revision")
            self.answer_log.record(f"{self.kind} {self.status} {code}", documented=documented)
            self.content = aiohttp.StreamReader(protocol, 1 << 16, loop=asyncio.get_running_loop())
            self.content.feed_data(body)
            self.content.feed_eof()
        return self


class _RecordingWebSocket(aiohttp.ClientWebSocketResponse):
    """A push WebSocket whose frames are recorded."""

    answer_log: ClassVar[AnswerLog]

    def __init__(self, *options: Any, **named: Any) -> None:
        super().__init__(*options, **named)
        self._sent_at: dict[int, float] = {}
        self._goodbye = False

    async def send_frame(
        self, message: bytes, opcode: aiohttp.WSMsgType, compress: int | None = None
    ) -> None:
        if opcode is aiohttp.WSMsgType.TEXT:
            self._sent_at[orjson.loads(message)["id"]] = time.monotonic()
        await super().send_frame(message, opcode, compress)

    async def receive(self, timeout: float | None = None) -> Any:
        message = await super().receive(timeout)
        if message.type is aiohttp.WSMsgType.TEXT:
            self._record(orjson.loads(message.data))
        elif message.type is aiohttp.WSMsgType.CLOSE:
            what = f"{'goodbye' if self._goodbye else 'closed'} {message.data} {message.extra or ''}".strip()
            self.answer_log.record(what, documented=self._goodbye and message.data == 1001)
        elif message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
            self.answer_log.record("socket lost")
        return message

    def _record(self, frame: dict[str, Any]) -> None:
        self._goodbye = self._goodbye or frame["type"] == "goodbye"
        for result in frame.get("results", ()):
            outcome, code = result["outcome"], result.get("code")
            documented = outcome in ("accepted", "duplicate") or code in CODES | {"stale_revision"}
            what = f"socket {outcome} {code or ''}".strip()
            self.answer_log.record(what, documented=documented)
            self.answer_log.record_duration(what, time.monotonic() - self._sent_at.pop(result["id"]))


class _Resolver(AbstractResolver):
    """Resolves the host names of the doors to the current addresses."""

    def __init__(self, addresses: Addresses, place: int) -> None:
        self._addresses = addresses
        self._place = place

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        urls = self._addresses.push if host == urlsplit(PUSH).hostname else self._addresses.feed
        first = self._place % len(urls)
        found = []
        for url in (*urls[first:], *urls[:first]):
            parts = urlsplit(url)
            assert parts.hostname is not None
            assert parts.port is not None
            found.append(
                ResolveResult(
                    hostname=host,
                    host=parts.hostname,
                    port=parts.port,
                    family=socket.AF_INET,
                    proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
            )
        return found

    async def close(self) -> None:
        pass


# Clients.


class _Client(ABC):
    """A client with a task that runs for the whole night."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sequence = -1
        """The last sequence that it has received."""
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    @abstractmethod
    async def run(self) -> None:
        """Push or read until cancelled, regardless of faults."""

    def receives_changes_of(self, municipality: str) -> bool:
        """Return whether it is sent the publications of a municipality as soon as they are published."""
        return True

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        self._task = asyncio.create_task(self.run(), name=self.name)
        try:
            yield
        finally:
            await self.close()

    async def close(self) -> None:
        """Cancel the task and wait for it."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=TIMEOUT_S)

    def check(self) -> None:
        """Raise the error of the task, if it has failed."""
        if self._failure is not None:
            raise self._failure
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()


class _Sender(_Client):
    """A municipality that sends the next revision of one of its units every `interval_s`."""

    def __init__(
        self, night: Night, place: int, municipality: str, secret: str, transport: str, interval_s: float
    ) -> None:
        super().__init__(f"{municipality} by {transport}")
        self.secret = secret
        self.transport = transport
        self.municipality = municipality
        self.pushes: list[Push] = []
        self.reads: list[Read] = []
        self.receipts_at: list[float] = []
        self._night = night
        self._place = place
        self._interval_s = interval_s
        self._unanswered: dict[tuple[str, int], Report] = {}
        self.sent_reports: dict[tuple[str, int], Report] = {}
        self._reports = reports_of(municipality, random.Random(place))

    @property
    def receipts(self) -> int:
        """The number of its receipts."""
        return len(self.receipts_at)

    @property
    def unanswered(self) -> str:
        """A description of the reports without a result; empty if there are none."""
        if not self._unanswered:
            return ""
        unit, revision = min(self._unanswered, key=lambda each: each[1])
        return f"{self.name}: {len(self._unanswered)}, such as {unit} revision {revision}"

    def _next(self) -> Report:
        report = next(self._reports)
        self._unanswered[report.unit, report.revision] = report
        self.sent_reports[report.unit, report.revision] = report
        return report

    async def run(self) -> None:
        async with self._night.answer_log.session(self._night.addresses, self._place, "post") as session:
            await asyncio.sleep(self._interval_s * random.Random(self._place).random())
            push = {
                "websocket": self._push_over_websocket,
                "http": self._push_over_http,
                "ndjson": self._push_over_ndjson,
            }[self.transport]
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(push(session), name=f"{self.name}, pushing")
                if self._night.reads_back:
                    tasks.create_task(self._keep_reading_back(), name=f"{self.name}, reading back")

    async def _keep_reading_back(self) -> None:
        """Read back the unit of the last receipt, on connections of their own, until the senders stop."""
        async with self._night.answer_log.session(self._night.addresses, self._place, "read") as session:
            while self._night.pushing:
                last = next((push for push in reversed(self.pushes) if push.answer.has_receipt), None)
                if last is not None:
                    await self._read_back(session, last.unit)
                await asyncio.sleep(READ_BACK_S)

    async def _read_back(self, session: aiohttp.ClientSession, unit: str) -> bool:
        """Read the newest report of a unit that has a receipt; return whether the door could answer."""
        began_at = time.time()
        try:
            revision = await read_back(session, PUSH, self._night.election, self.secret, unit)
        except NoAnswer:
            return False
        self.reads.append(Read(unit, began_at, revision))
        return True

    async def read_back_all(self) -> None:
        """Read back every unit with a receipt, until the door answers."""
        async with self._night.answer_log.session(self._night.addresses, self._place, "read") as session:
            units = sorted({push.unit for push in self.pushes if push.answer.has_receipt})
            while units:
                units = [unit for unit in units if not await self._read_back(session, unit)]
                await asyncio.sleep(READ_BACK_S if units else 0)

    async def _push_over_websocket(self, session: aiohttp.ClientSession) -> None:
        async with Publisher(PUSH, self._night.election, self.secret, session=session) as publisher:
            while self._night.pushing:
                if len(self._unanswered) < UNANSWERED_MAX:
                    report = self._next()
                    publisher.submit(report.body).add_done_callback(partial(self._take_answer, report))
                await asyncio.sleep(self._interval_s)

    def _take_answer(self, report: Report, answer: asyncio.Future[Answer]) -> None:
        if answer.exception() is not None:
            self._failure = answer.exception()
        else:
            self._record_result(report, answer.result())

    async def _push_over_http(self, session: aiohttp.ClientSession) -> None:
        await self._push_requests(session, 1)

    async def _push_over_ndjson(self, session: aiohttp.ClientSession) -> None:
        await self._push_requests(session, NDJSON_LINES)

    async def _push_requests(self, session: aiohttp.ClientSession, lines: int) -> None:
        due = time.monotonic()
        while self._night.pushing:
            await self._push(session, [self._next() for _ in range(lines)])
            due = max(due + lines * self._interval_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _push(self, session: aiohttp.ClientSession, reports: list[Report]) -> None:
        """Push until every report is decided; retries keep their order."""
        while reports:
            answers = await push_http(
                session,
                PUSH,
                self._night.election,
                self.secret,
                [report.body for report in reports],
                ndjson=len(reports) > 1,
            )
            again = []
            for report, answer in zip(reports, answers, strict=True):
                if answer.outcome == "retry":
                    self._night.answer_log.record(
                        f"line retry {answer.code}", documented=answer.code in CODES
                    )
                    again.append(report)
                else:
                    self._record_result(report, answer)
            reports = again

    def _record_result(self, report: Report, answer: Answer) -> None:
        self._unanswered.pop((report.unit, report.revision), None)
        self.pushes.append(Push(report.unit, report.revision, report.digest, time.time(), answer))
        if answer.has_receipt:
            self.receipts_at.append(time.monotonic())
            self.sequence = max(self.sequence, answer.sequence or 0)

    async def send_again(self) -> None:
        """Send the last reports with a receipt again and assert that each is a duplicate."""
        last = [push for push in self.pushes if push.answer.has_receipt][-10:]
        reports = [self.sent_reports[push.unit, push.revision] for push in last]
        place = len(self.pushes)
        async with self._night.answer_log.session(self._night.addresses, self._place, "again") as session:
            await self._push(session, reports)
        for push in self.pushes[place:]:
            assert push.answer.outcome == "duplicate", f"{push.unit} {push.revision}: {push.answer}"


class _Reader(_Client):
    """A reader of the feed that keeps every block it has received."""

    def __init__(self, night: Night, place: int, options: ReaderOptions) -> None:
        super().__init__(f"{options.name} ({place})")
        self.options = options
        self.observed: list[ObservedBlock] = []
        self.areas = selected(night.registry, options)
        parents = {area["id"]: area["parent"] for area in night.registry["areas"]}
        self._above = {area: frozenset(with_ancestors(area, parents)) for area in parents}
        self.connections = 0
        self._night = night
        self._place = place

    async def run(self) -> None:
        options = self.options
        session = self._night.answer_log.session(
            self._night.addresses,
            self._place,
            "feed",
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=READ_TIMEOUT_S),
        )
        async with (
            session,
            Subscriber(
                FEED,
                self._night.election,
                levels=options.levels,
                areas=options.areas,
                every_s=options.every_s,
                gzip=options.gzip,
                session=session,
                silence_s=READ_TIMEOUT_S,
            ) as subscriber,
        ):
            async for block in subscriber.blocks():
                self.observed.append(observe(block, time.time()))
                self.sequence = block.sequence
                self.connections = subscriber.connections

    def receives_changes_of(self, municipality: str) -> bool:
        """Return whether its selection has an area above the municipality; otherwise it gets only heartbeats."""
        return not self._above[municipality].isdisjoint(self.areas)


class _Stream(_Client):
    """A reader of the publication stream, which receives every publication."""

    def __init__(self, night: Night, place: int) -> None:
        super().__init__(f"publication stream {place}")
        self.publications: list[tuple[float, int, str]] = []
        self._night = night
        self._place = place

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=READ_TIMEOUT_S)
        async with self._night.answer_log.session(
            self._night.addresses, self._place, "publications", timeout=timeout
        ) as session:
            async for each in publications(session, FEED, self._night.election):
                self.publications.append((time.time(), each.sequence, each.digest))
                self.sequence = each.sequence
