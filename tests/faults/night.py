"""A night under continuous load, in which a test breaks something; at its end the judge looks at all of it.

    async with running(database, push_workers=2) as gateway, a_night(gateway) as night:
        os.kill(..., signal.SIGKILL)
        await night.goes_on()          # every sender has a new receipt, every reader what it says

A dozen municipalities, or two, push rising revisions of their units, in turn by WebSocket, HTTP and NDJSON; readers of
several selections and of the publication stream follow, and come back where they were whenever they are cut off.
Leaving the block (or `settle`) ends the pushing and then asserts that

- every report sent has its receipt, or is stale because a later revision of its unit is in the journal;
- reports sent once more get their first receipt again;
- every reader reaches the last publication, and none was ever sent a second snapshot;
- the judge finds no broken promise in the whole history;
- senders and readers got documented answers only, none of them later than `answer_s`.

Where a gateway moves, or a proxy stands in between, change `night.addresses`: new connections go there. All waits are
bounded and say what they waited for. The clients see addresses as names that never change, so no client restarts.
"""

import asyncio
import hashlib
import itertools
import os
import random
import socket
import sys
import time
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
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
from gateway.client.sse import EventParser
from gateway.client.subscriber import Subscriber
from gateway.journal.administration import administration
from gateway.rehearsal.judge import History, ObservedBlock, Push, ReaderHistory, StoredReport, judge, observe
from tests.counts import count
from tests.measured import note
from tests.running import Gateway

PATIENCE_S = 30.0
"""How long a fact is waited for before the test fails."""
ANSWER_S = 12.0
"""No answer may take longer, unless the test says so."""
GIVE_UP_S = 45.0
"""What a client takes for lost, so that a hanging request is told as such."""
SILENCE_S = 15.0
"""What a reader hears nothing for before it takes the connection for dead; the gateway speaks every `heartbeat_s`."""
SENDERS = count(12, full=24)
RATE = count(72, full=240)
"""Reports per second, of all senders."""
UNITS = 8
"""Of a municipality."""
OPEN_MAX = 64
"""Reports of a WebSocket's sender without a result; then it waits."""
LINES = 5
"""Reports in one NDJSON request."""
WAYS = ("websocket", "http", "ndjson")
COUNTRY = "land"
EVERYTHING = "country,county,municipality,precinct"
PUSH, FEED = "http://push.night", "http://feed.night"
"""The names of the doors; `Addresses` says where they are."""
CODES = frozenset({"journal_unavailable", "overloaded", "draining", "starting", "out_of_order"})
"""Of answers that say: come back."""

_numbers = itertools.count(1)


@dataclass
class Addresses:
    """Where the doors and the journal are; may be changed at any time, and counts from the next connection on.

    With several URLs of a door, each client has one that it tries first.
    """

    push: list[str]
    feed: list[str]
    database_url: str

    @classmethod
    def of(cls, gateway: Gateway) -> "Addresses":
        """The doors of one gateway."""
        return cls([gateway.push_url], [gateway.feed_url], gateway.database.url)


@dataclass(frozen=True)
class Reads:
    """What a reader asks for."""

    levels: str | None = None
    areas: str | None = None
    every_s: int = 0
    gzip: bool = False

    @property
    def name(self) -> str:
        """As it is told of."""
        wanted = f"{self.levels or 'default'} of {self.areas or 'all'}"
        return f"reader of {wanted}, every {self.every_s} s{', gzip' if self.gzip else ''}"


READERS = (
    Reads(EVERYTHING),
    Reads(EVERYTHING, gzip=True),
    Reads(),
    Reads(gzip=True),
    Reads(EVERYTHING, areas="c1"),
    Reads("country", every_s=1),
)
"""The usual ones."""


