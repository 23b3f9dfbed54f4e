"""`GET …/holds` and `POST …/decisions`: held reports for operators, and what they decide about them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import hdrs, web

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.election.local_time import local_time
from gateway.election.registry import Registry
from gateway.election.report import Report, decode_stored
from gateway.election.rules.evidence import read_evidence
from gateway.errors import JournalUnavailable, MalformedDocument, RoleForbidden
from gateway.journal.db_errors import VersionChanged
from gateway.journal.elections import ElectionVersion, Token
from gateway.journal.holds import HoldConflict, HoldDecided, HoldDecision, HoldName, HoldRow, HoldsDecided
from gateway.journal.intake import Intake, OpenElection
from gateway.web.answers import JSON, Problem
from gateway.web.push_body import Steps
from gateway.web.push_receiving import receive_content
from gateway.web.queries import refuse_those
from gateway.web.shares import ByteBudget, ByteReservation
from gateway.web.turns import SLICE_S, Turns
from gateway.wire.decisions import BODY_MAX, Decision, read_decision
from gateway.wire.hold_areas import add_names, areas_in
from gateway.wire.holds import (
    HOLDS_MAX,
    AreaNames,
    Decided,
    DecisionAnswer,
    DecisionConflict,
    FiredRule,
    Hold,
    HoldEmbargo,
    HoldList,
    HoldSender,
    conflict_members,
    encoded,
    selected,
    violation_members,
)

STATES = ("open", "all")
"""The values of the parameter `state`."""
ATTEMPTS = 5
"""How often a decision is tried while the election changes."""
Now = Mapping[int, Sequence[str] | None]
"""The rules that would hold a report if it arrived now, by the place of its hold; None where that is not known."""


def require_operator(token: Token, what: str) -> None:
    """Raise RoleForbidden for a sender's token; `what` is "the board is", for example."""
    if token.role != "operator":
        raise RoleForbidden(f"{what} for operators; a token of role {token.role} may not be used here")


def state_of(request: web.Request) -> str:
    """Return which holds a request asks for. Raises Problem."""
    refuse_those(request, ["after", "limit"], "feed")
    state = request.query.get("state", STATES[0])
    if state not in STATES:
        raise Problem(400, "bad_query", f"state is one of {', '.join(STATES)}")
    return state


async def receive_document(request: web.Request, bodies: ByteBudget, token: Token) -> bytes:
    """Return the body of a request, JSON of at most BODY_MAX bytes. Raises Problem, Overloaded."""
    if request.content_type != JSON:
        raise Problem(415, "unsupported_type", f"Content-Type must be {JSON}")
    if hdrs.CONTENT_ENCODING in request.headers:
        raise Problem(415, "unsupported_encoding", "Content-Encoding must be absent")
    with ByteReservation(bodies, token.key, "request bodies") as memory:
        return await receive_content(request, memory, BODY_MAX)


