"""PURE: bytes of memory that a process shares among its senders, so that none can take all of them.

Source of the rule: A. K. Choudhury and E. L. Hahne, "Dynamic Queue Length Thresholds in a Shared-Memory Packet Switch"
(1998): each sender may have as much as is free. So one alone gets a half, two get a third each, and a part is always
free for the next one.
"""

from collections.abc import Hashable
from typing import Self

from gateway.errors import Overloaded

RETRY_S = 2.0
"""After how many seconds to try again where there is no memory for a request."""


class ByteBudget:
    """Bytes kept in memory, by sender. Invariants:

    * A sender may always have `reserve` bytes, so there is memory for a small request whatever others do.
    * Above that, a sender has no more than is free of `most`. So all together have at most `most`, plus `reserve` for
      each sender.
    * Nothing is kept for a sender that has no bytes here.
    """

    def __init__(self, most: int, reserve: int) -> None:
        self._most = most
        self._reserve = reserve
        self._taken: dict[Hashable, int] = {}
        self.total = 0

    def __len__(self) -> int:
        """Return how many senders have bytes here."""
        return len(self._taken)

    def of(self, sender: Hashable) -> int:
        """Return the bytes of one sender."""
        return self._taken.get(sender, 0)

    def fits(self, sender: Hashable, more: int) -> bool:
        """Whether a sender may have so many more bytes."""
        wanted = self._taken.get(sender, 0) + more
        return wanted <= self._reserve or wanted <= self._most - self.total

    def add(self, sender: Hashable, more: int) -> None:
        """Record that a sender has so many more bytes, or fewer."""
        self.total += more
        if taken := self._taken.get(sender, 0) + more:
            self._taken[sender] = taken
        else:
            self._taken.pop(sender, None)


class ByteReservation:
    """The bytes of one request in a budget, while entered; `what` names them in messages.

    A class and not a generator: every request passes through it, once in 100 µs.
    """

    __slots__ = ("_budget", "_sender", "_what", "size")

    def __init__(self, budget: ByteBudget, sender: Hashable, what: str) -> None:
        self._budget = budget
        self._sender = sender
        self._what = what
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.resize(0)

    def grow(self, to: int) -> None:
        """Reserve up to `to` bytes in all. Raises Overloaded if they are not free."""
        if to > self.size:
            self.check(to - self.size)
            self.resize(to)

    def check(self, more: int = 1) -> None:
        """Raise Overloaded if so many more bytes are not free."""
        if self._budget.fits(self._sender, more):
            return
        if (taken := self._budget.of(self._sender)) > self.size:
            raise Overloaded(f"{self._what} of this token already use {taken} bytes", RETRY_S, share=True)
        detail = f"{self._what} of other tokens use {self._budget.total} bytes; send fewer reports at once"
        raise Overloaded(detail, RETRY_S)

    def resize(self, size: int) -> None:
        """Set the size, whether or not so many bytes are free."""
        self._budget.add(self._sender, size - self.size)
        self.size = size