@asynccontextmanager
async def a_night(
    doors: Gateway | Addresses,
    *,
    senders: int = SENDERS,
    rate: float = RATE,
    readers: Sequence[Reads] = READERS,
    streams: int = 2,
    ways: Sequence[str] = WAYS,
    answer_s: float = ANSWER_S,
    registry: dict[str, Any] | None = None,
) -> AsyncIterator["Night"]:
    """Load an election and keep it busy: `rate` reports a second of so many senders, in turn by these ways.

    The block begins when every sender has a receipt and every reader a block. `streams` read the publication stream.
    """
    addresses = Addresses.of(doors) if isinstance(doors, Gateway) else doors
    document = registry or a_country(senders)
    municipalities = [area["id"] for area in document["areas"] if area["level"] == "municipality"][:senders]
    async with administration(addresses.database_url, "test") as acts:
        election = await acts.load_election(document)
        issued = await acts.issue_tokens(election, [([each], "night") for each in municipalities])
    await _known(addresses.feed, election)
    night = Night(addresses, document, election, answer_s)
    async with AsyncExitStack() as opened:
        for place, (municipality, token) in enumerate(zip(municipalities, issued, strict=True)):
            way = ways[place % len(ways)]
            night.senders.append(_Sender(night, place, municipality, token.secret, way, senders / rate))
        for place, reads in enumerate(readers):
            night.readers.append(_Reader(night, place, reads))
        for place in range(streams):
            night.streams.append(_Stream(night, place))
        for each in (*night.senders, *night.readers, *night.streams):
            await opened.enter_async_context(each.open())
        await night.goes_on()
        try:
            yield night
        except BaseException as error:
            error.add_note(night.so_far())
            raise
        await night.settle()


async def _known(feeds: Sequence[str], election: str) -> None:
    """Wait until every feed tells of an election that is in the journal: a replica hears of it a little later."""
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
        for url in feeds:
            status = 404
            while status == 404:
                async with session.get(f"{url}/v1/elections/{election}") as answer:
                    status = answer.status
                await asyncio.sleep(0.005)


def a_country(municipalities: int, **header: Any) -> dict[str, Any]:
    """A registry of four counties, so many municipalities, and UNITS units in each; its embargo has passed."""
    areas: list[dict[str, Any]] = [{"id": COUNTRY, "name": "Landet", "level": "country", "parent": None}]
    areas += [{"id": f"c{n}", "name": f"C {n}", "level": "county", "parent": COUNTRY} for n in range(1, 5)]
    for place in range(municipalities):
        name = f"m{place:02}"
        areas.append({"id": name, "name": name, "level": "municipality", "parent": f"c{place % 4 + 1}"})
        areas += [
            {"id": f"{name}-{unit}", "name": f"{name} {unit}", "level": "precinct", "parent": name}
            for unit in range(1, UNITS + 1)
        ]
    election = {
        "id": f"night-{next(_numbers)}",
        "name": "A night",
        "date": "2025-09-08",
        "publish_from": "2025-09-08T21:00:00+02:00",
        "timezone": "Europe/Oslo",
        "categories": ["advance", "election_day"],
    }
    parties = [{"code": code, "name": f"Party {code}"} for code in "PQR"]
    return {
        "format": "election-registry/1",
        "election": {**election, **header},
        "areas": [{"eligible": 1000, **area} for area in areas],
        "parties": parties,
    }


