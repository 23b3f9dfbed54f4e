"""Notify the service manager that this machine is ready, alive or stopping.

Sends one datagram per notification to the socket named by NOTIFY_SOCKET, or nothing if it is not set. Never blocks and
never fails. Independent of what ready or alive means.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Self

import structlog

RECHECK_SHARE = 1 / 20
"""Interval between checks while the machine is not healthy, as a share of the watchdog's timeout."""

log = structlog.get_logger()


class ServiceManager:
    """The listener at NOTIFY_SOCKET, if any; `watchdog_s` is its watchdog timeout, None without a watchdog."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s if address else None
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Self:
        """Read its variables and remove them from the environment, so that no child process sends notifications."""
        address = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        if not address.startswith(("/", "@")):
            return cls(None)
        addressed = not pid or pid == str(os.getpid())
        return cls(
            address,
            int(usec) / 1e6 if addressed and usec.isascii() and usec.isdigit() and int(usec) else None,
        )

    def ready(self) -> None:
        """Notify that the machine is ready."""
        self._notify(b"READY=1")

    def stopping(self) -> None:
        """Notify that the machine is stopping."""
        self._notify(b"STOPPING=1")

    async def run_watchdog(self, healthy: Callable[[float], Awaitable[bool]]) -> None:
        """Notify the watchdog at half its timeout while the machine is healthy; runs until cancelled.

        `healthy` is called with the seconds that it may take, a quarter of the timeout.
        """
        if self.watchdog_s is None:
            return
        while True:
            alive = await healthy(self.watchdog_s / 4)
            if alive:
                self._notify(b"WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s * (0.5 if alive else RECHECK_SHARE))

    def _notify(self, state: bytes) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(state, self._address)
        except OSError as error:
            log.warning("service manager not notified", state=state.decode(), error=error.strerror)
