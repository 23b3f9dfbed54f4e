"""What the parts of `Documents` have in common: each writes one kind of rewritten file, at a pace of its own."""

import asyncio
import csv
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.errors import GatewayError
from gateway.mirror.files import StoredFile
from gateway.mirror.state import View
from gateway.mirror.target import Target

REACH_S = 60.0
"""How long a part waits until `live.json` names what the feed door has already shown, in seconds."""


class DoorDiffers(GatewayError):
    """The feed door answered something that contradicts the stream, or itself; one of its processes may be behind."""

    code = "door_differs"
    retryable = True


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Raise DoorDiffers if a document of the gateway does not have the members that it must have."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, csv.Error) as error:
        raise DoorDiffers(f"{what} cannot be used: {error!r}") from None


class ChangedFiles:
    """Writes files of a target that differ from what it wrote before, with one lifetime in caches."""

    def __init__(self, target: Target, every_s: int) -> None:
        self._target = target
        self._every_s = every_s
        self._written: dict[str, bytes] = {}
        """The hash of each file, by path."""

    def has(self, path: str) -> bool:
        """Whether a file was written."""
        return path in self._written

    async def write(self, *files: tuple[str, bytes, str]) -> None:
        """Write the files of which path, content and media type are given. Raises TargetUnavailable."""
        found = {path: hashlib.sha256(body).digest() for path, body, _ in files}
        changed = [each for each in files if self._written.get(each[0]) != found[each[0]]]
        if changed:
            await self._target.write([StoredFile(*each, self._every_s) for each in changed])
            self._written |= found


class Shown:
    """The state that the newest `live.json` names, and waiting for a later one."""

    def __init__(self, view: Callable[[], View], changed: asyncio.Condition) -> None:
        self.view = view
        self._changed = changed

    async def wait_beyond(self, earlier: View, most_s: float | None) -> None:
        """Wait until there is something new since a view; at most `most_s` seconds, if that is given."""

        def is_new() -> bool:
            now = self.view()
            return (now.sequence, now.holds) != (earlier.sequence, earlier.holds)

        await self._wait(is_new, most_s)

    async def wait_reached(self, sequence: int) -> None:
        """Wait until `live.json` names at least a sequence. Raises DoorDiffers."""
        await self._wait(lambda: self.view().sequence >= sequence, REACH_S)
        if (now := self.view().sequence) < sequence:
            raise DoorDiffers(f"the feed door shows sequence {sequence}, and this mirror has reached {now}")

    async def _wait(self, condition: Callable[[], bool], most_s: float | None) -> None:
        try:
            async with asyncio.timeout(most_s), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            pass


class Part(ABC):
    """Writes one kind of file. Invariants:

    * Its files show at least what was public as of `shown`, and each exactly what was public as of the sequence that it
      names. None of them goes back, and none is ahead of `live.json`.
    """

    name: str
    """As it is named in messages."""
    pace_s: float
    """The fewest seconds between two passes."""
    asks_s: float | None = None
    """After how many seconds a pass is due although the view has not changed; None if there is nothing to see then."""

    def __init__(self, shown: int) -> None:
        """`shown` is the sequence up to which the files of the target are known to be exact."""
        self.shown = shown

    @abstractmethod
    async def write(self, shown: Shown) -> None:
        """Write what has changed, from the newest view.

        Raises TargetUnavailable, TargetInUse; and DoorDiffers, TimeoutError, VerificationFailed if the feed door fails.
        """
