"""What each statement of the gateway does on the rows of a simulated server.

The gateway's own code sends its statements; here is what they mean. Each is found by the text that it has in
`gateway.journal`, and one that is not known is an error, so that nothing runs on a server that does not know it. The
decisions of the functions in `gateway/journal/migrations` are made here once more, in Python; that they are the same is
shown by `tests/journal/test_journal_contract.py`, which runs against both.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import asyncpg
import orjson
from msgspec.structs import replace

from gateway.election.record import CHAIN_START, next_chain
from gateway.journal.appending import LOCK
from gateway.journal.continuation import LINES, REPORTS, SOME_REPORTS
from gateway.journal.db_errors import VERSION_CHANGED
from gateway.journal.holds import ENDED_MAX
from gateway.journal.session import COMMIT_SETTINGS
from gateway.transparency.entries import Opening, registry_hash
from tests.simulation.rows import (
    ConfirmationRow,
    ContactRow,
    Election,
    HeadRow,
    HoldRow,
    LineRow,
    OpeningRow,
    ReportRow,
    Row,
    RulesRow,
    Tables,
)

FOLLOWED_MAX = 200
"""How many superseded holds a decision passes over."""


def database_error(sqlstate: str, text: str) -> asyncpg.PostgresError:
    """Return the error that asyncpg raises for an error message of the server."""
    error: asyncpg.PostgresError = asyncpg.PostgresError.new({"S": "ERROR", "C": sqlstate, "M": text})
    return error


class Found:
    """A row of a result, as `asyncpg.Record` is one: values by name and by number, in order."""

    __slots__ = ("_columns", "_values")

    def __init__(self, columns: dict[str, int], values: Sequence[Any]) -> None:
        self._columns = columns
        self._values = values

    def __getitem__(self, key: str | int) -> Any:
        return self._values[self._columns[key] if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> Sequence[str]:
        """Return the names of the columns."""
        return tuple(self._columns)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield names and values."""
        return zip(self._columns, self._values, strict=True)


def _columns(names: str) -> Callable[..., Found]:
    """Return a function that makes rows with these columns."""
    columns = {name: place for place, name in enumerate(names.split())}

    def make(*values: Any) -> Found:
        assert len(values) == len(columns)
        return Found(columns, values)

    return make


class Transaction(Protocol):
    """What a statement sees of its transaction and of the server."""

    tables: Tables
    """What is visible; where the transaction has the head lock, nothing of that election changes meanwhile."""
    waits_for_standby: bool
    """Whether the server waits for a synchronous standby, as when the statement began."""
    synchronous: bool
    """Whether the commit waits for it; to be cleared by a transaction that does not."""
    idle_s: float | None
    """After how many seconds without a statement the server ends the session; None: as the session has it."""
    notifications: list[str]
    """Payloads that are sent when it has committed."""
    in_recovery: bool
    conf_loaded_at: datetime

    def now(self) -> datetime:
        """Return the time by the server's clock."""

    def change(self, election: int, row: Row) -> None:
        """Write a row."""

    def check_storable(self, unit: str) -> None:
        """Raise the error of a report that the server cannot store."""


Do = Callable[..., Sequence[Found]]


class Statement(NamedTuple):
    """One statement of the gateway."""

    marker: str
    """A part of its text that no other statement has; with `=` first, the whole text."""
    do: Do
    """What it does, given the transaction and the arguments."""
    head: bool = False
    """Whether it takes the head lock of the election in its first argument; it then needs the version in its second."""
    requires_standby: int | None = None
    """Which argument says whether a standby is required."""
    writes: bool = False


# Reports.


def _locked(tx: Transaction, election: int, version: int) -> Election:
    """See `lock_head`: the session has the lock already."""
    rows = tx.tables.elections.get(election)
    if rows is None:
        raise database_error("VG002", "no such election")
    if rows.head.version != version:
        raise database_error(
            VERSION_CHANGED, f"checked against version {version}, the election is at {rows.head.version}"
        )
    return rows


def _release(tx: Transaction, rows: Election, at: datetime, append: int) -> datetime | None:
    """See `release`, and `open_at_release`."""
    embargo = rows.embargo
    if embargo.released_at is None and at >= embargo.publish_from:
        embargo = replace(embargo, released_at=at, released_by=append)
        tx.change(rows.key, embargo)
        if rows.opening is None:
            tx.change(rows.key, OpeningRow(opening_of(rows, at), append))
    return embargo.released_at


