"""Repeat work with the journal for which no sender or reader waits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

from gateway.errors import ElectionUnknown, JournalUnavailable
from gateway.telemetry.logs import Outage


async def repeat(what: str, every_s: float, act: Callable[[], Awaitable[None]]) -> NoReturn:
    """Call `act` every so many seconds until cancelled; while it fails, log an outage of `what`, and go on."""
    outage = Outage(what)
    while True:
        await asyncio.sleep(every_s)
        try:
            await act()
        except (JournalUnavailable, ElectionUnknown) as error:
            outage.failed(error)
        else:
            outage.succeeded()
