"""The floor of a feed's start: read the rows of a record, and decode each body with `orjson.loads`, in a process.

It uses the gateway's pool, the role of a feed, and the statement of `PublicRecord.publications` at its page size. It
writes the number of rows and the CPU seconds that they took, without those of starting and connecting.
"""

import gc
import sys
import time

import orjson
import uvloop

from gateway.feed.stream import PAGE_MAX
from gateway.journal.connection import acquired, open_pool

ROWS = "SELECT * FROM valgnatt_public.record_v2($1, $2, $3)"
BODY = 6
"""Column of the body in ROWS."""


async def read(url: str, election: int) -> tuple[int, float]:
    """Read a whole record; return its number of rows, and the CPU seconds."""
    async with open_pool(url, feed=True, max_size=1) as pool, acquired(pool) as connection:
        await connection.fetch(ROWS, election, 0, 1)
        before, after = time.process_time(), 0
        while rows := await connection.fetch(ROWS, election, after, PAGE_MAX):
            for row in rows:
                orjson.loads(row[BODY])
            after += len(rows)
        return after, time.process_time() - before


def main() -> None:
    """Read once; the arguments are the URL for feeds and the number of the election in the journal."""
    gc.set_threshold(20_000, 20, 50)  # as in a feed process that starts
    rows, seconds = uvloop.run(read(sys.argv[1], int(sys.argv[2])))
    print(rows, seconds)


if __name__ == "__main__":
    main()
