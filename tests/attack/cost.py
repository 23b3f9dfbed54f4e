"""What an attack costs the process that it targets: CPU and memory per byte sent, and the longest wait of others."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from tests.attack.hostile import Target
from tests.attack.probe import cpu_s, memory_bytes
from tests.running import Gateway

QUIET = 0.25
"""Share of a core below which a process counts as idle."""
SETTLE_S = 5.0
ROOT = Path(__file__).parents[2]


class Cost(NamedTuple):
    """The cost of a run. `stall_s` is the CPU time of the process while an honest request waited."""

    sent: int
    cpu_s: float
    memory: int
    stall_s: float

    @property
    def cpu_us_per_kb(self) -> float:
        """Microseconds of CPU per 1000 bytes sent."""
        return 1e9 * self.cpu_s / max(self.sent, 1)

    @property
    def memory_per_byte(self) -> float:
        """Maximum bytes of memory per byte sent."""
        return self.memory / max(self.sent, 1)


def workers(gateway: Gateway) -> dict[str, int]:
    """Return the process IDs of each door and of the supervisor."""
    found = {"admin": gateway.pid}
    for pid in Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split():
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"gateway.worker" in command:
            found[command[command.index(b"gateway.worker") + 1].decode().partition("-")[0]] = int(pid)
    return found


async def wait_idle(pid: int) -> None:
    """Wait until a process is idle, for a bounded time."""
    ends = time.monotonic() + SETTLE_S
    while time.monotonic() < ends:
        before_s, began = cpu_s(pid), time.monotonic()
        await asyncio.sleep(0.06)
        if cpu_s(pid) - before_s < QUIET * (time.monotonic() - began):
            return


async def cost_of(
    pid: int, target: Target, attack: Callable[[Target], Awaitable[None]], idle: float = 0.0
) -> Cost:
    """Run a client against a process and return the cost.

    `idle` is the share of a core that the process uses without it, for its timers and the probe.
    """
    await wait_idle(pid)
    probe = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.attack.probe", str(pid), str(target.port),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    base, spent_s, target.sent = memory_bytes(pid), cpu_s(pid), 0
    most, began = base, time.monotonic()
    running = asyncio.ensure_future(attack(target))
    try:
        while not running.done():
            await asyncio.wait({running}, timeout=0.1)
            most = max(most, memory_bytes(pid))
        running.result()
        await wait_idle(pid)
    finally:
        running.cancel()
        stall, _ = await probe.communicate(b"\n")
    spent_s = cpu_s(pid) - spent_s - idle * (time.monotonic() - began)
    return Cost(target.sent, max(spent_s, 0.0), max(0, max(most, memory_bytes(pid)) - base), float(stall))
