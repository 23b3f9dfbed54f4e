"""The push door: where municipalities hand in their counts, over HTTP and WebSocket.

Knows the writers of the elections and nothing of who reads. Every request with a body is bounded in size and time,
and answered, whatever happens behind.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from gateway.config import Config
from gateway.errors import Draining, ElectionUnknown, JournalUnavailable, Overloaded
from gateway.journal.admission import CreditBank
from gateway.journal.elections import Elections, Standing, Token
from gateway.journal.postgres import PostgresJournal
from gateway.journal.writer import BatchWriter, Waiting
from gateway.telemetry import tracing
from gateway.telemetry.metrics import PushMetrics
from gateway.web.answers import Problem, bodiless, harden, jittered_s, json_response, problems
from gateway.web.connections import Connections, Tally, deliver
from gateway.web.health import add_health
from gateway.web.push_body import BODY_MAX, REPORTS_MAX, Body
from gateway.web.push_reading import report_document, transfers_document
from gateway.web.push_request import (
    ANSWER_RESERVE,
    ANSWERS_MAX,
    BODIES_MAX,
    BODY_RESERVE,
    CHECK_S,
    Gathering,
    Patience,
    Room,
    expect_later,
    judge_all,
    prepare,
    receive,
    respond,
    respond_single,
    take_apart,
)
from gateway.web.push_socket import PushSocket
from gateway.web.queries import known_queries
from gateway.web.sender_allowance import Allowances
from gateway.web.shares import SharedBytes
from gateway.web.turns import Turns, Work
from gateway.wire.session import SUBPROTOCOL

READS_MAX = 4
"""Reports that one token may be reading back at once, per push process."""
TRANSFERS_MAX = 1
"""Documents of all its transfers, likewise: each may take some hundredths of a second of this process."""
SMALL_BODY = 32 << 10
"""Bytes of a body that is taken for less than a batch until it is read."""
ANSWER_RESULT_S = 5e-6
"""Seconds that writing one result of an answer takes, about."""
_PRIVATE = {"Cache-Control": "private, no-store"}


class OpenElection:
    """An election as this door serves it: how it stands, its writer, its sockets and their credit."""

    def __init__(self, standing: Standing, writer: BatchWriter, bank: CreditBank) -> None:
        self.standing = standing
        self.writer = writer
        self.bank = bank
        self.sockets: set[PushSocket] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self, socket: PushSocket) -> None:
        """Count a socket in; the others hear of it where their credit shrinks."""
        fair = self.bank.fair
        self.bank.enter(socket, socket.token.key)
        all_less = self.bank.fair != fair
        for other in self.sockets:
            if all_less or other.token.key == socket.token.key:
                other.announce()
        self.sockets.add(socket)
        self._empty.clear()

    def leave(self, socket: PushSocket) -> None:
        """Count a socket out; what it handed on stays under credit until it is answered."""
        self.bank.leave(socket)
        self.sockets.discard(socket)
        if not self.sockets:
            self._empty.set()

    async def wait_empty(self) -> None:
        """Wait until no socket is open."""
        await self._empty.wait()

    def announce(self) -> None:
        """Have every socket told its credit."""
        for socket in self.sockets:
            socket.announce()


class PushDoor:
    """The routes of the push door, and what they share. Invariants:

    * A request is handed to the writer whole or not at all, and its reports in the order sent.
    * After `drain` nothing new is handed on, and no writer is started: nobody would end it.
    * What one sender has under way at once is bounded, from the head of a request until its answer is taken: requests,
      bytes of bodies, bytes of answers. What computing its requests take is done in its turn.
    """

    def __init__(
        self,
        config: Config,
        journal: PostgresJournal,
        metrics: PushMetrics,
        connections: Connections,
        start_writer: Callable[[BatchWriter], None],
    ) -> None:
        self._config = config
        self._journal = journal
        self._metrics = metrics
        self._connections = connections
        self._start_writer = start_writer
        self._sockets_of = Tally(config.sockets_per_sender)
        self._allowances = Allowances()
        self._requests_of = Tally(config.requests_per_sender)
        self._reads_of = Tally(READS_MAX)
        self._transfers_of = Tally(TRANSFERS_MAX)
        self._bodies = SharedBytes(BODIES_MAX, BODY_RESERVE)
        self._answers = SharedBytes(ANSWERS_MAX, ANSWER_RESERVE)
        self._turns = Turns()
        self._patience = Patience()
        self._open: dict[str, OpenElection] = {}
        self._contacts: dict[int, datetime] = {}
        self._draining = False
        self.elections = Elections(journal, self._renewed)

    def application(self, ready: Callable[[], bool]) -> web.Application:
        """Return the routes."""
        noting = problems(self._metrics.problems.note)
        application = web.Application(middlewares=[noting, bodiless, known_queries], client_max_size=BODY_MAX)
        application.on_response_prepare.append(harden)
        reports = "/v1/elections/{election}/reports"
        application.router.add_post(reports, self.post_reports, expect_handler=expect_later)
        application.router.add_get(reports + "/{unit}", self.get_report, allow_head=False)
        application.router.add_get("/v1/elections/{election}/transfers", self.get_transfers, allow_head=False)
        application.router.add_get("/v1/elections/{election}/push", self.get_push, allow_head=False)
        add_health(application, ready)
        return application

    # Elections as they come and change.

    def _renewed(self, standing: Standing) -> None:
        held = self._open.get(standing.id)
        if held is not None:
            held.standing = standing
            held.writer.follow(standing)
            now = datetime.now(UTC)
            for socket in held.sockets:
                token = standing.holds(socket.token.key, now)
                if token is None:
                    socket.end(1008, "the token does not hold any more")
                else:
                    socket.token = token
            return
        if self._draining:
            return
        writer = BatchWriter(
            self._journal,
            standing,
            lambda: self.elections.renew(standing.id),
            self._metrics,
            pending_max=self._config.pending_max,
            batch_max=self._config.batch_max,
            on_availability=lambda available: self._available(standing.id, available),
        )
        bank = CreditBank(self._config.credit_max, writer.room)
        self._open[standing.id] = OpenElection(standing, writer, bank)
        self._start_writer(writer)

    def _available(self, election: str, available: bool) -> None:
        held = self._open[election]
        if available:
            held.bank.open()
        else:
            held.bank.close()
        held.announce()

    def nudge(self, election: str) -> None:
        """Have an append made for an election, if it is known here."""
        if (held := self._open.get(election)) is not None:
            held.writer.nudge()

    def refresh_gauges(self) -> None:
        """Set the metrics that are counted only when asked for."""
        self._metrics.connections.set(len(self._connections))
        self._metrics.sockets.set(sum(len(held.sockets) for held in self._open.values()))
        self._metrics.waiting.set(sum(len(held.writer.room) for held in self._open.values()))
        self._metrics.room.set(sum(held.writer.room.capacity for held in self._open.values()))
        oldest = [held.writer.oldest_at for held in self._open.values()]
        waiting_since = min((each for each in oldest if each is not None), default=None)
        self._metrics.oldest_waiting.set(
            (datetime.now(UTC) - waiting_since).total_seconds() if waiting_since is not None else 0.0
        )
        self._metrics.bodies.set(self._bodies.total)
        self._metrics.unread.set(self._answers.total)
        self._metrics.turns.set(len(self._turns))
        self._metrics.available.set(all(held.writer.available for held in self._open.values()))

    def released(self) -> set[str]:
        """Return the elections that are known to be released."""
        return {election for election, held in self._open.items() if held.writer.released}

    async def run(self) -> None:
        """Do the door's chores until cancelled: embargoes that pass, patience, credit, expired tokens, contacts."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self.elections.run(), name="elections")
            parts.create_task(self._lift_embargoes(), name="embargoes")
            parts.create_task(self._tend(), name="requests and sockets")
            parts.create_task(self._tell_contacts(), name="contacts")

    async def _lift_embargoes(self) -> None:
        """Make an append at the moment each embargo ends, and each second after it until it is lifted."""
        while True:
            now = datetime.now(UTC)
            wait_s = 1.0
            for held in self._open.values():
                if held.writer.released:
                    continue
                left_s = (held.standing.publish_from - now).total_seconds()
                if left_s <= 0:
                    held.writer.nudge()
                else:
                    wait_s = min(wait_s, left_s)
            await asyncio.sleep(max(wait_s, 0.001))

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._allowances.prune(perf_counter())
            self._patience.pass_time(1.0)
            now = datetime.now(UTC)
            for held in self._open.values():
                for socket in list(held.sockets):
                    socket.look(asyncio.get_running_loop().time())
                    if socket.token.expired(now):
                        socket.end(1008, "the token has expired")
                    elif held.bank.held(socket) != held.bank.fair_of(socket):
                        socket.announce()

    async def _tell_contacts(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self._keep_contacts()

    async def _keep_contacts(self) -> None:
        seen, self._contacts = self._contacts, {}
        if seen:
            try:
                await self._journal.record_contacts(seen)
            except JournalUnavailable:
                self._contacts = seen | self._contacts

    def drain(self) -> None:
        """Refuse what is new; the writers answer what waits and end."""
        self._draining = True
        for held in self._open.values():
            held.writer.close()

    async def say_goodbye(self) -> None:
        """Tell every socket when to come back, and wait until all are closed."""
        for held in self._open.values():
            for socket in held.sockets:
                socket.say_goodbye(jittered_s(max(1.0, self._config.drain_s)))
        for held in self._open.values():
            await held.wait_empty()

    # Who asks.

    async def _authenticate(self, request: web.Request) -> tuple[OpenElection, Token]:
        """Return the election and the sender's token. Raises Problem.

        Whoever is let in is let in before `say_goodbye`, or it would not hear it.
        """
        self._require_open()
        election = request.match_info["election"]
        kind, _, secret = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        try:
            standing = await self.elections.standing(election)
            if kind.lower() != "bearer" or not secret.strip():
                raise Problem(
                    401,
                    "token_missing",
                    "send Authorization: Bearer …",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            standing, token = await self.elections.authenticate(election, secret.strip())
        except ElectionUnknown as error:
            raise Problem(404, error.code, "no election of that name") from None
        except JournalUnavailable as error:
            raise Problem(503, error.code, error.reason, retry_after_s=1.0) from error
        if token is None:
            raise _token_invalid()
        self._require_open()
        self._contacts[token.key] = datetime.now(UTC)
        self._connections.prove(request, str(token.key))
        return self._open[standing.id], token

    def _require_open(self) -> None:
        """Raise Problem once the door drains."""
        if self._draining:
            raise Problem(503, Draining.code, "this process is about to end", retry_after_s=1.0)

    async def _confirm(self, held: OpenElection, token: Token) -> Token:
        """Return the token as it stands in Postgres now; what is read back must not rest on a copy."""
        with _answering():
            await self.elections.look()
        return _still_held(held.standing, token)

    # The routes.

    async def post_reports(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/elections/{election}/reports`: one report, an array, or a report a line."""
        held, token = await self._authenticate(request)
        _require_sender(token)
        with (
            self._underway(held, token, request.content_length),
            tracing.span("push", election=held.standing.id),
            Room(self._answers, token.key, "unread answers") as unread,
        ):
            unread.check()
            answer = await self._decided(held, token, request, unread)
            unread.settle(size_of(answer))
            return await deliver(request, answer)

    async def _decided(
        self, held: OpenElection, token: Token, request: web.Request, unread: Room
    ) -> web.Response:
        """Read a request, have its reports decided and return the answer. Raises Problem."""
        with Room(self._bodies, token.key, "bodies of requests") as room:
            packed = await receive(request, room)
            received_at = datetime.now(UTC)
            async with self._turns.work(token.key, CHECK_S * len(packed.content)) as work:
                body = await work.run(take_apart(packed, room))
                del packed  # it is not needed any more, and large
                gathering, waiting = await self._judge(held, token, body, received_at, work)
                unread.grow(
                    gathering.answer_size()
                )  # before anything is handed on, so that no receipt is lost
                if waiting:
                    self._submit(held, token, waiting)
            outcomes = await gathering.decided(self._patience)
        rehearsal = held.standing.registry.rehearsal
        if body.single:
            self._metrics.answered(outcomes[0])
            return respond_single(outcomes[0], rehearsal=rehearsal)
        steps = respond(outcomes, self._metrics.answered, rehearsal=rehearsal)
        async with self._turns.work(token.key, ANSWER_RESULT_S * len(outcomes)) as work:
            return await work.run(steps)

    def _underway(self, held: OpenElection, token: Token, size: int | None) -> "_Counted":
        """Count a request of a sender; raise Problem, before its body is read, where it could not be taken."""
        _require_available(held)
        room = held.writer.room
        at_most = 1 if size is not None and size <= SMALL_BODY else REPORTS_MAX
        try:
            room.check(token.key, 1, held.bank.promised, at_most=at_most)
        except Overloaded as error:
            raise _overloaded(error) from None
        detail = f"{self._config.requests_per_sender} requests of this token are under way already"
        return _Counted(self._requests_of, token, detail, room.delay_s())

    async def _judge(
        self, held: OpenElection, token: Token, body: Body, received_at: datetime, work: Work
    ) -> tuple[Gathering, list[Waiting]]:
        """Judge every report by the election as it is now, and again if it changes meanwhile.

        The valid ones are returned ready to be handed on, which has to follow without another wait.

        A body may have taken a minute to arrive, so its token is looked at anew. Raises Problem.
        """
        while True:
            standing = held.standing
            gathering = await work.run(judge_all(standing, _still_held(standing, token), body))
            waiting = await work.run(prepare(token, gathering, received_at))
            if held.standing is standing:
                return gathering, waiting

    def _submit(self, held: OpenElection, token: Token, reports: list[Waiting]) -> None:
        """Hand the valid reports to the writer, all or none. Raises Problem."""
        _require_available(held)
        try:
            held.writer.room.admit(token.key, len(reports), held.bank.promised)
            for waiting in reports:
                held.writer.submit(waiting, credited=False)
        except Overloaded as error:
            raise _overloaded(error) from None
        except Draining as error:
            raise Problem(503, error.code, str(error), retry_after_s=1.0) from None

    async def get_report(self, request: web.Request) -> web.StreamResponse:
        """`GET …/reports/{unit}`: the unit's current report and receipt, for its own token."""
        held, token = await self._authenticate(request)
        with _Counted(self._reads_of, token, "this token reads back enough at once"):
            token = await self._confirm(held, token)
            unit = request.match_info["unit"]
            with _answering():
                document = await report_document(self._journal, held.standing, token, unit)
            return await self._deliver(request, token, json_response(document, headers=_PRIVATE))

    async def get_transfers(self, request: web.Request) -> web.StreamResponse:
        """`GET …/transfers`: where the counts of the token's own municipalities are, embargoed ones too."""
        held, token = await self._authenticate(request)
        with _Counted(self._transfers_of, token, "this token reads its transfers already"):
            token = await self._confirm(held, token)
            await self._keep_contacts()
            with _answering():
                document = await transfers_document(self._journal, held.standing, token)
            return await self._deliver(request, token, json_response(document, headers=_PRIVATE))

    async def _deliver(self, request: web.Request, token: Token, answer: web.Response) -> web.StreamResponse:
        """Deliver an answer that counts among its sender's until it is taken. Raises Problem."""
        with Room(self._answers, token.key, "unread answers") as unread:
            unread.grow(size_of(answer))
            return await deliver(request, answer)

    async def get_push(self, request: web.Request) -> web.StreamResponse:
        """`GET …/push`: the WebSocket."""
        held, token = await self._authenticate(request)
        _require_sender(token)
        if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
            raise Problem(426, "upgrade_required", "this is a WebSocket", headers={"Upgrade": "websocket"})
        offered = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "")
        if SUBPROTOCOL not in [name.strip() for name in offered.split(",")]:
            raise Problem(400, "subprotocol_missing", f"offer the subprotocol {SUBPROTOCOL}")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and not _is_of(request.host, origin):
            raise Problem(403, "origin_forbidden", "pages of another origin may not push")
        name = str(token.key)
        if self._sockets_of.full(name):
            detail = f"this token has {self._config.sockets_per_sender} WebSockets open already"
            raise Problem(429, "too_many_connections", detail, retry_after_s=5.0)
        allowance = self._allowances.enter(token.key)
        socket = PushSocket(lambda: held.standing, token, held.writer, held.bank, self._metrics, allowance)
        held.enter(socket)
        self._sockets_of.enter(name)
        try:
            return await socket.serve(request)
        finally:
            held.leave(socket)
            self._sockets_of.leave(name)
            self._allowances.leave(token.key)


class _Counted:
    """What a sender has under way, counted while entered. Raises Problem where it is as much as may be."""

    __slots__ = ("_name", "_tally")  # a class and no generator: a request goes through it every 100 µs

    def __init__(self, tally: Tally, token: Token, detail: str, retry_after_s: float = 1.0) -> None:
        self._tally = tally
        self._name = str(token.key)
        if tally.full(self._name):
            raise Problem(429, Overloaded.code, detail, retry_after_s=retry_after_s)

    def __enter__(self) -> None:
        self._tally.enter(self._name)

    def __exit__(self, *_: object) -> None:
        self._tally.leave(self._name)


@contextmanager
def _answering() -> Iterator[None]:
    """Turn a journal that does not answer into a problem."""
    try:
        yield
    except JournalUnavailable as error:
        raise Problem(503, error.code, error.reason, retry_after_s=1.0) from error


def size_of(answer: web.Response) -> int:
    """Return the bytes of an answer's body."""
    return len(answer.body) if isinstance(answer.body, bytes) else 0


def _overloaded(error: Overloaded) -> Problem:
    status = 429 if error.share else 503
    return Problem(status, error.code, str(error), retry_after_s=error.retry_after_s)


def _require_available(held: OpenElection) -> None:
    """Raise Problem while Postgres is away."""
    if not held.writer.available:
        raise Problem(503, JournalUnavailable.code, held.writer.away_reason, retry_after_s=2.0)


def _is_of(host: str, origin: str) -> bool:
    """Whether pages of `origin` come from `host`; not where it is no address at all."""
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False


def _require_sender(token: Token) -> None:
    """Raise Problem for an operator's token: it is for looking on, and cannot put counts into the record."""
    if token.role != "sender":
        raise Problem(403, "role_forbidden", f"a token of role {token.role} may not report")


def _token_invalid() -> Problem:
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return Problem(401, "token_invalid", "not a token of this election now", headers=headers)


def _still_held(standing: Standing, token: Token) -> Token:
    """Return the token as it is in this standing. Raises Problem where it does not hold any more."""
    found = standing.holds(token.key, datetime.now(UTC))
    if found is None:
        raise _token_invalid()
    return found
