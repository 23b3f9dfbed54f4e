"""PURE: are the elections and their tokens complete?"""

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from gateway.doctor.facts import Election, Facts
from gateway.doctor.findings import Finding, error, ok, some, warning
from gateway.election.registry import Area, Registry
from gateway.election.validation import Scope
from gateway.humanize import duration
from gateway.journal.administration import TokenSummary

OVER_S = 7 * 86_400.0
"""After its release an election is counted for so long; open later, it was forgotten."""
NIGHT_S = 86_400.0
"""A token that ends within so long of the release may end in the middle of the count."""
LATE_S = 5.0
"""An embargo is lifted within a second of its end."""


def check_elections(facts: Facts) -> Iterator[Finding]:
    """All about what is loaded."""
    if facts.database is None or not facts.database.applied:
        return
    if not facts.elections:
        yield warning("elections", "no election is loaded", "load one: `valgnatt election load FILE`")
    for election in facts.elections:
        name = f"election {election.registry.id}"
        if election.closed_at is not None:
            yield ok(name, f"closed, with {election.accepted} reports")
            continue
        yield _embargo(name, election, facts.now)
        if _over(election, facts.now):
            continue
        yield from _registry(name, election.registry)
        yield from _tokens(election, facts.now)


def _over(election: Election, now: datetime) -> bool:
    return election.released_at is not None and (now - election.released_at).total_seconds() > OVER_S


def _embargo(name: str, election: Election, now: datetime) -> Finding:
    left_s = (election.publish_from - now).total_seconds()
    until = election.publish_from.isoformat()
    if election.released_at is not None:
        since = duration((now - election.released_at).total_seconds())
        seen = f"released {since} ago, {election.accepted} reports"
        if _over(election, now):
            do = f"`valgnatt election close {election.registry.id}`, if it is over"
            return warning(name, f"{seen}, and it still takes reports", do)
        return ok(name, seen)
    if left_s > 0:
        return ok(name, f"under embargo for {duration(left_s)}, until {until}; {election.accepted} reports")
    if max(left_s, (election.loaded_at - now).total_seconds()) > -LATE_S:
        return ok(name, f"to be released now, {until}")
    return error(
        name,
        f"its embargo ended {duration(left_s)} ago ({until}), and it is not released",
        "start a push process: `valgnatt serve`; it lifts embargoes",
    )


def _registry(name: str, registry: Registry) -> Iterator[Finding]:
    levels = Counter(area.level for area in registry.units.values())
    usual = levels.most_common(1)[0][0]
    odd = [f"{area.id} {area.name} ({area.level})" for area in registry.units.values() if area.level != usual]
    if odd:
        yield warning(
            f"{name}: registry",
            f"these have nothing below them, and so report themselves, where others have a {usual}: {some(odd)}",
            "put their units into the registry and load it again, before the first report",
        )
    else:
        yield ok(
            f"{name}: registry", f"{len(registry.areas)} areas, {len(registry.units)} units, each a {usual}"
        )
    unknown = [area.id for area in registry.areas if area.eligible is None and not area.is_unit]
    if unknown:
        yield warning(
            f"{name}: eligible",
            f"without a number of eligible voters, so without turnout: {some(unknown)}",
            "add `eligible` to these areas of the registry",
        )


def _tokens(election: Election, now: datetime) -> Iterator[Finding]:
    registry, check = election.registry, f"election {election.registry.id}: tokens"
    standing = [token for token in election.tokens if token.revoked_at is None]
    expired = [token for token in standing if token.expires_at is not None and token.expires_at <= now]
    valid = [token for token in standing if token not in expired]
    senders = [token for token in valid if token.role == "sender"]
    uncovered = _uncovered(registry, senders)
    if uncovered:
        make = warning if registry.rehearsal else error
        yield make(
            check,
            f"no sender's token for {len(uncovered)} municipalities: {some(uncovered)}",
            f"`valgnatt token issue --election {registry.id} --areas {uncovered[0].split()[0]}`, and so on",
        )
    else:
        yield ok(check, f"{len(senders)} senders' tokens, and every unit has one")
    if expired:
        yield warning(
            check,
            f"expired: {some([_token(each) for each in expired])}",
            "issue new ones where they are needed, and revoke these",
        )
    night = max(election.publish_from, election.released_at or election.publish_from) + timedelta(
        seconds=NIGHT_S
    )
    ending = [
        each for each in valid if each.expires_at is not None and each.expires_at < night and now < night
    ]
    if ending:
        yield warning(
            check,
            f"end before the count is over: {some([_token(each) for each in ending])}",
            "issue tokens that last longer",
        )
    unused = [each for each in valid if each.last_contact_at is None]
    if unused:
        yield warning(
            check,
            f"{len(unused)} of {len(valid)} were never used: {some([_token(each) for each in unused])}",
            "have each sender try its own in a rehearsal, and revoke those that nobody needs",
        )


def _uncovered(registry: Registry, senders: Collection[TokenSummary]) -> list[str]:
    """Return the municipalities of which some unit nobody may report for."""
    held = frozenset(area for token in senders for area in token.areas)
    scope = Scope(registry, held)
    found: dict[str, Area] = {}
    for unit, area in registry.units.items():
        if unit not in scope:
            municipality = registry.municipality(area)
            found[municipality.id] = municipality
    return [f"{area.id} {area.name}" for area in found.values()]


def _token(token: TokenSummary) -> str:
    return f"{token.key} ({token.note or ','.join(token.areas[:3])})"