class PushHolds:
    """Lists holds and decides about them."""

    def __init__(
        self, intake: Intake, bodies: ByteBudget, turns: Turns, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._intake = intake
        self._clock = clock
        self._bodies = bodies
        self._turns = turns

    async def list(self, election: OpenElection, token: Token, state: str) -> bytes:
        """Return the holds of the token's units as JSON. Raises TokenInvalid, JournalUnavailable."""
        token = await self._intake.confirm_token(election, token)
        version = election.current
        units = [unit for unit in version.registry.units if unit in token.scope]
        rows = await self._intake.journal.holds(version.key, units, ended=state == "all")
        opened = [place for place, row in enumerate(rows) if row.state == "open"][:HOLDS_MAX]
        async with self._turns.work(token.key, SLICE_S) as work:
            reports = await work.run(_reports([rows[place] for place in opened]))
        holding = await election.writer.holding_now(version, reports)
        now = dict(zip(opened, holding, strict=True))
        async with self._turns.work(token.key, SLICE_S) as work:
            return await work.run(list_document(version, token, rows, self._clock.now(), now))

    async def decide(self, request: web.Request, election: OpenElection, token: Token) -> bytes:
        """Decide as the body of a request says; return the answer as JSON.

        Raises Problem, TokenInvalid, Overloaded and JournalUnavailable.
        """
        body = await receive_document(request, self._bodies, token)
        try:
            decision = read_decision(body)
        except MalformedDocument as error:
            raise Problem.of(error) from None
        if not isinstance(decision, Decision):
            detail = "the decision has mistakes"
            raise Problem(422, "invalid_decision", detail, members=violation_members(decision))
        for _ in range(ATTEMPTS):
            token = await self._intake.confirm_token(election, token)
            require_operator(token, "decisions are")
            version = election.current
            if not all(each.unit in token.scope for each in decision.holds):
                raise Problem.of_code("unit_forbidden", "this token may not decide about one of these units")
            try:
                decided = await self._intake.journal.decide(
                    version.key, version.version, _of_journal(decision, token)
                )
            except VersionChanged:
                continue
            return answer(version, decided)
        raise JournalUnavailable("the election kept changing while a decision was made")


def _of_journal(decision: Decision, token: Token) -> HoldDecision:
    return HoldDecision(
        release=decision.decide == "release",
        holds=[HoldName(each.unit, each.revision, bytes.fromhex(each.digest)) for each in decision.holds],
        reason=decision.reason,
        note=decision.note,
        token=token.key,
    )


def answer(version: ElectionVersion, decided: HoldsDecided) -> bytes:
    """Return the answer to a decision that was made. Raises Problem if it was not."""
    if decided.conflicts:
        conflicts = list(map(_conflict, decided.conflicts))
        named = ", ".join(f"{each.unit} revision {each.revision}: {each.code}" for each in conflicts[:3])
        more = f" and {len(conflicts) - 3} more" if len(conflicts) > 3 else ""
        raise Problem(
            409, "not_decided", f"nothing was decided: {named}{more}", members=conflict_members(conflicts)
        )
    public = decided.released_at is not None
    return encoded(DecisionAnswer(version.id, [_decided(each, is_public=public) for each in decided.decided]))


def _decided(each: HoldDecided, *, is_public: bool) -> Decided:
    return Decided(
        each.unit, each.revision, each.state, each.sequence if is_public else None, each.decided_at
    )


def _conflict(each: HoldConflict) -> DecisionConflict:
    newer = each.newest_revision is not None and each.newest_revision > each.revision
    return DecisionConflict(
        each.unit,
        each.revision,
        each.code,
        state=each.state,
        newest_revision=each.newest_revision if newer else None,
        decided_at=each.decided_at,
        reason=each.reason,
    )


def _reports(rows: Iterable[HoldRow]) -> Steps[list[Report]]:
    """Return the reports of holds."""
    reports = []
    for row in rows:
        reports.append(decode_stored(row.body))
        yield
    return reports


def list_document(
    version: ElectionVersion, token: Token, rows: Sequence[HoldRow], server_time: datetime, now: Now
) -> Steps[bytes]:
    """Return the list of holds, which come oldest first, for a token."""
    registry = version.registry
    named: dict[str, AreaNames] = {}
    sizes = [len(row.body) + len(row.current or b"") for row in rows]
    chosen = selected(sizes, [row.state == "open" for row in rows])
    holds: list[msgspec.Raw] = []
    for place in chosen:
        hold = hold_of(version, token, rows[place], now.get(place))
        holds.append(msgspec.Raw(encoded(hold)))
        add_names(named, registry, (hold.unit, *areas_in(hold.rules)))
        yield
    hidden_until = None if version.released else local_time(registry, version.publish_from)
    document = HoldList(
        election=registry.id,
        name=registry.name,
        rehearsal=registry.rehearsal,
        server_time=server_time,
        open_=sum(row.state == "open" for row in rows),
        most_open=version.policy.most_open,
        embargo=HoldEmbargo(hidden_until),
        closed=version.closed,
        omitted=len(rows) - len(chosen),
        areas=named,
        holds=holds,
    )
    return encoded(document)


def hold_of(version: ElectionVersion, token: Token, row: HoldRow, now: Sequence[str] | None) -> Hold:
    """Return a hold as an operator sees it; `now` has the rules that would hold an open one now."""
    registry = version.registry
    report = decode_stored(row.body)
    unit = registry.units.get(row.unit)
    ended_by = None
    if row.decided_by is not None:
        ended_by = HoldSender(row.decided_by, row.decided_by_note or "")
    return Hold(
        unit=row.unit,
        municipality=registry.municipality(unit).id if unit is not None else row.unit,
        revision=row.revision,
        state=row.state,
        digest=row.digest.hex(),
        accepted_at=row.accepted_at,
        since=row.since,
        ballots=report.ballots,
        rules=[fired_rule(each, registry, token.areas) for each in row.rules],
        now=_now(row, now),
        report=msgspec.Raw(row.body),
        stands=msgspec.Raw(row.current) if row.current is not None else None,
        sender=HoldSender(row.token, row.token_note),
        ended_at=row.ended_at,
        decided_by=ended_by,
        reason=row.reason,
        note=row.note,
        sequence=row.sequence if version.released else None,
    )


def _now(row: HoldRow, now: Sequence[str] | None) -> list[str] | None:
    if row.state != "open":
        return []
    return list(now) if now is not None else None


def fired_rule(stored: Mapping[str, Any], registry: Registry, areas: Collection[str]) -> FiredRule:
    """Return a rule that fired, with its evidence as far as a token for these areas may see it.

    Of evidence that another version of the gateway wrote, only the code is known to be safe to show.
    """
    code, evidence = str(stored["code"]), dict(stored.get("evidence") or {})
    evidence.setdefault("code", code)
    try:
        document = read_evidence(evidence).document(lambda area: _reaches(registry, areas, area))
    except msgspec.ValidationError:
        document = {}
    document.pop("code", None)
    return FiredRule(code, str(stored["do"]), document)


def _reaches(registry: Registry, areas: Collection[str], identifier: str) -> bool:
    """Whether an area is at or below one of these."""
    area = registry.by_id.get(identifier)
    if area is None:
        return False
    return any(registry.areas[index].id in areas for index in (area.index, *area.path))