class Night:
    """A night that runs, and all that is known of it."""

    def __init__(
        self, addresses: Addresses, registry: dict[str, Any], election: str, answer_s: float
    ) -> None:
        self.addresses = addresses
        self.registry = registry
        self.election = election
        self.seen = Seen(answer_s)
        self.senders: list[_Sender] = []
        self.readers: list[_Reader] = []
        self.streams: list[_Stream] = []
        self.pushing = True
        self.may_reset = False
        """Whether readers may be sent a snapshot once more, because the record is another one."""
        self._settled = False

    # What a test waits for.

    async def goes_on(self, senders: Sequence[int] | None = None, patience_s: float = PATIENCE_S) -> None:
        """Wait until every sender (or those at these places) has a new receipt, and every reader what they say."""
        wanted = self.senders if senders is None else [self.senders[place] for place in senders]
        before = {sender.name: sender.receipts for sender in wanted}
        await self.until(
            lambda: [each.name for each in wanted if each.receipts == before[each.name]],
            "a new receipt",
            patience_s,
        )
        await self.readers_catch_up(patience_s)

    async def readers_catch_up(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until every reader has all that there are receipts of now, as far as it asked for it."""
        wanted = [
            (each, max(sender.sequence for sender in self.senders if each.concerns(sender.municipality)))
            for each in (*self.readers, *self.streams)
        ]
        await self.until(
            lambda: [f"{each.name} (at {each.sequence})" for each, last in wanted if each.sequence < last],
            f"publication {self.sequence}",
            patience_s,
        )

    async def until(
        self, missing: Callable[[], Sequence[str]], what: str, patience_s: float = PATIENCE_S
    ) -> None:
        """Wait until nobody is missing; fail where a client fails, and, with names, when it takes too long."""
        until_at = time.monotonic() + patience_s
        while who := missing():
            for each in (*self.senders, *self.readers, *self.streams):
                each.check()
            if time.monotonic() > until_at:
                some = ", ".join(who[:5])
                raise AssertionError(f"{what}: not within {patience_s:.0f} s for {len(who)}: {some}")
            await asyncio.sleep(0.01)

    def allow(self, *answers: str) -> None:
        """Take answers for documented that otherwise are not: as `told_of`, `so_far` and failures show them."""
        self.seen.allowed.update(answers)

    @property
    def receipts(self) -> int:
        """So many there are."""
        return sum(sender.receipts for sender in self.senders)

    @property
    def sequence(self) -> int:
        """The last publication that some sender has a receipt of."""
        return max(sender.sequence for sender in self.senders)

    # The end.

    async def settle(self) -> History:
        """End the pushing, wait for everybody, judge, and assert; see the module. The second time does nothing."""
        if self._settled:
            return await self._history()
        self.pushing = False
        ended = time.monotonic()
        await self.until(
            lambda: [each.left for each in self.senders if each.left], "a result of every report"
        )
        await self._send_again()
        await self.readers_catch_up()
        for each in (*self.senders, *self.readers, *self.streams):
            await each.close()
        self._settled = True
        line = self._measured(ended)
        note("faults", line)
        sys.stdout.write(line + "\n")
        history = await self._history()
        broken = judge(history)
        assert not broken, "\n".join(f"{each.guarantee}: {each.example}" for each in broken)
        self._assert_answers(history)
        if not self.may_reset:
            reset = [each.name for each in self.readers if any(seen.snapshot for seen in each.observed[1:])]
            assert not reset, f"these had to begin anew: {reset}"
        return history

    async def _send_again(self) -> None:
        """Every sender sends its last reports once more."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(sender.send_again() for sender in self.senders))

    def _assert_answers(self, history: History) -> None:
        current = {stored.unit: stored.revision for stored in history.stored}
        refused = [push for push in history.pushes if not push.answer.has_receipt]
        for push in refused:
            stale = push.answer.code == "stale_revision" and current.get(push.unit, 0) > push.revision
            assert stale, f"{push.unit} revision {push.revision}: {push.answer}"
        assert not self.seen.undocumented, f"undocumented: {self.seen.undocumented[:10]}"
        late = [each for each in self.seen.late if each not in self.seen.allowed]
        assert not late, f"later than {self.seen.answer_s:.0f} s: {late[:10]}"

    async def _stored(self) -> list[StoredReport]:
        async with asyncio.timeout(PATIENCE_S), administration(self.addresses.database_url, "test") as acts:
            held = await acts.journal_reports(self.election)
        return [
            StoredReport(
                each.sequence,
                each.unit,
                each.revision,
                each.digest,
                each.chain,
                each.body,
                each.published_at.timestamp() if each.published_at is not None else None,
            )
            for each in held
        ]

    async def _history(self) -> History:
        return History(
            registry=self.registry,
            publish_from=datetime.fromisoformat(self.registry["election"]["publish_from"]).timestamp(),
            pushes=[push for sender in self.senders for push in sender.pushes],
            readings=[ReaderHistory(each.name, each.areas, each.observed) for each in self.readers],
            stored=await self._stored(),
            streams={each.name: each.seen for each in self.streams},
        )

    # What is told of it.

    def without_receipts_s(self) -> float:
        """The longest time without a receipt for anybody, so far."""
        return _gap(sorted(at for sender in self.senders for at in sender.receipts_at))

    def behind_s(self) -> float:
        """The longest time from a receipt to the block that shows it, of any reader of every block."""
        return max((self._behind_s(each) for each in self.readers if not each.reads.every_s), default=0.0)

    def _measured(self, ended: float) -> str:
        of_one = max(
            _gap([at for at in sender.receipts_at if at <= ended] + [ended]) for sender in self.senders
        )
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("::")[2].partition(" ")[0]
        return (
            f"{test}: time without receipts: {self.without_receipts_s():.2f} s (of one sender {of_one:.2f} s),"
            f" readers behind receipts by at most {self.behind_s():.2f} s; {self.receipts} receipts,"
            f" slowest answer {self.seen.slowest_s:.2f} s; {self.seen.summary()}"
        )

    def _behind_s(self, reader: "_Reader") -> float:
        """The longest time from a receipt to the block of this reader that shows it."""
        sequences = [each.sequence for each in reader.observed]
        return max(
            (
                reader.observed[bisect_left(sequences, push.answer.sequence)].at - push.answered_at
                for sender in self.senders
                for push in sender.pushes
                if push.answer.sequence is not None and push.answer.outcome == "accepted"
                if reader.concerns(sender.municipality)
            ),
            default=0.0,
        )

    def so_far(self) -> str:
        """What happened, for whoever looks into a failure."""
        places = ", ".join(f"{each.name} at {each.sequence}" for each in (*self.readers, *self.streams))
        left = ", ".join(sender.left for sender in self.senders if sender.left)
        return f"{self.receipts} receipts; {self.seen.summary()}; {places}; open: {left}"


def _gap(times: Sequence[float]) -> float:
    return max((after - before for before, after in itertools.pairwise(times)), default=0.0)


# What clients see of the gateway.


@dataclass
class Seen:
    """Every answer: `post 201`, `post 503 draining`, `socket retry overloaded`, `goodbye 1001`, `feed 200`."""

    answer_s: float
    answers: Counter[str] = field(default_factory=Counter)
    undocumented: list[str] = field(default_factory=list)
    allowed: set[str] = field(default_factory=set)
    late: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def take(self, answer: str, *, documented: bool = True) -> None:
        """Count an answer."""
        self.answers[answer] += 1
        if not documented and answer not in self.allowed:
            self.undocumented.append(answer)

    def took(self, what: str, seconds: float) -> None:
        """Note how long an answer took."""
        self.slowest_s = max(self.slowest_s, seconds)
        if seconds > self.answer_s:
            self.late.append(f"{what} after {seconds:.1f} s")

    def summary(self) -> str:
        """All of them, counted."""
        return ", ".join(f"{count} × {answer}" for answer, count in sorted(self.answers.items()))

    def session(self, addresses: Addresses, place: int, kind: str, **options: Any) -> aiohttp.ClientSession:
        """A client of its own, which connects to the addresses of the moment and whose answers are seen."""
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._started)
        trace.on_request_end.append(self._ended)
        trace.on_request_exception.append(self._failed)
        connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False, resolver=_Names(addresses, place))
        options = {
            "connector": connector,
            "timeout": aiohttp.ClientTimeout(total=GIVE_UP_S, sock_connect=5.0),
            **options,
        }
        return aiohttp.ClientSession(
            trace_configs=[trace],
            response_class=type("Answered", (_Answered,), {"seen": self, "kind": kind}),
            ws_response_class=type("Socket", (_Socket,), {"seen": self}),
            **options,
        )

    async def _started(self, _: Any, context: Any, __: Any) -> None:
        context.at = time.monotonic()

    async def _ended(self, _: Any, context: Any, told_: aiohttp.TraceRequestEndParams) -> None:
        response = told_.response
        what = f"{getattr(response, 'kind', 'answer')} {response.status}"
        self.took(what, time.monotonic() - context.at)
        documented = response.status in (
            101,
            200,
            201,
            409,
        )  # a 409 has to be stale, and that is looked at later
        if response.status in (429, 503):
            documented = "Retry-After" in response.headers
        self.take(what, documented=documented)

    async def _failed(self, _: Any, context: Any, told_: aiohttp.TraceRequestExceptionParams) -> None:
        error = told_.exception
        self.took(type(error).__name__, time.monotonic() - context.at)
        lost = isinstance(error, aiohttp.ClientConnectionError) and not isinstance(error, TimeoutError)
        self.take(type(error).__name__, documented=lost)


