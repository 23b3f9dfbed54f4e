"""Held reports in the journal, the decisions on them, and the policy of rules.

A decision is an append: it takes the head lock, waits for the standby, and is announced. A change of the policy is an
administrative act. See `migrations/0006_holds.sql`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import asyncpg
import msgspec
import orjson

from gateway.election.outcome import HoldConflictCode, HoldState
from gateway.journal.appending import committed
from gateway.journal.connection import acquired
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.decisions import Appended
from gateway.journal.journal_connections import JournalConnections
from gateway.journal.notifications import notify_act
from gateway.journal.session import COMMIT_SETTINGS

ENDED_MAX = 500
"""Ended holds that are returned at most, those that ended last."""


class HoldRow(msgspec.Struct, frozen=True, kw_only=True):
    """A hold, open or ended."""

    unit: str
    revision: int
    digest: bytes
    body: bytes
    """The canonical bytes of the held report."""
    token: int
    """The sender's."""
    token_note: str
    accepted_at: datetime
    since: datetime
    """Since when the unit has been held without interruption."""
    rules: Sequence[dict[str, Any]]
    """Every rule that fired, each with `code`, `do` and its `evidence`."""
    codes: Sequence[str]
    """The rules that hold the report."""
    warnings: Sequence[str]
    """The warnings of rules in its receipt."""
    state: HoldState
    ended_at: datetime | None
    decided_by: int | None
    """The operator's token."""
    decided_by_note: str | None
    reason: str | None
    note: str | None
    sequence: int | None
    """Its position, once it is released."""
    current: bytes | None
    """The body of the unit's current report; None if it has none."""


class HoldName(msgspec.Struct, frozen=True):
    """A held report, as a decision names it."""

    unit: str
    revision: int
    digest: bytes


class HoldDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision on held reports: all of them in this order, or none."""

    release: bool
    """Whether they are released; otherwise they are rejected."""
    holds: Sequence[HoldName]
    reason: str
    note: str
    token: int
    """The operator's."""


class HoldDecided(msgspec.Struct, frozen=True):
    """What was decided on one report, as it was first decided."""

    unit: str
    revision: int
    """The one that was decided: a later one than named if that had the same counts."""
    state: HoldState
    sequence: int | None
    """Its position, if it was released; not to be shown under embargo."""
    decided_at: datetime


class HoldConflict(msgspec.Struct, frozen=True):
    """Why a named report was not decided, and therefore no other."""

    unit: str
    revision: int
    """As named."""
    code: HoldConflictCode
    state: HoldState | None
    """Of the report that the decision would apply to; None if the named one was never held."""
    newest_revision: int | None
    """Of the unit; None if it has none."""
    decided_at: datetime | None
    """If it was decided otherwise, when and why."""
    reason: str | None


class HoldsDecided(msgspec.Struct, frozen=True):
    """What one decision did: `decided` has each report in the order given, or `conflicts` has those at fault."""

    at: datetime
    released_at: datetime | None
    """The end of the embargo; None while it lasts."""
    decided: Sequence[HoldDecided] = ()
    conflicts: Sequence[HoldConflict] = ()


class PolicyRow(msgspec.Struct, frozen=True):
    """A change of the policy."""

    document: bytes
    """JSON."""
    at: datetime
    author: int
    """The operator's token."""
    author_note: str


