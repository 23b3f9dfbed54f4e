"""Evaluation: all rules of a policy, for one report that is going to be accepted."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.election.report import Report
from gateway.election.rules.ballots import above_eligible, fell, grew_late, odd_time
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.duplicates import duplicate_elsewhere, duplicate_within
from gateway.election.rules.evidence import Evidence
from gateway.election.rules.parties import exchanged, exchanged_before, party_excess, party_fell
from gateway.election.rules.policy import Do, Policy
from gateway.election.rules.step import Step

NOT_JUDGED = "not_judged"
"""The warning of a report for which some rule failed or took too long."""
CPU_MAX_S = 0.02
"""CPU time in s. If all rules together take longer, each is evaluated alone; one that takes longer holds nothing."""

Rule = Callable[[CurrentReports, Step, Any], Evidence | None]
"""A rule: current reports, the step to a report with other figures, the rule's setting → why it fires, or None."""


FUNCTIONS: Mapping[str, Rule] = {
    "duplicate_elsewhere": duplicate_elsewhere,
    "duplicate_within": duplicate_within,
    "above_eligible": above_eligible,
    "fell": fell,
    "party_excess": party_excess,
    "exchanged": exchanged,
    "odd_time": odd_time,
    "exchanged_before": exchanged_before,
    "party_fell": party_fell,
    "grew_late": grew_late,
}
"""The function of each rule by its code."""


class Fired(msgspec.Struct, frozen=True):
    """A rule that fired."""

    code: str
    do: Do
    evidence: Evidence


class Evaluation(msgspec.Struct, frozen=True):
    """What the rules say about one report."""

    fired: tuple[Fired, ...] = ()
    """In the order of RULES."""
    failed: tuple[str, ...] = ()
    """Codes of rules that raised an error or took too long."""
    details: tuple[str, ...] = ()
    """What went wrong with each of these, for the log."""

    @property
    def holding(self) -> tuple[str, ...]:
        """The codes of the rules that hold the report; none: it is placed."""
        return tuple(each.code for each in self.fired if each.do == "hold")

    @property
    def warnings(self) -> tuple[str, ...]:
        """The codes of all rules that fired, and `not_judged` if any rule failed."""
        codes = tuple(each.code for each in self.fired)
        return (*codes, NOT_JUDGED) if self.failed else codes


NOTHING = Evaluation()


def _no_clock() -> float:
    return 0.0


def evaluate(
    current: CurrentReports, report: Report, policy: Policy, cpu_time: Callable[[], float] = _no_clock
) -> Evaluation:
    """Evaluate the rules for a valid report whose revision is above the newest of its unit.

    `cpu_time` returns the CPU time of this thread in s (`time.thread_time`); without it, no rule takes too long.
    A report with the same figures as the unit's current report fires nothing. `current` does not change.
    """
    step = current.step(report)
    if not step.changed:
        return NOTHING
    began = cpu_time()
    try:
        fired = [
            Fired(code, setting.do, evidence)
            for code, setting in policy.evaluated
            if (evidence := FUNCTIONS[code](current, step, setting)) is not None
        ]
    except Exception:
        return _evaluate_each(current, step, policy, cpu_time)
    if cpu_time() - began > CPU_MAX_S:  # perhaps the garbage collector
        return _evaluate_each(current, step, policy, cpu_time)
    return Evaluation(tuple(fired)) if fired else NOTHING


def _evaluate_each(
    current: CurrentReports, step: Step, policy: Policy, cpu_time: Callable[[], float]
) -> Evaluation:
    """Evaluate the rules again, each by itself, because one has failed or all together took long."""
    fired: list[Fired] = []
    failed: dict[str, str] = {}
    for code, setting in policy.evaluated:
        step.kept.clear()  # what rules share counts for each of them
        began = cpu_time()
        try:
            evidence = FUNCTIONS[code](current, step, setting)
        except Exception as error:
            failed[code] = f"{type(error).__name__}: {error}"
            continue
        if (took_s := cpu_time() - began) > CPU_MAX_S:
            failed[code] = f"took {1000 * took_s:.0f} ms of CPU time"
        elif evidence is not None:
            fired.append(Fired(code, setting.do, evidence))
    return Evaluation(tuple(fired), tuple(failed), tuple(failed.values()))