class _Answered(aiohttp.ClientResponse):
    """A response whose code is seen."""

    seen: ClassVar[Seen]
    kind: ClassVar[str]

    async def read(self) -> bytes:
        body = await super().read()
        if self.status >= 400:
            code = orjson.loads(body).get("code")
            documented = code in CODES or (self.status == 409 and code == "stale_revision")
            self.seen.take(f"{self.kind} {self.status} {code}", documented=documented)
        return body


class _Socket(aiohttp.ClientWebSocketResponse):
    """A push WebSocket whose frames are seen."""

    seen: ClassVar[Seen]

    def __init__(self, *options: Any, **named: Any) -> None:
        super().__init__(*options, **named)
        self._asked: dict[int, float] = {}
        self._goodbye = False

    async def send_frame(
        self, message: bytes, opcode: aiohttp.WSMsgType, compress: int | None = None
    ) -> None:
        if opcode is aiohttp.WSMsgType.TEXT:
            self._asked[orjson.loads(message)["id"]] = time.monotonic()
        await super().send_frame(message, opcode, compress)

    async def receive(self, timeout: float | None = None) -> Any:
        message = await super().receive(timeout)
        if message.type is aiohttp.WSMsgType.TEXT:
            self._take(orjson.loads(message.data))
        elif message.type is aiohttp.WSMsgType.CLOSE:
            what = f"{'goodbye' if self._goodbye else 'closed'} {message.data} {message.extra or ''}".strip()
            self.seen.take(what, documented=self._goodbye and message.data == 1001)
        elif message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
            self.seen.take("socket lost")
        return message

    def _take(self, frame: dict[str, Any]) -> None:
        self._goodbye = self._goodbye or frame["type"] == "goodbye"
        for result in frame.get("results", ()):
            outcome, code = result["outcome"], result.get("code")
            documented = outcome in ("accepted", "duplicate") or code in CODES | {"stale_revision"}
            what = f"socket {outcome} {code or ''}".strip()
            self.seen.take(what, documented=documented)
            self.seen.took(what, time.monotonic() - self._asked.pop(result["id"]))


