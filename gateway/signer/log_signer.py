"""Signs the log of one election: performs the steps of its rounds, and keeps what is known about it for operators."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway.election.log_record import Cosignature, LogHead, SignedCheckpoint
from gateway.election.record import Head
from gateway.errors import GatewayError, JournalUnavailable
from gateway.humanize import counted
from gateway.journal.signing import SigningJournal
from gateway.signer.cosigning import Cosigning
from gateway.signer.directory import LogKeys, SignDirectory, SignDirUnusable, SignedState
from gateway.signer.rounds import BEHIND, LogMemory, Steps, check_round, sign_round
from gateway.signer.steps import (
    AskWitnesses,
    Begin,
    Begun,
    Covered,
    Insert,
    NoLog,
    Outcome,
    ReadEntries,
    ReadLog,
    ReadSigned,
    RecordRefused,
    Shown,
    Sign,
    Signed,
    Step,
    Store,
    Submit,
    Waiting,
)
from gateway.signer.witness_client import Witness
from gateway.transparency.checkpoint import Checkpoint, open_checkpoint
from gateway.transparency.entries import parse_closing, parse_opening
from gateway.transparency.note import parse_note
from gateway.transparency.origins import Origin

MISSING_MAX_S = 60.0
"""How long, in seconds, an opening that was signed may not be shown: until it is confirmed after a failover."""

log = structlog.get_logger()


class NoKey(Waiting, frozen=True):
    """The log has no key, so it is not signed."""


class _Log:
    """One history of the election, with everything that is kept about it."""

    def __init__(self, head: LogHead, origin: Origin, cosigning: Cosigning) -> None:
        self.head = head
        self.origin = origin
        self.cosigning = cosigning
        self.memory = LogMemory()
        self.state: SignedState | None = None
        self.note: str | None = None
        """The note of the newest checkpoint in the table."""
        self.signed_at: datetime | None = None


class LogSigner:
    """Signs the newest history of one election. Invariants:

    * At most one round runs at a time, and its steps are performed in the order in which it yields them.
    * Whatever fails ends the round, and nothing else; the next one continues.
    """

    def __init__(
        self,
        election: str,
        journal: SigningJournal,
        directory: SignDirectory,
        witnesses: Sequence[Witness],
        signer: str,
        pause_s: float = 0.0,
    ) -> None:
        """`signer` names this process in the journal; `pause_s` is a pause after every page that is read."""
        self.election = election
        self._journal = journal
        self._directory = directory
        self._witnesses = witnesses
        self._signer = signer
        self._pause_s = pause_s
        self._log: _Log | None = None
        self._keys = LogKeys((), ())
        self._missing_since: float | None = None
        self.checkpoints = 0
        """How many checkpoints were inserted since the start."""

    @property
    def witnesses_wanted(self) -> int:
        """How many witnesses are asked."""
        return len(self._witnesses)

    @property
    def witnesses(self) -> list[datetime]:
        """When each witness that has cosigned the newest checkpoint did so."""
        if self._log is None or self._log.state is None:
            return []
        return self._log.cosigning.cosigned(self._log.state.signed.size)

    @property
    def reads_again(self) -> bool:
        """Whether the next round continues to read all entries again."""
        return self._log is not None and self._log.memory.rechecked is not None

    async def round(self, *, full: bool = False) -> Outcome:
        """Perform one round; with `full`, begin to read all entries again. Raises GatewayError."""
        if (found := await self._prepare()) is not None:
            return found
        assert self._log is not None
        return await self._perform(sign_round(self._log.memory, full=full), self._log)

    async def check(self) -> Outcome:
        """Read everything and check it, without changing anything. Raises GatewayError."""
        if (found := await self._prepare(creates_keys=False)) is not None:
            return found
        assert self._log is not None
        await asyncio.to_thread(self._directory.require_usable, self._log.origin)
        return await self._perform(check_round(self._log.memory), self._log)

    async def refresh(self) -> None:
        """Ask the witnesses to cosign the newest checkpoint again."""
        current = self._log
        if current is None or current.state is None or current.note is None:
            return
        signed = current.state.signed
        if signed.size <= current.memory.record.size:
            await current.cosigning.submit(signed, current.note.encode(), current.memory.record.tree)
            await current.cosigning.inserted(signed.size)

    async def close(self) -> None:
        """End all waits for witnesses."""
        if self._log is not None:
            await self._log.cosigning.close()

    async def _prepare(self, *, creates_keys: bool = True) -> Outcome | None:
        """Find the newest history and its keys; return why there is none."""
        heads = [head for head in await self._journal.logs.heads() if head.id == self.election]
        if not heads:
            return await self._without_opening(at_once=not creates_keys)
        self._missing_since = None
        head = heads[-1]
        rehearsal = parse_opening(head.opening).rehearsal
        origin = self._directory.origin(self.election, head.history, rehearsal=rehearsal)
        if self._log is None or self._log.origin != origin or self._log.head.key != head.key:
            await self.close()
            self._log = _Log(head, origin, self._cosigning(origin))
        self._log.head = head
        self._keys = await asyncio.to_thread(self._directory.keys, origin)
        if (
            not self._keys.signing
            and rehearsal
            and head.history == 1
            and head.origin is None
            and creates_keys
        ):
            await asyncio.to_thread(self._directory.create, origin)
            self._keys = await asyncio.to_thread(self._directory.keys, origin)
            log.info("key of a rehearsal created", log=str(origin), vkey=str(self._keys.vkeys[0]))
        if not self._keys.signing and head.vkeys:
            raise SignDirUnusable(
                f"{self._directory.path} has no key of {origin}, which was signed with"
                f" {', '.join(head.vkeys)}: restore this directory; if nobody has it, start a new history with"
                f" `valgnatt sign --new-history {self.election}`"
            )
        if not self._keys.signing:
            return NoKey(f"there is no key for {origin}: `valgnatt key create {self.election}` creates one")
        return None

    async def _without_opening(self, *, at_once: bool) -> Outcome:
        """Return whether the election is not opened yet, or lacks an opening that was signed.

        After a failover, an opening is not shown until it is confirmed; `at_once` does not wait for that.
        """
        signed = await asyncio.to_thread(self._directory.signed_of, self.election)
        if signed == 0:
            return NoLog()
        if self._missing_since is None:
            self._missing_since = time.monotonic()
        entries = counted(signed, "entry", "entries")
        reason = f"this signer signed {entries} of {self.election}, and the record has not even its opening"
        if at_once or time.monotonic() - self._missing_since > MISSING_MAX_S:
            return RecordRefused(BEHIND, reason)
        return Waiting(reason)

    def _cosigning(self, origin: Origin) -> Cosigning:
        async def add(cosignature: Cosignature) -> None:
            if (current := self._log) is not None and current.origin == origin:
                await self._journal.add_cosignature(current.head.key, current.head.history, cosignature)

        def ahead() -> None:
            if (current := self._log) is not None and current.origin == origin:
                current.memory.witnessed = None  # ask what it has cosigned, before more is signed

        return Cosigning(str(origin), self._witnesses, add, ahead)

    async def _perform(self, steps: Steps[Outcome], current: _Log) -> Outcome:
        """Perform the steps of a round, and return its outcome."""
        answer: Any = None
        try:
            while True:
                answer = await self._step(steps.send(answer), current)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        finally:
            steps.close()

    async def _step(self, step: Step, current: _Log) -> Any:
        match step:
            case ReadLog():
                return await self._read_log(current)
            case ReadEntries(after, most):
                return await self._read_entries(current, after, most)
            case ReadSigned():
                current.state = await asyncio.to_thread(self._directory.state, current.origin)
                return current.state.signed
            case AskWitnesses(signed):
                note = self._sign(current, signed).encode() if signed.size else None
                return await current.cosigning.known(signed, note, [*self._keys.vkeys, *self._keys.retired])
            case Begin():
                return await self._begin(current)
            case Store(signed):
                state = SignedState(signed, datetime.now(UTC))
                await asyncio.to_thread(self._directory.store, current.origin, state)
                current.state = state
            case Sign(signed):
                return self._sign(current, signed)
            case Submit(signed, note):
                await current.cosigning.submit(signed, note.encode(), current.memory.record.tree)
            case Insert(number, signed, note):
                await self._insert(current, number, signed, note)
        return None

    def _sign(self, current: _Log, signed: Signed) -> str:
        checkpoint = Checkpoint(str(current.origin), signed.size, signed.root)
        return checkpoint.signed_by(*self._keys.signing).encode().decode()

    async def _read_log(self, current: _Log) -> Shown:
        """Read the log, and then the head: the closing entry is final, so the head read after it is, too."""
        logs = await self._journal.logs.heads()
        return await self._shown(current, logs, await self._journal.record.heads())

    async def _shown(self, current: _Log, logs: Sequence[LogHead], heads: Sequence[Head]) -> Shown:
        found = [each for each in logs if each.id == self.election]
        head = next((each for each in heads if each.id == self.election), None)
        if not found or head is None or found[-1].history != current.head.history:
            raise JournalUnavailable(
                f"the log {current.origin} is not the newest of {self.election} any more"
            )
        current.head = found[-1]
        newest = await self._newest_checkpoint(current)
        closing = current.head.closing
        if closing is not None and parse_closing(closing).sequence != head.sequence:
            closing = None  # the database was replaced between the two
        foreign = newest is not None and not is_signed_by(self._keys, current.origin, newest)
        return Shown(
            current.head.opening,
            closing,
            head.sequence,
            head.chain,
            head.accepted,
            None if newest is None else Signed(newest.size, newest.root),
            foreign,
            self._is_declared(current, current.head),
        )

    async def _newest_checkpoint(self, current: _Log) -> SignedCheckpoint | None:
        head = current.head
        if head.size == 0:
            current.note = None
            return None
        found = await self._journal.logs.checkpoints(head.key, head.history, head.size - 1)
        if not found:
            return None
        current.note = found[-1].note
        return found[-1]

    async def _read_entries(self, current: _Log, after: int, most: int) -> list[bytes]:
        publications = await self._journal.record.publications(current.head.key, after, most)
        await asyncio.sleep(self._pause_s)  # other logs, and other users of the database, get their turn
        sequences = [each.sequence for each in publications]
        if sequences != list(range(after + 1, after + len(sequences) + 1)):
            raise JournalUnavailable(f"the record of {self.election} has a gap after sequence {after}")
        return [each.body for each in publications]

    async def _begin(self, current: _Log) -> Begun:
        head = current.head
        began, logs, heads = await self._journal.begin_and_read(head.key, self._signer)
        if not self._is_declared(current, head):
            declared = self._declaration(current)
            await self._journal.declare_log(head.key, head.history, began.fence, *declared)
        return Begun(began.fence, await self._shown(current, logs, heads))

    def _declaration(self, current: _Log) -> tuple[str, list[str], list[str]]:
        """Return the origin, the keys and the witnesses of the log."""
        witnesses = [str(each) for each in current.cosigning.vkeys]
        return str(current.origin), [str(each) for each in self._keys.vkeys], witnesses

    def _is_declared(self, current: _Log, head: LogHead) -> bool:
        return (head.origin, list(head.vkeys), list(head.witnesses)) == self._declaration(current)

    async def _insert(self, current: _Log, number: int, signed: Signed, note: str) -> None:
        assert current.state is not None
        at = current.state.signed_at or datetime.now(UTC)
        head = current.head
        checkpoint = SignedCheckpoint(signed.size, signed.root, at, note)
        await self._journal.insert_checkpoint(head.key, head.history, number, checkpoint)
        self.checkpoints += 1
        current.note = note
        await current.cosigning.inserted(signed.size)


def is_signed_by(keys: LogKeys, origin: Origin, checkpoint: SignedCheckpoint) -> bool:
    """Whether one of the keys of a log, also one that was retired, has signed a checkpoint."""
    try:
        opened, _ = open_checkpoint(parse_note(checkpoint.note.encode()), [*keys.vkeys, *keys.retired])
    except GatewayError:
        return False
    return opened == Checkpoint(str(origin), checkpoint.size, checkpoint.root)


def describe(outcome: Outcome) -> str:
    """Return an outcome as one line for people."""
    match outcome:
        case NoLog():
            return "not opened yet"
        case Covered(signed, closed, _):
            return f"signed up to entry {signed.size}" + (", closed" if closed else "")
        case NoKey(reason):
            return f"not signed: {reason}"
        case Waiting(reason):
            return f"waiting: {reason}"
        case _:
            return f"{outcome.code}: {outcome.reason}"
