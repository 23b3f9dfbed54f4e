"""The push door: its routes, and who may use them.

Two of them are transports of `journal.intake`: requests (`push_request`) and WebSockets (`push_socket`). With the
others, a sender reads back its own reports and transfers and previews files, and an operator reads the board.
"""

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import NoReturn
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock
from gateway.config import Config
from gateway.count_files.template import template
from gateway.journal.board import BoardReader
from gateway.journal.elections import Token
from gateway.journal.intake import Intake, OpenElection, require_sender
from gateway.page_composition import PUSH_PAGES
from gateway.telemetry import tracing
from gateway.telemetry.metrics import PushMetrics
from gateway.web.aiohttp_connection import DirectRequest, connection_of
from gateway.web.answers import JSON, Problem, json_response
from gateway.web.concurrency_limit import ConcurrencyLimit
from gateway.web.connections import Connections
from gateway.web.health import add_health
from gateway.web.middleware import add_security_headers, problem_documents, refuse_bodies
from gateway.web.pages import add_pages
from gateway.web.push_board import BoardDocuments
from gateway.web.push_body import BODY_MAX
from gateway.web.push_holds import PushHolds, require_operator, state_of
from gateway.web.push_own_reports import own_reports
from gateway.web.push_previews import PushPreviews
from gateway.web.push_reading import report_document, transfers_document
from gateway.web.push_receiving import expect_later
from gateway.web.push_request import Counted, PushRequests
from gateway.web.push_rules import PushRules
from gateway.web.push_socket import PushSocket
from gateway.web.queries import check_queries
from gateway.web.sender_allowance import Allowances
from gateway.web.socket_turns import SocketTurns
from gateway.wire import csv_text
from gateway.wire.session import SUBPROTOCOL

READS_MAX = 4
"""Reports that one token may be reading back at once, per push process."""
TRANSFERS_MAX = 1
"""Likewise, documents of all its transfers, or of all its reports; each may take some hundredths of a second."""
TICK_S = 1.0
"""How often the deadlines of waiting requests are checked, in seconds."""
BOARDS_MAX = 4
"""Likewise, boards; requests at the same time get the same one."""
HOLDS_MAX = 2
"""Lists of holds, and of rules, likewise."""
DECISIONS_MAX = 1
"""Decisions and changes of the rules, likewise: each of them locks the head of the record."""
_PRIVATE = {"Cache-Control": "private, no-store"}
_ELECTION, _REPORTS = "/v1/elections/", "/reports"