class _Names(AbstractResolver):
    """Says where the doors are."""

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


# Those who push and read.


class _Client(ABC):
    """A task of its own for the whole night."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sequence = -1
        """The last publication that it knows of."""
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    @abstractmethod
    async def run(self) -> None:
        """Push or read until cancelled, whatever happens."""

    def concerns(self, municipality: str) -> bool:
        """Whether it hears of what a municipality reports as soon as that is published."""
        return True

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        self._task = asyncio.create_task(self.run(), name=self.name)
        try:
            yield
        finally:
            await self.close()

    async def close(self) -> None:
        """End it."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=PATIENCE_S)

    def check(self) -> None:
        """Raise what it failed of."""
        if self._failure is not None:
            raise self._failure
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()


@dataclass(frozen=True)
class _Report:
    unit: str
    revision: int
    body: bytes
    digest: str


class _Sender(_Client):
    """A municipality: every `interval_s` the next revision of one of its units."""

    def __init__(
        self, night: Night, place: int, municipality: str, secret: str, way: str, interval_s: float
    ) -> None:
        super().__init__(f"{municipality} by {way}")
        self.secret = secret
        self.way = way
        self.municipality = municipality
        self.pushes: list[Push] = []
        self.receipts_at: list[float] = []
        self._night = night
        self._place = place
        self._interval_s = interval_s
        self._open: dict[tuple[str, int], _Report] = {}
        self._known: dict[tuple[str, int], _Report] = {}
        self._reports = self._make_reports()

    @property
    def receipts(self) -> int:
        """So many it has."""
        return len(self.receipts_at)

    @property
    def left(self) -> str:
        """What has no result, in words; nothing if all have."""
        if not self._open:
            return ""
        unit, revision = min(self._open, key=lambda each: each[1])
        return f"{self.name}: {len(self._open)}, as {unit} revision {revision}"

    def _make_reports(self) -> Iterator[_Report]:
        """Give revisions of all units in turn, with falls, gaps, and the same figures again."""
        chance = random.Random(self._place)
        revisions = [0] * UNITS
        while True:
            for place in range(UNITS):
                revisions[place] += chance.choice((1, 1, 1, 2, 7))
                report = _a_report(f"{self.municipality}-{place + 1}", revisions[place], chance)
                body = orjson.dumps(report, option=orjson.OPT_SORT_KEYS)
                yield _Report(report["unit"], report["revision"], body, hashlib.sha256(body).hexdigest())

    def _next(self) -> _Report:
        report = next(self._reports)
        self._open[report.unit, report.revision] = report
        self._known[report.unit, report.revision] = report
        return report

    async def run(self) -> None:
        async with self._night.seen.session(self._night.addresses, self._place, "post") as session:
            await asyncio.sleep(self._interval_s * random.Random(self._place).random())
            await {"websocket": self._over_socket, "http": self._one_by_one, "ndjson": self._by_lines}[
                self.way
            ](session)

    async def _over_socket(self, session: aiohttp.ClientSession) -> None:
        async with Publisher(PUSH, self._night.election, self.secret, session=session) as publisher:
            while self._night.pushing:
                if len(self._open) < OPEN_MAX:
                    report = self._next()
                    publisher.submit(report.body).add_done_callback(partial(self._told, report))
                await asyncio.sleep(self._interval_s)

    def _told(self, report: _Report, answer: asyncio.Future[Answer]) -> None:
        if answer.exception() is not None:
            self._failure = answer.exception()
        else:
            self._answered(report, answer.result())

    async def _one_by_one(self, session: aiohttp.ClientSession) -> None:
        await self._by_requests(session, 1)

    async def _by_lines(self, session: aiohttp.ClientSession) -> None:
        await self._by_requests(session, LINES)

    async def _by_requests(self, session: aiohttp.ClientSession, lines: int) -> None:
        due = time.monotonic()
        while self._night.pushing:
            await self._push(session, [self._next() for _ in range(lines)])
            due = max(due + lines * self._interval_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _push(self, session: aiohttp.ClientSession, reports: list[_Report]) -> None:
        """Push until each is decided; what is to be sent again keeps its order."""
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
                    self._night.seen.take(f"line retry {answer.code}", documented=answer.code in CODES)
                    again.append(report)
                else:
                    self._answered(report, answer)
            reports = again

    def _answered(self, report: _Report, answer: Answer) -> None:
        self._open.pop((report.unit, report.revision), None)
        self.pushes.append(Push(report.unit, report.revision, report.digest, time.time(), answer))
        if answer.has_receipt:
            self.receipts_at.append(time.monotonic())
            self.sequence = max(self.sequence, answer.sequence or 0)

    async def send_again(self) -> None:
        """Send the last reports that have a receipt once more; they have to be known."""
        last = [push for push in self.pushes if push.answer.has_receipt][-10:]
        reports = [self._known[push.unit, push.revision] for push in last]
        place = len(self.pushes)
        async with self._night.seen.session(self._night.addresses, self._place, "again") as session:
            await self._push(session, reports)
        for push in self.pushes[place:]:
            assert push.answer.outcome == "duplicate", f"{push.unit} {push.revision}: {push.answer}"


def _a_report(unit: str, revision: int, chance: random.Random) -> dict[str, Any]:
    counts = {}
    for category in ("advance", "election_day"):
        votes = {party: chance.randrange(100) for party in "PQR"[: chance.randint(1, 3)]}
        blank = chance.randrange(5)
        counts[category] = {
            "ballots": sum(votes.values()) + blank,
            "blank": blank,
            "rejected": chance.randrange(3),
            "votes": votes,
        }
    return {
        "unit": unit,
        "revision": revision,
        "counted_at": "2025-09-08T22:36:55+02:00",
        "status": chance.choice(("counting", "preliminary", "final")),
        "counts": counts,
    }


class _Reader(_Client):
    """A reader of the feed that never forgets what it had."""

    def __init__(self, night: Night, place: int, reads: Reads) -> None:
        super().__init__(f"{reads.name} ({place})")
        self.reads = reads
        self.observed: list[ObservedBlock] = []
        self.areas = _selected(night.registry, reads)
        parents = {area["id"]: area["parent"] for area in night.registry["areas"]}
        self._above = {area: frozenset(_upward(area, parents)) for area in parents}
        self.connections = 0
        self._night = night
        self._place = place

    async def run(self) -> None:
        reads = self.reads
        session = self._night.seen.session(
            self._night.addresses,
            self._place,
            "feed",
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=SILENCE_S),
        )
        async with (
            session,
            Subscriber(
                FEED,
                self._night.election,
                levels=reads.levels,
                areas=reads.areas,
                every_s=reads.every_s,
                gzip=reads.gzip,
                session=session,
            ) as subscriber,
        ):
            async for block in subscriber.blocks():
                self.observed.append(observe(block, time.time()))
                self.sequence = block.sequence
                self.connections = subscriber.connections

    def concerns(self, municipality: str) -> bool:
        """Whether something of what it reads is above a municipality: else it hears of it by heartbeats only."""
        return not self._above[municipality].isdisjoint(self.areas)


