"""The floor of a feed's start: read the rows of a record, and decode each body with `orjson.loads`, in a process.

It uses the gateway's pool, the role of a feed, and the statement of `PublicRecord.publications`, and reads many rows at
once. It writes the number of rows and the CPU seconds that they took, without those of starting and connecting.

With `least`, it does instead what no feed can do without: it copies the rows as a feed does, follows the chain, hashes
each body for the log, decodes the counts of each unit's last report, and adds them up for every area. So it has no
history, no corrections, no comparison of reports, and does not know when an area changed.
"""

import gc
import sys
import time
from array import array
from operator import add

import orjson
import uvloop

from gateway.election.layout import Layout
from gateway.election.record import CHAIN_START, next_chain
from gateway.election.registry_reading import read_registry
from gateway.feed.log_tree import AppliedTree
from gateway.feed.stream import PAGE_MAX
from gateway.journal.connection import acquired, open_pool
from gateway.journal.record import PublicRecord

ROWS = "SELECT * FROM valgnatt_public.record_v2($1, $2, $3)"
ROWS_MAX = 2000
"""Rows per read."""
BODY = 6
"""Column of the body in ROWS."""


async def read(url: str, election: int) -> tuple[int, float]:
    """Read a whole record; return its number of rows, and the CPU seconds."""
    async with open_pool(url, feed=True, max_size=1) as pool, acquired(pool) as connection:
        await connection.fetch(ROWS, election, 0, 1)
        before, after = time.process_time(), 0
        while rows := await connection.fetch(ROWS, election, after, ROWS_MAX):
            for row in rows:
                orjson.loads(row[BODY])
            after += len(rows)
        return after, time.process_time() - before


async def read_least(url: str, election: int) -> tuple[int, float]:
    """Do what no feed can do without; return the number of rows, and the CPU seconds."""
    async with open_pool(url, feed=True, max_size=1) as pool:
        record = PublicRecord(pool)
        registry = read_registry(orjson.loads(await record.registry(election)), stored=True, keep_areas=False)
        layout, tree, chain = Layout(registry), AppliedTree(), CHAIN_START
        last, after = {}, 0
        gc.disable()  # as in a feed process that catches up
        before = time.process_time()
        while page := await record.publications(election, after, PAGE_MAX):
            for each in page:
                chain = next_chain(chain, each.digest)
                assert chain == each.chain
                last[each.unit] = layout.read(each.body), each.body
            tree.add(page)
            after += len(page)
        sums: dict[int, array[int]] = {}
        for unit, (report, body) in last.items():
            area = registry.units[unit]
            sums[area.index] = layout.read_figures(report, body)
        for area in reversed(registry.areas):
            if area.path and area.index in sums:
                above = sums.get(area.path[0], layout.no_figures)
                sums[area.path[0]] = array("q", map(add, above, sums[area.index]))
        return after, time.process_time() - before


def main() -> None:
    """Read once; the arguments are the URL for feeds, the number of the election, and perhaps `least`."""
    gc.set_threshold(20_000, 20, 50)  # as in a feed process that starts
    work = read_least if sys.argv[3:] == ["least"] else read
    rows, seconds = uvloop.run(work(sys.argv[1], int(sys.argv[2])))
    print(rows, seconds)


if __name__ == "__main__":
    main()
