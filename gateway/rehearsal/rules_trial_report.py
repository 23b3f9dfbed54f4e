"""PURE: what a trial of rules found, for a terminal."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table

from gateway.client.hold_sentences import place_name, reason
from gateway.count_files.gateway_rules import fired_rule, named_areas
from gateway.election.local_time import local_time
from gateway.election.registry import Registry
from gateway.humanize import counted, duration, spaced
from gateway.rehearsal.rules_trial import Finding, Trial

SHOWN_MAX = 100
"""Findings that are shown; the others are counted, and `--json` has them."""


def summary_of(trial: Trial, policy: str) -> list[str]:
    """Return what was replayed and how many reports would have been held, a line each."""
    registry = trial.registry
    if trial.first_at is None or trial.last_at is None:
        return ["The recording has no reports."]
    held = [each for each in trial.findings if each.holds]
    corrected = sum(each.corrected for each in held)
    replayed = f"{counted(trial.reports, 'report')} of {counted(len(registry.units), 'unit')}"
    times = f"counted from {_time(registry, trial.first_at)} to {_time(registry, trial.last_at)}"
    alarms = (
        f"{counted(trial.held, 'report')} would have been held, {spaced(corrected)} of them corrected later"
    )
    lines = [
        f"{replayed}, {times}; rules: {policy}",
        f"{alarms}; {spaced(trial.warned)} more with warnings of rules",
    ]
    if trial.left_out:
        lines.append(f"{counted(trial.left_out, 'report')} left out: not newer than another one of the unit")
    for code, number in trial.failed.items():
        lines.append(f"{code} could not judge {counted(number, 'report')}")
    if len(trial.findings) < trial.held + trial.warned:
        lines.append(f"only the first {spaced(len(trial.findings))} of these are kept and followed")
    return lines


def rules_table(trial: Trial) -> Table:
    """Return a table of the rules: how often each fired, and how many of those reports were corrected."""
    table = Table(box=None, header_style="dim")
    table.add_column("rule")
    table.add_column("set to")
    for name in ("fired", "corrected later"):
        table.add_column(name, justify="right")
    for code, setting in trial.policy.settings().items():
        corrected = sum(each.corrected for each in trial.findings if code in _codes(each))
        fired = trial.by_rule[code]
        table.add_row(
            code, setting.do, spaced(fired) if setting.is_on else "", spaced(corrected) if fired else ""
        )
    return table


def finding_lines(trial: Trial, findings: Sequence[Finding]) -> list[str]:
    """Return lines about reports that would have been held, the oldest first, and how many more there are."""
    lines = []
    for each in findings[:SHOWN_MAX]:
        rules = tuple(map(fired_rule, each.fired))
        names = named_areas(trial.registry, rules, each.unit)
        figures = f"{spaced(each.before)} → {spaced(each.after)} ballots"
        lines.append(
            f"{_time(trial.registry, each.counted_at)}  {place_name(each.unit, names)}, revision {each.revision}:"
            f" {figures}; {outcome_of(each)}"
        )
        lines += [f"    {rule.do}: {rule.code}: {reason(rule, each.unit, names)}" for rule in rules]
    if len(findings) > SHOWN_MAX:
        lines.append(f"… and {counted(len(findings) - SHOWN_MAX, 'more report')}; --json lists all")
    return lines


def outcome_of(finding: Finding) -> str:
    """Return what later reports of the unit did."""
    after_s = finding.corrected_after_s
    if after_s is None:
        return "never corrected"
    back = f"{spaced(finding.taken_back)} of {spaced(finding.changed)} votes taken back"
    return f"corrected after {duration(after_s)}: {back}"


def _codes(finding: Finding) -> set[str]:
    return {each.code for each in finding.fired}


def _time(registry: Registry, moment: datetime) -> str:
    return f"{local_time(registry, moment):%Y-%m-%d %H:%M:%S}"
