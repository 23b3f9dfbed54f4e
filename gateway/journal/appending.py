"""An append on a connection: one call of `append_v4`, and the decisions that it returns."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial

import asyncpg
import orjson

from gateway.election.outcome import HoldNotice
from gateway.election.validation import ValidReport
from gateway.errors import GatewayError, JournalUnavailable, StandbyMissing
from gateway.journal.connection import observe_reload, prepare_all
from gateway.journal.continuation import LINES, SOME_REPORTS, Continuation
from gateway.journal.db_errors import LocalCommit
from gateway.journal.decisions import (
    Appended,
    Closed,
    Conflict,
    Decision,
    Ends,
    Evaluated,
    Held,
    Known,
    New,
    Stale,
)
from gateway.journal.session import COMMIT_SETTINGS, Connection

SETTLED_S = 2.0
"""How long a configuration of the server must be in force before a required standby is relied on. Commits wait only
once the checkpointer has taken over the setting: usually within milliseconds, at worst after the last flushes of a
checkpoint."""


LOCK_IDLE_MS = 2000
"""Within how many milliseconds a process that has the head lock must send its next statement; otherwise the server ends
its session. Others wait longer than that for a lock, so none of them fails."""


_APPEND = (
    f"SELECT a.*, {COMMIT_SETTINGS}, clock_timestamp() AS committed_after"  # noqa: S608
    " FROM append_v4($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) AS a"
)
LOCK = "SELECT * FROM lock_v1($1, $2, $3)"
_LOCKED = (LOCK, SOME_REPORTS, LINES, _APPEND)
"""The statements of a process that has the head lock."""


class Behind(GatewayError):
    """Reports were placed, or holds began or ended, that the rules did not see; nothing was appended."""

    code = "behind"
    retryable = True


async def append(
    connection: Connection,
    election: int,
    version: int,
    reports: Sequence[ValidReport],
    received: Sequence[datetime],
    evaluated: Evaluated | None = None,
    *,
    require_standby: bool,
    predecessors: bool = False,
) -> Appended:
    """Append a batch and commit, and return the predecessors if asked. Raises Behind, and what the database raises."""
    statement = partial(
        append_uncommitted,
        connection,
        election,
        version,
        reports,
        received,
        evaluated,
        require_standby=require_standby,
        predecessors=predecessors,
    )
    row = await committed(connection, statement, require_standby=require_standby)
    return appended(row, reports)


async def append_uncommitted(
    connection: Connection,
    election: int,
    version: int,
    reports: Sequence[ValidReport],
    received: Sequence[datetime],
    evaluated: Evaluated | None,
    *,
    require_standby: bool,
    predecessors: bool = False,
) -> asyncpg.Record:
    """Append a batch within the transaction of the connection, if there is one. Raises Behind."""
    row = await connection.fetchrow(
        _APPEND,
        *arguments(
            election,
            version,
            reports,
            received,
            evaluated,
            require_standby=require_standby,
            predecessors=predecessors,
        ),
    )
    assert row is not None
    if row["behind"]:
        raise Behind("the record or the list of holds has grown since the rules were evaluated")
    return row


def arguments(
    election: int,
    version: int,
    reports: Sequence[ValidReport],
    received: Sequence[datetime],
    evaluated: Evaluated | None,
    *,
    require_standby: bool,
    predecessors: bool,
) -> Sequence[object]:
    """Return the arguments of `append_v4`."""
    return (
        election,
        version,
        evaluated.chain if evaluated is not None else None,
        evaluated.hold_chain if evaluated is not None else None,
        [valid.report.unit for valid in reports],
        [valid.report.revision for valid in reports],
        [valid.digest for valid in reports],
        [valid.body for valid in reports],
        received,
        *_findings(evaluated),
        require_standby,
        predecessors,
    )


@asynccontextmanager
async def locked_head(connection: Connection) -> AsyncIterator[None]:
    """Run a transaction that takes the head lock; what it does not commit is rolled back.

    Its statements are prepared before: a server that has prepared one and waits for its execution knows no limit.
    After any error the connection is closed: nobody may get it from the pool with a lock.
    """
    await prepare_all(connection, _LOCKED)
    try:
        await connection.execute(f"BEGIN; SELECT {COMMIT_SETTINGS}")
        yield
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
    except BaseException:
        with suppress(asyncpg.InterfaceError):
            connection.terminate()
        raise


class LockedAppend:
    """An append under the head lock.

    `continuation` is the part of the record and of the list of holds that this process has not applied yet.
    """

    def __init__(
        self,
        connection: Connection,
        election: int,
        version: int,
        continuation: Continuation,
        announce: Callable[[int, Appended], None],
        *,
        require_standby: bool,
    ) -> None:
        self.continuation = continuation
        self._connection = connection
        self._election = election
        self._version = version
        self._announce = announce
        self._require_standby = require_standby

    async def append(
        self, reports: Sequence[ValidReport], received: Sequence[datetime], evaluated: Evaluated
    ) -> Appended:
        """Append and commit, which ends the lock."""
        transaction = partial(self._append_and_commit, reports, received, evaluated)
        row = await committed(self._connection, transaction, require_standby=self._require_standby)
        done = appended(row, reports)
        self._announce(self._election, done)
        return done

    async def _append_and_commit(
        self, reports: Sequence[ValidReport], received: Sequence[datetime], evaluated: Evaluated
    ) -> asyncpg.Record:
        row = await append_uncommitted(
            self._connection,
            self._election,
            self._version,
            reports,
            received,
            evaluated,
            require_standby=self._require_standby,
        )
        await self._connection.execute("COMMIT")
        return row


def _findings(evaluated: Evaluated | None) -> tuple[Sequence[object] | None, ...]:
    """Return tokens, rules, codes, warnings and digests of counts; nulls if no rule has fired or failed."""
    if evaluated is None or not any(evaluated.findings):
        return (None,) * 5
    rules, codes, warnings, digests = zip(
        *(
            (None, None, None, None)
            if found is None
            else (
                found.rules.decode() if found.rules is not None else None,
                _array(found.codes),
                _array(found.warnings) if found.warnings else None,
                found.counts_digest,
            )
            for found in evaluated.findings
        ),
        strict=True,
    )
    if not any(rules):  # no report is held, so the unit's holds need not be looked up
        return None, None, None, warnings, None
    return evaluated.tokens, rules, codes, warnings, digests


def _array(codes: Sequence[str]) -> str:
    return orjson.dumps(list(codes)).decode()


def appended(row: asyncpg.Record, reports: Sequence[ValidReport]) -> Appended:
    """Return what a committed append decided."""
    return Appended(
        row["at"],
        row["released_at"],
        _decisions(row, reports),
        row["append_number"],
        row["accepted"],
        row["waits_for_standby"],
        Ends(row["accepted"], row["chain"], row["hold_lines"], row["hold_chain"]),
        row["predecessors"],
    )


def _decisions(row: asyncpg.Record, reports: Sequence[ValidReport]) -> list[Decision]:
    """Return the decision on each report of an append."""
    if not reports:
        return []
    sequences, current = row["sequences"], row["current_before"]
    held = row["held_since"]
    if row["found_sequences"] is None and held is None:  # every report is placed
        return list(map(New, sequences, current))
    newest = row["revisions_before"]
    decisions: list[Decision] = []
    accepted: set[str] = set()
    for place in reversed(range(len(reports))):
        report = reports[place].report
        if sequences[place] is not None:
            decisions.append(New(sequences[place], current[place]))
        elif held is not None and held[place] is not None:
            decisions.append(Held(current[place], held[place], report.unit in accepted))
        else:
            decisions.append(_found(row, place, report.revision, newest[place]))
            continue
        accepted.add(report.unit)
    decisions.reverse()
    return decisions


def _found(row: asyncpg.Record, place: int, revision: int, newest: int) -> Decision:
    """Return the decision on a report that was not accepted; `newest` is the unit's newest revision."""
    accepted_at: datetime | None = row["found_at"][place]
    if accepted_at is not None:
        if not row["found_same"][place]:
            return Conflict(row["found_sequences"][place], newest)
        warnings = row["found_warnings"][place]
        return Known(
            row["found_sequences"][place],
            accepted_at,
            tuple(orjson.loads(warnings)) if warnings is not None else (),
            _hold(row, place),
        )
    if revision <= newest:
        return Stale(newest)
    assert row["closed"]
    return Closed(newest)


