"""Refusals by election, token and code: counted in memory, and added to the journal at most once a second.

No answer to a sender waits for this: counting is a look-up in a dictionary, and a separate task writes the counts on
another connection than those of appends.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import NamedTuple, NoReturn

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.journal.connection import acquired
from gateway.journal.connection_pool import Pool
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.periodic import repeat

WRITE_S = 1.0
"""Least time between two writes, in seconds."""
ANSWER_S = 3.0
"""How long a write may take, in seconds; longer than the server waits for a lock."""
KEYS_MAX = 4096
"""Counts that are kept at once; further refusals are counted under OTHER, without their token."""
CODES_MAX = 64
"""Codes that are counted separately; there are some dozens, all defined by the gateway."""
OTHER = "other"
NO_TOKEN = 0
"""In place of a token's key: the request had no valid token of the election."""


_CODE = re.compile("[a-z_]{1,40}")
"""The form of codes that the table accepts; any other code would make every later write fail."""


class Key(NamedTuple):
    """What refusals are counted by; `election` and `token` are keys of the journal."""

    election: int
    token: int
    code: str


class Count(NamedTuple):
    """How many refusals there were, and when the last one was."""

    number: int
    last_at: datetime


class Refusals:
    """The refusals of one process that are not yet written. Invariants:

    * At most KEYS_MAX counts are kept, and one more per election, however long Postgres does not answer.
    * A count is dropped only after its write was confirmed, so none is lost while the process runs. If the connection
      breaks during a write, its counts may be added twice.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._counts: dict[Key, Count] = {}
        self._codes: set[str] = set()

    def __len__(self) -> int:
        return len(self._counts)

    def note(self, election: int, token: int, code: str) -> None:
        """Count one refusal; `token` is NO_TOKEN if the request had no valid one."""
        if code not in self._codes:
            if len(self._codes) < CODES_MAX and _CODE.fullmatch(code):
                self._codes.add(code)
            else:
                code = OTHER
        self._add(Key(election, token, code), Count(1, self._clock.now()))

    def _add(self, key: Key, more: Count) -> None:
        known = self._counts.get(key)
        if known is None and len(self._counts) >= KEYS_MAX:
            key = Key(key.election, NO_TOKEN, OTHER)
            known = self._counts.get(key)
        if known is not None:
            more = Count(known.number + more.number, max(known.last_at, more.last_at))
        self._counts[key] = more

    async def write(self, pool: Pool) -> None:
        """Add the counts to the journal. Raises JournalUnavailable, and then keeps them for the next write."""
        taken, self._counts = self._counts, {}
        if not taken:
            return
        written = False
        try:
            await _add_counts(pool, taken)
            written = True
        finally:
            if not written:
                since, self._counts = self._counts, taken
                for key, count in since.items():
                    self._add(key, count)

    async def run(self, pool: Pool) -> NoReturn:
        """Write every WRITE_S until cancelled."""
        await repeat("counts of refusals", WRITE_S, partial(self.write, pool))


async def _add_counts(pool: Pool, counts: Mapping[Key, Count]) -> None:
    with translate_db_errors():
        async with acquired(pool) as connection:
            await connection.execute(
                "SELECT count_refusals_v1($1, $2, $3, $4, $5)",
                [key.election for key in counts],
                [key.token for key in counts],
                [key.code for key in counts],
                [count.number for count in counts.values()],
                [count.last_at for count in counts.values()],
                timeout=ANSWER_S,
            )
