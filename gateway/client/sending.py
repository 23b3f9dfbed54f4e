"""Send the waiting reports of an outbox, record each answer there, and say why reports wait."""

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.client.outbox import Destination, Item, Outbox
from gateway.client.proxies import without_user
from gateway.client.publisher import Publisher
from gateway.client.push_answers import Answer
from gateway.client.push_notices import PushNotices
from gateway.errors import GatewayError

OPEN_MAX = 500
"""Reports passed to the connection at once; the rest waits in the outbox."""
NOTICE_S = 0.25
"""Interval of the checks whether there is something to say, in seconds."""


async def send(
    outbox: Outbox,
    to: Destination,
    push_url: str,
    token: str,
    on_answer: Callable[[Item, Answer], None] = lambda *_: None,
    *,
    say: Callable[[str], None] = lambda _: None,
    keep_trying: bool = False,
) -> list[tuple[Item, Answer]]:
    """Send the waiting reports of the outbox until each has an answer, however long that takes.

    While reports wait, `say` gets a line for people, at growing intervals. If interrupted, the rest stays in the outbox
    for the next call. Raises PushRefused for an error that somebody has to correct, a token that is not accepted for
    example; with `keep_trying` it tries again at long intervals instead.
    """
    answered: list[tuple[Item, Answer]] = []
    items = list(outbox.waiting(to))
    free = asyncio.Semaphore(OPEN_MAX)
    notices = PushNotices(without_user(push_url))

    async def one(publisher: Publisher, item: Item) -> None:
        try:
            answer = await publisher.push(item.body)
            outbox.record_answer(item.key, answer)
            answered.append((item, answer))
            on_answer(item, answer)
        finally:
            free.release()

    def say_notice() -> None:
        if (line := notices.due(asyncio.get_running_loop().time(), len(items) - len(answered))) is not None:
            say(line)

    async def say_notices() -> None:
        while True:
            say_notice()
            await asyncio.sleep(NOTICE_S)

    async with (
        Publisher(
            push_url, to.election, token, on_event=notices.on_event, keep_trying=keep_trying
        ) as publisher,
        _FirstErrorGroup() as parts,
    ):
        saying = parts.create_task(say_notices(), name="notices")
        pushing = []
        for item in items:
            await free.acquire()
            pushing.append(parts.create_task(one(publisher, item)))
        if pushing:
            await asyncio.wait(pushing)
        saying.cancel()
        say_notice()
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
