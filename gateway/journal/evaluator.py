"""PURE: what one push process knows of an election for its rules: current reports, newest revisions, open holds.

It is a copy of what the journal has up to some position of the record and some line of the list of holds. A batch is
judged after `begin`, until `keep` (it is committed) or `roll_back` (it is not, or that is unknown). Meanwhile the next
one may be judged, as if it were committed.
"""

import hashlib
from collections import Counter
from typing import NamedTuple

import msgspec
import orjson

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.election.hold_list import BEGINNING
from gateway.election.record import CHAIN_START
from gateway.election.registry import Registry
from gateway.election.report import Report, canonical, decode_stored
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.evaluation import evaluate
from gateway.election.rules.policy import Policy
from gateway.election.validation import ValidReport
from gateway.journal.continuation import Continuation
from gateway.journal.cpu_clock import CpuClock
from gateway.journal.decisions import Appended, Ends, Finding, Held, New

SHARE = 5
"""A token has at most one in SHARE of the open holds of an election, and at least one."""

START = Ends(0, CHAIN_START, 0, CHAIN_START)


class Judged(NamedTuple):
    """What the rules found about a report, and what is to be logged about it."""

    finding: Finding | None
    failed: tuple[tuple[str, str], ...] = ()
    """Code and detail of each rule that failed."""
    over_limit: tuple[str, ...] = ()
    """The rules that only warn, since there are too many open holds."""


_UNREMARKABLE = Judged(None)


class _Batch:
    """What a batch replaced, and what the journal is expected to decide on its reports."""

    __slots__ = ("newest_before", "open_before", "predicted")

    def __init__(self, open_before: dict[str, int]) -> None:
        self.newest_before: dict[str, int] = {}
        """By unit; 0: none."""
        self.open_before = open_before
        self.predicted: list[bool | None] = []
        """Whether each report is held; None: it is not accepted."""


class Evaluator:
    """Judges the reports of one election in the order in which they are appended. Invariants:

    * Without a batch that was begun, it has exactly what the journal has up to `ends`.
    * Only the end of a batch that was committed changes that, and what is read from the journal.
    * Batches end in the order in which they were begun; if one is not committed, those begun after it are not either.
    """

    def __init__(self, registry: Registry, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.registry = registry
        self.ends = START
        self._current = CurrentReports(registry)
        self._clock = CpuClock(clock=clock)
        self._newest: dict[str, int] = {}
        self._open: dict[str, int] = {}
        """The sender's token of each open hold, by unit."""
        self._per_token: Counter[int] = Counter()
        self._batches: list[_Batch] = []
        """The batches that were begun and have not ended, the oldest first."""

    def follow(self, continuation: Continuation) -> None:
        """Apply what other processes placed, held and decided; it must follow."""
        assert continuation.follows
        assert not self._batches
        ends = self.ends
        for placed in continuation.reports:
            report = decode_stored(placed.body)
            self._current.place(report)
            self._note_revision(report.unit, report.revision)
        for line in continuation.lines:
            if line.state == BEGINNING:
                self._hold(line.unit, line.token)
                self._note_revision(line.unit, line.revision)
            else:
                self._end_hold(line.unit)
        self.ends = Ends(
            ends.accepted + len(continuation.reports),
            continuation.reports[-1].chain if continuation.reports else ends.chain,
            ends.hold_lines + len(continuation.lines),
            continuation.lines[-1].chain if continuation.lines else ends.hold_chain,
        )

    def holding(self, report: Report, policy: Policy) -> tuple[str, ...]:
        """Return the rules that would hold a report if it arrived now; no batch may have been begun."""
        return evaluate(self._current, report, policy, self._clock).holding

    # A batch.

    def begin(self) -> None:
        """Begin a batch, on top of those that have not ended."""
        self._current.checkpoint()
        self._batches.append(_Batch(dict(self._open)))

    def judge(self, token: int, valid: ValidReport, policy: Policy) -> Judged:
        """Judge the next report of the newest batch; nothing is found about one that will not be accepted."""
        report, batch = valid.report, self._batches[-1]
        newest = self._newest.get(report.unit, 0)
        if report.revision <= newest:
            batch.predicted.append(None)
            return _UNREMARKABLE
        evaluation = evaluate(self._current, report, policy, self._clock)
        judged = _UNREMARKABLE
        if evaluation.fired or evaluation.failed:
            limited = bool(evaluation.holding) and not self._has_room(report.unit, token, policy.most_open)
            holding = () if limited else evaluation.holding
            finding = Finding(
                msgspec.json.encode(evaluation.fired) if holding else None,
                holding,
                tuple(code for code in evaluation.warnings if code not in holding),
                _counts_digest(valid.body) if holding else None,
            )
            failed = tuple(zip(evaluation.failed, evaluation.details, strict=True))
            judged = Judged(finding, failed, evaluation.holding if limited else ())
        batch.newest_before.setdefault(report.unit, newest)
        self._newest[report.unit] = report.revision
        self._end_hold(report.unit)
        held = judged.finding is not None and judged.finding.rules is not None
        batch.predicted.append(held)
        if held:
            self._hold(report.unit, token)
        else:
            self._current.place(report)
        return judged

    def _has_room(self, unit: str, token: int, most_open: int) -> bool:
        """Whether there may be one more open hold; a hold of the same unit would be superseded."""
        holder = self._open.get(unit)
        of_token = self._per_token[token] - (holder == token)
        return len(self._open) - (holder is not None) < most_open and of_token < max(1, most_open // SHARE)

    def keep(self, appended: Appended) -> bool:
        """The oldest batch is committed. Return False if the journal decided otherwise; then discard this.

        Those begun after it were judged with what it brought.
        """
        decided = [
            False if isinstance(each, New) else True if isinstance(each, Held) else None
            for each in appended.decisions
        ]
        if decided != self._batches[0].predicted or appended.ends is None:
            return False
        del self._batches[0]
        self._current.keep()
        self.ends = appended.ends
        placed_since = sum(batch.predicted.count(False) for batch in self._batches)
        return self.ends.accepted == self._current.position - placed_since

    def roll_back(self) -> None:
        """The newest batch is not committed, or that is unknown."""
        self._current.roll_back()
        batch = self._batches.pop()
        for unit, revision in batch.newest_before.items():
            if revision:
                self._newest[unit] = revision
            else:
                del self._newest[unit]
        self._open = batch.open_before
        self._per_token = Counter(self._open.values())

    def roll_back_all(self) -> None:
        """No batch that was begun is committed."""
        while self._batches:
            self.roll_back()

    def _note_revision(self, unit: str, revision: int) -> None:
        if revision > self._newest.get(unit, 0):
            self._newest[unit] = revision

    def _hold(self, unit: str, token: int) -> None:
        self._open[unit] = token
        self._per_token[token] += 1

    def _end_hold(self, unit: str) -> None:
        token = self._open.pop(unit, None)
        if token is not None:
            self._per_token[token] -= 1


def _counts_digest(body: bytes) -> bytes:
    return hashlib.sha256(canonical(orjson.loads(body)["counts"])).digest()
