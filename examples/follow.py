"""Wait until a share of the units of an area is counted, and show its progress.

    python examples/follow.py ELECTION AREA 100

Exit once 100 % of the units have reported. The copy of the area is exact at every block.
"""

import asyncio
import os
import sys

from gateway.client import Subscriber

FEED = (
    os.environ.get("VALGNATT_FEED_URL") or f"http://127.0.0.1:{os.environ.get('VALGNATT_FEED_PORT', '8080')}"
)


async def main(election: str, area: str, percent: str) -> int:
    async with Subscriber(FEED, election, areas=area) as subscriber:

        def reached(it: Subscriber) -> bool:
            now = it.copy[area]
            units = now["units"]
            ballots = sum(counts["ballots"] for counts in now["counts"].values())
            if it.sequence == 0:  # under embargo everything is zero, whatever was received
                print("0\tnothing is published yet", flush=True)
                return False
            print(
                f"{it.sequence}\t{units['reported']} of {units['total']} units\t{ballots} ballots", flush=True
            )
            return bool(units["reported"] * 100 >= units["total"] * float(percent))

        block = await subscriber.wait_for(reached)
    print(f"reached at {block.cursor}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(*sys.argv[1:])))