class HoldJournal(JournalConnections):
    """What the push door reads and changes of holds. Every method raises JournalUnavailable."""

    async def holds(self, election: int, units: Iterable[str], *, ended: bool = False) -> list[HoldRow]:
        """Return the open holds of these units, oldest first (`since`, `accepted_at`); with `ended` also others.

        Of those that ended, the last ENDED_MAX.
        """
        with translate_db_errors():
            async with self._reading() as connection:
                rows = await connection.fetch(_HOLDS, election, list(units), ENDED_MAX if ended else 0)
        return [_hold_row(row) for row in rows]

    async def decide(self, election: int, version: int, decision: HoldDecision) -> HoldsDecided:
        """Decide on held reports; what was decided is durable when this returns.

        Raises VersionChanged if the token was checked against another version of the election.
        """
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                statement = partial(
                    connection.fetchrow,
                    f"SELECT d.*, {COMMIT_SETTINGS}, clock_timestamp() AS committed_after"  # noqa: S608
                    " FROM decide_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS d",
                    election,
                    version,
                    decision.release,
                    [each.unit for each in decision.holds],
                    [each.revision for each in decision.holds],
                    [each.digest for each in decision.holds],
                    decision.reason,
                    decision.note,
                    decision.token,
                    self._require_standby,
                )
                row = await committed(connection, statement, require_standby=self._require_standby)
        self._announce(
            election,
            Appended(
                row["at"],
                row["released_at"],
                (),
                row["append_number"],
                row["accepted"],
                row["waits_for_standby"],
            ),
        )
        return _decided(decision, row)

    async def policy(self, election: int) -> PolicyRow | None:
        """Return the last change of the policy; None while it is that of the registry."""
        with translate_db_errors():
            async with self._reading() as connection:
                row = await connection.fetchrow(
                    "SELECT s.document, s.at, s.author, t.note FROM rules s LEFT JOIN token t ON t.key = s.author"
                    " WHERE s.election = $1 ORDER BY s.key DESC LIMIT 1",
                    election,
                )
        return PolicyRow(row[0].encode(), row[1], row[2], row[3] or "") if row is not None else None

    async def set_policy(self, election: int, version: int, document: bytes, token: int) -> bool:
        """Set the policy, a valid document as JSON; return whether it changed, which raises the version.

        Raises VersionChanged if the token was checked against another version of the election.
        """
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                statement = partial(
                    connection.fetchrow,
                    "SELECT set_rules_v1($1, $2, $3, $4, $5) AS changed,"
                    f" {COMMIT_SETTINGS}, clock_timestamp() AS committed_after",
                    election,
                    version,
                    document.decode(),
                    token,
                    self._require_standby,
                )
                row = await committed(connection, statement, require_standby=self._require_standby)
                if row["changed"]:
                    await notify_act(connection)
        changed: bool = row["changed"]
        return changed


_HOLDS = """
SELECT k.unit, k.revision, k.digest, k.body, k.token, sender.note AS token_note, k.accepted_at, k.since, k.rules,
    k.codes, k.warnings, k.state, k.ended_at, k.decided_by, operator.note AS decided_by_note, k.reason, k.note,
    k.sequence, (SELECT r.body FROM report r WHERE r.election = k.election AND r.unit = k.unit
                 ORDER BY r.revision DESC LIMIT 1) AS current
FROM (
    SELECT * FROM hold o WHERE o.election = $1 AND o.state = 'open' AND o.unit = ANY ($2)
    UNION ALL
    (SELECT * FROM hold o WHERE o.election = $1 AND o.state <> 'open' AND o.unit = ANY ($2)
     ORDER BY o.ended_at DESC LIMIT $3)
) AS k
LEFT JOIN token sender ON sender.key = k.token
LEFT JOIN token operator ON operator.key = k.decided_by
ORDER BY k.since, k.accepted_at, k.unit, k.revision
"""


def _hold_row(row: asyncpg.Record) -> HoldRow:
    members = dict(row)
    members["rules"] = orjson.loads(row["rules"])
    members["warnings"] = row["warnings"] or ()
    members["token_note"] = row["token_note"] or ""
    return HoldRow(**members)


def _decided(decision: HoldDecision, row: asyncpg.Record) -> HoldsDecided:
    conflicts = [
        HoldConflict(named.unit, named.revision, code, state, newest, decided_at, reason)
        for named, code, state, newest, decided_at, reason in zip(
            decision.holds,
            row["codes"],
            row["states"],
            row["newest_revisions"],
            row["decided_at"],
            row["reasons"],
            strict=True,
        )
        if code is not None
    ]
    if conflicts:
        return HoldsDecided(row["at"], row["released_at"], (), conflicts)
    return HoldsDecided(
        row["at"],
        row["released_at"],
        [
            HoldDecided(named.unit, revision, state, sequence, decided_at)
            for named, revision, state, sequence, decided_at in zip(
                decision.holds,
                row["revisions"],
                row["states"],
                row["sequences"],
                row["decided_at"],
                strict=True,
            )
        ],
    )
