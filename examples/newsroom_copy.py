"""Keep a copy of the results in SQLite, to be queried with SQL; after a restart, continue from the saved position.

    python examples/newsroom_copy.py ELECTION results.db

A block is one moment of the record and one transaction here, so a reader of the file never sees an incomplete moment.
"""

import asyncio
import json
import os
import sqlite3
import sys

from gateway.client import Block, Subscriber

FEED = (
    os.environ.get("VALGNATT_FEED_URL") or f"http://127.0.0.1:{os.environ.get('VALGNATT_FEED_PORT', '8080')}"
)

SCHEMA = """
    CREATE TABLE IF NOT EXISTS area
        (id TEXT PRIMARY KEY, name TEXT, level TEXT, reported INT, units INT, document TEXT);
    CREATE TABLE IF NOT EXISTS votes
        (area TEXT, category TEXT, party TEXT, votes INT, PRIMARY KEY (area, category, party));
    CREATE TABLE IF NOT EXISTS place (one INT PRIMARY KEY CHECK (one = 1), cursor TEXT);
"""


def write(kept: sqlite3.Connection, block: Block) -> None:
    """Write a block: a snapshot is the new copy, any other block replaces the areas that it names."""
    with kept:
        if block.snapshot:
            kept.execute("DELETE FROM area")
            kept.execute("DELETE FROM votes")
        for area in block.areas.values():
            units = area["units"]
            row = (
                area["area"],
                area["name"],
                area["level"],
                units["reported"],
                units["total"],
                json.dumps(area),
            )
            kept.execute("REPLACE INTO area VALUES (?, ?, ?, ?, ?, ?)", row)
            kept.execute("DELETE FROM votes WHERE area = ?", (area["area"],))
            rows = [
                (area["area"], category, party, votes)
                for category, counts in area["counts"].items()
                for party, votes in counts["votes"].items()
            ]
            kept.executemany("INSERT INTO votes VALUES (?, ?, ?, ?)", rows)
        kept.execute("REPLACE INTO place VALUES (1, ?)", (block.cursor,))


async def main(election: str, file: str) -> None:
    kept = sqlite3.connect(file)
    kept.executescript(SCHEMA)
    (cursor,) = kept.execute("SELECT cursor FROM place").fetchone() or (None,)
    copy = {
        identifier: json.loads(text) for identifier, text in kept.execute("SELECT id, document FROM area")
    }
    async with Subscriber(FEED, election, every_s=1, cursor=cursor, copy=copy) as subscriber:
        async for block in subscriber.blocks():
            write(kept, block)
            print(f"{block.cursor}\t{'everything' if block.snapshot else len(block.areas)}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
