"""NOTIFY of administrative acts, and listening: only hints, for callers also poll, and a replica sends none."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

from gateway.errors import JournalUnavailable
from gateway.journal.connection import ANSWER_S, connect
from gateway.journal.db_errors import OUTAGES, translate_db_errors
from gateway.journal.session import Connection

log = structlog.get_logger()

CHANNEL = "valgnatt"
ACT = "act"
"""The payload of a NOTIFY after an administrative act; after publications the payload is empty."""

NOTIFY_S = 2.0
"""Timeout of the notification of an act in seconds; without it, push processes see the act within a second."""
PROBE_S = 30.0
"""Seconds without a notification after which a listener checks that the server still answers."""
LISTEN_AGAIN_S = 1.0
"""Seconds before a listener reconnects."""
NO_LISTEN_S = 5.0
"""The same where LISTEN is refused, as on a standby, and after too many notifications."""
NOTIFICATIONS_PER_S_MAX = 10_000
"""Notifications that a listener processes within a second, about 1 % of a core. Any login may send any number. Above
this limit the listener closes its connection with everything unread; its users also poll, so they miss nothing."""


async def notify_act(connection: Connection) -> None:
    """Wake the push processes after an act that changed something; they also poll every second.

    Call it outside the act's transaction, which a full notification queue would make fail. The act is committed, so a
    failure here is not an error of the act, and this commit waits for no standby.
    """
    with suppress(*OUTAGES):
        await connection.execute(
            "SELECT set_config('synchronous_commit', 'local', true), pg_notify($1, $2)",
            CHANNEL,
            ACT,
            timeout=NOTIFY_S,
        )


async def notifications(
    url: str,
    wake: Callable[[], None],
    *,
    feed: bool = False,
    acts: bool = False,
    opener: Callable[..., Awaitable[Connection]] = connect,
) -> None:
    """Call `wake` on each NOTIFY, and once after each connect, until cancelled; `acts`: only for administrative acts.

    A notification is only a hint, and callers also poll. So a lost connection is reopened after a pause, and on a
    standby, where LISTEN does not work, `wake` is never called. `opener` opens a connection as `connect` does.
    """

    rate = _NotificationRate()

    def on_notification(connection: Any, *details: object) -> None:
        if rate.exceeded(asyncio.get_running_loop().time()):
            if not connection.is_closed():
                connection.terminate()
        elif not acts or details[-1] == ACT:
            wake()

    while True:
        pause_s = LISTEN_AGAIN_S
        try:
            connection = await opener(url, feed=feed)
        except JournalUnavailable:
            await asyncio.sleep(pause_s)
            continue
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _, ended=ended: ended.set())
        try:
            with translate_db_errors():
                pause_s = NO_LISTEN_S
                await connection.add_listener(CHANNEL, on_notification)
                pause_s = LISTEN_AGAIN_S
                wake()
                await _wait_terminated(connection, ended)
        except JournalUnavailable:
            pass  # reopened below, like a connection that the server closed
        finally:
            connection.terminate()
        if rate.clear():
            log.warning(
                "too many notifications; the listener reconnects",
                limit_per_s=NOTIFICATIONS_PER_S_MAX,
                pause_s=NO_LISTEN_S,
            )
            pause_s = NO_LISTEN_S
        await asyncio.sleep(pause_s)


class _NotificationRate:
    """Counts notifications per second and detects more than NOTIFICATIONS_PER_S_MAX."""

    def __init__(self) -> None:
        self._second = 0
        self._count = 0
        self._over = False

    def exceeded(self, now: float) -> bool:
        """Count one notification; return whether the limit has been exceeded since the last `clear`."""
        if int(now) != self._second:
            self._second, self._count = int(now), 0
        self._count += 1
        self._over = self._over or self._count > NOTIFICATIONS_PER_S_MAX
        return self._over

    def clear(self) -> bool:
        """Reset; return whether the limit was exceeded."""
        over, self._over, self._count = self._over, False, 0
        return over


async def _wait_terminated(connection: Connection, ended: asyncio.Event) -> None:
    """Wait until a connection has ended; probe it every PROBE_S, because a network that drops packets ends none."""
    while not ended.is_set():
        try:
            async with asyncio.timeout(PROBE_S):
                await ended.wait()
        except TimeoutError:
            await connection.execute("SELECT 1", timeout=ANSWER_S)
