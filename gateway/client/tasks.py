"""Run the parts of one activity as tasks, of which none outlives the others."""

import asyncio
from typing import Any


async def run_until_one_ends(*parts: asyncio.Task[Any]) -> None:
    """Wait until the first of several tasks ends, then cancel the others. Raises what the first one raised.

    They are cancelled, and have ended, also if the caller is cancelled.
    """
    try:
        await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in parts:
            if part.done():
                part.result()
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
