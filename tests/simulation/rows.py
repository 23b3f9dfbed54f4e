"""The tables of the journal as one simulated server has them, and the log of changes from which they follow.

A transaction changes nothing here. It yields a `Record` of rows as they are after it, which the server adds to its log,
and applies when the transaction becomes visible. Applying the same records in the order of the log to empty tables
makes the same tables: that is how a standby and a server after a crash get theirs.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from gateway.election.outcome import HoldState
from gateway.election.record import CHAIN_START

NEVER = datetime.min.replace(tzinfo=UTC)


class HeadRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `head`."""

    version: int = 1
    closed_at: datetime | None = None
    accepted: int = 0
    chain: bytes = CHAIN_START
    last_at: datetime = NEVER
    appends: int = 0
    confirmed_append: int = 0
    confirmed: int = 0
    hold_lines: int = 0
    hold_chain: bytes = CHAIN_START
    open_holds: int = 0


class EmbargoRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `embargo`."""

    publish_from: datetime
    released_at: datetime | None = None
    released_by: int = 0


class ReportRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `report`."""

    sequence: int
    unit: str
    revision: int
    received_at: datetime
    accepted_at: datetime
    digest: bytes
    chain: bytes
    body: bytes
    warnings: Sequence[str] | None


class HoldRow(msgspec.Struct, frozen=True):
    """A row of `hold`."""

    unit: str
    revision: int
    digest: bytes
    counts_digest: bytes
    body: bytes
    token: int
    received_at: datetime
    accepted_at: datetime
    since: datetime
    rules: str
    codes: Sequence[str]
    warnings: Sequence[str] | None
    state: HoldState = "open"
    ended_at: datetime | None = None
    decided_by: int | None = None
    reason: str | None = None
    note: str | None = None
    sequence: int | None = None


class LineRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `hold_line`."""

    number: int
    at: datetime
    unit: str
    revision: int
    state: str
    line: bytes
    chain: bytes
    append: int


class ConfirmationRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `confirmation`."""

    append: int = 0
    sequence: int = 0


