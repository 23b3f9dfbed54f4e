"""Read the board for operators from the journal, once per process for all requests at the same time.

Each report is read once, in the order of the record, so the cost of a read is proportional to the reports since the
last one. All statements use another connection than appends, and have a timeout.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NoReturn

import asyncpg
import msgspec

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.election.registry import Registry
from gateway.errors import ElectionUnknown
from gateway.journal.connection import acquired
from gateway.journal.connection_pool import Pool
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.elections import ElectionVersion
from gateway.journal.periodic import repeat
from gateway.journal.refusals import NO_TOKEN
from gateway.wire.board import (
    BoardFacts,
    BoardMaker,
    BoardMunicipality,
    BoardToken,
    MunicipalityIndex,
    Received,
    Refused,
    Waiting,
    is_night,
    is_silent,
)

WATCH_S = 15.0
"""Seconds between two counts of silent municipalities."""
READ_S = 2.0
"""For how many seconds a view is reused for further requests."""
ANSWER_S = 3.0
"""Timeout of a statement in seconds."""
PAGE = 1000
"""Reports read in one statement; decoding them takes this process some milliseconds."""
TOKENS_MAX, REFUSALS_MAX = 5000, 5000
"""Tokens and counts of refusals that are read; of the counts, the newest."""
WAITING_S = 10.0
"""Rows of another process that are older than so many seconds are ignored: the process may have ended."""
ROWS_STEP = 50
"""Rows of a board that are made in one step, before other work can run; each takes some microseconds."""
ELECTIONS_MAX = 32
"""Elections whose reports are remembered; those of others are read from the beginning."""

_HEAD = """
SELECT clock_timestamp() AS read_at, m.publish_from, m.released_at, h.closed_at, h.accepted,
    h.accepted - s.sequence AS unpublished,
    (SELECT r.accepted_at FROM report r WHERE r.election = $1 AND r.sequence = s.sequence + 1) AS oldest_unpublished_at
FROM head h JOIN embargo m ON m.election = h.election CROSS JOIN shown($1) s WHERE h.election = $1
"""
_REPORTS = """
SELECT sequence, unit, accepted_at, chain FROM report
WHERE election = $1 AND sequence >= $2 AND sequence <= $3 ORDER BY sequence LIMIT $4
"""
_TOKENS = """
SELECT t.key, t.areas, t.note, t.expires_at, c.last_at
FROM token t LEFT JOIN contact c ON c.election = t.election AND c.token = t.key
WHERE t.election = $1 AND t.role = 'sender' AND t.revoked_at IS NULL ORDER BY t.key LIMIT $2
"""
_REFUSALS = """
SELECT code, count, last_at, nullif(token, $2) FROM refusal WHERE election = $1 ORDER BY last_at DESC LIMIT $3
"""
_WAITING = """
SELECT coalesce(sum(reports), 0)::integer AS reports,
    max(oldest_s + greatest(0, extract(epoch FROM clock_timestamp() - at)))::float8 AS oldest_s
