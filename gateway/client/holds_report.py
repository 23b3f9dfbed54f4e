"""PURE: held reports for a terminal: the list, one beside the current report, and what a decision does."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table

from gateway.client.hold_sentences import Areas, category_name, place_name, reason
from gateway.client.transfers_report import clock_time
from gateway.election.report import COUNT_NAMES
from gateway.humanize import counted, duration, signed, spaced
from gateway.wire.decisions import REASONS
from gateway.wire.holds import Decided, DecisionConflict, Hold, HoldList, HoldSender

ROWS_MAX = 1_000
"""Figures of one report that are shown; reports have less than a hundred."""


def state_of(document: HoldList, holds: Sequence[Hold]) -> str:
    """Return how many reports are held, and how long the oldest has been, as a sentence."""
    opened = [each for each in holds if each.state == "open"]
    if not document.open_:
        text = "No report is held."
    else:
        are = "is" if document.open_ == 1 else "are"
        text = f"{counted(document.open_, 'report')} {are} held"
        oldest = min((each.since for each in opened), default=None)
        text += f", the oldest for {age(oldest, document.server_time)}." if oldest is not None else "."
    until = document.embargo.hidden_until
    if until is not None and until > document.server_time:
        when = clock_time(until, document.server_time)
        text += f" Under embargo until {when}; what is held then stays held."
    return text


def holds_table(document: HoldList, holds: Sequence[Hold]) -> Table:
    """Return a table of holds, the oldest first."""
    ended = any(each.state != "open" for each in holds)
    table = Table(expand=True, box=None, header_style="dim")
    table.add_column("age" if not ended else "age, state", justify="right")
    table.add_column("unit")
    table.add_column("ballots", justify="right")
    table.add_column("rules")
    table.add_column("sender")
    for each in holds:
        since = age(each.since, document.server_time)
        rules = [rule.code for rule in each.rules if rule.do == "hold"]
        table.add_row(
            since if each.state == "open" else each.state,
            f"{place_name(each.unit, document.areas)}\nrevision {each.revision}",
            _ballots_change(each),
            "\n".join(rules),
            sender_name(each.sender),
            style="" if each.state == "open" else "dim",
        )
    if document.omitted:
        table.add_row("", f"… and {counted(document.omitted, 'older hold')}", style="dim")
    return table


def age(since: datetime, now: datetime) -> str:
    """Return for how long something has lasted."""
    return duration(max(0.0, (now - since).total_seconds()))


def sender_name(sender: HoldSender) -> str:
    """Return a token by its number and note."""
    return f"token {sender.token}{f', {sender.note}' if sender.note else ''}"


def hold_lines(each: Hold, areas: Areas, now: datetime) -> list[str]:
    """Return what is known about a hold, a line each, without the figures."""
    held = f"held for {age(each.since, now)}" if each.state == "open" else each.state
    lines = [
        f"{place_name(each.unit, areas)}, revision {each.revision}: {held}",
        f"since {each.since:%Y-%m-%d %H:%M:%S} UTC, sent by {sender_name(each.sender)}",
        f"digest {each.digest}",
    ]
    lines += [f"{rule.do}: {reason(rule, each.unit, areas)}" for rule in each.rules]
    if each.state == "open" and each.now is not None:
        rules = ", ".join(each.now)
        lines.append(f"now it would be held by: {rules}" if rules else "now no rule would hold it")
    if (ended := ended_line(each)) is not None:
        lines.append(f"{ended}{f': {each.note}' if each.note else ''}")
    return lines


def ended_line(each: Hold) -> str | None:
    """Return how, when, by whom and why a hold ended; None while it is open."""
    if each.ended_at is None:
        return None
    by = f" by {sender_name(each.decided_by)}" if each.decided_by is not None else ""
    because = f", {each.reason}" if each.reason else ""
    return f"{each.state} at {each.ended_at:%Y-%m-%d %H:%M:%S} UTC{by}{because}"


def figures_table(each: Hold) -> Table:
    """Return the held report beside the current one; figures that differ are in bold, those that are 0 are left out."""
    table = Table(box=None, header_style="dim")
    table.add_column("")
    for name in ("current report", "held report", "difference"):
        table.add_column(name, justify="right")
    held, current = _object(each.report), _object(each.stands)
    for name in ("revision", "counted_at", "status", "reason"):
        before, after = str(current.get(name, "–")), str(held.get(name, "–"))
        if (before, after) != ("–", "–"):
            table.add_row(name.replace("_", " "), before, after)
    before_figures, after_figures = dict(_figures(current)), dict(_figures(held))
    places = dict.fromkeys([*after_figures, *before_figures])
    names = [each for each in places if before_figures.get(each) or after_figures.get(each)]
    for place in names[:ROWS_MAX]:
        before_count, after_count = before_figures.get(place), after_figures.get(place)
        change = (after_count or 0) - (before_count or 0)
        table.add_row(
            " ".join(place),
            _shown(before_count),
            _shown(after_count),
            signed(change) if change else "",
            style="bold" if change else "",
        )
    if len(names) > ROWS_MAX:
        table.add_row(f"… and {counted(len(names) - ROWS_MAX, 'more figure')}", style="dim")
    return table


def next_steps(each: Hold) -> list[str]:
    """Return the commands that decide about an open hold."""
    return [
        f"valgnatt hold {decide} {each.unit}:{each.revision} --reason {'|'.join(reasons)}"
        for decide, reasons in REASONS.items()
    ]


def plan(decide: str, holds: Sequence[Hold], areas: Areas, because: str, note: str) -> list[str]:
    """Return what a decision does, a line for each report and each rule."""
    verb = "Release" if decide == "release" else "Reject"
    together = ", together, in this order" if len(holds) > 1 else ""
    noted = f", with the note {note!r}" if note else ""
    lines = [f"{verb} {counted(len(holds), 'report')} for the reason {because}{noted}{together}:"]
    for each in holds:
        lines.append(f"  {place_name(each.unit, areas)}, revision {each.revision}: {_effect(decide, each)}")
        lines += [f"    {reason(rule, each.unit, areas)}" for rule in each.rules if rule.do == "hold"]
    return lines


def _effect(decide: str, each: Hold) -> str:
    current = _object(each.stands)
    before, after = counted(_ballots(current), "ballot"), counted(each.ballots, "ballot")
    if decide == "release":
        return f"{before if current else 'no report'} → {after}"
    return (
        f"stays at {before}, not {spaced(each.ballots)}"
        if current
        else f"stays without a report, not {after}"
    )


def decided_line(decided: Decided, areas: Areas) -> str:
    """Return what was decided about a report."""
    where = f"sequence {decided.sequence} of the record" if decided.sequence is not None else ""
    if decided.state == "released" and not where:
        where = "public at the end of the embargo"
    text = f"{place_name(decided.unit, areas)}, revision {decided.revision}: {decided.state}"
    return f"{text}; {where}" if where else text


def conflict_line(conflict: DecisionConflict, areas: Areas) -> str:
    """Return why a report could not be decided, and what to do."""
    revision = f"revision {conflict.revision}"
    newest = f"revision {conflict.newest_revision}" if conflict.newest_revision is not None else "a newer one"
    when = f" at {conflict.decided_at:%H:%M:%S} UTC" if conflict.decided_at is not None else ""
    why = f" ({conflict.reason})" if conflict.reason else ""
    texts: Mapping[str, str] = {
        "superseded": f"the sender replaced {revision} by {newest}, with other counts",
        "decided_otherwise": f"{revision} was {conflict.state or 'decided otherwise'} already{when}{why}",
        "not_held": f"{revision} is not held",
        "revision_conflict": f"{revision} has other figures than those shown here",
    }
    return f"{place_name(conflict.unit, areas)}: {texts.get(conflict.code, conflict.code)}"


def _figures(report: Mapping[str, Any]) -> Iterable[tuple[tuple[str, str], int]]:
    """Yield every figure of a report with its category and name."""
    for category, counts in _object(report.get("counts")).items():
        named = _object(counts)
        figures = {name: named[name] for name in COUNT_NAMES if name in named} | _object(named.get("votes"))
        for name, figure in figures.items():
            if type(figure) is int:
                yield (category_name(category), name), figure


def _ballots(report: Mapping[str, Any]) -> int:
    return sum(figure for (_, name), figure in _figures(report) if name == "ballots")


def _ballots_change(each: Hold) -> str:
    current = _object(each.stands)
    return f"{spaced(_ballots(current))} → {spaced(each.ballots)}" if current else spaced(each.ballots)


def _shown(count: int | None) -> str:
    return spaced(count) if count is not None else "–"


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
