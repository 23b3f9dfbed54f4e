"""`python -m bench [NAME ...]`: run measurements and print a table; all of them take about a minute."""

import asyncio
import sys
from types import ModuleType

import uvloop

from bench import decode, latency, night, readers, requests
from bench.table import machine, markdown

MEASUREMENTS: dict[str, ModuleType] = {
    "decode": decode,
    "night": night,
    "latency": latency,
    "requests": requests,
    "readers": readers,
}


def main() -> int:
    names = sys.argv[1:] or list(MEASUREMENTS)
    if unknown := [name for name in names if name not in MEASUREMENTS]:
        print(f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}", file=sys.stderr)
        return 2
    rows = []
    for name in names:
        print(f"measuring {name} …", file=sys.stderr)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows += runner.run(MEASUREMENTS[name].measure())
    print(f"\n{machine()}\n\n{markdown(rows)}")
    return 0


sys.exit(main())
