"""The witness: one answer per submitted checkpoint. Waits for the disk, so a thread of its own runs it.

Invariants:

* Whatever it has cosigned for a log is one history: each checkpoint is consistent with all smaller ones, and no size
  has two root hashes.
* What it cosigns is in the state, on the disk, before the cosignature leaves.
* Its cosignatures of a log never go back in time.

Knows nothing of HTTP but status codes. Source: C2SP tlog-witness.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
import structlog

from gateway.errors import GatewayError
from gateway.transparency.checkpoint import Checkpoint, open_checkpoint
from gateway.transparency.cosignature import cosign, verify_cosignature
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.note import BadSignature, MalformedNote, Note, VerifierKey, parse_note
from gateway.transparency.witness_protocol import SIZE_TYPE
from gateway.witness.decision import Cosign, Kept, Refuse, decide
from gateway.witness.logs import Log
from gateway.witness.state import NOTE_MAX, CosignedCheckpoint, Evidence, State
from gateway.witness.submission import BadSubmission, Submission, parse_submission

log = structlog.get_logger()

TEXT = "text/plain; charset=utf-8"
CLOCK_MAX_S = 5
"""How far back the clock may jump, in seconds: until it has caught up, the last time is used again."""


class Answer(msgspec.Struct, frozen=True):
    """An answer to a submission."""

    status: int
    body: str
    content_type: str = TEXT


class ClockBehind(GatewayError):
    """The clock is behind the last cosignature of this witness."""

    code = "clock_behind"
    retryable = True


class Observer(Protocol):
    """What is notified of answers; called in the thread of the state."""

    def cosigned(self, origin: str, size: int) -> None:
        """A checkpoint was cosigned, or the newest one again."""

    def refused(self, origin: str, status: int) -> None:
        """A submission for a known log was refused."""

    def kept(self, evidence: Evidence) -> None:
        """A refused checkpoint is kept as evidence."""

    def settled(self, evidence: Evidence) -> None:
        """An unproven checkpoint is none any more."""

    def behind(self, origin: str) -> None:
        """The state is older than a cosignature of this witness."""


class Witness:
    """Answers submissions with one key. `add_checkpoint` may be called from one thread at a time."""

    def __init__(
        self,
        key: SigningKey,
        state: State,
        logs: Sequence[Log],
        observer: Observer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = key
        self.vkey = key.vkey
        self._state = state
        self.logs: Mapping[str, Log] = {each.origin: each for each in logs}
        self._origins = {each.origin.encode(): each for each in logs}
        self._observer = observer
        self._clock = clock
        self._behind = state.behind()
        found = {origin: state.newest(origin) for origin in self.logs}
        self.newest = {origin: newest for origin, newest in found.items() if newest is not None}
        """The newest cosigned checkpoint of each log; a copy of the state, which alone decides."""

    def read(self, body: bytes) -> Submission | Answer:
        """Read a submission and find its log, at little cost; return the answer if it ends here."""
        try:
            submission = parse_submission(body)
        except BadSubmission as error:
            return Answer(400, f"{error}\n")
        if submission.origin not in self._origins:
            return Answer(404, "this witness does not follow that log\n")
        return submission

    def add_checkpoint(self, submission: Submission) -> Answer:
        """Answer a submission for a known log. Raises WitnessStateUnavailable, ClockBehind."""
        followed = self._origins[submission.origin]
        answer = self._answer(submission, followed)
        if answer.status != 200:
            self._observer.refused(followed.origin, answer.status)
        return answer

    def _answer(self, submission: Submission, followed: Log) -> Answer:
        try:
            note = parse_note(submission.note)
            note = Note(note.text, tuple(dict.fromkeys(note.signatures)))  # each is verified once
            submitted, signers = open_checkpoint(note, followed.keys)
        except MalformedNote as error:
            return Answer(400, f"{error}\n")
        except BadSignature as error:
            return Answer(403, f"{error}\n")
        signed = _without_strangers(note, signers)
        if len(signed) > NOTE_MAX:
            return Answer(400, "the checkpoint is too large\n")
        if (behind := self._is_behind(note, submitted)) is not None:
            return behind
        with self._state.transaction():
            newest = self._state.newest(submitted.origin)
            same_size = self._state.of_size(submitted.origin, submitted.size)
            decision = decide(
                submission, submitted, _checkpoint(newest), same_size.root if same_size is not None else None
            )
            if isinstance(decision, Cosign):
                cosigned = self._cosign(note.text, signed, submitted, newest)
                if cosigned != newest:
                    self._state.add_cosigned(cosigned)
        if isinstance(decision, Cosign):
            self.newest[cosigned.origin] = cosigned
            self._observer.cosigned(cosigned.origin, cosigned.size)
            return Answer(200, cosigned.line)
        self._keep(decision, signed, submitted, same_size or newest)
        return Answer(decision.status, f"{decision.reason}\n", SIZE_TYPE if decision.is_size else TEXT)

    def _cosign(
        self, text: str, signed: bytes, submitted: Checkpoint, newest: CosignedCheckpoint | None
    ) -> CosignedCheckpoint:
        at = int(self._clock())
        if newest is not None and newest.at > at:
            if newest.at > at + CLOCK_MAX_S:
                raise ClockBehind(
                    f"the clock of this witness is {newest.at - at} s behind its last cosignature of {submitted.origin}"
                )
            at = newest.at
        line = cosign(self._key, text, at).line
        return CosignedCheckpoint(submitted.origin, submitted.size, submitted.root, signed, at, line)

    def examine(self, note: Note, *, forked: bool = False) -> None:
        """Keep a checkpoint that was seen elsewhere if it is evidence; with `forked`, a copy of the log contradicts it.

        One without a valid signature of its log is ignored. Raises WitnessStateUnavailable.
        """
        try:
            note = Note(note.text, tuple(dict.fromkeys(note.signatures)))
            origin = note.text.partition("\n")[0]
            checkpoint, signers = open_checkpoint(note, self.logs[origin].keys)
        except (KeyError, MalformedNote, BadSignature):
            return
        known = self._state.of_size(origin, checkpoint.size)
        if known is not None and known.root != checkpoint.root:
            forked = True
        elif known is not None:
            forked = False
        signed = _without_strangers(note, signers)
        if forked and len(signed) <= NOTE_MAX:
            self._keep(Refuse(409, "", Kept.FORK), signed, checkpoint, known or self._state.newest(origin))
        self._is_behind(note, checkpoint)

    def settle(self, origin: str, root_of: Callable[[int], bytes], size: int) -> None:
        """Decide about unproven checkpoints up to a size, by the roots of a copy. Raises WitnessStateUnavailable."""
        for evidence in self._state.evidence():
            if (evidence.origin, evidence.kind) == (origin, Kept.UNPROVEN) and evidence.size <= size:
                settled = self._state.settle(evidence, root_of(evidence.size))
                self._observer.settled(evidence)
                if settled is not None:
                    report(settled)
                    self._observer.kept(settled)

    def cosigned_up_to(self, origin: str, size: int) -> CosignedCheckpoint | None:
        """Return the largest cosigned checkpoint up to a size. Raises WitnessStateUnavailable."""
        return self._state.up_to(origin, size)

    def _keep(
        self, refused: Refuse, signed: bytes, submitted: Checkpoint, contradicting: CosignedCheckpoint | None
    ) -> None:
        """Keep a refused checkpoint that is evidence, and report it, once."""
        if refused.keep is None or contradicting is None:
            return
        evidence = Evidence(
            submitted.origin, refused.keep, submitted.size, submitted.root, signed, contradicting.note,
            int(self._clock()),
        )  # fmt: skip
        if self._state.add_evidence(evidence):
            report(evidence)
            self._observer.kept(evidence)

    def _is_behind(self, note: Note, submitted: Checkpoint) -> Answer | None:
        """Return the refusal if the state is older than a cosignature of this witness, now or at an earlier time.

        Then the state was lost in part, and what else was cosigned is not known.
        """
        origin = submitted.origin
        if origin not in self._behind and self._has_cosigned(note):
            newest, known = self._state.newest(origin), self._state.of_size(origin, submitted.size)
            contradicts = known is not None and known.root != submitted.root
            if newest is None or newest.size < submitted.size or contradicts:
                self._state.mark_behind(origin, submitted.size, note.encode())
                self._behind[origin] = submitted.size
                report_behind(origin, submitted.size)
                self._observer.behind(origin)
        if origin not in self._behind:
            return None
        return Answer(500, "this witness has lost state, and cosigns this log no more\n")

    def _has_cosigned(self, note: Note) -> bool:
        """Return whether a note has a valid cosignature of this witness."""
        try:
            return any(
                verify_cosignature(self.vkey, note.text, each) >= 0
                for each in note.signatures
                if self.vkey.made(each)
            )
        except (BadSignature, MalformedNote):
            return False  # anybody can write such a line

    def newest_note(self, origin: str) -> bytes | None:
        """Return the newest cosigned checkpoint of a log with the cosignature; from memory, in any thread."""
        newest = self.newest.get(origin)
        return None if newest is None else newest.note + newest.line.encode()


def report(evidence: Evidence) -> None:
    """Log evidence: a fork as an error."""
    size, origin = evidence.size, evidence.origin
    if evidence.kind is Kept.FORK:
        log.error(
            "the log has signed two root hashes for one size; both checkpoints are kept",
            log=origin,
            size=size,
        )
    else:
        log.warning("a signed checkpoint is not proven consistent; it is kept", log=origin, size=size)


def report_behind(origin: str, size: int) -> None:
    """Log that a part of the state is lost."""
    log.error(
        "this witness has cosigned a larger checkpoint than its state knows: state is lost, and it cosigns this log"
        " no more; set up a new witness with a new key",
        log=origin, size=size,
    )  # fmt: skip


def _without_strangers(note: Note, keys: Sequence[VerifierKey]) -> bytes:
    """Return a note with the signatures of these keys only."""
    made = (each for each in note.signatures if any(key.made(each) for key in keys))
    return Note(note.text, tuple(made)).encode()


def _checkpoint(cosigned: CosignedCheckpoint | None) -> Checkpoint | None:
    return None if cosigned is None else Checkpoint(cosigned.origin, cosigned.size, cosigned.root)
