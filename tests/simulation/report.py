"""What is said about runs: their figures, and how a failure is shown again."""

from pathlib import Path

import msgspec

from tests.simulation.plan import Plan
from tests.simulation.run import Result, run
from tests.simulation.shrink import shrink

STEPS_BEFORE = 200
"""Steps before the one that shows a failure, which are worth a look."""


class Totals(msgspec.Struct):
    """What many runs did."""

    nights: int = 0
    steps: int = 0
    choices: int = 0
    reports: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    failed: int = 0

    def add(self, result: Result) -> None:
        """Add a run."""
        self.nights += 1
        self.steps += result.steps
        self.choices += result.choices
        self.reports += result.reports
        self.virtual_s += result.virtual_s
        self.cpu_s += result.cpu_s
        self.failed += bool(result.broken)

    def __str__(self) -> str:
        return (
            f"{self.nights} nights, each in an order of its own: {self.steps} steps, {self.choices} of them chosen"
            f" among several; {self.reports} reports; {self.virtual_s / 3600:.2f} h of virtual time in"
            f" {self.cpu_s:.0f} s of CPU time; {self.failed} failed"
        )


def describe(result: Result) -> str:
    """Describe a run in a line."""
    return (
        f"seed {result.seed}: {result.steps} steps, {result.choices} of them chosen among several,"
        f" {result.virtual_s:.1f} s of virtual time, {result.cpu_s:.2f} s of CPU time; {result.reports} reports,"
        f" {result.receipts} receipts, {result.publications} publications, {result.blocks} blocks;"
        f" digest {result.digest}"
    )


def outline(plan: Plan) -> str:
    """Return a plan in a few lines."""
    senders = ", ".join(f"{each.name} by {each.transport}" for each in plan.senders)
    first = (
        f"{plan.push_processes} push, {plan.feeds} feed processes, {'standby' if plan.standby else 'no standby'}"
        f"{', feeds read from it' if plan.replica else ''}, rules {plan.rules}, embargo until {plan.publish_from_s} s,"
        f" {plan.reports} reports ({senders}), {len(plan.readers)} readers, healed at {plan.lasts_s} s"
    )
    lines = [first]
    for fault in plan.faults:
        members = (
            f"{name} {value}" for name in ("of", "to", "seconds", "amount") if (value := getattr(fault, name))
        )
        lines.append(f"  {fault.at_s:8.3f} s  {fault.kind} {', '.join(members)}")
    return "\n".join(lines)


def made_smaller(plan: Plan, result: Result, *, tries_max: int) -> tuple[Plan, Result]:
    """Shrink a plan that fails for as long as it breaks the same guarantee."""
    wanted = result.broken[0].guarantee

    def fails(candidate: Plan) -> bool:
        return any(broken.guarantee == wanted for broken in run(candidate).broken)

    smaller = shrink(plan, fails, tries_max=tries_max)
    return smaller, run(smaller)


def explain(plan: Plan, result: Result, path: Path, mutant: str | None = None) -> str:
    """Say what a stored plan breaks, at which step, and how to run it again up to there."""
    lines = [outline(plan)]
    lines += [f"{broken.guarantee}: {broken.example}" for broken in result.broken]
    bug = f' --mutant "{mutant}"' if mutant else ""
    if result.failed_at is None:
        lines.append(f"The end of the run shows it, step {result.steps}. To run it again:")
        near = ""
    else:
        lines.append(f"Step {result.failed_at} of {result.steps} shows it. To run it again:")
        near = f" --steps {max(0, result.failed_at - STEPS_BEFORE)}..{result.failed_at}"
    lines.append(f"python -m tests.simulation --seed {plan.seed} --plan {path}{bug} --trace{near}")
    return "\n".join(lines)
