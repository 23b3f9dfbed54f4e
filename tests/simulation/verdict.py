"""PURE: judge a simulated night by its history and its plan.

On top of `gateway.rehearsal.judge`:

* every report has an answer, unless its sender was ended by an act;
* every refusal has its reason, and no report that a unit's only sender sent in order is stale;
* no invalid report has a receipt;
* the rules compared each report with everything that the record had before it.
"""

from bisect import bisect_left
from collections.abc import Callable, Container, Iterator, Sequence

import msgspec

from gateway.client.publisher import Answer
from gateway.election.registry import Registry
from gateway.election.report import decode_stored
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.evaluation import evaluate
from gateway.rehearsal.judge import BrokenGuarantee, History, expected_digest, judge
from tests.simulation.plan import Plan, Report, rising
from tests.simulation.rows import ReportRow

JUDGED = "rules see every report before"
"""The guarantee that `judged_otherwise` checks."""


class Answered(msgspec.Struct, frozen=True):
    """A report and its answer."""

    report: Report
    answer: Answer


class SenderOutcome(msgspec.Struct, frozen=True):
    """What became of the reports of one sender."""

    name: str
    answered: Sequence[Answered]
    unanswered: Sequence[Report]
    ended: str | None = None
    """Why its publisher ended, if it did."""


def verdict(plan: Plan, history: History, senders: Sequence[SenderOutcome]) -> list[BrokenGuarantee]:
    """Return every broken guarantee."""
    return [*judge(history), *_answers(plan, history, senders)]


def _answers(plan: Plan, history: History, senders: Sequence[SenderOutcome]) -> Iterator[BrokenGuarantee]:
    revoked = {fault.of for fault in plan.faults if fault.kind == "revoke_token"}
    closed = any(fault.kind == "close_election" for fault in plan.faults)
    accepted: dict[str, dict[int, str]] = {}
    for stored in history.stored:
        accepted.setdefault(stored.unit, {})[stored.revision] = stored.digest.hex()
    for hold in history.holds:
        accepted.setdefault(hold.unit, {})[hold.revision] = hold.digest.hex()
    in_order = rising(plan)
    for sender in senders:
        if sender.ended is not None and sender.name not in revoked:
            yield BrokenGuarantee("no sender is turned away", f"{sender.name}: {sender.ended}")
        if sender.unanswered and sender.ended is None:
            first = sender.unanswered[0]
            yield BrokenGuarantee(
                "every report is answered",
                f"{sender.name}: {len(sender.unanswered)} are not, the first is {first.unit} {first.revision}",
            )
        for answered in sender.answered:
            wrong = _wrong(answered, accepted.get(answered.report.unit, {}), in_order)
            if answered.answer.code == "unstorable" and answered.report.unit == plan.unstorable:
                continue
            by_act = (answered.answer.code == "election_closed" and closed) or (
                sender.name in revoked and not answered.answer.has_receipt
            )
            if wrong is not None and not by_act:
                yield wrong


def _wrong(answered: Answered, accepted: dict[int, str], in_order: frozenset[str]) -> BrokenGuarantee | None:
    report, answer = answered.report, answered.answer
    which = f"{report.unit} revision {report.revision}: {answer.outcome} {answer.code or ''}".rstrip()
    if report.invalid:
        if answer.has_receipt or answer.outcome == "retry":
            return BrokenGuarantee("an invalid report is refused", f"{which}, {report.invalid}")
        return None
    if answer.has_receipt:
        return None
    match answer.code:
        case "stale_revision" if report.unit in in_order:
            return BrokenGuarantee("reports are decided in the order sent", which)
        case "stale_revision":
            explained = any(revision > report.revision for revision in accepted)
        case "revision_conflict":
            explained = accepted.get(report.revision, "") not in ("", expected_digest(report.body))
        case _:
            explained = False
    return None if explained else BrokenGuarantee("a refusal has its reason", which)


def judged_otherwise(
    registry: Registry, placed: Sequence[ReportRow], held: Container[tuple[str, int]]
) -> Iterator[BrokenGuarantee]:
    """Check that every report was judged by the rules of a registry with all reports before it.

    `placed`: all reports in the record, in order; `held`: the unit and revision of those that are or were held. One
    that was never held has the warnings of the rules, and no rule would have held it.
    """
    current = CurrentReports(registry)
    for row in placed:
        report = decode_stored(row.body)
        if (row.unit, row.revision) not in held:
            found = evaluate(current, report, registry.policy)
            which = f"{row.unit} revision {row.revision} at {row.sequence}"
            if found.holding:
                yield BrokenGuarantee(JUDGED, f"{which} was not held: {', '.join(found.holding)}")
            elif set(found.warnings) != set(row.warnings or ()):
                yield BrokenGuarantee(JUDGED, f"{which}: warnings {row.warnings}, not {found.warnings}")
        current.place(report)


def first_failing(times: Sequence[float], fails: Callable[[float], bool]) -> float | None:
    """Return the first of some times up to which a history fails, by bisection; None if it fails at none of them."""
    ordered = sorted(set(times))
    if not ordered or not fails(ordered[-1]):
        return None
    return ordered[bisect_left(ordered, True, key=fails)]
