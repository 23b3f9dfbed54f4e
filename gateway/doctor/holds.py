"""PURE: checks of held reports and of the rules of an election."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from gateway.doctor.facts import Election
from gateway.doctor.findings import Finding, error, ok, some, warning
from gateway.humanize import counted, duration
from gateway.journal.election_reads import OpenHold

SOON_S = 1800.0
"""Seconds before the end of the embargo from which on open holds are named."""
WAITING_S = 300.0
"""Seconds after which somebody should have decided."""
NEARLY_PERMILLE = 800
"""Share of `most_open` from which on the rules may soon only warn."""


def check_holds(election: Election, now: datetime) -> Iterator[Finding]:
    """Check the open holds of an election, and whether its rules work."""
    name = f"election {election.registry.id}"
    held, most = election.holds, election.policy.most_open
    if held:
        yield _open(f"{name}: held reports", election, now)
    elif election.closed_at is None and election.policy.holds:
        yield ok(f"{name}: held reports", "none")
    if 1000 * len(held) >= NEARLY_PERMILLE * most:
        full = len(held) >= most
        make = error if full else warning
        yield make(
            f"{name}: number of held reports",
            f"{len(held)} of at most {most} (`most_open`)"
            f"{': the rules only warn now, and wrong counts become public at once' if full else ''}",
            "decide on the oldest first; if one rule holds too much, let it only warn with `valgnatt rules set`",
        )
    if election.not_judged:
        yield error(
            f"{name}: rules",
            f"a rule failed for {counted(election.not_judged, 'report')} of the last"
            f" {counted(election.judged, 'report')} (warning `not_judged`)",
            "look for lines `rule failed` in the log and report them; turn the rule off with `valgnatt rules set`",
        )


def _open(check: str, election: Election, now: datetime) -> Finding:
    """Return the open holds: their number and age, and from half an hour before the end of the embargo their names."""
    held = election.holds
    oldest_s = max((now - each.since).total_seconds() for each in held)
    text = f"{counted(len(held), 'report')}, the oldest for {duration(max(0.0, oldest_s))}"
    do = "run `valgnatt hold list`, call the senders, and release or reject them"
    left_s = (election.publish_from - now).total_seconds()
    if election.released_at is None and left_s <= SOON_S:
        ends = f"in {duration(left_s)}" if left_s > 0 else "now"
        return error(
            check, f"{text}; the embargo ends {ends} and does not wait for them: {some(_names(held))}", do
        )
    if election.closed_at is not None:
        return warning(check, f"{text}, although the election is closed: {some(_names(held))}", do)
    return warning(check, text, do) if oldest_s > WAITING_S else ok(check, text)


def _names(held: Sequence[OpenHold]) -> list[str]:
    return [f"{each.unit} revision {each.revision} ({', '.join(each.codes)})" for each in held]
