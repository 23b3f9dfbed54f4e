"""PURE: the lines that push shows before it sends reports: figures before and now, warnings, holds, then red lines.

The lines that need a decision come last, directly before the question. The number of lines is limited: of thousands of
reports, those with findings are shown, and the others are summed up. Independent of terminals.
"""

from collections.abc import Callable, Sequence

from rich.cells import cell_len

from gateway.client.hold_sentences import reason
from gateway.count_files.comparison import Change, Comparison, Figures
from gateway.count_files.findings import Finding
from gateway.count_files.messages import abbreviated
from gateway.humanize import counted, spaced
from gateway.wire.holds import FiredRule

SHOWN_MAX = 20
"""Reports that are shown one by one."""
WARNINGS_MAX = 20
"""Warnings that are shown."""
RED_LINES_MAX = 50
"""Reports with red lines that can be accepted in one command, since nobody reads a longer list."""
HOLDS_MAX = 20
"""Reasons to hold reports that are shown."""
PARTIES_MAX = 5
"""Parties that one line names."""
CATEGORIES_MAX = 10
"""Categories that one line names."""
NAME_MAX = 24
"""Characters of the name of a unit."""
_NONE = "–"
_HELD_TOO = "; the gateway would hold this report"


def preview(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the lines about the figures, one or two per report, and the sums of all reports."""
    ordered = sorted(
        comparisons, key=lambda each: (-len(each.red_lines), not each.would_be_held, -len(_warnings(each)))
    )
    shown = set(map(id, ordered[:SHOWN_MAX]))
    lines = _table([each for each in comparisons if id(each) in shown])
    if len(comparisons) > SHOWN_MAX:
        rest = [each for each in comparisons if id(each) not in shown]
        unusual = sum(bool(each.findings or each.rules) for each in rest)
        lines.append(f"… and {counted(len(rest), 'more report')}, {unusual or 'none'} of them with warnings")
    return [*lines, summary(comparisons)]


def summary(comparisons: Sequence[Comparison]) -> str:
    """Return the effects of all reports and their sums before and now, each unit with its newest report."""
    effects = (
        ("first", "first of its unit", "first of their units"),
        ("replaces", "replaces an earlier one", "replace earlier ones"),
        ("repeats", "is at the gateway already", "are at the gateway already"),
        ("older", "is older than the current one", "are older than the current ones"),
        ("unknown", "not compared", "not compared"),
    )
    parts = []
    for effect, one, several in effects:
        if number := sum(each.effect == effect for each in comparisons):
            parts.append(f"{spaced(number)} {one if number == 1 else several}")
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for each in comparisons:
        first.setdefault(each.unit, each.total.before.ballots if each.total.before is not None else 0)
        if each.effect == "older":
            last.setdefault(each.unit, first[each.unit])
        else:
            last[each.unit] = each.total.after.ballots if each.total.after is not None else 0
    units = f" of {counted(len(last), 'unit')}" if len(last) != len(comparisons) else ""
    before, after = sum(first.values()), sum(last.values())
    ballots = f"{spaced(before)} → {spaced(after)} ballots" if before else counted(after, "ballot")
    return f"{counted(len(comparisons), 'report')}{units} ({', '.join(parts)}): {ballots}."


def warnings(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a line for each warning, WARNINGS_MAX at most, and how many more there are."""
    found = [(each, text) for each in comparisons for text in _warnings(each)]
    lines = [f"warning: {_about(each)}: {text}" for each, text in found[:WARNINGS_MAX]]
    if len(found) > WARNINGS_MAX:
        lines.append(f"… and {counted(len(found) - WARNINGS_MAX, 'more warning')}")
    return lines


def holds(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a line for each rule that would hold a report, HOLDS_MAX at most, and what that means.

    A rule that fires for the same reason as a red line has no line of its own; that of the red line says so.
    """
    held = sum(each.would_be_held for each in comparisons)
    if not held:
        return []
    found = [
        (each, rule)
        for each in comparisons
        for rule in each.rules
        if rule.do == "hold" and not any(_same(rule, finding) for finding in each.red_lines)
    ]
    lines = [
        f"would be held: {_about(each)}: {reason(rule, each.unit, each.areas)}"
        for each, rule in found[:HOLDS_MAX]
    ]
    if len(found) > HOLDS_MAX:
        lines.append(f"… and {counted(len(found) - HOLDS_MAX, 'more reason')} to hold reports")
    they = "it is" if held == 1 else "they are"
    lines.append(
        f"{counted(held, 'report')} would be held: accepted with a receipt, but not published before {they} checked and"
        " released. The gateway compares with all reports, also of other senders, and its rules may be set otherwise."
    )
    return lines


def red_lines(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a line for each red line of the first RED_LINES_MAX reports that have one, and how many more there are."""
    crossing = [each for each in comparisons if each.red_lines]
    lines = [
        f"RED LINE: {_about(each)}: {text_of(finding)}{_HELD_TOO if _is_held_for(each, finding) else ''}"
        for each in crossing[:RED_LINES_MAX]
        for finding in each.red_lines
    ]
    if len(crossing) > RED_LINES_MAX:
        lines.append(f"… and {counted(len(crossing) - RED_LINES_MAX, 'more report')} with red lines")
    return lines


def text_of(finding: Finding) -> str:
    """Return a finding in words."""
    text = _TEXTS.get(finding.code)
    return text(finding) if text is not None else finding.code.replace("_", " ")


def _warnings(each: Comparison) -> list[str]:
    """Return the warnings about a report; a rule that warns of the same as a finding is left out."""
    rules = [
        rule
        for rule in each.rules
        if rule.do == "warn" and not any(_same(rule, finding) for finding in each.findings)
    ]
    return [*map(text_of, each.warnings), *(reason(rule, each.unit, each.areas) for rule in rules)]


def _is_held_for(each: Comparison, finding: Finding) -> bool:
    return any(rule.do == "hold" and _same(rule, finding) for rule in each.rules)


def _same(rule: FiredRule, finding: Finding) -> bool:
    """Whether a rule of the gateway fires for what a finding says too."""
    return rule.code == finding.code and rule.evidence.get("area") == finding.evidence.get("area")


def _about(each: Comparison) -> str:
    return f"unit {abbreviated(each.unit)}{f' {abbreviated(each.name)}' if each.name else ''}"


def _above_eligible(finding: Finding) -> str:
    e = finding.evidence
    rises = f" (before: {spaced(e['before'])})" if e["before"] else ""
    return (
        f"with this report, {abbreviated(e['name'])} has {spaced(e['after'])} ballots{rises} but only"
        f" {spaced(e['eligible'])} eligible voters"
    )


def _unit_above_eligible(finding: Finding) -> str:
    e = finding.evidence
    return f"{counted(e['after'], 'ballot')}, {counted(e['eligible'], 'eligible voter')}"


def _fell(finding: Finding) -> str:
    e = finding.evidence
    fall = f"{_arrow(e['before'], e['after'])} ballots (−{spaced(e['before'] - e['after'])})"
    return f"{fall} without a reason" if finding.severity == "red_line" else fall


def _missing_category(finding: Finding) -> str:
    e = finding.evidence
    return f"no {abbreviated(e['category'])}, which had {counted(e['before'], 'ballot')} before"


def _missing_parties(finding: Finding) -> str:
    e = finding.evidence
    shown = _some([f"{abbreviated(party)} ({spaced(votes)})" for party, votes in _largest(e["parties"])])
    return f"no votes in {abbreviated(e['category'])} for {shown}, which had some before"


def _votes_fell(finding: Finding) -> str:
    e = finding.evidence
    parties = sorted(e["parties"].items(), key=lambda item: item[1][1] - item[1][0])
    shown = _some([f"{abbreviated(party)} {_arrow(before, after)}" for party, (before, after) in parties])
    return f"fewer votes in {abbreviated(e['category'])}: {shown}"


def _status_back(finding: Finding) -> str:
    return (
        f"the status goes back from {abbreviated(finding.evidence['before'])} to {finding.evidence['after']}"
    )


_TEXTS: dict[str, Callable[[Finding], str]] = {
    "above_eligible": _above_eligible,
    "unit_above_eligible": _unit_above_eligible,
    "fell": _fell,
    "missing_category": _missing_category,
    "missing_parties": _missing_parties,
    "votes_fell": _votes_fell,
    "status_back": _status_back,
}


def _largest(parties: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(parties.items(), key=lambda item: -item[1])


def _some(texts: Sequence[str], most: int = PARTIES_MAX) -> str:
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def _arrow(before: int, after: int) -> str:
    return f"{spaced(before)} → {spaced(after)}"


def _table(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a heading and the lines of reports; columns are as wide as their texts."""
    heading = ("unit", "name", "revision", "status", "ballots", "eligible", "turnout")
    right = {"ballots", "eligible", "turnout"}
    rows = [heading, *(_row(each) for each in comparisons)]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(heading))]
    lines = []
    for number, row in enumerate(rows):
        cells = [
            _padded(cell, width, is_right=name in right)
            for name, cell, width in zip(heading, row, widths, strict=True)
            if width > 0
        ]
        lines.append("  ".join(cells).rstrip())
        if number:
            lines += _details(comparisons[number - 1])
    return lines


def _padded(text: str, width: int, *, is_right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if is_right else text + space


def _row(each: Comparison) -> tuple[str, ...]:
    name = each.name if len(each.name) <= NAME_MAX else each.name[: NAME_MAX - 1] + "…"
    revision = str(each.revision) if each.revision is not None else ""
    if each.effect == "replaces" and each.revision_before is not None:
        revision = f"{each.revision_before} → {revision}"
    status = abbreviated(each.status)
    if each.status_before not in (None, each.status) and each.effect == "replaces":
        status = f"{abbreviated(str(each.status_before))} → {status}"
    eligible = spaced(each.eligible) if each.eligible else ""
    return (
        abbreviated(each.unit), name, revision, status, _change(each, "ballots", each.total), eligible, _turnout(each)
    )  # fmt: skip


def _turnout(each: Comparison) -> str:
    if each.turnout is None:
        return ""
    if each.turnout_before is None or each.effect != "replaces":
        return f"{_tenths(each.turnout)} %"
    return f"{_tenths(each.turnout_before)} → {_tenths(each.turnout)} %"


def _tenths(permille: int) -> str:
    return f"{permille // 10}.{permille % 10}"


def _details(each: Comparison) -> list[str]:
    """Return the line below a report: its categories with blank and rejected ballots, or that nothing changes."""
    if each.effect == "repeats":
        return ["    is the gateway's newest report already"]
    if each.effect == "older":
        return [f"    is older than the gateway's newest report, revision {each.revision_before}"]
    categories = [
        f"{abbreviated(category)} {_change(each, 'ballots', change)}"
        for category, change in each.categories.items()
    ]
    others = [f"{name} {_change(each, name, each.total)}" for name in ("blank", "rejected")]
    return [f"    {_some(categories, CATEGORIES_MAX)}{'; ' if categories else ''}{', '.join(others)}"]


def _change(each: Comparison, name: str, change: Change) -> str:
    """Return a figure before and now: `– → 5` for a first one, `? → 5` if the one before is not known."""

    def of(figures: Figures | None) -> str:
        return spaced(getattr(figures, name)) if figures is not None else _NONE

    after = of(change.after)
    if each.effect in ("repeats", "older"):
        return after
    before = "?" if each.effect == "unknown" else of(change.before)
    return after if before == after else f"{before} → {after}"
