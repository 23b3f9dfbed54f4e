"""Push every report of a night, one per line, as fast as the gateway accepts them.

    VALGNATT_TOKEN=… python examples/push_night.py ELECTION reports.ndjson.gz

A line is a report, or an object with a report as its member `report`, as `valgnatt generate` writes them.
"""

import asyncio
import gzip
import json
import os
import sys
from collections import Counter

from gateway.client import Answer, Publisher

PUSH = (
    os.environ.get("VALGNATT_PUSH_URL") or f"http://127.0.0.1:{os.environ.get('VALGNATT_PUSH_PORT', '8081')}"
)
OPEN_MAX = 500  # submitted reports without an answer: limits our memory; the credit limits the rate


async def main(election: str, file: str) -> int:
    outcomes: Counter[str] = Counter()
    room = asyncio.Semaphore(OPEN_MAX)

    def answered(answer: "asyncio.Future[Answer]") -> None:
        room.release()
        if not answer.cancelled() and answer.exception() is None:
            outcomes[answer.result().code or answer.result().outcome] += 1

    opened = gzip.open(file, "rt", encoding="utf-8") if file.endswith(".gz") else open(file, encoding="utf-8")
    with opened as lines:
        async with Publisher(PUSH, election, os.environ["VALGNATT_TOKEN"]) as publisher:
            for line in lines:
                read = json.loads(line)
                await room.acquire()
                publisher.submit(read.get("report", read)).add_done_callback(answered)
        # Leaving the block waits until every report is answered.
    for outcome, count in sorted(outcomes.items()):
        print(f"{count}\t{outcome}")
    return 0 if set(outcomes) <= {"accepted", "duplicate"} else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(*sys.argv[1:])))
