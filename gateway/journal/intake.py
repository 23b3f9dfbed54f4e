"""Intake: everything about accepting reports, whatever transport they arrive over.

A transport authenticates its sender here, has each report checked by the current version of the election, and submits
the valid ones. Every report submitted gets one outcome. There are two ways to submit: a request is admitted as a whole
(`submit_request`), and a `Socket` submits what it has received under credit (`submit`).

Independent of HTTP, WebSockets and readers.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from random import Random
from typing import Protocol

from gateway.backoff import jittered_s
from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock
from gateway.config import Config
from gateway.election.outcome import Retry
from gateway.election.report import Report
from gateway.errors import Draining, JournalUnavailable, Overloaded, RoleForbidden, TokenInvalid, TokenMissing
from gateway.journal.admission import CreditBank
from gateway.journal.elections import Elections, ElectionVersion, Token
from gateway.journal.postgres import PostgresJournal
from gateway.journal.refusals import NO_TOKEN, Refusals
from gateway.journal.writer import BatchWriter, OutcomeReceiver, PendingReport
from gateway.telemetry.metrics import PushMetrics
from gateway.wire.board import Waiting
from gateway.wire.session import OUT_OF_ORDER

CHECK_S = 1.0
"""How often, in seconds, sockets are checked and contacts are recorded."""
UNAVAILABLE_RETRY_S = 2.0
"""After how many seconds to send a request again that was refused because Postgres is unavailable."""
RETRY_S, OUT_OF_ORDER_RETRY_S = 1.0, 0.2
"""After about how many seconds to send a report of a socket again; if it came out of order, sooner."""


class Socket(OutcomeReceiver, Protocol):
    """An open connection that submits reports under credit."""

    token: Token

    def announce_credit(self) -> None:
        """Announce the current credit to the client, and submit the reports that wait for credit."""

    def deauthorize(self, reason: str) -> None:
        """Close because the token is no longer valid, once every report submitted is answered."""

    def drain(self, retry_after_s: float) -> None:
        """Close once every report received is answered; the client may connect again after about `retry_after_s`."""

    def abort(self) -> None:
        """Close at once."""

    def check_timeouts(self, now: float) -> None:
        """Close a client that does not respond in time; `now` is the time of the event loop."""


class OpenElection:
    """An election as this process accepts reports for it: its current version, its writer, and sockets under credit."""

    def __init__(
        self,
        current: ElectionVersion,
        writer: BatchWriter,
        bank: CreditBank,
        refusals: Refusals,
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        self.current = current
        self.writer = writer
        self.bank = bank
        self._refusals = refusals
        self._clock = clock
        self._chance = chance
        self.sockets: dict[Socket, None] = {}
        """The open sockets, in the order in which they entered."""
        self._empty = asyncio.Event()
        self._empty.set()

    def current_token(self, token: Token) -> Token:
        """Return the token as the current version of the election has it. Raises TokenInvalid."""
        found = self.current.valid_token(token.key, self._clock.now())
        if found is None:
            raise TokenInvalid("the token is not valid for this election")
        return found

    def note_refusal(self, token: Token, code: str) -> None:
        """Count a report of this token that was refused."""
        self._refusals.note(self.current.key, token.key, code)

    def waiting(self) -> Waiting:
        """Return the reports that this process has received and not answered."""
        oldest_at = self.writer.oldest_at
        oldest_s = None if oldest_at is None else max(0.0, (self._clock.now() - oldest_at).total_seconds())
        return Waiting(self.writer.waiting, oldest_s)

    # Requests.

    def check_room(self, token: Token, at_most: int) -> None:
        """Check, before a request is read, that it could be submitted; it has at most `at_most` reports.

        Raises JournalUnavailable and Overloaded.
        """
        self._require_available()
        self.writer.room.check(token.key, 1, self.bank.promised, at_most=at_most)

    def submit_request(self, token: Token, reports: Sequence[PendingReport]) -> None:
        """Submit the reports of a request in this order, all or none.

        Raises JournalUnavailable, Overloaded and Draining.
        """
        self._require_available()
        self.writer.room.admit(token.key, len(reports), self.bank.promised)
        self.writer.submit(token.key, reports, credited=False)

    def _require_available(self) -> None:
        if not self.writer.available:
            raise JournalUnavailable.because(self.writer.unavailable_reason, UNAVAILABLE_RETRY_S)

    # Sockets.

    def submit(self, socket: Socket, reports: Sequence[PendingReport]) -> str | None:
        """Submit reports of a socket in this order, under credit; `socket.resolve` takes their outcomes later.

        If they cannot be submitted now, return why: the code of the `retry` with which the socket answers each.
        """
        if not self.writer.available:
            return JournalUnavailable.code
        try:
            self.writer.submit(socket.token.key, reports, credited=True)
        except (Draining, Overloaded) as error:
            return error.code
        self.bank.submitted(socket, len(reports))
        return None

    def retry(self, report: Report, code: str) -> Retry:
        """Return the outcome of a report that could not be submitted."""
        return Retry(code, jittered_s(RETRY_S, chance=self._chance), report.unit, report.revision)

    def retry_out_of_order(self, report: Report) -> Retry:
        """Return the outcome of a report whose client may not have read a `retry` for an earlier revision of its unit.

        See `RetryFence`.
        """
        after_s = jittered_s(OUT_OF_ORDER_RETRY_S, chance=self._chance)
        return Retry(OUT_OF_ORDER, after_s, report.unit, report.revision)

    def enter(self, socket: Socket) -> None:
        """Add a socket, and announce the credit of those others whose credit shrinks."""
        fair = self.bank.fair
        self.bank.enter(socket, socket.token.key)
        all_less = self.bank.fair != fair
        for other in self.sockets:
            if all_less or other.token.key == socket.token.key:
                other.announce_credit()
        self.sockets[socket] = None
        self._empty.clear()

    def leave(self, socket: Socket) -> None:
        """Remove a socket; what it submitted stays under credit until it is answered."""
        self.bank.leave(socket)
        self.sockets.pop(socket, None)
        if not self.sockets:
            self._empty.set()

    async def wait_empty(self) -> None:
        """Wait until no socket is open."""
        await self._empty.wait()

    def set_available(self, available: bool) -> None:
        """Give credit while Postgres is available, and none while it is not."""
        if available:
            self.bank.open()
        else:
            self.bank.close()
        for socket in self.sockets:
            socket.announce_credit()

    def renew(self, version: ElectionVersion) -> None:
        """Follow a new version of the election; sockets whose token is no longer valid are closed."""
        self.current = version
        self.writer.follow(version)
        now = self._clock.now()
        for socket in list(self.sockets):
            token = version.valid_token(socket.token.key, now)
            if token is None:
                socket.deauthorize("the token is no longer valid")
            else:
                socket.token = token

    def check_sockets(self, now: datetime) -> None:
        """Close sockets that time out or whose token has expired, and announce credit that has changed."""
        loop_time = asyncio.get_running_loop().time()
        for socket in list(self.sockets):
            socket.check_timeouts(loop_time)
            if socket.token.expired(now):
                socket.deauthorize("the token has expired")
            elif self.bank.credit(socket) != self.bank.fair_of(socket):
                socket.announce_credit()


def require_sender(token: Token) -> None:
    """Raise RoleForbidden for an operator's token: it may read, but not push reports."""
    if token.role != "sender":
        raise RoleForbidden(f"a token of role {token.role} may not push reports")


