"""JSON that is kept: bytes that take the memory of their own length."""

from typing import Any

import orjson


def dumps_trimmed(value: Any, option: int | None = None) -> bytes:
    """Return `orjson.dumps(value, option=option)` in memory of its own size; raises what that raises.

    orjson (3.13) returns its bytes in the buffer that it grew for them: a report of 550 bytes holds 8 kB for as long
    as it is kept (docs/performance.md, "Tried"). What is sent and forgotten may use orjson itself.
    """
    return bytes(memoryview(orjson.dumps(value, option=option)))
