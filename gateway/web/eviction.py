"""PURE: which connection to close when a door is full.

It is one of the address with the most candidates, and of these the one that was added first; or the one that was added
first of all. Every operation takes constant time, independent of the number of connections.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

M = TypeVar("M")


class ByAddress(Generic[M]):
    """Members by address, in the order in which they were added. Invariant: an address without members is removed."""

    def __init__(self) -> None:
        self._members: dict[str, OrderedDict[M, None]] = {}
        self._in_order: OrderedDict[M, None] = OrderedDict()
        self._by_count: dict[int, OrderedDict[str, None]] = {}
        self._most = 0

    def __len__(self) -> int:
        return len(self._in_order)

    @property
    def most(self) -> int:
        """The number of members of the address with the most."""
        return self._most

    def add(self, address: str, member: M) -> None:
        """Add a new member."""
        members = self._members.get(address)
        if members is None:
            members = self._members[address] = OrderedDict()
        members[member] = None
        self._in_order[member] = None
        count = len(members)
        if count > 1:
            self._remove_count(address, count - 1)
        self._add_count(address, count)
        self._most = max(self._most, count)

    def discard(self, address: str, member: M) -> None:
        """Remove a member, if present."""
        members = self._members.get(address)
        if members is None or member not in members:
            return
        del members[member]
        del self._in_order[member]
        count = len(members)
        self._remove_count(address, count + 1)
        if count:
            self._add_count(address, count)
        else:
            del self._members[address]
        if self._most > count and self._most not in self._by_count:
            self._most = count  # it was the only address with that many

    def renew(self, address: str, member: M) -> None:
        """Move a member behind all others, as if it had been removed and added."""
        self._members[address].move_to_end(member)
        self._in_order.move_to_end(member)

    def oldest(self, address: str) -> M | None:
        """Return the member of an address that was added first; None if it has none."""
        members = self._members.get(address)
        return next(iter(members)) if members else None

    def first(self) -> M | None:
        """Return the member that was added first of all; None if there are no members."""
        return next(iter(self._in_order), None)

    def victim(self) -> M | None:
        """Return the first member of the address with the most members; None if there are no members."""
        if not self._in_order:
            return None
        return self.oldest(next(iter(self._by_count[self._most])))

    def _add_count(self, address: str, count: int) -> None:
        addresses = self._by_count.get(count)
        if addresses is None:
            addresses = self._by_count[count] = OrderedDict()
        addresses[address] = None

    def _remove_count(self, address: str, count: int) -> None:
        addresses = self._by_count[count]
        del addresses[address]
        if not addresses:
            del self._by_count[count]
