"""Send the waiting reports of an outbox, record each answer there, and say why reports wait."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from gateway.client.outbox import Outbox
from gateway.client.outbox_file import OutboxUnavailable, when_available
from gateway.client.outbox_items import Destination, Item
from gateway.client.proxies import without_user
from gateway.client.publisher import Publisher
from gateway.client.push_answers import Answer, PushRefused
from gateway.client.push_notices import PushNotices
from gateway.client.tasks import run_until_one_ends

T = TypeVar("T")

OPEN_MAX = 500
"""Reports passed to the connection at once, or answered and not recorded yet; the rest waits in the outbox."""
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
    judged: Mapping[int, bytes] | None = None,
    held: Collection[int] = (),
    while_waiting: str = "",
) -> list[tuple[Item, Answer]]:
    """Send the waiting reports of the outbox until each has an answer, however long that takes.

    Of those whose revision push chose, only the ones that `judged` has, by key and with this body, are sent: each after
    the one before it in its unit has a receipt. The others still wait afterwards, and so do those in `held`.

    While reports wait, `say` gets a line for people, at growing intervals; `while_waiting` follows the first one. If
    interrupted, the rest stays in the outbox for the next call, with the reports whose answers were not recorded.
    Raises PushRefused for an error that somebody has to correct, a token that is not accepted for example, and
    OutboxUnavailable; with `keep_trying` it tries again at long intervals instead.
    """
    notices = PushNotices(without_user(push_url))
    sending = _Sending(outbox, to, on_answer, say, judged or {}, held, while_waiting, keep_trying=keep_trying)
    async with Publisher(
        push_url, to.election, token, on_event=notices.on_event, keep_trying=keep_trying
    ) as publisher:
        await sending.send_all(publisher, notices)
    return sending.recorded


class _Sending:
    """One call of `send`. Invariant: at most OPEN_MAX reports are between outbox and recorded answer."""

    def __init__(
        self,
        outbox: Outbox,
        to: Destination,
        on_answer: Callable[[Item, Answer], None],
        say: Callable[[str], None],
        judged: Mapping[int, bytes],
        held: Collection[int],
        while_waiting: str,
        *,
        keep_trying: bool,
    ) -> None:
        self._judged = judged
        self._held = held
        self._while_waiting = while_waiting
        self._before: dict[str, asyncio.Task[bool]] = {}
        """By unit that has a chosen revision, the sending of its last report that was begun."""
        self.recorded: list[tuple[Item, Answer]] = []
        self._outbox = outbox
        self._to = to
        self._on_answer = on_answer
        self._say = say
        self._keep_trying = keep_trying
        self._free = asyncio.Semaphore(OPEN_MAX)
        self._answered: asyncio.Queue[tuple[Item, Answer]] = asyncio.Queue()
        self._unanswered = 0
        self._failure: PushRefused | OutboxUnavailable | None = None

    async def send_all(self, publisher: Publisher, notices: PushNotices) -> None:
        """Send the reports waiting now. Raises PushRefused and OutboxUnavailable, after recording the answers."""
        self._unanswered = await self._available(lambda: self._outbox.waiting_count(self._to))
        await run_until_one_ends(
            asyncio.create_task(self._record(), name="recording answers"),
            asyncio.create_task(self._say_notices(notices), name="notices"),
            asyncio.create_task(self._push_all(publisher), name="pushing reports"),
        )
        if self._failure is not None:
            raise self._failure
        self._say_notice(notices)

    async def _push_all(self, publisher: Publisher) -> None:
        """Push all that waits, and return when the answers are recorded."""
        async with asyncio.TaskGroup() as pushes:
            last_key = 0
            while page := await self._page(last_key):
                for item in page:
                    await self._free.acquire()
                    if self._failure is not None:
                        break
                    before = self._before.get(item.unit)
                    if item.key in self._held or (item.chosen and self._judged.get(item.key) != item.body):
                        self._hold()
                        continue
                    sending = pushes.create_task(self._push(publisher, item, before))
                    if item.chosen or before is not None:
                        self._before[item.unit] = sending
                last_key = page[-1].key
        await self._answered.join()

    async def _page(self, last_key: int) -> list[Item]:
        if self._failure is not None:
            return []
        try:
            return await self._available(lambda: self._outbox.waiting_page(self._to, last_key))
        except OutboxUnavailable as error:
            self._failure = error
            return []

    async def _push(self, publisher: Publisher, item: Item, before: asyncio.Task[bool] | None) -> bool:
        """Push a report, after the one before it where revisions were chosen; return whether it has a receipt."""
        if before is not None and not await before and item.chosen:
            self._hold()
            return False
        try:
            answer = await publisher.push(item.body)
        except PushRefused as error:  # every report that is sent fails with it
            self._failure = error
            self._free.release()
            return False
        self._unanswered -= 1
        self._answered.put_nowait((item, answer))
        return answer.has_receipt

    def _hold(self) -> None:
        """Leave a report in the outbox: its revision has to be judged first."""
        self._unanswered -= 1
        self._free.release()

    async def _record(self) -> None:
        """Record answers as they come, those that came meanwhile in one transaction. Raises OutboxUnavailable."""
        while True:
            batch = [await self._answered.get()]
            while not self._answered.empty():
                batch.append(self._answered.get_nowait())
            await self._record_batch(batch)
            self.recorded += batch
            for item, answer in batch:
                self._on_answer(item, answer)
                self._free.release()
                self._answered.task_done()

    async def _record_batch(self, answers: list[tuple[Item, Answer]]) -> None:
        await self._available(lambda: self._outbox.record(answers))

    async def _say_notices(self, notices: PushNotices) -> None:
        while True:
            self._say_notice(notices)
            await asyncio.sleep(NOTICE_S)

    def _say_notice(self, notices: PushNotices) -> None:
        if (line := notices.due(asyncio.get_running_loop().time(), self._unanswered)) is None:
            return
        self._say(line)
        if self._while_waiting and notices.is_stalled:
            self._say(self._while_waiting)
            self._while_waiting = ""

    async def _available(self, operation: Callable[[], T]) -> T:
        return await when_available(operation, self._say, keep_trying=self._keep_trying)
