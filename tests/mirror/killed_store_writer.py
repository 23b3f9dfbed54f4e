"""A writer to an object store that is killed between any two writes.

`python -m tests.mirror.killed_store_writer URL STEP` writes below URL/N for every STEPth moment N (`kill_at`): there a
second version followed a first one, and its writer was killed at that moment. The last one was not. Prints the moments.
"""

import asyncio
import os
import signal
import sys
from itertools import count
from typing import Any

from gateway.mirror.bucket import Bucket
from gateway.mirror.files import StoredFile
from gateway.mirror.target import Target
from gateway.mirror.targets import open_target

LIVE = "v1/elections/e/live.json"
DOCUMENTS = ("v1/elections/e/areas/1.json", "v1/elections/e/results.csv")


def deltas(number: int) -> tuple[str, str]:
    """Return the immutable files of a version."""
    return (
        f"v1/elections/e/live/h/default/{number}_{number + 1}.ndjson",
        f"v1/elections/e/live/h/country/at_{number}",
    )


async def write_version(target: Target, number: int) -> None:
    """Write a version in the order of a mirror, and remove the one before."""
    body = f"{number}".encode()
    await target.write([StoredFile(each, body, "text/plain", None) for each in deltas(number)])
    await target.write_live(StoredFile(LIVE, body, "application/json", 2))
    for each in DOCUMENTS:
        await target.write([StoredFile(each, body, "text/csv", 2)])
    await target.delete(deltas(number - 1))


def kill_at(moment: int) -> None:
    """Kill this process at a moment: there is one before each change of the store, and one after it."""
    moments = count()

    def passed() -> None:
        if next(moments) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(name: str) -> None:
        usual = getattr(Bucket, name)

        async def changed(*arguments: Any) -> Any:
            passed()
            result = await usual(*arguments)
            passed()
            return result

        setattr(Bucket, name, changed)

    around("put")
    around("delete")


async def write(url: str, moment: int) -> None:
    target = open_target(url)
    await target.open()
    await write_version(target, 1)
    kill_at(moment)
    await write_version(target, 2)
    await target.close()


def main(url: str, step: int) -> None:
    for number in count(0, step):
        if (child := os.fork()) == 0:
            asyncio.run(write(f"{url}/{number}", number))
            os._exit(0)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        if os.waitpid(child, 0)[1] == 0:
            break


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
