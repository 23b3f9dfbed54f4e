"""Push one count and show its receipt.

    VALGNATT_TOKEN=… python examples/push_one.py ELECTION report.json

The push door is VALGNATT_PUSH_URL, by default that of this machine.
"""

import asyncio
import json
import os
import sys

from gateway.client import Publisher
from gateway.output import say

PUSH = (
    os.environ.get("VALGNATT_PUSH_URL") or f"http://127.0.0.1:{os.environ.get('VALGNATT_PUSH_PORT', '8081')}"
)


async def main(election: str, file: str) -> int:
    with open(file, encoding="utf-8") as opened:
        report = json.load(opened)
    # The publisher retries for as long as the answer is `retry` or the connection is down, so limit the wait here.
    async with asyncio.timeout(30), Publisher(PUSH, election, os.environ["VALGNATT_TOKEN"]) as publisher:
        answer = await publisher.push(report)
    if answer.has_receipt:
        print(f"{answer.outcome}, {answer.state}, sequence {answer.sequence}, digest {answer.digest}")
        return 0
    for violation in answer.violations:
        say(f"{violation['path']}: {violation['detail']} ({violation['code']})")
    print(f"{answer.outcome}: {answer.code}")
    return 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(*sys.argv[1:])))