def _upward(area: str | None, parents: dict[str, str | None]) -> Iterator[str]:
    while area is not None:
        yield area
        area = parents[area]


def _selected(registry: dict[str, Any], reads: Reads) -> frozenset[str]:
    parents = {area["id"]: area["parent"] for area in registry["areas"]}
    inner = set(parents.values())
    wanted = set(reads.areas.split(",")) if reads.areas else {COUNTRY}

    def chosen(area: dict[str, Any]) -> bool:
        return area["level"] in reads.levels.split(",") if reads.levels else area["id"] in inner

    return frozenset(
        area["id"]
        for area in registry["areas"]
        if chosen(area) and not wanted.isdisjoint(_upward(area["id"], parents))
    )


class _Stream(_Client):
    """A reader of the publication stream: each one, none skipped."""

    def __init__(self, night: Night, place: int) -> None:
        super().__init__(f"publication stream {place}")
        self.seen: list[tuple[float, int, str]] = []
        self._night = night
        self._place = place

    async def run(self) -> None:
        cursor = ""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=SILENCE_S)
        url = f"{FEED}/v1/elections/{self._night.election}/publications"
        async with self._night.seen.session(
            self._night.addresses, self._place, "publications", timeout=timeout
        ) as session:
            while True:
                headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": cursor} if cursor else {})
                try:
                    async with session.get(url, headers=headers) as response:
                        parser = EventParser()
                        while response.status == 200 and (piece := await response.content.readany()):
                            for event in parser.feed(piece):
                                publication = orjson.loads(event.data)
                                self.seen.append(
                                    (time.time(), publication["sequence"], publication["digest"])
                                )
                                self.sequence, cursor = publication["sequence"], event.id
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(0.2)
