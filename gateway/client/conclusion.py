"""Show the answers to the reports of one run, and decide its exit status: whether each has a receipt."""

from collections.abc import Collection, Mapping, Sequence

from gateway.client.outbox_items import Item
from gateway.client.push_answers import RENUMBERED, Answer
from gateway.client.refusals import meaning_of
from gateway.client.waiting_reports import same_count
from gateway.count_files.messages import Place
from gateway.humanize import counted
from gateway.terminal import Terminal

MESSAGES_MAX = 100
"""Lines about single reports that are shown after sending."""

Answered = tuple[Item, Answer]


def conclude(
    console: Terminal,
    answered: Sequence[Answered],
    places: Mapping[int, Place] | None = None,
    unanswered: Sequence[Item] = (),
    notes: Sequence[str] = (),
    later: str = "",
    held: Collection[int] = (),
) -> int:
    """Show the answers to the reports, with the files in `places` (by key) where known; return the exit status.

    A superseded report is done if the same count of its unit has a receipt under another revision. One without an
    answer has no receipt; those in `held`, by key, were not sent because of red lines.
    """
    console.say(summary(answered))
    missing = 0
    received: dict[str, list[Answered]] = {}
    for item, answer in answered:
        if answer.has_receipt:
            received.setdefault(item.unit, []).append((item, answer))
    lines = [(note, "yellow") for note in notes]
    lines += [
        (
            f"no receipt: unit {item.unit}, revision {item.revision}: "
            + (
                "not sent because of a red line"
                if item.key in held
                else "no answer yet; run the command again"
            ),
            "red",
        )
        for item in unanswered
    ]
    for item, answer in answered:
        which = f"unit {item.unit}, revision {item.revision}"
        if not answer.has_receipt:
            received_as = (
                _received_as(item, received) if answer.is_overtaken or answer.code == RENUMBERED else None
            )
            missing += received_as is None
            place = (places or {}).get(item.key, "")
            lines.append(_refusal(which, answer, received_as, f" ({place})" if place else ""))
        if note := _hold_line(which, answer):
            lines.append(note)
        lines += [(f"note: {which}: {warning.replace('_', ' ')}", "yellow") for warning in answer.warnings]
    lines.sort(key=lambda line: line[1] != "red")  # those that need a person come first
    for line, colour in lines[:MESSAGES_MAX]:
        console.say(line, colour)
    if len(lines) > MESSAGES_MAX:
        console.say(f"… and {len(lines) - MESSAGES_MAX} more; with --receipts, a table has every answer")
    waiting = sum(item.key not in held for item in unanswered)
    if waiting and later:
        kept = f"{counted(waiting, 'report')} without an answer kept in the outbox"
        console.say(f"{kept}; send later with: {later}", "yellow")
    return 1 if missing or unanswered else 0


def _refusal(which: str, answer: Answer, received_as: int | None, place: str) -> tuple[str, str]:
    """Return the line about a report without a receipt, and its colour."""
    if received_as is not None:
        return f"note: {which}: this count has its receipt as revision {received_as}", "yellow"
    if answer.code == "stale_revision":
        accepted = f"revision {answer.current_revision} has already been accepted{place}"
        return f"no receipt: {which}: {accepted}; if this count is newer, give it a higher revision", "red"
    if answer.outcome == "not_sent":
        return f"not sent: {which}: {answer.violations[0].get('detail')}{place}", "red"
    reasons = "; ".join(f"{each.get('path')}: {each.get('detail')}" for each in answer.violations)
    todo = meaning_of(answer.code)
    return f"refused: {which}: {reasons or answer.code}{place}{f'; {todo}' if todo else ''}", "red"


def _hold_line(which: str, answer: Answer) -> tuple[str, str] | None:
    """Return the line about a report with a receipt that is not published because of a rule, and its colour."""
    rules = f" ({', '.join(rule.replace('_', ' ') for rule in answer.hold.rules)})" if answer.hold else ""
    if answer.state == "held":
        checked = "is checked by an operator before it is published"
        return f"held: {which}: {checked}{rules}; if it is wrong, send a newer revision", "yellow"
    if answer.state == "rejected":
        reason = f": {answer.hold.reason.replace('_', ' ')}" if answer.hold and answer.hold.reason else ""
        return f"rejected: {which}: by an operator{reason}{rules}; send a corrected count", "red"
    if answer.state == "superseded":
        return f"note: {which}: replaced by a newer revision before it was published{rules}", "yellow"
    return None


def _received_as(item: Item, received: Mapping[str, Sequence[Answered]]) -> int | None:
    """Return the revision under which the same count of the unit has a receipt of this run; these are by unit."""
    return next((other.revision for other, _ in received.get(item.unit, ()) if same_count(item, other)), None)


def summary(answered: Sequence[Answered]) -> str:
    """PURE: return how many receipts this run got, and what a person should know about them."""
    receipts = [answer for _, answer in answered if answer.has_receipt]
    known = sum(answer.outcome == "duplicate" for answer in receipts)
    embargoed = sum(answer.state == "embargoed" for answer in receipts)
    gone = sum(
        item.answer is not None and item.answer.has_receipt and answer.outcome != "duplicate"
        for item, answer in answered
    )
    parts = [counted(len(receipts), "receipt")]
    if known:
        parts[0] += f" ({len(receipts) - known} new, {known} already known to the gateway)"
    if embargoed:
        parts.append(f"{embargoed} of them under embargo")
    if held := sum(answer.state == "held" for answer in receipts):
        parts.append(f"{held} of them held for a check")
    if gone:
        parts.append(f"{counted(gone, 'report')} with earlier receipts that this gateway no longer knows")
    return ", ".join(parts)