def _hold(row: asyncpg.Record, place: int) -> HoldNotice | None:
    if row["found_states"] is None or row["found_states"][place] is None:
        return None
    return HoldNotice(
        row["found_states"][place],
        row["found_since"][place],
        tuple(orjson.loads(row["found_codes"][place])),
        row["found_ended"][place],
        row["found_reasons"][place],
    )


async def committed(
    connection: Connection,
    statement: Callable[[], Awaitable[asyncpg.Record | None]],
    *,
    require_standby: bool,
) -> asyncpg.Record:
    """Execute a statement that commits, or a transaction, and return its row, which has `committed_after`.

    Raises CommittedLocally if the wait for the standby was cut short, and as `require_waited`.
    """
    local = LocalCommit(connection)
    row = await statement()
    local.rule_out()
    assert row is not None
    if require_standby:
        await require_waited(connection, row["committed_after"])
    return row


async def wait_until_settled(connection: Connection) -> None:
    """Wait until the server's configuration has been in force for SETTLED_S, if it was reloaded more recently.

    A commit that follows is then certain for `require_waited`, unless there is another reload; also if the server's
    clock was set back. Appends do not wait: their senders repeat them.
    """
    row = await connection.fetchrow(
        "SELECT pg_conf_load_time() AS loaded_at,"
        " pg_conf_load_time() < clock_timestamp() - make_interval(secs => $1) AS settled",
        SETTLED_S,
    )
    assert row is not None
    observe_reload(connection, row["loaded_at"])
    if not row["settled"]:
        await asyncio.sleep(SETTLED_S + 0.1)
        observe_reload(connection, await connection.fetchval("SELECT pg_conf_load_time()"))


async def require_waited(connection: Connection, committed_after: datetime) -> None:
    """Require that a commit of this session, begun at a time of the server's clock, waited for a synchronous standby.

    Each process of the server takes over the setting at a different moment. So it must be in force after the commit as
    it was SETTLED_S before, with no reload since then. That is known by the server's clock, or, if that was set back
    after the reload, by earlier commits of this session. Raises StandbyMissing, or JournalUnavailable if that is not
    certain.
    """
    row = await connection.fetchrow(
        "SELECT current_setting('synchronous_standby_names') <> '' AS named, pg_conf_load_time() AS loaded_at,"
        " pg_conf_load_time() < $1::timestamptz - make_interval(secs => $2) AS settled",
        committed_after,
        SETTLED_S,
    )
    assert row is not None
    if not row["named"]:
        raise StandbyMissing("the server no longer waits for a synchronous standby")
    unchanged_s = observe_reload(connection, row["loaded_at"])
    if not row["settled"] and unchanged_s < SETTLED_S:
        raise JournalUnavailable(
            "the server's configuration has just been reloaded; whether it waits is not known yet"
        )
