"""The signer of all elections: follows the record, and runs the rounds of each log in a task of its own.

It polls what is public every POLL_S. A log is signed at the interval if it has grown, and at once when it was opened,
when its embargo ended and when it was closed. What one log refuses, or what fails in it, disturbs no other one.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from gateway.backoff import Backoff
from gateway.deadline import wait_at_most
from gateway.election.log_record import LogHead
from gateway.election.record import Head
from gateway.errors import GatewayError
from gateway.journal.signing import SigningJournal
from gateway.signer.directory import SignDirectory, SignDirUnusable
from gateway.signer.log_signer import LogSigner, NoKey, describe
from gateway.signer.steps import Covered, NoLog, Outcome, RecordRefused
from gateway.signer.witness_client import Witness
from gateway.telemetry.logs import Outage
from gateway.telemetry.signer_metrics import LogState

POLL_S = 0.5
"""Seconds between two polls of what is public."""
FULL_READ_S = 600.0
"""Seconds between two reads of all entries of a log."""
REFUSED_READ_S = 10.0
"""Seconds after which everything is read again when a log was refused; then twice as many, and so on."""
COSIGN_S, COSIGN_LATER_S = 60.0, 3600.0
"""Seconds after which the witnesses are asked again: until LATER after the last publication, and from then on."""
LATER = timedelta(hours=24)
RETRY_MAX_S = 30.0
"""The longest pause after a round that failed, in seconds."""

log = structlog.get_logger()


class Timing(msgspec.Struct, frozen=True):
    """When a log is signed and read; tests have shorter times."""

    every_s: float
    full_read_s: float = FULL_READ_S
    cosign_s: float = COSIGN_S


class Signer:
    """Signs the logs of all elections of a journal, until `run` is cancelled."""

    def __init__(
        self,
        journal: SigningJournal,
        directory: SignDirectory,
        witnesses: Sequence[Witness],
        timing: Timing,
        name: str,
    ) -> None:
        """`name` names this process in the journal; the directory has to be locked."""
        self._journal = journal
        self._directory = directory
        self._witnesses = witnesses
        self._timing = timing
        self._name = name
        self._logs: dict[str, _LogTask] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._signed: set[str] = set()
        """Elections that are opened, or of which the directory has something: they may have lost their openings."""
        self._read = asyncio.Event()

    async def wait_ready(self) -> None:
        """Wait until the record was read once."""
        await self._read.wait()

    def states(self) -> dict[str, LogState]:
        """Return the state of every log that has a key, by election."""
        return {
            election: each.state(len(self._witnesses))
            for election, each in self._logs.items()
            if each.has_key
        }

    async def run(self) -> None:
        """Follow the record until cancelled."""
        outage = Outage("public record")
        self._signed = {each.election for each in await asyncio.to_thread(self._directory.logs)}
        async with asyncio.TaskGroup() as parts:
            while True:
                try:
                    logs = await self._journal.logs.heads()
                    heads = {head.id: head for head in await self._journal.record.heads()}
                except GatewayError as error:
                    outage.failed(error)
                else:
                    outage.succeeded()
                    self._update(parts, {each.id: each for each in logs}, heads)
                    self._read.set()
                await asyncio.sleep(POLL_S)

    def _update(self, parts: asyncio.TaskGroup, logs: dict[str, LogHead], heads: dict[str, Head]) -> None:
        for election in self._logs.keys() - heads.keys():
            self._tasks.pop(election).cancel()
            del self._logs[election]
        for election in heads:
            if election not in logs and election not in self._signed:
                continue
            each = self._logs.get(election)
            if each is None:
                signer = LogSigner(election, self._journal, self._directory, self._witnesses, self._name)
                each = self._logs[election] = _LogTask(signer, self._timing)
                self._tasks[election] = parts.create_task(each.run(), name=f"log {election}")
            if election in logs:
                self._signed.add(election)
                each.update(logs[election], heads[election])


class _LogTask:
    """When the rounds of one log are due, and how they ended."""

    def __init__(self, signer: LogSigner, timing: Timing) -> None:
        self._signer = signer
        self._timing = timing
        self._wake = asyncio.Event()
        self._seen: tuple[object, ...] = ()
        self._covered: Covered | None = None
        self._polled_at = self._covered_at = time.monotonic()
        self._outcome: Outcome | GatewayError | None = None
        self._refused: str | None = None
        self._refused_read_s = REFUSED_READ_S
        self._urgent = True
        self._changed = True
        self._last_published = datetime.now(UTC)
        self._cosigned_at = -math.inf
        """When the witnesses were last asked; at a start they are, as their cosignatures may be old by then."""
        self.has_key = False

    def update(self, head: LogHead, public: Head) -> None:
        """Note what is public now; wake the task if that is to be signed at once."""
        self._polled_at = time.monotonic()
        seen = (head.history, public.sequence, public.chain, head.closing is not None, head.size)
        if seen == self._seen:
            return
        self._changed = True
        covered = self._covered.signed.size if self._covered is not None else 0
        ended = covered <= 1 and public.sequence > 0
        closed = head.closing is not None and not (self._covered is not None and self._covered.closed)
        if public.sequence and self._seen:
            self._last_published = datetime.now(UTC)
        self._seen = seen
        if ended or closed or not self._covered:
            self._urgent = True
            self._wake.set()

    def state(self, witnesses: int) -> LogState:
        """Return the state for the metrics."""
        return LogState(
            time.monotonic() - self._covered_at,
            self._covered.signed.size if self._covered is not None else 0,
            self._refused,
            len(self._signer.witnesses),
            witnesses,
            self._signer.checkpoints,
        )

    async def run(self) -> None:
        """Perform rounds when they are due, until cancelled."""
        backoff = Backoff(1.0, RETRY_MAX_S)
        full_due = time.monotonic()
        try:
            while True:
                self._wake.clear()
                now = time.monotonic()
                full = now >= full_due
                pause_s = self._timing.every_s
                if full or self._is_due():
                    self._changed = self._urgent = False
                    outcome = await self._round(full)
                    if full and not isinstance(outcome, GatewayError):
                        full_due = now + self._next_full_read_s(outcome)
                    self._note(outcome)
                    if isinstance(outcome, Covered | NoLog | NoKey | RecordRefused):
                        backoff.reset()
                    else:
                        pause_s = min(pause_s, backoff.next())
                        self._changed = True
                else:
                    self._covered_at = self._polled_at
                await self._refresh()
                await self._wait(pause_s)
        finally:
            await self._signer.close()

    def _is_due(self) -> bool:
        """Whether a round is due at the interval."""
        unsettled = not isinstance(self._outcome, Covered)
        return self._changed or self._urgent or unsettled or self._signer.reads_again

    def _next_full_read_s(self, outcome: Outcome) -> float:
        """Return in how many seconds everything is read again; sooner while the log is refused."""
        if not isinstance(outcome, RecordRefused):
            self._refused_read_s = REFUSED_READ_S
            return self._timing.full_read_s
        seconds = min(self._refused_read_s, self._timing.full_read_s)
        self._refused_read_s = 2 * seconds
        return seconds

    async def _wait(self, pause_s: float) -> None:
        await asyncio.sleep(min(pause_s, POLL_S))  # also what is urgent is signed at most twice a second
        if pause_s > POLL_S:
            await wait_at_most(self._wake, pause_s - POLL_S)

    async def _round(self, full: bool) -> Outcome | GatewayError:
        try:
            return await self._signer.round(full=full)
        except GatewayError as error:
            return error
        except Exception as error:  # an internal error in one log must not end the others
            log.exception("round failed", election=self._signer.election, error=error)
            return GatewayError(f"internal error: {type(error).__name__}")

    async def _refresh(self) -> None:
        """Ask the witnesses for fresh cosignatures, when they are due."""
        if not isinstance(self._outcome, Covered):
            return
        later = datetime.now(UTC) - self._last_published > LATER
        due_s = COSIGN_LATER_S if later else self._timing.cosign_s
        if self._covered is not None and self._covered.closed and self._all_cosigned():
            return
        if time.monotonic() - self._cosigned_at >= due_s:
            self._cosigned_at = time.monotonic()
            try:
                await self._signer.refresh()
            except GatewayError as error:
                log.warning("cosignatures not refreshed", election=self._signer.election, error=str(error))

    def _all_cosigned(self) -> bool:
        return len(self._signer.witnesses) == self._signer.witnesses_wanted

    def _note(self, outcome: Outcome | GatewayError) -> None:
        """Keep an outcome, and log it if it is another one than before."""
        refused, self._refused = self._refused, self._refusal_in(outcome)
        if isinstance(outcome, SignDirUnusable) or not isinstance(outcome, GatewayError):
            self.has_key = not isinstance(outcome, NoLog | NoKey)
        if isinstance(outcome, Covered):
            if outcome.inserted:
                self._cosigned_at = time.monotonic()
            self._covered, self._covered_at = outcome, time.monotonic()
        self._log(outcome, refused)
        self._outcome = outcome

    def _refusal_in(self, outcome: Outcome | GatewayError) -> str | None:
        """Return why nothing is signed until somebody acts; an outage of the database changes nothing about it."""
        if isinstance(outcome, RecordRefused):
            return outcome.code
        if isinstance(outcome, SignDirUnusable):
            return "sign_dir_unusable"
        if isinstance(outcome, GatewayError):
            return self._refused if outcome.retryable else "failed"
        return None

    def _log(self, outcome: Outcome | GatewayError, refused: str | None) -> None:
        election = self._signer.election
        text = str(outcome) if isinstance(outcome, GatewayError) else describe(outcome)
        if isinstance(outcome, NoKey) and not isinstance(self._outcome, NoKey):
            log.info("not signed", election=election, reason=outcome.reason)
        if self._refused and self._refused != refused:
            log.error("nothing is signed", election=election, code=self._refused, reason=text)
        elif refused and not self._refused:
            log.info("signed again", election=election)
        elif isinstance(outcome, GatewayError) and not self._refused:
            log.warning("round not completed", election=election, reason=text)
