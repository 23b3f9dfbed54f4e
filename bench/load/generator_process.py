"""The side of a load generator itself, in its own process: it reads an order, waits for `go`, and writes a result.

`generating` is the other side.
"""

import gc
import sys
from typing import TypeVar

import msgspec

T = TypeVar("T")


def read_order(kind: type[T]) -> T:
    """Read the order, one line of JSON, from standard input."""
    return msgspec.json.decode(sys.stdin.buffer.readline(), type=kind)


def read_bodies(file: str) -> list[bytes]:
    """Read the bodies to send, one per line."""
    with open(file, "rb") as lines:
        return lines.read().splitlines()


def stop_collecting() -> None:
    """Collect garbage for the last time: a collection under load would count in latencies."""
    gc.collect()
    gc.freeze()
    gc.disable()


def write_ready() -> None:
    """Write `ready`, which the other side waits for."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def wait_for_go() -> bool:
    """Write `ready`, and return whether the answer is `go`."""
    write_ready()
    return sys.stdin.readline().strip() == "go"


def write_result(result: msgspec.Struct) -> None:
    """Write the result, one line of JSON, to standard output."""
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
    sys.stdout.flush()