class PushDoor:
    """The routes of the push door.

    Invariant: every request is authenticated first, and limited per sender, except for the web pages and health. Their
    answers are made before the first request, and their connections are treated like those with invalid tokens.
    """

    def __init__(
        self,
        config: Config,
        intake: Intake,
        metrics: PushMetrics,
        connections: Connections,
        boards: BoardReader,
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        self._config = config
        self._intake = intake
        self._metrics = metrics
        self._connections = connections
        self._clock = clock
        self._chance = chance
        self._requests = PushRequests(config.requests_per_sender, metrics, clock=clock, chance=chance)
        self._sockets_of = ConcurrencyLimit(config.sockets_per_sender)
        self._allowances = Allowances()
        self._turns = SocketTurns(clock=clock)
        self._reads_of = ConcurrencyLimit(READS_MAX)
        self._transfers_of = ConcurrencyLimit(TRANSFERS_MAX)
        self._own_reports_of = ConcurrencyLimit(TRANSFERS_MAX)
        self._previews = PushPreviews(intake, self._requests.bodies, clock=clock)
        self._boards_of = ConcurrencyLimit(BOARDS_MAX)
        self._boards = BoardDocuments(boards, config.silent_after_s)
        self._holds_of = ConcurrencyLimit(HOLDS_MAX)
        self._decisions_of = ConcurrencyLimit(DECISIONS_MAX)
        self._holds = PushHolds(intake, self._requests.bodies, self._requests.turns, clock=clock)
        self._rules = PushRules(intake, self._requests.bodies)

    def application(self, ready: Callable[[], bool]) -> web.Application:
        """Return the routes."""
        problems = problem_documents(self._metrics.problems.note, self._note_refused, chance=self._chance)
        middlewares = [problems, refuse_bodies, check_queries]
        application = web.Application(middlewares=middlewares, client_max_size=BODY_MAX)
        application.on_response_prepare.append(add_security_headers)
        reports = "/v1/elections/{election}/reports"
        application.router.add_post(reports, self.post_reports, expect_handler=expect_later)
        application.router.add_get(reports, self.get_reports, allow_head=False)
        application.router.add_get(reports + "/{unit}", self.get_report, allow_head=False)
        preview = "/v1/elections/{election}/preview"
        application.router.add_post(preview, self.post_preview, expect_handler=expect_later)
        application.router.add_get("/v1/elections/{election}/template", self.get_template, allow_head=False)
        application.router.add_get("/v1/elections/{election}/transfers", self.get_transfers, allow_head=False)
        application.router.add_get("/v1/elections/{election}/board", self.get_board, allow_head=False)
        application.router.add_get("/v1/elections/{election}/holds", self.get_holds, allow_head=False)
        decisions = "/v1/elections/{election}/decisions"
        application.router.add_post(decisions, self.post_decision, expect_handler=expect_later)
        rules = "/v1/elections/{election}/rules"
        application.router.add_get(rules, self.get_rules, allow_head=False)
        application.router.add_put(rules, self.put_rules, expect_handler=expect_later)
        application.router.add_get("/v1/elections/{election}/push", self.get_push, allow_head=False)
        add_pages(application, PUSH_PAGES)
        add_health(application, ready)
        return application

    def refresh_gauges(self) -> None:
        """Set the metrics that are counted only on request."""
        self._metrics.connections.set(len(self._connections))
        self._requests.refresh_gauges()

    async def run(self) -> NoReturn:
        """Check the deadlines of waiting requests, and drop unused allowances, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            self._allowances.prune(self._clock.monotonic())
            self._requests.pass_time(TICK_S)
            self._previews.files.prune()

    async def post_reports(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/elections/{election}/reports`: one report, an array, or one report per line."""
        election, token = await self._authenticate(request)
        require_sender(token)
        return await self._requests.answer(request, election, token)

    def take(self, request: DirectRequest) -> bool:
        """Answer a push request as `post_reports` does, but directly, if that is possible; see `PushRequests.take`.

        Return False otherwise: the application answers it. No election has an identifier that is escaped in a path.
        """
        path, headers = request.path, request.headers
        if not path.startswith(_ELECTION) or not path.endswith(_REPORTS):
            return False
        if headers.get(hdrs.CONTENT_TYPE) != JSON:
            return False
        if hdrs.CONTENT_ENCODING in headers or hdrs.EXPECT in headers or tracing.HEADER in headers:
            return False
        known = self._intake.known_sender(path[len(_ELECTION) : -len(_REPORTS)], _secret_of(headers))
        if known is None or known[1].role != "sender" or tracing.exporting():
            return False
        election, token = known
        self._connections.authenticate(request.connection, token.key)
        return self._requests.take(request, election, token)

    async def get_reports(self, request: web.Request) -> web.StreamResponse:
        """`GET …/reports`: the token's own units, with the state of each, including embargoed reports."""
        election, token = await self._authenticate(request)
        with Counted(self._own_reports_of, token, "too many concurrent reads of all reports for this token"):
            token = await self._intake.confirm_token(election, token)
            turns = self._requests.turns
            document = await own_reports(self._intake.journal, election.current, token, turns)
            return await self._deliver_json(request, token, document)

    async def get_template(self, request: web.Request) -> web.StreamResponse:
        """`GET …/template`: an empty table of the token's own units, to fill in with a spreadsheet."""
        election, token = await self._authenticate(request)
        with Counted(self._own_reports_of, token, "too many concurrent reads of all reports for this token"):
            token = await self._intake.confirm_token(election, token)
            registry = election.current.registry
            table = template(registry, sorted(token.areas & registry.by_id.keys())).encode()
            headers = {**_PRIVATE, "Content-Disposition": 'attachment; filename="counts.csv"'}
            response = web.Response(
                body=table, content_type=csv_text.MEDIA_TYPE, charset="utf-8", headers=headers
            )
            return await self._requests.deliver(request, token, response)

    async def post_preview(self, request: web.Request) -> web.StreamResponse:
        """`POST …/preview`: what a file with counts contains, compared with the current reports."""
        election, token = await self._authenticate(request)
        require_sender(token)
        document = await self._previews.answer(request, election, token)
        return await self._deliver_json(request, token, document)

    async def get_report(self, request: web.Request) -> web.StreamResponse:
        """`GET …/reports/{unit}`: the unit's newest report and receipt, for its own token."""
        election, token = await self._authenticate(request)
        with Counted(self._reads_of, token, "too many concurrent reads for this token"):
            token = await self._intake.confirm_token(election, token)
            unit = request.match_info["unit"]
            document = await report_document(self._intake.journal, election.current, token, unit)
            return await self._requests.deliver(request, token, json_response(document, headers=_PRIVATE))

    async def get_transfers(self, request: web.Request) -> web.StreamResponse:
        """`GET …/transfers`: where the counts of the token's own municipalities are, including embargoed ones."""
        election, token = await self._authenticate(request)
        with Counted(self._transfers_of, token, "too many concurrent reads of transfers for this token"):
            token = await self._intake.confirm_token(election, token)
            await self._intake.record_contacts()
            document = await transfers_document(
                self._intake.journal, election.current, token, self._clock.now
            )
            return await self._requests.deliver(request, token, json_response(document, headers=_PRIVATE))

    async def get_board(self, request: web.Request) -> web.StreamResponse:
        """`GET …/board`: the board with the municipalities of an operator's token, also under embargo."""
        election, token = await self._authenticate(request)
        require_operator(token, "the board is")
        with Counted(self._boards_of, token, "too many concurrent reads of the board for this token"):
            token = await self._intake.confirm_token(election, token)
            return await self._deliver_json(request, token, await self._boards.read(election, token))

    async def get_holds(self, request: web.Request) -> web.StreamResponse:
        """`GET …/holds`: the held reports of an operator's areas, including under embargo."""
        election, token = await self._authenticate(request)
        require_operator(token, "holds are")
        state = state_of(request)
        with Counted(self._holds_of, token, "too many concurrent reads of holds for this token"):
            body = await self._holds.list(election, token, state)
            return await self._deliver_json(request, token, body)

    async def post_decision(self, request: web.Request) -> web.StreamResponse:
        """`POST …/decisions`: release or reject held reports of an operator's areas."""
        election, token = await self._authenticate(request)
        require_operator(token, "decisions are")
        with Counted(self._decisions_of, token, "another decision of this token is in progress"):
            body = await self._holds.decide(request, election, token)
            return await self._deliver_json(request, token, body)

    async def get_rules(self, request: web.Request) -> web.StreamResponse:
        """`GET …/rules`: the policy of the election, for operators."""
        election, token = await self._authenticate(request)
        require_operator(token, "rules are")
        with Counted(self._holds_of, token, "too many concurrent reads of rules for this token"):
            return await self._deliver_json(request, token, await self._rules.read(election, token))

    async def put_rules(self, request: web.Request) -> web.StreamResponse:
        """`PUT …/rules`: change the policy; needs an operator's token for the whole election."""
        election, token = await self._authenticate(request)
        require_operator(token, "rules are")
        with Counted(self._decisions_of, token, "another decision of this token is in progress"):
            body = await self._rules.change(request, election, token)
            return await self._deliver_json(request, token, body)

    async def _deliver_json(self, request: web.Request, token: Token, body: bytes) -> web.StreamResponse:
        response = web.Response(body=body, content_type=JSON, headers=_PRIVATE)
        return await self._requests.deliver(request, token, response)

    async def get_push(self, request: web.Request) -> web.StreamResponse:
        """`GET …/push`: the WebSocket."""
        election, token = await self._authenticate(request)
        require_sender(token)
        _check_handshake(request)
        if self._sockets_of.full(token.key):
            detail = f"this token already has {self._config.sockets_per_sender} open WebSockets"
            raise Problem(429, "too_many_connections", detail, retry_after_s=5.0)
        allowance = self._allowances.enter(token.key)

        def gone() -> None:
            election.leave(socket)
            self._sockets_of.leave(token.key)
            self._allowances.leave(token.key)

        socket = PushSocket(
            election,
            token,
            self._metrics,
            allowance,
            self._turns,
            gone,
            clock=self._clock,
            chance=self._chance,
        )
        election.enter(socket)
        self._sockets_of.enter(token.key)
        await socket.open(request)
        return web.Response(status=101)  # it is not written: the connection is the socket's

    async def _authenticate(self, request: web.Request) -> tuple[OpenElection, Token]:
        """Return the election and the sender's token, see `Intake.authenticate`."""
        secret = _secret_of(request.headers)
        election, token = await self._intake.authenticate(request.match_info["election"], secret)
        if (connection := connection_of(request)) is not None:
            self._connections.authenticate(connection, token.key)
        return election, token

    def _note_refused(self, request: web.Request, status: int, code: str) -> None:
        """Count a refused request that brings counts or opens the WebSocket, or any without a valid token."""
        election = request.match_info.get("election")
        if election is not None and (status == 401 or (status < 500 and _is_push(request))):
            self._intake.note_refused_request(election, _secret_of(request.headers), code)


def _is_push(request: web.Request) -> bool:
    """Whether a request brings counts, or asks for the WebSocket that does."""
    if request.path.endswith("/decisions"):
        return False
    return request.method == hdrs.METH_POST or request.path.endswith("/push")


def _secret_of(headers: Mapping[str, str]) -> str:
    """Return the token of a request; empty if it has none."""
    kind, _, secret = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""


def _check_handshake(request: web.Request) -> None:
    """Raise Problem for a request that may not become a push WebSocket."""
    if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
        raise Problem(
            426,
            "upgrade_required",
            "this is a WebSocket; the request must ask for the upgrade",
            headers={"Upgrade": "websocket"},
        )
    offered = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "")
    if SUBPROTOCOL not in [name.strip() for name in offered.split(",")]:
        raise Problem(400, "subprotocol_missing", f"the client must offer the subprotocol {SUBPROTOCOL}")
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and not _is_of(request.host, origin):
        raise Problem(403, "origin_forbidden", "pages of another origin may not push")


def _is_of(host: str, origin: str) -> bool:
    """Whether pages of `origin` come from `host`; not if it is not an address at all."""
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False