class Intake:
    """Accepts reports for all elections of one process. Invariants:

    * After `drain` no sender is admitted and no writer is started, since nothing would end it.
    * An append is made for an election when its embargo ends, whether or not reports arrive.
    """

    def __init__(
        self,
        config: Config,
        journal: PostgresJournal,
        metrics: PushMetrics,
        start_writer: Callable[[BatchWriter], None],
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        self.journal = journal
        self.elections = Elections(journal, self._renewed, clock=clock)
        self._clock = clock
        self._chance = chance
        self._config = config
        self._metrics = metrics
        self._start_writer = start_writer
        self._open: dict[str, OpenElection] = {}
        self._contacts: dict[int, datetime] = {}
        self.refusals = Refusals(clock=clock)
        self._draining = False

    def _renewed(self, version: ElectionVersion) -> None:
        election = self._open.get(version.id)
        if election is not None:
            election.renew(version)
        elif not self._draining:
            self._begin(version)

    def _begin(self, version: ElectionVersion) -> None:
        """Accept reports for an election from now on."""

        def set_available(available: bool) -> None:
            self._open[version.id].set_available(available)

        writer = BatchWriter(
            self.journal,
            version,
            lambda: self.elections.renew(version.id),
            self._metrics,
            pending_max=self._config.pending_max,
            batch_max=self._config.batch_max,
            on_availability=set_available,
            clock=self._clock,
        )
        bank = CreditBank(self._config.credit_max, writer.room)
        self._open[version.id] = OpenElection(
            version, writer, bank, self.refusals, clock=self._clock, chance=self._chance
        )
        self._start_writer(writer)

    # Senders.

    async def authenticate(self, election: str, secret: str) -> tuple[OpenElection, Token]:
        """Return an election and the token of a sender; `secret` is empty where none was sent.

        A sender that is admitted is admitted before `close_sockets`, which would miss it otherwise.
        Raises Draining, ElectionUnknown, TokenMissing, TokenInvalid and JournalUnavailable.
        """
        self._require_open()
        if (known := self.known_sender(election, secret)) is not None:
            return known
        await self.elections.find(election)
        if not secret:
            raise TokenMissing("a token is required: Authorization: Bearer …")
        version, token = await self.elections.authenticate(election, secret)
        if token is None:
            raise TokenInvalid("the token is not valid for this election")
        self._require_open()
        self._contacts[token.key] = self._clock.now()
        return self._open[version.id], token

    def known_sender(self, election: str, secret: str) -> tuple[OpenElection, Token] | None:
        """Return an election and the token of a sender if both are known without asking Postgres, and not draining."""
        version = self.elections.get(election)
        if version is None or self._draining:
            return None
        now = self._clock.now()
        token = version.find_token(secret, now)
        if token is None:
            return None
        self._contacts[token.key] = now
        return self._open[election], token

    def note_refused_request(self, election: str, secret: str, code: str) -> None:
        """Count a refused request; `secret` is its token, which may be expired, unknown, or empty."""
        version = self.elections.get(election)
        if version is not None:
            self.refusals.note(version.key, version.holder(secret) or NO_TOKEN, code)

    async def confirm_token(self, election: OpenElection, token: Token) -> Token:
        """Return the token as Postgres has it now: what a sender reads back must not depend on a cached token.

        Raises TokenInvalid and JournalUnavailable.
        """
        await self.elections.refresh()
        return election.current_token(token)

    async def record_contacts(self) -> None:
        """Record when each token was last used; while Postgres is unavailable, keep it for the next time."""
        seen, self._contacts = self._contacts, {}
        if seen:
            try:
                await self.journal.record_contacts(seen)
            except JournalUnavailable:
                self._contacts = seen | self._contacts

    def _require_open(self) -> None:
        if self._draining:
            raise Draining("this process is shutting down")

    # The life of the process.

    async def run(self) -> None:
        """Follow the elections, end embargoes, check sockets and record contacts until cancelled."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self.elections.run(), name="elections")
            parts.create_task(self._end_embargoes(), name="embargoes")
            parts.create_task(self._check_sockets(), name="sockets")
            parts.create_task(self._record_contacts(), name="contacts")

    async def _end_embargoes(self) -> None:
        """Make an append at the moment each embargo ends, and each second after it until the election is released."""
        while True:
            now = self._clock.now()
            wait_s = 1.0
            for election in self._open.values():
                if election.writer.released:
                    continue
                left_s = (election.current.publish_from - now).total_seconds()
                if left_s <= 0:
                    election.writer.request_append()
                else:
                    wait_s = min(wait_s, left_s)
            await asyncio.sleep(max(wait_s, 0.001))

    async def _check_sockets(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            now = self._clock.now()
            for election in self._open.values():
                election.check_sockets(now)

    async def _record_contacts(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            await self.record_contacts()

    def request_append(self, election: str) -> None:
        """Request an append for an election, if it is known here, even if no report waits."""
        if (known := self._open.get(election)) is not None:
            known.writer.request_append()

    def drain(self) -> None:
        """Admit no more senders; the writers answer the pending reports and end."""
        self._draining = True
        for election in self._open.values():
            election.writer.close()

    async def close_sockets(self, retry_after_s: float) -> None:
        """Ask every client to connect again after about `retry_after_s`, and wait until all sockets are closed.

        Those that are open when this is cancelled are closed at once.
        """
        elections = list(self._open.values())
        for election in elections:
            for socket in list(election.sockets):
                socket.drain(retry_after_s)
        try:
            for election in elections:
                await election.wait_empty()
        finally:
            for election in elections:
                for socket in list(election.sockets):
                    socket.abort()

    def waiting(self) -> dict[int, Waiting]:
        """Return the waiting reports of each election, by its key in the journal."""
        return {election.current.key: election.waiting() for election in self._open.values()}

    # Metrics.

    def released(self) -> set[str]:
        """Return the elections that are known to be released."""
        return {identifier for identifier, election in self._open.items() if election.writer.released}

    def refresh_gauges(self) -> None:
        """Set the metrics that are counted only on request."""
        elections = self._open.values()
        writers = [election.writer for election in elections]
        self._metrics.sockets.set(sum(len(election.sockets) for election in elections))
        self._metrics.waiting.set(sum(writer.queued for writer in writers))
        self._metrics.room.set(sum(writer.room.capacity for writer in writers))
        oldest_at = min((at for writer in writers if (at := writer.oldest_at) is not None), default=None)
        self._metrics.oldest_waiting.set(
            (self._clock.now() - oldest_at).total_seconds() if oldest_at is not None else 0.0
        )
        self._metrics.available.set(all(writer.available for writer in writers))