def opening_of(rows: Election, at: datetime) -> bytes:
    """See `opening_bytes`, for the first history."""
    document = orjson.loads(rows.election.registry)
    return Opening(
        election=rows.election.id,
        history=1,
        opened_at=_micros(at),
        previous=None,
        registry=registry_hash(rows.election.registry),
        rehearsal=bool(document["election"].get("rehearsal", False)),
    ).encode()


def _micros(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _HoldList:
    """The list of holds of an election within an append, and the holds that it begins and ends."""

    def __init__(self, tx: Transaction, rows: Election, at: datetime, append: int) -> None:
        self._tx = tx
        self._rows = rows
        self._at = at
        self._append = append
        self.lines = rows.head.hold_lines
        self.chain = rows.head.hold_chain
        self.open = rows.head.open_holds
        self._changed: dict[tuple[str, int], HoldRow] = {}
        self._newest: dict[str, HoldRow] = {}

    def find(self, unit: str, revision: int) -> HoldRow | None:
        """Return a hold as it is now."""
        return self._changed.get((unit, revision)) or self._rows.hold(unit, revision)

    def open_of(self, unit: str) -> HoldRow | None:
        """Return the unit's open hold."""
        newest = self._newest.get(unit) or self._rows.newest_hold(unit)
        return newest if newest is not None and newest.state == "open" else None

    def begin(self, hold: HoldRow) -> None:
        """Insert a hold."""
        self.open += 1
        self._write(hold, "held", None, None)

    def end(self, hold: HoldRow) -> None:
        """Replace a hold by one that has ended."""
        self.open -= 1
        self._write(hold, hold.state, hold.reason, hold.digest if hold.state == "released" else None)

    def _write(self, hold: HoldRow, state: str, reason: str | None, digest: bytes | None) -> None:
        self._changed[hold.unit, hold.revision] = self._newest[hold.unit] = hold
        self._tx.change(self._rows.key, hold)
        self.lines += 1
        line = _line(self.lines, self._at, hold.unit, hold.revision, hold.codes, state, reason, digest)
        self.chain = hashlib.sha256(self.chain + hashlib.sha256(line).digest()).digest()
        row = LineRow(self.lines, self._at, hold.unit, hold.revision, state, line, self.chain, self._append)
        self._tx.change(self._rows.key, row)


def _line(
    number: int,
    at: datetime,
    unit: str,
    revision: int,
    codes: Sequence[str],
    state: str,
    reason: str | None,
    digest: bytes | None,
) -> bytes:
    """See `hold_line_bytes`."""
    document = {
        "at": _micros(at),
        "digest": digest.hex() if digest is not None else None,
        "number": number,
        "reason": reason,
        "revision": revision,
        "rules": list(codes),
        "state": state,
        "unit": unit,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


_APPENDED = _columns(
    "at released_at closed behind append_number accepted chain hold_lines hold_chain waits_for_standby sequences"
    " revisions_before current_before held_since found_sequences found_at found_same found_warnings found_states"
    " found_since found_codes found_ended found_reasons predecessors committed_after"
)


def append(
    tx: Transaction,
    election: int,
    version: int,
    chain: bytes | None,
    hold_chain: bytes | None,
    units: Sequence[str],
    revisions: Sequence[int],
    digests: Sequence[bytes],
    bodies: Sequence[bytes],
    received: Sequence[datetime],
    tokens: Sequence[int] | None,
    rules: Sequence[str | None] | None,
    codes: Sequence[str] | None,
    warnings: Sequence[str | None] | None,
    counts_digests: Sequence[bytes] | None,
    require_standby: bool,
    predecessors: bool,
) -> Sequence[Found]:
    """See `append_v4`."""
    rows = _locked(tx, election, version)
    head = rows.head
    if chain is not None and (chain != head.chain or hold_chain != head.hold_chain):
        return [_APPENDED(*[None] * 3, True, *[None] * 20, tx.now())]
    append = head.appends + 1
    at = max(tx.now(), head.last_at)
    released_at = _release(tx, rows, at, append)
    closed = head.closed_at is not None
    accepted, record_chain, new = head.accepted, head.chain, 0
    holds = _HoldList(tx, rows, at, append)
    sent = len(units)
    sequences: list[int | None] = [None] * sent
    newest: list[int] = []
    current: list[int] = []
    before_each: list[bytes | None] = []
    held_since: list[datetime | None] | None = [None] * sent if sent and rules is not None else None
    placed: dict[tuple[str, int], ReportRow] = {}
    sent_before: dict[
        str, tuple[int, int]
    ] = {}  # the highest revision of a unit, and that of those to be placed
    with_holds = head.hold_lines > 0 or rules is not None
    for place, unit in enumerate(units):
        revision = revisions[place]
        fired = rules[place] if rules is not None else None
        stored, in_batch = rows.newest(unit), sent_before.get(unit, (0, 0))
        before = stored.revision if stored is not None else 0
        current_before = before if closed else max(before, in_batch[1])
        if with_holds and (hold := rows.newest_hold(unit)) is not None:
            before = max(before, hold.revision)
        if not closed:
            before = max(before, in_batch[0])
        newest.append(before)
        current.append(current_before)
        before_each.append(stored.body if stored is not None and unit not in sent_before else None)
        sent_before[unit] = (
            max(in_batch[0], revision),
            in_batch[1] if fired is not None else max(in_batch[1], revision),
        )
        if closed or revision <= before:
            continue
        new += 1
        since = None
        if (hold := holds.open_of(unit)) is not None:
            since = hold.since
            holds.end(replace(hold, state="superseded", ended_at=at))
        tx.check_storable(unit)
        warned = warnings[place] if warnings is not None else None
        texts = orjson.loads(warned) if warned is not None else None
        if fired is None:
            accepted += 1
            record_chain = next_chain(record_chain, digests[place])
            sequences[place] = accepted
            row = ReportRow(
                accepted,
                unit,
                revision,
                received[place],
                at,
                digests[place],
                record_chain,
                bodies[place],
                texts,
            )
            placed[unit, revision] = row
            tx.change(election, row)
            continue
        assert held_since is not None
        assert tokens is not None
        assert codes is not None
        assert counts_digests is not None
        held_since[place] = since if since is not None else at
        holds.begin(
            HoldRow(
                unit,
                revision,
                digests[place],
                counts_digests[place],
                bodies[place],
                tokens[place],
                received[place],
                at,
                since if since is not None else at,
                fired,
                orjson.loads(codes[place]),
                texts,
            )
        )
    found: tuple[list[Any] | None, ...] = (None,) * 9
    if new < sent:
        lookups = [
            _known(
                placed.get((unit, revision)) or rows.report(unit, revision),
                holds.find(unit, revision) if holds.lines else None,
                digest,
            )
            for unit, revision, digest in zip(units, revisions, digests, strict=True)
        ]
        found = tuple(list(each) for each in zip(*lookups, strict=True))
        if not holds.lines:
            found = (*found[:4], None, None, None, None, None)
    tx.change(
        election,
        HeadRow(
            head.version,
            head.closed_at,
            accepted,
            record_chain,
            at,
            append,
            head.confirmed_append if tx.waits_for_standby else append,
            head.confirmed if tx.waits_for_standby else accepted,
            holds.lines,
            holds.chain,
            holds.open,
        ),
    )
    return [
        _APPENDED(
            at,
            released_at,
            closed,
            False,
            append,
            accepted,
            record_chain,
            holds.lines,
            holds.chain,
            tx.waits_for_standby,
            sequences,
            newest,
            current if with_holds else newest,
            held_since,
            *found,
            before_each
            if predecessors and sent and new == sent and not with_holds and warnings is None
            else None,
            tx.now(),
        )
    ]


def _known(report: ReportRow | None, hold: HoldRow | None, digest: bytes) -> tuple[Any, ...]:
    """Return what is found of a report under its unit and revision."""
    if hold is not None:
        return (
            hold.sequence if report is None else report.sequence,
            hold.accepted_at,
            hold.digest == digest,
            _json(hold.warnings if hold.warnings is not None or report is None else report.warnings),
            hold.state,
            hold.since,
            _json(hold.codes),
            hold.ended_at,
            hold.reason,
        )
    if report is not None:
        same = report.digest == digest
        return report.sequence, report.accepted_at, same, _json(report.warnings), None, None, None, None, None
    return (None,) * 9


def _json(texts: Sequence[str] | None) -> str | None:
    return orjson.dumps(list(texts)).decode() if texts is not None else None


_ENDS = _columns("accepted chain hold_lines hold_chain")


def _lock(tx: Transaction, election: int, version: int, idle_ms: int) -> Sequence[Found]:
    """See `lock_v1`."""
    tx.idle_s = idle_ms / 1000
    head = _locked(tx, election, version).head
    return [_ENDS(head.accepted, head.chain, head.hold_lines, head.hold_chain)]


def _ends(tx: Transaction, election: int) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    return (
        [_ENDS(rows.head.accepted, rows.head.chain, rows.head.hold_lines, rows.head.hold_chain)]
        if rows
        else []
    )


_PLACED = _columns("body chain sequence")


def _reports(tx: Transaction, election: int, first: int, last: int) -> Sequence[Found]:
    reports = tx.tables.elections[election].reports[max(0, first - 1) : max(0, last)]
    return [_PLACED(each.body, each.chain, each.sequence) for each in reports]


def _some_reports(tx: Transaction, election: int, first: int, last: int, bytes_max: int) -> Sequence[Found]:
    found, size = [], 0
    for row in _reports(tx, election, first, last):
        size += len(row["body"])
        if size <= bytes_max or row["sequence"] == first:
            found.append(row)
    return found


_LINE = _columns("unit revision state token chain number")


def _lines(tx: Transaction, election: int, first: int, last: int) -> Sequence[Found]:
    rows = tx.tables.elections[election]
    found = []
    for each in rows.lines[max(0, first - 1) : max(0, last)]:
        hold = rows.hold(each.unit, each.revision)
        assert hold is not None
        found.append(_LINE(each.unit, each.revision, each.state, hold.token, each.chain, each.number))
    return found


_BODY = _columns("body")


def _predecessors(
    tx: Transaction, election: int, units: Sequence[str], revisions: Sequence[int]
) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    found = [
        rows.before(unit, revision) if rows is not None else None
        for unit, revision in zip(units, revisions, strict=True)
    ]
    return [_BODY(row.body if row is not None else None) for row in found]


# Elections.

_NUMBER = _columns("version")


def _version(tx: Transaction, election: int) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    return [_NUMBER(rows.head.version)] if rows is not None else []


_VERSION = _columns("id version released")


def _versions(tx: Transaction) -> Sequence[Found]:
    return [
        _VERSION(rows.election.id, rows.head.version, rows.embargo.released_at is not None)
        for rows in tx.tables.elections.values()
    ]


_ELECTION = _columns("key registry version publish_from released_at closed_at rules ceiling_units ceilings")


def _election(tx: Transaction, identifier: str) -> Sequence[Found]:
    rows = tx.tables.of_id(identifier)
    if rows is None:
        return []
    units = sorted(rows.ceilings)
    return [
        _ELECTION(
            rows.key,
            rows.election.registry,
            rows.head.version,
            rows.embargo.publish_from,
            rows.embargo.released_at,
            rows.head.closed_at,
            rows.rules[-1].document if rows.rules else None,
            units,
            [rows.ceilings[unit] for unit in units],
        )
    ]


_TOKEN = _columns("version key digest areas role expires_at")


def _tokens(tx: Transaction, election: int) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    if rows is None:
        return []
    version = rows.head.version
    valid = [each for each in rows.tokens.values() if each.revoked_at is None]
    if not valid:
        return [_TOKEN(version, None, None, None, None, None)]
    return [
        _TOKEN(version, each.key, each.digest, list(each.areas), each.role, each.expires_at) for each in valid
    ]


# What senders read back.

_STORED = _columns(
    "version unit revision body digest sequence accepted_at placed_at released_at warnings current state since codes"
    " ended_at reason previous"
)


def _newest(tx: Transaction, election: int, units: Sequence[str]) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    if rows is None:
        return []
    found = []
    for unit in units:
        current, held = rows.newest(unit), rows.newest_hold(unit)
        if current is None and held is None:
            continue
        revision = max(each.revision for each in (current, held) if each is not None)
        report, hold = rows.report(unit, revision), rows.hold(unit, revision)
        shown = report if report is not None else hold
        assert shown is not None
        before = rows.before(unit, revision)
        warnings = hold.warnings if hold is not None and hold.warnings is not None else None
        found.append(
            _STORED(
                rows.head.version,
                unit,
                revision,
                shown.body,
                shown.digest,
                report.sequence if report is not None else None,
                hold.accepted_at if hold is not None else shown.accepted_at,
                report.accepted_at if report is not None else None,
                rows.embargo.released_at,
                warnings if warnings is not None or report is None else report.warnings,
                current.revision if current is not None else None,
                *(
                    (None,) * 5
                    if hold is None
                    else (hold.state, hold.since, hold.codes, hold.ended_at, hold.reason)
                ),
                before.body if before is not None else None,
            )
        )
    return found


_TRANSFER = _columns("hidden_until unit accepted last_accepted_at since")


def _transfers(tx: Transaction, election: int, units: Sequence[str]) -> Sequence[Found]:
    rows = tx.tables.elections[election]
    hidden = rows.embargo.publish_from if rows.embargo.released_at is None else None
    found = []
    for unit in dict.fromkeys(units):
        reports, hold = rows.revisions.get(unit), rows.newest_hold(unit)
        since = hold.since if hold is not None and hold.state == "open" else None
        if reports or since is not None:
            last = reports[-1].accepted_at if reports else None
            found.append(_TRANSFER(hidden, unit, len(reports or ()), last, since))
    return found or [_TRANSFER(hidden, None, 0, None, None)]


def _record_contacts(tx: Transaction, tokens: Sequence[int], times: Sequence[datetime]) -> Sequence[Found]:
    for key, at in sorted(zip(tokens, times, strict=True)):
        found = tx.tables.token(key)
        if found is not None:
            tx.change(found[0].key, ContactRow(key, at))
    return []


_CONTACT = _columns("area last_at")


def _contacts(tx: Transaction, election: int) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    if rows is None:
        return []
    latest: dict[str, datetime] = {}
    for key, at in rows.contacts.items():
        for area in rows.tokens[key].areas:
            latest[area] = max(at, latest.get(area, at))
    return [_CONTACT(area, at) for area, at in latest.items()]


# Holds.

_HOLD = _columns(
    "unit revision digest body token token_note accepted_at since rules codes warnings state ended_at decided_by"
    " decided_by_note reason note sequence current"
)


def _holds(tx: Transaction, election: int, units: Sequence[str], ended_max: int) -> Sequence[Found]:
    assert ended_max <= ENDED_MAX
    rows = tx.tables.elections.get(election)
    if rows is None:
        return []
    wanted = [hold for unit in dict.fromkeys(units) for hold in rows.holds.get(unit, ())]
    ended = [hold for hold in wanted if hold.ended_at is not None]
    ended.sort(key=lambda hold: hold.ended_at or hold.since, reverse=True)
    shown = [hold for hold in wanted if hold.ended_at is None] + ended[:ended_max]
    shown.sort(key=lambda hold: (hold.since, hold.accepted_at, hold.unit, hold.revision))
    return [_hold(rows, each) for each in shown]


def _hold(rows: Election, hold: HoldRow) -> Found:
    sender, operator = rows.tokens.get(hold.token), rows.tokens.get(hold.decided_by or 0)
    current = rows.newest(hold.unit)
    return _HOLD(
        hold.unit,
        hold.revision,
        hold.digest,
        hold.body,
        hold.token,
        sender.note if sender is not None else None,
        hold.accepted_at,
        hold.since,
        hold.rules,
        hold.codes,
        hold.warnings,
        hold.state,
        hold.ended_at,
        hold.decided_by,
        operator.note if operator is not None else None,
        hold.reason,
        hold.note,
        hold.sequence,
        current.body if current is not None else None,
    )


_DECIDED = _columns(
    "at released_at append_number accepted waits_for_standby codes revisions states sequences decided_at reasons"
    " newest_revisions committed_after"
)


class _Choice(NamedTuple):
    """Which hold a decision applies to, and why it cannot be made, if so."""

    hold: HoldRow | None
    code: str | None


def _decide(
    tx: Transaction,
    election: int,
    version: int,
    release: bool,
    units: Sequence[str],
    revisions: Sequence[int],
    digests: Sequence[bytes],
    reason: str,
    note: str,
    token: int,
    require_standby: bool,
) -> Sequence[Found]:
    """See `decide_v1`."""
    rows = _locked(tx, election, version)
    head = rows.head
    append = head.appends + 1
    at = max(tx.now(), head.last_at)
    released_at = _release(tx, rows, at, append)
    accepted, chain = head.accepted, head.chain
    state = "released" if release else "rejected"
    steps = [FOLLOWED_MAX]
    choices = [
        _choice(rows, unit, revision, digest, state, steps)
        for unit, revision, digest in zip(units, revisions, digests, strict=True)
    ]
    refused = any(choice.code is not None for choice in choices)
    holds = _HoldList(tx, rows, at, append)
    chosen: list[HoldRow | None] = [choice.hold for choice in choices]
    if not refused:
        for place, each in enumerate(chosen):
            assert each is not None
            hold = holds.find(each.unit, each.revision)
            assert hold is not None
            if hold.state == "open":
                sequence = None
                if release:
                    accepted += 1
                    sequence = accepted
                    chain = next_chain(chain, hold.digest)
                    tx.change(
                        election,
                        ReportRow(
                            sequence,
                            hold.unit,
                            hold.revision,
                            hold.received_at,
                            at,
                            hold.digest,
                            chain,
                            hold.body,
                            hold.warnings,
                        ),
                    )
                hold = replace(
                    hold,
                    state="released" if release else "rejected",
                    ended_at=at,
                    decided_by=token,
                    reason=reason,
                    note=note,
                    sequence=sequence,
                )
                holds.end(hold)
            chosen[place] = hold
    tx.change(
        election,
        replace(
            head,
            accepted=accepted,
            chain=chain,
            last_at=at,
            appends=append,
            hold_lines=holds.lines,
            hold_chain=holds.chain,
            open_holds=holds.open,
            confirmed_append=head.confirmed_append if tx.waits_for_standby else append,
            confirmed=head.confirmed if tx.waits_for_standby else accepted,
        ),
    )
    return [
        _DECIDED(
            at,
            released_at,
            append,
            accepted,
            tx.waits_for_standby,
            [choice.code for choice in choices],
            [
                hold.revision
                if hold is not None and choice.code not in ("not_held", "revision_conflict")
                else named
                for hold, choice, named in zip(chosen, choices, revisions, strict=True)
            ],
            [hold.state if hold is not None else None for hold in chosen],
            [hold.sequence if hold is not None else None for hold in chosen],
            [
                hold.ended_at if hold is not None and hold.state in ("released", "rejected") else None
                for hold in chosen
            ],
            [hold.reason if hold is not None else None for hold in chosen],
            [
                _newest_revision(rows, unit) if choice.code is not None else None
                for unit, choice in zip(units, choices, strict=True)
            ],
            tx.now(),
        )
    ]


def _choice(rows: Election, unit: str, revision: int, digest: bytes, state: str, steps: list[int]) -> _Choice:
    hold = rows.hold(unit, revision)
    if hold is None:
        return _Choice(None, "not_held")
    if hold.digest != digest:
        return _Choice(hold, "revision_conflict")
    while hold.state == "superseded" and steps[0]:
        steps[0] -= 1
        later = [each.revision for each in rows.holds[unit] if each.revision > hold.revision]
        later += [each.revision for each in rows.revisions.get(unit, ()) if each.revision > hold.revision]
        following = rows.hold(unit, min(later)) if later else None
        if following is None or following.counts_digest != hold.counts_digest:
            break
        hold = following
    if hold.state == "superseded":
        return _Choice(hold, "superseded")
    return _Choice(hold, None if hold.state in ("open", state) else "decided_otherwise")


def _newest_revision(rows: Election, unit: str) -> int | None:
    found = [each.revision for each in (rows.newest(unit), rows.newest_hold(unit)) if each is not None]
    return max(found, default=None)


_POLICY = _columns("document at author note")


def _policy(tx: Transaction, election: int) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    if rows is None or not rows.rules:
        return []
    last = rows.rules[-1]
    author = rows.tokens.get(last.author)
    return [_POLICY(last.document, last.at, last.author, author.note if author is not None else None)]


_CHANGED = _columns("changed committed_after")


def _set_policy(
    tx: Transaction, election: int, version: int, document: str, token: int, require_standby: bool
) -> Sequence[Found]:
    """See `set_rules_v1`."""
    rows = _locked(tx, election, version)
    changed = not rows.rules or rows.rules[-1].document != document
    if changed:
        tx.change(election, RulesRow(tx.now(), token, document))
    tx.change(election, replace(rows.head, version=version + changed))
    return [_CHANGED(changed, tx.now())]


# After a commit.

_SETTLED = _columns("named loaded_at settled")


def _waited(tx: Transaction, committed_after: datetime, settled_s: float) -> Sequence[Found]:
    settled = tx.conf_loaded_at < committed_after - timedelta(seconds=settled_s)
    return [_SETTLED(tx.waits_for_standby, tx.conf_loaded_at, settled)]


_RELOADED = _columns("loaded_at settled")


def _reloaded(tx: Transaction, settled_s: float) -> Sequence[Found]:
    """See `appending.wait_until_settled`."""
    return [_RELOADED(tx.conf_loaded_at, tx.conf_loaded_at < tx.now() - timedelta(seconds=settled_s))]


_LOADED = _columns("pg_conf_load_time")


def _conf_load_time(tx: Transaction) -> Sequence[Found]:
    return [_LOADED(tx.conf_loaded_at)]


_WAITS = _columns("waits now")


def _waits(tx: Transaction) -> Sequence[Found]:
    return [_WAITS(tx.waits_for_standby, tx.now())]


_CONFIRMED = _columns("case known")


def _confirm(tx: Transaction, election: int, append: int, accepted: int) -> Sequence[Found]:
    """See `confirm_v1`, which is called if the append is known."""
    tx.synchronous = False
    rows = tx.tables.elections.get(election)
    if rows is None:
        return []
    known = rows.head.appends >= append
    if known:
        tx.change(election, ConfirmationRow(append, min(accepted, rows.head.accepted)))
    return [_CONFIRMED(None, known)]


_UNCONFIRMED = _columns("id confirmed")


def _unconfirmed(tx: Transaction) -> Sequence[Found]:
    found = [
        (rows, max(rows.head.confirmed_append, rows.confirmation.append))
        for rows in tx.tables.elections.values()
    ]
    return [_UNCONFIRMED(rows.election.id, append) for rows, append in found if append < rows.head.appends]


def _notify(tx: Transaction) -> Sequence[Found]:
    tx.synchronous = False  # nothing was written, so there is nothing to wait for
    tx.notifications.append("")
    return []


def _notify_act(tx: Transaction, channel: str, payload: str) -> Sequence[Found]:
    tx.synchronous = False
    tx.notifications.append(payload)
    return []


# What the role of a feed reads.


class Shown(NamedTuple):
    """What may be shown of an election."""

    released_at: datetime | None = None
    closed_at: datetime | None = None
    sequence: int = 0
    chain: bytes = CHAIN_START
    accepted: int = 0
    hold_lines: int = 0
    hold_chain: bytes = CHAIN_START


def shown(rows: Election) -> Shown:
    """See `shown_v2`: nothing before the release is confirmed, and then as far as the record is confirmed."""
    head, embargo = rows.head, rows.embargo
    if embargo.released_at is None:
        return Shown()
    append = max(head.confirmed_append, rows.confirmation.append)
    if append < embargo.released_by:
        return Shown()
    sequence = min(head.accepted, max(head.confirmed, rows.confirmation.sequence))
    lines = head.hold_lines
    if append < head.appends:
        while lines and rows.lines[lines - 1].append > append:
            lines -= 1
    return Shown(
        embargo.released_at,
        head.closed_at,
        sequence,
        rows.reports[sequence - 1].chain if sequence else CHAIN_START,
        head.accepted,
        lines,
        rows.lines[lines - 1].chain if lines else CHAIN_START,
    )


_HEAD = _columns(
    "key id loaded_at publish_from released_at closed_at sequence chain accepted standby hold_lines hold_chain"
)


def _heads(tx: Transaction) -> Sequence[Found]:
    found = []
    for rows in tx.tables.elections.values():
        part = shown(rows)
        found.append(
            _HEAD(
                rows.key,
                rows.election.id,
                rows.election.loaded_at,
                rows.embargo.publish_from,
                *part[:5],
                tx.in_recovery,
                *part[5:],
            )
        )
    return found


_DOCUMENT = _columns("document")


def _registry(tx: Transaction, election: int) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    return [_DOCUMENT(rows.election.registry if rows is not None else None)]


def _previous(tx: Transaction, election: int) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    return [_DOCUMENT(rows.election.previous if rows is not None else None)]


_PUBLICATION = _columns(
    "sequence published_at unit revision digest chain body received_at accepted_at held_since held_rules"
)


def _publications(tx: Transaction, election: int, after: int, most: int) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    part = shown(rows) if rows is not None else Shown()
    if rows is None or part.released_at is None:
        return []
    found = []
    for row in rows.reports[after : min(part.sequence, after + min(most, 10_000))]:
        hold = rows.hold(row.unit, row.revision) if part.hold_lines else None
        found.append(
            _PUBLICATION(
                row.sequence,
                max(row.accepted_at, part.released_at),
                row.unit,
                row.revision,
                row.digest,
                row.chain,
                row.body,
                row.received_at,
                row.accepted_at,
                hold.since if hold is not None else None,
                hold.codes if hold is not None else None,
            )
        )
    return found


_HOLD_LINE = _columns("number line chain unit state since")


def _hold_lines(tx: Transaction, election: int, after: int, most: int) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    if rows is None:
        return []
    found = []
    for each in rows.lines[after : min(shown(rows).hold_lines, after + min(most, 10_000))]:
        hold = rows.hold(each.unit, each.revision)
        since = hold.since if hold is not None else each.at
        found.append(_HOLD_LINE(each.number, each.line, each.chain, each.unit, each.state, since))
    return found


_UNAPPLIED = _columns("unit accepted oldest_published_at last_accepted_at")


def _unapplied(tx: Transaction, election: int, after: int) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    part = shown(rows) if rows is not None else Shown()
    if rows is None or part.released_at is None:
        return []
    units: dict[str, list[datetime]] = {}
    for row in rows.reports[after : part.sequence]:
        units.setdefault(row.unit, []).append(row.accepted_at)
    return [
        _UNAPPLIED(unit, len(times), max(min(times), part.released_at), max(times))
        for unit, times in units.items()
    ]


def _public_contacts(tx: Transaction, election: int) -> Sequence[Found]:
    rows = tx.tables.elections.get(election)
    return _contacts(tx, election) if rows is not None and shown(rows).released_at is not None else []


_LOG = _columns("key id history opening closing origin vkeys witnesses size changes")


def _logs(tx: Transaction) -> Sequence[Found]:
    """See `logs`: openings alone, since nothing is signed here."""
    found = []
    for rows in tx.tables.elections.values():
        opening = rows.opening
        if opening is not None and (opening.append is None or shown(rows).released_at is not None):
            closing = _closing(rows)
            found.append(_LOG(rows.key, rows.election.id, 1, opening.entry, closing, None, [], [], 0, 0))
    return found


def _closing(rows: Election) -> bytes | None:
    """See `closing_bytes`."""
    part, head = shown(rows), rows.head
    if part.closed_at is None or part.sequence != part.accepted:
        return None
    if head.open_holds or head.hold_lines != part.hold_lines:
        return None
    document = {
        "chain": part.chain.hex(),
        "closed_at": _micros(part.closed_at),
        "entry": "closing/1",
        "sequence": part.sequence,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _nothing(tx: Transaction, *arguments: object) -> Sequence[Found]:
    return []


_ONE = _columns("one")


def _one(tx: Transaction) -> Sequence[Found]:
    return [_ONE(1)]


_STATEMENTS = (
    Statement(" FROM append_v4(", append, head=True, requires_standby=14, writes=True),
    Statement(f"={LOCK}", _lock, head=True, writes=True),
    Statement(f"={REPORTS}", _reports),
    Statement(f"={SOME_REPORTS}", _some_reports),
    Statement(f"={LINES}", _lines),
    Statement(
        "=SELECT h.accepted, h.chain, h.hold_lines, h.hold_chain FROM head h WHERE h.election = $1", _ends
    ),
    Statement("WITH ORDINALITY AS s (unit, revision, place)", _predecessors),
    Statement("=SELECT version FROM head WHERE election = $1", _version),
    Statement("SELECT e.id, h.version, m.released_at IS NOT NULL", _versions),
    Statement("SELECT e.key, e.registry, h.version, m.publish_from", _election),
    Statement("SELECT h.version, t.key, t.digest", _tokens),
    Statement("SELECT h.version, s.unit, coalesce(r.revision, k.revision)", _newest),
    Statement("SELECT CASE WHEN m.released_at IS NULL THEN m.publish_from END,   r.unit", _transfers),
    Statement("INSERT INTO contact AS c", _record_contacts, writes=True),
    Statement("SELECT area, max(c.last_at) FROM contact c", _contacts),
    Statement("SELECT k.unit, k.revision, k.digest, k.body, k.token, sender.note", _holds),
    Statement(" FROM decide_v1(", _decide, head=True, requires_standby=9, writes=True),
    Statement("SELECT s.document, s.at, s.author, t.note FROM rules s", _policy),
    Statement("SELECT set_rules_v1(", _set_policy, head=True, requires_standby=4, writes=True),
    Statement("pg_conf_load_time() < $1::timestamptz", _waited),
    Statement("pg_conf_load_time() < clock_timestamp()", _reloaded),
    Statement("=SELECT pg_conf_load_time()", _conf_load_time),
    Statement("SELECT waits_for_standby(false)", _waits),
    Statement(f"=SELECT {COMMIT_SETTINGS}", _nothing),
    Statement("THEN confirm_v1(", _confirm, writes=True),
    Statement("SELECT e.id, greatest(h.confirmed_append, c.append) AS confirmed", _unconfirmed),
    Statement("=NOTIFY valgnatt", _notify, writes=True),
    Statement("pg_notify($1, $2)", _notify_act, writes=True),
    Statement("FROM valgnatt_public.elections_v2()", _heads),
    Statement("valgnatt_public.registry(", _registry),
    Statement("valgnatt_public.previous(", _previous),
    Statement("valgnatt_public.record_v2(", _publications),
    Statement("valgnatt_public.hold_lines(", _hold_lines),
    Statement("valgnatt_public.unapplied(", _unapplied),
    Statement("valgnatt_public.contacts(", _public_contacts),
    Statement("valgnatt_public.logs()", _logs),
    Statement("valgnatt_public.checkpoints(", _nothing),
    Statement("valgnatt_public.cosignatures(", _nothing),
    Statement("SELECT count_refusals_v1(", _nothing),
    Statement("SELECT note_waiting_v1(", _nothing),
    Statement("=SELECT 1", _one),
)
_known_statements: dict[str, Statement] = {}


def statement(query: str) -> Statement:
    """Return the statement with this text. Raises KeyError if the simulated server does not know it."""
    known = _known_statements.get(query)
    if known is None:
        found = [
            each
            for each in _STATEMENTS
            if (query == each.marker[1:] if each.marker[0] == "=" else each.marker in query)
        ]
        if len(found) != 1:
            raise KeyError(f"a statement that the simulated database does not know: {query}")
        known = _known_statements[query] = found[0]
    return known
