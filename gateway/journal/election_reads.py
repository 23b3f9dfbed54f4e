"""Reads of elections and their journals for operators and commands, without the head lock."""

from datetime import datetime

import msgspec
import orjson

from gateway.election.local_time import local_time_of
from gateway.election.record import JournalHold, JournalReport
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.session import Connection

JUDGED_MAX = 20_000
"""Reports that are looked at for rules that failed."""


class ElectionSummary(msgspec.Struct, frozen=True):
    """An election as an operator sees it."""

    id: str
    name: str
    rehearsal: bool
    publish_from: datetime
    """With the offset of the election's time zone."""
    released_at: datetime | None
    closed_at: datetime | None
    accepted: int
    loaded_at: datetime


_TOKENS = (
    "SELECT t.key, e.id, t.areas, t.role, t.note, t.issued_at, t.expires_at, t.revoked_at, c.last_at"
    " FROM token t JOIN election e ON e.key = t.election"
    " LEFT JOIN contact c ON c.election = t.election AND c.token = t.key"
)
"""Tokens, as in TokenSummary."""


class TokenSummary(msgspec.Struct, frozen=True):
    """A token as an operator sees it, without its secret."""

    key: int
    election: str
    areas: list[str]
    role: str
    note: str
    issued_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_contact_at: datetime | None

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and now >= self.expires_at


class OpenHold(msgspec.Struct, frozen=True):
    """A report that is held."""

    unit: str
    revision: int
    since: datetime
    codes: list[str]
    """The rules that hold it."""


class RulesState(msgspec.Struct, frozen=True):
    """What the rules of an election did: open holds, and whether rules failed lately."""

    holds: list[OpenHold]
    """The oldest first."""
    policy: bytes | None
    """The document of the policy, if an operator has changed it."""
    judged: int
    """The last reports of the record, JUDGED_MAX at most."""
    not_judged: int
    """Those of them for which a rule failed."""


class ElectionReads:
    """Reads on one connection. Raises JournalUnavailable."""

    _connection: Connection

    async def elections(self) -> list[ElectionSummary]:
        """Return all elections, ordered by identifier."""
        with translate_db_errors():
            rows = await self._connection.fetch(
                "SELECT e.id, e.registry, m.publish_from, m.released_at, h.closed_at, h.accepted, e.loaded_at"
                " FROM election e JOIN head h ON h.election = e.key JOIN embargo m ON m.election = e.key ORDER BY e.id"
            )
        summaries = []
        for row in rows:
            header = orjson.loads(row["registry"])["election"]
            rehearsal = header.get("rehearsal", False)
            publish_from = local_time_of(header, row["publish_from"])
            summaries.append(
                ElectionSummary(row["id"], header["name"], rehearsal, publish_from, *tuple(row)[3:])
            )
        return summaries

    async def registries(self) -> dict[str, Registry]:
        """Return the registry of each election, by its identifier."""
        with translate_db_errors():
            rows = await self._connection.fetch("SELECT id, registry FROM election ORDER BY id")
        return {row["id"]: read_registry(orjson.loads(row["registry"]), stored=True) for row in rows}

    async def journal_reports(self, election: str) -> list[JournalReport]:
        """Return every report of an election in order, about 1 kB each; for checks of the whole record."""
        with translate_db_errors():
            rows = await self._connection.fetch(
                "SELECT r.sequence, r.unit, r.revision, r.digest, r.chain, r.body,"
                " CASE WHEN m.released_at IS NOT NULL THEN greatest(r.accepted_at, m.released_at) END"
                " FROM report r JOIN embargo m ON m.election = r.election JOIN election e ON e.key = r.election"
                " WHERE e.id = $1 ORDER BY r.sequence",
                election,
            )
        return [JournalReport(*row) for row in rows]

    async def placed(self, election: str) -> int | None:
        """Return how many reports have a position in the record; None while some are held."""
        with translate_db_errors():
            placed: int | None = await self._connection.fetchval(
                "SELECT CASE WHEN h.open_holds = 0 THEN h.accepted END"
                " FROM head h JOIN election e ON e.key = h.election WHERE e.id = $1",
                election,
            )
        return placed

    async def rules_state(self, election: str) -> RulesState:
        """Return what the rules of an election did."""
        with translate_db_errors():
            holds = await self._connection.fetch(
                "SELECT k.unit, k.revision, k.since, k.codes FROM hold k JOIN election e ON e.key = k.election"
                " WHERE e.id = $1 AND k.state = 'open' ORDER BY k.since, k.unit",
                election,
            )
            policy: str | None = await self._connection.fetchval(
                "SELECT p.document FROM rules p JOIN election e ON e.key = p.election"
                " WHERE e.id = $1 ORDER BY p.key DESC LIMIT 1",
                election,
            )
            row = await self._connection.fetchrow(
                "SELECT count(*), count(*) FILTER (WHERE 'not_judged' = ANY (r.warnings))"
                " FROM report r JOIN head h ON h.election = r.election JOIN election e ON e.key = h.election"
                " WHERE e.id = $1 AND r.sequence > h.accepted - $2",
                election,
                JUDGED_MAX,
            )
        assert row is not None
        return RulesState(
            [OpenHold(*each) for each in holds], policy.encode() if policy is not None else None, *row
        )

    async def journal_holds(self, election: str) -> list[JournalHold]:
        """Return every hold of an election, open or ended, the first accepted first; for checks of the whole record."""
        with translate_db_errors():
            rows = await self._connection.fetch(
                "SELECT k.unit, k.revision, k.digest, k.state, k.sequence"
                " FROM hold k JOIN election e ON e.key = k.election"
                " WHERE e.id = $1 ORDER BY k.accepted_at, k.unit, k.revision",
                election,
            )
        return [JournalHold(*row) for row in rows]

    async def tokens(self, election: str | None) -> list[TokenSummary]:
        """Return the tokens of one election, or of all elections."""
        with translate_db_errors():
            rows = await self._connection.fetch(
                f"{_TOKENS} WHERE $1::text IS NULL OR e.id = $1 ORDER BY t.key", election
            )
        return [TokenSummary(*row) for row in rows]

    async def token(self, key: int) -> TokenSummary | None:
        """Return a token; None if there is none with this number."""
        with translate_db_errors():
            row = await self._connection.fetchrow(f"{_TOKENS} WHERE t.key = $1", key)
        return None if row is None else TokenSummary(*row)
