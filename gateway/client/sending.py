"""Send the waiting reports of an outbox, and record each answer there."""

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.client.outbox import Destination, Item, Outbox
from gateway.client.publisher import Answer, Publisher
from gateway.errors import GatewayError

OPEN_MAX = 500
"""Reports passed to the connection at once; the rest waits in the outbox."""


async def send(
    outbox: Outbox,
    to: Destination,
    push_url: str,
    token: str,
    on_answer: Callable[[Item, Answer], None] = lambda *_: None,
) -> list[tuple[Item, Answer]]:
    """Send the waiting reports of the outbox until each has an answer, however long that takes.

    If interrupted, the rest stays in the outbox for the next call. Raises PushRefused if the token is not accepted.
    """
    answered: list[tuple[Item, Answer]] = []
    free = asyncio.Semaphore(OPEN_MAX)

    async def one(publisher: Publisher, item: Item) -> None:
        try:
            answer = await publisher.push(item.body)
            outbox.record_answer(item.key, answer)
            answered.append((item, answer))
            on_answer(item, answer)
        finally:
            free.release()

    async with Publisher(push_url, to.election, token) as publisher, _FirstErrorGroup() as parts:
        for item in outbox.waiting(to):
            await free.acquire()
            parts.create_task(one(publisher, item))
    return answered


class _FirstErrorGroup:
    """A TaskGroup that raises the first GatewayError itself instead of an exception group."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> asyncio.TaskGroup:
        return await self._group.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        try:
            await self._group.__aexit__(*error)
        except BaseExceptionGroup as group:
            own, other = group.split(GatewayError)
            if own is not None and other is None:
                raise own.exceptions[0] from None
            raise
