"""What a service manager is told of this machine: that it is ready, that it ends, and that it is alive.

One datagram a word, to the socket that NOTIFY_SOCKET names; where it names none, nothing is said. Telling never waits
and never fails. Knows nothing of what being ready or alive means.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Self

import structlog

AGAIN_SHARE = 1 / 20
"""Of the time that the watchdog waits: the pause before who was not fine is asked once more."""

log = structlog.get_logger()


class ServiceManager:
    """Who listens at NOTIFY_SOCKET, or nobody. `watchdog_s` is how long it waits for a sign of life, None: for ever."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s if address else None
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Self:
        """Read who it is, and take that out of the environment: no child speaks for us."""
        address = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        if not address.startswith(("/", "@")):
            return cls(None)
        meant = not pid or pid == str(os.getpid())
        return cls(
            address, int(usec) / 1e6 if meant and usec.isascii() and usec.isdigit() and int(usec) else None
        )

    def ready(self) -> None:
        """Tell that all is up."""
        self._tell(b"READY=1")

    def stopping(self) -> None:
        """Tell that it ends now."""
        self._tell(b"STOPPING=1")

    async def keep_informed(self, fine: Callable[[float], Awaitable[bool]]) -> None:
        """Give a sign of life at half the time that the watchdog waits, as long as all is fine; until cancelled.

        `fine` says whether it is, within the seconds given: a quarter of that time.
        """
        if self.watchdog_s is None:
            return
        while True:
            well = await fine(self.watchdog_s / 4)
            if well:
                self._tell(b"WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s * (0.5 if well else AGAIN_SHARE))

    def _tell(self, word: bytes) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(word, self._address)
        except OSError as error:
            log.warning("service manager not told", word=word.decode(), error=error.strerror)