class TokenRow(msgspec.Struct, frozen=True):
    """A row of `token`."""

    key: int
    digest: bytes
    areas: Sequence[str]
    role: str
    note: str = ""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class ContactRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `contact`."""

    token: int
    last_at: datetime


class RulesRow(msgspec.Struct, frozen=True):
    """A row of `rules`."""

    at: datetime
    author: int
    document: str


class CeilingRow(msgspec.Struct, frozen=True):
    """A row of `revision_ceiling`."""

    unit: str
    ceiling: int


class OpeningRow(msgspec.Struct, frozen=True):
    """The row of `opening`, of the first history."""

    entry: bytes
    append: int | None


class ElectionRow(msgspec.Struct, frozen=True):
    """A row of `election`, with its previous election."""

    id: str
    registry: bytes
    loaded_at: datetime
    previous: bytes | None


Row = (
    ElectionRow
    | HeadRow
    | EmbargoRow
    | ReportRow
    | HoldRow
    | LineRow
    | ConfirmationRow
    | TokenRow
    | ContactRow
    | RulesRow
    | CeilingRow
    | OpeningRow
)


class Record(msgspec.Struct, frozen=True):
    """What one transaction changed: rows as they are after it, each with the key of its election, in order."""

    changes: Sequence[tuple[int, Row]]


class Election:
    """The rows of one election."""

    election: ElectionRow
    head: HeadRow
    embargo: EmbargoRow

    def __init__(self, key: int) -> None:
        self.key = key
        self.confirmation = ConfirmationRow()
        self.reports: list[ReportRow] = []
        """In order: the one of sequence n is at n - 1."""
        self.revisions: dict[str, list[ReportRow]] = {}
        """The reports of each unit, which is to say, by rising revisions."""
        self.holds: dict[str, list[HoldRow]] = {}
        """The holds of each unit, by rising revisions."""
        self.lines: list[LineRow] = []
        self.tokens: dict[int, TokenRow] = {}
        self.contacts: dict[int, datetime] = {}
        self.rules: list[RulesRow] = []
        self.ceilings: dict[str, int] = {}
        self.opening: OpeningRow | None = None

    def report(self, unit: str, revision: int) -> ReportRow | None:
        """Return the report with this unit and revision."""
        return next((each for each in self.revisions.get(unit, ()) if each.revision == revision), None)

    def newest(self, unit: str) -> ReportRow | None:
        """Return the unit's report with the highest revision."""
        found = self.revisions.get(unit)
        return found[-1] if found else None

    def before(self, unit: str, revision: int) -> ReportRow | None:
        """Return the unit's report with the next lower revision."""
        return next(
            (each for each in reversed(self.revisions.get(unit, ())) if each.revision < revision), None
        )

    def hold(self, unit: str, revision: int) -> HoldRow | None:
        """Return the hold of the report with this unit and revision."""
        return next((each for each in self.holds.get(unit, ()) if each.revision == revision), None)

    def newest_hold(self, unit: str) -> HoldRow | None:
        """Return the unit's hold with the highest revision, which alone may be open."""
        found = self.holds.get(unit)
        return found[-1] if found else None

    def all_holds(self) -> Iterator[HoldRow]:
        """Yield every hold, open or ended."""
        for found in self.holds.values():
            yield from found

    def apply(self, row: Row) -> None:
        """Insert a row, or replace the one in its place."""
        match row:
            case HeadRow():
                self.head = row
            case EmbargoRow():
                self.embargo = row
            case ConfirmationRow():
                self._put_confirmation(row)
            case ReportRow():
                self._insert_report(row)
            case HoldRow():
                self._put_hold(row)
            case LineRow():
                assert row.number == len(self.lines) + 1, "a number was given twice, or left out"
                self.lines.append(row)
            case ContactRow():
                self.contacts[row.token] = max(row.last_at, self.contacts.get(row.token, row.last_at))
            case _:
                self._apply_act(row)

    def _apply_act(self, row: ElectionRow | TokenRow | RulesRow | CeilingRow | OpeningRow) -> None:
        match row:
            case ElectionRow():
                self.election = row
            case TokenRow():
                self.tokens[row.key] = row
            case RulesRow():
                self.rules.append(row)
            case CeilingRow():
                self.ceilings[row.unit] = row.ceiling
            case OpeningRow():
                self.opening = row

    def _put_confirmation(self, row: ConfirmationRow) -> None:
        """Never go back: updates of the row follow one another, and each keeps what is greater."""
        known = self.confirmation
        self.confirmation = ConfirmationRow(max(known.append, row.append), max(known.sequence, row.sequence))

    def _insert_report(self, row: ReportRow) -> None:
        assert row.sequence == len(self.reports) + 1, "a sequence was given twice, or left out"
        self.reports.append(row)
        revisions = self.revisions.setdefault(row.unit, [])
        assert not revisions or revisions[-1].revision < row.revision, "revisions must rise"
        revisions.append(row)

    def _put_hold(self, row: HoldRow) -> None:
        holds = self.holds.setdefault(row.unit, [])
        for place, each in enumerate(holds):
            if each.revision == row.revision:
                holds[place] = row
                return
        holds.append(row)


class Tables:
    """All rows of one server that are visible."""

    def __init__(self) -> None:
        self.elections: dict[int, Election] = {}
        self.keys: dict[str, int] = {}

    def apply(self, record: Record) -> None:
        """Apply what a transaction changed."""
        for key, row in record.changes:
            election = self.elections.get(key)
            if election is None:
                election = self.elections[key] = Election(key)
            election.apply(row)
            if type(row) is ElectionRow:
                self.keys[row.id] = key

    def of_id(self, identifier: str) -> Election | None:
        """Return the election with this identifier."""
        key = self.keys.get(identifier)
        return None if key is None else self.elections[key]

    def token(self, key: int) -> tuple[Election, TokenRow] | None:
        """Return a token and its election."""
        for election in self.elections.values():
            if (found := election.tokens.get(key)) is not None:
                return election, found
        return None
