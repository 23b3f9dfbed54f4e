"""The push door within one process: concurrent operations do not interfere with each other."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from gateway.config import Config
from gateway.election.outcome import Refusal
from gateway.election.registry_reading import read_registry
from gateway.journal.elections import Token
from gateway.journal.intake import Intake, OpenElection
from gateway.journal.postgres import ElectionRow, PostgresJournal, TokenRow
from gateway.journal.writer import BatchWriter, PendingReport
from gateway.telemetry.metrics import PushMetrics
from gateway.web import push_request
from gateway.web.connections import Connections
from gateway.web.push_answers import AnswerDeadlines, RequestOutcomes
from gateway.web.push_body import Body, Steps
from gateway.web.push_door import PushDoor
from gateway.web.push_request import check_until_current, prepare
from gateway.web.turns import Turns
from tests.journal.makers import a_registry, a_report, a_token, a_version
from tests.web.doors import SUBPROTOCOL, TIMEOUT_S

SECRET = "of a sender"


def an_intake(
    journal: PostgresJournal, start_writer: Callable[[BatchWriter], None] = lambda _: None
) -> Intake:
    """An intake whose writers are started by the test, or not at all."""
    return Intake(Config(), journal, PushMetrics(), start_writer)


def a_door(intake: Intake) -> PushDoor:
    metrics, config = PushMetrics(), Config()
    return PushDoor(config, intake, metrics, Connections(config, metrics), None)  # type: ignore[arg-type]


class DelayedJournal(PostgresJournal):
    """A journal of one election, whose answers about elections can be delayed."""

    def __init__(self) -> None:
        self.registry = read_registry(a_registry())
        self.tokens: list[TokenRow] = []
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked = asyncio.Event()

    async def versions(self) -> dict[str, tuple[int, bool]]:
        """See `PostgresJournal`."""
        self.asked.set()
        await self.answering.wait()
        return {self.registry.id: (len(self.tokens), True)}

    async def election(self, identifier: str) -> ElectionRow:
        """See `PostgresJournal`."""
        version = len(self.tokens)
        return ElectionRow(1, version, self.registry, self.registry.publish_from, True, False, self.tokens)


async def test_a_socket_that_authenticates_while_the_process_drains_is_refused() -> None:
    """Otherwise it would never be asked to close."""
    journal = DelayedJournal()
    intake = an_intake(journal)
    await intake.elections.refresh()
    journal.asked.clear()
    journal.answering.clear()
    journal.tokens.append(a_token(1, digest=hashlib.sha256(SECRET.encode()).digest()))

    async def connect(http: aiohttp.ClientSession, server: TestServer) -> int:
        url = server.make_url(f"/v1/elections/{journal.registry.id}/push")
        headers = {"Authorization": f"Bearer {SECRET}"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(url, protocols=[SUBPROTOCOL], headers=headers)
        return refused.value.status

    async with (
        asyncio.timeout(TIMEOUT_S),
        TestServer(a_door(intake).application(lambda: True)) as server,
        aiohttp.ClientSession() as http,
    ):
        connecting = asyncio.create_task(connect(http, server))
        await journal.asked.wait()
        intake.drain()
        await intake.close_sockets(1.0)
        journal.answering.set()
        assert await connecting == 503


async def test_no_writer_is_started_for_an_election_found_while_the_process_drains() -> None:
    """Nothing would close it, and the process would not end until its supervisor kills it."""
    journal, started = DelayedJournal(), list[BatchWriter]()
    intake = an_intake(journal, started.append)
    journal.answering.clear()
    async with asyncio.timeout(TIMEOUT_S):
        refreshing = asyncio.create_task(intake.elections.refresh())
        await journal.asked.wait()
        intake.drain()
        journal.answering.set()
        await refreshing
    assert [version.id for version in intake.elections.known()] == [journal.registry.id]
    assert started == []


async def test_reports_are_checked_again_if_the_election_changes_while_they_are_prepared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others have their turns meanwhile, and reports are submitted as checked by the version that is current then."""
    now = datetime.now(UTC)
    before = a_version(tokens=[a_token(1, "a")])
    after = a_version(before.registry, version=2, tokens=[a_token(1, "b")])
    writer = SimpleNamespace(follow=lambda _: None)
    election = OpenElection(before, writer, None, None)  # type: ignore[arg-type]
    token = before.valid_token(1, now)
    assert token is not None

    def changing(
        token: Token, outcomes: RequestOutcomes, received_at: datetime
    ) -> Steps[list[PendingReport]]:
        election.renew(after)
        return prepare(token, outcomes, received_at)

    monkeypatch.setattr(push_request, "prepare", changing)
    async with Turns().work(1, 0.0) as work:
        body = Body([a_report("a-1").body], single=True)
        outcomes, reports = await check_until_current(election, token, body, now, work)
    assert reports == []
    (outcome,) = await outcomes.wait(AnswerDeadlines())
    assert isinstance(outcome, Refusal)
    assert outcome.code == "unit_forbidden"
