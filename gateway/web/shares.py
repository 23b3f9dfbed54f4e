"""PURE: bytes that a process keeps for its senders, of which none can take all.

Source of the rule: A. K. Choudhury and E. L. Hahne, "Dynamic Queue Length Thresholds in a Shared-Memory Packet Switch"
(1998): each may hold as much as is free. One alone so gets half, two get a third each, and a part is always free for
who comes next.
"""

from collections.abc import Hashable


class SharedBytes:
    """Bytes kept in memory, by sender. Invariants:

    * A sender may always have `reserve` bytes, so a small request finds room whatever others do.
    * Beyond that, a sender has no more than is free of `most`. So all together have at most `most`, and `reserve` for
      each sender besides.
    * Nothing is kept of a sender that has no bytes here.
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
        """Whether a sender may have so many bytes more."""
        wanted = self.of(sender) + more
        return wanted <= self._reserve or wanted <= self._most - self.total

    def add(self, sender: Hashable, more: int) -> None:
        """Note that a sender has so many bytes more, or fewer."""
        self.total += more
        if taken := self.of(sender) + more:
            self._taken[sender] = taken
        else:
            self._taken.pop(sender, None)