FROM waiting WHERE election = $1 AND process <> $2 AND at > clock_timestamp() - make_interval(secs => $3)
"""


class _Record:
    """The reports of an election that were read, by municipality. Invariant: they are those up to `sequence`."""

    def __init__(self, registry: Registry) -> None:
        self.index = MunicipalityIndex(registry)
        self.received: dict[str, Received] = {}
        self.sequence = 0
        self._chain: bytes | None = None

    @property
    def next_from(self) -> int:
        """From which sequence to read: the last one again, since its chain shows whether the record is the same."""
        return max(1, self.sequence)

    def add(self, rows: Sequence[asyncpg.Record]) -> bool:
        """Add what was read; return False if it does not continue what was read before."""
        if self.sequence:
            if not rows or rows[0]["chain"] != self._chain:
                return False
            rows = rows[1:]
        if not rows:
            return False
        for row in rows:
            municipality = self.index.of(row["unit"])
            if municipality is not None:
                self.received.setdefault(municipality, Received()).add(row["unit"], row["accepted_at"])
        self.sequence, self._chain = rows[-1]["sequence"], rows[-1]["chain"]
        return True


class BoardView(msgspec.Struct, frozen=True):
    """An election as it was read, with a row per municipality."""

    registry: Registry
    facts: BoardFacts
    rows: Sequence[BoardMunicipality]
    shared_tokens: Sequence[BoardToken]
    refusals: Sequence[Refused]
    read_s: float
    """When it was read, by the clock of the event loop."""


class BoardReader:
    """Reads boards for one process. Invariants:

    * One election is read at a time, and each at most every READ_S; all requests meanwhile get the same view.
    * At most ELECTIONS_MAX elections are remembered.
    """

    def __init__(self, pool: Pool, process: int, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._pool = pool
        self._clock = clock
        self._process = process
        self._reading = asyncio.Lock()
        self._records: dict[int, _Record] = {}
        self._views: dict[int, BoardView] = {}
        self.silent: Mapping[str, int] = {}
        """Silent municipalities by election, as of the last count; elections that are not counted are missing."""

    async def read(self, version: ElectionVersion) -> BoardView:
        """Return an election, at most READ_S old. Raises JournalUnavailable and ElectionUnknown."""
        clock = asyncio.get_running_loop().time
        async with self._reading:
            view = self._views.get(version.key)
            if view is None or clock() - view.read_s > READ_S or view.registry is not version.registry:
                view = self._views[version.key] = await self._view(version, clock())
            return view

    async def _view(self, version: ElectionVersion, read_s: float) -> BoardView:
        heads = await self._fetch(_HEAD, version.key)
        if not heads:
            raise ElectionUnknown(f"no election {version.id!r}")
        (head,) = heads
        record = await self._follow(version, head["accepted"])
        tokens = await self._fetch(_TOKENS, version.key, TOKENS_MAX)
        refusals = await self._fetch(_REFUSALS, version.key, NO_TOKEN, REFUSALS_MAX)
        (waiting,) = await self._fetch(_WAITING, version.key, self._process, WAITING_S)
        facts = BoardFacts(
            **dict(head),
            waiting_elsewhere=Waiting(*waiting),
            received=record.received,
            tokens=[BoardToken(*row) for row in tokens],
            refusals=[Refused(*row) for row in refusals],
        )
        maker = BoardMaker(record.index, facts)
        rows = []
        for number, municipality in enumerate(record.index.units, start=1):
            rows.append(maker.row(version.registry.by_id[municipality]))
            if not number % ROWS_STEP:
                await asyncio.sleep(0)
        return BoardView(version.registry, facts, rows, maker.shared, maker.unattributed, read_s)

    async def _follow(self, version: ElectionVersion, accepted: int) -> _Record:
        """Read the reports that follow; from the beginning if nothing was read, or another registry or record.

        What was read is kept if a later statement fails.
        """
        record = self._records.get(version.key)
        if record is None or record.index.registry is not version.registry or record.sequence > accepted:
            record = self._begin(version)
        while record.sequence < accepted:
            rows = await self._fetch(_REPORTS, version.key, record.next_from, accepted, PAGE)
            if not record.add(rows):
                if not record.sequence:
                    break  # the record has become shorter since its head was read
                record = self._begin(version)
        return record

    def _begin(self, version: ElectionVersion) -> _Record:
        """Return an empty record, and forget the one that was begun first if there are too many."""
        self._records.pop(version.key, None)
        while len(self._records) >= ELECTIONS_MAX:
            oldest = next(iter(self._records))
            del self._records[oldest]
            self._views.pop(oldest, None)
        record = self._records[version.key] = _Record(version.registry)
        return record

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Fetch rows; the connection is free for others between two statements. Raises JournalUnavailable."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows: list[asyncpg.Record] = await connection.fetch(query, *arguments, timeout=ANSWER_S)
        return rows

    async def watch(
        self, elections: Callable[[], Sequence[ElectionVersion]], silent_after_s: float
    ) -> NoReturn:
        """Count the silent municipalities of each open election every WATCH_S, until cancelled."""
        count = partial(self._count_silent, elections, silent_after_s)
        await repeat("silent municipalities", WATCH_S, count)

    async def _count_silent(
        self, elections: Callable[[], Sequence[ElectionVersion]], silent_after_s: float
    ) -> None:
        silent: dict[str, int] = {}
        for version in elections():
            if not version.closed and is_night(version.publish_from, self._clock.now()):
                view = await self.read(version)
                silent[version.id] = sum(is_silent(row, view.facts, silent_after_s) for row in view.rows)
        self.silent = silent
