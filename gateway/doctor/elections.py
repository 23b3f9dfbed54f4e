"""PURE: checks of elections: embargo, registry and tokens."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from gateway.doctor.facts import Election, Facts
from gateway.doctor.findings import Finding, error, ok, some, warning
from gateway.doctor.holds import check_holds
from gateway.election.lookalikes import name_skeleton, shown
from gateway.election.registry import Area, Party, Registry
from gateway.election.validation import Scope
from gateway.humanize import counted, duration
from gateway.journal.election_reads import TokenSummary

OVER_S = 7 * 86_400.0
"""Seconds after its release until an open election is reported as forgotten."""
NIGHT_S = 86_400.0
"""Seconds after the release within which the expiry of a token may interrupt the count."""
LATE_S = 5.0
"""Seconds within which an embargo must be released after its end; usually it takes one."""


def check_elections(facts: Facts) -> Iterator[Finding]:
    """Check all elections that are loaded."""
    if facts.database is None or not facts.database.applied:
        return
    if not facts.elections:
        yield warning("elections", "no election is loaded", "run `valgnatt election load FILE`")
    yield from _valgresultat(facts)
    for election in facts.elections:
        name = f"election {election.registry.id}"
        if election.closed_at is not None:
            yield ok(name, f"closed, with {counted(election.accepted, 'report')}")
        else:
            yield _embargo(name, election, facts.now)
        yield from check_holds(election, facts.now)
        if election.closed_at is None and not _over(election, facts.now):
            yield from _registry(name, election.registry)
            yield from _tokens(election, facts.now)


def _valgresultat(facts: Facts) -> Iterator[Finding]:
    """Check that the election below `/api` is loaded."""
    shown = (facts.config.valgresultat or "").partition(":")[0]
    if shown and shown not in (election.registry.id for election in facts.elections):
        yield warning(
            "valgresultat",
            f"there is no election {shown}, so every path below /api is answered 404",
            "correct --valgresultat, or load the election",
        )


def _over(election: Election, now: datetime) -> bool:
    return election.released_at is not None and (now - election.released_at).total_seconds() > OVER_S


def _embargo(name: str, election: Election, now: datetime) -> Finding:
    left_s = (election.publish_from - now).total_seconds()
    until = election.publish_from.isoformat()
    if election.released_at is not None:
        since = duration((now - election.released_at).total_seconds())
        seen = f"public for {since}, {counted(election.accepted, 'report')}"
        if _over(election, now):
            do = f"run `valgnatt election close {election.registry.id}` if the election is over"
            return warning(name, f"{seen}, and still open for reports", do)
        return ok(name, seen)
    if left_s > 0:
        return ok(
            name,
            f"under embargo for {duration(left_s)}, until {until}; {counted(election.accepted, 'report')}",
        )
    if max(left_s, (election.loaded_at - now).total_seconds()) > -LATE_S:
        return ok(name, f"being published now, {until}")
    return error(
        name,
        f"the embargo ended {duration(left_s)} ago ({until}), but its results are not published",
        "start `valgnatt serve` with a push process, which ends embargoes",
    )


def _registry(name: str, registry: Registry) -> Iterator[Finding]:
    levels = Counter(area.level for area in registry.units.values())
    usual = levels.most_common(1)[0][0]
    odd = [f"{area.id} {area.name} ({area.level})" for area in registry.units.values() if area.level != usual]
    if odd:
        yield warning(
            f"{name}: registry",
            f"areas without units count as units themselves, while other units are a {usual}: {some(odd)}",
            "add their units to the registry and load it again before the first report",
        )
    else:
        yield ok(
            f"{name}: registry",
            f"{counted(len(registry.areas), 'area')}, {counted(len(registry.units), 'unit')}, each a {usual}",
        )
    yield from _names(f"{name}: names", registry)
    unknown = [area.id for area in registry.areas if area.eligible is None and not area.is_unit]
    if unknown:
        yield warning(
            f"{name}: eligible",
            f"no number of eligible voters, so no turnout: {some(unknown)}",
            "add `eligible` to these areas of the registry",
        )


def _names(check: str, registry: Registry) -> Iterator[Finding]:
    """Report areas with the same parent, and parties, with names that look alike, in any language.

    Elsewhere equal names are normal.
    """
    areas = ((area.parent, area.id, name) for area in registry.areas for name in _in_all_languages(area))
    parties = ((None, each.code, name) for each in registry.parties for name in _in_all_languages(each))
    same = [*_looking_alike(areas), *_looking_alike(parties)]
    if same:
        yield warning(
            check,
            f"names that look alike under one parent, or of two parties: {some(same)}",
            "check that each is meant to be there, and give them different names in the registry",
        )


def _in_all_languages(named: Area | Party) -> Iterator[str]:
    yield named.name
    yield from named.names.values()


def _looking_alike(named: Iterable[tuple[str | None, str, str]]) -> Iterator[str]:
    """Yield those with the same parent and a name that looks alike, once each; `named` has parents, IDs and names."""
    groups: dict[tuple[str | None, str], dict[str, str]] = {}
    for parent, identifier, name in named:
        groups.setdefault((parent, name_skeleton(name)), {}).setdefault(identifier, name)
    seen = set()
    for group in groups.values():
        if len(group) > 1 and tuple(group) not in seen:
            seen.add(tuple(group))
            yield _same(list(group.items()))


def _same(entries: Sequence[tuple[str, str]]) -> str:
    """Return what has the same name; for names that only look alike, with their code points."""
    first = entries[0][1]
    if all(name == first for _, name in entries):
        return f"{' and '.join(identifier for identifier, _ in entries)} {first}"
    return " and ".join(f"{identifier} {shown(name)}" for identifier, name in entries)


def _tokens(election: Election, now: datetime) -> Iterator[Finding]:
    registry, check = election.registry, f"election {election.registry.id}: tokens"
    active = [token for token in election.tokens if token.revoked_at is None]
    expired = [token for token in active if token.expired(now)]
    valid = [token for token in active if token not in expired]
    senders = [token for token in valid if token.role == "sender"]
    uncovered = _uncovered(registry, senders)
    if uncovered:
        make = warning if registry.rehearsal else error
        yield make(
            check,
            f"no sender's token for {counted(len(uncovered), 'municipality', 'municipalities')}:"
            f" {some([f'{area.id} {area.name}' for area in uncovered])}",
            _issue_command(registry, uncovered, partly=bool(senders)),
        )
    else:
        yield ok(check, f"{counted(len(senders), 'sender token')}, covering every unit")
    if expired:
        yield warning(
            check,
            f"expired: {some([_token(each) for each in expired])}",
            "issue new tokens where needed, and revoke these",
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
            f"expire before the count is over: {some([_token(each) for each in ending])}",
            "issue tokens that last longer",
        )
    unused = [each for each in valid if each.last_contact_at is None]
    if unused:
        yield warning(
            check,
            f"{len(unused)} of {len(valid)} never used: {some([_token(each) for each in unused])}",
            "ask each sender to use its token in a rehearsal, and revoke tokens that nobody needs",
        )


def _issue_command(registry: Registry, uncovered: Sequence[Area], *, partly: bool) -> str:
    """Return which command issues the tokens that are missing; `partly` if there are others."""
    command = f"valgnatt token issue --election {registry.id}"
    if len(uncovered) == 1:
        return f"run `{command} --areas {uncovered[0].id}`"
    levels = list(dict.fromkeys(area.level for area in uncovered))
    only = " --missing-only" if partly else ""
    commands = [f"`{command} --each {level}{only} --out tokens-{level}.csv`" for level in levels]
    return f"run {' and '.join(commands)}; --push-url names the push door in the addresses for the municipalities"


def _uncovered(registry: Registry, senders: Collection[TokenSummary]) -> list[Area]:
    """Return the municipalities with a unit that no token covers."""
    covered = frozenset(area for token in senders for area in token.areas)
    scope = Scope(registry, covered)
    found: dict[str, Area] = {}
    for unit, area in registry.units.items():
        if unit not in scope:
            municipality = registry.municipality(area)
            found[municipality.id] = municipality
    return list(found.values())


def _token(token: TokenSummary) -> str:
    return f"{token.key} ({token.note or ','.join(token.areas[:3])})"
