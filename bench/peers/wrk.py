"""wrk: sends requests from a file over many connections, as fast as they are answered."""

import asyncio
import re
from asyncio.subprocess import PIPE
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.load.processes import end, program

HOW = "apt-get install wrk"
GRACE_S = 10.0
SCRIPT = """
local file = assert(io.open("{file}", "rb"))
local requests, count, place = {{}}, 0, 0
while true do
  local size = file:read("*l")
  if not size then break end
  count = count + 1
  requests[count] = file:read(tonumber(size))
end
file:close()
function request()
  place = place % count + 1
  return requests[place]
end
"""
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Load(msgspec.Struct, frozen=True):
    """What wrk reports about a run."""

    requests: int
    seconds: float
    bad_statuses: int = 0
    socket_errors: int = 0
    p50_s: float = 0.0
    p99_s: float = 0.0

    @property
    def requests_s(self) -> float:
        """Successful requests per second."""
        return (self.requests - self.bad_statuses) / self.seconds


def request(host: str, path: str, body: bytes, token: str = "") -> bytes:
    """Return a complete request."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def write_requests(requests: Iterable[bytes], file: Path) -> None:
    """Write requests in the format of SCRIPT: a line with the size, then the bytes."""
    file.write_bytes(b"".join(b"%d\n%s" % (len(each), each) for each in requests))


async def wrk(url: str, file: Path, *, connections: int, seconds: float) -> Load:
    """Send the requests of a file in order. Raises Unavailable."""
    script = file.with_suffix(".lua")
    script.write_text(SCRIPT.format(file=file))
    process = await asyncio.create_subprocess_exec(
        program("wrk", HOW), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency",
        "-s", str(script), url, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    try:
        output, errors = await asyncio.wait_for(process.communicate(), seconds + GRACE_S)
    finally:
        await end(process)
    if process.returncode:
        raise RuntimeError(f"wrk ended with status {process.returncode}: {errors.decode()[:300]}")
    return read_output(output.decode())


def read_output(text: str) -> Load:
    """Parse the output of wrk. Raises ValueError for anything else."""
    whole = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b", text)
    if whole is None:
        raise ValueError(f"not the output of wrk: {text[:200]!r}")
    statuses = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return Load(
        requests=int(whole[1]),
        seconds=float(whole[2]) * _UNITS[whole[3]],
        bad_statuses=int(statuses[1]) if statuses else 0,
        socket_errors=sum(map(int, errors.groups())) if errors else 0,
        p50_s=_percentile(text, 50),
        p99_s=_percentile(text, 99),
    )


def _percentile(text: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    return float(found[1]) * _UNITS[found[2]] if found else 0.0
